//! The reports: patients, doctors, hospitals, and the ways people write about them.

#![allow(clippy::string_slice, reason = "what is cut is ASCII")]

use radstream::deidentify::{KnownIdentifier, KnownKind};
use radstream::report::SectionKind;

use super::pieces::{FAMILY, GIVEN, any_day, day, digits, initial, patterns};
use super::{Chance, Planted, Writer};

/// Surnames that are words, eponyms or devices.
const AMBIGUOUS: &[&str] = &[
    "May", "Long", "White", "Stone", "Bone", "Hart", "Young", "Little", "Foley", "Hampton",
    "Hickman", "Wood", "Rice", "Price", "Day", "Cross", "Grant", "Bell", "Chance", "Wilson",
];
/// Sentences whose words must all stay.
const BODY: &[&str] = &[
    "The lungs are clear without focal consolidation, effusion or pneumothorax.",
    "Heart size is at the upper limits of normal with a cardiothoracic ratio of 0.52.",
    "Right internal jugular Swan-Ganz catheter terminates in the main pulmonary artery.",
    "Foley catheter is noted, and a Dobhoff tube courses below the diaphragm.",
    "Kerley B lines suggest mild interstitial edema.",
    "Peripheral wedge opacity, possible Hampton hump, in the right lower lobe.",
    "Hickman catheter and Port-A-Cath tips project over the cavoatrial junction.",
    "Calcified Ghon focus and hilar nodes, unchanged.",
    "A 3.5 x 2 cm mass in the left upper lobe; a second nodule measures 1.2 cm.",
    "Harrington rods extend from T12-L1 and there is an old fracture of the left 6th rib.",
    "Posterolateral Bochdalek hernia, and an anterior Morgagni hernia cannot be excluded.",
    "Status post Nissen fundoplication with surgical clips at T10/T11.",
    "Findings may represent Wegener granulomatosis or Hodgkin lymphoma in the mediastinum.",
    "Stable long segment tracheal narrowing; the stent is white on this view.",
    "Degenerative change of the thoracic spine, grade 2/4, with osteopenia of bone.",
    "Image 3 of series 2 shows a gall stone; ribs 8-9-10 are intact.",
    "SpO2 was 92% on RA at 7/10 effort; oxygen at 2 L.",
    "Paget disease of the right clavicle, and an XXXX opacity at the left base.",
    "No acute osseous abnormality; Ewing sarcoma is not suspected.",
    "Minimal bibasilar atelectasis with a 5 mm calcified granuloma seen since 2015.",
    "Endotracheal tube is 4.5 cm above the carina and the ng tube is coiled in the stomach.",
    "Trace fluid in the minor fissure; the patient may benefit from a lateral view.",
    "A Chance fracture of L1 is possible; correlate with CT of the spine.",
    "Right hemidiaphragm elevated by 1-2 cm, with 10-20 mL of fluid estimated.",
    "Young adult with pectus excavatum; little change in cardiac silhouette.",
];

fn person(chance: &mut Chance) -> (&'static str, &'static str) {
    let ambiguous = chance.one_in(4);
    (chance.of(GIVEN), chance.of(if ambiguous { AMBIGUOUS } else { FAMILY }))
}

/// The report with that number.
pub(crate) fn report(seed: u64) -> Planted {
    let mut chance = Chance::new(seed);
    let c = &mut chance;
    let (given, family) = person(c);
    let middle = c.of(&["Q", "R", "", "T"]);
    let (doctor_given, doctor) = person(c);
    let (reader_given, reader) = person(c);
    let mrn = digits(c, 7 + (seed % 3) as usize);
    let accession = format!("{}{}", c.of(&["XR", "CR24-", "RAD", ""]), digits(c, 8));
    let born = (1930 + c.below(70), 1 + c.below(12), 1 + c.below(28));
    let phone = format!("{}{}", c.of(&["617", "312", "205"]), digits(c, 7));
    let hospital =
        c.of(&["Riverbend General Hospital", "St. Brendan Medical Center", "Kestrel Clinic"]);
    let street =
        format!("{} {} Street", digits(c, 3), c.of(&["Juniper", "Halsey", "Quincy Adams"]));
    let zip = digits(c, 5);

    let known = vec![
        KnownIdentifier::new(KnownKind::PatientName, format!("{family}^{given}^{middle}")),
        KnownIdentifier::new(KnownKind::PersonName, format!("{doctor}^{doctor_given}^^^DR^MD")),
        KnownIdentifier::new(KnownKind::PersonName, format!("{reader}^{reader_given}")),
        KnownIdentifier::new(KnownKind::Number, mrn.clone()),
        KnownIdentifier::new(KnownKind::Number, accession.clone()),
        KnownIdentifier::new(KnownKind::Date, format!("{}{:02}{:02}", born.0, born.1, born.2)),
        KnownIdentifier::new(KnownKind::Contact, phone.clone()),
        KnownIdentifier::new(KnownKind::Facility, hospital),
        KnownIdentifier::new(KnownKind::Address, format!("{street}^^Fernwick^MA^{zip}")),
    ];

    let mut w = Writer::default();
    header(c, &mut w, (given, family, middle), (&mrn, &accession), born);
    let mut sections = Vec::new();
    let mut body: Vec<&str> = BODY.to_vec();
    let sentences = 5 + c.below(5);
    for i in 0..sentences {
        let pick = c.below(body.len() as u64) as usize;
        w.template(body.swap_remove(pick));
        w.template(" ");
        if i % 2 == 0 {
            about_the_patient(c, &mut w, given, family);
            patterns(c, &mut w);
        }
    }
    sections.push((SectionKind::Findings, w.cut()));
    w.template("1. No acute cardiopulmonary process. ");
    about_doctors(c, &mut w, (doctor_given, doctor), (reader_given, reader));
    patterns(c, &mut w);
    patterns(c, &mut w);
    if c.one_in(2) {
        w.template("The patient can be reached at ");
        w.header("known phone", format!("({}) {}-{}", &phone[..3], &phone[3..6], &phone[6..]));
        w.template(". ");
    }
    if c.one_in(2) {
        w.template("Transferred from ");
        w.header("known facility", hospital.to_owned());
        w.template(". ");
    }
    if c.one_in(3) {
        w.template("Results mailed to ");
        w.header("known address", format!("{street}, Fernwick, MA {zip}"));
        w.template(". ");
    }
    sections.push((SectionKind::Impression, w.cut()));
    let style = c.below(10);
    Planted::new(sections, known, w.pieces, style)
}

