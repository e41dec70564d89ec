//! What the halves of a stream, datagrams and pings do on their session.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use netcom_session::{
    Class, Code, DatagramError, Flow, OpenError as EngineOpenError, Progress, ReadError, ReadState,
    StreamId, WriteError,
};

use super::{
    SharedSession,
    effects::Effects,
    shared::{Inner, Ping, PingState, Place},
    slot::{Interest, Slot},
};
use crate::stream::{Delivery, OpenError, StreamError};

/// A stream the application holds; given up when the last handle goes.
#[derive(Clone, Debug)]
pub(crate) struct StreamHandle(Arc<Held>);

#[derive(Debug)]
struct Held {
    session: Arc<SharedSession>,
    id: StreamId,
}

/// What to open.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    /// The protocol's name.
    pub(crate) protocol: Bytes,
    /// How urgent it is.
    pub(crate) class: Class,
    /// The connection it belongs to; 0 for none.
    pub(crate) owner: u64,
}

impl StreamHandle {
    pub(crate) fn new(session: &Arc<SharedSession>, id: StreamId) -> Self {
        Self(Arc::new(Held { session: Arc::clone(session), id }))
    }

    /// The stream's name.
    pub(crate) fn id(&self) -> StreamId {
        self.0.id
    }

    /// The session it is a stream of.
    pub(crate) fn session(&self) -> &Arc<SharedSession> {
        &self.0.session
    }

    /// Moves the front of `queue` to the flow until the queue is empty, and tells how many bytes
    /// went. Pending with the number so far: the flow's room is used up.
    pub(crate) fn poll_write(
        &self,
        flow: Flow,
        queue: &mut VecDeque<Bytes>,
        cx: &mut Context<'_>,
    ) -> (usize, Poll<Result<(), StreamError>>) {
        let length = queue.front().map_or(0, Bytes::len);
        let is_short = queue.len() < 3 && length <= INLINE_LIMIT;
        let effects = if is_short { Effects::inline() } else { Effects::default() };
        let id = self.0.id;
        self.0.session.with_after(effects, |inner, now, effects| {
            let mut taken = 0;
            while let Some(front) = queue.front_mut() {
                if front.is_empty() {
                    queue.pop_front();
                    continue;
                }
                match inner.engine.write(id, flow, front, now) {
                    Err(error) => {
                        queue.clear();
                        return (taken, Poll::Ready(Err(inner.write_error(id, flow, &error))));
                    }
                    // Only a write that takes nothing makes the engine tell of room.
                    Ok(0) => {
                        inner.wait(id, Interest::Write(flow), cx);
                        return (taken, Poll::Pending);
                    }
                    Ok(count) => taken += count,
                }
            }
            effects.may_delay = true;
            (taken, Poll::Ready(Ok(())))
        })
    }

    /// Ends a flow after what was written.
    pub(crate) fn finish(&self, flow: Flow) -> Result<(), StreamError> {
        let id = self.0.id;
        self.0.session.with(Effects::inline(), |inner, now| {
            let finished = inner.engine.finish(id, flow, now);
            finished.map_err(|error| inner.write_error(id, flow, &error))
        })
    }

    /// Ends both sending flows after what was written.
    pub(crate) fn finish_all(&self) -> Result<(), StreamError> {
        let id = self.0.id;
        self.0.session.with(Effects::inline(), |inner, now| {
            let finished = inner.engine.finish_all(id, now);
            finished.map_err(|error| inner.write_error(id, Flow::Data, &error))
        })
    }

    /// Takes what fits of an answer, and ends both sending flows if that was all of it.
    pub(crate) fn answer(&self, bytes: &mut Bytes) -> Result<(), StreamError> {
        let id = self.0.id;
        self.0.session.with(Effects::inline(), |inner, now| {
            let written = inner.engine.write(id, Flow::Data, bytes, now);
            let finished = written.and_then(|_| {
                if bytes.is_empty() { inner.engine.finish_all(id, now) } else { Ok(()) }
            });
            finished.map_err(|error| inner.write_error(id, Flow::Data, &error))
        })
    }

