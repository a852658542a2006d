// Microphones and cameras that can be told apart: a tone instead of a voice, a colour instead of a face.

let context;

export function audioContext() {
  context ??= new AudioContext({ sampleRate: 48000 });
  return context;
}

/** A steady tone whose loudness sways a little: the SDK takes a constant level for silence of the speaker. */
export function tone(frequency, { level = 0.25 } = {}) {
  const audio = audioContext();
  const voice = audio.createOscillator();
  const loudness = audio.createGain();
  const sway = audio.createOscillator();
  const depth = audio.createGain();
  const out = audio.createMediaStreamDestination();
  voice.frequency.value = frequency;
  loudness.gain.value = level;
  sway.frequency.value = 1.5;
  depth.gain.value = level * 0.2;
  sway.connect(depth).connect(loudness.gain);
  voice.connect(loudness).connect(out);
  voice.start();
  sway.start();
  return {
    stream: out.stream,
    speak(level) {
      depth.gain.value = level * 0.2;
      loudness.gain.value = level;
    },
  };
}

/** Grey dots by chance, wider than what is shown of them, so that they can be moved. */
function dots(width, height) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const brush = canvas.getContext('2d');
  const image = brush.createImageData(width, height);
  for (let at = 0; at < image.data.length; at += 4) {
    image.data.fill(Math.random() * 256, at, at + 3);
    image.data[at + 3] = 255;
  }
  brush.putImageData(image, 0, 0);
  return canvas;
}

/** One colour with a box that moves, so that frames differ. */
export function paint(brush, colour, step) {
  const { width, height } = brush.canvas;
  brush.fillStyle = colour;
  brush.fillRect(0, 0, width, height);
  brush.fillStyle = 'white';
  brush.fillRect((step * 7) % (width - 20), height - 20, 20, 20);
}

/**
 * A camera with such a picture. Drawn by timer: tests hold many tabs at once.
 * `busy` is the share of its height that flickers, at the lower edge: what an encoder spends all its bits on.
 */
export function picture(colour, { width = 320, height = 180, framerate = 15, busy = 0 } = {}) {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const brush = canvas.getContext('2d');
  let step = 0;
  const strip = Math.round(height * busy);
  const noise = strip ? dots(2 * width, 2 * strip) : null;
  const draw = () => {
    paint(brush, colour, step);
    if (noise) {
      const [x, y] = [Math.random() * width, Math.random() * strip];
      brush.drawImage(noise, x, y, width, strip, 0, height - strip, width, strip);
    }
    step += 1;
  };
  draw();
  const timer = setInterval(draw, 1000 / framerate);
  const stream = canvas.captureStream(framerate);
  return {
    stream,
    stop() {
      clearInterval(timer);
      stream.getTracks().forEach(track => track.stop());
    },
  };
}

/** The mean colour of the upper half of what a video element shows, as [red, green, blue]; null before the first frame. */
export function colourOf(video) {
  if (!video.videoWidth) {
    return null;
  }
  const canvas = document.createElement('canvas');
  canvas.width = 16;
  canvas.height = 8;
  const brush = canvas.getContext('2d', { willReadFrequently: true });
  brush.drawImage(video, 0, 0, video.videoWidth, video.videoHeight / 2, 0, 0, 16, 8);
  const pixels = brush.getImageData(0, 0, 16, 8).data;
  const sum = [0, 0, 0];
  for (let at = 0; at < pixels.length; at += 4) {
    sum[0] += pixels[at];
    sum[1] += pixels[at + 1];
    sum[2] += pixels[at + 2];
  }
  return sum.map(value => Math.round(value / (pixels.length / 4)));
}

/**
 * How loud each of these frequencies is in a stream, in dB, as the mean power over `seconds`. What is measured is the
 * received sound itself, after the browser has decoded it.
 */
export async function loudnessOf(stream, frequencies, seconds) {
  const audio = audioContext();
  await audio.resume();
  const source = audio.createMediaStreamSource(stream);
  const analyser = audio.createAnalyser();
  analyser.fftSize = 16384;
  analyser.smoothingTimeConstant = 0;
  source.connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  const power = new Float64Array(analyser.frequencyBinCount);
  const width = audio.sampleRate / analyser.fftSize;
  const window = (1000 * analyser.fftSize) / audio.sampleRate;
  await new Promise(resolve => setTimeout(resolve, window));
  const until = performance.now() + seconds * 1000;
  let looks = 0;
  while (performance.now() < until) {
    analyser.getFloatFrequencyData(bins);
    bins.forEach((decibels, at) => {
      power[at] += Number.isFinite(decibels) ? 10 ** (decibels / 10) : 0;
    });
    looks += 1;
    await new Promise(resolve => setTimeout(resolve, window / 2));
  }
  source.disconnect();
  const floor = -160;
  return Object.fromEntries(
    frequencies.map(frequency => {
      const centre = Math.round(frequency / width);
      const loudest = Math.max(...power.subarray(centre - 3, centre + 4));
      return [frequency, loudest > 0 ? Math.max(floor, 10 * Math.log10(loudest / looks)) : floor];
    }),
  );
}
