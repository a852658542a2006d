// What an application allows its attendees, by the API: kept to at once, without their clients knowing of it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { closeAll, HEARD_DB, World } from './support/meeting.mjs';
import { delay } from './support/wait.mjs';

/** As quiet as this nothing is heard: the spectrum of an opened connection on which nobody speaks. */
const SILENT_DB = HEARD_DB - 30;

describe('capabilities', { concurrency: 1 }, () => {
  let world;
  before(async () => {
    world = await World.open();
  });
  after(() => world?.close());

  const hears = (tab, other, heard) =>
    tab.until(`${tab.name} ${heard ? 'hears' : 'does not hear'} ${other.name}`, async () => {
      const [level] = await tab.hears([other.hertz]);
      return heard ? level > HEARD_DB : level < SILENT_DB;
    }, { within: 15_000 });
  const available = (tab, can) =>
    tab.until(`video is ${can ? '' : 'not '}available`, async () => (await tab.state()).availability.at(-1) === can);

  test('row 34: who may not be heard is heard by nobody, and shown muted', async () => {
    const { meeting, tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await hears(bob, ann, true);
    await world.control.allow(meeting, ann.credentials, { Audio: 'Receive' });
    await bob.until('ann is shown muted', async () => (await bob.state()).volumes[ann.id].muted === true);
    await hears(bob, ann, false);
    await hears(ann, bob, true);
    // It unmutes itself in vain.
    await ann.ask('mute');
    await ann.ask('unmute');
    await delay(1000);
    assert.equal((await bob.state()).volumes[ann.id].muted, true);
    await world.control.allow(meeting, ann.credentials);
    await bob.until('ann is not shown muted', async () => (await bob.state()).volumes[ann.id].muted === false);
    await hears(bob, ann, true);
    await closeAll(tabs);
  });

  test('row 34: who may not hear hears nobody, and is not told of a bad connection', async () => {
    const { meeting, tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await hears(ann, bob, true);
    await world.control.allow(meeting, ann.credentials, { Audio: 'Send' });
    await hears(ann, bob, false);
    await hears(bob, ann, true);
    const rate = await ann.audioRate();
    assert.ok(Math.abs(rate - 50) <= 2, `${rate.toFixed(1)} packets a second`);
    assert.equal((await ann.state()).poor, 0);
    await world.control.allow(meeting, ann.credentials);
    await hears(ann, bob, true);
    await closeAll(tabs);
  });

  test('row 34: a camera is taken away and given back', async () => {
    const { meeting, tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await ann.ask('startVideo');
    await bob.sees(ann);
    await world.control.allow(meeting, ann.credentials, { Video: 'Receive' });
    await bob.doesNotSee(ann);
    await available(ann, false);
    await ann.until('its own tile goes', async () => (await ann.state()).videoRefusals > 0);
    await bob.ask('startVideo');
    await ann.sees(bob);
    await world.control.allow(meeting, ann.credentials);
    await available(ann, true);
    await ann.ask('stopVideo');
    await ann.ask('startVideo');
    await bob.sees(ann);
    await closeAll(tabs);
  });

  test('row 34: who may not see sees neither cameras nor shares, and again', async () => {
    const { meeting, tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await ann.ask('startVideo');
    await ann.ask('share', 'rgb(220,220,30)');
    await bob.sees(ann);
    await bob.sees(ann, { content: true, colour: 'yellow' });
    await world.control.allow(meeting, bob.credentials, { Content: 'None' });
    await bob.doesNotSee(ann, { content: true });
    await bob.sees(ann);
    await world.control.allow(meeting, bob.credentials, { Video: 'Send', Content: 'None' });
    await bob.doesNotSee(ann);
    await world.control.allow(meeting, bob.credentials);
    await bob.sees(ann);
    await bob.sees(ann, { content: true, colour: 'yellow' });
    await closeAll(tabs);
  });

  test('row 34: a share is ended, and refused', async () => {
    const { meeting, tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await ann.ask('share', 'rgb(220,220,30)');
    await bob.sees(ann, { content: true, colour: 'yellow' });
    await world.control.allow(meeting, ann.credentials, { Content: 'Receive' });
    await bob.doesNotSee(ann, { content: true });
    await ann.until('its share has stopped', async () => (await ann.state()).contentStops === 1);
    await ann.ask('share', 'rgb(220,220,30)');
    await ann.until('and stops again', async () => (await ann.state()).contentStops === 2, { within: 15_000 });
    assert.equal((await bob.ask('tileList')).some(tile => tile.content), false);
    await closeAll(tabs);
  });
});
