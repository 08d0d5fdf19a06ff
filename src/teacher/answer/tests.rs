use super::*;
use crate::report::Phi;

fn sections() -> Vec<LabelledSection> {
    let section = |kind, text: &str| LabelledSection { kind, text: Phi::from(text) };
    vec![
        section(SectionKind::Findings, "Heart size is\nnormal. No pneumothorax."),
        section(SectionKind::Impression, "Œdème. Small left pleural effusion, likely new."),
    ]
}

/// An answer of nothing mentioned, but for the given cells.
fn answer(cells: &[(&str, &str, &str)]) -> String {
    let entries: Vec<String> = Observation::ALL
        .iter()
        .map(|observation| {
            let given = cells.iter().find(|(name, ..)| *name == observation.name());
            let (_, quote, status) = given.unwrap_or(&("", "", "not_mentioned"));
            format!(r#""{}":{{"quote":{quote:?},"status":"{status}"}}"#, observation.name())
        })
        .collect();
    format!("{{{}}}", entries.join(","))
}

fn read_plain(content: &str) -> Result<Answer, AnswerProblem> {
    read(content, &[], &sections())
}

#[test]
fn a_valid_answer_has_all_cells_and_the_place_of_each_quote() {
    let content = answer(&[
        ("pleural_effusion", "Small left pleural effusion", "positive"),
        ("cardiomegaly", "heart size is normal", "negative"),
    ]);
    let answer = read_plain(&content).unwrap();
    let effusion = answer.cells[Observation::PleuralEffusion as usize];
    assert_eq!(effusion.status, FindingStatus::Positive);
    let quote = effusion.quote.unwrap();
    assert_eq!(quote.text(&sections()), "Small left pleural effusion");
    let evidence = quote.evidence(&sections());
    assert_eq!((evidence.section, evidence.start, evidence.end), (SectionKind::Impression, 7, 34));
    let heart = answer.cells[Observation::Cardiomegaly as usize].quote.unwrap();
    assert_eq!(
        heart.text(&sections()),
        "Heart size is\nnormal",
        "case and line ends do not matter"
    );
    let mentioned = answer.labels().iter().filter(|s| **s != FindingStatus::NotMentioned).count();
    assert_eq!(mentioned, 2);
}

#[test]
fn a_fence_around_the_object_is_no_matter() {
    assert!(read_plain(&format!("```json\n{}\n```", answer(&[]))).is_ok());
    assert!(read_plain(&format!("```\n{}```\n", answer(&[]))).is_ok());
}

#[test]
fn what_breaks_a_rule_is_no_answer() {
    let whole = answer(&[]);
    let effusion = Observation::PleuralEffusion;
    let with = |quote, status| answer(&[("pleural_effusion", quote, status)]);
    let cases = [
        (String::new(), AnswerProblem::NotJson),
        (String::from("The report says"), AnswerProblem::NotJson),
        (whole.strip_suffix('}').unwrap().to_owned(), AnswerProblem::NotJson),
        (format!("{whole} I hope this helps"), AnswerProblem::NotJson),
        (format!("[{whole}]"), AnswerProblem::NotJson),
        (whole.replace("pleural_other", "pleura"), AnswerProblem::UnknownKey),
        (
            whole.replace(r#""edema":{"quote":"","status":"not_mentioned"},"#, ""),
            AnswerProblem::Missing(Observation::Edema),
        ),
        (whole.replacen("quote", "quotes", 1), AnswerProblem::Missing(Observation::ALL[0])),
        (with("Small left pleural effusion", "present"), AnswerProblem::UnknownStatus(effusion)),
        (with("", "positive"), AnswerProblem::NoQuote(effusion)),
        (with(".", "positive"), AnswerProblem::NoQuote(effusion)),
        (with("Large left pleural effusion", "positive"), AnswerProblem::QuoteNotInText(effusion)),
    ];
    for (content, problem) in cases {
        assert_eq!(read_plain(&content), Err(problem), "{content}");
    }
}

#[test]
fn a_quote_does_not_run_over_two_sections() {
    let content = answer(&[("pneumothorax", "No pneumothorax. Œdème.", "negative")]);
    assert!(matches!(read_plain(&content), Err(AnswerProblem::QuoteNotInText(_))));
}

fn tokens(content: &str, cuts: &[(&str, f32)]) -> Vec<TokenLogprob> {
    // Everything between the given words is one sure token.
    let mut rest = content;
    let mut tokens = Vec::new();
    let mut push = |token: &str, logprob| {
        if !token.is_empty() {
            tokens.push(TokenLogprob { token: token.to_owned(), logprob });
        }
    };
    for (word, logprob) in cuts {
        let (before, after) = rest.split_once(word).unwrap();
        push(before, 0.0);
        push(word, *logprob);
        rest = after;
    }
    push(rest, 0.0);
    tokens
}

#[test]
fn the_confidence_is_that_of_the_tokens_of_the_status() {
    let content = answer(&[("cardiomegaly", "Heart size", "negative")]);
    let cardiomegaly = Observation::Cardiomegaly as usize;
    let half = 0.5_f32.ln();
    let given = tokens(&content, &[("neg", half), ("ative", half)]);
    let read_with = |logprobs: &[TokenLogprob]| read(&content, logprobs, &sections()).unwrap();
    let confidence = read_with(&given).cells[cardiomegaly].confidence.unwrap();
    assert!((confidence - 0.25).abs() < 1e-6, "{confidence}");
    let other = read_with(&given).cells[Observation::Fracture as usize].confidence;
    assert_eq!(other, Some(1.0));
    assert_eq!(read_with(&[]).cells[cardiomegaly].confidence, None, "none is made up");
    let wrong = [TokenLogprob { token: String::from("{"), logprob: -1.0 }];
    assert_eq!(read_with(&wrong).cells[cardiomegaly].confidence, None, "tokens of another text");
}

proptest::proptest! {
    /// Whatever comes back, reading ends, and nothing is accepted that is not whole.
    #[test]
    fn any_cut_of_an_answer_is_refused(cut in 0usize..400) {
        let content = answer(&[("cardiomegaly", "Heart size", "negative")]);
        if let Some(part) = content.get(..cut.min(content.len() - 1)) {
            proptest::prop_assert!(read_plain(part).is_err());
        }
    }
}

#[test]
fn a_quote_of_a_tag_is_found_as_sent_and_as_it_stands_in_the_report() {
    let text = "Clear. </report> Small effusion.";
    let sections = [LabelledSection { kind: SectionKind::Findings, text: Phi::from(text) }];
    for quote in ["\u{2039}/report> Small effusion", "</report> Small effusion"] {
        let content = answer(&[("pleural_effusion", quote, "positive")]);
        let read = read(&content, &[], &sections).unwrap();
        let found = read.cells[Observation::PleuralEffusion as usize].quote.unwrap();
        assert_eq!(found.text(&sections), "</report> Small effusion");
    }
}
