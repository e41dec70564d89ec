//! The driver of a QUIC link: one task for all lanes.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, join_all},
    stream::FuturesUnordered,
};
use netcom_session::{
    Batch, Code, LaneId, LinkLoss,
    wire::{Frame, FrameLimits},
};
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, VarInt};
use tokio::time;

use super::{
    FINISH_TIMEOUT, LinkClient, LinkDriver, READ_LIMIT, TURN_LIMIT, Wakeup,
    frames::{self, FrameReader},
    pace::MAX_BATCH,
    quic_lanes::Lanes,
    spawn,
};
use crate::{counters::Counters, handshake::alert_name};

/// An authenticated QUIC connection that no session drives yet.
#[derive(Debug)]
pub(crate) struct QuicLink {
    connection: Guard,
    is_dialer: bool,
    /// The acceptor's lane 0, once the dialer has sent on it.
    first: Option<(SendStream, ReadLane)>,
}

/// Closes the connection with an error unless it ended in order before: a driver that is dropped
/// must look like a failure, and quinn would otherwise say goodbye in its name.
#[derive(Debug)]
struct Guard(Connection);

/// One lane of the peer's.
#[derive(Debug)]
struct ReadLane {
    id: LaneId,
    stream: RecvStream,
    frames: FrameReader,
}

/// Something the connection has for the driver.
enum Input {
    /// A lane brought bytes.
    Read(ReadLane, Vec<Bytes>),
    /// A lane ended; by the peer's last byte, or it was given up.
    LaneEnded { lane: ReadLane, is_finished: bool },
    /// The peer opened a lane.
    Opened(RecvStream),
    /// The connection is over.
    Lost(ConnectionError),
}

type Inputs = FuturesUnordered<BoxFuture<'static, Input>>;

struct Driver {
    connection: Guard,
    client: Arc<dyn LinkClient>,
    wakeup: Arc<Wakeup>,
    inputs: Inputs,
    lanes: Lanes,
    batch: Batch,
    frames: Vec<Frame>,
    /// Lanes that hold packets of an unfinished frame.
    holding: usize,
    /// A lane ended inside a frame.
    is_truncated: bool,
}

/// Why the driver stops.
enum End {
    /// The session is done with the link.
    Finish,
    /// The peer has said its last byte.
    PeerFinished,
    /// The connection is over, or to be ended for that reason.
    Lost(LinkLoss),
}

impl QuicLink {
    pub(crate) fn new(connection: Connection, is_dialer: bool) -> Self {
        Self { connection: Guard(connection), is_dialer, first: None }
    }

    /// Reads the link's first frame and leaves what follows for the driver.
    pub(crate) async fn first_frame(&mut self) -> Result<Frame, LinkLoss> {
        if self.first.is_none() {
            let opened = self.connection.0.accept_bi().await;
            let (send, receive) = opened.map_err(|error| loss(&error))?;
            self.first = Some((send, ReadLane::new(receive, LaneId(0))));
        }
        let Some((_, lane)) = &mut self.first else {
            return Err(LinkLoss::Local);
        };
        loop {
            match lane.frames.next() {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => {}
                Err(error) => return Err(LinkLoss::Malformed(error.code())),
            }
            match lane.stream.read_chunk(FIRST_READ, true).await {
                Ok(Some(chunk)) => lane.frames.hold(&chunk.bytes),
                Err(ReadError::ConnectionLost(error)) => return Err(loss(&error)),
                Ok(None) | Err(_) => return Err(LinkLoss::Reset),
            }
        }
    }

