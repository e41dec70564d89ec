//! The writing half of a TCP link.

use std::{
    io,
    time::{Duration, Instant},
};

use netcom_session::{Batch, LinkLoss, Poll};
use rustls::AlertDescription;
use tokio::net::TcpStream;

use super::{LinkClient, outgoing::Outgoing, pace::Pace, tcp::loss};
use crate::record::{MAX_PLAINTEXT, RecordError, Sealer};

/// Seals batches into records and writes them.
#[derive(Debug)]
pub(crate) struct Writer {
    sealer: Sealer,
    pace: Pace,
    batch: Batch,
    /// Records the socket has not taken.
    records: Outgoing,
    /// When somebody last wrote from a thread of their own.
    last_inline: Option<Instant>,
    /// The session is done with the link.
    is_finishing: bool,
    /// close_notify or an alert was the last record.
    is_closed: bool,
    /// A panic left this in the middle of something.
    has_failed: bool,
}

/// Why writing stopped.
#[derive(Debug)]
pub(crate) enum WriteStop {
    /// The session has nothing more and the socket took everything.
    Idle,
    /// The socket takes no more now.
    Blocked,
    /// As many bytes were written as allowed.
    Limit,
    /// The session is done with the link.
    Finish,
    /// The link broke.
    Lost(LinkLoss),
}

impl Writer {
    pub(crate) fn new(sealer: Sealer) -> Self {
        Self {
            sealer,
            pace: Pace::new(),
            batch: Batch::new(),
            records: Outgoing::default(),
            last_inline: None,
            is_finishing: false,
            is_closed: false,
            has_failed: false,
        }
    }

    /// Whether nothing waits for the socket and the session may still send.
    pub(crate) fn is_idle(&self) -> bool {
        self.records.is_empty() && !self.is_finishing && !self.is_closed && !self.has_failed
    }

    /// Whether somebody wrote from a thread of their own a moment ago: then more follows, and goes
    /// in one batch with what follows that. Notes that somebody does now.
    pub(crate) fn is_in_burst(&mut self, now: Instant) -> bool {
        let before = self.last_inline.replace(now);
        before.is_some_and(|before| now.saturating_duration_since(before) < BURST)
    }

    /// Gives up: nothing more is written, and the driver ends the link.
    pub(crate) fn fail(&mut self) {
        self.has_failed = true;
    }

    /// Asks the session for batches and writes them, until it has none, the socket takes no more
    /// or about `limit` bytes went out.
    pub(crate) fn write(
        &mut self,
        stream: &TcpStream,
        client: &dyn LinkClient,
        limit: usize,
    ) -> (WriteStop, usize) {
        if self.has_failed {
            return (WriteStop::Lost(LinkLoss::Local), 0);
        }
        let mut count = 0;
        let stop = loop {
            match self.flush(stream, Instant::now()) {
                Ok(true) => {}
                Ok(false) => break WriteStop::Blocked,
                Err(error) => break WriteStop::Lost(loss(&error)),
            }
            if self.is_finishing {
                break WriteStop::Finish;
            }
            if count >= limit {
                break WriteStop::Limit;
            }
            let poll = client.transmit(self.pace.batch(), &mut self.batch);
            if poll == Poll::Idle && self.batch.is_empty() {
                self.pace.idle();
                break WriteStop::Idle;
            }
            count += self.batch.len_bytes();
            self.is_finishing = poll == Poll::Finish;
            let sealed = self.seal_batch();
            self.batch.clear();
            if let Err(error) = sealed {
                break WriteStop::Lost(LinkLoss::Tls(error.to_string()));
            }
            if poll == Poll::Idle {
                match self.flush(stream, Instant::now()) {
                    Ok(true) => self.pace.idle(),
                    Ok(false) => break WriteStop::Blocked,
                    Err(error) => break WriteStop::Lost(loss(&error)),
                }
                break WriteStop::Idle;
            }
        };
        (stop, count)
    }

