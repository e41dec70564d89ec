//! What once went wrong between correct peers, or cost more than a peer's share.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use netcom_session::{
    Batch, Class, Code, Config, Event, Flow, InstanceId, LaneId, LinkId, LinkKind, LinkLoss, Poll,
    ReadError, ReadState, State, StreamId,
    wire::{Credit, Data, Frame, Lack, LinkRole, LinkState, LinkUpdate, MAX_DATA_BODY, Open},
};

use crate::harness::*;

const MILLISECOND: Duration = Duration::from_millis(1);

fn accept_all(pair: &mut Pair, side: Side) -> Vec<StreamId> {
    std::iter::from_fn(|| pair.session(side, 0).accept()).map(|stream| stream.id).collect()
}

/// Writes what fits. Returns how much that was.
fn write(pair: &mut Pair, side: Side, stream: StreamId, flow: Flow, bytes: &Bytes) -> usize {
    let now = pair.now;
    let session = pair.session(side, 0);
    session.write(stream, flow, &mut bytes.clone(), now).expect("an open flow")
}

/// Reads what is there. Returns how much that was.
fn read(pair: &mut Pair, side: Side, stream: StreamId, flow: Flow) -> usize {
    let (now, mut chunks) = (pair.now, VecDeque::new());
    let session = pair.session(side, 0);
    session.read(stream, flow, usize::MAX >> 1, &mut chunks, now).expect("no reset");
    pair.flush();
    chunks.iter().map(Bytes::len).sum()
}

fn link_at(pair: &Pair, wire: WireId, side: Side) -> LinkId {
    pair.wires[wire].ends[side].expect("attached").1
}

#[track_caller]
fn assert_open(pair: &Pair) {
    assert_eq!([A, B].map(|side| pair.hosts[side].closed_with(0)), [None, None]);
}

#[test]
fn a_failover_under_small_writes_leaves_no_more_gaps_than_a_peer_may_cause() {
    let mut pair = Pair::with(Config::default(), Duration::from_millis(100));
    let (handle, wire) = pair.connect();
    pair.dial(A, LinkKind::Memory);
    pair.run_for(Duration::from_millis(800));
    let stream = open(&mut pair, A, handle);
    write(&mut pair, A, stream, Flow::Data, &Bytes::from_static(b"hello"));
    pair.run_for(Duration::from_millis(800));
    accept_all(&mut pair, B);

    // One message is lost; thousands follow it on the other link before it is repeated.
    let mut written = 5 + write(&mut pair, A, stream, Flow::Data, &Bytes::from_static(b"lost"));
    pair.flush();
    pair.cut(wire);
    for _ in 0..3000 {
        written += write(&mut pair, A, stream, Flow::Data, &Bytes::from_static(b"0123456789"));
        pair.run_for(Duration::from_micros(50));
    }
    pair.run_for(Duration::from_secs(2));

    assert_open(&pair);
    assert_eq!(read(&mut pair, B, stream, Flow::Data), written);
}

#[test]
fn a_failover_with_many_requests_in_flight_repeats_no_more_frames_than_a_peer_may() {
    let mut config = Config::default();
    config.initial_streams = 2048;
    let mut pair = Pair::with(config, Duration::from_millis(300));
    let (handle, wire) = pair.connect();
    pair.dial(A, LinkKind::Memory);
    pair.run_for(Duration::from_secs(3));
    let mut served = 0;
    for _ in 0..1950 {
        let stream = open(&mut pair, A, handle);
        write(&mut pair, A, stream, Flow::Data, &Bytes::from_static(b"0123456789"));
        let now = pair.now;
        pair.session(A, handle).finish_all(stream, now).unwrap();
        pair.run_for(Duration::from_micros(100));
        served += accept_all(&mut pair, B).len();
    }
    for _ in 0..380 {
        pair.run_for(MILLISECOND);
        served += accept_all(&mut pair, B).len();
    }
    let in_flight: usize = pair.session(A, handle).links().map(|l| l.frames_in_flight).sum();
    assert!(served == 1950 && in_flight >= 1950, "{served} arrived, {in_flight} unacknowledged");

    pair.cut_one(wire, A, &LinkLoss::Reset);
    pair.run_for(Duration::from_secs(4));

    let stats = pair.session(B, 0).stats();
    assert!(stats.useless_frames >= 1950, "everything came twice: {stats:?}");
    assert_open(&pair);
}

