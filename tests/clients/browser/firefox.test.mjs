// The rows of the checklist that every browser must show, in Firefox; and Firefox and Chromium in one meeting. Its H.264
// comes as a plugin from elsewhere, so VP8 and VP9 are what it sends here.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Stage } from './support/chromium.mjs';
import { launchFirefox, reachableAddress } from './support/firefox.mjs';
import { acquainted, assertCalm, assertMixMinus, closeAll, NAMES, turnOnAndOff, World } from './support/meeting.mjs';

describe('Firefox', { concurrency: 1 }, () => {
  let world;
  let firefox;
  before(async () => {
    world = await World.open({ network: { host: reachableAddress() } });
    firefox = await Stage.open({ launch: launchFirefox });
  });
  after(async () => {
    await firefox?.close();
    await world?.close();
  });

  /** A meeting of attendees in these browsers who have joined and know of each other. */
  async function meet(...stages) {
    const meeting = await world.control.meeting();
    const tabs = [];
    for (const [seat, stage] of stages.entries()) {
      const tab = await world.seat(meeting, await world.control.attendee(meeting, NAMES[seat]), seat, { stage });
      tabs.push(await tab.join());
    }
    await acquainted(tabs);
    return tabs;
  }

  const sending = async tab => (await tab.ask('stats')).outbound.find(stream => stream.frames > 0);

  test('rows 2 and 5: it joins, hears the other and not itself', async () => {
    const tabs = await meet(firefox, firefox);
    for (const tab of tabs) {
      await tab.until('the SDK says so', async () => (await tab.state()).sdkEvents.includes('meetingStartSucceeded'));
    }
    await assertMixMinus(tabs);
    for (const rate of await Promise.all(tabs.map(tab => tab.audioRate()))) {
      assert.ok(Math.abs(rate - 50) <= 1.5, `${rate.toFixed(1)} packets a second`);
    }
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('rows 13 and 14: its camera is seen, and it sees one', async () => {
    const tabs = await meet(firefox, firefox);
    const [ann, bob] = tabs;
    await ann.ask('startVideo');
    const local = await ann.until('its own tile', async () => (await ann.ask('tileList')).find(tile => tile.local && tile.attendee));
    assert.equal(local.attendee, ann.id);
    await bob.sees(ann);
    await bob.watches();
    assert.ok((await sending(ann)).packets > 0);
    await bob.until('metrics of the tile', async () => {
      const { video } = await bob.ask('look', 'metrics');
      return Object.values(video[ann.id] ?? {})[0]?.videoDownstreamBitrate > 0;
    });
    await bob.ask('startVideo');
    await ann.sees(bob);
    await ann.watches();
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('row 15: a camera goes on and off twenty times', async () => {
    const tabs = await meet(firefox, firefox);
    const [ann, bob] = tabs;
    await turnOnAndOff(ann, bob);
    await assertMixMinus(tabs);
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  for (const codec of ['video/VP8', 'video/VP9']) {
    test(`Firefox and Chromium hear and see each other in ${codec}`, async () => {
      const meeting = await world.control.meeting();
      const tabs = [];
      for (const [seat, stage] of [firefox, world.stage].entries()) {
        const tab = await world.seat(meeting, await world.control.attendee(meeting, NAMES[seat]), seat, { stage });
        await tab.ask('sendWith', codec);
        tabs.push(await tab.join());
      }
      await acquainted(tabs);
      const [ann, bob] = tabs;
      await ann.ask('startVideo');
      await bob.sees(ann);
      await bob.watches();
      await bob.ask('startVideo');
      await ann.sees(bob);
      await ann.watches();
      assert.deepEqual([(await sending(ann)).codec, (await sending(bob)).codec], [codec, codec]);
      await bob.ask('share', 'rgb(220,220,30)');
      await ann.sees(bob, { content: true, colour: 'yellow' });
      await assertMixMinus(tabs);
      await assertCalm(tabs);
      await closeAll(tabs);
    });
  }
});
