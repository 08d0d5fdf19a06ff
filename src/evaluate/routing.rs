//! Does doubt find the errors? Reports ranked by their lowest cell confidence, and how many of the
//! wrong ones are among the first.
//!
//! A report is *wrong* when any of its thirteen cells is. Reports of equal confidence have no order
//! among themselves: a budget that cuts through them takes the expected share of each. The order of
//! the input therefore never matters, and a labeller whose confidence is constant gets exactly the
//! random curve.

use super::prepare::RankedReport;
use crate::report::OBSERVATIONS;

/// Shares of reports that may be deferred, for which figures are printed.
pub const BUDGETS: [f64; 3] = [0.05, 0.10, 0.20];

/// Where the curve stands after deferring the most doubtful reports. Counts are report weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Reports deferred.
    pub deferred: f64,
    /// Wrong reports among them.
    pub wrong_reports: f64,
    /// Wrong cells in them.
    pub wrong_cells: f64,
}

/// A deferral curve: from nothing deferred to everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve(Vec<Step>);

impl Curve {
    /// Walks the reports in `ranked` order (most doubtful first), each `weights[report]` times.
    pub fn new(ranked: &[RankedReport], weights: &[u32]) -> Self {
        let mut steps = vec![Step::default()];
        let mut at = Step::default();
        for tied in ranked.chunk_by(|a, b| a.rank == b.rank) {
            for report in tied {
                let weight = f64::from(weights.get(report.report).copied().unwrap_or(0));
                at.deferred += weight;
                at.wrong_reports += if report.wrong_cells > 0 { weight } else { 0.0 };
                at.wrong_cells += weight * f64::from(report.wrong_cells);
            }
            steps.push(at);
        }
        Self(steps)
    }

    /// Everything deferred: the totals.
    pub fn all(&self) -> Step {
        self.0.last().copied().unwrap_or_default()
    }

    /// The curve at a share of the reports, 0 to 1.
    pub fn at(&self, share: f64) -> Step {
        let wanted = share * self.all().deferred;
        let mut before = Step::default();
        for step in &self.0 {
            if step.deferred >= wanted {
                let width = step.deferred - before.deferred;
                let part = if width > 0.0 { (wanted - before.deferred) / width } else { 0.0 };
                let between = |a: f64, b: f64| part.mul_add(b - a, a);
                return Step {
                    deferred: wanted,
                    wrong_reports: between(before.wrong_reports, step.wrong_reports),
                    wrong_cells: between(before.wrong_cells, step.wrong_cells),
                };
            }
            before = *step;
        }
        before
    }

    /// Share of the wrong reports that are deferred at that share of reports. `None` when no
    /// report is wrong.
    pub fn captured_reports(&self, share: f64) -> Option<f64> {
        ratio(self.at(share).wrong_reports, self.all().wrong_reports)
    }

    /// Share of the wrong cells that are deferred at that share of reports.
    pub fn captured_cells(&self, share: f64) -> Option<f64> {
        ratio(self.at(share).wrong_cells, self.all().wrong_cells)
    }

    /// Share of wrong reports among those that are not deferred.
    pub fn residual_reports(&self, share: f64) -> Option<f64> {
        let (at, all) = (self.at(share), self.all());
        ratio(all.wrong_reports - at.wrong_reports, all.deferred - at.deferred)
    }

    /// Share of wrong cells among those of reports that are not deferred.
    pub fn residual_cells(&self, share: f64) -> Option<f64> {
        let (at, all) = (self.at(share), self.all());
        let cells = (all.deferred - at.deferred) * OBSERVATIONS as f64;
        ratio(all.wrong_cells - at.wrong_cells, cells)
    }

    /// Share of wrong reports.
    pub fn error(&self) -> Option<f64> {
        self.residual_reports(0.0)
    }

