//! The command line.

use std::net::IpAddr;

use clap::{Parser, Subcommand, ValueEnum as _};

use crate::{ends::Task, peers::Peer};

/// Measures netcom next to its peers over the laboratory's links of 20 ms: for how long nothing new
/// comes when one of two links fails under load, and how much more two links carry than one.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask lab rivals", version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) end: Option<End>,
    /// Failures of each kind for each peer.
    #[arg(long, default_value_t = 20)]
    pub(crate) cuts: usize,
    /// Transfers over one link and over two for each peer.
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
    /// Failures at the same time, each in namespaces of its own.
    #[arg(long, default_value_t = 4)]
    pub(crate) at_once: usize,
    /// Peers, by commas [default: all].
    #[arg(long, value_delimiter = ',', value_name = "PEER")]
    peers: Vec<Peer>,
    /// Prints JSON in place of tables.
    #[arg(long)]
    pub(crate) json: bool,
}

/// One end of a transfer; what the benchmark starts itself.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
pub(crate) enum End {
    /// Sends without end to whoever connects.
    #[command(hide = true)]
    Source { peer: Peer, task: Task, addresses: Vec<IpAddr> },
    /// Reads from a source over so many links, and says what it saw.
    #[command(hide = true)]
    Sink { peer: Peer, task: Task, links: usize, contact: String },
}

impl Options {
    pub(crate) fn peers(&self) -> Vec<Peer> {
        match self.peers.as_slice() {
            [] => Peer::value_variants().to_vec(),
            peers => peers.to_vec(),
        }
    }
}
