//! Chance that can be repeated: splitmix64 from a seed.

/// A sequence of numbers that its seed decides.
pub struct Dice(u64);

impl Dice {
    /// The sequence of this seed for the `index`-th use.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut dice = Self(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `0` to `below - 1`; 0 where there is none.
    pub fn below(&mut self, below: u64) -> u64 {
        self.next().checked_rem(below).unwrap_or(0)
    }

    /// Whether something that happens in `percent` of all cases happens now.
    pub fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn a_seed_decides_and_another_index_differs() {
        let all = |seed, index| {
            let mut dice = Dice::new(seed, index);
            (0..50).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(all(7, 1), all(7, 1));
        assert_ne!(all(7, 1), all(7, 2));
        assert_ne!(all(7, 1), all(8, 1));
    }

    #[test]
    fn a_tenth_is_a_tenth() {
        let mut dice = Dice::new(1, 0);
        let hits = (0..10_000).filter(|_| dice.happens(10)).count();
        assert!((850..1_150).contains(&hits), "{hits}");
    }
}
