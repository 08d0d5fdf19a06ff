//! Is confidence a probability? Bins of equal mass, expected calibration error, Brier, log loss.

use super::prepare::ScoredCell;

/// Bins of a reliability diagram.
pub const BINS: usize = 15;
/// Probabilities are kept this far from 0 and 1 in log loss: half the last decimal that
/// `radstream label` prints, so that a file and the model itself are judged alike.
pub const CLIP: f64 = 5e-5;

/// One bin: cells of neighbouring confidence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Cells in it (weights).
    pub cells: f64,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
}

/// Bins of equal mass. `cells` are sorted by confidence.
///
/// Cells of equal confidence stay together, so a bin may be larger than its share and there may be
/// fewer than [`BINS`]; splitting them would make the result depend on the order of the input.
pub fn bins(cells: &[ScoredCell], weights: &[u32]) -> Vec<Bin> {
    let weigh = |cell: &ScoredCell| f64::from(weights.get(cell.report).copied().unwrap_or(0));
    let total: f64 = cells.iter().map(weigh).sum();
    let share = total / BINS as f64;
    let mut bins = Vec::with_capacity(BINS);
    let (mut open, mut seen, mut edge) = (Bin::default(), 0.0, share);
    for tied in cells.chunk_by(|a, b| a.confidence == b.confidence) {
        for cell in tied {
            let weight = weigh(cell);
            seen += weight;
            open.cells += weight;
            open.confidence += weight * cell.confidence;
            open.accuracy += if cell.right { weight } else { 0.0 };
        }
        // The slack keeps a bin that ends exactly on its edge from growing by rounding.
        if seen + 1e-9 >= edge && open.cells > 0.0 {
            bins.push(open);
            open = Bin::default();
            while edge <= seen + 1e-9 && share > 0.0 {
                edge += share;
            }
        }
    }
    if open.cells > 0.0 {
        bins.push(open);
    }
    for bin in &mut bins {
        bin.confidence /= bin.cells;
        bin.accuracy /= bin.cells;
    }
    bins
}

/// Expected calibration error: the mean distance of accuracy from confidence over the bins, by
/// their mass. `None` without cells.
pub fn ece(bins: &[Bin]) -> Option<f64> {
    let total: f64 = bins.iter().map(|bin| bin.cells).sum();
    let gap: f64 = bins.iter().map(|bin| bin.cells * (bin.accuracy - bin.confidence).abs()).sum();
    (total > 0.0).then(|| gap / total)
}

/// Squared distance of a confidence from what came true.
pub fn brier(confidence: f64, right: bool) -> f64 {
    (confidence - f64::from(u8::from(right))).powi(2)
}

/// Negative log-likelihood (nats) of what came true, probabilities clipped by [`CLIP`].
pub fn log_loss(probability_of_outcome: f64) -> f64 {
    -probability_of_outcome.clamp(CLIP, 1.0 - CLIP).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(cells: &[(f64, bool)]) -> Vec<ScoredCell> {
        cells
            .iter()
            .map(|&(confidence, right)| ScoredCell { report: 0, confidence, right })
            .collect()
    }

    #[test]
    fn equal_confidences_are_one_bin_whatever_their_order() {
        // 0.8 said four times, right three times: |0.75 - 0.8| = 0.05.
        for order in [[true, true, true, false], [false, true, true, true]] {
            let binned = bins(&cells(&order.map(|right| (0.8, right))), &[1]);
            assert_eq!(binned.len(), 1);
            assert!((ece(&binned).unwrap() - 0.05).abs() < 1e-12);
        }
    }

    #[test]
    fn thirty_cells_make_fifteen_bins_of_two() {
        let made: Vec<(f64, bool)> =
            (0..30_u32).map(|i| (0.5 + f64::from(i) / 100.0, i % 2 == 0)).collect();
        let binned = bins(&cells(&made), &[1]);
        assert_eq!(binned.len(), BINS);
        assert!(binned.iter().all(|bin| bin.cells == 2.0 && bin.accuracy == 0.5), "{binned:?}");
        // Bin i holds 0.50 + 2i/100 and 0.51 + 2i/100: mean 0.505 + 0.02 i, accuracy 0.5.
        // Mean gap: 0.005 + 0.02 * 7 = 0.145.
        assert!((ece(&binned).unwrap() - 0.145).abs() < 1e-12);
    }

    #[test]
    fn a_large_tie_does_not_merge_what_follows() {
        // 28 cells at 0.5 fill 14 bins' mass; then one bin of 2. Two bins.
        let mut made = vec![(0.5, true); 28];
        made.extend([(0.9, true), (0.95, true)]);
        let sizes: Vec<f64> = bins(&cells(&made), &[1]).iter().map(|bin| bin.cells).collect();
        assert_eq!(sizes, [28.0, 2.0]);
    }

    #[test]
    fn nothing_has_no_error() {
        assert_eq!(ece(&bins(&[], &[])), None);
        assert_eq!(ece(&bins(&cells(&[(0.5, true)]), &[0])), None, "weight zero");
    }

    #[test]
    fn certainty_that_was_wrong_costs_much_but_not_everything() {
        assert!((log_loss(0.0) - 9.903_487_552_536_127).abs() < 1e-9); // -ln 0.00005
        assert!((log_loss(0.5) - std::f64::consts::LN_2).abs() < 1e-12);
        assert!((brier(0.8, false) - 0.64).abs() < 1e-12);
        assert!((brier(0.8, true) - 0.04).abs() < 1e-12);
    }
}
