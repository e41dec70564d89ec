//! T-6, T-7, T-9 and T-11: what a peer can make a node keep.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use netcom::{Code, Limits, SecretKey};
use netcom_session::{
    Accept, Endpoint, EndpointLimits, Flow, Time,
    wire::{self, Credit, Frame, FrameLimits, Reset, kind},
};

use crate::support::{
    Attacker, Intruder, MIB, PATIENCE, Tables, Told, Victim, hello, is_long, measured, within,
};

/// What becomes of the session of who makes a flood.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is ended with one of these codes.
    Cut(&'static [Code]),
    /// It goes on, and what follows the whole flood is answered.
    GoesOn,
}

/// Frames that change nothing may be 1,000 and a tenth of all (E-51). Of pings that come together
/// the first one changes what will be answered, and the others nothing.
const USELESS: Fate = Fate::Cut(&[Code::USELESS]);

/// Streams whose ends are never acknowledged stay open, and many resets come in one second.
const TOO_MANY: Fate = Fate::Cut(&[Code::STREAM_LIMIT, Code::RESET_FLOOD]);

/// Each QUERY asks for other counts than the one before, since it is counted too. Its answer takes
/// the place of the one that waits, so that many have one. Padding means nothing by design and has
/// no answer. Neither fills a queue, and the engine counts neither as useless.
const HARMLESS: Fate = Fate::GoesOn;

/// Whether a session was ended with one of these codes since it was asked last.
fn was_cut(victim: &mut Victim, codes: &[Code]) -> bool {
    victim.ends().iter().any(|code| codes.contains(code))
}

