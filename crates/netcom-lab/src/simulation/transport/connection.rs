//! One end of a connection.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use netcom_session::{LaneId, LinkKind, LinkLoss, Time};

use super::{
    Body, ConnectionId, Packet, Segment, Tuning, incoming::Incoming, outgoing::Outgoing,
    recovery::Recovery,
};
use crate::simulation::network::Address;

/// One end of a connection, as kernel and QUIC library keep it. The driver of its link gives it
/// packets, asks it for packets, and reads and writes lanes.
#[derive(Debug)]
pub(in crate::simulation) struct Connection {
    id: ConnectionId,
    kind: LinkKind,
    tuning: Tuning,
    is_dialer: bool,
    local: Address,
    remote: Address,
    remote_process: Option<u32>,
    state: State,
    outgoing: Outgoing,
    incoming: Incoming,
    recovery: Recovery,
    events: VecDeque<ConnectionEvent>,
    /// When a packet of the peer came last.
    heard_at: Time,
    /// When the first packet since was sent that wants an answer.
    asked_at: Option<Time>,
    /// Since when nothing has been acknowledged of what is on its way.
    stalled_since: Option<Time>,
    /// When what is on its way counts as lost.
    resend_at: Option<Time>,
    is_ping_due: bool,
    /// A keep-alive was sent since the peer was heard.
    is_kept_alive: bool,
    /// The driver has gone; what it wrote still goes out.
    orphaned_at: Option<Time>,
    /// What goes out before anything else.
    last_word: Option<Body>,
}

/// Something a connection's driver should act on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::simulation) enum ConnectionEvent {
    /// Both ends are there.
    Established,
    /// It is over, and not in the driver's name.
    Ended(LinkLoss),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// `flight` was sent last, or is `due`.
    Handshake {
        flight: u8,
        began: Time,
        sent_at: Option<Time>,
        timeouts: u32,
    },
    Open,
    /// QUIC's last word was said, and is said again to whoever did not hear it.
    Closing {
        until: Time,
    },
    Gone,
}

impl Connection {
    /// Begins one.
    pub(in crate::simulation) fn connect(
        id: ConnectionId,
        kind: LinkKind,
        [local, remote]: [Address; 2],
        now: Time,
    ) -> Self {
        Self::new(id, kind, [local, remote], 0, now)
    }

    /// Answers one that a packet begins.
    pub(in crate::simulation) fn accept(first: &Packet, now: Time) -> Self {
        let mut connection =
            Self::new(first.connection, first.kind, [first.to, first.from], 1, now);
        connection.remote_process = Some(first.process);
        connection
    }

    fn new(
        id: ConnectionId,
        kind: LinkKind,
        [local, remote]: [Address; 2],
        flight: u8,
        now: Time,
    ) -> Self {
        let tuning = Tuning::of(kind);
        Self {
            id,
            kind,
            tuning,
            is_dialer: flight == 0,
            local,
            remote,
            remote_process: None,
            state: State::Handshake { flight, began: now, sent_at: None, timeouts: 0 },
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            recovery: Recovery::new(tuning.room, tuning.shortest_timeout),
            events: VecDeque::new(),
            heard_at: now,
            asked_at: None,
            stalled_since: None,
            resend_at: None,
            is_ping_due: false,
            is_kept_alive: false,
            orphaned_at: None,
            last_word: None,
        }
    }

    /// Takes a packet.
    pub(in crate::simulation) fn handle_packet(&mut self, packet: Packet, now: Time) {
        // A dialer knows where the peer is, and a TCP connection's ends never move.
        let is_stranger =
            packet.from != self.remote && (self.is_dialer || self.kind != LinkKind::Quic);
        if is_stranger || self.state == State::Gone {
            return;
        }
        self.heard_at = now;
        self.asked_at = None;
        self.is_kept_alive = false;
        self.remote_process = Some(packet.process);
        match (self.state, packet.body) {
            (_, Body::Reset) => self.end(LinkLoss::Reset),
            (_, Body::Close) => self.end(LinkLoss::Closed),
            (State::Closing { .. }, _) => self.last_word = Some(Body::Close),
            (State::Handshake { .. }, Body::Handshake { flight }) => self.advance(flight, now),
            (State::Handshake { .. }, Body::Segment(segment)) if !self.is_dialer => {
                self.establish();
                self.handle_segment(packet.from, segment, now);
            }
            (State::Open, Body::Segment(segment)) => {
                self.handle_segment(packet.from, segment, now);
            }
            // Said before its time, or once more.
            _ => {}
        }
    }

    /// Advances time.
    pub(in crate::simulation) fn handle_timeout(&mut self, now: Time) {
        match &mut self.state {
            State::Handshake { began, sent_at, timeouts, .. } => {
                if *began + HANDSHAKE_TIMEOUT <= now {
                    self.end(LinkLoss::Timeout);
                } else if sent_at.is_some_and(|at| at + handshake_wait(*timeouts) <= now) {
                    *sent_at = None;
                    *timeouts += 1;
                }
            }
            State::Open => self.handle_open_timeout(now),
            State::Closing { until } if *until <= now => self.state = State::Gone,
            State::Closing { .. } | State::Gone => {}
        }
    }

