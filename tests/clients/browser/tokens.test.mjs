// Join tokens that are dead, at every place that takes one: each is refused as that place refuses, and beside it a living
// one is taken. No browser: what the SDK makes of a refusal is shown by the rows of the checklist.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';

import { Control } from './support/control.mjs';
import { freePorts, Service } from './support/service.mjs';
import { frames, Signaling, Type } from './support/signaling.mjs';

/** How a token comes to what it is. Each answers the meeting at whose URLs it is shown, and the token. */
const STATES = {
  living: async ({ meeting, attendee }) => ({ meeting, token: attendee.JoinToken }),
  'attendee deleted': async ({ control, meeting, attendee }) => {
    await control.removeAttendee(meeting, attendee);
    return { meeting, token: attendee.JoinToken };
  },
  'attendee made again': async ({ control, meeting, attendee }) => {
    await control.removeAttendee(meeting, attendee);
    await control.attendee(meeting, attendee.ExternalUserId);
    return { meeting, token: attendee.JoinToken };
  },
  'meeting deleted': async ({ control, meeting, attendee }) => {
    await control.endMeeting(meeting);
    return { meeting, token: attendee.JoinToken };
  },
  'meeting ended by the operator': async ({ service, meeting, attendee }) => {
    const answer = await fetch(`${service.endpoint}/admin/v1/meetings/${meeting.MeetingId}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${service.ready.operator_key}` },
    });
    assert.equal(answer.status, 200);
    return { meeting, token: attendee.JoinToken };
  },
  forged: async ({ meeting, attendee }) => {
    const token = attendee.JoinToken;
    return { meeting, token: token.slice(0, -1) + (token.at(-1) === 'a' ? 'q' : 'a') };
  },
  truncated: async ({ meeting, attendee }) => ({ meeting, token: attendee.JoinToken.slice(0, -8) }),
  'of another meeting': async ({ control, attendee }) => ({
    meeting: await control.meeting('elsewhere'),
    token: attendee.JoinToken,
  }),
  none: async ({ meeting }) => ({ meeting, token: undefined }),
};

const ENDED = ['meeting deleted', 'meeting ended by the operator'];

/** `taken` for a living token; of the others what `ended` says of meetings that are over, and `dead` of the rest. */
const outcomes = (taken, dead, own = {}) =>
  Object.fromEntries(
    Object.keys(STATES).map(state => [state, own[state] ?? (state === 'living' ? taken : (ENDED.includes(state) && own.ended) || dead)]),
  );

/** The code that a join is closed with; `joined` if it is not. */
async function joining(signaling, members) {
  signaling.send(frames.join(members));
  const ended = await Promise.race([
    signaling.next(Type.JOIN_ACK).then(() => 'joined'),
    signaling.gone(5000).then(({ code }) => code),
  ]);
  signaling.close();
  return ended;
}

/** Somebody in the audience of a replica of this meeting. */
async function audience(control, meeting) {
  const replica = await control.replica(meeting);
  return Signaling.join(replica, await control.attendee(replica, 'cleo'));
}

/** What becomes of who asks to be promoted: the status of the ack, or that of its own end. */
async function promoted(signaling, attendee, token) {
  signaling.send(frames.promote(attendee.AttendeeId, token));
  return Promise.race([
    signaling.next(Type.PRIMARY_MEETING_JOIN_ACK).then(({ error }) => error?.status ?? 'promoted'),
    signaling.next(Type.AUDIO_STATUS).then(({ audioStatus }) => audioStatus.audioStatus),
  ]);
}

/** The status and the text of an answer; a page may read it. */
async function answered(response) {
  assert.equal(response.headers.get('access-control-allow-origin'), '*', 'a page could not read this answer');
  return { status: response.status, text: await response.text() };
}

/** The status that an upgrade is refused with. */
async function upgraded(url, { protocols = [], headers } = {}) {
  const socket = new WebSocket(url, protocols, { headers });
  socket.on('error', () => {});
  const outcome = await Promise.race([
    once(socket, 'unexpected-response').then(([, response]) => response.statusCode),
    once(socket, 'open').then(() => 'opened'),
  ]);
  socket.terminate();
  return outcome;
}

const report = (meeting, attendee) => ({
  metadata: { meetingId: meeting.MeetingId, attendeeId: attendee.AttendeeId },
  events: [{ type: 'Meet', v: 1, payloads: [{ name: 'meetingStartRequested', ts: Date.now() }] }],
});

/** TurnControlUrl has nothing to hand out yet: a living token is told that, a dead one is told that it is dead. */
async function relays(response) {
  const { status, text } = await answered(response);
  return status === 403 && text.includes('no TURN relay yet') ? 'no relay yet' : status;
}

