//! What is measured: each peer as its documentation says it is fast, behind one trait.

mod libp2p;
mod netcom;
mod quinn;
mod rustls;
mod streams;

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;

use crate::{
    case::{Case, Findings, Plan},
    measure,
};

/// A peer in one configuration.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Peer {
    /// TCP alone.
    Tcp,
    /// TLS over TCP, AES-256-GCM.
    Rustls,
    /// TLS over TCP, ChaCha20-Poly1305.
    RustlsChacha,
    /// QUIC streams.
    Quinn,
    /// rust-libp2p over TCP, TLS and yamux.
    Libp2pTls,
    /// rust-libp2p over TCP, Noise and yamux.
    Libp2pNoise,
    /// rust-libp2p over QUIC.
    Libp2pQuic,
    /// netcom over TCP.
    NetcomTcp,
    /// netcom over QUIC.
    NetcomQuic,
}

/// What is asked of a peer's client, which is connected.
pub(crate) trait Client: Send + Sized {
    /// The cases the peer has.
    const CASES: &'static [Case];

    /// Sends chunks of [`CHUNK`] for that long and waits until the server has counted them.
    fn bulk(&mut self, duration: Duration) -> impl Future<Output = Result<Bulk>> + Send;

    /// The same by the interface that takes slices.
    fn bulk_slices(&mut self, duration: Duration) -> impl Future<Output = Result<Bulk>> + Send {
        self.bulk(duration)
    }

    /// Opens the stream of [`round_trip`](Self::round_trip).
    fn open(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// Sends a message on the open stream and waits for its echo.
    fn round_trip(&mut self, message: Message) -> impl Future<Output = Result<Message>> + Send;

    /// Sends a message on a stream of its own and waits for its echo and the end.
    fn request(&mut self, message: Message) -> impl Future<Output = Result<Message>> + Send;

    /// What was agreed with the server.
    fn facts(&self) -> Vec<String>;
}

/// What was sent, and how long it took until the server had counted it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bulk {
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

pub(crate) type Message = [u8; MESSAGE];

impl Peer {
    /// Those of a quick run.
    pub(crate) const USUAL: [Self; 4] =
        [Self::Rustls, Self::Libp2pTls, Self::NetcomTcp, Self::NetcomQuic];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tcp => "plain TCP",
            Self::Rustls => "rustls, AES-256-GCM",
            Self::RustlsChacha => "rustls, ChaCha20",
            Self::Quinn => "quinn",
            Self::Libp2pTls => "rust-libp2p, tcp + tls + yamux",
            Self::Libp2pNoise => "rust-libp2p, tcp + noise + yamux",
            Self::Libp2pQuic => "rust-libp2p, quic",
            Self::NetcomTcp => "netcom, TCP",
            Self::NetcomQuic => "netcom, QUIC",
        }
    }

    /// The peer's name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Everything that was chosen for the peer.
    pub(crate) fn configuration(self) -> Vec<String> {
        match self {
            Self::Tcp | Self::Rustls | Self::RustlsChacha => rustls::configuration(self),
            Self::Quinn => quinn::configuration(),
            Self::Libp2pTls | Self::Libp2pNoise | Self::Libp2pQuic => libp2p::configuration(self),
            Self::NetcomTcp | Self::NetcomQuic => netcom::configuration(self),
        }
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::NetcomTcp | Self::NetcomQuic)
    }

    /// Serves on loopback until the process ends, and says where by `announce`.
    pub(crate) async fn serve(self, announce: impl FnOnce(&str) + Send) -> Result<()> {
        match self {
            Self::Tcp => rustls::serve_tcp(announce).await,
            Self::Rustls | Self::RustlsChacha => rustls::serve(self, announce).await,
            Self::Quinn => quinn::serve(announce).await,
            Self::Libp2pTls | Self::Libp2pNoise | Self::Libp2pQuic => {
                libp2p::serve(self, announce).await
            }
            Self::NetcomTcp | Self::NetcomQuic => netcom::serve(self, announce).await,
        }
    }

    /// Measures the server that said `contact`, whose process is `server`.
    pub(crate) async fn measure(
        self,
        contact: String,
        plan: Plan,
        server: u32,
    ) -> Result<Findings> {
        match self {
            Self::Tcp => measure::all(rustls::Tcp::new(contact), plan, server).await,
            Self::Rustls | Self::RustlsChacha => {
                measure::all(rustls::Tls::new(self, &contact)?, plan, server).await
            }
            Self::Quinn => measure::all(quinn::Quinn::connect(&contact).await?, plan, server).await,
            Self::Libp2pTls | Self::Libp2pNoise | Self::Libp2pQuic => {
                measure::all(libp2p::Libp2p::connect(self, &contact).await?, plan, server).await
            }
            Self::NetcomTcp | Self::NetcomQuic => {
                measure::all(netcom::Netcom::connect(&contact).await?, plan, server).await
            }
        }
    }
}

/// The version of a crate in this build.
fn version(name: &str) -> &'static str {
    let lock = include_str!("../../Cargo.lock");
    let entry = format!("name = \"{name}\"\nversion = \"");
    lock.split_once(&entry).and_then(|(_, rest)| rest.split('"').next()).unwrap_or("?")
}

/// What a bulk writer hands in at once, and what a reader asks for.
pub(crate) const CHUNK: usize = 256 << 10;
/// The length of a message.
pub(crate) const MESSAGE: usize = 64;
