//! Bodies that break their layout.

use netcom_session::{
    Code,
    wire::{DecodeError, Flaw, Frame, kind},
};

use crate::samples::{body, encoded, every_frame, framed, read};

#[test]
fn bytes_after_the_last_field_are_refused() {
    for frame in every_frame() {
        let ends_with_bytes = matches!(
            frame,
            Frame::Data(_)
                | Frame::Datagram(_)
                | Frame::Auth(_)
                | Frame::Close(_)
                | Frame::Ignored { .. }
                | Frame::Hello(_)
                | Frame::Drain { last: None }
        );
        if !ends_with_bytes {
            let kind = encoded(&frame)[0];
            let longer = [&body(&frame)[..], &[0]].concat();
            assert_eq!(refusal(kind, &longer), Flaw::Trailing, "{frame:?}");
        }
    }
}

#[test]
fn bits_without_meaning_are_refused() {
    let refused: &[(u8, &[u8])] = &[
        (kind::DATA, &[1, 0x10, 0]),
        (kind::DATA, &[1, 0x80, 0]),
        (kind::DATA, &[1, 0x08, 0]),       // FIN_ERRORS without FIN
        (kind::DATA, &[1, 0x0b, 0]),       // FIN_ERRORS on the error flow
        (kind::DATA, &[1, 0x06, 0, 0, 0]), // OPEN on the error flow
        (kind::DATA, &[1, 0x04, 1, 0, 0]), // OPEN beyond offset 0
        (kind::RESET, &[1, 0x01, 0, 0]),
        (kind::RESET, &[1, 0x04, 0, 0]),
        (kind::RESET, &[1, 0x0a, 0, 0]), // FIN_ERRORS on the error flow
        (kind::STOP, &[1, 0x01, 0]),
        (kind::STOP, &[1, 0x08, 0]),
        (kind::CREDIT, &[1, 0x04, 0]),
        (kind::BLOCKED, &[1, 0xff, 0]),
    ];
    for (kind, body) in refused {
        assert_eq!(refusal(*kind, body), Flaw::Bits, "{kind:#x} {body:x?}");
    }
}

#[test]
fn values_without_meaning_are_refused() {
    let refused: &[(u8, &[u8])] = &[
        (kind::DATA, &[0, 4, 0, 3, 0]), // class
        (kind::DATA, &[0, 4, 0, 255, 0]),
        (kind::LINK, &[0, 4, 0, 0]), // state
        (kind::LINK, &[0, 0, 2, 0]), // role
        (kind::WANT, &[0, 2]),       // flag
    ];
    for (kind, body) in refused {
        assert_eq!(refusal(*kind, body), Flaw::Value, "{kind:#x} {body:x?}");
    }
}

#[test]
fn a_protocol_name_longer_than_its_frame_is_refused() {
    assert_eq!(refusal(kind::DATA, &[0, 4, 0, 0, 5, b'e', b'c', b'h', b'o']), Flaw::Short);
}

#[test]
fn keys_and_proofs_of_another_length_are_refused() {
    for kind in [kind::KEY, kind::JOIN] {
        assert_eq!(refusal(kind, &[1; 31]), Flaw::Short);
        assert_eq!(refusal(kind, &[1; 33]), Flaw::Trailing);
    }
}

#[test]
fn numbers_longer_than_necessary_are_read() {
    let long = [0x40, 5, 0, 0xc0, 0, 0, 0, 0, 0, 0, 9];
    assert_eq!(read(&framed(kind::CREDIT, &long)), read(&framed(kind::CREDIT, &[5, 0, 9])));
    let lengths: [&[u8]; 4] = [&[1], &[0x40, 1], &[0x80, 0, 0, 1], &[0xc0, 0, 0, 0, 0, 0, 0, 1]];
    for length in lengths {
        let ping = [&[kind::PING][..], length, &[7]].concat();
        assert_eq!(read(&ping), Ok(Some(Frame::Ping { nonce: 7 })));
    }
}

#[test]
fn a_refusal_says_what_is_wrong_with_which_frame() {
    let error = read(&framed(kind::KEY, &[1; 31])).expect_err("short");
    assert_eq!(error.to_string(), "frame of type 0x0e is malformed: it ends inside a field");
    let error = read(&[0x40]).expect_err("unknown");
    assert_eq!(error.to_string(), "frame type 0x40 is unknown and may not be skipped");
    let error = read(&[kind::PING, 0x4f, 0xff]).expect_err("large");
    assert_eq!(error.to_string(), "frame of type 0x0a has 4095 bytes where 2304 are allowed");
}

fn refusal(kind: u8, body: &[u8]) -> Flaw {
    let error = read(&framed(kind, body)).expect_err("malformed");
    assert_eq!(error.code(), Code::MALFORMED_FRAME);
    match error {
        DecodeError::Malformed { kind: refused, flaw } if refused == kind => flaw,
        other => panic!("{other} is not about {kind:#x}"),
    }
}
