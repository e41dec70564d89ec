//! Who sends next: classes by weight, protocols and streams in turn, nobody starves.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{Class, Flow, StreamId};

/// Flows that have something to send, each at most once.
///
/// Deficit round robin (Shreedhar and Varghese 1995) twice: over the classes with a quantum by
/// weight, and over the protocols of a class with equal quanta; the streams of a protocol take
/// turns of a frame or a few.
#[derive(Debug, Default)]
pub(crate) struct Scheduler {
    classes: [ClassQueue; 3],
    turn: usize,
    length: usize,
}

#[derive(Debug, Default)]
struct ClassQueue {
    deficit: i64,
    protocols: VecDeque<ProtocolQueue>,
}

#[derive(Debug)]
struct ProtocolQueue {
    name: Bytes,
    deficit: i64,
    flows: VecDeque<(StreamId, Flow)>,
}

/// A flow whose turn it is; give it back with [`Scheduler::sent`].
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) stream: StreamId,
    pub(crate) flow: Flow,
}

impl Scheduler {
    /// Adds a flow that is not in it.
    pub(crate) fn push(&mut self, class: Class, protocol: &Bytes, stream: StreamId, flow: Flow) {
        self.length += 1;
        let queue = &mut self.classes[index(class)];
        match queue.protocols.iter_mut().find(|known| known.name == *protocol) {
            Some(known) => known.flows.push_back((stream, flow)),
            None => queue.protocols.push_back(ProtocolQueue {
                name: protocol.clone(),
                deficit: QUANTUM,
                flows: VecDeque::from([(stream, flow)]),
            }),
        }
    }

    /// The flow whose turn it is, which stays in its place until [`sent`](Self::sent) is called.
    pub(crate) fn next(&mut self) -> Option<Turn> {
        if self.length == 0 {
            return None;
        }
        loop {
            let class = &mut self.classes[self.turn];
            if class.protocols.is_empty() {
                class.deficit = 0;
            } else if class.deficit > 0 {
                let (stream, flow) = class.next_protocol().flows.front().copied()?;
                return Some(Turn { stream, flow });
            }
            self.turn = (self.turn + 1) % self.classes.len();
            let class = &mut self.classes[self.turn];
            class.deficit =
                (class.deficit + WEIGHTS[self.turn] * QUANTUM).min(WEIGHTS[self.turn] * QUANTUM);
        }
    }

    /// All flows, class by class.
    pub(crate) fn flows(&self) -> impl Iterator<Item = (StreamId, Flow)> + '_ {
        let protocols = self.classes.iter().flat_map(|class| &class.protocols);
        protocols.flat_map(|protocol| &protocol.flows).copied()
    }

    /// Streams whose turn comes next, if nothing else happens.
    pub(crate) fn upcoming(&self) -> impl Iterator<Item = StreamId> + '_ {
        let protocol = self.classes[self.turn].protocols.front();
        protocol.into_iter().flat_map(|protocol| &protocol.flows).map(|(stream, _)| *stream)
    }

    /// Charges the flow that had its turn for `bytes`, and takes it out unless it has more.
    pub(crate) fn sent(&mut self, bytes: usize, has_more: bool) {
        let bytes = i64::try_from(bytes.max(MIN_COST)).unwrap_or(i64::MAX);
        let class = &mut self.classes[self.turn];
        class.deficit -= bytes;
        let Some(protocol) = class.protocols.front_mut() else { return };
        protocol.deficit -= bytes;
        let Some(flow) = protocol.flows.pop_front() else { return };
        if has_more {
            protocol.flows.push_back(flow);
        } else {
            self.length -= 1;
            if protocol.flows.is_empty() {
                class.protocols.pop_front();
            }
        }
    }

    /// Whether no flow has anything to send.
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl ClassQueue {
    /// The first protocol with a positive deficit; ends because each pass adds a quantum to all.
    fn next_protocol(&mut self) -> &mut ProtocolQueue {
        while self.protocols[0].deficit <= 0 {
            self.protocols[0].deficit += QUANTUM;
            self.protocols.rotate_left(1);
        }
        &mut self.protocols[0]
    }
}

fn index(class: Class) -> usize {
    match class {
        Class::Interactive => 0,
        Class::Normal => 1,
        Class::Bulk => 2,
    }
}

/// Bytes a protocol may send in its turn.
const QUANTUM: i64 = 16 << 10;
/// How many quanta a class may send in its turn.
const WEIGHTS: [i64; 3] = [16, 4, 1];
/// What the smallest frame costs, so that empty frames cannot hold the turn for ever.
const MIN_COST: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Sends `total` bytes in frames of `sizes[flow]`, all flows always having more.
    fn shares(flows: &[(Class, &'static str, u64, usize)], total: usize) -> BTreeMap<u64, usize> {
        let (mut scheduler, mut shares, mut sent) = (Scheduler::default(), BTreeMap::new(), 0);
        for (class, protocol, id, _) in flows {
            scheduler.push(
                *class,
                &Bytes::from_static(protocol.as_bytes()),
                StreamId(*id),
                Flow::Data,
            );
        }
        while sent < total {
            let turn = scheduler.next().expect("flows always have more");
            let (.., size) =
                flows.iter().find(|flow| flow.2 == turn.stream.0).expect("only known flows");
            scheduler.sent(*size, true);
            *shares.entry(turn.stream.0).or_default() += size;
            sent += size;
        }
        shares
    }

    #[test]
    fn classes_share_16_to_4_to_1_and_none_starves() {
        let shares = shares(
            &[
                (Class::Interactive, "a", 0, 1000),
                (Class::Normal, "a", 2, 16_000),
                (Class::Bulk, "a", 4, 16_000),
            ],
            21 << 20,
        );
        for (id, weight) in [(0, 16), (2, 4), (4, 1)] {
            let share = shares[&id] as f64 / f64::from(1 << 20);
            assert!((share / f64::from(weight) - 1.0).abs() < 0.1, "{id}: {share}");
        }
    }

    #[test]
    fn protocols_share_equally_however_many_streams_and_whatever_frame_size_they_have() {
        let mut flows = vec![(Class::Normal, "quiet", 0, 100)];
        flows.extend((1..50).map(|id| (Class::Normal, "loud", id, 16_000)));
        let shares = shares(&flows, 8 << 20);
        let quiet = shares[&0] as f64 / f64::from(8 << 20);
        assert!((0.45..0.55).contains(&quiet), "{quiet}");
    }

    #[test]
    fn a_flow_without_more_leaves_and_an_empty_scheduler_has_no_turn() {
        let mut scheduler = Scheduler::default();
        scheduler.push(Class::Bulk, &Bytes::new(), StreamId(0), Flow::Error);
        assert_eq!(scheduler.next().expect("one flow waits").flow, Flow::Error);
        scheduler.sent(0, false);
        assert!(scheduler.is_empty() && scheduler.next().is_none());
    }
}
