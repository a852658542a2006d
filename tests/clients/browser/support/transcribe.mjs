// A stand-in of Amazon Transcribe streaming: HTTP/2 without TLS, its event stream by AWS's own codec. It understands tones:
// of every second in which a channel sounds it says how high that was.
import { EventStreamCodec } from '@smithy/core/event-streams';
import http2 from 'node:http2';

const CHANNELS = 2;
const RATE = 48_000;
/** A channel sounds if it is louder than this, of 32,768. */
const SOUNDS = 300;

const text = bytes => Buffer.from(bytes).toString();
const codec = new EventStreamCodec(text, Buffer.from);
const headers = names => Object.fromEntries(Object.entries(names).map(([name, value]) => [name, { type: 'string', value }]));

const message = (kind, name, body) =>
  codec.encode({
    headers: headers({ ':message-type': kind, [`:${kind}-type`]: name, ':content-type': 'application/json' }),
    body: Buffer.from(JSON.stringify(body)),
  });

export class TranscribeStandIn {
  static async open() {
    const engine = new TranscribeStandIn();
    engine.streams = [];
    engine.server = http2.createServer();
    engine.server.on('stream', (stream, asked) => engine.take(stream, asked));
    engine.server.on('sessionError', () => {});
    await new Promise(resolve => engine.server.listen(0, '127.0.0.1', resolve));
    engine.endpoint = `http://127.0.0.1:${engine.server.address().port}`;
    return engine;
  }

  close() {
    this.cut();
    return new Promise(resolve => {
      this.sessions?.forEach(session => session.destroy());
      this.server.close(resolve);
    });
  }

  take(stream, asked) {
    (this.sessions ??= new Set()).add(stream.session);
    stream.on('error', () => {});
    if (this.refusal) {
      const { status, name, reason } = this.refusal;
      stream.respond({ ':status': status, 'x-amzn-errortype': name, 'content-type': 'application/json' });
      stream.end(JSON.stringify({ Message: reason }));
      return;
    }
    stream.respond({ ':status': 200, 'content-type': 'application/vnd.amazon.eventstream', 'x-amzn-request-id': 'stand-in' });
    const listening = new Listening(stream);
    this.streams.push({ stream, asked, listening });
    let rest = Buffer.alloc(0);
    stream.on('data', data => {
      rest = Buffer.concat([rest, data]);
      while (rest.length >= 4 && rest.length >= rest.readUInt32BE(0)) {
        const whole = rest.subarray(0, rest.readUInt32BE(0));
        rest = rest.subarray(whole.length);
        // Each event is wrapped in a message that signs it; an empty one is the end.
        const signed = codec.decode(whole);
        if (signed.body.length) {
          listening.hear(Buffer.from(codec.decode(signed.body).body));
        } else {
          stream.end();
        }
      }
    });
    stream.on('end', () => stream.end());
  }

  /** Every stream breaks. */
  cut() {
    this.streams.forEach(({ stream }) => stream.destroy());
  }
}

class Listening {
  constructor(stream) {
    this.stream = stream;
    this.pieces = [];
    this.samples = 0;
    this.seconds = 0;
  }

  hear(pcm) {
    this.pieces.push(pcm);
    this.samples += pcm.length / 2 / CHANNELS;
    while (this.samples >= RATE) {
      const whole = Buffer.concat(this.pieces);
      const length = RATE * 2 * CHANNELS;
      this.understand(whole.subarray(0, length));
      this.pieces = [whole.subarray(length)];
      this.samples -= RATE;
      this.seconds += 1;
    }
  }

  understand(second) {
    for (let channel = 0; channel < CHANNELS; channel += 1) {
      let [rises, sum, before] = [0, 0, 0];
      for (let at = channel * 2; at < second.length; at += 2 * CHANNELS) {
        const sample = second.readInt16LE(at);
        rises += before < 0 && sample >= 0 ? 1 : 0;
        sum += sample * sample;
        before = sample;
      }
      if (Math.sqrt(sum / RATE) > SOUNDS) {
        this.say(channel, `${rises} hertz`);
      }
    }
  }

  say(channel, said) {
    const times = { StartTime: this.seconds, EndTime: this.seconds + 1 };
    const items = [
      { ...times, Type: 'pronunciation', Content: said, Confidence: 0.9, Stable: true },
      { StartTime: this.seconds + 1, EndTime: this.seconds + 1, Type: 'punctuation', Content: '.' },
    ];
    const result = {
      ...times,
      Alternatives: [{ Transcript: `${said}.`, Items: items }],
      ChannelId: `ch_${channel}`,
      IsPartial: false,
      ResultId: `${this.seconds}-${channel}`,
      LanguageCode: 'en-US',
    };
    if (!this.stream.destroyed) {
      this.stream.write(message('event', 'TranscriptEvent', { Transcript: { Results: [result] } }));
    }
  }
}
