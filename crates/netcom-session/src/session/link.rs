//! A link as the session sees it: handshake state, lanes and what they hold.

use std::collections::VecDeque;

use super::{
    config::{MAX_FRAMES_IN_FLIGHT, MAX_LANES},
    flight::Flight,
    health::Health,
    rtt::Rtt,
    send::Piece,
};
use crate::{
    Code, Flow, LaneId, LinkId, StreamId, Time,
    wire::{Finals, Hello, Lack, LaneCounts},
};

/// What kind of transport a link is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LinkKind {
    /// TLS over TCP.
    Tcp,
    /// QUIC.
    Quic,
    /// Inside one process.
    Memory,
    /// TLS over WebSocket.
    WebSocket,
    /// Through a relay.
    Relay,
}

/// What the session must know of an authenticated link.
#[derive(Clone)]
pub struct LinkSpec {
    /// Its transport.
    pub kind: LinkKind,
    /// The transport's exported secret, which binds proofs to this link.
    pub exporter: [u8; 32],
    /// Further lanes per direction: 0, or up to 64 on QUIC.
    pub max_lanes: usize,
    /// The longest DATA body.
    pub max_data_body: usize,
    /// Stands for the addresses of both ends without their ports: two links of one kind and path
    /// do the same.
    pub path: u64,
    /// Stands for the peer's process, as the transport knows it before the first frame: another
    /// number is another process, or the same one under a new certificate.
    pub process: u64,
}

impl std::fmt::Debug for LinkSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The exported secret stays out of logs.
        f.debug_struct("LinkSpec").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// How a link's transport ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LinkLoss {
    /// The peer closed it in order.
    Closed,
    /// It ended without a goodbye: reset, end of file, unreachable.
    Reset,
    /// Nothing came back in time.
    Timeout,
    /// The security layer refused.
    Tls(String),
    /// The bytes were no frames; the code says why.
    Malformed(Code),
    /// This side's driver ended it.
    Local,
}

impl LinkLoss {
    /// The reason as both sides name it.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Closed | Self::Local => Code::NO_ERROR,
            Self::Malformed(code) => *code,
            Self::Tls(_) => Code::DENIED,
            Self::Reset | Self::Timeout => Code::LINK_LOST,
        }
    }
}

/// How far a link's handshake has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Dialer: the acceptor's answer is awaited. `early` data may travel, unless `held`.
    AwaitAnswer { deadline: Time, held: bool },
    /// Acceptor: proof of the session is awaited.
    AwaitJoin { deadline: Time },
    /// Part of the session.
    Attached,
    /// Nothing new travels; ends when what was sent is acknowledged, or at the deadline.
    Closing { deadline: Time },
    /// Over; the driver may end it.
    Ended,
}

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) spec: LinkSpec,
    pub(crate) is_dialer: bool,
    pub(crate) phase: Phase,
    pub(crate) tx: Vec<TxLane>,
    pub(crate) rx: Vec<RxLane>,
    /// HELLO to send before anything else.
    pub(crate) hello: Option<Box<Hello>>,
    /// JOIN to send right after HELLO.
    pub(crate) join: Option<Box<[u8; 32]>>,
    /// CLOSE still has to travel on this link.
    pub(crate) close_queued: bool,
    /// LINK(Closing) still has to travel on this link.
    pub(crate) closing_queued: bool,
    /// The peer sends nothing new on it either.
    pub(crate) peer_closes: bool,
    /// It was part of the session once.
    pub(crate) was_attached: bool,
    /// It asks for a new session and has no answer: whoever is at its other end may serve what it
    /// carries.
    pub(crate) is_open_to_all: bool,
    /// Nothing more travels on it before the answer.
    pub(crate) is_mute: bool,
    /// JOIN may come though the link is attached: it was not waited for.
    pub(crate) may_prove: bool,
    /// The peer said CLOSE: the link ends once that is acknowledged.
    pub(crate) ends_after_lack: bool,
    /// When the link ends though CLOSE was not acknowledged.
    pub(crate) ends_by: Option<Time>,
    /// What the peer's HELLO said of dead links, believed once the link is attached.
    pub(crate) peer_finals: Vec<Finals>,
    /// PONG to send, the newest only.
    pub(crate) pong: Option<u64>,
    /// PINGs sent and not answered, at most [`MAX_PINGS`].
    pub(crate) pings: VecDeque<(u64, Time)>,
    /// PING to send.
    pub(crate) ping_queued: Option<u64>,
    /// It is padded, to be as long as a packet of data.
    pub(crate) is_ping_padded: bool,
    /// What came on other links, asked for by the peer on this one, at most [`MAX_LINKS`].
    pub(crate) answers: Vec<Lack>,
    /// Bytes received since the last acknowledgement.
    pub(crate) unacknowledged_bytes: usize,
    /// When an acknowledgement is due at the latest.
    pub(crate) lack_due: Option<Time>,
    /// When the newest unacknowledged frame came.
    pub(crate) newest_at: Time,
    pub(crate) rtt: Rtt,
    pub(crate) flight: Flight,
    pub(crate) health: Health,
    pub(crate) is_woken: bool,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) frames_in_flight: usize,
    /// Bytes of streams sent and not acknowledged.
    pub(crate) bytes_in_flight: usize,
}

