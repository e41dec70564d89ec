//! The addresses of this machine, and when they change.

use std::{
    collections::BTreeSet,
    fmt, io,
    net::IpAddr,
    pin::Pin,
    time::{Duration, Instant},
};

use tokio::time;

/// Tells when the machine's addresses change. [`SystemAddresses`] asks the system; where that may
/// not be asked a program may know better, and a test says what it likes.
pub trait AddressWatch: fmt::Debug + Send + 'static {
    /// Waits until the addresses may be others than at the last call, and returns once however
    /// often they changed. Cancel safe.
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// The addresses of the interfaces that are up, with the loopback's, without those that mean
    /// something on one interface alone.
    ///
    /// # Errors
    /// When the machine's interfaces cannot be listed.
    fn addresses(&self) -> io::Result<BTreeSet<IpAddr>>;
}

/// Watches the interfaces of the network that the calling thread is in. On Linux the kernel tells
/// of each change at once (rtnetlink); elsewhere, and where it may not be asked, they are looked at
/// every five seconds.
#[derive(Debug)]
pub struct SystemAddresses {
    #[cfg(target_os = "linux")]
    messages: Option<linux::Messages>,
    looked: Instant,
}

impl SystemAddresses {
    /// Begins to watch.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        #[cfg(target_os = "linux")]
        let messages = linux::Messages::open()
            .inspect_err(|error| tracing::debug!(%error, "The kernel tells no address changes"))
            .ok();
        Self {
            #[cfg(target_os = "linux")]
            messages,
            looked: Instant::now(),
        }
    }

    /// Waits for a message of the kernel, or until it is time to look.
    async fn wait(&mut self) {
        #[cfg(target_os = "linux")]
        if let Some(messages) = &self.messages {
            // Whatever happens on a busy machine, it is looked at so often and no more.
            time::sleep_until((self.looked + PAUSE).into()).await;
            match messages.wait().await {
                Ok(()) => {
                    self.looked = Instant::now();
                    return;
                }
                Err(error) => tracing::debug!(%error, "The kernel tells no more address changes"),
            }
            self.messages = None;
        }
        time::sleep(POLL).await;
        self.looked = Instant::now();
    }
}

impl Default for SystemAddresses {
    fn default() -> Self {
        Self::new()
    }
}

impl AddressWatch for SystemAddresses {
    fn changed(&mut self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.wait())
    }

    fn addresses(&self) -> io::Result<BTreeSet<IpAddr>> {
        // Link-local ones come and go with each container, and no link uses them.
        let is_wide = |ip: &IpAddr| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local());
        Ok(interface_addresses()?.filter(is_wide).collect())
    }
}

/// The addresses of the interfaces that are up and whose cable, as far as there is one, is in.
pub(crate) fn interface_addresses() -> io::Result<impl Iterator<Item = IpAddr>> {
    let interfaces = if_addrs::get_if_addrs()?.into_iter();
    // A card that is down keeps its IPv4 addresses, and nothing that is sent from them arrives.
    Ok(interfaces.filter(if_addrs::Interface::is_oper_up).map(|interface| interface.ip()))
}

/// Between two looks at interfaces that change all the time.
#[cfg(target_os = "linux")]
const PAUSE: Duration = Duration::from_millis(50);
/// Between two looks where nobody tells of changes.
const POLL: Duration = Duration::from_secs(5);

#[cfg(target_os = "linux")]
mod linux {
    use std::{io, os::unix::net::UnixDatagram as StdDatagram};

    use rustix::{
        io::Errno,
        net::{
            AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink::SocketAddrNetlink,
            recv, socket_with,
        },
    };
    use tokio::{io::Interest, net::UnixDatagram};

    /// What the kernel says about interfaces and addresses. That it says something is all that
    /// matters: the addresses are looked up, so that no message has to be understood.
    ///
    /// The socket is of another family than its type says: this is the type by which a socket of
    /// datagrams can be waited for without `unsafe`, and it is only read.
    #[derive(Debug)]
    pub(super) struct Messages(UnixDatagram);

    impl Messages {
        pub(super) fn open() -> io::Result<Self> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            // Without a protocol it is NETLINK_ROUTE.
            let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
            bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
            Ok(Self(UnixDatagram::from_std(StdDatagram::from(socket))?))
        }

        /// Waits for a message and takes all there are.
        pub(super) async fn wait(&self) -> io::Result<()> {
            self.0.async_io(Interest::READABLE, || take_all(&self.0)).await
        }
    }

    /// Takes what waits, and fails with `WouldBlock` if that was nothing.
    fn take_all(socket: &UnixDatagram) -> io::Result<()> {
        let mut taken = 0;
        // The rest of a message that is longer is dropped with it.
        let mut message = [0_u8; 64];
        while taken < MOST {
            match recv(socket, &mut message, RecvFlags::empty()) {
                // Where the kernel dropped some, for they were too many, something changed as well.
                Ok(_) | Err(Errno::NOBUFS) => taken += 1,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if taken > 0 => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR of rtnetlink(7).
    const GROUPS: u32 = 0x1 | 0x10 | 0x100;
    /// Messages taken at once.
    const MOST: usize = 1024;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_addresses_of_this_machine_hold_that_of_loopback() {
        let addresses = SystemAddresses::new().addresses().unwrap();
        assert!(addresses.iter().any(IpAddr::is_loopback), "{addresses:?}");
    }
}
