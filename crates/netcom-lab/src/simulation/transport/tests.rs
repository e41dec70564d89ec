//! Both ends of a connection over two paths.

use super::*;
use crate::{
    Fate, Loss, Path, PathSpec, Random,
    simulation::{network::HostId, queue::Queue},
};
use netcom_session::{LinkLoss, Time};

const DELAY: Duration = Duration::from_millis(20);
const DIALER: usize = 0;
const ACCEPTOR: usize = 1;
const BOTH: [LinkKind; 2] = [LinkKind::Tcp, LinkKind::Quic];

struct Wire {
    ends: [Option<Connection>; 2],
    addresses: [Address; 2],
    paths: [Path; 2],
    queue: Queue<(usize, Packet)>,
    now: Time,
    random: Random,
    /// Loses the packets that it says yes to.
    loses: Box<dyn FnMut(&Packet) -> bool>,
    /// When what was read by each end, and how it ended.
    read: [Vec<(Time, LaneId, Bytes)>; 2],
    ended: [Option<(Time, LinkLoss)>; 2],
    established: [Option<Time>; 2],
    packets: usize,
}

impl Wire {
    fn new(kind: LinkKind, spec: PathSpec) -> Self {
        let addresses = [0, 1].map(|host| Address { host: HostId(host), card: 0, lease: 0 });
        let dialer = Connection::connect(ConnectionId(1), kind, addresses, Time(0));
        Self {
            ends: [Some(dialer), None],
            addresses,
            paths: [Path::new(spec), Path::new(spec)],
            queue: Queue::new(),
            now: Time(0),
            random: Random::new(1),
            loses: Box::new(|_| false),
            read: [Vec::new(), Vec::new()],
            ended: [None, None],
            established: [None, None],
            packets: 0,
        }
    }

    /// Begins, and brings the acceptor into being, which takes the dialer's first bytes.
    fn open(kind: LinkKind, spec: PathSpec) -> Self {
        let mut wire = Self::new(kind, spec);
        wire.run_for(Duration::from_secs(2));
        wire.end(DIALER).write(LaneId(0), Bytes::from_static(b"hello"));
        wire.run_for(Duration::from_secs(2));
        assert!(wire.established.iter().all(Option::is_some));
        wire
    }

    fn end(&mut self, end: usize) -> &mut Connection {
        self.ends[end].as_mut().expect("both ends are there")
    }

    fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            (0..2).for_each(|end| self.turn(end));
            let timers = self.ends.iter().flatten().filter_map(Connection::poll_timeout);
            let due = timers.min().filter(|due| *due <= end);
            if let Some((at, (to, packet))) = self.queue.pop_until(due.unwrap_or(end)) {
                self.now = at;
                self.deliver(to, packet);
            } else if let Some(due) = due {
                self.now = self.now.max(due);
                let now = self.now;
                self.ends.iter_mut().flatten().for_each(|end| end.handle_timeout(now));
            } else {
                self.now = end;
                return;
            }
        }
    }

    fn deliver(&mut self, to: usize, packet: Packet) {
        if packet.to != self.addresses[to] {
            return;
        }
        let now = self.now;
        if to == ACCEPTOR && self.ends[to].is_none() {
            self.ends[to] = Some(Connection::accept(&packet, now));
        }
        self.end(to).handle_packet(packet, now);
    }

    /// Reads and sends what there is.
    fn turn(&mut self, at: usize) {
        let now = self.now;
        let Some(end) = &mut self.ends[at] else { return };
        while let Some((lane, bytes)) = end.read() {
            self.read[at].push((now, lane, bytes));
        }
        while let Some(event) = end.poll_event() {
            match event {
                ConnectionEvent::Established => self.established[at] = Some(now),
                ConnectionEvent::Ended(loss) => self.ended[at] = Some((now, loss)),
            }
        }
        while let Some(body) = end.poll_transmit(now) {
            let packet = Packet {
                from: self.addresses[at],
                to: end.remote(),
                connection: end.id(),
                kind: end.kind(),
                process: 0,
                for_process: end.remote_process(),
                body,
            };
            self.packets += 1;
            if (self.loses)(&packet) {
                continue;
            }
            let since_start = Duration::from_nanos(now.0);
            let fate = self.paths[at].pass(packet.len_bytes(), since_start, &mut self.random);
            let Fate::Arrives { at: first, again } = fate else { continue };
            for arrives in again.into_iter().chain([first]) {
                self.queue.push(Time(0) + arrives, (1 - at, packet.clone()));
            }
        }
    }

    /// All bytes that an end read of a lane.
    fn lane(&self, end: usize, lane: LaneId) -> Vec<u8> {
        let pieces = self.read[end].iter().filter(|(_, id, _)| *id == lane);
        pieces.flat_map(|(_, _, bytes)| bytes.clone()).collect()
    }
}

fn pattern(length: usize, seed: usize) -> Bytes {
    (0..length).map(|at| (at * 31 + (at >> 8) + seed) as u8).collect()
}

#[test]
fn a_handshake_takes_one_round_trip_over_quic_and_two_over_tcp() {
    for (kind, round_trips) in [(LinkKind::Quic, 1), (LinkKind::Tcp, 2)] {
        let wire = Wire::open(kind, PathSpec::new(DELAY));
        assert_eq!(wire.established[DIALER], Some(Time(0) + DELAY * 2 * round_trips), "{kind:?}");
    }
}

