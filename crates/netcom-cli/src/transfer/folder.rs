//! Where received files are kept until they are verified, and how they get their final name.
//!
//! Everything of a transfer stands below `.netcom-partial/<id>` in the receiving folder: `lock`,
//! the journal of verified entries, and one file per entry, with `.part` at the end of its name
//! until it is verified. `final` holds the name that was chosen, written before the rename, so
//! that a successor of a killed process knows whether the rename happened.

use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use blake3::Hasher;
use rustix::fs::{CWD, RenameFlags};

use super::{
    TransferError,
    journal::{Verified, VerifiedEntry, no_follow},
    manifest::Manifest,
    message::{Kind, Part},
    names::RESERVED,
};
use crate::failure::Failure;

/// A folder that files are received into.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// One transfer's files. The calls do file I/O and block for its time.
#[derive(Debug)]
pub(super) struct Staging {
    root: PathBuf,
    home: PathBuf,
    manifest: Manifest,
    journal: Verified,
    verified: HashMap<usize, VerifiedEntry>,
    /// What was hashed of unfinished entries.
    begun: HashMap<usize, Hasher>,
    current: Option<Current>,
    /// Everything stands under its final name already.
    is_final: Option<String>,
    _lock: File,
}

#[derive(Debug)]
struct Current {
    index: usize,
    file: Option<File>,
    size: u64,
    hasher: Hasher,
}

/// A folder keeps at most this many unfinished transfers.
const MAX_PARTIAL: usize = 64;
/// An unfinished transfer that nobody touched for so long is removed.
const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long another process, perhaps a dying one, may hold a transfer.
const LOCK_WAIT: Duration = Duration::from_secs(5);
/// With more files than this one call writes them all to the disk.
const FEW: usize = 64;
/// How many names are tried where the own one is taken.
const MAX_TRIES: usize = 1_000;

