//! The way to another node: through this process, or through the running node.

use std::time::Duration;

use bytes::Bytes;
use netcom::{Connection, LinkKind, Links, Node, PathKind, RequestOptions, Target};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;

use super::{
    build,
    stream::{StreamSink, StreamSource, split},
};
use crate::{
    context::Context,
    control::{Client, MAX_REQUEST_BYTES},
    errors,
    failure::{Exit, Failure, Outcome},
    transfer::{Sink, Source, TransferError},
};

/// A node that was reached.
pub(crate) struct Peer {
    way: Way,
    pub(crate) peer_id: String,
    pub(crate) netid: Option<String>,
}

enum Way {
    Own { node: Node, connection: Connection },
    Running { client: Client },
}

/// How a node is reached, for people and programs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct PathView {
    /// `local`, `direct` or `relayed`.
    pub(crate) kind: String,
    /// `tcp`, `quic` and so on.
    pub(crate) link: String,
    pub(crate) local: Option<String>,
    pub(crate) remote: Option<String>,
    pub(crate) rtt_us: Option<u64>,
    pub(crate) reason: String,
    pub(crate) standby: usize,
}

impl Peer {
    /// Reaches a node: through the running node of the data directory, or by a fresh one.
    pub(crate) async fn reach(
        context: &Context,
        target: &Target,
        within: Duration,
    ) -> Outcome<Self> {
        let socket = context.directory().join("control.sock");
        match Client::connect(&socket).await? {
            Some(client) => {
                let links = context.links()?;
                Self::through(client, target, within, links).await
            }
            None => {
                let node = build::client(context).await?;
                let reached = Self::with(node.clone(), target, within).await;
                if reached.is_err() {
                    node.close().await;
                }
                reached
            }
        }
    }

    /// Reaches a node through the running one.
    async fn through(
        mut client: Client,
        target: &Target,
        within: Duration,
        links: Option<Links>,
    ) -> Outcome<Self> {
        let parameters = json!({
            "target": target.to_string(),
            "timeout_ms": u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            "links": links.map(|links| links.to_string()),
        });
        let answer = client.ask("reach", parameters, within).await?;
        let text = |name: &str| answer.get(name).and_then(|it| it.as_str()).map(str::to_owned);
        let peer_id = text("peer_id").unwrap_or_default();
        Ok(Self { peer_id, netid: text("netid"), way: Way::Running { client } })
    }

    /// Reaches a node by one of this process.
    pub(crate) async fn with(node: Node, target: &Target, within: Duration) -> Outcome<Self> {
        let connecting = node.connect_with(target.clone()).timeout(within).connect().await;
        let connection = connecting.map_err(|error| errors::connect(&error))?;
        Ok(Self::of(node, connection))
    }

    pub(crate) fn of(node: Node, connection: Connection) -> Self {
        Self {
            peer_id: connection.peer_id().to_string(),
            netid: connection.netid().map(|netid| netid.to_string()),
            way: Way::Own { node, connection },
        }
    }

    /// Opens a stream. With the running node this uses the peer up, because the socket carries
    /// the stream from then on.
    pub(crate) async fn open(
        self,
        protocol: &str,
    ) -> Outcome<(Option<Node>, StreamSource, StreamSink)> {
        match self.way {
            Way::Own { node, connection } => {
                let stream = connection.open(protocol).await;
                let (source, sink) = split(stream.map_err(|error| errors::open(&error))?);
                Ok((Some(node), source, sink))
            }
            Way::Running { mut client } => {
                client.ask("open", json!({ "protocol": protocol }), ANSWER_WITHIN).await?;
                let (source, sink) = client.into_pieces();
                Ok((None, StreamSource::Running(source), StreamSink::Running(sink)))
            }
        }
    }

