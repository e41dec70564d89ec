//! The floor: TCP alone, and TLS 1.3 by rustls over it, without streams.

use std::{
    any::Any,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use ::rustls::{
    ClientConnection, SupportedCipherSuite, crypto::aws_lc_rs::cipher_suite, pki_types::ServerName,
};
use anyhow::{Context, Result, bail, ensure};
use frame::{
    CHUNK, Case, Client, Echo, MESSAGE, Message,
    streams::{self, Halves, Put, Take},
    tasks,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use super::{
    Peer,
    tls::{self, Identity},
    version,
};

/// A client over TCP alone.
pub(super) struct Tcp {
    server: String,
}

/// A client over TLS.
pub(super) struct Tls {
    server: SocketAddr,
    /// Where the server spends no memory on speed.
    lean: SocketAddr,
    connector: TlsConnector,
    facts: OnceLock<Vec<String>>,
}

/// Round trips by tasks of their own at both ends, or without.
pub(super) enum RoundTrips<S> {
    Inline(Halves<S>),
    ByTasks(tasks::Ends),
}

/// rustls asks for some kilobytes at a time; this asks the kernel for more.
type Buffered = BufReader<TcpStream>;
type TlsStream = client::TlsStream<Buffered>;

pub(super) fn configuration(peer: Peer) -> Vec<String> {
    let mut lines = vec![
        format!("tokio {}, TCP_NODELAY, socket buffers left to the kernel", version("tokio")),
        format!("writes and reads of {} KiB; no streams, so no requests", CHUNK >> 10),
        "round trip: at each end a task for the socket and one that asks or answers, with a \
         channel each way between them; inline: one task at each end"
            .to_owned(),
        "messages: tokio-util's length-delimited frames, 64 KiB gathered".to_owned(),
    ];
    if peer != Peer::Tcp {
        let versions = [version("rustls"), version("tokio-rustls"), version("aws-lc-rs")];
        let [rustls, tokio_rustls, aws] = versions;
        lines.extend([
            format!("rustls {rustls} by tokio-rustls {tokio_rustls}, aws-lc-rs {aws}"),
            format!("TLS 1.3, {:?} alone, X25519MLKEM768 alone", suite(peer).suite()),
            "both ends authenticated by self-signed Ed25519 certificates, no resumption".to_owned(),
            format!(
                "{} KiB read at once below TLS, {} KiB queued above it",
                READ_BUFFER >> 10,
                WRITE_BUFFER >> 10
            ),
            format!(
                "handshakes and idle: no such buffers, an echo task for each with {} KiB; both \
                 ends close",
                LEAN_BUFFER >> 10
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
        let (put, take) = streams::split(stream);
        tokio::spawn(streams::serve(put, take));
    }
}

pub(super) async fn serve(peer: Peer, announce: impl FnOnce(&str)) -> Result<()> {
    let (identity, client) = tls::identities()?;
    let acceptor = TlsAcceptor::from(Arc::new(identity.server(&[suite(peer)])?));
    let fast = TcpListener::bind("127.0.0.1:0").await?;
    let lean = TcpListener::bind("127.0.0.1:0").await?;
    announce(&format!("{} {} {client}", fast.local_addr()?, lean.local_addr()?));
    loop {
        tokio::select! {
            accepted = fast.accept() => {
                let (stream, acceptor) = (accepted?.0, acceptor.clone());
                stream.set_nodelay(true)?;
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(buffered(stream)).await?;
                    stream.get_mut().1.set_buffer_limit(Some(WRITE_BUFFER));
                    let (put, take) = streams::split(stream);
                    streams::serve(put, take).await
                });
            }
            accepted = lean.accept() => {
                let (stream, acceptor) = (accepted?.0, acceptor.clone());
                stream.set_nodelay(true)?;
                tokio::spawn(async move { echo(acceptor.accept(stream).await?).await });
            }
        }
    }
}

/// Answers whatever comes.
async fn echo(mut stream: server::TlsStream<TcpStream>) -> Result<()> {
    let mut buffer = vec![0; LEAN_BUFFER];
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => stream.write_all(&buffer[..read]).await?,
        }
        stream.flush().await?;
    }
    Ok(stream.shutdown().await?)
}

impl Tcp {
    pub(super) fn new(server: String) -> Self {
        Self { server }
    }
}

impl Client for Tcp {
    const CASES: &'static [Case] = &[
        Case::Bulk,
        Case::BulkDown,
        Case::BulkBoth,
        Case::RoundTrip,
        Case::RoundTripInline,
        Case::Messages,
    ];

    type Put = streams::Slices<WriteHalf<TcpStream>>;
    type Take = streams::Slices<ReadHalf<TcpStream>>;
    type Echo = RoundTrips<TcpStream>;

    async fn stream(&self) -> Result<Halves<TcpStream>> {
        let stream = TcpStream::connect(&self.server).await?;
        stream.set_nodelay(true)?;
        Ok(streams::split(stream))
    }

    async fn open(&self, case: Case) -> Result<Self::Echo> {
        RoundTrips::new(self.stream().await?, case).await
    }
}

