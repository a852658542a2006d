import { must, setIcon } from './dom';

export type Panel = 'people' | 'chat';
/** `off`: no microphone is open. `busy`: the browser is asking. */
export type Microphone = 'off' | 'muted' | 'on' | 'busy';
export type Toggle = 'off' | 'on' | 'busy';

export interface ControlsWatcher {
  microphone(): void;
  camera(): void;
  share(): void;
  leave(): void;
  invite(): void;
  panel(panel: Panel | null): void;
}

/** The bar at the bottom, the panels that it opens, and the keys. */
export class Controls {
  private readonly mic = must('#mic', HTMLButtonElement);
  private readonly camera = must('#camera', HTMLButtonElement);
  private readonly share = must('#share', HTMLButtonElement);
  private open: Panel | null = null;
  private unread = 0;

  constructor(private readonly watcher: ControlsWatcher) {
    this.mic.addEventListener('click', () => watcher.microphone());
    this.camera.addEventListener('click', () => watcher.camera());
    this.share.addEventListener('click', () => watcher.share());
    must('#leave', HTMLButtonElement).addEventListener('click', () => watcher.leave());
    must('#invite', HTMLButtonElement).addEventListener('click', () => watcher.invite());
    for (const panel of ['people', 'chat'] as const) {
      toggleOf(panel).addEventListener('click', () => this.show(this.open === panel ? null : panel));
      must(`[data-closes="${panel}"]`, HTMLButtonElement).addEventListener('click', () => this.close(panel));
      must(`#${panel}`, HTMLElement).addEventListener('keydown', (event) => {
        if (event.key === 'Escape') {
          this.close(panel);
        }
      });
    }
  }

  get panel(): Panel | null {
    return this.open;
  }

  show(panel: Panel | null): void {
    this.open = panel;
    for (const each of ['people', 'chat'] as const) {
      must(`#${each}`, HTMLElement).hidden = each !== panel;
      toggleOf(each).setAttribute('aria-expanded', String(each === panel));
    }
    if (panel === 'chat') {
      this.countUnread(0);
    }
    this.watcher.panel(panel);
  }

  /** A message came: counted while the chat is closed. */
  messageCame(): void {
    if (this.open !== 'chat') {
      this.countUnread(this.unread + 1);
    }
  }

  reset(): void {
    this.countUnread(0);
    this.show(null);
  }

  drawMicrophone(state: Microphone): void {
    this.mic.dataset['state'] = state;
    setIcon(this.mic, state === 'on' ? 'mic' : 'mic-off');
    const [label, name] = MICROPHONE[state];
    say(this.mic, label, name, state === 'busy');
  }

  drawCamera(state: Toggle): void {
    this.camera.dataset['state'] = state;
    setIcon(this.camera, state === 'on' ? 'camera' : 'camera-off');
    say(this.camera, 'Camera', state === 'on' ? 'Turn the camera off' : 'Turn the camera on', state === 'busy');
  }

  drawShare(state: Toggle, possible: boolean): void {
    this.share.dataset['state'] = state;
    setIcon(this.share, state === 'on' ? 'share-stop' : 'share');
    const label = state === 'on' ? 'Stop' : 'Share';
    const name = possible
      ? `${state === 'on' ? 'Stop sharing' : 'Share'} your screen`
      : 'This browser cannot share a screen on this page';
    say(this.share, label, name, state === 'busy' || !possible);
  }

  /** M, V, C, P. True if the key meant something. */
  key(key: string): boolean {
    switch (key) {
      case 'm':
        this.mic.click();
        return true;
      case 'v':
        this.camera.click();
        return true;
      case 'c':
        this.show(this.open === 'chat' ? null : 'chat');
        return true;
      case 'p':
        this.show(this.open === 'people' ? null : 'people');
        return true;
      default:
        return false;
    }
  }

  private close(panel: Panel): void {
    this.show(null);
    toggleOf(panel).focus();
  }

  private countUnread(count: number): void {
    this.unread = count;
    const badge = must('#chat-badge', HTMLElement);
    badge.textContent = count > 99 ? '99+' : String(count);
    badge.hidden = count === 0;
    toggleOf('chat').setAttribute('aria-label', count === 0 ? 'Chat' : `Chat, ${count} new`);
  }
}

const MICROPHONE: Record<Microphone, [label: string, name: string]> = {
  off: ['No mic', 'Turn the microphone on'],
  busy: ['Mic', 'Waiting for the microphone'],
  muted: ['Unmute', 'Unmute your microphone'],
  on: ['Mute', 'Mute your microphone'],
};

function toggleOf(panel: Panel): HTMLButtonElement {
  return must(`#${panel}-toggle`, HTMLButtonElement);
}

function say(button: HTMLButtonElement, label: string, name: string, disabled: boolean): void {
  must('span', HTMLElement, button).textContent = label;
  button.setAttribute('aria-label', name);
  button.title = name;
  button.disabled = disabled;
}
