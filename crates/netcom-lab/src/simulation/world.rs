//! A network of hosts and its time.

use std::time::Duration;

use netcom_session::{LinkKind, Time};

use super::{
    check::Ledger,
    host::Host,
    network::{HostId, Lost, Network},
    node::{Context, HostSpec, Node, Peers},
    queue::Queue,
    report::{Broken, Report},
    step::{End, Step},
    trace::Trace,
    transport::{Body, Packet},
};
use crate::{PathSpec, Random};

/// Hosts, the network between them, and what happens to both.
pub struct World {
    now: Time,
    queue: Queue<Happening>,
    random: Random,
    network: Network,
    hosts: Vec<Host>,
    peers: Peers,
    ledger: Ledger,
    trace: Trace,
    /// Steps that were planned and have not happened.
    planned: usize,
    events: u64,
    /// Events since time passed.
    at_once: u32,
}

enum Happening {
    Arrival(Box<Packet>),
    /// A host's timer, and when it was to be.
    Timer(HostId, Time),
    Step(Box<Step>),
}

impl World {
    /// Makes a network with these hosts, all of whose paths are of one kind.
    #[must_use]
    pub fn new(seed: u64, hosts: Vec<HostSpec>, paths: PathSpec) -> Self {
        let mut random = Random::new(seed);
        let network = Network::new(hosts.iter().map(|host| host.cards), paths);
        let peers = Peers::new(hosts.len());
        let hosts = hosts.into_iter().enumerate();
        let hosts = hosts.map(|(number, spec)| Host::new(HostId(number), spec, &mut random));
        Self {
            now: Time(0),
            queue: Queue::new(),
            hosts: hosts.collect(),
            random,
            network,
            peers,
            ledger: Ledger::default(),
            trace: Trace::new(false),
            planned: 0,
            events: 0,
            at_once: 0,
        }
    }

    /// Keeps the trace's newest lines, too. Default: its number alone.
    #[must_use]
    pub fn with_lines(mut self) -> Self {
        self.trace = Trace::new(true);
        self
    }

    /// Plans a step.
    pub fn plan(&mut self, after: Duration, step: Step) {
        self.planned += 1;
        self.queue.push(self.now + after, Happening::Step(Box::new(step)));
    }

    /// Does a step now.
    pub fn perform(&mut self, step: Step) {
        self.trace.note(self.now, &[2], || format!("{step:?}"));
        match step {
            Step::Want(exchange) => {
                let from = exchange.from;
                self.ledger.want(exchange);
                self.adopt(from);
            }
            Step::Datagram { from, to, number, length } => {
                self.with_node(from, |node, cx| node.send_datagram(to, number, length, cx));
            }
            Step::Begin(number, fault) => {
                self.ledger.troubles.fault_begins(number, fault.clone());
                self.network.begin(number, fault);
            }
            Step::End(number) => {
                self.network.end(number);
                self.ledger.troubles.fault_ends(number, self.now);
            }
            Step::Move { host, card } => {
                self.network.change_address(host, card);
                self.ledger.troubles.host_moves(host, self.now);
            }
            Step::Sleep { host, keeps_packets } => self.put_to_sleep(host, keeps_packets),
            Step::Wake { host, clock_ran } => self.wake_up(host, clock_ran),
            Step::Stop { host, end } => self.stop(host, end),
            Step::Start { host, supersedes } => self.start(host, supersedes),
            Step::CloseLink { host, with } => {
                self.with_node(host, |node, cx| node.close_link(with, cx));
            }
            Step::StandBy { host, with } => {
                self.with_node(host, |node, cx| node.stand_by(with, cx));
            }
        }
    }

