//! Whether a link answers: judged by what was sent on it, never by silence alone.

use std::time::Duration;

use super::rtt::Rtt;
use crate::Time;

/// What is known of a link's life (E-41, E-46).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Health {
    /// Since when an answer is owed: the oldest frame or ping without one was sent then, or the
    /// last answer came then. `None` while nothing is owed.
    owed_since: Option<Time>,
    /// When the newest of what was answered was sent; the clock's beginning where nothing was that
    /// shows how the link is now.
    reached_at: Time,
    /// When anything came.
    heard_at: Time,
    /// The look at it came so late that this process, and not the link, may have stood still.
    was_late: bool,
    /// Suspect since.
    pub(crate) suspect: Option<Suspicion>,
    /// Until when an answer may take half as long again, after a false alarm.
    lenient_until: Time,
    /// Until when other links are preferred.
    pub(crate) held_until: Time,
    /// Suspicions that were none of a false alarm lately, and the last one.
    suspicions: u8,
    /// Bytes of streams sent on it and then on another. Counted so far that it takes no more room
    /// than there is beside its neighbours: an idle session is small.
    pub(crate) resent: u32,
    last_suspicion: Time,
    /// When it was last asked for a sign of life.
    pub(crate) probed_at: Time,
}

/// A link that does not answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspicion {
    /// When it began.
    pub(crate) since: Time,
    /// It carried the session's data, and carries it again after a false alarm.
    pub(crate) was_active: bool,
    /// Part of what it carries was sent on another link, and the peer was asked what arrived.
    pub(crate) is_relieved: bool,
    /// The peer said what arrived, and the rest was sent on another link.
    pub(crate) is_replaced: bool,
    /// Pings that had no answer.
    pub(crate) pings: u8,
    /// It is known from elsewhere that nothing passes.
    pub(crate) is_certain: bool,
}

/// What a look at a link showed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Fine,
    /// It just became suspect.
    Suspect,
    /// It is suspect, and to be pinged again.
    Ping,
    /// It was suspect for too long.
    Dead,
}

impl Health {
    /// The link became part of the session.
    pub(crate) fn begin(&mut self, owes: bool, now: Time) {
        *self = Self { owed_since: owes.then_some(now), heard_at: now, probed_at: now, ..*self };
    }

    /// It is asked for a sign of life.
    pub(crate) fn probe(&mut self, now: Time) {
        self.probed_at = now;
        if let Some(suspicion) = &mut self.suspect {
            suspicion.pings = suspicion.pings.saturating_add(1);
        }
    }

    /// Something went out that the peer answers.
    pub(crate) fn sent(&mut self, now: Time) {
        if self.owed_since.is_none() {
            self.owed_since = Some(now);
        }
    }

    /// An answer came: an acknowledgement of more than before, or of a ping, of which the newest
    /// was sent at that time. `owes_more` tells whether others are still owed. Returns the
    /// suspicion that ended with it.
    pub(crate) fn answered(
        &mut self,
        sent_at: Time,
        owes_more: bool,
        now: Time,
    ) -> Option<Suspicion> {
        self.owed_since = owes_more.then_some(now);
        // What was sent before the suspicion may have waited, and shows nothing of now.
        let is_late = self.suspect.is_some_and(|suspicion| sent_at < suspicion.since);
        self.reached_at = if is_late { Time(0) } else { self.reached_at.max(sent_at) };
        self.was_late = false;
        let suspicion = self.suspect.take()?;
        if suspicion.is_replaced {
            self.hold_back(suspicion.since, now);
        } else {
            self.lenient_until = now + LENIENT;
        }
        Some(suspicion)
    }

