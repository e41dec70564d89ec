//! What is measured, and what a measurement says.

use std::{collections::BTreeMap, time::Duration};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One thing that is measured of a peer.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// One stream, one way, from the client to the server, by the peer's fastest interface.
    Bulk,
    /// The same where the caller hands in slices, for a peer whose fastest interface takes more.
    BulkSlices,
    /// One stream, one way, from the server to the client.
    BulkDown,
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
    /// More of them, with the client's processor time for each.
    #[serde(rename = "in_flight_100")]
    #[value(name = "in-flight-100")]
    InFlight100,
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
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
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
    /// That of the client alone, where it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cpu_seconds: Option<f64>,
    /// The same as the value for the client, where the value is the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<f64>,
}

/// What was found out of a peer in one round.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    pub cases: BTreeMap<Case, Measurement>,
    /// Cases that failed, and why.
    pub failures: BTreeMap<Case, String>,
    /// What was agreed with the server, such as the cipher suite.
    pub facts: Vec<String>,
}

/// What a client says while it measures, each on a line of its own.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A case is under way.
    Began(Case),
    Measured(Case, Measurement),
    /// A case failed. The client ends, since what is left of the case may be in the way of others.
    Failed(Case, String),
    /// The client ends before it measured all.
    Stopped(String),
    /// What was agreed with the server, and what was chosen where only the client knows.
    Facts(Vec<String>),
    /// All cases are measured.
    Ended,
}

impl Measurement {
    /// One of several turns: their middle value and tail, and all that was counted.
    pub(crate) fn of(turns: &[Self]) -> Self {
        let middle = |value: fn(&Self) -> Option<f64>| {
            let mut values: Vec<f64> = turns.iter().filter_map(value).collect();
            values.sort_unstable_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        Self {
            value: middle(|turn| Some(turn.value)).unwrap_or_default(),
            count: turns.iter().map(|turn| turn.count).sum(),
            p99: middle(|turn| turn.p99),
            cpu_seconds: turns.iter().map(|turn| turn.cpu_seconds).sum(),
            client_cpu_seconds: turns.iter().map(|turn| turn.client_cpu_seconds).sum(),
            client: middle(|turn| turn.client),
        }
    }
}

impl Findings {
    /// Takes what a client says.
    pub fn note(&mut self, event: Event) {
        match event {
            Event::Began(_) | Event::Stopped(_) | Event::Ended => {}
            Event::Measured(case, measurement) => {
                self.cases.insert(case, measurement);
            }
            Event::Failed(case, why) => {
                self.failures.insert(case, why);
            }
            Event::Facts(facts) => self.facts = facts,
        }
    }

    /// Whether the case was measured or failed.
    pub fn is_settled(&self, case: Case) -> bool {
        self.cases.contains_key(&case) || self.failures.contains_key(&case)
    }
}

impl Case {
    pub const ALL: [Self; 14] = [
        Self::Bulk,
        Self::BulkSlices,
        Self::BulkDown,
        Self::BulkBoth,
        Self::RoundTrip,
        Self::RoundTripInline,
        Self::Request,
        Self::InFlight,
        Self::InFlight100,
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
            Self::BulkDown => "one stream, from the server",
            Self::BulkBoth => "one stream, both ways",
            Self::RoundTrip => "round trip, 64 B, open stream",
            Self::RoundTripInline => "round trip, inline",
            Self::Request => "request, 64 B, fresh stream",
            Self::InFlight => "requests, 64 in flight",
            Self::InFlight100 => "requests, 100 in flight",
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
            Self::InFlight | Self::InFlight100 | Self::Messages => "k/s",
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

    /// Whether the two are compared within a peer: they then take turns, so that both meet the
    /// same processors and the same other work on the machine.
    fn is_beside(self, other: Self) -> bool {
        let is_latency = |case: Self| case.unit() == "µs";
        let is_streams = |case| matches!(case, Self::Streams20 | Self::Streams2000);
        is_latency(self) && is_latency(other) || is_streams(self) && is_streams(other)
    }

    /// Whether the case needs processes of its own: what others leave in memory hides sessions.
    pub fn is_apart(self) -> bool {
        self == Self::Idle
    }
}

impl Plan {
    /// A run of minutes.
    pub const QUICK: Self = Self {
        warm_up: Duration::from_millis(150),
        bulk: Duration::from_millis(1000),
        rate: Duration::from_millis(600),
        latency: Duration::from_millis(500),
        sessions: 300,
        cases: Vec::new(),
    };
    /// A run of less than an hour.
    pub const LONG: Self = Self {
        warm_up: Duration::from_millis(300),
        bulk: Duration::from_secs(3),
        rate: Duration::from_secs(2),
        latency: Duration::from_secs(2),
        sessions: 5000,
        cases: Vec::new(),
    };

