//! The node's clock as the engines see it.

use std::time::Duration;

use netcom_session::Time;
use tokio::time::Instant;

/// Counts from the node's start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts a clock.
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// The time now.
    pub(crate) fn now(self) -> Time {
        Time(0) + self.start.elapsed()
    }

    /// When a time comes on the runtime's clock.
    pub(crate) fn instant(self, at: Time) -> Instant {
        let after = Duration::from_nanos(at.0);
        self.start.checked_add(after).unwrap_or_else(|| Instant::now() + FAR)
    }
}

/// Later than any deadline of ours.
const FAR: Duration = Duration::from_secs(86_400 * 365);
