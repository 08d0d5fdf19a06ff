//! A made-up hospital: an endless, seeded feed of radiology messages, with what must become of each.
//!
//! [`message`] is a pure function of seed and number, so a feed can be cut, resumed and checked
//! without state, and tests can use it as a workload. The prose is the project's own corpus
//! (`distill/corpus`); names, numbers and dates are drawn. No real person, place or identifier.

pub(super) mod dice;
mod fhir;
mod hl7;
mod order;
mod prose;
#[cfg(test)]
mod tests;

use dice::Dice;
use order::{Change, Order};

/// One record to produce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DemoMessage {
    /// Kafka key, as the sender would set it; one sender sets none.
    pub key: Option<Vec<u8>>,
    /// Kafka value.
    pub payload: Vec<u8>,
    /// What it is.
    pub kind: DemoKind,
}

/// How a sender lays a report out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layout {
    /// HL7 2.3 `ORU^R01`: one OBX a line of the report, headings in the text.
    Lines,
    /// HL7 2.5.1 `ORU^R01`: one OBX a section, named by `&GDT` and `&IMP`.
    Suffixes,
    /// HL7 2.4 `ORU^R01`: one OBX that repeats, `\.br\` within.
    Repetitions,
    /// HL7 2.3.1 `ORU^R01`: "See Comments" in the OBX, the report in NTE.
    Notes,
    /// HL7 2.5 `MDM^T02`: a document.
    Document,
    /// FHIR R4 DiagnosticReport with the text as attachment.
    FhirReport,
    /// FHIR R4 Bundle: DiagnosticReport, Observations by section, Patient.
    FhirBundle,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Self; 7] = [
        Self::Lines,
        Self::Suffixes,
        Self::Repetitions,
        Self::Notes,
        Self::Document,
        Self::FhirReport,
        Self::FhirBundle,
    ];
}

/// How a message is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// No bytes.
    Empty,
    /// Neither HL7 nor FHIR: a log line that strayed into the topic.
    Stray,
    /// HL7 cut within its header.
    CutHeader,
    /// FHIR cut within its JSON.
    CutJson,
    /// A report that nothing identifies.
    Anonymous,
    /// FHIR whose report has a number where text belongs.
    WrongType,
}

impl Fault {
    /// All faults.
    pub const ALL: [Self; 6] = [
        Self::Empty,
        Self::Stray,
        Self::CutHeader,
        Self::CutJson,
        Self::Anonymous,
        Self::WrongType,
    ];
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DemoKind {
    /// A chest radiograph report, first version.
    Report(Layout),
    /// The same bytes as an earlier report: a redelivery.
    Duplicate,
    /// A corrected version of an earlier report.
    Correction,
    /// An earlier report is withdrawn.
    Retraction,
    /// An earlier report becomes final, without its text.
    Promotion,
    /// CT of the chest.
    ChestCt,
    /// Radiograph of something else.
    OtherRadiograph,
    /// A laboratory result.
    Laboratory,
    /// An admission message.
    Admission,
    /// A chest report whose text is a placeholder.
    Placeholder,
    /// A chest report from a test system.
    Test,
    /// Cannot be read.
    Malformed(Fault),
}

impl DemoKind {
    /// Outcome that the pipeline must count for it.
    pub const fn expected_outcome(self) -> &'static str {
        match self {
            Self::Report(_) | Self::Duplicate | Self::Correction => "labelled",
            Self::Retraction => "retracted",
            Self::Promotion => "promoted",
            Self::ChestCt | Self::OtherRadiograph => "skipped_not_chest",
            Self::Laboratory | Self::Admission => "skipped_non_report",
            Self::Placeholder => "skipped_no_text",
            Self::Test => "skipped_test",
            Self::Malformed(_) => "dead_letter",
        }
    }