impl Tls {
    pub(super) fn new(peer: Peer, contact: &str) -> Result<Self> {
        let parts: Vec<&str> = contact.split(' ').collect();
        let &[server, lean, identity] = parts.as_slice() else {
            bail!("the server's address has three parts");
        };
        let config = Identity::parse(identity)?.client(&[suite(peer)])?;
        Ok(Self {
            server: server.parse()?,
            lean: lean.parse()?,
            connector: TlsConnector::from(Arc::new(config)),
            facts: OnceLock::new(),
        })
    }

    /// A session with an echo.
    async fn lean(&self) -> Result<client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.lean).await?;
        stream.set_nodelay(true)?;
        let mut stream = self.connector.connect(ServerName::try_from(tls::NAME)?, stream).await?;
        stream.write_all(&[7; MESSAGE]).await?;
        stream.flush().await?;
        let mut answer = [0; MESSAGE];
        stream.read_exact(&mut answer).await?;
        ensure!(answer == [7; MESSAGE], "the answer is not what was sent");
        self.note(stream.get_ref().1)?;
        Ok(stream)
    }

    fn note(&self, session: &ClientConnection) -> Result<()> {
        let suite = session.negotiated_cipher_suite().context("there is no suite")?;
        let group = session.negotiated_key_exchange_group().context("there is no group")?;
        self.facts
            .get_or_init(|| vec![format!("agreed on {:?} and {:?}", suite.suite(), group.name())]);
        Ok(())
    }
}

impl Client for Tls {
    const CASES: &'static [Case] = &[
        Case::Bulk,
        Case::BulkDown,
        Case::BulkBoth,
        Case::RoundTrip,
        Case::RoundTripInline,
        Case::Messages,
        Case::Connect,
        Case::Idle,
    ];

    type Put = streams::Slices<WriteHalf<TlsStream>>;
    type Take = streams::Slices<ReadHalf<TlsStream>>;
    type Echo = RoundTrips<TlsStream>;

    async fn stream(&self) -> Result<Halves<TlsStream>> {
        let stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(tls::NAME)?;
        let mut stream = self.connector.connect(name, buffered(stream)).await?;
        let session = stream.get_mut().1;
        session.set_buffer_limit(Some(WRITE_BUFFER));
        self.note(session)?;
        Ok(streams::split(stream))
    }

    async fn open(&self, case: Case) -> Result<Self::Echo> {
        RoundTrips::new(self.stream().await?, case).await
    }

    async fn handshake(&self, _: usize) -> Result<()> {
        let mut stream = self.lean().await?;
        stream.shutdown().await?;
        // As ours, which waits until the other end has seen the end of the session.
        ensure!(stream.read(&mut [0; 1]).await? == 0, "nothing follows the answer");
        Ok(())
    }

    async fn session(&self) -> Result<Box<dyn Any + Send>> {
        Ok(Box::new(self.lean().await?))
    }

    fn facts(&self) -> Vec<String> {
        self.facts.get().cloned().unwrap_or_default()
    }
}

impl<S> RoundTrips<S>
where
    streams::Slices<WriteHalf<S>>: Put,
    streams::Slices<ReadHalf<S>>: Take,
{
    async fn new((put, take): Halves<S>, case: Case) -> Result<Self> {
        Ok(match case {
            Case::RoundTripInline => Self::Inline(streams::open(put, take).await?),
            _ => Self::ByTasks(streams::open_by_tasks(put, take).await?),
        })
    }
}

impl<S: Send> Echo for RoundTrips<S>
where
    streams::Slices<WriteHalf<S>>: Put,
    streams::Slices<ReadHalf<S>>: Take,
{
    async fn exchange(&mut self, message: Message) -> Result<Message> {
        match self {
            Self::Inline(halves) => halves.exchange(message).await,
            Self::ByTasks(ends) => ends.exchange(message).await,
        }
    }
}

fn buffered(stream: TcpStream) -> Buffered {
    BufReader::with_capacity(READ_BUFFER, stream)
}

fn suite(peer: Peer) -> SupportedCipherSuite {
    match peer {
        Peer::RustlsChacha => cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        _ => cipher_suite::TLS13_AES_256_GCM_SHA384,
    }
}

const READ_BUFFER: usize = 64 << 10;
const WRITE_BUFFER: usize = 64 << 10;
const LEAN_BUFFER: usize = 8 << 10;
