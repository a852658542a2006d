import { element, icon, must } from './dom';

export type Tone = 'info' | 'warning' | 'danger';

export interface Action {
  label: string;
  act(): void;
}

const TOAST_MS = 6_000;
const TOASTS_AT_ONCE = 3;

/** Tells a screen reader, without showing anything. */
export function announce(text: string): void {
  must('#announcer', HTMLElement).textContent = text;
}

/** A short message that goes away by itself. */
export function toast(text: string, tone: Tone = 'info'): void {
  const toasts = must('#toasts', HTMLElement);
  const made = element('div', 'toast', element('span', '', text));
  made.dataset['tone'] = tone;
  const close = element('button', 'icon-button', icon('close'));
  close.type = 'button';
  close.setAttribute('aria-label', 'Dismiss');
  close.addEventListener('click', () => made.remove());
  made.append(close);
  while (toasts.children.length >= TOASTS_AT_ONCE) {
    toasts.firstElementChild?.remove();
  }
  toasts.append(made);
  setTimeout(() => made.remove(), TOAST_MS);
}

/** A message that stays at the top of the meeting until its cause is gone; one per key. */
export function showBanner(key: string, tone: Tone, text: string, action?: Action): void {
  const banners = must('#banners', HTMLElement);
  hideBanner(key);
  const made = element('div', 'banner', element('span', '', text));
  made.dataset['key'] = key;
  made.dataset['tone'] = tone;
  made.setAttribute('role', tone === 'danger' ? 'alert' : 'status');
  if (action) {
    const button = element('button', 'small-button', action.label);
    button.type = 'button';
    button.addEventListener('click', () => action.act());
    made.append(button);
  }
  banners.append(made);
}

export function hideBanner(key: string): void {
  banner(key)?.remove();
}

export function hideBanners(): void {
  must('#banners', HTMLElement).replaceChildren();
}

/** Keys and texts of what is shown now, for tests. */
export function shownBanners(): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const made of document.querySelectorAll<HTMLElement>('#banners .banner')) {
    shown[made.dataset['key'] ?? ''] = made.querySelector('span')?.textContent ?? '';
  }
  return shown;
}

function banner(key: string): Element | null {
  return document.querySelector(`#banners [data-key="${key}"]`);
}
