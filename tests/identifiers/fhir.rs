//! FHIR: by resource, by report.

use super::{assert_holds, fhir_report, known, only};

#[test]
fn a_fhir_bundle_gives_the_people_places_and_numbers_of_its_resources() {
    let report = fhir_report(
        "r1",
        r#","subject":{"reference":"Patient/p1","display":"Maria Okonkwo"},"issued":"2026-01-03T01:00:00Z",
        "effectiveDateTime":"2026-01-02","encounter":{"reference":"Encounter/e1"},
        "performer":[{"reference":"Organization/o1","display":"Larchmere Imaging"},{"display":"Ruth Brzezinski"}],
        "resultsInterpreter":[{"reference":"Practitioner/d1"},{"display":"Pat Johnson, MD"}],
        "basedOn":[{"reference":"ServiceRequest/s1","display":"Chest film"}]"#,
    );
    let bundle = format!(
        r#"{{"resourceType":"Bundle","type":"message","timestamp":"2026-01-04T00:00:00Z","entry":[
        {{"resource":{report}}},
        {{"resource":{{"resourceType":"Patient","id":"p1","identifier":[{{"value":"MRN-1"}},{{"value":778812}}],
          "name":[{{"use":"official","family":"Okonkwo","given":["Maria","Q"],"suffix":["Jr"]}},{{"text":"May Stone"}}],
          "telecom":[{{"system":"phone","value":"617-555-0134"}}],"birthDate":"1945-03-12",
          "address":[{{"line":["12 Juniper Street","Apt 4"],"city":"Fernwick","postalCode":"02139","country":"US"}}],
          "contact":[{{"name":{{"family":"Haddad","given":["Aisha"]}},"telecom":[{{"value":"205-555-0111"}}]}}],
          "managingOrganization":{{"display":"Quail Ridge Hospital"}},"generalPractitioner":[{{"display":"Ken Yamamoto"}}]}}}},
        {{"resource":{{"resourceType":"Practitioner","id":"d1","identifier":[{{"value":"NPI-7"}}],
          "name":[{{"family":"Ferreira","given":["Carlos"],"prefix":["Dr"]}}]}}}},
        {{"resource":{{"resourceType":"PractitionerRole","practitioner":{{"display":"Yuki Tanaka"}},
          "organization":{{"display":"Kestrel Clinic"}}}}}},
        {{"resource":{{"resourceType":"RelatedPerson","name":[{{"text":"Tomasz Okonkwo"}}]}}}},
        {{"resource":{{"resourceType":"Organization","id":"o1","name":"Larchmere Imaging Center","alias":["Larchmere"],
          "telecom":[{{"value":"617-555-0199"}}],"address":[{{"text":"1 Mill Road, Port Hadley"}}]}}}},
        {{"resource":{{"resourceType":"Encounter","id":"e1","identifier":[{{"value":"V-1"}}],
          "period":{{"start":"2026-01-01","end":"2026-01-04"}}}}}},
        {{"resource":{{"resourceType":"ServiceRequest","id":"s1","identifier":[{{"value":"ORD-1"}}],
          "requester":{{"display":"Ann Fitzgerald"}},"authoredOn":"2025-12-31"}}}},
        {{"resource":{{"resourceType":"ImagingStudy","accession":{{"value":"XR24-1"}}}}}}
        ]}}"#
    );
    let wanted = [
        "patient_name Okonkwo^Maria^Q",
        "patient_name May Stone",
        "patient_name Maria Okonkwo",
        "number MRN-1",
        "number 778812",
        "contact 617-555-0134",
        "date 1945-03-12",
        "address 12 Juniper Street^Apt 4^Fernwick^02139",
        "person_name Haddad^Aisha",
        "contact 205-555-0111",
        "facility Quail Ridge Hospital",
        "person_name Ken Yamamoto",
        "number NPI-7",
        "person_name Ferreira^Carlos",
        "person_name Yuki Tanaka",
        "facility Kestrel Clinic",
        "person_name Tomasz Okonkwo",
        "facility Larchmere Imaging Center",
        "facility Larchmere",
        "facility Larchmere Imaging",
        "contact 617-555-0199",
        "address 1 Mill Road, Port Hadley",
        "number V-1",
        "date 2026-01-01",
        "date 2026-01-04",
        "number ORD-1",
        "person_name Ann Fitzgerald",
        "date 2025-12-31",
        "number XR24-1",
        "number r1-ACC",
        "person_name Ruth Brzezinski",
        "person_name Pat Johnson, MD",
        "date 2026-01-03T01:00:00Z",
        "date 2026-01-02",
    ];
    let found = only(bundle.as_bytes());
    assert_holds(&found, &wanted);
    for no_identifier in ["Atall", "Chest", "effusion", "VIEWS"] {
        assert!(!found.iter().any(|one| one.contains(no_identifier)), "{no_identifier}: {found:?}");
    }
}

