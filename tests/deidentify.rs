//! De-identification on made-up hospital reports and on public collections: what leaves, what stays.

#![allow(clippy::print_stdout, reason = "the figures are for people to read")]

mod deidentify_support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use deidentify_support::{Planted, Tally, report, words};
use radstream::decode::{DecodeOptions, Decoded, decode, identifiers};
use radstream::deidentify::{Deidentifier, KnownIdentifier, KnownKind, Refused};
use radstream::report::{LabelledSection, Phi, SectionKind};
use serde_json::Value;

fn body(text: &str) -> [LabelledSection; 1] {
    [LabelledSection { kind: SectionKind::Body, text: Phi::from(text) }]
}

/// Lines of a public collection beside the project: `data/...` in `../shared/data` or where
/// `RADSTREAM_SAMPLES` says, `labels/...` in `../shared/labels`. `None` on a machine that has none.
fn shared(name: &str) -> Option<Vec<Value>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let given = std::env::var_os("RADSTREAM_SAMPLES").map(PathBuf::from);
    let path = match (name.strip_prefix("data/"), given) {
        (Some(inside), Some(samples)) => samples.join(inside),
        _ if beside.exists() => beside.join(name),
        _ => {
            println!("NOT RUN: no {name}; set RADSTREAM_SAMPLES or put it into ../shared");
            return None;
        }
    };
    let text = fs::read_to_string(&path).expect("a collection that should be there");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
}

#[test]
fn planted_identifiers_of_300_reports() {
    let mut tally = Tally::default();
    for seed in 0..300 {
        let planted = report(seed);
        let result = Deidentifier::default()
            .apply(&planted.sections, &planted.known)
            .unwrap_or_else(|refused| panic!("report {seed} refused: {refused}"));
        planted.judge(&result, &mut tally);
        let again = Deidentifier::default()
            .apply(result.sections(), &planted.known)
            .expect("what was de-identified is not refused");
        assert_eq!(again.sections(), result.sections(), "report {seed} changes in a second pass");
    }
    let mut header = (0, 0);
    let mut pattern = (0, 0);
    for (kind, (count, missed)) in &tally.planted {
        println!("{kind:>16}: {missed} of {count} missed");
        let sum = if Planted::is_of_header(kind) { &mut header } else { &mut pattern };
        sum.0 += count;
        sum.1 += missed;
    }
    for (kind, text) in &tally.missed {
        println!("missed {kind}: {text}");
    }
    let lost = tally.lost_words.len();
    println!(
        "header {header:?}, pattern {pattern:?}, words lost {lost} of {}",
        tally.template_words
    );
    for (word, text) in tally.lost_words.iter().zip(&tally.lost_from) {
        println!("lost {word}: {text}");
    }
    assert_eq!(header.1, 0, "identifiers of the header left");
    assert!(header.0 > 1_000 && pattern.0 > 1_000, "too little was planted to say anything");
    assert!(pattern.1 * 100 <= pattern.0 * 5, "more than 5 % of pattern identifiers left");
    assert!(lost * 100 <= tally.template_words, "more than 1 % of words harmed");
}

/// The planted identifiers of a report's header as an HL7 message carries them.
fn message_of(known: &[KnownIdentifier]) -> String {
    let values: Vec<&str> = known.iter().map(|one| one.value.expose().as_str()).collect();
    let [patient, doctor, reader, mrn, accession, born, phone, hospital, address] = values[..]
    else {
        panic!("the header gives other identifiers")
    };
    // What a sender has to escape.
    let hospital = hospital.replace('&', "\\T\\");
    let reader = reader.replace('^', "&");
    format!(
        "MSH|^~\\&|RIS|{hospital}|||20260102||ORU^R01|1|P|2.5||||||UNICODE UTF-8\r\
         PID|1||{mrn}^^^EPI^MR||{patient}^^^^L||{born}|F|||{address}||^PRN^PH^^1^{}^{}\r\
         OBR|1|{accession}^EHR|{accession}^RIS|71046^XR CHEST^C4||||||||||||\
         998^{doctor}^^NPI||||||20260102||RAD|F|||||||77&{reader}^20260102\r\
         OBX|1|TX|&IMP||No effusion.||||||F\r",
        phone.get(..3).unwrap_or_default(),
        phone.get(3..).unwrap_or_default(),
    )
}

