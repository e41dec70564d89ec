//! Frames from a link.

use std::time::Duration;

use bytes::Bytes;

use super::{
    Session,
    apply::Effect,
    config::LACK_DELAY,
    event::{Event, Violation},
    link::Phase,
    warm::stream_of,
};
use crate::{
    Code, LaneId, LinkId, Time,
    wire::{Close, Frame, kind},
};

impl Session {
    /// Takes what a link's lane received, in order, and leaves `frames` empty. A peer that breaks
    /// a rule ends the session; [`Event::Closed`](super::Event::Closed) says why.
    pub fn handle_batch(&mut self, link: LinkId, lane: LaneId, frames: &mut Vec<Frame>, now: Time) {
        self.advance(now);
        self.core.warm(frames.iter().filter_map(stream_of));
        if let Some(link) = self.link_mut(link) {
            link.health.heard(now);
        }
        for frame in frames.drain(..) {
            if let Err(violation) = self.handle_frame(link, lane, frame, now) {
                self.blame(link, &violation, now);
            }
        }
        self.progress_close(now);
        self.close_if_idle(now);
    }

    /// A peer that breaks a rule ends the session. On a link that is not part of it yet, it may be
    /// another process with the peer's key, and ends that link only.
    fn blame(&mut self, id: LinkId, violation: &Violation, now: Time) {
        let is_part = self.links.iter().any(|link| link.id == id && link.may_acknowledge());
        if is_part {
            self.fail(violation, now);
        } else {
            self.end_link(id, violation.code);
        }
    }

    fn handle_frame(
        &mut self,
        id: LinkId,
        lane: LaneId,
        frame: Frame,
        now: Time,
    ) -> Result<(), Violation> {
        let Some(link) = self.link_mut(id) else { return Ok(()) };
        match (link.phase, frame) {
            (Phase::AwaitAnswer { .. }, Frame::Hello(hello)) if lane == LaneId(0) => {
                self.handle_answer(id, &hello, now)
            }
            (Phase::AwaitAnswer { .. }, _) => {
                let what = "the first frame of a link is the hello";
                Err(Violation::because(Code::PROTOCOL_VIOLATION, what))
            }
            (Phase::AwaitJoin { .. }, Frame::Join { mac }) => self.handle_join(id, &mac, now),
            // Before the proof nothing is believed, nor counted.
            (Phase::AwaitJoin { .. } | Phase::Ended, _) => Ok(()),
            (Phase::Attached | Phase::Closing { .. }, Frame::Join { .. })
                if std::mem::take(&mut link.may_prove) =>
            {
                Ok(())
            }
            (Phase::Attached | Phase::Closing { .. }, Frame::Hello(_) | Frame::Join { .. }) => {
                let what = "a link has one hello each way";
                Err(Violation::because(Code::PROTOCOL_VIOLATION, what))
            }
            (Phase::Attached | Phase::Closing { .. }, frame) => {
                self.count_received(id, lane, &frame, now)?;
                if self.core.ended.is_some() && !matches!(frame, Frame::Lack(_) | Frame::Close(_)) {
                    return Ok(());
                }
                let effect = self.apply(id, frame, now)?;
                self.core.count(effect)
            }
        }
    }

    /// Counts a frame that is about to be applied.
    fn count_received(
        &mut self,
        id: LinkId,
        lane: LaneId,
        frame: &Frame,
        now: Time,
    ) -> Result<(), Violation> {
        let Some(link) = self.link_mut(id) else { return Ok(()) };
        let Some(rx) = link.rx_lane(lane) else {
            return Err(Violation::because(Code::PROTOCOL_VIOLATION, "too many lanes"));
        };
        rx.applied += 1;
        let bytes = match frame {
            Frame::Lack(_) | Frame::Pong { .. } | Frame::Datagram(_) | Frame::Ignored { .. } => {
                return Ok(());
            }
            Frame::Ping { .. } | Frame::Query { .. } => {
                rx.is_due = true;
                link.want_lack(0, now, now);
                return Ok(());
            }
            Frame::Data(data) => data.bytes.len(),
            _ => 0,
        };
        rx.is_due = true;
        link.want_lack(bytes + FRAME_OVERHEAD, now + LACK_DELAY, now);
        link.bytes_received += bytes as u64;
        self.core.carried_at = now;
        Ok(())
    }

