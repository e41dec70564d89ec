//! Calendar time, as far as certificates need it.

use std::fmt;

/// A moment in whole seconds since 1970-01-01 00:00 UTC.
///
/// ```
/// # use netcom_identity::UnixTime;
/// assert!(UnixTime(5).plus_seconds(2) == UnixTime(7));
/// assert!(UnixTime(5).plus_seconds(u64::MAX) == UnixTime(u64::MAX));
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The moment `seconds` later, or the last one there is.
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// The moment `seconds` earlier, or the first one there is.
    #[must_use]
    pub fn minus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// How many seconds this moment lies after `earlier`; 0 if it does not.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s after 1970", self.0)
    }
}
