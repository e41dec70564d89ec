//! Streams and budgets of a session: everything that does not care which link carries it.

use std::{collections::VecDeque, time::Duration};

use rustc_hash::FxHashMap;

use super::{
    bond::Bonds,
    config::{
        BLOCKED_AFTER, BLOCKED_PAUSE, BUDGET_SHARE, Config, DATA_FLOOR, EARLY_BYTES, EARLY_STREAMS,
        ERROR_FLOOR, FINALS_WAIT, TURN_WINDOW,
    },
    datagram::Datagrams,
    event::{Closed, Event},
    link::Control,
    receive_flow::Received,
    scheduler::Scheduler,
    send::{Blocked, Mark},
    stream::{RemoteIds, Stream},
};
use crate::{
    Code, Flow, Pace, StreamId, Time,
    wire::{Lack, Limits},
};

/// The part of a session that outlives every link.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) is_keeper: bool,
    pub(crate) streams: FxHashMap<StreamId, Box<Stream>>,
    pub(crate) scheduler: Scheduler,
    /// Frames that only say what holds now; made when sent.
    pub(crate) control: VecDeque<Control>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) datagrams: Datagrams,
    /// What is kept for several links; `None` before the second.
    pub(crate) bonds: Option<Box<Bonds>>,
    /// What the peer allows.
    pub(crate) peer_limits: Limits,
    /// Streams this side opened.
    pub(crate) opened: u64,
    /// Streams this side may open.
    pub(crate) may_open: u64,
    pub(crate) opener_waits: bool,
    pub(crate) remote: RemoteIds,
    /// Streams the application has not accepted yet.
    pub(crate) incoming: VecDeque<StreamId>,
    /// Bytes still allowed before the peer's hello; `None` after it.
    pub(crate) early: Option<u64>,
    /// Bytes kept for the peer's acknowledgement, as charged.
    pub(crate) retained: usize,
    /// Writers that wait for the session's budget rather than their flow's.
    pub(crate) budget_waiters: VecDeque<(StreamId, Flow)>,
    /// What of that budget such writers were offered.
    pub(crate) offers: Offers,
    /// The payload of a full frame on the link in use; 0 before there is one.
    pub(crate) frame_payload: usize,
    /// No flow without credit has to say so before.
    pub(crate) blocked_due: Option<Time>,
    /// Bytes the peer may still make this side keep.
    pub(crate) granted: u64,
    /// The session's share of its process's memory.
    pub(crate) share: u64,
    /// Pieces waiting beyond gaps.
    pub(crate) gaps: usize,
    /// The best link's round trip, for window tuning.
    pub(crate) rtt: Duration,
    pub(crate) traffic: Traffic,
    /// When data or anything else that wants acknowledgement went or came last.
    pub(crate) carried_at: Time,
    /// Holds data back where its rate is limited.
    pub(crate) pace: Option<Pace>,
    /// When data may go again, while some waits for that.
    pub(crate) paced_until: Option<Time>,
    /// The last peer stream that will be served.
    pub(crate) drain: Option<Option<StreamId>>,
    /// The last own stream the peer will serve.
    pub(crate) peer_drain: Option<Option<StreamId>>,
    /// Set once the session is over.
    pub(crate) ended: Option<Closed>,
    /// What arrived on each link, living or dead, before this side ended the session.
    pub(crate) last_lacks: Vec<Lack>,
    /// Streams the peer reset unanswered in the second that began then.
    pub(crate) resets: (Time, u32),
}

/// Shares of the session's budget that writers were called for.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    /// Bytes that are held free for writers that have not come yet.
    pub(crate) open: usize,
    /// The least of those since nothing was kept for the peer: nobody came for so many.
    least: usize,
}

impl Offers {
    /// A writer came, or never will.
    pub(crate) fn answer(&mut self, bytes: usize) {
        self.open = self.open.saturating_sub(bytes);
        self.least = self.least.min(self.open);
    }

    /// Holds no longer what nobody came for in all the time since the last call.
    pub(crate) fn forget_old(&mut self) {
        self.open -= self.least;
        self.least = self.open;
    }
}

/// Counts of what passed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) frames: u64,
    /// Bytes of frames that links were given.
    pub(crate) sent: u64,
    pub(crate) useless: u32,
    pub(crate) fresh: u64,
    pub(crate) repeated: u64,
    /// Bytes of streams to be sent again, because it is not known that they arrived.
    pub(crate) resent: u64,
    /// BLOCKED frames that were sent and not answered: as many CREDIT may change nothing.
    pub(crate) asked: u64,
    /// BLOCKED frames that the peer may send: one for each limit that it was told.
    pub(crate) may_be_asked: u64,
    /// Times the set of links changed.
    pub(crate) link_events: u32,
}

