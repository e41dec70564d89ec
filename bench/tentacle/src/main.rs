//! The benchmark's ends for tentacle. The benchmark builds and starts this program itself.

mod client;
mod node;
mod server;

use anyhow::Result;
use clap::Parser;
use frame::{
    ends::{self, End, Runs},
    measure,
};

#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    end: End,
    #[command(flatten)]
    runs: Runs,
}

fn main() -> Result<()> {
    let Options { end, runs } = Options::parse();
    match end {
        End::Serve { .. } => ends::serve(runs, server::serve(ends::announce)),
        End::Call(call) => ends::call(runs, async move {
            let client = client::Tentacle::connect(&call.contact).await?;
            measure::all(client, call.plan, call.server).await
        }),
    }
}
