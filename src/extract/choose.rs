//! Sections → the text that is labelled: findings, impression, addenda, in this order.

use std::borrow::Cow;

use super::headings;
use super::placeholder::is_placeholder;
use super::sections::{Section, Split, is_context, split};
use super::tidy::{self, Tidied};
use crate::report::{LabelledSection, Phi, ReportText, SectionKind, TextBlock};

impl Split<'_> {
    /// The labelled text, `None` when there is less of it than `least` characters, or only
    /// placeholders.
    pub(super) fn into_text(mut self, least: usize) -> Option<ReportText> {
        self.drop_preliminary();
        self.sections.retain(|section| !section.is_blank());
        let mut present: Vec<SectionKind> = Vec::new();
        for section in &self.sections {
            if !present.contains(&section.kind) {
                present.push(section.kind);
            }
        }
        self.rescue();
        let of = |kind: SectionKind| self.joined(kind);
        let findings = of(SectionKind::Findings);
        let impression = of(SectionKind::Impression);
        let addendum = of(SectionKind::Addendum);
        // With findings, what stands before the first heading is titles and names. Without them it
        // may be the findings.
        let body = match (&findings, &impression) {
            (Some(_), _) => None,
            (None, Some(_)) => self.prose(),
            (None, None) => of(SectionKind::Body),
        };
        let sections: Vec<LabelledSection> = [
            (SectionKind::Body, body),
            (SectionKind::Findings, findings),
            (SectionKind::Impression, impression),
            (SectionKind::Addendum, addendum),
        ]
        .into_iter()
        .filter_map(|(kind, text)| Some(LabelledSection { kind, text: Phi::new(text?) }))
        .collect();
        enough(&sections, least).then_some(ReportText { sections, present })
    }

    /// The texts of one kind, placeholders left out.
    fn joined(&self, kind: SectionKind) -> Option<String> {
        let mut joined: Option<String> = None;
        for text in self.sections.iter().filter(|s| s.kind == kind).map(Section::text) {
            if text.is_empty() || is_placeholder(&text) {
                continue;
            }
            match &mut joined {
                Some(before) => {
                    before.push('\n');
                    before.push_str(&text);
                }
                None => joined = Some(text),
            }
        }
        joined
    }

    /// The paragraphs of the unheaded text that are sentences and not titles.
    fn prose(&self) -> Option<String> {
        let mut kept = Section::new(SectionKind::Body);
        for section in self.sections.iter().filter(|s| s.kind == SectionKind::Body) {
            for paragraph in section.lines.split(|line| line.is_empty()) {
                let text = tidy::join(paragraph.iter().map(|line| &**line));
                if is_prose(&text) {
                    kept.lines.extend(paragraph.iter().cloned());
                    kept.lines.push(Cow::Borrowed(""));
                }
            }
        }
        let text = kept.text();
        (!text.is_empty() && !is_placeholder(&text)).then_some(text)
    }

    /// A preliminary report in front of the final one is not labelled.
    fn drop_preliminary(&mut self) {
        let (Some(from), Some(to)) = (self.preliminary_from, self.final_from) else { return };
        let after = self.sections.get(to..).unwrap_or_default();
        let replaced = after.iter().any(|s| !is_context(s.kind) && !s.is_blank());
        if from < to && replaced {
            self.sections.drain(from..to);
        }
    }

    /// Finds findings that no heading announces: the paragraphs after the first one of a context
    /// section. `COMPARISON: None.` ⏎ ⏎ `The lungs are clear.`
    fn rescue(&mut self) {
        use SectionKind::{Body, Comparison, Exam, Findings, Impression, Technique};
        let has = |kind| self.sections.iter().any(|s: &Section<'_>| s.kind == kind);
        if has(Findings) || has(Body) && !has(Impression) {
            return;
        }
        let labelled = has(Impression) || has(SectionKind::Addendum);
        let end =
            self.sections.iter().position(|s| s.kind == Impression).unwrap_or(self.sections.len());
        let before = self.sections.get_mut(..end).unwrap_or_default();
        let last = before.iter_mut().rev().find(|section| {
            let plain = matches!(section.kind, Exam | Technique | Comparison);
            plain || (!labelled && is_context(section.kind))
        });
        let Some(section) = last else { return };
        let text = match section.lines.iter().position(|line| line.is_empty()) {
            Some(gap) => {
                let rest = Section { lines: section.lines.split_off(gap), ..Section::new(Body) };
                let text = rest.text();
                if is_prose(&text) { text } else { String::new() }
            }
            // On one line, the first sentence is the comparison and the rest is the report.
            None if !labelled && section.kind == Comparison => {
                let text = section.text();
                let rest = text.split_once(". ").map_or("", |(_, rest)| rest);
                if is_prose(rest) { rest.to_owned() } else { String::new() }
            }
            None => String::new(),
        };
        if !text.is_empty() {
            let kind = if labelled { Findings } else { Body };
            let lines = text.lines().map(|line| Cow::Owned(line.to_owned())).collect();
            self.sections.insert(end, Section { lines, ..Section::new(kind) });
        }
    }
}

