//! How a run went, or what did not hold.

use std::{fmt, time::Duration};

use super::check::Counts;

/// How a run went.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// One number for all that happened.
    pub trace: u64,
    /// Virtual time that passed.
    pub span: Duration,
    /// Things that happened: arrivals, timers, steps.
    pub events: u64,
    /// Packets that were carried.
    pub packets: u64,
    /// Packets that were lost, for whatever cause.
    pub lost: u64,
    /// How exchanges went.
    pub counts: Counts,
}

/// Something that must hold did not.
#[derive(Clone, Debug, thiserror::Error)]
#[error("after {at:?}: {what}{}", after(.lines))]
pub struct Broken {
    /// When.
    pub at: Duration,
    /// What.
    pub what: String,
    /// The last lines of the trace, if it has any.
    pub lines: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, events, packets, lost, counts } = self;
        write!(f, "{counts}; {span:?}, {events} events, {packets} packets, {lost} lost; {trace:x}")
    }
}

fn after(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n{line}")).collect()
}
