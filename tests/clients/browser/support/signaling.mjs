// A signaling client that can be wrong in any way: the frames are the SDK's own protobuf classes, the socket is raw.
import { randomInt } from 'node:crypto';
import { createRequire } from 'node:module';
import WebSocket from 'ws';

import { until } from './wait.mjs';

const require = createRequire(import.meta.url);
export const { SdkSignalFrame } = require('amazon-chime-sdk-js/build/signalingprotocol/SignalingProtocol.js');
export const Type = SdkSignalFrame.Type;

const FRAME_TYPE_BYTE = 5;
const QUERY = '?X-Chime-Control-Protocol-Version=3&X-Amzn-Chime-Send-Close-On-Error=1';

/** One message as the client sends it: the type byte, then the frame. */
export function encode(frame) {
  const message = SdkSignalFrame.fromObject({ timestampMs: Date.now(), ...frame });
  return Buffer.concat([Buffer.from([FRAME_TYPE_BYTE]), SdkSignalFrame.encode(message).finish()]);
}

export const frames = {
  ping: id => ({ type: Type.PING_PONG, pingPong: { type: 1, pingId: id } }),
  join: (members = {}) => ({
    type: Type.JOIN,
    join: { protocolVersion: 2, flags: 2, audioSessionId: randomInt(2 ** 31), wantsCompressedSdp: true, ...members },
  }),
  subscribe: members => ({ type: Type.SUBSCRIBE, sub: { duplex: 1, receiveStreamIds: [0], audioHost: 'x', ...members } }),
  message: (text, members = {}) => ({
    type: Type.DATA_MESSAGE,
    dataMessage: { messages: [{ topic: 'chat', data: Buffer.from(text), lifetimeMs: 0, ...members }] },
  }),
  muted: muted => ({ type: Type.AUDIO_CONTROL, audioControl: { muted } }),
  promote: (attendeeId, joinToken) => ({
    type: Type.PRIMARY_MEETING_JOIN,
    primaryMeetingJoin: { credentials: { attendeeId, externalUserId: '', joinToken } },
  }),
  leave: () => ({ type: Type.LEAVE, leave: {} }),
};

export class Signaling {
  constructor(meeting, token, { headers } = {}) {
    const protocols = ['_aws_wt_session', ...(token ? [token] : [])];
    this.socket = new WebSocket(meeting.MediaPlacement.SignalingUrl + QUERY, protocols, { headers, perMessageDeflate: false });
    this.received = [];
    this.opened = new Promise((resolve, reject) => {
      this.socket.on('open', resolve);
      this.socket.on('error', reject);
      this.socket.on('close', code => reject(new Error(`closed with ${code}`)));
    });
    this.opened.catch(() => {});
    this.socket.on('message', data => this.received.push(SdkSignalFrame.toObject(SdkSignalFrame.decode(data.subarray(1)), { longs: Number })));
    this.socket.on('close', (code, reason) => (this.closed = { code, reason: reason.toString() }));
  }

  static async open(meeting, token, options) {
    const signaling = new Signaling(meeting, token, options);
    await signaling.opened;
    return signaling;
  }

  /** Opens and joins, up to the first INDEX. */
  static async join(meeting, attendee, members) {
    const signaling = await Signaling.open(meeting, attendee.JoinToken);
    signaling.send(frames.join(members));
    await signaling.next(Type.JOIN_ACK);
    await signaling.next(Type.INDEX);
    return signaling;
  }

  send(frame) {
    this.socket.send(encode(frame));
  }

  sendRaw(data) {
    this.socket.send(data);
  }

  next(type, look = () => true, options) {
    return until(`a frame of type ${type}`, () => this.received.find(frame => frame.type === type && look(frame)), {
      every: 10,
      within: 5000,
      explain: () => `closed: ${JSON.stringify(this.closed)}; received types ${this.received.map(frame => frame.type)}`,
      ...options,
    });
  }

  /** The connection still works: a ping is answered. */
  async answers(options) {
    const id = randomInt(2 ** 31);
    this.send(frames.ping(id));
    await this.next(Type.PING_PONG, frame => frame.pingPong.type === 2 && frame.pingPong.pingId === id, options);
  }

  gone(within) {
    return until('the connection is closed', () => this.closed, { within });
  }

  close() {
    this.socket.terminate();
  }
}
