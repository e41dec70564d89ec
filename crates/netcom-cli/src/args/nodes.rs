//! Commands that run or use a node.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// How a node that others reach is run.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Serve {
    /// Listen on this multiaddr; may be repeated
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Vec<String>,
    /// Give figures out at http://IP:PORT/metrics, for Prometheus; a loopback address
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) metrics: Option<String>,
    /// Let other machines read them, too
    #[arg(long)]
    pub(crate) metrics_open: bool,
    /// Write what happens to this file, one JSON object a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) event_log: Option<PathBuf>,
}

/// Who may use what a node offers, beside its own entity.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct AllowList {
    /// Allow this NetID, PeerId, petname or ticket; may be repeated
    #[arg(long, value_name = "TARGET", num_args = 1..)]
    pub(crate) allow: Vec<String>,
    /// Allow everyone
    #[arg(long, conflicts_with = "allow")]
    pub(crate) allow_all: bool,
}

/// Who may use a node and where it says how to be found.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Access {
    #[command(flatten)]
    pub(crate) list: AllowList,
    /// Write the node's ticket to this file too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ticket_file: Option<PathBuf>,
}

/// Whom to reach.
#[derive(Args, Clone, Debug)]
pub(crate) struct Reach {
    /// Whom to reach: a NetID, PeerId, petname, domain, name in a directory, ticket or multiaddr
    /// ending in /p2p
    pub(crate) target: String,
    /// Give up after this many seconds without an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) timeout: f64,
}

#[derive(Args, Debug)]
pub(crate) struct Listen {
    #[command(flatten)]
    pub(crate) serve: Serve,
    /// Take files into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) receive: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) access: Access,
}

#[derive(Args, Debug)]
pub(crate) struct Ping {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// Ask this often
    #[arg(long, short, value_name = "N", default_value_t = 4)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
    /// Wait this many seconds between two
    #[arg(long, short, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) interval: f64,
}

#[derive(Args, Debug)]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) reach: Reach,
}

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// Somebody to reach too: a NetID, PeerId, petname, domain, name in a directory, ticket or
    /// multiaddr ending in /p2p
    pub(crate) target: Option<String>,
    /// Give one check up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) timeout: f64,
}

#[derive(Args, Debug)]
pub(crate) struct Request {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// What to send; - or nothing reads stdin
    #[arg(default_value = "-")]
    pub(crate) data: String,
}

#[derive(Args, Debug)]
pub(crate) struct Pipe {
    /// Whom to reach: a NetID, PeerId, petname, domain, name in a directory, ticket or multiaddr
    /// ending in /p2p
    #[arg(required_unless_present = "accept", conflicts_with = "accept")]
    pub(crate) target: Option<String>,
    /// Wait for another pipe instead
    #[arg(long)]
    pub(crate) accept: bool,
    /// Give up after this many seconds without an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) timeout: f64,
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(flatten)]
    pub(crate) access: Access,
}

#[derive(Args, Debug)]
pub(crate) struct Forward {
    /// Where to listen: a port on 127.0.0.1, or ADDRESS:PORT
    pub(crate) local: String,
    /// Whom to reach and which of its exposed ports
    #[arg(value_name = "TARGET:PORT")]
    pub(crate) target: String,
    /// Give up after this many seconds without an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) timeout: f64,
}

#[derive(Args, Debug)]
pub(crate) struct Expose {
    /// The port on 127.0.0.1
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(flatten)]
    pub(crate) access: Access,
}

#[derive(Args, Debug)]
pub(crate) struct Perf {
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// How long to measure
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = seconds)]
    pub(crate) seconds: f64,
    /// How many streams at once
    #[arg(long, value_name = "N", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) streams: u16,
    /// Measure round trips only
    #[arg(long)]
    pub(crate) latency: bool,
    /// Use this kind of link only
    #[arg(long)]
    pub(crate) link: Option<PerfLink>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum PerfLink {
    Tcp,
    Quic,
}

/// Reads a time in seconds that can be waited for.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.001..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.001 to 86400 is needed".to_owned()),
    }
}
