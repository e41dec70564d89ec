//! Which key each name led to before, in a file for each name in a data directory.

use std::{
    fs,
    path::{Path, PathBuf},
};

use netcom_identity::{DirectoryEntry, EntityDocument, MAX_ENTITY_BYTES, NetId, UnixTime};

use super::answer::succeeds;
use crate::private_file::{self, Lock, PrivateFileError};

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
        let documents: Vec<_> = self.document.iter().chain(earlier.iter().copied()).collect();
        succeeds(key, &self.netid, self.sequence(), &documents)
    }

    /// With what was found of the same key in the meantime: of the documents and of the entries the
    /// newer one each. Entries of two directories are not compared, the one that was found counts.
    pub(crate) fn merged(self, found: Self) -> Self {
        let document = match self.sequence() > found.sequence() {
            true => self.document,
            false => found.document.or(self.document),
        };
        let entry = match (self.entry, found.entry) {
            (Some(seen), Some(found))
                if seen.directory == found.directory && seen.sequence > found.sequence =>
            {
                Some(seen)
            }
            (seen, found) => found.or(seen),
        };
        Self { netid: found.netid, document, entry }
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
    /// The file or its folder cannot be used, or others can change it. What was pinned is as
    /// before.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// There are too many. None is dropped for another: whoever makes somebody look for many names
    /// could have any pin dropped.
    #[error("{path} remembers the keys of {MAX_PINS} names, no more fit", path = path.display())]
    Full {
        /// The folder.
        path: PathBuf,
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
        match private_file::read_shown(&path, MAX_FILE) {
            Ok(bytes) => decode(&bytes).map(Some).ok_or(PinError::Malformed { path }),
            Err(PrivateFileError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for whoever else changes pins. What is read from then on stays so until it is written.
    pub(crate) fn lock(&self) -> Result<Changing<'_>, PinError> {
        private_file::make_folder(&self.directory)?;
        // No name begins with a dot.
        let lock = Lock::take(&self.directory.join(".lock"))?;
        Ok(Changing { pins: self, _lock: lock })
    }
}

/// The right to change pins, until it is dropped.
pub(crate) struct Changing<'a> {
    pins: &'a Pins,
    _lock: Lock,
}

impl Changing<'_> {
    /// As [`Pins::read`].
    pub(crate) fn read(&self, name: &str) -> Result<Option<Pinned>, PinError> {
        self.pins.read(name)
    }

    /// Keeps what was accepted for `name`; a crash leaves the old pin or the new one.
    pub(crate) fn write(&self, name: &str, pinned: &Pinned) -> Result<(), PinError> {
        let path = self.pins.directory.join(name);
        if path.symlink_metadata().is_err() && self.count()? >= MAX_PINS {
            return Err(PinError::Full { path: self.pins.directory.clone() });
        }
        Ok(private_file::replace(&path, &encode(pinned))?)
    }

    /// Forgets what was accepted for `name`, damaged or not; tells whether there was anything.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, PinError> {
        let path = self.pins.directory.join(name);
        let was_there = path.symlink_metadata().is_ok();
        private_file::remove(&path)?;
        Ok(was_there)
    }

    fn count(&self) -> Result<usize, PinError> {
        let path = &self.pins.directory;
        let failed = |source| PrivateFileError::Io { path: path.clone(), source };
        let mut count = 0;
        for entry in fs::read_dir(path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            count += usize::from(!name.as_encoded_bytes().starts_with(b"."));
        }
        Ok(count)
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
/// As many names as a petname book has.
const MAX_PINS: usize = 10_000;

#[cfg(test)]
mod tests {
    use std::thread;

    use netcom_identity::{EntityDescription, SecretKey};

    use super::*;

    fn pinned(seed: u8) -> Pinned {
        let netid = SecretKey::from_bytes(&[seed; 32]).net_id();
        Pinned { netid, document: None, entry: None }
    }

    #[test]
    fn no_pin_is_dropped_for_another_and_those_there_are_can_change() {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::new(folder.path());
        pins.lock().unwrap().write("first.example.org", &pinned(1)).unwrap();
        for index in 1..MAX_PINS {
            fs::write(folder.path().join(format!("pins/n{index}.example.org")), "").unwrap();
        }
        let changing = pins.lock().unwrap();
        let full = changing.write("one-more.example.org", &pinned(2)).unwrap_err();
        assert!(matches!(full, PinError::Full { .. }), "{full}");
        changing.write("first.example.org", &pinned(2)).unwrap();
        assert_eq!(pins.read("first.example.org").unwrap(), Some(pinned(2)));

        assert!(changing.remove("n1.example.org").unwrap());
        assert!(!changing.remove("n1.example.org").unwrap());
        changing.write("one-more.example.org", &pinned(2)).unwrap();
    }

    #[test]
    fn of_what_two_found_of_a_key_the_newer_of_each_stays() {
        let key = SecretKey::from_bytes(&[1; 32]);
        let found = |document: u64, directory: u8, sequence: u64| {
            let description = EntityDescription::new(document, UnixTime(2000));
            let directory = SecretKey::from_bytes(&[directory; 32]).net_id();
            let entry = PinnedEntry { directory, sequence, expires: UnixTime(sequence) };
            Pinned {
                netid: key.net_id(),
                document: Some(EntityDocument::sign(&key, description).unwrap()),
                entry: Some(entry),
            }
        };
        assert_eq!(found(10, 8, 5).merged(found(9, 8, 6)), found(10, 8, 6));
        assert_eq!(found(9, 8, 6).merged(found(10, 8, 5)), found(10, 8, 6));
        assert_eq!(found(9, 7, 6).merged(found(10, 8, 5)), found(10, 8, 5));
        assert_eq!(found(10, 8, 5).merged(pinned(1)), found(10, 8, 5));
        assert_eq!(pinned(1).merged(found(10, 8, 5)), found(10, 8, 5));
    }

    #[test]
    fn of_two_who_pin_a_name_first_one_sees_what_the_other_did() {
        let folder = tempfile::tempdir().unwrap();
        let pins = Pins::new(folder.path());
        let first = |seed| {
            let changing = pins.lock().unwrap();
            let before = changing.read("example.org").unwrap();
            if before.is_none() {
                changing.write("example.org", &pinned(seed)).unwrap();
            }
            before.is_none()
        };
        let winners: Vec<bool> = thread::scope(|scope| {
            let threads: Vec<_> = (1..=8).map(|seed| scope.spawn(move || first(seed))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(winners.iter().filter(|is_first| **is_first).count(), 1);
    }
}
