//! A session keeps to its share of its process's memory.

use std::time::Duration;

use bytes::Bytes;
use netcom_session::{
    Class, Code, Flow, LaneId, StreamId, WriteError,
    wire::{Credit, Data, Frame},
};

use crate::harness::*;

const MINUTE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// Opens streams from A with as much as B lets each have, which nobody reads. Tells how many were
/// not refused.
fn fill(pair: &mut Pair, handle: Handle, count: u64) -> usize {
    let mut taken = 0;
    for n in 0..count {
        let opened = pair.run_until(MINUTE, |pair| {
            taken += std::iter::from_fn(|| pair.session(B, 0).accept()).count();
            let (now, protocol) = (pair.now, Bytes::from_static(b"test/1"));
            let opened = pair.session(A, handle).open(Class::Normal, protocol, now);
            opened.is_ok_and(|stream| {
                let mut transfer = Transfer::new(A, [handle, 0], stream, pattern(300_000, n));
                transfer.advance_writer_only(pair);
                true
            })
        });
        assert!(opened, "the limit of streams grows with use");
    }
    pair.run_for(Duration::from_secs(2));
    taken + std::iter::from_fn(|| pair.session(B, 0).accept()).count()
}

#[test]
fn beyond_its_share_windows_stay_and_streams_are_refused_until_there_is_room() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    pair.session(B, 0).limit_memory(2 * MIB);
    let held = fill(&mut pair, handle, 200);
    let granted = pair.session(B, 0).stats().granted_bytes;
    assert!(granted <= 2 * MIB, "{granted}");
    assert!((30..140).contains(&held), "{held}");
    assert_eq!(pair.hosts[B].closed_with(0), None);

    pair.session(B, 0).limit_memory(64 * MIB);
    assert_eq!(fill(&mut pair, handle, 20), 20);
}

#[test]
fn streams_that_are_read_go_on_at_full_length_without_any_share() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    pair.session(B, 0).limit_memory(MIB / 2);
    let streams: Vec<_> = (0..8).map(|_| open(&mut pair, A, handle)).collect();
    let mut transfers: Vec<_> = streams
        .into_iter()
        .map(|stream| Transfer::new(A, [handle, 0], stream, pattern(500_000, 1)))
        .collect();
    let began = pair.run_until(MINUTE, |pair| pair.session(B, 0).stats().streams == 8);
    assert!(began);
    // Neither to receive nor, at the other side, to send.
    pair.session(A, handle).limit_memory(0);
    pair.session(B, 0).limit_memory(0);
    complete(&mut pair, &mut transfers, MINUTE);
}

#[test]
fn a_writer_keeps_half_of_the_share_until_it_is_acknowledged() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    pair.wires[wire].capacity = usize::MAX;
    pair.session(A, handle).limit_memory(4 * MIB);
    pair.wires[wire].black_hole[B] = true;
    let mut written = 0;
    for _ in 0..4 {
        let stream = open(&mut pair, A, handle);
        let max = (1 << 62) - 1;
        let credit = Frame::Credit(Credit { stream, flow: Flow::Data, max });
        pair.hand_over(wire, A, LaneId(0), credit);
        let (now, mut bytes) = (pair.now, Bytes::from(vec![1; 1 << 20]));
        let session = pair.session(A, handle);
        written += session.write(stream, Flow::Data, &mut bytes, now).expect("open");
    }
    assert_eq!(written as u64, 2 * MIB);
    let session = pair.session(A, handle);
    assert_eq!(session.memory(), session.stats().granted_bytes + 2 * MIB);
}

#[test]
fn what_is_refused_for_want_of_memory_is_called_overloaded() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    pair.session(B, 0).limit_memory(0);
    let stream = open(&mut pair, A, handle);
    let mut transfer = [Transfer::new(A, [handle, 0], stream, pattern(100_000, 1))];
    let refused = pair.run_until(MINUTE, |pair| {
        advance_all(pair, &mut transfer);
        transfer[0].write_error.is_some()
    });
    assert!(refused);
    let reset = WriteError::Reset(Code::OVERLOADED);
    assert_eq!(transfer[0].write_error, Some(reset));
}

#[test]
fn streams_whose_description_never_comes_stay_within_the_share() {
    let mut pair = Pair::new();
    let (_, wire) = pair.connect();
    pair.is_hostile = true;
    let is_within = |pair: &mut Pair| pair.session(B, 0).stats().granted_bytes <= MIB / 2;
    pair.session(B, 0).limit_memory(MIB / 2);
    let (by_keeper, now) = (pair.is_keeper(A), pair.now);
    let (_, link) = pair.wires[wire].ends[B].expect("attached");
    let beyond_its_start = |index| {
        let (stream, bytes) = (StreamId::new(index, by_keeper), Bytes::from(vec![1; 10_000]));
        let (flow, offset) = (Flow::Data, 1);
        let (fin, fin_errors, open, bytes) = (false, false, None, bytes.into());
        Frame::Data(Data { stream, flow, offset, fin, fin_errors, open, bytes })
    };
    for index in 0..500 {
        let mut frames = vec![beyond_its_start(index)];
        pair.session(B, 0).handle_batch(link, LaneId(0), &mut frames, now);
        assert!(is_within(&mut pair), "{index}: {:?}", pair.session(B, 0).stats());
    }
    // The allowance of streams does not grow for those that were refused.
    let closed = pair.hosts[B].closed_with(0);
    assert!(closed.is_none_or(|code| code == Code::STREAM_LIMIT), "{closed:?}");
}
