// One attendee in one tab: the unmodified SDK, what it told us, and what it plays. The tests drive it as `window.me`.
import './connections.js';
import './film.js';

import {
  DefaultActiveSpeakerPolicy,
  DefaultDeviceController,
  DefaultMeetingSession,
  LogLevel,
  MeetingSessionConfiguration,
  MeetingSessionCredentials,
  MeetingSessionStatusCode,
  SimulcastLayers,
  TargetDisplaySize,
  TranscriptionStatus,
  VideoCodecCapability,
  VideoPreference,
  VideoPreferences,
  VideoPriorityBasedPolicy,
} from 'amazon-chime-sdk-js';

import { checkReadiness } from './readiness.js';
import { audioContext, colourOf, loudnessOf, picture, tone } from './sources.js';

// Enough to read after a failure; a meeting of a minute logs a few thousand lines.
const LOG_LINES_KEPT = 400;

class Log {
  constructor() {
    this.lines = [];
    this.errors = [];
  }
  keep(level, text) {
    const line = `${Math.round(performance.now())} ${level} ${typeof text === 'function' ? text() : text}`;
    this.lines.push(line.slice(0, 600));
    if (this.lines.length > LOG_LINES_KEPT) {
      this.lines.shift();
    }
    if (level === 'ERROR') {
      this.errors.push(line.slice(0, 600));
    }
  }
  debug() {}
  info(text) {
    this.keep('INFO', text);
  }
  warn(text) {
    this.keep('WARN', text);
  }
  error(text) {
    this.keep('ERROR', text);
  }
  setLogLevel() {}
  getLogLevel() {
    return LogLevel.INFO;
  }
}

const CAPABILITIES = {
  'video/VP8': () => VideoCodecCapability.vp8(),
  'video/VP9': () => VideoCodecCapability.vp9Profile0(),
  'video/H264': () => VideoCodecCapability.h264ConstrainedBaselineProfile(),
  'video/AV1': () => VideoCodecCapability.av1Main(),
};

class Me {
  /** Makes the session and starts listening to it; `start` joins. */
  prepare({ meeting, attendee, colour, hertz, simulcast = false, svc = false, pictureSize, priorities = false, lacking = [] }) {
    window.lacking = lacking;
    this.log = new Log();
    this.events = [];
    this.presence = {};
    this.volumes = {};
    this.messages = [];
    this.transcriptStatuses = [];
    this.transcriptItems = [];
    this.tiles = {};
    this.attendeeId = attendee.AttendeeId;
    this.colour = colour;
    this.hertz = hertz;
    this.pictureSize = pictureSize;
    const configuration = new MeetingSessionConfiguration(meeting, attendee);
    configuration.enableSimulcastForUnifiedPlanChromiumBasedBrowsers = simulcast;
    configuration.enableSVC = svc;
    if (priorities) {
      this.policy = new VideoPriorityBasedPolicy(this.log);
      this.policy.addObserver(this);
      configuration.videoDownlinkBandwidthPolicy = this.policy;
    }
    this.session = new DefaultMeetingSession(configuration, this.log, new DefaultDeviceController(this.log));
    this.audioVideo = this.session.audioVideo;
    this.audioVideo.addObserver(this);
    this.session.eventController.addObserver(this);
    this.audioVideo.addContentShareObserver(this);
    this.audioVideo.realtimeSubscribeToAttendeeIdPresence((id, present, externalUserId, dropped) =>
      this.attendeeChanged(id, present, externalUserId, dropped));
    this.audioVideo.realtimeSubscribeToLocalSignalStrengthChange(signal => this.note('signal', { signal }));
    this.audioVideo.subscribeToActiveSpeakerDetector(new DefaultActiveSpeakerPolicy(), ids => this.note('speakers', { ids }));
    this.audioVideo.transcriptionController.subscribeToTranscriptEvent(event => this.transcribed(event));
    this.audioVideo.realtimeSubscribeToReceiveDataMessage('chat', message => {
      this.messages.push({
        text: message.text(),
        topic: message.topic,
        senderAttendeeId: message.senderAttendeeId,
        senderExternalUserId: message.senderExternalUserId,
        timestampMs: Number(message.timestampMs),
        throttled: message.throttled,
      });
    });
  }

