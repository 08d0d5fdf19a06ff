//! Is this a chest radiograph? By procedure codes, then by the words of the procedure, then by the
//! words the report begins with.

use serde::Serialize;

use super::ExtractPolicy;
use super::chest_codes::{self, CodeClass};
use crate::report::Procedure;

/// What kind of exam a report is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcedureClass {
    /// A radiograph of the chest.
    ChestRadiograph,
    /// A radiograph of the chest and something else.
    Mixed,
    /// Another exam.
    Other,
    /// Codes or names say chest radiograph, others contradict. It is labelled and flagged.
    Conflict,
    /// Nothing says what it is.
    Unknown,
}

/// What words say of an exam.
#[derive(Clone, Copy, Default)]
struct Words {
    chest: bool,
    /// A chest word that names the exam by itself: CXR.
    chest_radiograph: bool,
    radiography: bool,
    excluded: bool,
    mixed: bool,
    /// Another part of the body.
    elsewhere: bool,
    /// Words that are none of these.
    others: usize,
}

/// What decided whether an exam is a chest radiograph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChestReason {
    /// The configuration excludes the procedure code.
    ConfiguredExclusion,
    /// A procedure code is in a list of chest radiographs.
    ChestCode,
    /// The same, and its text names another part of the body besides.
    ChestCodeMixedText,
    /// The same, and another code, its text, the service section or the report's title says otherwise.
    ChestCodeContradicted,
    /// A procedure code covers the chest and something else.
    MixedCode,
    /// A procedure code is in a list of other exams.
    OtherCode,
    /// The procedure's text names another modality or a procedure.
    OtherWords,
    /// The service section (OBR-24, category) is another modality's.
    ServiceSection,
    /// The procedure's text names the chest and another part of the body.
    MixedWords,
    /// The procedure's text names a radiograph of the chest.
    ChestWords,
    /// The same, and the report's title says otherwise.
    ChestWordsContradicted,
    /// The procedure's text names another part of the body.
    OtherBodyPart,
    /// The procedure says nothing; the report's first words name the exam.
    ReportTitle,
    /// The procedure names the chest, and nothing says otherwise.
    ChestAlone,
    /// Nothing says what it is.
    Nothing,
}

/// Codes first: a code in an exclusion list and none in a chest list is another exam; a
/// chest code with a contradicting text is a conflict; then text.
pub(super) fn classify(
    procedure: &Procedure,
    header: &str,
    policy: &ExtractPolicy,
) -> ProcedureClass {
    decide(procedure, header, policy).0
}

