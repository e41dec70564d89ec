//! Links that stop answering without an error: found, replaced, taken back, given up.

use std::{sync::OnceLock, time::Duration};

use bytes::Bytes;
use netcom_session::{
    Code, Config, Event, LaneId, LinkId, LinkKind, LinkLoss, LinkStats, State,
    wire::{Frame, LinkRole, LinkState, LinkUpdate},
};

use crate::harness::*;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// What streams carry that never end; copies share it.
fn flood() -> Bytes {
    static BYTES: OnceLock<Bytes> = OnceLock::new();
    // The length of the pattern is prime, so that no frame comes at the same place of it twice.
    let make = || Bytes::from(pattern(65_537, 1).repeat(1000));
    BYTES.get_or_init(make).clone()
}

/// Two links between two sides, and a stream each way that never ends.
struct Scene {
    pair: Pair,
    handle: Handle,
    active: WireId,
    standby: WireId,
    floods: [Transfer; 2],
    /// The link each side used, each time it changed.
    used: [Vec<Option<LinkId>>; 2],
    /// The longest time without new bytes at either side, while watched.
    gap: Duration,
    last: [(usize, Duration); 2],
}

impl Scene {
    fn new(round_trip: Duration) -> Self {
        Self::with((LinkKind::Tcp, LinkKind::Quic), [round_trip; 2], "1M")
    }

    /// Kinds and round trips are those of the link in use and of the standby.
    fn with(kinds: (LinkKind, LinkKind), round_trips: [Duration; 2], rate: &str) -> Self {
        let round_trip = round_trips[0];
        let mut pair = Pair::with(Config::default(), round_trip / 2);
        let (handle, active) = pair.connect_by(kinds.0);
        pair.delay = round_trips[1] / 2;
        let (_, standby) = pair.dial(A, kinds.1);
        pair.run_for(round_trips[1] * 6);
        let stream = open(&mut pair, A, handle);
        let flood = |from| Transfer::new(from, [handle, 0], stream, flood());
        let mut scene = Self {
            pair,
            handle,
            active,
            standby,
            floods: [flood(A), flood(B)],
            used: Default::default(),
            gap: Duration::ZERO,
            last: Default::default(),
        };
        scene.limit(rate);
        scene.run((500 * MS).max(round_trip * 10));
        scene.gap = Duration::ZERO;
        scene
    }

    /// Limits how fast both streams flow.
    fn limit(&mut self, rate: &str) {
        let now = self.pair.now;
        for (side, handle) in [(A, self.handle), (B, 0)] {
            self.pair.session(side, handle).limit_rate(rate.parse().ok(), now);
        }
    }

    /// Lets both streams flow.
    fn run(&mut self, time: Duration) {
        let end = self.pair.now + time;
        let (floods, used) = (&mut self.floods, &mut self.used);
        let (gap, last, handles) = (&mut self.gap, &mut self.last, [self.handle, 0]);
        self.pair.run_until(time, |pair| {
            let now = Duration::from_nanos(pair.now.0);
            for side in [A, B] {
                if !pair.is_stopped[side] {
                    floods[side].advance(pair);
                }
                let received = floods[side].received.len();
                if received > last[side].0 {
                    *gap = (*gap).max(now.saturating_sub(last[side].1));
                    last[side] = (received, now);
                }
                let link = pair.session(side, handles[side]).active_link();
                if used[side].last() != Some(&link) {
                    used[side].push(link);
                }
            }
            pair.now >= end
        });
        // Where nothing happened until then.
        self.pair.now = self.pair.now.max(end);
        self.check();
    }

    /// What came is what was sent, and nobody is blamed.
    fn check(&mut self) {
        for flood in &self.floods {
            let so_far = flood.received.len();
            assert!(flood.received == flood.expected[..so_far], "in order, once, unchanged");
            assert_eq!((&flood.error, &flood.write_error), (&None, &None));
        }
        for (side, handle) in [(A, self.handle), (B, 0)] {
            assert_eq!(self.pair.hosts[side].closed_with(handle), None);
        }
    }