    /// Whether it speaks of a report that was sent before.
    const fn follows(self) -> bool {
        matches!(self, Self::Duplicate | Self::Correction | Self::Retraction | Self::Promotion)
    }
}

/// The mix, in thousandths; what is left are first reports.
///
/// A hospital's feed has fewer accidents. These shares let a demo of two thousand messages show
/// each of them, and leave the labelled reports, which cost the time, at four fifths.
const MIX: [(u32, DemoKind); 10] = [
    // Redelivery after a lost acknowledgement.
    (25, DemoKind::Duplicate),
    // About one report in thirty is corrected or gets an addendum.
    (30, DemoKind::Correction),
    (10, DemoKind::Retraction),
    (15, DemoKind::Promotion),
    // Interfaces are often filtered by department, not by exam.
    (45, DemoKind::ChestCt),
    (20, DemoKind::OtherRadiograph),
    (25, DemoKind::Laboratory),
    (15, DemoKind::Admission),
    (10, DemoKind::Placeholder),
    (10, DemoKind::Test),
];
/// Thousandths of messages that cannot be read: enough that every fault shows.
const MALFORMED: u32 = 15;

/// How far back a correction, duplicate, retraction or promotion looks for its report.
const LOOK_BACK: u64 = 200;

/// Seconds between two messages, by the made-up hospital's clock.
const SECONDS_APART: i64 = 7;
/// First second of that clock: 2026-01-05 08:00:00 UTC.
const FIRST_SECOND: i64 = 1_767_600_000;

/// Message `number` of the feed with this seed.
pub fn message(seed: u64, number: u64) -> DemoMessage {
    let kind = kind(seed, number);
    let base = if kind.follows() { earlier_report(seed, number, kind) } else { None };
    // Nothing to follow yet: a first report.
    let (kind, base) = match (kind.follows(), base) {
        (true, None) => (DemoKind::Report(layout(seed, number)), number),
        (_, Some(base)) => (kind, base),
        (false, None) => (kind, number),
    };
    if kind == DemoKind::Duplicate {
        return DemoMessage { kind, ..message(seed, base) };
    }
    let change = match kind {
        DemoKind::Correction => Change::Corrected,
        DemoKind::Retraction => Change::Withdrawn,
        DemoKind::Promotion => Change::Promoted,
        _ => Change::First,
    };
    let mut order = Order::draw(seed, base, second(base), second(number), change);
    order.preliminary = preliminary(seed, base);
    // A correction has another text; everything else of the order stays.
    order.prose = prose::pick(&mut Dice::new(seed, number, "prose"));
    let mut dice = Dice::new(seed, number, "message");
    let payload = match kind {
        DemoKind::Malformed(fault) => malformed(fault, &mut order, &mut dice),
        DemoKind::Laboratory => hl7::laboratory(&order, &mut dice).into_bytes(),
        DemoKind::Admission => hl7::admission(&order).into_bytes(),
        DemoKind::ChestCt => {
            order.make_chest_ct();
            render(layout(seed, base), &order)
        }
        DemoKind::OtherRadiograph => {
            order.make_other_radiograph(&mut dice);
            render(layout(seed, base), &order)
        }
        DemoKind::Placeholder => {
            order.make_placeholder();
            render(Layout::Suffixes, &order)
        }
        DemoKind::Test => {
            order.processing = "T";
            render(Layout::Suffixes, &order)
        }
        DemoKind::Promotion => hl7::promotion(&order).into_bytes(),
        _ => render(layout(seed, base), &order),
    };
    let keyed = layout(seed, base) != Layout::Notes && !matches!(kind, DemoKind::Malformed(_));
    let key = keyed.then(|| order.accession.clone().into_bytes());
    DemoMessage { key, payload, kind }
}

/// The whole feed, from number 0.
#[derive(Clone, Copy, Debug)]
pub struct Generator {
    seed: u64,
    next: u64,
}

