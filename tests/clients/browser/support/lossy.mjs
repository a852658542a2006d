// A network between clients and media that can be bad in every way a network is: a relay of datagrams on loopback. Each
// path of a client has a link of its own, up and down. What a link does is decided by its seed, its datagrams and their
// times, so a link by itself (`Link`) is tested without a clock, and loses the same datagrams in every run.
import dgram from 'node:dgram';
import { once } from 'node:events';

/** RTP and RTCP (RFC 7983). */
const isMedia = datagram => datagram[0] >= 128 && datagram[0] <= 191;

/** What a datagram costs on the wire beside itself: IPv4 and UDP headers. */
const HEADERS = 28;

/** What a queue in front of a bottleneck holds, in ms of its rate; the rest is lost. As home routers have it, or less. */
const QUEUE_MS = 200;

/** Marsaglia's xorshift, as numbers from 0 to 1. */
export function dice(seed) {
  let state = seed >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
}

/**
 * One direction of a path. What it may do to datagrams:
 *   loss     share of the media packets that is lost, each by itself
 *   burst    {share, length}: lost in bursts of this mean length in packets, this share in all (Gilbert and Elliott)
 *   rate     bits a second, headers included; what comes faster waits in a queue, of `queue` ms
 *   delay    ms on the way
 *   jitter   up to so many ms more, without overtaking
 *   late     {share, by}: this share is held for so many ms more, and overtaken
 *   cut      nothing comes through
 * Loss spares STUN and DTLS, or nobody would ever connect; everything else does not.
 */
export class Link {
  constructor(seed) {
    this.roll = dice(seed);
    this.conditions = {};
    this.bad = false;
    this.free = 0;
    this.last = 0;
    this.waiting = [];
    this.passed = 0;
    this.lost = 0;
    this.overflowed = 0;
  }

  /** From now on; what is on the way stays so. */
  set(conditions) {
    this.conditions = conditions;
  }

  loses(datagram) {
    const { loss = 0, burst, cut = false } = this.conditions;
    if (cut) {
      return true;
    }
    if (!isMedia(datagram)) {
      return false;
    }
    if (burst) {
      const leaves = 1 / burst.length;
      const enters = (burst.share * leaves) / (1 - burst.share);
      this.bad = this.roll() < (this.bad ? 1 - leaves : enters);
      if (this.bad) {
        return true;
      }
    }
    return loss > 0 && this.roll() < loss;
  }

  /** A datagram enters at `now` (ms); `take` gives it out again, or never. */
  put(datagram, now) {
    if (this.loses(datagram)) {
      this.lost += 1;
      return;
    }
    const { rate, queue = QUEUE_MS, delay = 0, jitter = 0, late } = this.conditions;
    let at = now;
    if (rate) {
      const starts = Math.max(now, this.free);
      if (starts - now > queue) {
        this.overflowed += 1;
        return;
      }
      this.free = starts + ((datagram.length + HEADERS) * 8000) / rate;
      at = this.free;
    }
    at = Math.max(at + delay + (jitter && this.roll() * jitter), this.last);
    if (late && this.roll() < late.share) {
      at += late.by;
    } else {
      this.last = at;
    }
    let place = this.waiting.length;
    while (place > 0 && this.waiting[place - 1].at > at) {
      place -= 1;
    }
    this.waiting.splice(place, 0, { at, datagram });
  }

  /** What is due at `now`, in order. */
  take(now) {
    let due = 0;
    while (due < this.waiting.length && this.waiting[due].at <= now) {
      due += 1;
    }
    this.passed += due;
    return this.waiting.splice(0, due).map(entry => entry.datagram);
  }

  /** When something is due next. */
  next() {
    return this.waiting[0]?.at;
  }
}

/** A link with the clock and its far end. */
class Line {
  constructor(seed, deliver) {
    this.link = new Link(seed);
    this.deliver = deliver;
  }

  put(datagram) {
    this.link.put(datagram, performance.now());
    this.run();
  }

