use super::*;
use crate::report::Coding;

fn class(code: &str, text: &str, system: &str, section: &str, header: &str) -> ProcedureClass {
    let procedure = Procedure {
        codings: vec![Coding { code: code.into(), text: text.into(), system: system.into() }],
        service_section: (!section.is_empty()).then(|| section.to_owned()),
    };
    classify(&procedure, header, &ExtractPolicy::default())
}

fn text(text: &str) -> ProcedureClass {
    class("IMG1", text, "L", "", "")
}

#[test]
fn real_descriptions_of_chest_radiographs_are_recognised() {
    for description in [
        "Chest",
        "CHEST 1V",
        "PR CHEST 1 VIEW",
        "DPCXR",
        "LCMC XR CHEST 1 VW",
        "CHEST ROUTINE",
        "Chest children",
        "XR CHEST 2VIEWS",
        "X-RAY CHEST PA & LAT",
        "CHEST, PORTABLE",
        "Röntgen Thorax",
        "RX TORAX",
        "CXR",
        "1259 XR CHEST 1 VIEW",
        "XR THORAX",
    ] {
        assert_eq!(text(description), ProcedureClass::ChestRadiograph, "{description}");
    }
}

#[test]
fn other_exams_are_not() {
    for description in [
        "CT CHEST W CONTRAST",
        "MR CHEST WO",
        "US CHEST",
        "XR KNEE 3 VIEWS",
        "CTA CHEST PE PROTOCOL",
        "CHEST TUBE DRAINAGE",
        "NM LUNG VQ",
        "MAMMO SCREENING",
        "XR THORACIC SPINE 1 VIEW",
        "XR RIBS LEFT",
        "CT GUIDED LUNG BIOPSY",
        "XR ABDOMEN KUB",
    ] {
        assert_eq!(text(description), ProcedureClass::Other, "{description}");
    }
    assert_eq!(text("GLUCOSE"), ProcedureClass::Unknown);
    assert_eq!(text(""), ProcedureClass::Unknown);
}

#[test]
fn chest_with_another_part_is_mixed() {
    for description in ["XR CHEST AND ABDOMEN", "XR RIBS WITH CHEST PA"] {
        assert_eq!(text(description), ProcedureClass::Mixed, "{description}");
    }
    assert_eq!(class("71101", "", "C4", "", ""), ProcedureClass::Mixed);
}

#[test]
fn codes_win_over_text_and_contradictions_are_flagged() {
    use ProcedureClass::{ChestRadiograph, Conflict, Other};
    assert_eq!(class("36643-5", "", "LN", "", ""), ChestRadiograph);
    assert_eq!(class("71260", "CHEST", "C4", "RAD", ""), Other);
    assert_eq!(class("36589-0", "KUB flat plate abdomen", "LN", "", ""), Conflict);
    assert_eq!(class("71046", "CT CHEST", "C4", "", ""), Conflict);
    assert_eq!(class("1", "XR CHEST 1 VIEW", "L", "", "MRI of the chest"), Conflict);
    assert_eq!(class("1", "CHEST", "L", "CT", ""), Other);
}

#[test]
fn the_reports_first_words_decide_where_the_procedure_says_nothing() {
    use ProcedureClass::{ChestRadiograph, Other, Unknown};
    assert_eq!(class("", "", "", "", "CHEST, PA AND LATERAL"), ChestRadiograph);
    assert_eq!(class("", "", "", "", "PORTABLE AP CHEST RADIOGRAPH"), ChestRadiograph);
    assert_eq!(class("", "", "", "", "CT of the chest with contrast"), Other);
    assert_eq!(class("", "", "", "RAD", "Dr. Somebody"), Unknown);
}

#[test]
fn configured_codes_extend_and_exclude() {
    let policy = ExtractPolicy {
        chest_codes: vec!["LOCAL1".into()],
        excluded_codes: vec!["71045".into()],
        ..ExtractPolicy::default()
    };
    let of = |code: &str| {
        let codings = vec![Coding { code: code.into(), ..Coding::default() }];
        classify(&Procedure { codings, service_section: None }, "", &policy)
    };
    assert_eq!(of("local1"), ProcedureClass::ChestRadiograph);
    assert_eq!(of("71045"), ProcedureClass::Other);
}
