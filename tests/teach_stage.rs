//! Stage teach on real Kafka: each escalation ends in exactly one revision, whatever fails.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop there")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use radstream::demo::teacher::{Failures, Fault, TeacherOptions};
use radstream::publish::{FindingsEvent, Provenance, SampleKind, WITHDRAWN_TYPE};
use radstream::report::ReportStatus;
use support::escalations::{Case, now_ms};
use support::processes::RadstreamCommand;
use support::records::Message;
use support::teach::{GRACE, PATIENCE, RUN, Teach, ends_well};

#[test]
fn ten_kills_and_a_teacher_that_fails_every_fifth_time_leave_one_revision_each() {
    const ESCALATIONS: usize = 5_000;
    const WINDOW: usize = 64;
    const KILLS: usize = 10;
    let slow_for = Duration::from_millis(100);
    let failures = Failures { slow_for, ..Failures::all_evenly(0.2, 7) };
    let options = TeacherOptions { failures, ..TeacherOptions::default() };
    let teach = Teach::create("teach-killed", 2, options);
    let cases: Vec<Case> = (0..ESCALATIONS).map(Case::of_series).collect();
    teach.escalate(&cases);
    let more = format!("window = {WINDOW}\nretry_delay_s = 1");
    let start = |instance: &str| {
        let config = teach.config(instance, &more, "timeout_s = 1");
        RadstreamCommand::new(&RUN).config(&config).spawn()
    };
    let mut processes = [start("a"), start("b")];
    let findings = teach.topic("findings");
    let mut reader = teach.broker.reader(&[&findings]);
    for round in 0..KILLS {
        let mark = ESCALATIONS * (round + 1) / (KILLS + 4) + (round * 7919 + 101) % 97;
        let seen = reader.until("revisions before a kill", PATIENCE, |m| m.len() >= mark).len();
        assert!(seen < ESCALATIONS, "the kill must fall while there is work");
        let victim = &mut processes[round % 2];
        victim.kill();
        *victim = start(["a", "b"][round % 2]);
    }
    reader.until("all revisions", PATIENCE, |messages| messages.len() >= ESCALATIONS);
    processes.into_iter().for_each(ends_well);

    let outcomes = teach.assert_each_ended_once();
    let counts = teach.server.counts();
    println!("{outcomes:?}\n{counts:?}");
    let answered = outcomes.get("teacher").copied().unwrap_or(0);
    assert!(answered > ESCALATIONS * 9 / 10, "{outcomes:?}");
    for fault in Fault::ALL {
        assert!(counts.of(fault) > 0, "{fault:?} never happened");
    }
    // Valid answers that were paid for: one for each text, and what was under way at a kill.
    let valid = counts.answered_well + counts.slow;
    let allowed = ESCALATIONS * 105 / 100 + KILLS * WINDOW;
    assert!(valid as usize <= allowed, "{valid} valid answers, {allowed} allowed");
    let samples = teach.samples();
    assert_eq!(samples.len(), answered, "a sample for each answer");
    assert_eq!(samples.iter().map(|s| s.event_id).collect::<BTreeSet<_>>().len(), answered);
}

#[test]
fn a_revision_and_its_sample_say_who_decided_what() {
    let teach = Teach::create("teach-says", 1, TeacherOptions::default());
    teach.escalate(&[Case::new("A1", "Maria Okonkwo: small left pleural effusion. Normal heart.")]);
    teach.until_end("");
    assert_eq!(teach.assert_each_ended_once(), BTreeMap::from([("teacher".to_owned(), 1)]));
    let revision = teach.revisions().remove(0);
    assert_eq!(revision.provenance, Provenance::Teacher);
    assert_eq!(revision.teacher.as_ref().unwrap().provider, "stub");
    let effusion = &revision.findings[9];
    assert_eq!((&*effusion.observation, &*effusion.status), ("pleural_effusion", "positive"));
    assert_eq!(effusion.decided_by, "teacher");
    let opinion = effusion.second_opinion.as_ref().unwrap();
    assert!(opinion.teacher_confidence.is_some(), "from log-probabilities");
    assert_eq!(opinion.teacher_status, "positive");
    assert!(effusion.evidence.is_some());

    let sample = teach.samples().remove(0);
    assert_eq!(sample.kind, SampleKind::Sample);
    let text: String = sample.sections.iter().map(|section| section.text.to_string()).collect();
    assert!(text.contains("pleural effusion") && !text.contains("Okonkwo"), "{text}");
    assert_eq!(sample.labels[9].teacher_status.as_deref(), Some("positive"));
    // What reached the teacher has no name in it either.
    let asked = teach.server.requests();
    assert_eq!(asked.len(), 1);
    assert!(!asked[0].user.contains("Okonkwo") && !asked[0].user.contains("Maria"));
}

