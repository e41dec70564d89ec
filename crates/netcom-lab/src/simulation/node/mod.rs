//! A process: sessions, the links that carry them, and applications that use them, put together as
//! the shell around the engine puts them together.

mod dial;
mod driver;
mod redial;
mod routes;
mod sessions;
mod streams;

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    time::Duration,
};

use netcom_identity::{PeerId, SecretKey};
use netcom_session::{
    Batch, Config, Endpoint, EndpointLimits, InstanceId, LinkKind, Rate, StreamId, Time,
};

use self::{
    dial::{Dial, DialId},
    driver::Carrier,
    redial::Need,
    sessions::Held,
    streams::Wish,
};
use super::{
    check::Ledger,
    network::{Address, HostId, Network},
    task::Task,
    trace::Trace,
    transport::{Body, Connection, ConnectionId, Packet},
};
use crate::Random;

/// What a host's processes are like.
#[derive(Clone, Debug)]
pub struct HostSpec {
    /// The transports it dials by, the first one first. Default: TCP, then QUIC.
    pub kinds: Vec<LinkKind>,
    /// Network cards, each with an address. Default: 1.
    pub cards: usize,
    /// Whether it keeps a second link beside the one in use. Default: no.
    pub stands_by: bool,
    /// How long it holds a session after its last use. Default: 5 s.
    pub linger: Duration,
    /// How fast the streams of one session may go. Default: as fast as they can.
    pub rate: Option<Rate>,
    /// Limits and times of its sessions. Default: the engine's.
    pub config: Config,
}

/// All hosts' names.
#[derive(Debug)]
pub(super) struct Peers(Vec<PeerId>);

/// What a process uses of the world, for as long as a call takes.
pub(super) struct Context<'a> {
    /// The host's own clock.
    pub(super) now: Time,
    /// The world's.
    pub(super) at: Time,
    pub(super) random: &'a mut Random,
    pub(super) network: &'a Network,
    pub(super) peers: &'a Peers,
    pub(super) ledger: &'a mut Ledger,
    pub(super) trace: &'a mut Trace,
    /// Packets that go out.
    pub(super) out: &'a mut Vec<Packet>,
}

/// One process.
pub(super) struct Node {
    host: HostId,
    spec: HostSpec,
    /// Which of the host's processes it is.
    process: u32,
    supersedes: Option<InstanceId>,
    endpoint: Endpoint<Handle>,
    sessions: BTreeMap<Handle, Held>,
    carriers: BTreeMap<ConnectionId, Carrier>,
    dials: BTreeMap<DialId, Dial>,
    tasks: BTreeMap<Place, Task>,
    /// Exchanges that wait for a session.
    wishes: BTreeMap<u64, Wish>,
    /// Exchanges this process has taken on.
    adopted: BTreeSet<u64>,
    /// Hosts that are looked for again after a while.
    connecting: BTreeSet<HostId>,
    /// Where hosts were found last.
    known: BTreeMap<HostId, Vec<Address>>,
    timers: BTreeMap<(Time, u64), Timer>,
    /// Sessions that may have something to tell.
    touched: BTreeSet<Handle>,
    next: u64,
    batch: Batch,
}

/// Names a session of a process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Handle(u64);

/// A stream of a process.
type Place = (Handle, StreamId);

/// Something that a process does at a time.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// The next address of a dial.
    NextAttempt(DialId),
    DialOver(DialId),
    /// A link should have said HELLO.
    HelloOver(ConnectionId),
    /// A goodbye should have been answered.
    GoodbyeOver(ConnectionId),
    /// A session is dialled again.
    Redial(Handle, Need),
    /// A session is held no longer by somebody.
    LetGo(Handle),
    /// A slow reader reads again.
    Read(Place),
    /// Somebody looks whether anything moved.
    Patience(Place),
    /// An exchange is begun again.
    Again(u64),
    /// A host is dialled, if somebody still waits for it.
    Connect(HostId),
}

impl Node {
    /// Starts a process: its host's first, or another one, which may name the one before it.
    pub(super) fn new(host: HostId, mut spec: HostSpec, process: u32, supersedes: bool) -> Self {
        // Streams are taken from the engine after each batch, however many it brought.
        let config = &mut spec.config;
        config.max_unaccepted = usize::try_from(config.max_streams).unwrap_or(usize::MAX);
        let before = process.checked_sub(1).filter(|_| supersedes);
        Self {
            host,
            spec,
            process,
            supersedes: before.map(|before| instance(host, before)),
            endpoint: Endpoint::new(EndpointLimits::default()),
            sessions: BTreeMap::new(),
            carriers: BTreeMap::new(),
            dials: BTreeMap::new(),
            tasks: BTreeMap::new(),
            wishes: BTreeMap::new(),
            adopted: BTreeSet::new(),
            connecting: BTreeSet::new(),
            known: BTreeMap::new(),
            timers: BTreeMap::new(),
            touched: BTreeSet::new(),
            next: 0,
            batch: Batch::new(),
        }
    }

