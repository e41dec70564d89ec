//! The floor: TCP alone, and TLS 1.3 by rustls over it, without streams.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ::rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite,
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, cipher_suite},
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    version::TLS13,
};
use anyhow::{Context, Result, bail};
use data_encoding::HEXLOWER;
use tokio::{
    io::BufReader,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use super::{Bulk, CHUNK, Client, Message, Peer, streams, version};
use crate::case::Case;

/// A client over TCP alone.
pub(super) struct Tcp {
    server: String,
    echo: Option<TcpStream>,
}

/// A client over TLS.
pub(super) struct Tls {
    server: SocketAddr,
    connector: TlsConnector,
    echo: Option<TlsStream<Buffered>>,
    facts: Vec<String>,
}

/// rustls asks for some kilobytes at a time; this asks the kernel for more.
type Buffered = BufReader<TcpStream>;

pub(super) fn configuration(peer: Peer) -> Vec<String> {
    let mut lines = vec![
        format!("tokio {}, TCP_NODELAY, socket buffers left to the kernel", version("tokio")),
        format!("writes and reads of {} KiB; no streams, so no requests", CHUNK >> 10),
    ];
    if peer != Peer::Tcp {
        let versions = [version("rustls"), version("tokio-rustls"), version("aws-lc-rs")];
        let [rustls, tokio_rustls, aws] = versions;
        lines.extend([
            format!("rustls {rustls} by tokio-rustls {tokio_rustls}, aws-lc-rs {aws}"),
            format!("TLS 1.3, {:?} alone, server authentication", suite(peer).suite()),
            format!(
                "{} KiB read at once below TLS, {} KiB queued above it",
                READ_BUFFER >> 10,
                WRITE_BUFFER >> 10
            ),
        ]);
    }
    lines
}

pub(super) async fn serve_tcp(announce: impl FnOnce(&str)) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(&listener.local_addr()?.to_string());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(streams::serve(stream));
    }
}

pub(super) async fn serve(peer: Peer, announce: impl FnOnce(&str)) -> Result<()> {
    let certified = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der())
        .map_err(anyhow::Error::msg)?;
    let certificate = certified.cert.der().clone();
    let config = ServerConfig::builder_with_provider(provider(peer))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    announce(&format!("{} {}", listener.local_addr()?, HEXLOWER.encode(&certificate)));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let mut stream = acceptor.accept(buffered(stream)).await?;
            stream.get_mut().1.set_buffer_limit(Some(WRITE_BUFFER));
            streams::serve(stream).await
        });
    }
}

impl Tcp {
    pub(super) fn new(server: String) -> Self {
        Self { server, echo: None }
    }

    async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.server).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Client for Tcp {
    const CASES: &'static [Case] = &[Case::Bulk, Case::RoundTrip];

    async fn bulk(&mut self, duration: Duration) -> Result<Bulk> {
        streams::bulk(self.connect().await?, duration).await
    }

    async fn open(&mut self) -> Result<()> {
        self.echo = Some(streams::open(self.connect().await?).await?);
        Ok(())
    }

    async fn round_trip(&mut self, message: Message) -> Result<Message> {
        streams::round_trip(self.echo.as_mut().context("no stream is open")?, message).await
    }

    async fn request(&mut self, _: Message) -> Result<Message> {
        bail!("TCP has no streams")
    }

    fn facts(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Tls {
    pub(super) fn new(peer: Peer, contact: &str) -> Result<Self> {
        let (server, certificate) = contact.split_once(' ').context("no certificate was given")?;
        let certificate = HEXLOWER.decode(certificate.as_bytes())?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(certificate))?;
        let config = ClientConfig::builder_with_provider(provider(peer))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { server: server.parse()?, connector, echo: None, facts: Vec::new() })
    }

    async fn connect(&mut self) -> Result<TlsStream<Buffered>> {
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(NAME)?;
        let mut stream = self.connector.connect(name, buffered(stream)).await?;
        let session = stream.get_mut().1;
        session.set_buffer_limit(Some(WRITE_BUFFER));
        let suite = session.negotiated_cipher_suite().context("there is no suite")?;
        self.facts = vec![format!("{:?}", suite.suite())];
        Ok(stream)
    }
}

impl Client for Tls {
    const CASES: &'static [Case] = &[Case::Bulk, Case::RoundTrip];

    async fn bulk(&mut self, duration: Duration) -> Result<Bulk> {
        streams::bulk(self.connect().await?, duration).await
    }

    async fn open(&mut self) -> Result<()> {
        self.echo = Some(streams::open(self.connect().await?).await?);
        Ok(())
    }

    async fn round_trip(&mut self, message: Message) -> Result<Message> {
        streams::round_trip(self.echo.as_mut().context("no stream is open")?, message).await
    }

    async fn request(&mut self, _: Message) -> Result<Message> {
        bail!("TLS has no streams")
    }

    fn facts(&self) -> Vec<String> {
        self.facts.clone()
    }
}

fn buffered(stream: TcpStream) -> Buffered {
    BufReader::with_capacity(READ_BUFFER, stream)
}

fn provider(peer: Peer) -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![suite(peer)];
    Arc::new(provider)
}

fn suite(peer: Peer) -> SupportedCipherSuite {
    match peer {
        Peer::RustlsChacha => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        _ => cipher_suite::TLS13_AES_256_GCM_SHA384,
    }
}

const NAME: &str = "localhost";
const READ_BUFFER: usize = 64 << 10;
const WRITE_BUFFER: usize = 64 << 10;
