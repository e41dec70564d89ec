//! The driver of a link inside one process: the same frames over two bounded queues of bytes.

use std::sync::Arc;

use bytes::BytesMut;
use netcom_session::{
    Batch, LaneId, LinkLoss, Poll,
    wire::{Frame, FrameLimits},
};
use tokio::{sync::mpsc, time};

use super::{FINISH_TIMEOUT, LinkClient, LinkDriver, Wakeup, frames::FrameReader, spawn};
use crate::counters::Counters;

/// One end of a link between two nodes of this process.
#[derive(Debug)]
pub(crate) struct MemoryLink {
    sender: mpsc::Sender<Piece>,
    receiver: mpsc::Receiver<Piece>,
    frames: FrameReader,
}

/// What travels: whole batches, and the goodbye; an end without it is a failure.
#[derive(Debug)]
enum Piece {
    Bytes(BytesMut),
    Goodbye,
}

impl MemoryLink {
    /// Makes both ends.
    pub(crate) fn pair() -> (Self, Self) {
        let (to_second, from_first) = mpsc::channel(QUEUE);
        let (to_first, from_second) = mpsc::channel(QUEUE);
        (Self::new(to_second, from_second), Self::new(to_first, from_first))
    }

    fn new(sender: mpsc::Sender<Piece>, receiver: mpsc::Receiver<Piece>) -> Self {
        Self { sender, receiver, frames: FrameReader::new(FrameLimits::TLS) }
    }

    /// Reads the link's first frame and leaves what follows for the driver.
    pub(crate) async fn first_frame(&mut self) -> Result<Frame, LinkLoss> {
        loop {
            match self.frames.next() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(error) => return Err(LinkLoss::Malformed(error.code())),
            }
            match self.receiver.recv().await {
                Some(Piece::Bytes(bytes)) => self.frames.hold(&bytes),
                Some(Piece::Goodbye) => return Err(LinkLoss::Closed),
                None => return Err(LinkLoss::Reset),
            }
        }
    }

    /// Sends bytes and ends the link in order.
    pub(crate) async fn finish_with(self, bytes: &[u8]) -> LinkLoss {
        // What is in the queue stays there for the peer when this end is gone.
        let goodbye = async {
            if !bytes.is_empty() {
                self.sender.send(Piece::Bytes(BytesMut::from(bytes))).await.ok()?;
            }
            self.sender.send(Piece::Goodbye).await.ok()
        };
        if time::timeout(FINISH_TIMEOUT, goodbye).await.is_err() {
            tracing::debug!("Link did not end in order");
        }
        LinkLoss::Local
    }

    /// Hands the link to a session.
    pub(crate) fn start(self, client: Arc<dyn LinkClient>, counters: Arc<Counters>) -> LinkDriver {
        let wakeup = Arc::new(Wakeup::default());
        let driver = run(self, Arc::clone(&client), Arc::clone(&wakeup));
        spawn(driver, client, counters);
        LinkDriver { wakeup, inline: None, quic: None }
    }
}

async fn run(mut link: MemoryLink, client: Arc<dyn LinkClient>, wakeup: Arc<Wakeup>) -> LinkLoss {
    let mut batch = Batch::new();
    let mut frames = Vec::new();
    let mut read = link.frames.drain(&mut frames);
    loop {
        if !frames.is_empty() {
            client.receive(LaneId(0), &mut frames);
            frames.clear();
        }
        wakeup.answer();
        if wakeup.is_aborted() {
            return LinkLoss::Local;
        }
        let write = write(&link.sender, &*client, &mut batch);
        if let Err(error) = read {
            return LinkLoss::Malformed(error.code());
        }
        let is_blocked = match write {
            Write::Finish => return link.finish_with(&[]).await,
            Write::Blocked => true,
            // A peer that is gone may have said goodbye first.
            Write::Idle | Write::Gone => false,
        };
        let piece = tokio::select! {
            piece = link.receiver.recv() => piece,
            () = wakeup.woken(), if !matches!(write, Write::Gone) => continue,
            _ = link.sender.reserve(), if is_blocked => continue,
        };
        match piece {
            Some(Piece::Bytes(bytes)) => read = link.frames.push(bytes, &mut frames),
            Some(Piece::Goodbye) if !link.frames.is_at_boundary() => return LinkLoss::Reset,
            Some(Piece::Goodbye) => {
                // The session's last turn to send was the one before.
                tokio::spawn(link.finish_with(&[]));
                return LinkLoss::Closed;
            }
            None => return LinkLoss::Reset,
        }
    }
}

enum Write {
    /// The session has nothing more.
    Idle,
    /// The peer's queue is full.
    Blocked,
    /// The session is done with the link.
    Finish,
    /// The peer's end was dropped.
    Gone,
}

/// Moves batches into the peer's queue until the session has none or the queue is full.
fn write(sender: &mpsc::Sender<Piece>, client: &dyn LinkClient, batch: &mut Batch) -> Write {
    loop {
        let permit = match sender.try_reserve() {
            Ok(permit) => permit,
            Err(mpsc::error::TrySendError::Full(())) => return Write::Blocked,
            Err(mpsc::error::TrySendError::Closed(())) => return Write::Gone,
        };
        let poll = client.transmit(BATCH, batch);
        if !batch.is_empty() {
            let mut bytes = BytesMut::with_capacity(batch.len_bytes());
            for frame in batch.frames() {
                bytes.extend_from_slice(frame.head);
                frame.payload.iter().for_each(|part| bytes.extend_from_slice(part));
            }
            batch.clear();
            permit.send(Piece::Bytes(bytes));
        }
        match poll {
            Poll::More => {}
            Poll::Idle => return Write::Idle,
            Poll::Finish => return Write::Finish,
        }
    }
}

/// Batches on their way; with their size this bounds the bytes of a link.
const QUEUE: usize = 16;
const BATCH: usize = 64 * 1024;
