//! A place for one, whatever is asked for at the same time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// A place that one takes, and none after it is closed.
pub(super) struct Place<T>(Arc<Mutex<State<T>>>);

/// The right to take the place. Dropped without that, the place is free again.
pub(super) struct Claim<T> {
    place: Place<T>,
    taker: Option<oneshot::Sender<T>>,
}

enum State<T> {
    Free(oneshot::Sender<T>),
    /// Claimed, and free again if nothing comes of it.
    Claimed,
    /// Taken or closed.
    Gone,
}

/// A place, and who took it: `None` once that nobody will.
pub(super) fn one<T>() -> (Place<T>, impl Future<Output = Option<T>>) {
    let (taker, taken) = oneshot::channel();
    let place = Place(Arc::new(Mutex::new(State::Free(taker))));
    (place, async { taken.await.ok() })
}

impl<T> Place<T> {
    /// Claims the place, unless somebody else has or had it, or it is closed.
    pub(super) fn claim(&self) -> Option<Claim<T>> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Gone) {
            State::Free(taker) => {
                *state = State::Claimed;
                Some(Claim { place: Self(Arc::clone(&self.0)), taker: Some(taker) })
            }
            claimed_or_gone => {
                *state = claimed_or_gone;
                None
            }
        }
    }

    /// Gives the place to nobody from now on but to who has claimed it.
    pub(super) fn close(&self) {
        *self.state() = State::Gone;
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Claim<T> {
    /// Takes the place for good.
    pub(super) fn take(mut self, by: T) {
        self.place.close();
        if let Some(taker) = self.taker.take() {
            // Nobody waits any more where the whole process ends.
            drop(taker.send(by));
        }
    }
}

impl<T> Drop for Claim<T> {
    fn drop(&mut self) {
        let Some(taker) = self.taker.take() else { return };
        let mut state = self.place.state();
        if matches!(*state, State::Claimed) {
            *state = State::Free(taker);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_all_who_ask_one_takes_the_place_and_nobody_after() {
        let (place, taken) = one();
        let first = place.claim().unwrap();
        assert!(place.claim().is_none(), "while the first is about to");
        drop(first);
        place.claim().unwrap().take("second");
        assert!(place.claim().is_none());
        assert_eq!(taken.await, Some("second"));
        assert!(place.claim().is_none(), "known or not, it is taken");
    }

    #[tokio::test]
    async fn a_place_that_is_closed_is_given_only_to_who_had_claimed_it() {
        let (place, taken) = one::<&str>();
        place.close();
        assert!(place.claim().is_none());
        assert_eq!(taken.await, None);

        let (place, taken) = one();
        let claim = place.claim().unwrap();
        place.close();
        claim.take("in time");
        assert_eq!(taken.await, Some("in time"));

        let (place, taken) = one::<&str>();
        let claim = place.claim().unwrap();
        place.close();
        drop(claim);
        assert!(place.claim().is_none());
        assert_eq!(taken.await, None);
    }
}
