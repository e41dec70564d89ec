//! The calendar time of this machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netcom_identity::UnixTime;

pub(crate) fn unix_now() -> UnixTime {
    UnixTime(since_epoch().as_secs())
}

pub(crate) fn unix_millis() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// A clock before 1970 counts as 1970: every proof is then not yet valid, and says so.
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
