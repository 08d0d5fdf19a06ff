//! Which sentence a label rests on, from the model's own attention.
//!
//! The model pools the tokens of a report once per observation; the weights of that pooling say
//! where it looked. The sentence that holds most of the weight is the evidence. It is what the
//! model attended to, not a proof: readers are told so.

use crate::report::Evidence;

/// Marks a token that belongs to no sentence (`[CLS]`, `[SEP]`).
pub(super) const NO_SENTENCE: u16 = u16::MAX;

/// The sentence with the largest summed weight; of equals the first. `None` when the text has no
/// sentence or no weight falls on one.
///
/// `weights` and `sentence_of` have one entry per token; `sums` is scratch space.
pub(super) fn strongest(
    weights: &[f32],
    sentence_of: &[u16],
    sentences: &[Evidence],
    sums: &mut Vec<f32>,
) -> Option<Evidence> {
    sums.clear();
    sums.resize(sentences.len(), 0.0);
    for (weight, sentence) in weights.iter().zip(sentence_of) {
        if let Some(sum) = sums.get_mut(usize::from(*sentence)) {
            *sum += weight;
        }
    }
    let mut best: Option<(f32, Evidence)> = None;
    for (sum, sentence) in sums.iter().zip(sentences) {
        if *sum > best.map_or(0.0, |(sum, _)| sum) {
            best = Some((*sum, *sentence));
        }
    }
    best.map(|(_, sentence)| sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::SectionKind;

    fn sentences() -> [Evidence; 2] {
        [(0, 10), (11, 20)].map(|(start, end)| Evidence {
            section: SectionKind::Findings,
            start,
            end,
        })
    }

    #[test]
    fn the_sum_over_a_sentence_decides_not_its_best_token() {
        let weights = [0.05, 0.35, 0.3, 0.3];
        let picked = strongest(&weights, &[0, 0, 1, 1], &sentences(), &mut Vec::new());
        assert_eq!(picked, Some(sentences()[1]));
    }

    #[test]
    fn weight_on_special_tokens_counts_for_no_sentence() {
        let weights = [0.9, 0.06, 0.04];
        let of = [NO_SENTENCE, 0, 1];
        assert_eq!(strongest(&weights, &of, &sentences(), &mut vec![9.0]), Some(sentences()[0]));
    }

    #[test]
    fn no_weight_or_no_sentence_gives_no_evidence() {
        let nan = [f32::NAN, f32::NAN];
        assert_eq!(strongest(&nan, &[0, 1], &sentences(), &mut Vec::new()), None);
        assert_eq!(strongest(&[1.0], &[0], &[], &mut Vec::new()), None);
        assert_eq!(strongest(&[], &[], &sentences(), &mut Vec::new()), None);
    }
}
