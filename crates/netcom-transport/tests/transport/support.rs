//! Nodes and sessions for the tests.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use netcom_identity::{Multiaddr, PeerId, SecretKey};
use netcom_session::{
    Batch, Class, Code, Config, Event, Flow, InstanceId, LaneId, LinkId, LinkLoss, Poll, ReadState,
    Session, SessionId, SessionSpec, StreamId, Time,
    wire::{Frame, SessionKey},
};
use netcom_transport::{
    DialOptions, HandshakeLimits, Link, LinkClient, LinkDriver, Transport, TransportConfig,
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc, watch},
    time,
};

/// Longer than anything here takes; a test that runs into it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_bytes(&[seed; 32])
}

/// A transport and what it accepted.
pub(crate) struct Node {
    pub(crate) transport: Transport,
    pub(crate) accepted: mpsc::Receiver<Link>,
    pub(crate) peer: PeerId,
}

impl Node {
    pub(crate) fn new(seed: u8) -> Self {
        Self::with_limits(seed, HandshakeLimits::default())
    }

    pub(crate) fn with_limits(seed: u8, limits: HandshakeLimits) -> Self {
        let mut config = TransportConfig::new(key(seed));
        config.limits = limits;
        Self::with(config)
    }

    pub(crate) fn with(config: TransportConfig) -> Self {
        let peer = config.key.peer_id();
        let (transport, accepted) = Transport::new(config).unwrap();
        Self { transport, accepted, peer }
    }

    pub(crate) async fn listen(&self, address: &str) -> Multiaddr {
        self.transport.listen(&address.parse().unwrap()).await.unwrap()
    }

    pub(crate) async fn accept(&mut self) -> Link {
        time::timeout(PATIENCE, self.accepted.recv()).await.unwrap().unwrap()
    }

    pub(crate) async fn dial(&self, peer: &PeerId, address: &Multiaddr) -> Link {
        let addresses = std::slice::from_ref(address);
        self.transport.dial(peer, addresses, DialOptions::default()).await.unwrap()
    }
}

/// The socket address in a multiaddr.
pub(crate) fn socket(address: &Multiaddr) -> SocketAddr {
    let text = address.to_string();
    let parts: Vec<&str> = text.split('/').collect();
    SocketAddr::new(parts[2].parse().unwrap(), parts[4].parse().unwrap())
}

/// The addresses the tests run over, one of each kind.
pub(crate) const LISTEN: [&str; 5] = [
    "/ip4/127.0.0.1/tcp/0",
    "/ip6/::1/tcp/0",
    "/ip4/127.0.0.1/udp/0/quic-v1",
    "/ip6/::1/udp/0/quic-v1",
    "/memory/0",
];

/// A session behind a lock, with its links' drivers.
pub(crate) struct Shell {
    began: Instant,
    session: Mutex<Session>,
    drivers: Mutex<BTreeMap<LinkId, LinkDriver>>,
    losses: Mutex<Vec<LinkLoss>>,
    /// Why the session thinks its links ended.
    pub(crate) ended: Mutex<Vec<Code>>,
    changed: Notify,
    due: watch::Sender<Option<Time>>,
}

/// One link as the shell knows it.
struct Attachment {
    shell: Arc<Shell>,
    link: LinkId,
}

impl Shell {
    pub(crate) fn new(local: PeerId, remote: PeerId, is_dialer: bool) -> Arc<Self> {
        let mark = u8::from(is_dialer) + 1;
        let spec = SessionSpec {
            local,
            remote,
            instance: InstanceId([mark; 16]),
            supersedes: None,
            token: SessionId([mark; 16]),
            key: SessionKey([mark; 32]),
            is_dialer,
            config: Config::default(),
        };
        let shell = Arc::new(Self {
            began: Instant::now(),
            session: Mutex::new(Session::new(spec, Time(0))),
            drivers: Mutex::default(),
            losses: Mutex::default(),
            ended: Mutex::default(),
            changed: Notify::new(),
            due: watch::Sender::new(None),
        });
        tokio::spawn(keep_time(Arc::downgrade(&shell), shell.due.subscribe()));
        shell
    }

    /// Attaches a link this side dialled.
    pub(crate) fn dial_link(self: &Arc<Self>, link: Link) {
        self.dial_link_through(link, |client| client);
    }

    /// Attaches a link this side dialled, with something between session and driver.
    pub(crate) fn dial_link_through(
        self: &Arc<Self>,
        link: Link,
        wrap: impl FnOnce(Arc<dyn LinkClient>) -> Arc<dyn LinkClient>,
    ) {
        let id = self.with(|session, now| session.dial_link(link.spec(), now)).unwrap();
        self.attach(link, id, wrap);
    }

    /// Attaches a link the peer dialled, after its HELLO.
    pub(crate) async fn accept_link(self: &Arc<Self>, mut link: Link) {
        let hello = link.recv_hello(PATIENCE).await.unwrap();
        let id = self.with(|session, now| session.accept_link(link.spec(), &hello, now)).unwrap();
        self.attach(link, id, |client| client);
    }

    fn attach(
        self: &Arc<Self>,
        link: Link,
        id: LinkId,
        wrap: impl FnOnce(Arc<dyn LinkClient>) -> Arc<dyn LinkClient>,
    ) {
        let client = Arc::new(Attachment { shell: Arc::clone(self), link: id });
        let driver = link.start(wrap(client));
        self.drivers.lock().insert(id, driver.clone());
        driver.wake();
    }