    /// So many bytes of streams that were sent go to another link, too.
    pub(crate) fn count_resent(&mut self, bytes: usize) {
        self.resent = self.resent.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Nothing is owed any more: what was sent was given up.
    pub(crate) fn forgive(&mut self) {
        self.owed_since = None;
    }

    /// Something came on the link, whatever it is.
    pub(crate) fn heard(&mut self, now: Time) {
        self.heard_at = now;
    }

    /// When something came last.
    pub(crate) fn heard_at(&self) -> Time {
        self.heard_at
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect.is_some()
    }

    /// Whether something that was sent so lately had an answer that others' suspicion is not
    /// believed. When the answer came would prove less: it may have waited where the way to the
    /// peer was broken meanwhile.
    pub(crate) fn reached_within_patience(&self, rtt: &Rtt, now: Time) -> bool {
        now.since(self.reached_at) < self.patience(rtt, now)
    }

    /// Suspects the link.
    pub(crate) fn suspect(&mut self, was_active: bool, now: Time) {
        self.suspect = Some(Suspicion {
            since: now,
            was_active,
            is_relieved: false,
            is_replaced: false,
            pings: 0,
            is_certain: false,
        });
    }

    /// Notes that its suspicion needs no further evidence.
    pub(crate) fn make_certain(&mut self) {
        if let Some(suspicion) = &mut self.suspect {
            suspicion.is_certain = true;
        }
    }

    /// When to look next.
    pub(crate) fn look_at(
        &self,
        rtt: &Rtt,
        has_other: impl FnOnce() -> bool,
        now: Time,
    ) -> Option<Time> {
        let Some(suspicion) = self.suspect else { return self.answer_due(rtt, now) };
        let ping = self.probed_at + ping_interval(rtt);
        let end = self.end_of(suspicion, rtt, has_other());
        Some(if suspicion.pings < LAST_PINGS { ping } else { ping.min(end) })
    }

    /// Looks at the link. `has_other` tells whether another one works.
    pub(crate) fn look(&mut self, rtt: &Rtt, has_other: bool, now: Time) -> Verdict {
        if let Some(suspicion) = self.suspect {
            let is_over = self.end_of(suspicion, rtt, has_other) <= now;
            return if is_over && suspicion.pings >= LAST_PINGS {
                Verdict::Dead
            } else if self.probed_at + ping_interval(rtt) <= now {
                Verdict::Ping
            } else {
                Verdict::Fine
            };
        }
        let Some(due) = self.answer_due(rtt, now).filter(|due| *due <= now) else {
            return Verdict::Fine;
        };
        // The answer may lie in a buffer that nobody read while this process stood still.
        if now.since(due) > LATE && !self.was_late {
            self.was_late = true;
            self.owed_since = Some(now);
            return Verdict::Fine;
        }
        Verdict::Suspect
    }

    /// When a suspicion is over (E-43). Alone, a link on which something still comes is better
    /// than none: on a slow one the answer may lie behind much else.
    fn end_of(&self, suspicion: Suspicion, rtt: &Rtt, has_other: bool) -> Time {
        if has_other {
            suspicion.since + SUSPECT.max(rtt.smoothed() * 10)
        } else {
            suspicion.since.max(self.heard_at) + SUSPECT_ALONE
        }
    }

    /// When an answer that is owed comes too late. Other bytes are a sign of life, though not that
    /// what was sent arrives; they make the wait longer, but no more than threefold.
    fn answer_due(&self, rtt: &Rtt, now: Time) -> Option<Time> {
        let since = self.owed_since?;
        let patience = self.patience(rtt, now);
        Some((since.max(self.heard_at) + patience).min(since + patience * 3))
    }

    fn patience(&self, rtt: &Rtt, now: Time) -> Duration {
        let patience = rtt.patience();
        if self.lenient_until > now { patience * 3 / 2 } else { patience }
    }

    /// Lets other links have precedence for a while, the longer the more often this happens.
    fn hold_back(&mut self, since: Time, now: Time) {
        if now.since(self.last_suspicion) > MEMORY {
            self.suspicions = 0;
        }
        self.held_until = now + (HOLD * (1 << u32::from(self.suspicions).min(5))).min(LONGEST_HOLD);
        self.suspicions = self.suspicions.saturating_add(1);
        self.last_suspicion = since;
    }
}

/// Between two pings of a suspect link.
fn ping_interval(rtt: &Rtt) -> Duration {
    rtt.patience().max(PING_INTERVAL)
}

/// How long an answer may take half as long again, after a false alarm.
const LENIENT: Duration = Duration::from_secs(60);
/// A look that comes so much later than it was due says nothing about the link.
const LATE: Duration = Duration::from_millis(50);
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// Pings without an answer, at least, before a suspect link is given up.
const LAST_PINGS: u8 = 3;
const SUSPECT: Duration = Duration::from_secs(10);
const SUSPECT_ALONE: Duration = Duration::from_secs(30);
const HOLD: Duration = Duration::from_secs(10);
const LONGEST_HOLD: Duration = Duration::from_secs(300);
/// How long suspicions are remembered.
const MEMORY: Duration = Duration::from_secs(300);
