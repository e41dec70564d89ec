//! A connection to a node.

use netcom::{OpenError, RequestOptions, SessionState};
use pyo3::prelude::*;

use crate::{
    buffer::{incoming, outgoing},
    commander::LinkInfo,
    error::{RequestFailure, exception},
    identity::{Multiaddr, NetId, PeerId},
    number::{Number, Seconds},
    operation::Operation,
    runtime::Owned,
    serve::XAuth,
    stream::{self, ByteStream, IncomingStreams, MessageStream, XStream},
};

/// A connection to a node.
#[pyclass(frozen, module = "netcom._native")]
pub(crate) struct Connection(Owned<netcom::Connection>);

/// How a peer is reached, and why so.
///
/// ```python
/// >>> connection.path.kind
/// 'local'
/// >>> connection.path.link in ("tcp", "quic")
/// True
///
/// ```
#[pyclass(frozen, get_all, module = "netcom._native")]
pub(crate) struct Path {
    /// `local`, `direct`, `relayed` or `waiting`.
    kind: &'static str,
    /// `tcp` or `quic`; `None` while no link works.
    link: Option<String>,
    /// This side's address.
    local: Option<Py<Multiaddr>>,
    /// The peer's address.
    remote: Option<Py<Multiaddr>>,
    /// Seconds of a round trip, once known.
    rtt: Option<f64>,
    /// Why this node and this way.
    reason: String,
    /// Links that stand by.
    standby: usize,
    /// All of it in one line for a person: the kind, what carries it, the round trip, and why.
    text: String,
}

/// What was counted between two nodes, for all connections that share a session with the peer.
///
/// ```python
/// >>> before = connection.stats.streams_opened
/// >>> answer = await connection.request(b"hello")
/// >>> connection.stats.streams_opened - before
/// 1
///
/// ```
#[pyclass(frozen, get_all, module = "netcom._native")]
pub(crate) struct Stats {
    /// `attaching`, `live`, `detached`, `closing` or `closed`.
    state: &'static str,
    /// Seconds of a round trip, smoothed; `None` while no link works or none was measured.
    rtt: Option<f64>,
    /// Bytes of frames sent, over all links; what the transports add is not counted.
    bytes_sent: u64,
    /// Bytes of streams, requests and answers received for the first time.
    bytes_received: u64,
    /// Bytes of those that were received again, after links died.
    bytes_repeated: u64,
    /// Bytes kept until the peer acknowledges them.
    bytes_unacknowledged: usize,
    /// Streams that have not ended, requests among them.
    streams: usize,
    /// Streams this side has opened, requests among them.
    streams_opened: u64,
    /// Datagrams that were dropped, either way.
    datagrams_dropped: u64,
}

impl Connection {
    pub(crate) fn new(connection: netcom::Connection) -> Self {
        Self(Owned::new(connection))
    }
}

#[pymethods]
impl Connection {
    #[pyo3(signature = (body, timeout, service, max_answer, view))]
    fn request(
        &self,
        body: &Bound<'_, PyAny>,
        timeout: Option<Seconds>,
        service: Option<&str>,
        max_answer: Option<Number<usize>>,
        view: bool,
    ) -> PyResult<Operation> {
        let (connection, body) = (self.0.get()?.clone(), outgoing(body)?);
        let mut options = RequestOptions::new();
        if let Some(Seconds(timeout)) = timeout {
            options = options.timeout(timeout);
        }
        if let Some(service) = service {
            options = options.protocol(service);
        }
        if let Some(Number(max_answer)) = max_answer {
            options = options.max_answer(max_answer);
        }
        let request = async move {
            let made = connection.request_with(body, &options).await;
            made.map_err(|error| RequestFailure::new(error, &connection))
        };
        Ok(Operation::new("Connection.request", request, move |py, answer| {
            incoming(py, answer.map_err(|error| exception(py, &error))?, view)
        }))
    }

    fn bytes_stream(&self) -> PyResult<Operation> {
        let connection = self.0.get()?.clone();
        Ok(Operation::new(
            "Connection.bytes_stream",
            async move { connection.bytes_stream().await },
            |py, stream| Ok(Py::new(py, ByteStream::new(opened(py, stream)?))?.into_any()),
        ))
    }

