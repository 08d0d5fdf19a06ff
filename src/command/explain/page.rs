//! An explanation for people.

use std::io::{self, Write};

use super::account::{Account, Explanation, ReportAccount};
use crate::decode::Piece;
use crate::extract::{ChestReason, Origin, ProcedureClass};

/// Most places of text that are listed of one report; the others are counted.
const MOST_PIECES: usize = 40;

pub(in crate::command) fn write(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let Explanation { record, bytes, layers, reports } = explanation;
    writeln!(out, "{record}: {bytes} bytes, {}", counted(reports.len(), "outcome"))?;
    if !layers.is_empty() {
        writeln!(out, "taken off: {}", layers.join(", then ").replace('_', " "))?;
    }
    for (number, account) in (1..).zip(reports) {
        writeln!(out)?;
        writeln!(out, "{number}  {}{}", account.outcome, gloss(account))?;
        reading(account, out)?;
        if let Some(report) = &account.report {
            self::report(account, report, out)?;
        }
    }
    Ok(())
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// What an outcome means.
fn gloss(account: &Account) -> String {
    let words = match account.outcome {
        "labelled" => "its text goes to the student",
        "promoted" => "the status changed, the text was not sent again",
        "retracted" => "what was published of it no longer holds",
        "skipped_not_chest" => "not a chest radiograph, or it could not be told",
        "skipped_no_text" => "no text, or only a placeholder",
        "skipped_non_report" => "not a report of imaging",
        "skipped_test" => "marked as test or training (MSH-11)",
        "skipped_language" => "not English",
        "needs_fetch" => "only a reference; the text is elsewhere",
        _ => return account.reason.as_ref().map_or_else(String::new, |r| format!(": {r}")),
    };
    format!(": {words}")
}

fn line(out: &mut dyn Write, name: &str, text: &str) -> io::Result<()> {
    if text.is_empty() { Ok(()) } else { writeln!(out, "   {name:<10} {text}") }
}

fn reading(account: &Account, out: &mut dyn Write) -> io::Result<()> {
    let reading = &account.reading;
    let format = match reading.format {
        "hl7_v2" => "HL7 v2",
        "fhir_json" => "FHIR JSON",
        "json" => "JSON",
        _ => "neither HL7 v2 nor FHIR",
    };
    let mut read_as = vec![format.to_owned()];
    read_as.push(reading.message_type.clone());
    if reading.framing == "mllp" {
        read_as.push("MLLP frame".to_owned());
    }
    if !reading.place.is_empty() {
        read_as.push(format!("at {}", reading.place));
    }
    read_as.retain(|part| !part.is_empty());
    line(out, "read as", &read_as.join(", "))?;
    if !reading.charset.is_empty() {
        line(out, "charset", &format!("{} ({})", reading.charset, reading.charset_by))?;
    }
    line(out, "profile", reading.profile.as_deref().unwrap_or("none"))?;
    let segments: Vec<String> = reading
        .segments
        .iter()
        .map(|(name, count)| if *count == 1 { name.clone() } else { format!("{name}×{count}") })
        .collect();
    line(out, "segments", &segments.join(" "))
}

fn report(account: &Account, report: &ReportAccount, out: &mut dyn Write) -> io::Result<()> {
    let fields = &account.reading.fields;
    let from = |part: &str| {
        let field = fields.iter().find(|field| field.part == part);
        field.map_or("", |field| field.from.as_str())
    };
    let sender = [&report.sending_application, &report.sending_facility];
    let sender: Vec<&str> = sender.iter().map(|s| s.as_str()).filter(|s| !s.is_empty()).collect();
    line(out, "sender", &sender.join(" · "))?;
    let shown = report.shown.as_ref();
    let hidden = "(--show-text shows it)";
    let key = shown.map_or(hidden, |shown| shown.key.as_str());
    let sources = format!("number from {}, authority from {}", from("number"), from("authority"));
    line(out, "key", &format!("{key}  {sources}"))?;
    line(out, "status", &format!("{}  from {}", report.status, from("status")))?;
    let changed = match shown {
        Some(shown) => shown.changed_at.as_deref().unwrap_or("no time"),
        None => hidden,
    };
    line(out, "changed at", &format!("{changed}  from {}", from("changed_at")))?;
    if let (Some(class), Some(reason)) = (report.exam, report.exam_because) {
        line(out, "exam", &format!("{}: {}", class_words(class), reason_words(reason)))?;
    }
    for procedure in shown.iter().flat_map(|shown| &shown.procedure) {
        line(out, "", &format!("  {procedure}"))?;
    }
    pieces(&account.reading.pieces, out)?;
    sections(report, out)?;
    let warnings: Vec<String> = report.warnings.iter().map(|w| w.name().to_owned()).collect();
    line(out, "warnings", &warnings.join(", "))?;
    for section in &report.labelled {
        if let Some(text) = &section.text {
            line(out, "labelled", section.section.name())?;
            for text in text.lines() {
                writeln!(out, "   {:<10} │ {text}", "")?;
            }
        }
    }
    Ok(())
}

fn pieces(pieces: &[Piece], out: &mut dyn Write) -> io::Result<()> {
    let mut name = "text in";
    for piece in pieces.iter().take(MOST_PIECES) {
        let mut words = format!("{:<12} {:>6} characters", piece.place, piece.chars);
        if let Some(section) = piece.section {
            let by = if piece.by_profile { "by the profile" } else { "by its code" };
            words.push_str(&format!(", {} {by}", section.name()));
        }
        if let Some(why) = piece.ignored {
            words.push_str(&format!(", not used: {why}"));
        }
        line(out, name, &words)?;
        name = "";
    }
    let more = pieces.len().saturating_sub(MOST_PIECES);
    if more > 0 { line(out, "", &format!("and {more} more")) } else { Ok(()) }
}

fn sections(report: &ReportAccount, out: &mut dyn Write) -> io::Result<()> {
    let mut name = "sections";
    for section in &report.sections {
        let origin = match section.origin {
            Origin::Code => "by code or profile",
            Origin::Heading => "by heading",
            Origin::Unheaded => "no heading",
        };
        let labelled = report.labelled.iter().any(|labelled| labelled.section == section.kind);
        let use_of_it = if labelled { "labelled" } else { "not labelled" };
        let kind = section.kind.name();
        line(
            out,
            name,
            &format!("{kind:<14} {:>6} characters, {origin}, {use_of_it}", section.chars),
        )?;
        name = "";
    }
    Ok(())
}

const fn class_words(class: ProcedureClass) -> &'static str {
    match class {
        ProcedureClass::ChestRadiograph => "a chest radiograph",
        ProcedureClass::Mixed => "chest and something else",
        ProcedureClass::Other => "another exam",
        ProcedureClass::Conflict => "a chest radiograph, contradicted",
        ProcedureClass::Unknown => "it could not be told",
    }
}

