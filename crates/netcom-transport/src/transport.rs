//! The transport: listens, dials, hands out authenticated links.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use netcom_identity::{Multiaddr, PeerId, Representation, SecretKey};
use parking_lot::{Mutex, RwLock};
use tokio::{sync::mpsc, task::AbortHandle, time};

use crate::{
    address::{AddressError, Endpoint},
    admission::Admission,
    certificate::IssueError,
    counters::{Counters, TransportStats},
    dial::{self, DialError, DialOptions},
    handshake::HandshakeError,
    link::Link,
    memory, quic, tcp,
    tls::TlsSettings,
};

/// What a transport needs to start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransportConfig {
    /// The node's key.
    pub key: SecretKey,
    /// Whom the node represents, at most four. Default: nobody.
    pub representations: Vec<Representation>,
    /// What strangers may cost.
    pub limits: HandshakeLimits,
    /// Writes the secrets of each link to the file that `SSLKEYLOGFILE` names, for packet
    /// analysers: whoever reads it can read the links. Default: no.
    pub key_log: bool,
}

/// What strangers may cost, and for how long.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HandshakeLimits {
    /// Handshakes under way, with links whose HELLO has not come. Default: 1,024.
    pub half_open: usize,
    /// The same per IPv4 /24 or IPv6 /64. Default: 64.
    pub half_open_per_prefix: usize,
    /// Half-open ones above which QUIC clients must prove their address first. Default: 256.
    pub retry_above: usize,
    /// How long a handshake may take, first byte included. Default: 10 s.
    pub handshake: Duration,
    /// Authenticated links that may wait to be taken. Default: 128.
    pub backlog: usize,
    /// How often an idle QUIC link shows that it lives. Default: every 25 s; `None` leaves it to
    /// the session's pings, without which an idle link ends after 30 s.
    pub quic_keep_alive: Option<Duration>,
}

/// Listens and dials on behalf of one node. Clones are the same transport; it ends with
/// [`close`](Self::close) or with its last clone. Links live on.
#[derive(Clone, Debug)]
pub struct Transport {
    owner: Arc<Owner>,
}

/// What listeners and dials share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) key: SecretKey,
    pub(crate) peer: PeerId,
    pub(crate) tls: TlsSettings,
    pub(crate) quic: quic::Endpoints,
    pub(crate) limits: HandshakeLimits,
    pub(crate) admission: Arc<Admission>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) representations: RwLock<Vec<Representation>>,
    /// Tells it from other transports of this process, as certificates do where there are any.
    pub(crate) process: u64,
    links: mpsc::Sender<Link>,
}

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    listeners: Mutex<Vec<Listener>>,
}

#[derive(Debug)]
struct Listener {
    address: Multiaddr,
    kind: ListenerKind,
}

#[derive(Debug)]
enum ListenerKind {
    Tcp(AbortHandle),
    Quic(AbortHandle, quinn::Endpoint),
    Memory(u64),
}

/// Why [`Transport::new`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The node's certificate could not be made.
    #[error(transparent)]
    Certificate(#[from] IssueError),
}

/// Why [`Transport::listen`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// No transport listens at such an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The socket could not be opened. If the port is taken, listen at port 0 or stop the other.
    #[error("cannot listen at {address}")]
    Socket {
        /// The address.
        address: Multiaddr,
        /// What the system says.
        source: io::Error,
    },
    /// Another node of this process has that number.
    #[error("another node of this process listens at {0}")]
    Taken(Multiaddr),
}

impl TransportConfig {
    /// The defaults for a node with this key.
    #[must_use]
    pub fn new(key: SecretKey) -> Self {
        Self {
            key,
            representations: Vec::new(),
            limits: HandshakeLimits::default(),
            key_log: false,
        }
    }
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self {
            half_open: 1024,
            half_open_per_prefix: 64,
            retry_above: 256,
            handshake: Duration::from_secs(10),
            backlog: 128,
            quic_keep_alive: Some(Duration::from_secs(25)),
        }
    }
}

impl Transport {
    /// Prepares a transport that neither listens nor dials yet. Links that others dial come out
    /// of the receiver; take them promptly, for only [`HandshakeLimits::backlog`] may wait.
    ///
    /// # Errors
    /// When the node's certificate cannot be made.
    pub fn new(config: TransportConfig) -> Result<(Self, mpsc::Receiver<Link>), TransportError> {
        let TransportConfig { key, representations, limits, key_log } = config;
        let mut tls = TlsSettings::new(&key, &representations)?;
        if key_log {
            tls.log_keys();
        }
        let quic = quic::Endpoints::new(&tls, &limits)?;
        let counters = Arc::new(Counters::default());
        let admission = Arc::new(Admission::new(
            limits.half_open,
            limits.half_open_per_prefix,
            Arc::clone(&counters),
        ));
        let (links, accepted) = mpsc::channel(limits.backlog.max(1));
        let shared = Arc::new(Shared {
            peer: key.peer_id(),
            key,
            tls,
            quic,
            limits,
            admission,
            counters,
            representations: RwLock::new(representations),
            process: NEXT_PROCESS.fetch_add(1, Ordering::Relaxed),
            links,
        });
        let owner = Arc::new(Owner { shared, listeners: Mutex::new(Vec::new()) });
        Ok((Self { owner }, accepted))
    }

