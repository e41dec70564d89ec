//! Links come and go: acknowledgement, choice, loss, and what to send again.

use super::{
    Session, State,
    config::MAX_DEAD_LINKS,
    event::{Event, Violation},
    link::{Control, DeadLink, Item, Link, LinkLoss, Phase, TxLane},
};
use crate::{
    Code, LaneId, LinkId, StreamId, Time,
    wire::{Lack, LaneCounts, LinkRole, LinkState, LinkUpdate},
};

impl Session {
    /// The link's transport is gone. What it may not have delivered travels again on another link,
    /// now or after the next one was attached.
    pub fn link_lost(&mut self, id: LinkId, loss: &LinkLoss, now: Time) {
        self.advance(now);
        let is_part = self.links.iter().any(|link| link.id == id && link.may_acknowledge());
        if let LinkLoss::Malformed(code) = loss
            && is_part
        {
            self.end(*code, "the peer's bytes were no frames", false, now);
        }
        self.drop_link(id, loss.code(), now);
        self.progress_close(now);
    }

    /// Ends one link in order: what was sent on it is acknowledged first, the others carry on.
    pub fn close_link(&mut self, id: LinkId, now: Time) {
        self.advance(now);
        self.retire_link(id, now);
    }

    /// Measures a link: [`Event::Pong`] follows. Returns the ping's number, `None` for an unknown
    /// link.
    pub fn ping(&mut self, id: LinkId, now: Time) -> Option<u64> {
        self.advance(now);
        let nonce = self.pings;
        let link = self.link_mut(id)?;
        // One that was not sent yet needs no frame of its own: the answer to this one is for both.
        if let Some(earlier) = link.ping_queued.replace(nonce) {
            link.note_ping(earlier, now);
        }
        self.pings += 1;
        Some(nonce)
    }

    /// Takes an acknowledgement that came on the link it is for or, where that one is suspect, on
    /// another.
    pub(super) fn handle_lack(
        &mut self,
        via: LinkId,
        lack: &Lack,
        now: Time,
    ) -> Result<bool, Violation> {
        let waits = self.core.has_data();
        // One that the peer named dead is kept there, though its driver may not have ended it yet.
        if let Some(link) = self.link_mut(lack.link).filter(|link| link.was_attached) {
            let before = link.bytes_in_flight;
            let (items, newest) = link.acknowledge(&lack.lanes)?;
            let changed = !items.is_empty();
            if let Some(sent_at) = newest
                && via == lack.link
            {
                let delay = std::time::Duration::from_micros(lack.delay_us.min(MAX_DELAY_US));
                link.rtt.sample(now.since(sent_at).saturating_sub(delay), now);
                let bytes = before - link.bytes_in_flight;
                link.flight.acknowledge(bytes, &link.rtt, now);
                if link.bytes_in_flight == 0 && !waits {
                    link.flight.pause(&link.rtt, now);
                }
                self.core.rtt = link.rtt.smoothed();
                self.link_answered(via, sent_at, now);
            }
            self.acknowledge_items(items);
            if via != lack.link {
                self.replace_suspect(lack.link);
            }
            self.finish_closing_link(lack.link);
            self.progress_close(now);
            return Ok(changed);
        }
        if self.dead.iter().any(|dead| dead.finals.link == lack.link) {
            // Late news of a dead link: what it tells need not be sent again.
            return self.acknowledge_dead(lack.link, &lack.lanes);
        }
        self.check_known(lack.link).map(|()| false)
    }

    /// Takes the peer's view of a link.
    pub(super) fn handle_link_update(
        &mut self,
        via: LinkId,
        update: &LinkUpdate,
        now: Time,
    ) -> Result<bool, Violation> {
        self.check_known(update.link)?;
        match update.state {
            LinkState::Dead => self.handle_finals(update.link, &update.lanes, now).map(|()| true),
            LinkState::Closing => {
                if let Some(link) = self.link_mut(update.link) {
                    link.peer_closes = true;
                }
                self.retire_link(update.link, now);
                Ok(true)
            }
            LinkState::Suspect => Ok(via != update.link && self.told_suspect(update.link, now)),
            LinkState::Alive => {
                let choice = update.lanes.first().map(|(_, choice)| *choice);
                let is_choice = update.role == LinkRole::Active;
                Ok(choice.is_some_and(|choice| is_choice && self.follow(update.link, choice)))
            }
        }
    }

    /// Takes the peer's final counts of a link: exactly the rest is sent again.
    pub(super) fn handle_finals(
        &mut self,
        id: LinkId,
        counts: &LaneCounts,
        now: Time,
    ) -> Result<(), Violation> {
        self.check_known(id)?;
        self.bury_link(id, Code::LINK_LOST, now);
        self.acknowledge_dead(id, counts)?;
        self.settle_dead(id);
        Ok(())
    }

