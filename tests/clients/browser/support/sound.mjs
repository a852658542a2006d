// Opus files by ear: decoded with opusdec, which is not ours, and looked at for tones.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const RATE = 48_000;

/** The samples of the first channel of a file, and how many seconds they are. */
export function decoded(file) {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'campanile-sound-'));
  const wav = path.join(directory, 'sound.wav');
  try {
    execFileSync('opusdec', ['--quiet', '--rate', String(RATE), '--force-wav', file, wav], { stdio: 'pipe' });
    const bytes = fs.readFileSync(wav);
    const channels = bytes.readUInt16LE(22);
    const data = bytes.indexOf('data', 12, 'latin1') + 8;
    const samples = new Float32Array(Math.floor((bytes.length - data) / (2 * channels)));
    for (let at = 0; at < samples.length; at += 1) {
      samples[at] = bytes.readInt16LE(data + at * 2 * channels) / 32_768;
    }
    return { samples, seconds: samples.length / RATE };
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

/** How loud a tone is between two seconds, in dB of full scale (Goertzel's algorithm under a Hann window). */
export function loudness({ samples }, hertz, from = 0, to = samples.length / RATE) {
  const part = samples.subarray(Math.round(from * RATE), Math.round(to * RATE));
  const coefficient = 2 * Math.cos((2 * Math.PI * hertz) / RATE);
  let [before, last, weight] = [0, 0, 0];
  for (let at = 0; at < part.length; at += 1) {
    const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / part.length);
    weight += window;
    [before, last] = [last, part[at] * window + coefficient * last - before];
  }
  const power = last * last + before * before - coefficient * last * before;
  return 20 * Math.log10(Math.max(1e-9, (2 * Math.sqrt(Math.max(power, 0))) / Math.max(weight, 1e-9)));
}
