//! From settings to a stage that can run: model, publisher, options. Used by `run` and `demo`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::rights::Resource;
use crate::broker::admin::{AdminError, Cluster};
use crate::broker::assignment::Ends;
use crate::broker::auth::Authenticator;
use crate::broker::committer::CommitterOptions;
use crate::config::{self, DeadLetterHeaders, FirstOffset, Guarantee, Settings};
use crate::decode::{AvroInput, DecodeOptions, WriterSchemas};
use crate::extract::ExtractPolicy;
use crate::pdf::PdfProcess;
use crate::pipeline::StageOptions;
use crate::pipeline::account::DeadLetterLimits;
use crate::pipeline::frame::FrameOptions;
use crate::pipeline::schemas::SchemaLookup;
use crate::pipeline::settle::{CommitLimits, TopicNames};
use crate::pipeline::swap::Watch;
use crate::publish::registry::{RegistryError, RegistrySettings, register};
use crate::publish::{ErrorHeaders, Framing, PublishSettings, Publisher};

pub mod labeler;
pub mod teacher;

pub use labeler::{
    Loaded, load_labeler, policy, score_memory_bytes, shadow_options, student_options,
};

/// How long the cluster may take to answer a question at start.
const PATIENCE: Duration = Duration::from_secs(10);

/// For so long a broker may not know of a topic that was made just now.
const SETTLING: Duration = Duration::from_secs(3);
/// Pause before it is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// Partition counts of topics.
pub type PartitionCounts = BTreeMap<String, usize>;

/// The topics that the stage needs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The cluster does not answer, or says no.
    #[error(
        "{0}; check kafka.bootstrap_servers, kafka.tls, kafka.sasl and our ACLs with `radstream check`"
    )]
    Cluster(#[from] AdminError),
    /// Some do not exist.
    #[error("missing: topic {}; create with `radstream topics create`, or correct [topics]", .0.join(", topic "))]
    Missing(Vec<String>),
}

