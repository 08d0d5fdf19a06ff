//! The verdict as a picture: reliability diagram and deferral curve, SVG.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::verdict::{SystemVerdict, Verdict};

/// Colours of the systems (Okabe and Ito's, told apart by colour-blind readers).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];
const GREY: RGBColor = RGBColor(130, 130, 130);
/// Longest name in a legend, in characters.
const NAME: usize = 44;

/// The picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the plot cannot be drawn: {0}")]
pub struct PlotError(String);

/// Draws the systems that give confidence; those without are left out. The SVG's text.
///
/// # Errors
/// [`PlotError`] when the drawing library fails.
pub fn svg(verdict: &Verdict) -> Result<String, PlotError> {
    let mut out = String::new();
    draw(&mut out, verdict).map_err(|error| PlotError(error.to_string()))?;
    Ok(out)
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

fn draw<'a>(out: &'a mut String, verdict: &Verdict) -> Drawn<'a> {
    let root = SVGBackend::with_string(out, (1120, 540)).into_drawing_area();
    root.fill(&WHITE)?;
    let systems: Vec<(&SystemVerdict, RGBColor)> = verdict
        .systems
        .iter()
        .filter(|system| system.routing.is_some())
        .zip(COLOURS.into_iter().cycle())
        .collect();
    let (left, right) = root.split_horizontally(560);
    reliability(&left, &systems)?;
    deferral(&right, &systems)?;
    root.present()
}

fn chart<'a, 'b>(
    area: &'b Area<'a>,
    title: &str,
    axes: (&str, &str),
    from: f64,
) -> Result<Chart<'a, 'b>, DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>> {
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(18)
        .margin_right(32)
        .x_label_area_size(44)
        .y_label_area_size(52)
        .build_cartesian_2d(from..1.0, from..1.0)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.1))
        .x_desc(axes.0)
        .y_desc(axes.1)
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .x_label_formatter(&percent)
        .y_label_formatter(&percent)
        .draw()?;
    chart.draw_series(LineSeries::new([(from, from), (1.0, 1.0)], GREY))?;
    Ok(chart)
}

fn percent(value: &f64) -> String {
    format!("{:.0} %", value * 100.0)
}

fn reliability<'a>(area: &Area<'a>, systems: &[(&SystemVerdict, RGBColor)]) -> Drawn<'a> {
    let lowest = systems
        .iter()
        .flat_map(|(system, _)| &system.reliability)
        .map(|bin| bin.confidence.min(bin.accuracy))
        .fold(1.0, f64::min);
    // Most cells are sure: the frame begins at the tenth below the lowest point.
    let from = ((lowest * 10.0).floor() / 10.0).clamp(0.0, 0.9);
    let axes = ("confidence", "cells that are right");
    let mut chart = chart(area, "Reliability, bins of equal mass", axes, from)?;
    for (system, colour) in systems {
        let colour = *colour;
        let points: Vec<(f64, f64)> =
            system.reliability.iter().map(|bin| (bin.confidence, bin.accuracy)).collect();
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        chart
            .draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?
            .label(short(&system.from.name))
            .legend(move |(x, y)| Circle::new((x + 8, y), 4, colour.filled()));
    }
    legend(&mut chart)
}

fn deferral<'a>(area: &Area<'a>, systems: &[(&SystemVerdict, RGBColor)]) -> Drawn<'a> {
    let axes = ("reports deferred, most doubtful first", "wrong reports among them");
    let mut chart = chart(area, "Deferral (grey: random; dashed: oracle)", axes, 0.0)?;
    for (system, colour) in systems {
        let Some(routing) = &system.routing else { continue };
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(routing.curve.iter().copied(), colour.stroke_width(2)))?
            .label(short(&system.from.name))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        if routing.wrong_reports > 0.0 {
            let corner = [(0.0, 0.0), (routing.wrong_reports, 1.0), (1.0, 1.0)];
            chart.draw_series(DashedLineSeries::new(corner, 5, 4, colour.mix(0.7).into()))?;
        }
    }
    legend(&mut chart)
}

fn legend<'a: 'b, 'b>(chart: &mut Chart<'a, 'b>) -> Drawn<'a> {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 13))
        .draw()
}

fn short(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    name.chars().take(NAME - 1).chain(['…']).collect()
}
