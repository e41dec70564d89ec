//! The registry's directory: files that only their owner writes and only the living hold.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, UNIX_EPOCH},
};

use rustix::{
    fs::{
        AtFlags, CWD, Dev, Dir, FileType, FlockOperation, Mode, OFlags, RawMode, Stat, flock,
        fstat, mkdirat, openat, renameat, statat, unlinkat,
    },
    io::Errno,
    process::{Uid, geteuid},
};

use super::RegistryError;

/// An open directory of mode 0700 that belongs to this user. Files are reached through its
/// descriptor, so nobody can put another directory in its place.
#[derive(Debug)]
pub(super) struct Directory {
    descriptor: OwnedFd,
    path: PathBuf,
    owner: Uid,
}

/// A file of ours in the directory. Its lock says that we live, for as long as this is not
/// dropped; the kernel lets go of it however the process ends.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    name: String,
}

/// What a look at a file shows.
#[derive(Debug)]
pub(super) enum Entry {
    /// Whoever wrote it holds it still.
    Alive {
        /// Tells this version of the file from others.
        version: Version,
        content: Vec<u8>,
    },
    /// Whoever wrote it is gone.
    Stale(Version),
    /// Not a file to trust, or (without a version) none that can be opened.
    Foreign(Option<Version>),
}

/// Tells a file from another one that had its name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Version {
    device: Dev,
    inode: u64,
    seconds: i64,
    nanoseconds: i64,
}

/// The most files that are looked at.
pub(super) const MAX_FILES: usize = 4_096;
/// The largest file that is read.
pub(super) const MAX_FILE: usize = 8 * 1024;

/// The most directory entries that are read, hidden ones included.
const MAX_ENTRIES: usize = 2 * MAX_FILES;
/// The file whose lock orders writers and sweepers.
const LOCK: &str = ".lock";
const TEMPORARY: &str = ".new-";
/// How long a writer waits for others, which need microseconds; after that it goes on, because a
/// stopped process must not stop others.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);
const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// More than the coarsest clock that file systems stamp changes with.
const CLOCK_TICK: Duration = Duration::from_millis(100);
const OTHERS: RawMode = 0o077;
/// What a file may allow: everything to the owner but running it, reading to others.
const FILE_MODE: RawMode = 0o644;

impl Directory {
    /// Opens the directory, which is made if its parent exists.
    pub(super) fn open(path: &Path) -> Result<Self, RegistryError> {
        let failed = |source: Errno| RegistryError::Directory {
            path: path.to_owned(),
            source: source.into(),
        };
        match mkdirat(CWD, path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let descriptor = openat(CWD, path, flags, Mode::empty()).map_err(failed)?;
        let stat = fstat(&descriptor).map_err(failed)?;
        let owner = geteuid();
        if stat.st_uid != owner.as_raw() {
            return Err(RegistryError::Owner { path: path.to_owned(), owner: stat.st_uid });
        }
        if stat.st_mode & OTHERS != 0 {
            let mode = stat.st_mode & 0o7777;
            // Its width is the system's.
            return Err(RegistryError::Mode { path: path.to_owned(), mode: mode as _ });
        }
        Ok(Self { descriptor, path: path.to_owned(), owner })
    }

    /// Puts a file in place at once and whole, and keeps hold of it.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> io::Result<Held> {
        let order = self.lock_in_time()?;
        if order.is_some() {
            self.clear_temporary()?;
        }
        let temporary = format!("{TEMPORARY}{name}");
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.descriptor, &temporary, flags, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(file);
        // Locked before anybody sees it under its name, so that it never looks stale.
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(content)?;
        renameat(&self.descriptor, &temporary, &self.descriptor, name)?;
        Ok(Held { file, name: name.to_owned() })
    }

    /// Removes a file of ours, unless another process has put its own in its place.
    pub(super) fn remove(&self, held: &Held) -> io::Result<()> {
        let _order = self.lock_in_time()?;
        let ours = Version::of(&fstat(&held.file)?);
        match self.stat(&held.name)? {
            Some(stat) if Version::of(&stat) == ours => self.unlink(&held.name),
            _ => Ok(()),
        }
    }

    /// Removes a stale file, if it is still the same one and nobody is busy with the directory.
    pub(super) fn sweep(&self, name: &str, version: Version) -> io::Result<()> {
        let Some(_order) = self.try_lock()? else { return Ok(()) };
        match self.stat(name)? {
            Some(stat) if Version::of(&stat) == version => self.unlink(name),
            _ => Ok(()),
        }
    }

    /// The names of the files, hidden ones excepted, up to [`MAX_FILES`].
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.descriptor)?.take(MAX_ENTRIES) {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if !name.starts_with('.') && names.len() < MAX_FILES {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// Reads a file if it is one to trust and its writer lives.
    pub(super) fn read(&self, name: &str) -> io::Result<Entry> {
        // Without `NONBLOCK`, a named pipe would keep us waiting for its other end.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.descriptor, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO | Errno::ACCESS) => {
                return Ok(Entry::Foreign(None));
            }
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&file)?;
        let version = Version::of(&stat);
        if !self.is_trusted(&stat) {
            return Ok(Entry::Foreign(Some(version)));
        }
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(Entry::Stale(version)),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(error.into()),
        }
        let mut content = Vec::new();
        let length = file.take(MAX_FILE as u64 + 1).read_to_end(&mut content)?;
        let is_whole = length <= MAX_FILE;
        Ok(if is_whole { Entry::Alive { version, content } } else { Entry::Foreign(Some(version)) })
    }

    /// When the set of files changed last.
    pub(super) fn changed(&self) -> io::Result<Version> {
        Ok(Version::of(&fstat(&self.descriptor)?))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn is_trusted(&self, stat: &Stat) -> bool {
        FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == self.owner.as_raw()
            && stat.st_mode & 0o7777 & !FILE_MODE == 0
            && stat.st_size <= MAX_FILE as _
    }

    fn stat(&self, name: &str) -> io::Result<Option<Stat>> {
        match statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.descriptor, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what killed writers left. The caller holds the lock, so nobody is writing.
    fn clear_temporary(&self) -> io::Result<()> {
        for entry in Dir::read_from(&self.descriptor)?.take(MAX_ENTRIES) {
            match entry?.file_name().to_str() {
                Ok(name) if name.starts_with(TEMPORARY) => self.unlink(name)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn try_lock(&self) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&self.descriptor, LOCK, flags, Mode::RUSR | Mode::WUSR)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(lock)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn lock_in_time(&self) -> io::Result<Option<OwnedFd>> {
        let started = Instant::now();
        loop {
            match self.try_lock()? {
                None if started.elapsed() < LOCK_TIMEOUT => thread::sleep(LOCK_PAUSE),
                lock => return Ok(lock),
            }
        }
    }
}

impl Held {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Version {
    /// Whether nothing can have happened in the same tick of the file system's clock any more.
    pub(super) fn is_settled(&self) -> bool {
        let seconds = Duration::from_secs(u64::try_from(self.seconds).unwrap_or(0));
        let nanoseconds = Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0));
        let changed = UNIX_EPOCH + seconds + nanoseconds;
        changed.elapsed().is_ok_and(|passed| passed > CLOCK_TICK)
    }

    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            seconds: stat.st_mtime,
            nanoseconds: stat.st_mtime_nsec as i64,
        }
    }
}