    /// Measures one round trip; says how the node is reached.
    pub(crate) async fn ping(&mut self, within: Duration) -> Outcome<(Duration, PathView)> {
        match &mut self.way {
            Way::Own { connection, .. } => ping(connection, within).await,
            Way::Running { client } => {
                let parameters = json!({
                    "timeout_ms": u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
                });
                let answer = client.ask("ping", parameters, within).await?;
                let rtt = answer.get("rtt_us").and_then(serde_json::Value::as_u64);
                let path = answer.get("path").cloned().unwrap_or_default();
                match (rtt, serde_json::from_value(path)) {
                    (Some(rtt), Ok(path)) => Ok((Duration::from_micros(rtt), path)),
                    _ => Err(Failure::failed("control", "the running node's answer is incomplete")),
                }
            }
        }
    }

    /// Makes a request.
    pub(crate) async fn request(self, body: Bytes, within: Duration) -> Outcome<Bytes> {
        match self.way {
            Way::Own { node, connection } => {
                let options = RequestOptions::new().timeout(within);
                let answer = connection.request_with(body, &options).await;
                node.close().await;
                answer.map_err(|error| errors::request(&error))
            }
            Way::Running { mut client } => {
                let parameters = json!({
                    "timeout_ms": u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
                });
                client.ask("request", parameters, ANSWER_WITHIN).await?;
                let (source, mut sink) = client.into_pieces();
                let asking = async {
                    sink.give(body).await?;
                    sink.finish().await?;
                    collect(source).await
                };
                match timeout(within + ANSWER_WITHIN, asking).await {
                    Ok(answer) => answer.map_err(|error| error.failure),
                    Err(_) => Err(no_answer(within)),
                }
            }
        }
    }

    /// Closes the node of this process, if there is one.
    pub(crate) async fn close(self) {
        if let Way::Own { node, .. } = self.way {
            node.close().await;
        }
    }
}

/// All bytes to the end, as many as a request may have.
pub(crate) async fn collect(mut source: impl Source) -> Result<Bytes, TransferError> {
    let mut all = bytes::BytesMut::new();
    while let Some(piece) = source.take().await? {
        if all.len() + piece.len() > MAX_REQUEST_BYTES {
            let message = format!("a request has at most {MAX_REQUEST_BYTES} bytes");
            return Err(TransferError::here(Failure::failed("too_large", message)));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// Measures one round trip of a connection.
pub(crate) async fn ping(
    connection: &Connection,
    within: Duration,
) -> Outcome<(Duration, PathView)> {
    let answered = async {
        let rtt = connection.ping().await?;
        Some((rtt, PathView::of(connection)?))
    };
    match timeout(within, answered).await {
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => {
            let message = "no link to the node works now";
            Err(Failure::new(Exit::Unreachable, "detached", message))
        }
        Err(_) => Err(no_answer(within)),
    }
}

fn no_answer(within: Duration) -> Failure {
    let message = format!("no answer came within {within:?}");
    Failure::new(Exit::Unreachable, "timeout", message).hint("a longer --timeout")
}

impl PathView {
    /// How a connection reaches its peer; `None` while no link works.
    pub(crate) fn of(connection: &Connection) -> Option<Self> {
        Self::from_path(connection.path())
    }

    /// The same for a path that is known; `None` while no link works.
    pub(crate) fn from_path(path: netcom::Path) -> Option<Self> {
        let link = path.link?;
        let text = |address: Option<netcom::Multiaddr>| address.map(|it| it.to_string());
        Some(Self {
            kind: match path.kind {
                PathKind::Local => "local",
                PathKind::Direct => "direct",
                PathKind::Relayed => "relayed",
                _ => "other",
            }
            .to_owned(),
            link: link_name(link).to_owned(),
            local: text(path.local),
            remote: text(path.remote),
            rtt_us: path.rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            reason: path.reason,
            standby: path.standby,
        })
    }
}

/// A stable name of what carries a link.
pub(crate) fn link_name(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Tcp => "tcp",
        LinkKind::Quic => "quic",
        LinkKind::Memory => "memory",
        LinkKind::WebSocket => "websocket",
        LinkKind::Relay => "relay",
        _ => "other",
    }
}

/// How long the running node may take for what needs no network.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