/// What A does right after it has finished all of a stream.
#[derive(Clone, Copy, Debug)]
enum Afterwards {
    Nothing,
    Finish,
    Reset,
}

/// A finishes a whole stream of `size` bytes; both sides then do something to its error flow.
fn finish_all_crossing(size: usize, afterwards: Afterwards, b_reads: bool, b_stops: bool) {
    let case = format!("{size} bytes, {afterwards:?}, B reads {b_reads}, B stops {b_stops}");
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let stream = open(&mut pair, A, handle);
    let mut bytes = pattern(size, 1);
    let mut received = 0;
    for _ in 0..50 {
        let now = pair.now;
        pair.session(A, handle).write(stream, Flow::Data, &mut bytes, now).expect("open");
        if bytes.is_empty() {
            break;
        }
        pair.run_for(Duration::from_millis(30));
    }
    assert!(bytes.is_empty(), "{case}");

    let now = pair.now;
    let session = pair.session(A, handle);
    session.finish_all(stream, now).expect("open");
    match afterwards {
        Afterwards::Nothing => {}
        Afterwards::Finish => session.finish(stream, Flow::Error, now).expect("no harm"),
        Afterwards::Reset => session.reset(stream, Flow::Error, Code::CANCELLED, now),
    }
    if size <= 64 << 10 {
        pair.run_for(Duration::from_millis(11));
    }
    accept_all(&mut pair, B);
    if b_reads {
        assert_eq!(read(&mut pair, B, stream, Flow::Error), 0, "{case}");
    }
    if b_stops {
        let now = pair.now;
        pair.session(B, 0).stop(stream, Flow::Error, Code::CANCELLED, now);
    }
    for _ in 0..25 {
        pair.run_for(Duration::from_millis(20));
        received += read(&mut pair, B, stream, Flow::Data);
    }

    let closed = [A, B].map(|side| pair.hosts[side].closed_with(0));
    assert_eq!(closed, [None, None], "{case}");
    assert_eq!(received, size, "{case}");
}

#[test]
fn an_error_flow_stopped_while_its_end_waits_behind_data_is_no_violation() {
    for size in [60_000, 306_000] {
        for b_reads in [false, true] {
            finish_all_crossing(size, Afterwards::Nothing, b_reads, true);
        }
    }
}

#[test]
fn an_error_flow_finished_after_all_was_finished_is_no_violation() {
    for size in [100, 60_000] {
        for b_stops in [false, true] {
            finish_all_crossing(size, Afterwards::Finish, false, b_stops);
        }
    }
}

#[test]
fn an_error_flow_reset_after_all_was_finished_is_no_violation() {
    for size in [100, 60_000] {
        for b_stops in [false, true] {
            finish_all_crossing(size, Afterwards::Reset, false, b_stops);
        }
    }
}

#[test]
fn a_writer_on_the_error_flow_of_a_released_stream_is_told_to_stop() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let stream = open(&mut pair, A, handle);
    write(&mut pair, A, stream, Flow::Data, &Bytes::from_static(b"x"));
    pair.run_for(Duration::from_millis(50));
    accept_all(&mut pair, B);
    let now = pair.now;
    pair.session(A, handle).release(stream, now);
    pair.run_for(Duration::from_millis(50));

    write(&mut pair, B, stream, Flow::Error, &pattern(200_000, 1));
    pair.run_for(Duration::from_secs(1));

    let is_told =
        |event: &Event| matches!(event, Event::Stopped(id, Flow::Error, _) if *id == stream);
    assert!(pair.hosts[B].saw(is_told), "{:?}", pair.hosts[B].events);
    assert_eq!(pair.session(A, handle).stats().streams, 0);
}

