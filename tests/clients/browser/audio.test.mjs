// Sound beyond one channel on a good link: redundancy while packets get lost, and the profiles that applications choose.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { LossyNetwork } from './support/lossy.mjs';
import { acquainted, assertCalm, assertMixMinus, closeAll, World } from './support/meeting.mjs';
import { freePorts } from './support/service.mjs';
import { delay } from './support/wait.mjs';

/** More than the 8 % from which the SDK sends copies. */
const LOST = 0.15;
/** Chromium reports its losses to the SDK every second; the SDK looks at them over 15 s and more. */
const ADAPTED_WITHIN = 60_000;

const TONES = [440, 710];

/** Chromium's payload types. */
const OPUS = 111;
const RED = 63;

/** The audio streams of a tab as its browser counts them, and the codec of the sent one. */
function audioOf(tab) {
  return tab.page.evaluate(async () => {
    const report = await window.me.connection().getStats();
    const found = {};
    report.forEach(entry => {
      if (entry.kind === 'audio' && (entry.type === 'inbound-rtp' || entry.type === 'outbound-rtp')) {
        const codec = report.get(entry.codecId);
        found[entry.type === 'inbound-rtp' ? 'received' : 'sent'] = {
          at: entry.timestamp,
          bytes: entry.bytesReceived ?? entry.bytesSent,
          packets: entry.packetsReceived ?? entry.packetsSent,
          codec: codec?.mimeType,
          line: codec?.sdpFmtpLine,
        };
      }
    });
    return found;
  });
}

/** Payload bits a second that were received over a while. */
async function kilobits(tab, seconds = 4) {
  const before = (await audioOf(tab)).received;
  await delay(seconds * 1000);
  const after = (await audioOf(tab)).received;
  return ((after.bytes - before.bytes) * 8) / (after.at - before.at);
}

/** Chooses a profile by the name of the SDK's factory; there is no other way to it from outside than its own default. */
function choose(tab, profile) {
  return tab.page.evaluate(profile => {
    const controller = window.me.audioVideo.audioVideoController;
    window.me.audioVideo.setAudioProfile(controller._audioProfile.constructor[profile]());
  }, profile);
}

/** Speaks one tone on the left and another on the right. */
function speakTwoChannels(tab) {
  return tab.page.evaluate(async tones => {
    const audio = window.me.voice.stream && new AudioContext({ sampleRate: 48000 });
    const merger = audio.createChannelMerger(2);
    tones.forEach((frequency, channel) => {
      const oscillator = audio.createOscillator();
      const loudness = audio.createGain();
      oscillator.frequency.value = frequency;
      loudness.gain.value = 0.25;
      oscillator.connect(loudness).connect(merger, 0, channel);
      oscillator.start();
    });
    const out = audio.createMediaStreamDestination();
    out.channelCount = 2;
    merger.connect(out);
    await window.me.audioVideo.startAudioInput(out.stream);
  }, TONES);
}

/** How loud both tones are in each channel of what a tab receives, in dB: [[left, left], [right, right]]. */
function channels(tab) {
  return tab.page.evaluate(async tones => {
    const receiver = window.me.connection().getReceivers().find(one => one.track.kind === 'audio');
    const audio = new AudioContext({ sampleRate: 48000 });
    await audio.resume();
    const source = audio.createMediaStreamSource(new MediaStream([receiver.track]));
    const splitter = audio.createChannelSplitter(2);
    source.connect(splitter);
    const analysers = [0, 1].map(channel => {
      const analyser = audio.createAnalyser();
      analyser.fftSize = 16384;
      splitter.connect(analyser, channel);
      return analyser;
    });
    await new Promise(resolve => setTimeout(resolve, 2000));
    const width = audio.sampleRate / 16384;
    const found = analysers.map(analyser => {
      const bins = new Float32Array(analyser.frequencyBinCount);
      analyser.getFloatFrequencyData(bins);
      return tones.map(tone => Math.max(...bins.subarray(Math.round(tone / width) - 3, Math.round(tone / width) + 4)));
    });
    await audio.close();
    return found;
  }, TONES);
}

