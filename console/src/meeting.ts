import { MeetingSessionStatusCode, type DataMessage, type Logger, type MeetingSessionStatus, type VideoTileState } from 'amazon-chime-sdk-js';
import { resign, type Admission } from './api';
import { baseAttendee, Call, isContent, type CallWatcher } from './call';
import { Chat } from './chat';
import { Controls, type Microphone, type Panel, type Toggle } from './controls';
import { DeviceProblem, Devices, type Input } from './devices';
import { must } from './dom';
import { displayName } from './names';
import { announce, hideBanner, hideBanners, showBanner, toast } from './notices';
import { enterPhase, phase } from './phase';
import { Roster } from './roster';
import { Tiles } from './tiles';

export interface Entry {
  meeting: string;
  camera: boolean;
  simulcast: boolean;
  /** Why there is no microphone, if one was wanted. */
  problem: DeviceProblem | null;
}

/** A connection that takes this long deserves a word. */
const SLOW_MS = 8_000;

/** The meeting's screen: it joins the session with tiles, roster, chat and controls. */
export class Meeting implements CallWatcher {
  readonly roster = new Roster();
  readonly tiles: Tiles;
  readonly chat: Chat;
  readonly controls: Controls;
  call: Call | null = null;
  /** Has left, and is still to be given back. */
  private departing: Admission | null = null;
  /** How often the session had to connect again. */
  reconnects = 0;
  private name = '';
  private camera: Toggle = 'off';
  private share: Toggle = 'off';
  private asking = false;
  private startedAt = 0;

  constructor(
    private readonly devices: Devices,
    private readonly output: HTMLAudioElement,
    private readonly logger: Logger,
    private readonly ended: (code: MeetingSessionStatusCode, connected: boolean) => void,
  ) {
    this.tiles = new Tiles({
      bind: (tileId, video) => this.call?.bind(tileId, video),
      invite: () => void this.invite(),
      stopShare: () => this.call?.stopShare(),
    });
    this.chat = new Chat((text) => {
      if (phase() !== 'connected') {
        throw new Error('not connected');
      }
      this.call?.send(text);
    });
    this.controls = new Controls({
      microphone: () => void this.toggleMicrophone(),
      camera: () => void this.toggleCamera(),
      share: () => void this.toggleShare(),
      leave: () => void this.leave(),
      invite: () => void this.invite(),
      panel: (panel) => this.panelChanged(panel),
    });
    setInterval(() => this.drawElapsed(), 1000);
  }

  /** Starts a session with this admission. */
  async enter(admission: Admission, entry: Entry): Promise<void> {
    this.name = entry.meeting;
    this.reconnects = 0;
    this.startedAt = 0;
    this.camera = 'off';
    this.share = 'off';
    this.chat.clear();
    this.controls.reset();
    must('#meeting-title', HTMLElement).textContent = entry.meeting;
    const muted = !this.devices.isOpen('microphone');
    this.call = new Call(
      admission,
      this.devices,
      this.output,
      this,
      { muted, simulcast: entry.simulcast },
      this.logger,
    );
    const self = this.roster.add(this.call.attendeeId, displayName(admission.Attendee.ExternalUserId), true);
    self.attending.muted = muted;
    this.tiles.add(self.attending);
    this.roster.draw(self.attending);
    this.draw();
    enterPhase('connecting');
    showBanner('connection', 'info', 'Connecting…');
    if (entry.problem) {
      this.explainSilence(entry.problem);
    }
    const { call } = this;
    setTimeout(() => {
      if (this.call === call && phase() === 'connecting') {
        showBanner('connection', 'warning', 'Still connecting. Can this browser reach the media port (UDP) of the server?');
      }
    }, SLOW_MS);
    await call.start();
    if (entry.camera) {
      await this.startCamera();
    }
  }

  async leave(): Promise<void> {
    const { call } = this;
    if (!call || phase() === 'leaving') {
      return;
    }
    enterPhase('leaving');
    showBanner('connection', 'info', 'Leaving…');
    await call.leave();
    // What the SDK tells last needs a living token: the attendee is given back after that.
    this.depart();
    this.departing = call.admission;
    this.call = null;
    void call.release().finally(() => this.depart());
    await this.finish(MeetingSessionStatusCode.Left);
  }

  private depart(): void {
    if (this.departing) {
      resign(this.departing);
      this.departing = null;
    }
  }

  /** The page is being closed: no time for anything that answers. */
  abandon(): void {
    if (this.call) {
      this.call.stop();
      resign(this.call.admission);
      this.call = null;
    }
    this.depart();
  }

