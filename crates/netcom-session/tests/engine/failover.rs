//! Links die at every possible moment; nothing is lost, repeated or reordered.

use std::time::Duration;

use bytes::Bytes;
use netcom_session::{Code, Config, Event, Flow, LinkKind, LinkLoss, ReadError, State};

use crate::harness::*;

const MINUTE: Duration = Duration::from_secs(60);

/// An exchange that uses every kind of frame a stream can cause; returns how many frames each side
/// put on the first wire.
fn scripted(cut: Option<(Side, usize)>, with_standby: bool, kind: LinkKind) -> [usize; 2] {
    let mut pair = Pair::new();
    pair.wires.clear();
    let (handle, wire) = pair.dial(A, kind);
    pair.cut_after = cut.map(|(side, frames)| (wire, side, frames));
    if with_standby {
        pair.dial(A, LinkKind::Memory);
    }
    let up = open(&mut pair, A, handle);
    let dropped = open(&mut pair, A, handle);
    let mut transfers = [
        Transfer::new(A, [handle, 0], up, pattern(200_000, 1)),
        Transfer::new(B, [handle, 0], up, pattern(70_000, 2)),
        Transfer::new(A, [handle, 0], up, pattern(6_000, 3)).on(Flow::Error),
    ];
    let now = pair.now;
    let mut bytes = pattern(5_000, 4);
    pair.session(A, handle).write(dropped, Flow::Data, &mut bytes, now).expect("an open flow");
    let mut is_reset = false;
    let done = pair.run_until(MINUTE, |pair| {
        redial(pair, handle, kind);
        if pair.hosts[B].sessions.is_empty() {
            return false;
        }
        while pair.session(B, 0).accept().is_some() {}
        let all = advance_all(pair, &mut transfers);
        if transfers[0].received.len() > 50_000 && !is_reset {
            is_reset = true;
            let now = pair.now;
            pair.session(A, handle).reset(dropped, Flow::Data, Code::CANCELLED, now);
            pair.session(B, 0).stop(dropped, Flow::Data, Code::CANCELLED, now);
            pair.flush();
        }
        all
    });
    for transfer in &transfers {
        assert_eq!((&transfer.error, &transfer.write_error), (&None, &None), "{cut:?}");
        transfer.check();
    }
    assert!(done, "{cut:?}: every transfer saw its end");
    for (side, handle) in [(A, handle), (B, 0)] {
        assert_eq!(pair.hosts[side].closed_with(handle), None, "{cut:?}");
        assert_eq!(pair.session(side, handle).stats().gaps, 0);
    }
    pair.wires[wire].sent
}

/// Dials again, as the shell does, where a side has no link left.
fn redial(pair: &mut Pair, handle: Handle, kind: LinkKind) {
    if pair.session(A, handle).links().next().is_none() {
        pair.dial_from(A, handle, kind);
    }
}

#[test]
fn cutting_any_link_at_any_frame_loses_repeats_and_reorders_nothing() {
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        for with_standby in [false, true] {
            let frames = scripted(None, with_standby, kind);
            for side in [A, B] {
                assert!(frames[side] > 5, "the script uses the link: {frames:?}");
                for frame in 1..=frames[side] {
                    scripted(Some((side, frame)), with_standby, kind);
                }
            }
        }
    }
}

#[test]
fn one_end_noticing_long_before_the_other_loses_nothing() {
    for first in [A, B] {
        let mut pair = Pair::new();
        let (handle, wire) = pair.connect();
        let (_, standby) = pair.dial(A, LinkKind::Memory);
        let stream = open(&mut pair, A, handle);
        let mut transfers = [
            Transfer::new(A, [handle, 0], stream, pattern(400_000, 1)),
            Transfer::new(B, [handle, 0], stream, pattern(300_000, 2)),
        ];
        pair.run_until(MINUTE, |pair| {
            transfers.iter_mut().for_each(|transfer| _ = transfer.advance(pair));
            transfers[0].received.len() > 100_000
        });
        pair.cut_one(wire, first, &LinkLoss::Reset);
        // The other end is told by LINK(Dead) on the standby, not by its transport.
        complete(&mut pair, &mut transfers, MINUTE);
        assert!(pair.wires[standby].sent.iter().all(|sent| *sent > 0));
        assert!(pair.hosts[1 - first].saw(|event| matches!(event, Event::LinkEnded { .. })));
    }
}