/// The sending end of a lane.
#[derive(Debug, Default)]
pub(crate) struct TxLane {
    /// Frames sent.
    pub(crate) sent: u64,
    /// Frames acknowledged.
    pub(crate) acknowledged: u64,
    /// Stored frames, oldest first.
    pub(crate) held: VecDeque<Held>,
}

/// The receiving end of a lane.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RxLane {
    /// Frames applied.
    pub(crate) applied: u64,
    /// As told by the last acknowledgement.
    pub(crate) told: u64,
    /// A frame that wants acknowledgement came since.
    pub(crate) is_due: bool,
}

/// A frame that is sent again if its link dies.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) index: u64,
    pub(crate) sent_at: Time,
    /// It was sent on another link, too, which answers for it.
    pub(crate) is_moved: bool,
    pub(crate) item: Item,
}

/// What a stored frame carried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Item {
    Data { stream: StreamId, flow: Flow, piece: Piece, fin_errors: bool },
    Control(Control),
}

/// A frame of which only the present value matters: sent again, it is made anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Control {
    Reset(StreamId, Flow),
    Stop(StreamId, Flow),
    Credit(StreamId, Flow),
    Blocked(StreamId, Flow),
    Streams,
    Key,
    Auth,
    Want,
    Drain,
    /// The keeper's choice of the link that carries data.
    Role,
    /// The last word on a dead link.
    Dead(LinkId),
    /// A link does not answer.
    Suspect(LinkId),
    /// Asks what arrived on a link that does not answer.
    Query(LinkId),
    /// CLOSE, on each link.
    Close,
    /// LINK(Closing), on the link it closes.
    Closing,
}

impl Item {
    /// The stream whose data it carried.
    pub(crate) fn stream(&self) -> Option<StreamId> {
        match self {
            Self::Data { stream, .. } => Some(*stream),
            Self::Control(_) => None,
        }
    }

    /// Bytes of a stream it carried.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Data { piece, .. } => piece.length,
            Self::Control(_) => 0,
        }
    }
}

impl Link {
    pub(crate) fn new(id: LinkId, spec: LinkSpec, is_dialer: bool, phase: Phase) -> Self {
        Self {
            id,
            flight: Flight::new(spec.kind),
            spec,
            is_dialer,
            phase,
            tx: vec![TxLane::default()],
            rx: vec![RxLane::default()],
            hello: None,
            join: None,
            close_queued: false,
            closing_queued: false,
            peer_closes: false,
            was_attached: false,
            is_open_to_all: false,
            is_mute: false,
            may_prove: false,
            ends_after_lack: false,
            ends_by: None,
            peer_finals: Vec::new(),
            pong: None,
            pings: VecDeque::new(),
            ping_queued: None,
            is_ping_padded: false,
            answers: Vec::new(),
            unacknowledged_bytes: 0,
            lack_due: None,
            newest_at: Time(0),
            rtt: Rtt::default(),
            health: Health::default(),
            is_woken: false,
            bytes_sent: 0,
            bytes_received: 0,
            frames_in_flight: 0,
            bytes_in_flight: 0,
        }
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.phase == Phase::Attached
    }

    /// Whether it is part of the session and answers as far as is known.
    pub(crate) fn works(&self) -> bool {
        self.is_attached() && !self.health.is_suspect()
    }

    /// Whether HELLO is on its way, and its answer not here.
    pub(crate) fn awaits_answer(&self) -> bool {
        matches!(self.phase, Phase::AwaitAnswer { .. }) && self.hello.is_none()
    }

    /// Whether acknowledgements and the like may travel: attached, now or a moment ago.
    pub(crate) fn may_acknowledge(&self) -> bool {
        matches!(self.phase, Phase::Attached | Phase::Closing { .. })
    }

    /// Whether nothing that was sent awaits acknowledgement, but for what another link answers for.
    pub(crate) fn is_settled(&self) -> bool {
        self.tx.iter().all(|lane| lane.held.iter().all(|held| held.is_moved))
    }

    /// Whether stream data may travel: attached, or early on a fresh link.
    pub(crate) fn may_send_data(&self) -> bool {
        let is_early = matches!(self.phase, Phase::AwaitAnswer { held: false, .. });
        self.is_attached() || (is_early && !self.is_mute)
    }

    /// Whether another stored frame may be put on the link.
    pub(crate) fn has_room(&self) -> bool {
        self.frames_in_flight < MAX_FRAMES_IN_FLIGHT
    }

    /// Whether another frame of stream data may be put on the link.
    pub(crate) fn has_room_for_data(&self) -> bool {
        self.has_room() && self.bytes_in_flight < self.flight.limit()
    }

    /// Whether it has so much to do that it delivers what it can.
    pub(crate) fn is_filled(&self) -> bool {
        !self.has_room_for_data() || self.flight.is_filled_by(self.bytes_in_flight, &self.rtt)
    }

