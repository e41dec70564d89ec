//! Which addresses are told and believed on a link.

use std::net::IpAddr;

use multiaddr::Protocol;
use netcom_identity::{Multiaddr, PeerId, peer_id_from_bytes};

/// The address with `/p2p/<peer>` at its end.
pub(crate) fn with_peer(address: &Multiaddr, peer: &PeerId) -> Multiaddr {
    address.clone().with_p2p(*peer).unwrap_or_else(|address| address)
}

/// The peer an address ends at, if it says how to get there and the id is a proper one.
pub(crate) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) if address.iter().count() > 1 => {
            peer_id_from_bytes(&peer.to_bytes()).ok()
        }
        _ => None,
    }
}

/// Whether an address means something to the hosts of a link. A name is refused, because looking
/// it up would tell servers elsewhere about it; so is a loopback address on any other link.
pub(crate) fn fits_link(address: &Multiaddr, is_loopback: bool) -> bool {
    let ip = match address.iter().next() {
        Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
        Some(Protocol::Ip6(ip)) => IpAddr::V6(ip).to_canonical(),
        _ => return false,
    };
    // Without the name of an interface, nobody can dial a link-local address of IPv6.
    let is_nowhere = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    !ip.is_unspecified() && !ip.is_multicast() && !is_nowhere && (is_loopback || !ip.is_loopback())
}

/// Whether packets from `source` come from the link itself (RFC 6762 section 11).
pub(crate) fn is_on_link(source: IpAddr, prefixes: &[(IpAddr, u8)]) -> bool {
    match source.to_canonical() {
        IpAddr::V4(ip) if ip.is_link_local() => true,
        IpAddr::V6(ip) if ip.is_unicast_link_local() => true,
        source => prefixes.iter().any(|&(address, length)| shares(source, address, length)),
    }
}

fn shares(one: IpAddr, other: IpAddr, length: u8) -> bool {
    let (one, other, width) = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (u128::from(one.to_bits()), u128::from(other.to_bits()), 32_u8)
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
        _ => return false,
    };
    let differing = u32::from(width.saturating_sub(length));
    (one ^ other).checked_shr(differing).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_in_a_prefix_or_link_local_are_on_link() {
        let prefixes = [("192.0.2.7".parse().unwrap(), 24), ("2001:db8::1".parse().unwrap(), 64)];
        for (source, expected) in [
            ("192.0.2.200", true),
            ("192.0.3.1", false),
            ("169.254.9.9", true),
            ("2001:db8::ffff", true),
            ("2001:db8:0:1::1", false),
            ("fe80::1", true),
            ("::ffff:192.0.2.9", true),
            ("8.8.8.8", false),
        ] {
            assert_eq!(is_on_link(source.parse().unwrap(), &prefixes), expected, "{source}");
        }
        assert!(!is_on_link("192.0.2.200".parse().unwrap(), &[]));
        assert!(is_on_link("8.8.8.8".parse().unwrap(), &[("1.1.1.1".parse().unwrap(), 0)]));
    }

    #[test]
    fn names_and_foreign_loopback_addresses_are_refused() {
        for (address, on_lan, on_loopback) in [
            ("/ip4/192.0.2.1/tcp/1", true, true),
            ("/ip4/127.0.0.1/tcp/1", false, true),
            ("/ip6/::1/tcp/1", false, true),
            ("/ip6/::ffff:127.0.0.1/tcp/1", false, true),
            ("/dns4/example.org/tcp/1", false, false),
            ("/ip4/0.0.0.0/tcp/1", false, false),
            ("/ip6/fe80::1/tcp/1", false, false),
            ("/ip4/224.0.0.251/udp/1/quic-v1", false, false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(fits_link(&address, false), on_lan, "{address}");
            assert_eq!(fits_link(&address, true), on_loopback, "{address}");
        }
    }
}
