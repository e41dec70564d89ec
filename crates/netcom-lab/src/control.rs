//! What the handle on a link, or its script, asks for and the forwarding thread does.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    PathSpec, Side,
    packet::{TCP, UDP},
};

/// What a link does with what it is given, beside what its paths do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// Everything goes on its path.
    Up,
    /// Nothing arrives, and nobody is told.
    Down,
    /// Each segment of TCP is answered by a reset to both ends; the rest goes on its path.
    Resetting,
}

/// A change of a link that runs; [`Link`](crate::Link) has a method for each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// What happens to all packets.
    Set(Condition),
    /// What happens to packets from one side: with [`Condition::Down`] a black hole in one
    /// direction alone.
    SetFrom(Side, Condition),
    /// What the path from one side is like.
    Path(Side, PathSpec),
    /// Whether UDP is lost.
    BlockUdp(bool),
    /// Whether TCP is lost.
    BlockTcp(bool),
}

/// How a link is at a moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct State {
    pub(crate) paths: [PathSpec; 2],
    pub(crate) conditions: [Condition; 2],
    is_udp_blocked: bool,
    is_tcp_blocked: bool,
}

/// How a link is to be, now and later.
#[derive(Debug)]
pub(crate) struct Controls {
    /// Counts the changes, so that who looks for one after each packet takes no lock.
    version: AtomicU64,
    plan: Mutex<Plan>,
}

/// What the forwarding thread knows of the controls.
#[derive(Debug)]
pub(crate) struct View {
    version: u64,
    pub(crate) state: State,
    /// When the script goes on.
    pub(crate) next: Option<Instant>,
}

#[derive(Debug)]
struct Plan {
    state: State,
    /// In the order of time.
    script: VecDeque<(Instant, Change)>,
}

impl State {
    fn new(paths: [PathSpec; 2]) -> Self {
        let conditions = [Condition::Up; 2];
        Self { paths, conditions, is_udp_blocked: false, is_tcp_blocked: false }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Set(condition) => self.conditions = [condition; 2],
            Change::SetFrom(side, condition) => self.conditions[side.index()] = condition,
            Change::Path(side, path) => self.paths[side.index()] = path,
            Change::BlockUdp(is_blocked) => self.is_udp_blocked = is_blocked,
            Change::BlockTcp(is_blocked) => self.is_tcp_blocked = is_blocked,
        }
    }

    /// Whether nothing of this protocol passes.
    pub(crate) fn is_blocked(&self, protocol: u8) -> bool {
        self.is_udp_blocked && protocol == UDP || self.is_tcp_blocked && protocol == TCP
    }
}

impl Controls {
    pub(crate) fn new(paths: [PathSpec; 2]) -> Self {
        let plan = Plan { state: State::new(paths), script: VecDeque::new() };
        Self { version: AtomicU64::new(0), plan: Mutex::new(plan) }
    }

    /// Changes the link for every packet that is taken or delivered after this.
    pub(crate) fn apply(&self, change: Change) {
        self.change(|plan| plan.state.apply(change));
    }

    /// Replaces the script by changes so long from now.
    pub(crate) fn follow(&self, script: impl IntoIterator<Item = (Duration, Change)>) {
        let now = Instant::now();
        let mut script: Vec<_> =
            script.into_iter().map(|(after, change)| (now + after, change)).collect();
        script.sort_by_key(|(due, _)| *due);
        self.change(|plan| plan.script = script.into());
    }

    /// Does what the script says up to now.
    pub(crate) fn go_on(&self, now: Instant) {
        self.change(|plan| {
            while let Some((_, change)) = plan.script.pop_front_if(|(due, _)| *due <= now) {
                plan.state.apply(change);
            }
        });
    }

    /// How the link is.
    pub(crate) fn state(&self) -> State {
        self.plan().state
    }

    pub(crate) fn view(&self) -> View {
        let plan = self.plan();
        View {
            version: self.version.load(Ordering::SeqCst),
            state: plan.state,
            next: plan.script.front().map(|(due, _)| *due),
        }
    }

    /// Brings a view up to date, and tells whether it was not.
    pub(crate) fn refresh(&self, view: &mut View) -> bool {
        let is_old = view.version != self.version.load(Ordering::SeqCst);
        if is_old {
            *view = self.view();
        }
        is_old
    }

    fn change(&self, change: impl FnOnce(&mut Plan)) {
        let mut plan = self.plan();
        change(&mut plan);
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        // It is whole between any two changes.
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_done_in_the_order_of_time_however_it_was_written() {
        let controls = Controls::new([PathSpec::new(Duration::ZERO); 2]);
        let (first, second) = (Duration::from_secs(10), Duration::from_secs(20));
        controls.follow([
            (second, Change::BlockUdp(true)),
            (first, Change::SetFrom(Side::Right, Condition::Down)),
        ]);
        let mut view = controls.view();
        let begun = view.next.expect("there is a first change");
        assert!(!controls.refresh(&mut view), "nothing has changed");
        controls.go_on(begun);
        assert!(controls.refresh(&mut view));
        assert_eq!(view.state.conditions, [Condition::Up, Condition::Down]);
        assert!(!view.state.is_blocked(UDP));
        assert_eq!(view.next, Some(begun + (second - first)));
        controls.go_on(begun + second);
        assert!(controls.refresh(&mut view));
        assert!(view.state.is_blocked(UDP) && !view.state.is_blocked(TCP));
        assert_eq!(view.next, None);
    }

    #[test]
    fn a_change_by_hand_leaves_the_script_as_it_was() {
        let controls = Controls::new([PathSpec::new(Duration::ZERO); 2]);
        controls.follow([(Duration::from_secs(10), Change::Set(Condition::Up))]);
        controls.apply(Change::Set(Condition::Down));
        controls.apply(Change::BlockTcp(true));
        assert_eq!(controls.state().conditions, [Condition::Down; 2]);
        assert!(controls.state().is_blocked(TCP));
        let due = controls.view().next.expect("the change to come");
        controls.go_on(due);
        assert_eq!(controls.state().conditions, [Condition::Up; 2]);
    }
}
