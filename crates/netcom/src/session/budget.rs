//! The memory all sessions of a node share, and what each is charged (E-19).
//!
//! A session's flows may take an eighth of what the others leave, and what is put together from
//! them, bodies of requests and long messages, half of what is left of half the budget. So each
//! session finds the less room the more there are, nobody can take it all, and a few threads that
//! charge at the same moment do not exceed the limit either.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::Notify;

use super::{SharedSession, StreamHandle};
use crate::stream::StreamError;

/// The memory of a node's sessions.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    used: AtomicU64,
    /// Much is used where little was before.
    rise: Notify,
}

/// What one session is charged; given back with it.
#[derive(Debug)]
pub(super) struct Account {
    budget: Arc<Budget>,
    /// For its flows. Changed under the session's lock alone.
    flows: AtomicU64,
    /// For what was read of them and is not whole yet, or is in a handler's hands.
    bodies: AtomicU64,
}

/// Bytes that were read and are being put together; given back with this.
#[derive(Debug)]
pub(crate) struct Kept {
    session: Arc<SharedSession>,
    length: u64,
    charged: u64,
}

impl Budget {
    /// A budget of so many bytes.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0), rise: Notify::new() })
    }

    /// Whether there is no room for another session: what is left is for those there are.
    pub(crate) fn is_full(&self) -> bool {
        self.spare() < NEWCOMER
    }

    /// What may be charged.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// What is charged now.
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    fn spare(&self) -> u64 {
        self.limit.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Waits until so much is charged, where less was before, that it is worth watching.
    pub(crate) async fn risen(&self) {
        self.rise.notified().await;
    }

    pub(crate) fn add(&self, bytes: u64) {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before < MUCH && before + bytes >= MUCH {
            self.rise.notify_one();
        }
    }

    pub(crate) fn subtract(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Account {
    /// Charges a session for being there.
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        budget.add(SESSION);
        Self { budget, flows: AtomicU64::new(0), bodies: AtomicU64::new(0) }
    }

    /// What the session's flows may take.
    pub(super) fn share(&self) -> u64 {
        let left = self.budget.spare().saturating_add(self.flows.load(Ordering::Relaxed));
        left / FLOWS_PART
    }

    /// Charges what the flows take now. Called after each change under the session's lock, so it
    /// writes to memory that all sessions share only when the charge is off by a good deal.
    pub(super) fn settle(&self, flows: u64) {
        let charged = self.flows.load(Ordering::Relaxed);
        let is_near = flows <= charged + STEP && charged <= flows + flows / 2 + STEP;
        if is_near {
            return;
        }
        let due = flows / STEP * STEP;
        self.flows.store(due, Ordering::Relaxed);
        if due > charged {
            self.budget.add(due - charged);
        } else {
            self.budget.subtract(charged - due);
        }
    }

    fn keep(&self, more: u64) -> bool {
        let bodies = self.bodies.load(Ordering::Relaxed);
        // An allocator needs several times as much for large buffers that come and go.
        let left = self.budget.spare().saturating_sub(self.budget.limit / 2).saturating_add(bodies);
        let has_room = bodies.saturating_add(more) <= left / BODIES_PART;
        if has_room {
            self.bodies.fetch_add(more, Ordering::Relaxed);
            self.budget.add(more);
        }
        has_room
    }

    fn give_back(&self, bytes: u64) {
        self.bodies.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.subtract(bytes);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let (flows, bodies) = (*self.flows.get_mut(), *self.bodies.get_mut());
        self.budget.subtract(SESSION + flows + bodies);
    }
}

impl Kept {
    /// Nothing yet, of this stream.
    pub(crate) fn of(stream: &StreamHandle) -> Self {
        Self { session: Arc::clone(stream.session()), length: 0, charged: 0 }
    }

    /// Adds bytes. The first are free.
    ///
    /// # Errors
    /// [`StreamError::NoRoom`] where the node has no memory for them.
    pub(crate) fn add(&mut self, bytes: usize) -> Result<(), StreamError> {
        self.length += bytes as u64;
        if self.length <= self.charged.max(FREE) {
            return Ok(());
        }
        let step = if self.length < LARGE_STEP { SMALL_STEP } else { LARGE_STEP };
        let more = self.length.next_multiple_of(step) - self.charged;
        if !self.session.account().keep(more) {
            return Err(StreamError::NoRoom { length: self.length });
        }
        self.charged += more;
        Ok(())
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        self.length = 0;
        let charged = std::mem::take(&mut self.charged);
        if charged > 0 {
            self.session.account().give_back(charged);
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.clear();
    }
}

/// What a session is charged for its tables, its links' buffers and its smallest flows; an idle
/// one takes 16 KiB over TCP and 57 KiB over QUIC.
pub(super) const SESSION: u64 = 64 << 10;
/// From so much on a fall is worth the time that giving memory back takes; the allocator may hold
/// several times as much by then.
pub(super) const MUCH: u64 = 4 << 20;
/// What must be left for another session to be let in.
const NEWCOMER: u64 = 1 << 20;
/// The part of what is left that one session's flows may take is one in so many.
const FLOWS_PART: u64 = 8;
/// And its bodies.
const BODIES_PART: u64 = 2;
/// By how much the charge for flows may be off.
const STEP: u64 = 64 << 10;
/// Of a body so much is free, so that short requests change nothing that all sessions share; 4 MiB
/// with as many handlers as a session may have.
const FREE: u64 = 1 << 10;
/// In what steps a body is charged, a short one and a long one.
const SMALL_STEP: u64 = 8 << 10;
const LARGE_STEP: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn sessions_that_take_all_they_may_leave_room_for_many_more() {
        let budget = Budget::new(64 * MIB);
        let mut accounts = Vec::new();
        while !budget.is_full() {
            let account = Account::new(Arc::clone(&budget));
            let share = account.share();
            account.settle(share);
            assert!(account.share() >= account.flows.load(Ordering::Relaxed) / 8);
            accounts.push(account);
        }
        assert!(accounts.len() >= 25, "{}", accounts.len());
        assert!(budget.used() < budget.limit);
        accounts.clear();
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn threads_that_charge_at_once_stay_within_the_limit() {
        let budget = Budget::new(64 * MIB);
        let accounts: Vec<_> = (0..8).map(|_| Account::new(Arc::clone(&budget))).collect();
        // All ask before one of them is charged.
        let shares: Vec<_> = accounts.iter().map(Account::share).collect();
        accounts.iter().zip(shares).for_each(|(account, share)| account.settle(share));
        assert!(budget.used() <= budget.limit, "{}", budget.used());
    }

    #[test]
    fn a_charge_follows_its_flows_and_ignores_small_changes() {
        let budget = Budget::new(64 * MIB);
        let account = Account::new(Arc::clone(&budget));
        let charged = |flows| {
            account.settle(flows);
            budget.used() - SESSION
        };
        assert_eq!(charged(STEP), 0, "small flows are in the session's charge");
        assert_eq!(charged(10 * STEP + 7), 10 * STEP);
        assert_eq!(charged(11 * STEP), 10 * STEP);
        assert_eq!(charged(7 * STEP), 10 * STEP);
        assert_eq!(charged(4 * STEP), 4 * STEP);
        assert_eq!(charged(0), 4 * STEP - 4 * STEP);
    }

    #[test]
    fn bodies_take_half_of_what_is_left_of_half_the_budget() {
        let budget = Budget::new(128 * MIB);
        let (first, second) =
            (Account::new(Arc::clone(&budget)), Account::new(Arc::clone(&budget)));
        assert!(first.keep(16 * MIB) && first.keep(15 * MIB));
        assert!(!first.keep(MIB));
        assert!(!second.keep(17 * MIB) && second.keep(16 * MIB));
        first.give_back(31 * MIB);
        assert!(second.keep(8 * MIB));
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }
}
