//! Two namespaces and the link between them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::Deref,
};

use tun_rs::{DeviceBuilder, SyncDevice};

use crate::{LabError, Link, LinkSpec, Namespace};

/// Two network namespaces joined by one [`Link`], with IPv4 and IPv6.
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
#[derive(Debug)]
pub struct Pair {
    // Dropped first, so that no device outlives its forwarding.
    link: Link,
    left: End,
    right: End,
}

/// One side of a [`Pair`]: a [`Namespace`] with an interface that leads to the other side.
#[derive(Debug)]
pub struct End {
    namespace: Namespace,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
}

impl Pair {
    /// Makes both namespaces and starts to forward between them.
    ///
    /// # Errors
    /// [`LabError`] says what the machine lacks.
    pub fn new(spec: LinkSpec) -> Result<Self, LabError> {
        let (left, left_device) = End::new(1, spec)?;
        let (right, right_device) = End::new(2, spec)?;
        let link = Link::start(spec, [left_device, right_device])?;
        Ok(Self { link, left, right })
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

    /// What lies between them.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }
}

impl End {
    /// Makes the end with this number, whose addresses end in it.
    fn new(number: u8, spec: LinkSpec) -> Result<(Self, SyncDevice), LabError> {
        let namespace = Namespace::new()?;
        let device = namespace.call(|| {
            let device = DeviceBuilder::new().name(INTERFACE).enable(false).build_sync()?;
            device.set_nonblocking(true).map(|()| device)
        });
        let device = device.map_err(LabError::Device)?;
        let ipv4 = Ipv4Addr::new(10, 77, 0, number);
        let ipv6 = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into());
        let mtu = spec.mtu;
        // No addresses but these, so that nothing is sent that no test asked for.
        namespace.ip(&format!(
            "link set dev {INTERFACE} addrgenmode none\n\
             link set dev {INTERFACE} mtu {mtu} txqueuelen {TRANSMIT_QUEUE}\n\
             address add {ipv4}/24 dev {INTERFACE}\n\
             address add {ipv6}/64 dev {INTERFACE} nodad\n\
             link set dev {INTERFACE} up\n"
        ))?;
        Ok((Self { namespace, ipv4, ipv6 }, device))
    }

    /// Its IPv4 address.
    #[must_use]
    pub fn ipv4(&self) -> Ipv4Addr {
        self.ipv4
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Addr {
        self.ipv6
    }

    /// Both addresses, with a port that the system chooses: what to bind to.
    #[must_use]
    pub fn sockets(&self) -> [SocketAddr; 2] {
        [IpAddr::V4(self.ipv4), IpAddr::V6(self.ipv6)].map(|address| (address, 0).into())
    }
}

impl Deref for End {
    type Target = Namespace;

    fn deref(&self) -> &Namespace {
        &self.namespace
    }
}

/// The interface's name, in either namespace.
const INTERFACE: &str = "lab0";
/// Packets that wait in the kernel while the forwarding thread does not run.
const TRANSMIT_QUEUE: u32 = 10_000;
