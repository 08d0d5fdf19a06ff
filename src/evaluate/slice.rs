//! Slices: does it work as well on long reports, and on reports with an impression only?

use crate::report::{ReportText, SectionKind};

/// What a report's text looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Words of the labelled sections; `None` when the reference has no text.
    pub words: Option<usize>,
    /// Which sections it has.
    pub sections: Sections,
}

/// Which sections a report has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sections {
    /// Findings, no impression.
    Findings,
    /// Impression, no findings.
    Impression,
    /// Both.
    Both,
    /// Neither by name, or no text at hand.
    #[default]
    Other,
}

impl Shape {
    /// The shape of a text.
    pub fn of(text: Option<&ReportText>) -> Self {
        let Some(text) = text else { return Self::default() };
        let words =
            text.sections.iter().map(|part| part.text.expose().split_whitespace().count()).sum();
        let has = |kind| text.sections.iter().any(|part| part.kind == kind);
        let sections = match (has(SectionKind::Findings), has(SectionKind::Impression)) {
            (true, true) => Sections::Both,
            (true, false) => Sections::Findings,
            (false, true) => Sections::Impression,
            (false, false) => Sections::Other,
        };
        Self { words: Some(words), sections }
    }
}

/// Some of the reports, by what they look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Name in tables and JSON.
    pub name: String,
    /// 1 for a report of the slice, 0 otherwise.
    pub weights: Vec<u32>,
}

/// Thirds by length and groups by section; empty ones are left out. Without texts there are none.
///
/// Reports of equal length stay together, so the thirds may differ in size.
pub fn slices(shapes: &[Shape]) -> Vec<Slice> {
    let mut lengths: Vec<usize> = shapes.iter().filter_map(|shape| shape.words).collect();
    if lengths.is_empty() {
        return Vec::new();
    }
    lengths.sort_unstable();
    let cut = |third: usize| lengths.get(lengths.len() * third / 3).copied().unwrap_or(0);
    let (first, second) = (cut(1), cut(2));
    let longest = lengths.last().copied().unwrap_or(0);
    let within = |from: usize, to: usize| {
        move |shape: &Shape| shape.words.is_some_and(|words| (from..to).contains(&words))
    };
    let made = [
        slice(format!("short (under {first} words)"), shapes, within(0, first)),
        slice(
            format!("medium ({first} to {} words)", second.saturating_sub(1).max(first)),
            shapes,
            within(first, second),
        ),
        slice(format!("long ({second} to {longest} words)"), shapes, within(second, usize::MAX)),
        slice("findings only", shapes, |shape| shape.sections == Sections::Findings),
        slice("impression only", shapes, |shape| shape.sections == Sections::Impression),
        slice("findings and impression", shapes, |shape| shape.sections == Sections::Both),
        slice("no sections", shapes, |shape| {
            shape.words.is_some() && shape.sections == Sections::Other
        }),
    ];
    made.into_iter().filter(|slice| slice.weights.contains(&1)).collect()
}

fn slice(name: impl Into<String>, shapes: &[Shape], holds: impl Fn(&Shape) -> bool) -> Slice {
    let weights = shapes.iter().map(|shape| u32::from(holds(shape))).collect();
    Slice { name: name.into(), weights }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::text_from_sections;

    #[test]
    fn thirds_are_by_words_and_groups_by_section() {
        let shape = |findings: &str, impression: &str| {
            Shape::of(text_from_sections(findings, impression).as_ref())
        };
        let shapes = [
            shape("Clear.", ""),
            shape("Clear lungs.", ""),
            shape("", "No acute disease."),
            shape("The lungs are clear.", ""),
            shape("Heart is normal.", "No acute disease."),
            shape("The heart is normal in size.", "No disease."),
        ];
        // Words: 1 2 3 4 6 8. Cuts at 3 and 6.
        let made = slices(&shapes);
        let sizes: Vec<(&str, u32)> =
            made.iter().map(|slice| (slice.name.as_str(), slice.weights.iter().sum())).collect();
        assert_eq!(
            sizes,
            [
                ("short (under 3 words)", 2),
                ("medium (3 to 5 words)", 2),
                ("long (6 to 8 words)", 2),
                ("findings only", 3),
                ("impression only", 1),
                ("findings and impression", 2),
            ]
        );
    }

    #[test]
    fn without_texts_there_are_no_slices() {
        assert_eq!(slices(&[Shape::of(None)]), []);
    }
}
