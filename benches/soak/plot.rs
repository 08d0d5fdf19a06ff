//! The run as a picture: memory, open files and threads over time.

use plotters::prelude::*;

use super::run::Sample;

const SIZE: (u32, u32) = (900, 620);
const LINE: RGBColor = RGBColor(0, 114, 178);

/// What a panel shows of a sample.
type Figure = fn(&Sample) -> f64;

/// Three panels, one below the other. The SVG's text.
///
/// # Panics
/// When the drawing library fails.
pub fn svg(samples: &[Sample]) -> String {
    let mut out = String::new();
    {
        let area = SVGBackend::with_string(&mut out, SIZE).into_drawing_area();
        area.fill(&WHITE).expect("a white sheet");
        let panels: [(&str, Figure); 3] = [
            ("Resident memory, MiB", |s| s.memory_bytes as f64 / f64::from(1 << 20)),
            ("Open files and connections", |s| s.files as f64),
            ("Threads", |s| s.threads as f64),
        ];
        let hours = samples.last().map_or(0.0, |s| s.at / 3600.0).max(1e-3);
        for (panel, (title, figure)) in area.split_evenly((3, 1)).iter().zip(panels) {
            let most = samples.iter().map(figure).fold(1.0, f64::max) * 1.15;
            let mut chart = ChartBuilder::on(panel)
                .caption(title, ("sans-serif", 16))
                .margin(8)
                .x_label_area_size(26)
                .y_label_area_size(52)
                .build_cartesian_2d(0.0..hours, 0.0..most)
                .expect("a chart");
            chart
                .configure_mesh()
                .light_line_style(WHITE)
                .x_desc("hours")
                .y_labels(5)
                .draw()
                .expect("axes");
            let points = samples.iter().map(|s| (s.at / 3600.0, figure(s)));
            chart.draw_series(LineSeries::new(points, LINE.stroke_width(2))).expect("a line");
        }
        area.present().expect("a picture");
    }
    out
}
