//! What `/metrics` says: the text format of Prometheus.

/// The samples of a page: series (its name, and labels as they stand) and value.
pub fn samples(page: &str) -> impl Iterator<Item = (&str, f64)> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    // A page is cut short where its process is killed.
    lines.filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        Some((series, value.parse().ok()?))
    })
}

/// Value of exactly this series.
pub fn value(page: &str, series: &str) -> Option<f64> {
    samples(page).find(|(name, _)| *name == series).map(|(_, value)| value)
}