#[test]
fn a_sample_says_what_a_shadow_makes_of_it_and_a_shadow_that_is_missing_costs_nothing() {
    for (name, model, answers) in
        [("teach-shadow", "models/default", true), ("teach-shadowless", "models/missing", false)]
    {
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
        let teach = Teach::create(name, 1, TeacherOptions::default());
        teach.escalate(&[Case::new("A1", "Small left pleural effusion. Normal heart.")]);
        teach.until_end(&format!("[shadow]\nmodel = {:?}\n", model.display().to_string()));
        assert_eq!(teach.assert_each_ended_once(), BTreeMap::from([("teacher".to_owned(), 1)]));
        let sample = teach.samples().remove(0);
        let Some(shadow) = sample.shadow.filter(|_| answers) else {
            assert!(!answers, "the shadow was asked");
            continue;
        };
        let manifest = std::fs::read(model.join("manifest.json")).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(shadow.model.version, manifest["version"]);
        // The student in service is the rules: these are another's words.
        assert_ne!(sample.student.unwrap().sha256, shadow.model.sha256);
        assert_eq!(shadow.labels.len(), sample.labels.len());
        let effusion = &shadow.labels[9];
        assert_eq!((&*effusion.observation, &*effusion.status), ("pleural_effusion", "positive"));
        assert!(effusion.confidence > 0.5);
    }
}

#[test]
fn what_cannot_be_deidentified_reaches_no_teacher_that_is_not_local() {
    let teach = Teach::create("teach-closed", 1, TeacherOptions::default());
    teach.escalate(&[Case { patient: None, ..Case::of_series(1) }]);
    teach.until_end("");
    assert_eq!(teach.assert_each_ended_once(), BTreeMap::from([("teacher_failed".to_owned(), 1)]));
    let revision = teach.revisions().remove(0);
    assert_eq!(revision.teacher_problem.as_deref(), Some("deidentification"));
    assert!(revision.needs_review && revision.review_reasons == ["teacher_failed"]);
    assert_eq!(revision.provenance, Provenance::Student);
    assert!(teach.server.requests().is_empty(), "not asked");
    assert!(teach.samples().is_empty());
}

#[test]
fn an_older_version_a_spent_budget_and_old_age_have_their_own_ends() {
    let teach = Teach::create("teach-ends", 1, TeacherOptions::default());
    let newer = Case { changed_at_ms: 1_700_000_900_000, ..Case::of_series(1) };
    // The newer version stands first: a sender repeated an old one.
    teach.escalate(&[newer, Case::of_series(1)]);
    let hour_ago = now_ms() - 3_600_000;
    teach.escalate(&[Case { escalated_at_ms: hour_ago, ..Case::of_series(2) }]);
    teach.until_end("give_up_after_s = 600");
    let ended = teach.assert_each_ended_once();
    let expected = [("superseded", 1), ("teacher", 1), ("teacher_failed", 1)];
    assert_eq!(ended, expected.map(|(name, count)| (name.to_owned(), count)).into());
    assert_eq!(teach.server.counts().requests, 1, "the others were not asked about");
    let problems: Vec<_> =
        teach.revisions().into_iter().filter_map(|r| r.teacher_problem).collect();
    assert_eq!(problems, ["expired"]);

    teach.escalate(&[Case::of_series(3)]);
    teach.until_end("daily_tokens = 10");
    assert_eq!(teach.assert_each_ended_once().get("budget_exhausted"), Some(&1));
}

#[test]
fn what_became_of_a_report_since_is_known_to_the_second_opinion() {
    let teach = Teach::create("teach-marks", 1, TeacherOptions::default());
    let (corrected, retracted) = (Case::of_series(1), Case::of_series(2));
    // Before the escalations: a sender that repeats old messages.
    let records = [
        corrected.marker(ReportStatus::Corrected, 1_000),
        retracted.marker(ReportStatus::Retracted, 1_000),
        corrected.record(),
        retracted.record(),
    ];
    teach.broker.produce(&teach.topic("escalations"), records);
    teach.until_end("");
    let outcomes: Vec<_> =
        teach.revisions().into_iter().map(|r| r.teacher_outcome.unwrap().to_string()).collect();
    assert_eq!(outcomes, ["superseded", "superseded"]);
    assert_eq!(teach.server.counts().requests, 0, "nobody was asked");
    let strikes = teach.broker.read_committed_all(&teach.topic("distillation"));
    assert_eq!(strikes.len(), 1, "for the retraction alone");

    // Behind the escalation, as it is in a feed: asked about or not by then, no sample outlives it.
    let late = Case::of_series(3);
    let records = [late.record(), late.marker(ReportStatus::Retracted, 1_000)];
    teach.broker.produce(&teach.topic("escalations"), records);
    teach.until_end("");
    assert_eq!(teach.revisions().len(), 3);
    let of_late = |message: &Message| message.key_text() == Some("RIS|A3");
    let samples = teach.broker.read_committed_all(&teach.topic("distillation"));
    let last = samples.into_iter().rfind(of_late).expect("a null value");
    assert_eq!(last.value, None);
    assert_eq!(last.header("ce_type"), Some(WITHDRAWN_TYPE));
    assert_eq!(teach.broker.read_committed_all(&teach.topic("dead")), []);
}

