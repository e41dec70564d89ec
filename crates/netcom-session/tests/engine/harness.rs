//! Two processes on virtual time: their sessions, the links between them, and what goes wrong.
#![expect(unreachable_pub, reason = "shared with the fuzz target of operations")]

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use netcom_identity::{PeerId, SecretKey};
use netcom_session::{
    Accept, AttachError, Batch, Class, Code, Config, Endpoint, EndpointLimits, Event, Flow,
    InstanceId, LaneId, LinkId, LinkKind, LinkLoss, LinkSpec, Poll, ReadError, ReadState, Session,
    SessionId, SessionSpec, StreamId, Time, WriteError,
    wire::{self, Frame, FrameLimits, Hello, Purpose, SessionKey},
};

/// Which of the two processes.
pub type Side = usize;
/// Names a link in the harness.
pub type WireId = usize;
/// Names a session of a process.
pub type Handle = usize;

pub const A: Side = 0;
pub const B: Side = 1;

/// One process: its endpoint, its sessions, and the events they gave.
pub struct Host {
    pub peer: PeerId,
    pub instance: InstanceId,
    pub supersedes: Option<InstanceId>,
    pub config: Config,
    pub endpoint: Endpoint<Handle>,
    pub sessions: Vec<Session>,
    pub events: Vec<(Handle, Event)>,
    secrets: u64,
    /// How often it renewed its certificate, by which links know it.
    pub renewed: u64,
    name: u8,
}

/// A link on its way: bytes per lane and direction.
pub struct Wire {
    pub dialer: Side,
    pub ends: [Option<(Handle, LinkId)>; 2],
    lanes: [BTreeMap<LaneId, Lane>; 2],
    /// What the acceptor's session is told of it.
    spec: LinkSpec,
    /// Bytes from that side do not arrive until [`Pair::heal`], and nobody is told.
    pub black_hole: [bool; 2],
    /// What was sent meanwhile.
    withheld: [Vec<(LaneId, Vec<u8>)>; 2],
    /// The side's driver ended it.
    closed: [bool; 2],
    /// When that side reads the end that the other's driver made.
    ends_at: [Option<Time>; 2],
    /// Frames that side has put on it.
    pub sent: [usize; 2],
    pub is_cut: bool,
    /// A sender stops asking for more beyond this many undelivered bytes.
    pub capacity: usize,
    /// How long a frame takes.
    pub delay: Duration,
    /// Bytes a second that leave each end; any number where it is `None`.
    pub rate: Option<u64>,
    /// When all that was sent from each end has left it.
    free_at: [Time; 2],
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<(Time, Vec<u8>)>,
    unread: BytesMut,
}

/// Two processes and the links between them.
pub struct Pair {
    pub hosts: [Host; 2],
    pub wires: Vec<Wire>,
    pub now: Time,
    pub delay: Duration,
    /// Everything that was sent, for comparing runs.
    pub trace: Vec<u8>,
    pub is_traced: bool,
    /// Frames come that no engine sends, so sessions may refuse links.
    pub is_hostile: bool,
    /// Cut this wire right after that side has put this many frames on it.
    pub cut_after: Option<(WireId, Side, usize)>,
    /// From then on, everything on it vanishes instead, and nobody is told.
    pub is_cut_silent: bool,
    /// The process stands still: what comes waits, no time passes for it.
    pub is_stopped: [bool; 2],
    /// Every frame that arrived at each side, where wanted.
    pub arrived: Option<[Vec<(LaneId, Frame)>; 2]>,
}

impl Pair {
    pub fn new() -> Self {
        Self::with(Config::default(), Duration::from_millis(10))
    }

    pub fn with(config: Config, delay: Duration) -> Self {
        let [a, b] = [Host::new(1, config.clone()), Host::new(2, config)];
        Self {
            hosts: [a, b],
            wires: Vec::new(),
            now: Time(1_000_000_000),
            delay,
            trace: Vec::new(),
            is_traced: false,
            is_hostile: false,
            cut_after: None,
            is_cut_silent: false,
            is_stopped: [false; 2],
            arrived: None,
        }
    }

    /// Whether a side is the keeper of its sessions with the other.
    pub fn is_keeper(&self, side: Side) -> bool {
        self.hosts[side].peer < self.hosts[1 - side].peer
    }

