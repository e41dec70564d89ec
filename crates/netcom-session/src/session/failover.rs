//! Links that stop answering: noticed, relieved of what they carry, taken back or given up; and
//! the choice of the link that carries data.

use std::time::Duration;

use super::{
    Redundancy, Session, State,
    config::{MAX_ATTACHES, MAX_LINKS},
    event::{AttachError, Event},
    health::{Suspicion, Verdict},
    link::{Control, Item, Link, LinkKind},
};
use crate::{Code, LinkId, Time, wire::Lack};

/// What a session remembers about its links as a whole.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// [`Event::LinkWanted`] was told, and no link has worked since.
    is_wanted: bool,
    /// How several links are used.
    pub(super) redundancy: Redundancy,
    /// How often the keeper has chosen the link in use, as far as this side knows: what it told on
    /// a slow link may come after what it told later.
    pub(super) choices: u64,
    /// When the peer's word that a link is suspect was believed last.
    told_at: Time,
    /// Links the peer dialled since then.
    attaches: u32,
    attaches_since: Time,
    /// A standby that is better than the link in use, and since when.
    better: Option<(LinkId, Time)>,
}

impl Watch {
    /// A link was attached.
    pub(super) fn link_came(&mut self) {
        self.is_wanted = false;
    }

    /// Counts a link that the peer dialled.
    pub(super) fn count_attach(&mut self, now: Time) -> Result<(), AttachError> {
        if now.since(self.attaches_since) >= SECOND {
            (self.attaches_since, self.attaches) = (now, 0);
        }
        self.attaches += 1;
        if self.attaches > MAX_ATTACHES { Err(AttachError::TooOften) } else { Ok(()) }
    }
}

impl Session {
    /// Whether no link answers, long enough for dialling another one beside those there are.
    #[must_use]
    pub fn wants_link(&self) -> bool {
        self.wanted_at().is_some_and(|at| at <= self.now)
    }

    /// Takes it from elsewhere that nothing passes on a link, as where the machine has its address
    /// no more: what it carries moves at once to one that works, and where none does, another is
    /// wanted at once. It is used again when it answers.
    pub fn doubt_link(&mut self, id: LinkId, now: Time) {
        self.advance(now);
        let Some(link) = self.links.iter().find(|link| link.id == id && link.is_attached()) else {
            return;
        };
        if self.core.ended.is_some() {
            return;
        }
        if !link.health.is_suspect() {
            self.suspect(id, now);
        }
        if let Some(link) = self.link_mut(id) {
            link.health.make_certain();
        }
        self.look_after_links(now);
    }

    /// Asks a link for a sign of life now, because something about its way has changed.
    pub fn probe_link(&mut self, id: LinkId, now: Time) {
        self.advance(now);
        let is_there = self.links.iter().any(|link| link.id == id && link.is_attached());
        if is_there && self.core.ended.is_none() {
            self.probe(id, now);
        }
    }

    /// Looks at each link, and does what follows.
    pub(super) fn look_after_links(&mut self, now: Time) {
        if self.core.ended.is_some() {
            return;
        }
        for at in 0..self.links.len() {
            let Some(link) = self.links.get(at).filter(|link| link.is_attached()) else { continue };
            let id = link.id;
            let has_other = self.has_other(id);
            let link = &mut self.links[at];
            match link.health.look(&link.rtt, has_other, now) {
                Verdict::Fine => {}
                Verdict::Suspect => self.suspect(id, now),
                Verdict::Ping => self.probe(id, now),
                Verdict::Dead => self.give_up(id, now),
            }
        }
        for at in 0..self.links.len() {
            if self.probe_due(&self.links[at]).is_some_and(|due| due <= now) {
                // Whether the link in use takes long packets shows by its data, and a long question
                // would be late on a slow one.
                let id = self.links[at].id;
                self.ask(id, self.active != Some(id), now);
            }
        }
        self.take_better(now);
        if self.wants_link() && !std::mem::replace(&mut self.watch.is_wanted, true) {
            self.core.events.push_back(Event::LinkWanted);
        }
    }