#[test]
fn a_fhir_report_gives_what_it_contains_and_what_its_references_display() {
    let report = fhir_report(
        "r1",
        r##","contained":[{"resourceType":"Patient","id":"p","name":[{"family":"Okonkwo","given":["Maria"]}]}],
        "subject":{"reference":"#p"},"resultsInterpreter":[{"reference":"#d","display":"Ruth Reader"}]"##,
    );
    let wanted = ["patient_name Okonkwo^Maria", "person_name Ruth Reader", "number r1-ACC"];
    assert_holds(&only(report.as_bytes()), &wanted);
    let envelope = format!(r#"{{"specversion":"1.0","data":{report}}}"#);
    assert_holds(&only(envelope.as_bytes()), &wanted);
    let displayed = fhir_report("r2", r#","subject":{"display":"Grace Osei"}"#);
    assert_holds(&only(displayed.as_bytes()), &["patient_name Grace Osei"]);
}

#[test]
fn of_several_fhir_reports_each_has_what_it_reaches_and_what_is_nobodys() {
    let entry = |id: &str, family: &str| {
        let report = fhir_report(id, &format!(r#","subject":{{"reference":"urn:uuid:{id}"}}"#));
        format!(
            r#"{{"resource":{report}}},{{"fullUrl":"urn:uuid:{id}","resource":{{"resourceType":"Patient",
            "name":[{{"family":"{family}"}}],"generalPractitioner":[{{"reference":"Practitioner/d"}}]}}}}"#
        )
    };
    let practitioner =
        r#"{"resource":{"resourceType":"Practitioner","id":"d","name":[{"family":"Tanaka"}]}}"#;
    let orphan = r#"{"resource":{"resourceType":"RelatedPerson","name":[{"family":"Haddad"}]}}"#;
    let entries = [&*entry("r1", "Okonkwo"), &*entry("r2", "Osei"), practitioner, orphan];
    let entries = entries.join(",");
    let bundle = format!(r#"{{"resourceType":"Bundle","type":"collection","entry":[{entries}]}}"#);
    let found = known(bundle.as_bytes());
    for (list, own, other) in [(&found[0], "Okonkwo", "Osei"), (&found[1], "Osei", "Okonkwo")] {
        let own = format!("patient_name {own}");
        assert_holds(list, &[&own, "person_name Tanaka", "person_name Haddad"]);
        assert!(!list.iter().any(|one| one.contains(other)), "{list:?}");
    }
    // Nobody can tell whose this patient is: both have it.
    let [first, second] = [fhir_report("r1", ""), fhir_report("r2", "")];
    let patient = r#"{"resourceType":"Patient","name":[{"family":"Wu"}]}"#;
    for (list, own) in
        known(format!("[{first},{second},{patient}]").as_bytes()).iter().zip(["r1", "r2"])
    {
        assert_holds(list, &["patient_name Wu", &format!("number {own}-ACC")]);
    }
    // Another report's patient is not this one's, though the name is looked for.
    let owned = format!("[{first},{}]", fhir_report("r2", r#","subject":{"display":"Bo Wu"}"#));
    let found = known(owned.as_bytes());
    assert_holds(&found[0], &["person_name Bo Wu", "number r1-ACC", "number r2-ACC"]);
    assert!(!found[0].iter().any(|one| one.starts_with("patient_name")));
    assert_holds(&found[1], &["patient_name Bo Wu"]);
    // One resource per line: each line for itself.
    let line = |id: &str, name: &str| {
        fhir_report(id, &format!(r#","subject":{{"display":"{name}"}}"#)).replace('\n', " ")
    };
    let lines = [line("r1", "Bo Wu"), line("r2", "Grace Osei")].join("\n");
    let found = known(lines.as_bytes());
    assert!(found[0].iter().any(|one| one == "patient_name Bo Wu"));
    assert!(!found[1].iter().any(|one| one.contains("Wu")));
}