    /// Sends bytes and ends the link in order.
    pub(crate) async fn finish_with(self, bytes: &[u8]) -> LinkLoss {
        let connection = &self.connection.0;
        if bytes.is_empty() {
            connection.close(DONE, b"");
            return LinkLoss::Local;
        }
        let goodbye = async {
            let (mut send, mut receive) = match self.first {
                Some((send, lane)) => (send, lane.stream),
                None => connection.open_bi().await.ok()?,
            };
            send.write_all(bytes).await.ok()?;
            send.finish().ok()?;
            // The peer answers the end with its own when it has read this. A close before that
            // would discard it.
            while receive.read_chunk(FIRST_READ, false).await.ok()?.is_some() {}
            Some(())
        };
        if !matches!(time::timeout(FINISH_TIMEOUT, goodbye).await, Ok(Some(_))) {
            tracing::debug!("Link did not end in order");
        }
        connection.close(DONE, b"");
        LinkLoss::Local
    }

    /// Hands the link to a session.
    pub(crate) fn start(self, client: Arc<dyn LinkClient>, counters: Arc<Counters>) -> LinkDriver {
        let wakeup = Arc::new(Wakeup::default());
        let quic = Some(self.connection.0.clone());
        let driver = run(self, Arc::clone(&client), Arc::clone(&wakeup));
        spawn(driver, client, counters);
        LinkDriver { wakeup, inline: None, quic }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Without effect after an orderly close.
        self.0.close(ABORTED, b"the driver ended");
    }
}

async fn run(link: QuicLink, client: Arc<dyn LinkClient>, wakeup: Arc<Wakeup>) -> LinkLoss {
    let QuicLink { connection, is_dialer, first } = link;
    let (send, lane) = match first {
        Some(first) => first,
        None => {
            let opened = if is_dialer {
                connection.0.open_bi().await
            } else {
                connection.0.accept_bi().await
            };
            match opened {
                Ok((send, receive)) => (send, ReadLane::new(receive, LaneId(0))),
                Err(error) => return loss(&error),
            }
        }
    };
    let driver = Driver {
        lanes: Lanes::new(connection.0.clone(), send),
        connection,
        client,
        wakeup,
        inputs: FuturesUnordered::new(),
        batch: Batch::new(),
        frames: Vec::new(),
        holding: 0,
        is_truncated: false,
    };
    driver.run(lane).await
}

impl Driver {
    async fn run(mut self, first: ReadLane) -> LinkLoss {
        let opening = self.connection.0.clone();
        self.inputs.push(next_opened(opening).boxed());
        // What came behind the first frame was read with it.
        let mut end = self.handle(Input::Read(first, Vec::new())).err();
        let mut moved = 0;
        while end.is_none() {
            match self.turn() {
                Ok((count, is_busy)) => {
                    moved += count;
                    if moved >= TURN_LIMIT {
                        moved = 0;
                        tokio::task::yield_now().await;
                    }
                    if !is_busy {
                        moved = 0;
                        end = self.wait().await.err();
                    }
                }
                Err(stop) => end = Some(stop),
            }
        }
        match end {
            Some(End::Lost(loss)) => self.end(loss),
            Some(End::PeerFinished) => {
                // The session's last turn to send; what it says then matters no more.
                let _ = self.transmit();
                self.finish(true).await
            }
            Some(End::Finish) | None => self.finish(false).await,
        }
    }

    /// Takes what is there, then sends what the session has. Tells how many bytes moved and
    /// whether more can move at once.
    fn turn(&mut self) -> Result<(usize, bool), End> {
        let mut count = 0;
        let mut end = None;
        // The waiting future below polls these again with the task's waker before it sleeps.
        while count < READ_LIMIT
            && let Some(Some(input)) = self.inputs.next().now_or_never()
        {
            match self.handle(input) {
                Ok(taken) => count += taken,
                Err(stop) => {
                    end = Some(stop);
                    break;
                }
            }
        }
        let has_read_all = count < READ_LIMIT;
        self.wakeup.answer();
        if self.wakeup.is_aborted() {
            return Err(End::Lost(LinkLoss::Local));
        }
        let sent = self.transmit();
        if let Some(end) = end {
            return Err(end);
        }
        let (sent, has_sent_all) = sent?;
        Ok((count + sent, !(has_read_all && has_sent_all)))
    }