    fn msg_stream(&self) -> PyResult<Operation> {
        let connection = self.0.get()?.clone();
        Ok(Operation::new(
            "Connection.msg_stream",
            async move { connection.msg_stream().await },
            |py, stream| Ok(Py::new(py, MessageStream::new(opened(py, stream)?))?.into_any()),
        ))
    }

    fn x_stream(&self, service: Option<String>) -> PyResult<Operation> {
        let connection = self.0.get()?.clone();
        let open = async move {
            match service {
                Some(service) => connection.open(&service).await,
                None => connection.x_stream().await,
            }
        };
        Ok(Operation::new("Connection.x_stream", open, |py, stream| {
            Ok(XStream::new(py, opened(py, stream)?)?.into_any())
        }))
    }

    fn incoming_streams(&self) -> PyResult<IncomingStreams> {
        Ok(IncomingStreams(stream::half(self.0.get()?.incoming_streams())))
    }

    fn peer_id(&self) -> PyResult<PeerId> {
        Ok(PeerId(self.0.get()?.peer_id()))
    }

    fn netid(&self) -> PyResult<Option<NetId>> {
        Ok(self.0.get()?.netid().map(NetId::of))
    }

    fn xauth(&self) -> PyResult<XAuth> {
        Ok(XAuth(self.0.get()?.xauth()))
    }

    fn path(&self, py: Python<'_>) -> PyResult<Path> {
        let path = self.0.get()?.path();
        let address = |address: &Option<netcom::Multiaddr>| {
            address.clone().map(|address| Py::new(py, Multiaddr(address))).transpose()
        };
        Ok(Path {
            kind: match path.kind {
                netcom::PathKind::Local => "local",
                netcom::PathKind::Direct => "direct",
                netcom::PathKind::Relayed => "relayed",
                _ => "waiting",
            },
            link: path.link.map(|link| format!("{link:?}").to_lowercase()),
            local: address(&path.local)?,
            remote: address(&path.remote)?,
            rtt: path.rtt.map(|rtt| rtt.as_secs_f64()),
            text: path.to_string(),
            reason: path.reason,
            standby: path.standby,
        })
    }

    fn links(&self, py: Python<'_>) -> PyResult<Vec<LinkInfo>> {
        self.0.get()?.links().into_iter().map(|link| LinkInfo::of(py, link)).collect()
    }

    fn stats(&self) -> PyResult<Stats> {
        let connection = self.0.get()?;
        let stats = connection.stats();
        Ok(Stats {
            state: SessionState::from(connection.state()).as_str(),
            rtt: connection.path().rtt.map(|rtt| rtt.as_secs_f64()),
            bytes_sent: stats.sent_bytes,
            bytes_received: stats.received_bytes,
            bytes_repeated: stats.repeated_bytes,
            bytes_unacknowledged: stats.retained_bytes,
            streams: stats.streams,
            streams_opened: stats.streams_opened,
            datagrams_dropped: stats.dropped_datagrams,
        })
    }

    fn ping(&self) -> PyResult<Operation> {
        let connection = self.0.get()?.clone();
        Ok(Operation::new("Connection.ping", async move { connection.ping().await }, |py, rtt| {
            Ok(rtt.map(|rtt| rtt.as_secs_f64()).into_pyobject(py)?.into_any().unbind())
        }))
    }

    fn close(&self, code: Number<u32>, reason: String) -> PyResult<Operation> {
        let connection = self.0.get()?.clone();
        Ok(Operation::new(
            "Connection.close",
            async move { connection.close(code.0, &reason).await },
            |py, ()| Ok(py.None()),
        ))
    }
}

#[pymethods]
impl Path {
    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        format!("<netcom.Path {}>", self.text)
    }
}

#[pymethods]
impl Stats {
    fn __repr__(&self) -> String {
        format!(
            "<netcom.Stats {}, {} bytes sent, {} received, {} streams>",
            self.state, self.bytes_sent, self.bytes_received, self.streams
        )
    }
}

fn opened<T>(py: Python<'_>, stream: Result<T, OpenError>) -> PyResult<T> {
    stream.map_err(|error| exception(py, &error))
}
