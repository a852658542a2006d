// Keeps every RTCPeerConnection that the SDK makes, without touching the SDK: the facade does not hand them out. The
// content share has one of its own, and each reconnect makes another.
const Native = window.RTCPeerConnection;
window.connections = [];
// Codecs that this browser does as if it had not, as ['video/VP9', ...]: there are browsers that have not.
window.lacking = [];
window.RTCPeerConnection = class extends Native {
  constructor(...parameters) {
    super(...parameters);
    window.connections.push(this);
  }
  createOffer(...parameters) {
    if (window.lacking.length) {
      const codecs = RTCRtpReceiver.getCapabilities('video').codecs.filter(codec => !window.lacking.includes(codec.mimeType));
      this.getTransceivers()
        .filter(transceiver => transceiver.receiver.track.kind === 'video' && transceiver.currentDirection !== 'stopped')
        .forEach(transceiver => transceiver.setCodecPreferences(codecs));
    }
    return super.createOffer(...parameters);
  }
};
