//! A session's life: time, being held, draining, closing, waiting without a link.

use std::time::Duration;

use super::{
    Closing, Poll, Session, State,
    batch::Batch,
    event::{Closed, Event, Violation},
    link::{Control, Link, Phase},
    transmit::{Outgoing, link_update},
};
use crate::{
    Code, LinkId, Pace, Rate, Time,
    wire::{Finals, Frame, Lack, LinkRole, LinkState, MAX_HELLO_BODY, MAX_REASON},
};

impl Session {
    /// Fills `batch` with what a link should send now, about `budget` bytes, and says what to do
    /// afterwards.
    pub fn poll_batch(&mut self, id: LinkId, budget: usize, batch: &mut Batch, now: Time) -> Poll {
        self.advance(now);
        let Some(at) = self.links.iter().position(|link| link.id == id) else {
            return Poll::Finish;
        };
        let role = self.role(&self.links[at]);
        let start = batch.len_bytes();
        // Split by field, so that the frames of the whole session can be made while the core fills.
        let (key, want, auth) = (&self.key, &self.want, &self.auth);
        let (dead, drain) = (&self.dead, self.core.drain);
        let (active, choices) = (self.active, self.watch.choices);
        let suspects = self.links.iter().filter(|link| link.health.is_suspect());
        let suspects: Vec<LinkId> = suspects.map(|link| link.id).collect();
        let mut session_frame = |control: Control| match control {
            Control::Key => key.clone().map(Frame::Key),
            Control::Want => Some(Frame::Want { sequence: want.sequence, held: want.held }),
            Control::Auth => auth.clone().map(Frame::Auth),
            Control::Drain => drain.map(|last| Frame::Drain { last }),
            Control::Role => {
                let choice = vec![(crate::LaneId(0), choices)];
                Some(link_update(active?, LinkState::Alive, LinkRole::Active, choice))
            }
            Control::Suspect(link) if suspects.contains(&link) => {
                Some(link_update(link, LinkState::Suspect, LinkRole::Standby, Vec::new()))
            }
            Control::Query(link) if suspects.contains(&link) => Some(Frame::Query { link }),
            Control::Dead(link) => {
                let known = dead.iter().find(|dead| dead.finals.link == link)?;
                let lanes = known.finals.lanes.clone();
                Some(link_update(link, LinkState::Dead, LinkRole::Standby, lanes))
            }
            _ => None,
        };
        let link = &mut self.links[at];
        link.is_woken = false;
        let outgoing = Outgoing { role, session_frame: &mut session_frame };
        self.core.fill(link, outgoing, budget, batch, now);
        let written = batch.len_bytes() - start;
        link.bytes_sent += written as u64;
        self.core.traffic.sent += written as u64;
        if link.ends_after_lack && link.lack_due.is_none() {
            link.phase = Phase::Ended;
        }
        if link.phase == Phase::Ended && link.hello.is_none() {
            return Poll::Finish;
        }
        if written >= budget { Poll::More } else { Poll::Idle }
    }

