//! `netcom recv`, and how received files are reported.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::mpsc;

use super::listen::{Foreground, ended};
use crate::{
    args::Receive,
    context::Context,
    failure::{Failure, Outcome},
    nodes::{self, Kind, Watch, Watcher},
    output::{Output, bytes, plain},
    transfer::{Folder, Incoming, Manifest, Place, Progress, Receiver, TransferError},
};

/// Takes files until it is ended, or one transfer.
pub(crate) async fn run(command: &Receive, context: &Context) -> Outcome {
    let is_stdout = command.stdout.is_some();
    let place = match (&context.settings.receive.value, is_stdout) {
        (_, true) => Place::Stdout,
        (Some(path), false) => Place::Folder(Folder::open(path)?),
        (None, false) => Place::Folder(Folder::open(&PathBuf::from("."))?),
    };
    let foreground = Foreground::start(context, Kind::Guest).await?;
    let (results, mut ends) = mpsc::channel(1);
    let receiver = Arc::new(Receiver::new(place));
    let watcher = watcher(context.output, Some(results));
    let access = &foreground.serving.access;
    let handle = nodes::serve_files(&foreground.node, access, receiver, watcher)?;
    foreground.announce(context, command.access.ticket_file.as_deref())?;
    let is_single = command.once || is_stdout;
    let result = loop {
        tokio::select! {
            result = ended() => break result,
            // A stream to stdout cannot begin again; a file can be tried again.
            end = ends.recv() => match end {
                _ if !is_single => {}
                Some(Err(error)) if is_stdout => break Err(error),
                Some(Ok(())) | None => break Ok(()),
                Some(Err(_)) => {}
            },
        }
    };
    handle.withdraw();
    foreground.close().await;
    result
}

/// Makes what reports transfers; the end of each goes to `results` too.
pub(crate) fn watcher(
    output: Output,
    results: Option<mpsc::Sender<Result<(), Failure>>>,
) -> Watcher {
    Arc::new(move || Box::new(Report { output, results: results.clone(), bar: Mutex::new(None) }))
}

/// Reports one transfer.
struct Report {
    output: Output,
    results: Option<mpsc::Sender<Result<(), Failure>>>,
    bar: Mutex<Option<(ProgressBar, u64)>>,
}

impl Report {
    fn end(&self, result: Result<(), Failure>) {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((bar, _)) = bar {
            bar.finish_and_clear();
        }
        if let Some(results) = &self.results {
            // Where one result is not taken yet, that one ends the command.
            let _ = results.try_send(result);
        }
    }
}

impl Progress for Report {
    fn started(&self, manifest: &Manifest, resumed: u64) {
        let bar = bar(self.output, manifest.bytes(), manifest.name());
        bar.set_position(resumed);
        *self.bar.lock().unwrap_or_else(PoisonError::into_inner) = Some((bar, resumed));
    }

    fn moved(&self, bytes: u64) {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((bar, resumed)) = &*bar {
            bar.set_position(resumed + bytes);
        }
    }
}

impl Watch for Report {
    fn done(&self, sender: &str, incoming: &Incoming) {
        let output = self.output;
        let name = plain(&incoming.name);
        self.end(Ok(()));
        output.talk(format_args!(
            "received {name}: {}, of which {} came now; from {sender}",
            bytes(incoming.bytes),
            bytes(incoming.received),
        ));
        // Nobody is left to be told that stdout is gone; the file is there anyway.
        let _ = match &incoming.path {
            Some(path) => output.line(path.display()),
            None => Ok(()),
        };
        let _ = output.json(json!({
            "event": "received",
            "name": incoming.name,
            "path": incoming.path,
            "bytes": incoming.bytes,
            "received": incoming.received,
            "resumed": incoming.resumed,
            "sender": sender,
        }));
    }

    fn failed(&self, sender: &str, error: &TransferError) {
        let failure = &error.failure;
        self.output.talk(format_args!(
            "not received from {sender}: {} [{}]",
            plain(&failure.message),
            failure.code,
        ));
        let mut value = failure.to_json();
        value["event"] = json!("not_received");
        value["sender"] = json!(sender);
        let _ = self.output.json(value);
        self.end(Err(failure.clone()));
    }
}

/// A progress bar on stderr, hidden where nobody looks.
pub(crate) fn bar(output: Output, size: Option<u64>, name: &str) -> ProgressBar {
    if !output.shows_progress() {
        return ProgressBar::hidden();
    }
    let bar = match size {
        Some(size) => ProgressBar::new(size),
        None => ProgressBar::no_length(),
    };
    let template = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.with_message(plain(name))
}
