// Moderation by ear: what operators decide is what the others hear, see and are shown, whatever a client says of itself.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { acquainted, assertCalm, assertMixMinus, closeAll, HEARD_DB, World } from './support/meeting.mjs';
import { Operator } from './support/operator.mjs';
import { delay } from './support/wait.mjs';

/** A tone that is not there is far below one that is. */
const UNHEARD_DB = HEARD_DB - 20;

/** Each hears exactly these: rows are listeners, columns voices. */
async function assertHears(tabs, expected) {
  // A decision is heard after 0.2 s at most, and then the browsers play what they have.
  await delay(700);
  const heard = await Promise.all(tabs.map(tab => tab.hears(tabs)));
  for (const [at, tab] of tabs.entries()) {
    const report = `${tab.name} hears ${tabs.map((other, n) => `${other.name} ${heard[at][n].toFixed(1)} dB`).join(', ')}`;
    for (const [voice, level] of heard[at].entries()) {
      const isHeard = expected[at].includes(tabs[voice]);
      assert.ok(isHeard ? level > HEARD_DB : level < UNHEARD_DB, `${report}: ${tabs[voice].name} should ${isHeard ? '' : 'not '}be heard`);
    }
  }
}

describe('moderation', { concurrency: 1 }, () => {
  let world;
  let operator;
  before(async () => {
    world = await World.open();
    operator = new Operator(world.service);
  });
  after(() => world?.close());

  test('who is muted for all is heard by nobody, is shown muted, and cannot undo it', async () => {
    const { meeting, tabs } = await world.meet(3);
    const [ann, bob, cleo] = tabs;
    const muted = async (by, value) =>
      by.until(`ann is ${value ? '' : 'not '}muted`, async () => (await by.state()).volumes[ann.id]?.muted === value);
    await operator.attendee('mute', meeting, ann);
    await muted(bob, true);
    await muted(cleo, true);
    await assertHears(tabs, [[bob, cleo], [cleo], [bob]]);
    // Its client takes itself for unmuted, and says so.
    await ann.ask('mute');
    await ann.ask('unmute');
    await assertHears(tabs, [[bob, cleo], [cleo], [bob]]);
    assert.equal((await bob.state()).volumes[ann.id].muted, true);
    const listed = await operator.ask('attendees', 'list', meeting.MeetingId);
    assert.deepEqual(listed.attendees.filter(one => one.muted).map(one => one.attendee_id), [ann.id]);
    await operator.attendee('unmute', meeting, ann);
    await muted(bob, false);
    await assertMixMinus(tabs);
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('a mute for all outlives the attendee\'s connection', async () => {
    const { meeting, tabs } = await world.prepare(2);
    const [ann, bob] = tabs;
    await operator.attendee('mute', meeting, ann);
    await ann.join();
    await bob.join();
    await acquainted(tabs);
    await bob.until('ann is muted', async () => (await bob.state()).volumes[ann.id]?.muted === true);
    await assertHears(tabs, [[bob], []]);
    await ann.ask('stop');
    await ann.stopped();
    await bob.until('ann has left', async () => (await bob.state()).presence[ann.id]?.present === false);
    await ann.close();
    const again = await world.seat(meeting, ann.credentials, 0);
    await again.join();
    await acquainted([again, bob]);
    await bob.until('ann is muted', async () => (await bob.state()).volumes[ann.id]?.muted === true);
    await assertHears([again, bob], [[bob], []]);
    await closeAll([again, bob]);
  });

  test('a whisper is heard by one alone', async () => {
    const { meeting, tabs } = await world.meet(3);
    const [ann, bob, cleo] = tabs;
    // Cleo, the coach, whispers to bob; ann, the customer, hears nothing of it.
    await operator.mixRules(meeting, { heardBy: [[cleo, [bob]]] });
    await assertHears(tabs, [[bob], [ann, cleo], [ann, bob]]);
    await operator.mixRules(meeting, {});
    await assertMixMinus(tabs);
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('who listens to an interpreter hears it alone', async () => {
    const { meeting, tabs } = await world.meet(3);
    const [ann, bob, cleo] = tabs;
    // Cleo interprets ann for bob.
    await operator.mixRules(meeting, { hears: [[bob, [cleo]], [ann, [bob]]] });
    await assertHears(tabs, [[bob], [cleo], [ann, bob]]);
    // Who comes back hears no more than before.
    await bob.ask('stop');
    await bob.stopped();
    await bob.close();
    const again = await world.seat(meeting, bob.credentials, 1);
    await again.join();
    await acquainted([ann, again, cleo]);
    await assertHears([ann, again, cleo], [[again], [cleo], [ann, again]]);
    await closeAll([ann, again, cleo]);
  });

  test('who waits is alone, sees nothing and is not seen, until it is let in', async () => {
    const { meeting, tabs } = await world.meet(3);
    const [ann, bob, cleo] = tabs;
    await ann.ask('startVideo');
    await bob.ask('startVideo');
    await ann.sees(bob);
    await bob.sees(ann);
    await operator.attendee('hold', meeting, ann);
    const present = async (by, of, value) =>
      by.until(`${of.name} is ${value ? '' : 'not '}present`, async () => (await by.state()).presence[of.id]?.present === value);
    await present(bob, ann, false);
    await present(cleo, ann, false);
    await present(ann, bob, false);
    await ann.doesNotSee(bob);
    await bob.doesNotSee(ann);
    await assertHears(tabs, [[], [cleo], [bob]]);
    await bob.ask('say', 'without ann');
    await ann.ask('say', 'from outside');
    await cleo.until('a message came', async () => (await cleo.state()).messages.length > 0);
    assert.deepEqual((await cleo.state()).messages.map(message => message.text), ['without ann']);
    assert.equal((await ann.state()).messages.filter(message => message.text === 'without ann').length, 0);
    await operator.attendee('admit', meeting, ann);
    await acquainted(tabs);
    await ann.sees(bob);
    await bob.sees(ann);
    await assertMixMinus(tabs);
    await assertCalm(tabs);
    await closeAll(tabs);
  });
});

describe('limits that are set', { concurrency: 1 }, () => {
  let world;
  before(async () => {
    world = await World.open({ env: { CAMPANILE_LIMITS__TILES: '1', CAMPANILE_LIMITS__ATTENDEES: '3' } });
  });
  after(() => world?.close());

  test('an attendee receives no more tiles than are set', async () => {
    const { meeting, tabs } = await world.meet(3);
    const [ann, bob, cleo] = tabs;
    await ann.ask('startVideo');
    await bob.ask('startVideo');
    await cleo.until('one of two is seen', async () => (await cleo.ask('tileList')).filter(tile => tile.width > 0).length === 1);
    const stats = await cleo.ask('stats');
    assert.equal(stats.video.filter(video => video.decoded > 0).length, 1, JSON.stringify(stats.video));
    await assert.rejects(world.control.attendee(meeting, 'dora'), { name: 'LimitExceededException' });
    await closeAll(tabs);
  });
});
