//! Who a session belongs to: processes, simultaneous dials, proofs, restarts.

use std::time::Duration;

use netcom_session::{
    Accept, Code, Event, LaneId, LinkKind, LinkLoss, State,
    wire::{Frame, Purpose},
};

use crate::harness::*;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn simultaneous_dial_ends_in_one_session_in_1000_of_1000_interleavings() {
    for run in 0..1000u64 {
        let mut pair = Pair::with(netcom_session::Config::default(), Duration::from_micros(1000));
        // The second dial starts anywhere between together with and well after the first.
        let (first, gap) = if run % 2 == 0 { (A, run / 2) } else { (B, run / 2) };
        let kinds = [LinkKind::Tcp, LinkKind::Quic];
        let [kind, other] = if run % 3 == 0 { [kinds[0]; 2] } else { kinds };
        let (handle, _) = pair.dial(first, kind);
        let stream = open(&mut pair, first, handle);
        pair.run_for(Duration::from_micros(gap * 10));
        let (back, _) = pair.dial(1 - first, other);
        let reverse = open(&mut pair, 1 - first, back);
        let mut transfers = [
            Transfer::new(first, [0, 0], stream, pattern(2000, run)),
            Transfer::new(1 - first, [0, 0], reverse, pattern(2000, run)),
        ];
        complete(&mut pair, &mut transfers, Duration::from_secs(1));
        pair.run_for(Duration::from_secs(3));

        for side in [A, B] {
            assert_eq!(pair.hosts[side].sessions.len(), 1, "run {run}");
            assert_eq!(pair.session(side, 0).state(), State::Live, "run {run}");
            let links = pair.session(side, 0).links().count();
            // The keeper closed the duplicate of a kind; different kinds stay as standby.
            assert!(links == 1 || (links == 2 && kind != other), "run {run}: {links}");
        }
        assert_eq!(pair.session(A, 0).id(), pair.session(B, 0).id(), "run {run}");
    }
}

#[test]
fn two_processes_with_one_key_keep_two_sessions_for_60_s() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    // A second process of A dials B: its own endpoint, the same key.
    let second = second_process(&mut pair);
    pair.dial_from(A, second, LinkKind::Tcp);
    let streams = [open(&mut pair, A, handle), open(&mut pair, A, second)];
    let mut transfers = [
        Transfer::new(A, [handle, 0], streams[0], pattern(50_000, 1)),
        Transfer::new(A, [second, 1], streams[1], pattern(50_000, 2)),
    ];
    pair.run_for(MINUTE);
    complete(&mut pair, &mut transfers, MINUTE);

    assert_eq!(pair.hosts[B].sessions.len(), 2);
    for handle in [0, 1] {
        assert_eq!(pair.session(B, handle).state(), State::Live);
        assert_eq!(pair.session(B, handle).links().count(), 1);
    }
}

/// Adds a session of another process with A's key.
fn second_process(pair: &mut Pair) -> Handle {
    let (peer, now) = (pair.hosts[B].peer, pair.now);
    let host = &mut pair.hosts[A];
    let own = host.instance;
    host.instance = netcom_session::InstanceId([77; 16]);
    let session = host.session(peer, true, now);
    host.instance = own;
    host.sessions.push(session);
    host.sessions.len() - 1
}