    fn black_hole(&mut self, wire: WireId) {
        self.pair.wires[wire].black_hole = [true; 2];
    }

    fn link(&mut self, side: Side, wire: WireId) -> Option<LinkStats> {
        let (handle, id) = self.pair.wires[wire].ends[side]?;
        self.pair.session(side, handle).links().find(|link| link.id == id)
    }

    fn is_active(&mut self, wire: WireId) -> [bool; 2] {
        [A, B].map(|side| self.link(side, wire).is_some_and(|link| link.is_active))
    }

    fn saw(&self, side: Side, wanted: impl Fn(&Event) -> bool) -> bool {
        self.pair.hosts[side].saw(wanted)
    }
}

fn is_end(event: &Event) -> bool {
    matches!(event, Event::LinkEnded { .. })
}

fn is_suspicion(event: &Event) -> bool {
    matches!(event, Event::LinkSuspect { .. })
}

#[test]
fn who_only_waits_for_data_notices_that_it_cannot_come() {
    for kind in [LinkKind::Tcp, LinkKind::Quic] {
        // While data flows, and long after the last.
        for pause in [Duration::ZERO, 40 * SECOND] {
            let mut pair = Pair::new();
            let (handle, wire) = pair.connect_by(kind);
            let stream = open(&mut pair, A, handle);
            let mut question = Transfer::new(A, [handle, 0], stream, pattern(100, 1));
            assert!(pair.run_until(SECOND, |pair| question.advance(pair)));
            pair.run_for(pause.max(200 * MS));
            pair.wires[wire].black_hole = [true; 2];
            pair.run_for(if pause.is_zero() { 3 * SECOND } else { 28 * SECOND });
            let wanted = pair.hosts[A].saw(|event| *event == Event::LinkWanted);
            assert!(wanted, "{kind:?} after {pause:?}: another link is dialled");
        }
    }
}

#[test]
fn the_link_in_use_is_asked_by_short_packets() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect_by(LinkKind::Tcp);
    let stream = open(&mut pair, A, handle);
    let mut question = Transfer::new(A, [handle, 0], stream, pattern(100, 1));
    assert!(pair.run_until(SECOND, |pair| question.advance(pair)));
    pair.arrived = Some(Default::default());
    pair.run_for(5 * SECOND);
    let arrived = pair.arrived.take().expect("recorded");
    let mut frames = arrived.iter().flatten().map(|(_, frame)| frame);
    assert!(frames.clone().any(|frame| matches!(frame, Frame::Ping { .. })));
    assert!(!frames.any(|frame| matches!(frame, Frame::Ignored { .. })), "no padding");
}

#[test]
fn a_slow_link_on_which_something_still_comes_is_not_given_up() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect_by(LinkKind::Tcp);
    pair.run_for(SECOND);
    // 10 kbit/s: an answer waits behind a minute of data.
    pair.wires[wire].rate = Some(1250);
    let stream = open(&mut pair, B, 0);
    let mut transfer = Transfer::new(B, [handle, 0], stream, pattern(100_000, 1));
    assert!(pair.run_until(5 * MINUTE, |pair| transfer.advance(pair)));
    for side in [A, B] {
        assert!(!pair.hosts[side].saw(is_end));
    }
}

#[test]
fn a_link_without_streams_is_asked_nothing() {
    let mut pair = Pair::new();
    let (_, wire) = pair.connect_by(LinkKind::Tcp);
    pair.run_for(10 * SECOND);
    let sent = pair.wires[wire].sent;
    pair.run_for(300 * SECOND);
    assert_eq!(pair.wires[wire].sent, sent);
}

