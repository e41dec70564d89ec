//! Networks on virtual time: hundreds of bad ones from seeds, and an hour of a large one.
//!
//! `NETCOM_SEEDS=2000` runs so many seeds, `NETCOM_SEED=17` one, with the trace's last lines where
//! it fails; `NETCOM_HOURS=24` makes the hour a day.

use std::{
    env,
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use netcom_lab::{
    Loss, PathSpec,
    simulation::{Broken, End, Exchange, Fault, HostId, HostSpec, Report, Scenario, Step, World},
};
use netcom_session::LinkKind;
use parking_lot::Mutex;

/// Seeds that fail before the rest is left alone.
const MANY: usize = 20;
const A: HostId = HostId(0);
const B: HostId = HostId(1);
const DELAY: Duration = Duration::from_millis(20);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn random_networks_lose_nothing_and_come_to_rest() {
    let seeds = match (number("NETCOM_SEED"), number("NETCOM_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(500),
    };
    let is_one = seeds.end - seeds.start == 1;
    let (next, sums) = (AtomicU64::new(seeds.start), Mutex::new(Sums::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end || sums.lock().broken.len() >= MANY {
                return;
            }
            let run = || Scenario::random(seed).run(is_one);
            let report = replayable(seed, "random_networks", run);
            sums.lock().add(seed, report);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| _ = scope.spawn(work)));
    let Sums { done, failed, packets, broken } = sums.into_inner();
    println!("{done} exchanges done, {failed} attempts failed, {packets} packets");
    assert_eq!(
        broken,
        [],
        "seeds in which something did not hold; from {MANY} on there may be more"
    );
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..number("NETCOM_TWICE").unwrap_or(20) {
        let run = || replayable(seed, "random_networks", || Scenario::random(seed).run(false));
        let first = run().expect("everything holds");
        assert_eq!(Some(first), run(), "seed {seed}");
    }
}

#[test]
fn different_seeds_give_different_traces() {
    let run = |seed| replayable(seed, "random_networks", || Scenario::random(seed).run(false));
    let [one, other] = [0, 1].map(|seed| run(seed).expect("everything holds"));
    assert_ne!(one.trace, other.trace);
}

#[test]
fn twenty_hosts_live_for_an_hour() {
    let hours = u32::try_from(number("NETCOM_HOURS").unwrap_or(1)).expect("a number of hours");
    let seeds = match number("NETCOM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("NETCOM_LIVES").unwrap_or(1),
    };
    for seed in seeds {
        let life = || Scenario::life(seed, 20, MINUTE * 60 * hours).run(false);
        let report = replayable(seed, "twenty_hosts", life).expect("everything holds");
        println!("seed {seed}: {report}");
        assert!(report.span >= MINUTE * 60 * hours);
        assert!(report.counts.done > 500 * u64::from(hours), "{report}");
    }
}

#[test]
fn one_packet_lost_in_twenty_costs_no_exchange() {
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        let loss = Loss::Independent(0.05);
        let mut world = pair(vec![kind], PathSpec { loss, ..PathSpec::new(DELAY) });
        for up in [0, 1, 1000, 300_000] {
            world.perform(Step::Want(Exchange::request([A, B], up, 100_000)));
        }
        settled(&mut world);
        let report = world.report();
        assert_eq!((report.counts.done, report.counts.failed_attempts), (4, 0), "{report}");
        assert!(report.lost > 20, "{report}");
    }
}

#[test]
fn a_session_comes_up_and_stays_up_on_what_works() {
    for blocked in [LinkKind::Tcp, LinkKind::Quic] {
        let mut world = pair(both(), PathSpec::new(DELAY));
        world.perform(Step::Begin(1, Fault::Blocked { one: A, other: B, kind: blocked }));
        world.perform(Step::Want(Exchange::request([A, B], 100, 100)));
        assert!(world.run_until(MINUTE, World::is_quiet), "{blocked:?}");
        assert_eq!(world.report().counts.failed_attempts, 0);
    }
}

#[test]
fn a_path_that_swallows_long_packets_carries_what_has_short_ones() {
    let mut world = pair(both(), PathSpec { mtu: 1280, ..PathSpec::new(DELAY) });
    world.perform(Step::Want(Exchange::request([A, B], 50_000, 50_000)));
    assert!(world.run_until(MINUTE, World::is_quiet));
    settled(&mut world);
}

#[test]
fn a_transfer_goes_on_where_it_was_after_the_network_was_gone_for_a_while() {
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        let rate = Some(2_000_000);
        let mut world = pair(vec![kind], PathSpec { rate, ..PathSpec::new(DELAY) });
        world.perform(Step::Want(Exchange::request([A, B], 1_000_000, 1000)));
        world.run_for(SECOND);
        world.perform(Step::Begin(1, Fault::Apart([A].into())));
        world.run_for(40 * SECOND);
        world.perform(Step::End(1));
        settled(&mut world);
        let counts = world.report().counts;
        assert_eq!((counts.done, counts.failed_attempts), (1, 0), "{kind:?}");
    }
}