#[test]
fn credit_lost_with_its_link_never_leaves_a_writer_blocked() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    pair.dial(A, LinkKind::Memory);
    pair.run_for(Duration::from_millis(100));
    let stream = open(&mut pair, A, handle);
    let mut transfer = Transfer::new(A, [handle, 0], stream, pattern(3_000_000, 1));
    // Every byte the reader's side sends on the first link vanishes, so no credit arrives.
    pair.wires[wire].black_hole[B] = true;
    let since = pair.now;
    pair.run_until(MINUTE, |pair| {
        transfer.advance(pair) || pair.now.since(since) > Duration::from_millis(80)
    });
    let stuck_at = transfer.received.len();
    assert!(stuck_at < 3_000_000, "without credit a writer stops");

    pair.cut(wire);
    complete(&mut pair, std::slice::from_mut(&mut transfer), MINUTE);
}

#[test]
fn a_session_without_a_link_comes_back_within_the_window_from_either_side() {
    for dialer in [A, B] {
        let mut pair = Pair::new();
        let (handle, wire) = pair.connect();
        let stream = open(&mut pair, A, handle);
        let mut transfers = [
            Transfer::new(A, [handle, 0], stream, pattern(500_000, 1)),
            Transfer::new(B, [handle, 0], stream, pattern(500_000, 2)),
        ];
        pair.run_until(MINUTE, |pair| {
            transfers.iter_mut().for_each(|transfer| _ = transfer.advance(pair));
            transfers[0].received.len() > 100_000
        });
        pair.cut(wire);
        pair.run_for(Duration::from_secs(50));
        assert_eq!(pair.session(A, handle).state(), State::Detached);

        pair.dial_from(dialer, handle, LinkKind::Tcp);
        complete(&mut pair, &mut transfers, MINUTE);
        assert_eq!(pair.session(A, handle).state(), State::Live);
    }
}

#[test]
fn resume_after_one_side_expired_is_typed_on_both_sides() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    let stream = open(&mut pair, A, handle);
    let mut transfer = Transfer::new(A, [handle, 0], stream, pattern(500_000, 1));
    pair.run_until(MINUTE, |pair| {
        transfer.advance(pair);
        transfer.received.len() > 100_000
    });
    // B learns of the cut at once and expires after 60 s; A notices only 30 s later.
    pair.cut_one(wire, B, &LinkLoss::Reset);
    pair.run_for(Duration::from_secs(30));
    pair.cut_one(wire, A, &LinkLoss::Timeout);
    pair.run_for(Duration::from_secs(31));
    assert_eq!(pair.hosts[B].closed_with(0), Some(Code::RESUME_EXPIRED));
    assert_eq!(pair.session(A, handle).state(), State::Detached);

    pair.dial_from(A, handle, LinkKind::Tcp);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.hosts[A].closed_with(handle), Some(Code::RESUME_EXPIRED));
    while transfer.error.is_none() {
        transfer.advance(&mut pair);
    }
    assert_eq!(transfer.error, Some(ReadError::SessionEnded(Code::RESUME_EXPIRED)));
    let arrived = transfer.received.len();
    assert!(transfer.received == transfer.expected[..arrived], "what arrived stays readable");
}

#[test]
fn close_lost_with_the_last_link_is_learnt_from_the_tombstone() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    pair.wires[wire].black_hole[B] = true;
    let now = pair.now;
    pair.session(B, 0).close(Code::application(7), "enough", now);
    pair.run_for(Duration::from_secs(2));
    pair.cut_one(wire, A, &LinkLoss::Timeout);
    assert_eq!(pair.session(A, handle).state(), State::Detached);

    pair.dial_from(A, handle, LinkKind::Tcp);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.hosts[A].closed_with(handle), Some(Code::application(7)));
}

#[test]
fn half_close_both_ways_survives_failover_between_last_byte_and_fin() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    pair.dial(A, LinkKind::Memory);
    pair.run_for(Duration::from_millis(100));
    let stream = open(&mut pair, A, handle);
    for (side, handle) in [(A, handle), (B, 0)] {
        let now = pair.now;
        pair.run_for(Duration::from_millis(30));
        let mut bytes = pattern(1000, 1);
        pair.session(side, handle).write(stream, Flow::Data, &mut bytes, now).expect("open");
    }
    pair.run_for(Duration::from_millis(100));
    // The last bytes arrived; now the ends are sent and lost.
    pair.wires[wire].black_hole = [true; 2];
    for (side, handle) in [(A, handle), (B, 0)] {
        let now = pair.now;
        pair.session(side, handle).finish(stream, Flow::Data, now).expect("open");
    }
    pair.run_for(Duration::from_millis(50));
    pair.cut(wire);
    let mut ends = [false; 2];
    pair.run_until(MINUTE, |pair| {
        for (side, handle) in [(A, handle), (B, 0)] {
            let (now, mut chunks) = (pair.now, std::collections::VecDeque::new());
            let state = pair.session(side, handle).read(
                stream,
                Flow::Data,
                usize::MAX >> 1,
                &mut chunks,
                now,
            );
            ends[side] |= state == Ok(netcom_session::ReadState::Finished);
        }
        ends == [true; 2]
    });
    assert_eq!(ends, [true; 2]);
}

