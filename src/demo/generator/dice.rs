//! A small seeded generator (SplitMix64): the same draws on every machine and in every release.

/// Draws numbers. Not for secrets.
pub(in crate::demo) struct Dice(u64);

impl Dice {
    /// Dice of one purpose for one message: other purposes draw independently.
    pub(in crate::demo) fn new(seed: u64, number: u64, purpose: &str) -> Self {
        let mut dice = Self(seed);
        for part in std::iter::once(number).chain(purpose.bytes().map(u64::from)) {
            dice.0 = dice.next() ^ part;
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 when `limit` is 0.
    pub(in crate::demo) fn below(&mut self, limit: u32) -> u32 {
        // The bias of the multiplication method is below 2^-32.
        let scaled = (u128::from(self.next()) * u128::from(limit)) >> 64;
        u32::try_from(scaled).unwrap_or_default()
    }

    /// A number from 0 up to, and without, 1.
    pub(in crate::demo) fn share(&mut self) -> f64 {
        f64::from(self.below(u32::MAX)) / f64::from(u32::MAX)
    }

    /// True `percent` times in a hundred.
    pub(in crate::demo) fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of the items.
    ///
    /// # Panics
    /// When there is none: all lists here are constants.
    #[expect(clippy::expect_used, reason = "constant lists, never empty")]
    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let length = u32::try_from(items.len()).unwrap_or(u32::MAX);
        let at = usize::try_from(self.below(length)).unwrap_or_default();
        items.get(at).expect("a list with items")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_and_depend_on_each_input() {
        let mut counts = [0_u32; 10];
        for number in 0..10_000 {
            counts[Dice::new(1, number, "x").below(10) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
        let roll = |seed, number, purpose| Dice::new(seed, number, purpose).below(u32::MAX);
        assert_ne!(roll(1, 2, "a"), roll(2, 1, "a"));
        assert_ne!(roll(1, 2, "a"), roll(1, 2, "b"));
    }

    #[test]
    fn nothing_is_below_zero() {
        assert_eq!(Dice::new(1, 1, "").below(0), 0);
    }
}
