//! Source profiles: what each key changes, what is wrong with one, and `radstream test-profile`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at what it did not expect"
)]

mod command_support;

use std::fs;
use std::path::{Path, PathBuf};

use command_support::{Ran, call};
use radstream::command::test_profile::{TestProfileArgs, run};
use radstream::config::{self, profiles};
use radstream::decode::{DecodeOptions, Decoded, SourceProfile, SourceProfiles, decode};
use radstream::extract::{ExtractPolicy, Extracted, extract};
use radstream::report::{Intent, Report, ReportStatus, SectionKind, Warning};

fn profile(name: &str, text: &str) -> SourceProfile {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    profiles::read(name, &path).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The only report of a message, read with profiles of these texts.
fn read(profiles: &[&str], message: &[u8]) -> Report {
    let named = profiles.iter().enumerate().map(|(i, text)| profile(&format!("p{i}"), text));
    let options = DecodeOptions {
        profiles: SourceProfiles::new(named.collect()),
        ..DecodeOptions::default()
    };
    let mut decoded = decode(message, &options);
    assert_eq!(decoded.len(), 1, "{decoded:?}");
    match decoded.remove(0) {
        Decoded::Report(report) => *report,
        other => panic!("no report: {other:?}"),
    }
}

fn sections(report: &mut Report) -> Vec<(SectionKind, String)> {
    match extract(report, &ExtractPolicy::default()) {
        Extracted::Text(text) => {
            text.sections.into_iter().map(|s| (s.kind, s.text.into_inner())).collect()
        }
        Extracted::Skipped(skip) => panic!("skipped: {skip:?}"),
    }
}

/// An ORU of a chest radiograph. `status` is OBR-25, `lines` follow OBR.
fn oru(status: &str, lines: &[&str]) -> Vec<u8> {
    let mut text = format!(
        "MSH|^~\\&|RIS|GENHOSP|HUB|HIE|20260102030405||ORU^R01|M1|P|2.3\r\
         PID|1||900001^^^GENHOSP^MR||TESTER^ALFA||19500101|F\r\
         ORC|RE|P1|O-9^RIS\r\
         OBR|1|P1|F-77^RIS|71046^XR CHEST 2 VIEWS^C4|||20260102025500|||||||||||A-18|X^B-19|C-20\
         ||20260102030300||RAD|{status}\r"
    );
    for line in lines {
        text.push_str(line);
        text.push('\r');
    }
    text.into_bytes()
}

const ANY: &str = "sending_application = '*'\n";
const FINDINGS: &str =
    "OBX|1|TX|RPT^Report^L||The heart is normal in size and the lungs are clear.||||||F";

#[test]
fn the_accession_number_comes_from_the_field_that_the_profile_names() {
    for (accession, key) in [
        ("OBR-18", "GENHOSP|A-18"),
        ("OBR-19.2", "GENHOSP|B-19"),
        ("OBR-20", "GENHOSP|C-20"),
        ("OBR-3", "RIS|F-77"),
        ("ORC-3", "RIS|O-9"),
        ("ZDS-1", "PACS|1.2.840.7"),
    ] {
        let text = format!("{ANY}accession = '{accession}'\n");
        let report = read(&[&text], &oru("F", &[FINDINGS, "ZDS|1.2.840.7^PACS^Application^DICOM"]));
        assert_eq!(report.key.expose(), key, "{accession}");
        assert!(!report.warnings.contains(&Warning::FillerNumberMissing), "{accession}");
    }
}

#[test]
fn an_empty_accession_field_falls_back_and_says_so() {
    let report = read(&[&format!("{ANY}accession = 'ZDS-1'\n")], &oru("F", &[FINDINGS]));
    assert_eq!(report.key.expose(), "RIS|F-77");
    assert!(report.warnings.contains(&Warning::FillerNumberMissing));
}

#[test]
fn the_profiles_authority_stands_in_for_a_missing_one_only() {
    let with = |accession: &str| {
        read(
            &[&format!("{ANY}authority = 'ISSUER'\naccession = '{accession}'\n")],
            &oru("F", &[FINDINGS]),
        )
    };
    let without = with("OBR-18");
    assert_eq!(without.key.expose(), "ISSUER|A-18");
    assert!(!without.warnings.contains(&Warning::AuthorityMissing));
    assert_eq!(with("OBR-3").key.expose(), "RIS|F-77");
}

#[test]
fn local_codes_name_sections_whatever_their_case_and_body_lets_headings_decide() {
    let lines = [
        "OBX|1|TX|ZZ1^^L||The heart is normal in size and the lungs are clear.||||||F",
        "OBX|2|TX|zz2^^L||No acute disease.||||||F",
        "OBX|3|TX|HX^^L||Known pneumothorax.||||||F",
    ];
    let text = format!("{ANY}[sections]\nzz1 = 'findings'\nZZ2 = 'impression'\nHX = 'history'\n");
    let found = sections(&mut read(&[&text], &oru("F", &lines)));
    assert_eq!(
        found,
        [
            (
                SectionKind::Findings,
                "The heart is normal in size and the lungs are clear.".to_owned()
            ),
            (SectionKind::Impression, "No acute disease.".to_owned()),
        ]
    );
    // IMP names the impression everywhere; this sender puts the whole report under it.
    let whole =
        ["OBX|1|FT|IMP||FINDINGS: The lungs are clear.\\.br\\IMPRESSION: Normal chest.||||||F"];
    let text = format!("{ANY}[sections]\nIMP = 'body'\n");
    let report = read(&[&text], &oru("F", &whole));
    assert_eq!(report.blocks[0].section, None);
}

#[test]
fn the_suffix_the_name_and_an_empty_identifier_can_be_mapped() {
    for (identifier, key) in [
        ("71046&XYZ^X^C4", "XYZ"),
        ("71046&XYZ^X^C4", "\"71046&XYZ\""),
        ("9^Befund^L", "Befund"),
        ("", "\"\""),
    ] {
        let line =
            format!("OBX|1|TX|{identifier}||The lungs are clear, the heart is normal.||||||F");
        let report =
            read(&[&format!("{ANY}[sections]\n{key} = 'impression'\n")], &oru("F", &[&line]));
        assert_eq!(report.blocks[0].section, Some(SectionKind::Impression), "{identifier} {key}");
    }
}

#[test]
fn text_lives_where_the_profile_says() {
    let lines = [
        "OBX|1|TX|RPT||The lungs are clear. The heart is normal in size.||||||F",
        "NTE|1||IMPRESSION: No acute disease.",
        "OBX|2|TX|ADDR||1 Hospital Street, with a long address line in it||||||F",
    ];
    let all = |text: &str| {
        let report = read(&[&format!("{ANY}{text}")], &oru("F", &lines));
        report.blocks.iter().map(|b| b.text.expose().clone()).collect::<Vec<_>>().join("/")
    };
    assert_eq!(
        all("[text]\nsegments = ['OBX']\nignored_codes = ['ADDR']\n"),
        "The lungs are clear. The heart is normal in size."
    );
    assert_eq!(all("[text]\nsegments = ['NTE']\n"), "IMPRESSION: No acute disease.");
    assert_eq!(
        all("[text]\ncodes = ['rpt']\n"),
        "The lungs are clear. The heart is normal in size.\nIMPRESSION: No acute disease."
    );
    assert!(all("").contains("Hospital Street"));
}

#[test]
fn obr_25_is_read_in_the_senders_dialect_and_by_the_standard_where_it_says_nothing() {
    let text = format!("{ANY}[status]\nA = 'appended'\nr = 'cancelled'\nQ = 'preliminary'\n");
    for (code, status) in [
        ("A", ReportStatus::Appended),
        ("Q", ReportStatus::Preliminary),
        ("C", ReportStatus::Corrected),
    ] {
        assert_eq!(read(&[&text], &oru(code, &[FINDINGS])).status, status, "{code}");
    }
    let cancelled = read(&[&text], &oru("R", &[FINDINGS]));
    assert_eq!((cancelled.status, cancelled.intent), (ReportStatus::Retracted, Intent::Retract));
    let addendum = read(&[&text], &oru("A", &["OBX|1|TX|X||A nodule was overlooked.||||||F"]));
    assert_eq!(addendum.blocks[0].section, Some(SectionKind::Addendum));
}

#[test]
fn charset_and_time_zone_of_the_profile_go_before_those_of_the_configuration() {
    let mut message =
        oru("F", &["OBX|1|TX|RPT||Dr. \u{1}ukasz reads clear lungs, normal heart.||||||F"]);
    for byte in &mut message {
        if *byte == 1 {
            *byte = 0xA3; // Ł in Latin-2, £ in Latin-1 and Windows-1252
        }
    }
    let text = format!("{ANY}default_charset = '8859/2'\ntime_zone = '-06:00'\n");
    let report = read(&[&text], &message);
    assert!(report.blocks[0].text.expose().contains("Łukasz"));
    assert!(!report.warnings.contains(&Warning::CharsetGuessed));
    let utc = read(&[], &message);
    assert!(utc.warnings.contains(&Warning::CharsetGuessed));
    assert_eq!(report.version.changed_at_ms - utc.version.changed_at_ms, 6 * 3_600_000);
    assert_eq!(report.version.message_at_ms - utc.version.message_at_ms, 6 * 3_600_000);
}

#[test]
fn the_most_exact_profile_reads_a_message_and_others_have_none() {
    let report = read(
        &["sending_application = '*'", "sending_application = 'RIS'\nsending_facility = 'GENHOSP'"],
        &oru("F", &[FINDINGS]),
    );
    assert_eq!(report.profile.as_deref(), Some("p1"));
    let other = read(&["sending_facility = 'ELSEWHERE'"], &oru("F", &[FINDINGS]));
    assert_eq!(other.profile, None);
}

#[test]
fn a_fhir_sender_is_known_by_its_source_its_message_or_its_numbers() {
    let report = r#"{"resourceType":"DiagnosticReport",META"identifier":[
        {"system":"urn:a","value":"1"},{"system":"urn:b","value":"2"}],"status":"final",
        "code":{"text":"XR chest 2 views"},"conclusion":"The lungs are clear and the heart is normal."}"#;
    let own = report.replace("META", r#""meta":{"source":"https://ris/x#msg1"},"#);
    let plain = report.replace("META", "");
    let message = format!(
        r#"{{"resourceType":"Bundle","type":"message","entry":[{{"resource":{{"resourceType":
        "MessageHeader","source":{{"endpoint":"https://ris/x"}}}}}},{{"resource":{plain}}}]}}"#
    );
    for (json, source) in [(&own, "https://ris/*"), (&message, "https://ris/x"), (&plain, "urn:b")]
    {
        let text = format!("fhir_source = '{source}'\nfhir_accession_system = 'urn:b'\n");
        let report = read(&[&text], json.as_bytes());
        assert_eq!(report.profile.as_deref(), Some("p0"), "{source}");
        assert_eq!(report.key.expose(), "urn:b|2", "{source}");
    }
    assert_eq!(read(&["fhir_source = 'urn:c'"], plain.as_bytes()).profile, None);
}

