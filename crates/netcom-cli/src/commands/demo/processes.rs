//! The demonstration's folder and its child processes.

use std::{
    net::UdpSocket,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use netcom::{DataDir, IdentityStore, NetId};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdin, Command},
    time::timeout,
};

use crate::{
    context::key_failure,
    failure::{Failure, Outcome},
};

/// Everything that has to go when the demonstration ends.
pub(super) struct Stage {
    folder: TempDir,
    pub(super) mdns_port: u16,
    pub(super) children: Vec<Member>,
}

/// One node of the entity, in a process of its own.
pub(super) struct Member {
    pub(super) label: String,
    pub(super) peer_id: String,
    pub(super) pid: u32,
    /// From its start to its readiness.
    pub(super) ready_after: Duration,
    process: Child,
    /// The child ends with it, should this process be killed.
    _stdin: Option<ChildStdin>,
}

/// How long a child may take to be ready or to be gone.
const WITHIN: Duration = Duration::from_secs(20);

impl Stage {
    pub(super) fn new() -> Outcome<Self> {
        let failed =
            |error: std::io::Error| Failure::io("the demonstration finds no place", &error);
        let folder = tempfile::Builder::new().prefix("netcom-demo-").tempdir().map_err(failed)?;
        // A world of its own for multicast DNS: a port that is free now.
        let socket = UdpSocket::bind(("127.0.0.1", 0)).map_err(failed)?;
        let mdns_port = socket.local_addr().map_err(failed)?.port();
        Ok(Self { folder, mdns_port, children: Vec::new() })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes an identity in a data directory of the demonstration.
    pub(super) fn identity(&self, name: &str) -> Outcome<NetId> {
        let directory = DataDir::open(self.path(name))
            .map_err(|error| Failure::failed(error.code(), error.to_string()))?;
        IdentityStore::new(directory).create(None).map_err(key_failure)
    }

    /// Starts a node of the entity, which serves one visitor alone.
    pub(super) async fn start(&mut self, label: &str, visitor: NetId) -> Outcome {
        let failed = |error: std::io::Error| Failure::io("a node cannot be started", &error);
        let start = Instant::now();
        let program = std::env::current_exe().map_err(failed)?;
        let mut process = Command::new(program)
            .arg("demo-node")
            .arg("--data-dir")
            .arg(self.path("entity"))
            .arg("--receive")
            .arg(self.path("inbox"))
            .arg("--registry")
            .arg(self.path("registry"))
            .args(["--mdns-port", &self.mdns_port.to_string()])
            .args(["--visitor", &visitor.to_string()])
            .args(["--label", label])
            .env_remove("NETCOM_DISCOVERY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let stdin = process.stdin.take();
        let peer_id = ready(&mut process).await?;
        let pid = process.id().unwrap_or_default();
        self.children.push(Member {
            label: label.to_owned(),
            peer_id,
            pid,
            ready_after: start.elapsed(),
            process,
            _stdin: stdin,
        });
        Ok(())
    }

    pub(super) fn member(&self, peer_id: &str) -> Option<&Member> {
        self.children.iter().find(|member| member.peer_id == peer_id)
    }

    /// Kills the process of a node: SIGKILL, no goodbye.
    pub(super) async fn kill(&mut self, peer_id: &str) -> Outcome<String> {
        let index = self.children.iter().position(|member| member.peer_id == peer_id);
        let Some(index) = index else {
            let message = format!("{peer_id} is no node of the demonstration");
            return Err(Failure::failed("demo", message));
        };
        let mut member = self.children.remove(index);
        let killed = member.process.kill().await;
        killed.map_err(|error| Failure::io("the node cannot be killed", &error))?;
        Ok(member.label)
    }

    /// Ends the children and removes the folder.
    pub(super) async fn clean_up(mut self) -> Outcome {
        for member in &mut self.children {
            // One that is gone already is as good.
            let _ = member.process.start_kill();
            let _ = timeout(WITHIN, member.process.wait()).await;
        }
        let path = self.folder.path().to_owned();
        self.folder.close().map_err(|error| {
            Failure::io(format_args!("{} cannot be removed", path.display()), &error)
        })
    }
}

/// Waits until a child says that it is ready, and returns its PeerId.
async fn ready(process: &mut Child) -> Outcome<String> {
    let Some(stdout) = process.stdout.take() else {
        return Err(Failure::failed("demo", "a node has no stdout"));
    };
    let mut line = String::new();
    let mut reader = BufReader::new(stdout);
    let reading = timeout(WITHIN, reader.read_line(&mut line)).await;
    let value: Option<Value> = serde_json::from_str(&line).ok();
    let peer_id = value.as_ref().and_then(|value| value["peer_id"].as_str());
    match (reading, peer_id) {
        (Ok(Ok(_)), Some(peer_id)) => Ok(peer_id.to_owned()),
        (Err(_), _) => Err(Failure::failed("demo", "a node was not ready in time")),
        _ => Err(Failure::failed("demo", format!("a node did not start: {}", line.trim()))),
    }
}

/// Makes a file of bytes that repeat nowhere, and returns their hash.
pub(super) fn make_file(path: &Path, size: u64) -> std::io::Result<blake3::Hash> {
    use std::io::Write;
    let mut noise = blake3::Hasher::new_derive_key("netcom demo noise").finalize_xof();
    let mut hasher = blake3::Hasher::new();
    let mut file = std::fs::File::create(path)?;
    let mut piece = vec![0; 1 << 20];
    let mut left = size;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        noise.fill(&mut piece[..count]);
        hasher.update(&piece[..count]);
        file.write_all(&piece[..count])?;
        left -= count as u64;
    }
    Ok(hasher.finalize())
}

/// The hash of a file.
pub(super) fn hash_file(path: &Path) -> std::io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(std::fs::File::open(path)?)?;
    Ok(hasher.finalize())
}
