//! A child process of the demonstration: one node of the entity.

use std::sync::Arc;

use bytes::Bytes;
use netcom::{
    Access, Connection, HandlerError, IncomingStream, MessageStream, NetId, Node, Request, Role,
    StreamErrorMessage, XStream,
};
use serde_json::json;
use tokio::{io::AsyncReadExt, task::JoinSet};

use crate::{
    args::DemoNode,
    commands::receive::watcher,
    context::Context,
    failure::{Exit, Failure, Outcome},
    nodes,
    output::{Output, versioned},
    transfer::{Folder, Place, Receiver},
};

/// Serves until stdin ends, which it does when the demonstration is gone.
pub(crate) async fn node(command: &DemoNode, context: &Context) -> Outcome {
    let visitor: NetId = command.visitor.parse().map_err(|error: netcom::NetIdError| {
        Failure::from_error(Exit::Usage, "bad_target", &error)
    })?;
    let access = Access::from(visitor);
    let folder = Folder::open(&command.receive)?;
    let (registry, port) = (&command.registry, Some(command.mdns_port));
    let node = nodes::on_loopback(context.directory(), registry, port, Role::Peer).await?;
    node.allow(access.clone());
    let label = command.label.clone();
    node.on_request(move |request: Request| {
        let answer = format!("{label} heard {}", String::from_utf8_lossy(request.body()));
        async move { Ok::<_, HandlerError>(Bytes::from(answer)) }
    });
    let receiver = Arc::new(Receiver::new(Place::Folder(folder)));
    let quiet = watcher(Output::new(false, true), None);
    nodes::serve_files(&node, &access, receiver, quiet)?;
    let label = Arc::new(command.label.clone());
    let serving = tokio::spawn(serve(node.clone(), label));
    let ready = json!({ "event": "ready", "peer_id": node.peer_id().to_string() });
    Output::new(false, false).line(versioned(ready))?;
    let mut rest = Vec::new();
    let _ = tokio::io::stdin().read_to_end(&mut rest).await;
    serving.abort();
    node.close().await;
    Ok(())
}

/// Answers the streams of all connections.
async fn serve(node: Node, label: Arc<String>) {
    let mut incoming = node.incoming();
    let mut connections = JoinSet::new();
    while let Some(connection) = incoming.next().await {
        connections.spawn(answer(connection, label.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(connection: Connection, label: Arc<String>) {
    let mut streams = connection.incoming_streams();
    while let Some(stream) = streams.next().await {
        let label = label.clone();
        match stream {
            IncomingStream::Messages(stream) => {
                tokio::spawn(chat(stream, label));
            }
            IncomingStream::X(stream) => {
                tokio::spawn(complain(stream));
            }
            _ => {}
        }
    }
}

/// Answers each message by one.
async fn chat(mut stream: MessageStream, label: Arc<String>) {
    while let Ok(Some(message)) = stream.recv().await {
        let answer = format!("{label}: {}?", String::from_utf8_lossy(&message));
        if stream.send(Bytes::from(answer)).await.is_err() {
            return;
        }
    }
    let _ = stream.finish().await;
}

/// Reads nothing and says so beside the data; once told to, reads everything.
async fn complain(mut stream: XStream) {
    let error = StreamErrorMessage::new("not_reading", "the data waits, this does not");
    if stream.send_error(&error).await.is_err() || stream.next_error().await.is_none() {
        return;
    }
    let mut total = 0_u64;
    while let Ok(Some(bytes)) = stream.read_chunk(1 << 20).await {
        total += bytes.len() as u64;
    }
    if stream.write_bytes(Bytes::copy_from_slice(&total.to_be_bytes())).await.is_ok() {
        let _ = stream.finish().await;
    }
}
