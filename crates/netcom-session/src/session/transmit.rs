//! Filling a link: what goes out next, on which lane.

use std::ops::Range;

use bytes::Bytes;

use super::{
    batch::Batch,
    bond::{PIECE, Role},
    config::{LACK_BYTES, TURN_WINDOW},
    core::Core,
    link::{Control, Item, Link, Phase},
    scheduler::Turn,
    send::Mark,
};
use crate::{
    Flow, StreamId, Time,
    wire::{
        Blocked, Close, Credit, Data, Frame, LinkRole, LinkState, LinkUpdate, Open, Payload, Reset,
        Stop, kind,
    },
};

/// What of the session, beside its streams, frames are made from.
pub(crate) struct Outgoing<'a> {
    /// What of the session the link carries.
    pub(crate) role: Role,
    /// Makes the frames that concern the whole session; `None` where one is not wanted any more.
    pub(crate) session_frame: &'a mut dyn FnMut(Control) -> Option<Frame>,
}

impl Core {
    /// Adds what the link should carry now, about `budget` bytes.
    pub(crate) fn fill(
        &mut self,
        link: &mut Link,
        mut outgoing: Outgoing<'_>,
        budget: usize,
        batch: &mut Batch,
        now: Time,
    ) {
        self.fill_handshake(link, batch);
        match link.phase {
            Phase::AwaitAnswer { held: true, .. } | Phase::AwaitJoin { .. } => return,
            Phase::Ended => {
                // The last acknowledgement still goes out before the goodbye.
                if link.was_attached {
                    fill_lack(link, batch, now, true);
                }
                return;
            }
            _ => {}
        }
        let role = outgoing.role;
        let start = batch.len_bytes();
        fill_probes(link, batch, now);
        if role.is_mirrored {
            self.fill_copies(link, budget, batch, now);
        }
        if link.is_attached() && role.leads {
            self.fill_control(link, &mut outgoing, budget, batch, now);
        }
        if link.close_queued && link.may_acknowledge() {
            link.close_queued = false;
            // After CLOSE the peer looks at nothing more, on whichever link it comes.
            for lack in &self.last_lacks {
                batch.push(crate::LaneId(0), &Frame::Lack(lack.clone()));
                link.sent_uncounted(0);
            }
            if let Some(closed) = &self.ended {
                let close = Close { code: closed.code, reason: closed.reason.clone() };
                batch.push(crate::LaneId(0), &Frame::Close(close));
                link.sent(0, Item::Control(Control::Close), now);
            }
        }
        if link.closing_queued && link.may_acknowledge() {
            link.closing_queued = false;
            let id = link.id;
            let update = link_update(id, LinkState::Closing, LinkRole::Standby, Vec::new());
            batch.push(crate::LaneId(0), &update);
            link.sent(0, Item::Control(Control::Closing), now);
        }
        if link.may_send_data() && role.leads {
            self.fill_datagrams(link, role, batch, now);
        }
        if link.may_send_data() && role.share > 0 {
            self.fill_data(link, role, start..start + budget, batch, now);
        }
        if (role.share > 0 || role.is_striped) && link.is_filled() && self.has_data() {
            link.flight.hold_back();
        }
        if let Some(bonds) = self.bonds.as_mut().filter(|_| role.is_mirrored) {
            bonds.skip_own(link.id);
        }
        let is_allowed = link.may_acknowledge();
        fill_lack(link, batch, now, is_allowed);
    }

    fn fill_handshake(&mut self, link: &mut Link, batch: &mut Batch) {
        // Both belong to the link alone, so they are neither counted nor acknowledged.
        if let Some(hello) = link.hello.take() {
            batch.push(crate::LaneId(0), &Frame::Hello(hello));
        }
        if let Some(mac) = link.join.take() {
            batch.push(crate::LaneId(0), &Frame::Join { mac: *mac });
        }
    }

    fn fill_control(
        &mut self,
        link: &mut Link,
        outgoing: &mut Outgoing<'_>,
        budget: usize,
        batch: &mut Batch,
        now: Time,
    ) {
        let limit = batch.len_bytes() + (budget / 10).max(MIN_CONTROL_SHARE);
        while batch.len_bytes() < limit && link.has_room() {
            let Some(control) = self.control.pop_front() else { break };
            let frame = self.stream_frame(control).or_else(|| (outgoing.session_frame)(control));
            if let Some(frame) = frame {
                batch.push(crate::LaneId(0), &frame);
                link.sent(0, Item::Control(control), now);
                if outgoing.role.is_mirrored {
                    self.mirror_item(link.id, Item::Control(control), now);
                }
            }
        }
    }

