//! Links that carry the same: what one of them sent, for the others to send, too.

use std::{collections::VecDeque, time::Duration};

use super::{
    batch::Batch,
    bond::Bonds,
    core::Core,
    link::{Control, Item, Link},
    send::{Mark, Piece},
};
use crate::{
    Flow, LaneId, LinkId, StreamId, Time,
    wire::{Credit, Data, Datagram, Frame, Open, Payload, Reset},
};

/// What links sent lately, oldest first, with a number for each: a link remembers up to which it
/// has sent them (E-50). It holds no bytes of streams, which the senders keep.
#[derive(Debug, Default)]
pub(crate) struct Mirror {
    entries: VecDeque<Entry>,
    /// The number of the first entry.
    first: u64,
    /// Bytes of all entries.
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    by: LinkId,
    at: Time,
    copied: Copied,
}

/// What can be sent again on another link.
#[derive(Clone, Debug)]
enum Copied {
    Item(Item),
    Datagram(Datagram),
}

impl Mirror {
    /// Notes what a link has sent. What all but the slowest links have sent long ago is forgotten.
    fn push(&mut self, by: LinkId, copied: Copied, now: Time) {
        self.bytes += copied.bytes();
        self.entries.push_back(Entry { by, at: now, copied });
        while self.bytes > MAX_BYTES || self.entries.len() > MAX_ENTRIES {
            self.pop();
        }
    }

    /// The next that a link should send, too, which has sent all before `place`. A link that is too
    /// far behind goes on with the newest.
    fn next(&mut self, id: LinkId, mut place: u64, now: Time) -> (Option<Copied>, u64) {
        while self.entries.front().is_some_and(|entry| now.since(entry.at) > MAX_AGE) {
            self.pop();
        }
        if place < self.first {
            place = self.first.max(self.end().saturating_sub(1));
        }
        place = self.skip_own(id, place);
        let copied = self.get(place).map(|entry| entry.copied.clone());
        let next = place + u64::from(copied.is_some());
        (copied, next)
    }

    /// Passes over what the link itself sent.
    fn skip_own(&self, id: LinkId, mut place: u64) -> u64 {
        while self.get(place).is_some_and(|entry| entry.by == id) {
            place += 1;
        }
        place
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self { first: self.end(), ..Self::default() };
    }

    fn get(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn pop(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.first += 1;
            self.bytes -= entry.copied.bytes();
        }
    }
}

impl Bonds {
    /// Whether a link has not sent all that others did.
    pub(crate) fn has_copies(&self, id: LinkId) -> bool {
        self.line(id).map_or(0, |line| line.mirrored) < self.mirror.end()
    }

    /// The next that a link should send, too.
    fn next_copy(&mut self, id: LinkId, now: Time) -> Option<Copied> {
        let place = self.line_mut(id).mirrored;
        let (copied, next) = self.mirror.next(id, place, now);
        self.line_mut(id).mirrored = next;
        copied
    }

    /// Passes over what a link itself sent.
    pub(crate) fn skip_own(&mut self, id: LinkId) {
        let place = self.line_mut(id).mirrored;
        self.line_mut(id).mirrored = self.mirror.skip_own(id, place);
    }
}

impl Core {
    /// Notes a frame for the other links, where they can make it, too.
    pub(crate) fn mirror_item(&mut self, by: LinkId, item: Item, now: Time) {
        let is_copied = match item {
            Item::Data { .. } => true,
            Item::Control(control) => matches!(
                control,
                Control::Reset(..) | Control::Stop(..) | Control::Credit(..) | Control::Streams
            ),
        };
        if let Some(bonds) = self.bonds.as_mut().filter(|_| is_copied) {
            bonds.mirror.push(by, Copied::Item(item), now);
        }
    }

    /// The same for a datagram.
    pub(crate) fn mirror_datagram(&mut self, by: LinkId, message: &Datagram, now: Time) {
        if let Some(bonds) = &mut self.bonds {
            bonds.mirror.push(by, Copied::Datagram(message.clone()), now);
        }
    }

    /// Adds what other links have sent and nobody acknowledged yet.
    pub(crate) fn fill_copies(
        &mut self,
        link: &mut Link,
        budget: usize,
        batch: &mut Batch,
        now: Time,
    ) {
        let limit = batch.len_bytes() + budget;
        while batch.len_bytes() < limit && link.has_room_for_data() {
            let copied = self.bonds.as_mut().and_then(|bonds| bonds.next_copy(link.id, now));
            let Some(copied) = copied else { return };
            match copied {
                Copied::Datagram(message) => {
                    batch.push(LaneId(0), &Frame::Datagram(message));
                    link.sent_uncounted(0);
                }
                Copied::Item(Item::Data { stream, flow, piece, fin_errors }) => {
                    self.copy_data(link, (stream, flow), piece, fin_errors, batch, now);
                }
                Copied::Item(Item::Control(control)) => {
                    if let Some(frame) = self.control_copy(control) {
                        batch.push(LaneId(0), &frame);
                        link.sent_copy(0, Item::Control(control), now);
                    }
                }
            }
        }
    }

    /// Adds a frame of data that another link carries, unless it arrived or is not wanted any more.
    fn copy_data(
        &mut self,
        link: &mut Link,
        (id, flow): (StreamId, Flow),
        piece: Piece,
        fin_errors: bool,
        batch: &mut Batch,
        now: Time,
    ) {
        let Some(stream) = self.streams.get(&id) else { return };
        let Some(send) = stream.send_ref(flow).filter(|send| send.can_repeat(piece)) else {
            return;
        };
        let open = Open { class: stream.class, protocol: stream.protocol.clone() };
        let data = Data {
            stream: id,
            flow,
            offset: piece.offset,
            fin: piece.fin,
            fin_errors,
            open: piece.open.then_some(open),
            bytes: Payload::default(),
        };
        let lane = link.choose_lane(0);
        batch.push_data(LaneId(lane as u64), &data, piece.length, |payload| {
            send.append_payload(piece, payload);
        });
        link.sent_copy(lane, Item::Data { stream: id, flow, piece, fin_errors }, now);
        self.spend(piece.length, now);
    }

    /// Makes a control frame of a stream once more, and changes nothing by that.
    fn control_copy(&mut self, control: Control) -> Option<Frame> {
        match control {
            Control::Reset(stream, flow) => {
                let send = self.streams.get(&stream)?.send_ref(flow)?;
                let (code, _) = send.reset.filter(|(_, mark)| *mark == Mark::InFlight)?;
                let (fin_errors, final_size) = (send.fin_errors, send.sent_to());
                Some(Frame::Reset(Reset { stream, flow, fin_errors, code, final_size }))
            }
            Control::Credit(stream, flow) => {
                let max = self.change_stream(stream, |known| {
                    let receive = known.receive_existing(flow)?;
                    (!receive.is_end_known()).then(|| receive.announce())
                })??;
                Some(Frame::Credit(Credit { stream, flow, max }))
            }
            Control::Stop(..) | Control::Streams => self.stream_frame(control),
            _ => None,
        }
    }
}

impl Copied {
    fn bytes(&self) -> usize {
        match self {
            Self::Item(item) => item.bytes(),
            Self::Datagram(message) => message.bytes.len(),
        }
    }
}

/// How far behind a link may be.
const MAX_BYTES: usize = 256 << 10;
const MAX_AGE: Duration = Duration::from_millis(200);
/// Frames without data are small, and there may be many.
const MAX_ENTRIES: usize = 1024;
