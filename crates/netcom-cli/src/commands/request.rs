//! `netcom request`.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use bytes::Bytes;
use serde_json::json;
use tokio::task::spawn_blocking;

use crate::{
    args::Request,
    context::{Context, target},
    control::MAX_REQUEST_BYTES,
    failure::{Failure, Outcome},
    nodes::Peer,
};

/// Sends a request and writes the answer to stdout.
pub(crate) async fn run(command: &Request, context: &Context) -> Outcome {
    let target = target(context, &command.reach.target)?;
    let within = Duration::from_secs_f64(command.reach.timeout);
    let body = match command.data.as_str() {
        "-" => from_stdin().await?,
        data => Bytes::copy_from_slice(data.as_bytes()),
    };
    let sent = body.len();
    let peer = Peer::reach(context, &target, within).await?;
    let (peer_id, netid) = (peer.peer_id.clone(), peer.netid.clone());
    let answer = peer.request(body, within).await?;
    let mut out = io::stdout().lock();
    out.write_all(&answer)
        .and_then(|()| out.flush())
        .map_err(|error| Failure::io("stdout cannot be written", &error))?;
    context.output.json(json!({
        "peer_id": peer_id, "netid": netid,
        "bytes_sent": sent, "bytes_received": answer.len(),
    }))
}

async fn from_stdin() -> Outcome<Bytes> {
    let reading = spawn_blocking(|| {
        let mut body = Vec::new();
        let limit = MAX_REQUEST_BYTES as u64 + 1;
        io::stdin().lock().take(limit).read_to_end(&mut body).map(|_| body)
    });
    let body = reading.await.map_err(|_| Failure::failed("internal", "stdin was not read"))?;
    let body = body.map_err(|error| Failure::io("stdin cannot be read", &error))?;
    if body.len() > MAX_REQUEST_BYTES {
        let message = format!("a request has at most {MAX_REQUEST_BYTES} bytes");
        return Err(Failure::failed("too_large", message).hint("netcom pipe or netcom send"));
    }
    Ok(body.into())
}