    /// Gives up waiting for final counts that are overdue.
    pub(super) fn expire_dead(&mut self, now: Time) {
        while let Some(id) = self
            .dead
            .iter()
            .find(|dead| !dead.is_settled() && dead.deadline.is_some_and(|at| at <= now))
            .map(|dead| dead.finals.link)
        {
            self.settle_dead(id);
        }
    }

    /// The keeper ends links that do the same as one it dialled itself.
    pub(super) fn close_duplicates(&mut self, now: Time) {
        self.duplicates_at = None;
        let own: Vec<_> = self
            .links
            .iter()
            .filter(|link| link.is_attached() && link.is_dialer)
            .map(|link| (link.spec.kind, link.spec.path))
            .collect();
        let duplicates: Vec<_> = self
            .links
            .iter()
            .filter(|link| link.is_attached() && !link.is_dialer)
            .filter(|link| own.contains(&(link.spec.kind, link.spec.path)))
            .map(|link| link.id)
            .collect();
        duplicates.into_iter().for_each(|id| self.retire_link(id, now));
    }

    /// Starts ending a link: nothing new travels on it.
    pub(super) fn retire_link(&mut self, id: LinkId, now: Time) {
        let deadline = now + self.core.config.close_timeout;
        let Some(link) = self.link_mut(id) else { return };
        match link.phase {
            Phase::Attached => {
                link.closing_queued = true;
                link.phase = Phase::Closing { deadline };
            }
            Phase::AwaitAnswer { .. } | Phase::AwaitJoin { .. } => link.phase = Phase::Ended,
            Phase::Closing { .. } | Phase::Ended => {}
        }
        self.choose_active();
        self.finish_closing_link(id);
    }

    /// Ends a link without more ado, because it never became or no longer is part of the session.
    pub(super) fn end_link(&mut self, id: LinkId, code: Code) {
        self.lose_early(id);
        let Some(link) = self.link_mut(id) else { return };
        link.phase = Phase::Ended;
        let held = link.take_held();
        held.into_iter().for_each(|item| self.core.lost(item));
        self.core.events.push_back(Event::LinkEnded { link: id, code });
        self.choose_active();
    }

    /// Lets a closing link go once both sides have nothing outstanding on it.
    pub(super) fn finish_closing_link(&mut self, id: LinkId) {
        let Some(link) = self.link_mut(id) else { return };
        let is_closing = matches!(link.phase, Phase::Closing { .. });
        let has_said = !link.closing_queued && !link.close_queued;
        if is_closing && has_said && link.peer_closes && link.is_settled() {
            link.phase = Phase::Ended;
        }
    }

    /// Takes a link out and keeps what it may not have delivered.
    pub(super) fn drop_link(&mut self, id: LinkId, code: Code, now: Time) {
        self.bury_link(id, code, now);
        self.links.retain(|link| link.id != id);
        let is_alone = !self.links.iter().any(Link::is_attached);
        if is_alone && matches!(self.state, State::Live | State::Closing) {
            self.detach(now);
        }
    }

    /// Ends a link whose frames may not all have arrived. Its driver ends it and then tells.
    pub(super) fn bury_link(&mut self, id: LinkId, code: Code, now: Time) {
        let is_over = self.core.ended.is_some();
        self.lose_early(id);
        let Some(link) = self.link_mut(id) else { return };
        let (was_attached, was_told) = (link.was_attached, link.phase == Phase::Ended);
        link.phase = Phase::Ended;
        // Kept with nothing of ours open too: the peer may need to know how far it came.
        link.was_attached = false;
        let finals = link.final_counts();
        let tx = std::mem::take(&mut link.tx);
        link.restart_counts();
        if is_over {
            if !was_told {
                self.core.events.push_back(Event::LinkEnded { link: id, code });
            }
        } else if was_attached {
            self.keep_dead(DeadLink { finals, tx, deadline: None });
            self.tell_dead(id, now);
        } else {
            let held = tx.into_iter().flat_map(|lane| lane.held).filter(|held| !held.is_moved);
            held.for_each(|held| self.core.lost(held.item));
        }
        if !is_over && !was_told {
            self.core.events.push_back(Event::LinkEnded { link: id, code });
        }
        self.core.traffic.link_events += u32::from(was_attached);
        self.choose_active();
    }

    /// Exchanges final counts of a dead link on a living one, if there is one.
    fn tell_dead(&mut self, id: LinkId, now: Time) {
        if self.links.iter().any(Link::is_attached) {
            let deadline = now + self.core.finals_wait();
            for dead in &mut self.dead {
                dead.deadline.get_or_insert(deadline);
            }
            self.queue_control(Control::Dead(id));
        }
    }

    fn keep_dead(&mut self, dead: DeadLink) {
        self.dead.push_back(dead);
        while self.dead.len() > MAX_DEAD_LINKS {
            let oldest = self.dead.front().map(|dead| dead.finals.link);
            oldest.into_iter().for_each(|id| self.settle_dead(id));
            self.dead.pop_front();
        }
    }

