//! A small generator of pseudo-random numbers, so that a seed means the same mail everywhere and
//! for good.

/// SplitMix64: tiny, fast, equidistributed. Integer arithmetic only, since `ln` and `cos` differ
/// between platforms in the last bit.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    /// A stream of its own for each (seed, index), so that any message can be made alone.
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        let mut mixer = Self(seed ^ 0x6d61_696c_6d6f_7665);
        let start = mixer.next() ^ index.wrapping_mul(0xd134_2543_de82_ef95);
        let mut rng = Self(start);
        rng.next();
        rng
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 if `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let product = u128::from(self.next()) * (n as u128);
        usize::try_from(product >> 64).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True so many times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }

    /// One of these; the list must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    /// Log-normally distributed around `median` with σ = 1.45 (of the natural logarithm), as sizes
    /// of mail are.
    pub(crate) fn log_normal(&mut self, median: usize) -> usize {
        // The sum of twelve uniform numbers is close to normal; here in steps of 2^-16.
        let sum: i64 = (0..12)
            .map(|_| i64::try_from(self.next() >> 48).unwrap_or(0))
            .sum();
        let normal = sum - 6 * 65_536;
        // 1.45 / ln 2 = 2.09: the power of two to scale by, in steps of 2^-16.
        let power = normal * 209 / 100;
        let (whole, fraction) = (power >> 16, power & 0xffff);
        let scaled = (median as i128 * (65_536 + i128::from(fraction))) >> 16;
        let size = if whole >= 0 {
            scaled << whole
        } else {
            scaled >> -whole
        };
        usize::try_from(size).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_good() {
        let mut rng = Rng::new(1, 0);
        let first: Vec<u64> = (0..3).map(|_| rng.next()).collect();
        let mut again = Rng::new(1, 0);
        assert_eq!(first, [again.next(), again.next(), again.next()]);
        assert_ne!(first[0], Rng::new(1, 1).next());
        assert_ne!(first[0], Rng::new(2, 0).next());
    }

    #[test]
    fn sizes_are_log_normal() {
        let mut rng = Rng::new(7, 0);
        let mut sizes: Vec<usize> = (0..10_001).map(|_| rng.log_normal(4000)).collect();
        sizes.sort_unstable();
        let median = sizes[5000];
        assert!((3700..4400).contains(&median), "median {median}");
        // One σ above the median stands e^1.45 = 4.26 times higher.
        let above = sizes[8413];
        assert!((15_000..19_500).contains(&above), "84 % below {above}");
        assert!(sizes[0] < 200 && sizes[10_000] > 200_000);
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut rng = Rng::new(3, 9);
        assert!((0..1000).all(|_| rng.below(7) < 7));
        assert!((0..1000).all(|_| (2..=4).contains(&rng.between(2, 4))));
        assert_eq!(rng.below(0), 0);
    }
}
