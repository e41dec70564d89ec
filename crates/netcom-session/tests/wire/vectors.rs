//! The vectors of docs/protocol/vectors, made by an encoder that shares no code with this one.

use bytes::BytesMut;
use data_encoding::HEXLOWER;
use netcom_session::{
    Class, Flow,
    wire::{
        Data, Frame, FrameLimits, Hello, LaneCounts, LinkRole, LinkState, Purpose, decode, kind,
    },
};
use serde_json::{Value, json};

use crate::samples::encoded;

#[test]
fn each_frame_is_read_and_written_as_its_vector_says() {
    for vector in vectors("frames") {
        let bytes = unhex(&vector["hex"]);
        let frame = read_whole(&bytes, &vector);
        assert_eq!(describe(&frame), vector["frame"], "{vector}");
        assert_eq!(HEXLOWER.encode(&encoded(&frame)), vector["hex"], "{vector}");
    }
}

#[test]
fn a_vector_exists_for_every_type() {
    let first_bytes: Vec<u8> = vectors("frames").iter().map(|v| unhex(&v["hex"])[0]).collect();
    for kind in (kind::DATA..=kind::CLOSE).chain([kind::PAD]) {
        assert!(first_bytes.contains(&kind), "{kind:#x}");
    }
}

#[test]
fn each_accepted_vector_is_read_and_written_otherwise() {
    for vector in vectors("accepted") {
        let bytes = unhex(&vector["hex"]);
        let frame = read_whole(&bytes, &vector);
        assert_eq!(describe(&frame), vector["frame"], "{vector}");
        let written = encoded(&frame);
        assert!(written != bytes || matches!(frame, Frame::Ignored { .. }), "{vector}");
        assert_eq!(read_whole(&written, &vector), frame);
    }
}

#[test]
fn each_refused_vector_is_refused_with_its_code() {
    for vector in vectors("refused") {
        let mut bytes = BytesMut::from(&unhex(&vector["hex"])[..]);
        let code = match decode(&mut bytes, FrameLimits::TLS) {
            Err(error) => error.code(),
            Ok(frame) => panic!("{frame:?} is read from {vector}"),
        };
        assert_eq!(code.0, vector["code"], "{vector}");
        assert_eq!(code.name(), vector["code_name"].as_str(), "{vector}");
    }
}

fn vectors(section: &str) -> Vec<Value> {
    let file = include_str!("../../../../docs/protocol/vectors/frames.json");
    let mut file: Value = serde_json::from_str(file).expect("valid JSON");
    match file[section].take() {
        Value::Array(vectors) if !vectors.is_empty() => vectors,
        other => panic!("{section} is {other}"),
    }
}

fn read_whole(bytes: &[u8], vector: &Value) -> Frame {
    let mut buf = BytesMut::from(bytes);
    match decode(&mut buf, FrameLimits::TLS) {
        Ok(Some(frame)) if buf.is_empty() => frame,
        other => panic!("{other:?} is read from {vector}"),
    }
}

fn describe(frame: &Frame) -> Value {
    match frame {
        Frame::Data(data) => describe_data(data),
        Frame::Reset(reset) => json!({
            "type": "RESET",
            "stream": number(reset.stream.0),
            "flow": flow(reset.flow),
            "fin_errors": reset.fin_errors,
            "code": reset.code.0,
            "final": number(reset.final_size),
        }),
        Frame::Stop(stop) => json!({
            "type": "STOP",
            "stream": number(stop.stream.0),
            "flow": flow(stop.flow),
            "code": stop.code.0,
        }),
        Frame::Credit(credit) => json!({
            "type": "CREDIT",
            "stream": number(credit.stream.0),
            "flow": flow(credit.flow),
            "max": number(credit.max),
        }),
        Frame::Blocked(blocked) => json!({
            "type": "BLOCKED",
            "stream": number(blocked.stream.0),
            "flow": flow(blocked.flow),
            "at": number(blocked.at),
        }),
        Frame::Hello(hello) => describe_hello(hello),
        Frame::Datagram(datagram) => json!({
            "type": "DATAGRAM",
            "flow": number(datagram.flow),
            "sequence": number(datagram.sequence),
            "ttl_ms": number(datagram.ttl_ms),
            "bytes": HEXLOWER.encode(&datagram.bytes),
        }),
        other => describe_link_or_session(other),
    }
}

fn describe_data(data: &Data) -> Value {
    let open = data.open.as_ref().map(|open| {
        let class = match open.class {
            Class::Interactive => "interactive",
            Class::Normal => "normal",
            Class::Bulk => "bulk",
        };
        json!({ "class": class, "protocol": String::from_utf8_lossy(&open.protocol) })
    });
    json!({
        "type": "DATA",
        "stream": number(data.stream.0),
        "flow": flow(data.flow),
        "offset": number(data.offset),
        "fin": data.fin,
        "fin_errors": data.fin_errors,
        "open": open,
        "bytes": HEXLOWER.encode(&data.bytes.parts().concat()),
    })
}