    /// When to look at the links next.
    pub(super) fn look_due(&self) -> Option<Time> {
        if self.core.ended.is_some() {
            return None;
        }
        let looks = self.links.iter().filter(|link| link.is_attached()).flat_map(|link| {
            let look = link.health.look_at(&link.rtt, || self.has_other(link.id), self.now);
            [look, self.probe_due(link)].into_iter().flatten()
        });
        let wanted = self.wanted_at().filter(|_| !self.watch.is_wanted);
        let better = self.watch.better.map(|(_, since)| since + BETTER_FOR);
        looks.chain(wanted).chain(better).min()
    }

    /// Picks the link that carries data: the one in use while it works, else the best of those that
    /// do. Of several that are all suspect none: what is new waits for the first that answers. The
    /// keeper's choice is told to the other side.
    pub(super) fn choose_active(&mut self) {
        self.count_links();
        let current = self.active.and_then(|id| self.links.iter().find(|link| link.id == id));
        if current.is_some_and(Link::works) {
            return;
        }
        let now = self.now;
        let attached = || self.links.iter().filter(|link| link.is_attached());
        let best = attached()
            .min_by_key(|link| (link.health.is_suspect(), link.health.held_until > now, link.id));
        let next = match best {
            Some(best) => Some(best).filter(|best| best.works() || attached().count() == 1),
            // Before the first answer a dialled link may carry early data.
            None => self.links.iter().find(|link| link.may_send_data()),
        };
        let next = next.map(|link| (link.id, link.is_attached()));
        let is_news = self.active != next.map(|(id, _)| id);
        self.active = next.map(|(id, _)| id);
        if is_news && matches!(next, Some((_, true))) && self.links.len() > 1 {
            self.tell_choice();
        }
        self.relieve_suspects();
    }

    /// The keeper tells the other side which link it chose.
    fn tell_choice(&mut self) {
        if self.core.is_keeper {
            self.watch.choices += 1;
            self.queue_control(Control::Role);
        }
    }

    /// Follows the keeper's choice of a link, if that is news.
    pub(super) fn follow(&mut self, id: LinkId, choice: u64) -> bool {
        let works = self.links.iter().any(|link| link.id == id && link.works());
        if self.core.is_keeper || choice <= self.watch.choices {
            return false;
        }
        self.watch.choices = choice;
        if works {
            self.active = Some(id);
            self.relieve_suspects();
        }
        true
    }

    /// An answer came on a link: an acknowledgement of more than before, or of a ping, of which
    /// the newest was sent at that time.
    pub(super) fn link_answered(&mut self, id: LinkId, sent_at: Time, now: Time) {
        let Some(link) = self.link_mut(id) else { return };
        let owes_more = link.frames_in_flight > 0 || !link.pings.is_empty();
        let Some(suspicion) = link.health.answered(sent_at, owes_more, now) else { return };
        self.watch.is_wanted = false;
        self.core.events.push_back(Event::LinkAnswers { link: id });
        // A false alarm: it stays what it was.
        if suspicion.was_active && !suspicion.is_replaced && self.active != Some(id) {
            self.active = Some(id);
            self.tell_choice();
        }
        self.choose_active();
        // Another one may have failed while none worked that could take over.
        self.relieve_suspects();
    }

    /// The peer says that a link does not answer it. It is believed where nothing that this side
    /// sent lately had an answer either: else acknowledgements would go on dying on a link that is
    /// broken in one direction (E-44). Returns whether it is.
    pub(super) fn told_suspect(&mut self, id: LinkId, now: Time) -> bool {
        let is_too_often = now.since(self.watch.told_at) < TOLD_PAUSE;
        let is_believed = self.links.iter().any(|link| {
            link.id == id && link.works() && !link.health.reached_within_patience(&link.rtt, now)
        });
        if is_too_often || !is_believed || !self.has_other(id) {
            return false;
        }
        self.watch.told_at = now;
        // What was repeated of it is no fault of the peer's.
        self.core.traffic.link_events += 1;
        self.suspect(id, now);
        true
    }

    /// The peer asks on one link what arrived on another.
    pub(super) fn handle_query(&mut self, via: LinkId, about: LinkId) -> bool {
        let Some(counts) = self.links.iter().find(|link| link.id == about).map(Link::final_counts)
        else {
            let is_dead = self.dead.iter().any(|dead| dead.finals.link == about);
            if is_dead {
                self.queue_control(Control::Dead(about));
            }
            return is_dead;
        };
        let Some(link) = self.link_mut(via) else { return false };
        link.answers.retain(|lack| lack.link != about);
        if link.answers.len() >= MAX_LINKS {
            return false;
        }
        link.answers.push(Lack { link: about, delay_us: 0, lanes: counts.lanes });
        true
    }