  /** Draws the buttons again, after a device came or went. */
  draw(): void {
    if (this.devices.isOpen('microphone')) {
      hideBanner('microphone');
    }
    this.controls.drawMicrophone(this.microphone);
    this.controls.drawCamera(this.camera);
    this.controls.drawShare(this.share, Devices.canShareScreen);
  }

  get microphone(): Microphone {
    if (this.asking) {
      return 'busy';
    }
    if (!this.devices.isOpen('microphone')) {
      return 'off';
    }
    return this.call?.muted === false ? 'on' : 'muted';
  }

  get cameraState(): Toggle {
    return this.camera;
  }

  get shareState(): Toggle {
    return this.share;
  }

  inputEnded(input: Input): void {
    if (!this.call) {
      return;
    }
    toast(`The ${input} went away.`, 'warning');
    if (input === 'camera') {
      void this.stopCamera();
    } else {
      this.call.setMuted(true);
      this.draw();
    }
  }

  // What the session says.

  connecting(reconnecting: boolean): void {
    if (phase() === 'leaving') {
      return;
    }
    // The SDK also tries again, silently, when the first connection fails: see `enter`.
    if (!reconnecting || this.startedAt === 0) {
      return;
    }
    this.reconnects += 1;
    this.speakers([]);
    hideBanner('quality');
    enterPhase('reconnecting');
    showBanner('connection', 'warning', 'The connection was interrupted. Reconnecting…');
  }

  started(): void {
    if (phase() === 'leaving') {
      return;
    }
    hideBanner('connection');
    announce(this.startedAt > 0 ? 'Connected again.' : `You joined ${this.name}.`);
    this.startedAt ||= Date.now();
    enterPhase('connected');
    this.draw();
  }

  stopped(status: MeetingSessionStatus): void {
    if (phase() !== 'leaving') {
      const { call } = this;
      if (call && !GONE.has(status.statusCode())) {
        resign(call.admission);
      }
      void this.finish(status.statusCode());
    }
  }

  quality(quality: 'good' | 'poor' | 'stop-video'): void {
    switch (quality) {
      case 'good':
        hideBanner('quality');
        return;
      case 'poor':
        showBanner('quality', 'warning', 'Your connection is weak. Others may not hear you well.');
        return;
      case 'stop-video':
        showBanner('quality', 'warning', 'Your connection is weak. Turning your camera off may help.');
    }
  }

  soundBlocked(): void {
    showBanner('sound', 'warning', 'The browser keeps this page silent until you click.', {
      label: 'Turn sound on',
      act: () => {
        void this.call?.playSound().then(() => hideBanner('sound'));
      },
    });
  }

  muted(muted: boolean): void {
    const self = this.call && this.roster.find(this.call.attendeeId);
    if (self) {
      self.muted = muted;
      this.show(self.id);
    }
    this.draw();
  }

  presence(attendeeId: string, present: boolean, externalUserId: string, dropped: boolean): void {
    if (isContent(attendeeId)) {
      this.contentPresence(baseAttendee(attendeeId), present);
      return;
    }
    if (attendeeId === this.call?.attendeeId) {
      return; // shown from the start, and until the end
    }
    if (present) {
      const { attending, added } = this.roster.add(attendeeId, displayName(externalUserId), false);
      if (added) {
        this.tiles.add(attending);
        announce(`${attending.name} joined.`);
        this.catchUp(attendeeId);
      }
      return;
    }
    const gone = this.roster.remove(attendeeId);
    this.tiles.remove(attendeeId);
    if (gone) {
      announce(dropped ? `${gone.name} lost the connection.` : `${gone.name} left.`);
    }
  }

  level(attendeeId: string, volume: number | null, muted: boolean | null, signal: number | null): void {
    const attending = this.roster.find(attendeeId);
    if (!attending) {
      return;
    }
    attending.volume = volume ?? attending.volume;
    attending.signal = signal ?? attending.signal;
    attending.muted = muted ?? attending.muted;
    this.show(attendeeId);
  }

  speakers(attendeeIds: string[]): void {
    for (const attending of this.roster.all()) {
      const speaking = attendeeIds.includes(attending.id);
      if (attending.speaking !== speaking) {
        attending.speaking = speaking;
        this.show(attending.id);
      }
    }
  }

  tile(tile: VideoTileState): void {
    const attendeeId = tile.boundAttendeeId;
    if (attendeeId) {
      this.tiles.update(tile, attendeeId, this.roster.find(baseAttendee(attendeeId)));
    }
  }

  tileRemoved(tileId: number): void {
    this.tiles.removeVideo(tileId);
  }

  cameraRefused(): void {
    toast('The meeting has as many cameras as it can take. Yours stays off.', 'warning');
    void this.stopCamera();
  }

  sharing(sharing: boolean): void {
    this.share = sharing ? 'on' : 'off';
    this.draw();
  }