#[test]
fn what_went_to_a_dead_standby_goes_on_as_soon_as_the_first_link_answers() {
    let mut scene = Scene::new(20 * MS);
    scene.black_hole(scene.active);
    scene.black_hole(scene.standby);
    scene.run(700 * MS);
    assert_eq!(scene.is_active(scene.standby), [false; 2], "it does not answer either");
    scene.pair.heal(scene.active);
    scene.run(SECOND);
    assert!(scene.gap <= 1200 * MS, "{:?}", scene.gap);
    assert_eq!(scene.is_active(scene.active), [true; 2]);
    let so_far = [A, B].map(|side| scene.floods[side].received.len());
    scene.run(SECOND);
    for side in [A, B] {
        assert!(scene.floods[side].received.len() > so_far[side] + 500_000, "{side}: {so_far:?}");
    }
}

#[test]
fn black_hole_under_load_gaps_at_most_two_rtt_plus_200_ms() {
    // With more than 256 KiB on their way, the answer to QUERY is awaited, a round trip more.
    let paths = [(MS, "1M"), (20 * MS, "1M"), (200 * MS, "1M"), (600 * MS, "300k")];
    for (round_trip, rate) in paths {
        for kinds in [(LinkKind::Tcp, LinkKind::Quic), (LinkKind::Quic, LinkKind::Tcp)] {
            let mut scene = Scene::with(kinds, [round_trip; 2], rate);
            assert_eq!(scene.is_active(scene.active), [true; 2]);
            scene.black_hole(scene.active);
            // What is sent again does not wait for its turn at the rate that kept the flood small.
            scene.limit("20M");
            scene.run(5 * SECOND);
            assert!(scene.gap <= 2 * round_trip + 200 * MS, "{round_trip:?}: {:?}", scene.gap);
            assert_eq!(scene.is_active(scene.standby), [true; 2]);
        }
    }
}

#[test]
fn a_doubted_link_is_left_at_once_and_used_again_if_it_answers() {
    let mut scene = Scene::new(20 * MS);
    let (handle, id) = scene.pair.wires[scene.active].ends[A].expect("it is dialled");
    let now = scene.pair.now;
    scene.pair.session(A, handle).doubt_link(id, now);
    scene.pair.flush();
    assert!(scene.is_active(scene.standby)[A], "without any wait");
    scene.run(SECOND);
    assert_eq!(scene.is_active(scene.active), [true; 2], "a false alarm");
    scene.black_hole(scene.active);
    let now = scene.pair.now;
    scene.pair.session(A, handle).doubt_link(id, now);
    scene.pair.flush();
    scene.run(5 * SECOND);
    assert_eq!(scene.is_active(scene.standby), [true; 2]);
    for side in [A, B] {
        assert!(!scene.saw(side, |event| matches!(event, Event::LinkWanted)));
    }
}

#[test]
fn where_the_only_link_is_doubted_another_is_wanted_at_once() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    pair.run_for(100 * MS);
    let (_, id) = pair.wires[wire].ends[A].expect("it is dialled");
    for is_doubted in [false, true] {
        let now = pair.now;
        if is_doubted {
            pair.session(A, handle).doubt_link(id, now);
        } else {
            pair.session(A, handle).probe_link(id, now);
        }
        pair.flush();
        assert_eq!(pair.session(A, handle).wants_link(), is_doubted);
        assert_eq!(pair.hosts[A].saw(|event| matches!(event, Event::LinkWanted)), is_doubted);
        pair.run_for(SECOND);
        assert!(!pair.session(A, handle).wants_link(), "it answers");
    }
}

#[test]
fn one_way_black_hole_moves_both_directions_and_does_not_flap() {
    for deaf in [A, B] {
        let mut scene = Scene::new(20 * MS);
        scene.used = Default::default();
        scene.pair.wires[scene.active].black_hole[1 - deaf] = true;
        scene.run(40 * SECOND);
        assert!(scene.gap <= SECOND, "{:?}", scene.gap);
        assert_eq!(scene.is_active(scene.standby), [true; 2]);
        for used in &scene.used {
            assert_eq!(used.len(), 2, "one move: {used:?}");
        }
    }
}