#[test]
fn what_a_message_says_of_people_is_all_that_its_report_needs() {
    let mut tally = Tally::default();
    let options = DecodeOptions::default();
    for seed in 0..300 {
        let planted = report(seed);
        let message = message_of(&planted.known);
        let Some(Decoded::Report(read)) = decode(message.as_bytes(), &options).pop() else {
            panic!("message {seed} is no report")
        };
        let known = identifiers(message.as_bytes(), &options).of(0, &read);
        let result = Deidentifier::default()
            .apply(&planted.sections, &known)
            .unwrap_or_else(|refused| panic!("report {seed} refused: {refused}"));
        planted.judge(&result, &mut tally);
    }
    let of_header = |(kind, _): &(&&str, _)| Planted::is_of_header(kind);
    let (count, missed) = tally
        .planted
        .iter()
        .filter(of_header)
        .fold((0, 0), |sum, (_, one)| (sum.0 + one.0, sum.1 + one.1));
    let lost = tally.lost_words.len();
    println!("by the message: {missed} of {count} left, {lost} of {} words", tally.template_words);
    assert_eq!(missed, 0, "{:?}", tally.missed);
    assert!(count > 1_000, "too little was planted to say anything");
    assert!(lost * 100 <= tally.template_words, "more than 1 % of words harmed");
}

/// Kinds of a collection: found and missed.
#[derive(Default)]
struct Recall(BTreeMap<String, (usize, usize)>);

impl Recall {
    /// A span is missed when any of its words that tells something is still there.
    fn note(&mut self, kind: &str, value: &str, left: &str, before: &str) {
        let count = |text: &str, word: &str| words(text).iter().filter(|w| *w == word).count();
        let inside = words(value);
        let leaks = inside.iter().any(|word| {
            let own = inside.iter().filter(|w| *w == word).count();
            let year = word.len() == 4 && (word.starts_with("19") || word.starts_with("20"));
            // A title, a credential or "years" identifies nobody.
            let tells = !["dr", "mr", "mrs", "ms", "miss", "md", "dds", "dvm", "years"]
                .contains(&word.as_str());
            word.chars().count() > 1
                && tells
                && !year
                && count(left, word) > count(before, word).saturating_sub(own)
        });
        let entry = self.0.entry(kind.to_owned()).or_default();
        entry.0 += 1;
        if leaks {
            entry.1 += 1;
            println!("missed {kind}: {value}");
        }
    }

    fn print(&self, title: &str) {
        println!("{title}");
        for (kind, (count, missed)) in &self.0 {
            println!("{kind:>18}: {missed} of {count} missed");
        }
    }

    fn missed(&self, kind: &str) -> usize {
        self.0.get(kind).map_or(0, |(_, missed)| *missed)
    }
}

fn joined(result: &radstream::deidentify::Deidentified) -> String {
    result.sections().iter().map(|section| section.text.expose().as_str()).collect()
}

/// Start, end, kind, value, as the collections of reports write spans.
fn spans(line: &Value) -> Vec<(String, String)> {
    let spans = line["phi"].as_array().expect("phi");
    let text = |v: &Value| v.as_str().expect("a string").to_owned();
    spans.iter().map(|span| (text(&span[2]), text(&span[3]))).collect()
}

#[test]
fn headers_of_radiology_reports() {
    let Some(lines) = shared("data/deid/radiology_header_phi.jsonl") else { return };
    let mut by_message = Recall::default();
    let mut by_pattern = Recall::default();
    for line in &lines {
        let text = line["text"].as_str().expect("text");
        let known: Vec<KnownIdentifier> = spans(line)
            .into_iter()
            .map(|(kind, value)| match kind.as_str() {
                "NAME" => KnownIdentifier::new(KnownKind::PatientName, value),
                "MRN" => KnownIdentifier::new(KnownKind::Number, value),
                _ => KnownIdentifier::new(KnownKind::Date, value),
            })
            .collect();
        let with = Deidentifier::default().apply(&body(text), &known).expect("not refused");
        let without = Deidentifier::without_message().apply(&body(text), &[]).expect("not refused");
        for (kind, value) in spans(line) {
            by_message.note(&kind, &value, &joined(&with), text);
            by_pattern.note(&kind, &value, &joined(&without), text);
        }
        let findings = text.split_once("FINDINGS").expect("findings").1;
        assert!(joined(&with).ends_with(findings), "medical text changed: {}", line["id"]);
    }
    by_message.print("radiology headers, identifiers known");
    by_pattern.print("radiology headers, by patterns alone");
    assert_eq!(by_message.0.values().map(|(_, missed)| missed).sum::<usize>(), 0);
    let (planted, missed) =
        by_pattern.0.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(missed * 100 <= planted * 5, "{missed} of {planted} missed by patterns");
}

