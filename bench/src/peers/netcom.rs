//! Ours, by its public interface.

use std::{
    any::Any,
    sync::Mutex,
    time::{Duration, Instant},
};

use ::netcom::{ByteReceiver, ByteSender, Connection, IncomingStream, Node, Role, Scope, Target};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use frame::{
    CHUNK, Case, Client, HANDSHAKES, LETTER, MESSAGE, Message, Sent,
    streams::{self, Put, Take},
};
use tokio::sync::OnceCell;

use super::{Peer, version};

/// A connected client.
pub(super) struct Netcom {
    server: Target,
    /// Closes when it is dropped.
    _node: Node,
    connection: Connection,
    /// A node for each lane of handshakes, since two nodes have but one session.
    lanes: [OnceCell<Node>; HANDSHAKES],
    /// Nodes that have no session yet.
    ready: Mutex<Vec<Node>>,
}

/// The sending half of a stream.
pub(super) struct Sender(ByteSender);
/// The receiving half of a stream.
pub(super) struct Receiver(ByteReceiver);

pub(super) fn configuration(peer: Peer) -> Vec<String> {
    let limits = ::netcom::SessionConfig::default();
    vec![
        format!("netcom {}, defaults, discovery off, {}", version("netcom"), carrier(peer)),
        format!(
            "windows by default: {} MiB a stream, {} MiB a session",
            limits.max_window >> 20,
            limits.receive_budget >> 20
        ),
        format!("one stream: write_bytes of {0} KiB, read_chunk of up to {0} KiB", CHUNK >> 10),
        format!("one stream, slices: AsyncWrite and AsyncRead of {} KiB", CHUNK >> 10),
        "requests: Connection::request and Node::on_request; messages: msg_stream".to_owned(),
        "handshakes: connect, request, close, with a node for each of those at a time; close waits \
         until the other end has seen it"
            .to_owned(),
        "idle: a client node for each session, all in one process, since two nodes share one \
         session"
            .to_owned(),
    ]
}

pub(super) async fn serve(peer: Peer, announce: impl FnOnce(&str)) -> Result<()> {
    let address = match peer {
        Peer::NetcomQuic => "/ip4/127.0.0.1/udp/0/quic-v1",
        _ => "/ip4/127.0.0.1/tcp/0",
    };
    let node = Node::builder()
        .discovery(Scope::Off)
        .role(Role::Server)
        .listen(address.parse()?)
        .build()
        .await?;
    node.on_request(|request| async move { Ok(request.into_body()) });
    let mut incoming = node.incoming();
    announce(&node.ticket().to_string());
    while let Some(connection) = incoming.next().await {
        tokio::spawn(async move {
            let mut streams = connection.incoming_streams();
            while let Some(stream) = streams.next().await {
                tokio::spawn(serve_stream(stream));
            }
        });
    }
    Ok(())
}

async fn serve_stream(stream: IncomingStream) -> Result<()> {
    match stream {
        IncomingStream::Bytes(stream) => {
            let (sender, receiver) = stream.into_split();
            streams::serve(Sender(sender), Receiver(receiver)).await
        }
        IncomingStream::Messages(mut stream) => {
            let mut count: u64 = 0;
            while let Some(message) = stream.recv().await? {
                ensure!(message.len() == LETTER, "all messages are of one length");
                count += 1;
            }
            stream.send(Bytes::copy_from_slice(&count.to_be_bytes())).await?;
            Ok(stream.finish().await?)
        }
        _ => Ok(()),
    }
}

impl Netcom {
    pub(super) async fn connect(contact: &str) -> Result<Self> {
        let server: Target = contact.parse()?;
        let node = client().await?;
        let connection = node.connect(server.clone()).await?;
        let (lanes, ready) = Default::default();
        Ok(Self { server, _node: node, connection, lanes, ready })
    }

