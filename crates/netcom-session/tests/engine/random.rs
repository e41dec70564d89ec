//! Random operations over links that come and go, the same for the same seed.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::LazyLock,
    time::Duration,
};

use bytes::Bytes;
use netcom_session::{Class, Code, Flow, LinkKind, ReadState, Redundancy, State, StreamId};

use crate::harness::*;

/// Where the choices come from.
enum Choices {
    /// xorshift64*: small, and the same everywhere.
    Seed(u64),
    /// A fuzzer's input, a byte for each choice; zeros after its end.
    Input(VecDeque<u8>),
}

impl Choices {
    fn next(&mut self, below: u64) -> u64 {
        match self {
            Self::Seed(state) => {
                *state ^= *state >> 12;
                *state ^= *state << 25;
                *state ^= *state >> 27;
                (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
            }
            Self::Input(bytes) => u64::from(bytes.pop_front().unwrap_or(0)) % below,
        }
    }

    fn is_exhausted(&self) -> bool {
        matches!(self, Self::Input(bytes) if bytes.is_empty())
    }
}

/// One flow in one direction, as its applications know it.
struct Line {
    stream: StreamId,
    from: Side,
    flow: Flow,
    written: u64,
    read: u64,
    finished: bool,
    was_reset: bool,
}

impl Line {
    /// The bytes of a flow from an offset on, at most `length` of them. Each flow has its own.
    fn bytes(&self, at: u64, length: usize) -> Bytes {
        let flow = self.stream.0 * 4 + self.from as u64 * 2 + u64::from(self.flow == Flow::Error);
        let start = (at.wrapping_add(flow.wrapping_mul(4_099)) % PERIOD) as usize;
        NOISE.slice(start..NOISE.len().min(start + length))
    }
}

/// Bytes that tell where they belong: made once, because runs spend most of their time on them.
static NOISE: LazyLock<Bytes> = LazyLock::new(|| {
    let byte = |at: u64| (at.wrapping_mul(131) ^ (at >> 7)) as u8;
    (0..PERIOD + LONGEST_WRITE).map(|at| byte(at % PERIOD)).collect()
});

/// What [`NOISE`] repeats after.
const PERIOD: u64 = 1 << 15;
const LONGEST_WRITE: u64 = 60_000;

struct World {
    pair: Pair,
    lines: Vec<Line>,
    /// Streams that both applications have.
    accepted: BTreeSet<StreamId>,
    choices: Choices,
}

impl World {
    fn new(choices: Choices) -> Self {
        let mut pair = Pair::new();
        // A fuzzer compares no runs.
        pair.is_traced = matches!(choices, Choices::Seed(_));
        pair.dial(A, LinkKind::Tcp);
        pair.run_for(Duration::from_millis(100));
        Self { pair, lines: Vec::new(), accepted: BTreeSet::new(), choices }
    }

    /// Does one random thing and checks what must always hold.
    fn step(&mut self) {
        match self.choices.next(16) {
            0..=1 => self.open(),
            2..=6 => self.write(),
            7..=10 => self.read(),
            11 => self.finish(),
            12 => self.give_up(),
            13 => self.change_links(),
            14 => self.wait(),
            _ => self.datagram(),
        }
        self.check();
    }

    /// Brings every line to its end and checks that nothing was lost.
    fn settle(&mut self) {
        self.reconnect();
        for line in 0..self.lines.len() {
            self.finish_line(line);
        }
        for _ in 0..4000 {
            self.pair.run_for(Duration::from_millis(20));
            self.reconnect();
            (0..self.lines.len()).for_each(|line| self.read_line(line, 1 << 20));
            if self.lines.iter().all(|line| line.was_reset || line.read == line.written) {
                break;
            }
        }
        for line in &self.lines {
            assert!(
                line.was_reset || line.read == line.written,
                "a byte is missing: {} of {} on {}",
                line.read,
                line.written,
                line.stream
            );
        }
        for side in [A, B] {
            assert_eq!(self.pair.hosts[side].closed_with(0), None, "nobody broke a rule");
        }
    }

