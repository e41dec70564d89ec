//! A node's events in a file, one JSON object a line.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use netcom_identity::{Multiaddr, NetId};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::{
    clock::unix_millis,
    events::{Events, NodeEvent},
    node::Shared,
};

/// Where events are written, and how much of them is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventLogConfig {
    path: PathBuf,
    max_bytes: u64,
}

/// A log of a node's events. It goes on, whether or not this is kept, until the node is closed.
#[derive(Debug)]
pub struct EventLog {
    task: JoinHandle<()>,
}

/// Why events are not logged.
#[derive(Debug, thiserror::Error)]
#[error("events cannot be written to {}", path.display())]
pub struct EventLogError {
    /// The file.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

/// The file as far as it is written.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    max_bytes: u64,
    /// `None` after a failure: the next line tries anew.
    file: Option<File>,
    length: u64,
}

impl EventLogConfig {
    /// Appends events to a file, which is made if it is not there, for its owner alone.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), max_bytes: EVENT_LOG_BYTES }
    }

    /// Sets how long the file gets before it becomes `FILE.1`, in place of the one before, and a
    /// new one is begun. Default: 16 MiB; at least 4 KiB.
    #[must_use]
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes.max(LEAST_BYTES);
        self
    }
}

impl EventLog {
    /// Returns once the last event of a closed node is written.
    pub async fn ended(self) {
        // A log that panicked has ended as well.
        drop(self.task.await);
    }
}

impl EventLogError {
    /// A stable name of what went wrong.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "event_log"
    }
}

impl Shared {
    /// Writes events from now on into a file, until the node is closed.
    pub(crate) fn log_events(
        self: &Arc<Self>,
        config: EventLogConfig,
    ) -> Result<EventLog, EventLogError> {
        let path = config.path.clone();
        let lines = Lines::open(config).map_err(|source| EventLogError { path, source })?;
        let events = self.events.listen();
        let task = self.runtime.spawn(log(Arc::clone(self), events, lines));
        Ok(EventLog { task })
    }
}

/// Writes one line after the other. The node waits for none of them: what happens meanwhile waits
/// in the queue of the events, and what has no room there is counted.
async fn log(node: Arc<Shared>, mut events: Events, lines: Lines) {
    let mut lines = Some(lines);
    while let Some(event) = events.next().await {
        if let NodeEvent::Lagged { missed } = event {
            node.totals.lose_events(missed);
        }
        let Some(mut writing) = lines.take() else { return };
        let line = format!("{}\n", line(&event, unix_millis()));
        let written = spawn_blocking(move || {
            let result = writing.write(&line);
            (writing, result)
        });
        let Ok((given_back, result)) = written.await else { return };
        lines = Some(given_back);
        if let Err(error) = result {
            node.totals.lose_events(1);
            tracing::warn!(target: "netcom::setup", %error, "An event was not logged");
        }
    }
}

impl Lines {
    fn open(config: EventLogConfig) -> io::Result<Self> {
        let EventLogConfig { path, max_bytes } = config;
        let file = append_to(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { path, max_bytes, file: Some(file), length })
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let size = line.len() as u64;
        if self.length > 0 && self.length.saturating_add(size) > self.max_bytes {
            (self.file, self.length) = (None, 0);
            fs::rename(&self.path, before(&self.path))?;
        }
        let file = match &mut self.file {
            Some(file) => file,
            missing => {
                let file = append_to(&self.path)?;
                self.length = file.metadata()?.len();
                missing.insert(file)
            }
        };
        let written = file.write_all(line.as_bytes());
        self.length = self.length.saturating_add(size);
        if written.is_err() {
            self.file = None;
        }
        written
    }
}

/// What a log says of an event: its name, when it was written, and its facts. No secret is among
/// them.
fn line(event: &NodeEvent, unix_ms: u64) -> Value {
    let mut line = facts(event);
    line["schema"] = json!(SCHEMA);
    line["unix_ms"] = json!(unix_ms);
    line["event"] = json!(event.name());
    line
}

