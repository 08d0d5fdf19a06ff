//! Least privilege: the rights that `docs/CONFIGURATION.md` lists are enough, and each is needed.

use radstream::command::rights::needed;
use radstream::command::run::Stage as StageName;
use radstream::config;
use radstream::demo::teacher::{Failures, Fault, TeacherOptions, TeacherServer};

use super::support::acls::{Grant, grant};
use super::support::escalations::Case as Report;
use super::support::processes::{Finished, Radstream, RadstreamCommand};
use super::support::records::{NewRecord, await_decided};
use super::support::stage::Stage;
use super::{PASSWORD, PATIENCE, Secured, scram};

/// Processes at one time: each takes some 100 MB.
const AT_ONCE: usize = 4;

/// A row of the table, with the settings' names in its resource.
#[derive(Clone, Debug)]
struct Row {
    operation: String,
    kind: String,
    setting: String,
}

impl Row {
    /// The right that it means for a group, with the topics of a stage called `name`.
    fn right(&self, name: &str, group: &str) -> Grant {
        let named = [
            ("topics.reports", format!("{name}.in")),
            ("topics.findings", format!("{name}.findings")),
            ("topics.escalations", format!("{name}.escalations")),
            ("topics.distillation", format!("{name}.distillation")),
            ("topics.retries", format!("{name}.retries")),
            ("topics.dead_letters", format!("{name}.dead")),
            ("kafka.group", group.to_owned()),
            ("teacher.group", group.to_owned()),
            ("<kafka.group>.<kafka.instance_id>", format!("{group}.x")),
            ("<teacher.group>.<kafka.instance_id>", format!("{group}.x")),
        ];
        let resource = named.into_iter().find(|(setting, _)| *setting == self.setting);
        let (_, resource) = resource.unwrap_or_else(|| panic!("what is {}?", self.setting));
        let (operation, kind) = (self.operation.clone(), self.kind.clone());
        Grant { user: String::new(), operation, kind, name: resource }
    }
}

/// The rights that the documentation lists for a stage.
fn documented(stage: &str) -> Vec<Row> {
    let page = include_str!("../../docs/CONFIGURATION.md");
    let rows: Vec<Row> = page
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, who, operation, resource, ..] = cells[..] else { return None };
            let (kind, rest) = resource.split_once(" `")?;
            (who == format!("stage {stage}")).then(|| Row {
                operation: operation.to_owned(),
                kind: kind.to_owned(),
                setting: rest.split('`').next().unwrap_or_default().to_owned(),
            })
        })
        .collect();
    assert!(rows.len() >= 7, "the table of rights was not found: {rows:?}");
    rows
}

/// What a principal is short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Short {
    Nothing,
    /// The right in this row.
    Of(usize),
    /// The same, but Describe is there: the topic is seen and cannot be used.
    SeesOnly(usize),
}

/// A principal, with a group of its own: what one run commits is not done for another.
#[derive(Clone, Debug)]
struct Case {
    user: String,
    short: Short,
}

fn cases(stage: &str) -> Vec<Case> {
    let rows = documented(stage);
    let mut shorts: Vec<Short> = (0..rows.len()).map(Short::Of).collect();
    let topics = (0..rows.len()).filter(|row| rows[*row].kind == "topic");
    shorts.extend(topics.map(Short::SeesOnly));
    // Last: what it commits to the retry topic must not reach the others.
    shorts.push(Short::Nothing);
    shorts
        .into_iter()
        .enumerate()
        .map(|(number, short)| Case { user: format!("{stage}-{number}"), short })
        .collect()
}

/// Every principal of these tests.
pub(super) fn users() -> Vec<String> {
    ["label", "teach"].into_iter().flat_map(cases).map(|case| case.user).collect()
}

/// Grants each principal what it has.
fn grant_all(kafka: &Secured, stage: &str, name: &str) {
    let rows = documented(stage);
    let mut grants = Vec::new();
    for case in cases(stage) {
        for (number, row) in rows.iter().enumerate() {
            let right = Grant { user: case.user.clone(), ..row.right(name, &case.user) };
            match case.short {
                Short::Of(short) if short == number => {}
                Short::SeesOnly(short) if short == number => {
                    grants.push(Grant { operation: "Describe".to_owned(), ..right });
                }
                _ => grants.push(right),
            }
        }
    }
    grant(kafka.broker.bootstrap(), &grants);
}

/// Runs all cases but the last, a few at a time, and holds each message against the right that is missing.
fn assert_each_is_told(
    stage: &str,
    name: &str,
    mut start: impl FnMut(&Case, Option<&Grant>) -> Radstream,
) {
    let rows = documented(stage);
    let mut short: Vec<(Case, Grant)> = Vec::new();
    for case in cases(stage) {
        if let Short::Of(row) | Short::SeesOnly(row) = case.short {
            let missing = rows[row].right(name, &case.user);
            short.push((case, missing));
        }
    }
    for group in short.chunks(AT_ONCE) {
        let processes: Vec<Radstream> =
            group.iter().map(|(case, missing)| start(case, Some(missing))).collect();
        for ((case, missing), mut process) in group.iter().zip(processes) {
            let code = process.wait(PATIENCE).code();
            let log = process.stderr();
            assert_eq!(code, Some(77), "{case:?} {missing:?}\n{log}");
            let Grant { operation, kind, name, .. } = missing;
            let told = format!("grant our principal {operation} on {kind} {name} (docs");
            assert!(log.contains(&told), "{case:?}: no {told:?} in:\n{log}");
        }
    }
}

