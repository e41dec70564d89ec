//! Measures netcom against its peers. `cargo xtask bench --help` lists the options.

mod case;
mod cli;
mod cpu;
mod measure;
mod peers;
mod process;
mod report;
mod rounds;

use anyhow::Result;
use clap::Parser as _;

use crate::cli::{End, Options};

fn main() -> Result<()> {
    let mut options = Options::parse();
    match options.end.take() {
        Some(End::Serve { peer }) => process::serve(peer, options.runs),
        Some(End::Call(ends)) => process::call(ends, options.runs),
        None => rounds::run(&options),
    }
}
