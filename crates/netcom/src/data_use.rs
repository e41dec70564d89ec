//! How much was exchanged with a peer.

use std::ops::{Add, AddAssign};

use crate::session::SharedSession;

/// Bytes exchanged with a peer, before encryption: what the transports add is not counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct DataUse {
    /// Bytes of frames sent.
    pub sent: u64,
    /// Bytes of streams received, those that came again after links died included.
    pub received: u64,
}

impl DataUse {
    pub(crate) fn of(session: &SharedSession) -> Self {
        let stats = session.stats();
        let received = stats.received_bytes.saturating_add(stats.repeated_bytes);
        Self { sent: stats.sent_bytes, received }
    }
}

impl Add for DataUse {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            sent: self.sent.saturating_add(other.sent),
            received: self.received.saturating_add(other.received),
        }
    }
}

impl AddAssign for DataUse {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