fn full(stage: &str) -> Case {
    cases(stage).pop().unwrap()
}

fn config_of(kafka: &Secured, stage: &Stage<'_>, case: &Case, more: &str) -> String {
    let security = kafka.tls() + &scram(&case.user, PASSWORD);
    kafka
        .config(stage, "SASL", &(security + more))
        .replace(&format!("group = \"{}\"", stage.group()), &format!("group = \"{}\"", case.user))
}

#[test]
fn the_documented_rights_are_those_that_the_stages_need() {
    for (name, stage) in [("label", StageName::Label), ("teach", StageName::Teach)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("radstream.toml");
        let text = "[kafka]\ngroup = 'g'\ninstance_id = 'x'\n[teacher]\ngroup = 'h'\n[topics]\n\
                    reports = ['t.in']\nfindings = 't.findings'\nescalations = 't.escalations'\n\
                    distillation = 't.distillation'\nretries = 't.retries'\ndead_letters = 't.dead'\n";
        std::fs::write(&path, text).unwrap();
        let settings = config::load(Some(&path), std::iter::empty()).unwrap();
        let group = if stage == StageName::Label { "g" } else { "h" };
        let listed: Vec<String> = documented(name)
            .iter()
            .map(|row| row.right("t", group))
            .map(|right| format!("{} on {} {}", right.operation, right.kind, right.name))
            .collect();
        let known: Vec<String> = needed(&settings, stage).iter().map(ToString::to_string).collect();
        assert_eq!(listed, known, "stage {name}");
    }
}

#[test]
fn stage_label_works_with_the_documented_rights_and_names_each_that_is_missing() {
    let kafka = Secured::shared();
    let stage = Stage::create(&kafka.broker, "rights-label");
    // Enough for a retraction to be among them.
    stage.feed(1, 400);
    grant_all(kafka, "label", stage.name);
    let routing = "[routing]\nmin_confidence = 1.0\nmax_escalation_rate = 1.0\n";
    let start = |case: &Case| {
        let config = config_of(kafka, &stage, case, routing);
        RadstreamCommand::new(&["run", "--until-end"]).config(&config).spawn()
    };
    assert_each_is_told("label", stage.name, |case, _| start(case));

    let mut process = start(&full("label"));
    assert_eq!(process.wait(PATIENCE).code(), Some(0), "{}", process.stderr());
    for kind in ["findings", "escalations", "distillation", "dead"] {
        let written = kafka.broker.read_committed_all(&stage.topic(kind));
        assert!(!written.is_empty(), "nothing needed the right to write {kind}");
    }
}

#[test]
fn stage_teach_works_with_the_documented_rights_and_names_each_that_is_missing() {
    let kafka = Secured::shared();
    let stage = Stage::create(&kafka.broker, "rights-teach");
    kafka.broker.create_topic(&stage.topic("retries"), 1, &[]);
    let mut records: Vec<NewRecord> =
        (0..3).map(|number| Report::of_series(number).record()).collect();
    records.push(NewRecord::new("k", "no escalation"));
    kafka.broker.produce(&stage.topic("escalations"), records);
    grant_all(kafka, "teach", stage.name);
    let good = TeacherServer::start(TeacherOptions::default()).unwrap();
    let failures = Failures::always(Fault::ServerError);
    let failing =
        TeacherServer::start(TeacherOptions { failures, ..TeacherOptions::default() }).unwrap();
    let start = |case: &Case, server: &TeacherServer| {
        let teacher = format!(
            "[teacher]\ngroup = \"{}\"\nattempts = 1\nretry_delay_s = 1\n[[teacher.providers]]\n\
             name = \"stub\"\nbase_url = \"{}\"\nmodel = \"stub-teacher\"\n",
            case.user,
            server.base_url()
        );
        let retries = format!("[topics]\nretries = \"{}\"", stage.topic("retries"));
        let config = config_of(kafka, &stage, case, &teacher)
            // Another group for stage label: two stages of one name are refused.
            .replacen(&format!("group = \"{}\"", case.user), "group = \"not-used\"", 1)
            .replace("[topics]", &retries);
        RadstreamCommand::new(&["run", "--stage", "teach", "--until-end"]).config(&config).spawn()
    };
    assert_each_is_told("teach", stage.name, |case, missing| {
        // Only what goes unanswered is written to the retry topic.
        let waits = missing
            .is_some_and(|right| right.operation == "Write" && right.name.ends_with(".retries"));
        start(case, if waits { &failing } else { &good })
    });

    for server in [&failing, &good] {
        let mut process = start(&full("teach"), server);
        let code = process.wait(PATIENCE).code();
        let ended = Finished { code, stdout: process.stdout(), stderr: process.stderr() };
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        // The next one works off what this one has put off.
        await_decided(&kafka.broker.client(), &stage.topic("retries"));
    }
    for kind in ["findings", "distillation", "retries", "dead"] {
        let written = kafka.broker.read_committed_all(&stage.topic(kind));
        assert!(!written.is_empty(), "nothing needed the right to write {kind}");
    }
}