/// What `radstream check` says of a configuration that names a folder with these files.
fn problems(files: &[(&str, &str)]) -> Vec<config::Problem> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let variable = ("RADSTREAM__INTAKE__PROFILES".to_owned(), folder.path().display().to_string());
    match config::load(None, [variable].into_iter()) {
        Ok(settings) => {
            assert!(!settings.intake.decode_options().profiles.is_empty());
            Vec::new()
        }
        Err(problems) => problems.0,
    }
}

#[test]
fn every_problem_of_every_profile_is_reported_at_once_with_file_line_key_and_remedy() {
    let wrong = "sending_aplication = 'RIS'\n\
        sending_facility = 'A'\n\
        default_charset = 'KLINGON'\n\
        time_zone = 'Nowhere/Atall'\n\
        accession = 'PID-3'\n\
        [text]\nsegments = ['ZTX']\ncodes = ['X']\nignored_codes = ['x']\n\
        [sections]\nRPT = 'report'\n\
        [status]\nA = 'addendum'\n";
    let found = problems(&[
        ("one.toml", wrong),
        ("two/profile.toml", "authority = 'X'\n"),
        ("three.toml", "sending_facility = 'B'\ntime_zone = \n"),
        ("notes.md", "not a profile"),
    ]);
    let place = |p: &config::Problem| {
        let file = Path::new(&p.file);
        let file = file.components().next_back().unwrap().as_os_str().to_str().unwrap().to_owned();
        (file, p.line.unwrap_or(0), p.key.clone())
    };
    let places: Vec<_> = found.iter().map(place).collect();
    for expected in [
        ("one.toml", 1, "sending_aplication"),
        ("one.toml", 3, "default_charset"),
        ("one.toml", 4, "time_zone"),
        ("one.toml", 5, "accession"),
        ("one.toml", 7, "text.segments"),
        ("one.toml", 9, "text.ignored_codes"),
        ("one.toml", 11, "sections.RPT"),
        ("one.toml", 13, "status.A"),
        ("profile.toml", 0, "sending_application"),
        ("three.toml", 2, ""),
    ] {
        let (file, line, key) = expected;
        assert!(
            places.contains(&(file.to_owned(), line, key.to_owned())),
            "{expected:?} in {places:?}"
        );
    }
    assert_eq!(places.len(), 10, "{places:?}");
    assert!(found.iter().all(|p| !p.what.is_empty() && !p.remedy.is_empty()));
    let named = found.iter().find(|p| p.key == "sending_aplication").unwrap();
    assert!(named.remedy.contains("sending_application"), "{named}");
}