    /// Waits until everything up to the flow's end was acknowledged.
    pub(crate) fn poll_finished(
        &self,
        flow: Flow,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), StreamError>> {
        let id = self.0.id;
        let mut inner = self.0.session.lock();
        let Some(slot) = inner.slots.get(&id) else { return Poll::Ready(Ok(())) };
        if let Some(code) = slot.stopped(flow) {
            return Poll::Ready(Err(StreamError::reset(code, inner.delivery(id, flow))));
        }
        match (inner.engine.send_progress(id, flow), inner.engine.closed().is_some()) {
            (Some(Progress { is_finished: true, .. }), _) | (None, false) => Poll::Ready(Ok(())),
            (None, true) if slot.ended_whole => Poll::Ready(Ok(())),
            (_, true) => {
                let code = inner.ended_code();
                let delivery = inner.delivery(id, flow);
                Poll::Ready(Err(StreamError::SessionEnded { code, delivery }))
            }
            (Some(_), false) => {
                inner.wait(id, Interest::Finish(flow), cx);
                Poll::Pending
            }
        }
    }

    /// Waits until the peer wants no more of the data flow, or the session is over.
    pub(crate) fn poll_stopped(&self, cx: &mut Context<'_>) -> Poll<Code> {
        let mut inner = self.0.session.lock();
        let stopped = inner.slots.get(&self.0.id).and_then(|slot| slot.stopped(Flow::Data));
        if let Some(code) = stopped {
            return Poll::Ready(code);
        }
        if inner.engine.closed().is_some() {
            return Poll::Ready(inner.ended_code());
        }
        inner.wait(self.0.id, Interest::Stop, cx);
        Poll::Pending
    }

    /// Moves up to `max` bytes of a flow to the end of `chunks`.
    pub(crate) fn poll_read(
        &self,
        flow: Flow,
        max: usize,
        chunks: &mut VecDeque<Bytes>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<ReadState, StreamError>> {
        let id = self.0.id;
        self.0.session.with(Effects::delaying(), |inner, now| {
            match inner.engine.read(id, flow, max, chunks, now) {
                Ok(ReadState::Blocked) => {
                    inner.wait(id, Interest::Read(flow), cx);
                    Poll::Pending
                }
                Ok(state) => Poll::Ready(Ok(state)),
                Err(error) => Poll::Ready(inner.read_error(id, flow, &error)),
            }
        })
    }

    /// Gives a sending flow up.
    pub(crate) fn reset(&self, flow: Flow, code: Code) {
        let id = self.0.id;
        self.0.session.with(Effects::default(), |inner, now| {
            inner.engine.reset(id, flow, code, now);
        });
    }

    /// Stops reading a flow.
    pub(crate) fn stop(&self, flow: Flow, code: Code) {
        let id = self.0.id;
        self.0
            .session
            .with(Effects::default(), |inner, now| inner.engine.stop(id, flow, code, now));
    }

    /// Turns the stream away in both directions.
    pub(crate) fn refuse(&self, code: Code) {
        let id = self.0.id;
        self.0.session.with(Effects::default(), |inner, now| inner.give_up(id, code, now));
    }

    /// How much of what was written to a flow arrived.
    pub(crate) fn delivery(&self, flow: Flow) -> Delivery {
        self.0.session.lock().delivery(self.0.id, flow)
    }

    /// How far a sending flow has come.
    pub(crate) fn progress(&self, flow: Flow) -> Option<Progress> {
        self.0.session.lock().engine.send_progress(self.0.id, flow)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The slot's wakers go after the lock is gone.
        let _slot = self.session.with(Effects::default(), |inner, now| {
            inner.engine.release(self.id, now);
            inner.slots.remove(&self.id)
        });
    }
}

impl SharedSession {
    /// Opens a stream and moves what fits of `first` to it; with `finish`, and if all of it fits,
    /// ends both sending flows too, so that a short exchange takes one frame.
    pub(crate) async fn open(
        self: &Arc<Self>,
        what: Opened,
        first: &mut Bytes,
        finish: bool,
    ) -> Result<StreamHandle, OpenError> {
        let mut place = Place { session: self, ticket: None, queue: |inner| &mut inner.openers };
        let id = poll_fn(|cx| {
            self.with(Effects::inline(), |inner, now| {
                if !inner.openers.is_first(place.ticket) && inner.engine.closed().is_none() {
                    inner.openers.wait(&mut place.ticket, cx.waker());
                    return Poll::Pending;
                }
                let opened = match inner.engine.open(what.class, what.protocol.clone(), now) {
                    Err(EngineOpenError::Blocked) => {
                        inner.openers.wait(&mut place.ticket, cx.waker());
                        return Poll::Pending;
                    }
                    Err(error) => Err(open_error(&error)),
                    Ok(id) => {
                        inner.begin(id, &what, first, finish, now);
                        Ok(id)
                    }
                };
                inner.openers.leave(&mut place.ticket);
                let next = inner.openers.first();
                inner.woken.extend(next);
                Poll::Ready(opened)
            })
        });
        id.await.map(|id| StreamHandle::new(self, id))
    }

