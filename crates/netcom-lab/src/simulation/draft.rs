//! What a scenario is drawn from: hosts, paths, exchanges, and what goes wrong.

use std::{collections::BTreeSet, time::Duration};

use netcom_session::{Class, LinkKind, Rate};

use super::{
    exchange::{Appetite, Exchange, GiveUp, How},
    network::{Fault, HostId},
    node::HostSpec,
    scenario::Scenario,
    step::{End, Step},
};
use crate::{Loss, PathSpec, Random};

/// A scenario that is being drawn.
pub(super) struct Draft {
    pub(super) random: Random,
    pub(super) scenario: Scenario,
    faults: u64,
    /// When everything works again.
    pub(super) end: Duration,
}

impl Draft {
    /// Starts with a network without hosts.
    pub(super) fn new(seed: u64, usual: PathSpec) -> Self {
        let scenario = Scenario::new(seed, usual);
        Self { random: Random::new(seed), scenario, faults: 0, end: Duration::ZERO }
    }

    /// A host, with habits of its own.
    pub(super) fn host(&mut self) -> HostSpec {
        let (tcp, quic) = (LinkKind::Tcp, LinkKind::Quic);
        let kinds = match self.random.below(4) {
            0 => vec![tcp],
            1 => vec![quic],
            2 => vec![tcp, quic],
            _ => vec![quic, tcp],
        };
        let mut host = HostSpec {
            kinds,
            cards: 1 + usize::from(self.random.chance(0.3)),
            stands_by: self.random.chance(0.4),
            linger: self.seconds(0.0, 30.0),
            ..HostSpec::default()
        };
        if self.random.chance(0.2) {
            host.config.send_budget = 128 << 10;
        }
        if self.random.chance(0.2) {
            host.config.resume_window = Duration::from_secs(20);
        }
        if self.random.chance(0.2) {
            // As few as a dialer may open before it knows.
            host.config.initial_streams = 16;
            host.config.max_streams = 20;
        }
        if self.random.chance(0.2) {
            host.config.first_window = 32 << 10;
            host.config.max_window = 64 << 10;
        }
        if self.random.chance(0.1) {
            host.rate = Rate::new(100_000 + self.random.below(1_000_000));
        }
        host
    }

    /// A path on which links come up and stay.
    pub(super) fn path(&mut self) -> PathSpec {
        let delay = Duration::from_millis([1, 5, 20, 60, 150][self.random.below(5) as usize]);
        let delay = delay.mul_f64(0.5 + self.random.unit());
        let loss = match self.random.below(4) {
            0 => Loss::Independent(0.02 * self.random.unit()),
            1 => Loss::Bursts {
                mean: 0.02 * self.random.unit(),
                burst: 1.0 + 4.0 * self.random.unit(),
            },
            _ => Loss::None,
        };
        PathSpec {
            jitter: delay.mul_f64(self.sometimes(0.5, 0.5)),
            loss,
            reordering: self.sometimes(0.3, 0.03),
            duplication: self.sometimes(0.3, 0.03),
            rate: self.random.chance(0.4).then(|| 1_000_000 * (1 + self.random.below(50))),
            queue: (32 << 10) << self.random.below(4),
            ..PathSpec::new(delay)
        }
    }

    /// A path on which they may not.
    fn poor_path(&mut self) -> PathSpec {
        let delay = self.seconds(0.01, 0.5);
        PathSpec {
            jitter: delay.mul_f64(self.sometimes(0.5, 1.0)),
            loss: Loss::Bursts {
                mean: 0.25 * self.random.unit(),
                burst: 1.0 + 7.0 * self.random.unit(),
            },
            reordering: self.sometimes(0.5, 0.2),
            duplication: self.sometimes(0.5, 0.2),
            rate: self.random.chance(0.5).then(|| 100_000 + self.random.below(2_000_000)),
            mtu: if self.random.chance(0.3) { 1280 } else { 1500 },
            ..PathSpec::new(delay)
        }
    }

    /// Anything one host may want of another.
    pub(super) fn exchange(&mut self, pair: [HostId; 2]) -> Exchange {
        let (up, down) = (self.size(), self.size());
        let class = [Class::Interactive, Class::Normal, Class::Bulk][self.random.below(3) as usize];
        let errors = if self.random.chance(0.2) { self.random.below(5000) } else { 0 };
        let appetite = self.random.chance(0.15).then(|| Appetite {
            bytes: 1 + ((up + down + errors) / 20) as usize,
            pause: self.seconds(0.02, 0.5),
        });
        let gives_up = self.random.chance(0.15).then(|| GiveUp {
            is_opener: self.random.chance(0.5),
            after: self.random.below(up + down + 1),
            how: [How::Reset, How::Stop, How::Drop][self.random.below(3) as usize],
        });
        let is_request = self.random.chance(0.7);
        let request = Exchange::request(pair, up, down);
        Exchange { errors, class, is_request, appetite, gives_up, ..request }
    }

