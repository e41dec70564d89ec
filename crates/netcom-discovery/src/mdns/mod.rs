//! Nodes of the local network, by multicast DNS; docs/protocol/mdns.md is the specification.

pub(crate) mod address;
mod cache;
pub(crate) mod codec;
mod interfaces;
mod lru;
pub mod state;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep, sleep_until, timeout},
};

pub use self::interfaces::Interfaces;
use self::{
    interfaces::Candidate,
    state::{LinkKey, Now, State, Stats},
};
use crate::source::{Findings, PublishError, Query, Source, Task, VerifiedRecord, unix_now};

/// Looks for nodes on the local network and shows this one there, as libp2p nodes do, with the
/// signed record beside. Runs one task; dropping it says goodbye to the network and ends the task.
#[derive(Debug)]
pub struct Mdns {
    commands: mpsc::Sender<Command>,
    stats: Arc<Mutex<Stats>>,
    links: Arc<Mutex<Vec<String>>>,
}

/// Where [`Mdns`] works.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct MdnsConfig {
    /// The interfaces. Default: [`Interfaces::Default`].
    pub interfaces: Interfaces,
    /// The UDP port. Default: 5353; another one makes a world of its own, for tests.
    pub port: u16,
}

/// Why [`Mdns::start`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MdnsError {
    /// The interfaces of this host cannot be listed.
    #[error("the network interfaces cannot be listed")]
    Interfaces {
        /// The cause.
        source: io::Error,
    },
    /// None of the interfaces asked for is there; name another one.
    #[error("there is no network interface {names}")]
    Missing {
        /// What was asked for.
        names: String,
    },
    /// No socket could be opened; another program may hold the port for itself.
    #[error("multicast on {interface} port {port} cannot be opened")]
    Socket {
        /// The interface that was tried last.
        interface: String,
        /// The port.
        port: u16,
        /// The cause.
        source: io::Error,
    },
    /// There is no randomness.
    #[error("the system gives no random numbers")]
    Random {
        /// The cause.
        source: getrandom::Error,
    },
}

impl Mdns {
    /// Opens the sockets and starts the task; needs a tokio runtime. Without any fitting interface
    /// it waits for one, except where the configuration names interfaces.
    ///
    /// # Errors
    /// Named interfaces are missing, or none of the sockets can be opened.
    pub fn start(config: MdnsConfig) -> Result<Self, MdnsError> {
        let seed = getrandom::u64().map_err(|source| MdnsError::Random { source })?;
        let (packets, received) = mpsc::channel(PACKETS);
        let mut driver = Driver {
            state: State::new(seed),
            config,
            sockets: BTreeMap::new(),
            packets,
            lookups: Vec::new(),
            stats: Arc::default(),
            links: Arc::default(),
        };
        driver.open_first()?;
        let (commands, commanded) = mpsc::channel(COMMANDS);
        let (stats, links) = (driver.stats.clone(), driver.links.clone());
        tokio::spawn(driver.run(commanded, received));
        Ok(Self { commands, stats, links })
    }

    /// What was counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        *lock(&self.stats)
    }

    /// The interfaces served now, one entry for each address family.
    #[must_use]
    pub fn interfaces(&self) -> Vec<String> {
        lock(&self.links).clone()
    }

    /// Says goodbye to the network and ends the task. Lookups end too.
    pub async fn close(&self) {
        self.call(Command::Close).await;
    }

    /// Sends a command and waits until it is done; `false` where the task has ended.
    async fn call(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) -> bool {
        let (done, is_done) = oneshot::channel();
        self.commands.send(command(done)).await.is_ok() && is_done.await.is_ok()
    }
}

impl Source for Mdns {
    fn name(&self) -> &'static str {
        "mdns"
    }

    fn publish(&self, record: VerifiedRecord) -> Task<'_, Result<(), PublishError>> {
        Box::pin(async move {
            let encoded = record.encode();
            if encoded.len() > codec::MAX_RECORD {
                return Err(PublishError::TooLarge { size: encoded.len(), max: codec::MAX_RECORD });
            }
            let is_done = self.call(|done| Command::Publish { record, encoded, done }).await;
            if is_done { Ok(()) } else { Err(PublishError::Closed) }
        })
    }

    fn withdraw(&self) -> Task<'_, ()> {
        Box::pin(async {
            self.call(Command::Withdraw).await;
        })
    }

    fn lookup(&self, query: Query, findings: Findings) -> Task<'_, ()> {
        Box::pin(async move {
            // A node of the network may turn up at any time, so the lookup ends with its listener
            // or with the driver, which drops `ended`.
            let (alive, ended) = oneshot::channel();
            let listener = findings.clone();
            let command = Command::Lookup { query, findings, alive };
            if self.commands.send(command).await.is_ok() {
                tokio::select! {
                    () = listener.closed() => {}
                    _ = ended => {}
                }
            }
        })
    }

    fn rejected(&self) -> u64 {
        self.stats().rejected
    }
}