    fn apply(&mut self, id: LinkId, frame: Frame, now: Time) -> Result<Effect, Violation> {
        let changed = match frame {
            Frame::Data(data) => return self.core.apply_data(data, now),
            Frame::Reset(reset) => return self.core.apply_reset(reset, now),
            Frame::Stop(stop) => return self.core.apply_stop(stop, now),
            Frame::Credit(credit) => return self.core.apply_credit(credit, now),
            Frame::Blocked(blocked) => return self.core.apply_blocked(blocked, now),
            Frame::Streams { max } => self.core.allow_streams(max),
            Frame::Lack(lack) => {
                self.handle_lack(id, &lack, now)?;
                // Acknowledgements that repeat each other are part of the protocol.
                true
            }
            Frame::Link(update) => self.handle_link_update(id, &update, now)?,
            Frame::Ping { nonce } => {
                let link = self.link_mut(id).map(|link| link.pong.replace(nonce));
                link.flatten().is_none()
            }
            Frame::Pong { nonce } => self.handle_pong(id, nonce, now),
            Frame::Datagram(message) => {
                let is_new = self.core.datagrams.receive(&message);
                if is_new && !self.core.events.contains(&Event::Datagram) {
                    self.core.events.push_back(Event::Datagram);
                }
                is_new
            }
            Frame::Key(key) => self.handle_key(key)?,
            Frame::Auth(proof) => self.handle_auth(proof, now),
            Frame::Want { sequence, held } => self.handle_want(sequence, held),
            Frame::Drain { last } => self.handle_drain(last),
            Frame::Close(close) => self.handle_close(id, &close, now),
            Frame::Query { link } => self.handle_query(id, link),
            // Padding is meant to mean nothing.
            Frame::Ignored { kind: kind::PAD, .. } => true,
            Frame::Ignored { .. } | Frame::Hello(_) | Frame::Join { .. } => false,
        };
        Ok(if changed { Effect::Changed } else { Effect::Useless })
    }

    fn handle_pong(&mut self, id: LinkId, nonce: u64, now: Time) -> bool {
        let Some(link) = self.link_mut(id) else { return false };
        let Some(at) = link.pings.iter().position(|(sent, _)| *sent == nonce) else { return false };
        // The peer answers the newest ping of those that came together, for all of them.
        let answered: Vec<_> = link.pings.drain(..=at).collect();
        let newest = answered.last().map_or(now, |(_, sent_at)| *sent_at);
        link.rtt.sample(now.since(newest), now);
        link.flight.acknowledge(0, &link.rtt, now);
        self.link_answered(id, newest, now);
        let pongs = answered.into_iter().map(|(nonce, sent_at)| Event::Pong {
            link: id,
            nonce,
            rtt: now.since(sent_at),
        });
        self.core.events.extend(pongs);
        true
    }

    /// Takes the peer's new proofs. Each costs the signatures in it to be checked, so that more in
    /// a minute than anybody renews are dropped as useless.
    fn handle_auth(&mut self, proof: Bytes, now: Time) -> bool {
        let new = || Box::new(PeerAuth { proof: Bytes::new(), since: now, count: 0 });
        let auth = self.peer_auth.get_or_insert_with(new);
        if now.since(auth.since) >= AUTH_SPAN {
            (auth.since, auth.count) = (now, 0);
        }
        if auth.proof == proof || auth.count >= AUTHS_IN_SPAN {
            return false;
        }
        auth.count += 1;
        // Kept for long, it must not pin the buffer it was read into.
        auth.proof = Bytes::copy_from_slice(&proof);
        self.core.events.push_back(Event::Auth(proof));
        true
    }

    fn handle_want(&mut self, sequence: u64, held: bool) -> bool {
        if sequence <= self.want.peer_sequence {
            return false;
        }
        self.want.peer_sequence = sequence;
        self.want.peer_held = held;
        true
    }

    fn handle_drain(&mut self, last: Option<crate::StreamId>) -> bool {
        let lower = match (self.core.peer_drain, last) {
            (None, _) => true,
            (Some(known), last) => last < known,
        };
        if !lower {
            return false;
        }
        self.core.peer_drain = Some(last);
        self.core.events.push_back(Event::Draining);
        true
    }

    fn handle_close(&mut self, id: LinkId, close: &Close, now: Time) -> bool {
        if let Some(link) = self.link_mut(id) {
            // The peer waits for the acknowledgement, and for nothing else.
            link.lack_due = Some(now);
            link.ends_after_lack = true;
        }
        let is_news = self.core.ended.is_none();
        self.end(close.code, &close.reason, true, now);
        is_news
    }
}

/// The proof that the peer sent last.
#[derive(Debug)]
pub(super) struct PeerAuth {
    proof: Bytes,
    /// When counting began, and how many were news since.
    since: Time,
    count: u32,
}

/// A peer may renew its proofs so often in this time: once for each NetID it speaks for, and again.
const AUTHS_IN_SPAN: u32 = 16;
const AUTH_SPAN: Duration = Duration::from_secs(60);
/// What a frame without payload counts towards an acknowledgement.
const FRAME_OVERHEAD: usize = 16;
