// How sessions and meetings end, and what a dead token opens: nothing.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertCalm, assertMixMinus, closeAll, World } from './support/meeting.mjs';
import { delay } from './support/wait.mjs';

// AWS drops an attendee after 10 to 15 s without packets; until then it may reconnect and nobody notices.
const DROP_WITHIN_MS = 25_000;

describe('endings in Chromium', { concurrency: 1 }, () => {
  let world;
  before(async () => {
    world = await World.open();
  });
  after(() => world?.close());

  const presenceOf = async (tab, other) => (await tab.state()).presence[other.id];

  test('leaving is leaving, not dropping', async () => {
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await ann.ask('startVideo');
    await bob.sees(ann);
    const begun = performance.now();
    await ann.ask('stop');
    assert.equal(await ann.stopped(), 'Left');
    assert.ok(performance.now() - begun < 3000, 'the leave was acknowledged, not timed out');
    await bob.until('ann has left', async () => (await presenceOf(bob, ann)).present === false, { within: 3000 });
    assert.equal((await presenceOf(bob, ann)).dropped, false);
    await bob.doesNotSee(ann);
    await assertCalm([bob]);
    await closeAll([bob]);
    await ann.close();
  });

  test('one who left may come back', async () => {
    const { meeting, tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await ann.ask('stop');
    await ann.stopped();
    await bob.until('ann has left', async () => (await presenceOf(bob, ann)).present === false);
    await ann.close();
    const again = await world.seat(meeting, ann.credentials, 0);
    await again.join();
    await bob.until('ann is back', async () => (await presenceOf(bob, ann)).present === true);
    await assertMixMinus([again, bob]);
    await assertCalm([again, bob]);
    await closeAll([again, bob]);
  });

  test('a killed tab is a drop, after a grace', async () => {
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await ann.ask('startVideo');
    await bob.sees(ann);
    await ann.close();
    const begun = performance.now();
    await delay(3000);
    assert.equal((await presenceOf(bob, ann)).present, true, 'a short silence is no leave');
    await bob.until('ann has dropped', async () => (await presenceOf(bob, ann)).present === false, { within: DROP_WITHIN_MS });
    assert.equal((await presenceOf(bob, ann)).dropped, true);
    assert.ok(performance.now() - begun > 5000, 'held for a while');
    await bob.doesNotSee(ann);
    await assertCalm([bob]);
    await closeAll([bob]);
  });

  test('row 27: DeleteMeeting ends it for everyone within two seconds', async () => {
    const { meeting, tabs } = await world.meet(2);
    await tabs[0].ask('share', 'rgb(220,220,30)');
    await tabs[1].sees(tabs[0], { content: true, colour: 'yellow' });
    await world.control.endMeeting(meeting);
    await Promise.all(tabs.map(async tab => assert.equal(await tab.stopped(2000), 'MeetingEnded')));
    await delay(1000);
    for (const tab of tabs) {
      assert.equal((await tab.state()).reconnects, 0);
      await tab.close();
    }
  });

  test('row 28: DeleteAttendee removes that one', async () => {
    const { meeting, tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await ann.ask('share', 'rgb(220,220,30)');
    await bob.sees(ann, { content: true, colour: 'yellow' });
    await world.control.removeAttendee(meeting, ann.credentials);
    assert.equal(await ann.stopped(5000), 'AudioAttendeeRemoved');
    await bob.until('ann is gone', async () => (await presenceOf(bob, ann)).present === false);
    await bob.doesNotSee(ann, { content: true });
    await assertCalm([bob]);
    await closeAll([bob]);
    await ann.close();
  });

  test('row 28: the same credentials in another tab take over', async () => {
    const { meeting, tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    const other = await world.seat(meeting, ann.credentials, 0);
    await other.join();
    assert.equal(await ann.stopped(), 'AudioJoinedFromAnotherDevice');
    await other.knows(bob);
    await delay(1000);
    assert.equal((await presenceOf(bob, ann)).present, true, 'the attendee stayed, only the device changed');
    await assertMixMinus([other, bob]);
    await assertCalm([other, bob]);
    await closeAll([other, bob]);
    await ann.close();
  });

  test('row 28: one for whom there is no room is told that the meeting is full', async () => {
    const { meeting, tabs } = await world.prepare(3);
    // As many may be made as may be here, so that it takes an operator who lowers the limit.
    await world.service.stop();
    world.service.env.CAMPANILE_LIMITS__ATTENDEES = '2';
    await world.service.start();
    try {
      const [ann, bob, cleo] = tabs;
      await ann.join();
      await bob.join();
      await cleo.start();
      assert.equal(await cleo.stopped(), 'AudioCallAtCapacity');
      assert.deepEqual((await cleo.state()).presence, {});
      await ann.ask('stop');
      await ann.stopped();
      const again = await world.seat(meeting, cleo.credentials, 2);
      await again.join();
      await assertCalm([bob, again]);
      await closeAll([bob, again]);
      await Promise.all([ann.close(), cleo.close()]);
    } finally {
      delete world.service.env.CAMPANILE_LIMITS__ATTENDEES;
      await world.service.stop();
      await world.service.start();
    }
  });

  /** A tab with these credentials must not get in, and must be told why by this status. */
  async function refused(meeting, attendee, statuses) {
    const tab = await world.seat(meeting, attendee, 0);
    await tab.start();
    const status = await tab.stopped(15_000);
    const state = await tab.state();
    assert.ok(statuses.includes(status), `${status} is not one of ${statuses}`);
    assert.equal(state.starts, 0, 'nothing was opened');
    assert.deepEqual(state.presence, {});
    await tab.close();
  }

  test('row 29: the token of a deleted attendee opens nothing: SignalingBadRequest', async () => {
    const meeting = await world.control.meeting();
    const attendee = await world.control.attendee(meeting, 'ann');
    await world.control.removeAttendee(meeting, attendee);
    await refused(meeting, attendee, ['SignalingBadRequest']);
    const again = await world.control.attendee(meeting, 'ann');
    await refused(meeting, attendee, ['SignalingBadRequest']);
    const tab = await world.seat(meeting, again, 0);
    await tab.join();
    await closeAll([tab]);
  });

  test('row 29: the token of an ended meeting opens nothing: MeetingEnded', async () => {
    const meeting = await world.control.meeting();
    const attendee = await world.control.attendee(meeting, 'ann');
    await world.control.endMeeting(meeting);
    await refused(meeting, attendee, ['MeetingEnded']);
  });

  test('row 29: a token that was made up opens nothing', async () => {
    const meeting = await world.control.meeting();
    const attendee = await world.control.attendee(meeting, 'ann');
    const last = attendee.JoinToken.at(-1);
    const forged = [
      'garbage',
      'a'.repeat(attendee.JoinToken.length),
      attendee.JoinToken.slice(0, -1) + (last === 'a' ? 'q' : 'a'),
      attendee.JoinToken.slice(0, -8),
      `${attendee.JoinToken}#other`,
    ];
    for (const JoinToken of forged) {
      await refused(meeting, { ...attendee, JoinToken }, ['SignalingBadRequest', 'AudioAuthenticationRejected']);
    }
  });

  test('row 29: the token of one meeting does not open another', async () => {
    const [first, second] = [await world.control.meeting('first'), await world.control.meeting('second')];
    const attendee = await world.control.attendee(first, 'ann');
    await refused(second, attendee, ['SignalingBadRequest', 'AudioAuthenticationRejected', 'MeetingEnded']);
  });

  test('row 29: one who finds no service tries again until there is one', async () => {
    const { tabs } = await world.prepare(1);
    const [ann] = tabs;
    await world.service.stop();
    await ann.start();
    await delay(3000);
    const { starts, stops } = await ann.state();
    assert.deepEqual({ starts, stops }, { starts: 0, stops: [] }, 'it has not given up');
    await world.service.start();
    await ann.until('it is in', async () => (await ann.state()).starts === 1, { within: 30_000 });
    assert.deepEqual((await ann.state()).stops, []);
    await closeAll(tabs);
  });

  test('clients come back when the service does', async () => {
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await bob.ask('startVideo');
    await ann.sees(bob);
    await world.service.stop();
    for (const tab of tabs) {
      await tab.until('it is told to reconnect', async () => (await tab.state()).reconnects > 0, { within: 5000 });
    }
    await world.service.start();
    for (const tab of tabs) {
      await tab.until('it is back', async () => (await tab.state()).starts === 2, { within: 30_000 });
      assert.deepEqual((await tab.state()).stops, []);
    }
    await ann.knows(bob);
    await bob.knows(ann);
    await ann.sees(bob, { within: 15_000 });
    await ann.watches();
    await assertMixMinus(tabs);
    await closeAll(tabs);
  });

  test('clients come back after the service was killed', async () => {
    const { tabs } = await world.meet(2);
    await world.service.kill();
    await world.service.start();
    for (const tab of tabs) {
      await tab.until('it is back', async () => (await tab.state()).starts === 2, { within: 60_000 });
      assert.deepEqual((await tab.state()).stops, []);
    }
    await assertMixMinus(tabs);
    await closeAll(tabs);
  });
});
