//! Files of one user in a data directory: checked when read, whole or not there when written, and
//! changed by one process at a time. The calls do file I/O and block for its time.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    process::geteuid,
};
use zeroize::Zeroizing;

/// Why a private file was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateFileError {
    /// It is not there.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is there already and is not overwritten.
    #[error("{} exists already and is not overwritten: move it away first", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Others can read or change it, so it is no secret any more.
    #[error(
        "{} has mode {mode:o}, so others can use it: run chmod 600 {} if nobody did",
        path.display(), path.display()
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to another user, who may know and change it.
    #[error(
        "{} belongs to user {owner}, not to user {user}: remove it, or run chown {user} {} if it \
         is yours",
        path.display(), path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// A folder, a device or another thing is in its place.
    #[error("{} is not a file: move it away", path.display())]
    NotAFile {
        /// What is there.
        path: PathBuf,
    },
    /// No such file is that long.
    #[error("{} has more than {max} bytes, so it is something else: move it away", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// How long it may be.
        max: u64,
    },
    /// Another process has been changing files for seconds; look what it does, and try again.
    #[error("{} is held by another process: try again", path.display())]
    Busy {
        /// The lock.
        path: PathBuf,
    },
    /// The system says no.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The right to change what a lock stands for, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Waits for other processes, and other threads of this one, up to 5 s. The lock is a file of
    /// its own, which stays: files that are replaced cannot be held. What writers that were killed
    /// left beside it is removed.
    ///
    /// # Errors
    /// [`PrivateFileError::Busy`], or the folder is missing or cannot be written.
    pub fn take(path: &Path) -> Result<Self, PrivateFileError> {
        let io_error = |source| PrivateFileError::Io { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(io_error)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if started.elapsed() < LOCK_WITHIN => {
                    thread::sleep(LOCK_PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(PrivateFileError::Busy { path: path.to_owned() });
                }
                Err(TryLockError::Error(source)) => return Err(io_error(source)),
            }
        }
        clear_temporary(folder_of(path));
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a child that was forked meanwhile holds the same open file.
        drop(self.file.unlock());
    }
}

/// Makes a folder for this user alone, with those above it; one that is there is as good.
///
/// # Errors
/// The system says no.
pub fn make_folder(path: &Path) -> Result<(), PrivateFileError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| PrivateFileError::Io { path: path.to_owned(), source })
}

/// Reads a secret: a file of at most `max` bytes that this user alone can read and change.
///
/// # Errors
/// It is missing, too long, not this user's alone, or no file.
pub fn read(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    read_as(path, max, user(), OTHERS)
}

/// Reads a file of at most `max` bytes that this user alone can change, whoever can read it.
///
/// # Errors
/// As for [`read`].
pub fn read_shown(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    read_as(path, max, user(), OTHERS_WRITE)
}

/// Writes a file that must not exist yet, for this user alone.
///
/// # Errors
/// [`PrivateFileError::Exists`], or the system says no.
pub fn create(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    let io_error = |source| PrivateFileError::Io { path: path.to_owned(), source };
    let exists = || PrivateFileError::Exists { path: path.to_owned() };
    if path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let temporary = write_beside(path, content).map_err(io_error)?;
    let renamed = renameat_with(CWD, &temporary, CWD, path, RenameFlags::NOREPLACE);
    match renamed.map_err(io::Error::from) {
        Ok(()) => {}
        Err(error) => {
            // Some file systems know no such rename; a hard link does not replace either.
            let linked = match error.kind() {
                io::ErrorKind::AlreadyExists => Err(error),
                _ => fs::hard_link(&temporary, path),
            };
            drop(fs::remove_file(&temporary));
            linked.map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => exists(),
                _ => io_error(error),
            })?;
        }
    }
    sync(folder_of(path)).map_err(io_error)
}

/// Writes a file in place of an earlier one, for this user alone: a reader sees either, whole, and
/// so does who looks after a crash.
///
/// # Errors
/// The system says no; the file is as before.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    replace_all(folder_of(path), [(path.to_owned(), content)])
}

/// Writes files of one folder, each as [`replace`] does, and waits for the folder once.
///
/// # Errors
/// The system says no; the files from that one on are as before.
pub fn replace_all<C: AsRef<[u8]>>(
    folder: &Path,
    files: impl IntoIterator<Item = (PathBuf, C)>,
) -> Result<(), PrivateFileError> {
    for (path, content) in files {
        let temporary = write_beside(&path, content.as_ref());
        let renamed = temporary.and_then(|temporary| {
            let renamed = fs::rename(&temporary, &path);
            renamed.inspect_err(|_| drop(fs::remove_file(&temporary)))
        });
        renamed.map_err(|source| PrivateFileError::Io { path, source })?;
    }
    sync(folder).map_err(|source| PrivateFileError::Io { path: folder.to_owned(), source })
}