impl Default for MdnsConfig {
    fn default() -> Self {
        Self { interfaces: Interfaces::Default, port: 5353 }
    }
}

impl MdnsConfig {
    /// Chooses the interfaces. Default: [`Interfaces::Default`].
    #[must_use]
    pub fn interfaces(mut self, interfaces: Interfaces) -> Self {
        self.interfaces = interfaces;
        self
    }

    /// Chooses the UDP port. Default: 5353.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }
}

enum Command {
    Publish { record: VerifiedRecord, encoded: Vec<u8>, done: oneshot::Sender<()> },
    Withdraw(oneshot::Sender<()>),
    Lookup { query: Query, findings: Findings, alive: oneshot::Sender<()> },
    Close(oneshot::Sender<()>),
}

/// A packet as it came in: on which link, from whom.
type Received = (LinkKey, IpAddr, Vec<u8>);

/// Joins the machine with sockets and clocks.
struct Driver {
    state: State,
    config: MdnsConfig,
    sockets: BTreeMap<LinkKey, Link>,
    packets: mpsc::Sender<Received>,
    lookups: Vec<Waiting>,
    stats: Arc<Mutex<Stats>>,
    links: Arc<Mutex<Vec<String>>>,
}

struct Link {
    candidate: Candidate,
    group: SocketAddr,
    socket: Arc<UdpSocket>,
    reader: JoinHandle<()>,
}

struct Waiting {
    query: Query,
    findings: Findings,
    /// Dropped with the lookup, which tells the waiting future that nothing comes any more.
    _alive: oneshot::Sender<()>,
}

const COMMANDS: usize = 64;
/// Packets waiting for the driver; in a flood the newest are dropped.
const PACKETS: usize = 256;
const MAX_LOOKUPS: usize = 1_024;
/// How often the interfaces are looked at for changes.
const RESCAN: Duration = Duration::from_secs(2);
/// How long a packet may wait for room in a socket's buffer before it is dropped.
const SEND_TIMEOUT: Duration = Duration::from_millis(50);
const RECEIVE_PAUSE: Duration = Duration::from_millis(100);

