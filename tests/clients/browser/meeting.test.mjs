// The meeting itself: what attendees hear, see and tell each other, with the unmodified SDK in Chromium.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { acquainted, assertCalm, assertMixMinus, closeAll, HEARD_DB, OWN_VOICE_DOWN_DB, World } from './support/meeting.mjs';
import { Stage } from './support/chromium.mjs';
import { delay, until } from './support/wait.mjs';

const CAMERA_CYCLES = 10;

describe('a meeting in Chromium', { concurrency: 1 }, () => {
  let world;
  before(async () => {
    world = await World.open();
  });
  after(() => world?.close());

  test('two attendees hear each other and not themselves', async () => {
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await assertMixMinus(tabs);
    for (const tab of tabs) {
      const rate = await tab.audioRate();
      assert.ok(Math.abs(rate - 50) <= 1.5, `${tab.name} receives ${rate.toFixed(1)} packets a second`);
    }
    // The level that the server tells is the tone's: well above silence, and known for both.
    await ann.until('a volume for bob', async () => (await ann.state()).volumes[bob.id]?.volume > 0.3);
    await ann.until('a full signal for bob', async () => (await ann.state()).volumes[bob.id]?.signal === 1);
    assert.equal((await ann.ask('stats')).path, 'host', 'no relay in between');
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('an attendee alone hears nothing, and gets it in full', async () => {
    const { tabs } = await world.meet(1);
    const [loudness] = await tabs[0].hears(tabs);
    assert.ok(loudness < HEARD_DB - OWN_VOICE_DOWN_DB, `hears itself at ${loudness.toFixed(1)} dB`);
    const rate = await tabs[0].audioRate();
    assert.ok(Math.abs(rate - 50) <= 1.5, `${rate.toFixed(1)} packets a second`);
    await closeAll(tabs);
  });

  test('two attendees see each other', async () => {
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await ann.ask('startVideo');
    await bob.sees(ann);
    await bob.ask('startVideo');
    await ann.sees(bob);
    for (const [tab, other] of [[ann, bob], [bob, ann]]) {
      await tab.watches();
      const tiles = (await tab.ask('tileList')).filter(tile => !tile.local);
      assert.deepEqual(tiles.map(tile => tile.attendee), [other.id]);
      assert.deepEqual(tiles.map(tile => tile.externalUserId), [other.name]);
    }
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('a third attendee joins, and all three see and hear the others', async () => {
    const { meeting, tabs } = await world.meet(2);
    for (const tab of tabs) {
      await tab.ask('startVideo');
    }
    await tabs[0].sees(tabs[1]);
    const cleo = await world.seat(meeting, await world.control.attendee(meeting, 'cleo'), 2);
    await cleo.join();
    tabs.push(cleo);
    await acquainted(tabs);
    await cleo.ask('startVideo');
    for (const tab of tabs) {
      for (const other of tabs) {
        if (other !== tab) {
          await tab.sees(other, { within: 15_000 });
        }
      }
      await tab.watches();
    }
    await assertMixMinus(tabs);
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('a late joiner sees a camera that has been on for long', async () => {
    const { meeting, tabs } = await world.meet(1);
    await tabs[0].ask('startVideo');
    await delay(3000);
    const bob = await world.seat(meeting, await world.control.attendee(meeting, 'bob'), 1);
    await bob.join();
    await bob.sees(tabs[0], { within: 5000 });
    await bob.watches();
    await assertCalm([...tabs, bob]);
    await closeAll([...tabs, bob]);
  });

  test('a camera goes on and off ten times without a reconnect', async () => {
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await bob.ask('startVideo');
    await ann.sees(bob);
    for (let cycle = 1; cycle <= CAMERA_CYCLES; cycle += 1) {
      await ann.ask('startVideo');
      await bob.sees(ann);
      await bob.watches(5);
      await ann.ask('stopVideo');
      await bob.doesNotSee(ann);
    }
    // All that while the other direction went on, and sound was not touched.
    await ann.watches();
    await assertMixMinus(tabs);
    await assertCalm(tabs);
    for (const tab of tabs) {
      assert.equal((await tab.state()).connections, 1, 'one PeerConnection for all of it');
    }
    await closeAll(tabs);
  });

  test('three cameras go on and off in turn', async () => {
    const { tabs } = await world.meet(3);
    for (let round = 0; round < 3; round += 1) {
      for (const tab of tabs) {
        await tab.ask('startVideo');
      }
      for (const tab of tabs) {
        for (const other of tabs.filter(other => other !== tab)) {
          await tab.sees(other, { within: 15_000 });
        }
      }
      for (const tab of tabs) {
        await tab.ask('stopVideo');
        for (const other of tabs.filter(other => other !== tab)) {
          await other.doesNotSee(tab);
        }
      }
    }
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('row 23: a content share is seen and heard as content, and ends', async () => {
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    const shared = 1750;
    await ann.ask('startVideo');
    await ann.ask('share', 'rgb(220,220,30)', shared);
    await ann.until('its own share starts', async () => (await ann.state()).contentStarts === 1);
    const tile = await bob.sees(ann, { content: true, colour: 'yellow' });
    assert.equal(tile.externalUserId, ann.name);
    await bob.sees(ann);
    await bob.knows(ann, { content: true });
    assert.equal((await bob.state()).presence[`${ann.id}#content`].externalUserId, ann.name);
    const [content] = await bob.hears([shared]);
    assert.ok(content > HEARD_DB, `bob hears the share at ${content.toFixed(1)} dB`);
    const [echo, voice] = await ann.hears([shared, bob.hertz]);
    assert.ok(voice > HEARD_DB && echo < voice - OWN_VOICE_DOWN_DB, `the sharer hears its own share at ${echo.toFixed(1)} dB`);

    await ann.ask('unshare');
    await ann.until('its own share ends', async () => (await ann.state()).contentStops === 1);
    await bob.doesNotSee(ann, { content: true });
    await bob.until("the content attendee has left", async () => (await bob.state()).presence[`${ann.id}#content`].present === false);
    assert.equal((await bob.state()).presence[`${ann.id}#content`].dropped, false);
    await bob.sees(ann);

    await ann.ask('share', 'rgb(220,220,30)');
    await bob.sees(ann, { content: true, colour: 'yellow' });
    await ann.ask('unshare');
    await bob.doesNotSee(ann, { content: true });
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('row 24: a data message says who sent it, and does not come back', async () => {
    const { tabs } = await world.meet(3);
    const [ann, bob, cleo] = tabs;
    const begun = Date.now();
    await ann.ask('say', 'hello «everyone» 👋');
    for (const tab of [bob, cleo]) {
      const [message] = await tab.until('the message', async () => {
        const { messages } = await tab.state();
        return messages.length && messages;
      });
      assert.equal(message.text, 'hello «everyone» 👋');
      assert.equal(message.topic, 'chat');
      assert.equal(message.senderAttendeeId, ann.id);
      assert.equal(message.senderExternalUserId, ann.name);
      assert.equal(message.throttled, false);
      assert.ok(Math.abs(message.timestampMs - begun) < 5000, `stamped ${message.timestampMs}, sent about ${begun}`);
    }
    await bob.ask('say', 'and back');
    await ann.until('the answer', async () => (await ann.state()).messages.length);
    await delay(300);
    assert.deepEqual((await ann.state()).messages.map(message => message.text), ['and back'], 'none of its own');
    await closeAll(tabs);
  });

  test('data messages arrive in order, all of them', async () => {
    const { tabs } = await world.meet(2);
    const texts = Array.from({ length: 50 }, (_, number) => `message ${number}`);
    for (const text of texts) {
      await tabs[0].ask('say', text);
    }
    await tabs[1].until('fifty messages', async () => (await tabs[1].state()).messages.length >= texts.length);
    assert.deepEqual((await tabs[1].state()).messages.map(message => message.text), texts);
    await closeAll(tabs);
  });

  test('row 24: a late joiner gets the data messages that are kept', async () => {
    const { meeting, tabs } = await world.meet(1);
    await tabs[0].ask('say', 'kept', 60_000);
    await tabs[0].ask('say', 'passing');
    await delay(500);
    const bob = await world.seat(meeting, await world.control.attendee(meeting, 'bob'), 1);
    await bob.join();
    await bob.until('the kept message', async () => (await bob.state()).messages.length);
    await delay(300);
    const { messages } = await bob.state();
    assert.deepEqual(messages.map(message => message.text), ['kept']);
    assert.equal(messages[0].senderAttendeeId, tabs[0].id);
    await closeAll([...tabs, bob]);
  });

  test('row 25: data messages beyond the limit come back to their sender, throttled', async () => {
    const { meeting, tabs: [bob] } = await world.meet(1);
    const stage = await Stage.open({ numbers: true });
    try {
      const ann = await world.seat(meeting, await world.control.attendee(meeting, 'bob too'), 1, { stage });
      await ann.join();
      await ann.knows(bob);
      await ann.page.evaluate(() => {
        for (let number = 0; number < 300; number += 1) {
          window.me.say(`message ${number}`, 60_000);
        }
      });
      const all = async () => [...(await ann.state()).messages, ...(await bob.state()).messages];
      await ann.until('every message is somewhere', async () => (await all()).length === 300);
      const [back, delivered] = [(await ann.state()).messages, (await bob.state()).messages];
      assert.ok(delivered.length >= 200 && back.length >= 50, `${delivered.length} delivered, ${back.length} came back`);
      assert.ok(back.every(message => message.throttled === true && message.senderAttendeeId === ann.id));
      assert.ok(delivered.every(message => message.throttled === false));
      assert.equal(new Set((await all()).map(message => message.text)).size, 300, 'none is both delivered and given back');
      await assertCalm([ann, bob]);
      await closeAll([ann, bob]);
    } finally {
      await stage.close();
    }
  });

  test('mute is seen and silences, unmute brings the voice back', async () => {
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await ann.ask('mute');
    await bob.until('ann is muted', async () => (await bob.state()).volumes[ann.id]?.muted === true);
    await delay(500);
    const [silence] = await bob.hears([ann]);
    assert.ok(silence < HEARD_DB - 20, `ann is heard at ${silence.toFixed(1)} dB though muted`);
    const rate = await bob.audioRate();
    assert.ok(Math.abs(rate - 50) <= 1.5, `silence comes in full: ${rate.toFixed(1)} packets a second`);
    await ann.ask('unmute');
    await bob.until('ann is not muted', async () => (await bob.state()).volumes[ann.id]?.muted === false);
    await delay(500);
    const [voice] = await bob.hears([ann]);
    assert.ok(voice > HEARD_DB, `ann is heard at ${voice.toFixed(1)} dB`);
    assert.equal((await bob.state()).presenceEvents.filter(event => event.id === ann.id).length, 1, 'a mute is no arrival');
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('an attendee who is muted before joining joins muted', async () => {
    const { tabs } = await world.prepare(2);
    const [ann, bob] = tabs;
    await bob.join();
    await ann.ask('mute');
    await ann.join();
    await bob.knows(ann);
    await bob.until('ann is muted', async () => (await bob.state()).volumes[ann.id]?.muted === true);
    await closeAll(tabs);
  });

  test('an attendee without a microphone hears', async () => {
    const { tabs } = await world.prepare(2);
    await tabs[0].join();
    await tabs[1].join({ microphone: false });
    await tabs[1].knows(tabs[0]);
    await tabs[0].knows(tabs[1]);
    const [voice] = await tabs[1].hears([tabs[0]]);
    assert.ok(voice > HEARD_DB, `heard at ${voice.toFixed(1)} dB`);
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('two meetings know nothing of each other', async () => {
    const first = await world.meet(1, { name: 'first' });
    const meeting = await world.control.meeting('second');
    const bob = await world.seat(meeting, await world.control.attendee(meeting, 'bob'), 1);
    await bob.join();
    await bob.knows(bob);
    await first.tabs[0].ask('startVideo');
    await first.tabs[0].ask('say', 'to my meeting only');
    await delay(2000);
    const [voice] = await bob.hears([first.tabs[0]]);
    assert.ok(voice < HEARD_DB - OWN_VOICE_DOWN_DB, `the other meeting is heard at ${voice.toFixed(1)} dB`);
    const state = await bob.state();
    assert.deepEqual(Object.keys(state.presence), [bob.id]);
    assert.deepEqual(state.messages, []);
    assert.deepEqual((await bob.ask('tileList')).filter(tile => !tile.local), []);
    await closeAll([...first.tabs, bob]);
  });

  for (const codec of ['video/VP8', 'video/VP9', 'video/H264']) {
    test(`a camera that sends ${codec} is seen, also by one who comes later`, async () => {
      const { meeting, tabs } = await world.prepare(2);
      const [ann, bob] = tabs;
      // Before it joins: the SDK weighs a wish with what the meeting can decode only when an INDEX comes.
      await ann.ask('sendWith', codec);
      await ann.join();
      await bob.join();
      await ann.ask('startVideo');
      await bob.sees(ann);
      await bob.watches();
      const sent = (await ann.ask('stats')).outbound.find(stream => stream.frames > 0);
      assert.equal(sent.codec, codec);
      const cleo = await world.seat(meeting, await world.control.attendee(meeting, 'cleo'), 2);
      await cleo.join();
      await cleo.sees(ann);
      await cleo.watches();
      await assertCalm([...tabs, cleo]);
      await closeAll([...tabs, cleo]);
    });
  }

  test('without a preference the SDK gets to send VP9', async () => {
    const { tabs } = await world.meet(2);
    await tabs[0].ask('startVideo');
    await tabs[1].sees(tabs[0]);
    await tabs[1].watches();
    const sent = (await tabs[0].ask('stats')).outbound.find(stream => stream.frames > 0);
    assert.equal(sent.codec, 'video/VP9', 'its own first choice, which it makes only if the answer says sendrecv');
    await closeAll(tabs);
  });

  test('a tile that is paused stops coming, and comes again', async () => {
    const { tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    await ann.ask('startVideo');
    const tile = await bob.sees(ann);
    await bob.watches();
    await bob.ask('pause', tile.id);
    await delay(1000);
    const bytes = async () => (await bob.ask('stats')).video.reduce((sum, stream) => sum + stream.bytes, 0);
    const before = await bytes();
    await delay(2000);
    assert.ok((await bytes()) - before < 2000, 'nothing is sent for a paused tile');
    await bob.ask('unpause', tile.id);
    await bob.watches();
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('the metrics show what goes on', async () => {
    const { tabs } = await world.meet(3);
    await tabs[0].ask('startVideo');
    await tabs[1].sees(tabs[0]);
    const sum = (metrics, pattern) => [...metrics].filter(([name]) => pattern.test(name)).reduce((all, [, value]) => all + value, 0);
    await until('the meetings of earlier tests are forgotten', async () =>
      sum(await world.service.metrics(), /^campanile_live_meetings/) === 1, { within: 20_000 });
    await delay(1500);
    const before = await world.service.metrics();
    await delay(3000);
    const after = await world.service.metrics();
    const grown = pattern => sum(after, pattern) - sum(before, pattern);
    assert.equal(sum(after, /^campanile_live_meetings/), 1);
    assert.equal(sum(after, /^campanile_signaling_sessions/), 3);
    assert.equal(sum(after, /^campanile_media_sessions(\{|$)/), 3);
    assert.ok(sum(after, /^campanile_api_calls_total\{.*CreateAttendee/) > 0);
    // Fifty a second for each of three, in and out, whatever the second in which the snapshot was taken.
    for (const direction of ['in', 'out']) {
      const audio = grown(new RegExp(`^campanile_rtp_packets_total\\{(?=.*audio)(?=.*"${direction}")`));
      assert.ok(audio > 250 && audio < 650, `${audio} audio packets ${direction} in three seconds`);
    }
    assert.ok(grown(/^campanile_media_packets_total/) > 600);
    // Three talkers: a mix for each and at most one for all others.
    const ticks = grown(/^campanile_mixer_encodes_per_tick_count/);
    const encodes = grown(/^campanile_mixer_encodes_per_tick_sum/);
    assert.ok(ticks > 100, `${ticks} ticks in three seconds`);
    assert.ok(encodes / ticks <= 4, `${(encodes / ticks).toFixed(2)} encodes per tick`);
    assert.ok(grown(/^campanile_mixer_tick_seconds_count/) > 100);
    assert.ok(grown(/^campanile_media_forward_seconds_count/) > 0);
    assert.equal(sum(after, /panics/), 0);
    await closeAll(tabs);
  });

  test('simulcast senders are seen', async () => {
    const { tabs } = await world.meet(3, { simulcast: true, pictureSize: { width: 640, height: 360 } });
    for (const tab of tabs.slice(0, 2)) {
      await tab.ask('startVideo');
    }
    for (const tab of tabs) {
      for (const other of tabs.slice(0, 2).filter(other => other !== tab)) {
        await tab.sees(other, { within: 20_000 });
      }
      await tab.watches();
    }
    await assertCalm(tabs);
    await closeAll(tabs);
  });
});
