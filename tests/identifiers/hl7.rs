//! HL7 v2: by segment, by message.

use radstream::decode::{DecodeOptions, identifiers};
use radstream::report::{KnownIdentifier, KnownKind};

use super::{HEADER, TEXT, assert_holds, known, only, order, reports, segment};

#[test]
fn every_segment_gives_its_people_places_numbers_and_days() {
    let message = [
        HEADER.to_owned(),
        segment(
            "PID",
            &[
                (2, "EXT-77"),
                (3, "123456^^^HOSP^MR^Kestrel Clinic&9&L~98765^^^STATE^PI"),
                (4, "ALT-1~ALT-2"),
                (5, "OKONKWO&van&OKONKWO^MARIA^Q^JR^MRS^^L~STONE^MAY^^^^^M"),
                (6, "HADDAD^AISHA^^^^^M"),
                (7, "19450312"),
                (9, "OSEI^GRACE"),
                (
                    11,
                    "12 Juniper Street&Juniper Street&12^Apt 4^Fernwick^MA^02139^USA^H^^Middlesex",
                ),
                (12, "MIDDLESEX"),
                (13, "(617)555-0134^PRN^PH^maria@mail.example.org^1^617^5550134"),
                (14, "^WPN^PH^^1^312^5550199"),
                (18, "ACC-4410^^^BILL"),
                (19, "123-45-6789"),
                (20, "S1234567^MA^20300101"),
                (29, "20260601"),
            ],
        ),
        segment(
            "NK1",
            &[(2, "OKONKWO^TOMASZ^^^^^L"), (4, "9 Halsey Street^^Millbrook"), (5, "205-555-0111")],
        ),
        segment(
            "PV1",
            &[
                (3, "ICU^12^B^Quail Ridge Hospital&1^^N"),
                (7, "1001^FERREIRA^CARLOS^A^^DR^MD^^NPI~1002^PETROVA^IRINA"),
                (8, "1003^DUBOIS^LUC"),
                (9, "1004^TANAKA^YUKI"),
                (17, "1005^MBEKI^THABO"),
                (19, "V-20260101^^^HOSP^VN"),
                (44, "202601010830"),
                (45, "20260104"),
                (52, "1006^LINDQVIST^INGRID"),
            ],
        ),
        segment(
            "ORC",
            &[
                (1, "RE"),
                (2, "P-1^EHR"),
                (3, "ACC9^RIS"),
                (4, "GRP-5"),
                (10, "1007^ABERNATHY^SUE"),
                (11, "1008^CASTELLANOS^JOSE"),
                (12, "1009^KOWALCZYK^JAN"),
                (14, "617-555-0177"),
                (21, "Larchmere Imaging^^55501"),
                (22, "1 Mill Road^^Port Hadley^NY^10001"),
                (23, "617-555-0178"),
                (24, "2 Mill Road^^Port Hadley"),
            ],
        ),
        segment(
            "OBR",
            &[
                (2, "P-1^EHR"),
                (3, "ACC9^RIS"),
                (4, "71046^XR CHEST^C4"),
                (7, "20260102"),
                (16, "1010^YAMAMOTO^KEN"),
                (17, "617-555-0179"),
                (18, "XR24-00177"),
                (19, "CHEST 2 VIEWS"),
                (20, "SPS7^RIS"),
                (21, "778812"),
                (22, "20260103"),
                (24, "RAD"),
                (25, "F"),
                (28, "1011^FITZGERALD^ANN~1012^SZYMANSKI^OLA"),
                (32, "44332&BRZEZINSKI&RUTH&M^20260102^20260102^RADIOLOGY^^^Quail Ridge"),
                (33, "44333^JOHNSON^PAT"),
                (34, "NGUYEN"),
                (35, "TR17"),
            ],
        ),
        segment(
            "OBX",
            &[
                (1, "1"),
                (2, "TX"),
                (3, "71046&IMP^XR CHEST^C4"),
                (5, "No effusion."),
                (11, "F"),
                (14, "20260102"),
                (16, "1013^AL-HASSAN^KAREEM"),
                (23, "Old Mill Radiology"),
                (24, "5 Larkspur Avenue^^Saint Olaf"),
            ],
        ),
    ];
    let found = only(message.concat().as_bytes());
    let wanted = [
        "patient_name OKONKWO van^MARIA^Q",
        "patient_name STONE^MAY",
        "patient_name OSEI^GRACE",
        "person_name HADDAD^AISHA",
        "date 19450312",
        "date 20260601",
        "number EXT-77",
        "number 123456",
        "number 98765",
        "facility Kestrel Clinic",
        "number ALT-1",
        "number ALT-2",
        "address 12 Juniper Street^Juniper Street^12^Apt 4^Fernwick^MA^02139^Middlesex",
        "address MIDDLESEX",
        "contact (617)555-0134",
        "contact maria@mail.example.org",
        "contact 6175550134",
        "contact 3125550199",
        "number ACC-4410",
        "number 123-45-6789",
        "number S1234567",
        "person_name OKONKWO^TOMASZ",
        "address 9 Halsey Street^Millbrook",
        "contact 205-555-0111",
        "facility Quail Ridge Hospital",
        "person_name FERREIRA^CARLOS^A",
        "person_name PETROVA^IRINA",
        "person_name DUBOIS^LUC",
        "person_name TANAKA^YUKI",
        "person_name MBEKI^THABO",
        "number 1005",
        "number V-20260101",
        "date 202601010830",
        "date 20260104",
        "person_name LINDQVIST^INGRID",
        "number P-1",
        "number ACC9",
        "number GRP-5",
        "person_name ABERNATHY^SUE",
        "person_name CASTELLANOS^JOSE",
        "person_name KOWALCZYK^JAN",
        "contact 617-555-0177",
        "facility Larchmere Imaging",
        "number 55501",
        "address 1 Mill Road^Port Hadley^NY^10001",
        "contact 617-555-0178",
        "address 2 Mill Road^Port Hadley",
        "date 20260102",
        "person_name YAMAMOTO^KEN",
        "contact 617-555-0179",
        "number XR24-00177",
        "number SPS7",
        "number 778812",
        "date 20260103",
        "person_name FITZGERALD^ANN",
        "person_name SZYMANSKI^OLA",
        "number 44332",
        "person_name BRZEZINSKI^RUTH^M",
        "facility Quail Ridge",
        "person_name JOHNSON^PAT",
        "person_name NGUYEN",
        "number TR17",
        "person_name AL-HASSAN^KAREEM",
        "facility Old Mill Radiology",
        "address 5 Larkspur Avenue^Saint Olaf",
        "facility KESTREL",
        "facility RIVERBEND",
        "date 20260102030405",
    ];
    assert_holds(&found, &wanted);
    for no_name in ["NPI", "DR", "MD", "MRS", "EHR", "PRN", "effusion", "VIEWS", "USA"] {
        let holds = |one: &&String| one.split([' ', '^']).any(|word| word == no_name);
        assert_eq!(found.iter().find(holds), None, "{no_name}");
    }
}