    /// Dials the other side over a new link, from the session there is or a new one.
    pub fn dial(&mut self, side: Side, kind: LinkKind) -> (Handle, WireId) {
        let (peer, now) = (self.hosts[1 - side].peer, self.now);
        let host = &mut self.hosts[side];
        let next = host.sessions.len();
        let (handle, is_new) = host.endpoint.dial(&peer, || next).expect("room for a session");
        if is_new {
            let session = host.session(peer, true, now);
            host.sessions.push(session);
        }
        (handle, self.dial_from(side, handle, kind))
    }

    /// Dials the other side over a new link, from a certain session.
    pub fn dial_from(&mut self, side: Side, handle: Handle, kind: LinkKind) -> WireId {
        let spec = spec(kind, u8::try_from(self.wires.len() % 251).expect("below 251"));
        let process = self.hosts[1 - side].process();
        let dialled = LinkSpec { process, ..spec.clone() };
        let spec = LinkSpec { process: self.hosts[side].process(), ..spec };
        let id = self.hosts[side].sessions[handle]
            .dial_link(dialled, self.now)
            .expect("the session takes a link");
        let mut ends = [None; 2];
        ends[side] = Some((handle, id));
        self.wires.push(Wire {
            dialer: side,
            ends,
            lanes: [BTreeMap::new(), BTreeMap::new()],
            spec,
            black_hole: [false; 2],
            withheld: [Vec::new(), Vec::new()],
            closed: [false; 2],
            ends_at: [None; 2],
            sent: [0; 2],
            is_cut: false,
            capacity: 1 << 20,
            delay: self.delay,
            rate: None,
            free_at: [Time(0); 2],
        });
        self.flush();
        self.wires.len() - 1
    }

    /// Dials and waits until both ends belong to a session.
    pub fn connect(&mut self) -> (Handle, WireId) {
        self.connect_by(LinkKind::Tcp)
    }

    pub fn connect_by(&mut self, kind: LinkKind) -> (Handle, WireId) {
        let (handle, wire) = self.dial(A, kind);
        self.run_for(self.delay * 6);
        assert!(self.wires[wire].ends.iter().all(Option::is_some), "the link was attached");
        (handle, wire)
    }

    pub fn session(&mut self, side: Side, handle: Handle) -> &mut Session {
        &mut self.hosts[side].sessions[handle]
    }

    /// The link's transport fails at once at both ends; what is on its way is lost.
    pub fn cut(&mut self, wire: WireId) {
        self.cut_one(wire, A, &LinkLoss::Reset);
        self.cut_one(wire, B, &LinkLoss::Reset);
    }

    /// One end learns that the transport failed; nothing passes any more.
    pub fn cut_one(&mut self, wire: WireId, side: Side, loss: &LinkLoss) {
        let now = self.now;
        let known = &mut self.wires[wire];
        known.is_cut = true;
        known.ends_at = [None; 2];
        known.lanes = [BTreeMap::new(), BTreeMap::new()];
        if let Some((handle, link)) = known.ends[side].take() {
            self.hosts[side].sessions[handle].link_lost(link, loss, now);
        }
        self.flush();
    }

