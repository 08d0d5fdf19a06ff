//! Questions to a cluster, and new topics: what `check` and `topics create` need of Kafka.
//!
//! Nothing here joins the group, writes a record or takes a transactional id: a check may run beside
//! the processes in service.

mod asking;
pub mod record;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use self::asking::Asking;
use super::TopicPartition;
use super::assignment::Ends;
use super::auth::Authenticator;
use super::auth::request::on_own_runtime;
use crate::config::{Mechanism, Settings, kafka};

/// How long one turn waits for the client's events.
const TURN: Duration = Duration::from_millis(50);
/// Longest wait for one answer while others may still come.
const ANSWER: Duration = Duration::from_secs(2);

/// Why the cluster cannot be asked, or says no.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// librdkafka refuses the properties.
    #[error("the Kafka client refuses its configuration: {0}")]
    Configuration(String),
    /// No broker answered in time.
    #[error("no Kafka broker answers at {servers}{}", listed(.reasons))]
    Unreachable {
        /// `kafka.bootstrap_servers`.
        servers: String,
        /// What the client said meanwhile.
        reasons: Vec<String>,
    },
    /// The brokers do not accept who we are, or we do not accept them (TLS).
    #[error("authentication with {servers} fails{}", listed(.reasons))]
    Authentication {
        /// `kafka.bootstrap_servers`.
        servers: String,
        /// What the client said.
        reasons: Vec<String>,
    },
    /// An ACL is missing.
    #[error("not authorised to {operation} {resource}")]
    NotAuthorised {
        /// What was tried, as Kafka calls it: `Describe`, `Read`, `Create`.
        operation: &'static str,
        /// `topic radiology.reports`, `group radstream.label`.
        resource: String,
    },
    /// rust-rdkafka's admin client cannot refresh OAUTHBEARER tokens.
    #[error("topics cannot be administered with OAUTHBEARER")]
    NoAdministration,
    /// Anything else.
    #[error("{operation} {resource} fails: {problem}")]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// On what.
        resource: String,
        /// librdkafka's or the broker's reason.
        problem: String,
    },
}

fn listed(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) }
}

/// What a cluster says of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Partitions.
    pub partitions: usize,
    /// Copies of the partition that has fewest.
    pub copies: usize,
    /// Partitions that have no leader now.
    pub leaderless: usize,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: i32,
    /// Copies of each; -1 leaves it to the brokers.
    pub copies: i32,
    /// Topic configuration: `retention.ms`, `max.message.bytes`.
    pub config: BTreeMap<&'static str, String>,
}

/// A client that asks.
pub struct Cluster {
    client: BaseConsumer<Asking>,
    admin: ClientConfig,
    auth: Arc<Authenticator>,
    oauth: bool,
    servers: String,
    group: String,
    brokers: usize,
    timeout: Duration,
}

impl Cluster {
    /// Connects, and waits at most `timeout` for the first answer. Later questions wait as long.
    ///
    /// # Errors
    /// [`AdminError::Configuration`], [`AdminError::Unreachable`], [`AdminError::Authentication`].
    pub fn connect(settings: &Settings, timeout: Duration) -> Result<Self, AdminError> {
        let admin: ClientConfig = kafka::admin_properties(settings).into_iter().collect();
        let mut config = admin.clone();
        // A group id, never subscribed: it lets us ask for the group's offsets.
        config
            .set("group.id", &settings.kafka.group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true");
        let auth = Authenticator::from_settings(settings);
        let client = BaseConsumer::from_config_and_context(&config, Asking::new(Arc::clone(&auth)))
            .map_err(|problem| AdminError::Configuration(problem.to_string()))?;
        let mut cluster = Self {
            client,
            admin,
            auth,
            oauth: settings.kafka.sasl.mechanism == Mechanism::OauthBearer,
            servers: settings.kafka.bootstrap_servers.clone(),
            group: settings.kafka.group.clone(),
            brokers: 0,
            timeout,
        };
        let topic = settings.topics.reports.first().map_or("", String::as_str);
        cluster.brokers = cluster.metadata(topic)?.brokers().len();
        Ok(cluster)
    }

    /// Brokers in the cluster.
    pub const fn brokers(&self) -> usize {
        self.brokers
    }

    /// What the cluster says of a topic; `None` where there is none of that name.
    ///
    /// # Errors
    /// No answer, or no right to see it.
    pub fn topic(&self, name: &str) -> Result<Option<TopicState>, AdminError> {
        let metadata = self.metadata(name)?;
        let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
            return Ok(None);
        };
        match topic.error().map(Code::from) {
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
            Some(Code::TopicAuthorizationFailed) => {
                Err(not_authorised("Describe", format!("topic {name}")))
            }
            Some(code) if topic.partitions().is_empty() => {
                Err(failed("Describe", format!("topic {name}"), &code))
            }
            _ => Ok(Some(TopicState {
                partitions: topic.partitions().len(),
                copies: topic.partitions().iter().map(|p| p.replicas().len()).min().unwrap_or(0),
                leaderless: topic.partitions().iter().filter(|p| p.leader() < 0).count(),
            })),
        }
    }

