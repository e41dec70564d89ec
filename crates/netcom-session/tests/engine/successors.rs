//! A peer's next process, reached while the session with its last one was not settled: before both
//! sides had the secret that a further link must prove.

use std::time::Duration;

use bytes::Bytes;
use netcom_session::{
    AttachError, Code, Fault, Flow, LinkId, LinkKind, SessionId,
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
    let (handle, wire) = pair.dial(A, LinkKind::Tcp);
    pair.wires[wire].black_hole[B] = true;
    let stream = open(&mut pair, A, handle);
    let now = pair.now;
    let mut request = Bytes::from_static(b"once");
    pair.session(A, handle).write(stream, Flow::Data, &mut request, now).expect("an open flow");
    pair.session(A, handle).finish_all(stream, now).expect("an open flow");
    pair.run_for(pair.delay * 2);
    let served = pair.session(B, 0).accept().map(|incoming| incoming.id);
    assert_eq!(served, Some(stream), "the process serves it and dies before A hears of it");

    // No reset comes of it: A waits for the answer on the first link.
    pair.wires[wire].ends[B] = None;
    pair.restart(B, false);
    pair.dial(B, LinkKind::Tcp);
    pair.run_for(LATER);

    assert_eq!(pair.session(B, 0).accept(), None, "another process must not serve it again");
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