    fn trace(&self) -> &[u8] {
        &self.pair.trace
    }

    fn side(&mut self) -> Side {
        usize::try_from(self.choices.next(2)).unwrap_or(0)
    }

    fn open(&mut self) {
        let side = self.side();
        let class = [Class::Interactive, Class::Normal, Class::Bulk][self.choices.next(3) as usize];
        let now = self.pair.now;
        let protocol = Bytes::from(format!("test/{}", self.choices.next(3)));
        if self.pair.hosts[side].sessions.is_empty() || self.lines.len() > 60 {
            return;
        }
        if let Ok(stream) = self.pair.session(side, 0).open(class, protocol, now) {
            for (from, flow) in [
                (side, Flow::Data),
                (1 - side, Flow::Data),
                (side, Flow::Error),
                (1 - side, Flow::Error),
            ] {
                let line = Line {
                    stream,
                    from,
                    flow,
                    written: 0,
                    read: 0,
                    finished: false,
                    was_reset: false,
                };
                self.lines.push(line);
            }
        }
        self.pair.run_for(Duration::from_millis(25));
        self.accept();
    }

    fn accept(&mut self) {
        for side in [A, B] {
            while let Some(incoming) = self.pair.session(side, 0).accept() {
                self.accepted.insert(incoming.id);
            }
        }
    }

    fn pick(&mut self) -> Option<usize> {
        let count = self.lines.len() as u64;
        (count > 0).then(|| self.choices.next(count) as usize)
    }

    fn write(&mut self) {
        let Some(at) = self.pick() else { return };
        let length = [1, 100, 5_000, LONGEST_WRITE][self.choices.next(4) as usize];
        let line = &mut self.lines[at];
        if line.finished || line.was_reset {
            return;
        }
        let mut bytes = line.bytes(line.written, length as usize);
        let now = self.pair.now;
        let session = &mut self.pair.hosts[line.from].sessions[0];
        match session.write(line.stream, line.flow, &mut bytes, now) {
            Ok(taken) => line.written += taken as u64,
            // The stream did not reach this side yet, or was given up.
            Err(_) => line.was_reset |= line.written > 0,
        }
        self.pair.flush();
    }

    fn read(&mut self) {
        let Some(at) = self.pick() else { return };
        let most = [1, 1000, 1 << 20][self.choices.next(3) as usize];
        self.read_line(at, most);
    }

    fn read_line(&mut self, at: usize, most: usize) {
        let line = &mut self.lines[at];
        let (now, mut chunks) = (self.pair.now, VecDeque::new());
        let session = &mut self.pair.hosts[1 - line.from].sessions[0];
        let state = session.read(line.stream, line.flow, most, &mut chunks, now);
        for mut chunk in chunks {
            while !chunk.is_empty() {
                let expected = line.bytes(line.read, chunk.len());
                let piece = chunk.split_to(expected.len());
                assert!(piece == expected, "offset {} of {}", line.read, line.stream);
                line.read += piece.len() as u64;
            }
        }
        if state == Ok(ReadState::Finished) && line.read < line.written {
            // Unknown to this side yet, or forgotten because both sides gave up.
            assert!(line.read == 0 || line.was_reset, "an end before the end");
        }
        line.was_reset |= state.is_err();
        self.pair.flush();
    }

    fn finish(&mut self) {
        if let Some(at) = self.pick() {
            self.finish_line(at);
        }
    }

    fn finish_line(&mut self, at: usize) {
        let line = &mut self.lines[at];
        let now = self.pair.now;
        let session = &mut self.pair.hosts[line.from].sessions[0];
        line.finished = true;
        let _ = session.finish(line.stream, line.flow, now);
        self.pair.flush();
    }

