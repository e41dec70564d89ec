//! A view of everything a node has.

use netcom::{LinkKind, Rate};
use pyo3::prelude::*;

use crate::{
    error::bad_argument,
    identity::{Multiaddr, NetId, PeerId},
    number::Number,
    runtime::Owned,
};

/// Looks at what a node has, and ends parts of it.
///
/// ```python
/// >>> commander = node.commander
/// >>> [peer.peer_id for peer in commander.peers()] == [server.peer_id]
/// True
/// >>> [session.state for session in commander.sessions()]
/// ['live']
/// >>> commander.limit_peer(server.peer_id, 1_000_000)
/// 1
///
/// ```
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Commander(pub(crate) Owned<netcom::Commander>);

/// A peer with which there is a session.
#[pyclass(frozen, get_all, module = "netcom._native")]
pub(crate) struct PeerInfo {
    /// Who it is.
    peer_id: Py<PeerId>,
    /// The entities it proved to speak for.
    netids: Vec<Py<NetId>>,
    /// Sessions with it.
    sessions: usize,
    /// Where it is known to be.
    addresses: Vec<Py<Multiaddr>>,
    /// Bytes sent to it since this node was made.
    bytes_sent: u64,
    /// Bytes received from it.
    bytes_received: u64,
}

/// A session.
#[pyclass(frozen, get_all, module = "netcom._native")]
pub(crate) struct SessionInfo {
    /// Its number at this node.
    id: u64,
    /// The other side.
    peer_id: Py<PeerId>,
    /// `attaching`, `live`, `detached`, `closing` or `closed`.
    state: &'static str,
    /// Its links.
    links: usize,
    /// Streams that have not ended.
    streams: usize,
    /// Connections of this side that hold it.
    connections: usize,
    /// Bytes of stream data a second that this side may send; `None` for as fast as it can.
    bytes_per_second: Option<u64>,
    /// Bytes of frames sent, over all links.
    bytes_sent: u64,
    /// Bytes of streams received for the first time.
    bytes_received: u64,
    /// Bytes of streams received again, after links died.
    bytes_repeated: u64,
    /// Bytes kept until the peer acknowledges them.
    bytes_unacknowledged: usize,
}

/// A link of a session.
///
/// ```python
/// >>> [link.role for link in connection.links()]
/// ['active']
///
/// ```
#[pyclass(frozen, get_all, module = "netcom._native")]
pub(crate) struct LinkInfo {
    /// Its session's number at this node.
    session: u64,
    /// Its number in the session.
    id: u64,
    /// The other side.
    peer_id: Py<PeerId>,
    /// `tcp` or `quic`.
    kind: &'static str,
    /// Whether this side dialled.
    is_dialer: bool,
    /// Whether it carries the session's data; others stand by.
    is_active: bool,
    /// Whether what was sent on it has had no answer for so long that another link takes over.
    is_suspect: bool,
    /// `active`, `standby`, `suspect` or `pending`.
    role: &'static str,
    /// Why it has that role, as a sentence.
    reason: String,
    /// This side's address.
    local: Option<Py<Multiaddr>>,
    /// The other side's address.
    remote: Option<Py<Multiaddr>>,
    /// Seconds of a round trip, once known.
    rtt: Option<f64>,
    /// Seconds of the shortest round trip seen.
    least_rtt: Option<f64>,
    /// Seconds there has been this link.
    age: f64,
    /// Bytes of frames sent.
    bytes_sent: u64,
    /// Bytes of streams received.
    bytes_received: u64,
    /// Bytes of streams sent and not acknowledged.
    bytes_in_flight: u64,
    /// Bytes of streams sent on it that went to another link too, because it did not answer.
    bytes_resent: u64,
    /// Packets sent, where the transport counts them: QUIC does.
    packets_sent: Option<u64>,
    /// Packets of those that were lost and so sent again.
    packets_lost: Option<u64>,
}

