//! iroh: QUIC to a node's key, straight, without relays or discovery.

use std::{
    any::Any,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use ::iroh::{
    Endpoint, EndpointAddr, RelayMode, TransportAddr,
    endpoint::{
        Builder, Connection, PortmapperConfig, QuicTransportConfig, RecvStream, SendStream, VarInt,
        presets,
    },
};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use frame::{
    CHUNK, Case, Client, MESSAGE, Message,
    streams::{self, Put, Take},
};
use rustls::crypto::aws_lc_rs::{self, kx_group};

use crate::version;

/// A connected client.
pub(crate) struct Iroh {
    endpoint: Endpoint,
    /// Where the server spends no memory on speed.
    lean: EndpointAddr,
    connection: Connection,
}

/// The sending half of a stream.
pub(crate) struct Sender(SendStream);
/// The receiving half of a stream.
pub(crate) struct Receiver(RecvStream);

fn configuration() -> Vec<String> {
    vec![
        format!("iroh {}, noq {}, aws-lc-rs", version("iroh"), version("noq")),
        "no relays, no discovery, no port mapping, IPv4 on loopback".to_owned(),
        "AES-256-GCM first, X25519MLKEM768 alone".to_owned(),
        format!(
            "sending window of {} MiB, {MAX_STREAMS} streams, its own windows for receiving: \
             1.25 MB a stream, no limit for a connection; wider streams (1.5 and 2 MiB) were \
             slower, and from 2.75 MiB on noq ended connections with too many gaps, which it \
             finds in a stream of which more than 2,048 datagrams' frames are not read yet",
            SEND_WINDOW >> 20
        ),
        "its own socket buffers of 7 MiB, as far as the system allows".to_owned(),
        format!("owned chunks: write_chunk of {} KiB, read_chunk", CHUNK >> 10),
        "messages: tokio-util's length-delimited frames, 64 KiB gathered".to_owned(),
        "handshakes and idle: connections of one endpoint, all windows its own".to_owned(),
    ]
}

pub(crate) async fn serve(announce: impl FnOnce(&str)) -> Result<()> {
    let fast = builder()?.transport_config(transport()).alpns(vec![ALPN.to_vec()]).bind().await?;
    let lean = builder()?.alpns(vec![ALPN.to_vec()]).bind().await?;
    announce(&serde_json::to_string(&[address(&fast)?, address(&lean)?])?);
    tokio::spawn(accept(lean));
    accept(fast).await;
    Ok(())
}

async fn accept(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let connection = incoming.await?;
            while let Ok((sender, receiver)) = connection.accept_bi().await {
                tokio::spawn(streams::serve(Sender(sender), Receiver(receiver)));
            }
            anyhow::Ok(())
        });
    }
}

impl Iroh {
    pub(crate) async fn connect(contact: &str) -> Result<Self> {
        let [server, lean]: [EndpointAddr; 2] = serde_json::from_str(contact)?;
        let fast = builder()?.transport_config(transport()).bind().await?;
        let connection = fast.connect(server, ALPN).await?;
        let endpoint = builder()?.bind().await?;
        // The endpoint goes on for as long as the connection needs it.
        Box::leak(Box::new(fast));
        Ok(Self { endpoint, lean, connection })
    }

    async fn fresh(&self) -> Result<Connection> {
        let connection = self.endpoint.connect(self.lean.clone(), ALPN).await?;
        let (sender, receiver) = connection.open_bi().await?;
        let message: Message = [7; MESSAGE];
        let answer = streams::request(Sender(sender), Receiver(receiver), message).await?;
        ensure!(answer == message, "the answer is not what was sent");
        Ok(connection)
    }
}

impl Client for Iroh {
    const CASES: &'static [Case] = &[
        Case::Bulk,
        Case::BulkDown,
        Case::BulkBoth,
        Case::RoundTrip,
        Case::Request,
        Case::InFlight,
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
        let (sender, receiver) = self.connection.open_bi().await?;
        Ok((Sender(sender), Receiver(receiver)))
    }

    async fn open(&self, _: Case) -> Result<Self::Echo> {
        let (sender, receiver) = self.stream().await?;
        streams::open(sender, receiver).await
    }

    async fn handshake(&self, _: usize) -> Result<()> {
        self.fresh().await?.close(VarInt::from_u32(0), b"");
        Ok(())
    }

    async fn session(&self) -> Result<Box<dyn Any + Send>> {
        Ok(Box::new(self.fresh().await?))
    }

    fn facts(&self) -> Vec<String> {
        let paths: Vec<String> = self
            .connection
            .paths()
            .iter()
            .map(|path| format!("{:?}", path.remote_addr()))
            .collect();
        let ways =
            if paths.iter().all(|path| path.contains("127.0.0.1")) { "loopback" } else { "?" };
        let mut facts = configuration();
        facts.push(format!("{} paths, by {ways}", paths.len()));
        facts
    }
}

impl Put for Sender {
    type Writer = SendStream;

    fn writer(&mut self) -> &mut SendStream {
        &mut self.0
    }

    async fn put(&mut self, bytes: Bytes) -> Result<()> {
        Ok(self.0.write_chunk(bytes).await?)
    }

    /// What was written is on its way.
    async fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    async fn finish(&mut self) -> Result<()> {
        Ok(self.0.finish()?)
    }
}

impl Take for Receiver {
    type Reader = RecvStream;

    fn reader(&mut self) -> &mut RecvStream {
        &mut self.0
    }

    async fn take(&mut self, max: usize) -> Result<usize> {
        Ok(self.0.read_chunk(max).await?.map_or(0, |chunk| chunk.len()))
    }
}

fn builder() -> Result<Builder> {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768];
    Ok(Endpoint::builder(presets::Empty)
        .crypto_provider(Arc::new(provider))
        .relay_mode(RelayMode::Disabled)
        .portmapper_config(PortmapperConfig::Disabled)
        .max_tls_tickets(0)
        .clear_ip_transports()
        .bind_addr((Ipv4Addr::LOCALHOST, 0))?)
}

fn address(endpoint: &Endpoint) -> Result<EndpointAddr> {
    let sockets = endpoint.bound_sockets();
    let socket: SocketAddr = *sockets.first().context("the endpoint has a socket")?;
    Ok(EndpointAddr::from_parts(endpoint.id(), [TransportAddr::Ip(socket)]))
}

fn transport() -> QuicTransportConfig {
    QuicTransportConfig::builder()
        .send_window(SEND_WINDOW)
        .max_concurrent_bidi_streams(MAX_STREAMS.into())
        .build()
}

const ALPN: &[u8] = b"bench/1";
/// As much as ours.
const SEND_WINDOW: u64 = 64 << 20;
const MAX_STREAMS: u32 = 4096;
