//! Counts what test runners report.

use std::{fmt, iter::Sum, ops::AddAssign};

/// How many tests ended which way.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// Reads one line of a runner's output, `None` where it is not a closing line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let line = without_colours(line);
        // Indented, such a line is what a test printed, repeated by its runner.
        if let Some(counts) = line.strip_prefix("test result: ") {
            let (_, counts) = counts.split_once(". ")?;
            return Some(Self::count(counts.split(';')));
        }
        if let Some(counts) = line.strip_prefix("===") {
            // pytest's last line, as `=== 1 failed, 2 passed in 0.10s ===`.
            let (counts, _) = counts.trim_matches(['=', ' ']).split_once(" in ")?;
            return Some(Self::count(counts.split(',')));
        }
        let (_, counts) = line.trim_start().strip_prefix("Summary [")?.split_once("run: ")?;
        Some(Self::count(counts.split(',')))
    }

    /// Turns tests that passed by saying that they could not run into skipped ones.
    pub(crate) fn skip(&mut self, tests: u64) {
        let tests = tests.min(self.passed);
        self.passed -= tests;
        self.skipped += tests;
    }

    fn count<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut tally = Self::default();
        for part in parts {
            let mut words = part.split_whitespace();
            let (Some(Ok(number)), Some(what)) =
                (words.next().map(str::parse::<u64>), words.next())
            else {
                continue;
            };
            match what {
                "passed" => tally.passed += number,
                "failed" | "timed" | "exec" | "error" | "errors" => tally.failed += number,
                "skipped" | "ignored" => tally.skipped += number,
                _ => {} // measured, filtered out
            }
        }
        tally
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |mut sum, part| {
            sum += part;
            sum
        })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The reason in a line by which a test says that it could not run.
pub(crate) fn skip_reason(line: &str) -> Option<&str> {
    line.trim_start().strip_prefix("SKIP: ").map(str::trim_end)
}

/// Drops the escape sequences by which runners colour their output.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut parts = line.split("\u{1b}[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_every_runner_are_counted() {
        let cases = [
            ("     Summary [   0.012s] 6 tests run: 6 passed, 0 skipped", (6, 0, 0)),
            (
                "     Summary [  61.2s] 9 tests run: 5 passed (1 slow), 2 failed, \
                 1 timed out, 1 exec failed, 3 skipped",
                (5, 4, 3),
            ),
            ("     Summary [   1.0s] 2/6 tests run: 1 passed, 1 failed, 0 skipped", (1, 1, 0)),
            (
                "test result: ok. 4 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; \
                 finished in 0.00s",
                (4, 0, 1),
            ),
            ("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured", (1, 2, 0)),
            ("=== 1 failed, 20 passed, 3 skipped, 2 errors in 61.20s (0:01:01) ===", (20, 3, 3)),
            ("============ 21 passed in 1.48s ============", (21, 0, 0)),
            (
                "\u{1b}[32;1m     Summary\u{1b}[0m [   0.1s] \u{1b}[1m1\u{1b}[0m test run: \
                 \u{1b}[1m1\u{1b}[0m \u{1b}[32;1mpassed\u{1b}[0m, \u{1b}[1m0\u{1b}[0m skipped",
                (1, 0, 0),
            ),
        ];
        for (line, (passed, failed, skipped)) in cases {
            assert_eq!(Tally::parse(line), Some(Tally { passed, failed, skipped }), "{line}");
        }
    }

    #[test]
    fn other_lines_are_not_counted() {
        for line in [
            "",
            "    test result: ok. 1 passed; 0 failed",
            "running 3 tests",
            "3 passed",
            "test summary ... ok",
        ] {
            assert_eq!(Tally::parse(line), None, "{line}");
        }
    }

    #[test]
    fn a_test_that_says_it_skipped_is_not_counted_as_passed() {
        let mut tally = Tally { passed: 3, failed: 0, skipped: 0 };
        tally.skip(1);
        assert_eq!(tally.to_string(), "2 passed, 0 failed, 1 skipped");
    }

    #[test]
    fn only_a_line_that_begins_so_is_a_skip() {
        assert_eq!(skip_reason("SKIP: needs root\n"), Some("needs root"));
        assert_eq!(skip_reason("a SKIP: line"), None);
    }
}
