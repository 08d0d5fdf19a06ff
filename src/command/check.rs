//! `radstream check`: says everything that is wrong, and what to do, before it matters.
//!
//! First the configuration, all problems at once. Then, unless offline, what it names: brokers,
//! topics, rights, registry, ONNX Runtime, model. It joins no group, writes no record and fences
//! nobody, so it may run beside the processes in service.

mod registry;

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::exit;
use crate::broker::admin::{AdminError, Cluster, TopicState};
use crate::config::{self, Guarantee, Labeler, Settings};

/// Longest wait for each answer of the cluster.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A question about this machine: what was found, or what is wrong and the remedy, one a line.
pub type Question<'a> = &'a dyn Fn(&Settings) -> Result<String, String>;

/// Checks that other modules bring.
#[derive(Clone, Copy)]
pub struct LocalChecks<'a> {
    /// ONNX Runtime and the execution provider of `student.device` can be loaded.
    pub runtime: Question<'a>,
    /// The model folder is complete and its self-test passes.
    pub model: Question<'a>,
}

/// Checks a configuration and what it names; returns the exit code: of the first thing that is
/// wrong, else 0.
///
/// `path` `None` means no file. `environment` is usually [`config::process_environment`].
pub fn check(
    path: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    offline: bool,
    local: LocalChecks<'_>,
    out: &mut dyn Write,
) -> u8 {
    check_with(path, environment, (!offline).then_some(TIMEOUT), local, out).unwrap_or(exit::IO)
}

/// `timeout` `None` is offline.
fn check_with(
    path: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    timeout: Option<Duration>,
    local: LocalChecks<'_>,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let mut list = List { out, code: exit::OK, wrong: 0 };
    let file =
        path.map_or_else(|| "defaults and environment".to_owned(), |p| p.display().to_string());
    match config::load(path, environment) {
        Ok(settings) => {
            list.good("configuration", &file)?;
            advice(&settings, &mut list)?;
            if let Some(timeout) = timeout {
                kafka(&settings, timeout, &mut list)?;
                schema_registry(&settings, &mut list)?;
                student(&settings, local, &mut list)?;
            } else {
                list.skipped("live checks", "offline")?;
            }
        }
        Err(problems) => {
            for problem in &problems.0 {
                writeln!(list.out, "✗ {problem}\n")?;
            }
            list.wrong = problems.0.len();
            list.code = exit::CONFIGURATION;
            list.skipped("live checks", "the configuration comes first")?;
        }
    }
    list.end()
}

/// What is allowed, and yet better otherwise.
fn advice(s: &Settings, list: &mut List<'_>) -> io::Result<()> {
    for advice in config::advice(s) {
        list.note(advice.key, &advice.what, advice.remedy)?;
    }
    if s.topics.replication_factor == 1 {
        let what = "topics create makes one copy: a lost broker loses reports";
        list.note("topics.replication_factor", what, "set it to 3 for anything but trials")?;
    }
    Ok(())
}

fn kafka(s: &Settings, timeout: Duration, list: &mut List<'_>) -> io::Result<()> {
    let cluster = match Cluster::connect(s, timeout) {
        Ok(cluster) => cluster,
        Err(problem) => {
            list.bad(
                "brokers",
                &problem.to_string(),
                remedy(&problem),
                exit::of_admin_error(&problem),
            )?;
            return list.skipped("topics and rights", "no answer from the brokers");
        }
    };
    let found = format!("{} at {}", cluster.brokers(), s.kafka.bootstrap_servers);
    list.good("brokers", &found)?;
    for name in &s.topics.reports {
        if topic(&cluster, name, list)?.is_some() {
            rights(cluster.try_read(name), &format!("read {name}"), list)?;
        }
    }
    let findings = topic(&cluster, &s.topics.findings, list)?;
    let escalations = topic(&cluster, &s.topics.escalations, list)?;
    topic(&cluster, &s.topics.dead_letters, list)?;
    if !s.topics.distillation.is_empty() {
        topic(&cluster, &s.topics.distillation, list)?;
    }
    let teaches = !s.teacher.providers.is_empty();
    if teaches {
        topic(&cluster, &s.topics.retries, list)?;
    }
    if let (Some(findings), Some(escalations)) = (findings, escalations)
        && findings.partitions != escalations.partitions
    {
        list.note(
            "partitions",
            "findings and escalations have different numbers; versions of a report may pass each \
             other",
            "give both the same number",
        )?;
    }
    if let Some(name) = s.topics.reports.first() {
        rights(cluster.try_group(name), &format!("group {}", s.kafka.group), list)?;
    }
    if teaches {
        teacher(s, list)?;
    }
    list.skipped("write rights", &write_rights(s))
}

