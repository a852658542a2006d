// Keeps every RTCPeerConnection that the SDK makes, without touching the SDK: the facade does not hand them out. The
// content share has one of its own, and each reconnect makes another.
const Native = window.RTCPeerConnection;
window.connections = [];
window.RTCPeerConnection = class extends Native {
  constructor(...parameters) {
    super(...parameters);
    window.connections.push(this);
  }
};
