// What most browser tests start from: a service, a browser, and a meeting with a few attendees in it.
import assert from 'node:assert/strict';

import { Stage } from './chromium.mjs';
import { Control } from './control.mjs';
import { LossyNetwork } from './lossy.mjs';
import { freePorts, Service } from './service.mjs';
import { Wire } from './wire.mjs';

export const NAMES = ['ann', 'bob', 'cleo'];

const CAMERA_CYCLES = 20;

export class World {
  /** `network`: the conditions of a bad one that media goes through; `wire`: signaling goes through one. */
  static async open({ network, wire = false, env = {}, ...options } = {}) {
    const world = new World();
    // Fixed ports, so that a restarted service is found where it was.
    const ports = await freePorts();
    if (network) {
      world.network = await LossyNetwork.open(network);
      world.network.leadTo(ports.media);
      env = { ...env, CAMPANILE_MEDIA__PUBLIC_ADDRESS: world.network.address };
    }
    world.service = await new Service({ ...ports, env, ...options }).start();
    world.control = new Control(world.service);
    world.wire = wire ? await Wire.open() : null;
    world.stage = await Stage.open();
    return world;
  }

  async close() {
    await this.stage.close();
    this.wire?.close();
    this.network?.close();
    await this.service.stop();
  }

  /** Tabs for the first `count` seats of a new meeting, prepared and not started. */
  async prepare(count, options = {}) {
    const meeting = await this.control.meeting(options.name);
    const tabs = [];
    for (let seat = 0; seat < count; seat += 1) {
      const attendee = await this.control.attendee(meeting, NAMES[seat]);
      tabs.push(await this.seat(meeting, attendee, seat, options));
    }
    return { meeting, tabs };
  }

  async seat(meeting, attendee, seat, { stage = this.stage, ...options } = {}) {
    const tab = await stage.attendee(this.wire?.lead(meeting) ?? meeting, attendee, seat, options);
    tab.credentials = attendee;
    return tab;
  }

  /** A new meeting with `count` attendees who have joined and know of each other. */
  async meet(count, options) {
    const { meeting, tabs } = await this.prepare(count, options);
    for (const tab of tabs) {
      await tab.join();
    }
    await acquainted(tabs);
    return { meeting, tabs };
  }
}

/** Everyone knows that everyone (also themselves) is there. */
export async function acquainted(tabs) {
  for (const tab of tabs) {
    for (const other of tabs) {
      await tab.knows(other);
    }
  }
}

/** Row 15 of the checklist: one's camera goes on and off, and the other sees it come and go each time. */
export async function turnOnAndOff(publisher, watcher) {
  for (let cycle = 1; cycle <= CAMERA_CYCLES; cycle += 1) {
    await publisher.ask('startVideo');
    await watcher.sees(publisher);
    await publisher.ask('stopVideo');
    await watcher.doesNotSee(publisher);
  }
}

/** Nobody was thrown out, reconnected, or met an error in the page. */
export async function assertCalm(tabs) {
  for (const tab of tabs) {
    const state = await tab.state();
    assert.equal(state.reconnects, 0, `${tab.name} reconnected\n${await tab.explain()}`);
    assert.deepEqual(state.stops, [], `${tab.name} stopped\n${await tab.explain()}`);
    assert.equal(state.starts, 1, `${tab.name} started ${state.starts} times`);
    assert.deepEqual(tab.faults, [], `${tab.name}: errors in the page`);
  }
}

/** Everyone leaves in good order: a tab that is closed too early drops, and its seat is held for a while. */
export async function closeAll(tabs) {
  await Promise.all(
    tabs.filter(tab => !tab.page.isClosed()).map(async tab => {
      await tab.ask('stop');
      await tab.stopped();
      await tab.close();
    }),
  );
}

// How far an attendee's own tone must stay below the quietest other one in what it hears.
export const OWN_VOICE_DOWN_DB = 40;
// Where a tone counts as heard: a fifth of full scale is near -20 dB in this measure; encoders take a little.
export const HEARD_DB = -45;

/** Each hears all the others and not itself. */
export async function assertMixMinus(tabs) {
  const heard = await Promise.all(tabs.map(tab => tab.hears(tabs)));
  for (const [at, tab] of tabs.entries()) {
    const others = heard[at].filter((_, other) => other !== at);
    const quietest = Math.min(...others);
    const report = `${tab.name} hears ${tabs.map((other, n) => `${other.name} ${heard[at][n].toFixed(1)} dB`).join(', ')}`;
    assert.ok(quietest > HEARD_DB, report);
    assert.ok(heard[at][at] < quietest - OWN_VOICE_DOWN_DB, `${report}: the own tone comes back`);
  }
  return heard;
}
