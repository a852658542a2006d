// Replicas: their attendees hear and see the primary meeting and nothing else, and are heard and seen by nobody, until one of
// them is promoted.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { HEARD_DB, World } from './support/meeting.mjs';
import { Operator } from './support/operator.mjs';

/** As quiet as this nothing is heard: the spectrum of an opened connection on which nobody speaks. */
const SILENT_DB = HEARD_DB - 30;

describe('replicas', { concurrency: 1 }, () => {
  let world;
  let primary;
  let replicas;
  /** Ann presents; bob and cleo are in the audience of a replica each. */
  let ann;
  let bob;
  let cleo;
  before(async () => {
    world = await World.open({ wire: true });
    ({ meeting: primary, tabs: [ann] } = await world.meet(1, { name: 'primary' }));
    replicas = [await world.control.replica(primary, 'first'), await world.control.replica(primary, 'second')];
    [bob, cleo] = await Promise.all([seated(replicas[0], 'bob', 1), seated(replicas[1], 'cleo', 2)]);
    await Promise.all([bob.join(), cleo.join()]);
  });
  after(() => world?.close());

  const seated = async (meeting, name, seat) => world.seat(meeting, await world.control.attendee(meeting, name), seat);
  /** The attendee of the primary meeting as whom this one acts, as other tabs see it. */
  const onStage = async (tab, name) => {
    const credentials = await world.control.attendee(primary, name);
    return { credentials, id: credentials.AttendeeId, name, colour: tab.colour, hertz: tab.hertz };
  };
  const hears = (tab, other, heard) =>
    tab.until(`${tab.name} ${heard ? 'hears' : 'does not hear'} ${other.name}`, async () => {
      const [level] = await tab.hears([other.hertz], 1);
      return heard ? level > HEARD_DB : level < SILENT_DB;
    }, { within: 15_000 });
  const present = async tab => Object.entries((await tab.state()).presence).filter(([, { present }]) => present).map(([id]) => id);
  const available = (tab, can) =>
    tab.until(`video is ${can ? '' : 'not '}available`, async () => (await tab.state()).availability.at(-1) === can);
  const demotions = (tab, statuses) =>
    tab.until(`was demoted: ${statuses}`, async () => (await tab.state()).demotions.length === statuses.length)
      .then(async () => assert.deepEqual((await tab.state()).demotions, statuses));
  const texts = async tab => (await tab.state()).messages.filter(message => !message.throttled).map(message => message.text);
  const gets = (tab, text) => tab.until(`gets "${text}"`, async () => (await texts(tab)).includes(text));

  test('row 35: the audience hears and sees the primary meeting, and nobody hears, sees or knows the audience', async () => {
    await ann.ask('startVideo');
    await ann.ask('share', 'rgb(220,220,30)');
    await Promise.all([bob, cleo].map(async tab => {
      await tab.knows(ann);
      await tab.sees(ann);
      await tab.sees(ann, { content: true, colour: 'yellow' });
      await hears(tab, ann, true);
    }));
    const [own, others, rate] = await Promise.all([ann.hears([bob, cleo], 1), bob.hears([cleo], 1), bob.audioRate(2)]);
    assert.ok([...own, ...others].every(level => level < SILENT_DB), `heard: ${own}, ${others}`);
    assert.ok(Math.abs(rate - 50) <= 2, `${rate.toFixed(1)} packets a second`);
    const known = [ann.id, `${ann.id}#content`].sort();
    for (const tab of [ann, bob, cleo]) {
      assert.deepEqual((await present(tab)).sort(), known);
    }
    for (const [meeting, connected] of [[primary, 1], [replicas[0], 1]]) {
      const shown = await new Operator(world.service).ask('meetings', 'show', meeting.MeetingId);
      assert.equal((shown.meeting ?? shown).connected, connected, JSON.stringify(shown));
    }
    await ann.ask('unshare');
    await bob.doesNotSee(ann, { content: true });
  });

  test('row 35: the audience sends neither video nor content nor messages, and gets those of the primary meeting', async () => {
    await available(bob, false);
    await bob.ask('startVideo');
    await bob.until('its own tile goes', async () => (await bob.state()).videoRefusals > 0);
    await bob.ask('stopVideo');
    await bob.ask('share', 'rgb(220,220,30)');
    await bob.until('its share stops', async () => (await bob.state()).contentStops === 1);
    await bob.ask('say', 'from the audience', 60_000);
    await ann.ask('say', 'from the stage', 60_000);
    await gets(bob, 'from the stage');
    await gets(cleo, 'from the stage');
    assert.deepEqual([await texts(ann), await texts(cleo)], [[], ['from the stage']]);
    assert.equal((await ann.ask('tileList')).filter(tile => !tile.local).length, 0);
  });

  test('row 35: who is promoted is heard, seen and read as an attendee of the primary meeting, and returns', async () => {
    const stage = await onStage(bob, 'bob-on-stage');
    assert.equal(await bob.ask('promote', stage.credentials), 'OK');
    for (const tab of [ann, bob, cleo]) {
      await tab.knows(stage);
    }
    await Promise.all([hears(ann, stage, true), hears(cleo, stage, true), hears(bob, ann, true)]);
    assert.ok((await bob.hears([bob], 1))[0] < SILENT_DB, 'it hears itself');
    await available(bob, true);
    await bob.ask('startVideo');
    await ann.sees(stage);
    await cleo.sees(stage);
    await bob.ask('say', 'a question');
    await gets(ann, 'a question');
    await gets(cleo, 'a question');
    const message = (await ann.state()).messages.at(-1);
    assert.deepEqual([message.senderAttendeeId, message.senderExternalUserId], [stage.id, 'bob-on-stage']);
    await bob.ask('demote');
    await Promise.all([ann, cleo].map(async tab => {
      await tab.doesNotSee(stage);
      await tab.until('is gone', async () => !(await present(tab)).includes(stage.id));
      await hears(tab, stage, false);
    }));
    await demotions(bob, ['OK']);
    await available(bob, false);
    await bob.ask('stopVideo');
    await bob.sees(ann);
    await hears(bob, ann, true);
  });

  test('row 35: a promotion is refused for a token of another meeting', async () => {
    const elsewhere = await world.control.meeting('elsewhere');
    const stranger = await world.control.attendee(elsewhere, 'bob');
    assert.equal(await bob.ask('promote', stranger), 'AudioAuthenticationRejected');
    assert.equal(await ann.ask('promote', await world.control.attendee(primary, 'ann-again')), 'SignalingBadRequest');
    assert.deepEqual((await present(cleo)), [ann.id]);
  });

  test('row 35: the deletion of the primary attendee and a lost connection demote', async () => {
    const deleted = await onStage(bob, 'to-be-deleted');
    assert.equal(await bob.ask('promote', deleted.credentials), 'OK');
    await ann.knows(deleted);
    await world.control.removeAttendee(primary, deleted.credentials);
    await demotions(bob, ['OK', 'AudioVideoWasRemovedFromPrimaryMeeting']);
    await ann.until('it is gone', async () => !(await present(ann)).includes(deleted.id));
    const cut = await onStage(bob, 'to-be-cut');
    assert.equal(await bob.ask('promote', cut.credentials), 'OK');
    await ann.knows(cut);
    world.wire.cut(bob.credentials);
    await demotions(bob, ['OK', 'AudioVideoWasRemovedFromPrimaryMeeting', 'AudioVideoDisconnectedWhilePromoted']);
    await ann.until('it is gone', async () => !(await present(ann)).includes(cut.id));
    const metrics = await (await fetch(`${world.service.endpoint}/metrics`)).text();
    for (const kind of ['promoted', 'demoted']) {
      assert.match(metrics, new RegExp(`campanile_attendee_facts_total\\{kind="${kind}"\\} 3`));
    }
    await bob.until('is back', async () => (await bob.state()).starts === 2, { within: 15_000 });
    await hears(bob, ann, true);
    assert.ok((await ann.hears([bob], 1))[0] < SILENT_DB, 'bob is heard from the audience');
  });

  test('replicas: an attendee that may not see or hear does not, and a replica cannot be moderated', async () => {
    await world.control.allow(replicas[1], cleo.credentials, { Audio: 'Send', Video: 'Send', Content: 'Send' });
    await cleo.doesNotSee(ann);
    await hears(cleo, ann, false);
    await world.control.allow(replicas[1], cleo.credentials);
    await cleo.sees(ann);
    await hears(cleo, ann, true);
    await assert.rejects(new Operator(world.service).attendee('mute', replicas[1], cleo), /is a replica/);
  });

  test('replicas: one that is deleted ends for its audience alone, the primary meeting for all', async () => {
    await world.control.endMeeting(replicas[0]);
    assert.equal(await bob.stopped(), 'MeetingEnded');
    await hears(cleo, ann, true);
    await world.control.endMeeting(primary);
    assert.deepEqual(await Promise.all([ann.stopped(), cleo.stopped()]), ['MeetingEnded', 'MeetingEnded']);
  });
});
