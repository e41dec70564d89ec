//! Answering the processes of the data directory.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use netcom::{Connection, Links, Node, RequestOptions, Target, TargetError};
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{UnixListener, UnixStream, unix::OwnedReadHalf, unix::OwnedWriteHalf},
    sync::Semaphore,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{
    FramedSink, FramedSource,
    client::{check_user, read_line},
};
use crate::{
    errors,
    failure::{Exit, Failure, Outcome},
    nodes::{self, PathView},
    output::versioned,
    transfer::{Sink, Source, TransferError},
};

/// The socket, served until this is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    path: PathBuf,
    task: JoinHandle<()>,
}

/// So many processes may ask at once; more wait in the socket's queue.
const MAX_CLIENTS: usize = 64;
/// A process that says nothing for so long is cut off.
const SILENCE: Duration = Duration::from_secs(600);
/// A pause after an error that may be a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest time a question may set.
const MAX_WITHIN: Duration = Duration::from_secs(3600);

/// Serves the control socket of a node that holds its data directory's lock.
pub(crate) fn serve(path: &Path, node: &Node) -> Outcome<Server> {
    let failed = |error: io::Error| {
        Failure::io(format_args!("{} cannot be served", path.display()), &error)
            .hint("a data directory with a shorter path, if this one is very long")
    };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        // Its process is gone, because the lock is ours.
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let task = tokio::spawn(accept(listener, node.clone()));
    Ok(Server { path: path.to_owned(), task })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        // The next node removes what stays behind.
        let _ = fs::remove_file(&self.path);
    }
}

async fn accept(listener: UnixListener, node: Node) {
    let room = Arc::new(Semaphore::new(MAX_CLIENTS));
    // The semaphore is never closed.
    while let Ok(place) = room.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) if check_user(&stream).is_ok() => {
                let node = node.clone();
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, node).await {
                        tracing::debug!(error = error.failure.message, "Control socket");
                    }
                    drop(place);
                });
            }
            Ok(_) => tracing::debug!("Another user was turned away from the control socket"),
            Err(error) => {
                tracing::debug!(%error, "Control socket does not accept");
                sleep(PAUSE).await;
            }
        }
    }
}

/// What follows an answer.
enum Next {
    Line,
    Stream(Box<netcom::XStream>),
    Request(Duration),
}

async fn converse(stream: UnixStream, node: Node) -> Result<(), TransferError> {
    let (mut reading, mut writing) = stream.into_split();
    let mut buffer = BytesMut::new();
    let mut connection = None;
    loop {
        let asked = timeout(SILENCE, read_line(&mut reading, &mut buffer)).await;
        let Ok(Ok(Some(line))) = asked else { return Ok(()) };
        let question: Value = serde_json::from_slice(&line).unwrap_or_default();
        let answer = answer(&question, &node, &mut connection).await;
        let (value, next) = match answer {
            Ok((result, next)) => (json!({ "result": result }), next),
            Err(failure) => (failure.to_json(), Next::Line),
        };
        let text = format!("{}\n", versioned(value));
        if writing.write_all(text.as_bytes()).await.is_err() {
            return Ok(());
        }
        match (next, &connection) {
            (Next::Stream(stream), _) => {
                return carry(*stream, reading, writing, buffer).await;
            }
            (Next::Request(within), Some(connection)) => {
                return request(connection, within, reading, writing, buffer).await;
            }
            _ => {}
        }
    }
}

async fn answer(
    question: &Value,
    node: &Node,
    connection: &mut Option<Connection>,
) -> Outcome<(Value, Next)> {
    let text = |name: &str| question.get(name).and_then(Value::as_str);
    let number = |name: &str| question.get(name).and_then(Value::as_u64);
    let within = Duration::from_millis(number("timeout_ms").unwrap_or(10_000)).min(MAX_WITHIN);
    let reached = connection.as_ref().ok_or_else(|| usage("`reach` comes first"));
    let needs = |name: &str| text(name).ok_or_else(|| usage(&format!("{name} is missing")));
    let commander = node.commander();
    let result = match text("method").unwrap_or_default() {
        "status" => status(node),
        "counters" => super::view::counters(&commander),
        "peers" => super::view::peers(&commander),
        "sessions" => super::view::sessions(&commander),
        "links" => super::view::links(&commander),
        "streams" => super::view::streams(&commander),
        "limits" => super::view::limits(&commander),
        "close_peer" => {
            let peer = needs("peer_id")?.parse().map_err(|_| usage("peer_id is no PeerId"))?;
            json!({ "closed": commander.close_peer(&peer, CLOSED) })
        }
        "limit_peer" => {
            let peer = needs("peer_id")?.parse().map_err(|_| usage("peer_id is no PeerId"))?;
            let rate = number("rate").and_then(netcom::Rate::new);
            json!({ "limited": commander.limit_peer(&peer, rate) })
        }
        "close_session" => {
            let id = number("session").ok_or_else(|| usage("session is missing"))?;
            json!({ "closed": usize::from(commander.close_session(id, CLOSED)) })
        }
        "close_link" => {
            let id = number("session").ok_or_else(|| usage("session is missing"))?;
            let link = number("link").ok_or_else(|| usage("link is missing"))?;
            json!({ "closed": usize::from(commander.close_link(id, link)) })
        }
        "explain" => {
            let told = node.explain(read_target(needs("target")?)?, within).await;
            super::view::explanation(&told)
        }
        "reach" => {
            let (reached, result) = reach(question, node, within).await?;
            *connection = Some(reached);
            result
        }
        "ping" => {
            let (rtt, path) = nodes::ping(reached?, within).await?;
            json!({ "rtt_us": u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX), "path": path })
        }
        "open" => {
            let stream = reached?.open(needs("protocol")?).await;
            let stream = stream.map_err(|error| errors::open(&error))?;
            return Ok((json!({}), Next::Stream(Box::new(stream))));
        }
        "request" => {
            reached?;
            return Ok((json!({}), Next::Request(within)));
        }
        other => return Err(usage(&format!("the method {other:?} is unknown"))),
    };
    Ok((result, Next::Line))
}

