// Recordings by ear: the files have the tones that their attendees sent, for as long as these did, and no others.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { acquainted, assertCalm, closeAll, HEARD_DB, World } from './support/meeting.mjs';
import { Operator } from './support/operator.mjs';
import { decoded, loudness } from './support/sound.mjs';
import { delay } from './support/wait.mjs';

/** The tone of what is shared: like the voices, no harmonic, sum or difference of others. */
const SHARED_HZ = 1990;

/** Below this a tone is not there. */
const ABSENT_DB = HEARD_DB - 15;

function timeline(directory) {
  const lines = fs.readFileSync(path.join(directory, 'timeline.jsonl'), 'utf8').trim().split('\n');
  return lines.map(line => JSON.parse(line));
}

/** What opusinfo finds wrong with a file: its warnings. */
function complaints(file) {
  const told = execFileSync('opusinfo', [file], { encoding: 'utf8', stdio: 'pipe' });
  return told.split('\n').filter(line => /warning|error/i.test(line));
}

function assertTones(file, tabs, present, from, to) {
  const sound = decoded(file);
  const levels = tabs.map(tab => loudness(sound, tab.hertz, from, to));
  const report = `${path.basename(file)} from ${from} to ${to}: ${tabs.map((tab, at) => `${tab.name} ${levels[at].toFixed(1)} dB`).join(', ')}`;
  for (const [at, tab] of tabs.entries()) {
    const isThere = present.includes(tab);
    assert.ok(isThere ? levels[at] > HEARD_DB : levels[at] < ABSENT_DB, `${report}: ${tab.name} should ${isThere ? '' : 'not '}be there`);
  }
  return sound;
}

