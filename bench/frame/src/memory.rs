//! Memory of processes.

use std::{fs, time::Duration};

use tokio::time;

/// Memory a process has in use, in bytes; `None` where the system has no `/proc`.
pub fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}

/// Waits until the memory of two processes stays as it is, and tells it.
pub async fn settled(pids: [u32; 2]) -> Option<[u64; 2]> {
    let look = || Some([resident(pids[0])?, resident(pids[1])?]);
    let mut last = look()?;
    for _ in 0..MAX_LOOKS {
        time::sleep(INTERVAL).await;
        let now = look()?;
        if now == last {
            break;
        }
        last = now;
    }
    Some(last)
}

const INTERVAL: Duration = Duration::from_millis(250);
const MAX_LOOKS: u32 = 12;
