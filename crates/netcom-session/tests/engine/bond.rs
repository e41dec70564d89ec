//! Several links that carry data at once: side by side, or each all of it.

use std::time::Duration;

use bytes::Bytes;
use netcom_session::{
    Class, Config, Flow, LinkKind, LinkStats, Redundancy, State, StreamId, wire::Frame,
};

use crate::harness::*;

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const KINDS: [LinkKind; 3] = [LinkKind::Tcp, LinkKind::Quic, LinkKind::WebSocket];

/// What a link is like: megabits a second and round trip.
type Line = (u64, Duration);

/// Two sides with a link for each line.
struct Scene {
    pair: Pair,
    handle: Handle,
    wires: Vec<WireId>,
}

impl Scene {
    /// Kinds are taken in turn, so that no link is the duplicate of another.
    fn new(redundancy: Redundancy, lines: &[Line]) -> Self {
        let mut pair = Pair::with(Config::default(), lines[0].1 / 2);
        let (handle, first) = pair.connect();
        let mut wires = vec![first];
        for (at, (_, round_trip)) in lines.iter().enumerate().skip(1) {
            pair.delay = *round_trip / 2;
            wires.push(pair.dial_from(A, handle, KINDS[at]));
            pair.run_for(*round_trip * 6);
        }
        for (wire, (megabits, _)) in wires.iter().zip(lines) {
            pair.wires[*wire].rate = Some(megabits * 125_000);
            pair.wires[*wire].capacity = 8 << 20;
        }
        let mut scene = Self { pair, handle, wires };
        scene.choose(redundancy);
        scene
    }

    fn choose(&mut self, redundancy: Redundancy) {
        let now = self.pair.now;
        for (side, handle) in [(A, self.handle), (B, 0)] {
            self.pair.session(side, handle).set_redundancy(redundancy, now);
        }
    }

    fn transfer(&mut self, length: usize) -> Transfer {
        let stream = open(&mut self.pair, A, self.handle);
        Transfer::new(A, [self.handle, 0], stream, pattern(length, 1))
    }

    /// How long a transfer of so many bytes takes.
    fn time_of(&mut self, length: usize) -> Duration {
        let begun = self.pair.now;
        let mut transfers = [self.transfer(length)];
        complete(&mut self.pair, &mut transfers, 10 * MINUTE);
        self.pair.now.since(begun)
    }

    fn link(&mut self, side: Side, wire: usize) -> Option<LinkStats> {
        let (handle, id) = self.pair.wires[self.wires[wire]].ends[side]?;
        self.pair.session(side, handle).links().find(|link| link.id == id)
    }

    /// Nobody is blamed, and nothing is left behind.
    fn check(&mut self) {
        for (side, handle) in [(A, self.handle), (B, 0)] {
            assert_eq!(self.pair.hosts[side].closed_with(handle), None);
            let stats = self.pair.session(side, handle).stats();
            assert_eq!((stats.gaps, stats.retained_bytes), (0, 0), "{stats:?}");
        }
    }
}

/// Megabits a second of a long transfer over links of these lines.
fn speed(redundancy: Redundancy, lines: &[Line]) -> f64 {
    let length = 32 << 20;
    let mut scene = Scene::new(redundancy, lines);
    let time = scene.time_of(length);
    scene.pair.run_for(lines.iter().map(|line| line.1).max().unwrap_or(MS) * 4);
    scene.check();
    length as f64 * 8.0 / 1e6 / time.as_secs_f64()
}

#[test]
fn two_equal_links_carry_1_8_times_as_much_as_one() {
    for megabits in [20, 100] {
        let line = (megabits, 20 * MS);
        let one = speed(Redundancy::Standby, &[line]);
        let two = speed(Redundancy::Stripe, &[line, line]);
        assert!(two >= 1.8 * one, "{megabits}: {two:.1} of {one:.1}");
        let three = speed(Redundancy::Stripe, &[line, line, line]);
        assert!(three >= 2.5 * one, "{megabits}: {three:.1} of {one:.1}");
    }
}