    /// Tries to read at the end of a topic's first partition. Takes no record and commits nothing.
    ///
    /// # Errors
    /// No right to read it, or no answer.
    pub fn try_read(&self, topic: &str) -> Result<(), AdminError> {
        let resource = || format!("topic {topic}");
        let mut partition = TopicPartitionList::new();
        let place = partition.add_partition_offset(topic, 0, Offset::End);
        place
            .and_then(|()| self.client.assign(&partition))
            .map_err(|problem| failed("Read", resource(), &problem))?;
        let deadline = Instant::now() + self.timeout;
        let outcome = loop {
            match self.client.poll(TURN) {
                // A record that came just now, or the end: either shows that we may read.
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => break Ok(()),
                Some(Err(problem)) => match problem.rdkafka_error_code() {
                    Some(Code::TopicAuthorizationFailed) => {
                        break Err(not_authorised("Read", resource()));
                    }
                    Some(code) if code == Code::UnknownTopicOrPartition => {
                        break Err(failed("Read", resource(), &code));
                    }
                    // The client goes on trying; its last word is told at the deadline.
                    _ => {}
                },
                None => {}
            }
            if Instant::now() >= deadline {
                let reasons = self.client.context().reasons();
                let problem = format!("no answer in time{}", listed(&reasons));
                break Err(failed("Read", resource(), &problem));
            }
        };
        self.client.unassign().map_err(|problem| failed("Read", resource(), &problem))?;
        outcome
    }

