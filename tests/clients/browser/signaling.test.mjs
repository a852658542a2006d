// The signaling protocol frame by frame, where the SDK's callbacks do not show it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Control } from './support/control.mjs';
import { freePorts, Service } from './support/service.mjs';
import { frames, Signaling, Type } from './support/signaling.mjs';
import { delay } from './support/wait.mjs';

describe('signaling, frame by frame', { concurrency: 1 }, () => {
  let service;
  let control;
  let meeting;
  before(async () => {
    service = await new Service(await freePorts()).start();
    control = new Control(service);
    meeting = await control.meeting();
  });
  after(() => service?.stop());

  const types = signaling => signaling.received.map(frame => frame.type);

  test('the upgrade takes the session subprotocol', async () => {
    const signaling = await Signaling.open(meeting, (await control.attendee(meeting, 'ann')).JoinToken);
    assert.equal(signaling.socket.protocol, '_aws_wt_session');
    signaling.close();
  });

  test('a ping before JOIN is answered with its id', async () => {
    const signaling = await Signaling.open(meeting, (await control.attendee(meeting, 'ann')).JoinToken);
    signaling.send(frames.ping(4711));
    const pong = await signaling.next(Type.PING_PONG);
    assert.deepEqual(pong.pingPong, { type: 2, pingId: 4711 });
    assert.ok(Math.abs(pong.timestampMs - Date.now()) < 5000, 'every frame carries the time');
    signaling.close();
  });

  test('JOIN_ACK comes before INDEX, with what the client needs', async () => {
    const signaling = await Signaling.join(meeting, await control.attendee(meeting, 'bob'));
    const order = types(signaling);
    assert.ok(order.indexOf(Type.JOIN_ACK) < order.indexOf(Type.INDEX));
    const { joinack } = signaling.received.find(frame => frame.type === Type.JOIN_ACK);
    assert.ok(joinack.turnCredentials, 'a block without it costs the client its gathering time');
    assert.deepEqual(joinack.turnCredentials.uris ?? [], [], 'with a URI in it everything would be relayed');
    assert.equal(joinack.videoSubscriptionLimit, 25);
    assert.equal(joinack.wantsCompressedSdp, true);
    assert.equal(joinack.defaultServerSideNetworkAdaption, 4);
    const { index } = signaling.received.find(frame => frame.type === Type.INDEX);
    assert.ok(index.numParticipants >= 1);
    assert.equal(index.sources?.length ?? 0, 0);
    signaling.close();
  });

  test('compression is agreed only where JOIN offers it', async () => {
    const signaling = await Signaling.join(meeting, await control.attendee(meeting, 'cleo'), { wantsCompressedSdp: false });
    const { joinack } = signaling.received.find(frame => frame.type === Type.JOIN_ACK);
    assert.ok(!joinack.wantsCompressedSdp);
    signaling.close();
  });

  test('LEAVE is acknowledged', async () => {
    const signaling = await Signaling.join(meeting, await control.attendee(meeting, 'dan'));
    signaling.send(frames.leave());
    await signaling.next(Type.LEAVE_ACK, undefined, { within: 1000 });
    signaling.close();
  });

  /** Opens with this token: the upgrade is answered, and the refusal is spoken after JOIN. */
  async function refusal(of, token) {
    const signaling = await Signaling.open(of, token);
    await delay(300);
    assert.equal(signaling.closed, undefined, 'a refusal before JOIN is swallowed by a client that connects early');
    signaling.send(frames.join());
    await signaling.gone(3000);
    assert.ok(!types(signaling).includes(Type.JOIN_ACK));
    assert.ok(!types(signaling).includes(Type.INDEX));
    return signaling.closed.code;
  }

  test('refusals are closes after JOIN, with the codes that clients know', async () => {
    const gone = await control.attendee(meeting, 'gone');
    await control.removeAttendee(meeting, gone);
    assert.equal(await refusal(meeting, gone.JoinToken), 4403);

    const ended = await control.meeting('ended');
    const left = await control.attendee(ended, 'left');
    await control.endMeeting(ended);
    assert.equal(await refusal(ended, left.JoinToken), 4410);

    assert.equal(await refusal(meeting, 'garbage'), 4403);
    assert.equal(await refusal(meeting, `${gone.JoinToken}#content`), 4403);
    const elsewhere = await control.attendee(await control.meeting('elsewhere'), 'ann');
    assert.ok([4403, 4410].includes(await refusal(meeting, elsewhere.JoinToken)));
  });

  test('the end of a meeting is a status, and a close for those who stay', async () => {
    const ending = await control.meeting('ending');
    const signaling = await Signaling.join(ending, await control.attendee(ending, 'ann'));
    await control.endMeeting(ending);
    const { audioStatus } = await signaling.next(Type.AUDIO_STATUS, undefined, { within: 2000 });
    assert.equal(audioStatus.audioStatus, 410);
    await signaling.gone(10_000);
    assert.equal(signaling.closed.code, 4410);
  });

  test('the removal of an attendee is a status', async () => {
    const attendee = await control.attendee(meeting, 'removed');
    const signaling = await Signaling.join(meeting, attendee);
    await control.removeAttendee(meeting, attendee);
    const { audioStatus } = await signaling.next(Type.AUDIO_STATUS, undefined, { within: 2000 });
    assert.equal(audioStatus.audioStatus, 411);
    signaling.close();
  });

  test('another device takes the seat, a reconnect of the same one too', async () => {
    const attendee = await control.attendee(meeting, 'moving');
    const first = await Signaling.join(meeting, attendee, { audioSessionId: 1 });
    const second = await Signaling.join(meeting, attendee, { audioSessionId: 2 });
    const { audioStatus } = await first.next(Type.AUDIO_STATUS, undefined, { within: 2000 });
    assert.equal(audioStatus.audioStatus, 301);
    const third = await Signaling.join(meeting, attendee, { audioSessionId: 2 });
    await delay(500);
    assert.ok(!types(third).includes(Type.AUDIO_STATUS), 'the same device is told nothing of another');
    assert.ok(!second.received.some(frame => frame.audioStatus?.audioStatus === 301));
    [first, second, third].forEach(signaling => signaling.close());
  });

  test('at the end of the service clients are told to come back', async () => {
    const joined = await Signaling.join(meeting, await control.attendee(meeting, 'ann'));
    const waiting = await Signaling.open(meeting, (await control.attendee(meeting, 'bob')).JoinToken);
    await service.stop();
    for (const signaling of [joined, waiting]) {
      await signaling.gone(1000);
      assert.ok(signaling.closed.code >= 4500 && signaling.closed.code <= 4599, `closed with ${signaling.closed.code}`);
    }
    await service.start();
  });
});
