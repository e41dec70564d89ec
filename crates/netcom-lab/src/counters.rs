//! What became of the packets that went in at one side of a link.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Cause;

/// What went in at one side of a link, and what became of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Packets that were sent.
    pub sent: u64,
    /// Packets that arrived at the other side, with second copies and the link's own resets.
    pub packets: u64,
    /// Bytes of them, with their IP headers.
    pub bytes: u64,
    /// Packets that were on their way twice.
    pub duplicated: u64,
    /// TCP segments that were answered by resets.
    pub reset: u64,
    /// Packets lost by the chance that was asked for.
    pub lost_chance: u64,
    /// Packets lost because too many bytes waited.
    pub lost_queue: u64,
    /// Packets lost because they were longer than the path takes.
    pub lost_mtu: u64,
    /// Packets lost because the link was down.
    pub lost_down: u64,
    /// Packets lost because their protocol was blocked.
    pub lost_blocked: u64,
    /// Packets that the other side's interface did not take.
    pub lost_device: u64,
}

/// The counters of one direction while they count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: Counter,
    packets: Counter,
    bytes: Counter,
    pub(crate) duplicated: Counter,
    pub(crate) reset: Counter,
    lost: [Counter; 6],
}

/// A number that one thread raises and others read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Tally {
    pub(crate) fn arrived(&self, bytes: usize) {
        self.packets.add(1);
        self.bytes.add(bytes as u64);
    }

    pub(crate) fn lost(&self, cause: Cause) {
        self.lost[index(cause)].add(1);
    }

    pub(crate) fn counters(&self) -> Counters {
        let lost = |cause| self.lost[index(cause)].number();
        Counters {
            sent: self.sent.number(),
            packets: self.packets.number(),
            bytes: self.bytes.number(),
            duplicated: self.duplicated.number(),
            reset: self.reset.number(),
            lost_chance: lost(Cause::Loss),
            lost_queue: lost(Cause::Queue),
            lost_mtu: lost(Cause::Mtu),
            lost_down: lost(Cause::Down),
            lost_blocked: lost(Cause::Blocked),
            lost_device: lost(Cause::Device),
        }
    }
}

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn index(cause: Cause) -> usize {
    match cause {
        Cause::Loss => 0,
        Cause::Queue => 1,
        Cause::Mtu => 2,
        Cause::Down => 3,
        Cause::Blocked => 4,
        Cause::Device => 5,
    }
}
