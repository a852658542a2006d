// Bad links: what attendees still hear, see, and are told, where packets get lost, late, or cut off.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertCalm, assertMixMinus, closeAll, World } from './support/meeting.mjs';
import { delay } from './support/wait.mjs';

/** One packet in eight: enough for browsers to try the link with padding, and far from silence. */
const LOST = 0.12;
/** Browsers notice their losses after a few seconds; the padding comes in waves from then on. */
const NOTICED_MS = 8_000;
const WATCHED = 60;

describe('a meeting over bad links', { concurrency: 1 }, () => {
  let world;
  let network;
  before(async () => {
    world = await World.open({ network: { seed: 7 } });
    network = world.network;
  });
  after(() => world?.close());

  const good = { up: {}, down: {} };

  /** A meeting over good links that have just become bad. */
  async function meetAndSpoil(count, conditions, prepare = async () => {}) {
    network.set(good);
    const { tabs } = await world.meet(count);
    for (const tab of tabs) {
      await tab.until('sound comes', async () => (await tab.ask('stats')).audio?.packets > 0);
    }
    await prepare(tabs);
    network.set(conditions);
    return tabs;
  }

  test('one lost packet in eight is no bad signal, and all are heard', async () => {
    network.set({ up: { loss: LOST }, down: {} });
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    assert.ok(network.count('up', 'passed') > 0, 'media goes through the network');
    await delay(NOTICED_MS);
    let full = 0;
    for (let look = 0; look < WATCHED; look += 1) {
      full += (await ann.state()).volumes[bob.id]?.signal === 1;
      await delay(200);
    }
    const lost = network.count('up', 'lost');
    assert.ok(lost > 100, `only ${lost} packets were lost`);
    assert.ok(full >= WATCHED * 0.9, `a full signal at ${full} of ${WATCHED} looks`);
    await assertMixMinus(tabs);
    await closeAll(tabs);
  });

  test('one lost packet in eight both ways: pictures are repaired and go on', async () => {
    const tabs = await meetAndSpoil(2, { up: { loss: LOST }, down: { loss: LOST } }, async ([ann, bob]) => {
      await ann.ask('startVideo');
      await bob.sees(ann);
    });
    const [ann, bob] = tabs;
    const tile = async () => (await bob.ask('stats')).video[0];
    const before = await tile();
    // A frame in eight would be lost, and all that follow it to the next keyframe, if nothing were sent again.
    const seconds = 10;
    await delay(seconds * 1000);
    const after = await tile();
    const frames = after.decoded - before.decoded;
    const report = `${frames} frames in ${seconds} s; ${JSON.stringify(after)}`;
    assert.ok(after.nacks > before.nacks && after.repaired > before.repaired, `bob asks again and gets it: ${report}`);
    assert.ok((await ann.ask('stats')).outbound[0].nacks > 0, 'the service asks ann again');
    assert.ok(frames >= 8 * seconds, report);
    await bob.sees(ann);
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('one packet in twenty lost on the way down is concealed, and no more', async () => {
    const tabs = await meetAndSpoil(2, { up: {}, down: { loss: 0.05 } });
    const [, bob] = tabs;
    const before = (await bob.ask('stats')).audio;
    await delay(10_000);
    const after = (await bob.ask('stats')).audio;
    const lost = (after.lost - before.lost) / (after.lost - before.lost + after.packets - before.packets);
    const concealed = (after.concealed - before.concealed) / (after.samples - before.samples);
    const report = `lost ${(lost * 100).toFixed(1)} %, concealed ${(concealed * 100).toFixed(1)} %`;
    assert.ok(lost > 0.02 && lost < 0.09, report);
    assert.ok(concealed < 2 * lost + 0.02, report);
    await assertMixMinus(tabs);
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('bursts, jitter and late packets leave a meeting that is heard and seen', async () => {
    const rough = { burst: { share: 0.1, length: 3 }, delay: 40, jitter: 40, late: { share: 0.02, by: 30 } };
    const tabs = await meetAndSpoil(2, { up: rough, down: rough }, async ([ann, bob]) => {
      await ann.ask('startVideo');
      await bob.sees(ann);
    });
    const [, bob] = tabs;
    await delay(5000);
    await bob.watches(30, 15_000);
    await assertMixMinus(tabs);
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('a link that is cut for three seconds comes back without a reconnect', async () => {
    const tabs = await meetAndSpoil(2, good, async ([ann, bob]) => {
      await ann.ask('startVideo');
      await bob.sees(ann);
    });
    const [ann, bob] = tabs;
    const link = await bob.ask('ufrag');
    network.set({ up: { cut: true }, down: { cut: true } }, link);
    await delay(1000);
    const cut = (await bob.ask('stats')).audio.packets;
    await delay(2000);
    assert.equal((await bob.ask('stats')).audio.packets, cut, 'nothing comes through');
    network.set(good, link);
    await bob.watches();
    const rate = await bob.audioRate();
    assert.ok(rate > 48, `${rate.toFixed(1)} packets a second`);
    await assertMixMinus(tabs);
    assert.equal((await ann.state()).presence[bob.id].present, true);
    await assertCalm(tabs);
    await closeAll(tabs);
  });
});