#[test]
fn a_peer_stopped_for_20_s_causes_no_switching_and_loses_nothing() {
    let mut scene = Scene::new(20 * MS);
    scene.pair.is_stopped[B] = true;
    scene.run(20 * SECOND);
    scene.pair.is_stopped[B] = false;
    let before = scene.floods[A].received.len();
    scene.run(5 * SECOND);
    assert!(scene.floods[A].received.len() > before + 3_000_000, "it goes on");
    assert_eq!(scene.is_active(scene.active), [true; 2], "the same link carries it as before");
    for side in [A, B] {
        assert!(!scene.saw(side, is_end));
    }
    let repeated = scene.pair.session(B, 0).stats().repeated_bytes;
    assert!(repeated <= 256 << 10, "{repeated}");
}

#[test]
fn false_suspicion_repeats_at_most_256_kib_and_returns() {
    // The standby is slow, and known to be, so that its word comes later than that of the link,
    // which takes a break that is longer than patience.
    let kinds = (LinkKind::Tcp, LinkKind::Quic);
    let mut scene = Scene::with(kinds, [20 * MS, 800 * MS], "20M");
    scene.pair.wires[scene.active].delay = 160 * MS;
    scene.run(160 * MS);
    scene.pair.wires[scene.active].delay = 10 * MS;
    scene.run(SECOND);
    assert!(scene.saw(A, is_suspicion), "the break was noticed");
    assert!(scene.saw(A, |event| matches!(event, Event::LinkAnswers { .. })));
    assert_eq!(scene.is_active(scene.active), [true; 2]);
    for (side, handle) in [(A, scene.handle), (B, 0)] {
        let repeated = scene.pair.session(side, handle).stats().repeated_bytes;
        assert!(repeated <= 256 << 10, "{repeated}");
        assert!(!scene.saw(side, is_end));
    }
    let session = scene.pair.session(A, scene.handle);
    let resent: u64 = session.links().map(|link| link.bytes_resent).sum();
    assert!(resent > 0 && resent == session.stats().resent_bytes, "{resent}");
}

#[test]
fn an_idle_link_is_never_judged() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    pair.run_for(SECOND);
    pair.wires[wire].black_hole = [true; 2];
    pair.run_for(24 * 60 * MINUTE);
    for (side, handle) in [(A, handle), (B, 0)] {
        assert_eq!(pair.session(side, handle).state(), State::Live);
        assert!(!pair.hosts[side].saw(is_suspicion));
    }
}

#[test]
fn a_silent_link_without_another_asks_for_one_and_gives_all_to_it() {
    let mut pair = Pair::new();
    let (handle, wire) = pair.connect();
    let stream = open(&mut pair, A, handle);
    let mut transfers = [
        Transfer::new(A, [handle, 0], stream, pattern(3_000_000, 1)),
        Transfer::new(B, [handle, 0], stream, pattern(3_000_000, 2)),
    ];
    pair.run_until(MINUTE, |pair| {
        advance_all(pair, &mut transfers);
        transfers[0].received.len() > 500_000
    });
    pair.wires[wire].black_hole = [true; 2];
    let since = pair.now;
    let is_wanted = |pair: &mut Pair| pair.hosts[A].saw(|event| matches!(event, Event::LinkWanted));
    let was_wanted = pair.run_until(MINUTE, |pair| {
        advance_all(pair, &mut transfers);
        is_wanted(pair)
    });
    assert!(was_wanted && pair.now.since(since) <= 2 * SECOND, "{:?}", pair.now.since(since));
    assert!(pair.session(A, handle).wants_link());

    let second = pair.dial_from(A, handle, LinkKind::Quic);
    complete(&mut pair, &mut transfers, MINUTE);
    assert!(!pair.session(A, handle).wants_link());
    assert!(pair.wires[second].sent.iter().all(|sent| *sent > 0));
    assert!(pair.now.since(since) <= 5 * SECOND, "{:?}", pair.now.since(since));
}

