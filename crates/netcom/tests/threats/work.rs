//! T-3 and T-8: how long input keeps a processor busy.

use std::{
    collections::VecDeque,
    io::Write,
    net::UdpSocket,
    time::{Duration, Instant},
};

use bytes::{BufMut, BytesMut};
use netcom::{NodeRecord, Representation, Target, Ticket, parse_peer_id};
use netcom_identity::certificate;
use netcom_session::wire::{self, FrameLimits, kind};

use crate::support::{Attacker, Intruder, Told, Victim, measured};

#[test]
fn t_03_nothing_keeps_a_processor_busy_after_the_attack() {
    let Some(mut victim) = Victim::of(t_03_nothing_keeps_a_processor_busy_after_the_attack) else {
        return;
    };
    victim.is_well();
    let mut held: Vec<Intruder> = Vec::new();
    let empty: [&[u8]; 5] = [
        // Padding and unknown frames of no bytes.
        &[0x80, 0],
        &[0xff, 0],
        // A frame that never comes to its end.
        &[kind::DATA, 0x20, 0],
        // Answers to questions nobody asked.
        &[kind::PONG, 1, 0],
        &[kind::WANT, 2, 0, 1],
    ];
    for bytes in empty {
        let mut intruder = Attacker::new().join(victim.peer, victim.tcp);
        drop(intruder.flood(bytes, 100_000));
        held.push(intruder);
    }
    // Records without data: changes of the key.
    let mut idle = Attacker::new().join(victim.peer, victim.tcp);
    for _ in 0..1000 {
        idle.tls.conn.refresh_traffic_keys().unwrap();
        drop(idle.tls.flush());
    }
    assert_eq!(idle.told(), Told::Ended, "a thousand changes of the key were taken");
    held.push(idle);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in (0..1500).cycle().take(20_000) {
        drop(socket.send_to(&[0x40; 1500][..length], victim.quic));
    }
    victim.is_well();
    let (before, began) = (victim.cpu(), Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let (busy, took) = (victim.cpu() - before, began.elapsed());
    measured(format_args!("T-3 {busy:?} of processor time in the {took:?} after the attack"));
    assert!(busy <= took / 20, "{busy:?} in {took:?}");
    drop(held);
    victim.is_well();
}

/// Somebody who reads bytes, and how many he reads at most.
type Parser = (&'static str, usize, fn(&[u8]));

const PARSERS: [Parser; 7] = [
    ("representation", 6 << 10, |bytes| drop(Representation::decode(bytes))),
    ("record", 16 << 10, |bytes| drop(NodeRecord::decode(bytes))),
    ("certificate's extension", 3 << 10, |bytes| drop(certificate::decode(bytes))),
    ("frames", 64 << 10, |bytes| assert!(count_frames(bytes) <= bytes.len())),
    ("hello", 16 << 10, |bytes| {
        let mut frame = BytesMut::from(&[kind::HELLO][..]);
        frame.put_u64(bytes.len() as u64 | 3 << 62);
        frame.put_slice(bytes);
        drop(wire::decode(&mut frame, FrameLimits::QUIC));
    }),
    ("target", 64 << 10, |bytes| drop(String::from_utf8_lossy(bytes).parse::<Target>())),
    ("ticket", 8 << 10, |bytes| {
        let text = format!("netcom:{}", "a".repeat(bytes.len()));
        drop(text.parse::<Ticket>());
    }),
];

/// Something long.
type Shape = (&'static str, fn(usize) -> Vec<u8>);

const SHAPES: [Shape; 4] = [
    // A Protobuf message inside a message, as deep as the length allows.
    ("nested", |size| {
        let mut bytes: VecDeque<u8> = VecDeque::new();
        while bytes.len() < size {
            let mut length = bytes.len();
            let mut head = vec![0x0a];
            while length > 0x7f {
                head.push(length as u8 | 0x80);
                length >>= 7;
            }
            head.push(length as u8);
            head.into_iter().rev().for_each(|byte| bytes.push_front(byte));
        }
        Vec::from(bytes)
    }),
    // Groups, which nest at two bytes a level.
    ("groups", |size| [[0x0b].repeat(size / 2), [0x0c].repeat(size / 2)].concat()),
    // As many entries as fit.
    ("crowded", |size| [0x0a, 0x00].repeat(size / 2)),
    // As many frames as fit.
    ("padding", |size| [0x80, 0x00].repeat(size / 2)),
];

#[test]
fn t_08_nested_and_crowded_input_costs_no_more_than_its_length() {
    for (shape, make) in SHAPES {
        for (name, limit, parse) in PARSERS {
            // Beyond the limit, and up to it.
            let longest = make(64 << 10);
            let beyond = quickest(|| parse(&longest));
            assert!(beyond < ALLOWED, "{shape} {name}: {beyond:?}");
            let made = [make((limit - 8) / LONGER), make(limit - 8)];
            is_linear(&format!("{shape} {name}"), |long| parse(&made[usize::from(long)]));
        }
    }
    let text = [(64 << 10) / LONGER, 64 << 10].map(|length| "z".repeat(length));
    is_linear("base58 PeerId", |long| drop(parse_peer_id(&text[usize::from(long)])));
}

/// Ten times what is asked for, so that a busy machine fails nothing.
const ALLOWED: Duration = Duration::from_millis(100);
/// How much longer the longer input is.
const LONGER: usize = 16;
/// What it may take in times of the shorter one: 16 where work is linear, 256 where it is
/// quadratic.
const MOST: f64 = 64.0;
/// What takes less counts as this: a call costs something however little it reads.
const LEAST: Duration = Duration::from_micros(2);

/// Checks the time for a short input and for one that is [`LONGER`].
fn is_linear(what: &str, mut run: impl FnMut(bool)) {
    let (short, long) = (quickest(|| run(false)), quickest(|| run(true)));
    let ratio = long.as_secs_f64() / short.max(LEAST).as_secs_f64();
    measured(format_args!("T-8 {what}: {long:?}, {LONGER} times the input {ratio:.1} times"));
    assert!(long < ALLOWED, "{what}: {long:?}");
    assert!(ratio < MOST, "{what}: {short:?} and {long:?}, {ratio:.1} times");
}

/// What one run takes: the fastest of five samples, each of as many runs as last a millisecond.
fn quickest(mut run: impl FnMut()) -> Duration {
    let sample = |_| {
        let (began, mut runs) = (Instant::now(), 0);
        loop {
            run();
            runs += 1;
            let took = began.elapsed();
            if took >= Duration::from_millis(1) {
                return took / runs;
            }
        }
    };
    (0..5).map(sample).min().expect("five samples")
}

fn count_frames(bytes: &[u8]) -> usize {
    let mut buffer = BytesMut::from(bytes);
    std::iter::from_fn(|| wire::decode(&mut buffer, FrameLimits::QUIC).ok().flatten()).count()
}
