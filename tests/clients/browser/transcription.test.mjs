// Live transcription, from the microphones of Chromium by a stand-in of Amazon Transcribe back to the SDK's transcription
// controller.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { assertCalm, closeAll, World } from './support/meeting.mjs';
import { TranscribeStandIn } from './support/transcribe.mjs';

const ENGLISH = { EngineTranscribeSettings: { LanguageCode: 'en-US', Region: 'us-west-2', VocabularyName: 'words' } };
const SECRET = 'secret-of-transcribe';
// A tone is at its own height within a second's rounding, and what the encoder makes of it.
const HERTZ_OFF = 15;

describe('transcription', { concurrency: 1 }, () => {
  let engine;
  let world;
  before(async () => {
    engine = await TranscribeStandIn.open();
    world = await World.open({
      env: {
        // For the last test: what everything says of it.
        CAMPANILE_LOG__LEVEL: 'trace',
        CAMPANILE_TRANSCRIPTION__ENDPOINT: engine.endpoint,
        CAMPANILE_TRANSCRIPTION__ACCESS_KEY_ID: 'AKIDTRANSCRIBE',
        CAMPANILE_TRANSCRIPTION__SECRET_ACCESS_KEY: SECRET,
      },
    });
  });
  after(async () => {
    await world?.close();
    await engine?.close();
  });

  /** What was decided to be told of the meeting's transcription: [kind, message]. */
  function events(meeting) {
    return world.service
      .events(meeting)
      .filter(detail => detail.eventType.startsWith('chime:Transcription'))
      .map(detail => [detail.eventType.slice('chime:Transcription'.length), detail.transcriptionRegion, detail.message]);
  }

  const statuses = async tab => (await tab.ask('look', 'transcriptStatuses')).map(status => status.type);
  const said = tab => tab.ask('look', 'transcriptItems');
  const hertz = item => Number.parseInt(item.content, 10);
  const isTone = (item, of) => item.type === 'pronunciation' && Math.abs(hertz(item) - of.hertz) <= HERTZ_OFF;

  test('row 26: statuses and transcripts reach every client, each word with its attendee', async () => {
    const { meeting, tabs } = await world.meet(3);
    const [ann, bob, cleo] = tabs;
    await cleo.ask('speak', 0);
    const begun = Date.now();
    await world.control.transcribe(meeting, ENGLISH);
    for (const tab of tabs) {
      await tab.until('it hears of the start', async () => (await statuses(tab))[0] === 'started');
    }
    const [status] = await cleo.ask('look', 'transcriptStatuses');
    assert.equal(status.region, 'us-west-2');
    assert.deepEqual(JSON.parse(status.configuration), ENGLISH);
    assert.ok(Math.abs(status.at - Date.now()) < 20_000, `${status.at}`);
    // The engine was asked as the caller wanted.
    const { asked } = engine.streams.at(-1);
    assert.equal(asked[':path'], '/stream-transcription');
    assert.equal(asked['x-amzn-transcribe-language-code'], 'en-US');
    assert.equal(asked['x-amzn-transcribe-vocabulary-name'], 'words');
    assert.match(asked.authorization, /AKIDTRANSCRIBE\/\d+\/us-west-2\/transcribe\//);

    for (const tab of tabs) {
      for (const talker of [ann, bob]) {
        await tab.until(`${talker.name}'s words`, async () => (await said(tab)).some(item => isTone(item, talker)), { within: 20_000 });
      }
      for (const item of (await said(tab)).filter(item => item.type === 'pronunciation')) {
        const talker = [ann, bob].find(talker => isTone(item, talker));
        // A second in which two tones meet on a channel is of neither.
        if (talker) {
          assert.deepEqual(item.attendee, { attendeeId: talker.id, externalUserId: talker.name }, JSON.stringify(item));
        }
        assert.ok(item.start >= begun - 2000 && item.end <= Date.now() + 2000, JSON.stringify(item));
      }
    }
    // Another talker comes on the channel of one who has gone silent.
    await ann.ask('speak', 0);
    await cleo.ask('speak', 0.25);
    await bob.until("cleo's words", async () => (await said(bob)).some(item => isTone(item, cleo) && item.attendee.attendeeId === cleo.id), { within: 20_000 });

    await world.control.stopTranscribing(meeting);
    await bob.until('it hears of the stop', async () => (await statuses(bob)).at(-1) === 'stopped');
    assert.deepEqual(await statuses(bob), ['started', 'stopped']);
    assert.deepEqual(events(meeting), [['Started', 'us-west-2', undefined], ['Stopped', 'us-west-2', undefined]]);
    await assertCalm(tabs);
    await closeAll(tabs);
  });

  test('row 26: a lost engine interrupts, one that is there again resumes, one that refuses fails', async () => {
    const { meeting, tabs } = await world.meet(2);
    const [ann] = tabs;
    await world.control.transcribe(meeting, ENGLISH);
    await ann.until('there are words', async () => (await said(ann)).some(item => isTone(item, ann)), { within: 20_000 });
    engine.cut();
    await ann.until('it goes on', async () => (await statuses(ann)).at(-1) === 'resumed', { within: 20_000 });
    assert.deepEqual(await statuses(ann), ['started', 'interrupted', 'resumed']);
    const before = (await said(ann)).length;
    await ann.until('there are more words', async () => (await said(ann)).slice(before).some(item => isTone(item, ann) && item.attendee.attendeeId === ann.id), { within: 20_000 });

    engine.refusal = { status: 400, name: 'BadRequestException', reason: 'no more' };
    engine.cut();
    await ann.until('it fails', async () => (await statuses(ann)).at(-1) === 'failed', { within: 20_000 });
    engine.refusal = undefined;
    const told = events(meeting);
    assert.deepEqual(told.map(([kind]) => kind), ['Started', 'Interrupted', 'Resumed', 'Interrupted', 'Failed']);
    assert.ok(told[1][2] && told[4][2].includes('no more'), JSON.stringify(told));
    await assert.rejects(world.control.stopTranscribing(meeting), { name: 'UnprocessableEntityException' });
    // What has failed may be started again.
    await world.control.transcribe(meeting, ENGLISH);
    await ann.until('it is started', async () => (await statuses(ann)).at(-1) === 'started');
    await world.control.endMeeting(meeting);
    await Promise.all(tabs.map(async tab => assert.equal(await tab.stopped(), 'MeetingEnded')));
    assert.equal(events(meeting).at(-1)[0], 'Stopped');
    await Promise.all(tabs.map(tab => tab.close()));
  });

  test('a transcription goes on after the service was killed', async () => {
    const { meeting, tabs } = await world.meet(1);
    const [ann] = tabs;
    await world.control.transcribe(meeting, ENGLISH);
    await ann.until('it runs', async () => (await statuses(ann)).at(-1) === 'started');
    await world.service.kill();
    await world.service.start();
    await ann.until('there are words again', async () => (await said(ann)).some(item => isTone(item, ann)), { within: 60_000 });
    assert.deepEqual(events(meeting).map(([kind]) => kind), ['Started', 'Interrupted', 'Resumed']);
    await world.control.stopTranscribing(meeting);
    await closeAll(tabs);
  });

  test('no log holds the secret, or what was said', () => {
    const { root } = world.service;
    const logs = fs.readdirSync(root).filter(name => name.startsWith('log-'));
    assert.equal(logs.length, world.service.starts);
    const log = logs.map(name => fs.readFileSync(path.join(root, name), 'utf8')).join('');
    assert.match(log, /TRACE/);
    for (const kept of [SECRET, ' hertz']) {
      const at = log.indexOf(kept);
      assert.equal(at, -1, `the log says: ${log.slice(Math.max(0, at - 300), at)}[...]`);
    }
  });
});
