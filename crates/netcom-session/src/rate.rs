//! Limits of rate: how fast bytes may go, and when the next ones may.

use std::{fmt, num::NonZeroU64, str::FromStr, time::Duration};

use crate::Time;

/// A number of bytes in a second, at least one.
///
/// ```
/// use netcom_session::Rate;
///
/// let rate: Rate = "2.5M".parse()?;
/// assert_eq!(rate.bytes_per_second(), 2_500_000);
/// assert_eq!(rate.to_string(), "2.5 MB/s");
/// # Ok::<(), netcom_session::ParseRateError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Rate(NonZeroU64);

/// Why a text is no [`Rate`]: write bytes a second, such as `500k`, `5M` or `1.5G`.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a rate: expected bytes a second, such as 500k, 5M or 1.5G")]
pub struct ParseRateError;

/// Lets bytes go at a rate: pauses grow with what went, and time spent idle is credit for a
/// hundredth of a second at most.
///
/// The generic cell rate algorithm in its form of virtual scheduling
/// ([ITU-T I.371, annex A](https://www.itu.int/rec/T-REC-I.371)), for pieces of any length: a
/// piece goes whole, and the next one waits for its time.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rate: Rate,
    /// When everything that went is paid for.
    paid_at: Time,
}

impl Rate {
    /// Makes a rate; `None` for zero, at which nothing would ever go.
    #[must_use]
    pub fn new(bytes_per_second: u64) -> Option<Self> {
        NonZeroU64::new(bytes_per_second).map(Self)
    }

    /// Bytes in a second.
    #[must_use]
    pub fn bytes_per_second(self) -> u64 {
        self.0.get()
    }

    /// How long that many bytes take.
    #[must_use]
    pub fn time_of(self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.0.get());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Pace {
    /// Starts without credit.
    #[must_use]
    pub fn new(rate: Rate, now: Time) -> Self {
        Self { rate, paid_at: now }
    }

    /// The rate.
    #[must_use]
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether something may go now.
    #[must_use]
    pub fn is_ready(&self, now: Time) -> bool {
        self.paid_at <= now
    }

    /// From when on something may go.
    #[must_use]
    pub fn ready_at(&self) -> Time {
        self.paid_at
    }

    /// Charges bytes that went.
    pub fn spend(&mut self, bytes: u64, now: Time) {
        let credit = u64::try_from(MAX_CREDIT.as_nanos()).unwrap_or(u64::MAX);
        let from = self.paid_at.max(Time(now.0.saturating_sub(credit)));
        self.paid_at = from + self.rate.time_of(bytes);
    }
}

impl FromStr for Rate {
    type Err = ParseRateError;

    fn from_str(text: &str) -> Result<Self, ParseRateError> {
        let (number, unit) = match text.char_indices().next_back().ok_or(ParseRateError)? {
            (at, 'k' | 'K') => (&text[..at], 1e3),
            (at, 'M') => (&text[..at], 1e6),
            (at, 'G') => (&text[..at], 1e9),
            _ => (text, 1.0),
        };
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number: f64 = number.parse().map_err(|_| ParseRateError)?;
        // Rounds; beyond what a number can be it is the largest one.
        Self::new((number * unit).round() as u64).filter(|_| is_plain).ok_or(ParseRateError)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.0.get();
        let (unit, name) = match rate {
            1_000_000_000.. => (1e9, "GB/s"),
            1_000_000.. => (1e6, "MB/s"),
            1_000.. => (1e3, "kB/s"),
            _ => return write!(f, "{rate} B/s"),
        };
        let tenths = (rate as f64 / unit * 10.0).round() / 10.0;
        write!(f, "{tenths} {name}")
    }
}

/// Idle time that counts as credit: longer than timers are late, shorter than anyone notices.
const MAX_CREDIT: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(bytes: u64) -> Rate {
        Rate::new(bytes).expect("not zero")
    }

    /// Sends pieces as soon as they may go, asked every `tick`, and returns the bytes of a second.
    fn bytes_in_a_second(rate: Rate, piece: u64, tick: Duration) -> u64 {
        let mut pace = Pace::new(rate, Time(0));
        let (mut now, mut bytes) = (Time(0), 0);
        while now < Time(1_000_000_000) {
            while pace.is_ready(now) {
                pace.spend(piece, now);
                bytes += piece;
            }
            now = now + tick;
        }
        bytes
    }

    #[test]
    fn the_rate_is_kept_whatever_the_pieces_and_however_late_the_timer() {
        for target in [50_000, 5_000_000, 1_000_000_000] {
            for piece in [100, 1000, 16_000] {
                for tick in [10_u64, 1000, 5000].map(Duration::from_micros) {
                    let bytes = bytes_in_a_second(rate(target), piece, tick);
                    let allowed = target + target / 100 + piece;
                    assert!(bytes <= allowed, "{bytes} of {target} in pieces of {piece}");
                    assert!(bytes >= target - target / 50, "{bytes} of {target} by {piece}");
                }
            }
        }
    }

    #[test]
    fn idle_time_is_credit_for_a_hundredth_of_a_second_only() {
        let mut pace = Pace::new(rate(1_000_000), Time(0));
        let later = Time(0) + Duration::from_secs(3600);
        let mut bytes = 0;
        while pace.is_ready(later) {
            pace.spend(1000, later);
            bytes += 1000;
        }
        assert_eq!(bytes, 11_000);
    }

    #[test]
    fn the_largest_numbers_overflow_nothing() {
        let mut pace = Pace::new(rate(1), Time(u64::MAX));
        pace.spend(u64::MAX, Time(u64::MAX));
        assert_eq!(pace.ready_at(), Time(u64::MAX));
        assert_eq!(rate(u64::MAX).time_of(u64::MAX), Duration::from_secs(1));
    }

    #[test]
    fn rates_are_read_with_units_and_nothing_else_is() {
        for (text, bytes) in
            [("1", 1), ("500k", 500_000), ("5M", 5_000_000), ("1.5G", 1_500_000_000)]
        {
            assert_eq!(text.parse(), Ok(rate(bytes)), "{text}");
        }
        for text in ["", "0", "M", "-5M", "5m", "5 M", "1e9", "inf", "NaN", "5MB", "0.1", "+5", "é"]
        {
            assert_eq!(text.parse::<Rate>(), Err(ParseRateError), "{text}");
        }
        assert_eq!(rate(999).to_string(), "999 B/s");
        assert_eq!(rate(5_000_000).to_string(), "5 MB/s");
    }
}
