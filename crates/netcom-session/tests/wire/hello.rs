//! The rules of HELLO's entries.

use netcom_session::{
    Code, LaneId, LinkId, SessionId,
    wire::{
        DecodeError, Finals, Flaw, Frame, Hello, MAX_HELLO_BODY, MAX_VARINT, MAX_WAIT_MS, Purpose,
        kind,
    },
};
use proptest::prelude::*;

use crate::samples::{Purposes, any_hello, bare_hello, body, encoded, framed, hello, read};

const JOIN: Purpose = Purpose::Join { session: SessionId([4; 16]) };

#[test]
fn entries_may_come_in_any_order() {
    let hello = bare_hello();
    let mut entries = entries_of(&hello);
    for _ in 0..entries.len() {
        entries.rotate_left(1);
        assert_eq!(read_hello(&entries.concat()), Ok(hello.clone()));
    }
}

#[test]
fn an_unknown_even_entry_is_skipped_and_an_unknown_odd_one_is_refused() {
    let known = body_of(&bare_hello());
    for id in [0, 10, 12, 62] {
        let with = [&known[..], &[id, 3, 1, 2, 3]].concat();
        assert_eq!(read_hello(&with), Ok(bare_hello()));
    }
    for id in [11, 13, 63] {
        let with = [&[id, 0][..], &known].concat();
        let error = read_hello(&with).expect_err("critical");
        assert_eq!(error, DecodeError::UnknownEntry { id: id.into() });
        assert_eq!(error.code(), Code::UNKNOWN_CRITICAL);
        assert!(error.to_string().contains(&id.to_string()));
    }
}

#[test]
fn an_entry_twice_is_refused_known_or_not() {
    let known = body_of(&hello(Purpose::New));
    for entry in entries_of(&hello(Purpose::New)) {
        assert_eq!(flaw(&[&known[..], &entry].concat()), Flaw::Duplicate);
    }
    assert_eq!(flaw(&[&known[..], &[20, 0, 20, 0]].concat()), Flaw::Duplicate);
    // The same id in two encodings is the same id.
    assert_eq!(flaw(&[&known[..], &[20, 0, 0x40, 20, 0]].concat()), Flaw::Duplicate);
}

#[test]
fn each_required_entry_is_required() {
    let entries = entries_of(&bare_hello());
    assert_eq!(entries.len(), 4);
    for missing in 0..entries.len() {
        let mut rest = entries.clone();
        rest.remove(missing);
        assert_eq!(flaw(&rest.concat()), Flaw::Missing);
    }
}

#[test]
fn at_most_64_entries_are_read() {
    let mut body = body_of(&bare_hello());
    let mut ids = (20u64..).step_by(2);
    for count in 5..=65 {
        let id = ids.next().expect("endless") as u16;
        body.extend([&(id | 0x4000).to_be_bytes()[..], &[0]].concat());
        match count {
            65 => assert_eq!(flaw(&body), Flaw::TooMany),
            _ => assert_eq!(read_hello(&body), Ok(bare_hello()), "{count} entries"),
        }
    }
}

#[test]
fn values_are_read_to_their_end() {
    for entry in entries_of(&hello(Purposes::ALL[5])) {
        let (id, value) = (entry[0], &entry[2..]);
        let others: Vec<u8> = entries_of(&hello(Purposes::ALL[5]))
            .into_iter()
            .filter(|other| other[0] != id)
            .flatten()
            .collect();
        let longer = [&others[..], &[id, value.len() as u8 + 1], value, &[0x40]].concat();
        let expected = if matches!(id, 4 | 6) { Flaw::Short } else { Flaw::Trailing };
        assert_eq!(flaw(&longer), expected, "entry {id}");
        let shorter = [&others[..], &[id, value.len() as u8 - 1], &value[1..]].concat();
        assert!(matches!(read_hello(&shorter), Err(DecodeError::Malformed { .. }) | Ok(_)));
        let beyond = [&others[..], &[id, 60], value].concat();
        assert_eq!(flaw(&beyond), Flaw::Short, "entry {id}");
    }
}

#[test]
fn an_unknown_purpose_is_refused() {
    let mut entries = entries_of(&bare_hello());
    for entry in &mut entries {
        if entry[0] == 5 {
            *entry = vec![5, 1, 6];
        }
    }
    assert_eq!(flaw(&entries.concat()), Flaw::Value);
}