    /// Runs everything that happens within `span`.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        self.flush();
        while let Some(at) = self.next_at().filter(|at| *at <= end) {
            self.step_to(at);
        }
        self.now = end;
        self.flush();
    }

    /// Runs until nothing is left to happen, or `limit` has passed.
    pub fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        loop {
            if done(self) {
                return true;
            }
            self.flush();
            if self.next_at().is_none() && !done(self) {
                // Looking may have caused something.
                self.flush();
            }
            let Some(at) = self.next_at().filter(|at| *at <= end) else { return done(self) };
            self.step_to(at);
        }
    }

    fn step_to(&mut self, at: Time) {
        self.now = self.now.max(at);
        self.deliver();
        for side in self.running() {
            for handle in 0..self.hosts[side].sessions.len() {
                let (now, session) = (self.now, &mut self.hosts[side].sessions[handle]);
                if session.poll_timeout().is_some_and(|due| due <= now) {
                    session.handle_timeout(now);
                }
            }
        }
        self.flush();
    }

    /// The processes that do not stand still.
    fn running(&self) -> Vec<Side> {
        [A, B].into_iter().filter(|side| !self.is_stopped[*side]).collect()
    }

    fn next_at(&self) -> Option<Time> {
        let running = self.running();
        let lanes = running
            .iter()
            .flat_map(|side| self.wires.iter().flat_map(|wire| wire.lanes[*side].values()));
        let arrivals = lanes.filter_map(|lane| lane.queue.front()).map(|(at, _)| *at);
        let hosts = running.iter().flat_map(|side| &self.hosts[*side].sessions);
        let ends =
            self.wires.iter().flat_map(|wire| running.iter().map(|side| wire.ends_at[*side]));
        let ends = ends.flatten();
        arrivals.chain(ends).chain(hosts.filter_map(Session::poll_timeout)).min()
    }

    /// Hands what has arrived to the sessions.
    fn deliver(&mut self) {
        for wire in 0..self.wires.len() {
            for side in self.running() {
                let lanes: Vec<LaneId> = self.wires[wire].lanes[side].keys().copied().collect();
                for lane in lanes {
                    self.deliver_lane(wire, side, lane);
                }
                if self.wires[wire].ends_at[side].take_if(|at| *at <= self.now).is_some() {
                    self.finish(wire, side);
                }
            }
        }
    }

    /// Delivers to `side`.
    fn deliver_lane(&mut self, wire: WireId, side: Side, lane: LaneId) {
        let now = self.now;
        loop {
            let known = &mut self.wires[wire];
            let limits = FrameLimits { max_data_body: known.spec.max_data_body };
            let Some(pipe) = known.lanes[side].get_mut(&lane) else { return };
            while let Some((_, bytes)) = pipe.queue.pop_front_if(|(at, _)| *at <= now) {
                pipe.unread.extend_from_slice(&bytes);
            }
            let Some(frame) = wire::decode(&mut pipe.unread, limits).expect("our own frames")
            else {
                return;
            };
            if let Some(arrived) = &mut self.arrived {
                arrived[side].push((lane, frame.clone()));
            }
            self.hand_over(wire, side, lane, frame);
        }
    }

    /// Gives one frame to the session at `side`, as a driver does.
    pub fn hand_over(&mut self, wire: WireId, side: Side, lane: LaneId, frame: Frame) {
        if self.wires[wire].closed[side] {
            return;
        }
        if let Some((handle, link)) = self.wires[wire].ends[side] {
            let now = self.now;
            let session = &mut self.hosts[side].sessions[handle];
            session.handle_batch(link, lane, &mut vec![frame], now);
            self.transmit(wire, side);
        } else if side != self.wires[wire].dialer
            && let Frame::Hello(hello) = frame
        {
            self.accept(wire, side, &hello);
        }
    }

    fn accept(&mut self, wire: WireId, side: Side, hello: &Hello) {
        let (peer, now) = (self.hosts[1 - side].peer, self.now);
        let spec = self.wires[wire].spec.clone();
        let host = &mut self.hosts[side];
        let next = host.sessions.len();
        let purpose = match host.endpoint.accept(&peer, hello, now, || next) {
            Accept::Session { session: handle, is_new, superseded } => {
                if is_new {
                    let session = host.session(peer, false, now);
                    host.sessions.push(session);
                }
                for old in superseded {
                    host.sessions[old].peer_restarted(now);
                }
                match host.sessions[handle].accept_link(spec, hello, now) {
                    Ok(link) => {
                        self.wires[wire].ends[side] = Some((handle, link));
                        self.transmit(wire, side);
                        return;
                    }
                    Err(AttachError::UnknownSession) => {
                        Purpose::Refused { code: Code::UNKNOWN_SESSION, retry_after_ms: 0 }
                    }
                    Err(error) => {
                        assert!(self.is_hostile, "{error}");
                        self.finish(wire, side);
                        return;
                    }
                }
            }
            Accept::Refuse(purpose) => purpose,
        };
        self.refuse(wire, side, hello, purpose);
    }

    fn refuse(&mut self, wire: WireId, side: Side, hello: &Hello, purpose: Purpose) {
        let host = &self.hosts[side];
        let answer = Hello {
            instance: host.instance,
            supersedes: host.supersedes,
            link: hello.link,
            purpose,
            session: None,
            limits: hello.limits,
            resume_window_ms: None,
            features: Vec::new(),
            finals: Vec::new(),
        };
        let mut bytes = BytesMut::new();
        wire::encode(&Frame::Hello(Box::new(answer)), &mut bytes);
        self.carry(wire, side, LaneId(0), bytes.to_vec());
        self.finish(wire, side);
    }

    /// Sends what every session has to send, and routes events the shell must act on.
    pub fn flush(&mut self) {
        loop {
            let mut idle = true;
            for side in self.running() {
                for handle in 0..self.hosts[side].sessions.len() {
                    while let Some(link) = self.hosts[side].sessions[handle].poll_wakeup() {
                        let wire =
                            self.wires.iter().position(|w| w.ends[side] == Some((handle, link)));
                        if let Some(wire) = wire {
                            idle = false;
                            self.transmit(wire, side);
                        }
                    }
                    self.drain_events(side, handle);
                }
            }
            if idle {
                return;
            }
        }
    }

    fn drain_events(&mut self, side: Side, handle: Handle) {
        let (peer, now) = (self.hosts[1 - side].peer, self.now);
        let host = &mut self.hosts[side];
        while let Some(event) = host.sessions[handle].poll_event() {
            match &event {
                Event::Attached { .. } => {
                    if let Some(bound) = host.sessions[handle].bound_to() {
                        host.endpoint.bind(&peer, &handle, bound);
                    }
                }
                Event::Closed(closed) => host.endpoint.end(&peer, &handle, closed.code, now),
                _ => {}
            }
            host.events.push((handle, event));
        }
    }

    /// Moves what the session has for a link onto the wire, as its driver does.
    fn transmit(&mut self, wire: WireId, side: Side) {
        let mut batch = Batch::new();
        loop {
            let Some((handle, link)) = self.wires[wire].ends[side] else { return };
            if self.wires[wire].is_cut
                || self.wires[wire].in_flight(side) > self.wires[wire].capacity
            {
                return;
            }
            batch.clear();
            let now = self.now;
            let poll =
                self.hosts[side].sessions[handle].poll_batch(link, 64 << 10, &mut batch, now);
            for frame in batch.frames() {
                let bytes = [frame.head, &frame.payload.concat()].concat();
                self.carry(wire, side, frame.lane, bytes);
                if self.cut_after == Some((wire, side, self.wires[wire].sent[side])) {
                    self.cut_after = None;
                    if !self.is_cut_silent {
                        self.cut(wire);
                        return;
                    }
                    self.wires[wire].black_hole = [true; 2];
                }
            }
            match poll {
                Poll::More => {}
                Poll::Idle => return,
                Poll::Finish => {
                    self.finish(wire, side);
                    return;
                }
            }
        }
    }

    /// The driver ends its side in order: what was sent arrives, then the end.
    fn finish(&mut self, wire: WireId, side: Side) {
        let now = self.now;
        let known = &mut self.wires[wire];
        if !known.closed[side] && !known.black_hole[side] && !known.is_cut {
            known.ends_at[1 - side] = Some(now + known.delay);
        }
        known.closed[side] = true;
        known.ends_at[side] = None;
        if let Some((handle, link)) = self.wires[wire].ends[side].take() {
            self.hosts[side].sessions[handle].link_lost(link, &LinkLoss::Closed, now);
            self.drain_events(side, handle);
        }
    }

    fn carry(&mut self, wire: WireId, from: Side, lane: LaneId, bytes: Vec<u8>) {
        let left = self.wires[wire].leave(from, bytes.len(), self.now);
        let at = left + self.wires[wire].delay;
        if self.is_traced {
            self.trace.extend(self.now.0.to_be_bytes());
            self.trace
                .extend([u8::try_from(wire % 256).unwrap_or(0), u8::try_from(from).unwrap_or(2)]);
            self.trace.extend_from_slice(&bytes);
        }
        let known = &mut self.wires[wire];
        known.sent[from] += 1;
        if known.is_cut {
            return;
        }
        if known.black_hole[from] {
            known.withheld[from].push((lane, bytes));
        } else {
            known.lanes[1 - from].entry(lane).or_default().queue.push_back((at, bytes));
        }
    }

    /// A black hole ends: what it swallowed is repeated below, as transports do, and arrives.
    pub fn heal(&mut self, wire: WireId) {
        [A, B].into_iter().for_each(|from| self.heal_from(wire, from));
    }

    /// What leaves that side arrives again.
    pub fn heal_from(&mut self, wire: WireId, from: Side) {
        let at = self.now + self.wires[wire].delay;
        let known = &mut self.wires[wire];
        known.black_hole[from] = false;
        for (lane, bytes) in std::mem::take(&mut known.withheld[from]) {
            known.lanes[1 - from].entry(lane).or_default().queue.push_back((at, bytes));
        }
    }

    /// The process at `side` is replaced by a new one with the same key; its links break.
    pub fn restart(&mut self, side: Side, names_predecessor: bool) {
        for wire in 0..self.wires.len() {
            if self.wires[wire].ends[side].take().is_some() {
                self.cut_one(wire, 1 - side, &LinkLoss::Reset);
            }
        }
        let old = &self.hosts[side];
        let (config, name, instance) = (old.config.clone(), old.name, old.instance);
        let mut host = Host::new(name, config);
        host.instance = InstanceId([instance.0[0].wrapping_add(100); 16]);
        host.supersedes = names_predecessor.then_some(instance);
        host.secrets = 1000;
        self.hosts[side] = host;
    }
}