fn describe_hello(hello: &Hello) -> Value {
    let purpose = match hello.purpose {
        Purpose::New => json!({ "is": "new" }),
        Purpose::Join { session } => {
            json!({ "is": "join", "session": HEXLOWER.encode(&session.0) })
        }
        Purpose::Attached => json!({ "is": "attached" }),
        Purpose::NeedJoin => json!({ "is": "need_join" }),
        Purpose::Gone { code } => json!({ "is": "gone", "code": code.0 }),
        Purpose::Refused { code, retry_after_ms } => {
            json!({ "is": "refused", "code": code.0, "retry_after_ms": retry_after_ms })
        }
    };
    let finals: Vec<Value> = hello
        .finals
        .iter()
        .map(|last| json!({ "link": number(last.link.0), "lanes": lanes(&last.lanes) }))
        .collect();
    json!({
        "type": "HELLO",
        "instance": HEXLOWER.encode(&hello.instance.0),
        "supersedes": hello.supersedes.map(|instance| HEXLOWER.encode(&instance.0)),
        "link": number(hello.link.0),
        "purpose": purpose,
        "session": hello.session.map(|session| HEXLOWER.encode(&session.0)),
        "limits": {
            "streams": number(hello.limits.streams),
            "data_window": number(hello.limits.data_window),
            "error_window": number(hello.limits.error_window),
        },
        "resume_window_ms": hello.resume_window_ms,
        "features": hello.features.iter().map(|feature| number(*feature)).collect::<Vec<_>>(),
        "finals": finals,
    })
}

fn describe_link_or_session(frame: &Frame) -> Value {
    match frame {
        Frame::Streams { max } => json!({ "type": "STREAMS", "max": number(*max) }),
        Frame::Lack(lack) => json!({
            "type": "LACK",
            "link": number(lack.link.0),
            "delay_us": number(lack.delay_us),
            "lanes": lanes(&lack.lanes),
        }),
        Frame::Link(update) => {
            let state = match update.state {
                LinkState::Alive => "alive",
                LinkState::Suspect => "suspect",
                LinkState::Closing => "closing",
                LinkState::Dead => "dead",
            };
            let role = match update.role {
                LinkRole::Active => "active",
                LinkRole::Standby => "standby",
            };
            let (link, lanes) = (number(update.link.0), lanes(&update.lanes));
            json!({ "type": "LINK", "link": link, "state": state, "role": role, "lanes": lanes })
        }
        Frame::Query { link } => json!({ "type": "QUERY", "link": number(link.0) }),
        Frame::Ping { nonce } => json!({ "type": "PING", "nonce": number(*nonce) }),
        Frame::Pong { nonce } => json!({ "type": "PONG", "nonce": number(*nonce) }),
        Frame::Key(key) => json!({ "type": "KEY", "key": HEXLOWER.encode(&key.0) }),
        Frame::Join { mac } => json!({ "type": "JOIN", "mac": HEXLOWER.encode(mac) }),
        Frame::Auth(proof) => json!({ "type": "AUTH", "proof": HEXLOWER.encode(proof) }),
        Frame::Want { sequence, held } => {
            json!({ "type": "WANT", "sequence": number(*sequence), "held": held })
        }
        Frame::Drain { last } => {
            json!({ "type": "DRAIN", "last": last.map(|stream| number(stream.0)) })
        }
        Frame::Close(close) => {
            json!({ "type": "CLOSE", "code": close.code.0, "reason": close.reason })
        }
        Frame::Ignored { kind: kind::PAD, length } => json!({ "type": "PAD", "length": length }),
        Frame::Ignored { kind, length } => {
            json!({ "type": "IGNORED", "kind": kind, "length": length })
        }
        other => panic!("{other:?} is described elsewhere"),
    }
}

fn lanes(lanes: &LaneCounts) -> Vec<Value> {
    lanes
        .iter()
        .map(|(lane, frames)| json!({ "lane": number(lane.0), "frames": number(*frames) }))
        .collect()
}

fn flow(flow: Flow) -> &'static str {
    match flow {
        Flow::Data => "data",
        Flow::Error => "error",
    }
}

/// Numbers that a double cannot hold are strings.
fn number(number: u64) -> Value {
    if number < 1 << 53 { json!(number) } else { json!(number.to_string()) }
}

fn unhex(hex: &Value) -> Vec<u8> {
    HEXLOWER.decode(hex.as_str().expect("text").as_bytes()).expect("hex")
}