#[test]
fn at_most_64_features_and_16_finals_are_read_and_written() {
    let known = body_of(&bare_hello());
    let features = |count: u8| [&known[..], &[4, 0x40, count], &vec![1; count.into()]].concat();
    assert_eq!(read_hello(&features(64)).expect("valid").features.len(), 64);
    assert_eq!(flaw(&features(65)), Flaw::TooMany);
    let finals = |count: u8| [&known[..], &[6, 2 * count], &vec![0; (2 * count).into()]].concat();
    assert_eq!(read_hello(&finals(16)).expect("valid").finals.len(), 16);
    assert_eq!(flaw(&finals(17)), Flaw::TooMany);

    let many = Hello {
        features: (0..100).collect(),
        finals: (0..20).map(|link| Finals { link: LinkId(link), lanes: vec![] }).collect(),
        ..bare_hello()
    };
    let read = read_hello(&body_of(&many)).expect("valid");
    assert_eq!(read.features, many.features[..64]);
    assert_eq!(read.finals, many.finals[4..]);
}

#[test]
fn a_hello_that_would_be_too_long_loses_its_oldest_finals_only() {
    let lanes = vec![(LaneId(MAX_VARINT), MAX_VARINT); 128];
    let finals: Vec<_> =
        (0..16).map(|link| Finals { link: LinkId(link), lanes: lanes.clone() }).collect();
    let long = Hello { finals: finals.clone(), features: vec![MAX_VARINT; 64], ..hello(JOIN) };

    let body = body_of(&long);
    let read = read_hello(&body).expect("valid");

    assert!(body.len() <= MAX_HELLO_BODY);
    assert_eq!(read.finals, finals[9..], "7 of 2,051 bytes fit");
    assert_eq!(Hello { finals: vec![], ..read }, Hello { finals: vec![], ..long });
}

#[test]
fn a_refusal_is_for_a_day_at_most() {
    let purpose = Purpose::Refused { code: Code::REFUSED, retry_after_ms: MAX_VARINT };
    let read = read_hello(&body_of(&hello(purpose))).expect("valid");
    let expected = Purpose::Refused { code: Code::REFUSED, retry_after_ms: MAX_WAIT_MS };
    assert_eq!(read.purpose, expected);
}

proptest! {
    #[test]
    fn no_hello_is_written_longer_than_16_kib(mut hello in any_hello(), times in 1usize..9) {
        for last in &mut hello.finals {
            last.lanes = last.lanes.repeat(times);
        }
        let body = body_of(&hello);
        prop_assert!(body.len() <= MAX_HELLO_BODY);
        prop_assert!(read_hello(&body).is_ok());
    }
}

fn body_of(hello: &Hello) -> Vec<u8> {
    body(&Frame::Hello(Box::new(hello.clone())))
}

/// The encoded entries, whose ids and lengths take one byte each.
fn entries_of(hello: &Hello) -> Vec<Vec<u8>> {
    let body = body_of(hello);
    let (mut rest, mut entries) = (&body[..], Vec::new());
    while !rest.is_empty() {
        let (entry, after) = rest.split_at(2 + usize::from(rest[1]));
        entries.push(entry.to_vec());
        rest = after;
    }
    entries
}

fn read_hello(body: &[u8]) -> Result<Hello, DecodeError> {
    match read(&framed(kind::HELLO, body))? {
        Some(Frame::Hello(hello)) => Ok(*hello),
        other => panic!("{other:?} is no hello"),
    }
}

fn flaw(body: &[u8]) -> Flaw {
    match read_hello(body) {
        Err(DecodeError::Malformed { kind: kind::HELLO, flaw }) => flaw,
        other => panic!("{other:?} is not malformed"),
    }
}

#[test]
fn a_hello_of_16_kib_is_read_and_a_longer_one_refused() {
    let known = body_of(&bare_hello());
    for extra in [0, 1] {
        let fill = MAX_HELLO_BODY + extra - known.len() - 5;
        let head = [&[20][..], &(0x8000_0000 | fill as u32).to_be_bytes()].concat();
        let body = [&known[..], &head, &vec![0; fill]].concat();
        match read_hello(&body) {
            Ok(read) => assert_eq!((extra, read), (0, bare_hello())),
            Err(error) => assert_eq!((extra, error.code()), (1, Code::FRAME_TOO_LARGE)),
        }
    }
    assert_eq!(encoded(&Frame::Hello(Box::new(bare_hello()))).len(), 2 + known.len());
}