    /// What the next packet says.
    pub(in crate::simulation) fn poll_transmit(&mut self, now: Time) -> Option<Body> {
        if let Some(word) = self.last_word.take() {
            return Some(word);
        }
        match &mut self.state {
            State::Handshake { flight, sent_at, .. } => {
                let is_due = sent_at.is_none();
                sent_at.get_or_insert(now);
                is_due.then_some(Body::Handshake { flight: *flight })
            }
            State::Open => self.poll_segment(now).map(Body::Segment),
            State::Closing { .. } | State::Gone => None,
        }
    }

    /// The next thing the driver should know.
    pub(in crate::simulation) fn poll_event(&mut self) -> Option<ConnectionEvent> {
        self.events.pop_front()
    }

    /// When time has to be advanced, if nothing else happens.
    pub(in crate::simulation) fn poll_timeout(&self) -> Option<Time> {
        match self.state {
            State::Handshake { began, sent_at, timeouts, .. } => {
                let resend = sent_at.map(|at| at + handshake_wait(timeouts));
                resend.into_iter().chain([began + HANDSHAKE_TIMEOUT]).min()
            }
            State::Open => {
                let orphaned = self.orphaned_at.map(|at| at + ORPHAN_TIMEOUT);
                let acknowledge = self.incoming.ack_at();
                let timers = [self.resend_at, self.gives_up_at(), acknowledge, orphaned];
                timers.into_iter().chain([self.keep_alive_at()]).flatten().min()
            }
            State::Closing { until } => Some(until),
            State::Gone => None,
        }
    }

    /// Queues bytes on a lane.
    pub(in crate::simulation) fn write(&mut self, lane: LaneId, bytes: Bytes) {
        self.outgoing.write(lane, bytes);
    }

    /// Ends every lane after what was written.
    pub(in crate::simulation) fn finish(&mut self) {
        self.outgoing.finish();
    }

    /// The driver goes. QUIC closes at once; TCP's kernel still delivers what was written.
    pub(in crate::simulation) fn close(&mut self, now: Time) {
        match self.state {
            State::Gone | State::Closing { .. } => {}
            _ if self.kind == LinkKind::Quic => {
                self.last_word = Some(Body::Close);
                self.state = State::Closing { until: now + self.recovery.timeout() * 3 };
            }
            State::Handshake { .. } => self.abort(),
            State::Open => {
                self.outgoing.finish();
                self.orphaned_at = Some(now);
            }
        }
    }

    /// The driver goes without a goodbye, and says so.
    pub(in crate::simulation) fn abandon(&mut self) {
        if self.state != State::Gone {
            self.last_word = Some(Body::Reset);
            self.state = State::Gone;
        }
    }

    /// The process dies: TCP's kernel says so, QUIC dies with it.
    pub(in crate::simulation) fn abort(&mut self) {
        let is_told = self.kind != LinkKind::Quic && self.state != State::Gone;
        self.last_word = is_told.then_some(Body::Reset);
        self.state = State::Gone;
    }

    /// The next bytes of any lane.
    pub(in crate::simulation) fn read(&mut self) -> Option<(LaneId, Bytes)> {
        self.incoming.read()
    }

    /// Whether the peer's first lane was read to its end.
    pub(in crate::simulation) fn is_finished(&self) -> bool {
        self.incoming.is_finished()
    }

    /// Whether the driver may write more.
    pub(in crate::simulation) fn has_room(&self) -> bool {
        self.state == State::Open && self.outgoing.unsent() < self.tuning.unsent
    }

    /// Whether it can be forgotten.
    pub(in crate::simulation) fn is_gone(&self) -> bool {
        let is_over = self.orphaned_at.is_some()
            && self.outgoing.is_settled()
            && self.incoming.is_finished()
            && self.incoming.ack_at().is_none();
        self.last_word.is_none() && (self.state == State::Gone || is_over)
    }

    pub(in crate::simulation) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(in crate::simulation) fn kind(&self) -> LinkKind {
        self.kind
    }

    /// This end's address when it began.
    pub(in crate::simulation) fn local(&self) -> Address {
        self.local
    }

    pub(in crate::simulation) fn remote(&self) -> Address {
        self.remote
    }

    /// The process at the other end, once heard of.
    pub(in crate::simulation) fn remote_process(&self) -> Option<u32> {
        self.remote_process
    }

    /// Takes a flight of the handshake.
    fn advance(&mut self, flight: u8, now: Time) {
        let State::Handshake { flight: own, began, sent_at, timeouts } = self.state else { return };
        if flight + 1 == own {
            // The peer did not hear the answer.
            self.state = State::Handshake { flight: own, began, sent_at: None, timeouts };
        } else if flight == own + 1 {
            if let Some(at) = sent_at.filter(|_| timeouts == 0) {
                self.recovery.sample(now - at);
            }
            if flight + 1 == self.tuning.round_trips * 2 {
                self.establish();
            } else {
                self.state =
                    State::Handshake { flight: flight + 1, began, sent_at: None, timeouts: 0 };
            }
        }
    }

