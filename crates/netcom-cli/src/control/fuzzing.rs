//! What the fuzz target of the control socket runs.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::BytesMut;
use serde_json::{Value, json};

use super::{MAX_PIECE_BYTES, client::read_line, framed::Piece};
use crate::{failure::Failure, nodes::PathView, output::versioned};

/// Reads `input` as what comes through the control socket: lines of JSON, pieces after them.
///
/// # Panics
///
/// When a line or a piece is longer than it may be, or a failure changes on its way.
#[must_use]
pub fn control(input: &[u8]) -> bool {
    let mut reading = input;
    let mut buffer = BytesMut::new();
    let mut is_understood = false;
    while let Some(line) = line(&mut reading, &mut buffer) {
        assert!(!line.contains(&b'\n'));
        let Ok(value) = serde_json::from_slice::<Value>(&line) else { break };
        is_understood = true;
        check(&value);
        let path = value.get("result").and_then(|it| it.get("path")).cloned();
        if let Ok(path) = serde_json::from_value::<PathView>(path.unwrap_or_default()) {
            assert_eq!(serde_json::from_value(json!(path)).ok(), Some(path));
        }
    }
    buffer.extend_from_slice(reading);
    loop {
        let before = buffer.len();
        match Piece::take(&mut buffer) {
            Ok(Some(Piece::Bytes(bytes))) => assert!(bytes.len() <= MAX_PIECE_BYTES),
            Ok(Some(Piece::Failed(failure, _))) => check(&failure.to_json()),
            Ok(Some(Piece::End)) => {}
            Ok(None) => {
                assert_eq!(buffer.len(), before, "a part of a piece is taken");
                return is_understood;
            }
            Err(error) => {
                assert!(error.is_retryable);
                return is_understood;
            }
        }
        assert!(buffer.len() < before, "a piece of no bytes");
    }
}

/// Questions and answers as they are, and pieces.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let path = json!({
        "kind": "direct", "link": "tcp", "local": null, "remote": "/ip4/192.0.2.1/tcp/1",
        "rtt_us": 7, "reason": "it came first", "standby": 1,
    });
    let failure = Failure::failed("denied", "no").hint("ask").to_json();
    let piece = |kind: u8, body: &[u8]| {
        let length = u32::try_from(body.len()).unwrap_or(0).to_be_bytes();
        [&[kind][..], &length, body].concat()
    };
    let answer = |value: Value| format!("{}\n", versioned(value)).into_bytes();
    let pieces = [
        answer(json!({ "result": {} })),
        piece(0, b"hello"),
        piece(3, failure.to_string().as_bytes()),
        piece(2, b"?"),
        piece(1, b""),
    ];
    let question = json!({ "method": "reach", "target": "alice", "timeout_ms": 10_000 });
    [
        answer(question),
        answer(json!({ "result": { "path": path } })),
        answer(failure.clone()),
        pieces.concat(),
    ]
    .map(|input| ("control", input))
    .to_vec()
}

/// What is said of a failure is the same after it was passed on, and one line.
fn check(value: &Value) {
    if let Some(failure) = Failure::from_json(value) {
        assert_eq!(failure.to_string().lines().count(), 1 + usize::from(failure.hint.is_some()));
        let again = Failure::from_json(&failure.to_json()).expect("what is written is read");
        assert_eq!(again.to_json(), failure.to_json());
    }
}

/// The next line. All bytes are there, so nothing waits.
fn line(reading: &mut &[u8], buffer: &mut BytesMut) -> Option<BytesMut> {
    let mut waiting = pin!(read_line(reading, buffer));
    match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(line) => line.ok().flatten(),
        Poll::Pending => panic!("it waits for what is there"),
    }
}