    fn acknowledge_dead(&mut self, id: LinkId, counts: &LaneCounts) -> Result<bool, Violation> {
        let Some(dead) = self.dead.iter_mut().find(|dead| dead.finals.link == id) else {
            return Ok(false);
        };
        let mut items = Vec::new();
        if !dead.tx.is_empty() {
            check_counts(&dead.tx, counts)?;
            for (lane, count) in counts {
                if let Some(tx) = lane_mut(&mut dead.tx, *lane) {
                    tx.acknowledge(*count, &mut items);
                }
            }
        }
        let changed = !items.is_empty();
        self.acknowledge_items(items.into_iter().map(|held| held.item).collect());
        Ok(changed)
    }

    /// Sends again what is left of a dead link.
    fn settle_dead(&mut self, id: LinkId) {
        let Some(dead) = self.dead.iter_mut().find(|dead| dead.finals.link == id) else { return };
        let lanes = std::mem::take(&mut dead.tx);
        let held = lanes.into_iter().flat_map(|lane| lane.held);
        held.filter(|held| !held.is_moved).for_each(|held| self.core.lost(held.item));
    }

    pub(super) fn acknowledge_items(&mut self, items: Vec<Item>) {
        self.core.warm(items.iter().filter_map(Item::stream));
        for item in items {
            match item {
                Item::Control(Control::Key) => self.is_key_shared = true,
                Item::Control(Control::Close) => self.close_acknowledged(),
                item => self.core.acknowledged(item),
            }
        }
    }

    /// A link that was never opened may not be spoken of.
    fn check_known(&self, id: LinkId) -> Result<(), Violation> {
        let is_own = (id.0 & 1 == 0) == self.core.is_keeper;
        let is_known = if is_own {
            id.0 >> 1 < self.dialled
        } else {
            self.peer_dialled.is_some_and(|highest| id <= highest)
        };
        if is_known {
            return Ok(());
        }
        Err(Violation::because(Code::ACK_OF_UNSENT, "a frame speaks of a link that never was"))
    }
}

impl Link {
    /// Settles what the counts acknowledge: the items, and when the newest of them was sent.
    fn acknowledge(&mut self, counts: &LaneCounts) -> Result<(Vec<Item>, Option<Time>), Violation> {
        check_counts(&self.tx, counts)?;
        let mut held = Vec::new();
        for (lane, count) in counts {
            if let Some(tx) = lane_mut(&mut self.tx, *lane) {
                tx.acknowledge(*count, &mut held);
            }
        }
        self.frames_in_flight -= held.len();
        self.bytes_in_flight -= held.iter().map(|held| held.item.bytes()).sum::<usize>();
        if let Some(oldest) = held.first() {
            self.flight.begin(oldest.sent_at);
        }
        let newest = held.iter().map(|held| held.sent_at).max();
        Ok((held.into_iter().map(|held| held.item).collect(), newest))
    }

    /// The streams of which data was sent and not acknowledged.
    pub(super) fn streams_held(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.tx.iter().flat_map(|lane| &lane.held).filter_map(|held| held.item.stream())
    }

    /// Takes out everything that was sent and not acknowledged, but for what another link carries
    /// meanwhile.
    pub(super) fn take_held(&mut self) -> Vec<Item> {
        self.frames_in_flight = 0;
        self.bytes_in_flight = 0;
        let held = self.tx.iter_mut().flat_map(|lane| lane.held.drain(..));
        let taken: Vec<_> = held.filter(|held| !held.is_moved).map(|held| held.item).collect();
        self.health.count_resent(taken.iter().map(Item::bytes).sum());
        taken
    }
}

impl TxLane {
    fn acknowledge(&mut self, count: u64, held: &mut Vec<super::link::Held>) {
        self.acknowledged = self.acknowledged.max(count);
        while self.held.front().is_some_and(|front| front.index < count) {
            held.extend(self.held.pop_front());
        }
    }
}

impl DeadLink {
    fn is_settled(&self) -> bool {
        self.tx.iter().all(|lane| lane.held.is_empty())
    }
}

fn check_counts(lanes: &[TxLane], counts: &LaneCounts) -> Result<(), Violation> {
    let is_sent = |(lane, count): &(LaneId, u64)| {
        let tx = usize::try_from(lane.0).ok().and_then(|lane| lanes.get(lane));
        tx.is_some_and(|tx| *count <= tx.sent)
    };
    if counts.iter().all(is_sent) { Ok(()) } else { Err(Violation::new(Code::ACK_OF_UNSENT)) }
}

fn lane_mut(lanes: &mut [TxLane], lane: LaneId) -> Option<&mut TxLane> {
    lanes.get_mut(usize::try_from(lane.0).ok()?)
}

/// No acknowledgement waits longer than a minute for company.
const MAX_DELAY_US: u64 = 60_000_000;