    fn establish(&mut self) {
        self.state = State::Open;
        self.events.push_back(ConnectionEvent::Established);
    }

    fn handle_segment(&mut self, from: Address, segment: Segment, now: Time) {
        let is_answered = segment.is_answered();
        let newest = self.incoming.newest();
        let is_in_turn = newest.map_or(segment.number == 0, |newest| newest + 1 == segment.number);
        let is_new = self.incoming.note(segment.number);
        if is_answered {
            self.incoming.want_ack(is_in_turn, now);
        }
        if !is_new {
            return;
        }
        if from != self.remote && newest < Some(segment.number) {
            // The dialer moved: RFC 9000, section 9.
            self.remote = from;
            self.recovery.restart();
        }
        self.handle_acknowledgement(&segment.acknowledged, now);
        let has_bytes = segment.chunks.iter().any(|chunk| !chunk.bytes.is_empty());
        if self.orphaned_at.is_some() && has_bytes {
            // Nobody will read it.
            return self.abort();
        }
        segment.chunks.into_iter().for_each(|chunk| self.incoming.take(chunk));
    }

    fn handle_acknowledgement(&mut self, ranges: &[(u64, u64)], now: Time) {
        let told = self.outgoing.acknowledge(ranges);
        let Some((number, sent_at)) = told.newest else { return };
        self.recovery.sample(now - sent_at);
        self.recovery.acknowledged(told.bytes);
        let too_old = Time(now.0.saturating_sub(nanos(self.recovery.patience())));
        if let Some(lost) = self.outgoing.find_lost(number, too_old) {
            self.recovery.lost(lost, self.outgoing.next());
        }
        let has_more = self.outgoing.awaits_answer();
        self.stalled_since = (has_more || self.outgoing.has_work()).then_some(now);
        self.resend_at = has_more.then(|| now + self.recovery.timeout());
    }

    fn poll_segment(&mut self, now: Time) -> Option<Segment> {
        let (in_flight, window) = (self.outgoing.in_flight(), self.recovery.window());
        let has_window = in_flight == 0 || in_flight + self.tuning.room <= window;
        let chunks = if has_window { self.outgoing.fill(self.tuning.room) } else { Vec::new() };
        let is_ping = std::mem::take(&mut self.is_ping_due) && chunks.is_empty();
        if chunks.is_empty() && !is_ping && self.incoming.ack_at().is_none_or(|at| at > now) {
            return None;
        }
        let acknowledged = self.incoming.take_ack();
        let number = if chunks.is_empty() && !is_ping {
            self.outgoing.number()
        } else {
            let bytes = chunks.iter().map(|chunk| super::CHUNK_HEADER + chunk.bytes.len()).sum();
            self.asked_at.get_or_insert(now);
            self.stalled_since.get_or_insert(now);
            self.resend_at.get_or_insert(now + self.recovery.timeout());
            self.outgoing.send(chunks.clone(), bytes, now)
        };
        Some(Segment { number, acknowledged, chunks, is_ping })
    }

    fn handle_open_timeout(&mut self, now: Time) {
        if self.gives_up_at().is_some_and(|at| at <= now) {
            return self.end(LinkLoss::Timeout);
        }
        if self.orphaned_at.is_some_and(|at| at + ORPHAN_TIMEOUT <= now) {
            self.state = State::Gone;
            return;
        }
        if self.keep_alive_at().is_some_and(|at| at <= now) {
            self.is_kept_alive = true;
            self.is_ping_due = true;
        }
        if self.resend_at.take_if(|at| *at <= now).is_some() {
            self.outgoing.lose_all();
            self.recovery.timed_out(self.outgoing.next());
            self.is_ping_due |= !self.outgoing.has_work();
        }
    }

    /// When silence has lasted too long: TCP counts from what was sent, QUIC from what came.
    fn gives_up_at(&self) -> Option<Time> {
        if self.kind == LinkKind::Quic {
            let asked = self.asked_at.unwrap_or(self.heard_at);
            return Some(self.heard_at.max(asked) + SILENCE_TIMEOUT);
        }
        self.stalled_since.map(|since| since + SILENCE_TIMEOUT)
    }

    fn keep_alive_at(&self) -> Option<Time> {
        let is_due = self.kind == LinkKind::Quic && !self.is_kept_alive;
        is_due.then(|| self.heard_at + KEEP_ALIVE)
    }

    fn end(&mut self, loss: LinkLoss) {
        let is_known = matches!(self.state, State::Handshake { .. } | State::Open);
        self.state = State::Gone;
        self.last_word = None;
        if is_known {
            self.events.push_back(ConnectionEvent::Ended(loss));
        }
    }
}

fn handshake_wait(timeouts: u32) -> Duration {
    FIRST_WAIT * 2_u32.pow(timeouts.min(6))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// How long a flight of the handshake waits for its answer the first time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long a handshake may take, at either end.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// What netcom-transport sets for both: TCP_USER_TIMEOUT and max_idle_timeout.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);
/// What netcom-transport sets for QUIC; TCP has none.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
/// How long a kernel keeps a connection that nobody has open.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(60);