#[test]
fn a_host_that_moves_keeps_its_session() {
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        for mover in [A, B] {
            let rate = Some(2_000_000);
            let mut world = pair(vec![kind], PathSpec { rate, ..PathSpec::new(DELAY) });
            world.perform(Step::Want(Exchange::request([A, B], 1_000_000, 1000)));
            world.run_for(SECOND);
            world.perform(Step::Move { host: mover, card: 0 });
            settled(&mut world);
            let counts = world.report().counts;
            assert_eq!((counts.done, counts.failed_attempts), (1, 0), "{kind:?} {mover:?}");
        }
    }
}

#[test]
fn who_sleeps_for_a_while_loses_nothing_however_its_clock_runs() {
    for (keeps_packets, clock_ran) in [(false, false), (false, true), (true, false), (true, true)] {
        let rate = Some(2_000_000);
        let mut world = pair(both(), PathSpec { rate, ..PathSpec::new(DELAY) });
        world.perform(Step::Want(Exchange::request([A, B], 1_000_000, 1000)));
        world.run_for(SECOND);
        world.perform(Step::Sleep { host: B, keeps_packets });
        world.run_for(25 * SECOND);
        world.perform(Step::Wake { host: B, clock_ran });
        settled(&mut world);
        let counts = world.report().counts;
        assert_eq!((counts.done, counts.failed_attempts), (1, 0));
    }
}

#[test]
fn a_restart_ends_what_was_under_way_and_it_is_begun_again() {
    for end in [End::Closing, End::Killed, End::Off] {
        for supersedes in [false, true] {
            let rate = Some(2_000_000);
            let mut world = pair(both(), PathSpec { rate, ..PathSpec::new(DELAY) });
            world.perform(Step::Want(Exchange::request([A, B], 1_000_000, 1000)));
            world.run_for(SECOND);
            world.perform(Step::Stop { host: B, end });
            world.plan(10 * SECOND, Step::Stop { host: B, end: End::Killed });
            world.plan(11 * SECOND, Step::Start { host: B, supersedes });
            settled(&mut world);
            let counts = world.report().counts;
            assert_eq!(counts.done, 1, "{end:?} {supersedes}");
            assert!(counts.failed_attempts >= 1, "{end:?} {supersedes}");
        }
    }
}

/// What all seeds came to.
#[derive(Default)]
struct Sums {
    done: u64,
    failed: u64,
    packets: u64,
    broken: Vec<u64>,
}

impl Sums {
    fn add(&mut self, seed: u64, report: Option<Report>) {
        let Some(report) = report else { return self.broken.push(seed) };
        self.done += report.counts.done;
        self.failed += report.counts.failed_attempts;
        self.packets += report.packets;
    }
}

/// Two hosts that dial by these transports.
fn pair(kinds: Vec<LinkKind>, paths: PathSpec) -> World {
    let host = HostSpec { kinds, ..HostSpec::default() };
    World::new(1, vec![host.clone(), host], paths)
}

fn both() -> Vec<LinkKind> {
    vec![LinkKind::Tcp, LinkKind::Quic]
}

#[track_caller]
fn settled(world: &mut World) {
    if let Err(broken) = world.settle(10 * MINUTE) {
        panic!("{broken}");
    }
}

/// Runs a seed. Where something does not hold, or panics, tells what and how to run it again.
#[expect(clippy::print_stderr, reason = "a seed that fails is told with how to run it again")]
fn replayable(
    seed: u64,
    test: &str,
    run: impl FnOnce() -> Result<Report, Broken>,
) -> Option<Report> {
    match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(report)) => return Some(report),
        Ok(Err(broken)) => eprintln!("seed {seed}: {broken}"),
        // The panic has told of itself.
        Err(_) => {}
    }
    eprintln!("replay: NETCOM_SEED={seed} cargo test -p netcom-lab --test simulation {test}");
    None
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}
