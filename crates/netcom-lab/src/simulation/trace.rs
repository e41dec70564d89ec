//! What happened, as one number and, where wanted, as text.

use std::collections::VecDeque;

use netcom_session::Time;

/// Everything that happened in a world: every packet with its bytes and every event.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    entries: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// Starts empty; keeps the newest lines of text only where they are wanted, because they take
    /// longer than what they tell of.
    pub(super) fn new(has_lines: bool) -> Self {
        Self { hash: 0, entries: 0, lines: has_lines.then(VecDeque::new) }
    }

    /// Notes something.
    pub(super) fn note(&mut self, at: Time, facts: &[u64], line: impl FnOnce() -> String) {
        self.entries += 1;
        self.mix(at.0);
        facts.iter().for_each(|fact| self.mix(*fact));
        if let Some(lines) = &mut self.lines {
            if lines.len() >= MAX_LINES {
                lines.pop_front();
            }
            lines.push_back(format!("{:14.6} {}", at.0 as f64 / 1e9, line()));
        }
    }

    /// Adds bytes to what was noted last.
    pub(super) fn mix_bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        rest.iter().for_each(|byte| self.mix(u64::from(*byte)));
    }

    /// One number for all of it: the same for the same run, and hardly for any other.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many packets and events there were.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The newest lines, the oldest first; none where they were not wanted.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().flatten().map(String::as_str)
    }

    fn mix(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    }
}

/// Lines that are kept.
const MAX_LINES: usize = 4000;
/// Odd, with bits of no pattern: those of pi's fraction.
const FACTOR: u64 = 0x243f_6a88_85a3_08d3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_tells_moment_order_and_bytes_apart() {
        let hash = |notes: &[(u64, &[u8])]| {
            let mut trace = Trace::new(false);
            for (at, bytes) in notes {
                trace.note(Time(*at), &[7], String::new);
                trace.mix_bytes(bytes);
            }
            trace.hash()
        };
        let one = hash(&[(1, b"0123456789"), (2, b"")]);
        assert_eq!(one, hash(&[(1, b"0123456789"), (2, b"")]));
        assert_ne!(one, hash(&[(2, b"0123456789"), (1, b"")]));
        assert_ne!(one, hash(&[(1, b"0123456788"), (2, b"")]));
        assert_ne!(one, hash(&[(1, b""), (2, b"0123456789")]));
    }
}
