// The bad network of the other tests, by itself and in virtual time: what they conclude is worth what it does.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { Link } from './support/lossy.mjs';

const RTP = 0x80;
const STUN = 0x00;

/** Sends `count` datagrams, one every `every` ms, and answers [number, when it came out] of each that came out. */
function traffic(conditions, { count = 10_000, every = 1, size = 100, seed = 7, first = RTP } = {}) {
  const link = new Link(seed);
  link.set(conditions);
  const arrived = [];
  const step = Math.min(every, 1);
  const end = count * every + 10_000;
  let sent = 0;
  for (let now = 0; now < end; now += step) {
    while (sent < count && sent * every <= now) {
      const datagram = Buffer.alloc(size);
      datagram[0] = first;
      datagram.writeUInt32BE(sent, 4);
      link.put(datagram, now);
      sent += 1;
    }
    link.take(now).forEach(datagram => arrived.push([datagram.readUInt32BE(4), now]));
  }
  return { link, arrived, numbers: arrived.map(([number]) => number) };
}

const about = (value, wanted, within, what) =>
  assert.ok(Math.abs(value - wanted) <= wanted * within, `${what}: ${value}, wanted about ${wanted}`);

const ordered = numbers => numbers.every((number, at) => at === 0 || number > numbers[at - 1]);

describe('the bad network', () => {
  test('a good link passes everything at once and in order', () => {
    const { arrived, link } = traffic({});
    assert.deepEqual(arrived, Array.from({ length: 10_000 }, (_, n) => [n, n]));
    assert.deepEqual([link.passed, link.lost, link.overflowed], [10_000, 0, 0]);
  });

  test('random loss is of the share it says, and the same for the same seed', () => {
    const { link, numbers } = traffic({ loss: 0.12 });
    about(link.lost, 1200, 0.1, 'lost');
    assert.equal(link.passed + link.lost, 10_000);
    assert.deepEqual(traffic({ loss: 0.12 }).numbers, numbers);
    assert.notDeepEqual(traffic({ loss: 0.12 }, { seed: 8 }).numbers, numbers);
  });

  test('bursts are of the share and the mean length they say', () => {
    const { link, numbers } = traffic({ burst: { share: 0.2, length: 6 } }, { count: 100_000 });
    about(link.lost, 20_000, 0.1, 'lost');
    const gaps = numbers.slice(1).map((number, at) => number - numbers[at] - 1).filter(gap => gap > 0);
    about(gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length, 6, 0.1, 'mean burst');
  });

  test('loss spares what connects, a cut does not', () => {
    assert.equal(traffic({ loss: 1 }, { first: STUN }).link.lost, 0);
    assert.equal(traffic({ burst: { share: 0.9, length: 100 } }, { first: STUN }).link.lost, 0);
    assert.equal(traffic({ cut: true }, { first: STUN }).link.passed, 0);
  });

  test('a bottleneck gives its rate, holds what its queue holds, and loses the rest', () => {
    // 1000 datagrams of 1000 bytes in 10 s: 8224 bits with headers, 822 kbit/s, into 300 kbit/s.
    const sent = { count: 1000, every: 10, size: 1000 };
    const { link, arrived, numbers } = traffic({ rate: 300_000, queue: 500 }, sent);
    const [, last] = arrived.at(-1);
    about((arrived.length * 8224 * 1000) / last, 300_000, 0.02, 'bits a second');
    assert.equal(link.overflowed, 1000 - arrived.length);
    assert.ok(ordered(numbers));
    const waited = arrived.map(([number, at]) => at - number * 10);
    assert.ok(Math.max(...waited) <= 500 + 2 * 28, `one waited ${Math.max(...waited)} ms`);
    // What stays below the rate passes.
    assert.equal(traffic({ rate: 900_000 }, sent).link.overflowed, 0);
  });

  test('delay and jitter keep the order, late datagrams are overtaken', () => {
    const jittery = traffic({ delay: 30, jitter: 50 });
    assert.ok(ordered(jittery.numbers));
    const delays = jittery.arrived.map(([number, at]) => at - number);
    assert.ok(Math.min(...delays) >= 30 && Math.max(...delays) <= 81, `${Math.min(...delays)} to ${Math.max(...delays)}`);
    assert.ok(Math.max(...delays) - Math.min(...delays) > 20);

    const { arrived, numbers, link } = traffic({ delay: 30, late: { share: 0.05, by: 20 } });
    assert.equal(link.passed, 10_000);
    assert.ok(!ordered(numbers));
    about(arrived.filter(([number, at]) => at - number > 45).length, 500, 0.2, 'late');
  });

  test('conditions change while it runs', () => {
    const link = new Link(1);
    const datagram = Buffer.alloc(100, RTP);
    const send = (conditions, from) => {
      link.set(conditions);
      for (let now = from; now < from + 100; now += 1) {
        link.put(datagram, now);
      }
      return link.take(from + 100).length;
    };
    assert.deepEqual([send({}, 0), send({ cut: true }, 100), send({}, 200)], [100, 0, 100]);
  });
});
