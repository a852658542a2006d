// The rows of what a server must do for the SDK, by their numbers, with the unmodified SDK in Chromium. Rows that other
// files show too are here in short, so that one file tells of all.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { assertCalm, assertMixMinus, closeAll, turnOnAndOff, World } from './support/meeting.mjs';
import { Type } from './support/signaling.mjs';
import { until } from './support/wait.mjs';

const ALONE_MS = 60_000;
// AWS drops an attendee after 10 to 15 s without packets.
const DROP_WITHIN_MS = 25_000;
// Four pings, ten seconds apart, without an answer; the rest is for a busy machine and the new connection.
const MISSED_PONGS_WITHIN_MS = 70_000;

/** The outbound stream that sends. */
const sending = async tab => (await tab.ask('stats')).outbound.find(stream => stream.frames > 0);

describe('rows of the checklist', { concurrency: true }, () => {
  let world;
  before(async () => {
    world = await World.open({ wire: true });
  });
  after(() => world?.close());

  describe('that take time', { concurrency: 3 }, () => {
    test('row 6: a minute alone is no poor connection', { timeout: 2 * ALONE_MS }, async () => {
      const { tabs } = await world.meet(1);
      const [ann] = tabs;
      const rate = await ann.audioRate(ALONE_MS / 1000);
      assert.ok(Math.abs(rate - 50) <= 1, `${rate.toFixed(2)} packets a second`);
      const state = await ann.state();
      assert.equal(state.poor, 0);
      assert.ok(state.sdkEvents.includes('meetingStartSucceeded') && !state.sdkEvents.includes('receivingAudioDropped'), `${state.sdkEvents}`);
      await assertCalm(tabs);
      await closeAll(tabs);
    });

    test('row 8: one who stops has left, one whose tab is killed has dropped', async () => {
      const { tabs } = await world.meet(3);
      const [ann, bob, cleo] = tabs;
      const left = other => ann.until(`${other.name} is gone`, async () => {
        const { present, dropped } = (await ann.state()).presence[other.id];
        return present ? null : { dropped };
      }, { within: DROP_WITHIN_MS });
      await cleo.close();
      await bob.ask('stop');
      assert.deepEqual(await left(bob), { dropped: false });
      assert.deepEqual(await left(cleo), { dropped: true });
      await assertCalm([ann]);
      await closeAll([ann, bob]);
    });

    test('row 31: missed pongs make a client reconnect, and nobody else notices', { timeout: 2 * MISSED_PONGS_WITHIN_MS }, async () => {
      const { tabs } = await world.meet(2);
      const [ann, bob] = tabs;
      world.wire.swallowPongs(ann.credentials);
      const begun = performance.now();
      await ann.until('it reconnects', async () => (await ann.state()).reconnects > 0, { within: MISSED_PONGS_WITHIN_MS });
      const pings = world.wire.said(ann.credentials, Type.PING_PONG).length;
      assert.ok(pings >= 4, `after ${pings} pings and ${Math.round(performance.now() - begun)} ms`);
      world.wire.swallowPongs(ann.credentials, false);
      await ann.until('it is back', async () => (await ann.state()).starts === 2, { within: 20_000 });
      const changes = (await bob.state()).presenceEvents.filter(event => event.id === ann.id);
      assert.deepEqual(changes.map(event => event.present), changes.map(() => true), 'nobody saw it go');
      await ann.until('the old connection is closed', async () => (await ann.state()).openConnections === 1);
      await assertMixMinus(tabs);
      await assertCalm([bob]);
      await closeAll(tabs);
    });
  });

  describe('one by one', { concurrency: 1 }, () => {
    test('rows 5, 7, 9, 10, 11: voices, presence, mute, volume, active speakers', async () => {
      const { tabs } = await world.meet(3);
      const [ann, bob, cleo] = tabs;
      // 5: everyone hears the others and not itself, fifty packets a second.
      await assertMixMinus(tabs);
      const rate = await cleo.audioRate();
      assert.ok(Math.abs(rate - 50) <= 1.5, `${rate.toFixed(1)} packets a second`);
      // 7: everyone knows everyone, themselves too, by both ids.
      for (const tab of tabs) {
        const { presence } = await tab.state();
        assert.deepEqual(Object.keys(presence).sort(), tabs.map(other => other.id).sort());
        for (const other of tabs) {
          assert.deepEqual(presence[other.id], { present: true, externalUserId: other.name, dropped: false });
        }
      }
      // 10: the volume follows the tone: about 0.96 at its level of 0.25, half of it at 0.05, none in silence.
      const volume = async () => (await cleo.state()).volumes[ann.id]?.volume;
      await cleo.until('ann is loud', async () => (await volume()) > 0.8);
      await ann.ask('speak', 0.05);
      await cleo.until('ann is at half', async () => Math.abs((await volume()) - 0.48) < 0.15);
      await ann.ask('speak', 0);
      await cleo.until('ann is silent', async () => (await volume()) === 0);
      assert.equal((await cleo.state()).volumes[ann.id].signal, 1);
      await ann.until('its own signal', async () => (await ann.state()).signals.at(-1) === 1);
      // 11: who speaks is first.
      const speakers = async () => (await cleo.state()).speakers.at(-1);
      await bob.ask('speak', 0);
      await cleo.ask('speak', 0);
      await bob.ask('speak', 0.25);
      await cleo.until('bob is first', async () => (await speakers())?.[0] === bob.id, { within: 15_000 });
      await bob.ask('speak', 0);
      await ann.ask('speak', 0.25);
      await cleo.until('ann is first', async () => (await speakers())?.[0] === ann.id, { within: 15_000 });
      // 9: mute is seen by all, and silences.
      await ann.ask('mute');
      for (const tab of [bob, cleo]) {
        await tab.until('ann is muted', async () => (await tab.state()).volumes[ann.id]?.muted === true);
      }
      await ann.ask('unmute');
      for (const tab of [bob, cleo]) {
        await tab.until('ann is not muted', async () => (await tab.state()).volumes[ann.id]?.muted === false);
      }
      await assertCalm(tabs);
      await closeAll(tabs);
    });

    test('rows 13 and 14: a camera here and there, with its metrics', async () => {
      const { tabs } = await world.meet(2);
      const [ann, bob] = tabs;
      await ann.ask('startVideo');
      const local = await ann.until('its own tile', async () => (await ann.ask('tileList')).find(tile => tile.local && tile.attendee));
      assert.equal(local.attendee, ann.id);
      const tile = await bob.sees(ann);
      assert.equal(tile.externalUserId, ann.name);
      await bob.watches();
      const { packets } = await sending(ann);
      assert.ok(packets > 0);
      const metrics = async (tab, of) => Object.values((await tab.ask('look', 'metrics')).video[of] ?? {})[0];
      const up = await ann.until('upstream metrics', async () => {
        const found = await metrics(ann, ann.id);
        return found?.videoUpstreamBitrate > 0 && found;
      });
      assert.ok(up.videoUpstreamFramesEncodedPerSecond > 0, JSON.stringify(up));
      const down = await bob.until('downstream metrics', async () => {
        const found = await metrics(bob, ann.id);
        return found?.videoDownstreamBitrate > 0 && found;
      });
      assert.ok(down.videoDownstreamFramesDecodedPerSecond > 0, JSON.stringify(down));
      await assertCalm(tabs);
      await closeAll(tabs);
    });

    test('row 15: a camera goes on and off twenty times', async () => {
      const { tabs } = await world.meet(2);
      const [ann, bob] = tabs;
      await turnOnAndOff(ann, bob);
      await assertMixMinus(tabs);
      await assertCalm(tabs);
      for (const tab of tabs) {
        assert.equal((await tab.state()).connections, 1, 'one PeerConnection for all of it');
        const log = await tab.ask('logTail', 400);
        assert.ok(!log.some(line => line.includes('IncompatibleSDP')), tab.name);
      }
      await closeAll(tabs);
    });

    test('row 30: a reconnect is noticed by nobody', async () => {
      const { tabs } = await world.meet(2);
      const [ann, bob] = tabs;
      for (const tab of tabs) {
        await tab.ask('startVideo');
      }
      await ann.sees(bob);
      await bob.sees(ann);
      world.wire.cut(ann.credentials);
      await ann.until('it reconnects', async () => (await ann.state()).reconnects === 1);
      await ann.until('it is back', async () => (await ann.state()).starts === 2, { within: 20_000 });
      const joins = world.wire.said(ann.credentials, Type.JOIN);
      assert.equal(joins.length, 2);
      assert.equal(joins[0].join.audioSessionId, joins[1].join.audioSessionId, 'the same audio session');
      // The tiles come back at both ends, and the roster has not moved.
      await ann.sees(bob, { within: 15_000 });
      await bob.sees(ann, { within: 15_000 });
      await ann.watches();
      await bob.watches();
      await assertMixMinus(tabs);
      for (const tab of tabs) {
        const { presence, presenceEvents } = await tab.state();
        assert.deepEqual(Object.keys(presence).sort(), tabs.map(other => other.id).sort());
        assert.ok(presenceEvents.every(event => event.present), `${tab.name}: ${JSON.stringify(presenceEvents)}`);
      }
      await assertCalm([bob]);
      assert.deepEqual((await ann.state()).stops, []);
      await closeAll(tabs);
    });

    test('row 32: every check of the readiness checker succeeds', { timeout: 120_000 }, async () => {
      const { tabs } = await world.prepare(1);
      const [ann] = tabs;
      // No relay is offered: what the checker does for TCP is to leave out relays over UDP, so it connects as ever.
      const found = await ann.ask('checkReadiness');
      assert.deepEqual(found, Object.fromEntries(Object.keys(found).map(check => [check, 'Succeeded'])), await ann.explain());
      assert.equal(Object.keys(found).length, 9);
      await ann.close();
    });

    test('row 33: what clients tell is taken, counted and on the timeline, the last beacon too', async () => {
      const before = await world.service.metrics();
      const { meeting, tabs } = await world.meet(1);
      const [ann] = tabs;
      const told = async () => (await world.service.operator(`meetings/${meeting.MeetingId}/timeline`)).timeline;
      const names = async () => (await told()).map(entry => entry.event);
      // The important ones come at once, the others five seconds later.
      await ann.until('it has told of its start', async () => (await names()).includes('meetingStartSucceeded'));
      await ann.until('it has told of the rest', async () => (await names()).includes('meetingStartRequested'), { within: 15_000 });
      const start = (await told()).find(entry => entry.event === 'meetingStartSucceeded');
      assert.equal(start.attendee_id, ann.id);
      assert.ok(start.attributes.meetingStartDurationMs > 0, JSON.stringify(start));
      assert.match(start.platform, /^amazon-chime-sdk-js 3\.32\.\d+, Chrom/);
      // It tells two at a time: a third stays with it until the page is left.
      const last = 'attendeePresenceReceived';
      await ann.until('it has something left to tell', async () => (await ann.state()).sdkEvents.includes(last));
      assert.ok(!(await names()).includes(last));
      await ann.page.goto('about:blank');
      await until('the beacon is on the timeline', async () => (await names()).includes(last));

      assert.deepEqual((await told()).filter(entry => entry.attendee_id !== ann.id), []);
      const after = await world.service.metrics();
      const grown = name => (after.get(name) ?? 0) - (before.get(name) ?? 0);
      for (const name of ['meetingStartRequested', 'meetingStartSucceeded', last]) {
        assert.ok(grown(`campanile_client_events_total{event="${name}"}`) >= 1, name);
      }
      assert.ok(grown('campanile_client_event_requests_total{status="200"}') >= 3);
      await ann.close();
    });
  });
});