impl Traffic {
    pub(crate) fn add(&mut self, received: Received) {
        self.fresh += received.fresh;
        self.repeated += received.repeated;
    }
}

impl Core {
    pub(crate) fn new(config: Config, is_keeper: bool) -> Self {
        let remote = RemoteIds::new(config.initial_streams);
        let peer_limits =
            Limits { streams: EARLY_STREAMS, data_window: DATA_FLOOR, error_window: ERROR_FLOOR };
        Self {
            config,
            is_keeper,
            streams: FxHashMap::default(),
            scheduler: Scheduler::default(),
            control: VecDeque::new(),
            events: VecDeque::new(),
            datagrams: Datagrams::default(),
            bonds: None,
            peer_limits,
            opened: 0,
            may_open: EARLY_STREAMS,
            opener_waits: false,
            remote,
            incoming: VecDeque::new(),
            early: Some(EARLY_BYTES),
            retained: 0,
            budget_waiters: VecDeque::new(),
            offers: Offers::default(),
            frame_payload: 0,
            blocked_due: None,
            granted: 0,
            share: u64::MAX,
            gaps: 0,
            rtt: Duration::ZERO,
            traffic: Traffic::default(),
            carried_at: Time(0),
            pace: None,
            paced_until: None,
            drain: None,
            peer_drain: None,
            ended: None,
            last_lacks: Vec::new(),
            resets: (Time(0), 0),
        }
    }

    /// Takes what the peer's hello allows.
    pub(crate) fn learn_limits(&mut self, limits: Limits) {
        self.early = None;
        let known = &mut self.peer_limits;
        known.data_window = known.data_window.max(limits.data_window);
        known.error_window = known.error_window.max(limits.error_window);
        let (data, error) = (known.data_window, known.error_window);
        self.allow_streams(limits.streams);
        for id in self.stream_ids() {
            self.grant(id, Flow::Data, data);
            self.grant(id, Flow::Error, error);
            // Credit may not have changed, but the early budget no longer holds it back.
            self.schedule(id, Flow::Data);
            self.schedule(id, Flow::Error);
        }
    }

    /// Raises how many streams this side may open.
    pub(crate) fn allow_streams(&mut self, max: u64) -> bool {
        let raised = max > self.may_open;
        self.may_open = self.may_open.max(max);
        if raised && std::mem::take(&mut self.opener_waits) {
            self.events.push_back(Event::StreamsAvailable);
        }
        raised
    }

    /// Raises the credit of a sending half. Returns whether that changed anything.
    pub(crate) fn grant(&mut self, id: StreamId, flow: Flow, max: u64) -> bool {
        let Some(send) = self.streams.get_mut(&id).and_then(|stream| stream.send_existing(flow))
        else {
            return false;
        };
        if !send.grant(max) {
            return false;
        }
        send.blocked = Blocked::No;
        self.offer_room(id, flow);
        self.schedule(id, flow);
        true
    }

    /// Lets a flow's writer go on if that is worth it; it stands in line where others wait for the
    /// session's budget, who have waited longer.
    pub(crate) fn offer_room(&mut self, id: StreamId, flow: Flow) {
        let has_budget = self.budget_waiters.is_empty() && self.spare_retention() > 0;
        let send = self.streams.get_mut(&id).and_then(|stream| stream.send_existing(flow));
        let Some(send) = send.filter(|s| s.writer_waits && !s.waits_for_budget) else { return };
        if !send.has_room_again() {
            return;
        }
        if has_budget {
            send.writer_waits = false;
            self.events.push_back(Event::Writable(id, flow));
        } else {
            send.waits_for_budget = true;
            self.budget_waiters.push_back((id, flow));
        }
    }

