import { element, icon, must } from './dom';
import { hue, initials } from './names';

/** Someone in the meeting. Content attendees are not here; `sharing` says that one exists. */
export interface Attending {
  readonly id: string;
  readonly name: string;
  readonly self: boolean;
  muted: boolean;
  /** 0 to 1. */
  volume: number;
  /** 0 to 1; below 1 their microphone reaches the server with losses. */
  signal: number;
  sharing: boolean;
  speaking: boolean;
}

interface Row {
  element: HTMLLIElement;
  level: HTMLElement;
}

/** Who is in the meeting: the facts, and the list that shows them. */
export class Roster {
  private readonly attending = new Map<string, Attending>();
  private readonly rows = new Map<string, Row>();
  private readonly list = must('#roster', HTMLUListElement);

  /** In the order of arrival. */
  all(): Attending[] {
    return [...this.attending.values()];
  }

  find(id: string): Attending | undefined {
    return this.attending.get(id);
  }

  get count(): number {
    return this.attending.size;
  }

  /** Adds someone, or returns who is already there: presence is told again after a reconnect. */
  add(id: string, name: string, self: boolean): { attending: Attending; added: boolean } {
    const known = this.attending.get(id);
    if (known) {
      return { attending: known, added: false };
    }
    const attending: Attending = {
      id,
      name,
      self,
      muted: false,
      volume: 0,
      signal: 1,
      sharing: false,
      speaking: false,
    };
    this.attending.set(id, attending);
    const row = makeRow(attending);
    this.rows.set(id, row);
    this.place(row.element, attending);
    this.draw(attending);
    this.drawCount();
    return { attending, added: true };
  }

  remove(id: string): Attending | undefined {
    const gone = this.attending.get(id);
    this.attending.delete(id);
    this.rows.get(id)?.element.remove();
    this.rows.delete(id);
    this.drawCount();
    return gone;
  }

  clear(): void {
    this.attending.clear();
    this.rows.clear();
    this.list.replaceChildren();
    this.drawCount();
  }

  /** Shows the facts of one entry after they changed. */
  draw(attending: Attending): void {
    const row = this.rows.get(attending.id);
    if (!row) {
      return;
    }
    const { dataset } = row.element;
    dataset['muted'] = String(attending.muted);
    dataset['speaking'] = String(attending.speaking);
    dataset['sharing'] = String(attending.sharing);
    dataset['weak'] = String(attending.signal < 1);
    row.level.style.setProperty('--level', String(attending.muted ? 0 : attending.volume));
  }

  /** Oneself first, then by name. */
  private place(row: HTMLLIElement, attending: Attending): void {
    const next = attending.self
      ? this.list.firstElementChild
      : [...this.list.children].find((other) => this.after(other, attending.name));
    this.list.insertBefore(row, next ?? null);
  }

  private after(row: Element, name: string): boolean {
    const other = row instanceof HTMLElement ? this.attending.get(row.dataset['attendee'] ?? '') : undefined;
    return other !== undefined && !other.self && other.name.localeCompare(name) > 0;
  }

  private drawCount(): void {
    must('#people-total', HTMLElement).textContent = String(this.count);
    must('#people-badge', HTMLElement).textContent = String(this.count);
  }
}

function makeRow(attending: Attending): Row {
  const level = element('i', 'level');
  level.setAttribute('aria-hidden', 'true');
  const name = element('span', 'name', attending.name);
  if (attending.self) {
    name.append(element('span', 'quiet', ' (you)'));
  }
  const row = element(
    'li',
    'row',
    avatar(attending.name),
    name,
    mark('weak', 'weak connection'),
    mark('share', 'sharing the screen'),
    mark('mic-off', 'muted'),
    level,
  );
  row.dataset['attendee'] = attending.id;
  row.dataset['self'] = String(attending.self);
  return { element: row, level };
}

/** The circle with someone's initials. */
export function avatar(name: string): HTMLElement {
  const made = element('span', 'avatar', initials(name));
  made.setAttribute('aria-hidden', 'true');
  made.style.setProperty('--hue', String(hue(name)));
  return made;
}

/** An icon that also says its meaning to a screen reader; CSS shows it by the data attributes of what holds it. */
export function mark(name: string, meaning: string): HTMLElement {
  return element('span', `mark mark-${name}`, icon(name), element('span', 'unseen', meaning));
}
