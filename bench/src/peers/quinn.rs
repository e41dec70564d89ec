//! QUIC streams by quinn, with owned bytes in and out.

use std::{
    any::Any,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
};

use ::quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use frame::{
    CHUNK, Case, Client, MESSAGE, Message,
    streams::{self, Put, Take},
};
use rustls::{SupportedCipherSuite, crypto::aws_lc_rs::cipher_suite};
use socket2::SockRef;

use super::{
    tls::{self, Identity},
    version,
};

/// A connected client.
pub(super) struct Quinn {
    endpoint: Endpoint,
    config: ClientConfig,
    /// Where the server spends no memory on speed.
    lean: SocketAddr,
    connection: Connection,
}

/// The sending half of a stream.
pub(super) struct Sender(SendStream);
/// The receiving half of a stream.
pub(super) struct Receiver(RecvStream);

pub(super) fn configuration() -> Vec<String> {
    vec![
        format!("quinn {}, rustls {}, aws-lc-rs", version("quinn"), version("rustls")),
        "AES-256-GCM first, X25519MLKEM768 alone, both ends authenticated by self-signed Ed25519 \
         certificates"
            .to_owned(),
        format!(
            "windows of {} MiB for streams, connection and sending, {MAX_STREAMS} streams, socket \
             buffers of {} MiB",
            WINDOW >> 20,
            SOCKET_BUFFER >> 20
        ),
        format!("owned chunks: write_chunk of {} KiB, read_chunk", CHUNK >> 10),
        "messages: tokio-util's length-delimited frames, 64 KiB gathered".to_owned(),
        "handshakes and idle: connections of one endpoint, quinn's own windows and 100 streams"
            .to_owned(),
    ]
}

pub(super) async fn serve(announce: impl FnOnce(&str)) -> Result<()> {
    let (identity, client) = tls::identities()?;
    let crypto = QuicServerConfig::try_from(identity.server(&SUITES)?)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let lean = endpoint(Some(config.clone()))?;
    config.transport_config(transport());
    let fast = endpoint(Some(config))?;
    announce(&format!("{} {} {client}", fast.local_addr()?, lean.local_addr()?));
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

impl Quinn {
    pub(super) async fn connect(contact: &str) -> Result<Self> {
        let parts: Vec<&str> = contact.split(' ').collect();
        let &[server, lean, identity] = parts.as_slice() else {
            bail!("the server's address has three parts");
        };
        let crypto = QuicClientConfig::try_from(Identity::parse(identity)?.client(&SUITES)?)?;
        let config = ClientConfig::new(Arc::new(crypto));
        let mut fast = config.clone();
        fast.transport_config(transport());
        let endpoint = endpoint(None)?;
        let connection = endpoint.connect_with(fast, server.parse()?, tls::NAME)?.await?;
        Ok(Self { endpoint, config, lean: lean.parse()?, connection })
    }

    async fn fresh(&self) -> Result<Connection> {
        let connecting = self.endpoint.connect_with(self.config.clone(), self.lean, tls::NAME)?;
        let connection = connecting.await?;
        let (sender, receiver) = connection.open_bi().await?;
        let message: Message = [7; MESSAGE];
        let answer = streams::request(Sender(sender), Receiver(receiver), message).await?;
        ensure!(answer == message, "the answer is not what was sent");
        Ok(connection)
    }
}

impl Client for Quinn {
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
        let stats = self.connection.stats();
        let local = self.endpoint.local_addr().map(|address| address.ip().to_string());
        vec![format!(
            "packets of {} bytes from {}",
            stats.path.current_mtu,
            local.unwrap_or_default()
        )]
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
        Ok(self.0.read_chunk(max, true).await?.map_or(0, |chunk| chunk.bytes.len()))
    }
}

fn endpoint(server: Option<ServerConfig>) -> Result<Endpoint> {
    let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    SockRef::from(&socket).set_recv_buffer_size(SOCKET_BUFFER)?;
    SockRef::from(&socket).set_send_buffer_size(SOCKET_BUFFER)?;
    Ok(Endpoint::new(EndpointConfig::default(), server, socket, Arc::new(TokioRuntime))?)
}

fn transport() -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(WINDOW.into())
        .receive_window(WINDOW.into())
        .send_window(WINDOW.into())
        .max_concurrent_bidi_streams(MAX_STREAMS.into());
    Arc::new(config)
}

/// QUIC wants the second for its first packets.
const SUITES: [SupportedCipherSuite; 2] =
    [cipher_suite::TLS13_AES_256_GCM_SHA384, cipher_suite::TLS13_AES_128_GCM_SHA256];
/// As much as ours.
const WINDOW: u32 = 64 << 20;
const SOCKET_BUFFER: usize = 4 << 20;
const MAX_STREAMS: u32 = 4096;
