// A back end as an application would have it: the AWS SDK for JavaScript, pointed at the service.
import {
  ChimeSDKMeetingsClient,
  CreateAttendeeCommand,
  CreateMeetingCommand,
  DeleteAttendeeCommand,
  DeleteMeetingCommand,
  StartMeetingTranscriptionCommand,
  StopMeetingTranscriptionCommand,
  UpdateAttendeeCapabilitiesCommand,
} from '@aws-sdk/client-chime-sdk-meetings';
import { randomUUID } from 'node:crypto';

// The SDK's advice about coming Node versions is not a matter of these tests.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';

export function client(service, options = {}) {
  return new ChimeSDKMeetingsClient({
    endpoint: service.endpoint,
    region: service.ready.region,
    credentials: { accessKeyId: service.ready.access_key_id, secretAccessKey: service.ready.secret_access_key },
    ...options,
  });
}

export class Control {
  constructor(service) {
    this.client = client(service);
  }
  async meeting(name = 'meeting', members = {}) {
    const { Meeting } = await this.client.send(
      new CreateMeetingCommand({ ClientRequestToken: randomUUID(), MediaRegion: 'us-east-1', ExternalMeetingId: name, ...members }),
    );
    return Meeting;
  }
  replica(meeting, name = 'replica') {
    return this.meeting(name, { PrimaryMeetingId: meeting.MeetingId });
  }
  async attendee(meeting, name) {
    const { Attendee } = await this.client.send(
      new CreateAttendeeCommand({ MeetingId: meeting.MeetingId, ExternalUserId: name }),
    );
    return Attendee;
  }
  endMeeting(meeting) {
    return this.client.send(new DeleteMeetingCommand({ MeetingId: meeting.MeetingId }));
  }
  removeAttendee(meeting, attendee) {
    return this.client.send(
      new DeleteAttendeeCommand({ MeetingId: meeting.MeetingId, AttendeeId: attendee.AttendeeId }),
    );
  }
  /** Everything is allowed that `less` does not name. */
  allow(meeting, attendee, less = {}) {
    const Capabilities = { Audio: 'SendReceive', Video: 'SendReceive', Content: 'SendReceive', ...less };
    return this.client.send(
      new UpdateAttendeeCapabilitiesCommand({ MeetingId: meeting.MeetingId, AttendeeId: attendee.AttendeeId, Capabilities }),
    );
  }
  transcribe(meeting, TranscriptionConfiguration) {
    return this.client.send(new StartMeetingTranscriptionCommand({ MeetingId: meeting.MeetingId, TranscriptionConfiguration }));
  }
  stopTranscribing(meeting) {
    return this.client.send(new StopMeetingTranscriptionCommand({ MeetingId: meeting.MeetingId }));
  }
}