/// A stream.
#[pyclass(frozen, get_all, module = "netcom._native")]
pub(crate) struct StreamInfo {
    /// Its session's number at this node.
    session: u64,
    /// Its number in the session.
    id: u64,
    /// The other side.
    peer_id: Py<PeerId>,
    /// The protocol's name.
    protocol: String,
    /// Whether this side opened it.
    is_local: bool,
    /// Bytes written by this side.
    bytes_written: u64,
    /// Bytes of those that arrived.
    bytes_acknowledged: u64,
}

/// What a node and its peers may use.
#[pyclass(frozen, get_all, module = "netcom._native")]
pub(crate) struct Limits {
    /// Sessions in all.
    sessions: usize,
    /// Sessions of one peer.
    sessions_per_peer: usize,
    /// Streams that a peer may have open at once.
    streams_per_session: u64,
    /// Seconds that a session without a link waits for one.
    resume_seconds: f64,
    /// Bytes of memory that all sessions may take together; `None` for a quarter of the machine's.
    memory: Option<u64>,
}

/// What a node has counted since it was made.
#[pyclass(frozen, get_all, module = "netcom._native")]
pub(crate) struct Counters {
    /// Panics that were caught. Each is a bug and ended one request, stream or session alone.
    panics: u64,
    /// Links that were accepted and authenticated.
    links_accepted: u64,
    /// Handshakes that failed: a bad certificate, no common algorithm.
    handshakes_failed: u64,
    /// Connections that ended or went silent before a whole handshake.
    handshakes_unfinished: u64,
    /// Handshakes that had to make room for others.
    handshakes_crowded_out: u64,
    /// Handshakes under way.
    half_open: u64,
}

#[pymethods]
impl Commander {
    /// The peers with which there are sessions.
    fn peers(&self, py: Python<'_>) -> PyResult<Vec<PeerInfo>> {
        let peer = |info: netcom::PeerInfo| {
            Ok(PeerInfo {
                peer_id: Py::new(py, PeerId(info.peer_id))?,
                netids: info
                    .netids
                    .into_iter()
                    .map(|netid| Py::new(py, NetId::of(netid)))
                    .collect::<PyResult<_>>()?,
                sessions: info.sessions,
                addresses: info
                    .addresses
                    .into_iter()
                    .map(|address| Py::new(py, Multiaddr(address)))
                    .collect::<PyResult<_>>()?,
                bytes_sent: info.data_use.sent,
                bytes_received: info.data_use.received,
            })
        };
        self.0.get()?.peers().into_iter().map(peer).collect()
    }

    /// The sessions.
    fn sessions(&self, py: Python<'_>) -> PyResult<Vec<SessionInfo>> {
        let session = |info: netcom::SessionInfo| {
            Ok(SessionInfo {
                id: info.id,
                peer_id: Py::new(py, PeerId(info.peer_id))?,
                state: info.state.as_str(),
                links: info.links,
                streams: info.streams,
                connections: info.connections,
                bytes_per_second: info.rate.map(Rate::bytes_per_second),
                bytes_sent: info.bytes_sent,
                bytes_received: info.bytes_received,
                bytes_repeated: info.bytes_repeated,
                bytes_unacknowledged: info.bytes_unacknowledged,
            })
        };
        self.0.get()?.sessions().into_iter().map(session).collect()
    }

    /// The links of all sessions.
    fn links(&self, py: Python<'_>) -> PyResult<Vec<LinkInfo>> {
        let link = |link| LinkInfo::of(py, link);
        self.0.get()?.links().into_iter().map(link).collect()
    }

    /// The streams that this side holds.
    fn streams(&self, py: Python<'_>) -> PyResult<Vec<StreamInfo>> {
        let stream = |info: netcom::StreamInfo| {
            Ok(StreamInfo {
                session: info.session,
                id: info.id,
                peer_id: Py::new(py, PeerId(info.peer_id))?,
                protocol: info.protocol,
                is_local: info.is_local,
                bytes_written: info.bytes_written,
                bytes_acknowledged: info.bytes_acknowledged,
            })
        };
        self.0.get()?.streams().into_iter().map(stream).collect()
    }

