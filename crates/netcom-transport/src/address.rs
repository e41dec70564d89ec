//! Addresses: what a multiaddr means to the sockets, and back.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use multiaddr::Protocol;
use netcom_identity::{Multiaddr, PeerId};
use netcom_session::LinkKind;

use crate::interfaces;

/// Where a link starts or ends, without the peer's name.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Endpoint {
    /// `/ip4|ip6/../tcp/N`
    Tcp(SocketAddr),
    /// `/ip4|ip6/../udp/N/quic-v1`
    Quic(SocketAddr),
    /// `/memory/N`
    Memory(u64),
}

/// Why an address cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// No transport here speaks it. Use `/ip4/../tcp/N`, `/ip6/../tcp/N`, the same with
    /// `/udp/N/quic-v1`, or `/memory/N`.
    #[error("no transport speaks {0}; try /ip4/../tcp/N or /ip4/../udp/N/quic-v1")]
    Unsupported(Multiaddr),
    /// It names another peer than the one asked for.
    #[error("the address belongs to {0}")]
    OtherPeer(PeerId),
}

impl Endpoint {
    /// Reads an address. A trailing `/p2p/<id>` is returned apart.
    pub(crate) fn parse(address: &Multiaddr) -> Result<(Self, Option<PeerId>), AddressError> {
        let unsupported = || AddressError::Unsupported(address.clone());
        let mut parts = address.iter();
        let ip = match parts.next() {
            Some(Protocol::Memory(number)) => {
                return Ok((Self::Memory(number), end(&mut parts).ok_or_else(unsupported)?));
            }
            Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
            Some(Protocol::Ip6(ip)) => IpAddr::V6(ip),
            _ => return Err(unsupported()),
        };
        let endpoint = match parts.next() {
            Some(Protocol::Tcp(port)) => Self::Tcp(SocketAddr::new(ip, port)),
            Some(Protocol::Udp(port)) if parts.next() == Some(Protocol::QuicV1) => {
                Self::Quic(SocketAddr::new(ip, port))
            }
            _ => return Err(unsupported()),
        };
        Ok((endpoint, end(&mut parts).ok_or_else(unsupported)?))
    }

    /// Reads an address to dial `expected` at.
    pub(crate) fn for_peer(address: &Multiaddr, expected: &PeerId) -> Result<Self, AddressError> {
        match Self::parse(address)? {
            (_, Some(other)) if other != *expected => Err(AddressError::OtherPeer(other)),
            (endpoint, _) => Ok(endpoint),
        }
    }

    /// The address as text's binary form, without the peer's name.
    pub(crate) fn to_multiaddr(self) -> Multiaddr {
        match self {
            Self::Tcp(socket) => ip_multiaddr(socket.ip()).with(Protocol::Tcp(socket.port())),
            Self::Quic(socket) => {
                ip_multiaddr(socket.ip()).with(Protocol::Udp(socket.port())).with(Protocol::QuicV1)
            }
            Self::Memory(number) => Multiaddr::empty().with(Protocol::Memory(number)),
        }
    }

    /// The kind of link it leads to.
    pub(crate) fn kind(self) -> LinkKind {
        match self {
            Self::Tcp(_) => LinkKind::Tcp,
            Self::Quic(_) => LinkKind::Quic,
            Self::Memory(_) => LinkKind::Memory,
        }
    }

    /// The socket's address, where there is a socket.
    pub(crate) fn socket(self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(socket) | Self::Quic(socket) => Some(socket),
            Self::Memory(_) => None,
        }
    }

    fn with_ip(self, ip: IpAddr) -> Self {
        match self {
            Self::Tcp(socket) => Self::Tcp(SocketAddr::new(ip, socket.port())),
            Self::Quic(socket) => Self::Quic(SocketAddr::new(ip, socket.port())),
            Self::Memory(_) => self,
        }
    }
}

