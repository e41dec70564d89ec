//! The two ends of a round, each in a process of its own.

use std::{io::Read as _, process::Stdio, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{
    case::{Findings, Plan},
    cli::{Ends, Runs},
    peers::Peer,
};

/// A server of this program in a process that ends with this value.
struct Server {
    child: Child,
    pid: u32,
    contact: String,
}

/// Measures a peer once, with both ends in fresh processes.
pub(crate) async fn measure(peer: Peer, plan: Plan, runs: Runs) -> Result<Findings> {
    let server = Server::start(peer, runs).await?;
    let findings = client(peer, plan, runs, &server).await;
    server.stop().await?;
    findings
}

/// The server's end, which says where it is in one line, and lives until its standard input ends.
pub(crate) fn serve(peer: Peer, runs: Runs) -> Result<()> {
    thread::spawn(|| {
        // The end of the input is the end of the parent, or its wish.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let announce = |contact: &str| println!("{contact}");
    runtime(runs)?.block_on(async move { tokio::spawn(peer.serve(announce)).await? })
}

/// The client's end, which prints what it found.
pub(crate) fn call(ends: Ends, runs: Runs) -> Result<()> {
    let Ends { peer, contact, server, plan } = ends;
    let plan: Plan = serde_json::from_str(&plan).context("the plan cannot be read")?;
    // In a task, since the thread that waits for it is no worker of the runtime.
    let measured = async move { tokio::spawn(peer.measure(contact, plan, server)).await? };
    let runtime = runtime(runs)?;
    let findings = runtime.block_on(measured)?;
    println!("{}", serde_json::to_string(&findings)?);
    // What is still open has nobody to wait for it.
    runtime.shutdown_background();
    Ok(())
}

impl Server {
    async fn start(peer: Peer, runs: Runs) -> Result<Self> {
        let mut command = this_program()?;
        command.arg("serve").arg(peer.name()).args(runs.args());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the server cannot be started")?;
        let pid = child.id().context("the server ended at once")?;
        let stdout = child.stdout.take().expect("piped above");
        let mut lines = BufReader::new(stdout).lines();
        let line =
            timeout(START, lines.next_line()).await.context("the server did not start")??;
        let contact = line.context("the server ended before it said where it is")?;
        Ok(Self { child, pid, contact })
    }

    async fn stop(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        if timeout(STOP, self.child.wait()).await.is_err() {
            self.child.kill().await.context("the server does not end")?;
        }
        Ok(())
    }
}

async fn client(peer: Peer, plan: Plan, runs: Runs, server: &Server) -> Result<Findings> {
    let mut command = this_program()?;
    command.args(["call", &peer.name(), &server.contact, &server.pid.to_string()]);
    command.arg(serde_json::to_string(&plan)?).args(runs.args());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().context("the client cannot be started")?;
    let output = timeout(plan.patience(), child.wait_with_output());
    // The client is killed when the future that waits for it is dropped.
    let output = output.await.context("the client takes too long")??;
    ensure!(output.status.success(), "the client failed: {}", output.status);
    serde_json::from_slice(&output.stdout).context("the client's findings cannot be read")
}

fn this_program() -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.kill_on_drop(true);
    Ok(command)
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

const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(2);
