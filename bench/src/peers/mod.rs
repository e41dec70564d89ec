//! What is measured: each peer as its documentation says it is fast, behind one trait.

mod libp2p;
mod netcom;
mod program;
mod python;
mod quinn;
mod rustls;
mod tls;

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use frame::{Case, Client, Plan, measure};

use self::{program::Program, python::Environment};

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
    /// iroh, straight.
    Iroh,
    /// tentacle over TCP, secio and yamux.
    Tentacle,
    /// zenoh over TCP alone.
    ZenohTcp,
    /// zenoh over TLS.
    ZenohTls,
    /// gRPC over TLS.
    Tonic,
    /// netcom over TCP.
    NetcomTcp,
    /// netcom over QUIC.
    NetcomQuic,
    /// grpcio's asyncio interface, to tonic.
    PythonGrpc,
    /// py-libp2p over TCP, Noise and yamux, to rust-libp2p.
    PythonLibp2p,
    /// netcom's Python package over TCP, to netcom in Rust.
    PythonNetcom,
}

impl Peer {
    /// Those of a run that names none: clients in Python once their environment was made.
    pub(crate) fn usual() -> Vec<Self> {
        let has_python = Self::has_python();
        let is_usual =
            |peer: &Self| *peer != Self::RustlsChacha && (has_python || !peer.is_python());
        Self::value_variants().iter().copied().filter(is_usual).collect()
    }

    /// Whether what the clients in Python need is here.
    pub(crate) fn has_python() -> bool {
        Environment::beside_this().is_ok_and(|environment| environment.is_made())
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
            Self::Iroh => "iroh",
            Self::Tentacle => "tentacle",
            Self::ZenohTcp => "zenoh, plain TCP",
            Self::ZenohTls => "zenoh, TLS",
            Self::Tonic => "tonic",
            Self::NetcomTcp => "netcom, TCP",
            Self::NetcomQuic => "netcom, QUIC",
            Self::PythonGrpc => "grpc.aio",
            Self::PythonLibp2p => "py-libp2p",
            Self::PythonNetcom => "netcom, Python",
        }
    }

    /// The peer's name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether the case is measured of the peer.
    pub(crate) fn has(self, case: Case) -> bool {
        let is_left_out = self.left_out().iter().any(|&(left_out, _)| left_out == case);
        self.cases().contains(&case) && !is_left_out
    }

    /// Cases the peer has and that cannot be measured, and why.
    pub(crate) fn left_out(self) -> &'static [(Case, &'static str)] {
        match self {
            Self::ZenohTls => &program::ZENOH_TLS,
            _ => &[],
        }
    }

    fn cases(self) -> &'static [Case] {
        match self {
            Self::Tcp => rustls::Tcp::CASES,
            Self::Rustls | Self::RustlsChacha => rustls::Tls::CASES,
            Self::Quinn => quinn::Quinn::CASES,
            Self::Libp2pTls | Self::Libp2pNoise | Self::Libp2pQuic => libp2p::Libp2p::CASES,
            Self::NetcomTcp | Self::NetcomQuic => netcom::Netcom::CASES,
            Self::Iroh => &program::IROH,
            Self::Tentacle => &program::TENTACLE,
            Self::ZenohTcp | Self::ZenohTls => &program::ZENOH,
            Self::Tonic => &program::TONIC,
            Self::PythonGrpc | Self::PythonLibp2p | Self::PythonNetcom => &python::CASES,
        }
    }

    /// Everything that was chosen for the peer.
    pub(crate) fn configuration(self) -> Vec<String> {
        match self {
            Self::Tcp | Self::Rustls | Self::RustlsChacha => rustls::configuration(self),
            Self::Quinn => quinn::configuration(),
            Self::Libp2pTls | Self::Libp2pNoise | Self::Libp2pQuic => libp2p::configuration(self),
            Self::NetcomTcp | Self::NetcomQuic => netcom::configuration(self),
            // Among what its program found.
            _ => Vec::new(),
        }
    }

    /// Builds the programs of both ends, where it is not this one.
    pub(crate) fn build(peers: &[Self]) -> Result<()> {
        let mut programs: Vec<Program> =
            peers.iter().filter_map(|peer| peer.server().elsewhere()).collect();
        programs.sort_unstable();
        programs.dedup();
        programs.into_iter().try_for_each(Program::build)?;
        if peers.iter().any(|peer| peer.is_python()) {
            Environment::beside_this()?.make()?;
        }
        if peers.contains(&Self::PythonNetcom) {
            Environment::beside_this()?.install_netcom()?;
        }
        Ok(())
    }

    /// Runs the peer's server.
    pub(crate) fn server_command(self) -> Result<Command> {
        let server = self.server();
        let mut command = Command::new(server.program()?);
        command.arg("serve").arg(server.name());
        Ok(command)
    }

    /// Runs the peer's client.
    pub(crate) fn client_command(self) -> Result<Command> {
        let name = self.name();
        let mut command = match self.is_python() {
            true => Environment::beside_this()?.client(&name),
            false => Command::new(self.program()?),
        };
        command.arg("call").arg(name);
        Ok(command)
    }

    /// The peer whose server answers this one's client.
    fn server(self) -> Self {
        match self {
            Self::PythonGrpc => Self::Tonic,
            Self::PythonLibp2p => Self::Libp2pNoise,
            Self::PythonNetcom => Self::NetcomTcp,
            other => other,
        }
    }

    fn program(self) -> Result<PathBuf> {
        self.elsewhere().map_or_else(|| Ok(std::env::current_exe()?), Program::path)
    }

    fn elsewhere(self) -> Option<Program> {
        match self {
            Self::Iroh | Self::ZenohTcp | Self::ZenohTls | Self::Tonic => Some(Program::OTHERS),
            Self::Tentacle => Some(Program::TENTACLE),
            _ => None,
        }
    }

    /// Whether the peer speaks QUIC.
    pub(crate) fn is_quic(self) -> bool {
        matches!(self, Self::Quinn | Self::Libp2pQuic | Self::Iroh | Self::NetcomQuic)
    }

    /// Whether the peer's client is written in Python, and is compared with such alone.
    pub(crate) fn is_python(self) -> bool {
        self.server() != self
    }

    pub(crate) fn is_ours(self) -> bool {
        matches!(self, Self::NetcomTcp | Self::NetcomQuic | Self::PythonNetcom)
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
            _ => bail!(ELSEWHERE),
        }
    }

    /// Measures the server that said `contact`, whose process is `server`.
    pub(crate) async fn measure(self, contact: String, plan: Plan, server: u32) -> Result<()> {
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
            _ => bail!(ELSEWHERE),
        }
    }
}

/// The version of a crate in this build.
fn version(name: &str) -> &'static str {
    frame::version(include_str!("../../Cargo.lock"), name)
}

const ELSEWHERE: &str = "the peer has a program of its own";
