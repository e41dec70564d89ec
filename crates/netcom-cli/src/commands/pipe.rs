//! `netcom pipe`.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tokio::{sync::mpsc, task::spawn_blocking, time::timeout};

use super::listen::{Foreground, ended};
use crate::{
    args::Pipe,
    context::{Context, target},
    failure::{Failure, Outcome},
    nodes::{self, Kind, PIPE, Peer, StreamSink, StreamSource},
    transfer::{Sink, Source},
};

/// What stdin says in one piece at most.
const PIECE: usize = 64 << 10;
/// Pieces of stdin read ahead.
const READ_AHEAD: usize = 4;
/// How long a node may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

pub(crate) async fn run(command: &Pipe, context: &Context) -> Outcome {
    match &command.target {
        Some(text) => connect(command, context, text).await,
        None => accept(command, context).await,
    }
}

async fn connect(command: &Pipe, context: &Context, text: &str) -> Outcome {
    let target = target(context, text)?;
    let within = Duration::from_secs_f64(command.timeout);
    // A pipe lives as long as this process, so it has a node of its own.
    let node = nodes::client(context).await?;
    let peer = Peer::with(node.clone(), &target, within).await?;
    let (peer_id, netid) = (peer.peer_id.clone(), peer.netid.clone());
    let (_, source, sink) = peer.open(PIPE).await?;
    let joined = join(source, sink).await;
    let _ = timeout(GOODBYE, node.close()).await;
    report(context, joined?, &peer_id, netid.as_deref())
}

async fn accept(command: &Pipe, context: &Context) -> Outcome {
    let foreground = Foreground::start(context, Kind::Guest).await?;
    let mut streams = nodes::serve_pipe(&foreground.node, &foreground.serving.access)?;
    foreground.announce(context, command.access.ticket_file.as_deref())?;
    let accepted = tokio::select! {
        accepted = streams.recv() => accepted,
        result = ended() => {
            foreground.close().await;
            return result;
        }
    };
    let Some((stream, peer)) = accepted else { return Ok(()) };
    let (source, sink) = nodes::split(stream);
    let joined = join(source, sink).await;
    foreground.close().await;
    report(context, joined?, &peer, None)
}

fn report(
    context: &Context,
    (sent, received): (u64, u64),
    peer: &str,
    netid: Option<&str>,
) -> Outcome {
    context.output.json(json!({
        "peer": peer, "netid": netid, "bytes_sent": sent, "bytes_received": received,
    }))
}

/// Joins stdin and stdout with a stream until both directions have ended.
async fn join(mut source: StreamSource, mut sink: StreamSink) -> Outcome<(u64, u64)> {
    let (pieces, mut said) = mpsc::channel::<io::Result<Bytes>>(READ_AHEAD);
    // The thread stays behind where stdin never ends; the process takes it along.
    let _reading = spawn_blocking(move || read(&pieces));
    let outwards = async {
        let mut total = 0;
        while let Some(piece) = said.recv().await {
            let piece = piece.map_err(|error| Failure::io("stdin cannot be read", &error))?;
            total += piece.len() as u64;
            sink.give(piece).await.map_err(|error| error.failure)?;
        }
        sink.finish().await.map_err(|error| error.failure)?;
        Ok::<u64, Failure>(total)
    };
    let inwards = async {
        let mut total = 0;
        while let Some(piece) = source.take().await.map_err(|error| error.failure)? {
            total += piece.len() as u64;
            write(piece).await?;
        }
        Ok::<u64, Failure>(total)
    };
    tokio::try_join!(outwards, inwards)
}

fn read(pieces: &mpsc::Sender<io::Result<Bytes>>) {
    let mut stdin = io::stdin().lock();
    let mut buffer = vec![0; PIECE];
    loop {
        let piece = match stdin.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => Ok(Bytes::copy_from_slice(&buffer[..count])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = piece.is_err();
        if pieces.blocking_send(piece).is_err() || is_last {
            return;
        }
    }
}

/// stdout may block for as long as its reader likes.
async fn write(piece: Bytes) -> Outcome {
    let writing = spawn_blocking(move || {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&piece)?;
        stdout.flush()
    });
    match writing.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::io("stdout cannot be written", &error)),
        Err(_) => Err(Failure::failed("internal", "stdout was not written")),
    }
}