    /// Counts a frame that nobody waits for.
    pub(crate) fn sent_uncounted(&mut self, lane: usize) {
        self.tx[lane].sent += 1;
    }

    /// Counts and stores a frame.
    pub(crate) fn sent(&mut self, lane: usize, item: Item, now: Time) {
        self.store(lane, item, false, now);
    }

    /// The same for a frame that another link answers for.
    pub(crate) fn sent_copy(&mut self, lane: usize, item: Item, now: Time) {
        self.store(lane, item, true, now);
    }

    fn store(&mut self, lane: usize, item: Item, is_moved: bool, now: Time) {
        let tx = &mut self.tx[lane];
        tx.held.push_back(Held { index: tx.sent, sent_at: now, is_moved, item });
        tx.sent += 1;
        self.frames_in_flight += 1;
        self.bytes_in_flight += item.bytes();
        self.health.sent(now);
    }

    /// Remembers a ping that is on its way. Where there are too many, the newest takes the place of
    /// the one before it: its answer is for all.
    pub(crate) fn note_ping(&mut self, nonce: u64, now: Time) {
        if self.pings.len() >= MAX_PINGS {
            self.pings.pop_back();
        }
        self.pings.push_back((nonce, now));
    }

    /// The lane for a frame: the one the flow used last while it has data queued there, else one
    /// with nothing outstanding, else a new one, else the least loaded. Lane 0 carries control
    /// frames, and everything where there is no other or the peer has not answered yet.
    pub(crate) fn choose_lane(&mut self, last: u8) -> usize {
        let max = self.spec.max_lanes.min(MAX_LANES);
        // The dialer must have the acceptor's answer, on lane 0, before it sees other lanes.
        let is_seen = self.is_dialer || self.tx[0].acknowledged > 0;
        if max == 0 || !self.is_attached() || !is_seen {
            return 0;
        }
        let last = usize::from(last);
        if last > 0 && last < self.tx.len() && !self.tx[last].held.is_empty() {
            return last;
        }
        if let Some(idle) = (1..self.tx.len()).find(|lane| self.tx[*lane].held.is_empty()) {
            return idle;
        }
        if self.tx.len() <= max {
            self.tx.push(TxLane::default());
            return self.tx.len() - 1;
        }
        (1..self.tx.len()).min_by_key(|lane| self.tx[*lane].held.len()).unwrap_or(0)
    }

    /// The receiving end of a lane, opened on first use. `None` beyond the limit.
    pub(crate) fn rx_lane(&mut self, lane: LaneId) -> Option<&mut RxLane> {
        let index = usize::try_from(lane.0).ok()?;
        if index > self.spec.max_lanes.min(MAX_LANES) {
            return None;
        }
        if index >= self.rx.len() {
            self.rx.resize(index + 1, RxLane::default());
        }
        self.rx.get_mut(index)
    }

    /// Forgets what was counted before the session took the link.
    pub(crate) fn restart_counts(&mut self) {
        self.tx = vec![TxLane::default()];
        self.frames_in_flight = 0;
        self.bytes_in_flight = 0;
    }

    /// Notes an applied frame that wants acknowledgement.
    pub(crate) fn want_lack(&mut self, bytes: usize, due: Time, now: Time) {
        self.unacknowledged_bytes += bytes;
        self.newest_at = now;
        if self.lack_due.is_none_or(|earlier| due < earlier) {
            self.lack_due = Some(due);
        }
    }

    /// An acknowledgement of what came.
    pub(crate) fn lack(&mut self, now: Time) -> Lack {
        let delay_us = u64::try_from(now.since(self.newest_at).as_micros()).unwrap_or(u64::MAX);
        Lack { link: self.id, delay_us, lanes: self.take_lack() }
    }

    /// The counts an acknowledgement tells, and marks them told.
    fn take_lack(&mut self) -> LaneCounts {
        self.lack_due = None;
        self.unacknowledged_bytes = 0;
        let mut counts = LaneCounts::new();
        for (lane, rx) in self.rx.iter_mut().enumerate() {
            if rx.is_due || rx.applied > rx.told {
                (rx.told, rx.is_due) = (rx.applied, false);
                counts.push((LaneId(lane as u64), rx.applied));
            }
        }
        counts
    }

    /// All counts, for a link that is over.
    pub(crate) fn final_counts(&self) -> Finals {
        let lanes = self.rx.iter().enumerate();
        Finals {
            link: self.id,
            lanes: lanes.map(|(n, rx)| (LaneId(n as u64), rx.applied)).collect(),
        }
    }
}

/// A dead link whose frames are not settled yet.
#[derive(Debug)]
pub(crate) struct DeadLink {
    pub(crate) finals: Finals,
    pub(crate) tx: Vec<TxLane>,
    /// When the peer's counts are waited for no longer; `None` while no link is left.
    pub(crate) deadline: Option<Time>,
}

/// Unanswered pings a link remembers.
pub(crate) const MAX_PINGS: usize = 16;