    /// When [`handle_timeout`](Self::handle_timeout) should be called, if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let closing = self.closing.as_ref().map(|closing| closing.deadline);
        let mut due = earlier(self.detached_until, closing);
        due = earlier(due, self.duplicates_at);
        due = earlier(due, self.core.blocked_due);
        due = earlier(due, self.core.paced_until);
        due = earlier(due, self.look_due());
        let dead = self.dead.iter().map(|dead| dead.deadline.filter(|_| dead.has_open()));
        let links = self.links.iter().map(|link| link.deadline(self.now));
        links.chain(dead).fold(due, earlier)
    }

    /// Advances time: ends what took too long, repeats what has to be repeated.
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
        self.core.due_blocked(now);
        self.core.due_pace(now);
        self.expire_dead(now);
        if self.duplicates_at.is_some_and(|at| at <= now) {
            self.close_duplicates(now);
        }
        let late: Vec<_> = self
            .links
            .iter()
            .filter(|link| link.phase_deadline().is_some_and(|at| at <= now))
            .map(|link| (link.id, link.phase))
            .collect();
        for (id, phase) in late {
            match phase {
                Phase::Closing { .. } => {
                    if let Some(link) = self.link_mut(id) {
                        let held = link.take_held();
                        link.phase = Phase::Ended;
                        held.into_iter().for_each(|item| self.core.lost(item));
                        // Its driver may hang in a socket that takes nothing more.
                        let code = Code::LINK_LOST;
                        self.core.events.push_back(Event::LinkEnded { link: id, code });
                    }
                }
                Phase::Attached => self.end_link(id, Code::LINK_LOST),
                _ => self.end_link(id, Code::HANDSHAKE_TIMEOUT),
            }
        }
        self.look_after_links(now);
        if self.detached_until.is_some_and(|at| at <= now) {
            self.end(Code::RESUME_EXPIRED, "no link came back in time", false, now);
        }
        self.progress_close(now);
    }

    /// Says whether this side's application holds the session. A session nobody holds and without
    /// streams closes as idle.
    pub fn hold(&mut self, held: bool, now: Time) {
        self.advance(now);
        if self.want.held != held {
            self.want.held = held;
            self.want.sequence += 1;
            if self.state != State::Attaching && self.core.ended.is_none() {
                self.queue_control(Control::Want);
            }
        }
        self.close_if_idle(now);
    }

    /// Limits how fast stream data goes to the peer, over all links together; `None` for as fast
    /// as it can. What is short of data, such as acknowledgements and credit, is not held back.
    pub fn limit_rate(&mut self, rate: Option<Rate>, now: Time) {
        self.advance(now);
        self.core.pace = rate.map(|rate| Pace::new(rate, now));
        self.core.paced_until = None;
    }

    /// The limit of [`limit_rate`](Self::limit_rate).
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        self.core.pace.map(|pace| pace.rate())
    }

    /// Stops taking new streams of the peer; those it has opened go on.
    pub fn drain(&mut self, now: Time) {
        self.advance(now);
        if self.core.drain.is_none() && self.core.ended.is_none() {
            let by_keeper = !self.core.is_keeper;
            let last = self.core.remote.last();
            self.core.drain = Some(last.map(|index| crate::StreamId::new(index, by_keeper)));
            self.queue_control(Control::Drain);
        }
    }

    /// Ends the session: what was finished arrives first, within the closing timeout.
    pub fn close(&mut self, code: Code, reason: &str, now: Time) {
        self.advance(now);
        if self.core.ended.is_some() || self.closing.is_some() {
            return;
        }
        let deadline = now + self.core.config.close_timeout;
        self.state = State::Closing;
        let reason = reason.to_owned();
        self.closing = Some(Box::new(Closing { code, reason, deadline }));
        self.progress_close(now);
    }

    /// Ends the session at once because the peer's process is known to be gone.
    pub fn peer_restarted(&mut self, now: Time) {
        self.advance(now);
        self.end(Code::PEER_RESTARTED, "the peer's process was replaced", true, now);
    }

    /// Ends a session that waits for a link, because others need the room; one that has a link
    /// meanwhile goes on.
    pub fn evict(&mut self, now: Time) {
        self.advance(now);
        if self.state != State::Detached {
            return;
        }
        self.end(Code::RESUME_EVICTED, "too many sessions wait for a link", false, now);
    }

    /// Sends a proof of representation, in place of an earlier one.
    ///
    /// Longer than 16 KiB it is dropped: no chain of proofs is.
    pub fn send_auth(&mut self, proof: bytes::Bytes, now: Time) {
        self.advance(now);
        if proof.len() > MAX_HELLO_BODY {
            return;
        }
        self.auth = Some(proof);
        self.queue_control(Control::Auth);
    }

    /// The link that carries data now.
    #[must_use]
    pub fn active_link(&self) -> Option<LinkId> {
        self.active
    }

    pub(super) fn advance(&mut self, now: Time) {
        self.now = self.now.max(now);
    }

    /// Ends the session of a peer that broke a rule.
    pub(super) fn fail(&mut self, violation: &Violation, now: Time) {
        self.end(violation.code, violation.what, false, now);
    }

    /// Ends the session and lets its links go, each after a last word.
    pub(super) fn end(&mut self, code: Code, reason: &str, by_peer: bool, now: Time) {
        if self.core.ended.is_some() {
            return;
        }
        let end = (0..=MAX_REASON.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at));
        let reason = reason[..end.unwrap_or(0)].to_owned();
        self.state = State::Closed;
        self.closing = None;
        self.detached_until = None;
        self.duplicates_at = None;
        self.dead.clear();
        self.core.end(Closed { code, reason, by_peer });
        let patience = self.core.config.close_timeout;
        for link in &mut self.links {
            match link.phase {
                Phase::Attached | Phase::Closing { .. } => {
                    link.close_queued = !by_peer;
                    link.phase = match link.phase {
                        // CLOSE travels on an attached link only; the deadline runs all the same.
                        Phase::Attached if !by_peer => Phase::Attached,
                        _ => Phase::Closing { deadline: now + patience.min(LINGER) },
                    };
                    link.ends_by = Some(now + patience.min(LINGER));
                }
                Phase::AwaitAnswer { .. } => {
                    // What was not said yet need not be.
                    (link.hello, link.join) = (None, None);
                    link.phase = Phase::Ended;
                }
                Phase::AwaitJoin { .. } => link.phase = Phase::Ended,
                Phase::Ended => {}
            }
        }
    }

    /// Sends CLOSE once what was finished has arrived, or waited long enough. A peer that was asked
    /// for its answer hears of it, too: it may take the session for alive by then.
    pub(super) fn progress_close(&mut self, now: Time) {
        let Some(closing) = &self.closing else { return };
        let awaits_answer =
            !self.links.iter().any(Link::is_attached) && self.links.iter().any(Link::awaits_answer);
        if (self.core.is_flushed() && !awaits_answer) || closing.deadline <= now {
            let (code, reason) = (closing.code, closing.reason.clone());
            self.end_in_order(code, &reason, now);
        }
    }

    /// Ends the session between correct peers: all that arrived is acknowledged before CLOSE, also
    /// what was before, for CLOSE may overtake that on another link.
    fn end_in_order(&mut self, code: Code, reason: &str, now: Time) {
        let links = self.links.iter_mut().filter(|link| link.may_acknowledge());
        let links = links.map(|link| Lack { lanes: link.final_counts().lanes, ..link.lack(now) });
        let dead = self.dead.iter().map(|dead| dead.finals.clone());
        let dead = dead.map(|Finals { link, lanes }| Lack { link, delay_us: 0, lanes });
        self.core.last_lacks = links.chain(dead).collect();
        self.end(code, reason, false, now);
    }

    /// CLOSE arrived: no link is needed any more.
    pub(super) fn close_acknowledged(&mut self) {
        for link in &mut self.links {
            link.phase = Phase::Ended;
        }
    }

    /// Nobody holds the session and nothing is open.
    pub(super) fn close_if_idle(&mut self, now: Time) {
        let is_idle = !self.want.held
            && !self.want.peer_held
            && self.state == State::Live
            && self.core.streams.is_empty();
        if is_idle {
            self.end_in_order(Code::IDLE, "nobody holds the session", now);
        }
    }

    /// The last link is gone: wait for one.
    pub(super) fn detach(&mut self, now: Time) {
        if self.state == State::Live {
            self.state = State::Detached;
        }
        self.detached_until = Some(now + self.resume_window);
        for dead in &mut self.dead {
            dead.deadline = None;
        }
        self.core.events.push_back(Event::Detached);
    }
}

impl Link {
    /// When something must happen on the link, if it is not already due.
    fn deadline(&self, now: Time) -> Option<Time> {
        let lack = self.lack_due.filter(|due| *due > now && self.may_acknowledge());
        earlier(lack, self.phase_deadline())
    }

    /// When the link's phase has taken too long.
    fn phase_deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::AwaitAnswer { deadline, .. }
            | Phase::AwaitJoin { deadline }
            | Phase::Closing { deadline } => Some(deadline),
            Phase::Attached => self.ends_by,
            Phase::Ended => None,
        }
    }
}

impl super::link::DeadLink {
    /// Whether frames wait for the peer's counts.
    fn has_open(&self) -> bool {
        self.tx.iter().any(|lane| !lane.held.is_empty())
    }
}

/// The earlier of two times, of which either may never come.
fn earlier(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        _ => one.or(other),
    }
}

/// How long a link waits for the acknowledgement of CLOSE.
const LINGER: Duration = Duration::from_secs(3);