describe('redundant audio over a link that loses packets', { concurrency: 1 }, () => {
  let network;
  let world;
  // What microphones send, by what their RTP headers say in clear.
  const sent = { red: 0, plain: 0, padding: 0 };
  before(async () => {
    const ports = await freePorts();
    network = await LossyNetwork.open({ seed: 11, up: { loss: LOST } });
    network.leadTo(ports.media);
    network.socket.on('message', datagram => {
      const kind = { [RED]: 'red', [OPUS]: 'plain' }[datagram[1] & 0x7f];
      if (kind && datagram[0] >> 6 === 2) {
        sent[kind] += 1;
        sent.padding += (datagram[0] >> 5) & 1;
      }
    });
    world = await World.open({ ...ports, env: { CAMPANILE_MEDIA__PUBLIC_ADDRESS: `127.0.0.1:${network.port}` } });
  });
  after(async () => {
    await world?.close();
    network?.close();
  });

  test('row 12: the client sends RED, and its copies replace what is lost', async t => {
    const { tabs } = await world.meet(2);
    const fates = async () => {
      const metrics = await world.service.metrics();
      const count = fate => metrics.get(`campanile_mixer_packets_total{fate="${fate}"}`) ?? 0;
      return Object.fromEntries(
        ['decoded', 'replaced', 'replaced-late', 'recovered', 'concealed', 'late', 'garbage'].map(fate => [fate, count(fate)]),
      );
    };
    const start = await fates();
    await tabs[0].until('copies replace lost packets', async () => (await fates()).replaced > start.replaced + 50, {
      within: ADAPTED_WITHIN,
    });
    const before = await fates();
    await delay(15_000);
    const now = await fates();
    const grown = Object.fromEntries(Object.keys(now).map(fate => [fate, now[fate] - before[fate]]));
    t.diagnostic(JSON.stringify({ start, before, grown, sent, lost: network.count('up', 'lost'), passed: network.count('up', 'passed') }));
    assert.ok(sent.red > 1_000 && sent.plain === 0, `all is redundant: ${JSON.stringify(sent)}`);
    // A few in the first seconds; it would be more than half with transport-wide feedback.
    assert.ok(sent.padding < sent.red * 0.05, `microphones are not padded to try the link: ${JSON.stringify(sent)}`);
    assert.ok(grown.replaced > grown.concealed, `more is replaced than concealed: ${JSON.stringify(grown)}`);
    assert.equal(now.garbage, 0);
    await assertMixMinus(tabs);
    await assertCalm(tabs);
    await closeAll(tabs);
  });
});

describe('profiles of the mix', { concurrency: 1 }, () => {
  let world;
  before(async () => {
    world = await World.open();
  });
  after(() => world?.close());

  test('row 12: each listener gets the bit rate and the channels it asks for', async t => {
    const { tabs } = await world.prepare(3);
    const [ann, bob, cleo] = tabs;
    await choose(ann, 'fullbandMusicStereo');
    await choose(bob, 'fullbandMusicStereo');
    await choose(cleo, 'fullbandSpeechMono');
    for (const tab of tabs) {
      await tab.join();
    }
    await acquainted(tabs);
    await cleo.ask('mute');
    await speakTwoChannels(ann);
    await delay(2_000);
    const { sent } = await audioOf(ann);
    t.diagnostic(JSON.stringify(sent));
    assert.match(sent.line, /stereo=1/);
    const [left, right] = await channels(bob);
    const mono = await channels(cleo);
    const rates = [await kilobits(bob), await kilobits(cleo)];
    t.diagnostic(JSON.stringify({ left, right, mono, rates }));
    assert.ok(left[0] > -50 && right[1] > -50, 'each tone in its channel');
    assert.ok(left[1] < left[0] - 25 && right[0] < right[1] - 25, 'and not in the other');
    assert.ok(mono[0][0] > -55 && mono[0][1] > -55, 'one channel has both');
    assert.ok(rates[0] > 90 && rates[0] < 160, `two channels of music: ${rates[0]} kb/s`);
    assert.ok(rates[1] > 25 && rates[1] < 50, `one channel of speech: ${rates[1]} kb/s`);
    await assertCalm(tabs);
    await closeAll(tabs);
  });
});