const fn reason_words(reason: ChestReason) -> &'static str {
    match reason {
        ChestReason::ConfiguredExclusion => "the configuration excludes the procedure code",
        ChestReason::ChestCode => "the procedure code is a chest radiograph's",
        ChestReason::ChestCodeMixedText => {
            "the procedure code is a chest radiograph's, its text names more"
        }
        ChestReason::ChestCodeContradicted => {
            "the procedure code is a chest radiograph's; its text, another code, the service section \
             or the report's title says otherwise"
        }
        ChestReason::MixedCode => "the procedure code covers the chest and something else",
        ChestReason::OtherCode => "the procedure code is another exam's",
        ChestReason::OtherWords => "the procedure's text names another modality or a procedure",
        ChestReason::ServiceSection => {
            "the service section (OBR-24, category) is another modality's"
        }
        ChestReason::MixedWords => {
            "the procedure's text names the chest and another part of the body"
        }
        ChestReason::ChestWords => "the procedure's text names a radiograph of the chest",
        ChestReason::ChestWordsContradicted => {
            "the procedure's text names a radiograph of the chest, the report's title does not"
        }
        ChestReason::OtherBodyPart => "the procedure's text names another part of the body",
        ChestReason::ReportTitle => "the report's first words",
        ChestReason::ChestAlone => "the procedure names the chest, and nothing says otherwise",
        ChestReason::Nothing => "neither code nor words say what it is",
    }
}