/// What the node says about itself.
fn status(node: &Node) -> Value {
    let texts = |addresses: Vec<netcom::Multiaddr>| -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    };
    json!({
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "peer_id": node.peer_id().to_string(),
        "netid": node.netid().map(|netid| netid.to_string()),
        "listen": texts(node.listen_addresses()),
        "addresses": texts(node.addresses()),
        "ticket": node.ticket().to_string(),
        "sessions": node.commander().sessions().len(),
    })
}

/// Carries a stream's bytes both ways until both directions have ended.
async fn carry(
    stream: netcom::XStream,
    reading: OwnedReadHalf,
    writing: OwnedWriteHalf,
    buffer: BytesMut,
) -> Result<(), TransferError> {
    let (mut source, mut sink) = nodes::split(stream);
    let mut to_process = FramedSink::new(writing);
    let mut from_process = FramedSource::new(reading, buffer);
    let outwards = async {
        while let Some(bytes) = from_process.take().await? {
            sink.give(bytes).await?;
        }
        sink.finish().await
    };
    let inwards = async {
        loop {
            match source.take().await {
                Ok(Some(bytes)) => to_process.give(bytes).await?,
                Ok(None) => return to_process.finish().await,
                Err(error) => {
                    to_process.fail(&error.failure, error.is_retryable).await?;
                    return Err(error);
                }
            }
        }
    };
    // The reading side tells the process of every failure, so it alone decides.
    tokio::pin!(outwards, inwards);
    tokio::select! {
        result = &mut inwards => {
            result?;
            outwards.await
        }
        result = &mut outwards => {
            match result {
                // What broke for writing shows when reading, with its reason.
                Err(error) if error.failure.code == "control" => Err(error),
                _ => inwards.await,
            }
        }
    }
}

/// Makes one request with the bytes that come, and passes the answer on.
async fn request(
    connection: &Connection,
    within: Duration,
    reading: OwnedReadHalf,
    writing: OwnedWriteHalf,
    buffer: BytesMut,
) -> Result<(), TransferError> {
    let mut sink = FramedSink::new(writing);
    let body = nodes::collect(FramedSource::new(reading, buffer)).await?;
    let options = RequestOptions::new().timeout(within);
    match connection.request_with(body, &options).await {
        Ok(answer) => {
            sink.give(answer).await?;
            sink.finish().await
        }
        Err(error) => sink.fail(&errors::request(&error), error.is_retryable()).await,
    }
}

/// Connects as the question says, and tells to whom and how.
async fn reach(question: &Value, node: &Node, within: Duration) -> Outcome<(Connection, Value)> {
    let text = |name: &str| question.get(name).and_then(Value::as_str);
    let target = read_target(text("target").ok_or_else(|| usage("target is missing"))?)?;
    let mut connecting = node.connect_with(target).timeout(within);
    if let Some(links) = text("links") {
        let links = links.parse::<Links>();
        connecting = connecting.links(links.map_err(|error| usage(&error.to_string()))?);
    }
    let reached = connecting.connect().await.map_err(|error| errors::connect(&error))?;
    let result = json!({
        "peer_id": reached.peer_id().to_string(),
        "netid": reached.netid().map(|netid| netid.to_string()),
        "path": PathView::of(&reached),
    });
    Ok((reached, result))
}

fn read_target(text: &str) -> Outcome<Target> {
    text.parse()
        .map_err(|error: TargetError| Failure::from_error(Exit::Usage, "bad_target", &error))
}

fn usage(message: &str) -> Failure {
    Failure::usage(message.to_owned())
}

/// What the other side is told when a session is closed by hand.
const CLOSED: &str = "closed by the operator";
