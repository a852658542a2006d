// Video of the checklist in Chromium: many tiles, layers, priorities, codecs, and what a bad link makes of them.
import assert from 'node:assert/strict';
import fs from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { COLOURS } from './support/chromium.mjs';
import { Crowd } from './support/crowd.mjs';
import { acquainted, assertCalm, closeAll, NAMES, World } from './support/meeting.mjs';
import { Type } from './support/signaling.mjs';
import { delay, until } from './support/wait.mjs';

/** What one meeting and one client take (AWS's service quotas). */
const MOST_VIDEOS = 25;
/** A camera whose layers are worth having: the lowest of three is 320 wide. */
const HD = { width: 1280, height: 720 };
/** How long after the last change a client may still negotiate. */
const SETTLED_MS = 4000;

describe('video of the checklist', { concurrency: 1 }, () => {
  let world;
  before(async () => {
    world = await World.open({ wire: true, network: { seed: 3 } });
  });
  const crowds = [];
  after(async () => {
    crowds.forEach(crowd => crowd.kill());
    await world?.close();
  });

  const subscribes = tab => world.wire.said(tab.credentials, Type.SUBSCRIBE).length;
  const sending = async tab => (await tab.ask('stats')).outbound.filter(stream => stream.frames > 0);
  const width = async (tab, mid) => (await tab.ask('stats')).video.find(stream => mid === undefined || stream.mid === mid)?.width;

  /** The client has negotiated what it had to, and does it no more. */
  async function settled(tab) {
    let before;
    await tab.until('it negotiates no more', async () => {
      const now = subscribes(tab);
      const same = now === before;
      before = now;
      return same;
    }, { every: SETTLED_MS, within: 10 * SETTLED_MS });
    return before;
  }

  for (const what of ['camera', 'content']) {
    test(`AV1 as ${what} is seen, also by one who comes later`, async () => {
      const { meeting, tabs } = await world.prepare(2);
      const [ann, bob] = tabs;
      await ann.ask(what === 'camera' ? 'sendWith' : 'shareWith', 'video/AV1');
      await ann.join();
      await bob.join();
      const seen = what === 'camera' ? {} : { content: true, colour: 'yellow' };
      await (what === 'camera' ? ann.ask('startVideo') : ann.ask('share', `rgb(${COLOURS.yellow})`));
      await bob.sees(ann, seen);
      await bob.watches();
      const cleo = await world.seat(meeting, await world.control.attendee(meeting, 'cleo'), 2);
      await cleo.join();
      await cleo.sees(ann, seen);
      await cleo.watches();
      for (const tab of [bob, cleo]) {
        assert.deepEqual((await tab.ask('stats')).video.map(stream => stream.codec), ['video/AV1']);
      }
      await assertCalm([...tabs, cleo]);
      await closeAll([...tabs, cleo]);
    });
  }

  /** Publishers without a browser, each with a film of its own colour in turn. */
  async function gather(meeting, films, count) {
    const known = new Set((await publishersOf(meeting)).map(one => one.id));
    const files = films.flatMap(film => ['--video', film]);
    const counts = ['--attendees', `${count}`, '--cameras', `${count}`, '--talkers', '0', '--subscriptions', '0'];
    const crowd = new Crowd(world.service, meeting, [...counts, ...files]);
    crowds.push(crowd);
    const publishers = await until('the publishers are made', async () => {
      const made = (await publishersOf(meeting)).filter(one => !known.has(one.id));
      return made.length === count && made;
    }, { within: 20_000, explain: () => crowd.said.stderr });
    return { crowd, publishers };
  }

  async function publishersOf(meeting) {
    const { attendees } = await world.service.operator(`meetings/${meeting.MeetingId}/attendees`);
    const names = Object.keys(COLOURS);
    return attendees.flatMap(({ attendee_id: id, external_user_id: name }) => {
      const number = /^loadtest-\w+-(\d+)$/.exec(name)?.[1];
      return number ? [{ id, name, colour: names[number % names.length] }] : [];
    });
  }

  /** A film of each colour, as Chromium encodes it, in files. */
  async function shoot(tab) {
    const files = [];
    for (const [name, rgb] of Object.entries(COLOURS)) {
      const film = await tab.page.evaluate(colour => window.film(colour), `rgb(${rgb})`);
      const file = path.join(world.service.root, `${name}.ivf`);
      await fs.writeFile(file, Buffer.from(film, 'base64'));
      files.push(file);
    }
    return files;
  }

  test('rows 16 and 22: twenty-five tiles, and no room for a twenty-sixth', { timeout: 180_000 }, async () => {
    const { meeting, tabs } = await world.meet(1);
    const [ann] = tabs;
    const films = await shoot(ann);
    const most = await gather(meeting, films, MOST_VIDEOS - 1);
    for (const publisher of most.publishers) {
      await ann.sees(publisher, { within: 30_000 });
    }
    assert.equal((await ann.state()).availability.at(-1), true, 'one place is left');
    const last = await gather(meeting, films, 1);
    await ann.until('there is no room for its own video', async () => (await ann.state()).availability.at(-1) === false);
    for (const publisher of [...most.publishers, ...last.publishers]) {
      await ann.sees(publisher, { within: 30_000 });
    }
    // All of them move: every stream has been decoded further.
    const decoded = async () => new Map((await ann.ask('stats')).video.map(stream => [stream.mid, stream.decoded]));
    const before = await decoded();
    assert.equal(before.size, MOST_VIDEOS);
    await ann.until('every tile moves', async () => {
      const now = await decoded();
      return [...before].every(([mid, frames]) => now.get(mid) > frames);
    });

    await ann.ask('startVideo');
    await ann.until('the twenty-sixth is told', async () => (await ann.state()).videoRefusals > 0);
    assert.equal(await ann.ask('hasStartedLocalVideo'), false, 'its tile is gone');
    assert.equal((await ann.ask('tileList')).filter(tile => !tile.local).length, MOST_VIDEOS);
    assert.deepEqual(await sending(ann), []);

    // One goes: there is room again, for whoever takes it.
    const left = await last.crowd.leave();
    await ann.doesNotSee(last.publishers[0]);
    await ann.until('there is room', async () => (await ann.state()).availability.at(-1) === true);
    await ann.ask('startVideo');
    await ann.until('its own video goes', async () => (await sending(ann)).length > 0);
    await assertCalm(tabs);
    const stayed = await most.crowd.leave();
    for (const [report, count] of [[left, 1], [stayed, MOST_VIDEOS - 1]]) {
      assert.deepEqual([report.joined, report.faults, report.reconnects, report.cameras_refused], [count, {}, 0, 0]);
    }
    await closeAll(tabs);
  });

  test('row 17: a tile that is paused stops, and starts again with a keyframe', async () => {
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await ann.ask('startVideo');
    const tile = await bob.sees(ann);
    await bob.watches();
    const before = subscribes(bob);
    await bob.ask('pause', tile.id);
    await delay(1000);
    const bytes = async () => (await bob.ask('stats')).video.reduce((sum, stream) => sum + stream.bytes, 0);
    const paused = await bytes();
    await delay(2000);
    assert.ok((await bytes()) - paused < 2000, 'nothing is sent for a paused tile');
    const keyframes = async () => (await bob.ask('stats')).video.reduce((sum, stream) => sum + stream.keyframes, 0);
    const seen = await keyframes();
    await bob.ask('unpause', tile.id);
    await bob.watches();
    assert.ok((await keyframes()) > seen, 'it began with a keyframe');
    assert.equal(subscribes(bob), before, 'without a negotiation');
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('row 18: layers are sent when there are three, and chosen without a negotiation', async () => {
    const { meeting, tabs } = await world.meet(2, { simulcast: true, priorities: true, pictureSize: HD });
    const [ann, bob] = tabs;
    await ann.ask('startVideo');
    await bob.sees(ann, { within: 20_000 });
    await ann.until('one layer for two', async () => (await sending(ann)).length === 1);
    const cleo = await world.seat(meeting, await world.control.attendee(meeting, NAMES[2]), 2, { simulcast: true, priorities: true });
    await cleo.join();
    tabs.push(cleo);
    await acquainted(tabs);
    await ann.until('it is told of other layers', async () => (await ann.state()).layers.length > 0, { within: 20_000 });
    await ann.until('two layers go', async () => (await ann.ask('stats')).outbound.filter(one => one.active).length >= 2, { within: 20_000 });
    await cleo.sees(ann, { within: 20_000 });
    await cleo.ask('choose', [[ann.id, 1, 'High']]);
    const high = await cleo.until('the high layer', async () => {
      const now = await width(cleo);
      return now >= 640 && now;
    }, { within: 30_000 });
    const before = await settled(cleo);
    await cleo.ask('choose', [[ann.id, 1, 'Low']]);
    await cleo.until('a lower layer', async () => (await width(cleo)) < high, { within: 30_000 });
    await cleo.watches();
    await cleo.ask('choose', [[ann.id, 1, 'High']]);
    await cleo.until('the high layer again', async () => (await width(cleo)) >= high, { within: 30_000 });
    await cleo.watches();
    const told = world.wire.said(cleo.credentials, Type.REMOTE_VIDEO_UPDATE).length;
    assert.ok(told > 0, 'the wish goes by REMOTE_VIDEO_UPDATE');
    assert.equal(subscribes(cleo), before, 'and not by SUBSCRIBE');
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('row 21: a camera of several layers in one stream is seen whole', async () => {
    const { tabs } = await world.meet(3, { svc: true, pictureSize: HD });
    const [ann, bob, cleo] = tabs;
    await ann.ask('startVideo');
    await ann.until('it sends three layers in one', async () => {
      const out = await sending(ann);
      return out.length === 1 && out[0].codec === 'video/VP9' && out[0].mode === 'L3T3';
    }, { within: 20_000, explain: async () => JSON.stringify((await ann.ask('stats')).outbound) });
    for (const watcher of [bob, cleo]) {
      await watcher.sees(ann, { within: 20_000 });
      await watcher.watches();
      await watcher.until('the highest layer', async () => (await width(watcher)) === HD.width, { within: 20_000 });
    }
    // It is one stream still when somebody pauses and comes back, which needs a keyframe of all its layers.
    const [tile] = (await bob.ask('tileList')).filter(tile => tile.attendee === ann.id);
    await bob.ask('pause', tile.id);
    await delay(1000);
    await bob.ask('unpause', tile.id);
    await bob.watches();
    await cleo.watches();
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('row 20: one who decodes less changes what others send, once', async () => {
    const { meeting, tabs } = await world.prepare(2);
    const [ann, bob] = tabs;
    await ann.ask('sendWith', 'video/VP9', 'video/H264', 'video/VP8');
    for (const tab of tabs) {
      await tab.join();
    }
    await ann.ask('startVideo');
    await bob.sees(ann);
    const codec = async () => (await ann.ask('stats')).outbound.find(stream => stream.frames > 0 && stream.codec)?.codec;
    await ann.until('it sends VP9', async () => (await codec()) === 'video/VP9');
    const cleo = await world.seat(meeting, await world.control.attendee(meeting, 'cleo'), 2, { lacking: ['video/VP9', 'video/H264', 'video/AV1'] });
    await cleo.join();
    tabs.push(cleo);
    await ann.until('it sends VP8', async () => (await codec()) === 'video/VP8', { within: 15_000 });
    await cleo.sees(ann);
    await cleo.watches();
    await bob.watches();
    const before = await Promise.all(tabs.map(settled));
    // What comes and goes meanwhile is INDEX upon INDEX: none of them makes anybody negotiate about codecs again.
    for (let round = 0; round < 3; round += 1) {
      await cleo.ask('mute');
      await cleo.ask('unmute');
      await delay(1000);
    }
    assert.deepEqual(tabs.map(subscribes), before);
    await assertCalm(tabs);
    // And back, once it has gone.
    await closeAll([cleo]);
    await ann.until('it sends VP9 again', async () => (await codec()) === 'video/VP9', { within: 15_000 });
    await bob.watches();
    const again = await Promise.all([ann, bob].map(settled));
    assert.ok(again[0] <= before[0] + 2, `${again[0] - before[0]} negotiations for one change`);
    await closeAll([ann, bob]);
  });
});
