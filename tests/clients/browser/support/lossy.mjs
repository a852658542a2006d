// A network between clients and media that loses packets: a relay of datagrams on loopback. What it loses is the same in
// every run for the same seed, counted in packets.
import dgram from 'node:dgram';
import { once } from 'node:events';

/** RTP and RTCP (RFC 7983); STUN and DTLS are let through, or nobody would ever connect. */
const isMedia = datagram => datagram[0] >= 128 && datagram[0] <= 191;

/** Marsaglia's xorshift, as numbers from 0 to 1. */
function dice(seed) {
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

export class LossyNetwork {
  /** Relays to the media port `to`; loses that share of the media packets that clients send. */
  static async open({ seed = 1, upstream = 0 } = {}) {
    const network = new LossyNetwork();
    network.roll = dice(seed);
    network.upstream = upstream;
    network.clients = new Map();
    network.lost = 0;
    network.passed = 0;
    network.socket = dgram.createSocket('udp4');
    network.socket.on('message', (datagram, from) => network.up(datagram, from));
    network.socket.bind(0, '127.0.0.1');
    await once(network.socket, 'listening');
    network.port = network.socket.address().port;
    return network;
  }

  /** Where the service listens; known only after this network, whose port it tells its clients. */
  leadTo(port) {
    this.to = port;
  }

  up(datagram, from) {
    if (isMedia(datagram) && this.roll() < this.upstream) {
      this.lost += 1;
      return;
    }
    this.passed += 1;
    this.way(from).send(datagram, this.to, '127.0.0.1');
  }

  /** Each client has a socket of its own towards the service, by which the service tells them apart. */
  way(from) {
    const name = `${from.address}:${from.port}`;
    let way = this.clients.get(name);
    if (!way) {
      way = dgram.createSocket('udp4');
      way.on('message', datagram => this.socket.send(datagram, from.port, from.address));
      this.clients.set(name, way);
    }
    return way;
  }

  close() {
    for (const way of this.clients.values()) {
      way.close();
    }
    this.socket.close();
  }
}
