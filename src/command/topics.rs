//! `radstream topics create`: creates the topics that are missing and says what it did.
//!
//! What exists is left as it is; where it differs from what we would have made, that is told.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::exit;
use crate::broker::admin::{AdminError, Cluster, TopicSpec, TopicState};
use crate::config::Settings;

/// Longest wait for each answer of the cluster.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Room for key, headers and the batch's frame beside the largest value.
const RECORD_OVERHEAD_BYTES: u64 = 64 * 1024;
/// Kafka's own default of `max.message.bytes`: we never go below.
const BROKER_MAX_MESSAGE_BYTES: u64 = 1_048_588;

/// The topics that the settings name, as we would create them.
///
/// All have the same number of partitions: findings and escalations of one report then stand in
/// partitions of one number. Findings are not compacted: a late, older version of a report would
/// remove a newer one, and readers need every version and revision to choose between them. Samples
/// are: a retraction, a null value under the report's key, must remove them from the brokers' disks.
pub fn specs(settings: &Settings) -> Vec<TopicSpec> {
    let topics = &settings.topics;
    let payload = settings.intake.max_payload_mib.saturating_mul(1 << 20);
    let record = u64::try_from(settings.publish.max_message_bytes).unwrap_or(u64::MAX);
    let inputs = topics.reports.iter().map(|name| (name, topics.reports_retention_hours, payload));
    inputs
        .chain([
            (&topics.findings, topics.findings_retention_hours, record),
            (&topics.escalations, topics.escalations_retention_hours, record),
            (&topics.distillation, topics.distillation_retention_hours, record),
            (&topics.retries, topics.escalations_retention_hours, record),
            (&topics.dead_letters, topics.dead_letters_retention_hours, record),
        ])
        .filter(|(name, ..)| !name.is_empty())
        .map(|(name, hours, bytes)| {
            let mut config = topic_config(topics.replication_factor, hours, bytes);
            if *name == topics.distillation {
                config.extend(compaction(hours));
            }
            if topics.reports.contains(name) {
                // The brokers then open and measure what senders compressed. The client library would
                // open a few MiB of gzip to gigabytes.
                config.insert("compression.type", "uncompressed".to_owned());
            }
            TopicSpec {
                name: name.clone(),
                partitions: topics.partitions,
                copies: topics.replication_factor,
                config,
            }
        })
        .collect()
}

/// A sample stays readable for a day at least, so that a store which follows the topic sees each. A
/// null value stays as long as samples do: a store that was away for less misses none.
fn compaction(retention_hours: i64) -> [(&'static str, String); 3] {
    let kept = match retention_ms(retention_hours) {
        -1 => i64::MAX,
        ms => ms,
    };
    [
        ("cleanup.policy", "compact,delete".to_owned()),
        ("min.compaction.lag.ms", 86_400_000.to_string()),
        ("delete.retention.ms", kept.to_string()),
    ]
}

fn topic_config(copies: i32, retention_hours: i64, bytes: u64) -> BTreeMap<&'static str, String> {
    let room = bytes.saturating_add(RECORD_OVERHEAD_BYTES).max(BROKER_MAX_MESSAGE_BYTES);
    let mut config = BTreeMap::from([
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", retention_ms(retention_hours).to_string()),
        ("max.message.bytes", room.to_string()),
        // A replica that lags may not become leader: it would undo committed transactions.
        ("unclean.leader.election.enable", "false".to_owned()),
    ]);
    if copies > 0 {
        // One copy may be away and writes still go on; with fewer than three that is not possible.
        let in_sync = if copies >= 3 { 2 } else { 1 };
        config.insert("min.insync.replicas", in_sync.to_string());
    }
    config
}

const fn retention_ms(hours: i64) -> i64 {
    if hours < 0 { -1 } else { hours.saturating_mul(3_600_000) }
}

/// Creates the missing topics; returns the exit code.
pub fn create(settings: &Settings, out: &mut dyn Write) -> u8 {
    create_with(settings, TIMEOUT, out).unwrap_or(exit::IO)
}

