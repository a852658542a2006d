// Speech from one Chromium to another through the service, over networks that lose packets: the third part of
// `make quality`. Plays SPEECH (a WAV file, 48 kHz, one channel) once on each network and writes what the listener hears
// to OUT/<network>.raw: 48 kHz, one channel, 16 bits, little-endian. CAMPANILE_BIN says where the service is.
//
//     node bench/quality/browser.mjs SPEECH OUT ROUND
import fs from 'node:fs';
import path from 'node:path';

import { Stage } from '../../tests/clients/browser/support/chromium.mjs';
import { acquainted, assertCalm, closeAll, NAMES, World } from '../../tests/clients/browser/support/meeting.mjs';
import { delay } from '../../tests/clients/browser/support/wait.mjs';

/** Packets in a burst of 60 ms. */
const BURST = 3;

/** What happens to media on the way up from the talker and on the way down to the listener. */
const NETWORKS = {
  'none': {},
  '5-random': { up: { loss: 0.05 } },
  '15-random': { up: { loss: 0.15 } },
  '5-bursts': { up: { burst: { share: 0.05, length: BURST } } },
  '15-bursts': { up: { burst: { share: 0.15, length: BURST } } },
  '15-down': { down: { loss: 0.15 } },
};

/** Chromium and the SDK see their losses over 15 s and more before they send copies. */
const ADAPTED_MS = 45_000;
/** Without loss only jitter buffers have to settle. */
const SETTLED_MS = 5_000;
/** What is on its way when the file ends. */
const TAIL_MS = 2_000;

/** What the mixer has done with packets that were lost: taken a copy, used forward error correction, concealed them. */
async function fates(service) {
  const metrics = await service.metrics();
  return ['replaced', 'recovered', 'concealed'].map(fate => metrics.get(`campanile_mixer_packets_total{fate="${fate}"}`) ?? 0);
}

/** Seconds in a WAV file of 48 kHz, 16 bits, one channel. */
const secondsOf = file => (fs.statSync(file).size - 44) / 2 / 48_000;

/** Keeps every sample that the attendee receives, as Chromium hands it to its sound card. */
function record(tab) {
  return tab.page.evaluate(() => {
    const { track } = window.me.connection().getReceivers().find(receiver => receiver.track.kind === 'audio');
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 1000 }).readable.getReader();
    const recorded = { chunks: [], rates: new Set(), done: false };
    window.recorded = recorded;
    recorded.ended = (async () => {
      while (!recorded.done) {
        const { done, value } = await reader.read();
        if (done) {
          break;
        }
        const samples = new Float32Array(value.numberOfFrames);
        value.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
        recorded.rates.add(value.sampleRate);
        recorded.chunks.push(samples);
        value.close();
      }
      await reader.cancel();
    })();
  });
}

/** Ends that; the samples as 16 bits, in a buffer. */
async function recorded(tab) {
  const { rates, text } = await tab.page.evaluate(async () => {
    const { recorded } = window;
    recorded.done = true;
    await recorded.ended;
    const length = recorded.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const samples = new Int16Array(length);
    let at = 0;
    for (const chunk of recorded.chunks) {
      chunk.forEach((sample, n) => (samples[at + n] = Math.max(-32768, Math.min(32767, Math.round(sample * 32767)))));
      at += chunk.length;
    }
    const bytes = new Uint8Array(samples.buffer);
    const PIECE = 3 << 13;
    let text = '';
    for (let from = 0; from < bytes.length; from += PIECE) {
      text += btoa(String.fromCharCode(...bytes.subarray(from, from + PIECE)));
    }
    return { rates: [...recorded.rates], text };
  });
  if (rates.length !== 1 || rates[0] !== 48_000) {
    throw new Error(`received at ${rates} Hz`);
  }
  return Buffer.from(text, 'base64');
}

/** From now on its microphone is the file, from its beginning, as it is: nothing is cleaned or levelled. */
function speakFile(tab) {
  return tab.page.evaluate(async () => {
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: { ...plain, channelCount: 1 } });
    await window.me.audioVideo.startAudioInput(stream);
  });
}

async function listen(speech, network, seed) {
  const world = await World.open({ network: { seed } });
  const stage = await Stage.open({ flags: [`--use-file-for-fake-audio-capture=${path.resolve(speech)}%noloop`] });
  try {
    const meeting = await world.control.meeting('quality');
    const talker = await world.seat(meeting, await world.control.attendee(meeting, NAMES[0]), 0, { stage });
    const listener = await world.seat(meeting, await world.control.attendee(meeting, NAMES[1]), 1);
    for (const tab of [talker, listener]) {
      await tab.join();
    }
    await acquainted([talker, listener]);
    await listener.ask('mute');
    await talker.ask('speak', 0);
    const { up = {}, down = {} } = network;
    world.network.set({ up }, await talker.ask('ufrag'));
    world.network.set({ down }, await listener.ask('ufrag'));
    await delay(network.up || network.down ? ADAPTED_MS : SETTLED_MS);
    const before = (await listener.ask('stats')).audio;
    const earlier = await fates(world.service);
    await record(listener);
    await speakFile(talker);
    await delay(secondsOf(speech) * 1000 + TAIL_MS);
    const sound = await recorded(listener);
    const after = (await listener.ask('stats')).audio;
    await assertCalm([talker, listener]);
    await closeAll([talker, listener]);
    const concealed = (after.concealed - before.concealed) / (after.samples - before.samples);
    const [replaced, recovered, mixed] = (await fates(world.service)).map((count, at) => count - earlier[at]);
    process.stderr.write(
      `  heard ${(sound.length / 96_000).toFixed(1)} s; of lost packets the mixer replaced ${replaced} by copies, recovered ` +
        `${recovered}, concealed ${mixed}; the listener concealed ${(concealed * 100).toFixed(1)} %\n`,
    );
    return sound;
  } finally {
    await stage.close();
    await world.close();
  }
}

const [speech, out, round = '1'] = process.argv.slice(2);
for (const [name, network] of Object.entries(NETWORKS)) {
  process.stderr.write(`${name}, round ${round}\n`);
  fs.writeFileSync(path.join(out, `${name}.raw`), await listen(speech, network, Number(round)));
}
