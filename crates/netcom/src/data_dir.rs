//! The folder in which one identity lives: its keys, its names, and who uses it now.

use std::{
    env,
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;

use netcom_discovery::private_file::{self, PrivateFileError};

/// A data directory of a format this version knows.
///
/// ```
/// # use netcom::DataDir;
/// # let folder = tempfile::tempdir()?;
/// let directory = DataDir::open(folder.path().join("netcom"))?;
/// let lock = directory.lock()?; // the one long-running node of this directory
/// assert!(directory.lock().is_err());
/// # drop(lock);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DataDir {
    path: PathBuf,
}

/// Held by the one process that runs a data directory's node, until it is dropped or the process
/// ends, however it ends.
#[derive(Debug)]
pub struct DataDirLock {
    file: File,
    directory: PathBuf,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// The environment names no place for it.
    #[error("no home directory is known: name a data directory or set NETCOM_DATA_DIR")]
    NoHome,
    /// A newer version wrote it. Nothing was changed.
    #[error(
        "{} has format {found}, and this version knows formats up to {FORMAT}: use the newer \
         netcom, or name another data directory",
        path.display()
    )]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// Its version file is damaged.
    #[error("{} is damaged: write {FORMAT} into it if no newer netcom was here", path.display())]
    Version {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error("{} belongs to user {owner}: name another data directory", path.display())]
    Owner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others could exchange the keys in it.
    #[error("others may write into {}: run chmod 700 {}", path.display(), path.display())]
    Mode {
        /// The directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another process runs its node.
    #[error(
        "{} is in use by {}: end that, use it, or name another data directory",
        path.display(),
        holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, if it said so.
        holder: Option<u32>,
    },
    /// A file in it cannot be used.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The system says no.
    #[error("{} cannot be used", path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl DataDir {
    /// Where a data directory is: at `argument` if given, else where `NETCOM_DATA_DIR` says, else
    /// `netcom` in `$XDG_DATA_HOME` or in `~/.local/share`.
    ///
    /// # Errors
    /// None of them says anything.
    pub fn locate(argument: Option<&Path>) -> Result<PathBuf, DataDirError> {
        locate_in(argument, |name| env::var_os(name))
    }

    /// Opens a data directory, which is made if it is not there.
    ///
    /// # Errors
    /// It is of a newer format, others could change it, or the system says no.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        let io_error = |source| DataDirError::Io { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(io_error)?;
        let metadata = fs::metadata(&path).map_err(io_error)?;
        if metadata.uid() != private_file::user() {
            return Err(DataDirError::Owner { path, owner: metadata.uid() });
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o022 != 0 {
            return Err(DataDirError::Mode { path, mode });
        }
        let directory = Self { path };
        directory.check_version()?;
        Ok(directory)
    }

    /// Whether there is a data directory at `path`.
    #[must_use]
    pub fn exists(path: &Path) -> bool {
        path.join(VERSION).exists()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The socket at which its running node is asked.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    /// Takes the directory for the one long-running node of it.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] while another process has it.
    pub fn lock(&self) -> Result<DataDirLock, DataDirError> {
        let path = self.path.join("lock");
        let io_error = |source| DataDirError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        // Not emptied: it says who holds the directory.
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only a help for people, so it may be missing or half written.
                drop((&mut file).take(32).read_to_string(&mut holder));
                let holder = holder.trim().parse().ok();
                return Err(DataDirError::InUse { path: self.path.clone(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(io_error(source)),
        }
        let mut note = || {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        note().map_err(io_error)?;
        Ok(DataDirLock { file, directory: self.path.clone() })
    }

    fn check_version(&self) -> Result<(), DataDirError> {
        let path = self.path.join(VERSION);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(private_file::replace(&path, format!("{FORMAT}\n").as_bytes())?);
            }
            Err(source) => return Err(DataDirError::Io { path, source }),
        };
        let text = text.get(..text.len().min(32)).unwrap_or_default();
        let found = str::from_utf8(text).ok().and_then(|text| text.trim().parse::<u64>().ok());
        match found {
            Some(FORMAT) => Ok(()),
            Some(found) if found > FORMAT => {
                Err(DataDirError::Newer { path: self.path.clone(), found })
            }
            _ => Err(DataDirError::Version { path }),
        }
    }
}

impl DataDirLock {
    /// Notes the name of this process and tells the one of the process that held the directory
    /// before, which is known to be gone.
    pub(crate) fn succeed(&self, instance: [u8; 16]) -> Result<Option<[u8; 16]>, DataDirError> {
        let path = self.directory.join("instance");
        let before = match private_file::read(&path, 64) {
            Ok(text) => HEXLOWER.decode(text.trim_ascii()).ok().and_then(|id| id.try_into().ok()),
            Err(PrivateFileError::Missing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let text = format!("{}\n", HEXLOWER.encode(&instance));
        private_file::replace(&path, text.as_bytes())?;
        Ok(before)
    }

    /// The directory that is held.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for DataDirLock {
    fn drop(&mut self) {
        // The file stays, because removing it would let two processes hold two files of one name.
        drop(self.file.set_len(0));
        drop(self.file.unlock());
    }
}

impl DataDirError {
    /// A stable name of what went wrong.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoHome => "data_dir_unknown",
            Self::Newer { .. } => "data_dir_newer",
            Self::Version { .. } => "data_dir_damaged",
            Self::Owner { .. } => "data_dir_foreign",
            Self::Mode { .. } => "data_dir_open_to_others",
            Self::InUse { .. } => "data_dir_in_use",
            Self::File(error) => error.code(),
            Self::Io { .. } => "data_dir_io",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoHome => Some("set NETCOM_DATA_DIR to a folder of yours".to_owned()),
            Self::Newer { .. } | Self::Owner { .. } => {
                Some("name another data directory, such as --data-dir ./netcom-data".to_owned())
            }
            Self::Version { path } => Some(format!("echo {FORMAT} > {}", path.display())),
            Self::Mode { path, .. } => Some(format!("chmod 700 {}", path.display())),
            Self::InUse { holder, .. } => holder.map(|pid| format!("kill {pid}")),
            Self::File(error) => error.hint(),
            Self::Io { .. } => None,
        }
    }

    /// Whether the same call can work later without anything being repaired.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }
}

fn locate_in(
    argument: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<PathBuf, DataDirError> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The XDG specification has relative paths ignored.
    let absolute = |name| set(name).filter(|path| path.is_absolute());
    argument
        .map(Path::to_owned)
        .or_else(|| set("NETCOM_DATA_DIR"))
        .or_else(|| Some(absolute("XDG_DATA_HOME")?.join("netcom")))
        .or_else(|| Some(absolute("HOME")?.join(".local/share/netcom")))
        .ok_or(DataDirError::NoHome)
}

const VERSION: &str = "version";
const FORMAT: u64 = 1;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_argument_comes_before_the_environment_and_that_before_the_platform() {
        let all = |name: &str| match name {
            "NETCOM_DATA_DIR" => Some("relative/to/here".into()),
            "XDG_DATA_HOME" => Some("/xdg".into()),
            "HOME" => Some("/home/me".into()),
            _ => None,
        };
        let located = |argument, hidden: &[&str]| {
            let visible = |name: &str| all(name).filter(|_| !hidden.contains(&name));
            locate_in(argument, visible).ok()
        };
        let (own, xdg) = ("NETCOM_DATA_DIR", "XDG_DATA_HOME");
        assert_eq!(located(Some(Path::new("here")), &[]), Some("here".into()));
        assert_eq!(located(None, &[]), Some("relative/to/here".into()));
        assert_eq!(located(None, &[own]), Some("/xdg/netcom".into()));
        assert_eq!(located(None, &[own, xdg]), Some("/home/me/.local/share/netcom".into()));
        assert_eq!(located(None, &[own, xdg, "HOME"]), None);
        let relative = |name: &str| (name == xdg).then(|| "relative".into());
        assert!(matches!(locate_in(None, relative), Err(DataDirError::NoHome)));
    }

    #[test]
    fn a_directory_of_a_newer_format_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        assert!(!DataDir::exists(&path));
        DataDir::open(&path).unwrap();
        assert!(DataDir::exists(&path));
        assert_eq!(fs::read_to_string(path.join(VERSION)).unwrap(), "1\n");
        DataDir::open(&path).unwrap();

        fs::write(path.join(VERSION), "2\n").unwrap();
        let newer = DataDir::open(&path).unwrap_err();
        assert!(matches!(newer, DataDirError::Newer { found: 2, .. }));
        assert!(newer.to_string().contains("use the newer netcom"), "{newer}");
        assert_eq!(fs::read_to_string(path.join(VERSION)).unwrap(), "2\n");

        for damaged in ["", "one", "0", "1 1", "-1", "\u{0}"] {
            fs::write(path.join(VERSION), damaged).unwrap();
            let error = DataDir::open(&path).unwrap_err();
            assert!(matches!(error, DataDirError::Version { .. }), "{damaged:?}");
        }
    }

    #[test]
    fn a_directory_others_can_write_to_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        let error = DataDir::open(&path).unwrap_err();
        assert!(error.to_string().contains("chmod 700"), "{error}");
    }

    #[test]
    fn one_process_holds_a_directory_and_the_next_learns_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDir::open(folder.path().join("data")).unwrap();
        let first = directory.lock().unwrap();
        assert_eq!(first.succeed([1; 16]).unwrap(), None);

        let refused = directory.lock().unwrap_err();
        let pid = std::process::id();
        assert!(matches!(refused, DataDirError::InUse { holder: Some(p), .. } if p == pid));
        assert!(refused.is_retryable());

        drop(first);
        let second = directory.lock().unwrap();
        assert_eq!(second.succeed([2; 16]).unwrap(), Some([1; 16]));
    }
}
