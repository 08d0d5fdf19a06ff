//! Settings of everything radstream connects to: Kafka, its topics, the schema registry.
//!
//! As in [`super::settings`], the doc comment of a field is also its comment in
//! `config/radstream.toml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::secret::Secret;

/// The Kafka cluster and our place in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kafka {
    /// Brokers to ask first, host:port, separated by commas. Default "localhost:9092". Name two or
    /// three; the rest of the cluster is found through them.
    pub bootstrap_servers: String,
    /// Consumer group of stage label. Default "radstream.label". Processes of one group share the
    /// work; a new name starts over, at first_offset.
    pub group: String,
    /// Name of this process, unique in the group and the same after a restart. Default "": the host
    /// name, right for a StatefulSet; two processes on one host need one each. It makes the
    /// transactional.id `<group>.<instance_id>`: two processes with one name fence each other off.
    pub instance_id: String,
    /// Keep the partitions over a restart shorter than session_timeout_ms (static membership)?
    /// Default true. Set false where processes come and go under new names.
    pub static_membership: bool,
    /// Name of the clients in the brokers' logs, metrics and quotas. Default "radstream".
    pub client_id: String,
    /// Where to start a partition of which the group has committed no offset, or whose committed
    /// offset has been deleted by retention: "earliest", "latest" (skips what is there) or "fail"
    /// (stop with an error; a person decides). "latest" holds until a partition's first commit, and
    /// a restart before it skips again; for stage teach it is as "earliest". Default "earliest".
    pub first_offset: FirstOffset,
    /// The brokers give the partitions of a process that has been silent for so long to others.
    /// Milliseconds, 6000 to 1800000, above delivery.transaction_timeout_ms. Default 45000. Longer
    /// survives longer restarts, shorter recovers sooner from a lost host.
    pub session_timeout_ms: u64,
    /// Encryption of the connections to the brokers.
    pub tls: Tls,
    /// How we prove to the brokers who we are.
    pub sasl: Sasl,
    /// librdkafka properties for all clients, passed through. Those that would break a guarantee or
    /// have a setting of their own are refused with the reason (docs/CONFIGURATION.md).
    /// Example: socket.keepalive.enable = true
    #[serde(deserialize_with = "scalars")]
    pub properties: BTreeMap<String, String>,
    /// The same, for the consumer only.
    /// Example: fetch.wait.max.ms = 100
    #[serde(deserialize_with = "scalars")]
    pub consumer_properties: BTreeMap<String, String>,
    /// The same, for the producer only.
    /// Example: linger.ms = 20
    #[serde(deserialize_with = "scalars")]
    pub producer_properties: BTreeMap<String, String>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            bootstrap_servers: "localhost:9092".to_owned(),
            group: "radstream.label".to_owned(),
            instance_id: String::new(),
            static_membership: true,
            client_id: "radstream".to_owned(),
            first_offset: FirstOffset::Earliest,
            session_timeout_ms: 45_000,
            tls: Tls::default(),
            sasl: Sasl::default(),
            properties: BTreeMap::new(),
            consumer_properties: BTreeMap::new(),
            producer_properties: BTreeMap::new(),
        }
    }
}

impl Kafka {
    /// `instance_id`, or the host name where that is empty.
    pub fn instance(&self) -> String {
        if self.instance_id.is_empty() {
            gethostname::gethostname().to_string_lossy().into_owned()
        } else {
            self.instance_id.clone()
        }
    }

    /// `<group>.<instance>`: the same after a restart, so that the broker fences the process before.
    pub fn transactional_id(&self) -> String {
        format!("{}.{}", self.group, self.instance())
    }
}

/// Where a partition without a usable committed offset starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstOffset {
    /// At its first record.
    Earliest,
    /// At its end.
    Latest,
    /// Nowhere: stop with an error.
    Fail,
}

