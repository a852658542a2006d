import { MeetingSessionStatusCode as Code } from 'amazon-chime-sdk-js';

export interface Ending {
  title: string;
  text: string;
  /** Whether joining again can help. */
  rejoin: boolean;
}

const LOST: Ending = {
  title: 'The connection was lost',
  text: 'It could not be restored. Check the network, and whether the server is running, then join again.',
  rejoin: true,
};

const NEVER_CONNECTED: Ending = {
  title: 'No media connection',
  text:
    'The server let you in, but then no connection came about. Its media port (UDP) must be open, ' +
    'and media.public_address must be an address that this browser can reach.',
  rejoin: true,
};

const OTHER: Ending = { title: 'The meeting stopped', text: 'The session ended for another reason.', rejoin: true };

const REFUSED: Ending = {
  title: 'The server did not let you in',
  text: 'Your place in this meeting is not valid any more. Join again to get a new one.',
  rejoin: true,
};

const ENDINGS: Partial<Record<Code, Ending>> = {
  [Code.Left]: { title: 'You left the meeting', text: 'You can come back as long as it runs.', rejoin: true },
  [Code.MeetingEnded]: {
    title: 'The meeting has ended',
    text: 'It was ended for everyone. Joining again starts a new meeting of the same name.',
    rejoin: true,
  },
  [Code.AudioAttendeeRemoved]: {
    title: 'You were removed',
    text: 'Your attendee was deleted from this meeting.',
    rejoin: true,
  },
  [Code.AudioJoinedFromAnotherDevice]: {
    title: 'You joined from another device',
    text: 'The same attendee joined somewhere else, so this connection was closed.',
    rejoin: false,
  },
  [Code.AudioCallAtCapacity]: {
    title: 'The meeting is full',
    text: 'Wait until someone leaves, then join again.',
    rejoin: true,
  },
  [Code.AudioAuthenticationRejected]: REFUSED,
  [Code.SignalingBadRequest]: REFUSED,
  [Code.TURNCredentialsForbidden]: REFUSED,
  [Code.AudioInternalServerError]: LOST,
  [Code.AudioServiceUnavailable]: LOST,
  [Code.AudioDisconnected]: LOST,
  [Code.AudioDisconnectAudio]: LOST,
  [Code.SignalingInternalServerError]: LOST,
  [Code.SignalingRequestFailed]: LOST,
  [Code.SignalingChannelClosedUnexpectedly]: LOST,
  [Code.ConnectionHealthReconnect]: LOST,
  [Code.NoAttendeePresent]: LOST,
  [Code.TaskFailed]: LOST,
  [Code.ICEGatheringTimeoutWorkaround]: LOST,
  [Code.IncompatibleSDP]: {
    title: 'This browser and the server do not agree',
    text: 'They found no common way to send audio and video. Try a current Chrome, Edge, Firefox or Safari.',
    rejoin: false,
  },
};

/** What to tell people when a session has stopped. `connected`: whether it ever ran. */
export function ending(code: Code, connected: boolean): Ending {
  const known = ENDINGS[code] ?? OTHER;
  return known === LOST && !connected ? NEVER_CONNECTED : known;
}
