//! The driver of a TCP link: one task, records opened in place, one vectored write per batch.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use netcom_session::{LaneId, LinkLoss, wire::Frame};
use parking_lot::Mutex;
use tokio::{io::Interest, net::TcpStream, time};

use super::{
    FINISH_TIMEOUT, Inline, LinkClient, LinkDriver, READ_LIMIT, TURN_LIMIT, Wakeup, frames, spawn,
    tcp_read::{ReadEnd, ReadStop, Reader},
    tcp_write::{WriteStop, Writer},
};
use crate::{counters::Counters, handshake::Secured};

/// An authenticated TCP connection that no session drives yet.
#[derive(Debug)]
pub(crate) struct TcpLink {
    stream: TcpStream,
    reader: Reader,
    writer: Writer,
}

/// What the driver and those who write inline share.
struct Shared {
    stream: TcpStream,
    writer: Mutex<Writer>,
    client: Arc<dyn LinkClient>,
    counters: Arc<Counters>,
}

struct Driver {
    shared: Arc<Shared>,
    wakeup: Arc<Wakeup>,
    reader: Reader,
    frames: Vec<Frame>,
}

impl TcpLink {
    pub(crate) fn new(secured: Secured) -> Self {
        Self {
            stream: secured.stream,
            reader: Reader::new(secured.opener, &secured.received),
            writer: Writer::new(secured.sealer),
        }
    }

    /// Reads the link's first frame and leaves what follows for the driver.
    pub(crate) async fn first_frame(&mut self) -> Result<Frame, LinkLoss> {
        loop {
            if let Some(frame) = self.reader.next_frame().map_err(|end| end.loss)? {
                return Ok(frame);
            }
            self.stream.readable().await.map_err(|error| loss(&error))?;
            self.reader.read_once(&self.stream).map_err(|end| end.loss)?;
        }
    }

    /// Sends bytes and ends the link in order.
    pub(crate) async fn finish_with(mut self, bytes: &[u8]) -> LinkLoss {
        if self.writer.queue_bytes(bytes).is_err() {
            return LinkLoss::Local;
        }
        let Self { stream, reader, writer } = self;
        let writer = Mutex::new(writer);
        finish(&stream, &writer, reader).await
    }

    /// Hands the link to a session.
    pub(crate) fn start(self, client: Arc<dyn LinkClient>, counters: Arc<Counters>) -> LinkDriver {
        let wakeup = Arc::new(Wakeup::default());
        let shared = Arc::new(Shared {
            stream: self.stream,
            writer: Mutex::new(self.writer),
            client: Arc::clone(&client),
            counters: Arc::clone(&counters),
        });
        let driver = Driver {
            shared: Arc::clone(&shared),
            wakeup: Arc::clone(&wakeup),
            reader: self.reader,
            frames: Vec::new(),
        };
        let inline: Weak<dyn Inline> = Arc::downgrade(&shared) as Weak<_>;
        drop(shared);
        spawn(driver.run(), client, counters);
        LinkDriver { wakeup, inline: Some(inline), quic: None }
    }
}

impl Driver {
    async fn run(mut self) -> LinkLoss {
        let mut moved = 0;
        loop {
            let read = self.read();
            self.wakeup.answer();
            if self.wakeup.is_aborted() {
                return abandon(&self.shared.stream);
            }
            let write = self.write();
            if let ReadStop::Ended(end) = read.0 {
                return self.end(end).await;
            }
            match write.0 {
                WriteStop::Finish => {
                    return finish(&self.shared.stream, &self.shared.writer, self.reader).await;
                }
                WriteStop::Lost(loss) => return loss,
                WriteStop::Idle | WriteStop::Blocked | WriteStop::Limit => {}
            }
            moved += read.1 + write.1;
            let is_busy = matches!(read.0, ReadStop::Limit) || matches!(write.0, WriteStop::Limit);
            if moved >= TURN_LIMIT {
                moved = 0;
                tokio::task::yield_now().await;
            }
            if is_busy {
                continue;
            }
            moved = 0;
            if let Err(error) = self.wait(matches!(write.0, WriteStop::Blocked)).await {
                return loss(&error);
            }
        }
    }

