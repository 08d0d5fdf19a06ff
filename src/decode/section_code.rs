//! Codes that name a section of a report: OBX-3 suffixes, LOINC and DICOM section codes, local names.

use crate::extract::section_of_title;
use crate::report::SectionKind;

/// The section an identifier names; `None` for one that names the whole report or nothing we know.
///
/// `code` may carry a suffix after `&` (`71046&IMP`); `text` is the display name.
pub(super) fn section(code: &str, suffix: &str, text: &str) -> Option<SectionKind> {
    of_suffix(suffix)
        .or_else(|| of_suffix(code))
        .or_else(|| of_suffix(text))
        .or_else(|| of_code(code))
        .or_else(|| of_name(text))
        .or_else(|| of_name(code))
}

/// Whether a code is one that only reports of imaging carry (section or whole report).
pub(super) fn is_imaging_narrative(code: &str) -> bool {
    is_whole_report(code) || of_code(code).is_some()
}

/// Suffixes of HL7 v2 chapter 7 (one OBX per narrative component).
fn of_suffix(suffix: &str) -> Option<SectionKind> {
    Some(match suffix.trim() {
        "GDT" | "gdt" => SectionKind::Findings,
        "IMP" | "imp" => SectionKind::Impression,
        "REC" | "rec" => SectionKind::Recommendation,
        "ADT" | "adt" => SectionKind::Addendum,
        "TCM" => SectionKind::Technique,
        "ANT" | "PRC" | "DEV" | "CNP" => SectionKind::Exam,
        _ => return None,
    })
}

/// LOINC (DICOM CID 7001) and DICOM codes of sections.
fn of_code(code: &str) -> Option<SectionKind> {
    Some(match code.trim() {
        "59776-5" | "121071" | "121070" => SectionKind::Findings,
        "19005-8" | "55110-1" | "55112-7" | "121073" | "121077" => SectionKind::Impression,
        "55107-7" => SectionKind::Addendum,
        "18783-1" | "121075" => SectionKind::Recommendation,
        "55115-0" | "18785-6" | "121109" => SectionKind::Indication,
        "11329-0" | "55752-0" | "121060" => SectionKind::History,
        "18834-2" | "55114-3" | "121069" => SectionKind::Comparison,
        "55111-9" | "121065" => SectionKind::Technique,
        "73568-8" => SectionKind::Notification,
        _ => return None,
    })
}

/// LOINC codes of whole imaging reports (DICOM CID 7000).
fn is_whole_report(code: &str) -> bool {
    matches!(code.trim(), "18782-3" | "11528-7" | "18748-4" | "43468-8" | "18726-0" | "68604-8")
}

/// Local names (`IMPRESSION^Impression^L`). Names of the body of a report name no section: the
/// headings inside do.
fn of_name(name: &str) -> Option<SectionKind> {
    let name = name.trim();
    if name.len() > 60 || name.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if ["DIAGNOSTIC CODE", "MODIFIERS", "PROCEDURE", "PROCEDURES"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
    {
        return Some(SectionKind::Exam);
    }
    if name.eq_ignore_ascii_case("TECH COMMENT") {
        return Some(SectionKind::Technique);
    }
    let kind = section_of_title(name)?;
    let names_whole = kind == SectionKind::Findings
        && !name.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("find"));
    (!names_whole).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_loinc_and_local_names_agree() {
        assert_eq!(section("71046", "IMP", "XR CHEST"), Some(SectionKind::Impression));
        assert_eq!(section("", "GDT", ""), Some(SectionKind::Findings));
        assert_eq!(section("19005-8", "", "x"), Some(SectionKind::Impression));
        assert_eq!(section("I", "", "IMPRESSION"), Some(SectionKind::Impression));
        assert_eq!(section("H", "", "CLINICAL HISTORY"), Some(SectionKind::History));
        assert_eq!(section("D", "", "DIAGNOSTIC CODE"), Some(SectionKind::Exam));
    }

    #[test]
    fn names_of_the_whole_report_name_no_section() {
        for (code, text) in [
            ("R", "REPORT"),
            ("18782-3", "Radiology Study observation"),
            ("", ""),
            ("71046", "XR CHEST 2 VIEWS"),
        ] {
            assert_eq!(section(code, "", text), None, "{code} {text}");
        }
    }
}