/// The class, and what decided it.
pub(super) fn decide(
    procedure: &Procedure,
    header: &str,
    policy: &ExtractPolicy,
) -> (ProcedureClass, ChestReason) {
    let codes = || procedure.codings.iter();
    let listed = |list: &[String]| {
        codes().any(|c| list.iter().any(|own| own.trim().eq_ignore_ascii_case(c.code.trim())))
    };
    if listed(&policy.excluded_codes) {
        return (ProcedureClass::Other, ChestReason::ConfiguredExclusion);
    }
    let (mut chest, mut mixed, mut other) = (listed(&policy.chest_codes), false, false);
    for coding in codes() {
        match chest_codes::class_of(&coding.code, &coding.system) {
            Some(CodeClass::Chest) => chest = true,
            Some(CodeClass::Mixed) => mixed = true,
            Some(CodeClass::Other) => other = true,
            None => {}
        }
    }
    let mut words = Words::default();
    for coding in codes() {
        words.read(&coding.text);
        if coding.text.trim().is_empty() {
            words.read(&coding.code);
        }
    }
    let section = procedure.service_section.as_deref().unwrap_or_default();
    let section_excludes = matches!(
        section,
        "CT" | "NMR"
            | "NMS"
            | "MR"
            | "MRI"
            | "US"
            | "RUS"
            | "CUS"
            | "OUS"
            | "VUS"
            | "NM"
            | "PET"
            | "MG"
            | "MAM"
            | "RT"
            | "XRC"
            | "EC"
            | "CTH"
    );
    let section_radiography = matches!(section, "RAD" | "RX" | "CR" | "DX" | "XR" | "DR" | "IMG");
    let head = Words::of(header);
    if mixed {
        return (ProcedureClass::Mixed, ChestReason::MixedCode);
    }
    if chest {
        let contradicted = other
            || words.excluded
            || section_excludes
            || (words.elsewhere && !words.chest)
            || head.contradicts_chest();
        return match contradicted {
            true => (ProcedureClass::Conflict, ChestReason::ChestCodeContradicted),
            false if words.chest && words.mixed => {
                (ProcedureClass::Mixed, ChestReason::ChestCodeMixedText)
            }
            false => (ProcedureClass::ChestRadiograph, ChestReason::ChestCode),
        };
    }
    if other || words.excluded || section_excludes {
        let reason = if other {
            ChestReason::OtherCode
        } else if words.excluded {
            ChestReason::OtherWords
        } else {
            ChestReason::ServiceSection
        };
        return (ProcedureClass::Other, reason);
    }
    if words.chest && words.mixed {
        return (ProcedureClass::Mixed, ChestReason::MixedWords);
    }
    let by_words = words.chest_radiograph
        || (words.chest && (words.radiography || section_radiography || words.others == 0));
    if by_words {
        return if head.contradicts_chest() {
            (ProcedureClass::Conflict, ChestReason::ChestWordsContradicted)
        } else {
            (ProcedureClass::ChestRadiograph, ChestReason::ChestWords)
        };
    }
    if words.elsewhere || words.mixed {
        return (ProcedureClass::Other, ChestReason::OtherBodyPart);
    }
    by_header(head, words)
}

/// The report's own words, where the procedure's say nothing.
fn by_header(head: Words, procedure: Words) -> (ProcedureClass, ChestReason) {
    let chest = head.chest_radiograph || (head.chest && head.radiography);
    if chest && !head.excluded {
        let class =
            if head.mixed { ProcedureClass::Mixed } else { ProcedureClass::ChestRadiograph };
        return (class, ChestReason::ReportTitle);
    }
    let elsewhere = head.elsewhere && !head.chest && head.radiography;
    if (head.excluded && !head.radiography) || elsewhere {
        return (ProcedureClass::Other, ChestReason::ReportTitle);
    }
    if procedure.chest {
        (ProcedureClass::ChestRadiograph, ChestReason::ChestAlone)
    } else {
        (ProcedureClass::Unknown, ChestReason::Nothing)
    }
}

/// Whether a procedure is plainly another exam, under the default policy.
pub(crate) fn is_plainly_other(procedure: &Procedure) -> bool {
    classify(procedure, "", &ExtractPolicy::default()) == ProcedureClass::Other
}

/// Whether a name by itself says chest radiograph.
pub(crate) fn names_chest_radiograph(name: &str) -> bool {
    let words = Words::of(name);
    !words.excluded && (words.chest_radiograph || (words.chest && words.radiography))
}

impl Words {
    fn of(text: &str) -> Self {
        let mut words = Self::default();
        words.read(text);
        words
    }

    fn read(&mut self, text: &str) {
        let text = text.get(..text.len().min(400)).unwrap_or(text);
        let mut before_is_x = false;
        if !text.is_ascii() {
            let upper = text.to_uppercase();
            for word in upper.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
            {
                self.word(word, before_is_x);
                before_is_x = word == "X";
            }
            return;
        }
        let upper = text.to_ascii_uppercase();
        let mut from = 0;
        while from < upper.len() {
            let rest = upper.as_bytes().get(from..).unwrap_or_default();
            let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            if let Some(word) = upper.get(from..from + length)
                && !word.is_empty()
            {
                self.word(word, before_is_x);
                before_is_x = word == "X";
            }
            from += length + 1;
        }
    }