    /// What the node and its peers may use.
    fn limits(&self) -> PyResult<Limits> {
        let limits = self.0.get()?.limits();
        Ok(Limits {
            sessions: limits.sessions.total,
            sessions_per_peer: limits.sessions.per_peer,
            streams_per_session: limits.session.max_streams,
            resume_seconds: limits.session.resume_window.as_secs_f64(),
            memory: limits.memory,
        })
    }

    /// What was counted since the node was made.
    fn counters(&self) -> PyResult<Counters> {
        let counters = self.0.get()?.counters();
        let listeners = counters.listeners;
        Ok(Counters {
            panics: counters.panics,
            links_accepted: listeners.accepted,
            handshakes_failed: listeners.failed_handshakes,
            handshakes_unfinished: listeners.unfinished,
            handshakes_crowded_out: listeners.crowded_out,
            half_open: listeners.half_open,
        })
    }

    /// Panics that were caught. Each is a bug and ended one request, stream or session alone.
    fn panics(&self) -> PyResult<u64> {
        Ok(self.0.get()?.counters().panics)
    }

    /// Ends a session: what was finished arrives first. False if there is none of that number.
    #[pyo3(signature = (id, reason = ""))]
    fn close_session(&self, id: Number<u64>, reason: &str) -> PyResult<bool> {
        Ok(self.0.get()?.close_session(id.0, reason))
    }

    /// Ends all sessions with a peer, and tells how many.
    #[pyo3(signature = (peer_id, reason = ""))]
    fn close_peer(&self, peer_id: &PeerId, reason: &str) -> PyResult<usize> {
        Ok(self.0.get()?.close_peer(&peer_id.0, reason))
    }

    /// Limits how fast the node sends to a peer, from now on and in each session there is with it;
    /// `None` for as fast as it can. Tells how many sessions.
    fn limit_peer(
        &self,
        py: Python<'_>,
        peer_id: &PeerId,
        bytes_per_second: Option<Number<u64>>,
    ) -> PyResult<usize> {
        let rate = match bytes_per_second {
            None => None,
            Some(Number(rate)) => Some(Rate::new(rate).ok_or_else(|| {
                bad_argument(py, &"at 0 bytes a second nothing would ever go", "close_peer ends it")
            })?),
        };
        Ok(self.0.get()?.limit_peer(&peer_id.0, rate))
    }

    /// Ends one link in order; its session goes on with others, or dials anew. False if there is
    /// none of those numbers.
    fn close_link(&self, session: Number<u64>, link: Number<u64>) -> PyResult<bool> {
        Ok(self.0.get()?.close_link(session.0, link.0))
    }
}

impl LinkInfo {
    pub(crate) fn of(py: Python<'_>, link: netcom::LinkSummary) -> PyResult<Self> {
        let address = |address: Option<netcom::Multiaddr>| {
            address.map(|address| Py::new(py, Multiaddr(address))).transpose()
        };
        Ok(Self {
            session: link.session,
            id: link.id,
            peer_id: Py::new(py, PeerId(link.peer_id))?,
            kind: kind(link.kind),
            is_dialer: link.is_dialer,
            is_active: link.is_active,
            is_suspect: link.is_suspect,
            role: link.role.as_str(),
            reason: link.reason,
            local: address(link.local)?,
            remote: address(link.remote)?,
            rtt: link.rtt.map(|rtt| rtt.as_secs_f64()),
            least_rtt: link.least_rtt.map(|rtt| rtt.as_secs_f64()),
            age: link.age.as_secs_f64(),
            bytes_sent: link.bytes_sent,
            bytes_received: link.bytes_received,
            bytes_in_flight: link.bytes_in_flight,
            bytes_resent: link.bytes_resent,
            packets_sent: link.packets_sent,
            packets_lost: link.packets_lost,
        })
    }
}

#[pymethods]
impl LinkInfo {
    fn __repr__(&self) -> String {
        let remote = self.remote.as_ref().map(|remote| remote.get().0.to_string());
        let remote = remote.unwrap_or_else(|| "-".to_owned());
        format!("<netcom.LinkInfo {} {remote}, {}: {}>", self.kind, self.role, self.reason)
    }
}

pub(crate) fn kind(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Tcp => "tcp",
        LinkKind::Quic => "quic",
        _ => "other",
    }
}