    /// Lets time pass, and everything happen meanwhile. Stops early where something does not hold.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.ledger.first_broken().is_none()
            && let Some((at, what)) = self.queue.pop_until(end)
        {
            self.at_once = if at > self.now { 0 } else { self.at_once + 1 };
            self.now = at;
            self.events += 1;
            if self.at_once > MAX_AT_ONCE {
                self.ledger.broken(at, || "time does not go on".to_owned());
            }
            match what {
                Happening::Arrival(packet) => self.arrive(*packet),
                Happening::Timer(host, due) => self.ring(host, due),
                Happening::Step(step) => {
                    self.planned -= 1;
                    self.perform(*step);
                }
            }
        }
        self.now = self.now.max(end);
    }

    /// Lets time pass until something holds, looking each second, or until the limit. Returns
    /// whether it holds.
    pub fn run_until(&mut self, limit: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + limit;
        while self.ledger.first_broken().is_none() {
            if holds(self) {
                return true;
            }
            if self.now >= end {
                break;
            }
            self.run_for(LOOK.min(end - self.now));
        }
        false
    }

    /// Lets everything that is planned happen, and every exchange come to its end, which must be
    /// within the limit after the last step.
    ///
    /// # Errors
    /// [`Broken`] names the first thing that did not hold.
    pub fn settle(&mut self, limit: Duration) -> Result<(), Broken> {
        self.run_until(Duration::from_secs(u64::MAX >> 32), |world| world.planned == 0);
        if !self.run_until(limit, Self::is_quiet) {
            let open = self.ledger.describe_open();
            self.ledger.broken(self.now, || format!("not at rest {limit:?} later; open: {open}"));
        }
        // What was reset last is acknowledged, what is idle closes or stays.
        self.run_for(REST);
        for host in &self.hosts {
            let remains = host.node.as_ref().and_then(Node::remains);
            if let Some(left) = remains {
                self.ledger.broken(self.now, || format!("left at {}: {left}", host.id.0));
            }
        }
        self.holds()
    }

    /// Whether everything held so far.
    ///
    /// # Errors
    /// [`Broken`] names the first thing that did not.
    pub fn holds(&self) -> Result<(), Broken> {
        let Some((at, what)) = self.ledger.first_broken() else { return Ok(()) };
        let lines = self.trace.lines().map(str::to_owned).collect();
        Err(Broken { at, what: what.to_owned(), lines })
    }

    /// How it went so far.
    #[must_use]
    pub fn report(&self) -> Report {
        Report {
            trace: self.trace.hash(),
            span: Duration::from_nanos(self.now.0),
            events: self.events,
            packets: self.network.carried(),
            lost: self.network.lost().values().sum(),
            counts: self.ledger.counts(),
        }
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.now.0)
    }

    /// The network, to set its paths.
    pub fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What is known of all exchanges.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Everything that happened.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Whether nobody wants anything.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let is_quiet = |host: &Host| host.node.as_ref().is_none_or(Node::is_quiet);
        self.ledger.is_settled() && self.hosts.iter().all(is_quiet)
    }

    fn arrive(&mut self, packet: Packet) {
        let (from, to) = (packet.from, packet.to);
        let facts = [3, from.host.0 as u64, to.host.0 as u64, packet.connection.0];
        self.trace.note(self.now, &facts, || describe(&packet));
        if let Body::Segment(segment) = &packet.body {
            segment.chunks.iter().for_each(|chunk| self.trace.mix_bytes(&chunk.bytes));
        }
        let Some(host) = self.hosts.get_mut(to.host.0) else { return };
        if !self.network.is_current(to) {
            return self.network.count_lost(Lost::Address);
        }
        if host.is_asleep() {
            if !host.keep(packet) {
                self.network.count_lost(Lost::Asleep);
            }
            return;
        }
        if host.node.is_some() {
            return self.with_node(to.host, |node, cx| node.receive(packet, cx));
        }
        let is_answered = !host.is_off && !matches!(packet.body, Body::Reset | Body::Close);
        if is_answered && packet.kind != LinkKind::Quic {
            let answer = packet.refused(host.processes);
            self.send(answer);
        } else {
            self.network.count_lost(Lost::Off);
        }
    }

    fn ring(&mut self, id: HostId, due: Time) {
        let host = &mut self.hosts[id.0];
        if host.wakes_at == Some(due) && !host.is_asleep() {
            host.wakes_at = None;
            self.with_node(id, Node::wake);
        }
    }

    /// Gives a host the exchanges it wants and has not begun, if it runs.
    fn adopt(&mut self, id: HostId) {
        let wanted = self.ledger.open_of(id);
        self.with_node(id, |node, cx| node.adopt(wanted, cx));
    }

    fn put_to_sleep(&mut self, id: HostId, keeps_packets: bool) {
        if self.hosts[id.0].sleep(keeps_packets, self.now) {
            self.ledger.troubles.host_leaves(id);
        }
    }

    fn wake_up(&mut self, id: HostId, clock_ran: bool) {
        let host = &mut self.hosts[id.0];
        let Some(waiting) = host.wake(clock_ran, self.now) else { return };
        if !host.is_off {
            self.ledger.troubles.host_returns(id, self.now);
        }
        waiting.into_iter().for_each(|packet| self.arrive(packet));
        self.with_node(id, Node::wake);
        self.adopt(id);
    }

    fn stop(&mut self, id: HostId, end: End) {
        self.ledger.troubles.process_ends(id, self.now);
        self.ledger.troubles.host_leaves(id);
        match end {
            End::Closing => return self.with_node(id, Node::close),
            End::Killed => self.with_node(id, Node::kill),
            End::Off => self.hosts[id.0].is_off = true,
        }
        self.hosts[id.0].clear();
    }

    fn start(&mut self, id: HostId, supersedes: bool) {
        let host = &mut self.hosts[id.0];
        if host.node.is_some() {
            return;
        }
        host.is_off = false;
        host.node = Some(Node::new(id, host.spec.clone(), host.processes, supersedes));
        if !host.is_asleep() {
            self.ledger.troubles.host_returns(id, self.now);
        }
        self.adopt(id);
    }

    /// Lets a host's process do something, if it runs, and sends what it sends.
    fn with_node(&mut self, id: HostId, call: impl FnOnce(&mut Node, &mut Context<'_>)) {
        let Some(host) = self.hosts.get_mut(id.0) else { return };
        let is_awake = !host.is_asleep();
        let Some(node) = host.node.as_mut().filter(|_| is_awake) else { return };
        let mut out = Vec::new();
        let mut cx = Context {
            now: host.clock.local(self.now),
            at: self.now,
            random: &mut self.random,
            network: &self.network,
            peers: &self.peers,
            ledger: &mut self.ledger,
            trace: &mut self.trace,
            out: &mut out,
        };
        call(node, &mut cx);
        let due = node.due().map(|due| host.clock.world(due).max(self.now));
        if let Some(due) = due.filter(|due| host.wakes_at.is_none_or(|at| *due < at)) {
            host.wakes_at = Some(due);
            self.queue.push(due, Happening::Timer(id, due));
        }
        out.into_iter().for_each(|packet| self.send(packet));
    }

    fn send(&mut self, packet: Packet) {
        let (ends, bytes) = ([packet.from, packet.to], packet.len_bytes());
        let carried = self.network.carry(ends, packet.kind, bytes, self.now, &mut self.random);
        match carried {
            Ok((at, again)) => {
                if let Some(again) = again {
                    self.queue.push(again, Happening::Arrival(Box::new(packet.clone())));
                }
                self.queue.push(at, Happening::Arrival(Box::new(packet)));
            }
            Err(cause) => {
                let ends = ends.map(|end| end.host.0 as u64);
                let facts = [4, ends[0], ends[1], packet.connection.0];
                self.trace.note(self.now, &facts, || format!("{cause:?} of {}", describe(&packet)));
                self.network.count_lost(cause);
            }
        }
    }
}

/// A packet, for a person.
fn describe(packet: &Packet) -> String {
    let Packet { from, to, connection, kind, body, .. } = packet;
    let body = match body {
        Body::Segment(segment) => {
            let chunk = |chunk: &super::transport::Chunk| {
                format!("{}@{}+{}", chunk.lane.0, chunk.offset, chunk.bytes.len())
            };
            let chunks: Vec<_> = segment.chunks.iter().map(chunk).collect();
            let (number, acknowledged) = (segment.number, &segment.acknowledged);
            format!("#{number} [{}] of {acknowledged:?}", chunks.join(" "))
        }
        other => format!("{other:?}"),
    };
    format!("{}>{} {kind:?} {:x} {body}", from.host.0, to.host.0, connection.0)
}

/// Events at one moment beyond which time stands still.
const MAX_AT_ONCE: u32 = 100_000;
const LOOK: Duration = Duration::from_secs(1);
/// How long a world that is at rest goes on.
const REST: Duration = Duration::from_secs(200);