    /// Writes records until the socket takes no more. True when all are written.
    pub(crate) fn flush(&mut self, stream: &TcpStream, now: Instant) -> io::Result<bool> {
        while !self.records.is_empty() {
            let (slices, used) = self.records.slices();
            let written = stream.try_write_vectored(&slices[..used]);
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.pace.sent(count);
                    self.records.advance(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.pace.blocked(now);
                    if let Some(limit) = self.pace.unsent_limit() {
                        set_unsent_limit(stream, limit);
                    }
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Queues bytes outside a batch: the only frame of a link that has no session.
    pub(crate) fn queue_bytes(&mut self, bytes: &[u8]) -> Result<(), RecordError> {
        for chunk in bytes.chunks(MAX_PLAINTEXT) {
            self.sealer.seal(&[chunk], self.records.room(chunk.len(), bytes.len()))?;
        }
        Ok(())
    }

    /// Queues the goodbye, unless one was queued.
    pub(crate) fn queue_close_notify(&mut self) {
        if !std::mem::replace(&mut self.is_closed, true) {
            // Without a goodbye the peer takes the end for a reset, which is all there is to do.
            let _ = self.sealer.close_notify(self.records.room(MESSAGE, MESSAGE));
        }
    }

    /// Queues an alert, after which nothing is sent.
    pub(crate) fn queue_alert(&mut self, alert: AlertDescription) {
        if !std::mem::replace(&mut self.is_closed, true) {
            let _ = self.sealer.alert(alert, self.records.room(MESSAGE, MESSAGE));
        }
    }

    /// Changes the key, because the peer asks for it.
    pub(crate) fn request_key_update(&mut self) {
        if !self.is_closed {
            // One that fails stays as it was, and will be renewed when it has to be.
            let _ = self.sealer.update_key(self.records.room(MESSAGE, MESSAGE));
        }
    }

    /// Groups the batch's frames into records. Frames are not cut unless longer than a record, so
    /// that the peer can use each in place.
    fn seal_batch(&mut self) -> Result<(), RecordError> {
        let Self { sealer, batch, records, .. } = self;
        let total = batch.len_bytes();
        let mut seal = |parts: &[&[u8]], length| sealer.seal(parts, records.room(length, total));
        let mut parts: Vec<&[u8]> = Vec::with_capacity(2 * batch.len().min(MAX_PARTS));
        let mut length = 0;
        for frame in batch.frames() {
            let added = frame.len_bytes();
            if !parts.is_empty() && (length + added > MAX_PLAINTEXT || parts.len() >= MAX_PARTS) {
                seal(&parts, length)?;
                parts.clear();
                length = 0;
            }
            parts.push(frame.head);
            parts.extend(frame.payload.iter().map(|part| &part[..]));
            length += added;
            if length > MAX_PLAINTEXT {
                let joined = parts.concat();
                for chunk in joined.chunks(MAX_PLAINTEXT) {
                    seal(&[chunk], chunk.len())?;
                }
                parts.clear();
                length = 0;
            }
        }
        if !parts.is_empty() {
            seal(&parts, length)?;
        }
        if sealer.needs_key_update() {
            sealer.update_key(records.room(MESSAGE, MESSAGE))?;
        }
        Ok(())
    }
}

/// Bounds what the kernel holds unsent, since encrypted bytes cannot be overtaken.
fn set_unsent_limit(stream: &TcpStream, limit: u32) {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_notsent_lowat(limit) {
        tracing::debug!(%error, limit, "The kernel's send queue stays as long as it likes");
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = (stream, limit);
}

/// Writes closer together than this belong to a burst. No answer comes sooner over a network, nor
/// from another process.
const BURST: Duration = Duration::from_micros(20);
/// More than an alert or a change of keys takes.
const MESSAGE: usize = 8;
/// Pieces of one record, beyond which a new one begins.
const MAX_PARTS: usize = 512;