#[test]
fn a_silent_link_is_given_up_after_10_s_beside_another_and_after_30_s_alone() {
    for is_alone in [false, true] {
        let mut scene = Scene::new(20 * MS);
        if is_alone {
            scene.pair.cut(scene.standby);
            scene.run(SECOND);
        }
        scene.black_hole(scene.active);
        let given_up = |scene: &mut Scene| scene.link(A, scene.active).is_none();
        let (early, late) = if is_alone { (29, 3) } else { (9, 3) };
        scene.run(SECOND * early);
        assert!(!given_up(&mut scene), "it has {early} s");
        scene.run(SECOND * late);
        assert!(given_up(&mut scene));
        let state = if is_alone { State::Detached } else { State::Live };
        assert_eq!(scene.pair.session(A, scene.handle).state(), state);
    }
}

#[test]
fn a_standby_that_misses_a_probe_is_used_last_and_not_dropped() {
    let mut scene = Scene::new(20 * MS);
    let (_, third) = scene.pair.dial(A, LinkKind::Memory);
    scene.run(SECOND);
    scene.black_hole(scene.standby);
    scene.run(6 * SECOND);
    let missed = scene.link(A, scene.standby).expect("it is still there");
    assert!(missed.is_suspect && !missed.is_active);
    assert!(!scene.saw(A, is_end));

    scene.pair.cut(scene.active);
    scene.run(SECOND);
    assert_eq!(scene.is_active(third), [true; 2], "the one that answers takes over");

    scene.pair.heal(scene.standby);
    scene.run(5 * SECOND);
    assert!(!scene.link(A, scene.standby).expect("it is still there").is_suspect);
}

#[test]
fn a_link_that_was_silent_carries_data_again_once_it_is_the_better_one() {
    let kinds = (LinkKind::Tcp, LinkKind::Quic);
    let mut scene = Scene::with(kinds, [20 * MS, 100 * MS], "1M");
    scene.black_hole(scene.active);
    scene.run(2 * SECOND);
    assert_eq!(scene.is_active(scene.standby), [true; 2]);
    scene.pair.heal(scene.active);
    scene.run(9 * SECOND);
    assert_eq!(scene.is_active(scene.standby), [true; 2], "not before it has proved itself");
    scene.run(20 * SECOND);
    assert_eq!(scene.is_active(scene.active), [true; 2]);
}

#[test]
fn the_peers_word_against_a_link_that_just_answered_is_not_believed() {
    let mut scene = Scene::new(20 * MS);
    let (_, link) = scene.pair.wires[scene.active].ends[B].expect("a link");
    let update =
        LinkUpdate { link, state: LinkState::Suspect, role: LinkRole::Standby, lanes: Vec::new() };
    scene.pair.hand_over(scene.standby, B, LaneId(0), Frame::Link(update));
    assert!(!scene.saw(B, is_suspicion));
}

#[test]
fn a_late_answer_is_no_proof_against_the_peers_word() {
    for broken in [2 * SECOND, 10 * SECOND] {
        let mut pair = Pair::new();
        let (handle, first) = pair.connect();
        // Both sides know how long an answer takes.
        let stream = open(&mut pair, A, handle);
        let known = |from| Transfer::new(from, [handle, 0], stream, pattern(100, 1));
        complete(&mut pair, &mut [known(A), known(B)], SECOND);
        pair.run_for(SECOND);
        // What arrives at A is acknowledged into the void, and nothing more arrives there.
        pair.wires[first].black_hole[A] = true;
        let stream = open(&mut pair, B, 0);
        pair.run_for(50 * MS);
        pair.wires[first].black_hole[B] = true;
        pair.run_for(broken);
        pair.heal_from(first, A);
        pair.run_for(20 * MS);
        assert!(pair.hosts[B].saw(|event| matches!(event, Event::LinkAnswers { .. })), "late");
        let (_, second) = pair.dial(A, LinkKind::Memory);
        pair.run_for(100 * MS);
        let active = pair.session(B, 0).active_link();
        assert_eq!(active, pair.wires[second].ends[B].map(|(_, link)| link), "{broken:?}");
        let mut answer = Transfer::new(B, [handle, 0], stream, pattern(100, 1));
        assert!(pair.run_until(SECOND, |pair| answer.advance(pair)));
    }
}

