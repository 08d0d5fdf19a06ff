//! A real Apache Kafka broker: KRaft, broker and controller in one JVM, on loopback.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use super::records::{self, Isolation, Message, NewRecord, TopicReader};
use super::server::{self, JavaServer, PATIENCE};

mod options;

#[allow(unused_imports, reason = "some tests make listeners of their own")]
pub use options::{BrokerOptions, Listener};

/// The name of the listener every broker has: no encryption, no authentication.
pub const PLAINTEXT: &str = "PLAINTEXT";
const CONTROLLER: &str = "CONTROLLER";

/// Any 16 bytes in URL-safe base64; the cluster is thrown away.
const CLUSTER_ID: &str = "cmFkc3RyZWFtLXRlc3RzMA";

/// What every test broker is set to: one node, nothing replicated, nothing waited for.
const PROPERTIES: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", CONTROLLER),
    ("inter.broker.listener.name", PLAINTEXT),
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
    // Tests may ask for short ones: a killed member is then replaced soon.
    ("group.min.session.timeout.ms", "1000"),
    ("group.consumer.min.session.timeout.ms", "1000"),
    ("group.consumer.min.heartbeat.interval.ms", "200"),
    // A broker that comes back after SIGKILL waits until its former self is given up.
    ("broker.session.timeout.ms", "2000"),
    ("broker.heartbeat.interval.ms", "200"),
    ("num.network.threads", "2"),
    ("num.io.threads", "2"),
    ("background.threads", "2"),
    ("log.cleaner.enable", "false"),
];

/// Warnings and worse, to the file that is shown when a start fails.
pub const LOG4J: &str = "\
status = error
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %-5p %c{1} %m%n%throwable{short}
";

/// A running broker. It ends with the value, or with the test process.
pub struct KafkaBroker {
    /// `None` between `kill` and `restart`.
    server: Option<JavaServer>,
    folder: TempDir,
    libs: PathBuf,
    /// By listener name: host and port.
    addresses: BTreeMap<String, String>,
}

impl KafkaBroker {
    /// Formats and starts a plain broker and waits until it answers.
    ///
    /// # Panics
    /// With the remedy when Kafka's jars or Java are missing, with the log when the start fails.
    pub fn start() -> Self {
        Self::start_with(&BrokerOptions::default())
    }

    /// The one broker of this test binary, started by whoever asks first. Tests that share it use
    /// topics and groups of their own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<KafkaBroker> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a broker with these options.
    ///
    /// # Panics
    /// As [`KafkaBroker::start`].
    pub fn start_with(options: &BrokerOptions) -> Self {
        let libs = server::dependency("RADSTREAM_KAFKA_LIBS", ".deps/kafka/libs", "Apache Kafka");
        // A port that was free may be taken when the broker gets to it.
        for _ in 0..3 {
            if let Some(broker) = Self::try_start(options, libs.clone()) {
                return broker;
            }
        }
        panic!("no free port stayed free for the broker in three attempts")
    }

    /// `None` when a port was taken by someone else meanwhile.
    fn try_start(options: &BrokerOptions, libs: PathBuf) -> Option<Self> {
        let folder = server::server_folder("radstream-kafka-");
        let names = [PLAINTEXT, CONTROLLER]
            .into_iter()
            .chain(options.listeners.iter().map(|listener| listener.name.as_str()));
        let addresses: BTreeMap<String, String> = names
            .map(|name| (name.to_owned(), format!("127.0.0.1:{}", server::free_port())))
            .collect();
        server::write(&folder.path().join("log4j2.properties"), LOG4J);
        server::write(
            &folder.path().join("server.properties"),
            &server_properties(options, &addresses, &folder),
        );
        let mut broker = Self { server: None, folder, libs, addresses };
        broker.format(options);
        broker.launch().then_some(broker)
    }

    /// Host and port of the plaintext listener.
    pub fn bootstrap(&self) -> &str {
        self.bootstrap_of(PLAINTEXT)
    }

    /// Host and port of a listener.
    pub fn bootstrap_of(&self, listener: &str) -> &str {
        self.addresses
            .get(listener)
            .unwrap_or_else(|| panic!("the broker has no listener {listener}"))
    }

