//! A peer's next process, reached while the session with its last one was not settled: before both
//! sides had the secret that a further link must prove.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use netcom_session::{
    AttachError, Code, Event, Fault, Flow, LinkId, LinkKind, LinkLoss, ReadError, SessionId, State,
    StreamId,
    wire::{Hello, Limits, Purpose},
};

use crate::harness::*;

/// What both ends say once everything has arrived and every handshake has timed out.
const LATER: Duration = Duration::from_secs(20);

#[test]
fn a_link_with_final_counts_of_a_session_that_is_unknown_breaks_no_rule() {
    let mut pair = Pair::new();
    let (_, wire) = pair.dial(B, LinkKind::Tcp);
    pair.wires[wire].black_hole[A] = true;
    pair.run_for(pair.delay * 2);
    // A has a session with a process that has not heard its answer, and never will.
    pair.restart(B, false);
    pair.dial_from(A, 0, LinkKind::Tcp);
    pair.run_for(LATER);

    assert_blameless(&pair);
}

#[test]
fn a_link_with_data_for_streams_of_a_session_that_is_unknown_breaks_no_rule() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.dial(B, LinkKind::Tcp);
    pair.wires[wire].black_hole[A] = true;
    let stream = open(&mut pair, B, handle);
    let mut question = Transfer::new(B, [0, handle], stream, pattern(100, 1));
    question.advance_writer_only(&mut pair);
    pair.run_for(pair.delay * 2);
    assert_eq!(pair.session(A, 0).accept().map(|incoming| incoming.id), Some(stream));

    // The answer travels on a link that is on its way when the process changes.
    pair.dial_from(A, 0, LinkKind::Quic);
    pair.restart(B, false);
    Transfer::new(A, [0, 0], stream, pattern(100, 2)).advance_writer_only(&mut pair);
    pair.run_for(LATER);

    assert_blameless(&pair);
}

#[test]
fn what_may_have_been_served_is_not_sent_to_the_next_process_that_dials() {
    let mut pair = Pair::new();
    let (wire, stream) = ask_and_hear_nothing(&mut pair);

    // No reset comes of it: A waits for the answer on the first link.
    pair.wires[wire].ends[B] = None;
    pair.restart(B, false);
    pair.dial(B, LinkKind::Tcp);
    pair.run_for(LATER);

    assert_eq!(pair.session(B, 0).accept(), None, "another process must not serve it again");
    assert_told(&mut pair, stream);
}

#[test]
fn what_may_have_been_served_is_not_sent_to_the_next_process_that_is_dialled() {
    // The second link is there before the first one ends, or is dialled after that.
    for is_beside in [true, false] {
        let mut pair = Pair::new();
        let (wire, stream) = ask_and_hear_nothing(&mut pair);
        pair.wires[wire].ends[B] = None;
        pair.restart(B, false);
        if !is_beside {
            pair.cut(wire);
        }
        pair.dial(A, LinkKind::Tcp);
        pair.cut(wire);
        let fresh = open(&mut pair, A, 0);
        pair.run_for(pair.delay * 2);
        let mut other = [Transfer::new(A, [0, 0], fresh, pattern(1000, 1))];
        complete(&mut pair, &mut other, LATER);

        let accepted = pair.session(B, 0).accept().map(|incoming| incoming.id);
        assert_eq!(accepted, Some(fresh), "only what the first process was not asked");
        assert_told(&mut pair, stream);
    }
}

#[test]
fn what_may_have_been_served_is_not_sent_to_the_next_session_of_the_same_process() {
    let mut pair = Pair::new();
    let (wire, stream) = ask_and_hear_nothing(&mut pair);
    // The session it was served in is over, and A has heard of neither.
    pair.wires[wire].ends[B] = None;
    let (peer, now) = (pair.hosts[A].peer, pair.now);
    pair.hosts[B].endpoint.end(&peer, &0, Code::RESUME_EXPIRED, now);
    let (next, _) = pair.dial(B, LinkKind::Tcp);
    pair.run_for(LATER);

    assert_eq!(pair.session(B, next).accept(), None, "it must not serve it again");
    let (now, mut chunks) = (pair.now, VecDeque::new());
    let answer = pair.session(A, 0).read(stream, Flow::Data, 1, &mut chunks, now);
    assert_eq!(answer, Err(ReadError::Reset(Code::LINK_LOST)));
}

#[test]
fn an_answer_to_a_stream_that_was_given_up_breaks_no_rule() {
    let mut pair = Pair::new();
    let (wire, stream) = ask_and_hear_nothing(&mut pair);
    // The same process under a new certificate, which the dialer cannot tell from another one.
    pair.cut_one(wire, A, &LinkLoss::Reset);
    pair.wires[wire].ends[B] = None;
    pair.hosts[B].renewed += 1;
    pair.dial_from(A, 0, LinkKind::Tcp);
    let mut answer = Transfer::new(B, [0, 0], stream, pattern(100_000, 2));
    answer.advance_writer_only(&mut pair);
    pair.run_for(LATER);

    assert_told(&mut pair, stream);
    assert_blameless(&pair);
    assert_eq!([A, B].map(|side| pair.hosts[side].closed_with(0)), [None; 2]);
    let now = pair.now;
    for side in [A, B] {
        pair.session(side, 0).release(stream, now);
    }
    pair.run_for(LATER);
    assert_eq!([A, B].map(|side| pair.session(side, 0).stats().streams), [0; 2]);
    let fresh = open(&mut pair, A, 0);
    let mut other = [Transfer::new(A, [0, 0], fresh, pattern(1000, 1))];
    complete(&mut pair, &mut other, LATER);
}