    /// Offers a stream of the peer to whoever asks this session for streams. False where too many
    /// wait already.
    pub(crate) fn offer(self: &Arc<Self>, id: StreamId) -> bool {
        self.with(Effects::default(), |inner, _| {
            if inner.incoming.len() >= MAX_OFFERED {
                return false;
            }
            inner.incoming.push_back(id);
            let first = inner.acceptors.first();
            inner.woken.extend(first);
            true
        })
    }

    /// The next stream the peer opened for the application, with its protocol's name; `None` once
    /// the session is over.
    pub(crate) async fn accept(self: &Arc<Self>) -> Option<(StreamHandle, Bytes)> {
        let mut place = Place { session: self, ticket: None, queue: |inner| &mut inner.acceptors };
        let taken = poll_fn(|cx| {
            self.with(Effects::delaying(), |inner, _| {
                while let Some(id) = inner.incoming.pop_front() {
                    let Some(slot) = inner.slots.get(&id) else { continue };
                    let protocol = slot.protocol.clone();
                    inner.acceptors.leave(&mut place.ticket);
                    let next = inner.acceptors.first().filter(|_| !inner.incoming.is_empty());
                    inner.woken.extend(next);
                    return Poll::Ready(Some((id, protocol)));
                }
                if inner.engine.closed().is_some() {
                    return Poll::Ready(None);
                }
                inner.acceptors.wait(&mut place.ticket, cx.waker());
                Poll::Pending
            })
        })
        .await;
        taken.map(|(id, protocol)| (StreamHandle::new(self, id), protocol))
    }

    /// Gives all streams up that were opened through a connection.
    pub(crate) fn give_up_of(self: &Arc<Self>, owner: u64, code: Code) {
        self.with(Effects::default(), |inner, now| {
            let owned = inner.slots.iter().filter(|(_, slot)| slot.owner == owner);
            let ids: Vec<StreamId> = owned.map(|(id, _)| *id).collect();
            ids.into_iter().for_each(|id| inner.give_up(id, code, now));
        });
    }

    /// Sends an unreliable message.
    pub(crate) fn send_datagram(
        self: &Arc<Self>,
        flow: u64,
        bytes: Bytes,
        ttl: Duration,
    ) -> Result<(), DatagramError> {
        self.with(Effects::inline(), |inner, now| inner.engine.send_datagram(flow, bytes, ttl, now))
    }

    /// The oldest unreliable message of a flow; `None` once the session is over.
    pub(crate) async fn recv_datagram(self: &Arc<Self>, flow: u64) -> Option<Bytes> {
        let mut place = Place { session: self, ticket: None, queue: |inner| &mut inner.receivers };
        poll_fn(|cx| {
            let mut inner = self.lock();
            while let Some((of, bytes)) = inner.engine.recv_datagram() {
                if of == flow {
                    return Poll::Ready(Some(bytes));
                }
            }
            if inner.engine.closed().is_some() {
                return Poll::Ready(None);
            }
            inner.receivers.wait(&mut place.ticket, cx.waker());
            Poll::Pending
        })
        .await
    }

    /// Measures the round trip of the link in use; `None` where there is none, or it dies. Where
    /// another one takes its place, that is measured.
    pub(crate) async fn ping(self: &Arc<Self>) -> Option<Duration> {
        for _ in 0..PING_ATTEMPTS {
            if let Some(took) = self.ping_link().await {
                return Some(took);
            }
        }
        None
    }

    async fn ping_link(self: &Arc<Self>) -> Option<Duration> {
        let pending = self.with(Effects::inline(), |inner, now| {
            let link = inner.engine.active_link()?;
            if inner.pings.len() >= MAX_PINGS {
                return None;
            }
            let nonce = inner.engine.ping(link, now)?;
            inner.pings.insert(nonce, Ping { link, state: PingState::Waiting });
            Some(PendingPing { session: self, nonce })
        })?;
        let nonce = pending.nonce;
        self.watch(|inner| match inner.pings.get(&nonce).map(|ping| ping.state) {
            Some(PingState::Waiting) => None,
            Some(PingState::Answered(rtt)) => Some(Some(rtt)),
            Some(PingState::Lost) | None => Some(None),
        })
        .await
    }
}

/// Forgets a ping whose future is dropped.
struct PendingPing<'a> {
    session: &'a Arc<SharedSession>,
    nonce: u64,
}

