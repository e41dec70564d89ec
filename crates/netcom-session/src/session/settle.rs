//! What becomes of frames that were sent: acknowledged or lost.

use super::{
    core::Core,
    event::Event,
    link::{Control, Item},
    send::Mark,
};
use crate::{Flow, StreamId};

impl Core {
    /// A stored frame arrived.
    pub(crate) fn acknowledged(&mut self, item: Item) {
        match item {
            Item::Data { stream, flow, piece, fin_errors } => {
                let Some(known) = self.streams.get_mut(&stream) else { return };
                let Some(send) = known.send_existing(flow) else { return };
                let was_ended = send.is_ended();
                let freed = send.acknowledge(piece);
                let is_ended = send.is_ended() && !was_ended && send.reset.is_none();
                if fin_errors && piece.fin {
                    known.send_errors_ended = true;
                }
                if is_ended {
                    self.events.push_back(Event::Finished(stream, flow));
                }
                self.free(freed);
                self.offer_room(stream, flow);
                self.wake_budget_waiters();
                self.settle(stream);
            }
            Item::Control(Control::Reset(stream, flow)) => {
                let Some(known) = self.streams.get_mut(&stream) else { return };
                let Some(send) = known.send_existing(flow) else { return };
                // A reset that was queued again meanwhile is known to the peer all the same.
                if let Some((_, mark)) = &mut send.reset {
                    *mark = Mark::Done;
                }
                if flow == Flow::Data && send.fin_errors {
                    known.send_errors_ended = true;
                }
                self.settle(stream);
            }
            Item::Control(_) => {}
        }
    }

    /// A stored frame did not arrive, or nobody knows.
    pub(crate) fn lost(&mut self, item: Item) {
        self.traffic.resent += item.bytes() as u64;
        match item {
            Item::Data { stream, flow, piece, .. } => {
                let send = self.streams.get_mut(&stream).and_then(|s| s.send_existing(flow));
                if let Some(send) = send {
                    send.lose(piece);
                    self.schedule(stream, flow);
                }
            }
            Item::Control(control) => self.requeue(control),
        }
    }

    fn requeue(&mut self, control: Control) {
        let is_wanted = match control {
            Control::Reset(stream, flow) => self.requeue_reset(stream, flow),
            Control::Stop(stream, flow) => {
                let receive = self.streams.get(&stream).and_then(|s| s.receive_ref(flow));
                receive.is_some_and(|receive| receive.stop.is_some() && !receive.is_end_known())
            }
            Control::Credit(stream, flow) => return self.queue_credit(stream, flow),
            Control::Streams => return self.queue_streams(),
            Control::Blocked(stream, flow) => {
                let send = self.streams.get_mut(&stream).and_then(|s| s.send_existing(flow));
                send.is_some_and(|send| !std::mem::replace(&mut send.is_blocked_queued, true))
            }
            // Links speak for themselves.
            Control::Close | Control::Closing | Control::Role => false,
            Control::Key
            | Control::Auth
            | Control::Want
            | Control::Drain
            | Control::Dead(_)
            | Control::Suspect(_)
            | Control::Query(_) => !self.control.contains(&control),
        };
        if is_wanted {
            self.control.push_back(control);
        }
    }

    fn requeue_reset(&mut self, stream: StreamId, flow: Flow) -> bool {
        let send = self.streams.get_mut(&stream).and_then(|s| s.send_existing(flow));
        match send.and_then(|send| send.reset.as_mut()) {
            Some((_, mark)) if *mark == Mark::InFlight => {
                *mark = Mark::Queued;
                true
            }
            _ => false,
        }
    }
}
