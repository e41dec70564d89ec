//! Numbers that look random and are the same for the same seed.

/// A small generator: SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014, with the constants of its reference code).
///
/// For laboratories alone: who has seen one number knows all that follow.
///
/// ```
/// use netcom_lab::Random;
/// let (mut one, mut other) = (Random::new(7), Random::new(7));
/// assert_eq!(one.u64(), other.u64());
/// assert!(one.below(6) < 6);
/// ```
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts the numbers of this seed. Seeds next to each other give unrelated numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws any number.
    pub fn u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Draws a number from 0 up to, and never, 1.
    pub fn unit(&mut self) -> f64 {
        // As many bits as the fraction of an f64 holds.
        (self.u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Draws a whole number below `n`, each as likely as the next but for one part in 2^64 / n; 0
    /// if there is none.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(n)) >> 64) as u64
    }

    /// Says yes with this probability: never up to 0, always from 1 on. Draws one number anyway,
    /// so that what follows does not depend on it.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_reference() {
        let mut random = Random::new(1_234_567);
        let drawn = [(); 5].map(|()| random.u64());
        let reference = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(drawn, reference);
    }

    #[test]
    fn units_fill_their_range_and_average_to_its_middle() {
        let mut random = Random::new(1);
        let drawn: Vec<f64> = (0..100_000).map(|_| random.unit()).collect();
        assert!(drawn.iter().all(|unit| (0.0..1.0).contains(unit)));
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }

    #[test]
    fn every_number_below_a_bound_comes_about_as_often() {
        let mut random = Random::new(2);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[random.below(6) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
        assert_eq!(random.below(0), 0);
    }

    #[test]
    fn chances_of_none_and_of_all_are_certain() {
        let mut random = Random::new(3);
        for _ in 0..1000 {
            assert!(!random.chance(0.0) && random.chance(1.0));
            assert!(!random.chance(-1.0) && !random.chance(f64::NAN));
        }
    }
}