/// Encryption of the connections to the brokers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Encrypt the connections to the brokers? Default false. Reports are patient data: leave it off
    /// only on one host or inside a network that encrypts by itself.
    pub enabled: bool,
    /// PEM file of the certificate authorities that may vouch for the brokers. Default "": the
    /// system's. Also trusted for sasl.oauth_token_endpoint.
    pub ca_file: PathBuf,
    /// PEM file of our certificate (mutual TLS). Default "": none.
    pub certificate_file: PathBuf,
    /// PEM file of its private key. Default "": none.
    pub key_file: PathBuf,
    /// Password of that key. Default "": none. A text, { file = "..." } or { env = "..." }.
    pub key_password: Secret,
    /// Check that a broker's certificate names the host we called? Default true. False only for
    /// certificates that cannot name it; the authority is checked either way.
    pub verify_hostname: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            enabled: false,
            ca_file: PathBuf::new(),
            certificate_file: PathBuf::new(),
            key_file: PathBuf::new(),
            key_password: Secret::default(),
            verify_hostname: true,
        }
    }
}

/// How we prove to the brokers who we are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sasl {
    /// "" (none, or the TLS certificate), "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER",
    /// or "GSSAPI" (Kerberos; only in builds with the feature gssapi, its sasl.kerberos.* properties
    /// go into kafka.properties). Default "".
    pub mechanism: Mechanism,
    /// User, for PLAIN and SCRAM. Default "".
    pub username: String,
    /// Password, for PLAIN and SCRAM. Default "". A text, { file = "..." } or { env = "..." }.
    pub password: Secret,
    /// OAUTHBEARER: URL that grants tokens to client credentials (RFC 6749, 4.4), https. Default "".
    /// Set this or oauth_token_file.
    pub oauth_token_endpoint: String,
    /// OAUTHBEARER: client id for the endpoint. Default "".
    pub oauth_client_id: String,
    /// OAUTHBEARER: client secret for the endpoint. Default "". A text, { file = "..." } or
    /// { env = "..." }.
    pub oauth_client_secret: Secret,
    /// OAUTHBEARER: scope to ask for. Default "": the provider's own.
    pub oauth_scope: String,
    /// OAUTHBEARER: file that holds a current token, for example a projected service account token;
    /// read again whenever a token is needed. Default "".
    pub oauth_token_file: PathBuf,
    /// Let PLAIN and OAUTHBEARER send their secret without TLS to brokers on other hosts? Default false.
    /// True only inside a network that encrypts by itself. Brokers on this host need no leave.
    pub allow_unencrypted: bool,
}

/// SASL mechanism.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    /// No SASL.
    #[default]
    #[serde(rename = "")]
    None,
    /// User and password, as they are: only over TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge-response, SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge-response, SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// Bearer tokens.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
    /// Kerberos.
    #[serde(rename = "GSSAPI")]
    Gssapi,
}

impl Mechanism {
    /// Name on the wire; empty for none.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Gssapi => "GSSAPI",
        }
    }

    /// User and password are needed.
    pub const fn takes_password(self) -> bool {
        matches!(self, Self::Plain | Self::ScramSha256 | Self::ScramSha512)
    }
}