fn facts(event: &NodeEvent) -> Value {
    match event {
        NodeEvent::Listening { address } => json!({ "address": address.to_string() }),
        NodeEvent::Published { sequence, addresses } => {
            json!({ "sequence": sequence, "addresses": texts(addresses) })
        }
        NodeEvent::Connected { peer, netids, is_inbound } => json!({
            "peer_id": peer.to_string(),
            "netids": netids.iter().map(NetId::to_string).collect::<Vec<_>>(),
            "is_inbound": is_inbound,
        }),
        NodeEvent::Detached { peer } | NodeEvent::Resumed { peer } => {
            json!({ "peer_id": peer.to_string() })
        }
        NodeEvent::LinkUp { peer, link, kind, remote } => json!({
            "peer_id": peer.to_string(),
            "link": link,
            "kind": format!("{kind:?}").to_lowercase(),
            "remote": remote.as_ref().map(Multiaddr::to_string),
        }),
        NodeEvent::LinkSuspect { peer, link } | NodeEvent::LinkAnswers { peer, link } => {
            json!({ "peer_id": peer.to_string(), "link": link })
        }
        NodeEvent::LinkDown { peer, link, code } => {
            json!({ "peer_id": peer.to_string(), "link": link, "code": code.to_string() })
        }
        NodeEvent::Disconnected { peer, code, reason, is_by_peer } => json!({
            "peer_id": peer.to_string(),
            "code": code.to_string(),
            "reason": reason,
            "is_by_peer": is_by_peer,
        }),
        NodeEvent::ClaimRefused { peer, netid, reason } => json!({
            "peer_id": peer.to_string(),
            "netid": netid.to_string(),
            "reason": reason,
        }),
        NodeEvent::AddressesChanged { gone, come } => json!({ "gone": gone, "come": come }),
        NodeEvent::Draining | NodeEvent::Closed => json!({}),
        NodeEvent::Lagged { missed } => json!({ "missed": missed }),
    }
}

fn texts(addresses: &[Multiaddr]) -> Vec<String> {
    addresses.iter().map(Multiaddr::to_string).collect()
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Where the file goes that was full.
fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// Version of what a line says.
const SCHEMA: u64 = 1;
const EVENT_LOG_BYTES: u64 = 16 << 20;
const LEAST_BYTES: u64 = 4 << 10;

#[cfg(test)]
mod tests {
    use netcom_identity::SecretKey;
    use netcom_session::{Code, LinkKind};

    use super::*;

    #[test]
    fn a_line_tells_what_happened_and_when() {
        let peer = SecretKey::from_bytes(&[1; 32]).peer_id();
        let remote = Some("/ip4/192.0.2.1/tcp/4001".parse().unwrap());
        let up = NodeEvent::LinkUp { peer, link: 3, kind: LinkKind::Tcp, remote };
        let expected = json!({
            "schema": 1,
            "unix_ms": 7,
            "event": "link_up",
            "peer_id": peer.to_string(),
            "link": 3,
            "kind": "tcp",
            "remote": "/ip4/192.0.2.1/tcp/4001",
        });
        assert_eq!(line(&up, 7), expected);
        let down = NodeEvent::LinkDown { peer, link: 3, code: Code::LINK_LOST };
        assert_eq!(line(&down, 8)["code"], "link lost");
    }

    #[test]
    fn a_full_file_takes_the_place_of_the_one_before_and_a_new_one_is_begun() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let mut lines = Lines::open(EventLogConfig::new(&path).max_bytes(1)).unwrap();
        let line = format!("{}\n", "x".repeat(2047));
        for _ in 0..5 {
            lines.write(&line).unwrap();
        }
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert_eq!((size(&path), size(&before(&path))), (2048, 4096));
        // Who comes later appends.
        let mut lines = Lines::open(EventLogConfig::new(&path)).unwrap();
        lines.write(&line).unwrap();
        assert_eq!(size(&path), 4096);
    }

    #[test]
    fn a_log_that_failed_tries_anew_with_the_next_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("events");
        fs::create_dir(path.parent().unwrap()).unwrap();
        let mut lines = Lines::open(EventLogConfig::new(&path)).unwrap();
        lines.file = None;
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        assert!(lines.write("x\n").is_err());
        fs::create_dir(path.parent().unwrap()).unwrap();
        lines.write("y\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "y\n");
    }
}
