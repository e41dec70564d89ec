//! Tasks that wait for the same thing, in the order in which they came.

use std::{collections::BTreeMap, task::Waker};

/// A queue of waiting tasks. Each keeps its place until it leaves, so that it is bounded by the
/// number of futures that exist.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    next: u64,
    waiting: BTreeMap<u64, Waker>,
}

/// A task's place in a queue; leave with [`Waiters::leave`].
pub(crate) type Ticket = Option<u64>;

impl Waiters {
    /// Takes a place at the end, or keeps the one there is.
    pub(crate) fn wait(&mut self, ticket: &mut Ticket, waker: &Waker) {
        let place = *ticket.get_or_insert_with(|| {
            self.next += 1;
            self.next
        });
        self.waiting
            .entry(place)
            .and_modify(|known| known.clone_from(waker))
            .or_insert_with(|| waker.clone());
    }

    /// Gives a place up.
    pub(crate) fn leave(&mut self, ticket: &mut Ticket) {
        if let Some(place) = ticket.take() {
            self.waiting.remove(&place);
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether nobody waits ahead.
    pub(crate) fn is_first(&self, ticket: Ticket) -> bool {
        self.waiting.first_key_value().is_none_or(|(first, _)| Some(*first) == ticket)
    }

    /// The waker of the one who waited longest.
    pub(crate) fn first(&self) -> Option<Waker> {
        self.waiting.first_key_value().map(|(_, waker)| waker.clone())
    }

    /// The wakers of all.
    pub(crate) fn all(&self) -> impl Iterator<Item = Waker> + '_ {
        self.waiting.values().cloned()
    }
}
