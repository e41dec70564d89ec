//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum as _};
use frame::{
    Case, Plan,
    ends::{End, Runs},
};

use crate::peers::Peer;

/// Measures netcom against its peers: both ends in processes of their own, on loopback, in
/// alternating rounds, as medians of ratios.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", version)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) end: Option<End>,
    /// Takes minutes: three rounds of short cases.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Rounds, each with every peer once [default: 3 with --quick, else 7].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,
    /// Peers, by commas [default: all but rustls-chacha, and those in Python once what they need
    /// was fetched, as it is when they are named].
    #[arg(long, value_delimiter = ',', value_name = "PEER", conflicts_with = "all")]
    pub(crate) peers: Vec<Peer>,
    /// All peers.
    #[arg(long)]
    pub(crate) all: bool,
    /// Waits with each measurement until others use less than 8 % of the processors, and repeats
    /// it if they used more meanwhile.
    #[arg(long)]
    pub(crate) calm: bool,
    /// Measures these cases alone, by commas, as for a profiler.
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    pub(crate) only: Vec<Case>,
    /// Idle sessions of the case `idle` [default: 300 with --quick, else 5000].
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=9000))]
    pub(crate) sessions: Option<u32>,
    /// Writes the results to this JSON file and the chart beside it
    /// [default: bench/results/latest.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) runs: Runs,
}

impl Options {
    pub(crate) fn peers(&self) -> Vec<Peer> {
        match (self.all, self.peers.as_slice()) {
            (true, _) => Peer::value_variants().to_vec(),
            (false, []) => Peer::usual(),
            (false, peers) => peers.to_vec(),
        }
    }

    /// What the peers of a run that names none lack, and how it is had.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let is_usual = !self.all && self.peers.is_empty();
        (is_usual && !Peer::has_python()).then_some(
            "without clients in Python: what they need is fetched when they are named, as by \
             --peers netcom-tcp,python-netcom,python-grpc,python-libp2p, or by --all",
        )
    }

    pub(crate) fn plan(&self) -> Plan {
        let mut plan = if self.quick { Plan::QUICK } else { Plan::LONG };
        plan.cases = match self.only.as_slice() {
            [] => Case::ALL.to_vec(),
            only => only.to_vec(),
        };
        if let Some(sessions) = self.sessions {
            plan.sessions = sessions as usize;
        }
        plan
    }
}
