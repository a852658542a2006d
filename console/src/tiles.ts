import type { VideoTileState } from 'amazon-chime-sdk-js';
import { element, icon, must } from './dom';
import { avatar, mark, type Attending } from './roster';

/** More tiles than this are summed up in one: it is also what the service lets one attendee see. */
const TILES_SHOWN = 25;
const GAP = 12;
const ASPECT = 16 / 9;
/** A lone tile as wide as a large screen looks like a fault. */
const WIDEST = 1100;

interface Tile {
  attending: Attending;
  element: HTMLElement;
  video: HTMLVideoElement;
  tileId: number | null;
  spoke: number;
}

interface Content {
  element: HTMLElement;
  video: HTMLVideoElement;
  attendeeId: string;
}

export interface TileSnapshot {
  attendeeId: string;
  content: boolean;
  video: boolean;
}

export interface TilesWatcher {
  bind(tileId: number, video: HTMLVideoElement): void;
  invite(): void;
  stopShare(): void;
}

/** The pictures: a tile for everyone, and what is being shared. */
export class Tiles {
  private readonly stage = must('#stage', HTMLElement);
  private readonly grid = must('#grid', HTMLElement);
  private readonly contentArea = must('#content', HTMLElement);
  private readonly tiles = new Map<string, Tile>();
  private readonly contents = new Map<number, Content>();
  private readonly rest = element('div', 'tile rest');
  private readonly alone: HTMLElement;
  private clock = 0;

  constructor(private readonly watcher: TilesWatcher) {
    this.alone = inviteTile(() => watcher.invite());
    new ResizeObserver(() => this.fit()).observe(this.grid);
  }

  add(attending: Attending): void {
    const video = element('video');
    video.muted = true;
    video.playsInline = true;
    video.hidden = true;
    const name = element('span', 'name', attending.self ? `${attending.name} (you)` : attending.name);
    const caption = element('figcaption', '', mark('mic-off', 'muted'), mark('weak', 'weak connection'), name);
    const tile = element('figure', 'tile', avatar(attending.name), video, caption);
    tile.dataset['attendee'] = attending.id;
    tile.dataset['self'] = String(attending.self);
    this.tiles.set(attending.id, { attending, element: tile, video, tileId: null, spoke: 0 });
    this.draw(attending);
    this.arrange();
  }

  remove(id: string): void {
    const tile = this.tiles.get(id);
    this.tiles.delete(id);
    tile?.element.remove();
    this.arrange();
  }

  clear(): void {
    this.tiles.clear();
    this.contents.clear();
    this.contentArea.replaceChildren();
    this.arrange();
  }

  /** Shows mute, signal and speech after they changed. */
  draw(attending: Attending): void {
    const tile = this.tiles.get(attending.id);
    if (!tile) {
      return;
    }
    const { dataset } = tile.element;
    dataset['muted'] = String(attending.muted);
    dataset['weak'] = String(attending.signal < 1);
    if (attending.speaking && dataset['speaking'] !== 'true') {
      tile.spoke = ++this.clock;
      dataset['speaking'] = 'true';
      this.arrange();
    } else {
      dataset['speaking'] = String(attending.speaking);
    }
  }

  /** A picture came, changed or went dark. The owner of a content tile is named by the caller. */
  update(state: VideoTileState, attendeeId: string, owner: Attending | undefined): void {
    const { tileId } = state;
    if (tileId === null) {
      return;
    }
    if (state.isContent) {
      this.updateContent(state, tileId, attendeeId, owner);
      return;
    }
    const tile = this.tiles.get(attendeeId);
    if (!tile) {
      return; // video before presence: the roster calls again
    }
    tile.tileId = tileId;
    this.show(tile, state.boundVideoStream !== null, state.paused);
    if (state.boundVideoStream !== null && state.boundVideoElement !== tile.video) {
      this.watcher.bind(tileId, tile.video);
    }
  }

  removeVideo(tileId: number): void {
    const content = this.contents.get(tileId);
    if (content) {
      content.element.remove();
      this.contents.delete(tileId);
      this.arrange();
      return;
    }
    for (const tile of this.tiles.values()) {
      if (tile.tileId === tileId) {
        tile.tileId = null;
        this.show(tile, false, false);
      }
    }
  }

  snapshot(): TileSnapshot[] {
    const cameras = [...this.tiles.values()].map((tile) => ({
      attendeeId: tile.attending.id,
      content: false,
      video: !tile.video.hidden,
    }));
    const contents = [...this.contents.values()].map(({ attendeeId }) => ({ attendeeId, content: true, video: true }));
    return [...cameras, ...contents];
  }

