//! Chance that can be repeated: everything random in these tests comes from a printed seed.

/// SplitMix64: small, good enough to spread kills and cuts.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// From `TUTTI_SEED`, else `default`. Prints the seed, so that a failure can be repeated.
    ///
    /// # Panics
    /// When `TUTTI_SEED` is not a number.
    #[must_use]
    pub fn from_environment(what: &str, default: u64) -> Self {
        let set = std::env::var("TUTTI_SEED").ok();
        let seed = set.map_or(default, |text| text.parse().expect("TUTTI_SEED is a whole number"));
        println!("{what}: seed {seed} (TUTTI_SEED={seed} repeats it)");
        Self::new(seed)
    }

    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.bits() % end as u64).expect("below a usize")
    }

    /// One number in each of `parts` equal parts of `0..end`, in order: random, and spread over the whole.
    pub fn spread(&mut self, parts: usize, end: usize) -> Vec<usize> {
        (0..parts)
            .map(|part| {
                let (from, to) = (end * part / parts, end * (part + 1) / parts);
                from + self.below((to - from).max(1))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_a_spread_covers_the_whole() {
        assert_eq!(Chance::new(7).bits(), Chance::new(7).bits());
        let spread = Chance::new(7).spread(20, 1_000);
        assert_eq!(spread.len(), 20);
        assert!(spread.iter().enumerate().all(|(n, &at)| at / 50 == n), "{spread:?}");
    }
}
