//! An authenticated peer that sends what no engine sends, on links that come and go.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use netcom_session::{
    Class, Code, Flow, LaneId, LinkKind, Redundancy, Session, State, StreamId,
    wire::{self, FrameLimits},
};

use crate::harness::*;

/// Two processes; frames of the input arrive at the first as if the second had sent them.
struct World<'a> {
    pair: Pair,
    input: &'a [u8],
    streams: Vec<StreamId>,
    injected: usize,
}

impl World<'_> {
    /// Does one thing of the input and checks what must always hold.
    fn step(&mut self) {
        match self.next() % 16 {
            0..=6 => self.inject(),
            7..=9 => self.use_streams(A),
            10..=11 => self.use_streams(B),
            12 => self.change_links(),
            13 => self.wait(),
            14 => self.end(),
            _ => self.datagram(),
        }
        self.pair.flush();
        self.check();
    }

    fn next(&mut self) -> u8 {
        let (first, rest) = self.input.split_first().unwrap_or((&0, &[]));
        self.input = rest;
        *first
    }

    /// A frame of the input: its type, and a body with its length right.
    fn inject(&mut self) {
        let (lane, kind) = (self.next(), self.next());
        let length = usize::from(self.next() % 96).min(self.input.len());
        let (body, rest) = self.input.split_at(length);
        let mut frame = BytesMut::from(&[kind, length as u8 & 0x3f][..]);
        if length > 0x3f {
            frame.truncate(1);
            frame.extend_from_slice(&(length as u16 | 0x4000).to_be_bytes());
        }
        frame.extend_from_slice(body);
        self.input = rest;
        let Ok(Some(frame)) = wire::decode(&mut frame, FrameLimits::QUIC) else { return };
        let attached = |wire: &WireId| self.pair.wires[*wire].ends[A].is_some();
        let attached: Vec<WireId> = (0..self.pair.wires.len()).filter(attached).collect();
        if attached.is_empty() {
            return;
        }
        let wire = attached[usize::from(lane >> 4) % attached.len()];
        self.injected += 1;
        self.pair.hand_over(wire, A, LaneId(u64::from(lane & 3)), frame);
    }

    /// The newest session of a side, if it has one.
    fn session(&mut self, side: Side) -> Option<&mut Session> {
        self.pair.hosts[side].sessions.last_mut()
    }

    fn use_streams(&mut self, side: Side) {
        let (what, which, now) = (self.next(), self.next(), self.pair.now);
        let known = self.streams.get(usize::from(which) % self.streams.len().max(1)).copied();
        // Ids that were never opened too.
        let stream = known.filter(|_| which < 0xf0).unwrap_or(StreamId(u64::from(which & 0xf)));
        let flow = if which & 0x40 == 0 { Flow::Data } else { Flow::Error };
        let Some(session) = self.session(side) else { return };
        let (mut opened, mut chunks) = (None, VecDeque::new());
        match what % 8 {
            0 => opened = session.open(Class::Normal, Bytes::from_static(b"test/1"), now).ok(),
            1 => opened = session.accept().map(|incoming| incoming.id),
            2 | 3 => {
                let mut bytes = Bytes::from_static(&[7; 5_000]);
                bytes.truncate([1, 100, 5_000][usize::from(what >> 3) % 3]);
                let _ = session.write(stream, flow, &mut bytes, now);
            }
            4 | 5 => drop(session.read(stream, flow, 1 << (what >> 3), &mut chunks, now)),
            6 => drop(session.finish(stream, flow, now)),
            _ if what & 8 == 0 => session.reset(stream, flow, Code::CANCELLED, now),
            _ if what & 16 == 0 => session.stop(stream, flow, Code::CANCELLED, now),
            _ => session.release(stream, now),
        }
        if let Some(opened) = opened.filter(|_| self.streams.len() < 64) {
            self.streams.push(opened);
        }
    }

    fn change_links(&mut self) {
        let what = self.next();
        let (side, rest) = (usize::from(what & 1), usize::from(what >> 3));
        match what >> 1 & 3 {
            0 | 2 => {
                let kinds = [LinkKind::Tcp, LinkKind::Quic, LinkKind::Memory];
                self.dial(side, kinds[rest % 3]);
                self.pair.run_for(Duration::from_millis(rest as u64 * 2));
            }
            1 if !self.pair.wires.is_empty() => self.pair.cut(rest % self.pair.wires.len()),
            _ => {
                let ways = [Redundancy::Standby, Redundancy::Stripe, Redundancy::Mirror];
                let now = self.pair.now;
                if let Some(session) = self.session(side) {
                    session.set_redundancy(ways[rest % 3], now);
                }
            }
        }
    }

    /// Dials with the session there is, which joins or resumes it, or with a new one.
    fn dial(&mut self, side: Side, kind: LinkKind) {
        let (peer, now) = (self.pair.hosts[1 - side].peer, self.pair.now);
        let host = &mut self.pair.hosts[side];
        let next = host.sessions.len();
        let Ok((handle, is_new)) = host.endpoint.dial(&peer, || next) else { return };
        if is_new {
            let session = host.session(peer, true, now);
            host.sessions.push(session);
        }
        let session = &host.sessions[handle];
        let is_over = matches!(session.state(), State::Closing | State::Closed);
        if !is_over && session.links().count() < 6 && self.pair.wires.len() < MAX_WIRES {
            self.pair.dial_from(side, handle, kind);
        }
    }

    fn wait(&mut self) {
        let millis = [1, 15, 300, 6_000, 70_000][usize::from(self.next()) % 5];
        self.pair.run_for(Duration::from_millis(millis));
    }

    fn end(&mut self) {
        let (what, now) = (self.next(), self.pair.now);
        let side = usize::from(what & 1);
        match what >> 1 & 3 {
            0 => self.pair.restart(B, what & 8 == 0),
            what => {
                let is_held = self.next() & 1 == 0;
                let Some(session) = self.session(side) else { return };
                match what {
                    1 => session.drain(now),
                    2 => session.hold(is_held, now),
                    _ => session.close(Code::NO_ERROR, "enough", now),
                }
            }
        }
    }

    fn datagram(&mut self) {
        let (what, now) = (self.next(), self.pair.now);
        let bytes = Bytes::from(vec![1; usize::from(what) * 4]);
        let ttl = Duration::from_millis(u64::from(what));
        if let Some(session) = self.session(usize::from(what & 1)) {
            let _ = session.send_datagram(1, bytes, ttl, now);
            while session.recv_datagram().is_some() {}
        }
    }

    fn check(&mut self) {
        for session in &self.pair.hosts[A].sessions {
            let stats = session.stats();
            assert!(stats.retained_bytes <= 64 << 20, "{stats:?}");
            assert!(stats.granted_bytes <= 64 << 20, "{stats:?}");
            assert!(stats.gaps <= 8192, "{stats:?}");
            assert!(session.links().count() <= 8 + 1, "{stats:?}");
        }
        // Events are for the application, which has seen them.
        self.pair.hosts.iter_mut().for_each(|host| host.events.clear());
    }
}

/// Runs what a fuzzer's input says; returns how many frames were sent that no engine sends.
pub(crate) fn run_input(input: &[u8]) -> usize {
    let mut pair = Pair::new();
    pair.is_hostile = true;
    pair.connect();
    let mut world = World { pair, input, streams: Vec::new(), injected: 0 };
    let mut steps = 0;
    while !world.input.is_empty() && steps < MAX_STEPS {
        world.step();
        steps += 1;
    }
    // Whatever was said, it comes to rest, and nothing is left of it once all links are gone.
    for wire in 0..world.pair.wires.len() {
        world.pair.cut(wire);
    }
    world.pair.run_for(Duration::from_secs(180));
    // One that never had a link waits for whoever dials.
    let had_a_link = |session: &&Session| session.state() != State::Attaching;
    for session in world.pair.hosts[A].sessions.iter().filter(had_a_link) {
        let closed = session.closed().expect("without links a session ends");
        assert_eq!(session.stats().retained_bytes, 0, "{closed:?}");
    }
    world.injected
}

const MAX_STEPS: usize = 400;
const MAX_WIRES: usize = 24;