#[test]
fn everything_arrives_once_and_in_order_over_bad_paths() {
    let good = PathSpec::new(DELAY);
    for spec in [
        PathSpec { loss: Loss::Independent(0.05), ..good },
        PathSpec { loss: Loss::Bursts { mean: 0.05, burst: 4.0 }, ..good },
        PathSpec { reordering: 0.05, duplication: 0.05, jitter: DELAY, ..good },
        PathSpec { rate: Some(5_000_000), queue: 20_000, ..good },
    ] {
        for kind in BOTH {
            let mut wire = Wire::open(kind, spec);
            let lanes = if kind == LinkKind::Quic { 4 } else { 1 };
            for lane in 0..lanes {
                let bytes = pattern(200_000, lane);
                wire.end(DIALER).write(LaneId(lane as u64), bytes.clone());
                wire.end(ACCEPTOR).write(LaneId(lane as u64), bytes);
            }
            wire.run_for(Duration::from_secs(60));
            for lane in 0..lanes {
                let id = LaneId(lane as u64);
                let hello: &[u8] = if lane == 0 { b"hello" } else { b"" };
                let expected = [hello, &pattern(200_000, lane)].concat();
                assert!(wire.lane(ACCEPTOR, id) == expected, "{kind:?} {spec:?} {lane}");
                assert!(wire.lane(DIALER, id) == pattern(200_000, lane), "{kind:?} {spec:?}");
            }
            assert_eq!(wire.ended, [None, None]);
        }
    }
}

#[test]
fn a_lost_packet_holds_up_all_of_tcp_and_one_lane_of_quic() {
    for kind in BOTH {
        let mut wire = Wire::open(kind, PathSpec::new(DELAY));
        let begun = wire.now;
        let other = if kind == LinkKind::Quic { LaneId(2) } else { LaneId(0) };
        let mut has_lost = false;
        wire.loses = Box::new(move |_| !std::mem::replace(&mut has_lost, true));
        let full = Tuning::of(kind).room - CHUNK_HEADER;
        wire.end(DIALER).write(other_than(other), pattern(full, 1));
        wire.run_for(Duration::from_millis(1));
        wire.end(DIALER).write(other, pattern(full, 2));
        wire.run_for(Duration::from_secs(2));

        let late = wire.read[ACCEPTOR].iter().filter(|(at, ..)| *at > begun);
        let late: Vec<_> = late.map(|(at, _, bytes)| (*at - begun > DELAY * 2, bytes)).collect();
        let (first, second) = (&pattern(full, 1), &pattern(full, 2));
        match kind {
            LinkKind::Quic => assert_eq!(late, [(false, second), (true, first)]),
            _ => assert_eq!(late, [(true, first), (true, second)]),
        }
    }
}

/// The lane beside this one; on TCP there is none.
fn other_than(lane: LaneId) -> LaneId {
    LaneId(lane.0 / 2)
}

#[test]
fn idle_connections_live_on() {
    for kind in BOTH {
        let mut wire = Wire::open(kind, PathSpec::new(DELAY));
        let before = wire.packets;
        wire.run_for(Duration::from_secs(3600));
        assert_eq!(wire.ended, [None, None], "{kind:?}");
        match kind {
            LinkKind::Quic => assert!((280..580).contains(&(wire.packets - before))),
            _ => assert_eq!(wire.packets, before, "TCP has nothing to say"),
        }
    }
}

#[test]
fn a_black_hole_ends_quic_after_half_a_minute_and_tcp_only_where_it_sends() {
    for kind in BOTH {
        let mut wire = Wire::open(kind, PathSpec::new(DELAY));
        let begun = wire.now;
        wire.loses = Box::new(|_| true);
        wire.end(DIALER).write(LaneId(0), pattern(1000, 1));
        wire.run_for(Duration::from_secs(600));
        let (at, loss) = wire.ended[DIALER].clone().expect("it gives up");
        assert_eq!(loss, LinkLoss::Timeout);
        assert!((25..=31).contains(&(at - begun).as_secs()), "{kind:?} {:?}", at - begun);
        assert_eq!(wire.ended[ACCEPTOR].is_some(), kind == LinkKind::Quic);
    }
}

#[test]
fn a_dialer_that_moves_is_followed_by_quic_and_lost_to_tcp() {
    for kind in BOTH {
        let mut wire = Wire::open(kind, PathSpec::new(DELAY));
        wire.addresses[DIALER].lease = 1;
        wire.end(DIALER).write(LaneId(0), pattern(50_000, 1));
        wire.run_for(Duration::from_millis(100));
        wire.end(ACCEPTOR).write(LaneId(0), pattern(50_000, 2));
        wire.run_for(Duration::from_secs(60));
        let has_moved = wire.lane(DIALER, LaneId(0)) == pattern(50_000, 2);
        assert_eq!(has_moved, kind == LinkKind::Quic, "{kind:?}");
        assert_eq!(wire.ended[DIALER].is_some(), kind == LinkKind::Tcp);
    }
}

#[test]
fn what_was_written_before_a_goodbye_arrives_before_it() {
    for kind in BOTH {
        let spec = PathSpec { loss: Loss::Independent(0.05), ..PathSpec::new(DELAY) };
        let mut wire = Wire::open(kind, spec);
        wire.end(DIALER).write(LaneId(0), pattern(100_000, 1));
        wire.end(DIALER).finish();
        wire.run_for(Duration::from_secs(20));
        assert!(wire.end(ACCEPTOR).is_finished());
        assert!(wire.lane(ACCEPTOR, LaneId(0))[5..] == pattern(100_000, 1));

        let now = wire.now;
        (0..2).for_each(|end| wire.end(end).close(now));
        wire.run_for(Duration::from_secs(120));
        assert!((0..2).all(|end| wire.end(end).is_gone()), "{kind:?}");
    }
}