    fn word(&mut self, word: &str, before_is_x: bool) {
        // A number glued to a unit of counting: 2VIEWS, 1V, 2VW.
        let digits = word.bytes().take_while(u8::is_ascii_digit).count();
        let bare = word.get(digits..).unwrap_or_default();
        match bare {
            "" | "OF" | "THE" | "AND" | "WITH" | "WO" | "W" | "OR" => {}
            "ROUTINE" | "CHILD" | "CHILDREN" | "ADULT" | "EXAM" | "STUDY" | "ONLY"
            | "PEDIATRIC" | "PEDS" | "STAT" | "COMPLETE" | "LIMITED" | "MIN" | "OTHER" => {}
            "CHEST" | "THORAX" | "TORAX" | "TÓRAX" | "LUNG" | "LUNGS" | "THORAXAUFNAHME" => {
                self.chest = true;
            }
            "CXR" | "DPCXR" | "PCXR" | "CXRAY" => {
                self.chest = true;
                self.chest_radiograph = true;
            }
            "RAY" | "RAYS" if before_is_x => self.radiography = true,
            "X" => {}
            "XR" | "XRAY" | "XRAYS" | "DX" | "DXR" | "CR" | "DG" | "RX" | "RP" | "RAD"
            | "RADIOGRAPH" | "RADIOGRAPHS" | "RADIOGRAPHY" | "RADIOGRAFIA" | "RADIOGRAFÍA"
            | "RÖNTGEN" | "ROENTGEN" | "RÖ" | "RAIO" | "FILM" | "FILMS" | "PORT" | "PORTABLE"
            | "BEDSIDE" | "VIEW" | "VIEWS" | "VW" | "VWS" | "V" | "PA" | "AP" | "LAT"
            | "LATERAL" | "FRONTAL" | "DECUB" | "DECUBITUS" | "LORDOTIC" | "PLAIN" | "UPRIGHT"
            | "SUPINE" => self.radiography = true,
            "CT" | "CTA" | "CAT" | "HRCT" | "LDCT" | "CTPA" | "MR" | "MRI" | "MRA" | "PTMR"
            | "PETMR" | "PETCT" | "US" | "ULTRASOUND" | "SONO" | "SONOGRAM" | "ECHO"
            | "ECHOCARDIOGRAM" | "NM" | "PET" | "SPECT" | "VQ" | "FLUORO" | "FLUOROSCOPY"
            | "ANGIO" | "ANGIOGRAM" | "ANGIOGRAPHY" | "BIOPSY" | "BX" | "GUIDED" | "GUIDANCE"
            | "DRAIN" | "DRAINAGE" | "THORACENTESIS" | "MAMMO" | "MAMMOGRAM" | "MAMMOGRAPHY"
            | "DEXA" | "TOMOGRAPHY" | "MAGNETIC" | "BRONCHOSCOPY" | "SCINTIGRAPHY" => {
                self.excluded = true
            }
            "ABD" | "ABDOMEN" | "KUB" | "RIB" | "RIBS" | "STERNUM" | "CLAVICLE" | "SHOULDER"
            | "SPINE" | "BABYGRAM" | "SHUNT" => {
                self.mixed = true;
                self.elsewhere = true;
            }
            "KNEE" | "HAND" | "WRIST" | "ANKLE" | "FOOT" | "FEET" | "PELVIS" | "HIP" | "HIPS"
            | "SKULL" | "HEAD" | "BRAIN" | "NECK" | "ELBOW" | "FEMUR" | "TIBIA" | "FIBULA"
            | "HUMERUS" | "FOREARM" | "FINGER" | "FINGERS" | "TOE" | "TOES" | "SINUS"
            | "SINUSES" | "FACIAL" | "BREAST" | "BONE" | "UGI" | "BARIUM" | "ESOPHAGUS"
            | "CERVICAL" | "LUMBAR" | "SACRUM" | "HEEL" | "LEG" | "ARM" | "THUMB" | "MANDIBLE"
            | "ORBIT" | "ORBITS" | "LIVER" | "RENAL" | "KIDNEY" | "KIDNEYS" | "THYROID"
            | "PROSTATE" | "CARDIAC" | "ABDOMINAL" => self.elsewhere = true,
            _ => self.others += 1,
        }
    }

    /// The report's own title names another exam than a chest radiograph.
    const fn contradicts_chest(self) -> bool {
        self.excluded && !self.radiography && !self.chest_radiograph
    }
}

#[cfg(test)]
mod tests;
