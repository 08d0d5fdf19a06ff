//! Does memory grow?

use super::run::Sample;

/// Share of the run that counts as warm-up.
const WARM_UP: f64 = 0.25;

/// The slope of resident memory over time after the warm-up: MiB an hour, by least squares.
pub fn memory_mib_per_hour(samples: &[Sample]) -> f64 {
    let end = samples.last().map_or(0.0, |sample| sample.at);
    let points: Vec<(f64, f64)> = samples
        .iter()
        .filter(|sample| sample.at >= end * WARM_UP)
        .map(|sample| (sample.at / 3600.0, sample.memory_bytes as f64 / f64::from(1 << 20)))
        .collect();
    let count = points.len().max(1) as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}