  message(message: DataMessage): void {
    const received = this.chat.receive(message);
    if (received && this.controls.panel !== 'chat') {
      this.controls.messageCame();
      announce(`${received.sender}: ${received.text}`);
    }
  }

  // What people do.

  private async toggleMicrophone(): Promise<void> {
    const { call } = this;
    if (!call || this.asking) {
      return;
    }
    if (this.devices.isOpen('microphone')) {
      if (!call.setMuted(!call.muted)) {
        toast('The meeting does not let you unmute.', 'warning');
      }
      return;
    }
    this.asking = true;
    this.draw();
    try {
      await this.devices.start('microphone');
      call.setMuted(false);
    } catch (error) {
      this.explainSilence(error);
    } finally {
      this.asking = false;
      this.draw();
    }
  }

  private async toggleCamera(): Promise<void> {
    await (this.camera === 'on' ? this.stopCamera() : this.startCamera());
  }

  private async startCamera(): Promise<void> {
    if (this.camera !== 'off') {
      return;
    }
    this.camera = 'busy';
    this.draw();
    try {
      await this.devices.start('camera');
      this.camera = this.call?.startCamera() ? 'on' : 'off';
      if (this.camera === 'off') {
        toast('This meeting has no video.', 'warning');
        await this.devices.stop('camera');
      }
    } catch (error) {
      this.camera = 'off';
      toast(error instanceof Error ? error.message : String(error), 'danger');
    }
    this.draw();
  }

  private async stopCamera(): Promise<void> {
    this.call?.stopCamera();
    this.camera = 'off';
    this.draw();
    await this.devices.stop('camera');
  }

  private async toggleShare(): Promise<void> {
    if (this.share === 'on') {
      this.call?.stopShare();
      return;
    }
    this.share = 'busy';
    this.draw();
    try {
      await this.call?.startShare(); // `sharing` tells when others see it
    } catch (error) {
      this.share = 'off';
      this.draw();
      if (!(error instanceof DOMException && error.name === 'NotAllowedError')) {
        toast(`The screen could not be shared: ${String(error)}`, 'danger');
      }
    }
  }

  private async invite(): Promise<void> {
    const link = new URL('/ui/meet', location.href);
    link.searchParams.set('meeting', this.name);
    try {
      await navigator.clipboard.writeText(link.href);
      toast('Invite link copied.');
    } catch {
      window.prompt('Copy this link:', link.href);
    }
  }

  private panelChanged(panel: Panel | null): void {
    if (panel === 'chat') {
      this.chat.focus();
    }
  }

  // What the two groups above need.

  private contentPresence(attendeeId: string, present: boolean): void {
    const attending = this.roster.find(attendeeId);
    if (attending && attending.sharing !== present) {
      attending.sharing = present;
      this.show(attendeeId);
      announce(`${attending.self ? 'You' : attending.name} ${present ? 'started' : 'stopped'} sharing.`);
    }
  }

  /** A picture may have come before the name of its owner. */
  private catchUp(attendeeId: string): void {
    for (const tile of this.call?.session.audioVideo.getAllRemoteVideoTiles() ?? []) {
      if (tile.state().boundAttendeeId === attendeeId) {
        this.tile(tile.state());
      }
    }
  }

  private show(attendeeId: string): void {
    const attending = this.roster.find(attendeeId);
    if (attending) {
      this.roster.draw(attending);
      this.tiles.draw(attending);
    }
  }

  private explainSilence(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    showBanner('microphone', 'warning', `Nobody hears you. ${text}`, {
      label: 'Try again',
      act: () => void this.toggleMicrophone(),
    });
  }

  private async finish(code: MeetingSessionStatusCode): Promise<void> {
    void this.call?.release();
    this.call = null;
    hideBanners();
    this.roster.clear();
    this.tiles.clear();
    await Promise.allSettled([this.devices.stop('microphone'), this.devices.stop('camera')]);
    enterPhase('ended');
    this.ended(code, this.startedAt > 0);
  }

  private drawElapsed(): void {
    const seconds = this.startedAt === 0 ? 0 : Math.floor((Date.now() - this.startedAt) / 1000);
    const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
    const padded = (part: number) => String(part).padStart(2, '0');
    must('#elapsed', HTMLElement).textContent =
      (hours > 0 ? `${hours}:${padded(minutes)}` : String(minutes)) + `:${padded(seconds % 60)}`;
  }
}

/** After these the attendee is not ours to give back: it is gone already, or used by another device. */
const GONE = new Set([
  MeetingSessionStatusCode.MeetingEnded,
  MeetingSessionStatusCode.AudioAttendeeRemoved,
  MeetingSessionStatusCode.AudioJoinedFromAnotherDevice,
]);
