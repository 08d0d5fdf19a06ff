//! One profile file: what can be written in it, and what is wrong with what was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::load::{NO_CHOICE, plain, put};
use crate::config::problem::{Problem, Problems};
use crate::config::source::{self, Known, Leaf, Origin};
use crate::decode::{FieldPath, OrderStatus, SourceProfile, TextSegments};
use crate::report::SectionKind;

/// Longest profile file, bytes.
const LONGEST_FILE: u64 = 1 << 20;
/// Longest name of a profile, which is also a label of metrics.
const LONGEST_NAME: usize = 64;
/// Where every key is explained.
const SHOWN_IN: &str = "docs/CONFIGURATION.md (Source profiles)";

/// What can be written in a profile. Everything may be left out but the sender. A test holds this and
/// the table in `docs/CONFIGURATION.md` together.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ProfileFile {
    /// MSH-3, first component.
    sending_application: String,
    /// MSH-4, first component.
    sending_facility: String,
    /// `meta.source`, MessageHeader source, or system of an identifier.
    fhir_source: String,
    default_charset: String,
    time_zone: String,
    /// `OBR-18`, `ZDS-1`, `OBR-20.2`.
    accession: String,
    fhir_accession_system: String,
    authority: String,
    text: TextTable,
    /// Observation identifier to section.
    sections: BTreeMap<String, SectionKind>,
    /// OBR-25 to what it means.
    status: BTreeMap<String, OrderStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct TextTable {
    segments: Vec<Segment>,
    codes: Vec<String>,
    ignored_codes: Vec<String>,
}

