//! What the peer's stream frames change. Each frame is checked whole before it changes anything.

use super::{
    config::{
        DATA_FLOOR, DUPLICATE_ALLOWANCE, MAX_FRAMES_IN_FLIGHT, MAX_SESSION_GAPS, RESETS_PER_SECOND,
        USELESS_ALLOWANCE,
    },
    core::Core,
    event::{Event, Violation},
    link::Control,
    receive_flow::Received,
    stream::{RemoteId, Stream},
};
use crate::{
    Code, Flow, StreamId, Time,
    wire::{Blocked, Credit, Data, Open, Reset, Stop},
};

/// Whether a frame changed anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Effect {
    Changed,
    Useless,
}

/// Where a frame's stream was found.
enum Found {
    /// In the table.
    Known,
    /// Not yet: the first frame that arrived of a stream of the peer.
    Embryo(Box<Stream>),
    /// Ended.
    Retired,
}

impl Core {
    /// Counts a frame, and ends the session of a peer whose frames change nothing.
    pub(crate) fn count(&mut self, effect: Effect) -> Result<(), Violation> {
        self.traffic.frames += 1;
        if effect == Effect::Useless {
            self.traffic.useless = self.traffic.useless.saturating_add(1);
        }
        let (is_news, fresh) = (effect == Effect::Changed, self.traffic.fresh);
        let bonds = self.bonds.as_mut();
        let (copies, copied) = bonds.map_or((0, 0), |bonds| bonds.allow(is_news, fresh));
        // A failover may repeat whatever was in flight; the first link is none.
        let failovers = u64::from(self.traffic.link_events).saturating_sub(1);
        let in_flight = failovers.saturating_mul(MAX_FRAMES_IN_FLIGHT as u64);
        let allowed = USELESS_ALLOWANCE + self.traffic.frames / 10 + copies;
        if u64::from(self.traffic.useless) > allowed.saturating_add(in_flight) {
            return Err(Violation::because(Code::USELESS, "too many frames that change nothing"));
        }
        let links = u64::from(self.traffic.link_events) + 1;
        let allowed = fresh.max(copied).saturating_add(DUPLICATE_ALLOWANCE.saturating_mul(links));
        if self.traffic.repeated > allowed {
            return Err(Violation::because(Code::USELESS, "too much repeated data"));
        }
        Ok(())
    }

    pub(crate) fn apply_data(&mut self, mut data: Data, now: Time) -> Result<Effect, Violation> {
        self.check_open(&data)?;
        let (id, flow) = (data.stream, data.flow);
        match self.find(id, now)? {
            Found::Retired => return Ok(Effect::Useless),
            Found::Embryo(mut stream) => {
                // Checked on the stream before it is entered: a violation leaves no trace.
                let received = take_data(&mut stream, &mut data, now)?;
                self.traffic.add(received.0);
                self.enter(stream, data.open.is_some(), now);
            }
            Found::Known => {
                let taken = self.change_stream(id, |stream| take_data(stream, &mut data, now));
                let Some((received, effect)) = taken.transpose()? else {
                    return Ok(Effect::Useless);
                };
                self.traffic.add(received);
                if effect == Effect::Useless {
                    return Ok(Effect::Useless);
                }
            }
        }
        if self.gaps > MAX_SESSION_GAPS {
            return Err(Violation::new(Code::TOO_MANY_GAPS));
        }
        if let Some(open) = data.open {
            self.describe(id, open, now);
        }
        self.stop_released(id, flow);
        self.after_data(id, flow);
        Ok(Effect::Changed)
    }

    pub(crate) fn apply_reset(&mut self, reset: Reset, now: Time) -> Result<Effect, Violation> {
        let (id, flow) = (reset.stream, reset.flow);
        match self.find(id, now)? {
            Found::Retired => return Ok(Effect::Useless),
            Found::Embryo(mut stream) => {
                take_reset(&mut stream, &reset, now)?;
                self.enter(stream, false, now);
            }
            Found::Known => {
                let taken = self.change_stream(id, |stream| take_reset(stream, &reset, now));
                if taken.transpose()? != Some(Effect::Changed) {
                    return Ok(Effect::Useless);
                }
            }
        }
        let stream = self.streams.get(&id);
        let (is_known, is_answered) =
            stream.map_or((true, true), |stream| (stream.is_known, stream.is_answered));
        if !is_answered && flow == Flow::Data {
            self.count_reset(now)?;
        }
        if !is_known {
            // The description will never come, so the application will never see the stream.
            self.refuse(id, Code::ABANDONED, now);
        }
        self.after_data(id, flow);
        Ok(Effect::Changed)
    }

