//! One view of everything a node has, for people and programs that look after it.

use std::{sync::Arc, time::Duration};

use netcom_identity::{Multiaddr, NetId, PeerId};
use netcom_session::{Code, EndpointLimits, LinkKind, Rate, State};
use netcom_transport::TransportStats;

use crate::{
    access::Access,
    config::Limits,
    data_use::DataUse,
    node::{Handle, Shared},
    session::SharedSession,
};

/// Looks at what a node has and ends parts of it. The command, the control socket and, later, the
/// daemon and the dashboard all use this and nothing else. It keeps the node running as a clone of
/// it does.
#[derive(Clone, Debug)]
pub struct Commander {
    handle: Arc<Handle>,
}

/// A peer with which there is a session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PeerInfo {
    /// Who it is.
    pub peer_id: PeerId,
    /// The entities it proved to speak for.
    pub netids: Vec<NetId>,
    /// Sessions with it: one for each of its processes.
    pub sessions: usize,
    /// Where it is known to be.
    pub addresses: Vec<Multiaddr>,
    /// What was exchanged with it since this node was made, earlier sessions included.
    pub data_use: DataUse,
}

/// A session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Its number at this node.
    pub id: u64,
    /// The other side.
    pub peer_id: PeerId,
    /// The entities that side proved to speak for.
    pub netids: Vec<NetId>,
    /// How it is doing.
    pub state: SessionState,
    /// Its links.
    pub links: usize,
    /// Streams that have not ended.
    pub streams: usize,
    /// Connections of this side that hold it.
    pub connections: usize,
    /// How fast this side may send.
    pub rate: Option<Rate>,
    /// Bytes of frames sent, over all links.
    pub bytes_sent: u64,
    /// Bytes of streams received for the first time.
    pub bytes_received: u64,
    /// Bytes of streams that were received again, after links died.
    pub bytes_repeated: u64,
    /// Bytes kept until the peer acknowledges them.
    pub bytes_unacknowledged: usize,
}

/// How a session is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SessionState {
    /// No link has become part of it yet.
    Attaching,
    /// It works.
    Live,
    /// It waits for a link.
    Detached,
    /// It ends; what was finished is on its way.
    Closing,
    /// It is over.
    Closed,
}

/// A link of a session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct LinkSummary {
    /// Its session's number at this node.
    pub session: u64,
    /// Its number in the session.
    pub id: u64,
    /// The other side.
    pub peer_id: PeerId,
    /// What carries it.
    pub kind: LinkKind,
    /// Whether this side dialled.
    pub is_dialer: bool,
    /// Whether it carries the session's data; others stand by.
    pub is_active: bool,
    /// Whether what was sent on it has had no answer for so long that another link takes over.
    pub is_suspect: bool,
    /// This side's address.
    pub local: Option<Multiaddr>,
    /// The other side's.
    pub remote: Option<Multiaddr>,
    /// The smoothed round trip, once known.
    pub rtt: Option<Duration>,
    /// How long there has been this link.
    pub age: Duration,
    /// Bytes of frames sent.
    pub bytes_sent: u64,
    /// Bytes of stream data received.
    pub bytes_received: u64,
}

/// A stream.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its session's number at this node.
    pub session: u64,
    /// Its number in the session.
    pub id: u64,
    /// The other side.
    pub peer_id: PeerId,
    /// The protocol's name.
    pub protocol: String,
    /// Whether this side opened it.
    pub is_local: bool,
    /// Bytes written by this side.
    pub bytes_written: u64,
    /// Bytes of those that arrived.
    pub bytes_acknowledged: u64,
}

/// What a node has counted since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Panics that were caught. Each is a bug, of NetCom or of a handler, and ended one request,
    /// stream, link or session alone: a number that rises should wake someone.
    pub panics: u64,
    /// What strangers and peers did at the listeners.
    pub listeners: TransportStats,
}

