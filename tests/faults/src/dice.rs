//! Chance that can be repeated: a number from a seed and what is asked about, never from a clock.

/// A number for the `index`-th question about `about`.
pub fn roll(seed: u64, about: &str, index: u64) -> u64 {
    let text = about.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // The finishing steps of splitmix64: neighbours in, strangers out.
    let mut mixed = text.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Whether something that happens in `percent` of all cases happens now.
pub fn happens(percent: u8, seed: u64, about: &str, index: u64) -> bool {
    roll(seed, about, index) % 100 < u64::from(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_gives_others() {
        let all = |seed| (0..50).map(|i| roll(seed, "a", i)).collect::<Vec<_>>();
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
    }

    #[test]
    fn what_is_said_to_happen_in_a_third_does() {
        let hits = (0..10_000).filter(|i| happens(33, 1, "x", *i)).count();
        assert!((3_000..3_600).contains(&hits), "{hits}");
    }
}
