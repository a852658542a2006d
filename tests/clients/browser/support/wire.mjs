// Between the clients' WebSockets and the service: counts the frames, swallows pongs, and cuts the wire. The SDK is given
// the wire's address in its MediaPlacement, as it would be given any.
import { once } from 'node:events';
import WebSocket, { WebSocketServer } from 'ws';

import { SdkSignalFrame, Type } from './signaling.mjs';

const PONG = 2;
/** Codes that stand for the absence of a close frame cannot be sent (RFC 6455 §7.4.1). */
const isSendable = code => (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);

const decoded = data => SdkSignalFrame.toObject(SdkSignalFrame.decode(data.subarray(1)), { longs: Number });

function close(socket, code, reason) {
  if (isSendable(code)) {
    socket.close(code, reason);
  } else {
    socket.terminate();
  }
}

export class Wire {
  static async open() {
    const wire = new Wire();
    wire.connections = [];
    wire.deaf = new Set();
    wire.server = new WebSocketServer({
      host: '127.0.0.1',
      port: 0,
      perMessageDeflate: false,
      handleProtocols: protocols => [...protocols][0],
    });
    wire.server.on('connection', (client, request) => wire.connect(client, request));
    await once(wire.server, 'listening');
    return wire;
  }

  /** The meeting as it is told to clients that come over this wire. */
  lead(meeting) {
    const url = new URL(meeting.MediaPlacement.SignalingUrl);
    this.service = url.host;
    url.host = `${this.server.address().address}:${this.server.address().port}`;
    return { ...meeting, MediaPlacement: { ...meeting.MediaPlacement, SignalingUrl: url.href } };
  }

  connect(client, request) {
    const [protocol, token] = request.headers['sec-websocket-protocol'].split(/,\s*/);
    const server = new WebSocket(`ws://${this.service}${request.url}`, [protocol, token], { perMessageDeflate: false });
    const connection = { token, client, said: [] };
    this.connections.push(connection);
    const early = [];
    client.on('message', data => {
      connection.said.push(decoded(data));
      if (server.readyState === WebSocket.OPEN) {
        server.send(data);
      } else {
        early.push(data);
      }
    });
    server.on('open', () => early.forEach(data => server.send(data)));
    server.on('message', data => {
      const frame = this.deaf.has(token) ? decoded(data) : null;
      if (!(frame?.type === Type.PING_PONG && frame.pingPong.type === PONG)) {
        client.send(data);
      }
    });
    server.on('close', (code, reason) => close(client, code, reason));
    server.on('error', () => client.terminate());
    client.on('close', (code, reason) => close(server, code, reason));
    client.on('error', () => server.terminate());
  }

  of(attendee) {
    return this.connections.filter(connection => connection.token === attendee.JoinToken);
  }

  /** What an attendee's client has said in frames of this type, over all its connections. */
  said(attendee, type) {
    return this.of(attendee).flatMap(connection => connection.said).filter(frame => frame.type === type);
  }

  /** From now on the attendee's pings stay without an answer, or get one again. */
  swallowPongs(attendee, swallow = true) {
    this.deaf[swallow ? 'add' : 'delete'](attendee.JoinToken);
  }

  /** Cuts the attendee's connections without a close: 1006 to a browser. */
  cut(attendee) {
    this.of(attendee).forEach(connection => connection.client.terminate());
  }

  close() {
    this.server.clients.forEach(client => client.terminate());
    this.server.close();
  }
}