impl Drop for PendingPing<'_> {
    fn drop(&mut self) {
        self.session.lock().pings.remove(&self.nonce);
    }
}

impl Inner {
    /// Enters a new stream and gives it its first bytes.
    fn begin(
        &mut self,
        id: StreamId,
        what: &Opened,
        first: &mut Bytes,
        finish: bool,
        now: netcom_session::Time,
    ) {
        let slot = Slot::new(what.protocol.clone(), true, what.owner);
        self.slots.insert(id, slot);
        // A stream opened under this very lock takes its first bytes and its end.
        let written = self.engine.write(id, Flow::Data, first, now);
        if finish && first.is_empty() && written.is_ok() {
            let _ = self.engine.finish_all(id, now);
        }
    }

    fn give_up(&mut self, id: StreamId, code: Code, now: netcom_session::Time) {
        self.engine.reset(id, Flow::Data, code, now);
        self.engine.stop(id, Flow::Data, code, now);
        if let Some(slot) = self.slots.get_mut(&id) {
            self.woken.extend(slot.take_all());
        }
    }

    fn wait(&mut self, id: StreamId, interest: Interest, cx: &Context<'_>) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.wait(interest, cx.waker());
        }
    }

    pub(super) fn ended_code(&self) -> Code {
        self.engine.closed().map_or(Code::NO_ERROR, |closed| closed.code)
    }

    fn write_error(&self, id: StreamId, flow: Flow, error: &WriteError) -> StreamError {
        match *error {
            WriteError::Reset(code) => StreamError::reset(code, self.delivery(id, flow)),
            WriteError::SessionEnded(code) => {
                StreamError::SessionEnded { code, delivery: self.delivery(id, flow) }
            }
            _ => match self.slots.get(&id).and_then(|slot| slot.stopped(flow)) {
                Some(code) => StreamError::reset(code, self.delivery(id, flow)),
                None => StreamError::Finished,
            },
        }
    }

    fn read_error(
        &self,
        id: StreamId,
        flow: Flow,
        error: &ReadError,
    ) -> Result<ReadState, StreamError> {
        let delivery = || self.delivery(id, Flow::Data);
        match *error {
            ReadError::Reset(code) => Err(StreamError::reset(code, delivery())),
            ReadError::SessionEnded(_) if self.ended_whole(id) => Ok(ReadState::Finished),
            ReadError::SessionEnded(code) => {
                let _ = flow;
                Err(StreamError::SessionEnded { code, delivery: delivery() })
            }
            _ => Err(StreamError::Stopped),
        }
    }

    fn ended_whole(&self, id: StreamId) -> bool {
        self.slots.get(&id).is_some_and(|slot| slot.ended_whole)
    }

    fn delivery(&self, id: StreamId, flow: Flow) -> Delivery {
        match self.engine.send_progress(id, flow) {
            None if self.slots.get(&id).is_some_and(|slot| slot.stopped(flow).is_some()) => {
                Delivery::Unknown
            }
            None | Some(Progress { is_finished: true, .. }) => Delivery::Delivered,
            Some(progress) if progress.written > 0 && progress.sent == 0 => Delivery::NotSent,
            Some(_) => Delivery::Unknown,
        }
    }
}

fn open_error(error: &EngineOpenError) -> OpenError {
    match *error {
        EngineOpenError::ProtocolTooLong(length) => OpenError::ProtocolTooLong(length),
        EngineOpenError::Ending(code) => OpenError::SessionEnded(code),
        _ => OpenError::SessionEnded(Code::INTERNAL),
    }
}

/// Writes up to this length are sent from the writer's own thread if the link is idle; longer ones
/// are left to the driver, so that the writer prepares the next while this one is encrypted.
const INLINE_LIMIT: usize = 16 << 10;
/// Streams of a peer that may wait for the application.
const MAX_OFFERED: usize = 256;
/// Pings of a session on their way.
const MAX_PINGS: usize = 16;
/// Links whose end a ping outlives: one that is ended for another, and that one.
const PING_ATTEMPTS: usize = 3;