  private updateContent(state: VideoTileState, tileId: number, attendeeId: string, owner: Attending | undefined): void {
    let content = this.contents.get(tileId);
    if (!content) {
      content = this.makeContent(attendeeId, owner);
      this.contents.set(tileId, content);
      this.contentArea.append(content.element);
      this.arrange();
    }
    if (state.boundVideoStream !== null && state.boundVideoElement !== content.video) {
      this.watcher.bind(tileId, content.video);
    }
  }

  private makeContent(attendeeId: string, owner: Attending | undefined): Content {
    const video = element('video');
    video.muted = true;
    video.playsInline = true;
    const own = owner?.self ?? false;
    const caption = element(
      'figcaption',
      '',
      icon('share'),
      element('span', 'name', own ? 'You are sharing' : `${owner?.name ?? 'Someone'} is sharing`),
    );
    const shared = element('figure', 'shared', video, caption);
    shared.dataset['attendee'] = attendeeId;
    if (own) {
      const stop = element('button', 'small-button danger', 'Stop sharing');
      stop.type = 'button';
      stop.addEventListener('click', () => this.watcher.stopShare());
      shared.append(stop);
    } else {
      const expand = element('button', 'icon-button', icon('expand'));
      expand.type = 'button';
      expand.setAttribute('aria-label', 'Full screen');
      expand.addEventListener('click', () => void toggleFullScreen(shared));
      shared.append(expand);
    }
    return { element: shared, video, attendeeId };
  }

  private show(tile: Tile, video: boolean, paused: boolean): void {
    const changed = tile.video.hidden === video;
    tile.video.hidden = !video;
    tile.element.dataset['video'] = String(video);
    tile.element.dataset['paused'] = String(paused);
    if (changed) {
      this.arrange();
    }
  }

  /** Chooses who is seen and keeps everyone at their place. */
  private arrange(): void {
    const all = [...this.tiles.values()];
    const seats = all.length > TILES_SHOWN ? TILES_SHOWN - 1 : TILES_SHOWN;
    const seen = new Set(
      [...all]
        .sort((a, b) => rank(b) - rank(a) || b.spoke - a.spoke)
        .slice(0, seats),
    );
    const wanted: HTMLElement[] = all.filter((tile) => seen.has(tile)).map((tile) => tile.element);
    if (all.length > seen.size) {
      this.rest.textContent = `+${all.length - seen.size} more`;
      wanted.push(this.rest);
    }
    if (all.length === 1 && this.contents.size === 0) {
      wanted.push(this.alone);
    }
    // Moving a video element in the document pauses it: touch only what has to change.
    for (const child of [...this.grid.children]) {
      if (!wanted.includes(child as HTMLElement)) {
        child.remove();
      }
    }
    wanted.forEach((child, place) => {
      if (this.grid.children[place] !== child) {
        this.grid.insertBefore(child, this.grid.children[place] ?? null);
        resume(child);
      }
    });
    this.contentArea.hidden = this.contents.size === 0;
    this.stage.dataset['content'] = String(this.contents.size > 0);
    this.fit();
  }

  /** Finds the number of columns that makes the tiles largest. */
  private fit(): void {
    const count = this.grid.children.length;
    const { clientWidth: width, clientHeight: height } = this.grid;
    if (count === 0 || width === 0 || height === 0 || this.contents.size > 0) {
      return;
    }
    let best = 0;
    for (let columns = 1; columns <= count; columns++) {
      const rows = Math.ceil(count / columns);
      const byWidth = (width - GAP * (columns - 1)) / columns;
      const byHeight = ((height - GAP * (rows - 1)) / rows) * ASPECT;
      best = Math.max(best, Math.min(byWidth, byHeight, WIDEST));
    }
    this.grid.style.setProperty('--tile', `${Math.floor(best)}px`);
  }
}

/** A video that was out of the document for a while stands still. */
function resume(tile: HTMLElement): void {
  const video = tile.querySelector('video');
  if (video?.srcObject) {
    void video.play().catch(() => undefined);
  }
}

/** Oneself and pictures are worth more than circles with initials. */
function rank(tile: Tile): number {
  return (tile.attending.self ? 4 : 0) + (tile.tileId !== null ? 2 : 0) + (tile.spoke > 0 ? 1 : 0);
}

function inviteTile(invite: () => void): HTMLElement {
  const button = element('button', 'small-button', icon('link'), element('span', '', 'Copy invite link'));
  button.type = 'button';
  button.addEventListener('click', invite);
  return element(
    'div',
    'tile invite-tile',
    element('strong', '', 'Nobody else is here yet'),
    element('p', 'quiet', 'Open the link in a second tab, or send it to someone.'),
    button,
  );
}

async function toggleFullScreen(shared: HTMLElement): Promise<void> {
  if (document.fullscreenElement) {
    await document.exitFullscreen();
  } else {
    await shared.requestFullscreen();
  }
}
