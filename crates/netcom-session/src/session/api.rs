//! What the application does with streams and datagrams.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{
    Session,
    event::{DatagramError, IncomingStream, OpenError, Progress, ReadError, ReadState, WriteError},
    receive_flow::Room,
    send::{Mark, Written},
    stream::Stream,
};
use crate::{
    Class, Code, Flow, StreamId, Time,
    wire::{MAX_DATAGRAM, MAX_PROTOCOL, MAX_VARINT},
};

impl Session {
    /// Sets the session's share of its process's memory: it grants at most so much to the peer,
    /// half of it by windows that grow, and keeps at most half as much until it is acknowledged.
    /// Beyond that no window grows, streams of the peer are refused with [`Code::OVERLOADED`] and
    /// writers wait. What was granted or taken before stands. Default: no limit but the config's.
    pub fn limit_memory(&mut self, share: u64) {
        self.core.share = share;
    }

    /// What the session may have to hold now: what it granted, and what it keeps until the peer
    /// acknowledges it.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.core.granted + self.core.retained as u64
    }

    /// Whether streams can be opened, now or once there is room: neither side ends the session or
    /// drains it.
    #[must_use]
    pub fn takes_streams(&self) -> bool {
        let is_ending = self.core.ended.is_some() || self.closing.is_some();
        !is_ending && self.core.peer_drain.is_none()
    }

    /// Opens a stream. The peer learns of it with the first frame, which goes out at once.
    ///
    /// # Errors
    /// [`OpenError::Blocked`]: wait for
    /// [`Event::StreamsAvailable`](super::Event::StreamsAvailable). The others are final for this
    /// session.
    pub fn open(
        &mut self,
        class: Class,
        protocol: Bytes,
        now: Time,
    ) -> Result<StreamId, OpenError> {
        self.advance(now);
        if protocol.len() > MAX_PROTOCOL {
            return Err(OpenError::ProtocolTooLong(protocol.len()));
        }
        if let Some(closed) = &self.core.ended {
            return Err(OpenError::Ending(closed.code));
        }
        if let Some(closing) = &self.closing {
            return Err(OpenError::Ending(closing.code));
        }
        if self.core.peer_drain.is_some() {
            return Err(OpenError::Ending(Code::NOT_PROCESSED));
        }
        if self.core.opened >= self.core.may_open {
            self.core.opener_waits = true;
            return Err(OpenError::Blocked);
        }
        let id = StreamId::new(self.core.opened, self.core.is_keeper);
        self.core.opened += 1;
        let floor = super::config::DATA_FLOOR;
        let mut stream = Box::new(Stream::new(id, true, &self.core.peer_limits, floor, now));
        stream.class = class;
        stream.protocol = protocol;
        if let Some(send) = stream.send_existing(Flow::Data) {
            send.open = Mark::Queued;
        }
        self.core.insert(stream);
        self.core.schedule(id, Flow::Data);
        Ok(id)
    }

    /// The next stream the peer opened. After `None`,
    /// [`Event::Incoming`](super::Event::Incoming) tells of the next.
    pub fn accept(&mut self) -> Option<IncomingStream> {
        while let Some(id) = self.core.incoming.pop_front() {
            let Some(stream) = self.core.streams.get_mut(&id) else { continue };
            stream.is_accepted = true;
            let (class, protocol) = (stream.class, stream.protocol.clone());
            return Some(IncomingStream { id, class, protocol });
        }
        None
    }

    /// Takes as much off the front of `bytes` as fits and returns how much that was. Zero for
    /// non-empty bytes: wait for [`Event::Writable`](super::Event::Writable).
    ///
    /// # Errors
    /// Nothing was taken, and nothing ever will be.
    pub fn write(
        &mut self,
        id: StreamId,
        flow: Flow,
        bytes: &mut Bytes,
        now: Time,
    ) -> Result<usize, WriteError> {
        self.advance(now);
        if let Some(closed) = &self.core.ended {
            return Err(WriteError::SessionEnded(closed.code));
        }
        let budget = self.core.spare_retention();
        let is_contended = !self.core.budget_waiters.is_empty();
        let limits = self.core.peer_limits;
        let stream = self.core.streams.get_mut(&id).ok_or(WriteError::Finished)?;
        stream.is_answered = true;
        let send = stream.send(flow, &limits).ok_or(WriteError::Finished)?;
        if let Some((code, _)) = send.reset {
            return Err(WriteError::Reset(code));
        }
        if !send.is_open() {
            return Err(WriteError::Finished);
        }
        let offer = std::mem::take(&mut send.budget_offer);
        self.core.offers.answer(offer);
        let turn = std::mem::take(&mut send.budget_turn);
        // Who comes along overtakes neither those that stand in line nor those that were called,
        // unless nothing is kept: those may never come, and no acknowledgement would call anybody.
        let free = if self.core.retained == 0 && turn == 0 {
            budget
        } else if is_contended {
            0
        } else {
            budget.saturating_sub(self.core.offers.open)
        };
        let budget = free.max(turn.min(budget));
        let Written { taken, charged } = send.write(bytes, budget);
        send.budget_turn = turn.saturating_sub(taken);
        if taken == 0 && !bytes.is_empty() {
            send.writer_waits = true;
            send.budget_turn = 0;
            if budget == 0
                && send.room() > 0
                && !std::mem::replace(&mut send.waits_for_budget, true)
            {
                self.core.budget_waiters.push_back((id, flow));
            }
        }
        self.core.retained += charged;
        let is_blocked = send_is_blocked(self, id, flow);
        if is_blocked {
            self.core.note_blocked(id, flow, now);
        }
        self.core.schedule(id, flow);
        if is_contended {
            self.core.wake_budget_waiters();
        }
        Ok(taken)
    }

    /// Ends a flow after what was written;
    /// [`Event::Finished`](super::Event::Finished) tells when all of it was acknowledged.
    ///
    /// # Errors
    /// The flow was reset, or the session is over.
    pub fn finish(&mut self, id: StreamId, flow: Flow, now: Time) -> Result<(), WriteError> {
        self.advance(now);
        if let Some(closed) = &self.core.ended {
            return Err(WriteError::SessionEnded(closed.code));
        }
        let reset = self.core.streams.get(&id).and_then(|stream| stream.send_ref(flow)?.reset);
        if let Some((code, _)) = reset {
            return Err(WriteError::Reset(code));
        }
        if let Some(stream) = self.core.streams.get_mut(&id) {
            stream.is_answered = true;
        }
        self.core.finish_flow(id, flow);
        Ok(())
    }

    /// Ends both sending flows of a stream after what was written. Costs no frame more than ending
    /// the data where nothing was sent on the error flow.
    ///
    /// # Errors
    /// The data flow was reset, or the session is over.
    pub fn finish_all(&mut self, id: StreamId, now: Time) -> Result<(), WriteError> {
        self.finish(id, Flow::Data, now)?;
        self.core.end_errors(id);
        Ok(())
    }

    /// Gives a sending flow up: what was not sent yet never will be.
    pub fn reset(&mut self, id: StreamId, flow: Flow, code: Code, now: Time) {
        self.advance(now);
        if self.core.ended.is_none() {
            self.core.reset_flow(id, flow, code);
        }
    }

    /// Stops reading a flow and asks the peer to stop writing it.
    pub fn stop(&mut self, id: StreamId, flow: Flow, code: Code, now: Time) {
        self.advance(now);
        if self.core.ended.is_none() {
            self.core.stop_flow(id, flow, code, now);
        }
    }

    /// Moves up to `max` bytes of a flow to the end of `chunks`, without copying.
    ///
    /// # Errors
    /// The flow ended otherwise than by its end; all that came before was read.
    pub fn read(
        &mut self,
        id: StreamId,
        flow: Flow,
        max: usize,
        chunks: &mut VecDeque<Bytes>,
        now: Time,
    ) -> Result<ReadState, ReadError> {
        self.advance(now);
        let room = Room {
            max_window: self.core.config.max_window,
            spare: self.core.spare_grant(),
            fair: self.core.fair_window(),
        };
        let rtt = self.core.rtt;
        let ended = self.core.ended.as_ref().map(|closed| closed.code);
        let outcome = self.core.change_stream(id, |stream| {
            let Some(receive) = stream.receive(flow, now) else {
                return (Ok(ReadState::Finished), false);
            };
            if receive.is_stopped() {
                return (Err(ReadError::Stopped), false);
            }
            let taken = receive.read(max, chunks);
            let credit = taken > 0 && receive.update_window(room, rtt, now);
            let state = if receive.is_finished() {
                Ok(ReadState::Finished)
            } else if taken > 0 || receive.has_bytes() {
                Ok(ReadState::Open)
            } else if let Some(code) = receive.reset_code() {
                receive.reset_shown = true;
                Err(ReadError::Reset(code))
            } else if let Some(code) = ended {
                Err(ReadError::SessionEnded(code))
            } else {
                receive.reader_waits = true;
                Ok(ReadState::Blocked)
            };
            (state, credit)
        });
        let Some((state, credit)) = outcome else {
            // Ended streams are forgotten once everything of them was shown.
            return ended
                .map_or(Ok(ReadState::Finished), |code| Err(ReadError::SessionEnded(code)));
        };
        if credit && ended.is_none() {
            self.core.queue_credit(id, flow);
        }
        self.core.settle(id);
        self.close_if_idle(now);
        state
    }

    /// How far a sending flow has come; `None` once the stream has ended in every direction.
    #[must_use]
    pub fn send_progress(&self, id: StreamId, flow: Flow) -> Option<Progress> {
        let send = self.core.streams.get(&id)?.send_ref(flow)?;
        Some(Progress {
            written: send.written_to(),
            sent: send.sent_to(),
            acked: send.acked_to(),
            is_finished: send.reset.is_none() && send.is_ended(),
        })
    }

    /// The application dropped its last handle of a stream: what is still open is given up.
    pub fn release(&mut self, id: StreamId, now: Time) {
        self.advance(now);
        if self.core.ended.is_some() {
            self.core.remove_stream(id);
        } else {
            self.core.release(id, Code::ABANDONED, now);
        }
        self.close_if_idle(now);
    }

    /// Sends an unreliable message: it arrives once, or never.
    ///
    /// # Errors
    /// It is too long, or the session is over. Nothing was sent.
    pub fn send_datagram(
        &mut self,
        flow: u64,
        bytes: Bytes,
        ttl: Duration,
        now: Time,
    ) -> Result<(), DatagramError> {
        self.advance(now);
        if bytes.len() > MAX_DATAGRAM {
            return Err(DatagramError::TooLong { length: bytes.len(), max: MAX_DATAGRAM });
        }
        if flow > MAX_VARINT {
            return Err(DatagramError::FlowTooLarge(flow));
        }
        if let Some(closed) = &self.core.ended {
            return Err(DatagramError::SessionEnded(closed.code));
        }
        self.core.datagrams.send(flow, bytes, ttl, now);
        Ok(())
    }

    /// The oldest unreliable message that came, with its flow.
    pub fn recv_datagram(&mut self) -> Option<(u64, Bytes)> {
        self.core.datagrams.recv()
    }
}

fn send_is_blocked(session: &Session, id: StreamId, flow: Flow) -> bool {
    let send = session.core.streams.get(&id).and_then(|stream| stream.send_ref(flow));
    send.is_some_and(super::send::SendFlow::is_blocked)
}
