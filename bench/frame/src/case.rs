//! What is measured, and what a measurement says.

use std::{collections::BTreeMap, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One thing that is measured of a peer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// One stream, one way, by the peer's fastest interface.
    Bulk,
    /// The same where the caller hands in slices, for a peer whose fastest interface takes more.
    BulkSlices,
    /// One stream, both ways at once.
    BulkBoth,
    /// A message there and back on a stream that is open.
    RoundTrip,
    /// The same where the task that asks and answers also reads and writes the socket.
    RoundTripInline,
    /// A message there and back on a stream of its own.
    Request,
    /// Many requests at once on one connection.
    InFlight,
    /// Messages one way, counted by the receiver.
    Messages,
    /// Some streams that send at the same time.
    #[serde(rename = "streams_20")]
    #[value(name = "streams-20")]
    Streams20,
    /// Many streams that send at the same time.
    #[serde(rename = "streams_2000")]
    #[value(name = "streams-2000")]
    Streams2000,
    /// Full handshakes, some at a time.
    Connect,
    /// Memory of sessions that do nothing.
    Idle,
}

/// How long each case takes, and which there are.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Plan {
    /// Before each case, not counted.
    pub warm_up: Duration,
    /// One stream, one way.
    pub bulk: Duration,
    /// Whatever else is counted over time.
    pub rate: Duration,
    /// What is timed one by one.
    pub latency: Duration,
    /// Idle sessions.
    pub sessions: usize,
    /// Those of the peer's cases that are measured.
    pub cases: Vec<Case>,
}

/// One case in one round.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub struct Measurement {
    /// In the case's unit; of latencies, the median of the round's samples.
    pub value: f64,
    /// Bytes moved, exchanges made, sessions held.
    pub count: u64,
    /// The tail of the round's samples in µs, of latencies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// Processor time of both processes, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// The same as the value for the client, where the value is the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<f64>,
}

/// What a client found out in one round.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Findings {
    pub cases: BTreeMap<Case, Measurement>,
    /// Cases that failed, and why.
    #[serde(default)]
    pub failures: BTreeMap<Case, String>,
    /// What was agreed with the server, such as the cipher suite.
    pub facts: Vec<String>,
}

impl Case {
    pub const ALL: [Self; 12] = [
        Self::Bulk,
        Self::BulkSlices,
        Self::BulkBoth,
        Self::RoundTrip,
        Self::RoundTripInline,
        Self::Request,
        Self::InFlight,
        Self::Messages,
        Self::Streams20,
        Self::Streams2000,
        Self::Connect,
        Self::Idle,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Self::Bulk => "one stream",
            Self::BulkSlices => "one stream, slices",
            Self::BulkBoth => "one stream, both ways",
            Self::RoundTrip => "round trip, 64 B, open stream",
            Self::RoundTripInline => "round trip, inline",
            Self::Request => "request, 64 B, fresh stream",
            Self::InFlight => "requests, 64 in flight",
            Self::Messages => "messages of 1 KiB",
            Self::Streams20 => "20 streams",
            Self::Streams2000 => "2,000 streams",
            Self::Connect => "handshakes, 8 at a time",
            Self::Idle => "idle session, server",
        }
    }

    pub fn unit(self) -> &'static str {
        match self {
            Self::RoundTrip | Self::RoundTripInline | Self::Request => "µs",
            Self::InFlight | Self::Messages => "k/s",
            Self::Connect => "1/s",
            Self::Idle => "KiB",
            _ => "GB/s",
        }
    }

    /// How many of what was counted make one of the unit.
    pub(crate) fn scale(self) -> f64 {
        match self.unit() {
            "GB/s" => 1e9,
            "k/s" => 1e3,
            _ => 1.0,
        }
    }

    /// Whether a larger value is a better one.
    pub fn is_rate(self) -> bool {
        !matches!(self.unit(), "µs" | "KiB")
    }

    /// Whether bytes are what is counted.
    pub fn is_bulk(self) -> bool {
        self.unit() == "GB/s"
    }

    /// Digits behind the point that still say something.
    pub fn digits(self) -> usize {
        match self.unit() {
            "GB/s" => 2,
            "k/s" => 1,
            _ => 0,
        }
    }

    /// Whether the case needs processes of its own: what others leave in memory hides sessions.
    pub fn is_apart(self) -> bool {
        self == Self::Idle
    }
}

impl Plan {
    /// A run of minutes.
    pub const QUICK: Self = Self {
        warm_up: Duration::from_millis(200),
        bulk: Duration::from_millis(1200),
        rate: Duration::from_millis(700),
        latency: Duration::from_millis(600),
        sessions: 500,
        cases: Vec::new(),
    };
    /// A run of hours.
    pub const LONG: Self = Self {
        warm_up: Duration::from_millis(500),
        bulk: Duration::from_secs(5),
        rate: Duration::from_secs(3),
        latency: Duration::from_secs(3),
        sessions: 5000,
        cases: Vec::new(),
    };

    /// More than one case can need that works.
    pub(crate) fn patience_of_case(&self) -> Duration {
        let each = self.warm_up + self.bulk.max(self.rate).max(self.latency);
        let sessions = Duration::from_millis(20) * u32::try_from(self.sessions).unwrap_or(u32::MAX);
        2 * each + sessions + Duration::from_secs(5)
    }

    /// More than a client can need that works, or says what does not.
    pub fn patience(&self) -> Duration {
        let cases = u32::try_from(self.cases.len()).unwrap_or(u32::MAX);
        cases * self.patience_of_case() + Duration::from_secs(10)
    }
}