/// Sentences, not titles or names: some words, and a full stop after one of them.
fn is_prose(text: &str) -> bool {
    let words = text.split_whitespace().count();
    let stops = text
        .split_whitespace()
        .filter(|word| {
            word.strip_suffix(['.', ':', ';'])
                .is_some_and(|w| w.len() >= 3 && w.chars().all(|c| c.is_alphabetic() || c == '-'))
        })
        .count();
    words >= 3 && stops >= 1
}

fn enough(sections: &[LabelledSection], least: usize) -> bool {
    let least = least.max(1);
    let characters = |s: &LabelledSection| {
        let text = s.text.expose();
        // A character has at most four bytes: of a long text they need not be counted.
        if text.len() / 4 >= least { least } else { text.chars().count() }
    };
    let characters: usize = sections.iter().map(characters).sum();
    let letters = sections.iter().any(|s| s.text.expose().contains(char::is_alphabetic));
    characters >= least && letters
}

/// Plain report text, with or without headings → what to label; `None` when there is nothing to
/// label (empty, a placeholder, only context sections).
pub fn text_from_plain(text: &str) -> Option<ReportText> {
    let text = text.replace("\r\n", "\n").replace(['\r', '\u{c}', '\u{b}'], "\n");
    let blocks = [TextBlock { section: None, text: Phi::new(text) }];
    split(&Tidied::of(&blocks)).into_text(1)
}