/// Removes a file; one that is not there is as good, in a folder that is.
///
/// # Errors
/// The system says no.
pub fn remove(path: &Path) -> Result<(), PrivateFileError> {
    let io_error = |source| PrivateFileError::Io { path: path.to_owned(), source };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(error)),
        _ => sync(folder_of(path)).map_err(io_error),
    }
}

/// The user this process acts for.
#[must_use]
pub fn user() -> u32 {
    geteuid().as_raw()
}

fn read_as(
    path: &Path,
    max: u64,
    user: u32,
    refused: u32,
) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let io_error = |source| PrivateFileError::Io { path: path.to_owned(), source };
    // Without it, opening a pipe would wait for a writer.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => PrivateFileError::Missing { path: path.to_owned() },
        _ => io_error(source),
    })?;
    let length = check(&file, path, max, user, refused)?;
    // One allocation, so that no copy of a secret is left behind by growing.
    let mut content = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    file.take(max + 1).read_to_end(&mut content).map_err(io_error)?;
    if content.len() as u64 > max {
        return Err(PrivateFileError::TooLong { path: path.to_owned(), max });
    }
    Ok(content)
}

/// Looks at the opened file, which nobody can exchange any more, and tells its length.
fn check(
    file: &File,
    path: &Path,
    max: u64,
    user: u32,
    refused: u32,
) -> Result<u64, PrivateFileError> {
    let path = path.to_owned();
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(source) => return Err(PrivateFileError::Io { path, source }),
    };
    if !metadata.is_file() {
        return Err(PrivateFileError::NotAFile { path });
    }
    if metadata.uid() != user {
        return Err(PrivateFileError::Owner { path, owner: metadata.uid(), user });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & refused != 0 {
        return Err(PrivateFileError::Mode { path, mode });
    }
    if metadata.len() > max {
        return Err(PrivateFileError::TooLong { path, max });
    }
    Ok(metadata.len())
}

