//! Two nodes without what makes a node: transports, sessions, services.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use netcom_identity::{Multiaddr, PeerId, SecretKey};
use netcom_session::{Closed, Code, Config, EndpointLimits, InstanceId};
use netcom_transport::{DialOptions, Link, Transport, TransportConfig};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, watch},
    task::JoinHandle,
};

use crate::{
    connection::Connection,
    events::NodeEvent,
    service::Services,
    session::{SessionHooks, Sessions, SessionsSpec, SharedSession},
};

/// One side.
pub(super) struct Party {
    pub(super) peer: PeerId,
    pub(super) transport: Transport,
    pub(super) sessions: Arc<Sessions>,
    pub(super) services: Arc<Services>,
    pub(super) log: Arc<Log>,
    pub(super) address: Multiaddr,
    accepting: JoinHandle<()>,
}

/// What the hooks were told.
#[derive(Default)]
pub(super) struct Log {
    pub(super) attached: Mutex<Vec<(bool, bool)>>,
    pub(super) accepted: Mutex<Vec<Arc<SharedSession>>>,
    pub(super) ended: Mutex<Vec<Closed>>,
    pub(super) detached: Mutex<usize>,
    changed: Notify,
}

impl SessionHooks for Log {
    fn attached(&self, session: &Arc<SharedSession>, is_new: bool, by_dial: bool) {
        self.attached.lock().push((is_new, by_dial));
        if is_new {
            self.accepted.lock().push(Arc::clone(session));
        }
        self.changed.notify_waiters();
    }

    fn detached(&self, _: &Arc<SharedSession>) {
        *self.detached.lock() += 1;
        self.changed.notify_waiters();
    }

    fn link_wanted(&self, _: &Arc<SharedSession>) {}

    fn happened(&self, _: NodeEvent) {}

    fn ended(&self, _: &Arc<SharedSession>, closed: &Closed) {
        self.ended.lock().push(closed.clone());
        self.changed.notify_waiters();
    }

    fn auth(&self, _: &Arc<SharedSession>, _: Bytes) {}
}

impl Log {
    /// Waits until something holds, looking again after each hook.
    pub(super) async fn until(&self, holds: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if holds(self) {
                return;
            }
            changed.await;
        }
    }
}

impl Party {
    /// Listens at `address`.
    pub(super) async fn new(seed: u64, address: &str) -> Self {
        Self::with_config(seed, address, Config::default()).await
    }

    pub(super) async fn with_config(seed: u64, address: &str, config: Config) -> Self {
        Self::with_memory(seed, address, config, u64::MAX).await
    }

    pub(super) async fn with_memory(seed: u64, address: &str, config: Config, memory: u64) -> Self {
        let mut secret = [7; 32];
        secret[..8].copy_from_slice(&seed.to_be_bytes());
        let key = SecretKey::from_bytes(&secret);
        let peer = key.peer_id();
        let (transport, mut links) = Transport::new(TransportConfig::new(key)).unwrap();
        let address = transport.listen(&address.parse().unwrap()).await.unwrap();
        let mut instance = [0; 16];
        getrandom::fill(&mut instance).unwrap();
        let spec = SessionsSpec {
            local: peer,
            instance: InstanceId(instance),
            supersedes: None,
            config,
            limits: EndpointLimits::default(),
            memory,
        };
        let (log, services) = (Arc::new(Log::default()), Services::new(Vec::new()));
        let sessions = Sessions::new(spec, Arc::clone(&log) as _, Arc::clone(&services));
        let table = Arc::downgrade(&sessions);
        let accepting = tokio::spawn(async move {
            while let Some(link) = links.recv().await {
                let Some(table) = table.upgrade() else { return };
                table.accept(link);
            }
        });
        Self { peer, transport, sessions, services, log, address, accepting }
    }

    /// A fresh link to another party.
    pub(super) async fn dial_at(&self, other: &Self, address: &Multiaddr) -> Link {
        let options = DialOptions::default().timeout(Duration::from_secs(30));
        self.transport.dial(&other.peer, std::slice::from_ref(address), options).await.unwrap()
    }

    /// A connection over a fresh link.
    pub(super) async fn connect(&self, other: &Self) -> Connection {
        self.connect_at(other, &other.address).await
    }

    pub(super) async fn connect_at(&self, other: &Self, address: &Multiaddr) -> Connection {
        let hold = self.sessions.attach_dialled(self.dial_at(other, address).await).unwrap();
        hold.wait_attached().await.unwrap();
        Connection::new(hold, None, "told so".to_owned())
    }

    /// The connection the other side made.
    pub(super) async fn accepted(&self) -> Connection {
        self.log.until(|log| !log.accepted.lock().is_empty()).await;
        let session = Arc::clone(&self.log.accepted.lock()[0]);
        Connection::new(session, None, "accepted".to_owned())
    }

    pub(super) async fn close(&self) {
        self.sessions.close_all(Code::NO_ERROR, "").await;
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Both sides of a connection, listening at such an address each.
pub(super) async fn pair(address: &str) -> (Party, Party) {
    (Party::new(1, address).await, Party::new(2, address).await)
}

/// Runs a test on every transport.
pub(super) async fn on_each<F: Future<Output = ()>>(test: impl Fn(Party, Party) -> F) {
    for address in [MEMORY, TCP, QUIC] {
        let (a, b) = pair(address).await;
        test(a, b).await;
    }
}

/// Bytes that differ from place to place.
pub(super) fn pattern(length: usize, seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// FNV-1a over everything in order: cheap, and good enough to see a byte out of place.
pub(super) struct Checksum(u64);

impl Checksum {
    pub(super) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn of(bytes: &[u8]) -> u64 {
        let mut sum = Self::new();
        sum.add(bytes);
        sum.0
    }

    pub(super) fn value(&self) -> u64 {
        self.0
    }
}

/// A TCP proxy on loopback whose connections can be cut at once.
pub(super) struct Proxy {
    pub(super) address: Multiaddr,
    cut: watch::Sender<u64>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(super) async fn new(to: &Multiaddr) -> Self {
        let target = socket(to);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, cuts) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((mut inner, _)) = listener.accept().await {
                let mut cuts = cuts.clone();
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let mut outer = TcpStream::connect(target).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut inner, &mut outer) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { address: format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap(), cut, task }
    }

    /// Cuts all connections there are.
    pub(super) fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn socket(address: &Multiaddr) -> SocketAddr {
    let text = address.to_string();
    let mut parts = text.split('/').skip(2);
    let (ip, port) = (parts.next().unwrap(), parts.nth(1).unwrap());
    SocketAddr::new(ip.parse().unwrap(), port.parse().unwrap())
}

pub(super) const MEMORY: &str = "/memory/0";
pub(super) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(super) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