    /// Tries to read the group's committed offset of a topic's first partition.
    ///
    /// # Errors
    /// No right to use the group, or no answer.
    pub fn try_group(&self, topic: &str) -> Result<(), AdminError> {
        let resource = || format!("group {}", self.group);
        let deadline = Instant::now() + self.timeout;
        loop {
            let mut partition = TopicPartitionList::new();
            partition.add_partition(topic, 0);
            let left = deadline.saturating_duration_since(Instant::now());
            let problem = match self.client.committed_offsets(partition, left.min(ANSWER)) {
                Ok(_) => return Ok(()),
                Err(problem) => problem,
            };
            // Without the right, librdkafka looks for the coordinator until the time is over; why it
            // finds none comes as an event.
            self.serve();
            let refused = self.client.context().group_refused()
                || problem.rdkafka_error_code() == Some(Code::GroupAuthorizationFailed);
            if refused {
                return Err(not_authorised("Read", resource()));
            }
            if problem.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) {
                return Err(not_authorised("Describe", format!("topic {topic}")));
            }
            if left.is_zero() {
                return Err(failed("Read", resource(), &problem));
            }
        }
    }

    /// Where each partition of a topic ends now: the offset after its last record; 0 for an empty one,
    /// which counts as read.
    ///
    /// # Errors
    /// No answer, or no right to see it.
    pub fn ends(&self, topic: &str, partitions: usize) -> Result<Ends, AdminError> {
        let name: Arc<str> = Arc::from(topic);
        let mut ends = Ends::new();
        for partition in 0..i32::try_from(partitions).unwrap_or(i32::MAX) {
            let (low, high) = self
                .client
                .fetch_watermarks(topic, partition, self.timeout)
                .map_err(|problem| failed("ListOffsets", format!("topic {topic}"), &problem))?;
            let end = if low == high { 0 } else { high };
            ends.insert(TopicPartition { topic: Arc::clone(&name), partition }, end);
        }
        Ok(ends)
    }

    /// A topic's configuration as the brokers see it, defaults included.
    ///
    /// # Errors
    /// No right to see it, no answer, or no administration with this mechanism.
    pub fn topic_config(&self, name: &str) -> Result<BTreeMap<String, String>, AdminError> {
        let admin = self.admin_client()?;
        let specifiers = [ResourceSpecifier::Topic(name)];
        let options = AdminOptions::new().request_timeout(Some(self.timeout));
        let answer = on_own_runtime(|| admin.describe_configs(&specifiers, &options))
            .map_err(|problem| failed("DescribeConfigs", format!("topic {name}"), &problem))?
            .map_err(|problem| failed("DescribeConfigs", format!("topic {name}"), &problem))?;
        match answer.into_iter().next() {
            Some(Ok(resource)) => Ok(resource
                .entries
                .into_iter()
                .filter_map(|entry| Some((entry.name, entry.value?)))
                .collect()),
            Some(Err(Code::TopicAuthorizationFailed)) => {
                Err(not_authorised("DescribeConfigs", format!("topic {name}")))
            }
            Some(Err(code)) => Err(failed("DescribeConfigs", format!("topic {name}"), &code)),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Creates one topic. `Ok(false)`: another process created it meanwhile.
    ///
    /// # Errors
    /// No right to create it, the brokers refuse its settings, or no answer.
    pub fn create(&self, spec: &TopicSpec) -> Result<bool, AdminError> {
        let admin = self.admin_client()?;
        let resource = || format!("topic {}", spec.name);
        let mut topic =
            NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(spec.copies));
        for (key, value) in &spec.config {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new()
            .request_timeout(Some(self.timeout))
            .operation_timeout(Some(self.timeout));
        let answer = on_own_runtime(|| admin.create_topics([&topic], &options))
            .map_err(|problem| failed("Create", resource(), &problem))?
            .map_err(|problem| failed("Create", resource(), &problem))?;
        match answer.into_iter().next() {
            Some(Ok(_)) | None => Ok(true),
            Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed))) => {
                Err(not_authorised("Create", resource()))
            }
            Some(Err((_, code))) => Err(failed("Create", resource(), &code)),
        }
    }

    /// Topics can be created and described.
    pub const fn administers(&self) -> bool {
        !self.oauth
    }

    /// rust-rdkafka's admin client never serves the queue on which librdkafka asks for a token, so
    /// with OAUTHBEARER it would only time out.
    fn admin_client(&self) -> Result<AdminClient<Asking>, AdminError> {
        if !self.administers() {
            return Err(AdminError::NoAdministration);
        }
        AdminClient::from_config_and_context(&self.admin, Asking::new(Arc::clone(&self.auth)))
            .map_err(|problem| AdminError::Configuration(problem.to_string()))
    }

    /// Metadata of one topic. Serves the client's events meanwhile, tokens among them.
    fn metadata(&self, topic: &str) -> Result<Metadata, AdminError> {
        let deadline = Instant::now() + self.timeout;
        loop {
            self.serve();
            let left = deadline.saturating_duration_since(Instant::now());
            let problem = match self.client.fetch_metadata(Some(topic), left.min(ANSWER)) {
                Ok(metadata) => return Ok(metadata),
                Err(problem) => problem,
            };
            self.serve();
            let context = self.client.context();
            if context.authentication_failed() {
                return Err(AdminError::Authentication {
                    servers: self.servers.clone(),
                    reasons: context.reasons(),
                });
            }
            if left.is_zero() {
                let mut reasons = context.reasons();
                if reasons.is_empty() {
                    reasons.push(problem.to_string());
                }
                return Err(AdminError::Unreachable { servers: self.servers.clone(), reasons });
            }
        }
    }

    /// Lets the client run its callbacks. Errors reach `Asking`.
    fn serve(&self) {
        drop(self.client.poll(TURN));
    }
}

pub(super) fn not_authorised(operation: &'static str, resource: String) -> AdminError {
    AdminError::NotAuthorised { operation, resource }
}

pub(super) fn failed(
    operation: &'static str,
    resource: String,
    problem: &impl std::fmt::Display,
) -> AdminError {
    AdminError::Failed { operation, resource, problem: problem.to_string() }
}