fn create_with(settings: &Settings, timeout: Duration, out: &mut dyn Write) -> io::Result<u8> {
    let cluster = match Cluster::connect(settings, timeout) {
        Ok(cluster) => cluster,
        Err(problem) => {
            writeln!(out, "✗ {problem}")?;
            writeln!(out, "  → see what `radstream check` says")?;
            return Ok(exit::of_admin_error(&problem));
        }
    };
    writeln!(out, "Topics at {}", settings.kafka.bootstrap_servers)?;
    writeln!(out)?;
    let mut code = exit::OK;
    for spec in specs(settings) {
        let outcome = match cluster.topic(&spec.name) {
            Ok(Some(state)) => there(&cluster, &spec, state, out)?,
            Ok(None) => missing(&cluster, &spec, settings, out)?,
            Err(problem) => failed(&spec, &problem, out)?,
        };
        if code == exit::OK {
            code = outcome;
        }
    }
    Ok(code)
}

/// A topic that exists: its differences.
fn there(
    cluster: &Cluster,
    spec: &TopicSpec,
    state: TopicState,
    out: &mut dyn Write,
) -> io::Result<u8> {
    writeln!(out, "  = {:<28} already there, left as it is", spec.name)?;
    let config =
        if cluster.administers() { cluster.topic_config(&spec.name) } else { Ok(BTreeMap::new()) };
    match config {
        Ok(config) => {
            for (name, is, ours) in differences(spec, state, &config) {
                writeln!(out, "      {name} is {is}; radstream would choose {ours}")?;
            }
        }
        Err(problem) => writeln!(out, "      its settings cannot be compared: {problem}")?,
    }
    Ok(exit::OK)
}

/// (setting, what it is, what we would choose) where the two differ.
fn differences(
    spec: &TopicSpec,
    state: TopicState,
    config: &BTreeMap<String, String>,
) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    if i32::try_from(state.partitions) != Ok(spec.partitions) {
        let (is, ours) = (state.partitions.to_string(), spec.partitions.to_string());
        found.push(("partitions".to_owned(), is, ours));
    }
    if spec.copies > 0 && i32::try_from(state.copies) != Ok(spec.copies) {
        let (is, ours) = (state.copies.to_string(), spec.copies.to_string());
        found.push(("replication factor".to_owned(), is, ours));
    }
    for (name, ours) in &spec.config {
        if let Some(is) = config.get(*name).filter(|is| *is != ours) {
            found.push(((*name).to_owned(), is.clone(), ours.clone()));
        }
    }
    found
}

/// A topic that does not exist: created, or the command that creates it.
fn missing(
    cluster: &Cluster,
    spec: &TopicSpec,
    settings: &Settings,
    out: &mut dyn Write,
) -> io::Result<u8> {
    if !cluster.administers() {
        writeln!(out, "  ✗ {:<28} is missing", spec.name)?;
        writeln!(
            out,
            "      → the client library cannot create topics with OAUTHBEARER; run\n      {}",
            shell_command(spec, &settings.kafka.bootstrap_servers)
        )?;
        return Ok(exit::CONFIGURATION);
    }
    match cluster.create(spec) {
        Ok(true) => {
            writeln!(out, "  + {:<28} created: {}", spec.name, summary(spec))?;
            Ok(exit::OK)
        }
        Ok(false) => {
            writeln!(out, "  = {:<28} was created by somebody else just now", spec.name)?;
            Ok(exit::OK)
        }
        Err(problem) => failed(spec, &problem, out),
    }
}

fn failed(spec: &TopicSpec, problem: &AdminError, out: &mut dyn Write) -> io::Result<u8> {
    writeln!(out, "  ✗ {:<28} {problem}", spec.name)?;
    let remedy = match problem {
        AdminError::NotAuthorised { operation, resource } => {
            format!("give this principal the ACL {operation} on {resource}")
        }
        AdminError::Failed { problem, .. } if problem.contains("InvalidReplicationFactor") => {
            "set topics.replication_factor to at most the number of brokers".to_owned()
        }
        _ => "see what `radstream check` says".to_owned(),
    };
    writeln!(out, "      → {remedy}")?;
    Ok(exit::of_admin_error(problem))
}

fn summary(spec: &TopicSpec) -> String {
    let copies = match spec.copies {
        -1 => "the brokers' number of copies".to_owned(),
        1 => "1 copy".to_owned(),
        copies => format!("{copies} copies"),
    };
    let kept = match spec.config.get("retention.ms").and_then(|ms| ms.parse::<i64>().ok()) {
        Some(ms) if ms >= 86_400_000 && ms % 86_400_000 == 0 => {
            format!("kept {} days", ms / 86_400_000)
        }
        Some(ms) if ms >= 0 => format!("kept {} hours", ms / 3_600_000),
        _ => "kept for ever".to_owned(),
    };
    let partitions = if spec.partitions == 1 { "partition" } else { "partitions" };
    format!("{} {partitions}, {copies}, {kept}", spec.partitions)
}

