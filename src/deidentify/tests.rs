use proptest::prelude::*;

use super::*;
use crate::report::SectionKind;

fn body(text: &str) -> Vec<LabelledSection> {
    vec![LabelledSection { kind: SectionKind::Body, text: Phi::from(text) }]
}

fn text_of(result: &Deidentified) -> String {
    result.sections().iter().map(|section| section.text.expose().as_str()).collect()
}

/// By patterns alone.
fn plain(text: &str) -> String {
    text_of(&Deidentifier::without_message().apply(&body(text), &[]).expect("not refused"))
}

fn knowing(kind: KnownKind, values: &[&str], text: &str) -> String {
    let known: Vec<_> = values.iter().map(|value| KnownIdentifier::new(kind, *value)).collect();
    text_of(&Deidentifier::without_message().apply(&body(text), &known).expect("not refused"))
}

fn patient(name: &str, text: &str) -> String {
    knowing(KnownKind::PatientName, &[name], text)
}

#[test]
fn a_known_name_goes_in_any_case_and_order() {
    for text in [
        "Film of Jane Kowalczyk today.",
        "Film of KOWALCZYK, JANE today.",
        "Film of kowalczyk jane q today.",
        "Film of J. Kowalczyk today.",
        "Film of JQ Kowalczyk today.",
        "Film of Kowalczyk, J. Q today.",
        "Film of Jane Q. Kowalczyk today.",
        "Film of jkowalczyk today.",
    ] {
        assert_eq!(patient("KOWALCZYK^JANE^Q", text), "Film of Person A today.", "{text}");
    }
    assert_eq!(patient("KOWALCZYK^JANE", "Mrs. Kowalczyk's film"), "Mrs. Person A's film");
}

#[test]
fn a_known_name_of_several_parts_goes_whole_and_in_parts() {
    let cases = [
        ("Smith-Osei^Ana", "Ana Smith-Osei; Smith Osei; osei", "Person A; Person A; Person A"),
        ("O'Neil^Pat", "O'Neil; ONeil and o’neil", "Person A; Person A and Person A"),
        ("van der Berg^Tom", "Tom van der Berg; BERG", "Person A; Person A"),
        ("Müller^Zoë", "Zoe Muller; Zoë Müller", "Person A; Person A"),
        ("Garcia Lopez^Eva", "Garcia Lopez; Lopez; E. García", "Person A; Person A; Person A"),
        ("Sandoz^Sam", "Sandoz's, SANDOZ'S", "Person A's, Person A'S"),
    ];
    for (name, text, wanted) in cases {
        assert_eq!(patient(name, text), wanted, "{name}");
    }
}

#[test]
fn a_known_name_is_not_cut_out_of_other_words() {
    assert_eq!(patient("Tran^Li", "transverse line, tranquil"), "transverse line, tranquil");
    assert_eq!(patient("Hill^Al", "hilum, also alveolar"), "hilum, also alveolar");
}

#[test]
fn names_that_are_words_go_only_where_they_are_names() {
    let cases = [
        ("Stone^May", "A gall stone may be present.", "A gall stone may be present."),
        (
            "Stone^May",
            "Stone in the gallbladder. May be old.",
            "Stone in the gallbladder. May be old.",
        ),
        ("Stone^May", "Film of May Stone today.", "Film of Person A today."),
        ("Stone^May", "STONE, MAY: NO STONE.", "Person A: NO STONE."),
        ("Long^Will", "Mr. Long will need a long tube.", "Mr. Person A will need a long tube."),
        (
            "White^Jo",
            "Discussed with patient White at bedside.",
            "Discussed with patient Person A at bedside.",
        ),
        ("Bone^Tim", "Bone island. Bone Scan of Tim Bone.", "Bone island. Bone Scan of Person A."),
        ("Hart^Amy", "Ms. Hart has a hart.", "Ms. Person A has a hart."),
        ("Nodule^Mass", "Mass in the lung. Nodule, Mass.", "Mass in the lung. Person A."),
        (
            "Foley^Ed",
            "Foley catheter. Foley in place. Mr. Foley.",
            "Foley catheter. Foley in place. Mr. Person A.",
        ),
        ("Wilson^Bea", "Wilson disease in Wilson.", "Wilson disease in Person A."),
    ];
    for (name, text, wanted) in cases {
        assert_eq!(patient(name, text), wanted, "{name}: {text}");
    }
}

