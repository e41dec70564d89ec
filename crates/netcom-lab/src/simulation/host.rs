//! A machine: its clock, its sleep, and the process on it.

use std::time::Duration;

use netcom_session::Time;

use super::{
    network::HostId,
    node::{HostSpec, Node},
    transport::Packet,
};
use crate::Random;

/// A machine, and what runs on it.
pub(super) struct Host {
    pub(super) id: HostId,
    pub(super) spec: HostSpec,
    pub(super) node: Option<Node>,
    /// Processes before the present one.
    pub(super) processes: u32,
    pub(super) clock: Clock,
    /// Nothing answers for it.
    pub(super) is_off: bool,
    /// When its process does something next, on the world's clock.
    pub(super) wakes_at: Option<Time>,
    sleep: Option<Sleep>,
}

/// A host's own clock, which knows neither the world's time nor what it slept through.
pub(super) struct Clock {
    ahead: u64,
    slept: u64,
}

struct Sleep {
    since: Time,
    keeps_packets: bool,
    waiting: Vec<Packet>,
}

impl Host {
    /// Makes a host whose first process runs.
    pub(super) fn new(id: HostId, spec: HostSpec, random: &mut Random) -> Self {
        let node = Node::new(id, spec.clone(), 0, false);
        let clock = Clock { ahead: random.below(MAX_AHEAD), slept: 0 };
        Self {
            id,
            spec,
            node: Some(node),
            processes: 0,
            clock,
            is_off: false,
            wakes_at: None,
            sleep: None,
        }
    }

    /// Stops everything. Returns whether it ran until now.
    pub(super) fn sleep(&mut self, keeps_packets: bool, now: Time) -> bool {
        let ran = !self.is_asleep();
        self.sleep.get_or_insert(Sleep { since: now, keeps_packets, waiting: Vec::new() });
        ran
    }

    /// Lets everything go on, and returns the packets that waited; `None` if it did not sleep.
    pub(super) fn wake(&mut self, clock_ran: bool, now: Time) -> Option<Vec<Packet>> {
        let sleep = self.sleep.take()?;
        if !clock_ran {
            self.clock.slept += nanos(now - sleep.since);
        }
        self.wakes_at = None;
        Some(sleep.waiting)
    }

    /// Keeps a packet that comes in the host's sleep. Returns whether it does.
    pub(super) fn keep(&mut self, packet: Packet) -> bool {
        let keeps = |sleep: &&mut Sleep| sleep.keeps_packets && sleep.waiting.len() < MAX_WAITING;
        let Some(sleep) = self.sleep.as_mut().filter(keeps) else { return false };
        sleep.waiting.push(packet);
        true
    }

    /// Takes the process off the host, which ends it.
    pub(super) fn clear(&mut self) {
        self.processes += u32::from(self.node.take().is_some());
        self.wakes_at = None;
    }

    pub(super) fn is_asleep(&self) -> bool {
        self.sleep.is_some()
    }
}

impl Clock {
    /// What it shows at a moment of the world.
    pub(super) fn local(&self, at: Time) -> Time {
        Time(at.0 + self.ahead - self.slept)
    }

    /// When it shows that.
    pub(super) fn world(&self, local: Time) -> Time {
        Time((local.0 + self.slept).saturating_sub(self.ahead))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Packets that wait for a host that sleeps.
const MAX_WAITING: usize = 1000;
/// Hosts have been on for up to eleven days when the world begins.
const MAX_AHEAD: u64 = 1_000_000_000_000_000;
