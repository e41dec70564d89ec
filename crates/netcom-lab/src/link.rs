//! The link between two namespaces: what it is asked to be, and the handle on it while it runs.

use std::{
    fmt,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::event::{EventfdFlags, eventfd};
use tun_rs::SyncDevice;

use crate::{LabError, forwarder::Forwarder, namespace::joined};

/// What a link is to be like.
#[derive(Clone, Copy, Debug)]
pub struct LinkSpec {
    pub(crate) delay: Duration,
    pub(crate) mtu: u16,
    pub(crate) queue: usize,
}

/// Names the ends of a link.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// The first end of a pair.
    Left,
    /// The second.
    Right,
}

/// What a link does with what it is given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// Everything arrives.
    Up,
    /// Nothing arrives, and nobody is told.
    Down,
    /// Each segment of TCP is answered by a reset to both ends; the rest arrives.
    Resetting,
}

/// What went in at one side of a link, and what became of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counters {
    /// Packets that arrived at the other side.
    pub packets: u64,
    /// Bytes of them, with their IP headers.
    pub bytes: u64,
    /// Packets lost because the link was down.
    pub lost_down: u64,
    /// UDP packets lost because UDP was blocked.
    pub lost_blocked: u64,
    /// TCP segments that were answered by resets.
    pub reset: u64,
    /// Packets lost because too many bytes were on their way.
    pub lost_queue: u64,
    /// Packets that the other side's interface did not take.
    pub lost_device: u64,
}

/// A running link; dropped, it ends and its interfaces vanish.
pub struct Link {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl LinkSpec {
    /// Asks for a link that delivers each packet this long after it was sent.
    #[must_use]
    pub fn new(delay: Duration) -> Self {
        Self { delay, mtu: 1500, queue: 32 << 20 }
    }

    /// Sets the largest packet in bytes, at least the 1,280 of IPv6. Default: 1,500.
    #[must_use]
    pub fn mtu(mut self, mtu: u16) -> Self {
        self.mtu = mtu.max(1280);
        self
    }

    /// Sets how many bytes may be on their way in each direction. Default: 32 MiB.
    #[must_use]
    pub fn queue(mut self, bytes: usize) -> Self {
        self.queue = bytes;
        self
    }

    /// Tells the delay from either side to the other.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Tells how long a packet and its answer take together.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.delay * 2
    }
}

impl Side {
    /// The side across the link.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self == Self::Right)
    }
}

impl Link {
    /// Starts to forward between two devices that do not block.
    pub(crate) fn start(spec: LinkSpec, devices: [SyncDevice; 2]) -> Result<Self, LabError> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| LabError::Forwarder(error.into()))?;
        let shared = Arc::new(Shared::new(wake));
        let forwarder = Forwarder::new(spec, devices, Arc::clone(&shared));
        let thread = thread::Builder::new()
            .name("lab link".to_owned())
            .spawn(move || forwarder.run())
            .map_err(LabError::Forwarder)?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Changes what the link does from now on, with what is on its way too.
    pub fn set(&self, condition: Condition) {
        self.shared.condition.store(condition as u8, Ordering::SeqCst);
    }

    /// Lets no UDP through, or all again. Default: all.
    pub fn block_udp(&self, is_blocked: bool) {
        self.shared.is_udp_blocked.store(is_blocked, Ordering::SeqCst);
    }

    /// Tells what became of the packets that were sent from one side.
    #[must_use]
    pub fn counters(&self, from: Side) -> Counters {
        self.shared.tallies[from.index()].counters()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = [Side::Left, Side::Right].map(|side| self.counters(side));
        f.debug_struct("Link").field("counters", &counters).finish_non_exhaustive()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // A counter of eight bytes in the machine's order; full, it has woken somebody anyway.
        let _ = rustix::io::write(&self.shared.wake, &1_u64.to_ne_bytes());
        let Some(thread) = self.thread.take() else { return };
        let result = thread.join();
        // A second panic would abort the process and hide the first one.
        if !thread::panicking() {
            joined(result);
        }
    }
}

/// What the handle and the forwarding thread share.
pub(crate) struct Shared {
    pub(crate) wake: OwnedFd,
    is_over: AtomicBool,
    condition: AtomicU8,
    is_udp_blocked: AtomicBool,
    pub(crate) tallies: [Tally; 2],
}

impl Shared {
    fn new(wake: OwnedFd) -> Self {
        Self {
            wake,
            is_over: AtomicBool::new(false),
            condition: AtomicU8::new(Condition::Up as u8),
            is_udp_blocked: AtomicBool::new(false),
            tallies: Default::default(),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    pub(crate) fn is_udp_blocked(&self) -> bool {
        self.is_udp_blocked.load(Ordering::SeqCst)
    }

    pub(crate) fn condition(&self) -> Condition {
        let stored = self.condition.load(Ordering::SeqCst);
        [Condition::Down, Condition::Resetting]
            .into_iter()
            .find(|condition| *condition as u8 == stored)
            .unwrap_or(Condition::Up)
    }
}

/// The counters of one direction while they count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    packets: Counter,
    bytes: Counter,
    pub(crate) lost_down: Counter,
    pub(crate) lost_blocked: Counter,
    pub(crate) reset: Counter,
    pub(crate) lost_queue: Counter,
    pub(crate) lost_device: Counter,
}

/// A number that one thread raises and others read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }
}

impl Tally {
    pub(crate) fn arrived(&self, bytes: usize) {
        self.packets.add(1);
        self.bytes.add(bytes as u64);
    }

    fn counters(&self) -> Counters {
        let read = |counter: &Counter| counter.0.load(Ordering::Relaxed);
        Counters {
            packets: read(&self.packets),
            bytes: read(&self.bytes),
            lost_down: read(&self.lost_down),
            lost_blocked: read(&self.lost_blocked),
            reset: read(&self.reset),
            lost_queue: read(&self.lost_queue),
            lost_device: read(&self.lost_device),
        }
    }
}