  note(name, detail = {}) {
    this.events.push({ at: performance.now(), name, ...detail });
  }

  // -- what the SDK tells

  audioVideoDidStart() {
    this.note('start');
  }
  audioVideoDidStartConnecting(reconnecting) {
    this.note('connecting', { reconnecting });
  }
  audioVideoDidStop(status) {
    this.note('stop', { status: MeetingSessionStatusCode[status.statusCode()] });
  }
  videoTileDidUpdate(tile) {
    this.note('tile', { tile: tile.tileId, attendee: tile.boundAttendeeId });
    const known = this.tiles[tile.tileId];
    this.tiles[tile.tileId] = {
      attendee: tile.boundAttendeeId,
      externalUserId: tile.boundExternalUserId,
      local: tile.localTile,
      content: tile.isContent,
      active: tile.active,
      paused: tile.paused,
      poor: tile.poorConnection,
      video: known?.video,
    };
    if (!known) {
      const video = document.createElement('video');
      video.muted = true;
      document.body.append(video);
      this.tiles[tile.tileId].video = video;
      this.audioVideo.bindVideoElement(tile.tileId, video);
    }
  }
  videoTileWasRemoved(tileId) {
    this.note('untile', { tile: tileId });
    this.tiles[tileId]?.video.remove();
    delete this.tiles[tileId];
  }
  contentShareDidStart() {
    this.note('content-start');
  }
  contentShareDidStop() {
    this.note('content-stop');
  }
  connectionDidBecomePoor() {
    this.note('poor');
  }
  videoSendDidBecomeUnavailable() {
    this.note('video-unavailable');
  }
  videoAvailabilityDidChange(availability) {
    this.note('availability', { video: availability.canStartLocalVideo });
  }
  encodingSimulcastLayersDidChange(layers) {
    this.note('layers', { layers: SimulcastLayers[layers] });
  }
  audioVideoWasDemotedFromPrimaryMeeting(status) {
    this.note('demoted', { status: MeetingSessionStatusCode[status.statusCode()] });
  }
  metricsDidReceive(report) {
    this.metrics = { all: report.getObservableMetrics(), video: report.getObservableVideoMetrics() };
  }
  tileWillBePausedByDownlinkPolicy(tileId) {
    this.note('policy-paused', { tile: tileId, attendee: this.tiles[tileId]?.attendee });
  }
  tileWillBeUnpausedByDownlinkPolicy(tileId) {
    this.note('policy-unpaused', { tile: tileId, attendee: this.tiles[tileId]?.attendee });
  }
  eventDidReceive(name) {
    this.note('event', { event: name });
  }
  transcribed(event) {
    if (event instanceof TranscriptionStatus) {
      this.transcriptStatuses.push({
        type: event.type,
        at: Number(event.eventTimeMs),
        region: event.transcriptionRegion,
        configuration: event.transcriptionConfiguration,
        message: event.message,
      });
      return;
    }
    for (const result of event.results) {
      for (const { type, content, attendee, startTimeMs, endTimeMs } of result.alternatives[0].items) {
        this.transcriptItems.push({ type, content, attendee, start: Number(startTimeMs), end: Number(endTimeMs) });
      }
    }
  }
  attendeeChanged(id, present, externalUserId, dropped) {
    this.note('presence', { id, present, externalUserId, dropped });
    this.presence[id] = { present, externalUserId, dropped };
    if (present && !this.volumes[id]) {
      this.volumes[id] = { seen: [] };
      this.audioVideo.realtimeSubscribeToVolumeIndicator(id, (_, volume, muted, signal) => {
        const state = this.volumes[id];
        if (volume !== null) {
          state.volume = volume;
          state.seen.push(volume);
        }
        if (muted !== null) {
          state.muted = muted;
        }
        if (signal !== null) {
          state.signal = signal;
        }
      });
    }
  }

