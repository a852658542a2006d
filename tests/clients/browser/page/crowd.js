// Attendees who do nothing but send a small picture, many of them in one tab: no microphone, no tiles of others. Each is a
// whole session of the SDK; without an audio host it offers no audio (and the tab needs no encoders for it).
import {
  DefaultDeviceController,
  DefaultMeetingSession,
  MeetingSessionConfiguration,
  NoOpLogger,
  NoVideoDownlinkBandwidthPolicy,
  VideoCodecCapability,
} from 'amazon-chime-sdk-js';

import { picture } from './sources.js';

/** The default policy of those who watch takes no more than 15 Mbit/s of what senders say they may send: ten cameras. */
const MOST_KBPS = 200;

class Publisher {
  constructor(meeting, attendee, colour) {
    const { AudioHostUrl, ...MediaPlacement } = meeting.MediaPlacement;
    const configuration = new MeetingSessionConfiguration({ ...meeting, MediaPlacement }, attendee);
    configuration.videoDownlinkBandwidthPolicy = new NoVideoDownlinkBandwidthPolicy();
    const log = new NoOpLogger();
    this.audioVideo = new DefaultMeetingSession(configuration, log, new DefaultDeviceController(log)).audioVideo;
    // The lightest encoder: there are many.
    this.audioVideo.setVideoCodecSendPreferences([VideoCodecCapability.vp8()]);
    this.audioVideo.setVideoMaxBandwidthKbps(MOST_KBPS);
    this.audioVideo.addObserver(this);
    this.id = attendee.AttendeeId;
    this.colour = colour;
    this.seen = { starts: 0, stops: 0, unavailable: 0, sending: null };
    this.started = new Promise(resolve => (this.resolve = resolve));
  }
  audioVideoDidStart() {
    this.seen.starts += 1;
    this.resolve();
  }
  audioVideoDidStop() {
    this.seen.stops += 1;
  }
  videoSendDidBecomeUnavailable() {
    this.seen.unavailable += 1;
  }
  videoAvailabilityDidChange(availability) {
    this.seen.available = availability.canStartLocalVideo;
  }
  async publish() {
    this.audioVideo.start();
    await this.started;
    this.camera = picture(this.colour, { width: 160, height: 96, framerate: 5 });
    await this.audioVideo.startVideoInput(this.camera.stream);
    this.audioVideo.startLocalVideoTile();
  }
}

const crowd = [];

/** One more publisher joins and sends. */
window.publish = async (meeting, attendee, colour) => {
  const publisher = new Publisher(meeting, attendee, colour);
  crowd.push(publisher);
  await publisher.publish();
};
window.crowd = () => crowd.map(({ id, seen, audioVideo }) => ({ id, ...seen, sending: audioVideo.hasStartedLocalVideoTile() }));
window.unpublish = id => {
  const { audioVideo, camera } = crowd.find(publisher => publisher.id === id);
  audioVideo.stopLocalVideoTile();
  camera.stop();
};
window.disperse = () => crowd.forEach(({ audioVideo }) => audioVideo.stop());
