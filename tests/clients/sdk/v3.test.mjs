// The AWS SDK for JavaScript against the control plane: what it shows of answers and errors.
import {
  CreateAttendeeCommand,
  CreateMeetingCommand,
  DeleteAttendeeCommand,
  DeleteMeetingCommand,
  GetAttendeeCommand,
  GetMeetingCommand,
  BatchCreateAttendeeCommand,
  paginateListAttendees,
} from '@aws-sdk/client-chime-sdk-meetings';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { client } from '../browser/support/control.mjs';
import { Service } from '../browser/support/service.mjs';

const UNKNOWN = '01234567-89ab-cdef-0123-456789abcdef';

describe('the AWS SDK for JavaScript', { concurrency: 1 }, () => {
  let service;
  let chime;
  before(async () => {
    service = await new Service().start();
    chime = client(service);
  });
  after(() => service?.stop());

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
    await chime.send(new DeleteAttendeeCommand({ MeetingId, AttendeeId: Attendee.AttendeeId }));
    await chime.send(new DeleteMeetingCommand({ MeetingId }));
    await assert.rejects(chime.send(new GetMeetingCommand({ MeetingId })), { name: 'NotFoundException' });
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

  test('an endpoint with a path, as old guides have it', async () => {
    const prefixed = client({ ...service, endpoint: `${service.endpoint}/console`, ready: service.ready });
    const { Meeting } = await prefixed.send(
      new CreateMeetingCommand({ ClientRequestToken: randomUUID(), MediaRegion: 'us-east-1', ExternalMeetingId: 'console' }));
    assert.ok(Meeting.MeetingId);
  });
});
