//! The two ends of a round, each in a process of its own.

use std::{
    io::{Read as _, Write as _},
    thread,
};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::case::{Event, Plan};

/// How both ends run.
#[derive(Args, Clone, Copy, Debug)]
pub struct Runs {
    /// Threads of each end's runtime; 1 takes tokio's runtime for one thread
    /// [default: as many as there are processors].
    #[arg(long, global = true, value_parser = threads)]
    pub threads: Option<usize>,
}

/// One end of a round; what the benchmark starts itself.
#[derive(Debug, Subcommand)]
#[command(hide = true)]
pub enum End {
    /// Serves a peer until its standard input ends.
    #[command(hide = true)]
    Serve { peer: String },
    /// Measures a peer.
    #[command(hide = true)]
    Call(Call),
}

/// Whom a client measures.
#[derive(Args, Debug)]
pub struct Call {
    pub peer: String,
    /// Where the server said it is.
    pub contact: String,
    /// The server's process.
    pub server: u32,
    /// How long the cases take, as JSON.
    #[arg(value_parser = plan)]
    pub plan: Plan,
}

/// The server's end, which lives until its standard input ends.
pub fn serve<F>(runs: Runs, server: F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    thread::spawn(|| {
        // The end of the input is the end of the parent, or its wish.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    runtime(runs)?.block_on(async move { tokio::spawn(server).await? })
}

/// Says in one line where the server is.
pub fn announce(contact: &str) {
    println!("{contact}");
}

/// The client's end, which says on its standard output what it finds.
pub fn call<F>(runs: Runs, measured: F) -> Result<()>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let runtime = runtime(runs)?;
    // In a task, since the thread that waits for it is no worker of the runtime.
    if let Err(error) = runtime.block_on(async move { tokio::spawn(measured).await? }) {
        tell(&Event::Stopped(format!("{error:#}")))?;
    }
    // What is still open has nobody to wait for it.
    runtime.shutdown_background();
    std::process::exit(0)
}

/// Says something to whoever started the client.
pub(crate) fn tell(event: &Event) -> Result<()> {
    let mut line = serde_json::to_string(event)?;
    line.push('\n');
    // At once, so that two threads' lines stay apart.
    Ok(std::io::stdout().lock().write_all(line.as_bytes())?)
}

impl Runs {
    /// The same for an end.
    pub fn args(self) -> Option<String> {
        self.threads.map(|threads| format!("--threads={threads}"))
    }
}

fn runtime(runs: Runs) -> Result<Runtime> {
    let mut builder = match runs.threads {
        Some(1) => Builder::new_current_thread(),
        Some(threads) => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
        None => Builder::new_multi_thread(),
    };
    Ok(builder.enable_all().build()?)
}

fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("1 to 1024".to_owned()),
    }
}

fn plan(text: &str) -> Result<Plan> {
    serde_json::from_str(text).context("the plan cannot be read")
}