/// Writes a new file beside `path`, for this user alone, and waits until it is on the disk.
fn write_beside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let random = getrandom::u64().map_err(io::Error::from)?;
    // Without the name, which may be as long as names of files can be.
    let temporary = folder_of(path).join(format!(".{random:016x}"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written {
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    Ok(temporary)
}

/// Removes what writers that were killed left in a folder, which may be a whole secret. That of a
/// writer who lives is younger; what cannot be removed stays.
fn clear_temporary(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.map_while(Result::ok).filter(|entry| is_temporary(&entry.file_name())) {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|changed| SystemTime::now().duration_since(changed).ok());
        if age.is_some_and(|age| age > WRITTEN_WITHIN) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// Whether it is a name that [`write_beside`] gives.
fn is_temporary(name: &OsStr) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match name.as_encoded_bytes() {
        [b'.', digits @ ..] => digits.len() == 16 && digits.iter().all(is_digit),
        _ => false,
    }
}

/// The folder of a file, of a bare name the current one.
fn folder_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Makes renames in a folder last.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl PrivateFileError {
    /// A stable name of what went wrong.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "file_missing",
            Self::Exists { .. } => "file_exists",
            Self::Mode { .. } => "file_open_to_others",
            Self::Owner { .. } => "file_foreign",
            Self::NotAFile { .. } => "not_a_file",
            Self::TooLong { .. } => "file_too_long",
            Self::Busy { .. } => "file_busy",
            Self::Io { .. } => "file_io",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some("netcom id new".to_owned()),
            Self::Mode { path, .. } => Some(format!("chmod 600 {}", path.display())),
            Self::Owner { path, user, .. } => Some(format!("chown {user} {}", path.display())),
            Self::Exists { path } | Self::NotAFile { path } | Self::TooLong { path, .. } => {
                Some(format!("mv {0} {0}.old", path.display()))
            }
            Self::Busy { .. } | Self::Io { .. } => None,
        }
    }

    /// Whether the same call can work later without anything being repaired.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

/// What a secret allows nobody else to do, and what no file does.
const OTHERS: u32 = 0o077;
const OTHERS_WRITE: u32 = 0o022;
/// How long a process waits for another one, which needs milliseconds.
const LOCK_WITHIN: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// No writer takes as long for some kilobytes, on whatever disk.
const WRITTEN_WITHIN: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_only_its_owner_may() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"first").unwrap();
        assert_eq!(read(&path, 5).unwrap().as_slice(), b"first");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);

        let refused = create(&path, b"second").unwrap_err();
        assert!(matches!(refused, PrivateFileError::Exists { .. }), "{refused}");
        assert_eq!(read(&path, 5).unwrap().as_slice(), b"first");

        replace(&path, b"third").unwrap();
        assert_eq!(read(&path, 5).unwrap().as_slice(), b"third");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn files_of_others_and_for_others_are_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        create(&path, b"x").unwrap();

        let foreign = read_as(&path, 9, user() + 1, OTHERS).unwrap_err();
        assert!(matches!(foreign, PrivateFileError::Owner { .. }));
        assert!(foreign.to_string().contains("chown"), "{foreign}");

        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let open = read(&path, 9).unwrap_err();
            assert!(matches!(open, PrivateFileError::Mode { mode: found, .. } if found == mode));
            assert!(open.to_string().contains("chmod 600"), "{open}");
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            read(&path, 9).unwrap();
        }
    }

    #[test]
    fn what_is_no_secret_may_be_read_by_others_and_changed_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("names");
        create(&path, b"x").unwrap();
        for (mode, is_fine) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_shown(&path, 9).is_ok(), is_fine, "{mode:o}");
        }
    }

    #[test]
    fn of_many_who_change_a_file_none_undoes_what_another_did() {
        let folder = tempfile::tempdir().unwrap();
        let [path, lock] = ["count", "count.lock"].map(|name| folder.path().join(name));
        create(&path, &[0]).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let _lock = Lock::take(&lock).unwrap();
                        let count = read(&path, 1).unwrap()[0];
                        replace(&path, &[count + 1]).unwrap();
                    }
                });
            }
        });
        assert_eq!(read(&path, 1).unwrap()[0], 100);
    }

    #[test]
    fn a_lock_is_given_back_though_a_forked_child_still_has_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::take(&path).unwrap();
        // The same open file, as a fork would share it.
        let shared = lock.file.try_clone().unwrap();
        let other = File::open(&path).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(lock);
        other.try_lock().unwrap();
        drop(shared);
    }

    #[test]
    fn what_a_killed_writer_left_is_gone_with_the_next_lock_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let old = SystemTime::now() - WRITTEN_WITHIN - Duration::from_secs(60);
        let left = write_beside(&folder.path().join("key"), b"a whole key").unwrap();
        let being_written = write_beside(&folder.path().join("key"), b"another").unwrap();
        let others = [".0123456789abcdeg", ".0123456789abcde", "0123456789abcdef0", ".hidden"]
            .map(|name| folder.path().join(name));
        others.iter().for_each(|path| fs::write(path, b"").unwrap());
        for path in others.iter().chain([&left]) {
            File::options().write(true).open(path).unwrap().set_modified(old).unwrap();
        }
        Lock::take(&folder.path().join(".lock")).unwrap();
        assert!(!left.exists());
        assert!(being_written.exists() && others.iter().all(|path| path.exists()));
    }

    #[test]
    fn a_file_may_have_as_long_a_name_as_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("n".repeat(255));
        create(&path, b"first").unwrap();
        replace(&path, b"second").unwrap();
        assert_eq!(read(&path, 6).unwrap().as_slice(), b"second");
    }

    #[test]
    fn several_files_are_replaced_as_one_is() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["one", "two"].map(|name| folder.path().join(name));
        create(&paths[0], b"before").unwrap();
        replace_all(folder.path(), paths.iter().map(|path| (path.clone(), "now"))).unwrap();
        for path in &paths {
            assert_eq!(read(path, 3).unwrap().as_slice(), b"now");
        }
        let missing = folder.path().join("missing/three");
        let refused = replace_all(folder.path(), [(missing.clone(), "now")]).unwrap_err();
        assert!(matches!(refused, PrivateFileError::Io { path, .. } if path == missing));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left beside them");
    }

    #[test]
    fn a_bare_name_is_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("names")), Path::new("."));
        assert_eq!(folder_of(Path::new("data/names")), Path::new("data"));
    }

    #[test]
    fn only_a_lock_that_is_held_is_worth_trying_again() {
        let path = PathBuf::from("lock");
        assert!(PrivateFileError::Busy { path: path.clone() }.is_retryable());
        assert!(!PrivateFileError::Missing { path }.is_retryable());
    }

    #[test]
    fn what_is_no_such_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(matches!(read(&path, 9).unwrap_err(), PrivateFileError::Missing { .. }));
        assert!(matches!(read(folder.path(), 9).unwrap_err(), PrivateFileError::NotAFile { .. }));
        create(&path, &[0; 10]).unwrap();
        assert!(matches!(read(&path, 9).unwrap_err(), PrivateFileError::TooLong { .. }));
    }
}