#[test]
fn notes_of_other_tools() {
    let Some(lines) = shared("data/deid/unit_cases.jsonl") else { return };
    let mut recall = Recall::default();
    for line in &lines {
        let text = line["text"].as_str().expect("text");
        let result = Deidentifier::without_message().apply(&body(text), &[]).expect("not refused");
        println!("{}", joined(&result));
        for (kind, value) in spans(line) {
            recall.note(&kind, &value, &joined(&result), text);
        }
        if spans(line).is_empty() {
            assert_eq!(joined(&result), text, "a note without identifiers changed");
        }
    }
    recall.print("unit cases of other tools, by patterns alone");
    for kind in ["DATE", "MRN", "SSN", "PHONE", "AGE", "ID"] {
        assert_eq!(recall.missed(kind), 0, "{kind}");
    }
}

/// Sentences about anything, names from all over the world, no message: a measure of the patterns
/// outside of what they were made for. Names in running text are known to be missed.
#[test]
fn sentences_of_a_generator() {
    let Some(lines) = shared("data/deid/presidio_synth_500.jsonl") else { return };
    let mut recall = Recall::default();
    let mut refused = 0;
    for line in &lines {
        let text = line["full_text"].as_str().expect("text");
        let result = match Deidentifier::without_message().apply(&body(text), &[]) {
            Ok(result) => result,
            Err(Refused::HiddenCharacters | Refused::LooksIdentifying) => {
                refused += 1;
                continue;
            }
            Err(other) => panic!("{other}"),
        };
        for span in line["spans"].as_array().expect("spans") {
            let text_of = |name: &str| span[name].as_str().expect("a string");
            recall.note(text_of("entity_type"), text_of("entity_value"), &joined(&result), text);
        }
    }
    println!("{refused} of {} refused", lines.len());
    recall.print("generated sentences, by patterns alone");
    for kind in ["EMAIL_ADDRESS", "DOMAIN_NAME", "IP_ADDRESS", "US_SSN", "CREDIT_CARD", "IBAN_CODE"]
    {
        assert_eq!(recall.missed(kind), 0, "{kind}");
    }
}

/// Reports that hold no identifiers (masked by `XXXX` where they did): every change is harm.
#[test]
fn reports_without_identifiers_stay() {
    let mut harmed = 0;
    let mut total = 0;
    let mut read = 0;
    for name in ["labels/openi-dev.jsonl", "labels/openi-train.jsonl"] {
        let Some(lines) = shared(name) else { return };
        for line in &lines {
            let text =
                ["findings", "impression"].map(|part| line[part].as_str().unwrap_or_default());
            let text = text.join("\n");
            if text.trim().is_empty() {
                continue;
            }
            let known = [KnownIdentifier::new(KnownKind::PatientName, "Stone^May^Long")];
            let result = Deidentifier::default().apply(&body(&text), &known);
            let after = result.map(|result| joined(&result)).unwrap_or_default();
            read += 1;
            let mut left = words(&after);
            for word in words(&text) {
                total += 1;
                match left.iter().position(|other| *other == word) {
                    Some(at) => drop(left.swap_remove(at)),
                    None => {
                        harmed += 1;
                        println!("harmed {word}: {}", changed(&text, &after));
                    }
                }
            }
        }
    }
    println!("{harmed} of {total} words harmed in {read} reports");
    assert!(read > 1_000, "too few reports to say anything");
    assert!(harmed * 1_000 <= total, "more than 0.1 % of words harmed");
}

/// The first sentence that differs.
fn changed(before: &str, after: &str) -> String {
    let pairs = before.split(". ").zip(after.split(". "));
    let differs = pairs.into_iter().find(|(a, b)| a != b);
    differs.map_or_else(String::new, |(a, b)| format!("{a:?} became {b:?}"))
}

/// The same sentences with the names as a message would give them.
#[test]
fn names_from_all_over_the_world_go_when_the_message_gives_them() {
    let Some(lines) = shared("data/deid/presidio_synth_500.jsonl") else { return };
    let mut recall = Recall::default();
    for line in &lines {
        let text = line["full_text"].as_str().expect("text");
        let people = line["spans"].as_array().expect("spans").iter();
        let people = people.filter(|span| span["entity_type"] == "PERSON");
        let names: Vec<&str> =
            people.map(|span| span["entity_value"].as_str().expect("a string")).collect();
        let known = names.iter().map(|name| KnownIdentifier::new(KnownKind::PersonName, *name));
        let known: Vec<KnownIdentifier> = known.collect();
        match Deidentifier::without_message().apply(&body(text), &known) {
            Ok(result) => {
                for name in names {
                    recall.note("PERSON", name, &joined(&result), text);
                }
            }
            Err(refused) => println!("refused {}: {text}", refused.code()),
        }
    }
    recall.print("generated sentences, names known");
    // "Park" at the start of a sentence is a word as far as one can tell.
    let (names, missed) = recall.0.get("PERSON").copied().unwrap_or_default();
    assert!(names > 100 && missed * 100 <= names, "{missed} of {names} known names left");
}