  // -- what the tests ask for

  /** Before it joins: the codecs to send with, the best first. */
  sendWith(...codecs) {
    this.audioVideo.setVideoCodecSendPreferences(codecs.map(codec => CAPABILITIES[codec]()));
  }
  /** The same for what it shares. */
  shareWith(...codecs) {
    this.audioVideo.setContentShareVideoCodecPreferences(codecs.map(codec => CAPABILITIES[codec]()));
  }

  async start({ microphone = true } = {}) {
    await audioContext().resume();
    if (microphone) {
      this.voice = tone(this.hertz);
      await this.audioVideo.startAudioInput(this.voice.stream);
    }
    const element = document.createElement('audio');
    document.body.append(element);
    await this.audioVideo.bindAudioElement(element);
    this.startedAt = performance.now();
    this.audioVideo.start();
  }
  async startVideo() {
    this.camera = picture(this.colour, this.pictureSize);
    await this.audioVideo.startVideoInput(this.camera.stream);
    return this.audioVideo.startLocalVideoTile();
  }
  async stopVideo() {
    this.audioVideo.stopLocalVideoTile();
    await this.audioVideo.stopVideoInput();
    this.camera.stop();
  }
  async share(colour, hertz) {
    this.shared = picture(colour, { framerate: 10 });
    if (hertz) {
      tone(hertz).stream.getAudioTracks().forEach(track => this.shared.stream.addTrack(track));
    }
    await this.audioVideo.startContentShare(this.shared.stream);
  }
  unshare() {
    this.audioVideo.stopContentShare();
  }
  mute() {
    this.audioVideo.realtimeMuteLocalAudio();
  }
  unmute() {
    return this.audioVideo.realtimeUnmuteLocalAudio();
  }
  say(text, lifetimeMs) {
    this.audioVideo.realtimeSendDataMessage('chat', text, lifetimeMs);
  }
  /** Takes part in the primary meeting as this attendee of it, if that is granted. */
  async promote(attendee) {
    const credentials = new MeetingSessionCredentials();
    credentials.attendeeId = attendee.AttendeeId;
    credentials.externalUserId = attendee.ExternalUserId;
    credentials.joinToken = attendee.JoinToken;
    const status = await this.audioVideo.promoteToPrimaryMeeting(credentials);
    return MeetingSessionStatusCode[status.statusCode()];
  }
  demote() {
    this.audioVideo.demoteFromPrimaryMeeting();
  }
  pause(tileId) {
    this.audioVideo.pauseVideoTile(tileId);
  }
  unpause(tileId) {
    this.audioVideo.unpauseVideoTile(tileId);
  }
  /** How loud it speaks from now on; 0 is silence. */
  speak(level) {
    this.voice.speak(level);
  }
  /** What its policy is to receive, as [attendee, priority, size]; a priority of 1 is the highest. */
  choose(wishes) {
    const preferences = VideoPreferences.prepare();
    for (const [attendeeId, priority, size] of wishes) {
      preferences.add(new VideoPreference(attendeeId, priority, TargetDisplaySize[size]));
    }
    this.policy.chooseRemoteVideoSources(preferences.build());
  }
  /** Instead of starting: what the SDK's readiness checker finds. */
  checkReadiness() {
    return checkReadiness(this.session, this.log);
  }
  hasStartedLocalVideo() {
    return this.audioVideo.hasStartedLocalVideoTile();
  }
  stop() {
    this.audioVideo.stop();
  }

  // -- what the tests look at

