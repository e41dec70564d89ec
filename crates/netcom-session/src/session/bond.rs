//! Several links at once: which of them carries how much.

use std::time::Duration;

use super::{Session, core::Core, link::Link, mirror::Mirror, send::SendFlow};
use crate::{LinkId, Time, wire::MAX_DATA_BODY};

/// How a session sends where it has several links. Each side chooses for what it sends itself, and
/// needs no knowledge of the other's choice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Redundancy {
    /// One link carries everything while it answers. The default.
    #[default]
    Standby,
    /// Links carry data side by side, a slower one only what arrives no later for it.
    Stripe,
    /// Every link carries everything lately sent, so that the first to deliver it counts.
    Mirror,
}

/// What a link carries of its session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Role {
    /// Frames of the whole session, of streams without data, and datagrams.
    pub(crate) leads: bool,
    /// Bytes of data that it may take now: none, all, or a few pieces.
    pub(crate) share: usize,
    /// The longest DATA body.
    pub(crate) max_body: usize,
    /// The lane that a flow used last is one of this link.
    pub(crate) keeps_lanes: bool,
    /// Other links carry a part of the data.
    pub(crate) is_striped: bool,
    /// Other links carry a copy of what it does.
    pub(crate) is_mirrored: bool,
}

/// What a session keeps for several links: nothing before the second.
#[derive(Debug, Default)]
pub(crate) struct Bonds {
    /// Links beside one: what comes on one may come on each of them, too.
    others: u64,
    /// Frames that may have changed nothing because of that, and bytes that may have been repeated.
    frames: u64,
    bytes: u64,
    /// Fresh bytes that were counted for this.
    counted: u64,
    pub(crate) mirror: Mirror,
    lines: Vec<Line>,
}

/// What is kept for one of several links.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    id: LinkId,
    /// When all that was sent on it will have left, by its rate.
    busy_until: Time,
    /// Up to where it has sent what others sent, too.
    pub(crate) mirrored: u64,
}

/// A link as a pipe: what is in it, and how fast it runs.
#[derive(Clone, Copy, Debug)]
struct Pipe {
    in_flight: u64,
    /// How long until all that was sent will have left, if the rate is what it seems.
    busy: Duration,
    /// Bytes a second; 0 while that is not known.
    rate: u64,
    /// The round trip without queues.
    rtt: Duration,
}

impl Role {
    /// It carries everything by itself.
    pub(crate) const ACTIVE: Self = Self {
        leads: true,
        share: usize::MAX,
        max_body: usize::MAX,
        keeps_lanes: true,
        is_striped: false,
        is_mirrored: false,
    };
    /// It carries what concerns itself.
    pub(crate) const STANDBY: Self =
        Self { leads: false, share: 0, keeps_lanes: false, ..Self::ACTIVE };
    /// It carries everything as others do. Pieces are as long as each of those takes, and each goes
    /// on a lane that waits for nothing: a copy that waited would be worth little.
    const MIRRORED: Self =
        Self { max_body: MAX_DATA_BODY, keeps_lanes: false, is_mirrored: true, ..Self::ACTIVE };
}

impl Session {
    /// Sets how links are used where there are several. Default: [`Redundancy::Standby`].
    pub fn set_redundancy(&mut self, redundancy: Redundancy, now: Time) {
        self.advance(now);
        self.watch.redundancy = redundancy;
        if let Some(bonds) = &mut self.core.bonds {
            bonds.mirror.clear();
        }
    }

    /// How links are used where there are several.
    #[must_use]
    pub fn redundancy(&self) -> Redundancy {
        self.watch.redundancy
    }

    /// What a link carries now.
    pub(super) fn role(&self, link: &Link) -> Role {
        let is_active = self.active == Some(link.id);
        let alone = if is_active { Role::ACTIVE } else { Role::STANDBY };
        match self.watch.redundancy {
            Redundancy::Standby => alone,
            _ if self.links.len() < 2 || !self.carries(link) => alone,
            Redundancy::Stripe => self.striped(link, alone),
            Redundancy::Mirror => {
                let is_copied = self.links.iter().any(|l| l.id != link.id && self.carries(l));
                if is_copied { Role::MIRRORED } else { alone }
            }
        }
    }