#[test]
fn a_dialer_that_missed_its_answer_is_found_by_the_side_that_gave_it() {
    for dialer in [A, B] {
        let mut pair = Pair::new();
        let (handle, wire) = pair.dial(dialer, LinkKind::Tcp);
        pair.wires[wire].black_hole[1 - dialer] = true;
        let stream = open(&mut pair, dialer, handle);
        let mut transfers = [
            Transfer::new(dialer, [0, 0], stream, pattern(20_000, 1)),
            Transfer::new(1 - dialer, [0, 0], stream, pattern(20_000, 2)),
        ];
        transfers[0].advance_writer_only(&mut pair);
        pair.run_for(pair.delay * 2);
        pair.cut(wire);
        assert_eq!(pair.session(dialer, 0).state(), State::Attaching);
        assert_eq!(pair.session(1 - dialer, 0).state(), State::Detached);

        pair.dial_from(1 - dialer, 0, LinkKind::Tcp);
        complete(&mut pair, &mut transfers, LATER);
        assert!([A, B].iter().all(|side| pair.hosts[*side].sessions.len() == 1));
    }
}

#[test]
fn a_session_that_its_dialer_gave_up_does_not_mix_with_the_dialers_next_one() {
    let mut pair = Pair::new();
    let (given_up, wire) = pair.dial(B, LinkKind::Tcp);
    pair.wires[wire].black_hole[A] = true;
    pair.run_for(pair.delay * 2);
    pair.cut(wire);
    let (peer, now) = (pair.hosts[A].peer, pair.now);
    pair.hosts[B].endpoint.end(&peer, &given_up, Code::LINK_LOST, now);

    // The new one is dialled while a link of the old one is on its way back.
    let (next, _) = pair.dial(B, LinkKind::Tcp);
    pair.dial_from(A, 0, LinkKind::Tcp);
    let stream = open(&mut pair, B, next);
    pair.run_for(pair.delay * 2);
    let mut transfer = [Transfer::new(B, [1, next], stream, pattern(1000, 1))];
    complete(&mut pair, &mut transfer, LATER);

    assert_eq!(pair.hosts[A].closed_with(0), Some(Code::RESUME_EXPIRED));
    assert_blameless(&pair);
}

#[test]
fn a_session_that_is_given_up_before_it_had_a_link_takes_none_of_the_peer() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.dial(A, LinkKind::Tcp);
    let stream = open(&mut pair, A, handle);
    Transfer::new(A, [handle, 0], stream, pattern(100, 1)).advance_writer_only(&mut pair);
    pair.cut(wire);
    let now = pair.now;
    pair.session(A, handle).close(Code::LINK_LOST, "no link became part of the session", now);

    // It waits for what was finished; the peer's link would wait with it, and end with it.
    let hello = Hello {
        instance: pair.hosts[B].instance,
        supersedes: None,
        link: LinkId(u64::from(pair.is_keeper(A))),
        purpose: Purpose::New,
        session: Some(SessionId([9; 16])),
        limits: Limits { streams: 16, data_window: 16 << 10, error_window: 4 << 10 },
        resume_window_ms: None,
        features: Vec::new(),
        finals: Vec::new(),
    };
    let spec = spec(LinkKind::Tcp, 9);
    let taken = pair.session(A, handle).accept_link(spec, &hello, now);
    assert_eq!(taken, Err(AttachError::SessionEnded(Code::LINK_LOST)));
}

/// A asks something in its first flight, B's process serves it, and A does not hear of that.
fn ask_and_hear_nothing(pair: &mut Pair) -> (WireId, StreamId) {
    let (handle, wire) = pair.dial(A, LinkKind::Tcp);
    pair.wires[wire].black_hole[B] = true;
    let stream = open(pair, A, handle);
    let now = pair.now;
    let mut request = Bytes::from_static(b"once");
    pair.session(A, handle).write(stream, Flow::Data, &mut request, now).expect("an open flow");
    pair.session(A, handle).finish_all(stream, now).expect("an open flow");
    pair.run_for(pair.delay * 2);
    let served = pair.session(B, 0).accept().map(|incoming| incoming.id);
    assert_eq!(served, Some(stream), "the process serves it");
    (wire, stream)
}

/// Who asked was told that another process may have been asked.
#[track_caller]
fn assert_told(pair: &mut Pair, stream: StreamId) {
    let (now, mut chunks) = (pair.now, VecDeque::new());
    let answer = pair.session(A, 0).read(stream, Flow::Data, 1, &mut chunks, now);
    assert_eq!(answer, Err(ReadError::Reset(Code::INSTANCE_CHANGED)));
    let stopped = Event::Stopped(stream, Flow::Data, Code::INSTANCE_CHANGED);
    assert!(pair.hosts[A].saw(|event| *event == stopped), "and who waits for its end is woken");
}

/// Nobody was told to have broken a rule.
#[track_caller]
fn assert_blameless(pair: &Pair) {
    for side in [A, B] {
        for session in &pair.hosts[side].sessions {
            let code = session.closed().map(|closed| closed.code);
            let is_blamed = code.is_some_and(|code| code.fault() == Fault::Receiver);
            assert!(!is_blamed, "{side}: {:?}", session.closed());
        }
    }
}
