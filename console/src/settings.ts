import { element, must } from './dom';
import { Devices, type Kind } from './devices';
import { recall, remember } from './memory';
import { toast } from './notices';

const KINDS: Kind[] = ['microphone', 'camera', 'speaker'];
const SHORTCUTS = 'shortcuts';
const HINT_LOCKED = 'Names appear here once the browser may use the microphone or the camera.';
const HINT_INSECURE = 'This page is not on HTTPS or localhost, so the browser gives it no devices.';

/** The popover with the devices. Opened by every button with `data-opens="settings"`. */
export class Settings {
  private readonly popover = must('#settings', HTMLElement);
  private readonly shortcutsBox = must('#shortcuts', HTMLInputElement);

  constructor(private readonly devices: Devices) {
    for (const button of document.querySelectorAll<HTMLElement>('[data-opens="settings"]')) {
      if (button instanceof HTMLButtonElement) {
        button.popoverTargetElement = this.popover;
      }
    }
    this.popover.addEventListener('toggle', () => {
      if (this.shown) {
        void this.refresh();
      }
    });
    for (const kind of KINDS) {
      this.choice(kind).addEventListener('change', () => void this.choose(kind));
    }
    this.shortcutsBox.checked = this.shortcuts;
    this.shortcutsBox.addEventListener('change', () =>
      remember(SHORTCUTS, this.shortcutsBox.checked ? 'on' : 'off'),
    );
    must('#test-sound', HTMLButtonElement).addEventListener('click', () => void this.ring());
  }

  get shown(): boolean {
    return this.popover.matches(':popover-open');
  }

  get shortcuts(): boolean {
    return recall(SHORTCUTS) !== 'off';
  }

  /** Reads the lists of devices again. */
  async refresh(): Promise<void> {
    let named = false;
    for (const kind of KINDS) {
      const found = await this.devices.list(kind).catch(() => []);
      named ||= found.some((device) => device.label !== '');
      this.fill(kind, found);
    }
    const hint = must('#settings-hint', HTMLElement);
    hint.hidden = named;
    hint.textContent = Devices.allowed ? HINT_LOCKED : HINT_INSECURE;
  }

  private fill(kind: Kind, found: MediaDeviceInfo[]): void {
    const choice = this.choice(kind);
    const options = [option('', `Default ${kind}`)];
    for (const device of found) {
      // "default" is the browser's own name of what the first option means already.
      if (device.deviceId !== '' && device.deviceId !== 'default') {
        options.push(option(device.deviceId, device.label || kind));
      }
    }
    choice.replaceChildren(...options);
    choice.disabled = options.length === 1 || (kind === 'speaker' && !Devices.canChooseSpeaker);
    const selected = this.devices.selected(kind);
    choice.value = options.some(({ value }) => value === selected) ? selected : '';
  }

  private async choose(kind: Kind): Promise<void> {
    try {
      await this.devices.select(kind, this.choice(kind).value);
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), 'danger');
    }
  }

  private choice(kind: Kind): HTMLSelectElement {
    return must(`#choose-${kind}`, HTMLSelectElement);
  }

  /** Plays the stroke of a bell on the chosen speaker. */
  private async ring(): Promise<void> {
    const context = new AudioContext();
    const sink = context.createMediaStreamDestination();
    const seconds = 1.6;
    for (const [ratio, loudness] of BELL) {
      const tone = new OscillatorNode(context, { frequency: 330 * ratio });
      const fade = new GainNode(context, { gain: loudness });
      fade.gain.exponentialRampToValueAtTime(0.0001, context.currentTime + seconds);
      tone.connect(fade).connect(sink);
      tone.start();
      tone.stop(context.currentTime + seconds);
    }
    const audio = new Audio();
    audio.srcObject = sink.stream;
    try {
      const speaker = this.devices.selected('speaker');
      if (speaker !== '' && Devices.canChooseSpeaker) {
        await audio.setSinkId(speaker);
      }
      await audio.play();
    } catch {
      toast('The test sound could not be played on this speaker.', 'danger');
    }
    setTimeout(() => void context.close(), seconds * 1000 + 200);
  }
}

/** Partials of a church bell: hum, prime, tierce, quint, nominal; each with its loudness. */
const BELL: [number, number][] = [
  [0.5, 0.15],
  [1, 0.25],
  [1.2, 0.15],
  [1.5, 0.1],
  [2, 0.2],
];

function option(value: string, label: string): HTMLOptionElement {
  const made = element('option', '', label);
  made.value = value;
  return made;
}