impl Driver {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut received: mpsc::Receiver<Received>,
    ) {
        let mut rescan = interval(RESCAN);
        rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        rescan.reset();
        loop {
            let due = self.state.poll_timeout();
            let closing = tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Close(done)) => Some(Some(done)),
                    Some(command) => {
                        self.handle_command(command);
                        None
                    }
                    None => Some(None),
                },
                Some((link, source, packet)) = received.recv() => {
                    self.state.handle_packet(link, source, &packet, now());
                    None
                }
                () = wait_until(due) => {
                    self.state.handle_timeout(now());
                    None
                }
                _ = rescan.tick() => {
                    self.follow_interfaces();
                    None
                }
            };
            if let Some(done) = closing {
                self.close().await;
                if let Some(done) = done {
                    let _ = done.send(());
                }
                return;
            }
            self.drain().await;
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Publish { record, encoded, done } => {
                // New addresses are a reason to publish, and may be those of new interfaces.
                self.follow_interfaces();
                let peer = *record.peer_id();
                self.state.publish(peer, record.addresses(), encoded, now());
                let _ = done.send(());
            }
            Command::Withdraw(done) | Command::Close(done) => {
                self.state.withdraw();
                let _ = done.send(());
            }
            Command::Lookup { query, findings, alive } => {
                for found in self.state.start_lookup(&query, now()) {
                    let _ = findings.offer(found);
                }
                self.lookups.retain(|waiting| !waiting.findings.is_closed());
                if self.lookups.len() < MAX_LOOKUPS {
                    self.lookups.push(Waiting { query, findings, _alive: alive });
                }
            }
        }
    }

    /// Carries out what the machine decided.
    async fn drain(&mut self) {
        while let Some(transmit) = self.state.poll_transmit() {
            let Some(link) = self.sockets.get(&transmit.link) else { continue };
            let sent = timeout(SEND_TIMEOUT, link.socket.send_to(&transmit.packet, link.group));
            if let Ok(Err(error)) = sent.await {
                tracing::debug!(interface = link.candidate.name, %error, "Packet not sent");
            }
        }
        while let Some(found) = self.state.poll_found() {
            self.lookups.retain(|waiting| !waiting.findings.is_closed());
            let unix = unix_now();
            for waiting in self.lookups.iter().filter(|w| found.answers(&w.query, unix)) {
                // A listener that is busy has 64 findings waiting and does not need this one.
                let _ = waiting.findings.offer(found.clone());
            }
        }
        *lock(&self.stats) = self.state.stats();
    }

    async fn close(&mut self) {
        self.lookups.clear();
        self.state.withdraw();
        self.drain().await;
    }

    fn open_first(&mut self) -> Result<(), MdnsError> {
        let failed = self.rescan().map_err(|source| MdnsError::Interfaces { source })?;
        if !self.sockets.is_empty() {
            return Ok(());
        }
        match (failed, &self.config.interfaces) {
            (Some((interface, source)), _) => {
                Err(MdnsError::Socket { interface, port: self.config.port, source })
            }
            (None, Interfaces::Default) => Ok(()),
            (None, Interfaces::Loopback) => {
                Err(MdnsError::Missing { names: "for loopback over ipv4".to_owned() })
            }
            (None, Interfaces::Named(names)) => Err(MdnsError::Missing { names: names.join(", ") }),
        }
    }

    fn follow_interfaces(&mut self) {
        if let Err(error) = self.rescan() {
            tracing::debug!(%error, "Interfaces could not be looked at");
        }
    }

    /// Follows the host's interfaces; gives the last one that could not be opened.
    fn rescan(&mut self) -> io::Result<Option<(String, io::Error)>> {
        let mut failed = None;
        let mut old = std::mem::take(&mut self.sockets);
        for candidate in interfaces::candidates(&self.config.interfaces)? {
            let key = candidate.key();
            if self.sockets.len() >= state::MAX_LINKS {
                break;
            }
            let link = match old.remove(&key) {
                Some(link) => Ok(Link { candidate, ..link }),
                None => self.open(candidate),
            };
            match link {
                Ok(link) => drop(self.sockets.insert(key, link)),
                Err(error) => failed = Some(error),
            }
        }
        for link in old.into_values() {
            link.reader.abort();
        }
        let specs = self.sockets.iter().map(|(key, link)| (*key, link.candidate.spec.clone()));
        self.state.set_links(specs, now());
        *lock(&self.links) =
            self.sockets.values().map(|link| link.candidate.name.clone()).collect();
        Ok(failed)
    }

    fn open(&self, candidate: Candidate) -> Result<Link, (String, io::Error)> {
        let socket = match candidate.open(self.config.port) {
            Ok(socket) => Arc::new(socket),
            Err(error) => {
                tracing::debug!(interface = candidate.name, %error, "Interface not usable");
                return Err((candidate.name, error));
            }
        };
        let reader = read(socket.clone(), candidate.key(), self.packets.clone());
        let group = candidate.group(self.config.port);
        Ok(Link { candidate, group, socket, reader: tokio::spawn(reader) })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        for link in self.sockets.values() {
            link.reader.abort();
        }
    }
}

/// Passes the packets of one socket on, and drops them while the driver is behind.
async fn read(socket: Arc<UdpSocket>, link: LinkKey, packets: mpsc::Sender<Received>) {
    let mut buffer = vec![0; codec::MAX_RECEIVED];
    while !packets.is_closed() {
        match socket.recv_from(&mut buffer).await {
            Ok((length, source)) => {
                let packet = buffer.get(..length).unwrap_or_default().to_vec();
                let _ = packets.try_send((link, source.ip(), packet));
            }
            // The interface may be going away; the driver's next look at them will tell.
            Err(_) => sleep(RECEIVE_PAUSE).await,
        }
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

fn now() -> Now {
    Now { instant: Instant::now(), unix: unix_now() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