  named(name) {
    return this.events.filter(event => event.name === name);
  }
  state() {
    return {
      starts: this.named('start').length,
      startTook: this.named('start')[0]?.at - this.startedAt,
      reconnects: this.named('connecting').filter(event => event.reconnecting).length,
      stops: this.named('stop').map(event => event.status),
      presence: this.presence,
      presenceEvents: this.named('presence'),
      volumes: this.volumes,
      messages: this.messages,
      contentStarts: this.named('content-start').length,
      contentStops: this.named('content-stop').length,
      poor: this.named('poor').length,
      sdkEvents: this.named('event').map(event => event.event),
      signals: this.named('signal').map(event => event.signal),
      speakers: this.named('speakers').map(event => event.ids),
      availability: this.named('availability').map(event => event.video),
      demotions: this.named('demoted').map(event => event.status),
      videoRefusals: this.named('video-unavailable').length,
      layers: this.named('layers').map(event => event.layers),
      policyPaused: this.named('policy-paused').map(event => event.attendee),
      policyUnpaused: this.named('policy-unpaused').map(event => event.attendee),
      connections: window.connections.length,
      openConnections: window.connections.filter(connection => connection.connectionState !== 'closed').length,
      errors: this.log.errors,
    };
  }
  tileList() {
    return Object.entries(this.tiles).map(([id, tile]) => ({
      id: Number(id),
      attendee: tile.attendee,
      externalUserId: tile.externalUserId,
      local: tile.local,
      content: tile.content,
      paused: tile.paused,
      poor: tile.poor,
      width: tile.video?.videoWidth ?? 0,
      colour: tile.video ? colourOf(tile.video) : null,
    }));
  }
  /** The PeerConnection that carries this attendee's meeting now (not its content share, not one that is closed). */
  connection() {
    return window.connections.filter(
      connection => connection.connectionState !== 'closed' && connection.getReceivers().some(receiver => receiver.track.kind === 'audio'),
    )[0];
  }
  /** The name of that connection's ICE agent. */
  ufrag() {
    return /a=ice-ufrag:(\S+)/.exec(this.connection().localDescription.sdp)[1];
  }
  hear(frequencies, seconds = 3) {
    const tracks = this.connection()
      .getReceivers()
      .map(receiver => receiver.track)
      .filter(track => track.kind === 'audio');
    return loudnessOf(new MediaStream(tracks), frequencies, seconds);
  }
  async stats() {
    const report = await this.connection().getStats();
    const found = { audio: null, video: [], sent: null, outbound: [] };
    report.forEach(entry => {
      if (entry.type === 'inbound-rtp' && entry.kind === 'audio') {
        found.audio = {
          packets: entry.packetsReceived,
          lost: entry.packetsLost,
          at: entry.timestamp,
          concealed: entry.concealedSamples,
          samples: entry.totalSamplesReceived,
        };
      } else if (entry.type === 'inbound-rtp') {
        found.video.push({
          mid: entry.mid,
          ssrc: entry.ssrc,
          decoded: entry.framesDecoded ?? 0,
          keyframes: entry.keyFramesDecoded ?? 0,
          width: entry.frameWidth,
          bytes: entry.bytesReceived,
          lost: entry.packetsLost,
          repaired: entry.retransmittedPacketsReceived ?? 0,
          nacks: entry.nackCount ?? 0,
          codec: report.get(entry.codecId)?.mimeType,
        });
      } else if (entry.type === 'outbound-rtp' && entry.kind === 'audio') {
        found.sent = { packets: entry.packetsSent };
      } else if (entry.type === 'outbound-rtp') {
        found.outbound.push({
          mid: entry.mid,
          rid: entry.rid,
          active: entry.active,
          packets: entry.packetsSent ?? 0,
          frames: entry.framesSent ?? 0,
          width: entry.frameWidth,
          nacks: entry.nackCount,
          codec: report.get(entry.codecId)?.mimeType,
          mode: entry.scalabilityMode,
        });
      } else if (entry.type === 'candidate-pair' && entry.nominated) {
        found.path = report.get(entry.localCandidateId)?.candidateType;
      }
    });
    return found;
  }
  look(name) {
    return this[name];
  }
  logTail(count = 60) {
    return this.log.lines.slice(-count);
  }
}

window.prepare = options => {
  window.me = new Me();
  window.me.prepare(options);
};
window.ready = true;