#[test]
fn stripe_100_plus_25_mbit_beats_the_faster_and_stays_inside_credit() {
    let (fast, slow) = ((100, 20 * MS), (25, 20 * MS));
    let alone = speed(Redundancy::Standby, &[fast]);
    for lines in [[fast, slow], [slow, fast]] {
        let both = speed(Redundancy::Stripe, &lines);
        assert!(both >= 1.1 * alone, "{lines:?}: {both:.1} of {alone:.1}");
    }
}

#[test]
fn a_much_slower_or_farther_link_holds_back_nothing() {
    let fast = (100, 20 * MS);
    let alone = speed(Redundancy::Standby, &[fast]);
    for other in [(1, 20 * MS), (25, 400 * MS), (5, 2 * MS)] {
        let both = speed(Redundancy::Stripe, &[fast, other]);
        assert!(both >= 0.93 * alone, "{other:?}: {both:.1} of {alone:.1}");
    }
}

#[test]
fn what_is_small_takes_no_longer_over_unequal_links_than_over_the_faster() {
    for length in [100, 10_000, 100_000, 1_000_000] {
        let (fast, slow) = ((100, 20 * MS), (10, 60 * MS));
        let mut alone = Scene::new(Redundancy::Standby, &[fast]);
        let mut both = Scene::new(Redundancy::Stripe, &[fast, slow]);
        for scene in [&mut alone, &mut both] {
            // Rates are known, as in a session that has run for a while.
            scene.time_of(16 << 20);
        }
        let (alone, both) = (alone.time_of(length), both.time_of(length));
        assert!(both <= alone + alone / 10, "{length}: {both:?} in place of {alone:?}");
    }
}

/// A transfer each way over two links of which one fails after a side has put so many frames on it.
fn cut(redundancy: Redundancy, wire: usize, side: Side, frames: usize, is_silent: bool) -> bool {
    let mut scene = Scene::new(redundancy, &[(50, 20 * MS), (25, 20 * MS)]);
    let wire = scene.wires[wire];
    let frames = scene.pair.wires[wire].sent[side] + frames;
    scene.pair.cut_after = Some((wire, side, frames));
    scene.pair.is_cut_silent = is_silent;
    let stream = open(&mut scene.pair, A, scene.handle);
    let handles = [scene.handle, 0];
    let mut transfers = [
        Transfer::new(A, handles, stream, pattern(600_000, 1)),
        Transfer::new(B, handles, stream, pattern(600_000, 2)),
    ];
    complete(&mut scene.pair, &mut transfers, MINUTE);
    for (side, handle) in [(A, scene.handle), (B, 0)] {
        assert_eq!(scene.pair.hosts[side].closed_with(handle), None);
        assert_eq!(scene.pair.session(side, handle).state(), State::Live);
    }
    scene.pair.cut_after.is_none()
}

#[test]
fn cutting_either_of_two_links_at_any_frame_loses_nothing() {
    for redundancy in [Redundancy::Stripe, Redundancy::Mirror] {
        for (wire, side) in [(0, A), (0, B), (1, A), (1, B)] {
            let cuts = (1..).take_while(|n| cut(redundancy, wire, side, *n, false)).count();
            assert!(cuts > 5, "{redundancy:?}: link {wire} carries a part from {side}: {cuts}");
            for frames in (1..cuts).step_by(7) {
                cut(redundancy, wire, side, frames, true);
            }
        }
    }
}

#[test]
fn a_side_stripes_whatever_the_other_does() {
    let mut scene = Scene::new(Redundancy::Standby, &[(50, 20 * MS), (50, 20 * MS)]);
    let now = scene.pair.now;
    scene.pair.session(A, scene.handle).set_redundancy(Redundancy::Stripe, now);
    scene.time_of(4 << 20);
    for wire in [0, 1] {
        let received = scene.link(B, wire).expect("it is there").bytes_received;
        assert!(received > 1 << 20, "{received} on {wire}");
    }
}

