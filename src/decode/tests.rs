use super::*;

fn only(payload: &[u8]) -> Decoded {
    let mut decoded = decode(payload, &DecodeOptions::default());
    assert_eq!(decoded.len(), 1);
    decoded.remove(0)
}

#[test]
fn nothing_and_nonsense_are_rejected_with_their_class() {
    for (payload, class) in [
        (&b""[..], RejectionClass::Empty),
        (b" \r\n\0", RejectionClass::Empty),
        (b"hello", RejectionClass::UnknownFormat),
        (b"<ORU_R01/>", RejectionClass::UnknownFormat),
        (b"{\"resourceType\":\"DiagnosticReport\"", RejectionClass::Truncated),
    ] {
        assert!(
            matches!(only(payload), Decoded::Rejected(r) if r.class == class),
            "{payload:?} should be {class:?}"
        );
    }
}

#[test]
fn a_payload_over_the_limit_is_not_read() {
    let options = DecodeOptions { max_payload_bytes: 3, ..DecodeOptions::default() };
    let decoded = decode(b"MSH|", &options);
    assert!(matches!(&decoded[..],
        [Decoded::Rejected(r)] if r.class == RejectionClass::Oversize));
}

#[test]
fn names_of_rejection_classes_are_distinct() {
    let mut names: Vec<_> = RejectionClass::ALL.iter().map(|c| c.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RejectionClass::ALL.len());
}

#[test]
fn a_place_in_many_bundles_is_cut_to_its_end() {
    let mut bundle = String::from(r#"{"resourceType":"DiagnosticReport","status":7}"#);
    for _ in 0..12 {
        bundle = format!(
            r#"{{"resourceType":"Bundle","type":"history","entry":[{{"resource":{bundle}}}]}}"#
        );
    }
    for decoded in decode(bundle.as_bytes(), &DecodeOptions::default()) {
        if let Decoded::Rejected(rejection) = decoded {
            assert!(rejection.location.len() <= LONGEST_PLACE + 3, "{}", rejection.location);
        }
    }
}
