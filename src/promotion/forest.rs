//! Forest plot: every guarded difference with its interval and its limit, SVG.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::gate::{Guard, Outcome};

/// Colours of the outcomes (Okabe and Ito's, told apart by colour-blind readers).
const HOLDS: RGBColor = RGBColor(0, 114, 178);
const FAILS: RGBColor = RGBColor(213, 94, 0);
const UNKNOWN: RGBColor = RGBColor(150, 110, 0);
const LIMIT: RGBColor = RGBColor(90, 90, 90);
const ROW: u32 = 20;
const WIDTH: u32 = 1_000;
const NAMES: u32 = 470;
const TOP: u32 = 56;
const BOTTOM: u32 = 44;
/// Rows in one picture; a dozen gold sets are not drawn whole.
const MOST: usize = 400;

/// The picture could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("the plot cannot be drawn: {0}")]
pub struct ForestError(String);

/// Draws the guards that compare both models; `None` when none does.
///
/// # Errors
/// [`ForestError`] when the drawing library fails.
pub fn svg(title: &str, guards: &[Guard]) -> Result<Option<String>, ForestError> {
    let rows: Vec<&Guard> =
        guards.iter().filter(|guard| guard.difference.is_some()).take(MOST).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let mut out = String::new();
    draw(&mut out, title, &rows).map_err(|error| ForestError(error.to_string()))?;
    Ok(Some(out))
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw<'a>(out: &'a mut String, title: &str, rows: &[&Guard]) -> Drawn<'a> {
    let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    let height = TOP + ROW * count + BOTTOM;
    let root = SVGBackend::with_string(out, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let at = |x: u32, y: u32| (i32::try_from(x).unwrap_or(0), i32::try_from(y).unwrap_or(0));
    let text = |size: u32, colour: RGBColor, h: HPos| {
        ("sans-serif", size).into_font().color(&colour).pos(Pos::new(h, VPos::Center))
    };
    root.draw_text(title, &text(16, BLACK, HPos::Left), at(14, 20))?;
    root.draw_text(
        "challenger minus champion, 95 % intervals; | is the limit",
        &text(12, LIMIT, HPos::Left),
        at(14, 40),
    )?;
    let widest = rows.iter().fold(0.02_f64, |widest, guard| {
        let interval = guard.interval.map_or([0.0; 2], |i| [i.low, i.high]);
        let all = [guard.difference, guard.limit_difference];
        interval
            .into_iter()
            .chain(all.into_iter().flatten())
            .fold(widest, |widest, value| widest.max(value.abs()))
    });
    let reach = (widest * 1.1).min(1.05);
    let plot = WIDTH - NAMES - 30;
    let x = |value: f64| {
        let share = (value.clamp(-reach, reach) + reach) / (2.0 * reach);
        #[expect(clippy::cast_possible_truncation, reason = "a place on a page")]
        let place = (share * f64::from(plot)).round() as i32;
        place + i32::try_from(NAMES).unwrap_or(0)
    };
    let bottom = i32::try_from(TOP + ROW * count).unwrap_or(0);
    let top = i32::try_from(TOP).unwrap_or(0);
    root.draw(&PathElement::new([(x(0.0), top), (x(0.0), bottom)], BLACK.mix(0.4)))?;
    for tick in [-reach, -reach / 2.0, 0.0, reach / 2.0, reach] {
        let label = format!("{tick:+.3}");
        root.draw_text(&label, &text(12, LIMIT, HPos::Center), (x(tick), bottom + 16))?;
    }
    for (number, guard) in (0..).zip(rows) {
        let y = i32::try_from(TOP + ROW * number + ROW / 2).unwrap_or(0);
        let colour = match guard.outcome {
            Outcome::Holds => HOLDS,
            Outcome::Fails => FAILS,
            Outcome::Unknown | Outcome::NotJudged => UNKNOWN,
        };
        let gold = guard.gold.as_deref().unwrap_or_default();
        let name = short(&format!("{}  {gold}", guard.figure));
        root.draw_text(&name, &text(12, colour, HPos::Left), (14, y))?;
        if let Some(limit) = guard.limit_difference {
            root.draw(&PathElement::new(
                [(x(limit), y - 7), (x(limit), y + 7)],
                LIMIT.stroke_width(2),
            ))?;
        }
        if let Some(interval) = guard.interval {
            root.draw(&PathElement::new(
                [(x(interval.low), y), (x(interval.high), y)],
                colour.stroke_width(2),
            ))?;
        }
        if let Some(difference) = guard.difference {
            root.draw(&Circle::new((x(difference), y), 4, colour.filled()))?;
        }
    }
    root.present()
}

fn short(name: &str) -> String {
    const MOST: usize = 66;
    if name.chars().count() <= MOST {
        return name.to_owned();
    }
    name.chars().take(MOST - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::bootstrap::Interval;

    fn guard(figure: &str, difference: Option<f64>) -> Guard {
        Guard {
            figure: figure.to_owned(),
            gold: Some("gold<&>.jsonl".to_owned()),
            champion: None,
            challenger: None,
            difference,
            interval: difference.map(|d| Interval { low: d - 0.1, high: d + 0.1 }),
            limit: String::new(),
            limit_difference: Some(-0.02),
            outcome: Outcome::Holds,
            why: String::new(),
        }
    }

    #[test]
    fn only_comparisons_are_drawn_and_names_are_escaped() {
        assert_eq!(svg("t", &[guard("size", None)]).unwrap(), None);
        let guards = [guard("size", None), guard("supported.positive", Some(-9.0))];
        let drawn = svg("t", &guards).unwrap().unwrap();
        assert!(drawn.contains("supported.positive") && !drawn.contains("size  "));
        assert!(drawn.contains("gold&lt;&amp;&gt;.jsonl"), "{drawn}");
        assert_eq!(drawn.matches("<circle").count(), 1);
    }
}
