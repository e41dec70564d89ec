//! What is written is read again.

use bytes::{Bytes, BytesMut};
use netcom_session::{
    Class, Flow, StreamId,
    wire::{
        Data, Frame, FrameLimits, MAX_DATA_BODY, Open, SessionKey, begin_data, data_head_len,
        data_room, decode, encode, encode_head, encoded_len,
    },
};
use proptest::prelude::*;

use crate::samples::{any_frame, encoded, every_frame};

proptest! {
    #[test]
    fn any_frame_survives_the_round_trip(frame in any_frame()) {
        let mut buf = encoded(&frame);

        prop_assert_eq!(buf.len(), encoded_len(&frame));
        prop_assert_eq!(decode(&mut buf, FrameLimits::TLS), Ok(Some(frame)));
        prop_assert!(buf.is_empty());
    }

    #[test]
    fn frames_in_a_row_are_taken_one_by_one(
        frames in prop::collection::vec(any_frame(), 0..8),
        cut in 0usize..100_000,
    ) {
        let mut whole = BytesMut::new();
        for frame in &frames {
            encode(frame, &mut whole);
        }

        let mut late = whole.split_off(cut.min(whole.len()));
        let mut read = Vec::new();
        while let Some(frame) = decode(&mut whole, FrameLimits::TLS).expect("valid") {
            read.push(frame);
        }
        whole.unsplit(late.split());
        while let Some(frame) = decode(&mut whole, FrameLimits::TLS).expect("valid") {
            read.push(frame);
        }

        prop_assert_eq!(read, frames);
        prop_assert!(whole.is_empty());
    }
}

#[test]
fn a_frame_of_each_type_survives_the_round_trip() {
    for frame in every_frame() {
        let mut buf = encoded(&frame);
        assert_eq!(decode(&mut buf, FrameLimits::TLS), Ok(Some(frame)));
        assert!(buf.is_empty());
    }
}

#[test]
fn a_head_and_its_payload_make_the_whole_frame() {
    for frame in every_frame() {
        let payload = match &frame {
            Frame::Data(data) => data.bytes.parts().concat().into(),
            Frame::Datagram(datagram) => datagram.bytes.clone(),
            _ => Bytes::new(),
        };
        let mut joined = BytesMut::new();
        encode_head(&frame, &mut joined);
        joined.extend_from_slice(&payload);
        assert_eq!(joined, encoded(&frame), "{frame:?}");
    }
}

#[test]
fn the_length_of_a_data_head_is_known_before_and_the_room_is_used_exactly() {
    let named = Open { class: Class::Bulk, protocol: vec![b'p'; 255].into() };
    for (stream, offset, open) in [
        (StreamId(0), 0, None),
        (StreamId(63), 0, Some(&named)),
        (StreamId(64), 16_383, None),
        (StreamId(1 << 40), 16_384, None),
        (StreamId(1 << 20), 1 << 50, None),
    ] {
        let room = data_room(MAX_DATA_BODY, stream, offset, open);
        for length in [0, 1, 59, 60, 61, 62, room] {
            let frame = Frame::Data(Data {
                stream,
                flow: Flow::Data,
                offset,
                fin: false,
                fin_errors: false,
                open: open.cloned(),
                bytes: vec![7; length].into(),
            });
            let mut head = BytesMut::new();
            encode_head(&frame, &mut head);
            assert_eq!(head.len(), data_head_len(stream, offset, open, length));
        }
        assert_eq!(data_head_len(stream, offset, open, room) + room, MAX_DATA_BODY + 3);
        assert_eq!(data_room(3, stream, 1 << 50, open), 0);
    }
}

#[test]
fn payloads_are_slices_of_the_buffer_and_names_are_copies() {
    let frame = &every_frame()[0];
    let mut buf = encoded(frame);
    let range = buf.as_ptr_range();

    let Ok(Some(Frame::Data(data))) = decode(&mut buf, FrameLimits::TLS) else {
        panic!("{frame:?} is data");
    };

    assert!(range.contains(&data.bytes.parts()[0].as_ptr()));
    assert!(!range.contains(&data.open.expect("opens").protocol.as_ptr()));
}

#[test]
fn a_long_frame_begins_once_its_head_is_there_and_leaves_its_payload() {
    let open = Some(Open { class: Class::Bulk, protocol: vec![b'p'; 255].into() });
    let (stream, flow, bytes) = (StreamId(1 << 40), Flow::Data, vec![7; 5000].into());
    let data = Data { stream, flow, offset: 0, fin: true, fin_errors: true, open, bytes };
    let whole = encoded(&Frame::Data(data.clone()));
    let head = whole.len() - 5000;
    for there in 0..head {
        let mut buf = BytesMut::from(&whole[..there]);
        assert_eq!(begin_data(&mut buf, FrameLimits::TLS, 5000), Ok(None), "{there} bytes");
        assert_eq!(buf.len(), there);
    }
    let mut buf = BytesMut::from(&whole[..head + 20]);
    assert_eq!(begin_data(&mut buf, FrameLimits::TLS, 5001), Ok(None), "shorter than asked for");
    let (began, payload) = begin_data(&mut buf, FrameLimits::TLS, 5000).unwrap().unwrap();
    assert_eq!((payload, &buf[..]), (5000, &[7; 20][..]));
    assert_eq!(Data { bytes: data.bytes.clone(), ..began }, data);
}

#[test]
fn a_head_that_breaks_the_rules_is_refused_though_its_payload_is_missing() {
    for (bits, offset) in [(0x80, 0), (0x04, 5), (0x08, 0)] {
        let mut buf = BytesMut::from(&[0x01, 0x53, 0x88, 0x00, bits, offset][..]);
        buf.resize(400, 0);
        assert!(begin_data(&mut buf, FrameLimits::TLS, 1000).is_err(), "{bits:#x} at {offset}");
    }
}

#[test]
fn the_secret_of_a_session_is_never_printed() {
    let frame = Frame::Key(SessionKey([0xab; 32]));
    assert_eq!(format!("{frame:?}"), "Key(SessionKey(..))");
}
