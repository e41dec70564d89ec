//! What is measured: each peer as its documentation says it is fast, behind one trait.

mod libp2p;
mod netcom;
mod quinn;
mod rustls;
mod tls;

use anyhow::{Context, Result};
use clap::ValueEnum;
use frame::{Case, Client, Findings, Plan, measure};

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

impl Peer {
    /// Those of a run that names none.
    pub(crate) fn usual() -> Vec<Self> {
        let is_usual = |peer: &Self| *peer != Self::RustlsChacha;
        Self::value_variants().iter().copied().filter(is_usual).collect()
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        Self::from_str(name, false).ok().with_context(|| format!("there is no peer {name}"))
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Tcp => "plain TCP",
            Self::Rustls => "rustls",
            Self::RustlsChacha => "rustls, ChaCha20",
            Self::Quinn => "quinn",
            Self::Libp2pTls => "libp2p, tls + yamux",
            Self::Libp2pNoise => "libp2p, noise + yamux",
            Self::Libp2pQuic => "libp2p, quic",
            Self::NetcomTcp => "netcom, TCP",
            Self::NetcomQuic => "netcom, QUIC",
        }
    }

    /// The peer's name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn cases(self) -> &'static [Case] {
        match self {
            Self::Tcp => rustls::Tcp::CASES,
            Self::Rustls | Self::RustlsChacha => rustls::Tls::CASES,
            Self::Quinn => quinn::Quinn::CASES,
            Self::Libp2pTls | Self::Libp2pNoise | Self::Libp2pQuic => libp2p::Libp2p::CASES,
            Self::NetcomTcp | Self::NetcomQuic => netcom::Netcom::CASES,
        }
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