impl Wire {
    /// When so many bytes will have left an end, behind those that were sent before.
    fn leave(&mut self, from: Side, bytes: usize, now: Time) -> Time {
        let Some(rate) = self.rate else { return now };
        let nanos = bytes as u64 * 1_000_000_000 / rate;
        self.free_at[from] = self.free_at[from].max(now) + Duration::from_nanos(nanos);
        self.free_at[from]
    }

    fn in_flight(&self, from: Side) -> usize {
        let lanes = self.lanes[1 - from].values();
        lanes.flat_map(|lane| &lane.queue).map(|(_, bytes)| bytes.len()).sum()
    }
}

impl Host {
    fn new(name: u8, config: Config) -> Self {
        Self {
            peer: SecretKey::from_bytes(&[name; 32]).peer_id(),
            instance: InstanceId([name; 16]),
            supersedes: None,
            config,
            endpoint: Endpoint::new(EndpointLimits::default()),
            sessions: Vec::new(),
            events: Vec::new(),
            secrets: 0,
            renewed: 0,
            name,
        }
    }

    /// What links call the process.
    fn process(&self) -> u64 {
        u64::from(self.instance.0[0]) | self.renewed << 8
    }

    /// Makes a session with secrets of its own.
    pub fn session(&mut self, remote: PeerId, is_dialer: bool, now: Time) -> Session {
        self.secrets += 1;
        let mut token = [self.name; 16];
        token[..8].copy_from_slice(&self.secrets.to_be_bytes());
        let spec = SessionSpec {
            local: self.peer,
            remote,
            instance: self.instance,
            supersedes: self.supersedes,
            token: SessionId(token),
            key: SessionKey([self.name ^ u8::try_from(self.secrets % 256).unwrap_or(0); 32]),
            is_dialer,
            config: self.config.clone(),
        };
        Session::new(spec, now)
    }