    /// Makes a control frame of a stream from what holds now.
    pub(crate) fn stream_frame(&mut self, control: Control) -> Option<Frame> {
        match control {
            Control::Reset(stream, flow) => {
                let send = self.streams.get_mut(&stream)?.send_existing(flow)?;
                let (final_size, fin_errors) = (send.sent_to(), send.fin_errors);
                let (code, mark) = send.reset.as_mut()?;
                *mark = Mark::InFlight;
                Some(Frame::Reset(Reset { stream, flow, fin_errors, code: *code, final_size }))
            }
            Control::Stop(stream, flow) => {
                let receive = self.streams.get(&stream)?.receive_ref(flow)?;
                let code = receive.stop.filter(|_| !receive.is_end_known())?;
                Some(Frame::Stop(Stop { stream, flow, code }))
            }
            Control::Credit(stream, flow) => {
                let (told, max) = self.change_stream(stream, |known| {
                    let receive = known.receive_existing(flow)?;
                    receive.is_credit_queued = false;
                    (!receive.is_end_known()).then(|| (receive.announced(), receive.announce()))
                })??;
                self.traffic.may_be_asked += u64::from(max > told);
                Some(Frame::Credit(Credit { stream, flow, max }))
            }
            Control::Blocked(stream, flow) => {
                let send = self.streams.get_mut(&stream)?.send_existing(flow)?;
                send.is_blocked_queued = false;
                let at = send.credit();
                let is_blocked = send.is_blocked();
                self.traffic.asked += u64::from(is_blocked);
                is_blocked.then_some(Frame::Blocked(Blocked { stream, flow, at }))
            }
            Control::Streams => Some(Frame::Streams { max: self.remote.announce() }),
            _ => None,
        }
    }

    fn fill_datagrams(&mut self, link: &mut Link, role: Role, batch: &mut Batch, now: Time) {
        // Before the handshake ends, the early budget is for streams.
        while link.is_attached()
            && let Some(message) = self.datagrams.poll(now)
        {
            self.spend(message.bytes.len(), now);
            if role.is_mirrored {
                self.mirror_datagram(link.id, &message, now);
            }
            batch.push(crate::LaneId(0), &Frame::Datagram(message));
            link.sent_uncounted(0);
        }
    }

    /// Adds what flows may send, in turn, until the batch is filled to the end of `room` or the
    /// link has its share.
    fn fill_data(
        &mut self,
        link: &mut Link,
        role: Role,
        room: Range<usize>,
        batch: &mut Batch,
        now: Time,
    ) {
        let budget = room.len();
        self.frame_payload =
            link.spec.max_data_body.min(role.max_body).saturating_sub(DATA_OVERHEAD);
        self.warm(self.scheduler.upcoming().take(budget / UPCOMING_FRAME));
        let (mut left, before) = (role.share, link.bytes_in_flight);
        while batch.len_bytes() < room.end
            && left >= PIECE
            && link.has_room_for_data()
            && self.may_send(now)
        {
            let most = left.min(budget / 2);
            let Some(sent) = self.fill_turn(link, role, most, batch, now) else { break };
            left = left.saturating_sub(sent);
        }
        if let Some(bonds) = self.bonds.as_mut().filter(|_| role.is_striped) {
            let sent = link.bytes_in_flight - before;
            bonds.spend(link.id, sent, link.flight.rate(), now);
        }
    }

    /// Adds what the flow whose turn it is may send at once: a frame, and more while all of them
    /// have at most `most` bytes. So both ends meet a stream once for several frames: of many, each
    /// is far from the processor when its turn comes. Returns how much that is,
    /// `None` where no flow waits.
    fn fill_turn(
        &mut self,
        link: &mut Link,
        role: Role,
        most: usize,
        batch: &mut Batch,
        now: Time,
    ) -> Option<usize> {
        let turn = self.scheduler.next()?;
        let (id, flow) = (turn.stream, turn.flow);
        let most = most.min(MAX_TURN);
        let mut total = 0;
        loop {
            let Some(sent) = self.data_frame(link, role, &turn, batch, now) else {
                // Nothing to send, or not before the peer's hello.
                self.leave_line(total, id, flow);
                return Some(total);
            };
            total += sent.length;
            self.carried_at = now;
            let goes_on = sent.has_more
                && total + sent.length <= most
                && link.has_room_for_data()
                && self.may_send(now);
            if goes_on {
                continue;
            }
            self.scheduler.sent(total, sent.has_more);
            if sent.is_blocked {
                self.note_blocked(id, flow, now);
            }
            return Some(total);
        }
    }

