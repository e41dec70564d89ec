//! One task per link: takes batches of frames from the session, gives batches of frames to it.

pub(crate) mod blocks;
pub(crate) mod frames;
mod long;
pub(crate) mod memory;
mod outgoing;
mod pace;
pub(crate) mod quic;
mod quic_lanes;
pub(crate) mod tcp;
mod tcp_read;
mod tcp_write;

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::FutureExt as _;
use netcom_session::{Batch, LaneId, LinkLoss, Poll, wire::Frame};
use tokio::sync::Notify;

use crate::counters::Counters;

/// The session as a link's driver sees it.
///
/// Every call is made from the driver's task, or from [`LinkDriver::try_flush`], and must be
/// quick. None may call `try_flush` of the same link while it holds a lock these calls take.
pub trait LinkClient: Send + Sync + 'static {
    /// Takes the frames one read brought on a lane, and leaves the vector empty.
    fn receive(&self, lane: LaneId, frames: &mut Vec<Frame>);

    /// Fills `batch` with at most about `budget` bytes for this link, and says how to go on.
    fn transmit(&self, budget: usize, batch: &mut Batch) -> Poll;

    /// Learns that the link is over. The last call, made exactly once.
    fn lost(&self, reason: LinkLoss);
}

/// Reaches the driver of a link from outside. The driver lives as long as the link, whether or
/// not this is dropped.
#[derive(Clone)]
pub struct LinkDriver {
    pub(crate) wakeup: Arc<Wakeup>,
    /// Weak, so that the socket closes with the driver and not with the last of these.
    pub(crate) inline: Option<Weak<dyn Inline>>,
    /// What carries the link, if it counts packets. Its driver closes it, whoever holds it.
    pub(crate) quic: Option<quinn::Connection>,
}

/// What the transport of a link counted of its packets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PacketStats {
    /// Packets sent, those sent again included.
    pub sent: u64,
    /// Packets of those that were given up as lost.
    pub lost: u64,
    /// The longest payload that packets carry now.
    pub mtu: u16,
}

/// Writing from the caller's own thread.
pub(crate) trait Inline: Send + Sync {
    /// Sends what waits if the link is idle. False where the driver has to do it, or the rest.
    fn flush(&self) -> bool;
}

/// Wakes a driver once for any number of calls.
#[derive(Debug, Default)]
pub(crate) struct Wakeup {
    is_due: AtomicBool,
    is_aborted: AtomicBool,
    notify: Notify,
}

impl LinkDriver {
    /// Lets the driver ask the session for frames. Cheap, from any thread; further calls before
    /// the driver asks cost one atomic operation.
    pub fn wake(&self) {
        self.wakeup.wake();
    }

    /// Sends what the session has from this thread, if nobody is sending on the link, which saves
    /// a task switch; else like [`wake`](Self::wake). Do not hold the session's lock.
    pub fn try_flush(&self) {
        let inline = self.inline.as_ref().and_then(Weak::upgrade);
        if !inline.is_some_and(|inline| inline.flush()) {
            self.wake();
        }
    }

    /// Ends the link without a goodbye: for one that is given up, whose socket may take nothing
    /// any more. [`LinkClient::lost`] follows.
    pub fn abort(&self) {
        self.wakeup.abort();
    }

    /// What the transport counted of its packets; `None` where it does not tell, as over TCP,
    /// where the system's kernel counts.
    #[must_use]
    pub fn packets(&self) -> Option<PacketStats> {
        let path = self.quic.as_ref()?.stats().path;
        let (sent, lost) = (path.sent_packets, path.lost_packets);
        Some(PacketStats { sent, lost, mtu: path.current_mtu })
    }
}

impl fmt::Debug for LinkDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkDriver").field("wakeup", &self.wakeup).finish_non_exhaustive()
    }
}

impl Wakeup {
    pub(crate) fn wake(&self) {
        if !self.is_due.swap(true, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }

    fn abort(&self) {
        self.is_aborted.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether the driver is to end at once; it looks after each wake-up.
    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted.load(Ordering::Acquire)
    }

    /// Waits for a wake-up since the last [`answer`](Self::answer).
    pub(crate) async fn woken(&self) {
        while !self.is_due.load(Ordering::Acquire) {
            self.notify.notified().await;
        }
    }

    /// Accepts the wake-ups so far; the driver asks the session next.
    pub(crate) fn answer(&self) {
        self.is_due.store(false, Ordering::Release);
    }
}

/// Runs a driver to its end and tells the session, whatever happens: a panic ends this link only,
/// and a task dropped with its runtime reports the loss too.
pub(crate) fn spawn<Driver>(driver: Driver, client: Arc<dyn LinkClient>, counters: Arc<Counters>)
where
    Driver: Future<Output = LinkLoss> + Send + 'static,
{
    let mut obituary = Obituary { client, counters, is_told: false };
    tokio::spawn(async move {
        match AssertUnwindSafe(driver).catch_unwind().await {
            Ok(loss) => obituary.tell(loss),
            Err(_) => {
                obituary.counters.count_panic();
                tracing::error!("A link's driver panicked");
                obituary.tell(LinkLoss::Local);
            }
        }
    });
}

/// Tells the session of the link's end exactly once.
struct Obituary {
    client: Arc<dyn LinkClient>,
    counters: Arc<Counters>,
    is_told: bool,
}

impl Obituary {
    fn tell(&mut self, loss: LinkLoss) {
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::debug!(?loss, "Link ended");
            let told = panic::catch_unwind(AssertUnwindSafe(|| self.client.lost(loss)));
            if told.is_err() {
                self.counters.count_panic();
                tracing::error!("A session panicked while it lost a link");
            }
        }
    }
}

impl Drop for Obituary {
    fn drop(&mut self) {
        self.tell(LinkLoss::Local);
    }
}

/// Bytes a driver reads before it writes.
pub(crate) const READ_LIMIT: usize = 256 * 1024;
/// Bytes a driver moves before it lets other tasks run.
pub(crate) const TURN_LIMIT: usize = 512 * 1024;
/// How long an orderly end may take.
pub(crate) const FINISH_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

#[cfg(test)]
mod tests;
