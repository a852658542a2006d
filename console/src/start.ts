import { must, setIcon } from './dom';
import { Devices, DeviceProblem, type Input } from './devices';
import { recall, remember } from './memory';
import { hue, initials } from './names';

/** What someone asks for on the start screen. */
export interface Wish {
  meeting: string;
  name: string;
  microphone: boolean;
  camera: boolean;
}

const DEFAULT_MEETING = 'test-call';
const SHORTEST_MEETING = 2;
const NAME = 'name';

/** The form, and the preview of what others will see and hear. */
export class Start {
  private readonly form = must('#join-form', HTMLFormElement);
  private readonly meeting = must('#meeting-name', HTMLInputElement);
  private readonly name = must('#your-name', HTMLInputElement);
  private readonly video = must('#preview-video', HTMLVideoElement);
  private readonly skip = must('#join-skip', HTMLButtonElement);
  private wants: Record<Input, boolean> = { microphone: true, camera: false };
  private busyWith: Record<Input, boolean> = { microphone: false, camera: false };
  private stopMeter: (() => void) | null = null;

  constructor(
    private readonly devices: Devices,
    private readonly join: (wish: Wish) => void,
  ) {
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.submit();
    });
    this.name.addEventListener('input', () => this.drawAvatar());
    this.button('microphone').addEventListener('click', () => void this.toggle('microphone'));
    this.button('camera').addEventListener('click', () => void this.toggle('camera'));
  }

  /** Fills the form; the address may say what to fill in. */
  fill(query: URLSearchParams): void {
    this.meeting.value = query.get('meeting') ?? DEFAULT_MEETING;
    this.name.value = query.get('name') ?? recall(NAME);
    this.wants = { microphone: query.get('mic') !== 'off', camera: query.get('camera') === 'on' };
    this.drawAvatar();
    this.draw();
  }

  /** Shows the screen again, with a preview of whatever raises no prompt. */
  async show(): Promise<void> {
    this.busy(null);
    this.draw();
    (this.name.value === '' ? this.name : this.meeting).focus();
    if (!Devices.allowed) {
      this.wants = { microphone: false, camera: false };
      this.draw();
      this.note('This page is not on HTTPS or localhost, so the browser gives it no microphone or camera. You can still listen, watch and chat.');
      return;
    }
    for (const input of ['microphone', 'camera'] as const) {
      if (this.wants[input] && (await this.devices.granted(input))) {
        await this.open(input);
      }
    }
  }

  submit(): void {
    const meeting = this.meeting.value.trim();
    const name = this.name.value.trim();
    this.meeting.setAttribute('aria-invalid', String(meeting.length < SHORTEST_MEETING));
    this.name.setAttribute('aria-invalid', String(name === ''));
    if (meeting.length < SHORTEST_MEETING) {
      this.complain(`The meeting needs a name of ${SHORTEST_MEETING} characters or more.`);
      this.meeting.focus();
      return;
    }
    if (name === '') {
      this.complain('Say who you are: the others see this name.');
      this.name.focus();
      return;
    }
    this.complain('');
    remember(NAME, name);
    this.join({ meeting, name, ...this.wants });
  }

  /** What the button says while joining; null for the plain form. Resolves `skipped` if people do not want to wait. */
  busy(label: string | null): void {
    this.form.dataset['busy'] = String(label !== null);
    must('#join', HTMLButtonElement).disabled = label !== null;
    must('#join-label', HTMLElement).textContent = label ?? 'Join';
    this.skip.hidden = true;
  }

  /** Offers to go on without a device that the browser is still asking about. */
  offerSkip(input: Input): Promise<'skipped'> {
    this.skip.textContent = `Join without the ${input}`;
    this.skip.hidden = false;
    return new Promise((resolve) => this.skip.addEventListener('click', () => resolve('skipped'), { once: true }));
  }

  complain(text: string): void {
    const problem = must('#start-problem', HTMLElement);
    problem.textContent = text;
    problem.hidden = text === '';
  }

  /** Ends the preview; what is open stays open for the call. */
  hide(): void {
    this.stopMeter?.();
    this.stopMeter = null;
    this.devices.controller.stopVideoPreviewForVideoInput(this.video);
  }

  private async toggle(input: Input): Promise<void> {
    if (this.busyWith[input]) {
      return;
    }
    this.wants[input] = !this.wants[input];
    this.complain('');
    this.draw();
    if (this.wants[input]) {
      await this.open(input);
    } else {
      await this.devices.stop(input);
      this.draw();
    }
  }

  private async open(input: Input): Promise<void> {
    this.busyWith[input] = true;
    this.draw();
    try {
      await this.devices.start(input);
    } catch (error) {
      this.wants[input] = false;
      this.complain(error instanceof DeviceProblem ? error.message : String(error));
    } finally {
      this.busyWith[input] = false;
      this.draw();
    }
  }

  /** Draws the preview from what is wanted and what is open. */
  draw(): void {
    const { controller } = this.devices;
    for (const input of ['microphone', 'camera'] as const) {
      const button = this.button(input);
      const wanted = this.wants[input];
      button.setAttribute('aria-pressed', String(wanted));
      button.dataset['busy'] = String(this.busyWith[input]);
      button.disabled = !Devices.allowed;
      const on = input === 'microphone' ? 'mic' : 'camera';
      setIcon(button, wanted ? on : `${on}-off`);
    }
    const picture = this.devices.isOpen('camera');
    if (picture) {
      controller.startVideoPreviewForVideoInput(this.video);
    } else if (this.video.srcObject) {
      controller.stopVideoPreviewForVideoInput(this.video);
    }
    this.video.hidden = !picture;
    must('#preview', HTMLElement).dataset['picture'] = String(picture);
    must('#preview-hint', HTMLElement).textContent = this.hint();
    this.meter();
  }

  private hint(): string {
    if (this.busyWith.camera || this.busyWith.microphone) {
      return 'Answer the browser’s question to go on';
    }
    const sound = this.wants.microphone
      ? this.devices.isOpen('microphone')
        ? ''
        : 'You will be asked for the microphone'
      : 'You will join without a microphone';
    return this.devices.isOpen('camera') ? sound : sound || 'Your camera is off';
  }

  private meter(): void {
    const open = this.devices.isOpen('microphone');
    must('#preview-level', HTMLElement).hidden = !open;
    if (!open) {
      this.stopMeter?.();
      this.stopMeter = null;
      return;
    }
    this.stopMeter ??= this.startMeter();
  }

  private startMeter(): () => void {
    const analyser = this.devices.controller.createAnalyserNodeForAudioInput();
    if (!analyser) {
      return () => undefined;
    }
    const bar = must('#preview-level', HTMLElement);
    const samples = new Uint8Array(analyser.fftSize);
    const timer = setInterval(() => {
      analyser.getByteTimeDomainData(samples);
      const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample - 128)), 0);
      bar.style.setProperty('--level', String(Math.min(1, peak / 80)));
    }, METER_MS);
    return () => {
      clearInterval(timer);
      analyser.removeOriginalInputs();
    };
  }

  private drawAvatar(): void {
    const avatar = must('#preview-avatar', HTMLElement);
    const name = this.name.value.trim();
    avatar.textContent = initials(name);
    avatar.style.setProperty('--hue', String(hue(name)));
  }

  private note(text: string): void {
    must('#device-note', HTMLElement).textContent = text;
  }

  private button(input: Input): HTMLButtonElement {
    return must(input === 'microphone' ? '#preview-mic' : '#preview-camera', HTMLButtonElement);
  }
}

const METER_MS = 80;