/// Topic names, and how `radstream topics create` makes them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Topics {
    /// Topics that are read: HL7 v2 and FHIR messages. Default ["radiology.reports"].
    pub reports: Vec<String>,
    /// Topic of the findings. Default "radiology.findings".
    pub findings: String,
    /// Topic of the reports that need a second opinion. Holds report text: same access rules as the
    /// input. Default "radiology.escalations".
    pub escalations: String,
    /// Topic of the training samples. Holds de-identified report text. A retracted report is struck
    /// from it. Default "radiology.distillation". "" when no samples are collected.
    pub distillation: String,
    /// Topic of the escalations that wait because no teacher answered. Same access rules as the input.
    /// Only stage teach uses it. Default "radiology.escalations.retry".
    pub retries: String,
    /// Topic of the messages that could not be processed, byte for byte. Same access rules as the
    /// input. Default "radiology.dead-letters".
    pub dead_letters: String,
    /// Partitions of topics that `topics create` makes. 1 to 10000. Default 6. At least the number of
    /// processes you will ever run; it cannot be lowered later, and raising it breaks the order per
    /// key. A cluster must have the same number for findings and escalations.
    pub partitions: i32,
    /// Copies of each partition of topics that `topics create` makes; -1 leaves it to the brokers.
    /// Default 3, with min.insync.replicas 2: one broker may fail. 1 only for trying out.
    pub replication_factor: i32,
    /// How long created input topics keep messages. Hours; -1 for ever. Default 168 (7 days): the
    /// longest outage you want to survive.
    pub reports_retention_hours: i64,
    /// How long a created findings topic keeps them. Hours; -1 for ever. Default 2160 (90 days).
    pub findings_retention_hours: i64,
    /// How long a created escalations topic keeps them. Hours; -1 for ever. Default 168 (7 days).
    pub escalations_retention_hours: i64,
    /// How long a created distillation topic keeps samples. Hours; -1 for ever. Default 8760 (1 year).
    pub distillation_retention_hours: i64,
    /// How long a created dead-letter topic keeps them. Hours; -1 for ever. Default 720 (30 days): the
    /// time to look into them and replay.
    pub dead_letters_retention_hours: i64,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            reports: vec!["radiology.reports".to_owned()],
            findings: "radiology.findings".to_owned(),
            escalations: "radiology.escalations".to_owned(),
            distillation: "radiology.distillation".to_owned(),
            retries: "radiology.escalations.retry".to_owned(),
            dead_letters: "radiology.dead-letters".to_owned(),
            partitions: 6,
            replication_factor: 3,
            reports_retention_hours: 168,
            findings_retention_hours: 2_160,
            escalations_retention_hours: 168,
            distillation_retention_hours: 8_760,
            dead_letters_retention_hours: 720,
        }
    }
}

/// Confluent-compatible schema registry. Without one, Avro single-object encoding is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchemaRegistry {
    /// URL of the registry; several separated by commas. Default "": none, records carry the schema's
    /// fingerprint (Avro single-object encoding) and readers take the schemas from schemas/.
    pub url: String,
    /// User, for basic authentication. Default "".
    pub username: String,
    /// Password, for basic authentication. Default "". A text, { file = "..." } or { env = "..." }.
    pub password: Secret,
    /// Token, for bearer authentication, in place of user and password. Default "". A text,
    /// { file = "..." } or { env = "..." }.
    pub bearer_token: Secret,
    /// Register our schemas at start? Default true. With false they must be there already: for
    /// production, where schemas are registered by a reviewed step.
    pub auto_register: bool,
    /// Subject names: "topic" (`<topic>-value`), "record" (the record's full name) or "topic_record"
    /// (`<topic>-<record>`). Default "topic". Follow your site's rule.
    pub subject_strategy: SubjectStrategy,
    /// Longest wait for an answer. Milliseconds, 100 to 60000. Default 5000. Asked at start only;
    /// schemas are kept afterwards.
    pub timeout_ms: u64,
    /// PEM file of certificate authorities that may vouch for the registry, besides the system's.
    /// Default "".
    pub ca_file: PathBuf,
}

impl Default for SchemaRegistry {
    fn default() -> Self {
        Self {
            url: String::new(),
            username: String::new(),
            password: Secret::default(),
            bearer_token: Secret::default(),
            auto_register: true,
            subject_strategy: SubjectStrategy::Topic,
            timeout_ms: 5_000,
            ca_file: PathBuf::new(),
        }
    }
}

impl SchemaRegistry {
    /// The registry's addresses, without a slash at the end.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.url.split(',').map(|url| url.trim().trim_end_matches('/')).filter(|u| !u.is_empty())
    }
}

/// How subjects are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectStrategy {
    /// `<topic>-value`.
    Topic,
    /// The record's full name.
    Record,
    /// `<topic>-<record's full name>`.
    TopicRecord,
}

/// Property values may be written as text, number or truth value. The value itself is in no error:
/// it may be a password in the wrong place.
fn scalars<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    BTreeMap::<String, serde_json::Value>::deserialize(input)?
        .into_iter()
        .map(|(name, value)| match value {
            serde_json::Value::String(text) => Ok((name, text)),
            serde_json::Value::Number(number) => Ok((name, number.to_string())),
            serde_json::Value::Bool(flag) => Ok((name, flag.to_string())),
            _ => Err(de::Error::custom("a property is a text, a number, true or false")),
        })
        .collect()
}