    pub fn saw(&self, wanted: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| wanted(event))
    }

    pub fn closed_with(&self, handle: Handle) -> Option<Code> {
        self.sessions[handle].closed().map(|closed| closed.code)
    }
}

pub fn spec(kind: LinkKind, seed: u8) -> LinkSpec {
    let (max_lanes, max_data_body) = match kind {
        LinkKind::Quic => (64, wire::MAX_DATA_BODY_QUIC),
        _ => (0, wire::MAX_DATA_BODY),
    };
    LinkSpec { kind, exporter: [seed; 32], max_lanes, max_data_body, path: 0, process: 0 }
}

/// Bytes that tell where they belong.
pub fn pattern(length: usize, seed: u64) -> Bytes {
    (0..length as u64).map(|at| ((at.wrapping_mul(31) ^ (at >> 8)) ^ seed) as u8).collect()
}

/// One direction of a stream between two applications: writes, finishes, reads, compares.
pub struct Transfer {
    pub from: Side,
    /// The session at each side.
    pub handles: [Handle; 2],
    pub stream: StreamId,
    pub flow: Flow,
    left: Bytes,
    is_finished: bool,
    pub expected: Bytes,
    pub received: Vec<u8>,
    pub ended: bool,
    pub error: Option<ReadError>,
    pub write_error: Option<WriteError>,
    /// Reads at most this much each time it looks.
    pub appetite: usize,
}

