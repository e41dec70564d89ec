//! What is measured, and what a measurement says.

use std::{collections::BTreeMap, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One thing that is measured of a peer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Case {
    /// One stream, one way, by the peer's fastest interface.
    Bulk,
    /// The same where the caller hands in slices, for a peer whose fastest interface takes more.
    BulkSlices,
    /// A message there and back on a stream that is open.
    RoundTrip,
    /// A message there and back on a stream of its own.
    Request,
}

/// How long each case takes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Plan {
    /// Before each case, not counted.
    pub(crate) warm_up: Duration,
    pub(crate) bulk: Duration,
    pub(crate) latency: Duration,
    /// Leaves the other cases out.
    pub(crate) only: Option<Case>,
}

/// One case in one round.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Measurement {
    /// In the case's unit: GB/s, or the median of the round's samples in µs.
    pub(crate) value: f64,
    /// Bytes moved, or exchanges made.
    pub(crate) count: u64,
    /// The tail of the round's samples in µs, of latencies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99: Option<f64>,
    /// Processor time of both processes, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cpu_seconds: Option<f64>,
}

/// What a client found out in one round.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Findings {
    pub(crate) cases: BTreeMap<Case, Measurement>,
    /// What was agreed with the server, such as the cipher suite.
    pub(crate) facts: Vec<String>,
}

impl Case {
    pub(crate) const ALL: [Self; 4] =
        [Self::Bulk, Self::BulkSlices, Self::RoundTrip, Self::Request];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Bulk => "one stream",
            Self::BulkSlices => "one stream, slices",
            Self::RoundTrip => "round trip, 64 B, open stream",
            Self::Request => "request, 64 B, fresh stream",
        }
    }

    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Bulk | Self::BulkSlices => "GB/s",
            Self::RoundTrip | Self::Request => "µs",
        }
    }

    /// Whether a larger value is a better one.
    pub(crate) fn is_rate(self) -> bool {
        matches!(self, Self::Bulk | Self::BulkSlices)
    }
}

impl Plan {
    /// A run of minutes.
    pub(crate) const QUICK: Self = Self {
        warm_up: Duration::from_millis(200),
        bulk: Duration::from_secs(2),
        latency: Duration::from_millis(800),
        only: None,
    };
    /// A run of an hour.
    pub(crate) const LONG: Self = Self {
        warm_up: Duration::from_millis(500),
        bulk: Duration::from_secs(5),
        latency: Duration::from_secs(3),
        only: None,
    };

    /// More than a client can need that works.
    pub(crate) fn patience(self) -> Duration {
        4 * self.warm_up + 2 * self.bulk + 2 * self.latency + Duration::from_secs(20)
    }
}
