//! What a link is asked for is what is measured over it.

use std::time::Duration;

use netcom_lab::{LinkSpec, Loss, PathSpec, Side, with_pair};

use crate::support::{DELAY, SLACK, Sink, TRIES, datagram_round_trip, echo_datagrams};

const SHORT: Duration = Duration::from_millis(10);
/// A packet of 1,250 bytes takes a millisecond.
const RATE: u64 = 10_000_000;

#[test]
fn each_direction_has_a_delay_of_its_own() {
    let spec = LinkSpec::new(DELAY).path_from(Side::Right, PathSpec::new(SHORT));
    with_pair(spec, |pair| {
        let (server, _echo) = echo_datagrams(pair.right(), pair.right().ipv4().into());
        let best = pair.left().run(async || {
            let mut best = Duration::MAX;
            for _ in 0..TRIES {
                best = best.min(datagram_round_trip(server).await.expect("an answer"));
            }
            best
        });
        assert!(best >= DELAY + SHORT && best < DELAY + SHORT + SLACK, "{best:?}");
    });
}

#[test]
fn jitter_spreads_round_trips_over_what_was_asked_for() {
    let path = PathSpec { jitter: DELAY, ..PathSpec::new(SHORT) };
    let spec = LinkSpec::new(SHORT).path_from(Side::Left, path);
    // Each run has the same chances, so that the best of each try is what the link made of it.
    let mut best = [Duration::MAX; 30];
    for _ in 0..TRIES / 2 {
        with_pair(spec, |pair| {
            let (server, _echo) = echo_datagrams(pair.right(), pair.right().ipv4().into());
            pair.left().run(async || {
                for best in &mut best {
                    let took = datagram_round_trip(server).await.expect("an answer");
                    *best = took.min(*best);
                }
            });
        });
    }
    if best.contains(&Duration::MAX) {
        return; // skipped
    }
    best.sort();
    let (least, median, most) = (best[0], best[15], best[29]);
    assert!(least >= spec.round_trip(), "{best:?}");
    assert!(median < spec.round_trip() + DELAY, "{best:?}");
    assert!(most - least > DELAY.mul_f64(0.7), "{best:?}");
}

#[test]
fn as_many_datagrams_are_lost_as_asked_for() {
    with_pair(LinkSpec::new(SHORT).loss(Loss::Independent(0.1)), |pair| {
        let sink = Sink::start(pair);
        sink.send_gently(pair, 4000, 100);
        let share = 1.0 - sink.numbers().len() as f64 / 4000.0;
        assert!((0.085..0.115).contains(&share), "{share}");
        let counters = pair.link().counters(Side::Left);
        assert_eq!(counters.lost_chance + counters.packets, 4000, "{counters:?}");
    });
}

#[test]
fn bursts_of_losses_are_as_long_as_asked_for() {
    with_pair(LinkSpec::new(SHORT).loss(Loss::Bursts { mean: 0.1, burst: 4.0 }), |pair| {
        let sink = Sink::start(pair);
        sink.send_gently(pair, 4000, 100);
        let numbers = sink.numbers();
        assert!(numbers.is_sorted());
        let share = 1.0 - numbers.len() as f64 / 4000.0;
        assert!((0.08..0.12).contains(&share), "{share}");
        let gaps = numbers.windows(2).map(|two| two[1] - two[0] - 1).filter(|gap| *gap > 0);
        let (lost, bursts) = gaps.fold((0, 0), |(lost, bursts), gap| (lost + gap, bursts + 1));
        let burst = f64::from(lost) / f64::from(bursts);
        assert!((3.2..4.8).contains(&burst), "{burst}");
    });
}

#[test]
fn the_same_seed_loses_the_same_datagrams() {
    let spec = LinkSpec::new(Duration::ZERO).loss(Loss::Independent(0.3)).seed(7);
    let mut runs = Vec::new();
    for spec in [spec, spec, spec.seed(8)] {
        with_pair(spec, |pair| {
            let sink = Sink::start(pair);
            sink.send_gently(pair, 100, 100);
            runs.push(sink.numbers());
        });
    }
    let [first, second, other] = &runs[..] else { return };
    assert_eq!(first, second);
    assert_ne!(first, other);
}