#[test]
fn a_second_process_with_the_key_cannot_join_a_running_session() {
    let mut pair = Pair::new();
    pair.arrived = Some([Vec::new(), Vec::new()]);
    let (handle, first) = pair.connect();
    // The right process adds a link; an eavesdropper with the key records its hello and proof.
    pair.dial_from(A, handle, LinkKind::Memory);
    pair.run_for(Duration::from_millis(100));
    let recorded: Vec<Frame> = pair.arrived.as_ref().expect("recorded")[B]
        .iter()
        .map(|(_, frame)| frame.clone())
        .filter(|frame| match frame {
            Frame::Hello(hello) => matches!(hello.purpose, Purpose::Join { .. }),
            Frame::Join { .. } => true,
            _ => false,
        })
        .collect();
    let [Frame::Hello(hello), Frame::Join { mac }] = &recorded[..] else {
        panic!("a hello and a proof were recorded: {recorded:?}");
    };
    let before = pair.session(B, 0).links().count();

    // Replayed on a link of its own, whose exporter differs: refused, and the session unharmed.
    let (peer, now) = (pair.hosts[A].peer, pair.now);
    let mut replayed = hello.clone();
    replayed.link = netcom_session::LinkId(hello.link.0 + 2);
    for mac in [*mac, [0; 32]] {
        let accept = pair.hosts[B].endpoint.accept(&peer, &replayed, now, || unreachable!());
        let Accept::Session { session, is_new: false, .. } = accept else { panic!("{accept:?}") };
        let link = pair.hosts[B].sessions[session]
            .accept_link(spec(LinkKind::Tcp, 99), &replayed, now)
            .expect("the proof is asked for later");
        let mut frames = vec![Frame::Join { mac }, Frame::Want { sequence: 9, held: false }];
        pair.hosts[B].sessions[session].handle_batch(link, LaneId(0), &mut frames, now);
        let refused = Event::LinkEnded { link, code: Code::BAD_JOIN };
        pair.flush();
        assert!(pair.hosts[B].saw(|event| *event == refused));
        pair.hosts[B].sessions[session].link_lost(link, &LinkLoss::Closed, now);
        replayed.link = netcom_session::LinkId(replayed.link.0 + 2);
    }
    assert_eq!(pair.session(B, 0).links().count(), before);
    let stream = open(&mut pair, A, handle);
    let mut transfer = [Transfer::new(A, [handle, 0], stream, pattern(100_000, 1))];
    complete(&mut pair, &mut transfer, MINUTE);
    assert!(!pair.wires[first].is_cut);
}

#[test]
fn first_hello_lost_then_dialled_again_reaches_the_same_session_and_runs_each_request_once() {
    // Every frame of the first link in turn is the last to pass, in either direction.
    for side in [A, B] {
        for frames in 1..8 {
            let mut pair = Pair::new();
            let (handle, wire) = pair.dial(A, LinkKind::Tcp);
            let streams: Vec<_> = (0..5).map(|_| open(&mut pair, A, handle)).collect();
            let mut transfers: Vec<_> = (0..5)
                .map(|n| Transfer::new(A, [handle, 0], streams[n], pattern(3000, n as u64)))
                .collect();
            pair.cut_after = Some((wire, side, frames));
            let done = pair.run_until(MINUTE, |pair| {
                if pair.session(A, handle).links().next().is_none() {
                    pair.dial_from(A, handle, LinkKind::Tcp);
                }
                !pair.hosts[B].sessions.is_empty() && advance_all(pair, &mut transfers)
            });
            assert!(done, "side {side}, frame {frames}");
            transfers.iter().for_each(Transfer::check);
            assert_eq!(pair.hosts[B].sessions.len(), 1, "side {side}, frame {frames}");
            let accepted = std::iter::from_fn(|| pair.session(B, 0).accept()).count();
            assert_eq!(accepted, 5, "each stream came to the application once");
        }
    }
}

#[test]
fn restart_with_supersedes_ends_streams_at_once_and_without_it_ends_none() {
    for names_predecessor in [true, false] {
        let mut pair = Pair::new();
        let (handle, _) = pair.connect();
        let stream = open(&mut pair, A, handle);
        pair.run_for(Duration::from_millis(100));
        pair.restart(A, names_predecessor);
        let (again, _) = pair.dial(A, LinkKind::Tcp);
        pair.run_for(Duration::from_secs(1));

        let old = pair.hosts[B].closed_with(0);
        assert_eq!(old, names_predecessor.then_some(Code::PEER_RESTARTED));
        assert_eq!(pair.hosts[B].sessions.len(), 2);
        let fresh = open(&mut pair, A, again);
        assert_eq!(fresh, stream, "a new session counts its streams anew");
        let mut transfer = [Transfer::new(A, [again, 1], fresh, pattern(1000, 1))];
        complete(&mut pair, &mut transfer, MINUTE);
        pair.run_for(MINUTE * 2);
        let expected = if names_predecessor { Code::PEER_RESTARTED } else { Code::RESUME_EXPIRED };
        assert_eq!(pair.hosts[B].closed_with(0), Some(expected));
    }
}