/// Findings and impression given apart → what to label; `None` when both are empty or placeholders.
///
/// The parts are taken as they are named; only their own heading is removed.
pub fn text_from_sections(findings: &str, impression: &str) -> Option<ReportText> {
    let mut sections = Vec::new();
    for (kind, text) in [(SectionKind::Findings, findings), (SectionKind::Impression, impression)] {
        let mut lines: Vec<Cow<'_, str>> =
            text.split(['\n', '\r', '\u{c}', '\u{b}']).map(tidy::line).collect();
        if let Some(first) = lines.iter_mut().find(|line| !line.is_empty())
            && let Some((title, after)) = first.split_once(':')
            && headings::section_of_title(title) == Some(kind)
        {
            *first = Cow::Owned(after.trim().to_owned());
        }
        let text = Section { lines, ..Section::new(kind) }.text();
        if !text.is_empty() && !is_placeholder(&text) {
            sections.push(LabelledSection { kind, text: Phi::new(text) });
        }
    }
    let present = sections.iter().map(|section| section.kind).collect();
    enough(&sections, 1).then_some(ReportText { sections, present })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> Vec<(SectionKind, String)> {
        text_from_plain(text).map_or_else(Vec::new, |found| {
            found.sections.into_iter().map(|s| (s.kind, s.text.into_inner())).collect()
        })
    }

    fn input(text: &str) -> String {
        text_from_plain(text).map_or_else(String::new, |found| found.model_input().into_inner())
    }

    #[test]
    fn context_is_never_labelled() {
        let text = "EXAM: XR CHEST\nINDICATION: r/o pneumonia, fever\nCLINICAL HISTORY: Lung cancer.\n\
                    TECHNIQUE: PA and lateral.\nCOMPARISON: 1/2/2020, effusion.\n\
                    PRIOR REPORT: Pneumothorax.\nFINDINGS: Lungs are clear.\nRECOMMENDATION: CT to \
                    exclude nodule.\nNOTIFICATION: Dr. X told of the pneumothorax.\n\
                    IMPRESSION: No acute disease.";
        assert_eq!(input(text), "Lungs are clear.\nNo acute disease.");
        let one_line = text.replace('\n', " ");
        let without_prior = one_line.replace("PRIOR REPORT: Pneumothorax. ", "");
        assert_eq!(input(&without_prior), "Lungs are clear.\nNo acute disease.");
    }

    #[test]
    fn the_newest_statement_comes_last() {
        let text = "ADDENDUM: Small apical pneumothorax.\n\nIMPRESSION: Normal chest.\nFINDINGS: Clear lungs.";
        assert_eq!(
            sections(text),
            [
                (SectionKind::Findings, "Clear lungs.".to_owned()),
                (SectionKind::Impression, "Normal chest.".to_owned()),
                (SectionKind::Addendum, "Small apical pneumothorax.".to_owned()),
            ]
        );
    }

    #[test]
    fn findings_without_their_heading_are_found() {
        for text in [
            "PORTABLE CHEST 1/2/2026\n\nThe heart is normal. No effusion.\n\nIMPRESSION: Normal chest.",
            "COMPARISON: None.\n\nThe heart is normal. No effusion.\n\nIMPRESSION: Normal chest.",
            "INDICATION: cough\nCOMPARISON: None.\nHEART: The heart is normal. No effusion.\nIMPRESSION: Normal chest.",
        ] {
            let got = input(text);
            assert!(got.contains("The heart is normal. No effusion.\nNormal chest."), "{got}");
            assert!(!got.contains("cough") && !got.contains("PORTABLE"), "{got}");
        }
        assert_eq!(
            input("COMPARISON: 1/2/2020. The lungs are clear bilaterally."),
            "The lungs are clear bilaterally."
        );
        assert_eq!(
            input("FINDINGS: Comparison: earlier film. The lungs are clear. IMPRESSION: Normal."),
            "Comparison: earlier film. The lungs are clear.\nNormal."
        );
    }

    #[test]
    fn a_report_without_headings_is_one_body() {
        let text = "HEART NORMAL. LUNGS CLEAR.\nNO EFFUSION.";
        assert_eq!(sections(text), [(SectionKind::Body, text.to_owned())]);
    }

    #[test]
    fn signatures_are_not_text_wherever_they_stand() {
        for text in [
            "IMPRESSION: Normal chest. Electronically signed by Dr. Q on 1/2/2026",
            "IMPRESSION: Normal chest.\nDictated By: Q, MD\nDictated Date/Time: 1/2/26\nSigned",
            "Dictated by: Q, MD\n\nIMPRESSION: Normal chest.",
            "IMPRESSION: Normal chest.\n*** END OF REPORT ***\nconfidential",
        ] {
            assert_eq!(input(text), "Normal chest.", "{text}");
        }
        let dictated = "The PICC line, dictated by position, is unchanged.";
        assert_eq!(input(dictated), dictated);
    }

    #[test]
    fn only_the_final_part_of_a_preliminary_and_final_report_is_labelled() {
        let text = "PRELIMINARY REPORT\nFINDINGS: Pneumothorax.\n*** FINAL REPORT ***\nFINDINGS: No pneumothorax.";
        assert_eq!(input(text), "No pneumothorax.");
        let preliminary = "PRELIMINARY REPORT\nFINDINGS: Pneumothorax.";
        assert_eq!(input(preliminary), "Pneumothorax.");
        let trailer = "PRELIMINARY REPORT\nFINDINGS: Pneumothorax.\nFINAL REPORT";
        assert_eq!(input(trailer), "Pneumothorax.");
    }

    #[test]
    fn nothing_to_label_is_none() {
        for text in
            ["", "  \n", "See report.", "INDICATION: cough", "___", "IMPRESSION: See below.", "123"]
        {
            assert_eq!(text_from_plain(text), None, "{text}");
        }
        assert_eq!(text_from_sections("", " None. "), None);
    }

    #[test]
    fn given_sections_are_taken_as_they_are_named() {
        let text = text_from_sections(
            "Findings: PA view:  heart normal.\n\nComparison: none.",
            "IMPRESSION: 1. No acute\n   disease.",
        )
        .expect("text");
        assert_eq!(
            text.model_input().expose(),
            "PA view: heart normal.\nComparison: none.\n1. No acute disease."
        );
        assert_eq!(text.present, [SectionKind::Findings, SectionKind::Impression]);
    }

    #[test]
    fn a_code_that_says_history_wins_over_headings_in_the_text() {
        let blocks = [
            TextBlock {
                section: Some(SectionKind::History),
                text: Phi::from("FINDINGS: old effusion."),
            },
            TextBlock { section: Some(SectionKind::Impression), text: Phi::from("Clear chest.") },
        ];
        let text = split(&Tidied::of(&blocks)).into_text(1).expect("text");
        assert_eq!(text.model_input().expose(), "Clear chest.");
    }
}
