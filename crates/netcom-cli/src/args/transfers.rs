//! Commands that move files.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::{Access, Serve};

#[derive(Args, Debug)]
pub(crate) struct Send {
    /// What to send: a file, a folder, or - for stdin
    #[arg(value_name = "FILE|DIR|-", value_hint = ValueHint::AnyPath)]
    pub(crate) source: PathBuf,
    /// Whom to send it to: a NetID, PeerId, petname, domain, name in a directory, ticket or
    /// multiaddr ending in /p2p
    pub(crate) target: String,
    /// Name at the receiver
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Leave out links, sockets and devices instead of refusing
    #[arg(long)]
    pub(crate) skip_special: bool,
    /// Send at most this many bytes a second, such as 500k or 5M
    #[arg(long, value_name = "RATE")]
    pub(crate) limit: Option<String>,
    /// Give up after this many seconds without progress
    #[arg(long, value_name = "SECONDS", default_value_t = 30.0)]
    #[arg(value_parser = super::nodes::seconds)]
    pub(crate) timeout: f64,
    /// Send at most this many MiB ahead of what the receiver keeps for sure
    #[arg(long, value_name = "MIB", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=64))]
    pub(crate) in_flight: u64,
}

#[derive(Args, Debug)]
pub(crate) struct Receive {
    /// With -, write one file to stdout
    #[arg(value_name = "-", value_parser = ["-"])]
    pub(crate) stdout: Option<String>,
    /// Take files into this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    #[arg(conflicts_with = "stdout")]
    pub(crate) into: Option<PathBuf>,
    /// End after the first transfer
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) serve: Serve,
    #[command(flatten)]
    pub(crate) access: Access,
}