    pub(crate) fn apply_stop(&mut self, stop: Stop, now: Time) -> Result<Effect, Violation> {
        let (id, flow) = (stop.stream, stop.flow);
        match self.find(id, now)? {
            Found::Retired => return Ok(Effect::Useless),
            Found::Embryo(stream) => self.enter(stream, false, now),
            Found::Known => {}
        }
        let limits = self.peer_limits;
        let send = self.streams.get_mut(&id).and_then(|s| s.send(flow, &limits));
        let Some(send) = send.filter(|send| send.reset.is_none() && !send.is_ended()) else {
            return Ok(Effect::Useless);
        };
        send.writer_waits = false;
        self.reset_flow(id, flow, stop.code);
        self.events.push_back(Event::Stopped(id, flow, stop.code));
        Ok(Effect::Changed)
    }

    pub(crate) fn apply_credit(&mut self, credit: Credit, now: Time) -> Result<Effect, Violation> {
        let (id, flow) = (credit.stream, credit.flow);
        match self.find(id, now)? {
            Found::Retired => return Ok(spend(&mut self.traffic.asked)),
            Found::Embryo(stream) => self.enter(stream, false, now),
            Found::Known => {}
        }
        let limits = self.peer_limits;
        if let Some(stream) = self.streams.get_mut(&id) {
            // Made if need be, so that credit for an unused error flow is not forgotten.
            stream.send(flow, &limits);
        }
        let is_news = self.grant(id, flow, credit.max);
        // An answer may say what credit on its way said before.
        Ok(if is_news { Effect::Changed } else { spend(&mut self.traffic.asked) })
    }

    /// Answers a flow that waits with its credit, if that is more than it knows. Otherwise credit
    /// follows as soon as somebody reads, and is not lost.
    pub(crate) fn apply_blocked(&mut self, frame: Blocked, now: Time) -> Result<Effect, Violation> {
        if matches!(self.find(frame.stream, now)?, Found::Known) {
            let receive = self.streams.get(&frame.stream).and_then(|s| s.receive_ref(frame.flow));
            if receive.is_some_and(|receive| receive.credit() > frame.at) {
                self.queue_credit(frame.stream, frame.flow);
            }
        }
        Ok(spend(&mut self.traffic.may_be_asked))
    }

    /// Whether a stream of this id was opened by the peer.
    fn is_remote(&self, id: StreamId) -> bool {
        id.is_by_keeper() != self.is_keeper
    }

    fn check_open(&self, data: &Data) -> Result<(), Violation> {
        let must = self.is_remote(data.stream) && data.flow == Flow::Data && data.offset == 0;
        if data.open.is_some() != must {
            let what = "a stream is described at offset 0 of its opener's data, and only there";
            return Err(Violation::because(Code::PROTOCOL_VIOLATION, what));
        }
        Ok(())
    }

    fn find(&self, id: StreamId, now: Time) -> Result<Found, Violation> {
        if self.streams.contains_key(&id) {
            return Ok(Found::Known);
        }
        if !self.is_remote(id) {
            if id.index() >= self.opened {
                let what = "a frame for a stream that was never opened";
                return Err(Violation::because(Code::PROTOCOL_VIOLATION, what));
            }
            return Ok(Found::Retired);
        }
        Ok(match self.remote.check(id.index())? {
            RemoteId::Seen => Found::Retired,
            RemoteId::New => {
                let stream = Stream::new(id, false, &self.peer_limits, DATA_FLOOR, now);
                Found::Embryo(Box::new(stream))
            }
        })
    }

    /// Enters a stream that the peer opened. One whose description did not come yet is refused at
    /// once where there is no room for another: the description may never come.
    fn enter(&mut self, stream: Box<Stream>, is_described: bool, now: Time) {
        let id = stream.id;
        self.remote.see(id.index());
        self.insert(stream);
        if self.remote.grow(self.config.max_streams) {
            self.queue_streams();
        }
        if !is_described && !self.has_room_for_stream() {
            self.refuse(id, Code::OVERLOADED, now);
        }
    }

