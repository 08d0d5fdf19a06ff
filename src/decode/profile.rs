//! Source profiles: what is special about the messages of one sender.
//!
//! A profile is found by who sent the message (MSH-3 and MSH-4, or the source of a FHIR resource)
//! and changes how it is read: where the text lives, which section a local code names, what a local
//! status code means, which field holds the accession number. Profiles are plain values; the
//! configuration reads and checks their files.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::status::Status;
use super::{charset, time};
use crate::report::SectionKind;

/// What is special about the messages of one sender. The default is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceProfile {
    /// Its name, as `explain` and findings show it.
    pub name: Arc<str>,
    /// MSH-3 (first component) of its HL7 v2 messages; `*` stands for any characters. `None`: the
    /// profile is not for HL7 v2.
    pub sending_application: Option<String>,
    /// MSH-4 (first component), the same way.
    pub sending_facility: Option<String>,
    /// Source of its FHIR resources: `meta.source` without its fragment, the MessageHeader's source,
    /// or the system of an identifier; `*` stands for any characters. `None`: not for FHIR.
    pub fhir_source: Option<String>,
    /// Character set of messages that declare none; before that of the configuration.
    pub default_charset: Option<String>,
    /// Zone of times without offset; before that of the configuration.
    pub time_zone: Option<String>,
    /// HL7 v2 field of the accession number; before OBR-3 and its usual stand-ins.
    pub accession: Option<FieldPath>,
    /// System of the FHIR identifier that is the accession number; before the usual ones.
    pub fhir_accession_system: Option<String>,
    /// Assigning authority of numbers that come without one, in place of the sending facility.
    pub authority: Option<String>,
    /// Which HL7 v2 segments hold report text.
    pub text_segments: TextSegments,
    /// When not empty: only observations with one of these identifiers are report text.
    pub text_codes: Vec<String>,
    /// Observations with one of these identifiers are no report text.
    pub ignored_codes: Vec<String>,
    /// Section of an observation identifier. [`SectionKind::Body`]: the headings inside decide.
    pub sections: Vec<(String, SectionKind)>,
    /// What a code in OBR-25 means here.
    pub statuses: Vec<(String, OrderStatus)>,
}

/// Segments that hold report text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextSegments {
    /// OBX, and NTE where they are the longer or the OBX only points to them.
    #[default]
    Both,
    /// OBX only: notes are remarks of the interface.
    Observations,
    /// NTE only: observations are headings or placeholders.
    Notes,
}

/// What a sender means by a code in OBR-25, as profile files write it (`no_result`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Ordered, scheduled or performed; no result yet.
    NoResult,
    /// Some results, not all.
    Partial,
    /// Read, not verified.
    Preliminary,
    /// Verified.
    Final,
    /// An addendum to what was sent before.
    Appended,
    /// Changed, extent not said.
    Amended,
    /// Replaces what was sent before.
    Corrected,
    /// What was sent before no longer holds.
    Cancelled,
}

impl OrderStatus {
    pub(super) const fn status(self) -> Status {
        match self {
            Self::NoResult => Status::NoResult,
            Self::Partial => Status::Partial,
            Self::Preliminary => Status::Preliminary,
            Self::Final => Status::Final,
            Self::Appended => Status::Appended,
            Self::Amended => Status::Amended,
            Self::Corrected => Status::Corrected,
            Self::Cancelled => Status::Withdrawn,
        }
    }
}

/// A field of an HL7 v2 segment, as people write it: `OBR-18`, `ZDS-1`, `OBR-20.2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    /// `OBR`.
    pub segment: [u8; 3],
    /// From 1.
    pub field: usize,
    /// From 1; 1 where it is not written.
    pub component: usize,
}

impl FieldPath {
    /// Reads `OBR-18` or `OBR-18.2`. `None` for anything else, and for segments that say nothing of
    /// one order: only OBR, ORC, TXA and Z-segments do.
    pub fn parse(text: &str) -> Option<Self> {
        let (segment, place) = text.trim().split_once('-')?;
        let segment: [u8; 3] = segment.as_bytes().try_into().ok()?;
        let of_order = matches!(&segment, b"OBR" | b"ORC" | b"TXA")
            || (segment.starts_with(b"Z") && segment.iter().all(u8::is_ascii_alphanumeric));
        let (field, component) = place.split_once('.').unwrap_or((place, "1"));
        let number = |text: &str| text.parse::<usize>().ok().filter(|n| (1..=999).contains(n));
        let path = Self { segment, field: number(field)?, component: number(component)? };
        of_order.then_some(path)
    }

