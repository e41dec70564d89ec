//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{case::Case, peers::Peer};

/// Measures netcom against its peers: both ends in processes of their own, on loopback, in
/// alternating rounds, as medians of ratios.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) end: Option<End>,
    /// Takes minutes: five rounds of short cases.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Rounds, each with every peer once [default: 5 with --quick, else 21].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,
    /// Peers, by commas [default: rustls, libp2p-tls, netcom-tcp, netcom-quic].
    #[arg(long, value_delimiter = ',', value_name = "PEER", conflicts_with = "all")]
    pub(crate) peers: Vec<Peer>,
    /// All peers.
    #[arg(long)]
    pub(crate) all: bool,
    /// Waits with each measurement until others use less than 8 % of the processors, and repeats
    /// it if they used more meanwhile.
    #[arg(long)]
    pub(crate) calm: bool,
    /// Measures one case alone, as for a profiler.
    #[arg(long, value_name = "CASE")]
    pub(crate) only: Option<Case>,
    /// Writes the results to this JSON file and the chart beside it
    /// [default: bench/results/latest.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) runs: Runs,
}

/// How both ends run.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Runs {
    /// Threads of each end's runtime; 1 takes tokio's runtime for one thread
    /// [default: as many as there are processors].
    #[arg(long, global = true, value_parser = threads)]
    pub(crate) threads: Option<usize>,
}

/// One end of a round; what this program starts itself.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
pub(crate) enum End {
    /// Serves a peer until its standard input ends.
    #[command(hide = true)]
    Serve { peer: Peer },
    /// Measures a peer.
    #[command(hide = true)]
    Call(Ends),
}

/// Whom a client measures.
#[derive(Args, Debug)]
pub(crate) struct Ends {
    pub(crate) peer: Peer,
    /// Where the server said it is.
    pub(crate) contact: String,
    /// The server's process.
    pub(crate) server: u32,
    /// How long the cases take, as JSON.
    pub(crate) plan: String,
}

impl Options {
    pub(crate) fn peers(&self) -> Vec<Peer> {
        use clap::ValueEnum as _;
        match (self.all, self.peers.as_slice()) {
            (true, _) => Peer::value_variants().to_vec(),
            (false, []) => Peer::USUAL.to_vec(),
            (false, peers) => peers.to_vec(),
        }
    }
}

impl Runs {
    /// The same for an end.
    pub(crate) fn args(self) -> Option<String> {
        self.threads.map(|threads| format!("--threads={threads}"))
    }
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("1 to 1024".to_owned()),
    }
}
