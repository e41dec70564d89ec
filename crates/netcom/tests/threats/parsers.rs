//! T-1, T-2, T-4 and T-5: what a peer's bytes can do to those who read them.

use std::{io::Write, net::TcpStream, time::Instant};

use bytes::{BufMut, Bytes, BytesMut};
use netcom::{Code, SecretKey, SessionConfig};
use netcom_session::{
    Batch, Class, Flow, InstanceId, LaneId, LinkKind, LinkSpec, Session, SessionId, SessionSpec,
    StreamId, Time, fuzzing,
    wire::{self, Frame, Hello, SessionKey, kind},
};

use crate::support::{Attacker, FrameKind, MIB, PATIENCE, Told, Victim, hello, measured, samples};

/// Lengths that are claimed and never kept.
const CLAIMS: [u64; 4] = [(1 << 31) - 1, (1 << 32) - 1, 1 << 40, (1 << 62) - 1];
/// Connections that claim at once.
const CLAIMANTS: usize = 16;

/// A varint as frames have it, always eight bytes long.
fn varint(value: u64) -> [u8; 8] {
    (value | 3 << 62).to_be_bytes()
}

fn claim(kind: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(varint(length));
    bytes
}

#[test]
fn t_01_a_declared_length_allocates_nothing() {
    let Some(mut victim) = Victim::of(t_01_a_declared_length_allocates_nothing) else { return };
    let attacker = Attacker::new();
    victim.is_well();
    let (mut held, mut claims) = (Vec::new(), 0);
    victim.forget_peak();
    let before = (victim.resident(), victim.address_space());
    // Records and handshake messages that claim the most TLS can say and come byte by byte.
    let records: [&[u8]; 3] = [
        &[0x16, 3, 1, 0x41, 0x00, 1],
        &[0x16, 3, 1, 0x00, 0x04, 1, 0xff, 0xff, 0xff],
        &[0x16, 3, 1, 0xff, 0xff, 1],
    ];
    let mut raw = Vec::new();
    for record in records.iter().cycle().take(CLAIMANTS) {
        let mut stream = TcpStream::connect(victim.tcp).unwrap();
        stream.write_all(record).unwrap();
        drop(stream.write_all(&[0]));
        raw.push(stream);
    }
    // Frames, as the first thing and after a HELLO.
    for kind in [kind::DATA, kind::DATAGRAM, kind::AUTH, kind::LACK, kind::HELLO, kind::PAD] {
        for length in CLAIMS {
            let mut first = attacker.link(victim.peer, victim.tcp);
            first.try_send_bytes(&claim(kind, length)).unwrap();
            assert_eq!(first.told(), Told::Ended, "{kind:#x}, {length}");
            let mut later = Attacker::new().join(victim.peer, victim.tcp);
            later.try_send_bytes(&claim(kind, length)).unwrap();
            drop(later.try_send_bytes(&[0]));
            assert_eq!(later.told(), Told::Ended, "{kind:#x}, {length}");
            claims += 1;
            held.push(later);
        }
    }
    let began = Instant::now();
    let mut typed = 0;
    while typed < claims {
        typed += victim.ends().iter().filter(|end| **end == Code::FRAME_TOO_LARGE).count();
        assert!(began.elapsed() < PATIENCE, "{typed} of {claims}");
    }
    // Messages: a length of seven bits a byte.
    for length in CLAIMS {
        let mut stream = Attacker::new().join(victim.peer, victim.tcp);
        let mut prefix = Vec::new();
        let mut left = length;
        while left > 0x7f {
            prefix.push(left as u8 | 0x80);
            left >>= 7;
        }
        prefix.extend([left as u8, 0]);
        let frame = stream.data(0, "netcom/messages/1", 0, &prefix);
        stream.send(&frame);
        let refused = std::iter::from_fn(|| stream.next_frame())
            .any(|frame| matches!(frame, Frame::Stop(_) | Frame::Reset(_)));
        assert!(refused, "a message of {length} bytes");
        held.push(stream);
    }
    let grown = victim.peak().saturating_sub(before.0);
    let reserved = victim.most_address_space().saturating_sub(before.1);
    let connections = held.len() + raw.len();
    measured(format_args!("T-1 {grown} B for {connections} connections, {reserved} B reserved"));
    // All of them together: one that gets what it claims is not lost in an average.
    assert!(grown <= 4 * MIB, "{grown}");
    // Nor was the least of the claims ever reserved, not even for a moment without being used.
    assert!(reserved < CLAIMS[0] / 2, "{reserved}");
    victim.is_well();
}