#[test]
fn two_profiles_of_one_sender_are_a_problem_and_overlapping_ones_are_not() {
    let found = problems(&[
        ("a.toml", "sending_application = 'RIS'\n"),
        ("b.toml", "sending_application = 'RIS'\nsending_facility = '*'\n"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].what.contains("a.toml"), "{}", found[0]);
    assert!(
        problems(&[
            ("a.toml", "sending_application = 'RIS'\n"),
            ("b.toml", "sending_application = 'R*'\n"),
        ])
        .is_empty()
    );
}

#[test]
fn a_folder_that_is_missing_or_empty_is_a_problem_of_the_setting() {
    let empty = tempfile::tempdir().unwrap();
    for folder in [Path::new("no/such/folder"), empty.path()] {
        let variable = ("RADSTREAM__INTAKE__PROFILES".to_owned(), folder.display().to_string());
        let problems = config::load(None, [variable].into_iter()).unwrap_err().0;
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].key, "RADSTREAM__INTAKE__PROFILES");
    }
}

fn test_profile(arguments: &[&str]) -> Ran {
    call(arguments, |args: &TestProfileArgs, out, err| run(args, out, err))
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/profiles").join(name)
}

/// A copy of a profile that ships.
fn copy_of(name: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join(name);
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(shipped(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    let path = to.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn the_profiles_that_ship_pass_their_tests_and_load_together() {
    let names = ["general-hospital", "lakeside-imaging"];
    let folders: Vec<String> = names.iter().map(|n| shipped(n).display().to_string()).collect();
    let ran = test_profile(&folders.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("5 of 5 as expected") && ran.out.contains("2 of 2"), "{}", ran.out);
    assert!(!ran.out.contains("not read by this profile"), "{}", ran.out);
    let all = profiles::load(&shipped("")).unwrap();
    assert_eq!(all.len(), names.len());
}

#[test]
fn a_difference_is_shown_line_by_line_and_update_takes_it_over() {
    let (_folder, path) = copy_of("general-hospital");
    let profile = format!("{path}/profile.toml");
    let text = fs::read_to_string(&profile).unwrap();
    fs::write(&profile, text.replace("A = \"appended\"", "A = \"corrected\"")).unwrap();
    let ran = test_profile(&[&path]);
    assert_eq!(ran.code, 65, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("✗ addendum.hl7") && ran.out.contains("✓ final.hl7"), "{}", ran.out);
    assert!(ran.out.contains("-status = \"appended\""), "{}", ran.out);
    assert!(ran.out.contains("+status = \"corrected\""), "{}", ran.out);
    assert!(ran.out.contains("4 of 5 as expected"), "{}", ran.out);
    let updated = test_profile(&["--update", &path]);
    assert_eq!(updated.code, 0, "{}", updated.err);
    assert!(updated.out.contains("addendum.expected.toml written"), "{}", updated.out);
    assert!(!updated.out.contains("final.expected.toml written"), "{}", updated.out);
    assert_eq!(test_profile(&[&path]).code, 0);
}

#[test]
fn what_is_missing_broken_or_left_over_fails_with_its_name() {
    let (_folder, path) = copy_of("general-hospital");
    fs::remove_file(format!("{path}/ct.expected.toml")).unwrap();
    fs::write(format!("{path}/final.expected.toml"), "[[report]]\noutcome = 7\n").unwrap();
    fs::write(format!("{path}/gone.expected.toml"), "report = []\n").unwrap();
    let ran = test_profile(&[&path]);
    assert_eq!(ran.code, 65, "{}", ran.out);
    for words in ["no ct.expected.toml", "final.expected.toml:2", "no message gone.*"] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
}

#[test]
fn a_message_of_another_sender_is_told() {
    let (_folder, path) = copy_of("general-hospital");
    let message = fs::read(format!("{path}/ct.hl7")).unwrap();
    let other = String::from_utf8(message).unwrap().replace("|GENHOSP|", "|ELSEWHERE|");
    fs::write(format!("{path}/ct.hl7"), other).unwrap();
    let ran = test_profile(&["--update", &path]);
    assert!(ran.out.contains("! not read by this profile"), "{}", ran.out);
}

#[test]
fn exit_codes_tell_a_wrong_profile_from_a_missing_folder() {
    let (_folder, path) = copy_of("general-hospital");
    fs::write(format!("{path}/profile.toml"), "sender = 1\n").unwrap();
    let wrong = test_profile(&[&path]);
    assert_eq!(wrong.code, 78, "{}", wrong.err);
    assert!(wrong.err.contains("profile.toml:1"), "{}", wrong.err);
    assert_eq!(test_profile(&["no/such/folder"]).code, 66);
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("profile.toml"), ANY).unwrap();
    let ran = test_profile(&[empty.path().to_str().unwrap()]);
    assert_eq!(ran.code, 66);
    assert!(ran.err.contains("holds no message"), "{}", ran.err);
}
