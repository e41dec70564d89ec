//! Streams between two sessions, undisturbed.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use netcom_session::{
    Batch, Class, Event, Flow, LaneId, LinkKind, ReadState, State, StreamId,
    wire::{self, Credit, Frame, FrameLimits},
};

use crate::harness::*;

#[test]
fn a_request_and_its_answer_take_one_frame_each_and_one_round_trip_after_hello() {
    let mut pair = Pair::new();
    let (handle, _) = pair.dial(A, LinkKind::Tcp);
    let stream = open(&mut pair, A, handle);
    let mut request = Transfer::new(A, [handle, 0], stream, pattern(100, 1));
    let began = pair.now;
    request.advance_writer_only(&mut pair);
    pair.run_for(pair.delay);

    let incoming = pair.session(B, 0).accept().expect("the stream came with the hello");
    assert_eq!(incoming.id, stream);
    assert!(request.advance(&mut pair));
    let mut answer = Transfer::new(B, [handle, 0], stream, pattern(50, 2));
    complete(&mut pair, std::slice::from_mut(&mut answer), Duration::from_secs(1));
    assert_eq!(pair.now.since(began), pair.delay * 2);
}

#[test]
fn data_flows_both_ways_on_every_kind_of_link() {
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        let mut pair = Pair::new();
        let (handle, _) = pair.connect_by(kind);
        let stream = open(&mut pair, A, handle);
        let mut transfers = [
            Transfer::new(A, [handle, 0], stream, pattern(3_000_000, 1)),
            Transfer::new(B, [handle, 0], stream, pattern(2_000_000, 2)),
            Transfer::new(A, [handle, 0], stream, pattern(9_000, 3)).on(Flow::Error),
        ];
        pair.run_for(Duration::from_millis(50));
        assert_eq!(pair.session(B, 0).accept().map(|incoming| incoming.id), Some(stream));
        complete(&mut pair, &mut transfers, Duration::from_secs(60));
    }
}

/// The streams of the data frames in a batch, in their order.
fn streams_of(batch: &Batch) -> Vec<StreamId> {
    let decode = |frame: netcom_session::OutFrame<'_>| {
        let mut bytes = BytesMut::from(&[frame.head, &frame.payload.concat()].concat()[..]);
        wire::decode(&mut bytes, FrameLimits::TLS).expect("a frame").expect("all of it")
    };
    let stream = |frame| match frame {
        Frame::Data(data) => Some(data.stream),
        _ => None,
    };
    batch.frames().map(decode).filter_map(stream).collect()
}

#[test]
fn streams_take_turns_of_two_full_frames_where_a_batch_holds_several_such_turns() {
    for (budget, frames) in [(256 << 10, 2), (48 << 10, 1)] {
        let mut pair = Pair::with(netcom_session::Config::default(), Duration::from_micros(100));
        let (handle, wire) = pair.connect_by(LinkKind::Tcp);
        // The link is known to be near, so that it takes many frames.
        let (link, now) = (pair.wires[wire].ends[A].expect("attached").1, pair.now);
        pair.session(A, handle).ping(link, now).expect("a link");
        pair.run_for(Duration::from_millis(1));
        let streams = [open(&mut pair, A, handle), open(&mut pair, A, handle)];
        pair.flush();
        for stream in streams {
            let credit = Frame::Credit(Credit { stream, flow: Flow::Data, max: 1 << 20 });
            pair.hand_over(wire, A, LaneId(0), credit);
        }
        let now = pair.now;
        for stream in streams {
            let mut bytes = Bytes::from(vec![1; 500_000]);
            let written = pair.session(A, handle).write(stream, Flow::Data, &mut bytes, now);
            assert_eq!(written, Ok(500_000));
        }

        let mut batch = Batch::new();
        pair.session(A, handle).poll_batch(link, budget, &mut batch, now);

        let sent = streams_of(&batch);
        assert!(sent.len() >= 3 * frames, "{sent:?}");
        assert!(sent.chunk_by(|a, b| a == b).all(|turn| turn.len() == frames), "{sent:?}");
    }
}

#[test]
fn ten_thousand_streams_come_and_go_and_leave_nothing_behind() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let (mut running, mut finished, mut opened) = (Vec::new(), 0, 0);
    let done = pair.run_until(Duration::from_secs(600), |pair| {
        let now = pair.now;
        while opened < 10_000 && running.len() < 200 {
            let class = netcom_session::Class::Normal;
            let protocol = bytes::Bytes::from_static(b"test/1");
            let Ok(stream) = pair.session(A, handle).open(class, protocol, now) else { break };
            running.push([
                Transfer::new(A, [handle, 0], stream, pattern(100, opened)),
                Transfer::new(B, [handle, 0], stream, pattern(200, opened)),
            ]);
            opened += 1;
        }
        while let Some(incoming) = pair.session(B, 0).accept() {
            let end = pair.session(B, 0).finish(incoming.id, Flow::Error, now);
            end.expect("the error flow is open");
        }
        let before = running.len();
        running.retain_mut(|[there, back]| {
            let ends = [there.advance(pair), there.ended && back.advance(pair)];
            let is_done = ends == [true, true];
            if is_done {
                there.check();
                back.check();
                pair.session(A, handle).release(there.stream, now);
                pair.session(B, 0).release(there.stream, now);
            }
            !is_done
        });
        finished += before - running.len();
        finished == 10_000
    });
    assert!(done, "{finished} of {opened} streams finished");
    pair.run_for(Duration::from_secs(1));
    for (side, handle) in [(A, handle), (B, 0)] {
        let stats = pair.session(side, handle).stats();
        assert_eq!((stats.streams, stats.retained_bytes, stats.granted_bytes), (0, 0, 0));
    }
}

