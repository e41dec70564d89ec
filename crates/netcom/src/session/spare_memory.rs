//! What sessions gave back goes back to the system.
//!
//! glibc keeps freed memory for later: after a crowd of sessions came and went, tens of MiB stayed
//! resident of which 4 were in use, since what is small and stays lies between what is gone. The
//! allocator is asked for it when much less is used than before. Other C libraries give memory back
//! by themselves, or have nothing to ask.

use std::{sync::Arc, time::Duration};

use tokio::{task, time};

use super::budget::{Budget, MUCH};

/// Asks the allocator whenever what the node's sessions use has fallen; never ends.
pub(crate) async fn watch(budget: Arc<Budget>) {
    let mut tide = Tide::default();
    loop {
        budget.risen().await;
        while tide.is_high(budget.used()) {
            time::sleep(PAUSE).await;
            if tide.has_fallen(budget.used()) {
                // It goes through all that is free, so no task of the runtime waits for it.
                drop(task::spawn_blocking(give_back).await);
            }
        }
    }
}

/// How much was used at most since the allocator was asked.
#[derive(Debug, Default)]
struct Tide {
    highest: u64,
}

impl Tide {
    fn is_high(&mut self, used: u64) -> bool {
        self.highest = self.highest.max(used);
        self.highest >= MUCH
    }

    /// Whether less than half of that is used now, and asking is worth the time.
    fn has_fallen(&mut self, used: u64) -> bool {
        self.highest = self.highest.max(used);
        let has_fallen = used <= self.highest / 2 && self.highest >= MUCH;
        if has_fallen {
            self.highest = used;
        }
        has_fallen
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn give_back() {
    // SAFETY: malloc_trim(3) takes no pointer and may be called by any thread at any time.
    #[expect(unsafe_code, reason = "the C library's function")]
    let gave = unsafe { libc::malloc_trim(0) } == 1;
    tracing::debug!(gave, "Memory that is free was given back to the system");
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() {}

/// The allocator is asked no more often.
const PAUSE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_allocator_is_asked_once_for_each_time_that_use_falls_by_half() {
        let mut tide = Tide::default();
        let falls = [60, 40, 31, 30, 29, 16, 15, 8, 7, 3, 1, 0, 60, 60, 2];
        let asked: Vec<_> = falls.into_iter().filter(|used| tide.has_fallen(used * MIB)).collect();
        assert_eq!(asked, [30, 15, 7, 3, 2]);
    }

    #[test]
    fn little_use_is_not_watched() {
        let mut tide = Tide::default();
        assert!(!tide.is_high(MUCH - 1) && !tide.has_fallen(0));
        assert!(tide.is_high(MUCH) && tide.is_high(1), "until it was asked for");
        assert!(tide.has_fallen(1) && !tide.is_high(1));
    }

    #[test]
    fn a_budget_tells_each_time_that_it_rises() {
        let budget = Budget::new(64 * MIB);
        let has_risen = || budget.risen().now_or_never().is_some();
        budget.add(MUCH - 1);
        assert!(!has_risen());
        budget.add(1);
        budget.add(MIB);
        assert!(has_risen() && !has_risen(), "it is told once");
        budget.subtract(2 * MIB);
        budget.add(MIB);
        assert!(has_risen());
    }
}
