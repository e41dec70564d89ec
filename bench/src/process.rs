//! A round of a peer, with both ends in fresh processes.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use frame::{Case, Findings, Plan, ends::Runs};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::peers::Peer;

/// A server in a process that ends with this value.
struct Server {
    child: Child,
    pid: u32,
    contact: String,
}

/// Measures a peer once. Cases that need it get processes of their own.
pub(crate) async fn measure(peer: Peer, plan: &Plan, runs: Runs) -> Result<Findings> {
    let cases = plan.cases.iter().filter(|&case| peer.cases().contains(case));
    let (apart, together): (Vec<_>, Vec<_>) = cases.partition(|case| case.is_apart());
    let mut findings = Findings::default();
    for cases in [together, apart].into_iter().filter(|cases: &Vec<Case>| !cases.is_empty()) {
        let found = ends(peer, &Plan { cases, ..plan.clone() }, runs).await?;
        findings.cases.extend(found.cases);
        findings.failures.extend(found.failures);
        if findings.facts.is_empty() {
            findings.facts = found.facts;
        }
    }
    Ok(findings)
}

async fn ends(peer: Peer, plan: &Plan, runs: Runs) -> Result<Findings> {
    let server = Server::start(peer, runs).await?;
    let findings = client(peer, plan, runs, &server).await;
    server.stop().await?;
    findings
}

impl Server {
    async fn start(peer: Peer, runs: Runs) -> Result<Self> {
        let mut command = program(peer)?;
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

async fn client(peer: Peer, plan: &Plan, runs: Runs, server: &Server) -> Result<Findings> {
    let mut command = program(peer)?;
    command.args(["call", &peer.name(), &server.contact, &server.pid.to_string()]);
    command.arg(serde_json::to_string(plan)?).args(runs.args());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let child = command.spawn().context("the client cannot be started")?;
    let output = timeout(plan.patience(), child.wait_with_output());
    // The client is killed when the future that waits for it is dropped.
    let output = output.await.context("the client takes too long")??;
    ensure!(output.status.success(), "the client failed: {}", output.status);
    serde_json::from_slice(&output.stdout).context("the client's findings cannot be read")
}

fn program(peer: Peer) -> Result<Command> {
    let mut command = Command::new(peer.program()?);
    command.kill_on_drop(true);
    Ok(command)
}

const START: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(2);
