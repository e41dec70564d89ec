//! `netcom send`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use netcom::{Node, NodeEvent, Rate, Target};
use serde_json::json;
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::receive::bar;
use crate::{
    args::Send,
    context::{Context, rate, target},
    failure::{Exit, Failure, Outcome},
    nodes::{FILES, Peer},
    output::{bytes, plain},
    transfer::{Scan, Sender, Sent, SentLog, TransferError, scan},
};

/// A receiver that is silent for so long is given up, for another attempt.
const PATIENCE: Duration = Duration::from_millis(2500);
/// A node without a link gets so long to come back before another one is tried.
const DETACHED: Duration = Duration::from_millis(1500);
/// The first pause between attempts; it doubles.
const PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// How long a node may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Sends until it is done or no attempt brings anything any more.
pub(crate) async fn run(command: &Send, context: &Context) -> Outcome {
    let target = target(context, &command.target)?;
    let limit = command.limit.as_deref().map(rate).transpose()?;
    let (source, name, skip) = (command.source.clone(), command.name.clone(), command.skip_special);
    let scan = spawn_blocking(move || scan(&source, name.as_deref(), skip)).await;
    let scan = scan.map_err(|_| Failure::failed("internal", "the files were not looked at"))??;
    if scan.skipped > 0 {
        context.output.talk(format_args!("{} links and devices are left out", scan.skipped));
    }
    let transfer = Transfer {
        bar: bar(context.output, scan.manifest.bytes(), scan.manifest.name()),
        scan: Arc::new(scan),
        window: command.in_flight << 20,
        limit,
        patience: Duration::from_secs_f64(command.timeout),
        target,
    };
    let mut log = transfer.log(context)?;
    let start = Instant::now();
    let done = transfer.run(context, None, &mut log).await?;
    transfer.bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    let total = log.sent();
    log.remove();
    let twice = total.saturating_sub(done.sent.bytes);
    let rate = (done.moved as f64 / seconds.max(1e-6)) as u64;
    context.output.talk(format_args!(
        "{} to {} in {seconds:.1} s, {}/s; {} were there already, {} were sent twice",
        bytes(done.sent.bytes),
        done.receiver,
        bytes(rate),
        bytes(done.sent.resumed),
        bytes(twice),
    ));
    context.output.answer(
        plain(&done.sent.name),
        json!({
            "name": done.sent.name,
            "bytes": done.sent.bytes,
            "sent": done.moved,
            "sent_twice": twice,
            "resumed": done.sent.resumed,
            "attempts": done.attempts,
            "seconds": seconds,
            "bytes_per_second": rate,
            "peer_id": done.receiver,
            "skipped": transfer.scan.skipped,
        }),
    )
}

/// What is sent, and to whom.
pub(crate) struct Transfer {
    pub(crate) scan: Arc<Scan>,
    pub(crate) target: Target,
    pub(crate) window: u64,
    /// How fast it may go.
    pub(crate) limit: Option<Rate>,
    /// How long there may be no progress.
    pub(crate) patience: Duration,
    pub(crate) bar: ProgressBar,
}

/// A transfer that is done.
pub(crate) struct Done {
    pub(crate) sent: Sent,
    /// Bytes this process sent, in all attempts.
    pub(crate) moved: u64,
    pub(crate) attempts: u64,
    /// The node that has it.
    pub(crate) receiver: String,
}

impl Transfer {
    fn log(&self, context: &Context) -> Outcome<SentLog> {
        if self.scan.paths.is_empty() {
            return Ok(SentLog::in_memory());
        }
        let folder = context.data_dir()?.path().join("transfers");
        let id = self.scan.manifest.id(&self.target.to_string());
        SentLog::open(&folder, &id)
            .map_err(|error| Failure::io("what was sent cannot be written down", &error))
    }