    /// Whether a link takes part where several carry data.
    pub(super) fn carries(&self, link: &Link) -> bool {
        let is_active = self.active == Some(link.id);
        link.works() && (is_active || link.health.held_until <= self.now)
    }

    /// What a link of several takes of the data: the one that would deliver all that waits first
    /// takes anything, another one what it delivers before that (E-48).
    fn striped(&self, link: &Link, alone: Role) -> Role {
        let role = |share| Role { share, is_striped: true, ..alone };
        if !link.has_room_for_data() {
            return role(usize::MAX);
        }
        if !self.core.has_data() {
            return role(0);
        }
        let others = self.links.iter().filter(|other| self.carries(other)).count() - 1;
        let backlog = self.core.backlog();
        let Some(fastest) = self.fastest(backlog).filter(|_| others > 0) else {
            return role(alone.share);
        };
        if fastest.id == link.id {
            return role(usize::MAX);
        }
        let most = (MAX_SLOWER_FRAMES / others).saturating_sub(link.frames_in_flight) * PIECE;
        let share = self.pipe(link).share_beside(self.pipe(fastest), backlog).min(most);
        Role { max_body: MAX_DATA_BODY, ..role(share) }
    }

    /// The link that would deliver so many bytes first, by itself.
    fn fastest(&self, backlog: u64) -> Option<&Link> {
        let known = self.links.iter().filter(|link| self.carries(link) && link.flight.rate() > 0);
        let fastest = known.min_by_key(|link| (self.pipe(link).arrival(backlog), link.id));
        fastest.or_else(|| self.links.iter().find(|link| self.active == Some(link.id)))
    }

    fn pipe(&self, link: &Link) -> Pipe {
        let line = self.core.bonds.as_ref().and_then(|bonds| bonds.line(link.id));
        Pipe {
            in_flight: link.bytes_in_flight as u64,
            busy: line.map_or(Duration::ZERO, |line| line.busy_until.since(self.now)),
            rate: link.flight.rate(),
            rtt: link.rtt.least(),
        }
    }

    /// Counts the links there are.
    pub(super) fn count_links(&mut self) {
        let living = self.links.iter().filter(|link| link.may_acknowledge()).count();
        if living < 2 && self.core.bonds.is_none() {
            return;
        }
        let counted = self.core.traffic.fresh;
        let bonds = self.core.bonds.get_or_insert_with(|| Box::new(Bonds::new(counted)));
        bonds.others = living.saturating_sub(1) as u64;
        bonds.lines.retain(|line| self.links.iter().any(|link| link.id == line.id));
    }
}

impl Bonds {
    fn new(counted: u64) -> Self {
        Self { counted, ..Self::default() }
    }

    /// Counts a frame, which was the news or may be a copy, and the fresh bytes that have come so
    /// far. Returns how many frames may have changed nothing, and how many bytes may have been
    /// repeated, because several links carried them (E-51).
    pub(crate) fn allow(&mut self, is_news: bool, fresh: u64) -> (u64, u64) {
        self.frames += u64::from(is_news) * self.others;
        self.bytes += (fresh - self.counted) * self.others;
        self.counted = fresh;
        (self.frames, self.bytes)
    }

    /// Takes note of what was sent on a link of this rate.
    pub(crate) fn spend(&mut self, id: LinkId, bytes: usize, rate: u64, now: Time) {
        let line = self.line_mut(id);
        let nanos = (bytes as u64 * 1_000_000_000).checked_div(rate).unwrap_or(0);
        line.busy_until = line.busy_until.max(now) + Duration::from_nanos(nanos);
    }

    pub(crate) fn line(&self, id: LinkId) -> Option<&Line> {
        self.lines.iter().find(|line| line.id == id)
    }