#[test]
fn error_flow_arrives_while_data_is_blocked_by_credit_link_and_class() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let stream = open(&mut pair, A, handle);
    // Nobody reads the data: it stops at the window.
    let mut data = Transfer::new(A, [handle, 0], stream, pattern(5_000_000, 1));
    data.advance_writer_only(&mut pair);
    pair.run_for(Duration::from_secs(1));
    assert!(
        pair.session(A, handle).send_progress(stream, Flow::Data).expect("open").sent < 300_000
    );

    let mut errors = [Transfer::new(A, [handle, 0], stream, pattern(3_000, 2)).on(Flow::Error)];
    complete(&mut pair, &mut errors, Duration::from_secs(1));
    assert_eq!(data.received.len(), 0);
    complete(&mut pair, std::slice::from_mut(&mut data), MINUTE);
}

#[test]
fn a_closed_link_hands_over_without_sending_anything_again() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    pair.dial(A, LinkKind::Memory);
    pair.run_for(Duration::from_millis(100));
    let stream = open(&mut pair, A, handle);
    let mut transfer = Transfer::new(A, [handle, 0], stream, pattern(2_000_000, 1));
    pair.run_until(MINUTE, |pair| {
        transfer.advance(pair);
        transfer.received.len() > 300_000
    });
    let (now, link) = (pair.now, pair.wires[wire].ends[A].expect("attached").1);
    pair.session(A, handle).close_link(link, now);
    complete(&mut pair, std::slice::from_mut(&mut transfer), MINUTE);

    let stats = pair.session(B, 0).stats();
    assert_eq!(stats.repeated_bytes, 0);
    assert_eq!(pair.session(A, handle).links().count(), 1);
}

#[test]
fn closing_delivers_what_was_finished_first_and_tells_both_sides_why() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let stream = open(&mut pair, A, handle);
    let mut transfer = Transfer::new(A, [handle, 0], stream, pattern(50_000, 1));
    transfer.advance_writer_only(&mut pair);
    let now = pair.now;
    pair.session(A, handle).close(Code::application(3), "done", now);
    let done = pair.run_until(MINUTE, |pair| transfer.advance(pair));
    assert!(done, "finished data arrives before the close");
    transfer.check();
    pair.run_for(Duration::from_secs(2));
    for (side, handle, by_peer) in [(A, handle, false), (B, 0, true)] {
        let closed = pair.session(side, handle).closed().expect("closed").clone();
        assert_eq!((closed.code, closed.by_peer), (Code::application(3), by_peer));
        assert!(pair.session(side, handle).is_done(), "no link is left");
    }
}

#[test]
fn close_races_end_both_sides_once() {
    for gap in 0..25 {
        let mut pair = Pair::new();
        let (handle, _) = pair.connect();
        let now = pair.now;
        pair.session(A, handle).close(Code::application(1), "a", now);
        pair.run_for(Duration::from_millis(gap));
        let now = pair.now;
        pair.session(B, 0).close(Code::application(2), "b", now);
        pair.run_for(Duration::from_secs(3));
        for (side, handle) in [(A, handle), (B, 0)] {
            assert!(pair.session(side, handle).is_done());
            let ends = pair.hosts[side].events.iter();
            let ends = ends.filter(|(_, event)| matches!(event, Event::Closed(_)));
            assert_eq!(ends.count(), 1);
        }
    }
}

#[test]
fn a_session_closed_while_it_is_made_leaves_none_at_the_other_side() {
    for millis in 0..60 {
        let mut pair = Pair::new();
        let (handle, _) = pair.dial(A, LinkKind::Tcp);
        pair.run_for(Duration::from_millis(millis));
        let now = pair.now;
        pair.session(A, handle).close(Code::application(7), "done", now);
        pair.run_for(Duration::from_secs(3));
        assert!(pair.session(A, handle).is_done(), "closed after {millis} ms");
        let closed = pair.session(B, 0).closed().expect("it does not wait for a link");
        assert_eq!((closed.code, closed.by_peer), (Code::application(7), true));
    }
}

