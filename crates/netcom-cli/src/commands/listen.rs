//! `netcom listen`, and what every command that waits for others has in common.

use std::{io, io::Write, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use netcom::{EventLog, EventLogConfig, MetricsConfig, MetricsError, Node};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::receive::watcher;
use crate::{
    args::Listen,
    context::Context,
    control,
    failure::{Exit, Failure, Outcome},
    nodes::{self, Kind, Serving},
    transfer::{Folder, Place, Receiver},
};

/// A node that others reach, until a signal ends it.
pub(crate) struct Foreground {
    pub(crate) node: Node,
    pub(crate) serving: Serving,
    control: Option<control::Server>,
    event_log: Option<EventLog>,
    metrics: Option<SocketAddr>,
}

/// How long streams may take to end when the node is told to.
const DRAIN: Duration = Duration::from_secs(2);

pub(crate) async fn run(command: &Listen, context: &Context) -> Outcome {
    let folder = match &context.settings.receive.value {
        Some(path) => Some(Folder::open(path)?),
        None => None,
    };
    let foreground = Foreground::start(context, Kind::Daemon).await?;
    let node = &foreground.node;
    nodes::serve_basics(node, &netcom::Access::everyone())?;
    if let Some(folder) = folder {
        let receiver = Arc::new(Receiver::new(Place::Folder(folder)));
        let watcher = watcher(context.output, None);
        nodes::serve_files(node, &foreground.serving.access, receiver, watcher)?;
    }
    foreground.announce(context, command.access.ticket_file.as_deref())?;
    ended().await?;
    foreground.close().await;
    Ok(())
}

impl Foreground {
    /// Makes the node; where it is the one of its data directory, others can ask it.
    pub(crate) async fn start(context: &Context, kind: Kind) -> Outcome<Self> {
        let serving = nodes::serving(context)?;
        let node = nodes::build(context, kind, &serving.listen).await?;
        let event_log = log_events(context, &node)?;
        let metrics = serve_metrics(context, &node).await?;
        let own = context.identity()?.show().ok().and_then(|info| info.peer_id);
        let control = match own == Some(node.peer_id()) {
            true => Some(control::serve(&context.data_dir()?.control_socket(), &node)?),
            false => None,
        };
        Ok(Self { node, serving, control, event_log, metrics })
    }

    /// Tells how the node is found. Everything it serves is served by now.
    pub(crate) fn announce(&self, context: &Context, ticket_file: Option<&Path>) -> Outcome {
        let ticket = self.node.ticket().to_string();
        if let Some(path) = ticket_file {
            write_ticket(path, &ticket).map_err(|error| {
                Failure::io(format_args!("{} cannot be written", path.display()), &error)
            })?;
        }
        let output = context.output;
        for address in self.node.addresses() {
            output.talk(format_args!("listening at {address}"));
        }
        let addresses: Vec<String> =
            self.node.addresses().iter().map(ToString::to_string).collect();
        let value = json!({
            "event": "listening",
            "peer_id": self.node.peer_id().to_string(),
            "netid": self.node.netid().map(|netid| netid.to_string()),
            "addresses": addresses,
            "ticket": ticket,
            "metrics": self.metrics.map(|address| address.to_string()),
        });
        output.answer(ticket, value)
    }

    pub(crate) async fn close(self) {
        drop(self.control);
        self.node.drain(DRAIN).await;
        self.node.close().await;
        if let Some(log) = self.event_log {
            log.ended().await;
        }
    }
}

/// Writes what happens into a file, where the settings say so.
fn log_events(context: &Context, node: &Node) -> Outcome<Option<EventLog>> {
    let Some(path) = &context.settings.event_log.value else { return Ok(None) };
    let log = node.log_events(EventLogConfig::new(path));
    log.map(Some).map_err(|error| {
        Failure::from_error(Exit::Failure, error.code(), &error)
            .hint("--event-log with a file in a folder of yours")
    })
}

/// Gives figures out, where the settings say so.
async fn serve_metrics(context: &Context, node: &Node) -> Outcome<Option<SocketAddr>> {
    let Some(text) = &context.settings.metrics.value else { return Ok(None) };
    let address: SocketAddr = text.parse().map_err(|_| {
        let message = format!("{text:?} is no address for metrics");
        Failure::new(Exit::Usage, "bad_metrics", message).hint("--metrics 127.0.0.1:9464")
    })?;
    let config = MetricsConfig::new(address).open(context.settings.metrics_open.value);
    let served = node.serve_metrics(config).await.map_err(|error| {
        let hint = error.hint().map(|address| format!("--metrics {address}"));
        let hint = match error {
            MetricsError::Open { .. } => hint.map(|it| format!("{it}, or --metrics-open too")),
            _ => hint,
        };
        Failure::from_error(Exit::Failure, error.code(), &error).hint_if(hint)
    })?;
    context.output.talk(format_args!("metrics at http://{served}/metrics"));
    Ok(Some(served))
}

/// Waits for the signal that ends a foreground command.
pub(crate) async fn ended() -> Outcome {
    let failed = |error: io::Error| Failure::io("signals cannot be waited for", &error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.map_err(failed),
        _ = terminate.recv() => Ok(()),
        _ = hang_up.recv() => Ok(()),
    }
}

/// Whoever sees the file sees all of it.
fn write_ticket(path: &Path, ticket: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let mut file = std::fs::File::create(&new)?;
    writeln!(file, "{ticket}")?;
    file.sync_all()?;
    std::fs::rename(new, path)
}