    /// The peer told on another link what arrived on a suspect one: exactly the rest is sent again.
    pub(super) fn replace_suspect(&mut self, id: LinkId) {
        let Some(link) = self.link_mut(id) else { return };
        let Some(suspicion) = link.health.suspect.as_mut().filter(|s| s.is_relieved) else {
            return;
        };
        if std::mem::replace(&mut suspicion.is_replaced, true) {
            return;
        }
        link.health.forgive();
        // They stay noted: if they do arrive, this link's acknowledgements tell it first.
        link.move_oldest(usize::MAX).into_iter().for_each(|item| self.core.lost(item));
    }

    /// Whether another link than this one works.
    fn has_other(&self, id: LinkId) -> bool {
        self.links.iter().any(|link| link.id != id && link.works())
    }

    /// A link owes an answer for too long (E-42).
    fn suspect(&mut self, id: LinkId, now: Time) {
        // Of several that fail one after the other, the first is the one to return to.
        let returns = |link: &Link| link.health.suspect.is_some_and(|s| s.was_active);
        let is_first = !self.links.iter().any(returns);
        let was_active = self.active == Some(id);
        let Some(link) = self.link_mut(id) else { return };
        link.health.suspect(was_active && is_first, now);
        self.core.events.push_back(Event::LinkSuspect { link: id });
        for at in 0..self.links.len() {
            let link = &self.links[at];
            if link.is_attached() && (was_active || link.id == id) {
                self.probe(link.id, now);
            }
        }
        self.choose_active();
        self.relieve_suspects();
    }

    /// Sends what suspect links carry on the one that works: the oldest part at once, the rest when
    /// the peer has told what arrived. A false alarm so repeats little.
    fn relieve_suspects(&mut self) {
        let is_over = self.core.ended.is_some();
        let awaits = |link: &Link| link.health.suspect.is_some_and(|s| !s.is_relieved);
        let is_due = self.links.iter().any(awaits);
        let active = self.links.iter_mut().find(|link| self.active == Some(link.id));
        let Some(active) = active.filter(|link| link.works() && is_due && !is_over) else { return };
        // What is sent again goes at once, however little that link has carried so far.
        active.flight.allow(RELIEF);
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            let Some(suspicion) = link.health.suspect.as_mut().filter(|s| !s.is_relieved) else {
                continue;
            };
            suspicion.is_relieved = true;
            let id = link.id;
            link.move_oldest(RELIEF).into_iter().for_each(|item| self.core.lost(item));
            self.queue_control(Control::Suspect(id));
            self.queue_control(Control::Query(id));
        }
    }

    /// Asks a link for a sign of life, by a packet as long as any.
    pub(super) fn probe(&mut self, id: LinkId, now: Time) {
        self.ask(id, true, now);
    }

    fn ask(&mut self, id: LinkId, is_padded: bool, now: Time) {
        let nonce = self.pings;
        let Some(link) = self.link_mut(id) else { return };
        link.health.probe(now);
        link.is_ping_padded |= is_padded;
        // One that was not sent yet is as good.
        if link.ping_queued.is_none() {
            link.ping_queued = Some(nonce);
            self.pings += 1;
        }
    }

    /// When a link is asked for a sign of life, though nothing is owed on it. A standby: often
    /// while data flows, and so often otherwise that no box on the way forgets it (E-47). The link
    /// in use: while streams are open, for who only waits for data sends nothing that would tell
    /// that it cannot come any more.
    fn probe_due(&self, link: &Link) -> Option<Time> {
        let is_active = self.active == Some(link.id);
        if !link.works() || (is_active && self.core.streams.is_empty()) {
            return None;
        }
        let asked_at = link.health.probed_at;
        let pause = match (link.spec.kind, self.core.carried_at > asked_at) {
            (LinkKind::Memory, _) if is_active => return None,
            (_, true) if is_active => SILENCE,
            (_, true) => PROBE,
            (LinkKind::Quic, false) => KEEP_UDP,
            (LinkKind::Memory, false) => return None,
            (_, false) => KEEP,
        };
        let since = if is_active { asked_at.max(link.health.heard_at()) } else { asked_at };
        Some(since + pause)
    }

    /// The keeper moves to a standby that has been better for a while.
    fn take_better(&mut self, now: Time) {
        let Some(better) = self.better_standby(now).filter(|_| self.core.is_keeper) else {
            self.watch.better = None;
            return;
        };
        let since = self.watch.better.filter(|(id, _)| *id == better).map_or(now, |(_, at)| at);
        self.watch.better = Some((better, since));
        if now.since(since) >= BETTER_FOR {
            self.watch.better = None;
            self.active = Some(better);
            self.tell_choice();
        }
    }

    /// The standby with the shortest way, if it is clearly shorter than that of the link in use.
    fn better_standby(&self, now: Time) -> Option<LinkId> {
        let active = self.links.iter().find(|link| self.active == Some(link.id))?;
        let way = |link: &Link| link.rtt.is_known().then(|| link.rtt.least());
        let bound = way(active)?.mul_f64(BETTER_SHARE).saturating_sub(BETTER_BY);
        let standbys = self.links.iter().filter(|link| link.id != active.id && link.works());
        let usable = standbys.filter(|link| link.health.held_until <= now);
        let best = usable.filter_map(|link| Some((way(link)?, link.id))).min()?;
        (best.0 < bound).then_some(best.1)
    }

    /// Gives up a link that did not answer for long. Its driver may hang in its socket, so that the
    /// session does not wait for it.
    fn give_up(&mut self, id: LinkId, now: Time) {
        self.bury_link(id, Code::LINK_LOST, now);
        let is_alone = !self.links.iter().any(Link::is_attached);
        if is_alone && self.state == State::Live {
            self.detach(now);
        }
    }

    /// When another link should be dialled beside those that do not answer.
    fn wanted_at(&self) -> Option<Time> {
        if self.state != State::Live || self.links.iter().any(Link::works) {
            return None;
        }
        let attached = self.links.iter().filter(|link| link.is_attached());
        attached.filter_map(|link| link.health.suspect).map(Suspicion::beside_at).max()
    }
}