impl Transfer {
    pub fn new(from: Side, handles: [Handle; 2], stream: StreamId, data: Bytes) -> Self {
        Self {
            from,
            handles,
            stream,
            flow: Flow::Data,
            left: data.clone(),
            is_finished: false,
            expected: data,
            received: Vec::new(),
            ended: false,
            error: None,
            write_error: None,
            appetite: usize::MAX >> 1,
        }
    }

    pub fn on(mut self, flow: Flow) -> Self {
        self.flow = flow;
        self
    }

    /// Writes and finishes, but reads nothing.
    pub fn advance_writer_only(&mut self, pair: &mut Pair) {
        let now = pair.now;
        let writer = pair.session(self.from, self.handles[self.from]);
        while !self.left.is_empty() && self.write_error.is_none() {
            match writer.write(self.stream, self.flow, &mut self.left, now) {
                Ok(0) => break,
                Ok(_) => {}
                // The stream has not reached this side yet.
                Err(WriteError::Finished) if self.left.len() == self.expected.len() => break,
                Err(error) => self.write_error = Some(error),
            }
        }
        if self.left.is_empty() && !self.is_finished && self.write_error.is_none() {
            self.is_finished = true;
            writer.finish(self.stream, self.flow, now).expect("the flow is open");
        }
        pair.flush();
    }

    /// Does what can be done now. Returns whether the reader has seen the end.
    pub fn advance(&mut self, pair: &mut Pair) -> bool {
        self.advance_writer_only(pair);
        let now = pair.now;
        let to = 1 - self.from;
        let reader = pair.session(to, self.handles[to]);
        let mut chunks = VecDeque::new();
        while !self.ended && self.error.is_none() {
            match reader.read(self.stream, self.flow, self.appetite, &mut chunks, now) {
                Ok(ReadState::Finished) => self.ended = !self.received_nothing_yet(&chunks),
                Ok(ReadState::Open) if self.appetite > 1 << 30 => continue,
                Ok(ReadState::Open | ReadState::Blocked) => break,
                Err(error) => self.error = Some(error),
            }
            if !self.ended {
                break;
            }
        }
        self.received.extend(chunks.into_iter().flatten());
        self.ended
    }

    /// A stream the reader has not heard of looks like one that ended; believe the second only
    /// once all is there.
    fn received_nothing_yet(&self, chunks: &VecDeque<Bytes>) -> bool {
        let arrived = self.received.len() + chunks.iter().map(Bytes::len).sum::<usize>();
        arrived < self.expected.len()
    }

    pub fn check(&self) {
        assert_eq!(self.received.len(), self.expected.len(), "all bytes, none twice");
        assert!(self.received == self.expected, "every byte in its place");
    }
}

/// Opens a stream from `side`.
pub fn open(pair: &mut Pair, side: Side, handle: Handle) -> StreamId {
    let now = pair.now;
    pair.session(side, handle)
        .open(Class::Normal, Bytes::from_static(b"test/1"), now)
        .expect("the peer allows a stream")
}

/// Moves every transfer, also after one is done. Returns whether all are.
pub fn advance_all(pair: &mut Pair, transfers: &mut [Transfer]) -> bool {
    let mut done = true;
    for transfer in transfers {
        done &= transfer.advance(pair);
    }
    done
}

/// Runs transfers to their end and checks them.
pub fn complete(pair: &mut Pair, transfers: &mut [Transfer], limit: Duration) {
    let done = pair.run_until(limit, |pair| advance_all(pair, transfers));
    for transfer in &*transfers {
        assert_eq!(transfer.error, None);
        assert_eq!(transfer.write_error, None);
        transfer.check();
    }
    assert!(done, "every transfer saw its end");
}
