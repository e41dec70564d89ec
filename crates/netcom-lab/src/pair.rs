//! Two namespaces and the links between them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Deref,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tun_rs::SyncDevice;

use crate::{LabError, Link, LinkSpec, Namespace, Side, card::Card};

/// Two network namespaces joined by one [`Link`] or several, with IPv4 and IPv6.
///
/// ```no_run
/// use std::time::Duration;
/// use netcom_lab::{LinkSpec, with_pair};
///
/// with_pair(LinkSpec::new(Duration::from_millis(25)), |pair| {
///     let server = pair.right().ipv4();
///     pair.left().run(async || tokio::net::TcpStream::connect((server, 80)).await.map(drop))
///         .expect_err("nobody listens there");
/// });
/// ```
///
/// Link *n* joins the interfaces `lab`*n* of both ends in networks of its own: 10.77.*n*.1 and
/// fd77:*n*::1 on the left, 10.77.*n*.2 and fd77:*n*::2 on the right. The left end is a machine
/// with several network cards, the right one a machine that all of its networks lead to: the left
/// address of a connection says which link it goes over in both directions, whichever address of
/// the right end it is with. A socket that is bound to none takes the card in the network of the
/// address it calls, and any other if that card is down, as a laptop does; it takes it also while
/// the link behind it is cut, since nobody tells the machine.
#[derive(Debug)]
pub struct Pair {
    // Dropped first, so that no device outlives its forwarding.
    links: Vec<Link>,
    left: End,
    right: End,
}

/// One side of a [`Pair`]: a [`Namespace`] with an interface for each link to the other side.
#[derive(Debug)]
pub struct End {
    namespace: Namespace,
    cards: Mutex<Vec<Card>>,
}

impl Pair {
    /// Makes both namespaces and starts to forward between them.
    ///
    /// # Errors
    /// [`LabError`] says what the machine lacks.
    pub fn new(spec: LinkSpec) -> Result<Self, LabError> {
        Self::with_links(&[spec])
    }

    /// The same with several links, each with a network card of its own at either end.
    ///
    /// # Errors
    /// [`LabError`] says what the machine lacks.
    ///
    /// # Panics
    /// If there is no link, or more than 100.
    pub fn with_links(specs: &[LinkSpec]) -> Result<Self, LabError> {
        assert!((1..=MOST_LINKS).contains(&specs.len()), "a pair has up to {MOST_LINKS} links");
        let (left, left_devices) = End::new(Side::Left, specs)?;
        let (right, right_devices) = End::new(Side::Right, specs)?;
        let devices = left_devices.into_iter().zip(right_devices);
        let links = specs
            .iter()
            .zip(devices)
            .map(|(spec, (left, right))| Link::start(*spec, [left, right]));
        Ok(Self { links: links.collect::<Result<_, _>>()?, left, right })
    }

    /// One side.
    #[must_use]
    pub fn left(&self) -> &End {
        &self.left
    }

    /// The other side.
    #[must_use]
    pub fn right(&self) -> &End {
        &self.right
    }

    /// What lies between them, or the first of several links.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.links[0]
    }

    /// All that lies between them.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }
}

impl End {
    fn new(side: Side, specs: &[LinkSpec]) -> Result<(Self, Vec<SyncDevice>), LabError> {
        let namespace = Namespace::new()?;
        let links = specs.len() as u8;
        let cards = (0..links).zip(specs);
        let cards =
            cards.map(|(number, spec)| Card::new(&namespace, side, number, links, spec.mtu));
        let (cards, devices) = cards.collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        Ok((Self { namespace, cards: Mutex::new(cards) }, devices))
    }

    /// Its IPv4 address, at the first link.
    #[must_use]
    pub fn ipv4(&self) -> Ipv4Addr {
        self.cards()[0].ipv4()
    }

    /// Its IPv6 address, at the first link.
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Addr {
        self.cards()[0].ipv6()
    }

    /// Both addresses, with a port that the system chooses: what to bind to.
    #[must_use]
    pub fn sockets(&self) -> [SocketAddr; 2] {
        self.addresses(0).map(|address| (address, 0).into())
    }

    /// Its IPv4 and its IPv6 address at the link with this number, counted from 0.
    ///
    /// # Panics
    /// If there are not so many links.
    #[must_use]
    pub fn addresses(&self, link: usize) -> [IpAddr; 2] {
        self.cards()[link].addresses()
    }

    /// Takes down the interface at a link, as if its cable were pulled out: the machine is told,
    /// and its IPv6 address and routes are gone.
    ///
    /// # Errors
    /// [`LabError::Interface`] if `ip` refuses.
    ///
    /// # Panics
    /// If there are not so many links.
    pub fn interface_down(&self, link: usize) -> Result<(), LabError> {
        self.cards()[link].take_down(&self.namespace)
    }

    /// Brings the interface at a link back, with its addresses.
    ///
    /// # Errors
    /// [`LabError::Interface`] if `ip` refuses.
    ///
    /// # Panics
    /// If there are not so many links.
    pub fn interface_up(&self, link: usize) -> Result<(), LabError> {
        self.cards()[link].bring_up(&self.namespace)
    }

    /// Gives the interface at a link other addresses in place of its own, as another network
    /// would; [`addresses`](Self::addresses) tells them. What is sent to the old ones vanishes.
    ///
    /// # Errors
    /// [`LabError::Interface`] if `ip` refuses.
    ///
    /// # Panics
    /// If there are not so many links.
    pub fn change_address(&self, link: usize) -> Result<(), LabError> {
        self.cards()[link].change_addresses(&self.namespace)
    }

    /// Has TCP connections over IPv4 that begin from now on use a congestion controller of the
    /// kernel's by its name, such as `cubic`, in place of the one that the machine has for all.
    /// Routes say so: the setting for all is no business of a namespace.
    ///
    /// # Errors
    /// [`LabError::Interface`] if `ip` refuses, as where the kernel does not know the controller.
    pub fn set_tcp_control(&self, controller: &str) -> Result<(), LabError> {
        self.cards().iter().try_for_each(|card| card.set_tcp_control(&self.namespace, controller))
    }

    fn cards(&self) -> MutexGuard<'_, Vec<Card>> {
        // Who panicked asked for a link that there is not, and changed none.
        self.cards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for End {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

/// The tables from 100 to 199 are free for their routes.
const MOST_LINKS: usize = 100;