#[test]
fn a_link_that_fails_while_it_is_suspect_loses_nothing() {
    for wait in [0, 50, 105, 115, 130, 200, 5000] {
        let mut scene = Scene::new(20 * MS);
        scene.black_hole(scene.active);
        scene.run(wait * MS);
        scene.pair.cut_one(scene.active, A, &LinkLoss::Timeout);
        scene.run(wait * MS);
        scene.pair.cut_one(scene.active, B, &LinkLoss::Timeout);
        scene.run(2 * SECOND);
        assert_eq!(scene.is_active(scene.standby), [true; 2]);
        let before = scene.floods.each_ref().map(|flood| flood.received.len());
        scene.run(SECOND);
        for side in [A, B] {
            assert!(scene.floods[side].received.len() > before[side], "it goes on");
        }
    }
}

#[test]
fn closing_beside_a_silent_link_ends_both_sides() {
    let mut scene = Scene::new(20 * MS);
    scene.black_hole(scene.active);
    scene.run(SECOND);
    let now = scene.pair.now;
    scene.pair.session(A, scene.handle).close(Code::application(7), "enough", now);
    scene.pair.run_for(10 * SECOND);
    assert_eq!(scene.pair.hosts[A].closed_with(scene.handle), Some(Code::application(7)));
    assert_eq!(scene.pair.hosts[B].closed_with(0), Some(Code::application(7)));
}

#[test]
fn links_that_flap_are_refused_beyond_ten_a_second_and_harm_nothing() {
    let mut scene = Scene::new(20 * MS);
    scene.run(SECOND);
    // The side that is refused is told no more than that.
    scene.pair.is_hostile = true;
    let mut attached = 0;
    for _ in 0..20 {
        let wire = scene.pair.dial_from(A, scene.handle, LinkKind::Memory);
        scene.run(49 * MS);
        attached += usize::from(scene.pair.wires[wire].ends[B].is_some());
        scene.pair.cut(wire);
    }
    assert!((9..=20).contains(&attached), "{attached} in a second");
    assert!(attached < 20, "some were refused");
    scene.run(SECOND);
    let wire = scene.pair.dial_from(A, scene.handle, LinkKind::Memory);
    scene.run(SECOND);
    assert!(scene.pair.wires[wire].ends[B].is_some(), "a second later there is room again");
}

#[test]
fn each_ping_is_answered_though_others_follow_it_before_the_answer() {
    let mut pair = Pair::new();
    let (handle, _) = pair.connect();
    pair.run_for(SECOND);
    let link = pair.session(A, handle).active_link().expect("a link");
    pair.is_stopped[B] = true;
    // Two at once, and a third after many that ask whether the link lives.
    let now = pair.now;
    let mut asked: Vec<_> = (0..2).map(|_| pair.session(A, handle).ping(link, now)).collect();
    pair.run_for(9 * SECOND);
    let now = pair.now;
    asked.push(pair.session(A, handle).ping(link, now));
    pair.run_for(SECOND);
    pair.is_stopped[B] = false;
    pair.run_for(SECOND);
    for asked in asked {
        let is_answer = |event: &Event| match event {
            Event::Pong { nonce, rtt, .. } => {
                Some(*nonce) == asked && (SECOND..11 * SECOND).contains(rtt)
            }
            _ => false,
        };
        assert!(pair.hosts[A].saw(is_answer), "{asked:?}");
    }
}
