// Version 2 of the AWS SDK for JavaScript, which is at its end and still in use: AWS.Chime as it was in 2019 and after,
// and AWS.ChimeSDKMeetings. It sends no word of the namespace, and shows the short codes of the error's body.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Service } from '../browser/support/service.mjs';

// Its advice to move on is not a matter of these tests.
process.env.AWS_SDK_JS_SUPPRESS_MAINTENANCE_MODE_MESSAGE = '1';
const { default: AWS } = await import('aws-sdk');

const UNKNOWN = '01234567-89ab-cdef-0123-456789abcdef';
const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe('the AWS SDK for JavaScript, version 2', { concurrency: 1 }, () => {
  let service;
  let chime;
  let meetings;

  const options = (more = {}) => ({
    endpoint: service.endpoint,
    region: service.ready.region,
    accessKeyId: service.ready.access_key_id,
    secretAccessKey: service.ready.secret_access_key,
    ...more,
  });

  before(async () => {
    service = await new Service().start();
    chime = new AWS.Chime(options());
    meetings = new AWS.ChimeSDKMeetings(options());
  });
  after(() => service?.stop());

  const refusal = async (promise, code, status) => {
    await assert.rejects(promise, error => {
      assert.equal(error.code, code, `${error}`);
      assert.equal(error.statusCode, status);
      assert.match(error.requestId, GUID);
      assert.ok(error.message);
      return true;
    });
  };

  /** How often a request was sent. */
  const attempts = async request => {
    let sent = 0;
    request.on('send', () => (sent += 1));
    await request.promise().catch(() => {});
    return sent;
  };

  const faulty = (request, fault) => request.on('build', ({ httpRequest }) => (httpRequest.headers['x-campanile-fault'] = fault));

  describe('AWS.Chime', () => {
    test('createMeeting fills in the token and answers a meeting', async () => {
      const request = chime.createMeeting({ MediaRegion: 'us-east-1' });
      const { Meeting } = await request.promise();
      assert.match(request.params.ClientRequestToken ?? JSON.parse(request.httpRequest.body).ClientRequestToken, GUID);
      assert.match(Meeting.MeetingId, GUID);
      assert.equal(request.response.httpResponse.statusCode, 201);
      assert.match(request.response.requestId, GUID);
      assert.equal(Meeting.MediaRegion, 'us-east-1');
    });

    test('the nine operations, from making to deleting', async () => {
      const { Meeting } = await chime.createMeeting({ MediaRegion: 'us-east-1', ExternalMeetingId: 'v2' }).promise();
      const { MeetingId } = Meeting;
      assert.deepEqual((await chime.getMeeting({ MeetingId }).promise()).Meeting, Meeting);

      const { Attendee } = await chime.createAttendee({ MeetingId, ExternalUserId: 'user-é' }).promise();
      assert.equal(Attendee.ExternalUserId, 'user-é');
      assert.match(Attendee.JoinToken, /^[A-Za-z0-9]{2,2048}$/);
      const { AttendeeId } = Attendee;
      assert.deepEqual((await chime.getAttendee({ MeetingId, AttendeeId }).promise()).Attendee, Attendee);

      const batch = await chime.batchCreateAttendee({ MeetingId, Attendees: [{ ExternalUserId: 'ann' }, { ExternalUserId: 'bob' }] }).promise();
      assert.deepEqual(batch.Attendees.map(attendee => attendee.ExternalUserId), ['ann', 'bob']);
      assert.equal(batch.Errors?.length ?? 0, 0);

      const first = await chime.listAttendees({ MeetingId, MaxResults: 2 }).promise();
      const rest = await chime.listAttendees({ MeetingId, NextToken: first.NextToken }).promise();
      assert.deepEqual([...first.Attendees, ...rest.Attendees], [Attendee, ...batch.Attendees]);
      assert.ok(!rest.NextToken);

      assert.deepEqual(await chime.deleteAttendee({ MeetingId, AttendeeId }).promise(), {});
      await refusal(chime.getAttendee({ MeetingId, AttendeeId }).promise(), 'NotFound', 404);

      assert.deepEqual(await chime.deleteMeeting({ MeetingId }).promise(), {});
      await refusal(chime.getMeeting({ MeetingId }).promise(), 'NotFound', 404);
      await refusal(chime.createAttendee({ MeetingId, ExternalUserId: 'late' }).promise(), 'NotFound', 404);
      await refusal(chime.listAttendees({ MeetingId }).promise(), 'NotFound', 404);
    });

    test('listMeetings holds live meetings and no ended ones', async () => {
      const [live, ended] = await Promise.all([chime.createMeeting().promise(), chime.createMeeting().promise()]);
      await chime.deleteMeeting({ MeetingId: ended.Meeting.MeetingId }).promise();
      const listed = [];
      for (let NextToken; ; ) {
        const page = await chime.listMeetings({ MaxResults: 3, NextToken }).promise();
        listed.push(...page.Meetings.map(meeting => meeting.MeetingId));
        NextToken = page.NextToken;
        if (!NextToken) {
          break;
        }
      }
      assert.ok(listed.includes(live.Meeting.MeetingId));
      assert.ok(!listed.includes(ended.Meeting.MeetingId));
      assert.equal(new Set(listed).size, listed.length);
    });

    test('what came after 2019: attendees with the meeting, and tags', async () => {
      const { Meeting, Attendees } = await chime.createMeetingWithAttendees({
        ClientRequestToken: 'v2-with-attendees',
        Attendees: [{ ExternalUserId: 'ann', Tags: [{ Key: 'seat', Value: '1' }] }, { ExternalUserId: 'bob' }],
      }).promise();
      const { MeetingId } = Meeting;
      assert.equal(Attendees.length, 2);
      const { AttendeeId } = Attendees[0];
      await chime.tagMeeting({ MeetingId, Tags: [{ Key: 'team', Value: 'blue' }] }).promise();
      assert.deepEqual((await chime.listMeetingTags({ MeetingId }).promise()).Tags, [{ Key: 'team', Value: 'blue' }]);
      await chime.untagMeeting({ MeetingId, TagKeys: ['team'] }).promise();
      assert.deepEqual((await chime.listMeetingTags({ MeetingId }).promise()).Tags, []);
      await chime.tagAttendee({ MeetingId, AttendeeId, Tags: [{ Key: 'role', Value: 'host' }] }).promise();
      await chime.untagAttendee({ MeetingId, AttendeeId, TagKeys: ['seat'] }).promise();
      assert.deepEqual((await chime.listAttendeeTags({ MeetingId, AttendeeId }).promise()).Tags, [{ Key: 'role', Value: 'host' }]);
    });

    test('an endpoint with /console, as old guides have it', async () => {
      for (const endpoint of [`${service.endpoint}/console`, new AWS.Endpoint(`${service.endpoint}/console`)]) {
        const old = new AWS.Chime(options({ endpoint }));
        const { Meeting } = await old.createMeeting({ MediaRegion: 'us-east-1' }).promise();
        assert.equal((await old.getMeeting({ MeetingId: Meeting.MeetingId }).promise()).Meeting.MeetingId, Meeting.MeetingId);
      }
    });

    test('errors have their short codes', async () => {
      const { Meeting } = await chime.createMeeting().promise();
      const { MeetingId } = Meeting;
      await refusal(chime.getMeeting({ MeetingId: UNKNOWN }).promise(), 'NotFound', 404);
      await refusal(chime.deleteMeeting({ MeetingId: UNKNOWN }).promise(), 'NotFound', 404);
      await refusal(chime.getAttendee({ MeetingId, AttendeeId: UNKNOWN }).promise(), 'NotFound', 404);
      await refusal(chime.createAttendee({ MeetingId, ExternalUserId: 'x'.repeat(65) }).promise(), 'BadRequest', 400);
      await refusal(chime.getMeeting({ MeetingId: 'a/b c?d' }).promise(), 'BadRequest', 400);
    });

    test('throttling is tried four times', async () => {
      const { Meeting } = await chime.createMeeting().promise();
      const { MeetingId } = Meeting;
      assert.equal(await attempts(faulty(chime.getMeeting({ MeetingId }), 'GetMeeting:*:ThrottledClientException')), 4);
      assert.equal(await attempts(faulty(chime.getMeeting({ MeetingId }), 'GetMeeting:*:ResourceLimitExceededException')), 1);
      assert.equal(await attempts(faulty(chime.getMeeting({ MeetingId }), 'GetMeeting:1:ServiceUnavailableException')), 2);
    });

    test('a wrong secret is refused', async () => {
      const stranger = new AWS.Chime(options({ secretAccessKey: 'wrong' }));
      await refusal(stranger.getMeeting({ MeetingId: UNKNOWN }).promise(), 'InvalidSignature', 403);
    });

    test('a client whose clock is wrong corrects it where it is told to', async () => {
      const { Meeting } = await chime.createMeeting().promise();
      const late = new AWS.Chime(options({ systemClockOffset: -20 * 60 * 1000, correctClockSkew: true }));
      const found = await late.getMeeting({ MeetingId: Meeting.MeetingId }).promise();
      assert.equal(found.Meeting.MeetingId, Meeting.MeetingId);
    });
  });

  describe('AWS.ChimeSDKMeetings', () => {
    test('today’s operations', async () => {
      const members = { MediaRegion: 'us-east-1', ExternalMeetingId: 'v2-new' };
      const { Meeting } = await meetings.createMeeting(members).promise();
      const { MeetingId, MeetingArn } = Meeting;
      assert.ok(MeetingArn.endsWith(`:meeting/${MeetingId}`));
      assert.deepEqual((await meetings.getMeeting({ MeetingId }).promise()).Meeting, Meeting);
      const { Attendee } = await meetings.createAttendee({ MeetingId, ExternalUserId: 'ann' }).promise();
      const listen = { Audio: 'Receive', Video: 'Receive', Content: 'Receive' };
      const updated = await meetings.updateAttendeeCapabilities({ MeetingId, AttendeeId: Attendee.AttendeeId, Capabilities: listen }).promise();
      assert.deepEqual(updated.Attendee, { ...Attendee, Capabilities: listen });
      assert.deepEqual(await meetings.batchUpdateAttendeeCapabilitiesExcept({
        MeetingId, ExcludedAttendeeIds: [{ AttendeeId: Attendee.AttendeeId }], Capabilities: listen,
      }).promise(), {});
      await meetings.tagResource({ ResourceARN: MeetingArn, Tags: [{ Key: 'team', Value: 'blue' }] }).promise();
      assert.deepEqual((await meetings.listTagsForResource({ ResourceARN: MeetingArn }).promise()).Tags, [{ Key: 'team', Value: 'blue' }]);
      await meetings.untagResource({ ResourceARN: MeetingArn, TagKeys: ['team'] }).promise();
      const together = await meetings.createMeetingWithAttendees({
        ...members, ClientRequestToken: 'v2-new-with-attendees', Attendees: [{ ExternalUserId: 'ann' }],
      }).promise();
      assert.equal(together.Attendees.length, 1);
      await refusal(meetings.stopMeetingTranscription({ MeetingId }).promise(), 'Unprocessable', 422);
      assert.deepEqual(await meetings.deleteMeeting({ MeetingId }).promise(), {});
      await refusal(meetings.getMeeting({ MeetingId }).promise(), 'NotFound', 404);
    });
  });
});