    /// The cases in their order, those together that take turns.
    pub(crate) fn sets(&self) -> impl Iterator<Item = &[Case]> {
        self.cases.chunk_by(|a, b| a.is_beside(*b))
    }

    /// What each turn of a set is measured by: one as long as the plan says for a case alone, else
    /// some of half the length.
    pub(crate) fn turns(&self, cases: &[Case]) -> Vec<Self> {
        match cases {
            [_] => vec![self.clone()],
            _ => vec![
                Self {
                    warm_up: self.warm_up / 2,
                    rate: self.rate / 2,
                    latency: self.latency / 2,
                    ..self.clone()
                };
                TURNS
            ],
        }
    }

    /// How long what is counted over time is counted.
    pub(crate) fn counted(&self, case: Case) -> Duration {
        match case {
            Case::Bulk | Case::BulkDown => self.bulk,
            _ => self.rate,
        }
    }

    /// What a case takes on a machine that has nothing else to do, if it takes no turns.
    pub fn duration_of(&self, case: Case) -> Duration {
        self.warm_up
            + match case {
                Case::RoundTrip | Case::RoundTripInline | Case::Request => self.latency,
                Case::Idle => SETTLING + SESSION * self.sessions(),
                _ => self.counted(case),
            }
    }

    /// More than a case can need that works.
    pub fn patience_of(&self, case: Case) -> Duration {
        let sessions = match case {
            Case::Idle => PATIENCE_OF_SESSION * self.sessions(),
            _ => Duration::ZERO,
        };
        3 * self.duration_of(case) + sessions + PATIENCE
    }

    fn sessions(&self) -> u32 {
        u32::try_from(self.sessions).unwrap_or(u32::MAX)
    }
}

/// How often cases of a set come to their turn: the middle one counts.
const TURNS: usize = 3;
/// Until memory stays as it is, before and after.
const SETTLING: Duration = Duration::from_secs(1);
/// What one more idle session takes, and more than it can need.
const SESSION: Duration = Duration::from_millis(2);
const PATIENCE_OF_SESSION: Duration = Duration::from_millis(20);
/// For whatever goes before a case and after it.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_read_as_it_was_meant() {
        let measured =
            Measurement { value: 2.5, count: 7, cpu_seconds: Some(0.25), ..Measurement::default() };
        let line = serde_json::to_string(&Event::Measured(Case::Streams20, measured)).unwrap();

        let Event::Measured(case, read) = serde_json::from_str(&line).unwrap() else {
            panic!("{line} is another event");
        };

        assert_eq!((case, read.value, read.count), (Case::Streams20, 2.5, 7));
        assert_eq!((read.p99, read.cpu_seconds), (None, Some(0.25)));
    }

    #[test]
    fn cases_that_are_compared_within_a_peer_take_turns() {
        let plan = Plan { cases: Case::ALL.to_vec(), ..Plan::LONG };
        let sets: Vec<&[Case]> = plan.sets().filter(|set| set.len() > 1).collect();

        let latencies = [Case::RoundTrip, Case::RoundTripInline, Case::Request].as_slice();
        assert_eq!(sets, [latencies, &[Case::Streams20, Case::Streams2000]]);
        assert_eq!(plan.turns(&[Case::Bulk]).len(), 1);
        assert_eq!(plan.turns(latencies).len(), TURNS);
    }

    #[test]
    fn of_several_turns_the_middle_value_counts() {
        let turn =
            |value, cpu_seconds| Measurement { value, count: 2, cpu_seconds, ..Default::default() };

        let all =
            Measurement::of(&[turn(3.0, Some(1.0)), turn(9.0, Some(1.0)), turn(1.0, Some(1.0))]);
        assert_eq!((all.value, all.count, all.cpu_seconds, all.p99), (3.0, 6, Some(3.0), None));
        assert_eq!(Measurement::of(&[turn(3.0, None), turn(9.0, Some(1.0))]).cpu_seconds, None);
    }

    #[test]
    fn patience_is_longer_than_what_a_case_takes() {
        for plan in [Plan::QUICK, Plan::LONG] {
            for case in Case::ALL {
                assert!(plan.patience_of(case) >= 3 * plan.duration_of(case), "{case:?}");
            }
        }
    }
}
