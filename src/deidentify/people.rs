//! Names that only the sentence gives away: after a title or "dictated by", before "MD".

use std::sync::LazyLock;

use regex::Regex;

use super::known::Known;
use super::name_run::{Certainty, Reader, is_title_before};
use super::span::{Kind, Span};
use super::words::{Shape, Word, fold};

#[expect(clippy::unwrap_used, reason = "constant patterns, compiled in the tests")]
fn pattern(source: &str) -> Regex {
    Regex::new(source).unwrap()
}

/// A field of a header, whose value is a name whatever it looks like.
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)\b(?:patient(?:['’]s)?\s+name|pt\.?\s+name|(?:first|last|middle|maiden|full|legal|provider|physician|doctor|user)\s+name|surname|name|next\s+of\s+kin|nok|emergency\s+contact)(?:\s+is)?\s*[:=]\s*|\bmy name is\s+",
    )
});

/// Who did or heard something. The name may follow a title.
static CUE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?ix)\b(?:
        (?:dictated|read|signed|verified|reviewed|interpreted|transcribed|approved|performed|
           finali[sz]ed|authenticated|reported|entered|typed|attested|released|accepted|
           acknowledged|confirmed|ordered|requested|referred|seen|examined|placed|scanned|
           supervised|edited|electronically\ssigned|e-signed)(?:\s+and\s+\w+)?\s+by
        |(?:discussed|communicated|reviewed|spoke|spoken|shared|conferred|case|findings|results)
           \s+(?:\w+\s+){0,3}?(?:with|to)
        |(?:reported|called|telephoned|phoned|conveyed|relayed|given|texted|paged|faxed|emailed|
           communicated|transmitted)\s+(?:\w+\s+){0,3}?to
        |notified|paged|informed|telephoned|phoned|called|spoke\s+to
        |(?:read|read-?back)\s+back\s+by
        |(?P<role>cc|c\.c\.|attn|attention|attending|resident|fellow|radiologist|interpreter|
         radiographer|technologist|technician|transcriptionist|physician|provider|surgeon|
         cardiologist|pulmonologist|pcp|author|signature|signed|dictated|dictating|
         (?:referring|ordering|attending|consulting|admitting|primary\s+care|interpreting|
            reading|requesting|family|responsible)\s+(?:physician|provider|radiologist|doctor|md|dr|
            clinician|resident)
        |patient|pt|mother|father|wife|husband|daughter|son|spouse|guardian|caregiver|contact)
        |(?:her|his|the|patient's)\s+(?:mother|father|wife|husband|daughter|son|spouse|brother|
            sister|guardian|caregiver|neighbor|partner)
        )\b(?P<colon>\s*[:=])?[\ \t]*",
    )
});

static CREDENTIAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:,[ ]*|[ ]+)M\.?D\b|,[ ]*(?:D\.?O\.?|R\.?N\.?|N\.?P\.?|PA(?:-C)?|Ph\.?D\.?|MBBS|FRCR|DNP|APRN|ARNP|CRNP|LPN|R\.?T\.?|F\.?A\.?C\.?R\.?|PhD)\b|[ ]+(?:Ph\.?D|PA-C|MBBS|FRCR|DNP|APRN|ARNP|CRNP)\b",
    )
});

/// "Jack Reacher, 54 y.o. male", "Jane Roe is a 54-year-old".
static AGED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)(?:,| is)?(?: an?)? \d{1,3}[- ]?(?:y[./]?o\b|years?\b|yrs?\b|[MF]\b)")
});

/// Initials of author and typist on a line of their own: `JS/mt`.
static TYPIST: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?m)^[ \t]*([A-Z]{2,4}\s?[/:]\s?[a-z]{2,4})[ \t]*$"));

/// How a sentence goes on after a name without capitals: "john smith at 14:05".
static CALL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"^(?:[\p{Ll}'’-]+ ){1,5}(?:(?:at|on|@) \d|via |by (?:phone|telephone)|over the)")
});

fn call_follows(text: &str, byte: usize) -> bool {
    text.get(byte..).is_some_and(|rest| CALL.is_match(rest))
}

/// Adds the names found to `found`.
pub(super) fn find(
    text: &str,
    words: &[Word],
    kept: &[(usize, usize)],
    known: &Known,
    found: &mut Vec<Span>,
) {
    let reader = Reader { text, words, kept };
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for cue in FIELD.find_iter(text) {
        runs.extend(reader.starting_at(cue.end(), Certainty::Field));
    }
    for cue in CUE.captures_iter(text) {
        let end = cue.get(0).map_or(0, |whole| whole.end());
        let colon = cue.name("colon").is_some();
        // "Resident Smith" is a name, "Physician Discharge Summary" is none: a role needs its colon.
        if cue.name("role").is_some() && !colon {
            continue;
        }
        // "Dictated by: April Hunt" is a field like "Name:".
        let by = cue.get(0).is_some_and(|whole| whole.as_str().to_lowercase().contains(" by"));
        let certainty = if colon && by { Certainty::Field } else { Certainty::Likely };
        runs.extend(reader.starting_at(end, certainty));
        let lower_is_name = colon || call_follows(text, end);
        if lower_is_name {
            runs.extend(reader.lower_case_at(end));
        }
    }
    for found in CREDENTIAL.find_iter(text) {
        runs.extend(reader.ending_at(found.start()));
    }
    for found in AGED.find_iter(text) {
        let run = reader.ending_at(found.start());
        runs.extend(run.filter(|(first, past)| past - first >= 2));
    }
    for index in 0..words.len() {
        runs.extend(reader.titled(index));
        runs.extend(reader.given_and_surname(index));
    }
    for (first, past) in runs {
        found.extend(reader.span(first, past, known));
    }
    for line in TYPIST.captures_iter(text) {
        if let Some(initials) = line.get(1) {
            let key = fold(initials.as_str());
            found.push(Span {
                start: initials.start(),
                end: initials.end(),
                kind: Kind::Person,
                key,
            });
        }
    }
}

/// Whether a title or a cue stands right before word `index`: what follows is a name even when it is
/// spelled like a word.
pub(super) fn introduced(text: &str, words: &[Word], index: usize) -> bool {
    let Some(word) = words.get(index) else { return false };
    let title = index
        .checked_sub(1)
        .and_then(|at| words.get(at))
        .is_some_and(|before| is_title_before(text, before, word));
    // Cues are short: what stands further away is not "right before".
    let from = words.get(index.saturating_sub(6)).map_or(0, |w| w.start);
    let near = text.get(from..word.start).unwrap_or_default();
    let field = FIELD.find_iter(near).any(|cue| cue.end() == near.len());
    // "PATIENT MAY BENEFIT": among capitals, a person's role is not enough.
    let cue = CUE.captures_iter(near).any(|cue| {
        let role = cue.name("role").is_some();
        cue.get(0).is_some_and(|whole| whole.end() == near.len())
            && (word.shape == Shape::Capital || cue.name("colon").is_some() || !role)
    });
    title || (word.shape != Shape::Lower && (field || cue))
}