#[test]
fn an_escalation_that_goes_unanswered_waits_in_the_retry_topic() {
    let failures = Failures::always(Fault::ServerError);
    let options = TeacherOptions { failures, ..TeacherOptions::default() };
    let teach = Teach::create("teach-retry", 1, options);
    teach.escalate(&[Case::of_series(1)]);
    let config = teach.config("only", "attempts = 1\nretry_delay_s = 1", "");
    let process = RadstreamCommand::new(&RUN).config(&config).spawn();
    let (retries, findings) = (teach.topic("retries"), teach.topic("findings"));
    let mut put_off = teach.broker.reader(&[&retries]);
    put_off.until("two records put off", PATIENCE, |messages| messages.len() >= 2);
    let attempts: Vec<_> = put_off
        .read_to_end()
        .iter()
        .take(2)
        .map(|message| message.header("radstream.retry.attempt").unwrap().to_owned())
        .collect();
    assert_eq!(attempts, ["1", "2"]);
    teach.server.set_failures(Failures::default());
    teach.broker.reader(&[&findings]).until("the revision", PATIENCE, |m| !m.is_empty());
    ends_well(process);
    assert_eq!(teach.assert_each_ended_once(), BTreeMap::from([("teacher".to_owned(), 1)]));
}

#[test]
fn escalations_wait_for_a_dead_teacher_and_are_worked_off_when_it_comes_back() {
    const REPORTS: u64 = 600;
    let teach = Teach::create("teach-dead", 2, TeacherOptions::default());
    teach.server.set_down(true);
    let stage = support::stage::Stage { broker: teach.broker, name: teach.name };
    stage.feed(23, REPORTS);
    let config = teach.config("teach", "window = 8", "concurrency = 4\ntimeout_s = 5");
    let process = RadstreamCommand::new(&RUN).config(&config).spawn();
    // Stage label does all its work meanwhile.
    let config = teach.config("label", "", "");
    let ran = RadstreamCommand::new(&["run", "--until-end"]).config(&config).run(PATIENCE);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let on_topic = teach.broker.read_committed_all(&teach.topic("escalations"));
    // Without a value are the markers of what became of a report: they ask for no second opinion.
    let escalated = on_topic.iter().filter(|message| message.value.is_some()).count();
    assert!(escalated > 100, "{escalated}");
    // What cannot be de-identified is not asked about: it has its end already.
    let refused = |event: &FindingsEvent<'_>| {
        event.revision == 1 && event.teacher_problem.as_deref() == Some("deidentification")
    };
    let before = teach.revisions();
    assert!(before.iter().all(|event| event.revision == 0 || refused(event)), "nobody answered");
    let labelled = before.iter().filter(|event| event.revision == 0).count();

    support::server::wait_until("a call in vain", PATIENCE, || {
        (teach.server.counts().closed_while_down > 0).then_some(())
    });
    teach.server.set_down(false);
    let findings = teach.topic("findings");
    let all = labelled + escalated;
    teach.broker.reader(&[&findings]).until("a revision each", PATIENCE, |m| m.len() >= all);
    ends_well(process);
    let revisions: Vec<_> = teach.revisions().into_iter().filter(|e| e.revision == 1).collect();
    let answered = revisions.iter().filter(|e| e.teacher_outcome.as_deref() == Some("teacher"));
    let (answered, refused) = (answered.count(), revisions.iter().filter(|e| refused(e)).count());
    println!("{escalated} escalations, {answered} answered, {refused} not de-identified");
    assert_eq!(revisions.len(), escalated);
    assert!(answered > escalated / 2);
    let ended: BTreeSet<_> =
        revisions.iter().map(|event| (event.source.partition, event.source.offset)).collect();
    assert_eq!(ended.len(), escalated, "one each");
    let counts = teach.server.counts();
    assert!(counts.most_at_once <= 4, "{counts:?}");
    assert!(counts.closed_while_down > 0, "it was asked in vain: {counts:?}");
}

#[test]
fn a_stage_without_a_teacher_does_not_start() {
    let ran = RadstreamCommand::new(&RUN).config("").run(GRACE);
    assert_eq!(ran.code, Some(78), "{}", ran.stderr);
    assert!(ran.stderr.contains("teacher.providers"), "{}", ran.stderr);
}

#[test]
fn a_second_run_until_the_end_finds_nothing_to_do_and_ends() {
    let teach = Teach::create("teach-again", 2, TeacherOptions::default());
    let cases: Vec<Case> = (0..6).map(Case::of_series).collect();
    teach.escalate(&cases);
    teach.until_end("");
    assert_eq!(teach.assert_each_ended_once(), BTreeMap::from([("teacher".to_owned(), 6)]));
    teach.until_end("");
    assert_eq!(teach.server.counts().requests, 6);
    assert_eq!(teach.assert_each_ended_once(), BTreeMap::from([("teacher".to_owned(), 6)]));
}
