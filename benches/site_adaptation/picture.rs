//! The figures as bars: before, after.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use super::Figure;

const BEFORE: RGBColor = RGBColor(150, 160, 175);
const AFTER: RGBColor = RGBColor(30, 110, 180);

/// Draws macro F1 of each task, and the share of reports that would be escalated.
pub(crate) fn draw(
    path: &Path,
    figures: &[Figure],
    [before, after]: [f64; 2],
) -> Result<(), Box<dyn Error>> {
    let mut bars: Vec<(&str, [f64; 2])> =
        figures.iter().map(|figure| (figure.name, [figure.before, figure.after])).collect();
    bars.push(("escalated", [before, after]));
    let root = SVGBackend::new(path, (720, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("A site's own reports: before and after re-distillation", ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..bars.len() as f64, 0.0..1.05)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(WHITE)
        .y_desc("macro F1; share of reports")
        .draw()?;
    for (index, (name, values)) in bars.iter().enumerate() {
        let left = index as f64;
        for (place, (value, colour)) in values.iter().zip([BEFORE, AFTER]).enumerate() {
            let from = left + 0.14 + 0.36 * place as f64;
            chart.draw_series([Rectangle::new(
                [(from, 0.0), (from + 0.34, *value)],
                colour.filled(),
            )])?;
            let label = format!("{value:.3}");
            chart.draw_series([Text::new(
                label,
                (from + 0.03, value + 0.035),
                ("sans-serif", 12),
            )])?;
        }
        let style = ("sans-serif", 14).into_font();
        chart.draw_series([Text::new((*name).to_owned(), (left + 0.2, -0.03), style)])?;
    }
    root.present()?;
    Ok(())
}