    /// The segment's name.
    pub fn segment_name(&self) -> &str {
        std::str::from_utf8(&self.segment).unwrap_or("???")
    }

    /// Whether it is a segment of the site's own.
    pub(super) const fn is_local(&self) -> bool {
        self.segment[0] == b'Z'
    }
}

impl std::fmt::Display for FieldPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.segment_name(), self.field)?;
        if self.component > 1 {
            write!(f, ".{}", self.component)?;
        }
        Ok(())
    }
}

impl SourceProfile {
    /// A profile of that name which applies to nothing and changes nothing.
    pub fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            sending_application: None,
            sending_facility: None,
            fhir_source: None,
            default_charset: None,
            time_zone: None,
            accession: None,
            fhir_accession_system: None,
            authority: None,
            text_segments: TextSegments::Both,
            text_codes: Vec::new(),
            ignored_codes: Vec::new(),
            sections: Vec::new(),
            statuses: Vec::new(),
        }
    }

    /// Whether [`SourceProfile::time_zone`] is empty or names a zone this build can resolve.
    pub fn time_zone_is_known(&self) -> bool {
        self.time_zone.as_deref().is_none_or(|zone| time::zone(zone).is_some())
    }

    /// Whether [`SourceProfile::default_charset`] is empty or names a set we can read.
    pub fn default_charset_is_known(&self) -> bool {
        self.default_charset.as_deref().is_none_or(charset::is_known)
    }

    /// The section that the first of these identifiers in the map names. `Some(None)`: it names the
    /// whole report.
    pub(super) fn section<'c>(
        &self,
        identifiers: impl IntoIterator<Item = &'c str>,
    ) -> Option<Option<SectionKind>> {
        if self.sections.is_empty() {
            return None;
        }
        let kind = identifiers.into_iter().find_map(|identifier| {
            self.sections.iter().find(|(own, _)| same(own, identifier)).map(|(_, kind)| *kind)
        })?;
        Some((kind != SectionKind::Body).then_some(kind))
    }

    /// Whether an observation with these identifiers is report text here.
    pub(super) fn holds_text(&self, identifiers: &[&str]) -> bool {
        let listed = |list: &[String]| {
            list.iter().any(|own| identifiers.iter().any(|identifier| same(own, identifier)))
        };
        !listed(&self.ignored_codes) && (self.text_codes.is_empty() || listed(&self.text_codes))
    }

    /// What a code in OBR-25 means here, where the profile says so.
    pub(super) fn order_status(&self, code: &str) -> Option<Status> {
        let known = self.statuses.iter().find(|(own, _)| same(own, code))?;
        Some(known.1.status())
    }

    fn matches_hl7(&self, application: &str, facility: &str) -> bool {
        let given = |pattern: &Option<String>, value: &str| {
            pattern.as_deref().is_none_or(|pattern| matches(pattern, value))
        };
        (self.sending_application.is_some() || self.sending_facility.is_some())
            && given(&self.sending_application, application)
            && given(&self.sending_facility, facility)
    }

    /// How exact it is: an exact application before a pattern, then an exact facility, then the
    /// pattern that says more.
    fn exactness(&self) -> (bool, bool, usize, usize) {
        let exact = |p: &Option<String>| p.as_deref().is_some_and(|p| !p.contains('*'));
        let says = |p: &Option<String>| {
            p.as_deref().map_or(0, |p| p.chars().filter(|c| *c != '*').count())
        };
        (
            exact(&self.sending_application),
            exact(&self.sending_facility),
            says(&self.sending_application),
            says(&self.sending_facility),
        )
    }
}

/// Local codes are compared without case and surrounding space.
fn same(own: &str, code: &str) -> bool {
    own.trim().eq_ignore_ascii_case(code.trim())
}

