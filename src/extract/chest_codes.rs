//! Procedure codes: chest radiographs, exams that include one, and look-alikes.
//!
//! LOINC: codes mapped to real CR and DX study descriptions in the MIDRC harmonisation table. CPT:
//! 71045 to 71048 and the codes they replaced in 2018, which archives still hold. RadLex Playbook,
//! SNOMED CT: as read in public sources. Several codes found in public code are wrong; take new ones
//! from a terminology server.

/// What a code says of an exam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodeClass {
    Chest,
    Mixed,
    Other,
}

const CHEST: &[&str] = &[
    // LOINC
    "36554-4",
    "36589-0",
    "42272-5",
    "36643-5",
    "30746-2",
    "30745-4",
    "24632-2",
    "36572-6",
    "24648-8",
    "36687-2",
    "103275-4",
    "30736-3",
    "24634-8",
    "30742-1",
    "44211-1",
    "41790-7",
    "24647-0",
    "42009-1",
    // CPT
    "71045",
    "71046",
    "71047",
    "71048",
    "71010",
    "71015",
    "71020",
    "71021",
    "71022",
    "71023",
    "71030",
    "71034",
    "71035",
    // RadLex Playbook
    "RPID2502",
    "RPID2503",
    "RPID2504",
    // SNOMED CT
    "399208008",
];

const MIXED: &[&str] = &[
    "42165-1", "103328-1", "103355-4", "42699-9", "42269-1", "83017-4", "71101", "71111", "74022",
    "RPID4678",
];

const OTHER: &[&str] = &["24627-2", "29252-4", "24628-0", "36813-4", "35889-5", "24630-6"];

/// What a code says; `None` for a code that says nothing we know.
pub(super) fn class_of(code: &str, system: &str) -> Option<CodeClass> {
    let code = code.trim();
    let is = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(code));
    if is(CHEST) {
        return Some(CodeClass::Chest);
    }
    if is(MIXED) {
        return Some(CodeClass::Mixed);
    }
    if is(OTHER) {
        return Some(CodeClass::Other);
    }
    let cpt = cpt(code)?;
    if cpt != code {
        return class_of(cpt, system);
    }
    // Five digits are CPT only if the system says so: local codes have five digits too.
    let system = system.trim().to_ascii_uppercase();
    let says_cpt =
        matches!(system.as_str(), "C4" | "CPT" | "CPT4" | "C5") || system.contains("AMA-ASSN.ORG");
    let radiology = matches!(cpt.parse::<u32>(), Ok(70_010..=79_999));
    (says_cpt && radiology).then_some(CodeClass::Other)
}

/// A CPT code without its modifier: `71046-26`, `71046TC`.
fn cpt(code: &str) -> Option<&str> {
    let head = code.get(..5).filter(|head| head.bytes().all(|b| b.is_ascii_digit()))?;
    let rest = code.get(5..)?;
    let modifier = rest.strip_prefix('-').unwrap_or(rest);
    let shaped = rest.is_empty()
        || (modifier.len() == 2 && modifier.bytes().all(|b| b.is_ascii_alphanumeric()));
    shaped.then_some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_with_and_without_modifiers() {
        assert_eq!(class_of("71046", ""), Some(CodeClass::Chest));
        assert_eq!(class_of("71046-26", "CPT4"), Some(CodeClass::Chest));
        assert_eq!(class_of("36643-5", "LN"), Some(CodeClass::Chest));
        assert_eq!(class_of("rpid2503", ""), Some(CodeClass::Chest));
        assert_eq!(class_of("71101", ""), Some(CodeClass::Mixed));
        assert_eq!(class_of("71260", "C4"), Some(CodeClass::Other));
        assert_eq!(class_of("24627-2", "http://loinc.org"), Some(CodeClass::Other));
    }

    #[test]
    fn a_local_number_says_nothing() {
        assert_eq!(class_of("71260", "L"), None);
        assert_eq!(class_of("IMG1259", ""), None);
        assert_eq!(class_of("710460", ""), None);
        assert_eq!(class_of("", ""), None);
    }

    #[test]
    fn the_lists_do_not_overlap() {
        let mut all: Vec<_> = CHEST.iter().chain(MIXED).chain(OTHER).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