    /// Takes a packet.
    pub(super) fn receive(&mut self, packet: Packet, cx: &mut Context<'_>) {
        let id = packet.connection;
        if let Entry::Vacant(place) = self.carriers.entry(id) {
            match packet.body {
                Body::Handshake { flight: 0 } => {
                    place.insert(Carrier::accepted(Connection::accept(&packet, cx.now)));
                }
                // QUIC's reset is proven by a key that each process makes for itself.
                Body::Segment(_) | Body::Handshake { .. }
                    if packet.kind != LinkKind::Quic
                        || packet.for_process == Some(self.process) =>
                {
                    return cx.out.push(packet.refused(self.process));
                }
                _ => return,
            }
        }
        if let Some(carrier) = self.carriers.get_mut(&id) {
            carrier.connection.handle_packet(packet, cx.now);
        }
        self.turn(id, cx);
        self.settle(cx);
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, cx: &mut Context<'_>) {
        let now = cx.now;
        let is_due = |due: Option<Time>| due.is_some_and(|due| due <= now);
        let late = self.carriers.iter().filter(|(_, carrier)| is_due(carrier.due));
        for id in late.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(carrier) = self.carriers.get_mut(&id) {
                carrier.connection.handle_timeout(now);
            }
            self.turn(id, cx);
        }
        let late = self.sessions.iter().filter(|(_, held)| is_due(held.due));
        for handle in late.map(|(handle, _)| *handle).collect::<Vec<_>>() {
            if let Some(held) = self.sessions.get_mut(&handle) {
                held.session.handle_timeout(now);
            }
            self.touched.insert(handle);
        }
        self.settle(cx);
        while let Some(first) = self.timers.first_entry().filter(|first| first.key().0 <= now) {
            let timer = first.remove();
            self.fire(timer, cx);
            self.settle(cx);
        }
    }

    /// Takes exchanges on that this process has not taken on.
    pub(super) fn adopt(&mut self, exchanges: Vec<u64>, cx: &mut Context<'_>) {
        for exchange in exchanges {
            if self.adopted.insert(exchange) {
                self.wish(exchange, cx);
            }
        }
        self.settle(cx);
    }

    /// The process is told to end: its sessions end in order.
    pub(super) fn close(&mut self, cx: &mut Context<'_>) {
        for (handle, held) in &mut self.sessions {
            held.session.close(netcom_session::Code::NO_ERROR, "shutting down", cx.now);
            self.touched.insert(*handle);
        }
        self.settle(cx);
    }

    /// The process dies. Its host's kernel tells whom it can.
    pub(super) fn kill(&mut self, cx: &mut Context<'_>) {
        for id in self.carriers.keys().copied().collect::<Vec<_>>() {
            if let Some(carrier) = self.carriers.get_mut(&id) {
                carrier.connection.abort();
            }
            self.flush(id, cx);
        }
    }

    /// When something is due, on the host's clock.
    pub(super) fn due(&self) -> Option<Time> {
        let timer = self.timers.first_key_value().map(|((at, _), _)| *at);
        let carriers = self.carriers.values().filter_map(|carrier| carrier.due);
        let sessions = self.sessions.values().filter_map(|held| held.due);
        carriers.chain(sessions).chain(timer).min()
    }

    /// Whether no application does anything.
    pub(super) fn is_quiet(&self) -> bool {
        self.tasks.is_empty() && self.wishes.is_empty()
    }

    /// What of its sessions is left though no application does anything, for a person.
    pub(super) fn remains(&self) -> Option<String> {
        let is_left = |held: &&Held| {
            let stats = held.session.stats();
            stats.streams > 0 || stats.retained_bytes > 0 || stats.gaps > 0
        };
        let left = self.sessions.values().find(is_left)?;
        let links: Vec<_> = left.session.links().collect();
        Some(format!("{:?}, {links:?}", left.session.stats()))
    }

    /// Lets sessions tell what they have to tell, until none has.
    fn settle(&mut self, cx: &mut Context<'_>) {
        while let Some(handle) = self.touched.pop_first() {
            self.settle_session(handle, cx);
        }
    }

    fn fire(&mut self, timer: Timer, cx: &mut Context<'_>) {
        match timer {
            Timer::NextAttempt(dial) => self.next_attempt(dial, cx),
            Timer::DialOver(dial) => self.dial_over(dial, cx),
            Timer::HelloOver(id) => self.hello_over(id, cx),
            Timer::GoodbyeOver(id) => self.goodbye_over(id, cx),
            Timer::Redial(handle, need) => self.redial(handle, need, cx),
            Timer::LetGo(handle) => self.let_go(handle, cx),
            Timer::Read(place) => self.advance(place, cx),
            Timer::Patience(place) => self.look_whether_stuck(place, cx),
            Timer::Again(exchange) => self.wish(exchange, cx),
            Timer::Connect(host) => {
                self.connecting.remove(&host);
                self.connect(host, cx);
            }
        }
    }

    fn set_timer(&mut self, at: Time, timer: Timer) {
        let number = self.fresh();
        self.timers.insert((at, number), timer);
    }

    /// A number that nothing of this process has.
    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn instance(&self) -> InstanceId {
        instance(self.host, self.process)
    }
}

impl Default for HostSpec {
    fn default() -> Self {
        Self {
            kinds: vec![LinkKind::Tcp, LinkKind::Quic],
            cards: 1,
            stands_by: false,
            linger: Duration::from_secs(5),
            rate: None,
            config: Config::default(),
        }
    }
}

impl Peers {
    /// Names for so many hosts.
    pub(super) fn new(count: usize) -> Self {
        let key = |number: usize| {
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&(number as u64 + 1).to_be_bytes());
            SecretKey::from_bytes(&seed).peer_id()
        };
        Self((0..count).map(key).collect())
    }

    fn id(&self, host: HostId) -> PeerId {
        self.0[host.0]
    }
}

/// Processes have numbers, so their instances need not be random to be different.
fn instance(host: HostId, process: u32) -> InstanceId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(host.0 as u64).to_be_bytes());
    bytes[8..12].copy_from_slice(&process.to_be_bytes());
    InstanceId(bytes)
}
