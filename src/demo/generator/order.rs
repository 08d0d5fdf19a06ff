//! Who and what a message speaks of: a drawn patient, order, exam and doctor.

use jiff::Timestamp;

use super::dice::Dice;
use super::prose::{self, Prose};

const FAMILY: [&str; 24] = [
    "Alder",
    "Birchall",
    "Calloway",
    "Drummond",
    "Eastley",
    "Fenwick",
    "Garrow",
    "Hollis",
    "Inverness",
    "Jessup",
    "Kestrel",
    "Larkin",
    "Merrow",
    "Núñez",
    "Oakes",
    "Penhale",
    "Quill",
    "Rowntree",
    "Sorrel",
    "Thistlewood",
    "Umber",
    "Vael",
    "Wren",
    "Yarrow",
];
const GIVEN: [&str; 20] = [
    "Ada", "Bram", "Celia", "Dorian", "Edda", "Felix", "Greta", "Hugo", "Iris", "Jonas", "Klara",
    "Leo", "Mina", "Noël", "Odile", "Piet", "Runa", "Silas", "Tilda", "Viggo",
];
/// Assigning authority and facility of each sender.
const FACILITIES: [(&str, &str); 4] =
    [("NGH", "NORTHGATE"), ("LVM", "LAKEVIEW"), ("SCR", "STCLARE"), ("HFC", "HARBOR CLINIC")];
const INDICATIONS: [&str; 10] = [
    "Cough and fever, rule out pneumonia",
    "Shortness of breath",
    "Chest pain",
    "Line placement",
    "Preoperative evaluation",
    "Fall, rule out rib fracture",
    "History of heart failure",
    "Follow up of pneumothorax",
    "Weight loss, smoker, evaluate for mass",
    "Fever of unknown origin",
];
/// A procedure as its sender codes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exam {
    /// Local or CPT code.
    pub(super) code: &'static str,
    /// Its text.
    pub(super) text: &'static str,
    /// Table 0396 name of the coding system.
    pub(super) system: &'static str,
    /// LOINC code, when there is one.
    pub(super) loinc: &'static str,
    /// Heading of the text.
    pub(super) title: &'static str,
    /// Diagnostic service section, table 0074.
    pub(super) section: &'static str,
}

/// Chest radiographs: CPT, local codes, old CPT.
const CHEST: [Exam; 5] = [
    exam("71046", "XR CHEST 2 VIEWS", "C4", "36643-5", "CHEST RADIOGRAPH, PA & LATERAL"),
    exam("71045", "XR CHEST 1 VIEW PORTABLE", "C4", "36589-0", "PORTABLE CHEST RADIOGRAPH"),
    exam("XRCH1V", "CHEST 1V AP", "L", "36572-6", "CHEST, AP VIEW"),
    exam("71020", "CHEST PA/LAT", "C4", "42272-5", "CHEST, PA AND LATERAL"),
    exam("RAD12", "XR CHEST PA AND LATERAL", "L", "42272-5", "TWO VIEW CHEST"),
];
const CHEST_CT: Exam = Exam {
    section: "CT",
    ..exam("71260", "CT CHEST W CONTRAST", "C4", "24628-0", "CT OF THE CHEST WITH CONTRAST")
};
const OTHER: [Exam; 3] = [
    exam("73562", "XR KNEE 3 VIEWS LEFT", "C4", "30788-4", "LEFT KNEE, THREE VIEWS"),
    exam("73110", "XR WRIST 3 VIEWS RIGHT", "C4", "37370-4", "RIGHT WRIST, THREE VIEWS"),
    exam("72100", "XR LUMBAR SPINE 2 VIEWS", "C4", "24972-2", "LUMBAR SPINE, TWO VIEWS"),
];

const fn exam(
    code: &'static str,
    text: &'static str,
    system: &'static str,
    loinc: &'static str,
    title: &'static str,
) -> Exam {
    Exam { code, text, system, loinc, title, section: "RAD" }
}

static CT_PROSE: Prose = Prose { findings: String::new(), impression: String::new() };

/// Which version of the report a message carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The first.
    First,
    /// Replaces the first.
    Corrected,
    /// Withdraws it.
    Withdrawn,
    /// Makes it final without sending it again.
    Promoted,
}

/// Everything that the layouts render.
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) accession: String,
    pub(super) placer: String,
    pub(super) authority: &'static str,
    pub(super) facility: &'static str,
    pub(super) patient: (&'static str, &'static str),
    pub(super) patient_id: String,
    pub(super) birth: String,
    pub(super) sex: &'static str,
    pub(super) doctor: (&'static str, &'static str),
    pub(super) orderer: (&'static str, &'static str),
    pub(super) exam: Exam,
    pub(super) indication: &'static str,
    pub(super) prose: &'static Prose,
    /// Text that stands in for the prose.
    pub(super) instead: Option<&'static str>,
    pub(super) change: Change,
    /// First version was preliminary.
    pub(super) preliminary: bool,
    /// MSH-11.
    pub(super) processing: &'static str,
    /// Exam and change, seconds since 1970.
    examined: i64,
    changed: i64,
}