#[test]
fn known_numbers_go_in_any_grouping() {
    let number = |value, text: &str| knowing(KnownKind::Number, &[value], text);
    assert_eq!(
        number("00123456", "ref 123456, 0123456, 12-34-56"),
        "ref Number A, Number A, Number A"
    );
    assert_eq!(number("A-12345", "Film A12345 and a-12345."), "Film Number A and Number A.");
    assert_eq!(number("12345", "A 12345 and 212345"), "A Number A and Number B");
    assert_eq!(
        knowing(
            KnownKind::Contact,
            &["(617)555-0199", "j.doe@example.org"],
            "617 555 0199, 5550199, J.Doe@Example.org"
        ),
        "Phone A, Phone A, Email A"
    );
}

#[test]
fn known_dates_places_and_facilities_go() {
    assert_eq!(knowing(KnownKind::Date, &["19450312101500"], "born 03121945"), "born Date A");
    assert_eq!(
        knowing(
            KnownKind::Address,
            &["12 Quay Lane^^Fernwick^MA^02139"],
            "from Fernwick 02139, 12 QUAY LANE"
        ),
        "from Address A Address A, Address A"
    );
    assert_eq!(
        knowing(
            KnownKind::Facility,
            &["Kestrel General Hospital"],
            "seen at KESTREL and at the hospital"
        ),
        "seen at Facility A and at the hospital"
    );
}

#[test]
fn dates_go_and_the_same_day_stays_the_same() {
    assert_eq!(
        plain("Compared to 03/01/2024, 2024-03-01, March 1, 2024, 1 Mar 2024 and 3/2/24."),
        "Compared to Date A, Date A, Date A, Date A and Date B."
    );
    for (text, wanted) in [
        ("Prior of 07/01/19.", "Prior of Date A."),
        ("since March 2020, and since 2015", "since Date A, and since 2015"),
        ("age (born 1930)", "age (born Date A)"),
        ("the 3rd of March 2024", "the Date A"),
        ("03MAR2024", "Date A"),
        ("compared with 3/14", "compared with Date A"),
        ("on Monday at 14:05", "on Date A at Time A"),
        ("called at 1405 hours", "called at Time A"),
        ("at 2:05 p.m. by phone", "at Time A by phone"),
        ("in April it was stable", "in Date A it was stable"),
    ] {
        assert_eq!(plain(text), wanted, "{text}");
    }
}

#[test]
fn numbers_and_addresses_by_pattern() {
    for (text, wanted) in [
        ("MRN: 1234567", "MRN: Number A"),
        ("Accession Number: XR24-0012", "Accession Number: Number A"),
        ("SSN 219-68-3947", "SSN Number A"),
        ("account # 77881", "account # Number A"),
        ("Call (617) 555-0199 x12", "Call Phone A"),
        ("fax: 617.555.0199", "fax: Phone A"),
        ("pager 4417", "pager Phone A"),
        ("mail a.b@example.org now", "mail Email A now"),
        ("see https://pacs.example.org/s?id=1 now", "see Link A now"),
        ("from 10.2.33.4", "from Link A"),
        ("study 1.2.840.113619.2.55.3", "study Number A"),
        ("serial number PJN123456H", "serial number Device A"),
        ("lives at 12 Elm Street, Fernwick, MA 02139", "lives at Address A"),
        ("at 12 Elm Avenue. Visit ID: 67-5151", "at Address A. Visit ID: Number A"),
        ("P.O. Box 123", "Address A"),
        ("from Fernwick, MA 02139", "from Address A"),
        ("at Larchmere Medical Center yesterday", "at Facility A yesterday"),
    ] {
        assert_eq!(plain(text), wanted, "{text}");
    }
}

#[test]
fn ages_over_89_go() {
    for (text, wanted) in [
        ("92-year-old man", "over 89-year-old man"),
        ("Age: 99 years", "Age: over 89 years"),
        ("a 101 y.o. woman", "a over 89 y.o. woman"),
        ("ninety-two year old", "over 89 year old"),
        ("89-year-old", "89-year-old"),
        ("SpO2 92%", "SpO2 92%"),
    ] {
        assert_eq!(plain(text), wanted);
    }
}