#[test]
fn a_session_that_nobody_holds_and_without_streams_closes_as_idle_at_both_ends() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let now = pair.now;
    pair.session(A, handle).hold(false, now);
    pair.run_for(Duration::from_secs(2));

    for (side, handle) in [(A, handle), (B, 0)] {
        assert_eq!(pair.session(side, handle).state(), State::Closed);
        assert!(pair.session(side, handle).is_done());
        assert_eq!(pair.hosts[side].closed_with(handle), Some(netcom_session::Code::IDLE));
    }
    assert!(pair.hosts[B].saw(|event| matches!(event, Event::Closed(_))));
}

#[test]
fn before_the_peers_hello_a_side_uses_the_protocols_constants_only() {
    let mut pair = Pair::new();
    pair.arrived = Some([Vec::new(), Vec::new()]);
    let (handle, _) = pair.dial(A, LinkKind::Tcp);
    let now = pair.now;
    let mut streams = Vec::new();
    while let Ok(id) = pair.session(A, handle).open(Default::default(), "test/1".into(), now) {
        streams.push(id);
    }
    assert_eq!(streams.len(), 16);
    for stream in streams {
        Transfer::new(A, [handle, 0], stream, pattern(60_000, 1)).advance_writer_only(&mut pair);
    }
    // The answer is under way when the last early byte arrives.
    pair.run_for(pair.delay);
    let early: u64 = pair.session(B, 0).stats().received_bytes;
    assert_eq!(early, 64 << 10);
    pair.run_for(pair.delay * 3);
    assert!(pair.session(B, 0).stats().received_bytes > early);
}

#[test]
fn a_writer_blocked_for_a_second_says_so_once_and_is_answered_where_there_is_more_credit() {
    // Nothing, and less than credit is announced for.
    for read in [0, 1000] {
        let mut pair = Pair::new();
        let (handle, _) = pair.connect();
        pair.arrived = Some([Vec::new(), Vec::new()]);
        let stream = open(&mut pair, A, handle);
        let mut unread = Transfer::new(A, [handle, 0], stream, pattern(900_000, 1));
        for at in 0..45 {
            unread.advance_writer_only(&mut pair);
            pair.run_for(Duration::from_millis(100));
            if at == 5 && read > 0 {
                let (now, mut chunks) = (pair.now, VecDeque::new());
                let state = pair.session(B, 0).read(stream, Flow::Data, read, &mut chunks, now);
                assert_eq!(state, Ok(ReadState::Open));
            }
        }
        let arrived = pair.arrived.take().expect("recorded");
        let blocked = arrived[B].iter().filter(|(_, frame)| matches!(frame, Frame::Blocked(_)));
        let credit = arrived[A].iter().filter(|(_, frame)| matches!(frame, Frame::Credit(_)));
        let answers = usize::from(read > 0);
        assert_eq!(blocked.count(), 1 + answers, "once for each credit");
        assert_eq!(credit.count(), 1 + answers, "the first window, and what was read");
    }
}

#[test]
fn interactive_data_overtakes_what_bulk_has_queued() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    let now = pair.now;
    let session = pair.session(A, handle);
    let bulk = session.open(Class::Bulk, "bulk/1".into(), now).expect("allowed");
    let chat = session.open(Class::Interactive, "chat/1".into(), now).expect("allowed");
    pair.run_for(Duration::from_millis(50));
    // The link takes little at a time, and bulk has filled its window.
    pair.wires[wire].capacity = 32 << 10;
    let mut data = Transfer::new(A, [handle, 0], bulk, pattern(2_000_000, 1));
    pair.run_until(Duration::from_secs(60), |pair| {
        data.advance(pair);
        data.received.len() > 500_000
    });
    let mut word = Transfer::new(A, [handle, 0], chat, pattern(100, 2));
    word.advance_writer_only(&mut pair);
    let before = data.received.len();
    pair.run_until(Duration::from_secs(60), |pair| {
        data.advance(pair);
        word.advance(pair)
    });
    assert!(word.ended);
    assert!(data.received.len() - before < 256 << 10, "two batches of the link at most");
    assert!(data.received.len() < data.expected.len());
}
