//! Every length, count and number at its limit and one beyond.

use bytes::{Bytes, BytesMut};
use netcom_session::{
    Class, Code, Flow, LaneId, LinkId, StreamId,
    wire::{
        Blocked, Close, Credit, Data, Datagram, DecodeError, Flaw, Frame, FrameLimits, Lack,
        LinkRole, LinkState, LinkUpdate, MAX_CONTROL_BODY, MAX_DATA_BODY, MAX_DATA_BODY_QUIC,
        MAX_HELLO_BODY, MAX_VARINT, MAX_WAIT_MS, Open, Reset, Stop, decode, kind,
    },
};

use crate::samples::{boundaries, encoded, framed, read};

/// Body limit of every type that has one.
fn limit_of(kind: u8, limits: FrameLimits) -> usize {
    match kind {
        kind::DATA => limits.max_data_body,
        kind::HELLO | kind::AUTH | 0x80.. => MAX_HELLO_BODY,
        _ => MAX_CONTROL_BODY,
    }
}

#[test]
fn a_declared_length_beyond_the_limit_is_refused_before_any_of_the_body() {
    for limits in [FrameLimits::TLS, FrameLimits::QUIC] {
        for kind in (kind::DATA..=kind::CLOSE).chain(0x80..=0xff) {
            let limit = limit_of(kind, limits);
            for length in [limit as u64 + 1, (1 << 31) - 1, (1 << 32) - 1, 1 << 32, MAX_VARINT] {
                let mut buf = BytesMut::from(&[kind][..]);
                buf.extend_from_slice(&(length | 3 << 62).to_be_bytes());
                let capacity = buf.capacity();

                let error = decode(&mut buf, limits).expect_err("too large");

                assert_eq!(error, DecodeError::TooLarge { kind, length, limit });
                assert_eq!(error.code(), Code::FRAME_TOO_LARGE);
                assert_eq!(buf.capacity(), capacity, "nothing is allocated for it");
            }
        }
    }
}

#[test]
fn a_declared_length_at_the_limit_waits_for_its_body_without_taking_room() {
    for kind in (kind::DATA..=kind::CLOSE).chain([0x80, 0xff]) {
        let mut buf = BytesMut::from(&[kind][..]);
        let length = limit_of(kind, FrameLimits::TLS) as u32;
        buf.extend_from_slice(&(0x8000_0000 | length).to_be_bytes());
        let capacity = buf.capacity();

        assert_eq!(decode(&mut buf, FrameLimits::TLS), Ok(None));
        assert_eq!((buf.len(), buf.capacity()), (5, capacity));
    }
}

#[test]
fn data_fills_its_body_to_the_limit_of_its_link() {
    for (limits, body) in
        [(FrameLimits::TLS, MAX_DATA_BODY), (FrameLimits::QUIC, MAX_DATA_BODY_QUIC)]
    {
        let full = data(0, vec![1; body - 3]);
        assert_eq!(decode(&mut encoded(&full), limits), Ok(Some(full)));
        let over = data(0, vec![1; body - 2]);
        assert!(matches!(
            decode(&mut encoded(&over), limits),
            Err(DecodeError::TooLarge { kind: kind::DATA, .. })
        ));
    }
}

#[test]
fn an_unknown_type_is_refused_at_its_first_byte_and_an_ignorable_one_is_skipped() {
    for kind in 0..=0xff {
        let outcome = read(&[kind]);
        if matches!(kind, 0 | 0x14..=0x7f) {
            assert_eq!(outcome, Err(DecodeError::UnknownKind { kind }));
            assert_eq!(outcome.expect_err("unknown").code(), Code::UNKNOWN_CRITICAL);
        } else {
            assert_eq!(outcome, Ok(None), "{kind:#x}");
        }
        if kind >= 0x80 {
            let skipped = read(&framed(kind, b"future"));
            assert_eq!(skipped, Ok(Some(Frame::Ignored { kind, length: 6 })));
        }
    }
}

#[test]
fn a_reason_of_256_bytes_passes_and_one_more_does_not() {
    for length in [255, 256, 257] {
        let mut body = vec![0];
        body.resize(1 + length, b'x');
        let outcome = read(&framed(kind::CLOSE, &body));
        match length {
            257 => assert_eq!(outcome.expect_err("long").code(), Code::FRAME_TOO_LARGE),
            _ => {
                let reason = "x".repeat(length);
                assert_eq!(outcome, Ok(Some(Frame::Close(Close { code: Code(0), reason }))));
            }
        }
    }
}

#[test]
fn a_reason_is_cut_between_characters_and_bad_utf_8_cannot_make_it_longer() {
    let long = Frame::Close(Close { code: Code(0), reason: "€".repeat(100) });
    let Ok(Some(Frame::Close(close))) = read(&encoded(&long)) else { panic!("valid") };
    assert_eq!(close.reason, "€".repeat(85));

    let mut body = vec![0];
    body.resize(257, 0xff);
    let Ok(Some(Frame::Close(close))) = read(&framed(kind::CLOSE, &body)) else { panic!("valid") };
    assert_eq!(close.reason, "\u{fffd}".repeat(85));
}

#[test]
fn a_datagram_of_1100_bytes_passes_and_one_more_does_not() {
    for length in [1100, 1101] {
        let bytes = Bytes::from(vec![1; length]);
        let datagram = Frame::Datagram(Datagram { flow: 1, sequence: 2, ttl_ms: 3, bytes });
        match read(&encoded(&datagram)) {
            Err(error) => assert_eq!((length, error.code()), (1101, Code::FRAME_TOO_LARGE)),
            Ok(read) => assert_eq!((length, read), (1100, Some(datagram))),
        }
    }
}