    /// Puts a flow in line if it has something to send.
    pub(crate) fn schedule(&mut self, id: StreamId, flow: Flow) {
        if self.ended.is_some() {
            return;
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(send) = stream.send_existing(flow) else { return };
        if send.has_work() && !send.is_scheduled {
            send.is_scheduled = true;
            self.scheduler.push(stream.class_of(flow), &stream.protocol, id, flow);
        }
    }

    /// Notes a flow that waits for credit, to tell the peer if that lasts.
    pub(crate) fn note_blocked(&mut self, id: StreamId, flow: Flow, now: Time) {
        let send = self.streams.get_mut(&id).and_then(|stream| stream.send_existing(flow));
        let Some(send) = send else { return };
        if send.blocked == Blocked::No {
            send.blocked = Blocked::Due(now + BLOCKED_AFTER);
        }
        let Blocked::Due(due) = send.blocked else { return };
        self.blocked_due = Some(self.blocked_due.map_or(due, |earlier| earlier.min(due)));
    }

    /// Gives a sending half up. Nothing happens if it has ended already.
    pub(crate) fn reset_flow(&mut self, id: StreamId, flow: Flow, code: Code) {
        let limits = self.peer_limits;
        let Some(send) = self.streams.get_mut(&id).and_then(|s| s.send(flow, &limits)) else {
            return;
        };
        if send.reset.is_some() || send.is_ended() {
            return;
        }
        self.offers.answer(std::mem::take(&mut send.budget_offer));
        let freed = send.reset(code);
        if std::mem::take(&mut send.writer_waits) {
            self.events.push_back(Event::Writable(id, flow));
        }
        self.free(freed);
        self.control.push_back(Control::Reset(id, flow));
        self.wake_budget_waiters();
    }

    /// Stops reading a flow: what came is dropped, the peer is asked to send no more.
    pub(crate) fn stop_flow(&mut self, id: StreamId, flow: Flow, code: Code, now: Time) {
        self.change_stream(id, |stream| {
            let receive = stream.receive(flow, now)?;
            if receive.is_stopped() {
                return None;
            }
            receive.discard();
            if receive.is_end_known() {
                return None;
            }
            receive.stop = Some(code);
            Some(Control::Stop(id, flow))
        })
        .flatten()
        .into_iter()
        .for_each(|stop| self.control.push_back(stop));
        self.settle(id);
    }

    /// Ends a sending half after what was written.
    pub(crate) fn finish_flow(&mut self, id: StreamId, flow: Flow) {
        let limits = self.peer_limits;
        let Some(send) = self.streams.get_mut(&id).and_then(|s| s.send(flow, &limits)) else {
            return;
        };
        if send.is_open() {
            send.fin = Mark::Queued;
            self.schedule(id, flow);
        }
    }

    /// Ends the sending error flow, within the data's end where nothing was sent on it.
    pub(crate) fn end_errors(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.send_errors_ended {
            return;
        }
        let has_no_errors = stream.has_no_send_errors();
        let Some(data) = stream.send_existing(Flow::Data) else { return };
        let is_end_ahead = match data.reset {
            Some((_, mark)) => mark == Mark::Queued,
            None => data.fin == Mark::Queued,
        };
        if has_no_errors && is_end_ahead {
            data.fin_errors = true;
        } else if !(has_no_errors && data.fin_errors) {
            self.finish_flow(id, Flow::Error);
        }
    }

    /// Turns a peer's stream away.
    pub(crate) fn refuse(&mut self, id: StreamId, code: Code, now: Time) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.is_accepted = true;
        }
        self.reset_flow(id, Flow::Data, code);
        self.release(id, code, now);
    }

    /// Ends what the application left open, after it dropped its last handle.
    pub(crate) fn release(&mut self, id: StreamId, code: Code, now: Time) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.is_released = true;
        if stream.send_existing(Flow::Data).is_some_and(|send| send.is_open()) {
            self.reset_flow(id, Flow::Data, code);
        }
        self.end_errors(id);
        self.stop_flow(id, Flow::Data, code, now);
        let has_errors = self.streams.get(&id).is_some_and(|stream| stream.has_receive_errors());
        if has_errors {
            self.stop_flow(id, Flow::Error, code, now);
        }
        self.settle(id);
    }

    /// Changes a stream and keeps the sums of grants and gaps right.
    pub(crate) fn change_stream<R>(
        &mut self,
        id: StreamId,
        change: impl FnOnce(&mut Stream) -> R,
    ) -> Option<R> {
        let stream = self.streams.get_mut(&id)?;
        let (granted, gaps) = (stream.granted(), stream.gaps());
        let result = change(stream);
        self.granted = self.granted + stream.granted() - granted;
        self.gaps = self.gaps + stream.gaps() - gaps;
        Some(result)
    }

    /// Adds a stream.
    pub(crate) fn insert(&mut self, stream: Box<Stream>) {
        self.granted += stream.granted();
        self.gaps += stream.gaps();
        // Each of its flows may be told to wait at its floor.
        self.traffic.may_be_asked += 2;
        self.streams.insert(stream.id, stream);
    }

    /// Takes a stream out of the table, and the table's room with the last of many.
    pub(crate) fn remove_stream(&mut self, id: StreamId) -> Option<Box<Stream>> {
        let stream = self.streams.remove(&id)?;
        if self.streams.is_empty() && self.streams.capacity() > SPARE_STREAMS {
            self.streams = FxHashMap::default();
        }
        Some(stream)
    }

    /// All streams in the order of their numbers.
    fn stream_ids(&self) -> Vec<StreamId> {
        let mut ids: Vec<StreamId> = self.streams.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Forgets a stream whose halves have all ended.
    pub(crate) fn settle(&mut self, id: StreamId) {
        let is_ended = self.streams.get(&id).is_some_and(|stream| stream.is_ended());
        // After the session's end a stream is kept until it is released: whether all of it was
        // delivered, nobody could tell otherwise.
        if !is_ended || self.ended.is_some() {
            return;
        }
        let Some(stream) = self.remove_stream(id) else { return };
        self.granted -= stream.granted();
        self.gaps -= stream.gaps();
        if !stream.is_local && self.remote.retire(self.config.max_streams) {
            self.queue_streams();
        }
    }

    /// Announces a new limit of streams.
    pub(crate) fn queue_streams(&mut self) {
        if !self.control.contains(&Control::Streams) {
            self.control.push_back(Control::Streams);
        }
    }

    /// Queues the present credit of a flow, once.
    pub(crate) fn queue_credit(&mut self, id: StreamId, flow: Flow) {
        let receive = self.streams.get_mut(&id).and_then(|s| s.receive_existing(flow));
        if let Some(receive) = receive.filter(|receive| !receive.is_credit_queued) {
            receive.is_credit_queued = true;
            self.control.push_back(Control::Credit(id, flow));
        }
    }

    /// What may still be granted beyond the floors of streams the peer may yet open.
    pub(crate) fn spare_grant(&self) -> u64 {
        self.window_budget().saturating_sub(self.granted)
    }

    /// What may be granted beyond those floors. Half of the session's share is for floors alone.
    fn window_budget(&self) -> u64 {
        let open = self.streams.len() as u64;
        let floors = self.config.max_streams.saturating_sub(open) * (DATA_FLOOR + ERROR_FLOOR);
        let budget = self.config.receive_budget.saturating_sub(floors);
        budget.min(self.share / 2)
    }

    /// The window of a flow that carries data: a wide one if there is room, else one that holds a
    /// turn of its sender, else the floor.
    pub(crate) fn first_window(&self) -> u64 {
        let (first, spare) = (self.config.first_window, self.spare_grant());
        let fits = |window: &u64| window.saturating_sub(DATA_FLOOR) <= spare / 2;
        [first, first.min(TURN_WINDOW)].into_iter().find(fits).unwrap_or(DATA_FLOOR)
    }

    /// The window that every stream could have, which those that have more are narrowed to where
    /// others have less than a turn.
    pub(crate) fn fair_window(&self) -> u64 {
        let each = self.window_budget() / self.streams.len().max(1) as u64;
        each.max(TURN_WINDOW)
    }

    /// Whether another stream's floors fit.
    pub(crate) fn has_room_for_stream(&self) -> bool {
        let floors = DATA_FLOOR + ERROR_FLOOR;
        self.granted + floors <= self.config.receive_budget.min(self.share)
    }

    /// What may be kept for the peer. Acknowledgements alone let waiting writers go on, so a
    /// session with nothing to be acknowledged must always have room.
    pub(crate) fn send_budget(&self) -> usize {
        let share = usize::try_from(self.share / 2).unwrap_or(usize::MAX);
        self.config.send_budget.min(share.max(BUDGET_SHARE))
    }

    /// What may still be kept for the peer.
    pub(crate) fn spare_retention(&self) -> usize {
        self.send_budget().saturating_sub(self.retained)
    }

    /// Counts bytes that are not kept for the peer any more.
    pub(crate) fn free(&mut self, bytes: usize) {
        self.retained -= bytes.min(self.retained);
    }

    /// Lets writers try again, first come first served, each once a share of the session's budget
    /// is free beside those offered to others. With nothing kept no acknowledgement will call
    /// again, so that one more is called then: who was offered a share may never come.
    pub(crate) fn wake_budget_waiters(&mut self) {
        let mut is_call_due = self.retained == 0;
        if is_call_due {
            self.offers.forget_old();
        }
        let share = BUDGET_SHARE.min(self.send_budget() / 4);
        while (self.spare_retention().saturating_sub(self.offers.open) >= share
            || std::mem::take(&mut is_call_due))
            && let Some((id, flow)) = self.budget_waiters.pop_front()
        {
            let send = self.streams.get_mut(&id).and_then(|s| s.send_existing(flow));
            let Some(send) = send else { continue };
            send.waits_for_budget = false;
            let turn = send.whole_frames(share, self.frame_payload);
            send.budget_turn = turn;
            if std::mem::take(&mut send.writer_waits) {
                send.budget_offer = turn;
                self.offers.open += turn;
                self.events.push_back(Event::Writable(id, flow));
            }
        }
    }

    /// Fails streams of this side that may have reached a process other than the session's: sent
    /// again they could be served twice.
    pub(crate) fn fail_stream(&mut self, id: StreamId, code: Code) {
        for flow in [Flow::Data, Flow::Error] {
            let send = self.streams.get(&id).and_then(|stream| stream.send_ref(flow));
            if send.is_none_or(|send| send.reset.is_none() && !send.is_ended()) {
                self.reset_flow(id, flow, code);
                self.events.push_back(Event::Stopped(id, flow, code));
            }
            let failed = self.change_stream(id, |stream| {
                let receive = stream.receive_existing(flow)?;
                Some((receive.fail(code), std::mem::take(&mut receive.reader_waits)))
            });
            let (asks, waits) = failed.flatten().unwrap_or_default();
            if asks {
                self.control.push_back(Control::Stop(id, flow));
            }
            if waits {
                self.events.push_back(Event::Readable(id, flow));
            }
        }
    }

    /// How long final counts of a dead link are waited for beside a living one.
    pub(crate) fn finals_wait(&self) -> Duration {
        FINALS_WAIT.max(self.rtt * 3)
    }

    /// Whether anything but streams' data waits for a link.
    pub(crate) fn has_control(&self) -> bool {
        !self.control.is_empty() || self.datagrams.has_outgoing()
    }

    /// Whether everything that was finished was acknowledged.
    pub(crate) fn is_flushed(&self) -> bool {
        self.streams.values().all(|stream| {
            [Flow::Data, Flow::Error].into_iter().all(|flow| {
                stream.send_ref(flow).is_none_or(|send| send.fin == Mark::None || send.is_ended())
            })
        })
    }

    /// Ends the session: everybody who waits is told, what arrived stays readable.
    pub(crate) fn end(&mut self, closed: Closed) {
        if self.ended.is_some() {
            return;
        }
        for id in self.stream_ids() {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            for flow in [Flow::Data, Flow::Error] {
                if let Some(receive) = stream.receive_existing(flow)
                    && std::mem::take(&mut receive.reader_waits)
                {
                    self.events.push_back(Event::Readable(id, flow));
                }
                if let Some(send) = stream.send_existing(flow) {
                    send.is_scheduled = false;
                    self.retained -= send.forget().min(self.retained);
                    if std::mem::take(&mut send.writer_waits) {
                        self.events.push_back(Event::Writable(id, flow));
                    }
                }
            }
        }
        if std::mem::take(&mut self.opener_waits) {
            self.events.push_back(Event::StreamsAvailable);
        }
        self.scheduler = Scheduler::default();
        self.control.clear();
        if let Some(bonds) = &mut self.bonds {
            bonds.mirror.clear();
        }
        self.blocked_due = None;
        self.events.push_back(Event::Closed(closed.clone()));
        self.ended = Some(closed);
    }

    /// Tells the peer of flows that have waited for credit long enough.
    pub(crate) fn due_blocked(&mut self, now: Time) {
        if self.blocked_due.is_none_or(|due| due > now) {
            return;
        }
        let mut next: Option<Time> = None;
        for id in self.stream_ids() {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            for flow in [Flow::Data, Flow::Error] {
                let send = stream.send_existing(flow).filter(|send| send.is_blocked());
                let Some(send) = send else { continue };
                let Blocked::Due(due) = send.blocked else { continue };
                if due > now {
                    next = Some(next.map_or(due, |earlier| earlier.min(due)));
                    continue;
                }
                send.blocked = Blocked::Told;
                if !std::mem::replace(&mut send.is_blocked_queued, true) {
                    self.control.push_back(Control::Blocked(id, flow));
                }
            }
        }
        // Not again for each flow by itself, where many wait.
        self.blocked_due = next.map(|due| due.max(now + BLOCKED_PAUSE));
    }
}

/// Streams the table of an idle session keeps room for.
const SPARE_STREAMS: usize = 16;
