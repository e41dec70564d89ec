//! Links that change while they run.

use std::{
    fs,
    time::{Duration, Instant},
};

use netcom_lab::{Change, Condition, LinkSpec, PathSpec, Side, with_pair};

use crate::support::{
    DELAY, SLACK, Sink, datagram_round_trip, echo_datagrams, echo_streams, streams, until,
};

const SHORT: Duration = Duration::from_millis(5);

#[test]
fn another_delay_holds_for_what_is_sent_from_then_on() {
    with_pair(LinkSpec::new(SHORT), |pair| {
        let (server, _echo) = echo_datagrams(pair.right(), pair.right().ipv6().into());
        pair.left().run(async || {
            let before = datagram_round_trip(server).await.expect("an answer");
            pair.link().change(Side::Right, PathSpec::new(DELAY));
            assert_eq!(pair.link().path(Side::Right).delay, DELAY);
            assert_eq!(pair.link().path(Side::Left).delay, SHORT);
            let after = datagram_round_trip(server).await.expect("an answer");
            assert!(before >= SHORT * 2 && after >= SHORT + DELAY, "{before:?}, {after:?}");
        });
    });
}

#[test]
fn a_black_hole_may_be_in_one_direction_alone() {
    with_pair(LinkSpec::new(SHORT), |pair| {
        let (right, _right) = echo_datagrams(pair.right(), pair.right().ipv4().into());
        let (left, _left) = echo_datagrams(pair.left(), pair.left().ipv4().into());
        pair.link().set_from(Side::Right, Condition::Down);
        assert!(pair.left().run(async || datagram_round_trip(right).await).is_none());
        assert_eq!(pair.link().counters(Side::Left).packets, 1, "it arrived");
        assert_eq!(pair.link().counters(Side::Right).lost_down, 1, "its answer did not");
        assert!(pair.right().run(async || datagram_round_trip(left).await).is_none());
        assert_eq!(pair.link().counters(Side::Right).lost_down, 2, "nor did what asks");
        assert_eq!(pair.link().condition(Side::Left), Condition::Up);
        pair.link().set_from(Side::Right, Condition::Up);
        assert!(pair.left().run(async || datagram_round_trip(right).await).is_some());
    });
}

#[test]
fn tcp_can_be_blocked_while_udp_passes() {
    with_pair(LinkSpec::new(SHORT), |pair| {
        for ip in pair.right().addresses(0) {
            let (datagrams, _echo) = echo_datagrams(pair.right(), ip);
            let (server, _echo) = echo_streams(pair.right(), ip);
            pair.link().block_tcp(true);
            pair.left().run(async || {
                assert!(!streams(server).await);
                assert!(datagram_round_trip(datagrams).await.is_some());
                pair.link().block_tcp(false);
                assert!(streams(server).await);
            });
        }
        assert!(pair.link().counters(Side::Left).lost_blocked >= 2);
    });
}

#[test]
fn a_script_is_followed_to_the_moment() {
    let (down, up) = (Duration::from_millis(50), Duration::from_millis(150));
    with_pair(LinkSpec::new(Duration::ZERO), |pair| {
        let begun = Instant::now();
        pair.link().follow([
            (up, Change::Set(Condition::Up)),
            (down, Change::Set(Condition::Down)),
            (up, Change::Path(Side::Left, PathSpec::new(DELAY))),
        ]);
        pair.left().run(async || {
            for (due, condition) in [(down, Condition::Down), (up, Condition::Up)] {
                until(|| pair.link().condition(Side::Left) == condition).await;
                let when = begun.elapsed();
                assert!(when >= due && when < due + SLACK, "{condition:?} at {when:?}");
            }
            until(|| pair.link().path(Side::Left).delay == DELAY).await;
        });
    });
}

#[test]
fn another_script_replaces_what_is_to_come_of_the_first() {
    with_pair(LinkSpec::new(Duration::ZERO), |pair| {
        pair.link().follow([(DELAY, Change::Set(Condition::Down))]);
        pair.link().follow([(DELAY * 2, Change::BlockUdp(true))]);
        let (server, _echo) = echo_datagrams(pair.right(), pair.right().ipv4().into());
        pair.left().run(async || {
            while datagram_round_trip(server).await.is_some() {}
            assert_eq!(pair.link().condition(Side::Left), Condition::Up);
            let lost = Side::BOTH.map(|side| pair.link().counters(side).lost_blocked);
            assert_eq!(lost.iter().sum::<u64>(), 1, "it, or its answer");
        });
    });
}

#[test]
fn a_recording_holds_what_was_sent_with_what_was_lost() {
    with_pair(LinkSpec::new(SHORT), |pair| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("link.pcap");
        let sink = Sink::start(pair);
        pair.link().record(&file).unwrap();
        sink.send(pair, 0..2, 100);
        sink.wait(pair, 2);
        pair.link().set(Condition::Down);
        sink.send(pair, 2..3, 200);
        sink.wait(pair, 3);
        pair.link().end_record().unwrap();
        sink.send(pair, 3..4, 100);
        sink.wait(pair, 4);
        let bytes = fs::read(&file).unwrap();
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((word(0), word(20)), (0xa1b2_3c4d, 101));
        let (mut at, mut lengths, mut times) = (24, Vec::new(), Vec::new());
        while at < bytes.len() {
            times.push((word(at), word(at + 4)));
            lengths.push(word(at + 8));
            assert_eq!(bytes[at + 16], 0x45, "an IPv4 header");
            at += 16 + word(at + 8) as usize;
        }
        assert_eq!(lengths, [100, 100, 200]);
        assert!(times.is_sorted());
    });
}
