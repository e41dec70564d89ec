//! Measures netcom against its peers. `cargo xtask bench --help` lists the options.

mod cli;
mod peers;
mod process;
mod progress;
mod report;
mod rounds;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use frame::ends::{self, End};

use crate::{cli::Options, peers::Peer};

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without the backtrace: what failed is a measurement.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut options: Options) -> Result<()> {
    match options.end.take() {
        Some(End::Serve { peer }) => {
            let peer = Peer::named(&peer)?;
            ends::serve(options.runs, peer.serve(ends::announce))
        }
        Some(End::Call(call)) => {
            let peer = Peer::named(&call.peer)?;
            ends::call(options.runs, peer.measure(call.contact, call.plan, call.server))
        }
        None => rounds::run(&options),
    }
}