fn header(
    c: &mut Chance,
    w: &mut Writer,
    (given, family, middle): (&str, &str, &str),
    (mrn, accession): (&str, &str),
    born: (u64, u64, u64),
) {
    if c.one_in(3) {
        return;
    }
    w.template(c.of(&["Patient Name: ", "PATIENT: ", "Patient: ", "Name: "]));
    let name = match c.below(4) {
        0 => format!("{given} {family}"),
        1 => format!("{family}, {given} {middle}"),
        2 => format!("{}, {}", family.to_uppercase(), given.to_uppercase()),
        _ => format!("{given} {middle} {family}").replace("  ", " "),
    };
    w.header("known name", name.trim().to_owned());
    w.template(c.of(&["\nMRN: ", "\nMedical Record Number: ", "\nMRN#", "\nPatient ID "]));
    w.header("known number", mrn.to_owned());
    w.template(c.of(&["\nDOB: ", "\nDate of Birth: ", "\nBorn "]));
    let birth = day(c, born.0, born.1, born.2);
    w.header("known date", birth);
    w.template(c.of(&["\nAccession: ", "\nAcc# ", "\nAccession Number: ", "\nExam "]));
    w.header("known number", accession.to_owned());
    w.template("\n");
}

fn about_the_patient(c: &mut Chance, w: &mut Writer, given: &str, family: &str) {
    // A name of two letters counts only in a context, like one that is a word.
    let word = AMBIGUOUS.contains(&family) || family.len() < 3;
    let choice = c.below(if word { 6 } else { 9 });
    let (before, name, after) = match choice {
        0 => ("Comparison with prior film of ", format!("{given} {family}"), " is limited. "),
        1 => ("Mr. ", family.to_owned(), " was imaged portably. "),
        2 => ("Again seen in ", format!("{family}, {given}"), " is scarring. "),
        3 => ("Discussed with Mrs. ", family.to_owned(), " at the bedside. "),
        4 => ("Outside film of ", format!("{}. {family}", initial(given)), " reviewed. "),
        5 => ("The film is labelled ", format!("{family} {given}"), ". "),
        6 => ("The lungs of ", family.to_lowercase(), " are unchanged. "),
        7 => ("This is ", format!("{family}'s"), " first study. "),
        _ => ("NOTE: ", family.to_uppercase(), " WAS ROTATED. "),
    };
    w.template(before);
    w.header("known name", name);
    w.template(after);
}

fn about_doctors(c: &mut Chance, w: &mut Writer, doctor: (&str, &str), reader: (&str, &str)) {
    w.template(c.of(&[
        "Discussed with Dr. ",
        "Findings were communicated to Dr. ",
        "Called to Dr ",
        "Referring physician: Dr. ",
    ]));
    w.header("known name", doctor.1.to_owned());
    w.template(c.of(&[" at ", " by phone at "]));
    let (hour, minute) = (c.below(24), c.below(60));
    let time = match c.below(3) {
        0 => format!("{hour:02}:{minute:02}"),
        1 => format!("{}:{minute:02} {}", hour % 12 + 1, c.of(&["PM", "am", "p.m."])),
        _ => format!("{hour:02}{minute:02} hours"),
    };
    w.pattern("time", time);
    w.template(" on ");
    let date = any_day(c);
    w.pattern("date", date);
    w.template(". Dictated by: ");
    w.header("known name", format!("{} {}", reader.0, reader.1));
    w.template(", M.D. ");
}