impl Folder {
    /// Opens or makes the folder, and sweeps up what was left there long ago.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::io(format_args!("{} cannot take files", path.display()), &error)
        };
        fs::create_dir_all(path).map_err(failed)?;
        let folder = Self { root: fs::canonicalize(path).map_err(failed)? };
        make_folder(&folder.partial(), 0o700).map_err(failed)?;
        let metadata = fs::symlink_metadata(folder.partial()).map_err(failed)?;
        if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
            let message = format!("{} is not a folder of yours", folder.partial().display());
            return Err(Failure::failed("folder_refused", message).hint("remove it"));
        }
        folder.sweep().map_err(failed)?;
        Ok(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.root
    }

    fn partial(&self) -> PathBuf {
        self.root.join(format!("{RESERVED}partial"))
    }

    fn sweep(&self) -> io::Result<()> {
        let now = SystemTime::now();
        for entry in fs::read_dir(self.partial())? {
            let entry = entry?;
            let changed = entry.metadata()?.modified()?;
            let is_old = now.duration_since(changed).is_ok_and(|age| age > MAX_AGE);
            let lock = File::open(entry.path().join("lock"));
            if is_old && lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Opens what there is of a transfer, or begins it.
    pub(super) fn stage(&self, id: &str, manifest: Manifest) -> Result<Staging, TransferError> {
        let home = self.partial().join(id);
        if !home.exists() && fs::read_dir(self.partial()).map_err(disk)?.count() >= MAX_PARTIAL {
            let message = "there are too many unfinished transfers in the folder";
            return Err(TransferError::here(Failure::failed("disk_full", message)));
        }
        let lock = lock(&home)?;
        Staging::open(&self.root, home, manifest, lock)
    }
}

impl Staging {
    fn open(
        root: &Path,
        home: PathBuf,
        manifest: Manifest,
        lock: File,
    ) -> Result<Self, TransferError> {
        make_folder(&home.join("files"), 0o700).map_err(disk)?;
        let (journal, entries) = Verified::open(&home.join("journal")).map_err(disk)?;
        let mut staging = Self {
            root: root.to_owned(),
            home,
            manifest,
            journal,
            verified: HashMap::new(),
            begun: HashMap::new(),
            current: None,
            is_final: None,
            _lock: lock,
        };
        staging.is_final = staging.final_name();
        for entry in entries {
            let Some(expected) = staging.manifest.entries().get(entry.index) else { continue };
            let is_there = staging.is_final.is_some()
                || fs::symlink_metadata(staging.place(entry.index))
                    .is_ok_and(|found| found.is_file() && found.len() == entry.size);
            if is_there && (expected.size == entry.size || staging.is_stream()) {
                staging.verified.insert(entry.index, entry);
            }
        }
        staging.check_space()?;
        Ok(staging)
    }

    /// The name everything stands under, if that happened.
    fn final_name(&self) -> Option<String> {
        let name = fs::read_to_string(self.home.join("final")).ok()?;
        let is_moved = !self.payload().exists() && self.root.join(&name).exists();
        is_moved.then_some(name)
    }

    /// What gets the final name.
    fn payload(&self) -> PathBuf {
        match self.manifest.kind() {
            Kind::Folder => self.home.join("tree"),
            Kind::File | Kind::Stream => self.home.join("files/0"),
        }
    }

    fn is_stream(&self) -> bool {
        self.manifest.kind() == Kind::Stream
    }

    fn check_space(&self) -> Result<(), TransferError> {
        let have: u64 = self.verified.values().map(|entry| entry.size).sum();
        let missing = self.manifest.bytes().unwrap_or(0).saturating_sub(have);
        let Ok(system) = rustix::fs::statvfs(&self.root) else { return Ok(()) };
        let free = system.f_bavail.saturating_mul(system.f_frsize);
        // Parts that are there already count as missing only if it is tight anyway.
        if missing > free.saturating_add(self.partial_bytes()) {
            let message = format!("{missing} bytes are to come and {free} are free");
            return Err(TransferError::here(Failure::failed("disk_full", message)));
        }
        Ok(())
    }

    fn partial_bytes(&self) -> u64 {
        let files = fs::read_dir(self.home.join("files")).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
    }

    /// Where an entry is once it is verified: in the tree if that was begun.
    fn place(&self, index: usize) -> PathBuf {
        let flat = self.home.join("files").join(index.to_string());
        match self.manifest.entries().get(index) {
            Some(entry) if self.manifest.kind() == Kind::Folder && !flat.exists() => {
                let inside = self.home.join("tree").join(&entry.path);
                if inside.exists() { inside } else { flat }
            }
            _ => flat,
        }
    }

    fn part(&self, index: usize) -> PathBuf {
        self.home.join("files").join(format!("{index}.part"))
    }

    /// What is here already, with the hash of each part.
    pub(super) fn have(&mut self) -> Result<Vec<Part>, TransferError> {
        let mut parts = Vec::new();
        for (index, entry) in self.manifest.entries().iter().enumerate() {
            if let Some(verified) = self.verified.get(&index) {
                parts.push(part(index, verified.size, verified.hash));
                continue;
            }
            // What a dead sender's stdin said cannot be said again.
            if entry.is_folder || self.is_stream() {
                continue;
            }
            let Some(file) = open_part(&self.part(index)).map_err(disk)? else { continue };
            let mut hasher = Hasher::new();
            let bytes = hash_prefix(&file, entry.size, &mut hasher).map_err(disk)?;
            if bytes > 0 {
                parts.push(part(index, bytes, hasher.finalize()));
                self.begun.insert(index, hasher);
            }
        }
        Ok(parts)
    }

    /// The data that follows is of this entry, from this offset on.
    pub(super) fn begin(&mut self, index: usize, offset: u64) -> Result<(), TransferError> {
        let entry = match self.manifest.entries().get(index) {
            Some(entry) if !entry.is_folder && self.current.is_none() => entry,
            _ => return Err(TransferError::protocol("data for no file")),
        };
        if let Some(verified) = self.verified.get(&index)
            && verified.size == offset
        {
            let size = verified.size;
            let hasher = Hasher::new();
            self.current = Some(Current { index, file: None, size, hasher });
            return Ok(());
        }
        if self.is_final.is_some() || self.verified.remove(&index).is_some() {
            // The source is another one than the one that is here.
            self.wipe();
            let message = "the file changed since it was sent before";
            let error = TransferError::here(Failure::failed("source_changed", message));
            return Err(error.retryable());
        }
        let begun = self.begun.remove(&index).filter(|hasher| hasher.count() == offset);
        let hasher = match begun {
            Some(hasher) => hasher,
            None if offset == 0 => Hasher::new(),
            None => return Err(TransferError::protocol("data from an offset never offered")),
        };
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(entry.mode | 0o600)
            .custom_flags(no_follow())
            .open(self.part(index))
            .map_err(disk)?;
        file.set_len(offset).map_err(disk)?;
        self.current = Some(Current { index, file: Some(file), size: offset, hasher });
        Ok(())
    }

    pub(super) fn data(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        let is_stream = self.is_stream();
        let Some(current) = &mut self.current else {
            return Err(TransferError::protocol("data for no file"));
        };
        let size = current.size + bytes.len() as u64;
        let expected = self.manifest.entries()[current.index].size;
        match &mut current.file {
            Some(file) if is_stream || size <= expected => {
                file.write_all(bytes).map_err(disk)?;
                current.hasher.update(bytes);
                current.size = size;
                Ok(())
            }
            _ => Err(TransferError::protocol("more data than the file has")),
        }
    }

    /// The entry is complete: it is verified, or removed.
    pub(super) fn end(&mut self, size: u64, hash: &[u8]) -> Result<(), TransferError> {
        let current = self.current.take();
        let current = current.ok_or_else(|| TransferError::protocol("an end of no file"))?;
        let expected = self.manifest.entries()[current.index].size;
        let is_sized = current.size == size && (self.is_stream() || size == expected);
        let own_hash = match self.verified.get(&current.index) {
            Some(verified) => verified.hash,
            None => current.hasher.finalize(),
        };
        if !is_sized || own_hash.as_bytes()[..] != *hash {
            self.wipe();
            let message = "what arrived is not what was sent";
            return Err(TransferError::here(Failure::failed("not_verified", message)));
        }
        let Some(file) = current.file else { return Ok(()) };
        if self.manifest.entries().len() <= FEW {
            file.sync_all().map_err(disk)?;
        }
        let place = self.home.join("files").join(current.index.to_string());
        fs::rename(self.part(current.index), place).map_err(disk)?;
        let entry = VerifiedEntry { index: current.index, size, hash: own_hash };
        self.journal.add(&entry).map_err(disk)?;
        self.verified.insert(current.index, entry);
        Ok(())
    }

    /// Moves everything to its final name, which is returned.
    pub(super) fn finish(&mut self) -> Result<String, TransferError> {
        let files = self.manifest.entries().iter().filter(|entry| !entry.is_folder).count();
        if self.current.is_some() || self.verified.len() != files {
            return Err(TransferError::protocol("the end before all files were sent"));
        }
        if let Some(name) = &self.is_final {
            return Ok(name.clone());
        }
        if self.manifest.kind() == Kind::Folder {
            self.build_tree().map_err(disk)?;
        }
        if self.manifest.entries().len() > FEW {
            let home = File::open(&self.home).map_err(disk)?;
            rustix::fs::syncfs(&home).map_err(|error| disk(error.into()))?;
        } else {
            File::open(self.home.join("files")).and_then(|it| it.sync_all()).map_err(disk)?;
        }
        let name = self.rename().map_err(disk)?;
        File::open(&self.root).and_then(|root| root.sync_all()).map_err(disk)?;
        self.is_final = Some(name.clone());
        Ok(name)
    }

    fn build_tree(&self) -> io::Result<()> {
        let tree = self.home.join("tree");
        make_folder(&tree, 0o777)?;
        for entry in self.manifest.entries() {
            if let Some((parents, _)) = entry.path.rsplit_once('/') {
                DirBuilder::new().recursive(true).create(tree.join(parents))?;
            }
            if entry.is_folder {
                make_folder(&tree.join(&entry.path), entry.mode | 0o700)?;
            }
        }
        for (index, entry) in self.manifest.entries().iter().enumerate() {
            let place = self.place(index);
            let target = tree.join(&entry.path);
            if !entry.is_folder && place != target {
                fs::rename(place, target)?;
            }
        }
        Ok(())
    }

    /// Takes the first name that is free; nothing is ever replaced.
    fn rename(&self) -> io::Result<String> {
        let own = self.manifest.name();
        for number in 0..MAX_TRIES {
            let name = numbered(own, number, self.manifest.kind());
            let target = self.root.join(&name);
            if fs::symlink_metadata(&target).is_ok() {
                continue;
            }
            // Written first: without it a successor could not tell what happened.
            write_synced(&self.home.join("final"), name.as_bytes())?;
            match rename_new(&self.payload(), &target) {
                Ok(()) => return Ok(name),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "all names like it are taken"))
    }

    /// Removes everything that is not final.
    pub(super) fn wipe(&mut self) {
        self.current = None;
        self.verified.clear();
        self.is_final = None;
        if let Err(error) = fs::remove_dir_all(&self.home) {
            tracing::warn!(%error, "Unfinished transfer not removed");
        }
    }

    /// Nobody will ask for this transfer again.
    pub(super) fn is_resumable(&self) -> bool {
        !self.is_stream()
    }
}

fn lock(home: &Path) -> Result<File, TransferError> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        make_folder(home, 0o700).map_err(disk)?;
        let path = home.join("lock");
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(&path);
        match opened {
            Ok(file) => match file.try_lock() {
                // Whoever held it may have removed it meanwhile.
                Ok(()) if is_same(&file, &path) => return Ok(file),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(disk(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(disk(error)),
        }
        if Instant::now() >= deadline {
            let message = "another process is receiving the same transfer";
            let error = TransferError::here(Failure::failed("busy", message));
            return Err(error.retryable());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(file), Ok(path)) => file.ino() == path.ino() && file.dev() == path.dev(),
        _ => false,
    }
}

fn part(index: usize, bytes: u64, hash: blake3::Hash) -> Part {
    Part { index: index as u64, bytes, hash: hash.as_bytes().to_vec() }
}

fn open_part(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).custom_flags(no_follow()).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Hashes the file up to a number of bytes, and returns how many there were.
pub(super) fn hash_prefix(file: &File, max: u64, hasher: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; super::PIECE_BYTES];
    let mut limited = file.take(max);
    let mut bytes = 0;
    loop {
        match limited.read(&mut buffer)? {
            0 => return Ok(bytes),
            count => {
                hasher.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}

fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Renames unless the target exists.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // The file system cannot; the target was absent a moment ago.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => fs::rename(from, to),
        Err(error) => Err(error.into()),
    }
}

/// `a.txt`, then `a (1).txt`, `a (2).txt` and so on.
fn numbered(name: &str, number: usize, kind: Kind) -> String {
    if number == 0 {
        return name.to_owned();
    }
    match name.rsplit_once('.') {
        Some((stem, extension)) if kind != Kind::Folder && !stem.is_empty() => {
            format!("{stem} ({number}).{extension}")
        }
        _ => format!("{name} ({number})"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err asks for")]
fn disk(error: io::Error) -> TransferError {
    TransferError::here(Failure::io("the file cannot be written", &error))
}
