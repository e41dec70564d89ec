//! Which key each name led to before, in a file for each name in a data directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use netcom_identity::{DirectoryEntry, EntityDocument, MAX_ENTITY_BYTES, NetId, UnixTime};
use rustix::process::geteuid;

/// What was accepted for a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Pinned {
    pub(crate) netid: NetId,
    /// What the entity said then; `None` where the user vouched for the key without one.
    pub(crate) document: Option<EntityDocument>,
    /// The last entry of a directory, where one answers the name.
    pub(crate) entry: Option<PinnedEntry>,
}

/// What is remembered of a directory's entry beside its document.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PinnedEntry {
    /// The key of the directory; another one counts its entries anew.
    pub(crate) directory: NetId,
    pub(crate) sequence: u64,
    pub(crate) expires: UnixTime,
}

impl PinnedEntry {
    pub(crate) fn of(entry: &DirectoryEntry) -> Self {
        let (sequence, expires) = (entry.sequence(), entry.expires());
        Self { directory: *entry.directory(), sequence, expires }
    }
}

impl Pinned {
    /// Whether the pinned key is `key`, or named it as its successor, in one step or several, in
    /// documents among `earlier` that are no older than what was seen of it.
    pub(crate) fn leads_to(&self, key: &NetId, earlier: &[&EntityDocument]) -> bool {
        let documents = || self.document.iter().chain(earlier.iter().copied());
        let (mut known, mut least) = (self.netid, self.sequence());
        // As many steps as there are documents: more would go in a circle.
        for _ in 0..=documents().count() {
            if known == *key {
                return true;
            }
            let next = documents().find_map(|document| {
                let description = document.description();
                let counts = *document.netid() == known && description.sequence >= least;
                description.successor.filter(|_| counts)
            });
            let Some(next) = next else { return false };
            (known, least) = (next, 0);
        }
        false
    }

    /// Whether nothing in `other`, about the same key, is newer than what is here.
    pub(crate) fn is_as_new_as(&self, other: &Self) -> bool {
        let entry = |pinned: &Self| pinned.entry.as_ref().map(|entry| entry.sequence);
        self.sequence() >= other.sequence() && entry(self) >= entry(other)
    }

    /// Documents below it are older than what was seen.
    pub(crate) fn sequence(&self) -> u64 {
        self.document.as_ref().map_or(0, |document| document.description().sequence)
    }
}

/// Why a pin cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// The file cannot be read.
    #[error("{path} cannot be read", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file or its directory cannot be written; what was pinned is as before.
    #[error("{path} cannot be written", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Others can change the file.
    #[error(
        "{path} can be changed by others (owner {owner}, mode {mode:o}), make it yours and run: \
         chmod 600 {path}", path = path.display()
    )]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Its mode.
        mode: u32,
    },
    /// The file is damaged. Remove it only if you know by other means whose key is right.
    #[error("{path} does not say which key the name has", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The pins of a data directory. The calls do file I/O and block for its time.
#[derive(Clone, Debug)]
pub(crate) struct Pins {
    directory: PathBuf,
}

impl Pins {
    pub(crate) fn new(data: &Path) -> Self {
        Self { directory: data.join("pins") }
    }

    /// What was accepted for `name`, a name in small letters without a dot at its end.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Pinned>, PinError> {
        let path = self.directory.join(name);
        let failed = |source| PinError::Read { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let metadata = file.metadata().map_err(failed)?;
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
        if owner != geteuid().as_raw() || mode & 0o022 != 0 {
            return Err(PinError::Unsafe { path, owner, mode });
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
        decode(&bytes).map(Some).ok_or(PinError::Malformed { path })
    }

    /// Keeps what was accepted for `name`; a crash leaves the old pin or the new one.
    pub(crate) fn write(&self, name: &str, pinned: &Pinned) -> Result<(), PinError> {
        let path = self.directory.join(name);
        let write = || -> io::Result<()> {
            let mut suffix = [0; 8];
            getrandom::fill(&mut suffix).map_err(io::Error::other)?;
            // No name begins with a dot.
            let random = u64::from_le_bytes(suffix);
            let temporary = self.directory.join(format!(".{random:016x}"));
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&temporary)?;
            let written = file.write_all(&encode(pinned)).and_then(|()| file.sync_all());
            let written = written.and_then(|()| fs::rename(&temporary, &path));
            if written.is_err() {
                drop(fs::remove_file(&temporary));
            }
            written?;
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|source| PinError::Write { path: path.clone(), source })
    }
}

/// The key as text on a line of its own, in which the directory's key, number and end of an entry
/// may follow; then the document, if any.
fn encode(pinned: &Pinned) -> Vec<u8> {
    let mut line = pinned.netid.to_string();
    if let Some(PinnedEntry { directory, sequence, expires }) = &pinned.entry {
        line = format!("{line} {directory} {sequence} {}", expires.0);
    }
    let mut bytes = (line + "\n").into_bytes();
    bytes.extend(pinned.document.iter().flat_map(EntityDocument::encode));
    bytes
}

fn decode(bytes: &[u8]) -> Option<Pinned> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at(end);
    let words: Vec<&str> = str::from_utf8(line).ok()?.split(' ').collect();
    let (netid, entry) = match words[..] {
        [netid] => (netid, None),
        [netid, directory, sequence, expires] => {
            let (sequence, expires) = (sequence.parse().ok()?, UnixTime(expires.parse().ok()?));
            let directory = directory.parse().ok()?;
            (netid, Some(PinnedEntry { directory, sequence, expires }))
        }
        _ => return None,
    };
    let netid: NetId = netid.parse().ok()?;
    let document = match rest.get(1..)? {
        [] => None,
        rest => Some(EntityDocument::decode(rest).ok()?),
    };
    let is_one = document.as_ref().is_none_or(|document| *document.netid() == netid);
    is_one.then_some(Pinned { netid, document, entry })
}

/// A line with two keys and two numbers, and a document.
const MAX_FILE: u64 = 256 + MAX_ENTITY_BYTES as u64;