    /// The description of a stream came: the application may have it, if there is room.
    fn describe(&mut self, id: StreamId, open: Open, now: Time) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.is_known || stream.is_accepted {
            stream.is_known = true;
            return;
        }
        stream.is_known = true;
        stream.class = open.class;
        stream.protocol = open.protocol;
        let drained = self.drain.is_some_and(|last| last.is_none_or(|last| id > last));
        if drained {
            self.refuse(id, Code::NOT_PROCESSED, now);
        } else if !self.has_room_for_stream() {
            self.refuse(id, Code::OVERLOADED, now);
        } else if self.incoming.len() >= self.config.max_unaccepted {
            self.refuse(id, Code::REFUSED, now);
        } else {
            self.incoming.push_back(id);
            if self.incoming.len() == 1 {
                self.events.push_back(Event::Incoming);
            }
        }
    }

    /// Wakes the reader, and widens the window of a flow that carries data.
    fn after_data(&mut self, id: StreamId, flow: Flow) {
        let room = self.first_window();
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let errors_ended = stream.receive_errors_ended;
        let mut wider = None;
        for readable in [Flow::Data, Flow::Error] {
            let Some(receive) = stream.receive_existing(readable) else { continue };
            if flow == readable && flow == Flow::Data && receive.has_bytes() {
                wider = Some(room).filter(|window| *window > receive.window());
            }
            let wakes = receive.is_readable() || (readable == Flow::Error && errors_ended);
            if wakes && std::mem::take(&mut receive.reader_waits) {
                self.events.push_back(Event::Readable(id, readable));
            }
        }
        if let Some(window) = wider
            && self.change_stream(id, |stream| {
                stream.receive_existing(flow)?.widen(window).then_some(())
            }) == Some(Some(()))
        {
            self.queue_credit(id, flow);
        }
        self.settle(id);
    }

    /// Asks the peer to stop a flow that began to arrive after the application had let go.
    fn stop_released(&mut self, id: StreamId, flow: Flow) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.is_released) else {
            return;
        };
        let Some(receive) = stream.receive_existing(flow) else { return };
        if receive.stop.is_none() && !receive.is_end_known() {
            receive.stop = Some(Code::ABANDONED);
            self.control.push_back(Control::Stop(id, flow));
        }
    }

    fn count_reset(&mut self, now: Time) -> Result<(), Violation> {
        let (since, count) = &mut self.resets;
        if now.since(*since).as_secs() >= 1 {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count > RESETS_PER_SECOND {
            return Err(Violation::new(Code::RESET_FLOOD));
        }
        Ok(())
    }
}

/// What a frame is that is part of the protocol so often, and changes nothing else.
fn spend(allowed: &mut u64) -> Effect {
    match allowed.checked_sub(1) {
        Some(rest) => {
            *allowed = rest;
            Effect::Changed
        }
        None => Effect::Useless,
    }
}

/// Gives a stream the payload of a frame.
fn take_data(
    stream: &mut Stream,
    data: &mut Data,
    now: Time,
) -> Result<(Received, Effect), Violation> {
    check_errors_unused(stream, data.fin_errors)?;
    let describes = data.open.is_some() && !stream.is_known;
    let is_released = stream.is_released;
    let Some(receive) = stream.receive(data.flow, now) else {
        // The peer said this error flow had ended unused.
        if data.bytes.is_empty() && data.offset == 0 {
            return Ok((Received::default(), Effect::Useless));
        }
        return Err(Violation::new(Code::FINAL_SIZE));
    };
    if is_released && !receive.is_stopped() {
        receive.discard();
    }
    let received = receive.receive(data.offset, std::mem::take(&mut data.bytes), data.fin)?;
    let ended_errors = data.fin_errors && end_errors(stream);
    let changed = received.fresh > 0 || received.ended || describes || ended_errors;
    Ok((received, if changed { Effect::Changed } else { Effect::Useless }))
}

fn take_reset(stream: &mut Stream, reset: &Reset, now: Time) -> Result<Effect, Violation> {
    check_errors_unused(stream, reset.fin_errors)?;
    let Some(receive) = stream.receive(reset.flow, now) else { return Ok(Effect::Useless) };
    let changed = receive.receive_reset(reset.code, reset.final_size)?;
    let ended = reset.fin_errors && end_errors(stream);
    Ok(if changed || ended { Effect::Changed } else { Effect::Useless })
}

/// An error flow may be called unused only if nothing of it ever came.
fn check_errors_unused(stream: &Stream, fin_errors: bool) -> Result<(), Violation> {
    let was_used = stream.receive_ref(Flow::Error).is_some_and(|receive| !receive.is_unused());
    if fin_errors && was_used && !stream.receive_errors_ended {
        return Err(Violation::new(Code::FINAL_SIZE));
    }
    Ok(())
}

/// Marks the peer's error flow as ended unused. Returns whether that is news.
fn end_errors(stream: &mut Stream) -> bool {
    !std::mem::replace(&mut stream.receive_errors_ended, true)
}
