import {
  DefaultActiveSpeakerPolicy,
  DefaultMeetingSession,
  DefaultModality,
  MeetingSessionConfiguration,
  type AudioVideoFacade,
  type AudioVideoObserver,
  type ContentShareObserver,
  type DataMessage,
  type Logger,
  type MeetingSessionStatus,
  type VideoTileState,
} from 'amazon-chime-sdk-js';
import type { Admission } from './api';
import type { Devices } from './devices';

/** What the page hears of a running call. Nothing here may throw: the SDK ends the session if it does. */
export interface CallWatcher {
  connecting(reconnecting: boolean): void;
  started(): void;
  stopped(status: MeetingSessionStatus): void;
  quality(quality: 'good' | 'poor' | 'stop-video'): void;
  /** The browser wants a click before it plays sound. */
  soundBlocked(): void;
  muted(muted: boolean): void;
  presence(attendeeId: string, present: boolean, externalUserId: string, dropped: boolean): void;
  /** `null` where nothing changed. Volume and signal run from 0 to 1. */
  level(attendeeId: string, volume: number | null, muted: boolean | null, signal: number | null): void;
  speakers(attendeeIds: string[]): void;
  tile(tile: VideoTileState): void;
  tileRemoved(tileId: number): void;
  cameraRefused(): void;
  sharing(sharing: boolean): void;
  message(message: DataMessage): void;
}

export interface CallOptions {
  muted: boolean;
  simulcast: boolean;
}

const CHAT_TOPIC = 'chat';
/** How long the server keeps a chat message for those who join later. */
const CHAT_LIFETIME_MS = 5 * 60_000;
/** A stop that the server does not confirm is over after this time all the same. */
const STOP_PATIENCE_MS = 3_000;
const DESTROY_AFTER_MS = 500;

const delay = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** One SDK session from join to leave. */
export class Call {
  readonly session: DefaultMeetingSession;
  readonly attendeeId: string;
  readonly meetingId: string;
  private readonly audioVideo: AudioVideoFacade;
  private readonly stopped: Promise<void>;
  private resolveStopped: () => void = () => undefined;
  private hearing = new Set<string>();

  constructor(
    readonly admission: Admission,
    private readonly devices: Devices,
    private readonly output: HTMLAudioElement,
    private readonly watcher: CallWatcher,
    options: CallOptions,
    logger: Logger,
  ) {
    const configuration = new MeetingSessionConfiguration(admission.Meeting, admission.Attendee);
    configuration.enableSimulcastForUnifiedPlanChromiumBasedBrowsers = options.simulcast;
    this.session = new DefaultMeetingSession(configuration, logger, devices.controller);
    this.attendeeId = admission.Attendee.AttendeeId;
    this.meetingId = admission.Meeting.MeetingId;
    this.audioVideo = this.session.audioVideo;
    this.stopped = new Promise((resolve) => (this.resolveStopped = resolve));
    this.audioVideo.addObserver(this.observer());
    this.audioVideo.addContentShareObserver(this.contentObserver());
    this.subscribe();
    if (options.muted) {
      this.audioVideo.realtimeMuteLocalAudio();
    }
  }

  async start(): Promise<void> {
    await this.audioVideo.bindAudioElement(this.output);
    this.audioVideo.start();
  }

  /** Leaves and waits until the session has ended, within reason. */
  async leave(): Promise<void> {
    this.stop();
    await Promise.race([this.stopped, delay(STOP_PATIENCE_MS)]);
  }

  /** Asks the session to end and does not wait: for a page that is being closed. */
  stop(): void {
    this.audioVideo.stopContentShare();
    this.audioVideo.stop();
  }

  /**
   * Lets go of the audio element and of the SDK's workers; nothing may be called afterwards. Resolves when the SDK has said
   * its last words, within reason.
   */
  async release(): Promise<void> {
    this.audioVideo.unbindAudioElement();
    // The devices outlive the session, and would go on reporting to it.
    delete this.devices.controller.eventController;
    // Not inside the callback that told of the end: the SDK is still busy ending.
    const destroyed = this.stopped.then(() => delay(DESTROY_AFTER_MS)).then(() => this.session.destroy());
    await Promise.race([destroyed, delay(STOP_PATIENCE_MS)]);
  }

  get muted(): boolean {
    return this.audioVideo.realtimeIsLocalAudioMuted();
  }

  /** False if the session may not be unmuted. */
  setMuted(muted: boolean): boolean {
    if (muted) {
      this.audioVideo.realtimeMuteLocalAudio();
      return true;
    }
    return this.audioVideo.realtimeUnmuteLocalAudio();
  }

