//! How a client's datagrams reach us.

use std::fmt;
use std::net::SocketAddr;

/// How a client's datagrams reach us and ours reach it. Today always UDP; TCP and the relay will have kinds of their
/// own, which is why nothing else in this crate looks inside.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathId {
    remote: SocketAddr,
}

impl PathId {
    /// A client seen at this UDP address.
    pub fn udp(remote: SocketAddr) -> Self {
        Self { remote: canonical(remote) }
    }

    /// The address ICE knows the client by.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }
}

/// A dual-stack socket reports IPv4 clients as `::ffff:a.b.c.d`; ICE must see one spelling only.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl fmt::Debug for PathId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "udp:{}", self.remote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_one_path_with_plain_ones() {
        let mapped = PathId::udp("[::ffff:192.0.2.1]:5000".parse().unwrap());
        assert_eq!(mapped, PathId::udp("192.0.2.1:5000".parse().unwrap()));
        assert_eq!(mapped.remote().to_string(), "192.0.2.1:5000");
    }
}