  run() {
    const now = performance.now();
    this.link.take(now).forEach(this.deliver);
    clearTimeout(this.timer);
    const next = this.link.next();
    if (next !== undefined) {
      this.timer = setTimeout(() => this.run(), Math.max(1, next - now));
    }
  }

  close() {
    clearTimeout(this.timer);
  }
}

/**
 * The client's name in a STUN binding request: the second half of its USERNAME (RFC 8445 §7.2.2), which is the ice-ufrag
 * of its offers. A client may come from several addresses; this says that they are one.
 */
function ufragOf(datagram) {
  const BINDING_REQUEST = 0x0001;
  const USERNAME = 0x0006;
  const HEADER = 20;
  if (datagram.length < HEADER || datagram.readUInt16BE(0) !== BINDING_REQUEST) {
    return null;
  }
  for (let at = HEADER; at + 4 <= datagram.length; ) {
    const length = datagram.readUInt16BE(at + 2);
    if (datagram.readUInt16BE(at) === USERNAME) {
      return datagram.toString('utf8', at + 4, at + 4 + length).split(':')[1] ?? null;
    }
    at += 4 + Math.ceil(length / 4) * 4;
  }
  return null;
}

export class LossyNetwork {
  /** Every path's links start with these conditions. The n-th path to come has the n-th seeds. */
  static async open({ seed = 1, up = {}, down = {}, host = '127.0.0.1' } = {}) {
    const network = new LossyNetwork();
    network.host = host;
    network.seeds = dice(seed);
    network.conditions = { up, down };
    network.paths = new Map();
    network.socket = dgram.createSocket('udp4');
    network.socket.on('message', (datagram, from) => {
      const path = network.path(from);
      path.ufrag ??= ufragOf(datagram);
      path.up.put(datagram);
    });
    network.socket.bind(0, host);
    await once(network.socket, 'listening');
    network.port = network.socket.address().port;
    return network;
  }

  /** Where clients find the service. */
  get address() {
    return `${this.host}:${this.port}`;
  }

  /** Where the service listens; known only after this network, whose port it tells its clients. */
  leadTo(port) {
    this.to = port;
  }

  /** Each path has a socket of its own towards the service, by which the service tells them apart. */
  path(from) {
    const name = `${from.address}:${from.port}`;
    let path = this.paths.get(name);
    if (!path) {
      const socket = dgram.createSocket('udp4');
      // The service tells clients the address they come from, and Firefox believes none of loopback.
      socket.bind(0, this.host);
      const seed = () => Math.floor(this.seeds() * 2 ** 32);
      const up = new Line(seed(), datagram => socket.send(datagram, this.to, '127.0.0.1'));
      const down = new Line(seed(), datagram => this.socket.send(datagram, from.port, from.address));
      up.link.set(this.conditions.up);
      down.link.set(this.conditions.down);
      socket.on('message', datagram => down.put(datagram));
      path = { ufrag: null, socket, up, down };
      this.paths.set(name, path);
    }
    return path;
  }

  /** All paths, or those of the client with this ice-ufrag. */
  of(ufrag) {
    const all = [...this.paths.values()];
    return ufrag === undefined ? all : all.filter(path => path.ufrag === ufrag);
  }

  /** Changes the links of one client, or of all and of those to come. */
  set({ up, down }, ufrag) {
    if (ufrag === undefined) {
      this.conditions = { up: up ?? this.conditions.up, down: down ?? this.conditions.down };
    }
    for (const path of this.of(ufrag)) {
      up && path.up.link.set(up);
      down && path.down.link.set(down);
    }
  }

  /** How many datagrams were `passed`, `lost` or `overflowed` in a direction, of one client or of all. */
  count(direction, what, ufrag) {
    return this.of(ufrag).reduce((sum, path) => sum + path[direction].link[what], 0);
  }

  close() {
    for (const path of this.paths.values()) {
      path.up.close();
      path.down.close();
      path.socket.close();
    }
    this.socket.close();
  }
}