#[test]
fn a_document_gives_its_authors_and_numbers() {
    let message = [
        "MSH|^~\\&|RIS|KESTREL|||20260102||MDM^T02|1|P|2.5\rPID|1||55||WU^BO\r".to_owned(),
        segment("OBR", &[(3, "A7"), (4, "71046^XR CHEST^C4")]),
        segment(
            "TXA",
            &[
                (2, "RAD"),
                (4, "20260101"),
                (5, "21^LI^XIU"),
                (9, "22^NG^WEI~23^OSEI^AMA"),
                (10, "24^SMITH-JONES^LIAM"),
                (11, "25^GARCIA LOPEZ^CARLOS"),
                (12, "DOC-900^RIS"),
                (13, "DOC-899"),
                (14, "P-14"),
                (15, "A7"),
                (16, "wu_bo.txt"),
                (17, "AU"),
                (22, "26^O'NEIL^SIOBHAN^^^^^^^^^^^^20260103"),
            ],
        ),
        TEXT.to_owned(),
    ];
    let wanted = [
        "patient_name WU^BO",
        "person_name LI^XIU",
        "person_name NG^WEI",
        "person_name OSEI^AMA",
        "person_name SMITH-JONES^LIAM",
        "person_name GARCIA LOPEZ^CARLOS",
        "person_name O'NEIL^SIOBHAN",
        "number DOC-900",
        "number DOC-899",
        "number P-14",
        "number A7",
        "number wu_bo.txt",
        "date 20260101",
    ];
    assert_holds(&only(message.concat().as_bytes()), &wanted);
}

