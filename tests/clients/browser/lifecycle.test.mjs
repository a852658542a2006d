// How meetings end by themselves, and by the operator, for those who are in them. Ends without anybody there:
// api/test_lifecycle.py.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { closeAll, World } from './support/meeting.mjs';
import { binary } from './support/service.mjs';
import { delay, until } from './support/wait.mjs';

/** `campanile` with a verb, against the world's service; what it prints as JSON. */
async function operator(world, ...verb) {
  const { stdout } = await promisify(execFile)(binary, [...verb, '--json'], {
    env: { ...process.env, CAMPANILE_ENDPOINT: world.service.endpoint, CAMPANILE_OPERATOR_KEY: world.service.ready.operator_key },
  });
  return stdout.trim() ? JSON.parse(stdout) : null;
}

const shown = (world, meeting) => operator(world, 'meetings', 'show', meeting.MeetingId);
const ended = (world, meeting, within) =>
  until('the meeting ends', async () => (await shown(world, meeting)).end_reason, { within, every: 200 });

/** Tests in a world of their own, which `tests` gets as a function: it is not there before they run. */
function describeWith(name, env, tests) {
  describe(name, { concurrency: 1 }, () => {
    let world;
    before(async () => {
      world = await World.open({ env });
    });
    after(() => world?.close());
    tests(() => world);
  });
}

describeWith('a short idle time', { CAMPANILE_LIMITS__IDLE: '4s' }, world => {
  test('a meeting idles out once its last attendee has left, and not before', async () => {
    const { meeting, tabs } = await world().meet(2);
    const [ann, bob] = tabs;
    await ann.ask('stop');
    await ann.stopped();
    // Longer than the idle time: one who is there is enough.
    await delay(6000);
    assert.equal((await shown(world(), meeting)).end_reason, null);
    assert.deepEqual((await bob.state()).stops, []);
    await closeAll(tabs);
    const left = performance.now();
    assert.equal(await ended(world(), meeting, 15_000), 'idle');
    assert.ok(performance.now() - left > 3000, 'a reconnect would have found it');
  });
});

describeWith('a short life', { CAMPANILE_LIMITS__AGE: '12s' }, world => {
  test('a meeting of age ends for those who are in it', async () => {
    const { meeting, tabs } = await world().meet(2);
    for (const tab of tabs) {
      assert.equal(await tab.stopped(20_000), 'MeetingEnded');
      await tab.close();
    }
    const { end_reason: reason, created_at: created, ended_at: end } = await shown(world(), meeting);
    assert.equal(reason, 'aged');
    const lived = new Date(end) - new Date(created);
    assert.ok(lived >= 12_000 && lived < 20_000, `${lived} ms`);
  });
});

describeWith('a short time alone', { CAMPANILE_LIMITS__ALONE: '5s' }, world => {
  test('one who is alone for too long is sent home', async () => {
    const { meeting, tabs } = await world().meet(2);
    const [ann, bob] = tabs;
    await ann.ask('stop');
    await ann.stopped();
    await ann.close();
    assert.equal(await bob.stopped(15_000), 'MeetingEnded');
    await bob.close();
    assert.equal((await shown(world(), meeting)).end_reason, 'alone');
  });
});

describeWith('the operator', {}, world => {
  test('sees who is connected, removes one, and ends it for all', async () => {
    const { meeting, tabs } = await world().meet(2);
    const [ann, bob] = tabs;
    const { meetings } = await operator(world(), 'meetings', 'list');
    const one = meetings.find(found => found.meeting_id === meeting.MeetingId);
    assert.deepEqual([one.attendees, one.connected], [2, 2]);
    const { attendees } = await operator(world(), 'attendees', 'list', meeting.MeetingId);
    assert.deepEqual(attendees.map(found => [found.attendee_id, found.connected]), [[ann.id, true], [bob.id, true]]);

    await operator(world(), 'attendees', 'remove', meeting.MeetingId, ann.id);
    assert.equal(await ann.stopped(), 'AudioAttendeeRemoved');
    await bob.until('ann has left', async () => (await bob.state()).presence[ann.id].present === false);

    await operator(world(), 'meetings', 'end', meeting.MeetingId);
    assert.equal(await bob.stopped(), 'MeetingEnded');
    assert.equal((await shown(world(), meeting)).end_reason, 'operator');
    await ann.close();
    await bob.close();
  });

  test('a primary that is deleted ends its replicas for those who are in them', async () => {
    const primary = await world().control.meeting('primary');
    const replica = await world().control.meeting('replica', { PrimaryMeetingId: primary.MeetingId });
    const attendee = await world().control.attendee(replica, 'ann');
    const ann = await world().seat(replica, attendee, 0);
    await ann.join();
    await world().control.endMeeting(primary);
    assert.equal(await ann.stopped(), 'MeetingEnded');
    assert.equal((await shown(world(), replica)).end_reason, 'primary-ended');
    await ann.close();
  });
});
