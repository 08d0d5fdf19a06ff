//! Heart and mediastinum: which word of size or shape belongs to which of them.

use super::cues::Cue;
use super::lexicon::{Shape, Stance};
use super::scan::Hit;
use super::scope::Mention;
use crate::report::Observation;

/// Adds a mention for every subject of which the sentence says how large it is. A subject called
/// only "stable" is none (guide, 17).
pub(super) fn pair(
    sentence: &str,
    subjects: &[Hit<&'static [Observation]>],
    shapes: &[Hit<Shape>],
    cues: &[Hit<Cue>],
    mentions: &mut Vec<Mention>,
) {
    let mut owned = vec![false; shapes.len()];
    let mut waiting = Vec::new();
    for subject in subjects.iter().filter(|subject| !subject.tag.is_empty()) {
        // "normal heart size", "widening of the mediastinum".
        let adjacent = shapes.iter().enumerate().rev().find(|(_, shape)| {
            shape.span.end <= subject.span.start
                && is_link(between(sentence, shape.span.end, subject.span.start))
        });
        match adjacent {
            Some((index, shape)) => {
                if let Some(mark) = owned.get_mut(index) {
                    *mark = true;
                }
                push(mentions, subject, shape);
            }
            None => waiting.push(subject),
        }
    }
    for subject in waiting {
        // "heart, hila and mediastinum are normal": the first word that fits and is nobody's own.
        let following = shapes.iter().zip(&owned).find(|(shape, owned)| {
            !**owned && shape.span.start >= subject.span.end && {
                let gap = between(sentence, subject.span.end, shape.span.start);
                let cut = cues.iter().any(|cue| {
                    cue.tag == Cue::Stop
                        && cue.span.start >= subject.span.end
                        && cue.span.end <= shape.span.start
                });
                !cut && reaches(gap)
            }
        });
        if let Some((shape, _)) = following {
            push(mentions, subject, shape);
        }
    }
}

fn push(mentions: &mut Vec<Mention>, subject: &Hit<&'static [Observation]>, shape: &Hit<Shape>) {
    let stance = match shape.tag {
        Shape::Normal => Stance::Absent,
        Shape::Enlarged => Stance::Stated,
        Shape::Borderline => Stance::Doubtful,
        Shape::Other => return,
    };
    // Reach is measured from the word of shape: "the heart is not enlarged".
    let end = shape.span.end.max(subject.span.end);
    for &observation in subject.tag {
        mentions.push(Mention { observation, stance, span: shape.span.start..end });
    }
}

/// May stand between a word of shape and the subject it describes.
fn is_link(gap: &str) -> bool {
    gap.len() <= 24
        && gap.split_whitespace().all(|word| {
            matches!(
                word,
                "of" | "the"
                    | "in"
                    | "size"
                    | "sized"
                    | "a"
                    | "to"
                    | "mild"
                    | "and"
                    | "shape"
                    | "appearing"
                    | "appearance"
                    | "contour"
                    | "contours"
                    | "for"
                    | "superior"
            )
        })
        && !gap.trim().starts_with("and ")
        && gap.trim() != "and"
}

/// Does the statement go on to the word of shape, or has another one begun?
fn reaches(gap: &str) -> bool {
    if gap.len() > 90 {
        return false;
    }
    let Some((first, _)) = gap.split_once(", ") else { return true };
    // A verb before the comma: what follows speaks of something else.
    !first.split_whitespace().any(|word| {
        matches!(word, "is" | "are" | "was" | "were" | "remains" | "remain" | "appears" | "has")
    })
}

fn between(sentence: &str, from: usize, to: usize) -> &str {
    sentence.get(from..to).unwrap_or_default()
}