#[test]
fn names_by_title_cue_and_credential() {
    for (text, wanted) in [
        ("Discussed with Dr. Smith at 14:05.", "Discussed with Dr. Person A at Time A."),
        ("Mr Jones and Mrs. de la Cruz", "Mr Person A and Mrs. Person B"),
        ("Drs. Osei and Tanaka", "Drs. Person A and Person B"),
        ("seen by Dr.Smith0", "seen by Dr.Person A 0"),
        ("DR SMITH AT THE BEDSIDE", "DR Person A AT THE BEDSIDE"),
        (
            "Dictated by: Deborah Cervantes Interpreter, M.D.",
            "Dictated by: Person A Interpreter, M.D.",
        ),
        ("Dictated by: April Hunt Interpreter", "Dictated by: Person A Interpreter"),
        ("Requested By: Hunt,Ana B. M.D.", "Requested By: Person A. M.D."),
        ("Reviewed by: Radiology", "Reviewed by: Radiology"),
        ("Patient's Name: LATTE, MONICA", "Patient's Name: Person A"),
        ("Electronically signed by May Stone, MD", "Electronically signed by Person A, MD"),
        ("read by john okonkwo at 10:00", "read by Person A at Time A"),
        ("Jack Reacher, 54 y.o. male", "Person A, 54 y.o. male"),
        ("her daughter Anna Petrova", "her daughter Person A"),
        ("Dr. Foley placed a Foley.", "Dr. Person A placed a Foley."),
        ("Discussed with the ordering physician.", "Discussed with the ordering physician."),
        ("Reviewed by Radiology.", "Reviewed by Radiology."),
        ("MR chest, MS patient, 5 ms", "MR chest, MS patient, 5 ms"),
        ("Seen by Dr. XXXX and Dr. ___.", "Seen by Dr. XXXX and Dr. ___."),
    ] {
        assert_eq!(plain(text), wanted, "{text}");
    }
}

#[test]
fn medicine_stays() {
    for text in [
        "Foley, Swan-Ganz, Kerley B lines, Hampton hump, Dobhoff, Hickman and Port-A-Cath.",
        "Hodgkin lymphoma; Wegener granulomatosis; Ghon focus; Bochdalek and Morgagni hernias.",
        "Ewing sarcoma, Paget disease, Harrington rods, Nissen fundoplication, Chance fracture.",
        "A 3.5 x 2 cm mass at T12-L1, 6th rib, RA 7/10, ratio 1.2, grade 2/6, ribs 8-9-10.",
        "XXXX opacity, ___ noted, [**Name**]. Image 3/24 of series 2. T10/T11. C3-4.",
        "Drain output 500-1000 mL, HU 100-1000 HU, CA-125, H1N1, SARS-CoV-2, COVID-19, ICD-10.",
        "Since 2015; 10-20 mL; SpO2 92%; 5 mm; 1:30 dilution? no; EKG; 2/3 of the lung.",
        "AP view. Right upper lobe. May represent pneumonia. March of time.",
        "----------------------------------------------------------------",
    ] {
        let expected = text.replace("1:30 dilution", "Time A dilution");
        assert_eq!(plain(text), expected);
    }
}

#[test]
fn a_person_is_one_in_all_sections_and_by_every_way_of_naming() {
    let mut sections = body("Dictated by: John Okonkwo, MD.");
    sections.extend(body(" Dr. Okonkwo called Dr. Tanaka."));
    let result = Deidentifier::without_message().apply(&sections, &[]).unwrap();
    assert_eq!(text_of(&result), "Dictated by: Person A, MD. Dr. Person A called Dr. Person B.");
    assert_eq!(result.counts().of(Kind::Person), 3);
    assert_eq!(result.counts().total(), 3);
    assert_eq!(result.policy(), POLICY_VERSION);
}

#[test]
fn a_stand_in_of_the_author_is_given_to_nobody_else() {
    assert_eq!(plain("Person A met Dr. Tanaka."), "Person A met Dr. Person B.");
}

#[test]
fn what_cannot_be_done_is_refused() {
    let apply = |text: &str, known: &[KnownIdentifier]| {
        Deidentifier::default().apply(&body(text), known).map(|_| ()).unwrap_err()
    };
    let name = [KnownIdentifier::new(KnownKind::PatientName, "Okonkwo^Ana")];
    assert_eq!(apply(" ", &name), Refused::NoText);
    assert_eq!(apply("clear", &[]), Refused::PatientUnknown);
    let nameless = [KnownIdentifier::new(KnownKind::PatientName, "UNKNOWN^^")];
    assert_eq!(apply("clear", &nameless), Refused::PatientUnknown);
    assert_eq!(apply("Okon\u{200b}kwo", &name), Refused::HiddenCharacters);
    assert_eq!(apply("Ok\u{43e}nkwo", &name), Refused::HiddenCharacters);
    assert_eq!(apply("clear\u{0}", &name), Refused::HiddenCharacters);
    assert_eq!(apply("MRN \u{661}\u{662}\u{663}", &name), Refused::HiddenCharacters);
    assert_eq!(apply(&"a ".repeat(200_000), &name), Refused::TooLong);
    assert_eq!(apply("clear", &vec![name[0].clone(); 513]), Refused::TooLong);
    assert_eq!(apply(&"Zm9vYmFy".repeat(8), &name), Refused::LooksIdentifying);
    assert_eq!(apply("1 2 3 4 5 6 7 8 9", &name), Refused::LooksIdentifying);
    let number = [name[0].clone(), KnownIdentifier::new(KnownKind::Number, "ABX99")];
    assert!(Deidentifier::default().apply(&body("see ABX99"), &number).is_ok());
    let spread = [name[0].clone(), KnownIdentifier::new(KnownKind::Number, "1234567")];
    assert_eq!(apply("12, 34 ... 56 ... 7", &spread), Refused::KnownRemains);
}