/// Runs a flood in a session of its own that does not read, and checks what becomes of it.
fn under_flood(
    victim: &mut Victim,
    name: &str,
    fate: Fate,
    flood: impl FnOnce(&mut Intruder) -> io::Result<()>,
) {
    victim.forget_peak();
    let before = victim.resident();
    let mut intruder = Attacker::new().join(victim.peer, victim.tcp);
    let began = Instant::now();
    let result = flood(&mut intruder);
    match fate {
        // Whether all of the flood could be written says nothing: the system takes a good part.
        Fate::Cut(codes) => {
            while !was_cut(victim, codes) {
                assert!(began.elapsed() < PATIENCE, "{name}: not cut, {result:?}");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Fate::GoesOn => {
            result.expect("all of it is taken");
            intruder.send(&Frame::Ping { nonce: 9 });
            let answered = std::iter::from_fn(|| intruder.next_frame())
                .any(|frame| frame == Frame::Pong { nonce: 9 });
            assert!(answered, "{name}: the session goes on");
        }
    }
    let took = began.elapsed();
    victim.is_well();
    let grown = victim.peak().saturating_sub(before);
    measured(format_args!("T-6 {name}: {fate:?} after {took:?}, {} KiB", grown >> 10));
    assert!(grown <= 8 * MIB, "{name}: {grown}");
}

#[test]
fn t_06_a_flood_that_is_never_read_fills_no_queue() {
    let Some(mut victim) = Victim::of(t_06_a_flood_that_is_never_read_fills_no_queue) else {
        return;
    };
    victim.is_well();
    under_flood(&mut victim, "a million pings", USELESS, |it| {
        it.flood(&[kind::PING, 1, 7], 1_000_000)
    });
    under_flood(&mut victim, "a million queries", HARMLESS, |it| {
        let link = u8::from(!it.is_keeper);
        it.flood(&[kind::QUERY, 1, link], 1_000_000)
    });
    under_flood(&mut victim, "a million empty frames", HARMLESS, |it| {
        it.flood(&[kind::PAD, 0], 1_000_000)
    });
    under_flood(&mut victim, "a million unknown frames", USELESS, |it| {
        it.flood(&[0xff, 0], 1_000_000)
    });
    under_flood(&mut victim, "a million frames of no data", USELESS, |it| {
        let (mut open, mut empty) = (BytesMut::new(), BytesMut::new());
        wire::encode(&it.data(0, "netcom/bytes/1", 0, b"x"), &mut open);
        wire::encode(&it.data(0, "", 1, b""), &mut empty);
        it.try_send_bytes(&open)?;
        it.flood(&empty, 1_000_000)
    });
    under_flood(&mut victim, "a hundred thousand streams opened and reset", TOO_MANY, |it| {
        let mut bytes = BytesMut::new();
        for index in 0..100_000 {
            wire::encode(&it.data(index, "netcom/bytes/1", 0, b"x"), &mut bytes);
            let (stream, flow, code) = (it.stream(index), Flow::Data, Code::CANCELLED);
            let reset = Reset { stream, flow, fin_errors: true, code, final_size: 1 };
            wire::encode(&Frame::Reset(reset), &mut bytes);
        }
        it.try_send_bytes(&bytes)
    });
    under_flood(&mut victim, "requests whose answers are not read", TOO_MANY, |it| {
        let mut bytes = BytesMut::new();
        for index in 0..10_000 {
            let mut request = it.data(index, "netcom/request/1", 0, &[1; 1000]);
            if let Frame::Data(data) = &mut request {
                (data.fin, data.fin_errors) = (true, true);
            }
            wire::encode(&request, &mut bytes);
        }
        it.try_send_bytes(&bytes)
    });
}

#[tokio::test]
async fn t_06_a_flood_over_quic_fills_no_queue_either() {
    let victim = Victim::of(t_06_a_flood_over_quic_fills_no_queue_either);
    let Some(mut victim) = victim else { return };
    // What a QUIC socket needs for packets that come quickly is no part of the flood.
    victim.echoes(8 * MIB).await;
    for (name, frame, fate) in
        [("pings", &[kind::PING, 1, 7][..], USELESS), ("empty frames", &[kind::PAD, 0], HARMLESS)]
    {
        victim.forget_peak();
        let before = victim.resident();
        let attacker = Attacker::new();
        let quic = attacker.quic(victim.quic).await;
        let (mut send, mut unread) = within(quic.connection.open_bi()).await.unwrap();
        let mut bytes = BytesMut::new();
        wire::encode(&hello(attacker.key.peer_id() < victim.peer), &mut bytes);
        bytes.extend_from_slice(&frame.repeat(1_000_000));
        let flood = within(send.write_all(&bytes)).await;
        match fate {
            Fate::Cut(codes) => {
                let cut = async {
                    while !was_cut(&mut victim, codes) {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                };
                within(cut).await;
            }
            Fate::GoesOn => {
                flood.expect("all of it is taken");
                within(send.write_all(&[kind::PING, 1, 9])).await.unwrap();
                assert!(within(is_answered(&mut unread, 9)).await, "{name}: the session goes on");
            }
        }
        victim.serves().await;
        let grown = victim.peak().saturating_sub(before);
        measured(format_args!("T-6 a million {name} over QUIC: {fate:?}, {} KiB", grown >> 10));
        assert!(grown <= 8 * MIB, "{name}: {grown}");
    }
    assert_eq!(victim.tables().panics, 0);
}

/// Reads frames from a QUIC stream until the answer to a ping or the end.
async fn is_answered(unread: &mut quinn::RecvStream, nonce: u64) -> bool {
    let (mut bytes, mut chunk) = (BytesMut::new(), [0; 4096]);
    loop {
        while let Some(frame) = wire::decode(&mut bytes, FrameLimits::QUIC).unwrap() {
            if frame == (Frame::Pong { nonce }) {
                return true;
            }
        }
        let Ok(Some(count)) = unread.read(&mut chunk).await else { return false };
        bytes.extend_from_slice(&chunk[..count]);
    }
}

/// Flows with gaps in one session, and gaps in each: just below what ends the session.
const FLOWS: u64 = 8;
const GAPS: u64 = 1000;

#[test]
fn t_07_fragments_with_gaps_cost_less_than_two_windows() {
    let Some(mut victim) = Victim::of(t_07_fragments_with_gaps_cost_less_than_two_windows) else {
        return;
    };
    victim.is_well();
    // One flow has a limit of its own.
    let mut greedy = Attacker::new().join(victim.peer, victim.tcp);
    let mut fragments = BytesMut::new();
    for n in 0..2000 {
        wire::encode(&greedy.data(0, "", 2 * n + 2, b"x"), &mut fragments);
    }
    drop(greedy.try_send_bytes(&fragments));
    assert_eq!(greedy.told(), Told::Closed(Code::TOO_MANY_GAPS));

    // Sixteen sessions, each with as many as it may have.
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(Attacker::new().join(victim.peer, victim.tcp));
    }
    victim.forget_peak();
    let before = victim.resident();
    for intruder in &mut held {
        let mut fragments = BytesMut::new();
        for index in 0..FLOWS {
            for n in 0..GAPS {
                wire::encode(&intruder.data(index, "", 2 * n + 2, b"x"), &mut fragments);
            }
        }
        intruder.try_send_bytes(&fragments).unwrap();
        intruder.send(&Frame::Ping { nonce: 9 });
        let answered = std::iter::from_fn(|| intruder.next_frame())
            .any(|frame| frame == Frame::Pong { nonce: 9 });
        assert!(answered, "the session goes on");
    }
    let fragments = 16 * FLOWS * GAPS;
    let grown = victim.peak().saturating_sub(before);
    let each = grown / fragments;
    measured(format_args!("T-7 {} KiB for {fragments} fragments, {each} B each", grown >> 10));
    let window = netcom::SessionConfig::default().first_window;
    assert!(grown <= 2 * window * FLOWS * 16, "{grown}");
    victim.is_well();
}

#[test]
fn t_09_a_message_in_one_byte_pieces_costs_a_few_times_its_size() {
    let Some(mut victim) = Victim::of(t_09_a_message_in_one_byte_pieces_costs_a_few_times_its_size)
    else {
        return;
    };
    victim.is_well();
    for protocol in ["netcom/request/1", "netcom/messages/1"] {
        victim.forget_peak();
        let before = victim.resident();
        let mut intruder = Attacker::new().join(victim.peer, victim.tcp);
        let answered = send_bytewise(&mut intruder, protocol, MIB);
        let grown = victim.peak().saturating_sub(before);
        measured(format_args!("T-9 1 MiB to {protocol} bytewise: {} KiB", grown >> 10));
        assert!(grown <= 4 * MIB, "{protocol}: {grown}");
        assert!(answered || protocol == "netcom/messages/1", "the request was taken");
    }
    victim.is_well();
}

/// Sends a body in frames of one byte as the credit allows, and tells whether an answer began.
fn send_bytewise(intruder: &mut Intruder, protocol: &str, size: u64) -> bool {
    let (mut sent, mut credit) = (0, 16 << 10);
    let stream = intruder.stream(0);
    // A message has its length in front: 2^20 in three bytes of seven bits.
    let head = if protocol == "netcom/messages/1" { &[0x80, 0x80, 0x40][..] } else { &[] };
    let total = size + head.len() as u64;
    while sent < total {
        let mut frames = BytesMut::new();
        for at in sent..credit.min(total) {
            let byte = head.get(at as usize).copied().unwrap_or(7);
            let mut frame = intruder.data(0, protocol, at, &[byte]);
            if let Frame::Data(data) = &mut frame {
                data.fin = at + 1 == total;
                data.fin_errors = data.fin;
            }
            wire::encode(&frame, &mut frames);
        }
        intruder.try_send_bytes(&frames).unwrap();
        sent = credit.min(total);
        while sent < total && sent == credit {
            match intruder.next_frame().expect("the session goes on") {
                Frame::Credit(Credit { stream: its, flow: Flow::Data, max }) if its == stream => {
                    credit = credit.max(max);
                }
                Frame::Close(close) => panic!("{close:?}"),
                _ => {}
            }
        }
    }
    intruder.send(&Frame::Ping { nonce: 3 });
    let frames = std::iter::from_fn(|| intruder.next_frame());
    let is_answer = |frame: &Frame| matches!(frame, Frame::Data(data) if data.stream == stream);
    let mut until = frames
        .take_while(|frame| protocol == "netcom/request/1" || *frame != Frame::Pong { nonce: 3 });
    until.any(|frame| is_answer(&frame))
}

#[test]
fn t_11_a_hundred_thousand_identities_come_and_go_and_leave_nothing() {
    let mut endpoint = Endpoint::new(EndpointLimits::default());
    for number in 0..100_000_u64 {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let peer = SecretKey::from_bytes(&seed).peer_id();
        let Frame::Hello(hello) = hello(true) else { unreachable!() };
        let accept = endpoint.accept(&peer, &hello, Time(number), || number);
        assert!(matches!(accept, Accept::Session { is_new: true, .. }), "{accept:?}");
        assert_eq!(endpoint.len(), 1);
        endpoint.end(&peer, &number, Code::IDLE, Time(number));
    }
    assert!(endpoint.is_empty());
    assert_eq!(endpoint.sessions().count(), 0);
}

#[test]
fn t_11_peers_that_connect_and_leave_are_forgotten() {
    let mut limits = Limits::default();
    limits.session.resume_window = Duration::from_millis(100);
    let victim =
        Victim::with(t_11_peers_that_connect_and_leave_are_forgotten, |it| it.limits(limits));
    let Some(mut victim) = victim else { return };
    let none = |tables: Tables| (tables.sessions, tables.links, tables.half_open) == (0, 0, 0);
    let come_and_go = |victim: &mut Victim, count: usize| {
        for number in 0..count {
            let mut visitor = Attacker::new().join(victim.peer, victim.tcp);
            let greeting = visitor.data(0, "netcom/bytes/1", 0, b"hello");
            visitor.send(&greeting);
            // One in two breaks off and would have to come back within the resume window.
            if number % 2 == 0 {
                let (code, reason) = (Code::NO_ERROR, String::new());
                visitor.send(&Frame::Close(wire::Close { code, reason }));
                assert_eq!(visitor.told(), Told::Ended);
            }
            drop(visitor);
            // How many are there at once shapes what the allocator keeps.
            if number % 50 == 49 {
                victim.settles(none);
            }
        }
    };
    // Two tables of the node remember the last 4,096 peers: how they ended and where they were.
    let (first, more, allowed) = if is_long() { (5000, 10_000, 0) } else { (500, 1000, MIB) };
    come_and_go(&mut victim, first);
    let before = victim.resident();
    come_and_go(&mut victim, more);
    let after = victim.resident();
    measured(format_args!("T-11 {} KiB, {} KiB after {more} more", before >> 10, after >> 10));
    assert!(after <= before + before / 20 + allowed, "{before} {after}");
    victim.is_well();
}
