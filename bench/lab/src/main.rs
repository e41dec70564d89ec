//! Measures netcom next to its peers over links that fail and over links side by side, in the
//! laboratory's namespaces. `cargo xtask lab rivals --help` lists the options.

mod cli;
mod ends;
mod peers;
mod process;
mod report;
mod rounds;
mod scene;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::cli::{End, Options};

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
        Some(End::Source { peer, task, addresses }) => {
            ends::run(peer.serve(task, &addresses, ends::announce))
        }
        Some(End::Sink { peer, task, links, contact }) => {
            ends::run(ends::sink(peer, task, links, &contact))
        }
        None => {
            let report = rounds::measure(&options);
            match options.json {
                true => println!("{}", serde_json::to_string_pretty(&report)?),
                false => println!("{report}"),
            }
            report.verdict()
        }
    }
}
