//! Processor time: of processes, and of everybody else.

use std::{fs, process};

/// A moment from which on others are watched.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    busy: u64,
    all: u64,
    own: u64,
}

impl Watch {
    /// `None` where the system has no `/proc`.
    pub fn begin() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let counts = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        // What guests use is part of what users do.
        let counts: Vec<u64> = counts.take(8).map_while(|count| count.parse().ok()).collect();
        let all: u64 = counts.iter().sum();
        let idle = counts.get(IDLE)? + counts.get(IO_WAIT)?;
        let fields = fields_of(process::id())?;
        let own = [USER_TIME, SYSTEM_TIME, CHILDRENS_USER_TIME, CHILDRENS_SYSTEM_TIME];
        let own = own.map(|index| fields.get(index).copied());
        let own = own.into_iter().sum::<Option<u64>>()?;
        Some(Self { busy: all - idle, all, own })
    }

    /// The share of all processors' time since then that neither this process had, nor those it
    /// started and that have ended, nor nobody. Time stolen by the host counts.
    pub fn others(self) -> Option<f64> {
        let now = Self::begin()?;
        let busy = now.busy.saturating_sub(self.busy);
        let others = busy.saturating_sub(now.own.saturating_sub(self.own));
        Some(others as f64 / now.all.saturating_sub(self.all).max(1) as f64)
    }
}

/// Processor time a process has used, in seconds; `None` where the system has no `/proc`.
pub fn seconds_of(pid: u32) -> Option<f64> {
    let fields = fields_of(pid)?;
    Some((fields.get(USER_TIME)? + fields.get(SYSTEM_TIME)?) as f64 / TICKS_PER_SECOND)
}

/// Processor time of this process and another.
pub fn seconds_with(pid: u32) -> Option<f64> {
    Some(seconds_of(process::id())? + seconds_of(pid)?)
}

/// The numbers after the name; zero for what is none or below zero.
fn fields_of(pid: u32) -> Option<Vec<u64>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; the state follows it.
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    Some(fields.map(|field| field.parse().unwrap_or(0)).collect())
}

/// Fields after the name, as
/// [proc_pid_stat(5)](https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)
/// counts them.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
const CHILDRENS_USER_TIME: usize = 13;
const CHILDRENS_SYSTEM_TIME: usize = 14;
/// Columns of `/proc/stat`.
const IDLE: usize = 3;
const IO_WAIT: usize = 4;
/// `USER_HZ`, the same on every architecture Linux runs on today.
const TICKS_PER_SECOND: f64 = 100.0;