    /// Attempts until one succeeds, through whichever node of the target can be reached.
    /// Uses the node that is given, which stays open, or one of its own.
    pub(crate) async fn run(
        &self,
        context: &Context,
        mut node: Option<Node>,
        log: &mut SentLog,
    ) -> Outcome<Done> {
        let before = log.sent();
        let is_own = node.is_none();
        let mut attempts = 0;
        let mut pause = PAUSE;
        let mut progress = Instant::now();
        let failure = loop {
            attempts += 1;
            let sent = log.sent();
            let error = match self.attempt(context, &mut node, log).await {
                Ok((sent, receiver)) => {
                    if is_own {
                        close(node).await;
                    }
                    return Ok(Done { sent, moved: log.sent() - before, attempts, receiver });
                }
                Err(error) => error,
            };
            if log.sent() > sent {
                (progress, pause) = (Instant::now(), PAUSE);
            }
            // What stdin said once cannot be said again.
            let is_spent = self.scan.paths.is_empty() && log.sent() > 0;
            if !error.is_retryable || is_spent || progress.elapsed() + pause > self.patience {
                break error.failure;
            }
            context.output.talk(format_args!("trying again: {}", plain(&error.failure.message)));
            tracing::debug!(code = %error.failure.code, "Transfer attempt failed");
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        };
        if is_own {
            close(node).await;
        }
        Err(failure)
    }

    async fn attempt(
        &self,
        context: &Context,
        node: &mut Option<Node>,
        log: &mut SentLog,
    ) -> Result<(Sent, String), TransferError> {
        let within = self.patience.min(Duration::from_secs(10));
        let peer = match node.as_ref() {
            // The same node again: it knows already whom it found.
            Some(node) => Peer::with(node.clone(), &self.target, within).await,
            None => Peer::reach(context, &self.target, within).await,
        };
        let peer = peer.map_err(unreached)?;
        let receiver = peer.peer_id.clone();
        let opened = peer.open(FILES).await.map_err(|failure| TransferError::stream(failure, true));
        let (own, source, sink) = opened?;
        let sender = Sender {
            scan: self.scan.clone(),
            window: self.window,
            limit: self.limit,
            patience: PATIENCE.min(self.patience),
            bar: self.bar.clone(),
        };
        *node = node.take().or(own);
        let sending = sender.run(source, sink, log);
        let sent = tokio::select! {
            sent = sending => sent,
            () = gone(node.as_ref(), &receiver) => {
                let message = format!("{receiver} went away");
                let failure = Failure::new(Exit::Unreachable, "detached", message);
                Err(TransferError::stream(failure, true))
            }
        };
        sent.map(|sent| (sent, receiver))
    }
}

/// Returns once the node has lost its last link to the receiver and does not get it back.
async fn gone(node: Option<&Node>, receiver: &str) {
    let Some(node) = node else { return std::future::pending().await };
    let mut events = node.events();
    let is_it = |peer: &netcom::PeerId| peer.to_string() == receiver;
    loop {
        match events.next().await {
            Some(NodeEvent::Detached { peer }) if is_it(&peer) => {}
            Some(_) => continue,
            None => return std::future::pending().await,
        }
        let back = async {
            while let Some(event) = events.next().await {
                if matches!(event, NodeEvent::Resumed { peer } if is_it(&peer)) {
                    return;
                }
            }
        };
        if timeout(DETACHED, back).await.is_err() {
            return;
        }
    }
}

/// Nobody there yet is worth another attempt; a name that means nobody is not.
fn unreached(failure: Failure) -> TransferError {
    let is_retryable =
        matches!(&*failure.code, "unreachable" | "timeout" | "not_found" | "refused");
    TransferError::stream(failure, is_retryable)
}

/// Says goodbye. Nobody waits long for a node that is gone: everything is where it should be.
pub(crate) async fn close(node: Option<Node>) {
    if let Some(node) = node {
        let _ = timeout(GOODBYE, node.close()).await;
    }
}
