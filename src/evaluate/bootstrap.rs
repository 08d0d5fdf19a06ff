//! Bootstrap over reports: how far a figure would move with other reports of the same kind.

use serde::Serialize;

/// Draws reports with replacement. The draws depend on seed and number of reports only
/// (SplitMix64), so a run can be repeated on any machine and with any release.
#[derive(Clone, Debug)]
pub struct Resamples {
    state: u64,
    reports: usize,
}

impl Resamples {
    /// Resamples of that many reports.
    pub const fn new(seed: u64, reports: usize) -> Self {
        Self { state: seed, reports }
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Iterator for Resamples {
    /// How often each report was drawn.
    type Item = Vec<u32>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut weights = vec![0_u32; self.reports];
        for _ in 0..self.reports {
            let wide = u128::from(self.draw()) * self.reports as u128;
            let place = usize::try_from(wide >> 64).unwrap_or_default();
            if let Some(weight) = weights.get_mut(place) {
                *weight += 1;
            }
        }
        Some(weights)
    }
}

/// A 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// 2.5th percentile.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

impl Interval {
    /// The middle 95 % of a figure's values over the resamples in which it was defined; `None` when
    /// that were fewer than half.
    pub fn of(values: &[Option<f64>]) -> Option<Self> {
        let mut known: Vec<f64> = values.iter().flatten().copied().collect();
        if known.is_empty() || known.len() * 2 < values.len() {
            return None;
        }
        known.sort_by(f64::total_cmp);
        Some(Self { low: percentile(&known, 0.025)?, high: percentile(&known, 0.975)? })
    }
}

/// Percentile of sorted values, linear between neighbours.
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    let below = place.floor();
    let low = sorted.get(below as usize)?;
    let high = sorted.get(place.ceil() as usize)?;
    Some((place - below).mul_add(high - low, *low))
}

/// Two systems' figure on the same resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// First minus second.
    pub value: f64,
    /// Its interval.
    pub interval: Option<Interval>,
    /// Two-sided bootstrap p: twice the smaller share of resamples in which the difference is not
    /// above, or not below, zero; at most 1, and no less than 1 over the resamples.
    pub p: Option<f64>,
}

impl Difference {
    /// From the values of both systems: on all reports, and on each resample in the same order.
    pub fn of(
        (first, second): (Option<f64>, Option<f64>),
        resampled: (&[Option<f64>], &[Option<f64>]),
    ) -> Option<Self> {
        let value = first? - second?;
        let differences: Vec<Option<f64>> =
            resampled.0.iter().zip(resampled.1).map(|(a, b)| Some((*a)? - (*b)?)).collect();
        let known: Vec<f64> = differences.iter().flatten().copied().collect();
        let count = known.len() as f64;
        let p = (!known.is_empty()).then(|| {
            let not_above = known.iter().filter(|d| **d <= 0.0).count() as f64;
            let not_below = known.iter().filter(|d| **d >= 0.0).count() as f64;
            (2.0 * not_above.min(not_below) / count).clamp(1.0 / count, 1.0)
        });
        Some(Self { value, interval: Interval::of(&differences), p })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_resample_has_as_many_reports_as_there_are(seed: u64, reports in 0_usize..200) {
            let drawn = Resamples::new(seed, reports).next().unwrap();
            prop_assert_eq!(drawn.len(), reports);
            prop_assert_eq!(drawn.iter().sum::<u32>() as usize, reports);
        }

        #[test]
        fn the_seed_alone_decides_the_draws(seed: u64, reports in 2_usize..50) {
            let draw = |seed| Resamples::new(seed, reports).take(5).collect::<Vec<_>>();
            prop_assert_eq!(draw(seed), draw(seed));
            if reports > 10 {
                prop_assert_ne!(draw(seed), draw(seed ^ 1));
            }
        }
    }

    #[test]
    fn the_interval_is_the_middle_95_percent() {
        // 0 to 1000: 2.5 % of 1000 steps is 25, 97.5 % is 975.
        let values: Vec<Option<f64>> = (0..=1000).map(|i| Some(f64::from(i))).collect();
        assert_eq!(Interval::of(&values), Some(Interval { low: 25.0, high: 975.0 }));
        assert_eq!(Interval::of(&[None, None, Some(1.0)]), None, "undefined in most resamples");
        assert_eq!(Interval::of(&[]), None);
    }

    #[test]
    fn a_difference_on_the_same_resamples_is_surer_than_its_parts() {
        // Both wander from 0.2 to 0.8; the first is always 0.1 above.
        let second: Vec<Option<f64>> = (0..100).map(|i| Some(0.2 + 0.006 * f64::from(i))).collect();
        let first: Vec<Option<f64>> = second.iter().map(|v| v.map(|v| v + 0.1)).collect();
        let found = Difference::of((Some(0.6), Some(0.5)), (&first, &second)).unwrap();
        let interval = found.interval.unwrap();
        assert!((interval.low - 0.1).abs() < 1e-9 && (interval.high - 0.1).abs() < 1e-9);
        assert_eq!(found.p, Some(0.01), "no less than one over the resamples");
    }

    #[test]
    fn systems_that_never_differ_have_p_1() {
        let same = [Some(0.5); 4];
        let found = Difference::of((Some(0.5), Some(0.5)), (&same, &same)).unwrap();
        assert_eq!((found.value, found.p), (0.0, Some(1.0)));
        assert_eq!(Difference::of((None, Some(0.5)), (&same, &same)), None);
    }
}