impl Suspicion {
    /// When another link is dialled beside the suspect one.
    fn beside_at(self) -> Time {
        if self.is_certain { self.since } else { self.since + BESIDE }
    }
}

impl Link {
    /// Marks the oldest of what was sent and not acknowledged as moved, up to so many bytes of
    /// streams, and returns it.
    fn move_oldest(&mut self, bytes: usize) -> Vec<Item> {
        let mut held: Vec<_> = self.tx.iter_mut().flat_map(|lane| &mut lane.held).collect();
        held.sort_by_key(|held| held.sent_at);
        let mut left = bytes;
        let mut items = Vec::new();
        for held in held.into_iter().filter(|held| !held.is_moved) {
            let Some(rest) = left.checked_sub(held.item.bytes()) else { break };
            left = rest;
            held.is_moved = true;
            items.push(held.item);
        }
        self.health.count_resent(bytes - left);
        items
    }
}

/// What is sent again before the peer has told what arrived.
const RELIEF: usize = 256 << 10;
/// How long after data nothing comes before the link in use is asked.
const SILENCE: Duration = Duration::from_secs(1);
/// Between two probes of a standby while data flows.
const PROBE: Duration = Duration::from_secs(5);
/// Between two probes of an idle link over UDP, whose mappings last 30 s at least (RFC 4787,
/// section 4.3, asks for two minutes; many boxes do not).
const KEEP_UDP: Duration = Duration::from_secs(15);
/// Between two probes of another idle link.
const KEEP: Duration = Duration::from_secs(25);
/// How long a standby must be better.
const BETTER_FOR: Duration = Duration::from_secs(3);
/// A better link has this share of the other's round trip, and is this much shorter.
const BETTER_SHARE: f64 = 0.75;
const BETTER_BY: Duration = Duration::from_millis(2);
/// How long the only link is suspect before another one is dialled beside it: less would make
/// peers that are short of processor time dial each other.
const BESIDE: Duration = Duration::from_secs(1);
const SECOND: Duration = Duration::from_secs(1);
/// Between two times the peer's word is believed.
const TOLD_PAUSE: Duration = Duration::from_secs(1);