/// Whether a value fits a pattern in which `*` stands for any characters.
fn matches(pattern: &str, value: &str) -> bool {
    let mut parts = pattern.trim().split('*');
    let Some(mut rest) = value.trim().strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// The profiles of an installation. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceProfiles(Arc<[SourceProfile]>);

impl SourceProfiles {
    /// Orders profiles so that the most exact one is found first.
    pub fn new(mut profiles: Vec<SourceProfile>) -> Self {
        profiles
            .sort_by(|a, b| b.exactness().cmp(&a.exactness()).then_with(|| a.name.cmp(&b.name)));
        Self(profiles.into())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, the most exact first.
    pub fn iter(&self) -> impl Iterator<Item = &SourceProfile> {
        self.0.iter()
    }

    /// The profile of an HL7 v2 sender.
    pub(super) fn of_hl7(&self, application: &str, facility: &str) -> Option<&SourceProfile> {
        self.0.iter().find(|profile| profile.matches_hl7(application, facility))
    }

    /// The profile of the first of these FHIR sources that has one.
    pub(super) fn of_fhir<'s>(
        &self,
        sources: impl IntoIterator<Item = &'s str>,
    ) -> Option<&SourceProfile> {
        if self.0.is_empty() {
            return None;
        }
        sources.into_iter().filter(|source| !source.is_empty()).find_map(|source| {
            let source = source.split('#').next().unwrap_or(source);
            let says =
                |p: &SourceProfile| p.fhir_source.as_ref().map_or(0, |p| p.replace('*', "").len());
            self.0
                .iter()
                .filter(|p| p.fhir_source.as_deref().is_some_and(|own| matches(own, source)))
                .max_by_key(|p| {
                    (p.fhir_source.as_deref().is_some_and(|own| !own.contains('*')), says(p))
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str, application: Option<&str>, facility: Option<&str>) -> SourceProfile {
        SourceProfile {
            sending_application: application.map(ToOwned::to_owned),
            sending_facility: facility.map(ToOwned::to_owned),
            ..SourceProfile::new(name)
        }
    }

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_does() {
        for (pattern, value, fits) in [
            ("*", "", true),
            ("RIS", "RIS", true),
            ("RIS", "RIS2", false),
            ("RIS*", "RIS2", true),
            ("*RIS", "MYRIS", true),
            ("A*B*C", "A-B-B-C", true),
            ("A*B*C", "A-C-B", false),
            ("AB*BA", "ABA", false),
            ("R?S", "RIS", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, value), fits, "{pattern} {value}");
        }
    }

    #[test]
    fn the_most_exact_profile_wins_whatever_the_order() {
        let all = vec![
            profile("any", Some("*"), Some("*")),
            profile("facility", Some("*"), Some("GENHOSP")),
            profile("application", Some("RIS"), None),
            profile("prefix", Some("RIS*"), None),
            profile("both", Some("RIS"), Some("GENHOSP")),
        ];
        let mut turned = all.clone();
        turned.reverse();
        for profiles in [SourceProfiles::new(all), SourceProfiles::new(turned)] {
            let of = |application, facility| {
                profiles.of_hl7(application, facility).map(|p| p.name.to_string())
            };
            assert_eq!(of("RIS", "GENHOSP").as_deref(), Some("both"));
            assert_eq!(of("RIS", "OTHER").as_deref(), Some("application"));
            assert_eq!(of("RIS2", "OTHER").as_deref(), Some("prefix"));
            assert_eq!(of("X", "GENHOSP").as_deref(), Some("facility"));
            assert_eq!(of("X", "Y").as_deref(), Some("any"));
        }
    }

    #[test]
    fn a_profile_for_fhir_is_none_for_hl7_and_the_other_way_round() {
        let fhir = SourceProfile {
            fhir_source: Some("https://ris.example.org*".to_owned()),
            ..SourceProfile::new("fhir")
        };
        let profiles = SourceProfiles::new(vec![fhir, profile("hl7", Some("*"), None)]);
        let of_fhir = |source| profiles.of_fhir([source]).map(|p| &*p.name);
        assert_eq!(of_fhir("https://ris.example.org/fhir#a1"), Some("fhir"));
        assert_eq!(of_fhir("urn:other"), None);
        assert_eq!(profiles.of_hl7("https://ris.example.org", "").map(|p| &*p.name), Some("hl7"));
    }

    #[test]
    fn field_paths_are_read_as_people_write_them() {
        let path = FieldPath::parse("OBR-18.2").expect("a field");
        assert_eq!((path.segment_name(), path.field, path.component), ("OBR", 18, 2));
        assert_eq!(path.to_string(), "OBR-18.2");
        assert_eq!(FieldPath::parse(" ZDS-1 ").map(|p| p.to_string()).as_deref(), Some("ZDS-1"));
        for wrong in ["OBR18", "OBR-0", "OBR-x", "PID-3", "obr-3", "OBR-3.0", "OBR-", "", "OBR-3-1"]
        {
            assert_eq!(FieldPath::parse(wrong), None, "{wrong}");
        }
    }
}
