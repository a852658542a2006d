/**
 * `start`: the form. `joining`: asking for devices and for a place in the meeting. `connecting`: the session starts.
 * `leaving`: waiting for the session's end. `ended`: the last screen.
 */
export type Phase = 'start' | 'joining' | 'connecting' | 'connected' | 'reconnecting' | 'leaving' | 'ended';

export function phase(): Phase {
  return (document.body.dataset['phase'] ?? 'start') as Phase;
}

/** Also shows the screen that belongs to the phase. */
export function enterPhase(next: Phase): void {
  document.body.dataset['phase'] = next;
  for (const [id, phases] of SCREENS) {
    const screen = document.getElementById(id);
    if (screen) {
      screen.hidden = !phases.includes(next);
    }
  }
}

const SCREENS: [id: string, phases: Phase[]][] = [
  ['start', ['start', 'joining']],
  ['meeting', ['connecting', 'connected', 'reconnecting', 'leaving']],
  ['ended', ['ended']],
];