impl Order {
    pub(super) fn draw(seed: u64, number: u64, examined: i64, now: i64, change: Change) -> Self {
        let mut dice = Dice::new(seed, number, "order");
        let (authority, facility) = *dice.pick(&FACILITIES);
        let person = |dice: &mut Dice| (*dice.pick(&FAMILY), *dice.pick(&GIVEN));
        let patient = person(&mut dice);
        let (year, month, day) = (1930 + dice.below(75), 1 + dice.below(12), 1 + dice.below(28));
        Self {
            number,
            accession: format!("DEMO-{number}"),
            placer: format!("DEMO-P{number}"),
            authority,
            facility,
            patient,
            patient_id: format!("DEMO-M{:06}", dice.below(40_000)),
            birth: format!("{year:04}{month:02}{day:02}"),
            sex: if dice.chance(50) { "F" } else { "M" },
            doctor: person(&mut dice),
            orderer: person(&mut dice),
            exam: *dice.pick(&CHEST),
            indication: *dice.pick::<&str>(&INDICATIONS),
            prose: prose::pick(&mut dice),
            instead: None,
            change,
            preliminary: false,
            processing: "P",
            examined: examined - 900,
            changed: now,
        }
    }

    pub(super) fn make_chest_ct(&mut self) {
        self.exam = CHEST_CT;
        self.instead = Some(
            "No pulmonary embolism. 6 mm nodule in the right upper lobe. Small left effusion with \
             compressive atelectasis.",
        );
        self.prose = &CT_PROSE;
    }

    pub(super) fn make_other_radiograph(&mut self, dice: &mut Dice) {
        self.exam = *dice.pick(&OTHER);
        self.instead = Some("No acute fracture or dislocation. Mild degenerative change.");
        self.prose = &CT_PROSE;
    }

    pub(super) fn make_placeholder(&mut self) {
        self.instead = Some("See report.");
        self.prose = &CT_PROSE;
    }

    pub(super) fn forget_identity(&mut self) {
        self.accession.clear();
        self.placer.clear();
    }

    /// Findings and impression as the layouts print them; one may be empty.
    pub(super) fn texts(&self) -> (&str, &str) {
        match self.instead {
            Some(text) => ("", text),
            None => (self.prose.findings.trim(), self.prose.impression.trim()),
        }
    }

    /// The whole report as text, with headings.
    pub(super) fn document(&self) -> String {
        if self.instead.is_some_and(|text| text.len() < 20) {
            return self.texts().1.to_owned();
        }
        let (findings, impression) = self.texts();
        let mut text = format!(
            "EXAM: {}\n\nINDICATION: {}.\n\nCOMPARISON: None available.\n",
            self.exam.title, self.indication
        );
        for (heading, body) in [("FINDINGS", findings), ("IMPRESSION", impression)] {
            if !body.is_empty() {
                text.push_str(&format!("\n{heading}:\n{body}\n"));
            }
        }
        let (family, given) = self.doctor;
        text.push_str(&format!("\nElectronically signed by {given} {family}, MD"));
        text
    }

    /// OBR-25, OBX-11.
    pub(super) const fn hl7_status(&self) -> &'static str {
        match self.change {
            Change::First if self.preliminary => "P",
            Change::First | Change::Promoted => "F",
            Change::Corrected => "C",
            Change::Withdrawn => "X",
        }
    }

    pub(super) const fn fhir_status(&self) -> &'static str {
        match self.change {
            Change::First if self.preliminary => "preliminary",
            Change::First | Change::Promoted => "final",
            Change::Corrected => "corrected",
            Change::Withdrawn => "entered-in-error",
        }
    }

    /// `20260105080000`.
    pub(super) fn examined_hl7(&self) -> String {
        formatted(self.examined, "%Y%m%d%H%M%S")
    }

    pub(super) fn changed_hl7(&self) -> String {
        formatted(self.changed, "%Y%m%d%H%M%S")
    }

    /// `2026-01-05T08:00:00Z`.
    pub(super) fn examined_fhir(&self) -> String {
        formatted(self.examined, "%Y-%m-%dT%H:%M:%SZ")
    }

    pub(super) fn changed_fhir(&self) -> String {
        formatted(self.changed, "%Y-%m-%dT%H:%M:%SZ")
    }
}

fn formatted(second: i64, format: &str) -> String {
    Timestamp::from_second(second).unwrap_or_default().strftime(format).to_string()
}
