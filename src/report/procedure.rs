//! The exam that a report is about, as its sender codes it.

/// A code with its text and coding system, as the sender wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coding {
    /// `71046`, `36643-5`.
    pub code: String,
    /// `XR CHEST 2 VIEWS`.
    pub text: String,
    /// HL7 table 0396 name or FHIR URI: `LN`, `C4`, `http://loinc.org`.
    pub system: String,
}

/// What was done: every coding and text that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Procedure {
    /// OBR-4 (both triplets), OBR-44, FHIR `code.coding`.
    pub codings: Vec<Coding>,
    /// Diagnostic service section (OBR-24, table 0074) or FHIR category code: `RAD`, `RX`, `CT`.
    pub service_section: Option<String>,
}

/// Most codings of one report: linked orders have a few each, and each is compared with all others.
const MOST_CODINGS: usize = 64;

impl Procedure {
    /// Adds a coding that says something and is not among them yet. `false` when there is no room for it.
    pub fn add(&mut self, coding: Coding) -> bool {
        let empty = coding.code.is_empty() && coding.text.is_empty();
        if empty || self.codings.contains(&coding) {
            return true;
        }
        let room = self.codings.len() < MOST_CODINGS;
        if room {
            self.codings.push(coding);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_kept_once_and_not_without_end() {
        let coding = |code: usize| Coding { code: code.to_string(), ..Coding::default() };
        let mut procedure = Procedure::default();
        assert!(procedure.add(Coding::default()), "empty");
        assert!(
            (0..MOST_CODINGS)
                .all(|code| procedure.add(coding(code)) && procedure.add(coding(code)))
        );
        assert_eq!(procedure.codings.len(), MOST_CODINGS);
        assert!(procedure.add(coding(0)), "known");
        assert!(!procedure.add(coding(MOST_CODINGS)));
    }
}
