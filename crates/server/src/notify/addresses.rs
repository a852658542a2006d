//! Which addresses deliveries may reach: not those of this machine and its neighbours, unless the operator says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::dispatcher::Failure;
use super::failed;

/// Whether an address is out in the Internet: not loopback, private, link-local (where clouds have their metadata) or
/// otherwise special (IANA's registries of special-purpose addresses).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Whether a host may be in the Internet by how it is written. A name has to be looked up to know.
pub fn is_public_host(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    match bare.parse() {
        Ok(address) => is_public(address),
        Err(_) => !bare.eq_ignore_ascii_case("localhost"),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        // Shared by carriers (RFC 6598); some clouds have their metadata there.
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        // Benchmarks (RFC 2544).
        || (a == 198 && (18..20).contains(&b))
        || a >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = inner(address) {
        return is_public_v4(inner);
    }
    // Global unicast is 2000::/3 (RFC 4291); documentation and tunnels are inside it.
    let [first, second, ..] = address.segments();
    first & 0xe000 == 0x2000 && !(first == 0x2001 && (second == 0x0db8 || second < 0x0200))
}

/// The IPv4 address that an IPv6 address leads to: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let last = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(last(high, low)),
        [0x2002, high, low, ..] => Some(last(high, low)),
        _ => None,
    }
}

/// The addresses of a host. One that must not be reached makes all of them suspect.
pub(super) async fn resolve(host: &str, port: u16, allow_private: bool) -> Result<Vec<SocketAddr>, Failure> {
    let bare = host.trim_matches(['[', ']']);
    let found = tokio::net::lookup_host((bare, port)).await;
    let found: Vec<SocketAddr> =
        found.map_err(|error| failed(format!("cannot look up {host}: {error}")))?.collect();
    if let Some(inside) = found.iter().find(|address| !allow_private && !is_public(address.ip())) {
        // Names can change, so it is tried again.
        return Err(failed(format!(
            "{host} is at {}, which is not in the Internet; notify.allow_private_addresses lets it be reached",
            inside.ip()
        )));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_are_told_from_those_outside() {
        let inside = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.100.100.200",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
        ];
        for address in inside {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused() {
        let refused = resolve("localhost", 80, false).await.unwrap_err();
        assert!(!refused.for_good && refused.why.contains("allow_private_addresses"), "{refused:?}");
        assert!(!resolve("localhost", 80, true).await.unwrap().is_empty());
    }
}
