//! A host, the routers in front of it, and the public network beyond them.

mod conntrack;
mod network;
mod router;
mod spec;

use std::{iter, net::Ipv4Addr};

use crate::{LabError, Link, LinkSpec, Namespace, card::open_device, topology::network::Network};

pub use crate::topology::{
    router::Router,
    spec::{Firewall, Nat, RouterSpec},
};

/// A host behind a [`Router`], or behind several in a row, and the public network: each a namespace
/// of its own, with IPv4 alone.
///
/// ```no_run
/// use std::time::Duration;
/// use netcom_lab::{LinkSpec, Nat, RouterSpec, with_topology};
///
/// // A router at home whose provider translates addresses once more.
/// let routers = [Nat::PortPreserving, Nat::EndpointDependent].map(RouterSpec::new);
/// with_topology(&routers, LinkSpec::new(Duration::from_millis(10)), |topology| {
///     let server = topology.public_addresses()[0];
///     topology.host().run(async || tokio::net::TcpStream::connect((server, 80)).await.map(drop))
///         .expect_err("nobody listens there");
/// });
/// ```
///
/// The host has an address in 192.168.1.0/24, a router that is not the last one has its outer one
/// in 100.64.0.0/16, as a provider's customer has (RFC 6598), and the last one in 203.0.113.0/24.
/// What lies between the last router and the public network is a [`Link`] with its left side at the
/// router; cables inside delay and lose nothing.
#[derive(Debug)]
pub struct Topology {
    // Dropped first, so that no device outlives its forwarding.
    uplink: Link,
    host: Namespace,
    /// The nearest to the host first.
    routers: Vec<Router>,
    internet: Namespace,
}

impl Topology {
    /// Makes all namespaces, the routers from the host outwards, and starts to forward on the
    /// uplink.
    ///
    /// # Errors
    /// [`LabError`] says what the machine lacks.
    ///
    /// # Panics
    /// If there is no router, or more than 8, or one after another translates no addresses: nobody
    /// would know the way back.
    pub fn new(routers: &[RouterSpec], uplink: LinkSpec) -> Result<Self, LabError> {
        let count = routers.len();
        assert!((1..=MOST_ROUTERS).contains(&count), "there are up to {MOST_ROUTERS} routers");
        let is_hidden = |pair: &[RouterSpec]| pair.iter().any(|router| router.nat != Nat::None);
        assert!(routers.windows(2).all(is_hidden), "of two in a row one translates addresses");
        let host = Namespace::new()?;
        let spaces =
            iter::repeat_with(Namespace::new).take(count).collect::<Result<Vec<_>, _>>()?;
        let internet = Namespace::new()?;
        // The last router has no cable to what is beyond it.
        for (inner, outer) in iter::once(&host).chain(&spaces).zip(&spaces) {
            inner.join(UP, outer, DOWN)?;
            for (namespace, card) in [(inner, UP), (outer, DOWN)] {
                let mtu = uplink.mtu;
                namespace.ip(&format!(
                    "link set dev {card} addrgenmode none\nlink set dev {card} mtu {mtu}\n"
                ))?;
            }
        }
        let devices = [
            open_device(&spaces[count - 1], UP, uplink.mtu)?,
            open_device(&internet, DOWN, uplink.mtu)?,
        ];
        let uplink = Link::start(uplink, devices)?;
        let networks: Vec<Network> = (0..=count).map(|place| Network::new(place, count)).collect();
        networks[count].serve(&internet)?;
        internet.ip(&format!("address add {}/24 dev {DOWN}\n", networks[count].other()))?;
        networks[0].enter(&host, FIRST_HOST)?;
        let beyond = spaces.iter().skip(1).chain([&internet]).map(Namespace::share);
        let beyond: Vec<Namespace> = beyond.collect();
        let parts = spaces.into_iter().zip(beyond).zip(routers).zip(networks.windows(2));
        // The outermost is ready first.
        let made = parts.rev().map(|(((namespace, beyond), spec), networks)| {
            Router::new(*spec, namespace, beyond, [networks[0], networks[1]])
        });
        let mut routers = made.collect::<Result<Vec<_>, _>>()?;
        routers.reverse();
        Ok(Self { uplink, host, routers, internet })
    }

    /// The host behind all routers.
    #[must_use]
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// The host's own address.
    #[must_use]
    pub fn host_address(&self) -> Ipv4Addr {
        Network::new(0, self.routers.len()).host(FIRST_HOST)
    }

    /// The routers, the host's own first.
    #[must_use]
    pub fn routers(&self) -> &[Router] {
        &self.routers
    }

    /// The link between the last router, on its left, and the public network.
    #[must_use]
    pub fn uplink(&self) -> &Link {
        &self.uplink
    }

    /// The public network: one machine with two addresses.
    #[must_use]
    pub fn internet(&self) -> &Namespace {
        &self.internet
    }

    /// The addresses of the public network, which hosts everywhere reach.
    #[must_use]
    pub fn public_addresses(&self) -> [Ipv4Addr; 2] {
        let count = self.routers.len();
        let network = Network::new(count, count);
        [network.gateway(), network.other()]
    }
}

/// The card that leads outwards, of the host and of each router.
const UP: &str = "up";
/// The card that leads towards the host, of each router and of the public network.
const DOWN: &str = "down";
/// The last part of the address that is given to a network's host or router at first.
const FIRST_HOST: u8 = 3;
const MOST_ROUTERS: usize = 8;