#[test]
fn values_are_unescaped_and_in_the_messages_character_set() {
    let message = |charset: &str, name: &str| {
        let header = ["MSH|^~\\&|RIS|H|||20260102||ORU^R01|1|P|2.5||||||", charset, "\r"].concat();
        [header, format!("PID|1||1||{name}\r"), order("A1"), TEXT.to_owned()].concat()
    };
    let latin: Vec<u8> = message("8859/1", "M?LLER^J\\XD6\\RG")
        .bytes()
        .map(|byte| if byte == b'?' { 0xdc } else { byte })
        .collect();
    assert_holds(&only(&latin), &["patient_name MÜLLER^JÖRG"]);
    let escaped = message("", "A\\T\\B^C\\S\\D^\"\"");
    assert_holds(&only(escaped.as_bytes()), &["patient_name A&B^C^D"]);
    let odd = "MSH!$%*@!RIS!H!!!20260102!!ORU$R01!1!P!2.5\rPID!1!!1%2!!DOE$JA*F*NE%ROE$J\r\
               OBR!1!!A1$RIS!71046$XR CHEST$C4!!!!!!!!!!!!!!!!!!!!!F\rOBX!1!TX!@IMP!!Clear.!!!!!!F";
    let wanted = ["patient_name DOE^JA!NE", "patient_name ROE^J", "number 2"];
    assert_holds(&only(odd.as_bytes()), &wanted);
}

#[test]
fn two_messages_of_a_record_are_never_mixed() {
    let message = |name: &str, accession: &str| {
        [HEADER, &format!("PID|1||{accession}9||{name}\r"), &order(accession), TEXT, "\r"].concat()
    };
    // A message that cannot be read, one that is no report, and one with two reports between them.
    let batch = [
        "BHS|^~\\&|RIS\r",
        &message("OKONKWO^MARIA", "A1"),
        "MSH|^~\\&|RIS\r",
        "MSH|^~\\&|RIS|H|||20260102||ADT^A08|2|P|2.5\rPID|1||3||HADDAD^AISHA\r",
        &message("TANAKA^YUKI", "B1"),
        &order("B2"),
        TEXT,
        "\r",
        &message("OSEI^GRACE", "C1"),
        "BTS|5\r",
    ]
    .concat();
    let found = known(batch.as_bytes());
    let names: Vec<Vec<&str>> = found
        .iter()
        .map(|list| list.iter().filter_map(|one| one.strip_prefix("patient_name ")).collect())
        .collect();
    assert_eq!(
        names,
        [["OKONKWO^MARIA"], ["TANAKA^YUKI"], ["TANAKA^YUKI"], ["OSEI^GRACE"]].map(Vec::from)
    );
    assert_holds(&found[1], &["number B1", "number B2", "number B19"]);

    // A report that is not at that place: all, rather than another's.
    let options = DecodeOptions::default();
    let all = identifiers(batch.as_bytes(), &options);
    let reports = reports(batch.as_bytes(), &options);
    let (_, last) = &reports[3];
    for part in [0, 99, u32::MAX] {
        let list = all.of(part, last);
        let patients = list.iter().filter(|one| one.kind == KnownKind::PatientName).count();
        assert_eq!(patients, 4, "and the one of the message that is no report");
    }
}

#[test]
fn what_is_too_much_stays_too_much_and_is_refused_downstream() {
    let many: Vec<String> = (0..600).map(|n| format!("7{n:05}")).collect();
    for (field, length) in [(many.join("~"), 0), ("9".repeat(3000), 1025), ("é".repeat(900), 1026)]
    {
        let pid = segment("PID", &[(3, &field), (5, "DOE^JANE")]);
        let message = [HEADER, &pid, &order("A1"), TEXT].concat();
        let (payload, options) = (message.as_bytes(), DecodeOptions::default());
        let report = &reports(payload, &options)[0].1;
        let list = identifiers(payload, &options).of(0, report);
        let longest = list.iter().map(|one| one.value.expose().len()).max().unwrap_or_default();
        if length == 0 {
            assert_eq!(list.len(), KnownIdentifier::MOST + 1);
        } else {
            assert_eq!(longest, length);
        }
    }
    // The same again and again is one.
    let pid = segment("PID", &[(3, &vec!["123456"; 2000].join("~")), (5, "DOE^JANE")]);
    let message = [HEADER, &pid, &order("A1"), TEXT].concat();
    let found = only(message.as_bytes());
    assert_eq!(found.iter().filter(|one| *one == "number 123456").count(), 1);
}