/// What to type where we may not create the topic ourselves.
fn shell_command(spec: &TopicSpec, servers: &str) -> String {
    let mut command = format!(
        "kafka-topics.sh --bootstrap-server {servers} --create --topic {} --partitions {}",
        spec.name, spec.partitions
    );
    if spec.copies > 0 {
        command.push_str(&format!(" --replication-factor {}", spec.copies));
    }
    for (key, value) in &spec.config {
        command.push_str(&format!(" --config {key}={value}"));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_of_the_settings_is_planned_once_and_samples_alone_are_compacted() {
        let mut settings = Settings::default();
        settings.topics.reports = vec!["a".to_owned(), "b".to_owned()];
        let specs = specs(&settings);
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "a",
                "b",
                "radiology.findings",
                "radiology.escalations",
                "radiology.distillation",
                "radiology.escalations.retry",
                "radiology.dead-letters"
            ]
        );
        for spec in &specs {
            let samples = spec.name == "radiology.distillation";
            let policy = if samples { "compact,delete" } else { "delete" };
            assert_eq!(spec.config["cleanup.policy"], policy);
            assert_eq!(spec.config.contains_key("delete.retention.ms"), samples);
            assert_eq!(spec.config["min.insync.replicas"], "2");
            let input = ["a", "b"].contains(&spec.name.as_str());
            assert_eq!(
                spec.config.contains_key("compression.type"),
                input,
                "measured by the broker"
            );
        }
        assert_eq!(specs[0].config["max.message.bytes"], (16 * 1_048_576 + 65_536).to_string());
        assert_eq!(specs[2].config["max.message.bytes"], "1105536");
        assert_eq!(specs[2].config["retention.ms"], (90_i64 * 86_400_000).to_string());
        settings.topics.distillation = String::new();
        assert_eq!(super::specs(&settings).len(), 6, "no samples, no topic for them");
    }

    #[test]
    fn few_copies_do_not_block_writes_and_unknown_ones_are_left_to_the_brokers() {
        let mut settings = Settings::default();
        settings.topics.findings_retention_hours = -1;
        for (copies, in_sync) in [(1, Some("1")), (2, Some("1")), (3, Some("2")), (-1, None)] {
            settings.topics.replication_factor = copies;
            let spec = specs(&settings).remove(1);
            assert_eq!(spec.config.get("min.insync.replicas").map(String::as_str), in_sync);
            assert_eq!(spec.config["retention.ms"], "-1");
        }
    }

    #[test]
    fn differences_are_told_and_nothing_else() {
        let spec = specs(&Settings::default()).remove(1);
        let mut config: BTreeMap<String, String> =
            spec.config.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let same = TopicState { partitions: 6, copies: 3, leaderless: 0 };
        assert_eq!(differences(&spec, same, &config), []);
        config.insert("retention.ms".to_owned(), "1".to_owned());
        config.insert("segment.bytes".to_owned(), "1".to_owned());
        let other = TopicState { partitions: 12, copies: 3, leaderless: 0 };
        let names: Vec<String> =
            differences(&spec, other, &config).into_iter().map(|(name, ..)| name).collect();
        assert_eq!(names, ["partitions", "retention.ms"]);
    }

    #[test]
    fn a_summary_reads_well() {
        let mut spec = specs(&Settings::default()).remove(1);
        assert_eq!(summary(&spec), "6 partitions, 3 copies, kept 90 days");
        (spec.partitions, spec.copies) = (1, 1);
        spec.config.insert("retention.ms", "3600000".to_owned());
        assert_eq!(summary(&spec), "1 partition, 1 copy, kept 1 hours");
    }

    #[test]
    fn an_unreachable_cluster_is_told_with_its_address() {
        let mut settings = Settings::default();
        settings.kafka.bootstrap_servers = crate::command::check::tests::nobody();
        let mut out = Vec::new();
        let code = create_with(&settings, Duration::from_secs(1), &mut out).unwrap();
        let told = String::from_utf8(out).unwrap();
        assert_eq!(code, exit::UNAVAILABLE);
        assert!(told.contains(&settings.kafka.bootstrap_servers), "{told}");
    }
}