    /// Something goes wrong, and is right again after a while.
    pub(super) fn fault(&mut self, at: Duration, lasts: Duration) {
        let until = at + lasts;
        let [from, to] = self.pair();
        let fault = match self.random.below(10) {
            0 => Fault::Apart(self.some_hosts()),
            1 => Fault::OneWay { from, to },
            2 => {
                let kind = if self.random.chance(0.5) { LinkKind::Tcp } else { LinkKind::Quic };
                Fault::Blocked { one: from, other: to, kind }
            }
            3 => {
                let cards = self.scenario.hosts[from.0].cards as u64;
                Fault::Unplugged { host: from, card: self.random.below(cards) as usize }
            }
            4 => Fault::Poor { from, to, spec: self.poor_path() },
            5 => return self.plan(at, Step::Move { host: from, card: 0 }),
            6 => {
                let (keeps_packets, clock_ran) = (self.random.chance(0.5), self.random.chance(0.5));
                self.plan(at, Step::Sleep { host: from, keeps_packets });
                return self.plan(until, Step::Wake { host: from, clock_ran });
            }
            7 => return self.restart(from, at, lasts.min(LONGEST_RESTART)),
            8 => return self.plan(at, Step::CloseLink { host: from, with: to }),
            _ => return self.plan(at, Step::StandBy { host: from, with: to }),
        };
        self.faults += 1;
        let number = self.faults;
        self.plan(at, Step::Begin(number, fault));
        self.plan(until, Step::End(number));
    }

    /// A host's process ends in some way, and the next one starts.
    fn restart(&mut self, host: HostId, at: Duration, lasts: Duration) {
        let supersedes = self.random.chance(0.5);
        let mut stops = at;
        let end = match self.random.below(3) {
            0 => {
                self.plan(at, Step::Stop { host, end: End::Closing });
                stops += Duration::from_secs(5);
                End::Killed
            }
            1 => End::Killed,
            _ => End::Off,
        };
        self.plan(stops, Step::Stop { host, end });
        self.plan(stops + lasts, Step::Start { host, supersedes });
    }

    /// Plans that a host wants something.
    pub(super) fn want(&mut self, at: Duration, exchange: Exchange) {
        self.plan(at, Step::Want(exchange));
    }

    /// Plans a step.
    pub(super) fn plan(&mut self, at: Duration, step: Step) {
        self.end = self.end.max(at);
        self.scenario.steps.push((at, step));
    }

    fn some_hosts(&mut self) -> BTreeSet<HostId> {
        let count = self.scenario.hosts.len();
        let first = HostId(self.random.below(count as u64) as usize);
        (0..count).map(HostId).filter(|host| *host == first || self.random.chance(0.4)).collect()
    }

    /// Two hosts.
    pub(super) fn pair(&mut self) -> [HostId; 2] {
        let one = HostId(self.random.below(self.scenario.hosts.len() as u64) as usize);
        [one, self.other(one)]
    }

    /// Another host.
    pub(super) fn other(&mut self, host: HostId) -> HostId {
        let count = self.scenario.hosts.len();
        let step = 1 + self.random.below(count as u64 - 1) as usize;
        HostId((host.0 + step) % count)
    }

    /// Bytes of one direction: mostly few.
    fn size(&mut self) -> u64 {
        match self.random.below(12) {
            0 => 0,
            1..=7 => self.random.below(2000),
            8..=10 => self.random.below(20_000),
            _ => self.random.below(500_000),
        }
    }

    /// How long something goes wrong: mostly not long, sometimes longer than anybody waits.
    pub(super) fn fault_span(&mut self) -> Duration {
        match self.random.below(10) {
            0..=4 => self.seconds(0.1, 5.0),
            5..=7 => self.seconds(5.0, 40.0),
            _ => self.seconds(40.0, 150.0),
        }
    }

    /// A time from one thing to the next of many that know nothing of each other.
    pub(super) fn gap(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(-(1.0 - self.random.unit()).ln())
    }

    /// Some moment of a time.
    pub(super) fn moment(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.random.unit())
    }

    /// Any time between two, in seconds.
    pub(super) fn seconds(&mut self, least: f64, most: f64) -> Duration {
        Duration::from_secs_f64(least + (most - least) * self.random.unit())
    }

    /// Any number from one to another.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.random.below(most - least + 1)
    }

    /// Zero, or with a probability anything up to a limit.
    fn sometimes(&mut self, probability: f64, most: f64) -> f64 {
        let (is_some, share) = (self.random.chance(probability), self.random.unit());
        if is_some { most * share } else { 0.0 }
    }
}

/// How long a host is without a process at most.
const LONGEST_RESTART: Duration = Duration::from_secs(60);
