//! Whether comparing secrets takes as long whatever they are (T-20): times of two classes of input,
//! mixed at random, are told apart or not by Welch's t-test, after the method of Reparaz, Balasch
//! and Verbauwhede, "Dude, is my code constant time?" (2017).
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real time is what is measured, and its length is given from outside"
)]

use std::{env, hint::black_box, time::Instant};

use netcom_session::wire::SessionKey;

/// How often the times of both classes are taken.
fn samples() -> (usize, bool) {
    let long = env::var("NETCOM_SAMPLES").ok().and_then(|count| count.parse().ok());
    (long.unwrap_or(SAMPLES), long.is_some())
}

#[test]
fn t_20_how_long_keys_are_compared_tells_nothing_of_them() {
    let (samples, is_long) = samples();
    let key = SessionKey([0x5a; 32]);
    let mut other = [0x5a; 32];
    other[0] ^= 1;
    let (equal, unequal) = (key.clone(), SessionKey(other));
    let ours = t_statistic(samples, &equal, &unequal, |given| key == *given);
    let leaky = t_statistic(samples, &equal, &unequal, |given| is_equal_leaking(&key, given));
    println!("{samples} samples of each: t is {ours:.1}, {leaky:.1} where the first byte decides");
    assert!(leaky.abs() > T_LIMIT, "what leaks is found: {leaky}");
    assert!(10.0 * ours.abs() < leaky.abs(), "ours is nothing like it: {ours}");
    assert!(!is_long || ours.abs() < T_LIMIT, "the classes are told apart: {ours}");
}

/// Compares as nobody should, up to the first difference.
fn is_equal_leaking(a: &SessionKey, b: &SessionKey) -> bool {
    a.0.iter().zip(&b.0).all(|(a, b)| black_box(a) == b)
}

/// Welch's t of the times that `compare` takes for one input and for the other.
fn t_statistic(
    samples: usize,
    one: &SessionKey,
    other: &SessionKey,
    compare: impl Fn(&SessionKey) -> bool,
) -> f64 {
    let mut times = [Vec::with_capacity(samples), Vec::with_capacity(samples)];
    let mut dice: u64 = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..2 * samples {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        let class = usize::from(dice & 1 == 1);
        let given = black_box([one, other][class]);
        let begun = Instant::now();
        for _ in 0..REPEATS {
            black_box(compare(black_box(given)));
        }
        times[class].push(begun.elapsed().as_nanos() as f64);
    }
    let limit = longest_kept(&times);
    let [one, other] = times.map(|times| Moments::of(times.into_iter().filter(|t| *t <= limit)));
    (one.mean - other.mean) / (one.variance / one.count + other.variance / other.count).sqrt()
}

/// Above it are the times in which the processor did something else as well.
fn longest_kept(times: &[Vec<f64>; 2]) -> f64 {
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_unstable_by(f64::total_cmp);
    all[all.len() * 9 / 10]
}

struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

impl Moments {
    fn of(times: impl Iterator<Item = f64> + Clone) -> Self {
        let count = times.clone().count() as f64;
        let mean = times.clone().sum::<f64>() / count;
        let variance = times.map(|t| (t - mean).powi(2)).sum::<f64>() / (count - 1.0);
        Self { count, mean, variance }
    }
}

/// Beyond it two classes are told apart, as the method has it.
const T_LIMIT: f64 = 4.5;
/// Samples of each class in a run of the tests, about.
const SAMPLES: usize = 20_000;
/// Comparisons in a sample, so that the clock's steps do not matter.
const REPEATS: usize = 16;
