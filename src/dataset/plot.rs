//! A dataset as a picture: how often each observation has which status.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::manifest::Manifest;
use crate::report::{FindingStatus, OBSERVATIONS, Observation};

/// Statuses from the left, in Okabe and Ito's colours, told apart by colour-blind readers. What is not
/// mentioned is left blank.
const STATUSES: [(FindingStatus, RGBColor); 3] = [
    (FindingStatus::Positive, RGBColor(213, 94, 0)),
    (FindingStatus::Uncertain, RGBColor(230, 159, 0)),
    (FindingStatus::Negative, RGBColor(86, 180, 233)),
];
const SIZE: (u32, u32) = (900, 560);
/// Half of a bar's height; a row is 1 high.
const HALF: f64 = 0.36;

/// The picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the plot cannot be drawn: {0}")]
pub struct PlotError(String);

/// Draws the statuses of each observation as stacked bars. The SVG's text.
///
/// # Errors
/// [`PlotError`] when the drawing library fails.
pub fn svg(manifest: &Manifest) -> Result<String, PlotError> {
    let mut out = String::new();
    draw(&mut out, manifest).map_err(|error| PlotError(error.to_string()))?;
    Ok(out)
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

/// Share of the texts that have each of [`STATUSES`] for an observation.
#[expect(clippy::cast_precision_loss, reason = "counts of texts")]
fn shares(manifest: &Manifest, observation: Observation) -> [f64; STATUSES.len()] {
    let cells = |status: FindingStatus| manifest.totals.cells(observation.name(), status.name());
    let all: u64 = FindingStatus::ALL.into_iter().map(cells).sum();
    STATUSES.map(|(status, _)| if all == 0 { 0.0 } else { cells(status) as f64 / all as f64 })
}

#[expect(clippy::cast_precision_loss, reason = "thirteen observations")]
fn draw<'a>(out: &'a mut String, manifest: &Manifest) -> Drawn<'a> {
    let root = SVGBackend::with_string(out, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let title =
        format!("Labels of {} texts, dataset {}", manifest.totals.rows, manifest.dataset_id);
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(18)
        .margin_right(32)
        .x_label_area_size(44)
        .y_label_area_size(210)
        .build_cartesian_2d(0.0..1.0, (OBSERVATIONS as f64)..0.0)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .x_desc("share of the texts")
        .y_labels(0)
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .x_label_formatter(&|share| format!("{:.0} %", share * 100.0))
        .draw()?;
    let rows: Vec<[f64; STATUSES.len()]> =
        Observation::ALL.into_iter().map(|observation| shares(manifest, observation)).collect();
    for (place, (status, colour)) in STATUSES.into_iter().enumerate() {
        let bars = rows.iter().enumerate().map(|(row, shares)| {
            let from: f64 = shares.iter().take(place).sum();
            let share = shares.get(place).copied().unwrap_or(0.0);
            let middle = row as f64 + 0.5;
            let corners = [(from, middle - HALF), (from + share, middle + HALF)];
            Rectangle::new(corners, colour.filled())
        });
        chart
            .draw_series(bars)?
            .label(status.name())
            .legend(move |(x, y)| Rectangle::new([(x, y - 6), (x + 14, y + 6)], colour.filled()));
    }
    let right = Pos::new(HPos::Right, VPos::Center);
    let style = ("sans-serif", 14).into_font().into_text_style(&root).pos(right);
    for (row, observation) in Observation::ALL.into_iter().enumerate() {
        let (x, y) = chart.backend_coord(&(0.0, row as f64 + 0.5));
        root.draw(&Text::new(observation.title(), (x - 10, y), style.clone()))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 13))
        .draw()?;
    root.present()
}