#[test]
fn a_protocol_name_of_255_bytes_passes_and_a_longer_one_is_cut() {
    for length in [0, 1, 255, 300] {
        let open = Open { class: Class::Normal, protocol: vec![b'p'; length].into() };
        let frame = Frame::Data(Data { open: Some(open), ..data_body(0, Vec::new()) });
        let Ok(Some(Frame::Data(read))) = read(&encoded(&frame)) else { panic!("valid") };
        assert_eq!(read.open.expect("opens").protocol.len(), length.min(255));
    }
}

#[test]
fn at_most_128_lanes_are_counted_and_the_longest_numbers_fit() {
    let lanes = vec![(LaneId(MAX_VARINT), MAX_VARINT); 128];
    let link = LinkId(MAX_VARINT);
    let (delay_us, role) = (MAX_WAIT_MS * 1000, LinkRole::Standby);
    let lack = Frame::Lack(Lack { link, delay_us, lanes: lanes.clone() });
    assert_eq!(read(&encoded(&lack)), Ok(Some(lack)));
    let update = Frame::Link(LinkUpdate { link, state: LinkState::Dead, role, lanes });
    assert_eq!(read(&encoded(&update)), Ok(Some(update)));

    let lanes = vec![(LaneId(1), 1); 129];
    let cut = Frame::Lack(Lack { link, delay_us, lanes });
    let Ok(Some(Frame::Lack(cut))) = read(&encoded(&cut)) else { panic!("valid") };
    assert_eq!(cut.lanes.len(), 128);

    let mut body = vec![1, 1, 0x40, 129];
    body.resize(4 + 2 * 129, 0);
    assert_eq!(read(&framed(kind::LACK, &body)), malformed(kind::LACK, Flaw::TooMany));
}

#[test]
fn claimed_lanes_that_are_not_there_are_refused() {
    for count in [&[1][..], &[63], &[0x40, 128]] {
        let body = [&[1, 1][..], count].concat();
        assert_eq!(read(&framed(kind::LACK, &body)), malformed(kind::LACK, Flaw::Short));
    }
    let huge = [1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(read(&framed(kind::LACK, &huge)), malformed(kind::LACK, Flaw::TooMany));
}

#[test]
fn every_number_of_every_frame_survives_at_its_boundaries() {
    for n in boundaries() {
        let (stream, link, code) = (StreamId(n), LinkId(n), Code(n));
        let wait = n.min(MAX_WAIT_MS);
        let flow = Flow::Error;
        let frames = [
            data(n.min(MAX_VARINT - 3), vec![1, 2, 3]),
            Frame::Data(Data { stream, ..data_body(5, vec![1]) }),
            Frame::Reset(Reset { stream, flow, fin_errors: false, code, final_size: n }),
            Frame::Stop(Stop { stream, flow, code }),
            Frame::Credit(Credit { stream, flow, max: n }),
            Frame::Blocked(Blocked { stream, flow, at: n }),
            Frame::Streams { max: n },
            Frame::Lack(Lack { link, delay_us: wait, lanes: vec![(LaneId(n), n)] }),
            Frame::Query { link },
            Frame::Ping { nonce: n },
            Frame::Pong { nonce: n },
            Frame::Datagram(Datagram { flow: n, sequence: n, ttl_ms: wait, bytes: Bytes::new() }),
            Frame::Want { sequence: n, held: true },
            Frame::Drain { last: Some(stream) },
            Frame::Close(Close { code, reason: String::new() }),
        ];
        for frame in frames {
            assert_eq!(read(&encoded(&frame)), Ok(Some(frame)));
        }
    }
}

#[test]
fn numbers_too_large_for_the_wire_are_written_as_the_largest() {
    let frame = Frame::Close(Close { code: Code(u64::MAX), reason: String::new() });
    let largest = Frame::Close(Close { code: Code(MAX_VARINT), reason: String::new() });
    assert_eq!(read(&encoded(&frame)), Ok(Some(largest)));
}

#[test]
fn data_may_end_at_the_largest_offset_and_not_beyond() {
    let last = data(MAX_VARINT - 1, vec![1]);
    assert_eq!(read(&encoded(&last)), Ok(Some(last)));
    for (offset, length) in [(MAX_VARINT, 1), (MAX_VARINT - 1, 2), (MAX_VARINT - 50, 60)] {
        let beyond = encoded(&data(offset, vec![1; length]));
        assert_eq!(read(&beyond), malformed(kind::DATA, Flaw::Offset));
    }
}

#[test]
fn durations_of_a_peer_are_read_as_a_day_at_most() {
    let (flow, sequence) = (1, 2);
    let datagram = Datagram { flow, sequence, ttl_ms: MAX_VARINT, bytes: Bytes::new() };
    let Ok(Some(Frame::Datagram(read_back))) = read(&encoded(&Frame::Datagram(datagram))) else {
        panic!("valid")
    };
    assert_eq!(read_back.ttl_ms, MAX_WAIT_MS);

    let lack = Lack { link: LinkId(1), delay_us: MAX_VARINT, lanes: Vec::new() };
    let Ok(Some(Frame::Lack(lack))) = read(&encoded(&Frame::Lack(lack))) else { panic!("valid") };
    assert_eq!(lack.delay_us, MAX_WAIT_MS * 1000);
}

fn data(offset: u64, bytes: Vec<u8>) -> Frame {
    Frame::Data(data_body(offset, bytes))
}

fn data_body(offset: u64, bytes: Vec<u8>) -> Data {
    let (stream, flow, bytes) = (StreamId(1), Flow::Data, bytes.into());
    Data { stream, flow, offset, fin: false, fin_errors: false, open: None, bytes }
}

fn malformed(kind: u8, flaw: Flaw) -> Result<Option<Frame>, DecodeError> {
    Err(DecodeError::Malformed { kind, flaw })
}
