import { DefaultDeviceController, GetUserMediaError, type DeviceChangeObserver, type Logger } from 'amazon-chime-sdk-js';
import { recall, remember } from './memory';

export type Kind = 'microphone' | 'camera' | 'speaker';
export type Input = Exclude<Kind, 'speaker'>;

/** Why a microphone or camera did not open. The message says what to do about it. */
export class DeviceProblem extends Error {
  constructor(
    readonly input: Input,
    readonly reason: 'insecure' | 'blocked' | 'missing' | 'busy' | 'other',
    message: string,
  ) {
    super(message);
  }
}

export interface DeviceWatcher {
  /** A device was plugged in or pulled out, or names became readable. */
  listsChanged(): void;
  /** An open device went away. */
  inputEnded(input: Input): void;
}

const DEVICE = 'device.';

/** The microphone, the camera and the choice of a speaker, before and during a call. */
export class Devices {
  readonly controller: DefaultDeviceController;
  private open = { microphone: false, camera: false };

  constructor(
    logger: Logger,
    private readonly watcher: DeviceWatcher,
  ) {
    this.controller = new DefaultDeviceController(logger);
    // Listing devices must never raise a permission prompt by itself; names appear once a device was opened.
    this.controller.setDeviceLabelTrigger(async () => new MediaStream());
    const observer: DeviceChangeObserver = {
      audioInputsChanged: () => watcher.listsChanged(),
      audioOutputsChanged: () => watcher.listsChanged(),
      videoInputsChanged: () => watcher.listsChanged(),
      audioInputStreamEnded: () => this.ended('microphone'),
      videoInputStreamEnded: () => this.ended('camera'),
    };
    this.controller.addDeviceChangeObserver(observer);
  }

  /** False on a page without HTTPS (other than localhost): the browser then has no devices at all. */
  static get allowed(): boolean {
    return window.isSecureContext && navigator.mediaDevices !== undefined;
  }

  static get canShareScreen(): boolean {
    return Devices.allowed && 'getDisplayMedia' in navigator.mediaDevices;
  }

  static get canChooseSpeaker(): boolean {
    return 'setSinkId' in HTMLAudioElement.prototype;
  }

  isOpen(input: Input): boolean {
    return this.open[input];
  }

  /** Whether opening would raise no prompt. */
  async granted(input: Input): Promise<boolean> {
    if (!Devices.allowed) {
      return false;
    }
    try {
      const status = await navigator.permissions.query({ name: input as PermissionName });
      return status.state === 'granted';
    } catch {
      return false; // older browsers do not know these names
    }
  }

  /** Opens the remembered or default device, or the one given. Throws a DeviceProblem. */
  async start(input: Input, deviceId = this.selected(input)): Promise<void> {
    if (!Devices.allowed) {
      throw new DeviceProblem(input, 'insecure', insecure(input));
    }
    try {
      await this.permit(input);
      await this.choose(input, deviceId);
      this.open[input] = true;
    } catch (error) {
      this.open[input] = false;
      throw explain(input, error);
    }
    await this.refresh();
  }

  async stop(input: Input): Promise<void> {
    this.open[input] = false;
    await (input === 'microphone' ? this.controller.stopAudioInput() : this.controller.stopVideoInput());
  }

  async list(kind: Kind): Promise<MediaDeviceInfo[]> {
    if (!Devices.allowed) {
      return [];
    }
    switch (kind) {
      case 'microphone':
        return this.controller.listAudioInputDevices();
      case 'camera':
        return this.controller.listVideoInputDevices();
      case 'speaker':
        return this.controller.listAudioOutputDevices();
    }
  }

  /** Remembers the choice for the next visit and hands it to an open device. */
  async select(kind: Kind, deviceId: string): Promise<void> {
    remember(DEVICE + kind, deviceId);
    if (kind === 'speaker') {
      await this.applySpeaker();
    } else if (this.open[kind]) {
      await this.start(kind, deviceId);
    }
  }

  selected(kind: Kind): string {
    return recall(DEVICE + kind);
  }

  /** The session binds its audio to a sink only when told so; called once it runs. */
  async applySpeaker(): Promise<void> {
    const deviceId = this.selected('speaker');
    if (!Devices.allowed || !Devices.canChooseSpeaker) {
      return;
    }
    const known = (await this.list('speaker')).some((device) => device.deviceId === deviceId);
    await this.controller.chooseAudioOutput(known ? deviceId : null);
  }

  /**
   * Asks for permission outside of the controller. It runs one request after the other, and joining is one of them:
   * a prompt that nobody answers would block the whole join.
   */
  private async permit(input: Input): Promise<void> {
    if (await this.granted(input)) {
      return;
    }
    const wish = input === 'microphone' ? { audio: true } : { video: true };
    const stream = await navigator.mediaDevices.getUserMedia(wish);
    stream.getTracks().forEach((track) => track.stop());
  }

  private async choose(input: Input, deviceId: string): Promise<void> {
    const wish: MediaTrackConstraints = deviceId === '' ? {} : { deviceId: { ideal: deviceId } };
    if (input === 'microphone') {
      await this.controller.startAudioInput({
        ...wish,
        echoCancellation: true,
        noiseSuppression: true,
        autoGainControl: true,
      });
      return;
    }
    const { videoWidth, videoHeight, videoFrameRate } = this.controller.getVideoInputQualitySettings() ?? {};
    await this.controller.startVideoInput({
      ...wish,
      ...(videoWidth ? { width: { ideal: videoWidth } } : {}),
      ...(videoHeight ? { height: { ideal: videoHeight } } : {}),
      ...(videoFrameRate ? { frameRate: { ideal: videoFrameRate } } : {}),
    });
  }

  private async refresh(): Promise<void> {
    await this.controller.listAudioInputDevices(true).catch(() => []);
    this.watcher.listsChanged();
  }

  private ended(input: Input): void {
    if (this.open[input]) {
      this.open[input] = false;
      this.watcher.inputEnded(input);
    }
  }
}

function explain(input: Input, error: unknown): DeviceProblem {
  // The SDK wraps the browser's error; the browser's name is the fact.
  const origin = error instanceof GetUserMediaError ? (error.cause ?? error) : error;
  const name = origin instanceof Error || origin instanceof DOMException ? origin.name : '';
  switch (name) {
    case 'NotAllowedError':
    case 'SecurityError':
      return new DeviceProblem(
        input,
        'blocked',
        `The browser does not let this page use the ${input}. Allow it at the icon beside the address, then try again.`,
      );
    case 'NotFoundError':
    case 'OverconstrainedError':
      return new DeviceProblem(input, 'missing', `No ${input} was found. Plug one in, then try again.`);
    case 'NotReadableError':
    case 'AbortError':
      return new DeviceProblem(
        input,
        'busy',
        `The ${input} did not start. Another program may be using it; close that one, then try again.`,
      );
    default:
      return new DeviceProblem(input, 'other', `The ${input} did not start: ${String(origin)}`);
  }
}

function insecure(input: Input): string {
  return `Browsers give a ${input} only to pages on HTTPS or localhost, and this page is on neither.`;
}
