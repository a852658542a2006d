// Pictures for those who publish without a browser: a short VP8 film that Chromium encodes, as an IVF file.
import { paint } from './sources.js';

const CODEC = 'vp8';
const FOURCC = 'VP80';
const FILE_HEADER = 32;
const FRAME_HEADER = 12;
/** A file cannot be asked for a keyframe: whoever begins to watch waits for the next one. */
const FRAMES_PER_KEYFRAME = 15;

async function encode(colour, { width, height, framerate, frames, bitrate }) {
  const chunks = [];
  let fault;
  const encoder = new VideoEncoder({
    output: chunk => {
      const bytes = new Uint8Array(chunk.byteLength);
      chunk.copyTo(bytes);
      chunks.push(bytes);
    },
    error: error => (fault = error),
  });
  encoder.configure({ codec: CODEC, width, height, framerate, bitrate, latencyMode: 'realtime' });
  const canvas = new OffscreenCanvas(width, height);
  const brush = canvas.getContext('2d');
  for (let at = 0; at < frames; at += 1) {
    paint(brush, colour, at);
    const frame = new VideoFrame(canvas, { timestamp: Math.round((at * 1e6) / framerate) });
    encoder.encode(frame, { keyFrame: at % FRAMES_PER_KEYFRAME === 0 });
    frame.close();
  }
  await encoder.flush();
  encoder.close();
  if (fault || chunks.length !== frames) {
    throw fault ?? new Error(`${chunks.length} of ${frames} frames were encoded`);
  }
  return chunks;
}

function ivf(chunks, { width, height, framerate }) {
  const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + FRAME_HEADER + chunk.length, FILE_HEADER));
  const view = new DataView(bytes.buffer);
  const write = (text, at) => [...text].forEach((letter, offset) => view.setUint8(at + offset, letter.charCodeAt(0)));
  write('DKIF', 0);
  view.setUint16(6, FILE_HEADER, true);
  write(FOURCC, 8);
  view.setUint16(12, width, true);
  view.setUint16(14, height, true);
  view.setUint32(16, framerate, true);
  view.setUint32(20, 1, true);
  view.setUint32(24, chunks.length, true);
  let at = FILE_HEADER;
  chunks.forEach((chunk, number) => {
    view.setUint32(at, chunk.length, true);
    view.setUint32(at + 4, number, true);
    bytes.set(chunk, at + FRAME_HEADER);
    at += FRAME_HEADER + chunk.length;
  });
  return bytes;
}

/** Two seconds of one colour with a box that moves: an IVF file, in base64. */
window.film = async (colour, settings = {}) => {
  const whole = { width: 160, height: 96, framerate: 15, frames: 30, bitrate: 100_000, ...settings };
  const bytes = ivf(await encode(colour, whole), whole);
  return btoa(Array.from(bytes, byte => String.fromCharCode(byte)).join(''));
};
