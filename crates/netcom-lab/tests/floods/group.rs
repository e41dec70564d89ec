//! A memory group of the kernel (cgroup v1) that a process is put into.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

/// A group with a limit; it is gone with this value, once its processes are.
pub(crate) struct Group(PathBuf);

impl Group {
    /// Makes one in which all processes together have so many bytes, their sockets' included.
    pub(crate) fn new(limit: u64) -> io::Result<Self> {
        let path = Path::new(ROOT).join(format!("netcom-lab-{}", process::id()));
        // Where there is no cgroup v1 this would make an ordinary folder, or nothing.
        fs::metadata(Path::new(ROOT).join(LIMIT))?;
        fs::create_dir(&path)?;
        let group = Self(path);
        fs::write(group.0.join(LIMIT), limit.to_string())?;
        Ok(group)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Bytes in use, of the kernel for these processes too.
    pub(crate) fn usage(&self) -> u64 {
        self.number("memory.usage_in_bytes")
    }

    /// The most there ever were.
    pub(crate) fn peak(&self) -> u64 {
        self.number("memory.max_usage_in_bytes")
    }

    /// How often the limit was met.
    pub(crate) fn meetings(&self) -> u64 {
        self.number("memory.failcnt")
    }

    fn number(&self, name: &str) -> u64 {
        fs::read_to_string(self.0.join(name)).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel takes a moment to see that the last process is gone.
        let begun = Instant::now();
        while fs::remove_dir(&self.0).is_err() && begun.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Enters the group that the environment names, with what this process allocates from now on.
pub(crate) fn enter() {
    if let Some(path) = env::var_os(VARIABLE) {
        fs::write(Path::new(&path).join("cgroup.procs"), "0").unwrap();
    }
}

/// Tells a process which group it belongs to.
pub(crate) const VARIABLE: &str = "NETCOM_TEST_GROUP";
const ROOT: &str = "/sys/fs/cgroup/memory";
const LIMIT: &str = "memory.limit_in_bytes";