#[test]
fn t_01_an_entry_of_a_hello_is_no_longer_than_the_hello() {
    let Some(mut victim) = Victim::of(t_01_an_entry_of_a_hello_is_no_longer_than_the_hello) else {
        return;
    };
    let attacker = Attacker::new();
    victim.is_well();
    victim.forget_peak();
    let before = victim.resident();
    for length in CLAIMS {
        for id in 0..10 {
            let mut body = varint(id).to_vec();
            body.extend(varint(length));
            body.extend([0; 100]);
            let mut frame = claim(kind::HELLO, body.len() as u64);
            frame.extend(body);
            let mut link = attacker.link(victim.peer, victim.tcp);
            link.try_send_bytes(&frame).unwrap();
            assert_eq!(link.told(), Told::Ended);
        }
    }
    let grown = victim.peak().saturating_sub(before);
    measured(format_args!("T-1 {grown} B for 40 hellos in turn"));
    assert!(grown <= 4 * MIB);
    victim.is_well();
}

/// Frames that a session without history takes, or whose reading is what matters.
fn ordinary(kind: &FrameKind) -> Frame {
    kind.with(&[1; 8])
}

#[test]
fn t_02_a_frame_cut_short_anywhere_is_no_frame_and_no_panic() {
    let Some(mut victim) = Victim::of(t_02_a_frame_cut_short_anywhere_is_no_frame_and_no_panic)
    else {
        return;
    };
    let attacker = Attacker::new();
    let mut cuts = 0;
    for kind in samples() {
        let mut bytes = BytesMut::new();
        wire::encode(&ordinary(&kind), &mut bytes);
        for cut in 0..bytes.len() {
            // Cut by the end of the link, before any session and inside of one.
            let mut link = attacker.link(victim.peer, victim.tcp);
            if cut % 4 == 0 {
                link.send(&hello(link.is_keeper));
            }
            link.try_send_bytes(&bytes[..cut]).unwrap();
            link.tls.conn.send_close_notify();
            drop(link.tls.flush());
            cuts += 1;
            // Cut by a length that is too short for what has to be in it.
            let mut shorter = BytesMut::from(&bytes[..1]);
            shorter.put_slice(&varint(cut as u64));
            shorter.put_slice(&bytes[bytes.len() - cut..]);
            fuzzing::frames(&shorter);
        }
    }
    victim.settles(|tables| tables.links == 0);
    measured(format_args!("T-2 {cuts} cuts"));
    victim.is_well();
}

/// An engine with one attached link, whose peer the test plays, at a time of the test's choice.
struct Machine {
    session: Session,
    link: netcom_session::LinkId,
    now: Time,
}

impl Machine {
    fn new(now: Time) -> Self {
        let [local, remote] = [1, 2].map(|seed| SecretKey::from_bytes(&[seed; 32]).peer_id());
        let spec = SessionSpec {
            local,
            remote,
            instance: InstanceId([1; 16]),
            supersedes: None,
            token: SessionId([1; 16]),
            key: SessionKey([1; 32]),
            is_dialer: false,
            config: SessionConfig::default(),
        };
        let mut session = Session::new(spec, now);
        let is_peer_keeper = remote < local;
        let Frame::Hello(first) = hello(is_peer_keeper) else { unreachable!() };
        let first: Hello = *first;
        let link = LinkSpec {
            kind: LinkKind::Quic,
            exporter: [3; 32],
            max_lanes: 64,
            max_data_body: wire::MAX_DATA_BODY_QUIC,
            path: 0,
            process: 0,
        };
        let link = session.accept_link(link, &first, now).expect("a first link");
        let mut machine = Self { session, link, now };
        // A stream of ours, so that frames about it find one.
        let stream = machine.session.open(Class::Normal, Bytes::from_static(b"x"), now);
        let stream = stream.expect("allowed");
        let mut bytes = Bytes::from_static(&[0; 1000]);
        machine.session.write(stream, Flow::Data, &mut bytes, now).expect("credit");
        machine.drain();
        machine
    }

    fn receive(&mut self, frame: Frame) {
        self.session.handle_batch(self.link, LaneId(0), &mut vec![frame], self.now);
        self.drain();
    }

    fn drain(&mut self) {
        let mut batch = Batch::new();
        while self.session.poll_wakeup().is_some() {}
        while self.session.poll_event().is_some() {}
        self.session.poll_batch(self.link, 1 << 20, &mut batch, self.now);
        let _ = self.session.accept();
    }