    pub(crate) fn line_mut(&mut self, id: LinkId) -> &mut Line {
        let at = self.lines.iter().position(|line| line.id == id);
        let at = at.unwrap_or_else(|| {
            self.lines.push(Line { id, busy_until: Time(0), mirrored: 0 });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }
}

impl Core {
    /// Bytes that could be sent now, of the flows whose turns come first.
    fn backlog(&self) -> u64 {
        let flows = self.scheduler.flows().take(MAX_FLOWS);
        let sends = flows.filter_map(|(id, flow)| self.streams.get(&id)?.send_ref(flow));
        sends.map(SendFlow::unsent).sum()
    }
}

impl Pipe {
    /// Bytes it may take of so many that wait, so that they arrive no later than the rest does on
    /// the fastest pipe. One whose rate is not known is tried with a piece at a time.
    fn share_beside(self, fastest: Self, backlog: u64) -> usize {
        let piece = PIECE as u64;
        if self.rate == 0 {
            return if self.in_flight == 0 && backlog >= 2 * piece { PIECE } else { 0 };
        }
        let mut bytes = 0;
        while bytes + piece <= backlog.min(MAX_SHARE)
            && self.arrival(bytes + piece) <= fastest.arrival(backlog - bytes - piece)
        {
            bytes += piece;
        }
        usize::try_from(bytes).unwrap_or(0)
    }

    /// How long until the last of so many further bytes arrives. What is in flight for a round trip
    /// may be no queue, as it is on its way, or its acknowledgement is; what is in flight for
    /// longer is one, whatever the rate says.
    fn arrival(self, bytes: u64) -> Duration {
        let all = self.time_of(self.in_flight);
        let queue = self.busy.min(all).max(all.saturating_sub(self.rtt));
        queue.saturating_add(self.time_of(bytes)).saturating_add(self.rtt / 2)
    }

    fn time_of(self, bytes: u64) -> Duration {
        let nanos = (u128::from(bytes) * 1_000_000_000).checked_div(self.rate.into());
        let nanos = nanos.and_then(|nanos| u64::try_from(nanos).ok());
        nanos.map_or(Duration::MAX, Duration::from_nanos)
    }
}

/// The least that a slower link takes of the data: reordering costs, and it takes part for bulk.
pub(crate) const PIECE: usize = 16 << 10;
/// What a slower link takes at once, at most.
const MAX_SHARE: u64 = 256 << 10;
/// Frames in flight on slower links together (E-49), so that a flow has fewer gaps than a receiver
/// allows.
const MAX_SLOWER_FRAMES: usize = 512;
/// Flows that are looked at to see how much waits.
const MAX_FLOWS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn pipe(megabits: u64, rtt: Duration, in_flight: u64) -> Pipe {
        Pipe { in_flight, busy: Duration::ZERO, rate: megabits * 125_000, rtt }
    }

    #[test]
    fn a_slower_pipe_takes_what_arrives_before_the_rest_does_on_the_faster() {
        let (fast, slow) = (pipe(100, 20 * MS, 250_000), pipe(25, 20 * MS, 62_500));
        assert_eq!(slow.share_beside(fast, 16 << 10), 0, "the faster one has it sooner");
        let share = slow.share_beside(fast, 400_000);
        assert!((65_000..=80_000).contains(&share), "a fifth: {share}");
        let far = pipe(25, 200 * MS, 0);
        assert_eq!(far.share_beside(fast, 400_000), 0, "on its way it takes longer than that");
        assert!(far.share_beside(fast, 4_000_000) > 0);
        let full = pipe(25, 20 * MS, 400_000);
        assert_eq!(full.share_beside(fast, 400_000), 0, "it has a queue");
        let burst = Pipe { busy: 60 * MS, ..pipe(25, 200 * MS, 187_500) };
        assert_eq!(burst.arrival(0), 160 * MS, "all of it was sent a moment ago");
    }

    #[test]
    fn a_pipe_of_unknown_rate_is_tried_with_one_piece_at_a_time() {
        let fast = pipe(100, 20 * MS, 250_000);
        assert_eq!(pipe(0, 20 * MS, 0).share_beside(fast, 400_000), PIECE);
        assert_eq!(pipe(0, 20 * MS, PIECE as u64).share_beside(fast, 400_000), 0);
        assert_eq!(pipe(0, 20 * MS, 0).share_beside(fast, 100), 0);
    }

    #[test]
    fn the_largest_numbers_overflow_nothing() {
        let (in_flight, rtt) = (u64::MAX >> 1, Duration::MAX / 2);
        let slow = Pipe { in_flight, busy: Duration::MAX, rate: 1, rtt };
        assert!(slow.share_beside(pipe(100, MS, 0), u64::MAX) <= 256 << 10);
        assert!(pipe(100, MS, 0).share_beside(slow, u64::MAX) <= 256 << 10);
    }
}