/// The settings of the teacher make a client; nobody is called, since a call costs.
fn teacher(s: &Settings, list: &mut List<'_>) -> io::Result<()> {
    match super::assemble::teacher::teacher(s) {
        Ok(_) => {
            let names: Vec<&str> = s.teacher.providers.iter().map(|p| p.name.as_str()).collect();
            list.good(
                "teacher",
                &format!("{} (not called; `radstream teacher try` does)", names.join(", ")),
            )
        }
        Err(problem) => {
            let remedy = "correct teacher.providers (docs/TEACHER.md)";
            list.bad("teacher", &problem.to_string(), remedy, exit::CONFIGURATION)
        }
    }
}

/// Kafka has no dry run of a write, and taking the transactional id would fence the process in
/// service: the ACLs are named instead.
fn write_rights(s: &Settings) -> String {
    let mut text = "not tried (that would write); needed: Write on the output topics".to_owned();
    if s.delivery.guarantee == Guarantee::ExactlyOnce {
        text.push_str(&format!(", Write on transactional id {}", s.kafka.transactional_id()));
    }
    text
}

fn topic(cluster: &Cluster, name: &str, list: &mut List<'_>) -> io::Result<Option<TopicState>> {
    let item = format!("topic {name}");
    match cluster.topic(name) {
        Ok(Some(state)) if state.leaderless > 0 => {
            let what =
                format!("{} of {} partitions have no leader", state.leaderless, state.partitions);
            list.bad(&item, &what, "bring the missing brokers back", exit::UNAVAILABLE)?;
            Ok(Some(state))
        }
        Ok(Some(state)) => {
            let plural = |count: usize, one: &str, many: &str| {
                format!("{count} {}", if count == 1 { one } else { many })
            };
            let partitions = plural(state.partitions, "partition", "partitions");
            let copies = plural(state.copies, "copy", "copies");
            list.good(&item, &format!("{partitions}, {copies}"))?;
            Ok(Some(state))
        }
        Ok(None) => {
            let remedy =
                "create it with `radstream topics create`, or correct its name in [topics]";
            list.bad(&item, "it does not exist", remedy, exit::CONFIGURATION)?;
            Ok(None)
        }
        Err(problem) => {
            list.bad(
                &item,
                &problem.to_string(),
                remedy(&problem),
                exit::of_admin_error(&problem),
            )?;
            Ok(None)
        }
    }
}

fn rights(tried: Result<(), AdminError>, item: &str, list: &mut List<'_>) -> io::Result<()> {
    match tried {
        Ok(()) => list.good(item, "allowed"),
        Err(problem) => {
            list.bad(item, &problem.to_string(), remedy(&problem), exit::of_admin_error(&problem))
        }
    }
}

const fn remedy(problem: &AdminError) -> &'static str {
    match problem {
        AdminError::Configuration(_) => "correct the kafka section",
        AdminError::Unreachable { .. } => {
            "start the brokers, or correct kafka.bootstrap_servers; a TLS listener needs \
             kafka.tls.enabled = true"
        }
        AdminError::Authentication { .. } => {
            "correct kafka.sasl (mechanism, user, password, token) or kafka.tls (ca_file, \
             verify_hostname)"
        }
        AdminError::NotAuthorised { .. } => "give this principal the missing ACL",
        AdminError::NoAdministration => "create topics with kafka-topics.sh",
        AdminError::Failed { .. } => "look into the brokers' logs",
    }
}

fn schema_registry(s: &Settings, list: &mut List<'_>) -> io::Result<()> {
    if s.schema_registry.url.is_empty() {
        return list.skipped("schema registry", "none configured; Avro single-object encoding");
    }
    match registry::ask(s) {
        Ok(found) => list.good("schema registry", &found),
        Err(objection) => {
            list.bad("schema registry", &objection.what, &objection.remedy, objection.code)
        }
    }
}

fn student(s: &Settings, local: LocalChecks<'_>, list: &mut List<'_>) -> io::Result<()> {
    if s.student.labeler == Labeler::Rules {
        return list.skipped("model", "student.labeler is \"rules\"");
    }
    for (item, question) in [("ONNX Runtime", local.runtime), ("model", local.model)] {
        match question(s) {
            Ok(found) => list.good(item, &found)?,
            Err(told) => {
                let (what, remedy) = told.split_once('\n').unwrap_or((&told, "correct [student]"));
                list.bad(item, what, remedy, exit::CONFIGURATION)?;
            }
        }
        list.out.flush()?;
    }
    Ok(())
}

/// The list as it is printed.
struct List<'o> {
    out: &'o mut dyn Write,
    code: u8,
    wrong: usize,
}

