use super::reference::{LEAST_REPORTS, ReferenceError, read, write};
use super::*;

fn close(got: f64, wanted: f64) {
    assert!((got - wanted).abs() < 1e-6, "{got}, by hand {wanted}");
}

#[test]
fn the_index_is_what_it_is_by_hand() {
    close(psi(&[50, 50], &[500, 500]), 0.0);
    // (0.6 - 0.5) ln(0.6 / 0.5) + (0.4 - 0.5) ln(0.4 / 0.5) = 0.1 * 0.182322 + 0.1 * 0.223144
    close(psi(&[50, 50], &[60, 40]), 0.040_546_511);
    close(psi(&[60, 40], &[50, 50]), 0.040_546_511);
    // 0.2 -> 0.1, 0.3 -> 0.3, 0.5 -> 0.6: 0.1 ln 2 + 0 + 0.1 ln 1.2
    close(psi(&[20, 30, 50], &[10, 30, 60]), 0.069_314_718 + 0.018_232_156);
    // An empty bin counts as 0.0001: (0.9 - 1) ln 0.9 + (0.1 - 0.0001) ln 1000
    close(psi(&[100, 0], &[90, 10]), 0.010_536_052 + 0.0999 * 6.907_755_279);
    close(psi(&[0, 0], &[1, 2]), 0.0);
    close(psi(&[1, 2], &[0, 0]), 0.0);
}

fn report(status: FindingStatus, confidence: f32, tokens: usize) -> Observed {
    let mut labels = [FindingStatus::NotMentioned; OBSERVATIONS];
    labels[Observation::Edema as usize] = status;
    Observed { labels, confidence, tokens, tokens_per_word: 1.15, doubted: confidence < 0.8 }
}

#[test]
fn every_report_stands_in_one_bin_of_each_histogram() {
    let mut counts = Counts::default();
    for (confidence, tokens) in [(0.0, 0), (0.5, 16), (0.98, 255), (1.0, 256), (f32::NAN, 9_999)] {
        counts.add(&report(FindingStatus::Positive, confidence, tokens));
    }
    assert_eq!(counts.confidence, [1, 1, 0, 0, 0, 0, 0, 0, 1, 2], "an edge belongs to the next");
    assert_eq!(counts.length, [1, 1, 0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(counts.words, [0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(counts.labels[Observation::Edema as usize], [0, 5, 0, 0]);
    assert_eq!((counts.reports, counts.doubted), (5, 2));
}

#[test]
fn a_shift_of_one_observation_is_found_where_it_is() {
    let (mut reference, mut window) = (Counts::default(), Counts::default());
    for n in 0..1_000 {
        let usual = if n % 10 == 0 { FindingStatus::Positive } else { FindingStatus::NotMentioned };
        reference.add(&report(usual, 0.95, 40));
        let outbreak = if n % 10 < 4 { FindingStatus::Positive } else { usual };
        window.add(&report(outbreak, 0.95, 40));
    }
    let drifts = compare(&reference, &window);
    assert_eq!(drifts.len(), OBSERVATIONS + 4);
    let worst = worst(&drifts).unwrap();
    assert_eq!((worst.figure, worst.observation), ("labels", Some(Observation::Edema)));
    // 0.1 -> 0.4 and 0.9 -> 0.6: 0.3 ln 4 + 0.3 ln 1.5
    close(worst.psi, 0.415_888_308 + 0.121_639_532);
    assert!(worst.psi > ACT);
    assert!(drifts.iter().filter(|drift| **drift != worst).all(|drift| drift.psi < 1e-9));
}

#[test]
fn the_window_forgets_and_is_never_longer_than_it_should_be() {
    let mut window = Window::new(20);
    let full: Vec<_> = (0..50)
        .filter_map(|n| {
            let status = if n < 20 { FindingStatus::Positive } else { FindingStatus::NotMentioned };
            window.add(&report(status, 0.95, 40))
        })
        .collect();
    assert_eq!(full.len(), 4, "after 20, 30, 40 and 50 reports");
    assert!(full.iter().all(|counts| counts.reports == 20));
    let positive: Vec<_> =
        full.iter().map(|counts| counts.labels[Observation::Edema as usize][1]).collect();
    assert_eq!(positive, [20, 10, 0, 0]);
}

fn reference() -> Counts {
    let mut counts = Counts::default();
    for n in 0..LEAST_REPORTS {
        counts.add(&report(FindingStatus::Negative, 0.75, usize::try_from(n).unwrap()));
    }
    counts
}

#[test]
fn a_reference_is_read_back_for_its_own_model_only() {
    let text = write(&reference(), "aa").unwrap();
    assert_eq!(read(text.as_bytes(), "aa"), Ok(reference()));
    let other = ReferenceError::OtherModel { made_with: "aa".into(), model: "bb".into() };
    assert_eq!(read(text.as_bytes(), "bb"), Err(other));
}

#[test]
fn a_reference_that_contradicts_itself_is_refused_by_name() {
    let refused = |change: &dyn Fn(&mut serde_json::Value)| {
        let text = write(&reference(), "aa").unwrap();
        let mut json = serde_json::from_str(&text).unwrap();
        change(&mut json);
        read(json.to_string().as_bytes(), "aa").unwrap_err().to_string()
    };
    for (part, wanted) in [
        (refused(&|json| json["format_version"] = 9.into()), "format_version is 9"),
        (refused(&|json| json["labels"]["edema"][0] = 7.into()), "`edema` does not add up"),
        (refused(&|json| json["length"]["counts"][3] = 77.into()), "`length` does not add up"),
        (refused(&|json| json["confidence"]["below"][0] = 0.1.into()), "`confidence` has other"),
        (refused(&|json| json["reports"] = 3.into()), "of 3 reports"),
        (refused(&|json| json["doubted"] = 999.into()), "`doubted`"),
        (refused(&|json| json["labels"] = 1.into()), "not a reference"),
    ] {
        assert!(part.contains(wanted), "{wanted} in {part}");
    }
}
