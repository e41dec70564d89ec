//! Which network interfaces are served, and the sockets on them.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::state::{LinkKey, LinkSpec};

/// The interfaces on which nodes look for each other.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Interfaces {
    /// All that are up and can do multicast, without loopback and point-to-point ones. They are
    /// looked at again every few seconds. The default.
    #[default]
    Default,
    /// Only the loopback interface, over IPv4: nothing leaves the host.
    Loopback,
    /// The interfaces of these names, whatever they are.
    Named(Vec<String>),
}

/// One address family of one interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Candidate {
    pub(super) name: String,
    index: u32,
    is_running: bool,
    /// The address to send from, which chooses the family.
    address: IpAddr,
    pub(super) spec: LinkSpec,
}

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// RFC 6762 section 11.
const HOP_LIMIT: u32 = 255;

impl Candidate {
    /// A number for this address family of this interface. It changes with the address that is
    /// sent from and when the cable is plugged in, so that the link counts as a new one then.
    pub(super) fn key(&self) -> LinkKey {
        let address = match self.address {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(_) => 0,
        };
        let flags = u128::from(self.is_running) << 1 | u128::from(self.address.is_ipv6());
        LinkKey(u128::from(self.index) << 64 | flags << 32 | address)
    }

    /// The multicast group of this address family.
    pub(super) fn group(&self, port: u16) -> SocketAddr {
        match self.address {
            IpAddr::V4(_) => SocketAddr::V4(SocketAddrV4::new(GROUP_V4, port)),
            IpAddr::V6(_) => SocketAddr::V6(SocketAddrV6::new(GROUP_V6, port, 0, self.index)),
        }
    }

    /// Opens a socket that hears and speaks to the group on this interface alone.
    pub(super) fn open(&self, port: u16) -> io::Result<UdpSocket> {
        let group = self.group(port);
        let socket = Socket::new(Domain::for_address(group), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
        match self.address {
            IpAddr::V4(address) => {
                socket.set_multicast_if_v4(&address)?;
                socket.set_multicast_ttl_v4(HOP_LIMIT)?;
                socket.set_multicast_loop_v4(true)?;
                #[cfg(target_os = "linux")]
                socket.set_multicast_all_v4(false)?;
                // Bound to the group, the socket hears no unicast, which could come from anywhere.
                socket.bind(&group.into())?;
                let interface = InterfaceIndexOrAddress::Index(self.index);
                socket.join_multicast_v4_n(&GROUP_V4, &interface)?;
            }
            IpAddr::V6(_) => {
                socket.set_only_v6(true)?;
                socket.set_multicast_if_v6(self.index)?;
                socket.set_multicast_hops_v6(HOP_LIMIT)?;
                socket.set_multicast_loop_v6(true)?;
                #[cfg(target_os = "linux")]
                socket.set_multicast_all_v6(false)?;
                socket.bind(&group.into())?;
                socket.join_multicast_v6(&GROUP_V6, self.index)?;
            }
        }
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket.into())
    }
}

/// The address families of all interfaces that `wanted` names.
pub(super) fn candidates(wanted: &Interfaces) -> io::Result<Vec<Candidate>> {
    let mut found: BTreeMap<(u32, bool), Candidate> = BTreeMap::new();
    for interface in if_addrs::get_if_addrs()? {
        let Some(index) = interface.index else { continue };
        if !is_wanted(&interface, wanted) {
            continue;
        }
        let (address, prefix) = match &interface.addr {
            if_addrs::IfAddr::V4(v4) => (IpAddr::V4(v4.ip), v4.prefixlen),
            if_addrs::IfAddr::V6(v6) => (IpAddr::V6(v6.ip), v6.prefixlen),
        };
        let is_loopback = interface.is_loopback();
        if is_loopback && address.is_ipv6() {
            continue; // the loopback interface carries no IPv6 multicast
        }
        let is_running = interface.is_oper_up();
        let candidate = found.entry((index, address.is_ipv6())).or_insert_with(|| Candidate {
            name: interface.name,
            index,
            is_running,
            address,
            spec: LinkSpec { prefixes: Vec::new(), is_loopback },
        });
        candidate.spec.prefixes.push((address, prefix));
    }
    Ok(found.into_values().collect())
}

fn is_wanted(interface: &if_addrs::Interface, wanted: &Interfaces) -> bool {
    match wanted {
        Interfaces::Named(names) => names.contains(&interface.name),
        Interfaces::Loopback => interface.is_loopback(),
        Interfaces::Default => {
            !interface.is_loopback() && !interface.is_p2p() && is_multicast(&interface.name)
        }
    }
}

/// Whether the kernel marks the interface as up and able to do multicast; where it does not tell,
/// joining the group will show.
fn is_multicast(name: &str) -> bool {
    const IFF_UP: u32 = 0x1;
    const IFF_MULTICAST: u32 = 0x1000;
    let flags = std::fs::read_to_string(format!("/sys/class/net/{name}/flags")).ok();
    let flags =
        flags.and_then(|text| u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok());
    flags.is_none_or(|flags| flags & IFF_UP != 0 && flags & IFF_MULTICAST != 0)
}