#[test]
fn garbage_on_a_link_that_is_not_attached_leaves_the_session() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let now = pair.now;
    let session = pair.session(A, handle);
    let link = session.dial_link(spec(LinkKind::Tcp, 9), now).unwrap();

    session.link_lost(link, &LinkLoss::Malformed(Code::MALFORMED_FRAME), now);
    pair.run_for(Duration::from_secs(1));

    assert_open(&pair);
    let stream = open(&mut pair, A, handle);
    let mut transfer = [Transfer::new(A, [handle, 0], stream, pattern(10_000, 1))];
    complete(&mut pair, &mut transfer, Duration::from_secs(1));
}

/// Data of the stream number `index` that A opens.
fn first_data(pair: &Pair, index: u64, bytes: &'static [u8]) -> Frame {
    Frame::Data(Data {
        stream: StreamId::new(index, pair.is_keeper(A)),
        flow: Flow::Data,
        offset: 0,
        fin: false,
        fin_errors: false,
        open: Some(Open { class: Class::Normal, protocol: Bytes::from_static(b"test/1") }),
        bytes: Bytes::from_static(bytes).into(),
    })
}

#[test]
fn first_bytes_of_many_streams_in_one_batch_widen_no_window_beyond_the_receive_budget() {
    let mut pair = Pair::new();
    let (_, wire) = pair.connect();
    let budget = pair.hosts[B].config.receive_budget;
    // Streams without bytes, so that the peer's limit of streams grows with their use.
    for index in 0..2000 {
        let frame = first_data(&pair, index, b"");
        pair.hand_over(wire, B, LaneId(0), frame);
        if index % 16 == 15 {
            pair.flush();
            accept_all(&mut pair, B);
        }
    }
    assert_eq!(pair.session(B, 0).stats().streams, 2000);

    let mut frames: Vec<_> = (0..2000).map(|index| first_data(&pair, index, b"x")).collect();
    let (now, link) = (pair.now, link_at(&pair, wire, B));
    pair.session(B, 0).handle_batch(link, LaneId(0), &mut frames, now);
    let after_batch = pair.session(B, 0).stats().granted_bytes;
    // The link has room for every credit there is to tell.
    pair.wires[wire].capacity = usize::MAX;
    pair.run_for(Duration::from_millis(5));

    let after_flush = pair.session(B, 0).stats().granted_bytes;
    assert!(after_batch <= budget && after_flush <= budget, "{after_batch}, {after_flush}");
    assert_eq!(pair.hosts[B].closed_with(0), None);
}

#[test]
fn a_link_that_the_peer_names_dead_is_ended_by_its_driver() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    let second = pair.dial_from(A, handle, LinkKind::Memory);
    pair.run_for(Duration::from_millis(500));
    let link = link_at(&pair, second, B);

    let (state, role) = (LinkState::Dead, LinkRole::Standby);
    let update = Frame::Link(LinkUpdate { link, state, role, lanes: Vec::new() });
    let (now, first) = (pair.now, link_at(&pair, wire, B));
    let session = pair.session(B, 0);
    session.handle_batch(first, LaneId(0), &mut vec![update], now);

    let woken: Vec<_> = std::iter::from_fn(|| session.poll_wakeup()).collect();
    assert!(woken.contains(&link), "its driver is woken: {woken:?}");
    assert_eq!(session.poll_batch(link, 64 << 10, &mut Batch::new(), now), Poll::Finish);
    session.link_lost(link, &LinkLoss::Closed, now);
    assert!(session.links().all(|known| known.id != link));
    assert_eq!(pair.hosts[B].closed_with(0), None);
}

