//! The benchmark's ends for iroh, zenoh and tonic. The benchmark builds and starts this program
//! itself.

mod iroh;
mod pem;
mod tonic;
mod zenoh;

use anyhow::{Result, bail};
use clap::Parser;
use frame::{
    ends::{self, Call, End, Runs},
    measure,
};
use rustls::crypto::aws_lc_rs;

#[derive(Debug, Parser)]
struct Options {
    #[command(subcommand)]
    end: End,
    #[command(flatten)]
    runs: Runs,
}

fn main() -> Result<()> {
    let Options { end, runs } = Options::parse();
    // Also for peers that cannot be told theirs. There is none yet.
    let _ = aws_lc_rs::default_provider().install_default();
    match end {
        End::Serve { peer } => ends::serve(runs, serve(peer)),
        End::Call(call) => ends::call(runs, measured(call)),
    }
}

async fn serve(peer: String) -> Result<()> {
    match peer.as_str() {
        "iroh" => iroh::serve(ends::announce).await,
        "zenoh-tcp" => zenoh::serve(false, ends::announce).await,
        "zenoh-tls" => zenoh::serve(true, ends::announce).await,
        "tonic" => tonic::serve(ends::announce).await,
        other => bail!("there is no peer {other}"),
    }
}

async fn measured(call: Call) -> Result<()> {
    let Call { peer, contact, server, plan } = call;
    match peer.as_str() {
        "iroh" => measure::all(iroh::Iroh::connect(&contact).await?, plan, server).await,
        "zenoh-tcp" | "zenoh-tls" => {
            measure::all(zenoh::Zenoh::connect(&contact).await?, plan, server).await
        }
        "tonic" => measure::all(tonic::Tonic::connect(&contact).await?, plan, server).await,
        other => bail!("there is no peer {other}"),
    }
}

/// The version of a crate in this build.
fn version(name: &str) -> &'static str {
    frame::version(include_str!("../../Cargo.lock"), name)
}