    /// Two heartbeats and everything else that is due until the session has long expired.
    fn live_on(&mut self) {
        for _ in 0..40 {
            let Some(due) = self.session.poll_timeout() else { return };
            self.now = self.now.max(due);
            self.session.handle_timeout(self.now);
            self.drain();
        }
    }
}

/// The edges of every width, and what overflows when a little is added.
fn edges() -> Vec<u64> {
    let mut edges: Vec<u64> = vec![0, 1, 2, 3, 5];
    for bit in [6, 7, 8, 14, 15, 16, 30, 31, 32, 33, 61, 62, 63] {
        let power = 1 << bit;
        edges.extend([power - 1, power, power + 1]);
    }
    // A day, in the units of the wire, before the largest number.
    edges.extend([u64::MAX - 86_400_000, u64::MAX - 1, u64::MAX]);
    edges
}

#[test]
fn t_04_no_number_of_a_peer_overflows_now_or_two_heartbeats_later() {
    let mut cases = 0;
    let year = Time(365 * 86_400 * 1_000_000_000);
    for kind in samples() {
        for field in 0..kind.numbers.max(1) {
            for edge in edges() {
                // The other fields are such that the frame finds something.
                for others in [0, 1] {
                    let mut numbers = [others; 8];
                    numbers[field] = edge;
                    let mut encoded = BytesMut::new();
                    wire::encode(&kind.with(&numbers), &mut encoded);
                    let read = wire::decode(&mut encoded, wire::FrameLimits::QUIC);
                    let Ok(Some(frame)) = read else { continue };
                    let mut machine = Machine::new(year);
                    machine.receive(frame.clone());
                    machine.receive(frame);
                    let stats = machine.session.stats();
                    let budget = SessionConfig::default().receive_budget;
                    assert!(stats.granted_bytes <= budget, "{} {numbers:?}", kind.name);
                    assert!(stats.streams <= 66, "{} {numbers:?}", kind.name);
                    machine.live_on();
                    cases += 1;
                }
            }
        }
    }
    measured(format_args!("T-4 {cases} frames"));
    assert!(cases > 2000);
}

#[test]
fn t_04_numbers_at_their_edges_leave_a_node_well() {
    let Some(mut victim) = Victim::of(t_04_numbers_at_their_edges_leave_a_node_well) else {
        return;
    };
    for kind in samples().iter().filter(|kind| kind.numbers > 0) {
        for edge in [0, 1, (1 << 31) - 1, 1 << 32, (1 << 62) - 1] {
            let mut link = Attacker::new().join(victim.peer, victim.tcp);
            drop(link.try_send(&kind.with(&[edge; 8])));
            drop(link.try_send(&Frame::Ping { nonce: 1 }));
            // Either the answer to what followed, or the end.
            std::iter::from_fn(|| link.next_frame())
                .find(|frame| matches!(frame, Frame::Pong { nonce: 1 } | Frame::Close(_)));
        }
    }
    victim.is_well();
}

#[test]
fn t_05_a_stream_whose_first_frame_breaks_a_rule_is_never_registered() {
    let Some(mut victim) =
        Victim::of(t_05_a_stream_whose_first_frame_breaks_a_rule_is_never_registered)
    else {
        return;
    };
    for step in 0..8 {
        let mut link = Attacker::new().join(victim.peer, victim.tcp);
        for index in 0..step {
            let frame = link.data(index, "netcom/bytes/1", 0, b"valid");
            link.send(&frame);
        }
        // Each opens a stream and breaks another rule: too many bytes, no name, too many streams,
        // an offset beyond all offsets.
        let mut invalid = link.data(step, "netcom/bytes/1", 0, &[0; 16_000]);
        let code = match (&mut invalid, step % 4) {
            (Frame::Data(data), 0) => {
                data.offset = 600;
                data.open = None;
                Code::FLOW_CONTROL
            }
            (Frame::Data(data), 1) => {
                data.open = None;
                Code::PROTOCOL_VIOLATION
            }
            (Frame::Data(data), 2) => {
                data.stream = StreamId::new(1000, link.is_keeper);
                Code::STREAM_LIMIT
            }
            (Frame::Data(data), _) => {
                data.offset = u64::MAX >> 2;
                data.open = None;
                Code::MALFORMED_FRAME
            }
            _ => unreachable!(),
        };
        link.send(&invalid);
        let told = link.told();
        assert!(told == Told::Closed(code) || code == Code::MALFORMED_FRAME, "{step}: {told:?}");
        victim.settles(|tables| (tables.sessions, tables.streams) == (0, 0));
        assert_eq!(victim.end(), code, "step {step}");
    }
    victim.is_well();
}