#[test]
fn codes_are_distinct_and_messages_hold_no_text() {
    let all = [
        Refused::NoText,
        Refused::TooLong,
        Refused::HiddenCharacters,
        Refused::PatientUnknown,
        Refused::KnownRemains,
        Refused::LooksIdentifying,
        Refused::Unsettled,
    ];
    let mut codes: Vec<&str> = all.iter().map(|refused| refused.code()).collect();
    codes.dedup();
    assert_eq!(codes.len(), all.len());
    let kinds: std::collections::BTreeSet<&str> =
        Kind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(kinds.len(), Kind::ALL.len());
}

/// Report-like text: words, names, numbers, dates, punctuation in any order.
fn jumble() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "lungs", "clear", "Dr.", "Mr.", "discussed", "with", "by", "Dictated by:", "MRN", "on",
            "Person A", "Date", "XXXX", "M.D.", "MD", "Okonkwo", "OKONKWO", "okonkwo", "Ana", "ANA",
            "A.", "Stone", "stone", "Foley", "catheter", "van der", "é", "ß", "-", "'s", "’s", "\n",
            "2024", "March", "3", "03/04/2024", "14:05", "92-year-old", "Hospital", "Street",
            "12", "(617)", "555-0199", "@", "a@b.co", "123456", "12-34-567", "cm", "x", "/", ",", ".",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,6}",
        1 => "[0-9./:-]{1,8}",
        1 => "[A-Za-z]{1,8}",
    ];
    let space = prop::sample::select(vec!["", " ", " ", " ", "  ", "\n", ", ", "."]);
    prop::collection::vec((piece, space), 0..30)
        .prop_map(|parts| parts.into_iter().map(|(a, b)| a + b).collect())
}

proptest! {
    #[test]
    fn no_known_identifier_survives_and_a_second_pass_changes_nothing(text in jumble()) {
        let known = [
            KnownIdentifier::new(KnownKind::PatientName, "Okonkwo^Ana"),
            KnownIdentifier::new(KnownKind::PersonName, "Stone^Bela"),
            KnownIdentifier::new(KnownKind::Number, "1234567"),
            KnownIdentifier::new(KnownKind::Contact, "6175550199"),
        ];
        match Deidentifier::default().apply(&body(&text), &known) {
            Err(refused) => prop_assert!(refused != Refused::Unsettled, "unsettled"),
            Ok(result) => {
                let out = text_of(&result);
                let folded = words::words(&out);
                prop_assert!(!folded.iter().any(|w| w.folded == "okonkwo" || w.folded == "ana"));
                let digits: String = out.chars().filter(char::is_ascii_digit).collect();
                prop_assert!(!digits.contains("1234567") || !out.contains("1234567"));
                let again = Deidentifier::default().apply(result.sections(), &known);
                match again {
                    Ok(again) => {
                        prop_assert_eq!(text_of(&again), out);
                        prop_assert_eq!(again.counts().total(), 0);
                    }
                    Err(refused) => prop_assert!(refused == Refused::NoText && out.trim().is_empty()),
                }
            }
        }
    }

    /// Names in any case, order and company.
    #[test]
    fn any_name_goes(
        given in "[A-Z][a-z]{3,9}",
        family in "[A-Z][a-zéüñ]{3,9}(-[A-Z][a-z]{3,7})?",
        form in 0..7_usize,
    ) {
        let ordinary = |name: &str| words::words(name).iter().any(|w| {
            lexicon::is_ordinary(&w.folded) || lexicon::is_eponym(&w.folded) || w.folded == "hump"
        });
        prop_assume!(!ordinary(&given) && !ordinary(&family));
        let name = [
            format!("{given} {family}"),
            format!("{family}, {given}"),
            format!("{} {}", given.to_uppercase(), family.to_uppercase()),
            family.to_lowercase(),
            format!("{family}'s"),
            format!("{given}\n{family}"),
            format!("{family} {given}"),
        ];
        let text = format!("the lungs of {} are clear", name[form]);
        let out = patient(&format!("{family}^{given}"), &text);
        let s = if form == 4 { "'s" } else { "" };
        prop_assert_eq!(out, format!("the lungs of Person A{s} are clear"));
    }

    #[test]
    fn any_text_ends_in_a_result_or_a_refusal(text in "\\PC{0,200}") {
        let name = [KnownIdentifier::new(KnownKind::PatientName, "Okonkwo^Ana")];
        let _ends = Deidentifier::default().apply(&body(&text), &name);
    }
}
