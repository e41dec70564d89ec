//! What is written down so that a killed process's successor knows where it was.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Entries of a transfer that are verified, one line each; appended, never rewritten.
#[derive(Debug)]
pub(super) struct Verified {
    file: File,
}

/// An entry that was verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct VerifiedEntry {
    pub(super) index: usize,
    pub(super) size: u64,
    pub(super) hash: blake3::Hash,
}

/// A journal beyond this is not ours.
const MAX_JOURNAL_BYTES: u64 = 16 << 20;

impl Verified {
    /// Opens the journal and reads it. A line that was cut short by a kill counts for nothing.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<VerifiedEntry>)> {
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(path)?;
        let mut text = String::new();
        // Anything unreadable is as good as nothing: it is sent again.
        if (&mut file).take(MAX_JOURNAL_BYTES).read_to_string(&mut text).is_err() {
            text.clear();
        }
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        Ok((Self { file }, text.lines().filter_map(parse).collect()))
    }

    pub(super) fn add(&mut self, entry: &VerifiedEntry) -> io::Result<()> {
        self.file.write_all(entry.to_line().as_bytes())
    }
}

impl VerifiedEntry {
    /// The entry's line in the journal.
    pub(super) fn to_line(self) -> String {
        format!("{} {} {}\n", self.index, self.size, self.hash.to_hex())
    }
}

pub(super) fn parse(line: &str) -> Option<VerifiedEntry> {
    let mut words = line.split(' ');
    let (index, size, hash) = (words.next()?, words.next()?, words.next()?);
    let is_whole = words.next().is_none();
    let entry = VerifiedEntry {
        index: index.parse().ok()?,
        size: size.parse().ok()?,
        hash: blake3::Hash::from_hex(hash).ok()?,
    };
    is_whole.then_some(entry)
}

/// Counts what was sent of a transfer, by all processes that worked on it, so that what was sent
/// twice can be told.
#[derive(Debug)]
pub(crate) struct SentLog {
    file: Option<(File, PathBuf)>,
    sent: u64,
}

impl SentLog {
    /// Counts within this process only.
    pub(crate) fn in_memory() -> Self {
        Self { file: None, sent: 0 }
    }

    /// Goes on counting in the file of that id.
    pub(crate) fn open(folder: &Path, id: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let path = folder.join(id);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(&path)?;
        let mut text = String::new();
        let sent = match (&mut file).take(64).read_to_string(&mut text) {
            Ok(_) => text.trim().parse().unwrap_or(0),
            Err(_) => 0,
        };
        Ok(Self { file: Some((file, path)), sent })
    }

    /// All bytes of files that were sent so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Counts before the bytes go, so that a kill never hides any.
    pub(crate) fn add(&mut self, bytes: u64) -> io::Result<()> {
        self.sent += bytes;
        match &self.file {
            Some((file, _)) => file.write_all_at(format!("{:020}\n", self.sent).as_bytes(), 0),
            None => Ok(()),
        }
    }

    /// The transfer is done.
    pub(crate) fn remove(self) {
        if let Some((_, path)) = self.file {
            // What stays behind is a small file that is swept up later.
            let _ = fs::remove_file(path);
        }
    }
}

pub(super) fn no_follow() -> i32 {
    // The bits are the same in both types.
    rustix::fs::OFlags::NOFOLLOW.bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cut_short_by_a_kill_counts_for_nothing_and_harms_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let entry = |index| VerifiedEntry { index, size: 9, hash: blake3::hash(b"x") };
        let (mut journal, entries) = Verified::open(&path).unwrap();
        assert!(entries.is_empty());
        journal.add(&entry(1)).unwrap();
        journal.file.write_all(b"2 9 abcd").unwrap();
        let (mut journal, entries) = Verified::open(&path).unwrap();
        assert_eq!(entries, [entry(1)]);
        journal.add(&entry(3)).unwrap();
        assert_eq!(Verified::open(&path).unwrap().1, [entry(1), entry(3)]);
    }

    #[test]
    fn the_count_of_sent_bytes_outlives_its_process() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = SentLog::open(folder.path(), "a").unwrap();
        log.add(5).unwrap();
        log.add(7).unwrap();
        let log = SentLog::open(folder.path(), "a").unwrap();
        assert_eq!(log.sent(), 12);
        log.remove();
        assert_eq!(SentLog::open(folder.path(), "a").unwrap().sent(), 0);
    }
}
