//! The nodes of one user on one host: each keeps its signed record as a file.

mod directory;

use std::{
    collections::BTreeSet,
    env, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use netcom_identity::NodeRecord;
use rustix::process::geteuid;
use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use self::directory::{Directory, Entry, Held, MAX_FILE, MAX_FILES, Version};
use crate::source::{Findings, Found, PublishError, Query, Source, Task, VerifiedRecord, unix_now};

/// Finds the nodes that this user runs on this host, through files in a directory of theirs.
///
/// A record is there for as long as its node lives: when the process ends, however it ends, its
/// file counts for nothing at once and is swept up later.
#[derive(Clone, Debug)]
pub struct HostRegistry(Arc<Shared>);

/// Why [`HostRegistry::open`] failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The directory cannot be made or opened.
    #[error("the registry directory {path} cannot be opened", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Somebody else owns the directory; remove it or name another one.
    #[error("{path} belongs to user {owner}, remove it", path = path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// Others can look into the directory or change it.
    #[error("{path} has mode {mode:o}, run: chmod 700 {path}", path = path.display())]
    Mode {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

#[derive(Debug)]
struct Shared {
    directory: Directory,
    held: Mutex<Option<Held>>,
    rejected: AtomicU64,
}

/// What a lookup has seen, so that it tells news only.
#[derive(Debug, Default)]
struct Seen {
    changed: Option<Version>,
    files: BTreeSet<Version>,
}

/// How often a lookup asks whether the directory changed, which is one call to the kernel.
const POLL: Duration = Duration::from_millis(50);

impl HostRegistry {
    /// Opens the user's directory: `$XDG_RUNTIME_DIR/netcom`, or `netcom-<uid>` in the system's
    /// directory for temporary files.
    ///
    /// # Errors
    /// The directory cannot be made, or others could write there.
    pub fn open_default() -> Result<Self, RegistryError> {
        Self::open(default_directory())
    }

    /// Opens a directory, which is made with mode 0700 if its parent exists.
    ///
    /// # Errors
    /// The directory cannot be made, or others could write there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, RegistryError> {
        let directory = Directory::open(path.as_ref())?;
        Ok(Self(Arc::new(Shared {
            directory,
            held: Mutex::default(),
            rejected: AtomicU64::new(0),
        })))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.directory.path()
    }
}

impl Source for HostRegistry {
    fn name(&self) -> &'static str {
        "host"
    }

    fn publish(&self, record: VerifiedRecord) -> Task<'_, Result<(), PublishError>> {
        let shared = self.0.clone();
        Box::pin(blocking(move || shared.publish(&record), || Err(PublishError::Closed)))
    }

    fn withdraw(&self) -> Task<'_, ()> {
        let shared = self.0.clone();
        Box::pin(blocking(move || shared.withdraw(), || ()))
    }

    fn lookup(&self, query: Query, findings: Findings) -> Task<'_, ()> {
        Box::pin(async move {
            let mut seen = Seen::default();
            let mut poll = interval(POLL);
            poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = poll.tick() => {}
                    () = findings.closed() => return,
                }
                if seen.is_all(&self.0.directory) {
                    continue;
                }
                let shared = self.0.clone();
                let looked = move || {
                    let found = shared.look(&query, &mut seen);
                    (seen, found)
                };
                let found;
                (seen, found) = blocking(looked, Default::default).await;
                for record in found {
                    if findings.send(Found::Record(record)).await.is_err() {
                        return;
                    }
                }
            }
        })
    }

    fn rejected(&self) -> u64 {
        self.0.rejected.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn publish(&self, record: &VerifiedRecord) -> Result<(), PublishError> {
        let content = record.encode();
        if content.len() > MAX_FILE {
            return Err(PublishError::TooLarge { size: content.len(), max: MAX_FILE });
        }
        let failed = |error: io::Error| PublishError::Failed { source: error.into() };
        if self.is_full().map_err(failed)? {
            let place = format!("{}, with {MAX_FILES} files,", self.directory.path().display());
            return Err(PublishError::Full { place });
        }
        let name = record.peer_id().to_string();
        let mut held = self.held();
        let new = self.directory.write(&name, &content).map_err(failed)?;
        match held.replace(new) {
            Some(old) if old.name() != name => self.directory.remove(&old).map_err(failed),
            _ => Ok(()),
        }
    }

    fn withdraw(&self) {
        if let Some(held) = self.held().take()
            && let Err(error) = self.directory.remove(&held)
        {
            tracing::debug!(%error, "Record not removed from the host's registry");
        }
    }

    /// Whether there are as many files as there may be, after the dead ones were swept up.
    fn is_full(&self) -> io::Result<bool> {
        let names = self.directory.names()?;
        if names.len() < MAX_FILES {
            return Ok(false);
        }
        for name in &names {
            if let Entry::Stale(version) = self.directory.read(name)? {
                self.directory.sweep(name, version)?;
            }
        }
        Ok(self.directory.names()?.len() >= MAX_FILES)
    }

    /// What answers the query and was not seen before.
    fn look(&self, query: &Query, seen: &mut Seen) -> Vec<VerifiedRecord> {
        let changed = self.directory.changed().ok().filter(Version::is_settled);
        let names = match query {
            Query::Peer(peer) => Ok(vec![peer.to_string()]),
            Query::NetId(_) => self.directory.names(),
        };
        let mut found = Vec::new();
        for name in names.unwrap_or_default() {
            match self.directory.read(&name) {
                Ok(Entry::Alive { version, content }) => {
                    if seen.is_news(version) {
                        found.extend(self.check(&name, &content));
                    }
                }
                Ok(Entry::Stale(version)) => drop(self.directory.sweep(&name, version)),
                Ok(Entry::Foreign(Some(version))) if seen.is_news(version) => self.reject(),
                Ok(Entry::Foreign(_)) => {}
                Err(error) => tracing::debug!(name, %error, "Registry file could not be read"),
            }
        }
        seen.changed = changed;
        let now = unix_now();
        found.retain(|record| Found::Record(record.clone()).answers(query, now));
        found
    }

    fn check(&self, name: &str, content: &[u8]) -> Option<VerifiedRecord> {
        let record = NodeRecord::decode(content).ok();
        let record = record.and_then(|record| VerifiedRecord::check(record, unix_now()).ok());
        let record = record.filter(|record| record.peer_id().to_string() == name);
        if record.is_none() {
            self.reject();
        }
        record
    }

    fn reject(&self) {
        self.rejected.fetch_add(1, Ordering::Relaxed);
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Seen {
    fn is_all(&self, directory: &Directory) -> bool {
        self.changed.is_some_and(|seen| directory.changed().is_ok_and(|changed| changed == seen))
    }

    fn is_news(&mut self, version: Version) -> bool {
        if self.files.len() >= 2 * MAX_FILES {
            self.files.clear();
        }
        self.files.insert(version)
    }
}

/// Runs file work where it may block; `otherwise` stands in when the runtime shuts down.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    otherwise: impl FnOnce() -> T,
) -> T {
    spawn_blocking(work).await.unwrap_or_else(|_| otherwise())
}

/// `$XDG_RUNTIME_DIR/netcom` if that variable names a directory of this user, otherwise a
/// directory of this user beside everybody's temporary files.
fn default_directory() -> PathBuf {
    let user = geteuid().as_raw();
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| {
        let owner = std::fs::metadata(path).map(|metadata| metadata.uid());
        path.is_absolute() && owner.is_ok_and(|owner| owner == user)
    });
    match runtime {
        Some(runtime) => runtime.join("netcom"),
        None => env::temp_dir().join(format!("netcom-{user}")),
    }
}

#[cfg(test)]
mod tests;