    /// Adds the flow's next frame.
    fn data_frame(
        &mut self,
        link: &mut Link,
        role: Role,
        turn: &Turn,
        batch: &mut Batch,
        now: Time,
    ) -> Option<Sent> {
        let (id, flow) = (turn.stream, turn.flow);
        let early = self.early.unwrap_or(u64::MAX);
        let stream = self.streams.get_mut(&id)?;
        let class = stream.class;
        // The description travels at offset 0, and never again once that was acknowledged.
        let may_open = stream.is_local
            && flow == Flow::Data
            && stream.send_ref(flow).is_some_and(|send| send.acked_to() == 0);
        let protocol = if may_open { stream.protocol.clone() } else { Bytes::new() };
        let send = stream.send_existing(flow)?;
        let overhead = DATA_OVERHEAD + if may_open { protocol.len() + 2 } else { 0 };
        let room = link.spec.max_data_body.min(role.max_body).saturating_sub(overhead);
        let piece = send.next_piece(room, early)?;
        let fin_errors = piece.fin && send.fin_errors;
        let lane = link.choose_lane(if role.keeps_lanes { send.lane } else { 0 });
        if role.keeps_lanes {
            send.lane = u8::try_from(lane).unwrap_or(0);
        }
        let data = Data {
            stream: id,
            flow,
            offset: piece.offset,
            fin: piece.fin,
            fin_errors,
            open: piece.open.then_some(Open { class, protocol }),
            bytes: Payload::default(),
        };
        batch.push_data(crate::LaneId(lane as u64), &data, piece.length, |payload| {
            send.append_payload(piece, payload);
        });
        let item = Item::Data { stream: id, flow, piece, fin_errors };
        link.sent(lane, item, now);
        send.is_scheduled = send.has_work();
        let (has_more, is_blocked) = (send.is_scheduled, send.is_blocked());
        if role.is_mirrored {
            self.mirror_item(link.id, item, now);
        }
        if let Some(early) = &mut self.early {
            *early -= piece.length as u64;
        }
        self.spend(piece.length, now);
        Some(Sent { length: piece.length, has_more, is_blocked })
    }

    fn leave_line(&mut self, bytes: usize, id: StreamId, flow: Flow) {
        self.scheduler.sent(bytes, false);
        self.mark_unscheduled(id, flow);
    }

    fn mark_unscheduled(&mut self, id: StreamId, flow: Flow) {
        let send = self.streams.get_mut(&id).and_then(|stream| stream.send_existing(flow));
        if let Some(send) = send {
            send.is_scheduled = false;
        }
    }
}

/// What became of a flow's turn.
struct Sent {
    length: usize,
    has_more: bool,
    is_blocked: bool,
}

/// Answers to probes, and probes of our own: counted by both sides, waited for by none.
fn fill_probes(link: &mut Link, batch: &mut Batch, now: Time) {
    if !link.may_acknowledge() {
        return;
    }
    if let Some(nonce) = link.pong.take() {
        batch.push(crate::LaneId(0), &Frame::Pong { nonce });
        link.sent_uncounted(0);
    }
    if let Some(nonce) = link.ping_queued.take() {
        link.note_ping(nonce, now);
        batch.push(crate::LaneId(0), &Frame::Ping { nonce });
        link.sent_uncounted(0);
        if std::mem::take(&mut link.is_ping_padded) {
            batch.push(crate::LaneId(0), &Frame::Ignored { kind: kind::PAD, length: PADDING });
            link.sent_uncounted(0);
        }
        link.health.sent(now);
    }
    for lack in std::mem::take(&mut link.answers) {
        batch.push(crate::LaneId(0), &Frame::Lack(lack));
        link.sent_uncounted(0);
    }
}

/// Acknowledges with any other write, when enough came, or when it is due.
fn fill_lack(link: &mut Link, batch: &mut Batch, now: Time, is_allowed: bool) {
    let Some(due) = link.lack_due else { return };
    let has_company = !batch.is_empty();
    let is_enough = link.unacknowledged_bytes >= LACK_BYTES;
    let is_last = link.phase == Phase::Ended;
    if !is_allowed || !(has_company || is_enough || is_last || due <= now) {
        return;
    }
    batch.push(crate::LaneId(0), &Frame::Lack(link.lack(now)));
    link.sent_uncounted(0);
}

/// The frame that tells the state of a link.
pub(crate) fn link_update(
    link: crate::LinkId,
    state: LinkState,
    role: LinkRole,
    lanes: crate::wire::LaneCounts,
) -> Frame {
    Frame::Link(LinkUpdate { link, state, role, lanes })
}

/// Stream id, bits and offset of a DATA body at their longest.
const DATA_OVERHEAD: usize = 8 + 1 + 8;
/// Bytes of a flow's turn, if it is more than one frame: two full ones over TCP, as the window
/// holds that many streams have.
const MAX_TURN: usize = TURN_WINDOW as usize;
/// How long the frames of many streams are.
const UPCOMING_FRAME: usize = 16 << 10;
/// With it a ping fills a packet of 1,400 bytes, so that a path that swallows long packets does not
/// answer (E-42).
const PADDING: usize = 1400;
/// Bytes of control frames that fit any batch.
const MIN_CONTROL_SHARE: usize = 2048;