    /// AUGRC (arXiv 2407.01032): the share of reports that are accepted and wrong, averaged over
    /// all coverages. Random ranking gives half the error, perfect ranking half its square.
    pub fn augrc(&self) -> Option<f64> {
        let all = self.all();
        let area: f64 = self
            .0
            .iter()
            .zip(self.0.iter().skip(1))
            .map(|(a, b)| {
                let undetected = all.wrong_reports - (a.wrong_reports + b.wrong_reports) / 2.0;
                (b.deferred - a.deferred) * undetected
            })
            .sum();
        ratio(area, all.deferred * all.deferred)
    }

    /// Points of the curve for a plot: share deferred, share of wrong reports captured.
    pub fn points(&self) -> Vec<(f64, f64)> {
        let all = self.all();
        self.0
            .iter()
            .filter_map(|step| {
                let x = ratio(step.deferred, all.deferred)?;
                Some((x, ratio(step.wrong_reports, all.wrong_reports)?))
            })
            .collect()
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked(reports: &[(f64, u8)]) -> Vec<RankedReport> {
        let mut ranked: Vec<RankedReport> = reports
            .iter()
            .enumerate()
            .map(|(report, &(rank, wrong_cells))| RankedReport { report, rank, wrong_cells })
            .collect();
        ranked.sort_by(|a, b| a.rank.total_cmp(&b.rank));
        ranked
    }

    fn close(value: Option<f64>, expected: f64) {
        assert!((value.unwrap() - expected).abs() < 1e-12, "{value:?} is not {expected}");
    }

    #[test]
    fn doubt_that_finds_the_errors_captures_them_early() {
        // Four reports by rising confidence: wrong (2 cells), right, wrong (1 cell), right.
        let curve = Curve::new(&ranked(&[(0.9, 0), (0.3, 2), (0.5, 0), (0.7, 1)]), &[1; 4]);
        close(curve.captured_reports(0.25), 0.5);
        close(curve.captured_cells(0.25), 2.0 / 3.0);
        close(curve.captured_reports(0.75), 1.0);
        // Between two reports: half of the third one's error. 1.5 of 2.
        close(curve.captured_reports(0.625), 0.75);
        // After the first: 1 wrong of 3 accepted; 1 wrong cell of 39.
        close(curve.residual_reports(0.25), 1.0 / 3.0);
        close(curve.residual_cells(0.25), 1.0 / 39.0);
        close(curve.error(), 0.5);
        // Accepted and wrong after 0, 1, 2, 3, 4 deferred: 2 1 1 0 0, of 4. Trapezoids:
        // (1.5 + 1 + 0.5 + 0) / 16 = 3/16.
        close(curve.augrc(), 3.0 / 16.0);
    }

    #[test]
    fn constant_confidence_is_the_random_curve_whatever_the_order() {
        for wrong in [[1, 0, 0, 0], [0, 0, 0, 1]] {
            let reports: Vec<(f64, u8)> = wrong.iter().map(|w| (0.5, *w)).collect();
            let curve = Curve::new(&ranked(&reports), &[1; 4]);
            close(curve.captured_reports(0.1), 0.1);
            close(curve.augrc(), 0.25 / 2.0);
            assert_eq!(curve.points(), [(0.0, 0.0), (1.0, 1.0)]);
        }
    }

    #[test]
    fn without_errors_there_is_nothing_to_capture() {
        let curve = Curve::new(&ranked(&[(0.5, 0), (0.6, 0)]), &[1; 2]);
        assert_eq!(curve.captured_reports(0.1), None);
        assert_eq!(curve.residual_reports(0.1), Some(0.0));
        assert_eq!(curve.residual_reports(1.0), None, "nothing is accepted");
        assert_eq!(Curve::new(&[], &[]).augrc(), None);
    }

    #[test]
    fn a_weight_stands_for_that_many_reports() {
        let reports = ranked(&[(0.3, 1), (0.5, 0)]);
        let curve = Curve::new(&reports, &[3, 1]);
        close(curve.error(), 0.75);
        close(curve.captured_reports(0.5), 2.0 / 3.0);
    }
}