impl Commander {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// The peers with which there are sessions.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        let mut infos: Vec<PeerInfo> = Vec::new();
        for session in self.shared().sessions.all() {
            let peer_id = session.peer();
            match infos.iter_mut().find(|info| info.peer_id == peer_id) {
                Some(info) => {
                    info.sessions += 1;
                    info.data_use += DataUse::of(&session);
                }
                None => infos.push(self.peer_info(&session)),
            }
        }
        infos
    }

    /// The sessions.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let sessions = self.shared().sessions.all();
        sessions.iter().map(|session| SessionInfo::of(session)).collect()
    }

    /// The links of all sessions.
    #[must_use]
    pub fn links(&self) -> Vec<LinkSummary> {
        let sessions = self.shared().sessions.all();
        sessions.iter().flat_map(|session| links_of(session)).collect()
    }

    /// The streams that applications of this side hold.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamInfo> {
        let sessions = self.shared().sessions.all();
        sessions.iter().flat_map(|session| streams_of(session)).collect()
    }

    /// What was counted since the node was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let listeners = self.shared().transport.stats();
        Counters { panics: self.shared().sessions.panics() + listeners.panics, listeners }
    }

    /// What the node and its peers may use.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let mut limits = self.shared().limits.clone();
        limits.sessions = self.shared().sessions.limits();
        limits
    }

    /// Sets how many sessions there may be, from now on: those there are stay, and no further one
    /// is made until fewer are left.
    pub fn limit_sessions(&self, limits: EndpointLimits) {
        self.shared().sessions.set_limits(limits);
    }

    /// Who may use the node at all.
    #[must_use]
    pub fn access(&self) -> Access {
        self.shared().services.access()
    }

    /// Sets who may use the node at all; see [`Node::allow`](crate::Node::allow).
    pub fn allow(&self, access: impl Into<Access>) {
        self.shared().services.set_access(access.into());
    }

    /// Ends a session: what was finished arrives first. False if there is none of that number.
    #[must_use = "tells whether there was one"]
    pub fn close_session(&self, id: u64, reason: &str) -> bool {
        let session = self.find(id);
        session.iter().for_each(|session| session.close(Code::CANCELLED, reason));
        session.is_some()
    }

    /// Ends all sessions with a peer, and tells how many.
    #[must_use = "tells whether there was one"]
    pub fn close_peer(&self, peer: &PeerId, reason: &str) -> usize {
        let all = self.shared().sessions.all();
        let its = all.iter().filter(|session| session.peer() == *peer);
        its.map(|session| session.close(Code::CANCELLED, reason)).count()
    }

    /// Limits how fast this node sends to a peer, from now on and in each session there is with it;
    /// `None` for as fast as it can. Tells how many sessions.
    #[must_use = "tells whether there was one"]
    pub fn limit_peer(&self, peer: &PeerId, rate: Option<Rate>) -> usize {
        let all = self.shared().sessions.all();
        let its = all.iter().filter(|session| session.peer() == *peer);
        its.map(|session| session.limit_rate(rate)).count()
    }

    /// Ends one link in order; its session goes on with others, or dials anew. False if there is
    /// none of those numbers.
    #[must_use = "tells whether there was one"]
    pub fn close_link(&self, session: u64, link: u64) -> bool {
        let Some(session) = self.find(session) else { return false };
        let id = session.links().iter().map(|view| view.stats.id).find(|id| id.0 == link);
        id.inspect(|id| session.close_link(*id)).is_some()
    }

    fn find(&self, id: u64) -> Option<Arc<SharedSession>> {
        self.shared().sessions.all().into_iter().find(|session| session.key() == id)
    }

    fn peer_info(&self, session: &SharedSession) -> PeerInfo {
        let peer_id = session.peer();
        let known = self.shared().peers.lock().get(&peer_id).cloned().unwrap_or_default();
        PeerInfo {
            peer_id,
            netids: session.visitor().netids().to_vec(),
            sessions: 1,
            addresses: known.addresses,
            data_use: known.data_use + DataUse::of(session),
        }
    }

    fn shared(&self) -> &Arc<Shared> {
        self.handle.shared()
    }
}

impl SessionInfo {
    fn of(session: &SharedSession) -> Self {
        let stats = session.stats();
        Self {
            id: session.key(),
            peer_id: session.peer(),
            netids: session.visitor().netids().to_vec(),
            state: session.state().into(),
            links: session.links().len(),
            streams: stats.streams,
            connections: session.hold_count(),
            rate: session.rate(),
            bytes_sent: stats.sent_bytes,
            bytes_received: stats.received_bytes,
            bytes_repeated: stats.repeated_bytes,
            bytes_unacknowledged: stats.retained_bytes,
        }
    }
}

impl SessionState {
    /// A stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Live => "live",
            Self::Detached => "detached",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

impl From<State> for SessionState {
    fn from(state: State) -> Self {
        match state {
            State::Attaching => Self::Attaching,
            State::Live => Self::Live,
            State::Detached => Self::Detached,
            State::Closing => Self::Closing,
            _ => Self::Closed,
        }
    }
}

impl std::fmt::Display for SessionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

fn links_of(session: &SharedSession) -> Vec<LinkSummary> {
    let links = session.links().into_iter().map(|view| LinkSummary {
        session: session.key(),
        id: view.stats.id.0,
        peer_id: session.peer(),
        kind: view.stats.kind,
        is_dialer: view.stats.is_dialer,
        is_active: view.stats.carries_data,
        is_suspect: view.stats.is_suspect,
        local: view.info.local.clone(),
        remote: view.info.remote.clone(),
        rtt: view.stats.rtt,
        age: view.info.since.elapsed(),
        bytes_sent: view.stats.bytes_sent,
        bytes_received: view.stats.bytes_received,
    });
    links.collect()
}

fn streams_of(session: &SharedSession) -> Vec<StreamInfo> {
    let streams = session.streams().into_iter().map(|view| StreamInfo {
        session: session.key(),
        id: view.id.0,
        peer_id: session.peer(),
        protocol: String::from_utf8_lossy(&view.protocol).into_owned(),
        is_local: view.is_local,
        bytes_written: view.written,
        bytes_acknowledged: view.acked,
    });
    streams.collect()
}