impl Default for TextTable {
    fn default() -> Self {
        Self {
            segments: vec![Segment::Obx, Segment::Nte],
            codes: Vec::new(),
            ignored_codes: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Segment {
    Obx,
    Nte,
}

/// Reads one profile file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(name: &str, path: &Path) -> Result<SourceProfile, Problems> {
    let mut reader = Reader::new(path);
    let text = match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > LONGEST_FILE => Err("it is longer than 1 MiB".to_owned()),
        _ => std::fs::read_to_string(path).map_err(|problem| problem.to_string()),
    };
    match text {
        Ok(text) => reader.take(&text),
        Err(problem) => reader.report(
            "",
            format!("the file cannot be read: {problem}"),
            "give this user the right to read it; it must be UTF-8",
        ),
    }
    reader.finish(name)
}

/// One file in the reading.
struct Reader {
    file: String,
    known: Known,
    merged: Value,
    origins: BTreeMap<String, Origin>,
    broken: BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Reader {
    fn new(path: &Path) -> Self {
        let defaults = serde_json::to_value(ProfileFile::default())
            .expect("a profile is plain values with text keys");
        Self {
            file: path.display().to_string(),
            known: Known { defaults: defaults.clone(), shown_in: SHOWN_IN },
            merged: defaults,
            origins: BTreeMap::new(),
            broken: BTreeSet::new(),
            problems: Vec::new(),
        }
    }

    /// Takes each key that reads well on its own; the others become problems.
    fn take(&mut self, text: &str) {
        let leaves = source::from_toml(text, &self.file, &self.known, &mut self.problems);
        for Leaf { path, value, origin } in leaves {
            let mut alone = self.known.defaults.clone();
            put(&mut alone, &path, value.clone());
            let key = path.join(".");
            match serde_json::from_value::<ProfileFile>(alone) {
                Ok(_) => {
                    put(&mut self.merged, &path, value);
                    self.origins.insert(key, origin);
                }
                Err(problem) => {
                    let what = plain(&problem.to_string());
                    let remedy = if what.starts_with(NO_CHOICE) {
                        "choose one of those".to_owned()
                    } else {
                        format!("see {SHOWN_IN}")
                    };
                    self.problems.push(origin.problem(what, remedy));
                    self.broken.insert(key);
                }
            }
        }
    }

    fn report(&mut self, key: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem {
            file: self.file.clone(),
            key: key.to_owned(),
            line: self.origins.get(key).and_then(|origin| origin.line),
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    fn finish(mut self, name: &str) -> Result<SourceProfile, Problems> {
        let file: ProfileFile = serde_json::from_value(self.merged.clone())
            .expect("each key was read on its own over the defaults");
        let profile = self.profile(name, &file);
        if self.problems.is_empty() {
            return Ok(profile);
        }
        self.problems.sort_by_key(|problem| problem.line.unwrap_or(usize::MAX));
        Err(Problems(self.problems))
    }

    /// Checks the values against each other and gives the profile they describe.
    fn profile(&mut self, name: &str, file: &ProfileFile) -> SourceProfile {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let shaped = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if name.is_empty() || name.len() > LONGEST_NAME || !shaped {
            self.report(
                "",
                format!("{name:?} cannot be the name of a profile"),
                "rename the file: letters, digits, '.', '_' and '-', at most 64",
            );
        }
        let profile = SourceProfile {
            sending_application: given(&file.sending_application),
            sending_facility: given(&file.sending_facility),
            fhir_source: given(&file.fhir_source),
            default_charset: given(&file.default_charset),
            time_zone: given(&file.time_zone),
            accession: FieldPath::parse(&file.accession),
            fhir_accession_system: given(&file.fhir_accession_system),
            authority: given(&file.authority),
            text_segments: match file.text.segments.as_slice() {
                [Segment::Obx] => TextSegments::Observations,
                [Segment::Nte] => TextSegments::Notes,
                _ => TextSegments::Both,
            },
            text_codes: file.text.codes.clone(),
            ignored_codes: file.text.ignored_codes.clone(),
            sections: file.sections.iter().map(|(code, kind)| (code.clone(), *kind)).collect(),
            statuses: file.status.iter().map(|(code, status)| (code.clone(), *status)).collect(),
            ..SourceProfile::new(name)
        };
        self.check(file, &profile);
        profile
    }

    fn check(&mut self, file: &ProfileFile, profile: &SourceProfile) {
        let keys = ["sending_application", "sending_facility", "fhir_source"];
        let named = profile.sending_application.is_some()
            || profile.sending_facility.is_some()
            || profile.fhir_source.is_some();
        // After an error of syntax or a refused value, what is missing is no news.
        if !named && self.problems.is_empty() && !keys.iter().any(|key| self.broken.contains(*key))
        {
            self.report(
                "sending_application",
                "the profile names no sender",
                "write sending_application (MSH-3), sending_facility (MSH-4) or fhir_source; \"*\" is any",
            );
        }
        if !profile.default_charset_is_known() {
            self.report(
                "default_charset",
                format!("{:?} is not a character set that can be read", file.default_charset),
                "write an HL7 table 0211 name (\"8859/1\", \"UNICODE UTF-8\") or \"windows-1252\"",
            );
        }
        if !profile.time_zone_is_known() {
            self.report(
                "time_zone",
                format!("{:?} is not a time zone that can be read", file.time_zone),
                "write an IANA name (\"Europe/Paris\"), \"UTC\", an offset (\"+01:00\") or a POSIX rule",
            );
        }
        if profile.accession.is_none() && !file.accession.trim().is_empty() {
            self.report(
                "accession",
                format!("{:?} is not a field that belongs to an order", file.accession),
                "write a field of OBR, ORC, TXA or a Z-segment: \"OBR-18\", \"ZDS-1\", \"OBR-20.2\"",
            );
        }
        if file.text.segments.is_empty() {
            self.report(
                "text.segments",
                "no segment holds text",
                "write [\"OBX\"], [\"NTE\"] or [\"OBX\", \"NTE\"]",
            );
        }
        let ignored = &file.text.ignored_codes;
        let both =
            |code: &&String| ignored.iter().any(|own| own.trim().eq_ignore_ascii_case(code.trim()));
        for code in file.text.codes.iter().filter(both) {
            self.report(
                "text.ignored_codes",
                format!("{code:?} stands in text.codes as well"),
                "keep it in one of them",
            );
        }
        for (table, codes) in [
            ("sections", file.sections.keys().collect::<Vec<_>>()),
            ("status", file.status.keys().collect()),
        ] {
            let mut seen = BTreeSet::new();
            for code in codes {
                if !seen.insert(code.trim().to_ascii_uppercase()) {
                    self.report(
                        &format!("{table}.{code}"),
                        "another key differs from it in case or space only",
                        "keep one of them; codes are compared without case",
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_explains_every_key_and_no_other() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/CONFIGURATION.md");
        let documentation = std::fs::read_to_string(path).unwrap();
        let (_, table) = documentation.split_once("| key of a profile |").unwrap();
        let (table, _) = table.split_once("\n\n").unwrap();
        let documented: BTreeSet<String> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .map(ToOwned::to_owned)
            .collect();
        let defaults = serde_json::to_value(ProfileFile::default()).unwrap();
        let known = Known { defaults, shown_in: SHOWN_IN };
        assert_eq!(documented, known.paths().into_iter().collect());
    }
}