    /// Listens at `/ip4|ip6/../tcp/N`, `/ip4|ip6/../udp/N/quic-v1` or `/memory/N`, where 0 means
    /// a free one. Returns the address with the port it got.
    ///
    /// # Errors
    /// When the address is of another form or cannot be had.
    #[expect(clippy::unused_async, reason = "sockets must be made inside the runtime")]
    pub async fn listen(&self, address: &Multiaddr) -> Result<Multiaddr, ListenError> {
        let shared = &self.owner.shared;
        let failed = |source| ListenError::Socket { address: address.clone(), source };
        let (kind, endpoint) = match Endpoint::parse(address)?.0 {
            Endpoint::Tcp(socket) => {
                let listener = tcp::bind(socket).map_err(failed)?;
                let local = listener.local_addr().map_err(failed)?;
                let task = tokio::spawn(tcp::serve(listener, Arc::clone(shared)));
                (ListenerKind::Tcp(task.abort_handle()), Endpoint::Tcp(local))
            }
            Endpoint::Quic(socket) => {
                let (listener, local) = shared.quic.listen(socket).map_err(failed)?;
                let task = tokio::spawn(quic::serve(listener.clone(), Arc::clone(shared)));
                (ListenerKind::Quic(task.abort_handle(), listener), Endpoint::Quic(local))
            }
            Endpoint::Memory(number) => {
                let number = memory::listen(number, shared)
                    .ok_or_else(|| ListenError::Taken(address.clone()))?;
                (ListenerKind::Memory(number), Endpoint::Memory(number))
            }
        };
        let address = endpoint.to_multiaddr();
        tracing::info!(%address, "Listening");
        self.owner.listeners.lock().push(Listener { address: address.clone(), kind });
        Ok(address)
    }

    /// Listens no more at an address that [`listen`](Self::listen) returned. Links accepted
    /// there live on. False if nothing listened there.
    pub fn unlisten(&self, address: &Multiaddr) -> bool {
        let mut listeners = self.owner.listeners.lock();
        let Some(index) = listeners.iter().position(|listener| listener.address == *address) else {
            return false;
        };
        listeners.swap_remove(index).stop(&self.owner.shared);
        true
    }

    /// Where this transport listens, as [`listen`](Self::listen) returned it; see
    /// [`expand`](crate::expand) for addresses that stand for all interfaces.
    #[must_use]
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.owner.listeners.lock().iter().map(|listener| listener.address.clone()).collect()
    }

    /// Dials `expected` at all addresses, one after the other and then beside each other, as
    /// [RFC 8305](https://www.rfc-editor.org/rfc/rfc8305) says. The first link that
    /// authenticates wins, the others end without having said a word.
    ///
    /// # Errors
    /// When no address leads to that peer in time.
    pub async fn dial(
        &self,
        expected: &PeerId,
        addresses: &[Multiaddr],
        options: DialOptions,
    ) -> Result<Link, DialError> {
        dial::dial(&self.owner.shared, *expected, addresses, &options).await
    }

    /// Claims other representations on later links.
    ///
    /// # Errors
    /// When they do not fit into a certificate.
    pub fn set_representations(
        &self,
        representations: Vec<Representation>,
    ) -> Result<(), TransportError> {
        let shared = &self.owner.shared;
        shared.tls.set_representations(&shared.key, &representations)?;
        *shared.representations.write() = representations;
        Ok(())
    }

    /// Learns which addresses the machine has now, and which it has no more, as an
    /// [`AddressWatch`](crate::AddressWatch) told. QUIC links from sockets that are bound to no
    /// address move; no link is dialled from one that is gone.
    pub fn addresses_changed(&self, present: &BTreeSet<IpAddr>, gone: &BTreeSet<IpAddr>) {
        self.owner.shared.quic.addresses_changed(present, !gone.is_empty());
    }

    /// What happened at the listeners.
    #[must_use]
    pub fn stats(&self) -> TransportStats {
        let shared = &self.owner.shared;
        shared.counters.snapshot(shared.admission.len() as u64)
    }

    /// Listens no more, gives up handshakes under way, and closes QUIC's sockets once their last
    /// packets are out, at the latest after a second. End links before.
    pub async fn close(&self) {
        let closing = self.owner.shared.quic.close(CLOSE_PATIENCE);
        self.owner.stop();
        closing.await;
    }
}

impl Shared {
    /// Hands an accepted link over, or drops it if nobody takes it in time.
    pub(crate) async fn deliver(&self, link: Link) {
        self.counters.count_accepted();
        let room = tokio::select! {
            room = time::timeout(self.limits.handshake, self.links.reserve()) => room.ok(),
            () = link.evicted() => None,
        };
        if let Some(Ok(room)) = room {
            room.send(link);
        } else {
            self.counters.count_untaken();
            tracing::debug!(peer = %link.peer(), "Nobody took the accepted link");
            link.close().await;
        }
    }

    pub(crate) fn note_failed_handshake(&self, remote: SocketAddr, error: &HandshakeError) {
        match error {
            HandshakeError::Crowded => {}
            HandshakeError::Timeout | HandshakeError::Ended | HandshakeError::Broken(_) => {
                self.counters.count_unfinished();
            }
            _ => self.counters.count_failed_handshake(),
        }
        tracing::debug!(%remote, %error, "Handshake failed");
    }
}

impl Owner {
    fn stop(&self) {
        for listener in self.listeners.lock().drain(..) {
            listener.stop(&self.shared);
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Listener {
    fn stop(self, shared: &Shared) {
        match self.kind {
            ListenerKind::Tcp(task) => task.abort(),
            ListenerKind::Quic(task, endpoint) => {
                task.abort();
                shared.quic.unlisten(&endpoint);
            }
            ListenerKind::Memory(number) => memory::unlisten(number),
        }
    }
}

/// What the next transport of this process is called by those that it reaches in memory.
static NEXT_PROCESS: AtomicU64 = AtomicU64::new(0);
/// How long closing waits for the last packets of QUIC.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
