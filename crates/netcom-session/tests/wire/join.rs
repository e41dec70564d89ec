//! JOIN as docs/protocol/vectors/join.json has it.

use std::time::Duration;

use bytes::BytesMut;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use netcom_identity::SecretKey;
use netcom_session::{
    Batch, Config, InstanceId, LaneId, LinkId, LinkKind, LinkSpec, Session, SessionId, SessionSpec,
    Time,
    wire::{Frame, FrameLimits, MAX_DATA_BODY, Purpose, SessionKey, decode},
};
use serde_json::Value;
use sha2::Sha256;

#[test]
fn the_formula_gives_each_vector() {
    for vector in vectors() {
        let link = vector["link"].as_u64().or_else(|| vector["link"].as_str()?.parse().ok());
        let mut mac = Hmac::<Sha256>::new_from_slice(&unhex(&vector["key"])).expect("any length");
        mac.update(&unhex(&vector["exporter"]));
        mac.update(&[vector["side"].as_u64().expect("number") as u8]);
        mac.update(&unhex(&vector["session"]));
        mac.update(&link.expect("number").to_be_bytes());
        assert_eq!(HEXLOWER.encode(&mac.finalize().into_bytes()), vector["mac"], "{vector}");
    }
}

#[test]
fn a_keeper_that_dials_a_second_link_proves_the_session_as_the_first_vector_says() {
    let vector = &vectors()[0];
    let mut peers = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]).peer_id());
    peers.sort();
    let spec = |local, remote, number, is_dialer| SessionSpec {
        local,
        remote,
        instance: InstanceId([number; 16]),
        supersedes: None,
        token: SessionId(array(&vector["session"])),
        key: SessionKey(array(&vector["key"])),
        is_dialer,
        config: Config::default(),
    };
    let mut keeper = Session::new(spec(peers[0], peers[1], 1, true), NOW);
    let other = spec(peers[1], peers[0], 2, false);
    let mut other = Session::new(SessionSpec { token: SessionId([9; 16]), ..other }, NOW);

    let first = keeper.dial_link(link(vector), NOW).expect("the first link");
    let Frame::Hello(hello) = sent_at(&mut keeper, first, NOW).swap_remove(0) else {
        panic!("hello comes first")
    };
    other.accept_link(link(vector), &hello, NOW).expect("a new session");
    // Time enough for KEY and its acknowledgement.
    for now in [NOW, NOW + ACKNOWLEDGED_WITHIN] {
        deliver(&mut other, &mut keeper, first, now);
        deliver(&mut keeper, &mut other, first, now);
        deliver(&mut other, &mut keeper, first, now);
    }
    let second = keeper.dial_link(link(vector), NOW).expect("a second link");
    let mut frames = sent(&mut keeper, second);

    assert_eq!(second, LinkId(vector["link"].as_u64().expect("number")));
    let mac = frames.iter().find_map(|frame| match frame {
        Frame::Join { mac } => Some(HEXLOWER.encode(mac)),
        _ => None,
    });
    assert_eq!(mac.expect("the secret is shared"), vector["mac"]);
    let Frame::Hello(hello) = frames.remove(0) else { panic!("hello comes first") };
    other.accept_link(link(vector), &hello, NOW).expect("a link of the session");
    other.handle_batch(second, LaneId(0), &mut frames, NOW + ACKNOWLEDGED_WITHIN);
    let Frame::Hello(answer) = sent(&mut other, second).swap_remove(0) else {
        panic!("hello comes first")
    };
    assert_eq!(answer.purpose, Purpose::Attached);
}

const NOW: Time = Time(1);
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_millis(20);

fn link(vector: &Value) -> LinkSpec {
    LinkSpec {
        kind: LinkKind::Memory,
        exporter: array(&vector["exporter"]),
        max_lanes: 0,
        max_data_body: MAX_DATA_BODY,
        path: 0,
        process: 0,
    }
}

fn deliver(from: &mut Session, to: &mut Session, link: LinkId, now: Time) {
    let mut frames = sent_at(from, link, now);
    to.handle_batch(link, LaneId(0), &mut frames, now);
}

fn sent(session: &mut Session, link: LinkId) -> Vec<Frame> {
    sent_at(session, link, NOW + ACKNOWLEDGED_WITHIN)
}

fn sent_at(session: &mut Session, link: LinkId, now: Time) -> Vec<Frame> {
    let mut batch = Batch::new();
    session.poll_batch(link, 1 << 16, &mut batch, now);
    let mut bytes = BytesMut::new();
    for frame in batch.frames() {
        bytes.extend_from_slice(frame.head);
        frame.payload.iter().for_each(|part| bytes.extend_from_slice(part));
    }
    std::iter::from_fn(|| decode(&mut bytes, FrameLimits::TLS).expect("valid")).collect()
}

fn vectors() -> Vec<Value> {
    let file = include_str!("../../../../docs/protocol/vectors/join.json");
    let mut file: Value = serde_json::from_str(file).expect("valid JSON");
    match file["joins"].take() {
        Value::Array(vectors) if !vectors.is_empty() => vectors,
        other => panic!("joins is {other}"),
    }
}

fn array<const N: usize>(hex: &Value) -> [u8; N] {
    unhex(hex).try_into().expect("as long as the vector's")
}

fn unhex(hex: &Value) -> Vec<u8> {
    HEXLOWER.decode(hex.as_str().expect("text").as_bytes()).expect("hex")
}