/// Asks and answers so many bytes on streams of their own, one after the other, and returns how
/// long each exchange took.
fn round_trips(scene: &mut Scene, count: usize, length: usize) -> Vec<Duration> {
    let ask = |scene: &mut Scene| {
        let begun = scene.pair.now;
        let now = begun;
        let (handle, pair) = (scene.handle, &mut scene.pair);
        let stream = pair
            .session(A, handle)
            .open(Class::Interactive, Bytes::from_static(b"test/1"), now)
            .expect("the peer allows a stream");
        let mut transfers = [
            Transfer::new(A, [handle, 0], stream, pattern(length, 1)),
            Transfer::new(B, [handle, 0], stream, pattern(length, 2)),
        ];
        complete(pair, &mut transfers, MINUTE);
        let time = pair.now.since(begun);
        release(pair, handle, stream);
        pair.run_for(50 * MS);
        time
    };
    (0..count).map(|_| ask(scene)).collect()
}

fn release(pair: &mut Pair, handle: Handle, stream: StreamId) {
    let now = pair.now;
    for (side, handle) in [(A, handle), (B, 0)] {
        while pair.session(side, handle).accept().is_some() {}
        pair.session(side, handle).release(stream, now);
    }
}

#[test]
fn mirrored_links_answer_as_fast_as_the_faster_at_every_instant() {
    let mut scene = Scene::new(Redundancy::Mirror, &[(100, 20 * MS), (100, 40 * MS)]);
    let times = round_trips(&mut scene, 20, 64);
    assert!(times.iter().all(|time| *time <= 25 * MS), "{times:?}");
    // One link holds everything up now and then, the other one at other times; neither for so long
    // that it is suspect.
    for at in 0..20 {
        let slow = scene.wires[at % 2];
        scene.pair.wires[slow].delay = 35 * MS;
        let times = round_trips(&mut scene, 1, 64);
        assert!(times.iter().all(|time| *time <= 45 * MS), "{at}: {times:?}");
        scene.pair.wires[slow].delay = [10 * MS, 20 * MS][at % 2];
        scene.pair.run_for(400 * MS);
    }
    scene.check();
}

#[test]
fn a_black_hole_under_one_of_two_mirrored_links_makes_no_gap() {
    for hole in [0, 1] {
        let mut scene = Scene::new(Redundancy::Mirror, &[(100, 20 * MS), (100, 20 * MS)]);
        round_trips(&mut scene, 5, 64);
        let wire = scene.wires[hole];
        scene.pair.wires[wire].black_hole = [true; 2];
        let times = round_trips(&mut scene, 100, 64);
        assert!(times.iter().all(|time| *time <= 25 * MS), "{hole}: {times:?}");
        scene.check();
    }
}

#[test]
fn what_is_mirrored_for_long_is_no_offence_and_frees_all_memory() {
    // Half of what comes are copies, more than a peer may send in vain.
    let mut scene = Scene::new(Redundancy::Mirror, &[(100, 2 * MS), (100, 2 * MS)]);
    scene.pair.arrived = Some(Default::default());
    let stream = open(&mut scene.pair, A, scene.handle);
    let messages = 15_000;
    let mut received = 0;
    for _ in 0..messages {
        let now = scene.pair.now;
        let session = scene.pair.session(A, scene.handle);
        let taken = session.write(stream, Flow::Data, &mut Bytes::from_static(&[7; 64]), now);
        assert_eq!(taken, Ok(64));
        scene.pair.run_for(2 * MS);
        let mut chunks = Default::default();
        let now = scene.pair.now;
        let read = scene.pair.session(B, 0).read(stream, Flow::Data, 1 << 20, &mut chunks, now);
        read.expect("the stream is open");
        received += chunks.iter().map(Bytes::len).sum::<usize>();
    }
    scene.pair.run_for(MINUTE / 60);
    assert!(received >= (messages - 1) * 64, "{received}");
    let data = |frame: &Frame| matches!(frame, Frame::Data(_));
    let arrived = scene.pair.arrived.take().expect("it was asked for");
    let copies = arrived[B].iter().filter(|(_, frame)| data(frame)).count();
    assert!(copies >= messages * 2 - 2, "each link carried each: {copies}");
    scene.check();
}

#[test]
fn mirrored_bulk_is_as_fast_as_the_faster_link() {
    let alone = speed(Redundancy::Standby, &[(100, 20 * MS)]);
    for other in [(100, 20 * MS), (10, 20 * MS), (1, 200 * MS)] {
        let both = speed(Redundancy::Mirror, &[(100, 20 * MS), other]);
        assert!(both >= 0.9 * alone, "{other:?}: {both:.1} of {alone:.1}");
    }
}