/** Every place that takes a token: what it says to each of the states, and how it is asked. */
const PLACES = {
  'signaling, as one joins': {
    outcomes: outcomes('joined', 4403, { ended: 4410 }),
    ask: async ({ meeting, token }) => joining(await Signaling.open(meeting, token)),
  },
  'signaling, as one shares content': {
    outcomes: outcomes('joined', 4403, { ended: 4410 }),
    ask: async ({ meeting, token }) => joining(await Signaling.open(meeting, token && `${token}#content`)),
  },
  'signaling, as one comes back': {
    outcomes: outcomes('joined', 4403, { ended: 4410 }),
    // In the meeting while the token lives, and back with the same audio session once it is what it is.
    enter: ({ meeting, attendee }) => Signaling.join(meeting, attendee, { audioSessionId: 7 }),
    ask: async ({ meeting, token }) => joining(await Signaling.open(meeting, token), { audioSessionId: 7 }),
  },
  'promotion from a replica': {
    // A meeting that ends takes its replicas with it.
    outcomes: outcomes('promoted', 403, { ended: 410 }),
    enter: ({ control, meeting }) => audience(control, meeting),
    ask: async ({ control, meeting, own, attendee, token, entered }) => {
      const signaling = meeting === own ? entered : await audience(control, meeting);
      const outcome = await promoted(signaling, attendee, token);
      signaling.close();
      return outcome;
    },
  },
  'events, by header': {
    outcomes: outcomes(200, 403, { none: 401 }),
    ask: async ({ meeting, attendee, token }) => {
      const headers = token ? { authorization: `Bearer ${token}` } : {};
      const body = JSON.stringify(report(meeting, attendee));
      return (await answered(await fetch(meeting.MediaPlacement.EventIngestionUrl, { method: 'POST', headers, body }))).status;
    },
  },
  'events, by beacon': {
    outcomes: outcomes(200, 403, { none: 401 }),
    ask: async ({ meeting, attendee, token }) => {
      const body = JSON.stringify({ ...report(meeting, attendee), authorization: token });
      return (await answered(await fetch(`${meeting.MediaPlacement.EventIngestionUrl}?beacon=1`, { method: 'POST', body }))).status;
    },
  },
  'TURN credentials, by header': {
    outcomes: outcomes('no relay yet', 403, { ended: 404 }),
    ask: async ({ meeting, token }) => {
      const headers = { 'content-type': 'application/json', ...(token && { 'x-chime-auth-token': `_aws_wt_session=${token}` }) };
      const body = JSON.stringify({ meetingId: meeting.MeetingId });
      return relays(await fetch(meeting.MediaPlacement.TurnControlUrl, { method: 'POST', headers, body }));
    },
  },
  'TURN credentials, by query': {
    outcomes: outcomes('no relay yet', 403, { ended: 404 }),
    ask: async ({ meeting, token }) =>
      relays(await fetch(`${meeting.MediaPlacement.TurnControlUrl}?m=${meeting.MeetingId}&t=${token ?? ''}`)),
  },
  'screen sharing': {
    outcomes: outcomes(501, 403),
    ask: ({ meeting, token }) =>
      upgraded(meeting.MediaPlacement.ScreenSharingUrl, { protocols: ['_aws_wt_session', ...(token ? [token] : [])] }),
  },
  'screen data': {
    outcomes: outcomes(501, 403),
    ask: ({ meeting, token }) =>
      upgraded(meeting.MediaPlacement.ScreenDataUrl, { protocols: ['_aws_wt_session', ...(token ? [token] : [])] }),
  },
  'screen viewing': {
    // Its URL names no meeting: the token says of which it is.
    outcomes: outcomes(501, 403, { 'of another meeting': 501 }),
    ask: ({ meeting, token }) => upgraded(`${meeting.MediaPlacement.ScreenViewingUrl}&session_token=${token ?? ''}`),
  },
  'audio fallback': {
    outcomes: outcomes(501, 403),
    ask: ({ meeting, token }) =>
      upgraded(meeting.MediaPlacement.AudioFallbackUrl, { headers: token && { cookie: `_aws_wt_session=${token}` } }),
  },
};

describe('dead tokens', { concurrency: 1 }, () => {
  let service;
  let control;
  before(async () => {
    service = await new Service(await freePorts()).start();
    control = new Control(service);
  });
  after(() => service?.stop());

  for (const [name, place] of Object.entries(PLACES)) {
    test(`${name}: a living token is taken, a dead one refused`, async () => {
      const found = {};
      for (const [state, make] of Object.entries(STATES)) {
        const meeting = await control.meeting(state.replaceAll(' ', '-'));
        const attendee = await control.attendee(meeting, 'ann');
        const entered = await place.enter?.({ control, meeting, attendee });
        const made = await make({ service, control, meeting, attendee });
        found[state] = await place.ask({ control, own: meeting, entered, ...made, attendee });
        entered?.close();
      }
      assert.deepEqual(found, place.outcomes);
    });
  }

  test('what a dead token told is on no timeline', async () => {
    const meeting = await control.meeting('timeline');
    const [ann, bob] = [await control.attendee(meeting, 'ann'), await control.attendee(meeting, 'bob')];
    await control.removeAttendee(meeting, bob);
    for (const attendee of [ann, bob]) {
      await PLACES['events, by header'].ask({ meeting, attendee, token: attendee.JoinToken });
      await PLACES['events, by beacon'].ask({ meeting, attendee, token: attendee.JoinToken });
    }
    const answer = await fetch(`${service.endpoint}/admin/v1/meetings/${meeting.MeetingId}/timeline`, {
      headers: { authorization: `Bearer ${service.ready.operator_key}` },
    });
    const told = (await answer.json()).timeline.map(entry => entry.attendee_id);
    assert.deepEqual(told, [ann.AttendeeId, ann.AttendeeId]);
  });
});
