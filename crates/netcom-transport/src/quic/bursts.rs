//! A UDP socket that joins the bursts of a connection into few system calls.
//!
//! quinn hands over at most ten packets at a time, the kernel takes up to 64 in one call (UDP
//! segmentation offload) for about the same price. So a burst of ten waits until others filled a
//! call, or until its connection had one more turn. What ends with a shorter packet, as every
//! burst does after which nothing is left, leaves at once, and so do the few packets of a request.
//!
//! Packets to one address keep their order. A burst that the kernel does not take now stays, and
//! the connection is told to wait, as without this socket.

use std::{
    fmt,
    future::poll_fn,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
};

use parking_lot::Mutex;
use quinn::{
    AsyncUdpSocket, UdpPoller,
    udp::{EcnCodepoint, RecvMeta, Transmit},
};
use tokio::sync::Notify;

/// Joins what is sent through another socket.
pub(super) struct BurstSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    /// By address, so that connections seldom wait for each other.
    queues: [Mutex<Burst>; QUEUES],
    /// A burst waits for its connection's next turn.
    waits: Arc<Notify>,
}

/// Packets that leave in one call.
#[derive(Debug, Default)]
struct Burst {
    head: Option<Head>,
    contents: Vec<u8>,
}

/// What the packets of one call have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Head {
    destination: SocketAddr,
    source: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    /// The length of each packet but the last, which may be shorter.
    packet: usize,
}

impl BurstSocket {
    /// Wraps a socket. Must be called within a runtime, which takes the task that sends the rest
    /// of bursts; it ends with the socket.
    pub(super) fn new(inner: Arc<dyn AsyncUdpSocket>) -> Arc<Self> {
        let waits = Arc::new(Notify::new());
        let socket =
            Arc::new(Self { inner, queues: Default::default(), waits: Arc::clone(&waits) });
        tokio::spawn(send_rest(Arc::downgrade(&socket), waits));
        socket
    }

    fn queue(&self, destination: SocketAddr) -> &Mutex<Burst> {
        let mut hasher = DefaultHasher::new();
        destination.hash(&mut hasher);
        let number = hasher.finish() as usize;
        &self.queues[number % QUEUES]
    }

    fn send(&self, burst: &mut Burst) -> io::Result<()> {
        let Some(transmit) = burst.transmit() else { return Ok(()) };
        let result = self.inner.try_send(&transmit);
        if !is_blocked(&result) {
            burst.clear();
        }
        result
    }

    /// Sends what waits. Returns whether the kernel took all.
    fn send_all(&self) -> bool {
        let mut is_done = true;
        for queue in &self.queues {
            let result = self.send(&mut queue.lock());
            if is_blocked(&result) {
                is_done = false;
            } else if let Err(error) = result {
                tracing::debug!(%error, "Packets could not be sent");
            }
        }
        is_done
    }
}

impl AsyncUdpSocket for BurstSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let capacity = self.inner.max_transmit_segments();
        let mut burst = self.queue(transmit.destination).lock();
        if !burst.fits(transmit, capacity) {
            self.send(&mut burst)?;
        }
        if burst.is_empty() && !is_long(transmit, capacity) {
            drop(burst);
            return self.inner.try_send(transmit);
        }
        burst.append(transmit);
        let has_room = burst.has_room(transmit.contents.len(), capacity);
        if has_room || is_blocked(&self.send(&mut burst)) {
            self.waits.notify_one();
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, buffers, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

impl Drop for BurstSocket {
    fn drop(&mut self) {
        self.waits.notify_one();
    }
}

impl fmt::Debug for BurstSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BurstSocket").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Burst {
    fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Whether the packets may leave in the same call as those that wait.
    fn fits(&self, transmit: &Transmit<'_>, capacity: usize) -> bool {
        let Some(head) = self.head else { return true };
        let other = Head::of(transmit);
        // The last packet of a call may be shorter than the others, so a single one may too.
        let is_like = other == head
            || transmit.segment_size.is_none()
                && other == Head { packet: other.packet, ..head }
                && other.packet < head.packet;
        is_like && self.has_room(transmit.contents.len(), capacity)
    }

    /// Whether packets of so many bytes may follow in the same call.
    fn has_room(&self, length: usize, capacity: usize) -> bool {
        let Some(head) = self.head else { return true };
        let total = self.contents.len() + length;
        self.contents.len().is_multiple_of(head.packet)
            && total <= MAX_BYTES
            && total.div_ceil(head.packet) <= capacity
    }

    fn append(&mut self, transmit: &Transmit<'_>) {
        self.head.get_or_insert(Head::of(transmit));
        self.contents.extend_from_slice(transmit.contents);
    }

    fn transmit(&self) -> Option<Transmit<'_>> {
        let head = self.head?;
        Some(Transmit {
            destination: head.destination,
            ecn: head.ecn,
            contents: &self.contents,
            segment_size: (self.contents.len() > head.packet).then_some(head.packet),
            src_ip: head.source,
        })
    }

    fn clear(&mut self) {
        self.head = None;
        self.contents.clear();
    }
}

impl Head {
    fn of(transmit: &Transmit<'_>) -> Self {
        Self {
            destination: transmit.destination,
            source: transmit.src_ip,
            ecn: transmit.ecn,
            packet: transmit.segment_size.unwrap_or(transmit.contents.len()).max(1),
        }
    }
}

/// Whether more is likely to follow: the packets are many and none of them is short.
fn is_long(transmit: &Transmit<'_>, capacity: usize) -> bool {
    let length = transmit.contents.len();
    capacity > LONG_PACKETS
        && transmit
            .segment_size
            .is_some_and(|packet| length >= LONG_PACKETS * packet && length.is_multiple_of(packet))
}

fn is_blocked(result: &io::Result<()>) -> bool {
    result.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Sends what waits once the connection that filled it had another turn.
async fn send_rest(socket: Weak<BurstSocket>, waits: Arc<Notify>) {
    loop {
        waits.notified().await;
        let mut had_turn = false;
        poll_fn(|cx| {
            if had_turn {
                return Poll::Ready(());
            }
            had_turn = true;
            // Behind all tasks that are ready now, the connection's among them.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        let Some(socket) = socket.upgrade() else { return };
        while !socket.send_all() {
            let mut poller = Arc::clone(&socket.inner).create_io_poller();
            if poll_fn(|cx| poller.as_mut().poll_writable(cx)).await.is_err() {
                return;
            }
        }
    }
}

/// Bursts of different addresses that may wait at a time.
const QUEUES: usize = 8;
/// Packets of a burst that is taken for a part of more. quinn's longest has ten.
const LONG_PACKETS: usize = 10;
/// Bytes of one call: what an IP packet may hold beside its headers and UDP's.
const MAX_BYTES: usize = u16::MAX as usize - 40 - 8;

#[cfg(test)]
mod tests;