/// The addresses under which a listener at `listen` is reached: of every interface that is up,
/// where it listens on all of them. Link-local IPv6 addresses are left out, since they mean
/// nothing without the interface's name.
///
/// # Errors
///
/// When the machine's interfaces cannot be listed.
pub fn expand(listen: &Multiaddr) -> io::Result<Vec<Multiaddr>> {
    let Ok((endpoint, _)) = Endpoint::parse(listen) else {
        return Ok(vec![listen.clone()]);
    };
    match endpoint.socket() {
        Some(socket) if socket.ip().is_unspecified() => {
            Ok(expand_over(endpoint, interfaces::interface_addresses()?))
        }
        _ => Ok(vec![endpoint.to_multiaddr()]),
    }
}

/// Appends `/p2p/<peer>`, replacing one that is there.
#[must_use]
pub fn with_peer(address: &Multiaddr, peer: PeerId) -> Multiaddr {
    without_peer(address).with(Protocol::P2p(peer))
}

/// Takes a trailing `/p2p/<peer>` off.
#[must_use]
pub fn without_peer(address: &Multiaddr) -> Multiaddr {
    let mut address = address.clone();
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

/// Whether two addresses lead to one host by one kind of transport, whatever their ports.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (tcp, other_port) = ("/ip4/192.0.2.1/tcp/7".parse()?, "/ip4/192.0.2.1/tcp/8".parse()?);
/// assert!(netcom_transport::leads_alike(&tcp, &other_port));
/// assert!(!netcom_transport::leads_alike(&tcp, &"/ip4/192.0.2.2/tcp/7".parse()?));
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn leads_alike(one: &Multiaddr, other: &Multiaddr) -> bool {
    let facts = |address| {
        let (endpoint, _) = Endpoint::parse(address).ok()?;
        Some((endpoint.kind(), endpoint.socket().map(|socket| socket.ip())))
    };
    facts(one).is_some() && facts(one) == facts(other)
}

/// The IP address in an address, unspecified where it stands for all interfaces; `None` for one
/// without.
#[must_use]
pub fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    let (endpoint, _) = Endpoint::parse(address).ok()?;
    endpoint.socket().map(|socket| socket.ip())
}

/// Stands for both ends of a link without their ports, in this process.
pub(crate) fn path(local: &Multiaddr, remote: &Multiaddr) -> u64 {
    let remote = ip_of(remote);
    // A socket of all interfaces does not say which one its packets take.
    let local = ip_of(local).filter(|ip| !ip.is_unspecified()).or(remote.and_then(source_towards));
    let mut hasher = DefaultHasher::new();
    (local, remote).hash(&mut hasher);
    hasher.finish()
}