#[test]
fn a_line_carries_the_rate_that_was_asked_for() {
    with_pair(LinkSpec::new(SHORT).rate(RATE), |pair| {
        let sink = Sink::start(pair);
        sink.send(pair, 0..400, 1250);
        sink.wait(pair, 400);
        let arrived = sink.arrived();
        let took = arrived[399].1 - arrived[0].1;
        assert!((380..420).contains(&took.as_millis()), "{took:?}");
    });
}

#[test]
fn a_full_queue_delays_by_what_it_holds_and_loses_the_rest() {
    with_pair(LinkSpec::new(SHORT).rate(RATE).queue(20 * 1250), |pair| {
        let sink = Sink::start(pair);
        sink.send(pair, 0..100, 1250);
        sink.wait(pair, 100);
        let counters = pair.link().counters(Side::Left);
        // One leaves, 20 wait, and a few left while the others were sent.
        assert!((21..50).contains(&counters.packets), "{counters:?}");
        assert_eq!(counters.lost_queue + counters.packets, 100);
        let arrived = sink.arrived();
        let took = (arrived[20].1 - arrived[0].1).as_secs_f64();
        assert!((0.015..0.025).contains(&took), "{took}");
    });
}

#[test]
fn as_many_datagrams_arrive_twice_as_asked_for() {
    let path = PathSpec { duplication: 0.2, ..PathSpec::new(SHORT) };
    with_pair(LinkSpec::symmetric(path), |pair| {
        let sink = Sink::start(pair);
        sink.send_gently(pair, 2000, 100);
        let mut numbers = sink.numbers();
        let duplicates = numbers.len() - 2000;
        assert!((340..460).contains(&duplicates), "{duplicates}");
        numbers.dedup();
        assert_eq!(numbers, Vec::from_iter(0..2000), "each behind its first copy");
        assert_eq!(pair.link().counters(Side::Left).duplicated, duplicates as u64);
    });
}

#[test]
fn datagrams_are_overtaken_where_that_was_asked_for_and_nowhere_else() {
    let jitter = Duration::from_millis(2);
    for (reordering, expected) in [(0.0, 0..1), (0.1, 120..240)] {
        let path = PathSpec { jitter, reordering, ..PathSpec::new(SHORT) };
        with_pair(LinkSpec::symmetric(path), |pair| {
            let sink = Sink::start(pair);
            sink.send_gently(pair, 2000, 100);
            let mut last = 0;
            let overtaken = sink.numbers().into_iter().filter(|number| {
                last = last.max(*number);
                *number < last
            });
            let overtaken = overtaken.count();
            assert!(expected.contains(&overtaken), "{overtaken} of 2000 with {reordering}");
        });
    }
}

#[test]
fn what_is_longer_than_the_path_takes_vanishes_and_the_rest_passes() {
    let path = PathSpec { mtu: 1300, ..PathSpec::new(SHORT) };
    with_pair(LinkSpec::symmetric(path), |pair| {
        let sink = Sink::start(pair);
        sink.send(pair, 0..1, 1301);
        sink.send(pair, 1..2, 1300);
        sink.wait(pair, 2);
        assert_eq!(sink.numbers(), [1]);
        assert_eq!(pair.link().counters(Side::Left).lost_mtu, 1);
    });
}

#[test]
fn packets_are_handed_over_when_they_are_due() {
    with_pair(LinkSpec::new(SHORT), |pair| {
        let sink = Sink::start(pair);
        let before = pair.link().lateness();
        sink.send_gently(pair, 2000, 100);
        let lateness = pair.link().lateness().since(&before);
        assert_eq!(lateness.packets(), 2000);
        let median = lateness.quantile(0.5);
        // Of the machine, not of the link, is the rest.
        assert!(median <= Duration::from_millis(1), "{median:?}");
    });
}
