// Version 3 of the AWS SDK for JavaScript: what it shows of answers and errors.
import {
  BatchCreateAttendeeCommand,
  BatchUpdateAttendeeCapabilitiesExceptCommand,
  CreateAttendeeCommand,
  CreateMeetingCommand,
  CreateMeetingWithAttendeesCommand,
  DeleteAttendeeCommand,
  DeleteMeetingCommand,
  GetAttendeeCommand,
  GetMeetingCommand,
  ListAttendeesCommand,
  ListTagsForResourceCommand,
  StartMeetingTranscriptionCommand,
  StopMeetingTranscriptionCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateAttendeeCapabilitiesCommand,
  paginateListAttendees,
} from '@aws-sdk/client-chime-sdk-meetings';
import chimeClient from 'amazon-chime-sdk-js';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { client } from '../browser/support/control.mjs';
import { Service } from '../browser/support/service.mjs';

const { MeetingSessionConfiguration } = chimeClient;
const UNKNOWN = '01234567-89ab-cdef-0123-456789abcdef';

describe('the AWS SDK for JavaScript, version 3', { concurrency: 1 }, () => {
  let service;
  let chime;
  before(async () => {
    service = await new Service().start();
    chime = client(service);
  });
  after(() => service?.stop());

  /** A client all of whose calls are faulted. */
  const faulty = (fault, options = { maxAttempts: 1 }) => {
    const made = client(service, options);
    made.middlewareStack.add(
      next => args => {
        args.request.headers['x-campanile-fault'] = fault;
        return next(args);
      },
      { step: 'build' },
    );
    return made;
  };

  const create = (members = {}) =>
    chime.send(new CreateMeetingCommand({ ClientRequestToken: randomUUID(), MediaRegion: 'us-east-1', ExternalMeetingId: 'js', ...members }));

  test('a meeting and its attendees, from making to deleting', async () => {
    const made = await create();
    assert.match(made.$metadata.requestId, /^[0-9a-f-]{36}$/);
    const MeetingId = made.Meeting.MeetingId;
    assert.deepEqual((await chime.send(new GetMeetingCommand({ MeetingId }))).Meeting, made.Meeting);
    const { Attendee } = await chime.send(new CreateAttendeeCommand({ MeetingId, ExternalUserId: 'user-é' }));
    assert.equal(Attendee.ExternalUserId, 'user-é');
    const found = await chime.send(new GetAttendeeCommand({ MeetingId, AttendeeId: Attendee.AttendeeId }));
    assert.deepEqual(found.Attendee, Attendee);
    assert.match(Attendee.JoinToken, /^[A-Za-z0-9]{2,2048}$/);
    const gone = { MeetingId, AttendeeId: Attendee.AttendeeId };
    assert.equal((await chime.send(new DeleteAttendeeCommand(gone))).$metadata.httpStatusCode, 204);
    await assert.rejects(chime.send(new GetAttendeeCommand(gone)), { name: 'NotFoundException' });
    assert.equal((await chime.send(new DeleteMeetingCommand({ MeetingId }))).$metadata.httpStatusCode, 204);
    for (const command of [
      new GetMeetingCommand({ MeetingId }),
      new CreateAttendeeCommand({ MeetingId, ExternalUserId: 'late' }),
      new ListAttendeesCommand({ MeetingId }),
    ]) {
      await assert.rejects(chime.send(command), { name: 'NotFoundException' });
    }
  });

  test('a batch of two', async () => {
    const { Meeting } = await create();
    const answer = await chime.send(new BatchCreateAttendeeCommand({
      MeetingId: Meeting.MeetingId, Attendees: [{ ExternalUserId: 'ann' }, { ExternalUserId: 'bob' }],
    }));
    assert.deepEqual(answer.Attendees.map(attendee => attendee.ExternalUserId), ['ann', 'bob']);
    assert.equal(answer.Errors?.length ?? 0, 0);
  });

  test('a meeting with its attendees', async () => {
    const answer = await chime.send(new CreateMeetingWithAttendeesCommand({
      ClientRequestToken: randomUUID(), MediaRegion: 'us-east-1', ExternalMeetingId: 'together',
      Attendees: [{ ExternalUserId: 'ann' }, { ExternalUserId: 'x'.repeat(65) }],
    }));
    assert.ok(answer.Meeting.MeetingId);
    assert.deepEqual(answer.Attendees.map(attendee => attendee.ExternalUserId), ['ann']);
    assert.deepEqual(answer.Errors.map(error => error.ExternalUserId), ['x'.repeat(65)]);
  });

  test('capabilities of one, and of all but some', async () => {
    const { Meeting } = await create();
    const MeetingId = Meeting.MeetingId;
    const [ann, bob] = await Promise.all(['ann', 'bob'].map(async name =>
      (await chime.send(new CreateAttendeeCommand({ MeetingId, ExternalUserId: name }))).Attendee));
    const listen = { Audio: 'Receive', Video: 'Receive', Content: 'Receive' };
    const updated = await chime.send(new UpdateAttendeeCapabilitiesCommand({ MeetingId, AttendeeId: ann.AttendeeId, Capabilities: listen }));
    assert.deepEqual(updated.Attendee, { ...ann, Capabilities: listen });
    const answer = await chime.send(new BatchUpdateAttendeeCapabilitiesExceptCommand({
      MeetingId, ExcludedAttendeeIds: [{ AttendeeId: ann.AttendeeId }], Capabilities: { ...listen, Audio: 'None' },
    }));
    assert.equal(answer.$metadata.httpStatusCode, 200);
    const { Attendees } = await chime.send(new ListAttendeesCommand({ MeetingId }));
    const audio = Object.fromEntries(Attendees.map(attendee => [attendee.AttendeeId, attendee.Capabilities.Audio]));
    assert.deepEqual(audio, { [ann.AttendeeId]: 'Receive', [bob.AttendeeId]: 'None' });
  });

  test('tags', async () => {
    const { Meeting } = await create({ Tags: [{ Key: 'team', Value: 'blue' }] });
    const ResourceARN = Meeting.MeetingArn;
    await chime.send(new TagResourceCommand({ ResourceARN, Tags: [{ Key: 'stage', Value: 'test' }] }));
    await chime.send(new UntagResourceCommand({ ResourceARN, TagKeys: ['team'] }));
    const { Tags } = await chime.send(new ListTagsForResourceCommand({ ResourceARN }));
    assert.deepEqual(Tags, [{ Key: 'stage', Value: 'test' }]);
    const unknown = ResourceARN.replace(Meeting.MeetingId, UNKNOWN);
    await assert.rejects(chime.send(new ListTagsForResourceCommand({ ResourceARN: unknown })), error => {
      assert.equal(error.name, 'ResourceNotFoundException');
      assert.equal(error.ResourceName, unknown);
      return true;
    });
  });

  test('transcription without an engine', async () => {
    const { Meeting } = await create();
    const MeetingId = Meeting.MeetingId;
    const TranscriptionConfiguration = { EngineTranscribeSettings: { LanguageCode: 'en-US' } };
    for (const command of [
      new StartMeetingTranscriptionCommand({ MeetingId, TranscriptionConfiguration }),
      new StopMeetingTranscriptionCommand({ MeetingId }),
    ]) {
      await assert.rejects(chime.send(command), { name: 'UnprocessableEntityException' });
    }
  });

  test('errors have their classes, codes and request ids', async () => {
    const { Meeting } = await create();
    const cases = [
      [new GetMeetingCommand({ MeetingId: UNKNOWN }), 'NotFoundException', 404],
      [new DeleteMeetingCommand({ MeetingId: UNKNOWN }), 'NotFoundException', 404],
      [new CreateAttendeeCommand({ MeetingId: UNKNOWN, ExternalUserId: 'ann' }), 'NotFoundException', 404],
      [new GetAttendeeCommand({ MeetingId: Meeting.MeetingId, AttendeeId: UNKNOWN }), 'NotFoundException', 404],
      [new CreateAttendeeCommand({ MeetingId: Meeting.MeetingId, ExternalUserId: 'x'.repeat(65) }), 'BadRequestException', 400],
      [new GetMeetingCommand({ MeetingId: 'a/b c?d' }), 'BadRequestException', 400],
      [new CreateMeetingCommand({ ClientRequestToken: 'x', MediaRegion: 'us-east-1', ExternalMeetingId: 'js' }), 'BadRequestException', 400],
    ];
    for (const [command, name, status] of cases) {
      await assert.rejects(chime.send(command), error => {
        assert.equal(error.name, name, `${error}`);
        assert.equal(error.$metadata.httpStatusCode, status);
        assert.ok(error.$metadata.requestId);
        assert.ok(error.message);
        assert.equal(error.Code, name.replace('Exception', ''));
        return true;
      });
    }
  });

  test('the answers make a MeetingSessionConfiguration of amazon-chime-sdk-js', async () => {
    const meeting = await create();
    const attendee = await chime.send(new CreateAttendeeCommand({ MeetingId: meeting.Meeting.MeetingId, ExternalUserId: 'ann' }));
    const placement = meeting.Meeting.MediaPlacement;
    // Applications hand on the whole answers, or what is in them; as JSON, over their own wire.
    for (const [one, other] of [[meeting, attendee], [meeting.Meeting, attendee.Attendee]]) {
      const made = new MeetingSessionConfiguration(JSON.parse(JSON.stringify(one)), JSON.parse(JSON.stringify(other)));
      assert.equal(made.meetingId, meeting.Meeting.MeetingId);
      assert.equal(made.urls.signalingURL, placement.SignalingUrl);
      assert.equal(made.urls.audioHostURL, placement.AudioHostUrl);
      assert.equal(made.urls.turnControlURL, placement.TurnControlUrl);
      assert.equal(made.urls.eventIngestionURL, placement.EventIngestionUrl);
      assert.ok(Object.values(placement).every(Boolean));
      assert.equal(made.credentials.attendeeId, attendee.Attendee.AttendeeId);
      assert.equal(made.credentials.externalUserId, 'ann');
      assert.equal(made.credentials.joinToken, attendee.Attendee.JoinToken);
    }
  });

  test('no error is one that the SDK cannot read', async () => {
    const { Meeting } = await create();
    const read = async (promise, name) =>
      assert.rejects(promise, error => {
        assert.equal(error.name, name, `${error}`);
        assert.ok(error.$metadata.httpStatusCode >= 400 && error.$metadata.requestId && error.message);
        return true;
      });
    for (const name of [
      'BadRequestException', 'ConflictException', 'ForbiddenException', 'LimitExceededException', 'NotFoundException',
      'ServiceFailureException', 'ServiceUnavailableException', 'ThrottlingException', 'UnauthorizedException',
      'UnprocessableEntityException',
    ]) {
      await read(faulty(`GetMeeting:*:${name}`).send(new GetMeetingCommand({ MeetingId: Meeting.MeetingId })), name);
    }
    const elsewhere = client({ ...service, endpoint: `${service.endpoint}/nowhere`, ready: service.ready }, { maxAttempts: 1 });
    await read(elsewhere.send(new GetMeetingCommand({ MeetingId: Meeting.MeetingId })), 'UnknownOperationException');
    const stranger = client(service, { credentials: { accessKeyId: 'AKIDNOBODY', secretAccessKey: 'x' }, maxAttempts: 1 });
    await read(stranger.send(new GetMeetingCommand({ MeetingId: Meeting.MeetingId })), 'UnrecognizedClientException');
  });

  test('an empty id is no list of meetings', async () => {
    await assert.rejects(chime.send(new GetMeetingCommand({ MeetingId: '' })), error => {
      assert.ok([400, 404].includes(error.$metadata.httpStatusCode), `${error}`);
      return true;
    });
  });

  test('the members that today’s namespace requires are required of it', async () => {
    for (const members of [{ MediaRegion: undefined }, { ExternalMeetingId: undefined }]) {
      await assert.rejects(create(members), { name: 'BadRequestException' });
    }
  });

  test('the quota error is the one of this namespace', async () => {
    const { Meeting } = await create({ MeetingFeatures: { Attendee: { MaxCount: 1 } } });
    await chime.send(new CreateAttendeeCommand({ MeetingId: Meeting.MeetingId, ExternalUserId: 'ann' }));
    await assert.rejects(
      chime.send(new CreateAttendeeCommand({ MeetingId: Meeting.MeetingId, ExternalUserId: 'bob' })),
      { name: 'LimitExceededException' },
    );
  });

  test('the paginator ends, with everyone once', async () => {
    const { Meeting } = await create();
    for (let start = 0; start < 250; start += 50) {
      await chime.send(new BatchCreateAttendeeCommand({
        MeetingId: Meeting.MeetingId,
        Attendees: Array.from({ length: 50 }, (_, n) => ({ ExternalUserId: `user-${start + n}` })),
      }));
    }
    const found = [];
    for await (const page of paginateListAttendees({ client: chime, pageSize: 40 }, { MeetingId: Meeting.MeetingId })) {
      found.push(...page.Attendees.map(attendee => attendee.AttendeeId));
    }
    assert.equal(found.length, 250);
    assert.equal(new Set(found).size, 250);
  });

  test('a wrong secret is refused, with a class that can be read', async () => {
    const stranger = client(service, {
      credentials: { accessKeyId: service.ready.access_key_id, secretAccessKey: 'wrong' },
      maxAttempts: 1,
    });
    await assert.rejects(stranger.send(new GetMeetingCommand({ MeetingId: UNKNOWN })), { name: 'InvalidSignatureException' });
  });

  test('a client whose clock is wrong corrects it and is served', async () => {
    const late = client(service, { systemClockOffset: -20 * 60 * 1000 });
    const { Meeting } = await create();
    const found = await late.send(new GetMeetingCommand({ MeetingId: Meeting.MeetingId }));
    assert.equal(found.Meeting.MeetingId, Meeting.MeetingId);
    assert.ok(found.$metadata.attempts > 1);
  });

  test('throttling and quotas are tried three times', async () => {
    const { Meeting } = await create();
    for (const name of ['ThrottlingException', 'LimitExceededException', 'ServiceUnavailableException']) {
      await assert.rejects(
        faulty(`GetMeeting:*:${name}`, { maxAttempts: 3 }).send(new GetMeetingCommand({ MeetingId: Meeting.MeetingId })),
        error => error.name === name && error.$metadata.attempts === 3,
      );
    }
  });

  test('an endpoint under a path of one’s own', async () => {
    const prefixed = await new Service({ env: { CAMPANILE_API__PREFIX: '/pre' } }).start();
    try {
      const chime = client({ ...prefixed, endpoint: `${prefixed.endpoint}/pre/`, ready: prefixed.ready });
      const members = { ClientRequestToken: randomUUID(), MediaRegion: 'us-east-1', ExternalMeetingId: 'prefixed' };
      const { Meeting } = await chime.send(new CreateMeetingCommand(members));
      const found = await chime.send(new GetMeetingCommand({ MeetingId: Meeting.MeetingId }));
      assert.deepEqual(found.Meeting, Meeting);
    } finally {
      await prefixed.stop();
    }
  });

  test('an endpoint with a path, as old guides have it', async () => {
    const prefixed = client({ ...service, endpoint: `${service.endpoint}/console`, ready: service.ready });
    const { Meeting } = await prefixed.send(
      new CreateMeetingCommand({ ClientRequestToken: randomUUID(), MediaRegion: 'us-east-1', ExternalMeetingId: 'console' }));
    assert.ok(Meeting.MeetingId);
  });
});
