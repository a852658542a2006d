// Bad links: what attendees still hear, and are told, of one whose packets get lost.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { LossyNetwork } from './support/lossy.mjs';
import { assertMixMinus, closeAll, World } from './support/meeting.mjs';
import { freePorts } from './support/service.mjs';
import { delay } from './support/wait.mjs';

/** One packet in eight: enough for browsers to try the link with padding, and far from silence. */
const LOST = 0.12;
/** Browsers notice their losses after a few seconds; the padding comes in waves from then on. */
const NOTICED_MS = 8_000;
const WATCHED = 60;

describe('a meeting over bad links', { concurrency: 1 }, () => {
  let network;
  let world;
  before(async () => {
    const ports = await freePorts();
    network = await LossyNetwork.open({ seed: 7, upstream: LOST });
    network.leadTo(ports.media);
    world = await World.open({ ...ports, env: { CAMPANILE_MEDIA__PUBLIC_ADDRESS: `127.0.0.1:${network.port}` } });
  });
  after(async () => {
    await world?.close();
    network?.close();
  });

  test('one lost packet in eight is no bad signal, and all are heard', async () => {
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    assert.ok(network.passed > 0, 'media goes through the network');
    await delay(NOTICED_MS);
    let full = 0;
    for (let look = 0; look < WATCHED; look += 1) {
      full += (await ann.state()).volumes[bob.id]?.signal === 1;
      await delay(200);
    }
    assert.ok(network.lost > 100, `only ${network.lost} packets were lost`);
    assert.ok(full >= WATCHED * 0.9, `a full signal at ${full} of ${WATCHED} looks`);
    await assertMixMinus(tabs);
    await closeAll(tabs);
  });
});