#[test]
fn an_old_acknowledgement_of_a_link_that_the_peer_named_dead_breaks_no_rule() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    let second = pair.dial_from(A, handle, LinkKind::Memory);
    pair.run_for(Duration::from_millis(500));
    let (link, via) = (link_at(&pair, wire, B), link_at(&pair, second, B));

    // It was said before on a slow link: an answer to QUERY.
    let counts = vec![(LaneId(0), 1)];
    let (state, role) = (LinkState::Dead, LinkRole::Standby);
    let lack = Lack { link, delay_us: 0, lanes: counts.clone() };
    let dead = LinkUpdate { link, state, role, lanes: counts };
    let (now, session) = (pair.now, pair.session(B, 0));
    let mut frames = vec![Frame::Link(dead), Frame::Lack(lack)];
    session.handle_batch(via, LaneId(0), &mut frames, now);

    assert_eq!(session.closed(), None);
}

#[test]
fn a_request_in_the_first_flight_is_not_sent_to_a_second_process() {
    let mut pair = Pair::new();
    let (handle, _) = pair.dial(A, LinkKind::Tcp);
    let stream = open(&mut pair, A, handle);
    write(&mut pair, A, stream, Flow::Data, &Bytes::from_static(b"transfer 100"));
    let now = pair.now;
    pair.session(A, handle).finish(stream, Flow::Data, now).unwrap();
    pair.flush();

    // Another process with B's key dials A before the one that A dialled has answered.
    let (peer, own) = (pair.hosts[A].peer, pair.hosts[B].instance);
    pair.hosts[B].instance = InstanceId([77; 16]);
    let session = pair.hosts[B].session(peer, true, now);
    pair.hosts[B].instance = own;
    pair.hosts[B].sessions.push(session);
    pair.dial_from(B, 0, LinkKind::Tcp);
    pair.run_for(Duration::from_secs(2));

    assert_eq!(pair.session(A, handle).state(), State::Live, "with the other process");
    assert_eq!(pair.hosts[B].sessions.len(), 2, "the one that A dialled has heard of it");
    assert_eq!(pair.session(B, 0).accept(), None, "the other process is not asked");
    let (now, mut chunks) = (pair.now, VecDeque::new());
    let answer = pair.session(A, handle).read(stream, Flow::Data, 1, &mut chunks, now);
    assert_eq!(answer, Err(ReadError::Reset(Code::INSTANCE_CHANGED)), "the asker is told");
}

/// B sends at a steady pace while A closes the link in use. Returns what A received again.
fn repeated_by_closing(kind: LinkKind, after: u64) -> u64 {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect_by(kind);
    pair.dial(A, LinkKind::Memory);
    pair.run_for(Duration::from_millis(100));
    let stream = open(&mut pair, A, handle);
    pair.run_for(Duration::from_millis(100));
    accept_all(&mut pair, B);
    let (mut written, mut received) = (0, 0);
    for at in 0..3000 {
        if at < 1000 {
            written += write(&mut pair, B, stream, Flow::Data, &pattern(1000, 1));
        }
        if at == 500 + after {
            let (now, link) = (pair.now, link_at(&pair, wire, A));
            pair.session(A, handle).close_link(link, now);
        }
        pair.run_for(MILLISECOND);
        received += read(&mut pair, A, stream, Flow::Data);
    }
    assert_eq!((written, received), (1_000_000, 1_000_000));
    assert_eq!(pair.wires[wire].ends, [None; 2], "the link was closed");
    pair.session(A, handle).stats().repeated_bytes
}

#[test]
fn closing_a_link_repeats_nothing() {
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        for after in [1, 4, 7, 11, 13, 17] {
            assert_eq!(repeated_by_closing(kind, after), 0, "{kind:?}, closed after {after} ms");
        }
    }
}

