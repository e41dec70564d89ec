//! `netcom listen`, and what every command that waits for others has in common.

use std::{io, io::Write, path::Path, sync::Arc, time::Duration};

use netcom::Node;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::receive::watcher;
use crate::{
    args::Listen,
    context::Context,
    control,
    failure::{Failure, Outcome},
    nodes::{self, Kind, Serving},
    transfer::{Folder, Place, Receiver},
};

/// A node that others reach, until a signal ends it.
pub(crate) struct Foreground {
    pub(crate) node: Node,
    pub(crate) serving: Serving,
    control: Option<control::Server>,
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
        let own = context.identity()?.show().ok().and_then(|info| info.peer_id);
        let control = match own == Some(node.peer_id()) {
            true => Some(control::serve(&context.data_dir()?.control_socket(), &node)?),
            false => None,
        };
        Ok(Self { node, serving, control })
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
        });
        output.answer(ticket, value)
    }

    pub(crate) async fn close(self) {
        drop(self.control);
        self.node.drain(DRAIN).await;
        self.node.close().await;
    }
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
