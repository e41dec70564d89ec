//! Ours, by its public interface.

use std::time::{Duration, Instant};

use ::netcom::{ByteStream, Connection, IncomingStream, Node, Role, Scope, Target};
use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

use super::{Bulk, CHUNK, Client, MESSAGE, Message, Peer, streams, version};
use crate::case::Case;

/// A connected client.
pub(super) struct Netcom {
    /// Closes when it is dropped.
    _node: Node,
    connection: Connection,
    echo: Option<ByteStream>,
}

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
        "request: Connection::request and Node::on_request".to_owned(),
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
                if let IncomingStream::Bytes(stream) = stream {
                    tokio::spawn(serve_stream(stream));
                }
            }
        });
    }
    Ok(())
}

/// Serves one stream with owned bytes; slices have a first byte of their own.
async fn serve_stream(mut stream: ByteStream) -> Result<()> {
    match stream.read_chunk(1).await?.as_deref() {
        Some([streams::BULK]) => {
            let mut bytes = 0;
            while let Some(chunk) = stream.read_chunk(CHUNK).await? {
                bytes += chunk.len() as u64;
            }
            stream.write_bytes(bytes.to_be_bytes().to_vec()).await?;
        }
        Some([SLICES]) => return streams::serve(stream).await,
        Some([streams::ECHO]) => {
            while let Some(chunk) = stream.read_chunk(MESSAGE).await? {
                stream.write_bytes(chunk).await?;
            }
        }
        other => bail!("no stream is for {other:?}"),
    }
    Ok(stream.finish().await?)
}

impl Netcom {
    pub(super) async fn connect(contact: &str) -> Result<Self> {
        let target: Target = contact.parse()?;
        let node = Node::builder().discovery(Scope::Off).role(Role::Client).build().await?;
        let connection = node.connect(target).await?;
        Ok(Self { _node: node, connection, echo: None })
    }
}

impl Client for Netcom {
    const CASES: &'static [Case] = &Case::ALL;

    async fn bulk(&mut self, duration: Duration) -> Result<Bulk> {
        let chunk = Bytes::from(streams::chunk());
        let mut stream = self.connection.bytes_stream().await?;
        stream.write_bytes(Bytes::from_static(&[streams::BULK])).await?;
        let begin = Instant::now();
        let mut bytes = 0;
        while begin.elapsed() < duration {
            stream.write_bytes(chunk.clone()).await?;
            bytes += chunk.len() as u64;
        }
        stream.finish().await?;
        let counted = stream.read_u64().await?;
        let took = begin.elapsed();
        ensure!(counted == bytes, "{counted} of {bytes} bytes arrived");
        Ok(Bulk { bytes, took })
    }

    async fn bulk_slices(&mut self, duration: Duration) -> Result<Bulk> {
        let mut stream = self.connection.bytes_stream().await?;
        stream.write_bytes(Bytes::from_static(&[SLICES])).await?;
        streams::bulk(stream, duration).await
    }

    async fn open(&mut self) -> Result<()> {
        let mut stream = self.connection.bytes_stream().await?;
        stream.write_bytes(Bytes::from_static(&[streams::ECHO])).await?;
        self.echo = Some(stream);
        Ok(())
    }

    async fn round_trip(&mut self, message: Message) -> Result<Message> {
        let stream = self.echo.as_mut().context("no stream is open")?;
        stream.write_bytes(Bytes::copy_from_slice(&message)).await?;
        let mut answer = [0; MESSAGE];
        stream.read_exact(&mut answer).await?;
        Ok(answer)
    }

    async fn request(&mut self, message: Message) -> Result<Message> {
        let answer = self.connection.request(Bytes::copy_from_slice(&message)).await?;
        Ok(answer[..].try_into()?)
    }

    fn facts(&self) -> Vec<String> {
        let path = self.connection.path();
        path.link.map(|link| format!("{link:?} link, {:?} path", path.kind)).into_iter().collect()
    }
}

fn carrier(peer: Peer) -> &'static str {
    match peer {
        Peer::NetcomQuic => "QUIC",
        _ => "TCP with TLS 1.3, both ends authenticated",
    }
}

/// The first byte of a stream that is served by slices.
const SLICES: u8 = b's';