#[test]
fn a_link_that_died_after_another_was_dialled_has_its_final_counts_told() {
    for dials_first in [true, false] {
        let mut pair = Pair::with(Config::default(), Duration::from_millis(20));
        let (handle, wire) = pair.connect();
        let stream = open(&mut pair, A, handle);
        pair.run_for(Duration::from_millis(100));
        accept_all(&mut pair, B);
        let (mut silence, mut longest) = (0, 0);
        for at in 0..3000 {
            write(&mut pair, B, stream, Flow::Data, &pattern(1000, 1));
            if at == if dials_first { 499 } else { 501 } {
                pair.dial_from(A, handle, LinkKind::Memory);
            }
            if at == 500 {
                pair.cut(wire);
            }
            pair.run_for(MILLISECOND);
            let is_silent = read(&mut pair, A, stream, Flow::Data) == 0;
            silence = if is_silent { silence + 1 } else { 0 };
            longest = longest.max(silence);
        }
        let stats = pair.session(A, handle).stats();
        assert_eq!(stats.repeated_bytes, 0, "dialled first: {dials_first}");
        assert!(longest <= 200, "silent for {longest} ms, dialled first: {dials_first}");
    }
}

#[test]
fn dials_that_died_before_their_answer_do_not_lock_the_dialer_out() {
    let mut pair = Pair::new();
    for _ in 0..5 {
        let (handle, wire) = pair.dial(A, LinkKind::Tcp);
        pair.run_for(Duration::from_millis(11));
        pair.cut(wire);
        let now = pair.now;
        pair.session(A, handle).close(Code::CANCELLED, "gave up", now);
        pair.flush();
    }
    assert_eq!(pair.hosts[B].sessions.len(), 5, "each dial left a session behind");

    let (handle, _) = pair.dial(A, LinkKind::Tcp);
    pair.run_for(Duration::from_millis(100));

    assert_eq!(pair.session(A, handle).state(), State::Live);
}

#[test]
fn closing_a_link_of_a_closing_session_does_not_wake_its_driver_for_ever() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    let (now, link) = (pair.now, link_at(&pair, wire, A));
    let session = pair.session(A, handle);
    session.close(Code::NO_ERROR, "", now);
    session.close_link(link, now);

    let mut batch = Batch::new();
    let is_quiet = (0..10).any(|_| {
        batch.clear();
        let Some(link) = session.poll_wakeup() else { return true };
        session.poll_batch(link, 64 << 10, &mut batch, now) == Poll::Finish
    });

    assert!(is_quiet, "woken again and again with nothing to send");
}

#[test]
fn a_session_that_ended_keeps_nothing_for_acknowledgements() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    let stream = open(&mut pair, A, handle);
    pair.wires[wire].black_hole = [true; 2];
    let written = write(&mut pair, A, stream, Flow::Data, &pattern(80_000, 1));
    assert!(pair.session(A, handle).stats().retained_bytes >= written && written > 0);

    pair.cut(wire);
    pair.run_for(Duration::from_secs(61));

    assert_eq!(pair.hosts[A].closed_with(handle), Some(Code::RESUME_EXPIRED));
    assert_eq!(pair.session(A, handle).stats().retained_bytes, 0);
}

#[test]
fn a_flood_of_the_same_credentials_is_told_once_and_ends_as_useless() {
    let mut pair = Pair::new();
    let (_, wire) = pair.connect();
    let (now, link) = (pair.now, link_at(&pair, wire, B));
    let mut frames = vec![Frame::Auth(Bytes::from_static(b"same")); 20_000];

    pair.session(B, 0).handle_batch(link, LaneId(0), &mut frames, now);
    pair.flush();

    let told = pair.hosts[B].events.iter().filter(|(_, event)| matches!(event, Event::Auth(_)));
    assert_eq!(told.count(), 1);
    assert_eq!(pair.hosts[B].closed_with(0), Some(Code::USELESS));
}

#[test]
fn a_flood_of_changing_credentials_is_told_a_few_times_and_ends_as_useless() {
    let mut pair = Pair::new();
    let (_, wire) = pair.connect();
    let (now, link) = (pair.now, link_at(&pair, wire, B));
    let proof = |number: u32| Frame::Auth(Bytes::copy_from_slice(&number.to_be_bytes()));
    let mut frames: Vec<_> = (0..20_000).map(proof).collect();

    pair.session(B, 0).handle_batch(link, LaneId(0), &mut frames, now);
    pair.flush();

    let told = pair.hosts[B].events.iter().filter(|(_, event)| matches!(event, Event::Auth(_)));
    assert_eq!(told.count(), 16);
    assert_eq!(pair.hosts[B].closed_with(0), Some(Code::USELESS));
}