    fn give_up(&mut self) {
        if self.choices.next(3) > 0 {
            return;
        }
        let Some(at) = self.pick() else { return };
        let (stream, from, flow) =
            (self.lines[at].stream, self.lines[at].from, self.lines[at].flow);
        self.accept();
        if !self.accepted.contains(&stream) {
            // Reset before it was described, a stream is given up whole.
            return;
        }
        let now = self.pair.now;
        self.lines[at].was_reset = true;
        if self.choices.next(2) == 0 {
            self.pair.session(from, 0).reset(stream, flow, Code::CANCELLED, now);
        } else {
            self.pair.session(1 - from, 0).stop(stream, flow, Code::CANCELLED, now);
        }
        self.pair.flush();
    }

    fn change_links(&mut self) {
        match self.choices.next(5) {
            0 | 1 => {
                let attached: Vec<WireId> = (0..self.pair.wires.len())
                    .filter(|wire| self.pair.wires[*wire].ends.iter().all(Option::is_some))
                    .collect();
                if let Some(wire) = attached.last().copied() {
                    if self.choices.next(2) == 0 {
                        self.pair.cut(wire);
                    } else {
                        let now = self.pair.now;
                        let side = self.side();
                        let (handle, link) = self.pair.wires[wire].ends[side].expect("attached");
                        self.pair.session(side, handle).close_link(link, now);
                        self.pair.flush();
                    }
                }
            }
            2 => {
                let side = self.side();
                let kind = [LinkKind::Tcp, LinkKind::Quic, LinkKind::Memory]
                    [self.choices.next(3) as usize];
                let is_live = self.pair.session(side, 0).state() != State::Closed;
                if is_live && self.pair.session(side, 0).links().count() < 3 {
                    self.pair.dial_from(side, 0, kind);
                }
            }
            3 => self.reconnect(),
            _ => {
                let choices = [Redundancy::Standby, Redundancy::Stripe, Redundancy::Mirror];
                let redundancy = choices[self.choices.next(3) as usize];
                let (side, now) = (self.side(), self.pair.now);
                self.pair.session(side, 0).set_redundancy(redundancy, now);
            }
        }
    }

    fn reconnect(&mut self) {
        if self.pair.session(A, 0).links().all(|link| !link.is_attached) {
            for wire in 0..self.pair.wires.len() {
                self.pair.cut(wire);
            }
            self.pair.dial_from(A, 0, LinkKind::Tcp);
            self.pair.run_for(Duration::from_millis(60));
        }
    }

    fn wait(&mut self) {
        let span = [1, 15, 200][self.choices.next(3) as usize];
        self.pair.run_for(Duration::from_millis(span));
    }

    fn datagram(&mut self) {
        let (side, now) = (self.side(), self.pair.now);
        let bytes = Bytes::from(vec![1; self.choices.next(1000) as usize]);
        let ttl = Duration::from_millis(200);
        let _ = self.pair.session(side, 0).send_datagram(1, bytes, ttl, now);
        self.pair.flush();
        while self.pair.session(1 - side, 0).recv_datagram().is_some() {}
    }

    fn check(&mut self) {
        for side in [A, B] {
            let stats = self.pair.session(side, 0).stats();
            assert!(stats.retained_bytes <= 64 << 20, "{stats:?}");
            assert!(stats.granted_bytes <= 64 << 20, "{stats:?}");
            assert!(stats.gaps <= 8192, "{stats:?}");
        }
    }
}

/// Runs the operations that a fuzzer's input spells, and checks everything a run checks.
pub(crate) fn run_input(input: &[u8]) {
    let mut world = World::new(Choices::Input(input.iter().copied().collect()));
    while !world.choices.is_exhausted() {
        world.step();
    }
    world.settle();
}

/// Runs that many random operations and returns what was sent.
pub(crate) fn run(seed: u64, steps: usize) -> Vec<u8> {
    let mut world = World::new(Choices::Seed(seed.wrapping_mul(2) + 1));
    for _ in 0..steps {
        world.step();
    }
    world.settle();
    world.trace().to_vec()
}
