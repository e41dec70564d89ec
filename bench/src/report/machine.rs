//! Where the run was made.

use std::{fs, process::Command, thread};

use serde::Serialize;

/// What a reader must know of the machine to judge the figures.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) kernel: String,
    pub(crate) congestion_control: String,
    /// The commit that was measured, with `+` where files differ from it.
    pub(crate) commit: String,
    /// Load averages before and after.
    pub(crate) load: String,
    pub(crate) load_after: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let processor = read("/proc/cpuinfo");
        let processor = processor.lines().find(|line| line.starts_with("model name"));
        let processor = processor.and_then(|line| line.split_once(": ")).map_or("?", |(_, it)| it);
        Self {
            processor: processor.to_owned(),
            processors: thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease"),
            congestion_control: read("/proc/sys/net/ipv4/tcp_congestion_control"),
            commit: commit().unwrap_or_else(|| "?".to_owned()),
            load: load(),
            load_after: String::new(),
        }
    }

    pub(crate) fn look_again(&mut self) {
        self.load_after = load();
    }

    /// Whether others use the processors.
    pub(crate) fn is_busy(&self) -> bool {
        let minute = self.load.split(' ').next().and_then(|load| load.parse::<f64>().ok());
        minute.is_some_and(|load| load > BUSY)
    }
}

fn load() -> String {
    read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn read(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "?".to_owned(), |text| text.trim().to_owned())
}

fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(args);
        let output = command.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "../crates"])?;
    Some(if changed.is_empty() { commit } else { commit + "+" })
}

/// The load average above which figures say little.
const BUSY: f64 = 1.5;