#[test]
fn closing_a_session_whose_last_link_closes_is_told_to_the_peer() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    open(&mut pair, A, handle);
    pair.run_for(Duration::from_millis(200));
    let (now, link) = (pair.now, link_at(&pair, wire, A));

    let session = pair.session(A, handle);
    session.close_link(link, now);
    session.close(Code::application(1), "done", now);
    pair.run_for(Duration::from_secs(3));

    let closed = [A, B].map(|side| pair.hosts[side].closed_with(0));
    assert_eq!(closed, [Some(Code::application(1)); 2]);
    assert_eq!(pair.session(B, 0).state(), State::Closed);
}

#[test]
fn writes_of_sixteen_kibibytes_and_more_fill_their_frames_and_are_hardly_copied() {
    for size in [16 << 10, 32 << 10, 64 << 10, 256 << 10] {
        let mut pair = Pair::with(Config::default(), Duration::from_micros(100));
        let (handle, wire) = pair.connect();
        let stream = open(&mut pair, A, handle);
        pair.run_for(Duration::from_millis(100));
        pair.wires[wire].black_hole[B] = true;
        let credit = Credit { stream, flow: Flow::Data, max: 1 << 40 };
        pair.hand_over(wire, A, LaneId(0), Frame::Credit(credit));
        let blocks: Vec<_> = (0..(2 << 20) / size).map(|_| pattern(size, 1)).collect();
        for block in &blocks {
            assert_eq!(write(&mut pair, A, stream, Flow::Data, block), size);
        }

        let (now, link) = (pair.now, link_at(&pair, wire, A));
        let session = pair.session(A, handle);
        let (mut frames, mut sent, mut copied) = (0, 0, 0);
        loop {
            let mut batch = Batch::new();
            let poll = session.poll_batch(link, 64 << 10, &mut batch, now);
            for frame in batch.frames().filter(|frame| !frame.payload.is_empty()) {
                frames += 1;
                for part in frame.payload {
                    let holds = |block: &Bytes| block.as_ptr_range().contains(&part.as_ptr());
                    sent += part.len();
                    copied += if blocks.iter().any(holds) { 0 } else { part.len() };
                }
            }
            if poll != Poll::More {
                break;
            }
        }

        assert!(sent >= 2 << 20, "writes of {size}: all was sent, {sent}");
        assert!(copied <= sent / 8, "writes of {size}: {copied} of {sent} were copied");
        assert!(frames <= sent / MAX_DATA_BODY + 2, "writes of {size}: {frames} frames");
    }
}

#[test]
fn hundreds_of_open_streams_with_few_bytes_each_are_all_served() {
    let mut pair = Pair::with(Config::default(), MILLISECOND);
    let (handle, _) = pair.connect();
    let (mut streams, mut served) = (Vec::new(), 0);
    for _ in 0..600 {
        let stream = open(&mut pair, A, handle);
        write(&mut pair, A, stream, Flow::Data, &Bytes::from_static(b"subscribe"));
        streams.push(stream);
        pair.run_for(Duration::from_millis(20));
        for stream in accept_all(&mut pair, B) {
            served += usize::from(read(&mut pair, B, stream, Flow::Data) == 9);
        }
    }

    assert_eq!(served, 600);
    let (now, mut chunks) = (pair.now, VecDeque::new());
    for stream in streams {
        let answer = pair.session(A, handle).read(stream, Flow::Data, 1, &mut chunks, now);
        assert_eq!(answer, Ok(ReadState::Blocked), "open, and not answered yet");
    }
}