  /** False if the meeting allows no video. */
  startCamera(): boolean {
    return this.audioVideo.startLocalVideoTile() >= 0;
  }

  stopCamera(): void {
    this.audioVideo.stopLocalVideoTile();
  }

  bind(tileId: number, video: HTMLVideoElement): void {
    this.audioVideo.bindVideoElement(tileId, video);
  }

  async startShare(): Promise<void> {
    await this.audioVideo.startContentShareFromScreenCapture();
  }

  stopShare(): void {
    this.audioVideo.stopContentShare();
  }

  /** Throws if the session is not connected or the text is too long. */
  send(text: string): void {
    this.audioVideo.realtimeSendDataMessage(CHAT_TOPIC, text, CHAT_LIFETIME_MS);
  }

  /** To be called from a click after `soundBlocked`. */
  async playSound(): Promise<void> {
    await this.output.play();
  }

  private subscribe(): void {
    const { audioVideo, watcher } = this;
    audioVideo.realtimeSubscribeToAttendeeIdPresence((attendeeId, present, externalUserId, dropped) =>
      safely(() => {
        if (present) {
          this.hear(attendeeId);
        } else {
          this.unhear(attendeeId);
        }
        watcher.presence(attendeeId, present, externalUserId ?? attendeeId, dropped ?? false);
      }),
    );
    audioVideo.realtimeSubscribeToMuteAndUnmuteLocalAudio((muted) => safely(() => watcher.muted(muted)));
    audioVideo.realtimeSubscribeToReceiveDataMessage(CHAT_TOPIC, (message) => safely(() => watcher.message(message)));
    audioVideo.subscribeToActiveSpeakerDetector(new DefaultActiveSpeakerPolicy(), (attendeeIds) =>
      safely(() => watcher.speakers(attendeeIds)),
    );
  }

  private hear(attendeeId: string): void {
    if (this.hearing.has(attendeeId) || isContent(attendeeId)) {
      return;
    }
    this.hearing.add(attendeeId);
    this.audioVideo.realtimeSubscribeToVolumeIndicator(attendeeId, (id, volume, muted, signal) =>
      safely(() => this.watcher.level(id, volume, muted, signal)),
    );
  }

  private unhear(attendeeId: string): void {
    if (this.hearing.delete(attendeeId)) {
      this.audioVideo.realtimeUnsubscribeFromVolumeIndicator(attendeeId);
    }
  }

  private observer(): AudioVideoObserver {
    const { watcher } = this;
    return {
      audioVideoDidStartConnecting: (reconnecting) => safely(() => watcher.connecting(reconnecting)),
      audioVideoDidStart: () =>
        safely(() => {
          watcher.started();
          void this.devices.applySpeaker().catch(() => undefined);
          void this.output.play().catch((error: DOMException) => {
            if (error.name === 'NotAllowedError') {
              watcher.soundBlocked();
            }
          });
        }),
      audioVideoDidStop: (status) =>
        safely(() => {
          this.resolveStopped();
          watcher.stopped(status);
        }),
      connectionDidBecomePoor: () => safely(() => watcher.quality('poor')),
      connectionDidSuggestStopVideo: () => safely(() => watcher.quality('stop-video')),
      connectionDidBecomeGood: () => safely(() => watcher.quality('good')),
      videoTileDidUpdate: (tile) => safely(() => watcher.tile(tile)),
      videoTileWasRemoved: (tileId) => safely(() => watcher.tileRemoved(tileId)),
      videoSendDidBecomeUnavailable: () => safely(() => watcher.cameraRefused()),
    };
  }

  private contentObserver(): ContentShareObserver {
    return {
      contentShareDidStart: () => safely(() => this.watcher.sharing(true)),
      contentShareDidStop: () => safely(() => this.watcher.sharing(false)),
    };
  }
}

/** Whether the id is of a content attendee, `<attendee>#content`. */
export function isContent(attendeeId: string): boolean {
  return new DefaultModality(attendeeId).hasModality(DefaultModality.MODALITY_CONTENT);
}

/** The attendee that shares, of a content attendee's id. */
export function baseAttendee(attendeeId: string): string {
  return new DefaultModality(attendeeId).base();
}

/** An exception inside a realtime callback ends the session as RealtimeApiFailed. A drawing fault must not. */
function safely(react: () => void): void {
  try {
    react();
  } catch (error) {
    console.error(error);
  }
}
