//! A round of a peer, with both ends in fresh processes, none of which outlives its case.

use std::{
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use frame::{Case, Event, Findings, Plan, ends::Runs};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::{peers::Peer, progress::Progress};

/// A server in a process that ends with this value.
struct Server {
    child: Child,
    pid: u32,
    contact: String,
}

/// Measures a peer once. Cases that need it get processes of their own, and so do those that
/// follow one that failed.
pub(crate) async fn measure(peer: Peer, plan: &Plan, runs: Runs, progress: &Progress) -> Findings {
    let cases = plan.cases.iter().copied().filter(|&case| peer.has(case));
    let (apart, together): (Vec<Case>, Vec<Case>) = cases.partition(|case| case.is_apart());
    let mut findings = Findings::default();
    for mut cases in [together, apart] {
        while !cases.is_empty() {
            let plan = Plan { cases: cases.clone(), ..plan.clone() };
            let mut has_begun = false;
            let mut note = |event: Event| {
                if let Event::Began(case) = event {
                    has_begun = true;
                    progress.case(peer, case);
                }
                findings.note(event);
            };
            let ended = ends(peer, &plan, runs, &mut note).await;
            cases.retain(|case| !findings.is_settled(*case));
            let error = match ended {
                Err(error) => error,
                Ok(()) if cases.len() < plan.cases.len() => continue,
                Ok(()) => anyhow!("the client measured nothing"),
            };
            // The case that was under way; before the first, all would fare the same.
            let failed = if has_begun { cases.len().min(1) } else { cases.len() };
            let failed = cases.drain(..failed).map(|case| (case, format!("{error:#}")));
            findings.failures.extend(failed);
        }
    }
    findings
}

/// Measures the plan's cases until one fails, and ends both processes.
async fn ends(peer: Peer, plan: &Plan, runs: Runs, note: &mut impl FnMut(Event)) -> Result<()> {
    let mut server = Server::start(peer, runs).await?;
    let (mut client, mut lines) = start_client(peer, plan, runs, &server)?;
    // The client's own patience ends first, if it still gets to look at the time.
    let limit = |case: Option<Case>| SPARE + case.map_or(START, |case| plan.patience_of(case));
    let listened = listen(&mut lines, limit, note).await;
    // Who has said all has nothing left to do.
    let patience = if listened.is_ok() { Duration::ZERO } else { STOP };
    let status = end(&mut client, patience).await.context("the client cannot be ended")?;
    drop(server.child.stdin.take());
    end(&mut server.child, STOP).await.context("the server cannot be ended")?;
    listened.with_context(|| format!("the client, {status}"))
}

impl Server {
    async fn start(peer: Peer, runs: Runs) -> Result<Self> {
        let mut command = Command::from(peer.server_command()?);
        command.args(runs.args()).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the server cannot be started")?;
        let pid = child.id().context("the server ended at once")?;
        let stdout = child.stdout.take().expect("piped above");
        let mut lines = BufReader::new(stdout).lines();
        // A server that is given up is killed when it is dropped.
        let line = timeout(START, lines.next_line()).await;
        let line = line.map_err(|_| anyhow!("the server does not start"))??;
        let contact = line.context("the server ended before it said where it is")?;
        Ok(Self { child, pid, contact })
    }
}

fn start_client(
    peer: Peer,
    plan: &Plan,
    runs: Runs,
    server: &Server,
) -> Result<(Child, Lines<BufReader<ChildStdout>>)> {
    let mut command = Command::from(peer.client_command()?);
    command.args([&server.contact, &server.pid.to_string(), &serde_json::to_string(plan)?]);
    command.args(runs.args()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().context("the client cannot be started")?;
    let stdout = child.stdout.take().expect("piped above");
    Ok((child, BufReader::new(stdout).lines()))
}

/// Notes what a client says until it has said all, or says nothing for longer than it may: within
/// a case, and besides.
async fn listen<R: AsyncRead + Unpin>(
    lines: &mut Lines<BufReader<R>>,
    limit: impl Fn(Option<Case>) -> Duration,
    note: &mut impl FnMut(Event),
) -> Result<()> {
    let mut under_way = None;
    loop {
        let line = timeout(limit(under_way), lines.next_line()).await;
        let line = line.map_err(|_| anyhow!("it hangs"))??.context("it ended early")?;
        let event = serde_json::from_str(&line).context("what it says cannot be read")?;
        under_way = None;
        let is_last = matches!(event, Event::Failed(..) | Event::Ended);
        match &event {
            Event::Began(case) => under_way = Some(*case),
            Event::Stopped(why) => bail!("{why}"),
            _ => {}
        }
        note(event);
        if is_last {
            return Ok(());
        }
    }
}

/// Waits so long for the end of a process, and then ends it.
async fn end(child: &mut Child, patience: Duration) -> Result<ExitStatus> {
    if let Ok(ended) = timeout(patience, child.wait()).await {
        return Ok(ended?);
    }
    child.start_kill()?;
    Ok(child.wait().await?)
}

const START: Duration = Duration::from_secs(15);
const STOP: Duration = Duration::from_secs(2);
/// For whatever goes between two things that are waited for.
const SPARE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    #[tokio::test]
    async fn a_client_that_says_nothing_within_a_case_hangs() {
        let limit = |case: Option<Case>| if case.is_some() { Duration::ZERO } else { START };
        let (said, events, _open) = hear(&[Event::Began(Case::Bulk)], limit).await;

        assert_eq!(said.unwrap_err().to_string(), "it hangs");
        assert!(matches!(events.as_slice(), [Event::Began(Case::Bulk)]));
    }

    #[tokio::test]
    async fn a_client_that_fails_in_a_case_or_ends_is_heard_no_longer() {
        let failed = Event::Failed(Case::Bulk, "why".to_owned());
        for last in [failed, Event::Ended] {
            let events = [last, Event::Began(Case::Idle)];
            let (said, events, _open) = hear(&events, |_| START).await;

            assert!(said.is_ok());
            assert_eq!(events.len(), 1);
        }
    }

    #[tokio::test]
    async fn a_client_that_stops_or_ends_early_tells_why() {
        let (said, ..) = hear(&[Event::Stopped("no way".to_owned())], |_| START).await;
        assert_eq!(said.unwrap_err().to_string(), "no way");

        let (client, server) = duplex(1);
        drop(client);
        let said = listen(&mut BufReader::new(server).lines(), |_| START, &mut |_| {}).await;
        assert_eq!(said.unwrap_err().to_string(), "it ended early");
    }

    /// Hears these events of a client that lives until the last value is dropped.
    async fn hear(
        events: &[Event],
        limit: impl Fn(Option<Case>) -> Duration,
    ) -> (Result<()>, Vec<Event>, DuplexStream) {
        let (mut client, server) = duplex(1 << 10);
        for event in events {
            let line = serde_json::to_string(event).unwrap() + "\n";
            client.write_all(line.as_bytes()).await.unwrap();
        }
        let mut heard = Vec::new();
        let mut note = |event| heard.push(event);
        let said = listen(&mut BufReader::new(server).lines(), limit, &mut note).await;
        (said, heard, client)
    }
}