#[test]
fn what_arrived_is_acknowledged_before_the_session_closes_as_idle() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let stream = open(&mut pair, A, handle);
    write(&mut pair, A, stream, Flow::Data, &Bytes::from_static(b"question"));
    pair.run_for(Duration::from_millis(200));
    accept_all(&mut pair, B);
    let now = pair.now;
    pair.session(B, 0).finish_all(stream, now).expect("an open stream");
    pair.run_for(Duration::from_millis(200));
    read(&mut pair, A, stream, Flow::Data);

    // The last byte arrives, is read at once, and nobody holds the session any more.
    let now = pair.now;
    pair.session(A, handle).finish_all(stream, now).expect("an open stream");
    pair.session(A, handle).hold(false, now);
    pair.run_for(pair.delay);
    read(&mut pair, B, stream, Flow::Data);
    assert_eq!(pair.hosts[B].closed_with(0), Some(Code::IDLE));
    pair.run_for(Duration::from_millis(200));

    assert_eq!(pair.hosts[A].closed_with(handle), Some(Code::IDLE));
    assert!(pair.hosts[A].saw(|event| *event == Event::Finished(stream, Flow::Data)));
}

#[test]
fn evicting_a_session_that_has_a_link_changes_nothing() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    let now = pair.now;
    pair.session(A, handle).evict(now);
    assert_open(&pair);

    pair.cut(wire);
    let now = pair.now;
    pair.session(A, handle).evict(now);
    assert_eq!(pair.hosts[A].closed_with(handle), Some(Code::RESUME_EVICTED));
}

#[test]
fn a_link_that_takes_nothing_is_ended_seconds_after_its_session() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    let (_, link) = pair.wires[wire].ends[A].expect("attached");
    pair.wires[wire].black_hole = [true; 2];
    let now = pair.now;
    pair.session(A, handle).close(Code::NO_ERROR, "", now);
    pair.run_for(Duration::from_secs(4));
    let ended = Event::LinkEnded { link, code: Code::LINK_LOST };
    assert!(pair.hosts[A].saw(|event| *event == ended), "its driver may hang and is ended");
}

#[test]
fn what_a_link_brought_after_another_took_over_counts_as_delivered() {
    let mut pair = Pair::new();
    let (handle, first) = pair.connect_by(LinkKind::Tcp);
    let (_, second) = pair.dial(A, LinkKind::Quic);
    pair.run_for(Duration::from_millis(200));
    let stream = open(&mut pair, A, handle);
    write(&mut pair, A, stream, Flow::Data, &Bytes::from_static(b"question"));
    pair.run_for(Duration::from_millis(200));
    accept_all(&mut pair, B);
    let now = pair.now;
    pair.session(B, 0).finish_all(stream, now).expect("an open stream");
    pair.run_for(Duration::from_millis(200));
    read(&mut pair, A, stream, Flow::Data);

    // The last bytes are late on the first link. The peer says on the second that they did not
    // come, and what is sent again there takes long.
    pair.wires[first].black_hole[A] = true;
    pair.wires[second].rate = Some(20_000);
    write(&mut pair, A, stream, Flow::Data, &pattern(40_000, 1));
    let now = pair.now;
    pair.session(A, handle).finish_all(stream, now).expect("an open stream");
    pair.session(A, handle).hold(false, now);
    pair.run_for(Duration::from_millis(700));
    assert!(pair.hosts[A].saw(|event| matches!(event, Event::LinkSuspect { .. })));
    assert_eq!(read(&mut pair, B, stream, Flow::Data), 8, "nothing else came");
    pair.heal(first);
    pair.run_for(pair.delay);
    assert_eq!(read(&mut pair, B, stream, Flow::Data), 40_000);
    assert_eq!(pair.hosts[B].closed_with(0), Some(Code::IDLE));
    pair.run_for(Duration::from_millis(200));

    assert_eq!(pair.hosts[A].closed_with(handle), Some(Code::IDLE));
    assert!(pair.hosts[A].saw(|event| *event == Event::Finished(stream, Flow::Data)));
}

