//! How often something is done, and how long it took.

use std::{
    fmt, thread,
    time::{Duration, Instant},
};

/// Does something `rate` times a second for so long, and tells how often it was done. What a busy
/// machine is late with is made up for, in bursts of 20 ms at most.
pub(crate) fn paced(rate: u64, during: Duration, mut act: impl FnMut()) -> u64 {
    let begun = Instant::now();
    let burst = (rate / 50).max(1);
    let (mut owed_from, mut acted) = (begun, 0);
    while begun.elapsed() < during {
        let owed = (owed_from.elapsed().as_secs_f64() * rate as f64) as u64;
        let now = owed.min(burst);
        for _ in 0..now {
            act();
        }
        acted += now;
        owed_from += Duration::from_secs_f64(owed as f64 / rate as f64);
        thread::sleep(Duration::from_millis(1));
    }
    acted
}

/// How long things took.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn push(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(crate) fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// What so many of a thousand did not exceed.
    pub(crate) fn permille(&self, part: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * part).div_ceil(1000).saturating_sub(1);
        sorted.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most, all] = [500, 990, 1000].map(|part| self.permille(part));
        write!(f, "{} times, p50 {half:.1?}, p99 {most:.1?}, at most {all:.1?}", self.len())
    }
}