    async fn session_of(&self, node: &Node) -> Result<Connection> {
        let connection = node.connect(self.server.clone()).await?;
        let message = Bytes::from_static(&[7; MESSAGE]);
        let answer = connection.request(message.clone()).await?;
        ensure!(answer == message, "the answer is not what was sent");
        Ok(connection)
    }
}

impl Client for Netcom {
    const CASES: &'static [Case] = &[
        Case::Bulk,
        Case::BulkSlices,
        Case::BulkDown,
        Case::BulkBoth,
        Case::RoundTrip,
        Case::Request,
        Case::InFlight,
        Case::InFlight100,
        Case::Messages,
        Case::Streams20,
        Case::Streams2000,
        Case::Connect,
        Case::Idle,
    ];

    type Put = Sender;
    type Take = Receiver;
    type Echo = (Sender, Receiver);

    async fn stream(&self) -> Result<(Sender, Receiver)> {
        let (sender, receiver) = self.connection.bytes_stream().await?.into_split();
        Ok((Sender(sender), Receiver(receiver)))
    }

    async fn open(&self, _: Case) -> Result<Self::Echo> {
        let (sender, receiver) = self.stream().await?;
        streams::open(sender, receiver).await
    }

    async fn request(&self, message: Message) -> Result<Message> {
        let answer = self.connection.request(Bytes::copy_from_slice(&message)).await?;
        Ok(answer[..].try_into()?)
    }

    async fn messages(&self, duration: Duration) -> Result<Sent> {
        let message = Bytes::from(streams::chunk(LETTER));
        let mut stream = self.connection.msg_stream().await?;
        let begin = Instant::now();
        let mut sent = 0;
        while begin.elapsed() < duration {
            stream.send(message.clone()).await?;
            sent += 1;
        }
        stream.finish().await?;
        let counted = stream.recv().await?.context("the server has not counted")?;
        let took = begin.elapsed();
        let counted = u64::from_be_bytes(counted[..].try_into()?);
        ensure!(counted == sent, "{counted} of {sent} messages arrived");
        Ok(Sent { count: sent, took })
    }

    async fn handshake(&self, lane: usize) -> Result<()> {
        let node = self.lanes[lane].get_or_try_init(client).await?;
        self.session_of(node).await?.close(0, "").await;
        Ok(())
    }

    async fn prepare(&self, sessions: usize) -> Result<()> {
        for _ in 0..sessions {
            let node = client().await?;
            self.ready.lock().expect(UNPOISONED).push(node);
        }
        Ok(())
    }

    async fn session(&self) -> Result<Box<dyn Any + Send>> {
        let ready = self.ready.lock().expect(UNPOISONED).pop();
        let node = match ready {
            Some(node) => node,
            None => client().await?,
        };
        let connection = self.session_of(&node).await?;
        Ok(Box::new((node, connection)))
    }

    fn facts(&self) -> Vec<String> {
        let path = self.connection.path();
        path.link.map(|link| format!("{link:?} link, {:?} path", path.kind)).into_iter().collect()
    }
}

impl Put for Sender {
    type Writer = ByteSender;

    fn writer(&mut self) -> &mut ByteSender {
        &mut self.0
    }

    async fn put(&mut self, bytes: Bytes) -> Result<()> {
        Ok(self.0.write_bytes(bytes).await?)
    }

    /// What was written is on its way.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(self.0.finish().await?)
    }
}

impl Take for Receiver {
    type Reader = ByteReceiver;

    fn reader(&mut self) -> &mut ByteReceiver {
        &mut self.0
    }

    async fn take(&mut self, max: usize) -> Result<usize> {
        Ok(self.0.read_chunk(max).await?.map_or(0, |chunk| chunk.len()))
    }
}

async fn client() -> Result<Node> {
    Ok(Node::builder().discovery(Scope::Off).role(Role::Client).build().await?)
}

fn carrier(peer: Peer) -> &'static str {
    match peer {
        Peer::NetcomQuic => "QUIC",
        _ => "TCP with TLS 1.3, both ends authenticated",
    }
}

const UNPOISONED: &str = "nobody panics while it is locked";