    /// Reads what is there, up to the limit, and gives it to the session in one call.
    fn read(&mut self) -> (ReadStop, usize) {
        let (stop, count) = self.reader.read(&self.shared.stream, &mut self.frames, READ_LIMIT);
        if !self.frames.is_empty() {
            self.shared.client.receive(LaneId(0), &mut self.frames);
            frames::forget(&mut self.frames);
        }
        (stop, count)
    }

    fn write(&mut self) -> (WriteStop, usize) {
        let mut writer = self.shared.writer.lock();
        if self.reader.take_key_update_request() {
            writer.request_key_update();
        }
        writer.write(&self.shared.stream, &*self.shared.client, TURN_LIMIT)
    }

    async fn wait(&self, is_blocked: bool) -> io::Result<()> {
        let interest =
            if is_blocked { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        tokio::select! {
            ready = self.shared.stream.ready(interest) => ready.map(|_| ()),
            () = self.wakeup.woken() => Ok(()),
        }
    }

    /// The peer ended the link, in whatever way. The session had its last turn to send.
    async fn end(self, end: ReadEnd) -> LinkLoss {
        if let Some(alert) = end.alert {
            self.shared.writer.lock().queue_alert(alert);
        }
        if end.alert.is_some() || end.loss.is_answerable() {
            // Nobody waits for this goodbye, so the session need not either.
            let shared = Arc::clone(&self.shared);
            let reader = self.reader;
            tokio::spawn(async move { finish(&shared.stream, &shared.writer, reader).await });
        }
        end.loss
    }
}

impl Inline for Shared {
    fn flush(&self) -> bool {
        let Some(mut writer) = self.writer.try_lock() else {
            return false;
        };
        if !writer.is_idle() || writer.is_in_burst(Instant::now()) {
            return false;
        }
        let write = || writer.write(&self.stream, &*self.client, INLINE_LIMIT).0;
        // The caller is somebody who sends, and has no part in what goes wrong with the link.
        match panic::catch_unwind(AssertUnwindSafe(write)) {
            Ok(stop) => matches!(stop, WriteStop::Idle),
            Err(_) => {
                self.counters.count_panic();
                tracing::error!("A link's driver panicked");
                writer.fail();
                false
            }
        }
    }
}

/// Says goodbye: the rest, close_notify, end of writing; then reads to the end or for a second, so
/// that no unread byte turns the goodbye into a reset.
async fn finish(stream: &TcpStream, writer: &Mutex<Writer>, mut reader: Reader) -> LinkLoss {
    let goodbye = async {
        writer.lock().queue_close_notify();
        loop {
            match writer.lock().flush(stream, Instant::now()) {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => return Err(error),
            }
            stream.writable().await?;
        }
        socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write)?;
        loop {
            stream.readable().await?;
            if reader.discard(stream)? {
                return Ok(());
            }
        }
    };
    if let Ok(Err(error)) = time::timeout(FINISH_TIMEOUT, goodbye).await {
        tracing::debug!(%error, "Link did not end in order");
    }
    LinkLoss::Local
}

/// Lets the system forget what it still has to send.
fn abandon(stream: &TcpStream) -> LinkLoss {
    if let Err(error) = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "The system keeps an abandoned connection for a while");
    }
    LinkLoss::Local
}

/// What a failed call says about the link.
pub(super) fn loss(error: &io::Error) -> LinkLoss {
    match error.kind() {
        io::ErrorKind::TimedOut => LinkLoss::Timeout,
        _ => LinkLoss::Reset,
    }
}

trait Answerable {
    fn is_answerable(&self) -> bool;
}

impl Answerable for LinkLoss {
    /// Whether the peer may still listen.
    fn is_answerable(&self) -> bool {
        matches!(self, Self::Closed | Self::Malformed(_))
    }
}

/// Bytes written from a caller's own thread, so that it is not held up.
const INLINE_LIMIT: usize = 64 * 1024;
