//! Congestion control of QUIC connections: Cubic, which on far paths tells what a full queue lost
//! from what was lost otherwise.
//!
//! Cubic takes every loss for a full queue. Over a round trip of 100 ms one lost packet of a
//! thousand leaves it some 4 Mbit/s, whatever the path carries (RFC 9438, section 5.1). But a queue
//! that drops packets is full, and those that got through right behind a lost one waited in it. So
//! where packets arrive as soon as they ever did, and few are missing, a loss says nothing of
//! congestion, and Cubic is not told of it. Where another flow fills the queue, packets wait, and
//! this is Cubic: it takes no more than its share.

use std::{
    any::Any,
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, Cubic, CubicConfig};
use quinn_proto::RttEstimator;

/// Makes the controllers of connections.
#[derive(Clone, Debug, Default)]
pub(super) struct TolerantCubicConfig {
    cubic: Arc<CubicConfig>,
}

#[derive(Clone, Debug)]
struct TolerantCubic {
    cubic: Cubic,
    signs: Signs,
}

/// What says whether a loss was by congestion.
#[derive(Clone, Debug)]
struct Signs {
    waits: Waits,
    losses: Losses,
    mtu: u64,
}

/// How long packets take, in round trips.
#[derive(Clone, Debug, Default)]
struct Waits {
    /// The shortest of the path.
    shortest: Option<Duration>,
    /// Those of the packets that were acknowledged last.
    recent: VecDeque<Duration>,
}

/// How much of what was sent in the last one or two round trips was lost.
#[derive(Clone, Debug)]
struct Losses {
    /// Bytes of this round and of the one before it.
    acknowledged: [u64; 2],
    lost: [u64; 2],
    /// A packet that was sent after this belongs to the next round.
    began: Instant,
}

impl ControllerFactory for TolerantCubicConfig {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let cubic = Cubic::new(Arc::clone(&self.cubic), now, mtu);
        Box::new(TolerantCubic { cubic, signs: Signs::new(now, mtu) })
    }
}

impl Controller for TolerantCubic {
    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.signs.acknowledge(now, sent, bytes);
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        // No bytes are lost where a router marks packets in place of dropping them.
        let is_told = lost_bytes == 0 || is_persistent_congestion;
        if self.signs.lose(lost_bytes) || is_told {
            self.cubic.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        }
    }

    fn on_mtu_update(&mut self, mtu: u16) {
        self.signs.mtu = mtu.into();
        self.cubic.on_mtu_update(mtu);
    }

    fn window(&self) -> u64 {
        self.cubic.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Signs {
    fn new(now: Instant, mtu: u16) -> Self {
        Self { waits: Waits::default(), losses: Losses::new(now), mtu: mtu.into() }
    }

    fn acknowledge(&mut self, now: Instant, sent: Instant, bytes: u64) {
        self.waits.note(now.saturating_duration_since(sent));
        self.losses.acknowledge(now, sent, bytes);
    }

    /// Whether the loss of so many bytes is to be taken for congestion.
    fn lose(&mut self, bytes: u64) -> bool {
        self.losses.lose(bytes);
        self.waits.are_long() || self.losses.are_many(self.mtu)
    }
}

impl Waits {
    fn note(&mut self, round_trip: Duration) {
        self.shortest = Some(self.shortest.map_or(round_trip, |known| known.min(round_trip)));
        if self.recent.len() == SAMPLES {
            self.recent.pop_front();
        }
        self.recent.push_back(round_trip);
    }

    /// Whether packets waited in a queue lately, as far as can be told. On a near path it cannot:
    /// there a processor that is busy delays packets for as long.
    fn are_long(&self) -> bool {
        let (Some(shortest), Some(recent)) = (self.shortest, self.recent.iter().min()) else {
            return true;
        };
        let queue = (shortest / 8).clamp(LEAST_WAIT, MOST_WAIT);
        shortest < FAR || *recent > shortest + queue
    }
}

impl Losses {
    fn new(now: Instant) -> Self {
        Self { acknowledged: [0; 2], lost: [0; 2], began: now }
    }

    fn acknowledge(&mut self, now: Instant, sent: Instant, bytes: u64) {
        if sent >= self.began {
            self.began = now;
            self.acknowledged = [0, self.acknowledged[0]];
            self.lost = [0, self.lost[0]];
        }
        self.acknowledged[0] += bytes;
    }

    fn lose(&mut self, bytes: u64) {
        self.lost[0] += bytes;
    }

    fn are_many(&self, mtu: u64) -> bool {
        let lost: u64 = self.lost.iter().sum();
        let acknowledged: u64 = self.acknowledged.iter().sum();
        lost > FEW_PACKETS * mtu + (lost + acknowledged) / ONE_OF
    }
}

/// From this round trip on a path is far (rule E-32).
const FAR: Duration = Duration::from_millis(5);
/// Packets whose shortest round trip says whether there is a queue, and the bounds of what it must
/// add to the shortest one: those by which slow start tells that it filled the path (RFC 9406,
/// section 4.3: N_RTT_SAMPLE, MIN_RTT_THRESH, MAX_RTT_THRESH).
const SAMPLES: usize = 8;
const LEAST_WAIT: Duration = Duration::from_millis(4);
const MOST_WAIT: Duration = Duration::from_millis(16);
/// More than one packet of fifty is more than what a bad path loses; BBR takes that share for
/// congestion, too (draft-ietf-ccwg-bbr, BBR.LossThresh).
const ONE_OF: u64 = 50;
/// So many may be missing of a few, which say little of a share.
const FEW_PACKETS: u64 = 3;

#[cfg(test)]
mod tests;