#[test]
fn draining_serves_what_was_opened_and_refuses_what_comes_later() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let early = open(&mut pair, A, handle);
    pair.run_for(Duration::from_millis(50));
    let now = pair.now;
    pair.session(B, 0).drain(now);
    // Opened before the news arrives.
    let late = open(&mut pair, A, handle);
    let mut served = [
        Transfer::new(A, [handle, 0], early, pattern(1000, 1)),
        Transfer::new(B, [handle, 0], early, pattern(1000, 2)),
    ];
    complete(&mut pair, &mut served, MINUTE);
    pair.run_for(Duration::from_millis(50));

    let (now, mut chunks) = (pair.now, std::collections::VecDeque::new());
    let refused = pair.session(A, handle).read(late, Flow::Data, 1, &mut chunks, now);
    assert_eq!(refused, Err(ReadError::Reset(Code::NOT_PROCESSED)));
    let open = pair.session(A, handle).open(Default::default(), Bytes::new(), now);
    assert_eq!(open, Err(netcom_session::OpenError::Ending(Code::NOT_PROCESSED)));
}

#[test]
fn acknowledgements_alone_cause_no_traffic_and_no_growth() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    let stream = open(&mut pair, A, handle);
    let mut transfer = [Transfer::new(A, [handle, 0], stream, pattern(4_000_000, 1))];
    complete(&mut pair, &mut transfer, MINUTE);
    // A stream that is open is a reason to ask the link for a sign of life now and then.
    let now = pair.now;
    for (side, handle) in [(A, handle), (B, 0)] {
        pair.session(side, handle).release(stream, now);
    }
    pair.run_for(Duration::from_secs(1));
    let before = pair.wires[wire].sent;
    pair.run_for(Duration::from_secs(3600));

    assert_eq!(pair.wires[wire].sent, before, "an idle session is silent");
    for (side, handle) in [(A, handle), (B, 0)] {
        let links: Vec<_> = pair.session(side, handle).links().collect();
        assert_eq!(links[0].frames_in_flight, 0);
    }
}

#[test]
fn a_window_of_resumption_is_configurable_and_ends_typed() {
    let config = {
        let mut config = Config::default();
        config.resume_window = Duration::from_secs(5);
        config
    };
    let mut pair = Pair::new();
    // One side's shorter window binds both.
    pair.hosts[B].config = config;
    let (handle, wire) = pair.connect();
    pair.cut(wire);
    pair.run_for(Duration::from_secs(6));
    for (side, handle) in [(A, handle), (B, 0)] {
        assert_eq!(pair.hosts[side].closed_with(handle), Some(Code::RESUME_EXPIRED));
    }
}

#[test]
fn a_second_link_that_comes_too_late_does_not_overtake_what_the_first_one_still_brings() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    let stream = open(&mut pair, A, handle);
    pair.run_for(pair.delay * 2);
    let mut word = Transfer::new(B, [handle, 0], stream, pattern(100, 1));
    word.advance_writer_only(&mut pair);
    pair.run_for(pair.delay);

    // What A acknowledges and its end of the session take long; a new link is told the end first.
    pair.wires[wire].delay = Duration::from_secs(1);
    let now = pair.now;
    pair.session(A, handle).close(Code::NO_ERROR, "enough", now);
    pair.flush();
    pair.dial_from(B, 0, LinkKind::Memory);
    pair.run_for(Duration::from_secs(5));

    let delivered = Event::Finished(stream, Flow::Data);
    assert!(pair.hosts[B].saw(|event| *event == delivered), "all of it is known to have arrived");
    assert_eq!(pair.hosts[B].closed_with(0), Some(Code::NO_ERROR));
}

#[test]
fn the_end_of_a_session_does_not_overtake_what_was_acknowledged_before_on_a_slower_link() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    pair.dial(A, LinkKind::Memory);
    let stream = open(&mut pair, A, handle);
    pair.run_for(Duration::from_millis(100));
    let mut word = Transfer::new(B, [handle, 0], stream, pattern(100, 1));
    word.advance_writer_only(&mut pair);

    // The acknowledgement takes long, and the end takes the other link.
    pair.wires[wire].delay = Duration::from_secs(1);
    pair.run_for(pair.delay * 5);
    let now = pair.now;
    pair.session(A, handle).close(Code::NO_ERROR, "enough", now);
    pair.run_for(Duration::from_secs(5));

    let delivered = Event::Finished(stream, Flow::Data);
    assert!(pair.hosts[B].saw(|event| *event == delivered), "all of it is known to have arrived");
    assert_eq!(pair.hosts[B].closed_with(0), Some(Code::NO_ERROR));
}