impl List<'_> {
    fn good(&mut self, item: &str, found: &str) -> io::Result<()> {
        writeln!(self.out, "✓ {item:<30} {found}")
    }

    fn note(&mut self, item: &str, what: &str, remedy: &str) -> io::Result<()> {
        writeln!(self.out, "! {item:<30} {what}\n    → {remedy}")
    }

    fn skipped(&mut self, item: &str, why: &str) -> io::Result<()> {
        writeln!(self.out, "– {item:<30} {why}")
    }

    fn bad(&mut self, item: &str, what: &str, remedy: &str, code: u8) -> io::Result<()> {
        self.wrong += 1;
        if self.code == exit::OK {
            self.code = code;
        }
        writeln!(self.out, "✗ {item:<30} {what}\n    → {}", remedy.trim())
    }

    fn end(self) -> io::Result<u8> {
        match self.wrong {
            0 => writeln!(self.out, "\nall is well")?,
            1 => writeln!(self.out, "\n1 problem")?,
            count => writeln!(self.out, "\n{count} problems")?,
        }
        self.out.flush()?;
        Ok(self.code)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;

    use super::*;

    /// An address where nobody listens: the port was ours a moment ago.
    pub(in crate::command) fn nobody() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    }

    fn checked(text: &str, timeout: Option<Duration>, local: LocalChecks<'_>) -> (u8, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("radstream.toml");
        std::fs::write(&path, text).unwrap();
        let mut out = Vec::new();
        let code = check_with(Some(&path), std::iter::empty(), timeout, local, &mut out).unwrap();
        let told = String::from_utf8(out).unwrap();
        (code, told.replace(&path.display().to_string(), "radstream.toml"))
    }

    const FINE: LocalChecks<'_> =
        LocalChecks { runtime: &|_| Ok("1.2".to_owned()), model: &|_| Ok("m".to_owned()) };

    #[test]
    fn offline_only_the_configuration_is_checked() {
        let refuse: Question<'_> = &|_| panic!("asked while offline");
        let local = LocalChecks { runtime: refuse, model: refuse };
        let (code, told) = checked("[topics]\nreplication_factor = 1", None, local);
        assert_eq!(code, exit::OK);
        insta::assert_snapshot!(told, @r#"
        ✓ configuration                  radstream.toml
        ! topics.replication_factor      topics create makes one copy: a lost broker loses reports
            → set it to 3 for anything but trials
        – live checks                    offline

        all is well
        "#);
    }

    #[test]
    fn a_wrong_configuration_shows_every_problem_and_asks_nobody() {
        let (code, told) =
            checked("[kafka]\ngrup = 'x'\n[memory]\nbudget_mib = 1", Some(TIMEOUT), FINE);
        assert_eq!(code, exit::CONFIGURATION);
        insta::assert_snapshot!(told, @r#"
        ✗ radstream.toml:2  kafka.grup
            there is no such key
            → did you mean kafka.group?

        ✗ radstream.toml:4  memory.budget_mib
            1 is out of bounds
            → choose 32 to 1048576

        – live checks                    the configuration comes first

        2 problems
        "#);
    }

    #[test]
    fn an_unreachable_broker_is_told_with_address_and_reason_and_the_rest_is_still_checked() {
        let servers = nobody();
        let text = format!("[kafka]\nbootstrap_servers = '{servers}'");
        let broken = LocalChecks {
            model: &|_| Err("models/default is not there\nrun make model".to_owned()),
            ..FINE
        };
        let (code, told) = checked(&text, Some(Duration::from_secs(1)), broken);
        assert_eq!(code, exit::UNAVAILABLE);
        assert!(told.contains(&format!("no Kafka broker answers at {servers}")), "{told}");
        assert!(told.contains("Connection refused"), "{told}");
        assert!(told.contains("✗ model"), "{told}");
        assert!(told.contains("→ run make model"), "{told}");
        assert!(told.ends_with("2 problems\n"), "{told}");
    }

    #[test]
    fn missing_topics_are_told_and_those_that_are_there_are_tried() {
        let mock = MockCluster::<DefaultProducerContext>::new(1).unwrap();
        mock.create_topic("radiology.reports", 2, 1).unwrap();
        mock.create_topic("radiology.findings", 2, 1).unwrap();
        mock.create_topic("radiology.escalations", 3, 1).unwrap();
        let servers = mock.bootstrap_servers();
        let text = format!(
            "[kafka]\nbootstrap_servers = '{servers}'\ninstance_id = 'i'\n[student]\nlabeler = 'rules'"
        );
        let (code, told) = checked(&text, Some(Duration::from_secs(5)), FINE);
        assert_eq!(code, exit::CONFIGURATION, "{told}");
        insta::assert_snapshot!(told.replace(&servers, "(mock)"), @r#"
        ✓ configuration                  radstream.toml
        ✓ brokers                        1 at (mock)
        ✓ topic radiology.reports        2 partitions, 1 copy
        ✓ read radiology.reports         allowed
        ✓ topic radiology.findings       2 partitions, 1 copy
        ✓ topic radiology.escalations    3 partitions, 1 copy
        ✗ topic radiology.dead-letters   it does not exist
            → create it with `radstream topics create`, or correct its name in [topics]
        ✗ topic radiology.distillation   it does not exist
            → create it with `radstream topics create`, or correct its name in [topics]
        ! partitions                     findings and escalations have different numbers; versions of a report may pass each other
            → give both the same number
        ✓ group radstream.label          allowed
        – write rights                   not tried (that would write); needed: Write on the output topics, Write on transactional id radstream.label.i
        – schema registry                none configured; Avro single-object encoding
        – model                          student.labeler is "rules"

        2 problems
        "#);
    }
}