    async fn wait(&mut self) -> Result<(), End> {
        let is_blocked = self.lanes.is_blocked();
        let Self { inputs, wakeup, lanes, .. } = self;
        let input = tokio::select! {
            input = inputs.next() => input,
            () = wakeup.woken() => None,
            flushed = poll_fn(|cx| lanes.poll_flush(cx)), if is_blocked => {
                flushed.map_err(End::Lost)?;
                None
            }
        };
        match input {
            Some(input) => self.handle(input).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Gives an input to the session and waits for its source's next one.
    fn handle(&mut self, input: Input) -> Result<usize, End> {
        match input {
            Input::Read(mut lane, chunks) => {
                let count = chunks.iter().map(Bytes::len).sum();
                let (client, id) = (&self.client, lane.id);
                let take = |frames: &mut Vec<Frame>| client.receive(id, frames);
                self.holding -= usize::from(lane.frames.holds_packets());
                let may_hold = self.holding < MAX_HOLDING;
                let result = lane.frames.gather(chunks, may_hold, &mut self.frames, take);
                self.holding += usize::from(lane.frames.holds_packets());
                if !self.frames.is_empty() {
                    self.client.receive(lane.id, &mut self.frames);
                    frames::forget(&mut self.frames);
                }
                result.map_err(|error| End::Lost(LinkLoss::Malformed(error.code())))?;
                self.inputs.push(next_read(lane).boxed());
                Ok(count)
            }
            // A lane that ends says nothing about the streams on it. The first one's end between
            // two frames is the goodbye.
            Input::LaneEnded { lane, is_finished } => {
                self.holding -= usize::from(lane.frames.holds_packets());
                self.is_truncated |= !lane.frames.is_at_boundary();
                if lane.id == LaneId(0) && is_finished && !self.is_truncated {
                    return Err(End::PeerFinished);
                }
                Ok(0)
            }
            Input::Opened(stream) => {
                let number = stream.id().index() + 1;
                if number > MAX_LANES_EVER {
                    return Err(End::Lost(LinkLoss::Malformed(Code::PROTOCOL_VIOLATION)));
                }
                self.inputs.push(next_read(ReadLane::new(stream, LaneId(number))).boxed());
                self.inputs.push(next_opened(self.connection.0.clone()).boxed());
                Ok(0)
            }
            Input::Lost(error) => match loss(&error) {
                LinkLoss::Closed if self.is_truncated => Err(End::Lost(LinkLoss::Reset)),
                loss => Err(End::Lost(loss)),
            },
        }
    }

    /// Asks the session for batches until it has none or the connection takes no more.
    fn transmit(&mut self) -> Result<(usize, bool), End> {
        let mut count = 0;
        loop {
            let flushed = poll_fn(|cx| self.lanes.poll_flush(cx)).now_or_never();
            flushed.transpose().map_err(End::Lost)?;
            if self.lanes.queued() >= MAX_BATCH {
                return Ok((count, true));
            }
            if count >= TURN_LIMIT {
                return Ok((count, false));
            }
            let poll = self.client.transmit(MAX_BATCH, &mut self.batch);
            count += self.batch.len_bytes();
            let queued = self.lanes.queue(&self.batch);
            self.batch.clear();
            queued.map_err(End::Lost)?;
            match poll {
                netcom_session::Poll::More => {}
                netcom_session::Poll::Finish => return Err(End::Finish),
                netcom_session::Poll::Idle => {
                    let flushed = poll_fn(|cx| self.lanes.poll_flush(cx)).now_or_never();
                    flushed.transpose().map_err(End::Lost)?;
                    return Ok((count, true));
                }
            }
        }
    }

    /// Ends the connection for a reason of the peer's.
    fn end(self, loss: LinkLoss) -> LinkLoss {
        if let LinkLoss::Malformed(code) = &loss {
            let code = VarInt::from_u64(code.0).unwrap_or(ABORTED);
            self.connection.0.close(code, b"malformed");
        }
        loss
    }

    /// Says goodbye: the rest, the end of each lane; then waits for the peer's, so that a close
    /// discards nothing.
    async fn finish(mut self, is_answer: bool) -> LinkLoss {
        let goodbye = async {
            poll_fn(|cx| self.lanes.poll_flush(cx)).await.ok()?;
            join_all(self.lanes.finish()).await;
            if is_answer {
                return Some(self.connection.0.closed().await);
            }
            loop {
                match self.inputs.next().await? {
                    Input::Read(lane, _) => self.inputs.push(next_read(lane).boxed()),
                    Input::LaneEnded { lane, .. } if lane.id == LaneId(0) => return None,
                    Input::LaneEnded { .. } | Input::Opened(_) => {}
                    Input::Lost(error) => return Some(error),
                }
            }
        };
        if time::timeout(FINISH_TIMEOUT, goodbye).await.is_err() {
            tracing::debug!("Link did not end in order");
        }
        self.connection.0.close(DONE, b"");
        if is_answer { LinkLoss::Closed } else { LinkLoss::Local }
    }
}

impl ReadLane {
    fn new(stream: RecvStream, id: LaneId) -> Self {
        Self { id, stream, frames: FrameReader::new(FrameLimits::QUIC) }
    }
}

/// Waits for a lane's next bytes.
async fn next_read(mut lane: ReadLane) -> Input {
    // A lane that waits holds no room for chunks: there may be many, and most are idle.
    let read = poll_fn(|cx| {
        let mut chunks = [const { Bytes::new() }; CHUNKS];
        let count = ready!(pin!(lane.stream.read_chunks(&mut chunks)).poll(cx))?;
        Poll::Ready(Ok(count.map(|count| Vec::from_iter(chunks.into_iter().take(count)))))
    });
    match read.await {
        Ok(Some(chunks)) => Input::Read(lane, chunks),
        Ok(None) => Input::LaneEnded { lane, is_finished: true },
        Err(ReadError::ConnectionLost(error)) => Input::Lost(error),
        Err(_) => Input::LaneEnded { lane, is_finished: false },
    }
}

/// Waits for the next lane the peer opens.
async fn next_opened(connection: Connection) -> Input {
    match connection.accept_uni().await {
        Ok(stream) => Input::Opened(stream),
        Err(error) => Input::Lost(error),
    }
}

/// What the end of a connection says about the link.
pub(super) fn loss(error: &ConnectionError) -> LinkLoss {
    match error {
        ConnectionError::ApplicationClosed(close) if close.error_code == DONE => LinkLoss::Closed,
        ConnectionError::TimedOut => LinkLoss::Timeout,
        ConnectionError::LocallyClosed => LinkLoss::Local,
        ConnectionError::ConnectionClosed(close) => {
            alert(close.error_code.into()).map_or(LinkLoss::Reset, LinkLoss::Tls)
        }
        ConnectionError::TransportError(error) => {
            alert(error.code.into()).map_or(LinkLoss::Reset, LinkLoss::Tls)
        }
        _ => LinkLoss::Reset,
    }
}

/// The TLS alert behind a QUIC error code,
/// [RFC 9001 section 4.8](https://www.rfc-editor.org/rfc/rfc9001#section-4.8).
pub(crate) fn alert(code: u64) -> Option<String> {
    let alert = code.checked_sub(0x100).and_then(|alert| u8::try_from(alert).ok())?;
    Some(alert_name(alert.into()))
}

/// The connection's end after a goodbye.
const DONE: VarInt = VarInt::from_u32(0);
/// The connection's end without one.
const ABORTED: VarInt = VarInt::from_u32(1);
/// Lanes a peer may open on one link over its life.
const MAX_LANES_EVER: u64 = 4096;
/// Packets' worth of bytes taken from a lane at once.
const CHUNKS: usize = 64;
const FIRST_READ: usize = 64 * 1024;
/// Lanes that may hold packets of an unfinished frame, which pin half a mebibyte as a rule.
const MAX_HOLDING: usize = 8;