/// Partition counts of the topics of a stage, all of which must exist.
///
/// # Errors
/// [`TopicsError`].
fn partition_counts(
    cluster: &Cluster,
    topics: Vec<String>,
) -> Result<PartitionCounts, TopicsError> {
    let mut counts = PartitionCounts::new();
    let mut missing = topics;
    let deadline = Instant::now() + SETTLING;
    loop {
        let asked = std::mem::take(&mut missing);
        for topic in asked {
            match cluster.topic(&topic)? {
                Some(state) => drop(counts.insert(topic, state.partitions)),
                None => missing.push(topic),
            }
        }
        if missing.is_empty() {
            return Ok(counts);
        }
        if Instant::now() >= deadline {
            return Err(TopicsError::Missing(missing));
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// Asks the cluster what a stage must know at its start: partition counts of all its topics, and, to stop
/// there, where its inputs end now.
///
/// # Errors
/// [`TopicsError`].
pub fn survey(
    settings: &Settings,
    topics: Vec<String>,
    inputs: &[String],
    until_end: bool,
) -> Result<(PartitionCounts, Option<Ends>), TopicsError> {
    let cluster = Cluster::connect(settings, PATIENCE)?;
    let counts = partition_counts(&cluster, topics)?;
    if !until_end {
        return Ok((counts, None));
    }
    let mut ends = Ends::new();
    for topic in inputs {
        // Of one that is empty nothing is fetched: that we may not would go unnoticed.
        if let Err(error @ AdminError::NotAuthorised { .. }) = cluster.try_read(topic) {
            return Err(error.into());
        }
        ends.extend(cluster.ends(topic, counts.get(topic).copied().unwrap_or(0))?);
    }
    Ok((counts, Some(ends)))
}

/// Which of these topics we may not read. What cannot be found out is not among them.
pub fn unreadable(settings: &Settings, topics: &[String]) -> Vec<Resource> {
    let Ok(cluster) = Cluster::connect(settings, PATIENCE) else { return Vec::new() };
    let refused =
        |topic: &&String| matches!(cluster.try_read(topic), Err(AdminError::NotAuthorised { .. }));
    topics.iter().filter(refused).cloned().map(Resource::Topic).collect()
}

/// Topics that stage label reads and writes, inputs first.
pub fn stage_topics(settings: &Settings) -> Vec<String> {
    let topics = &settings.topics;
    let mut all = topics.reports.clone();
    all.push(topics.findings.clone());
    if settings.routing.escalate {
        all.push(topics.escalations.clone());
    }
    if !topics.distillation.is_empty() {
        all.push(topics.distillation.clone());
    }
    all.push(topics.dead_letters.clone());
    all
}

/// How Avro values are framed: with a registry, its ids; without, single-object encoding. `samples`:
/// the stage writes training samples.
///
/// # Errors
/// The registry does not answer or refuses a schema.
pub async fn framing(settings: &Settings, samples: bool) -> Result<Framing, RegistryError> {
    let registry = &settings.schema_registry;
    if registry.url.is_empty() {
        return Ok(Framing::SingleObject);
    }
    let topics = &settings.topics;
    let registry = registry_settings(registry);
    let samples = (samples && !topics.distillation.is_empty()).then_some(&*topics.distillation);
    let ids = register(&registry, &topics.findings, &topics.escalations, samples).await?;
    Ok(Framing::Confluent(ids))
}

/// Settings of the registry as its client wants them.
fn registry_settings(registry: &config::SchemaRegistry) -> RegistrySettings {
    RegistrySettings {
        url: registry.url.clone(),
        basic_auth: (!registry.username.is_empty())
            .then(|| (registry.username.clone(), registry.password.expose().to_owned())),
        bearer_token: registry
            .bearer_token
            .is_set()
            .then(|| registry.bearer_token.expose().to_owned()),
        timeout: Duration::from_millis(registry.timeout_ms),
        auto_register: registry.auto_register,
        ca_file: (!registry.ca_file.as_os_str().is_empty()).then(|| registry.ca_file.clone()),
    }
}

/// Why input cannot be read as configured.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The file of the Avro schema.
    #[error("intake.avro_schema = {path}: {problem}; correct the file, or its name")]
    Schema {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The system.
    #[error("reading input cannot be set up: {0}")]
    System(#[from] std::io::Error),
}

/// Settings of decode with what it cannot find out itself: schemas of Avro input, a reader of PDF. And
/// who asks for the schemas, where a registry has them.
///
/// # Errors
/// [`InputError`].
pub fn decode_options(
    settings: &Settings,
) -> Result<(DecodeOptions, Option<Arc<SchemaLookup>>), InputError> {
    let intake = &settings.intake;
    let mut options = intake.decode_options();
    if intake.read_pdf {
        options.pdf = Some(Arc::new(PdfProcess::of_this_program()?));
    }
    if intake.avro_field.is_empty() {
        return Ok((options, None));
    }
    if intake.avro_schema.as_os_str().is_empty() {
        let input = AvroInput::new(&intake.avro_field, WriterSchemas::default());
        let registry = registry_settings(&settings.schema_registry);
        let lookup = SchemaLookup::new(registry, Arc::clone(&input.schemas))?;
        options.avro = Some(input);
        return Ok((options, Some(Arc::new(lookup))));
    }
    let wrong = |problem: String| InputError::Schema {
        path: intake.avro_schema.display().to_string(),
        problem,
    };
    let json = std::fs::read_to_string(&intake.avro_schema).map_err(|e| wrong(e.to_string()))?;
    let schemas = WriterSchemas::one(&json).map_err(|e| wrong(e.to_string()))?;
    options.avro = Some(AvroInput::new(&intake.avro_field, schemas));
    Ok((options, None))
}

/// Options of stage label. `watch`: looks for another model.
pub fn stage_options(
    settings: &Settings,
    auth: Arc<Authenticator>,
    framing: Framing,
    counts: &PartitionCounts,
    stop_at: Option<Ends>,
    watch: Option<Watch>,
) -> Result<StageOptions, InputError> {
    let topics = &settings.topics;
    let dead_letters = counts.get(&topics.dead_letters);
    let (decode, schemas) = decode_options(settings)?;
    Ok(StageOptions {
        frame: frame_options(settings, auth, topics.reports.clone(), stop_at, None),
        decode,
        schemas,
        extract: extract_policy(settings),
        decode_threads: settings.intake.decode_threads,
        asks_rules: settings.routing.max_rule_conflicts.is_some(),
        publisher: Arc::new(Publisher::new(publish_settings(settings, framing))),
        dead_letters_by_partition: topics
            .reports
            .iter()
            .all(|input| counts.get(input).is_some() && counts.get(input) == dead_letters),
        max_batch_age: Duration::from_millis(settings.student.max_batch_age_ms),
        max_reports_per_second: settings.student.max_reports_per_second,
        watch,
        shadow: shadow_options(settings),
    })
}

/// What a stage needs of Kafka. `group`: another than that of stage label.
fn frame_options(
    settings: &Settings,
    auth: Arc<Authenticator>,
    inputs: Vec<String>,
    stop_at: Option<Ends>,
    group: Option<&str>,
) -> FrameOptions {
    let transactional = settings.delivery.guarantee == Guarantee::ExactlyOnce;
    let mut consumer = config::kafka::consumer_properties(settings);
    let mut producer = config::kafka::producer_properties(settings, transactional);
    if let Some(group) = group {
        consumer.insert("group.id".to_owned(), group.to_owned());
        if settings.kafka.first_offset == FirstOffset::Latest {
            // What was put off lies in the retry topic before anything of it is committed.
            consumer.insert("auto.offset.reset".to_owned(), "earliest".to_owned());
        }
        if transactional {
            let id = format!("{group}.{}", settings.kafka.instance());
            producer.insert("transactional.id".to_owned(), id);
        }
    }
    let topics = &settings.topics;
    FrameOptions {
        stage: if group.is_some() { "teach" } else { "label" },
        consumer: consumer.into_iter().collect(),
        committer: CommitterOptions {
            config: producer.into_iter().collect(),
            transactional,
            timeout: Duration::from_millis(settings.delivery.transaction_timeout_ms),
        },
        auth,
        inputs,
        outputs: TopicNames {
            findings: topics.findings.clone(),
            escalations: topics.escalations.clone(),
            distillation: topics.distillation.clone(),
            retries: topics.retries.clone(),
            dead_letters: topics.dead_letters.clone(),
        },
        stop_at,
        budget_bytes: usize::try_from(settings.memory.in_flight_bytes()).unwrap_or(usize::MAX),
        commit: CommitLimits {
            interval: Duration::from_millis(settings.delivery.commit_interval_ms),
            records: settings.delivery.commit_records,
            bytes: settings.delivery.commit_bytes,
        },
        dead_letters: DeadLetterLimits {
            ratio: settings.publish.max_dead_letter_ratio,
            consecutive: settings.publish.max_consecutive_dead_letters,
        },
    }
}

/// Settings of extract.
pub fn extract_policy(settings: &Settings) -> ExtractPolicy {
    ExtractPolicy {
        label_mixed_exams: settings.intake.label_mixed_exams,
        label_unknown_exams: settings.intake.label_unknown_exams,
        ..ExtractPolicy::default()
    }
}

fn publish_settings(settings: &Settings, framing: Framing) -> PublishSettings {
    let publish = &settings.publish;
    PublishSettings {
        ce_source: publish.ce_source.clone(),
        application: settings.kafka.client_id.clone(),
        consumer_group: settings.kafka.group.clone(),
        evidence_text: publish.evidence_text,
        error_headers: match publish.dead_letter_headers {
            DeadLetterHeaders::Connect => ErrorHeaders::Connect,
            DeadLetterHeaders::Streams => ErrorHeaders::Streams,
            DeadLetterHeaders::Spring => ErrorHeaders::Spring,
            DeadLetterHeaders::All => ErrorHeaders::All,
        },
        max_message_bytes: publish.max_message_bytes,
        framing,
        withdraw_samples: !settings.topics.distillation.is_empty(),
        mark_escalations: settings.routing.escalate,
    }
}