impl Generator {
    /// The feed with this seed.
    pub const fn new(seed: u64) -> Self {
        Self { seed, next: 0 }
    }
}

impl Iterator for Generator {
    type Item = DemoMessage;

    fn next(&mut self) -> Option<DemoMessage> {
        let made = message(self.seed, self.next);
        self.next = self.next.wrapping_add(1);
        Some(made)
    }
}

/// Kind drawn for a number, before it is known whether there is something to follow.
fn kind(seed: u64, number: u64) -> DemoKind {
    let mut dice = Dice::new(seed, number, "kind");
    let mut rolled = dice.below(1000);
    for (share, kind) in MIX {
        if rolled < share {
            return kind;
        }
        rolled -= share;
    }
    if rolled < MALFORMED {
        return DemoKind::Malformed(*dice.pick(&Fault::ALL));
    }
    DemoKind::Report(layout(seed, number))
}

/// Layout of the sender of a report. HL7 is what most hospitals send.
fn layout(seed: u64, number: u64) -> Layout {
    const SHARES: [(u32, Layout); 6] = [
        (26, Layout::Suffixes),
        (20, Layout::Lines),
        (14, Layout::Repetitions),
        (10, Layout::Notes),
        (12, Layout::Document),
        (10, Layout::FhirBundle),
    ];
    let mut rolled = Dice::new(seed, number, "layout").below(100);
    for (share, layout) in SHARES {
        if rolled < share {
            return layout;
        }
        rolled -= share;
    }
    Layout::FhirReport
}

/// A first report before `number` that a message of this kind may speak of.
fn earlier_report(seed: u64, number: u64, follower: DemoKind) -> Option<u64> {
    let back = 1 + u64::from(Dice::new(seed, number, "base").below(60));
    let start = number.checked_sub(back)?;
    let stop = number.saturating_sub(LOOK_BACK);
    (stop..=start).rev().find(|&earlier| match kind(seed, earlier) {
        // Only HL7 results know a status change without text, and only a preliminary one needs it.
        DemoKind::Report(layout) if follower == DemoKind::Promotion => {
            is_result(layout) && preliminary(seed, earlier)
        }
        DemoKind::Report(_) => true,
        _ => false,
    })
}

const fn is_result(layout: Layout) -> bool {
    matches!(layout, Layout::Lines | Layout::Suffixes | Layout::Repetitions | Layout::Notes)
}

/// One report in eight is read by a resident first.
fn preliminary(seed: u64, number: u64) -> bool {
    Dice::new(seed, number, "preliminary").chance(12)
}

fn second(number: u64) -> i64 {
    let number = i64::try_from(number % 1_000_000_000).unwrap_or_default();
    FIRST_SECOND + number * SECONDS_APART
}

fn render(layout: Layout, order: &Order) -> Vec<u8> {
    match layout {
        Layout::FhirReport => fhir::report(order).to_string().into_bytes(),
        Layout::FhirBundle => fhir::bundle(order).to_string().into_bytes(),
        _ => hl7::report(layout, order),
    }
}

fn malformed(fault: Fault, order: &mut Order, dice: &mut Dice) -> Vec<u8> {
    match fault {
        Fault::Empty => Vec::new(),
        Fault::Stray => {
            let minute = dice.below(60);
            format!("08:{minute:02}:17 WARN interface engine: queue RAD_OUT is slow").into_bytes()
        }
        Fault::CutHeader => {
            let mut whole = hl7::report(Layout::Suffixes, order);
            whole.truncate(34);
            whole
        }
        Fault::CutJson => {
            let mut whole = fhir::report(order).to_string().into_bytes();
            whole.truncate(whole.len() / 2);
            whole
        }
        Fault::Anonymous => {
            order.forget_identity();
            hl7::report(Layout::Suffixes, order)
        }
        Fault::WrongType => {
            fhir::with(order, "presentedForm", serde_json::json!(17)).to_string().into_bytes()
        }
    }
}