/// The address from which packets to another one are sent now.
fn source_towards(remote: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting it sends nothing: any port will do.
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((remote, DISCARD_PORT)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

fn expand_over(endpoint: Endpoint, interfaces: impl Iterator<Item = IpAddr>) -> Vec<Multiaddr> {
    let is_v4 = endpoint.socket().is_some_and(|socket| socket.is_ipv4());
    let ips: BTreeSet<IpAddr> = interfaces
        .filter(|ip| ip.is_ipv4() == is_v4)
        .filter(|ip| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect();
    ips.into_iter().map(|ip| endpoint.with_ip(ip).to_multiaddr()).collect()
}

fn ip_multiaddr(ip: IpAddr) -> Multiaddr {
    match ip {
        IpAddr::V4(v4) => Multiaddr::empty().with(Protocol::Ip4(v4)),
        IpAddr::V6(v6) => Multiaddr::empty().with(Protocol::Ip6(v6)),
    }
}

/// The peer's name at the end of an address; `None` if something else follows.
fn end(parts: &mut multiaddr::Iter<'_>) -> Option<Option<PeerId>> {
    let peer = match parts.next() {
        None => return Some(None),
        Some(Protocol::P2p(peer)) => peer,
        Some(_) => return None,
    };
    parts.next().is_none().then_some(Some(peer))
}

/// The address that stands for all interfaces of a family.
pub(crate) fn unspecified(is_v4: bool) -> SocketAddr {
    let ip =
        if is_v4 { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    SocketAddr::new(ip, 0)
}

/// A port that a connected socket may name without anything being there.
const DISCARD_PORT: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

    #[test]
    fn every_supported_form_is_read_and_written_back() {
        for text in [
            "/ip4/127.0.0.1/tcp/4001",
            "/ip6/::1/tcp/0",
            "/ip4/192.0.2.1/udp/4001/quic-v1",
            "/ip6/2001:db8::1/udp/9/quic-v1",
            "/memory/7",
        ] {
            let address: Multiaddr = text.parse().unwrap();
            let (endpoint, peer) = Endpoint::parse(&address).unwrap();
            assert_eq!((endpoint.to_multiaddr(), peer), (address.clone(), None));
            let named: Multiaddr = format!("{text}/p2p/{PEER}").parse().unwrap();
            assert_eq!(Endpoint::parse(&named).unwrap(), (endpoint, Some(PEER.parse().unwrap())));
            assert_eq!(without_peer(&named), address);
            assert_eq!(with_peer(&named, PEER.parse().unwrap()), named);
        }
    }

    #[test]
    fn other_forms_are_refused_with_a_remedy() {
        for text in [
            "/dns4/example.com/tcp/1",
            "/ip4/127.0.0.1/udp/1",
            "/ip4/127.0.0.1/udp/1/quic",
            "/ip4/127.0.0.1/tcp/1/ws",
            "/ip4/127.0.0.1",
            &format!("/p2p/{PEER}"),
            &format!("/ip4/127.0.0.1/tcp/1/p2p/{PEER}/p2p-circuit"),
        ] {
            let error = Endpoint::parse(&text.parse().unwrap()).unwrap_err();
            assert!(error.to_string().contains("try /ip4/"), "{error}");
        }
    }

    #[test]
    fn an_address_of_another_peer_is_not_dialled() {
        let address: Multiaddr = format!("/ip4/127.0.0.1/tcp/1/p2p/{PEER}").parse().unwrap();
        let other = netcom_identity::SecretKey::from_bytes(&[9; 32]).peer_id();
        let error = Endpoint::for_peer(&address, &other).unwrap_err();
        assert_eq!(error, AddressError::OtherPeer(PEER.parse().unwrap()));
        assert!(Endpoint::for_peer(&address, &PEER.parse().unwrap()).is_ok());
    }

    #[test]
    fn a_wildcard_expands_to_the_interfaces_of_its_family() {
        let interfaces = ["127.0.0.1", "192.0.2.5", "::1", "fe80::1", "2001:db8::5"];
        let interfaces = || interfaces.iter().map(|text| text.parse().unwrap());
        let v4 = Endpoint::Tcp("0.0.0.0:80".parse().unwrap());
        let found: Vec<String> =
            expand_over(v4, interfaces()).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["/ip4/127.0.0.1/tcp/80", "/ip4/192.0.2.5/tcp/80"]);
        let v6 = Endpoint::Quic("[::]:80".parse().unwrap());
        let found: Vec<String> =
            expand_over(v6, interfaces()).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["/ip6/::1/udp/80/quic-v1", "/ip6/2001:db8::5/udp/80/quic-v1"]);
    }

    #[test]
    fn links_of_a_socket_of_all_interfaces_have_the_path_of_the_one_they_take() {
        let at = |ip| format!("/ip4/{ip}/udp/1/quic-v1").parse::<Multiaddr>().unwrap();
        let [any, own] = ["0.0.0.0", "127.0.0.1"].map(at);
        assert_eq!(path(&any, &own), path(&own, &own));
        assert_ne!(path(&any, &own), path(&any, &at("127.0.0.2")));
    }

    #[test]
    fn a_single_address_expands_to_itself() {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/80".parse().unwrap();
        assert_eq!(expand(&address).unwrap(), [address]);
    }
}
