//! Files that only their owner may see: checked when read, whole or not there when written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
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
    /// The system says no.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Reads a file that belongs to this user and to nobody else.
pub(crate) fn read(path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    read_as(path, max, user())
}

/// Writes a file that must not exist yet.
pub(crate) fn create(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
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
    sync_folder(path).map_err(io_error)
}

/// Writes a file in place of an earlier one: a reader sees either, whole.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), PrivateFileError> {
    let io_error = |source| PrivateFileError::Io { path: path.to_owned(), source };
    let temporary = write_beside(path, content).map_err(io_error)?;
    fs::rename(&temporary, path).map_err(|error| {
        drop(fs::remove_file(&temporary));
        io_error(error)
    })?;
    sync_folder(path).map_err(io_error)
}

/// Removes a file; one that is not there is as good.
pub(crate) fn remove(path: &Path) -> Result<(), PrivateFileError> {
    let io_error = |source| PrivateFileError::Io { path: path.to_owned(), source };
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(error)),
        _ => sync_folder(path).map_err(io_error),
    }
}

/// The user this process acts for.
pub(crate) fn user() -> u32 {
    geteuid().as_raw()
}

fn read_as(path: &Path, max: u64, user: u32) -> Result<Zeroizing<Vec<u8>>, PrivateFileError> {
    let io_error = |source| PrivateFileError::Io { path: path.to_owned(), source };
    // Without it, opening a pipe would wait for a writer.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    let file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => PrivateFileError::Missing { path: path.to_owned() },
        _ => io_error(source),
    })?;
    check(&file, path, max, user)?;
    // One allocation, so that no copy of a secret is left behind by growing.
    let mut content = Zeroizing::new(Vec::with_capacity(max as usize + 1));
    file.take(max + 1).read_to_end(&mut content).map_err(io_error)?;
    if content.len() as u64 > max {
        return Err(PrivateFileError::TooLong { path: path.to_owned(), max });
    }
    Ok(content)
}

/// Looks at the opened file, which nobody can exchange any more.
fn check(file: &File, path: &Path, max: u64, user: u32) -> Result<(), PrivateFileError> {
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
    if mode & 0o077 != 0 {
        return Err(PrivateFileError::Mode { path, mode });
    }
    if metadata.len() > max {
        return Err(PrivateFileError::TooLong { path, max });
    }
    Ok(())
}

/// Writes a new file beside `path`, for this user alone, and waits until it is on the disk.
fn write_beside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let random = getrandom::u64().map_err(io::Error::from)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{random:016x}"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    if let Err(error) = written {
        drop(fs::remove_file(&temporary));
        return Err(error);
    }
    Ok(temporary)
}

/// Makes a rename last.
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

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

        let foreign = read_as(&path, 9, user() + 1).unwrap_err();
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
    fn what_is_no_such_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert!(matches!(read(&path, 9).unwrap_err(), PrivateFileError::Missing { .. }));
        assert!(matches!(read(folder.path(), 9).unwrap_err(), PrivateFileError::NotAFile { .. }));
        create(&path, &[0; 10]).unwrap();
        assert!(matches!(read(&path, 9).unwrap_err(), PrivateFileError::TooLong { .. }));
    }
}