#[test]
fn a_fifth_process_of_one_key_is_refused_and_the_four_are_unharmed() {
    let mut pair = Pair::new();
    pair.connect();
    for name in 1..5u8 {
        let handle = second_process_named(&mut pair, name);
        let wire = pair.dial_from(A, handle, LinkKind::Tcp);
        pair.run_for(Duration::from_millis(100));
        let refused = Code::TOO_MANY_INSTANCES;
        let ended =
            |event: &Event| matches!(event, Event::LinkEnded { code, .. } if *code == refused);
        assert_eq!(pair.hosts[A].saw(ended), name == 4, "{wire}");
    }
    assert_eq!(pair.hosts[B].sessions.len(), 4);
    assert!((0..4).all(|n| pair.hosts[B].sessions[n].state() == State::Live));
}

fn second_process_named(pair: &mut Pair, name: u8) -> Handle {
    let handle = second_process(pair);
    let (peer, now) = (pair.hosts[B].peer, pair.now);
    let host = &mut pair.hosts[A];
    let other = netcom_session::InstanceId([100 + name; 16]);
    let own = std::mem::replace(&mut host.instance, other);
    host.sessions[handle] = host.session(peer, true, now);
    host.instance = own;
    handle
}

#[test]
fn a_stranger_joining_learns_nothing_and_a_late_hello_costs_nothing() {
    let mut pair = Pair::new();
    let (_, wire) = pair.connect();
    let stranger = netcom_identity::SecretKey::from_bytes(&[9; 32]).peer_id();
    let now = pair.now;
    let bound = pair.session(B, 0).bound_to().expect("bound");
    let mut hello = hello_of(&mut pair);
    (hello.instance, hello.session) = (bound.0, Some(bound.1));
    let answer = pair.hosts[B].endpoint.accept(&stranger, &hello, now, || unreachable!());
    let Accept::Refuse(Purpose::Refused { code, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(code, Code::UNKNOWN_SESSION);

    // A link that never gets its answer ends by itself and leaves the session alone.
    let lost = pair.dial_from(A, 0, LinkKind::Memory);
    pair.wires[lost].black_hole = [true; 2];
    pair.run_for(Duration::from_secs(4));
    assert_eq!(pair.session(A, 0).links().count(), 3);
    pair.run_for(Duration::from_secs(2));
    assert_eq!(pair.session(A, 0).links().count(), 2, "no answer to the hello in 5 s");
    assert!(!pair.wires[wire].is_cut);
    assert_eq!(pair.session(A, 0).state(), State::Live);
}

fn hello_of(pair: &mut Pair) -> netcom_session::wire::Hello {
    pair.arrived = Some([Vec::new(), Vec::new()]);
    pair.dial_from(A, 0, LinkKind::Memory);
    pair.run_for(Duration::from_millis(100));
    let arrived = pair.arrived.take().expect("recorded");
    arrived[B]
        .iter()
        .find_map(|(_, frame)| match frame {
            Frame::Hello(hello) => Some((**hello).clone()),
            _ => None,
        })
        .expect("a dialer says hello")
}

#[test]
fn a_link_that_breaks_a_rule_before_it_is_attached_ends_alone() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let mut hello = hello_of(&mut pair);
    // The right process and session are named, without limits and without proof.
    hello.link = netcom_session::LinkId(hello.link.0 + 2);
    hello.limits.data_window = 1 << 40;
    let now = pair.now;
    let link = pair.session(B, 0).accept_link(spec(LinkKind::Tcp, 9), &hello, now);
    let link = link.expect("the proof is asked for later");
    let mut frames = vec![Frame::Hello(Box::new(hello)), Frame::Key(wire_key())];
    pair.session(B, 0).handle_batch(link, LaneId(0), &mut frames, now);
    pair.run_for(Duration::from_secs(3));
    assert_eq!(pair.session(B, 0).state(), State::Live);

    // What was granted without proof does not count.
    let stream = open(&mut pair, B, 0);
    let mut data = Transfer::new(B, [handle, 0], stream, pattern(1_000_000, 1));
    data.advance_writer_only(&mut pair);
    let progress = pair.session(B, 0).send_progress(stream, netcom_session::Flow::Data);
    assert!(progress.expect("open").sent <= 256 << 10);
}

fn wire_key() -> netcom_session::wire::SessionKey {
    netcom_session::wire::SessionKey([3; 32])
}
