import { ConsoleLogger, LogLevel, MeetingSessionStatusCode } from 'amazon-chime-sdk-js';
import { admit } from './api';
import { DeviceProblem, Devices } from './devices';
import { must } from './dom';
import { ending } from './endings';
import { Meeting } from './meeting';
import { shownBanners, toast } from './notices';
import { enterPhase, phase } from './phase';
import { Settings } from './settings';
import { Start, type Wish } from './start';

const query = new URLSearchParams(location.search);
const logger = new ConsoleLogger('campanile', LogLevel.WARN);

const devices = new Devices(logger, {
  listsChanged: () => {
    void settings.refresh();
    meeting.draw();
  },
  inputEnded: (input) => {
    meeting.inputEnded(input);
    if (phase() === 'start') {
      start.draw();
    }
  },
});
const settings = new Settings(devices);
const start = new Start(devices, (wish) => void join(wish));
const meeting = new Meeting(devices, must('#mix', HTMLAudioElement), logger, showEnded);

let lastWish: Wish | null = null;
let lastCode: MeetingSessionStatusCode | null = null;
let lastProblem = '';

start.fill(query);
if (query.get('autojoin') === '1') {
  start.submit();
} else {
  void start.show();
}

must('#rejoin', HTMLButtonElement).addEventListener('click', () => {
  if (lastWish) {
    showStart();
    void join(lastWish);
  }
});
must('#to-start', HTMLButtonElement).addEventListener('click', () => {
  showStart();
  void start.show();
});

window.addEventListener('pagehide', () => meeting.abandon());
// A page that comes back from the browser's cache has lost its session.
window.addEventListener('pageshow', (event) => {
  if (event.persisted) {
    location.reload();
  }
});

document.addEventListener('keydown', (event) => {
  const writing = event.target instanceof Element && event.target.closest('input, textarea, select') !== null;
  const plain = !event.ctrlKey && !event.altKey && !event.metaKey && !event.repeat;
  const here = !must('#meeting', HTMLElement).hidden && !settings.shown;
  if (settings.shortcuts && here && plain && !writing && meeting.controls.key(event.key.toLowerCase())) {
    event.preventDefault();
  }
});

/** From the form to a running session, or back to the form with a reason. */
async function join(wish: Wish): Promise<void> {
  if (phase() !== 'start') {
    return;
  }
  lastWish = wish;
  lastProblem = '';
  lastCode = null;
  enterPhase('joining');
  const problem = wish.microphone ? await openMicrophone() : null;
  start.busy('Joining…');
  try {
    const admission = await admit(wish.meeting, wish.name);
    start.hide();
    rememberInAddress(wish.meeting);
    document.title = `${wish.meeting} · Campanile`;
    const simulcast = query.get('simulcast') === '1';
    await meeting.enter(admission, { meeting: wish.meeting, camera: wish.camera, simulcast, problem });
    must('#meeting-title', HTMLElement).focus();
  } catch (error) {
    lastProblem = error instanceof Error ? error.message : String(error);
    showStart();
    start.complain(lastProblem);
    void start.show();
  }
}

/** Never fails: without a microphone people still listen, watch and chat. Returns why there is none. */
async function openMicrophone(): Promise<DeviceProblem | null> {
  if (devices.isOpen('microphone')) {
    return null;
  }
  if (!(await devices.granted('microphone'))) {
    start.busy('Waiting for the microphone…');
  }
  const opening = devices.start('microphone').then(
    () => null,
    (error: unknown) => (error instanceof DeviceProblem ? error : new DeviceProblem('microphone', 'other', String(error))),
  );
  const outcome = await Promise.race([opening, start.offerSkip('microphone')]);
  if (outcome !== 'skipped') {
    return outcome;
  }
  void opening.then(() => {
    // Permission came after all, but too late for the meeting.
    if (phase() === 'ended') {
      void devices.stop('microphone');
    }
  });
  return new DeviceProblem('microphone', 'blocked', 'The browser has not been told yet whether it may use the microphone.');
}

function showStart(): void {
  start.complain('');
  start.busy(null);
  document.title = 'Test call · Campanile';
  enterPhase('start');
}

function showEnded(code: MeetingSessionStatusCode, connected: boolean): void {
  lastCode = code;
  const { title, text, rejoin } = ending(code, connected);
  must('#ended-title', HTMLElement).textContent = title;
  must('#ended-text', HTMLElement).textContent = text;
  must('#ended-code', HTMLElement).textContent =
    code === MeetingSessionStatusCode.Left ? '' : `Status of the session: ${statusName(code)}`;
  must('#rejoin', HTMLButtonElement).hidden = !rejoin;
  document.title = `${title} · Campanile`;
  must('#ended-title', HTMLElement).focus();
}

/** A reload comes back to the same meeting. */
function rememberInAddress(name: string): void {
  const address = new URL(location.href);
  address.searchParams.set('meeting', name);
  history.replaceState(null, '', address);
}

function statusName(code: MeetingSessionStatusCode): string {
  return MeetingSessionStatusCode[code] ?? String(code);
}

/** The page as values, read afresh each time. For tests only: nothing in the page reads it. */
function snapshot() {
  return {
    phase: phase(),
    meetingId: meeting.call?.meetingId ?? null,
    attendeeId: meeting.call?.attendeeId ?? null,
    microphone: meeting.microphone,
    camera: meeting.cameraState,
    share: meeting.shareState,
    attendees: meeting.roster.all().map((attending) => ({ ...attending })),
    tiles: meeting.tiles.snapshot(),
    messages: meeting.chat.snapshot(),
    banners: shownBanners(),
    reconnects: meeting.reconnects,
    problem: lastProblem,
    ended: lastCode === null ? null : { code: lastCode, name: statusName(lastCode) },
  };
}

declare global {
  interface Window {
    campanileTestCall: { readonly session: object | null; readonly state: ReturnType<typeof snapshot> };
  }
}

window.campanileTestCall = {
  get session() {
    return meeting.call?.session ?? null;
  },
  get state() {
    return snapshot();
  },
};

window.addEventListener('unhandledrejection', (event) => {
  toast(`Something went wrong: ${String(event.reason)}`, 'danger');
});