    /// Where its logs are, a folder for each partition.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A client configuration for the plaintext listener, quick to reconnect.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.bootstrap())
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "100");
        config
    }

    /// Creates a topic, with topic settings such as `("cleanup.policy", "compact")`.
    ///
    /// # Panics
    /// When the broker refuses it.
    pub fn create_topic(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            self.client().create().expect("an admin client");
        let topic = NewTopic {
            name,
            num_partitions: partitions,
            replication: TopicReplication::Fixed(1),
            config: settings.to_vec(),
        };
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let results = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime")
            .block_on(admin.create_topics([&topic], &options))
            .expect("an answer to the request for a topic");
        for result in results {
            result.unwrap_or_else(|(topic, code)| panic!("topic {topic} not created: {code}"));
        }
        records::until_known(&self.client(), name, partitions);
    }

    /// Writes records; returns their number when the broker has them all.
    pub fn produce(&self, topic: &str, records: impl IntoIterator<Item = NewRecord>) -> usize {
        records::produce(&self.client(), topic, records)
    }

    /// All of a topic that is committed, up to its end now, by partition, then offset. Waits for
    /// transactions that are being decided.
    pub fn read_committed_all(&self, topic: &str) -> Vec<Message> {
        records::await_decided(&self.client(), topic);
        records::read_all(&self.client(), topic, Isolation::ReadCommitted)
    }

    /// All of a topic, aborted records included.
    pub fn read_uncommitted_all(&self, topic: &str) -> Vec<Message> {
        records::read_all(&self.client(), topic, Isolation::ReadUncommitted)
    }

    /// A read_committed reader that goes on reading while the test does its work.
    pub fn reader(&self, topics: &[&str]) -> TopicReader {
        TopicReader::new(&self.client(), topics, Isolation::ReadCommitted)
    }

    /// The offset after the last record of each partition, control records included.
    pub fn end_offsets(&self, topic: &str) -> BTreeMap<i32, i64> {
        records::end_offsets(&self.client(), topic)
    }

    /// What a group has committed for each partition; `None` where nothing yet.
    pub fn committed_offsets(&self, group: &str, topic: &str) -> BTreeMap<i32, Option<i64>> {
        records::committed_offsets(&self.client(), group, topic)
    }

    /// The broker's process id, for signals.
    ///
    /// # Panics
    /// Between `kill` and `restart`.
    pub fn pid(&self) -> u32 {
        self.server.as_ref().expect("the broker is not running").pid()
    }

    /// SIGKILL. What was written stays; `restart` brings it back at the same addresses.
    pub fn kill(&mut self) {
        self.server = None;
    }

    /// Starts a killed broker again, on its data and its addresses.
    ///
    /// # Panics
    /// With the log when the start fails.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.launch(), "a port of the killed broker was taken by someone else");
    }

    fn java(&self, main_class: &str) -> Vec<String> {
        java(self.folder.path(), &self.libs, main_class)
    }

    fn format(&self, options: &BrokerOptions) {
        let mut command = Command::new("java");
        command
            .args(self.java("kafka.tools.StorageTool"))
            .args(["format", "--cluster-id", CLUSTER_ID, "--config"])
            .arg(self.folder.path().join("server.properties"));
        for (name, password) in &options.scram_users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                let user = format!("{mechanism}=[name={name},password={password}]");
                command.arg("--add-scram").arg(user);
            }
        }
        let output = command.output().unwrap_or_else(|e| {
            panic!("java does not start ({e}): run `make deps`, or put a JRE 17 or newer on PATH")
        });
        assert!(
            output.status.success(),
            "Kafka's storage was not formatted:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
    }

    /// Starts the JVM and waits for the broker; false when a port was taken.
    fn launch(&mut self) -> bool {
        let mut args = self.java("kafka.Kafka");
        args.push("server.properties".into());
        let server = JavaServer::spawn(self.folder.path(), args);
        let asking: BaseConsumer = self.client().create().expect("a consumer");
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Blocks until the broker answers or the time is over. An unregistered broker is not in
            // its own metadata.
            let metadata = asking.fetch_metadata(None, Duration::from_millis(200));
            if metadata.is_ok_and(|metadata| metadata.brokers().len() == 1) {
                self.server = Some(server);
                return true;
            }
            if server.exit_code().is_some() && server.log_contains("Address already in use") {
                return false;
            }
            assert!(
                server.exit_code().is_none() && Instant::now() < deadline,
                "the Kafka broker did not start. The end of its log:\n{}",
                server.log_tail(40),
            );
        }
    }
}

/// The arguments of a small JVM that runs a class of Kafka's, logging as `folder/log4j2.properties` says.
pub fn java(folder: &Path, libs: &Path, main_class: &str) -> Vec<String> {
    let mut args = server::small_jvm("400m");
    args.push(format!("-Dlog4j2.configurationFile={}/log4j2.properties", folder.display()));
    args.push("-Dlog4j2.disable.jmx=true".into());
    args.extend(["-cp".into(), format!("{}/*", libs.display()), main_class.into()]);
    args
}

/// The broker's configuration file. A key given twice takes its last value.
fn server_properties(
    options: &BrokerOptions,
    addresses: &BTreeMap<String, String>,
    folder: &TempDir,
) -> String {
    let url = |(name, address): (&String, &String)| format!("{name}://{address}");
    let listeners: Vec<String> = addresses.iter().map(url).collect();
    let advertised: Vec<String> = addresses
        .iter()
        .filter(|(name, _)| *name != CONTROLLER)
        .map(|(name, address)| url((name, options.advertised.get(name).unwrap_or(address))))
        .collect();
    let protocols: Vec<String> = [(PLAINTEXT, PLAINTEXT), (CONTROLLER, PLAINTEXT)]
        .into_iter()
        .chain(options.listeners.iter().map(|l| (l.name.as_str(), l.protocol.as_str())))
        .map(|(name, protocol)| format!("{name}:{protocol}"))
        .collect();
    let mut lines: Vec<(String, String)> =
        PROPERTIES.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    let own = [
        ("listeners", listeners.join(",")),
        ("advertised.listeners", advertised.join(",")),
        ("listener.security.protocol.map", protocols.join(",")),
        ("controller.quorum.voters", format!("1@{}", addresses[CONTROLLER])),
        ("log.dirs", folder.path().join("data").display().to_string()),
    ];
    lines.extend(own.map(|(key, value)| (key.to_owned(), value)));
    for listener in &options.listeners {
        let prefix = format!("listener.name.{}", listener.name.to_lowercase());
        lines.extend(listener.properties.iter().map(|(k, v)| (format!("{prefix}.{k}"), v.clone())));
    }
    lines.extend(options.properties.iter().cloned());
    lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}