#[test]
fn what_was_delivered_is_still_known_after_the_session_ended_and_all_was_read() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    let stream = open(&mut pair, A, handle);
    write(&mut pair, A, stream, Flow::Data, &Bytes::from_static(b"question"));
    pair.run_for(Duration::from_millis(200));
    accept_all(&mut pair, B);
    write(&mut pair, B, stream, Flow::Data, &Bytes::from_static(b"answer"));
    for (side, handle) in [(A, handle), (B, 0)] {
        let now = pair.now;
        pair.session(side, handle).finish_all(stream, now).expect("an open stream");
        pair.run_for(Duration::from_millis(200));
    }
    let now = pair.now;
    pair.session(B, 0).close(Code::NO_ERROR, "", now);
    pair.run_for(Duration::from_millis(200));

    assert_eq!(pair.hosts[A].closed_with(handle), Some(Code::NO_ERROR));
    let (mut chunks, session) = (VecDeque::new(), pair.session(A, handle));
    for _ in 0..2 {
        let state = session.read(stream, Flow::Data, 100, &mut chunks, now);
        assert_eq!(state, Ok(ReadState::Finished));
        assert!(session.send_progress(stream, Flow::Data).is_some_and(|sent| sent.is_finished));
    }
    session.release(stream, now);
    assert_eq!(session.stats().streams, 0);
}

#[test]
fn who_was_called_and_never_comes_keeps_nobody_from_writing() {
    let mut config = Config::default();
    config.send_budget = 64 << 10;
    let mut pair = Pair::with(config, Duration::from_millis(1));
    let (handle, _) = pair.connect();
    let chunk = pattern(16 << 10, 1);
    let absent: Vec<_> = (0..12).map(|_| open(&mut pair, A, handle)).collect();
    for stream in &absent {
        while write(&mut pair, A, *stream, Flow::Data, &chunk) > 0 {}
    }
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.session(A, handle).stats().retained_bytes, 0);

    let newcomer = open(&mut pair, A, handle);
    for _ in 0..10 {
        assert!(write(&mut pair, A, newcomer, Flow::Data, &chunk) > 0, "nothing else is kept");
        pair.run_for(Duration::from_secs(1));
    }
}

#[test]
fn writers_that_share_the_session_s_budget_are_woken_when_they_can_write() {
    let mut config = Config::default();
    config.send_budget = 1 << 20;
    let mut pair = Pair::with(config, Duration::from_millis(1));
    let (handle, _) = pair.connect();
    let mut waits: Vec<StreamId> = (0..60).map(|_| open(&mut pair, A, handle)).collect();
    let (mut chunks, chunk) = (VecDeque::new(), pattern(16 << 10, 1));
    let (mut written, mut wakes, mut in_vain) = (0, 0, 0);
    let mut is_woken = false;
    let done = pair.run_until(Duration::from_secs(60), |pair| {
        for stream in std::mem::take(&mut waits) {
            let taken: usize =
                std::iter::repeat_with(|| write(pair, A, stream, Flow::Data, &chunk))
                    .take_while(|taken| *taken > 0)
                    .sum();
            written += taken;
            wakes += usize::from(is_woken);
            in_vain += usize::from(is_woken && taken == 0);
        }
        is_woken = true;
        pair.flush();
        while let Some(stream) = pair.session(B, 0).accept() {
            chunks.push_back((stream.id, VecDeque::new()));
        }
        let now = pair.now;
        for (stream, read) in &mut chunks {
            let _ = pair.session(B, 0).read(*stream, Flow::Data, usize::MAX, read, now);
            read.clear();
        }
        pair.flush();
        for (_, event) in pair.hosts[A].events.drain(..) {
            if let Event::Writable(stream, Flow::Data) = event {
                waits.push(stream);
            }
        }
        written >= 32 << 20
    });
    assert!(done, "{written} bytes were written");
    assert!(in_vain * 5 <= wakes, "{in_vain} of {wakes} wake-ups were in vain");
}
