//! The thread that carries packets between two devices.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tun_rs::SyncDevice;

use crate::{
    link::{Condition, LinkSpec, Shared, Side},
    packet::{Packet, UDP},
};

/// Carries packets until the link is over.
pub(crate) struct Forwarder {
    spec: LinkSpec,
    devices: [SyncDevice; 2],
    shared: Arc<Shared>,
    on_their_way: BinaryHeap<Reverse<Parcel>>,
    /// Bytes on their way from each side.
    load: [usize; 2],
    taken: u64,
    buffer: Box<[u8]>,
}

/// A packet on its way.
#[derive(Debug)]
struct Parcel {
    due: Instant,
    /// Keeps packets that are due at once in the order they were sent in.
    number: u64,
    from: Side,
    packet: Box<[u8]>,
}

impl Forwarder {
    pub(crate) fn new(spec: LinkSpec, devices: [SyncDevice; 2], shared: Arc<Shared>) -> Self {
        Self {
            spec,
            devices,
            shared,
            on_their_way: BinaryHeap::new(),
            load: [0; 2],
            taken: 0,
            buffer: vec![0; usize::from(u16::MAX)].into_boxed_slice(),
        }
    }

    pub(crate) fn run(mut self) {
        while !self.shared.is_over() {
            self.deliver(Instant::now());
            if !self.sleep() {
                return;
            }
            for side in [Side::Left, Side::Right] {
                self.take_from(side);
            }
        }
    }

    /// Hands over what is due. A parcel is never early, and late by as much as the machine is.
    fn deliver(&mut self, now: Instant) {
        while self.on_their_way.peek().is_some_and(|Reverse(next)| next.due <= now) {
            let Some(Reverse(parcel)) = self.on_their_way.pop() else { return };
            self.load[parcel.from.index()] -= parcel.packet.len();
            match self.shared.condition() {
                Condition::Down => {
                    self.shared.tallies[parcel.from.index()].lost_down.add(1);
                }
                Condition::Up | Condition::Resetting => self.hand_over(parcel.from, &parcel.packet),
            }
        }
    }

    fn hand_over(&self, from: Side, packet: &[u8]) {
        let tally = &self.shared.tallies[from.index()];
        match self.devices[from.other().index()].send(packet) {
            Ok(_) => tally.arrived(packet.len()),
            Err(_) => tally.lost_device.add(1),
        }
    }

    /// Waits for a packet, for the next delivery or for the end; false if it cannot.
    fn sleep(&self) -> bool {
        let wait = self.on_their_way.peek().map(|Reverse(next)| {
            let wait = next.due.saturating_duration_since(Instant::now()).min(LONGEST_SLEEP);
            Timespec::try_from(wait).expect("an hour fits")
        });
        let [left, right] = &self.devices;
        let mut sources = [
            PollFd::new(left, PollFlags::IN),
            PollFd::new(right, PollFlags::IN),
            PollFd::new(&self.shared.wake, PollFlags::IN),
        ];
        match poll(&mut sources, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => true,
            Err(_) => false,
        }
    }

    /// Takes what was sent at one side, a bounded number at a time so that none that is due waits.
    fn take_from(&mut self, side: Side) {
        for _ in 0..BATCH {
            let Ok(length) = self.devices[side.index()].recv(&mut self.buffer) else { return };
            let sent = Instant::now();
            let packet: Box<[u8]> = self.buffer[..length].into();
            self.take(side, packet, sent);
        }
    }

    /// Decides about one packet.
    fn take(&mut self, from: Side, packet: Box<[u8]>, sent: Instant) {
        let tally = &self.shared.tallies[from.index()];
        let condition = self.shared.condition();
        if condition == Condition::Down {
            return tally.lost_down.add(1);
        }
        let parts = Packet::parse(&packet);
        if self.shared.is_udp_blocked() && parts.is_some_and(|parts| parts.protocol == UDP) {
            return tally.lost_blocked.add(1);
        }
        if condition == Condition::Resetting
            && let Some(resets) = parts.and_then(|parts| parts.resets())
        {
            tally.reset.add(1);
            self.hand_over(from.other(), &resets.back);
            if let Some(on) = resets.on {
                self.hand_over(from, &on);
            }
            return;
        }
        let load = &mut self.load[from.index()];
        if *load + packet.len() > self.spec.queue {
            return tally.lost_queue.add(1);
        }
        *load += packet.len();
        self.taken += 1;
        let (due, number) = (sent + self.spec.delay, self.taken);
        self.on_their_way.push(Reverse(Parcel { due, number, from, packet }));
    }
}

impl Parcel {
    fn order(&self) -> (Instant, u64) {
        (self.due, self.number)
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Parcel {}

/// Packets taken from one side before the others have their turn.
const BATCH: usize = 64;
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);