    /// Uses the session, then wakes whom it concerns.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&mut Session, Time) -> R) -> R {
        let mut session = self.session.lock();
        let result = use_it(&mut session, self.now());
        let mut woken = Vec::new();
        while let Some(link) = session.poll_wakeup() {
            woken.push(link);
        }
        let mut is_eventful = false;
        while let Some(event) = session.poll_event() {
            is_eventful = true;
            if let Event::LinkEnded { code, .. } = event {
                self.ended.lock().push(code);
            }
        }
        let due = session.poll_timeout();
        drop(session);
        let drivers: Vec<LinkDriver> = {
            let drivers = self.drivers.lock();
            woken.iter().filter_map(|link| drivers.get(link).cloned()).collect()
        };
        for driver in drivers {
            driver.try_flush();
        }
        // Only what a link or the clock did is news; what a test did itself would wake it for ever.
        if is_eventful {
            self.changed.notify_waiters();
        }
        if due != *self.due.borrow() {
            self.due.send_replace(due);
        }
        result
    }

    /// Waits until `find` finds what it looks for.
    pub(crate) async fn until<R>(&self, mut find: impl FnMut(&Self) -> Option<R>) -> R {
        let search = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = find(self) {
                    return found;
                }
                changed.await;
            }
        };
        time::timeout(PATIENCE, search).await.expect("it happens in time")
    }

    pub(crate) async fn loss(&self) -> LinkLoss {
        self.until(Self::first_loss).await
    }

    pub(crate) fn first_loss(&self) -> Option<LinkLoss> {
        self.losses.lock().first().cloned()
    }

    /// How often a link was reported lost.
    pub(crate) fn losses(&self) -> usize {
        self.losses.lock().len()
    }

    pub(crate) fn open(&self) -> StreamId {
        let protocol = Bytes::from_static(b"test");
        self.with(|session, now| session.open(Class::Normal, protocol, now)).unwrap()
    }

    pub(crate) async fn accept(&self) -> StreamId {
        self.until(|shell| shell.with_quietly(Session::accept)).await.id
    }

    /// Writes everything, waiting for room.
    pub(crate) async fn write(&self, id: StreamId, mut bytes: Bytes) {
        while !bytes.is_empty() {
            self.until(|shell| {
                let count =
                    shell.with(|session, now| session.write(id, Flow::Data, &mut bytes, now));
                (count.unwrap() > 0).then_some(())
            })
            .await;
        }
    }

    pub(crate) fn finish(&self, id: StreamId) {
        self.with(|session, now| session.finish_all(id, now)).unwrap();
    }

    /// Reads some bytes; none at the end.
    pub(crate) async fn read(&self, id: StreamId, max: usize) -> VecDeque<Bytes> {
        let mut chunks = VecDeque::new();
        self.until(|shell| {
            let state = shell
                .with(|session, now| session.read(id, Flow::Data, max, &mut chunks, now))
                .unwrap();
            (!chunks.is_empty() || state == ReadState::Finished).then_some(())
        })
        .await;
        chunks
    }

    /// Reads to the end.
    pub(crate) async fn read_all(&self, id: StreamId) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let chunks = self.read(id, 1 << 20).await;
            if chunks.is_empty() {
                return all;
            }
            for chunk in chunks {
                all.extend_from_slice(&chunk);
            }
        }
    }

    /// Like `with`, for calls that change nothing a link would send.
    fn with_quietly<R>(&self, use_it: impl FnOnce(&mut Session) -> R) -> R {
        use_it(&mut self.session.lock())
    }

    fn now(&self) -> Time {
        Time(u64::try_from(self.began.elapsed().as_nanos()).unwrap())
    }
}

impl LinkClient for Attachment {
    fn receive(&self, lane: LaneId, frames: &mut Vec<Frame>) {
        self.shell.with(|session, now| session.handle_batch(self.link, lane, frames, now));
    }

    fn transmit(&self, budget: usize, batch: &mut Batch) -> Poll {
        let now = self.shell.now();
        self.shell.session.lock().poll_batch(self.link, budget, batch, now)
    }

    fn lost(&self, reason: LinkLoss) {
        self.shell.losses.lock().push(reason.clone());
        self.shell.with(|session, now| session.link_lost(self.link, &reason, now));
        self.shell.changed.notify_waiters();
    }
}

/// Calls the session when it wants to be called.
async fn keep_time(shell: std::sync::Weak<Shell>, mut due: watch::Receiver<Option<Time>>) {
    loop {
        let next = *due.borrow_and_update();
        let Some(strong) = shell.upgrade() else { return };
        let wait = next.map_or(PATIENCE, |next| next.since(strong.now()));
        drop(strong);
        if let Ok(changed) = time::timeout(wait, due.changed()).await {
            if changed.is_err() {
                return;
            }
        } else if let Some(shell) = shell.upgrade() {
            shell.with(Session::handle_timeout);
        }
    }
}

/// Two sessions joined by one link.
pub(crate) struct Pair {
    pub(crate) dialer: Arc<Shell>,
    pub(crate) listener: Arc<Shell>,
    /// Kept, since the transports end with them.
    _nodes: (Node, Node),
}

pub(crate) async fn pair(address: &str) -> Pair {
    let dialer = Node::new(1);
    let mut listener = Node::new(2);
    let address = listener.listen(address).await;
    let dialled = dialer.dial(&listener.peer, &address).await;
    let left = Shell::new(dialer.peer, listener.peer, true);
    left.dial_link(dialled);
    let accepted = listener.accept().await;
    let right = Shell::new(listener.peer, dialer.peer, false);
    right.accept_link(accepted).await;
    Pair { dialer: left, listener: right, _nodes: (dialer, listener) }
}
