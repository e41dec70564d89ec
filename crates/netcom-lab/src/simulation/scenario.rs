//! Networks and what happens in them, drawn from a seed.

use std::time::Duration;

use netcom_session::Class;

use super::{
    draft::Draft,
    exchange::Exchange,
    network::HostId,
    node::HostSpec,
    report::{Broken, Report},
    step::Step,
    world::World,
};
use crate::{Loss, PathSpec};

/// A network, and what happens in it and when. Everything that goes wrong ends, so that every
/// exchange can come to its end.
#[derive(Clone, Debug)]
pub struct Scenario {
    seed: u64,
    pub(super) hosts: Vec<HostSpec>,
    /// What paths are like that are not among the next ones.
    pub(super) usual: PathSpec,
    pub(super) paths: Vec<([HostId; 2], PathSpec)>,
    pub(super) steps: Vec<(Duration, Step)>,
}

impl Scenario {
    /// Starts with a network without hosts, in which nothing happens.
    pub(super) fn new(seed: u64, usual: PathSpec) -> Self {
        Self { seed, hosts: Vec::new(), usual, paths: Vec::new(), steps: Vec::new() }
    }

    /// Draws a few hosts, a few minutes, and much that goes wrong.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut draft = Draft::new(seed, PathSpec::new(Duration::ZERO));
        let count = draft.between(2, 6);
        draft.scenario.usual = draft.path();
        for _ in 0..count {
            let host = draft.host();
            draft.scenario.hosts.push(host);
        }
        for _ in 0..draft.between(0, 4) {
            let path = (draft.pair(), draft.path());
            draft.scenario.paths.push(path);
        }
        let span = draft.seconds(40.0, 300.0);
        for _ in 0..draft.between(4, 60) {
            let (at, pair) = (draft.moment(span), draft.pair());
            // Now and then many at once.
            let count = if draft.random.chance(0.1) { draft.between(2, 30) } else { 1 };
            for _ in 0..count {
                let exchange = draft.exchange(pair);
                draft.want(at, exchange);
            }
        }
        for number in 0..draft.between(0, 40) {
            let ([from, to], length) = (draft.pair(), draft.random.below(1200) as usize);
            let at = draft.moment(span);
            draft.plan(at, Step::Datagram { from, to, number, length });
        }
        for _ in 0..draft.between(0, 12) {
            let (at, lasts) = (draft.moment(span), draft.fault_span());
            draft.fault(at, lasts);
        }
        draft.finish()
    }

    /// Draws a day of twenty hosts.
    #[must_use]
    pub fn day(seed: u64) -> Self {
        Self::life(seed, 20, 24 * HOUR)
    }

    /// Draws a long time of hosts that live: small exchanges, sometimes large ones, with a few
    /// others each; laptops that sleep and wake elsewhere; networks that fail and come back.
    #[must_use]
    pub fn life(seed: u64, hosts: usize, span: Duration) -> Self {
        let usual = PathSpec {
            jitter: Duration::from_millis(5),
            loss: Loss::Bursts { mean: 0.001, burst: 1.5 },
            reordering: 0.001,
            duplication: 0.000_1,
            rate: Some(50_000_000),
            ..PathSpec::new(Duration::from_millis(25))
        };
        let mut draft = Draft::new(seed, usual);
        for _ in 0..hosts {
            let host = draft.host();
            draft.scenario.hosts.push(host);
        }
        for host in (0..hosts).map(HostId) {
            draft.live(host, span);
            if host.0 < hosts / 3 {
                draft.sleep_now_and_then(host, span);
            }
        }
        draft.finish()
    }

    /// Makes the world, with everything planned.
    #[must_use]
    pub fn world(&self) -> World {
        // Not the numbers the scenario was drawn from.
        let mut world = World::new(self.seed ^ u64::MAX, self.hosts.clone(), self.usual);
        for ([from, to], spec) in &self.paths {
            world.network_mut().set_path(*from, *to, *spec);
        }
        for (at, step) in &self.steps {
            world.plan(*at, step.clone());
        }
        world
    }

    /// Runs it to its end; with the trace's lines, where somebody is to read them.
    ///
    /// # Errors
    /// [`Broken`] names the first thing that did not hold.
    pub fn run(&self, has_lines: bool) -> Result<Report, Broken> {
        let mut world = self.world();
        if has_lines {
            world = world.with_lines();
        }
        world.settle(PATIENCE)?;
        Ok(world.report())
    }
}

impl Draft {
    /// At last everybody asks the next one something, when nothing is wrong any more.
    fn finish(mut self) -> Scenario {
        let at = self.end + AFTERWARDS;
        let count = self.scenario.hosts.len();
        for from in 0..count {
            let pair = [HostId(from), HostId((from + 1) % count)];
            self.want(at, Exchange::request(pair, 100, 1000));
        }
        self.scenario
    }

    /// A host's exchanges with a few others, and what goes wrong for it.
    fn live(&mut self, host: HostId, span: Duration) {
        let friends: Vec<HostId> = (0..4).map(|_| self.other(host)).collect();
        let mut at = self.gap(BETWEEN_EXCHANGES);
        while at < span {
            let to = friends[self.random.below(4) as usize];
            let exchange = if self.random.chance(0.02) {
                let up = self.random.below(1 << 20);
                Exchange { class: Class::Bulk, ..Exchange::request([host, to], up, 100) }
            } else {
                Exchange::request([host, to], self.random.below(4000), self.random.below(8000))
            };
            self.want(at, exchange);
            at += self.gap(BETWEEN_EXCHANGES);
        }
        let mut at = self.gap(BETWEEN_FAULTS);
        while at < span {
            let lasts = self.fault_span();
            self.fault(at, lasts);
            at += self.gap(BETWEEN_FAULTS);
        }
    }

    /// A laptop's days: open, shut, open elsewhere.
    fn sleep_now_and_then(&mut self, host: HostId, span: Duration) {
        let mut at = self.gap(2 * HOUR);
        while at < span {
            let lasts = self.gap(HOUR);
            self.plan(at, Step::Sleep { host, keeps_packets: false });
            at += lasts;
            if self.random.chance(0.5) {
                self.plan(at, Step::Move { host, card: 0 });
            }
            let clock_ran = self.random.chance(0.5);
            self.plan(at, Step::Wake { host, clock_ran });
            at += self.gap(2 * HOUR);
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const BETWEEN_EXCHANGES: Duration = Duration::from_secs(20);
const BETWEEN_FAULTS: Duration = Duration::from_secs(2400);
/// After the last that goes wrong, until it is felt no longer.
const AFTERWARDS: Duration = Duration::from_secs(200);
/// How long exchanges may take after the last was wanted.
const PATIENCE: Duration = Duration::from_secs(600);
