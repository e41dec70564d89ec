//! The engine's limits and times.

use std::time::Duration;

use crate::wire::Limits;

/// Limits and times of a session. The defaults are the ones of docs/limits.md.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Bytes this side keeps for the peer's unacknowledged data. Default: 64 MiB.
    pub send_budget: usize,
    /// Bytes this side grants over all flows together. Default: 64 MiB.
    pub receive_budget: u64,
    /// The widest window of one flow. Default: 16 MiB.
    pub max_window: u64,
    /// A data flow's window once it carries data, where few others do. Default: 256 KiB.
    pub first_window: u64,
    /// Streams a peer may have open at the start. Default: 64.
    pub initial_streams: u64,
    /// Streams a peer may have open after growth. Default: 2,048.
    pub max_streams: u64,
    /// Streams that may wait for the application's accept. Default: 256.
    pub max_unaccepted: usize,
    /// How long a session without a link waits for one. Default: 60 s.
    pub resume_window: Duration,
    /// How long an answer to HELLO may take. Default: 5 s.
    pub hello_timeout: Duration,
    /// How long proof of the session may take. Default: 2 s.
    pub join_timeout: Duration,
    /// How long closing waits for finished data to be acknowledged. Default: 5 s.
    pub close_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            send_budget: 64 << 20,
            receive_budget: 64 << 20,
            max_window: 16 << 20,
            first_window: 256 << 10,
            initial_streams: 64,
            max_streams: 2048,
            max_unaccepted: 256,
            resume_window: Duration::from_secs(60),
            hello_timeout: Duration::from_secs(5),
            join_timeout: Duration::from_secs(2),
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// What this side's HELLO allows.
    pub(crate) fn limits(&self) -> Limits {
        Limits { streams: self.initial_streams, data_window: DATA_FLOOR, error_window: ERROR_FLOOR }
    }
}

/// Bytes a data flow may always carry, from OPEN on.
pub(crate) const DATA_FLOOR: u64 = 16 << 10;
/// Bytes an error flow may always carry, from OPEN on.
pub(crate) const ERROR_FLOOR: u64 = 4 << 10;
/// A data flow's window once it carries data, where many others do: two full frames over TCP. As
/// many streams as a peer may have by default fit the budget so.
pub(crate) const TURN_WINDOW: u64 = 32 << 10;
/// Streams a side may open before it has heard the other's HELLO.
pub(crate) const EARLY_STREAMS: u64 = 16;
/// Bytes a side may send before it has heard the other's HELLO.
pub(crate) const EARLY_BYTES: u64 = 64 << 10;
/// Bytes a writer may queue beyond its credit.
pub(crate) const WRITE_AHEAD: u64 = 64 << 10;
/// What a writer that waited for the session's budget finds at least.
pub(crate) const BUDGET_SHARE: usize = 64 << 10;
/// What the smallest queue entry is charged.
pub(crate) const MIN_CHARGE: usize = 64;
/// Unacknowledged frames a link may hold.
pub(crate) const MAX_FRAMES_IN_FLIGHT: usize = 8192;
/// Links a session may have.
pub(crate) const MAX_LINKS: usize = 8;
/// Links that may come to a session in a second.
pub(crate) const MAX_ATTACHES: u32 = 10;
/// Dead links whose final counts are awaited.
pub(crate) const MAX_DEAD_LINKS: usize = 16;
/// Unidirectional lanes a QUIC link uses per direction, beside lane 0.
pub(crate) const MAX_LANES: usize = 64;
/// Received bytes that make an acknowledgement due at once.
pub(crate) const LACK_BYTES: usize = 64 << 10;
/// How long an acknowledgement may wait for company.
pub(crate) const LACK_DELAY: Duration = Duration::from_millis(10);
/// How long a sender waits for credit before it says so.
pub(crate) const BLOCKED_AFTER: Duration = Duration::from_secs(1);
/// Between two looks for such senders.
pub(crate) const BLOCKED_PAUSE: Duration = Duration::from_millis(100);
/// Gaps a flow may have.
pub(crate) const MAX_FLOW_GAPS: usize = 1024;
/// Gaps a session may have.
pub(crate) const MAX_SESSION_GAPS: usize = 8192;
/// Stream ids below the highest that were not yet seen.
pub(crate) const MAX_STREAM_GAPS: usize = 1024;
/// Frames that may change nothing, beside a tenth of all.
pub(crate) const USELESS_ALLOWANCE: u64 = 1000;
/// Repeated bytes allowed for each change of links.
pub(crate) const DUPLICATE_ALLOWANCE: u64 = 16 << 20;
/// Streams a peer may open and reset in one second before the application answered.
pub(crate) const RESETS_PER_SECOND: u32 = 200;
/// How long final counts of a dead link are waited for beside a living one.
pub(crate) const FINALS_WAIT: Duration = Duration::from_millis(500);
/// How long the keeper tolerates two links that do the same.
pub(crate) const DUPLICATE_LINK_GRACE: Duration = Duration::from_secs(1);