describe('recording', { concurrency: 1 }, () => {
  let world;
  let operator;
  before(async () => {
    world = await World.open();
    operator = new Operator(world.service);
  });
  after(() => world?.close());

  test('a file for each and one of the mix, with the right tones for the right time', async t => {
    const { meeting, tabs } = await world.meet(3);
    const [ann, bob, cleo] = tabs;
    const { directory, state } = await operator.record('start', meeting);
    assert.equal(state, 'recording');
    const began = performance.now();
    const since = () => (performance.now() - began) / 1000;
    await delay(4_000);
    // Cleo is muted for all for three seconds: her file is silent then, and keeps time.
    await operator.attendee('mute', meeting, cleo);
    const mutedAt = since();
    await delay(3_000);
    await operator.attendee('unmute', meeting, cleo);
    const unmutedAt = since();
    await delay(3_000);
    const stopped = await operator.record('stop', meeting);
    const length = since();
    t.diagnostic(JSON.stringify(stopped));
    assert.deepEqual([stopped.state, stopped.files, stopped.lost_ticks], ['ended', 4, 0]);
    assert.ok(Math.abs(stopped.duration_ms / 1000 - length) < 0.7, `${stopped.duration_ms} ms, ${length} s`);
    const files = fs.readdirSync(directory).filter(file => file.endsWith('.opus')).sort();
    assert.deepEqual(files, ['mix.opus', ...tabs.map(tab => `${tab.id}.opus`)].sort());
    for (const file of files) {
      assert.deepEqual(complaints(path.join(directory, file)), [], file);
    }
    const of = tab => path.join(directory, `${tab.id}.opus`);
    for (const tab of [ann, bob]) {
      const { seconds } = assertTones(of(tab), tabs, [tab], 1, length - 1);
      assert.ok(Math.abs(seconds - length) < 0.7, `${tab.name}: ${seconds} s of ${length} s`);
    }
    assertTones(of(cleo), tabs, [cleo], 1, mutedAt - 0.7);
    assertTones(of(cleo), tabs, [], mutedAt + 0.7, unmutedAt - 0.7);
    assertTones(of(cleo), tabs, [cleo], unmutedAt + 1, length - 0.7);
    const mix = path.join(directory, 'mix.opus');
    const { seconds } = assertTones(mix, tabs, tabs, 1, mutedAt - 0.7);
    assert.ok(Math.abs(seconds - length) < 0.7, `mix: ${seconds} s of ${length} s`);
    assertTones(mix, tabs, [ann, bob], mutedAt + 0.7, unmutedAt - 0.7);
    // The index says the same.
    const lines = timeline(directory);
    const event = (name, tab) => lines.find(line => line.event === name && (!tab || line.attendee_id === tab.id));
    assert.deepEqual([lines[0].event, lines[0].meeting_id, lines.at(-1).event], ['began', meeting.MeetingId, 'ended']);
    for (const tab of tabs) {
      assert.equal(event('joined', tab).external_user_id, tab.name);
      assert.ok(event('file', tab).starts_ms < 500, JSON.stringify(event('file', tab)));
    }
    assert.ok(Math.abs(event('muted', cleo).file_ms / 1000 - mutedAt) < 0.7, JSON.stringify(event('muted', cleo)));
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('whispers are in the file of who whispers and not in the mix', async () => {
    const { meeting, tabs } = await world.meet(3);
    const [ann, bob, cleo] = tabs;
    await operator.mixRules(meeting, { heardBy: [[cleo, [bob]]] });
    const { directory } = await operator.record('start', meeting);
    await delay(4_000);
    await operator.record('stop', meeting);
    assertTones(path.join(directory, 'mix.opus'), tabs, [ann, bob], 1, 3);
    assertTones(path.join(directory, `${cleo.id}.opus`), tabs, [cleo], 1, 3);
    await closeAll(tabs);
  });

  test('what is shared has a file of its own, and is silent while its sharer is muted for all', async () => {
    const { meeting, tabs } = await world.meet(2);
    const [ann, bob] = tabs;
    const shared = { name: 'the share', hertz: SHARED_HZ };
    await bob.ask('share', 'rgb(220,220,30)', SHARED_HZ);
    await ann.knows(bob, { content: true });
    const { directory } = await operator.record('start', meeting);
    await delay(4_000);
    await operator.attendee('mute', meeting, bob);
    await delay(3_000);
    await operator.record('stop', meeting);
    const all = [ann, bob, shared];
    const content = path.join(directory, `${bob.id}-content.opus`);
    assertTones(content, all, [shared], 1, 3);
    assertTones(content, all, [], 4.7, 6.5);
    assertTones(path.join(directory, `${bob.id}.opus`), all, [bob], 1, 3);
    assertTones(path.join(directory, 'mix.opus'), all, all, 1, 3);
    assertTones(path.join(directory, 'mix.opus'), all, [ann], 4.7, 6.5);
    await bob.ask('unshare');
    await closeAll(tabs);
  });

  test('who comes, leaves and comes back has one file that keeps time', async () => {
    const { meeting, tabs } = await world.prepare(2);
    const [ann, bob] = tabs;
    const { directory } = await operator.record('start', meeting);
    await ann.join();
    await bob.join();
    await acquainted(tabs);
    await delay(3_000);
    await bob.ask('stop');
    await bob.stopped();
    await bob.close();
    await delay(3_000);
    const again = await world.seat(meeting, bob.credentials, 1);
    await again.join();
    await acquainted([ann, again]);
    await delay(3_000);
    await closeAll([ann, again]);
    // The end of the meeting is the end of its recording.
    await world.control.endMeeting(meeting);
    const listed = async () => (await operator.ask('recordings', 'list', meeting.MeetingId)).recordings;
    await again.until('the recording has ended', async () => (await listed())[0].state === 'ended').catch(() => {});
    const [shown] = await listed();
    assert.deepEqual([shown.state, shown.reason], ['ended', 'meeting-ended']);
    const lines = timeline(directory);
    const at = (name, tab, nth = 0) => lines.filter(line => line.event === name && line.attendee_id === tab.id)[nth];
    const { starts_ms: starts } = at('file', bob);
    const [left, back] = [at('left', bob).at_ms, at('joined', bob, 1).at_ms];
    const file = path.join(directory, `${bob.id}.opus`);
    assert.deepEqual(complaints(file), []);
    assertTones(file, [ann, bob], [bob], 0.5, (left - starts) / 1000 - 0.5);
    assertTones(file, [ann, bob], [], (left - starts) / 1000 + 0.5, (back - starts) / 1000 - 0.5);
    assertTones(file, [ann, bob], [bob], (back - starts) / 1000 + 1, (back - starts) / 1000 + 3);
  });

  test('a service that is killed leaves files that can be read', async () => {
    const own = await World.open();
    try {
      const { meeting, tabs } = await own.meet(2);
      const { directory } = await new Operator(own.service).record('start', meeting);
      await delay(5_000);
      await own.service.kill();
      for (const tab of tabs) {
        const { seconds } = assertTones(path.join(directory, `${tab.id}.opus`), tabs, [tab], 1, 3);
        assert.ok(seconds > 3, `${seconds} s`);
      }
      assertTones(path.join(directory, 'mix.opus'), tabs, tabs, 1, 3);
      execFileSync('ffmpeg', ['-v', 'error', '-i', path.join(directory, 'mix.opus'), '-f', 'null', '-'], { stdio: 'pipe' });
      await own.service.start();
      const [shown] = (await new Operator(own.service).ask('recordings', 'list', meeting.MeetingId)).recordings;
      assert.equal(shown.state, 'cut-off');
    } finally {
      await own.close();
    }
  });

  test('a disk that cannot be written to ends the recording and not the meeting', async () => {
    const { meeting, tabs } = await world.meet(2);
    const [ann] = tabs;
    const { directory } = await operator.record('start', meeting);
    await ann.until('there are files', () => fs.existsSync(path.join(directory, `${tabs[1].id}.opus`)));
    fs.rmSync(directory, { recursive: true });
    fs.writeFileSync(directory, 'no directory any more');
    const third = await world.seat(meeting, await world.control.attendee(meeting, 'cleo'), 2);
    await third.join();
    await acquainted([...tabs, third]);
    const failed = async () => (await operator.record('start', meeting).catch(error => error));
    await ann.until('the recording has failed', async () => (await world.service.metrics()).get('campanile_recordings_ended_total{reason="disk"}') === 1);
    assert.ok(!((await failed()) instanceof Error), 'another can begin');
    await operator.record('stop', meeting);
    const [level] = await ann.hears([third]);
    assert.ok(level > HEARD_DB, `the meeting goes on: ${level}`);
    await assertCalm([...tabs, third]);
    await closeAll([...tabs, third]);
  });
});
