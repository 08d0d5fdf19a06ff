//! Three brokers of Apache Kafka, each reached by radstream through a fault proxy.
//!
//! Every node is broker and controller at once, so one of three may be away. The tests themselves, and the
//! brokers among each other, go past the proxies: what the checker reads was not tampered with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use tempfile::TempDir;

mod harm;

use crate::proxy::Proxy;
use crate::support::kafka::{LOG4J, java};
use crate::support::records;
use crate::support::server::{self, JavaServer, PATIENCE, wait_until};

/// Any 16 bytes in URL-safe base64; the cluster is thrown away.
const CLUSTER_ID: &str = "cmFkc3RyZWFtLWZhdWx0MA";
/// Brokers, numbered from 0 here; their node ids are one more.
pub const BROKERS: usize = 3;

/// As a hospital would set them, but for times: what waits for a lost broker waits seconds here.
const PROPERTIES: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("controller.listener.names", "CONTROLLER"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    (
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
    ),
    ("auto.create.topics.enable", "false"),
    ("default.replication.factor", "3"),
    ("min.insync.replicas", "2"),
    ("unclean.leader.election.enable", "false"),
    ("offsets.topic.replication.factor", "3"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "3"),
    ("transaction.state.log.num.partitions", "4"),
    ("transaction.state.log.min.isr", "2"),
    ("share.coordinator.state.topic.replication.factor", "3"),
    ("share.coordinator.state.topic.min.isr", "2"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "1000"),
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "1000"),
    ("broker.session.timeout.ms", "4000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("controller.quorum.election.timeout.ms", "2000"),
    ("controller.quorum.fetch.timeout.ms", "4000"),
    ("replica.lag.time.max.ms", "5000"),
    ("auto.leader.rebalance.enable", "false"),
    ("num.network.threads", "2"),
    ("num.io.threads", "2"),
    ("num.replica.fetchers", "1"),
    ("background.threads", "2"),
    ("num.partitions", "1"),
    ("log.cleaner.enable", "false"),
    // A test's topics are small; a gigabyte preallocated for each segment is not needed.
    ("log.segment.bytes", "67108864"),
];

struct Node {
    server: Option<JavaServer>,
    folder: TempDir,
    /// Past the proxy.
    direct: SocketAddr,
    proxy: Proxy,
}

impl Node {
    /// Of a client that asks this broker first.
    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.direct.to_string());
        client
    }
}

/// The cluster. It ends with the value, or with the test process.
pub struct Cluster {
    nodes: Vec<Node>,
    libs: PathBuf,
}

impl Cluster {
    /// The one cluster of this test binary: a broker that is killed concerns every test, so they take turns.
    pub fn shared() -> MutexGuard<'static, Self> {
        static CLUSTER: OnceLock<Mutex<Cluster>> = OnceLock::new();
        let cluster = CLUSTER.get_or_init(|| Mutex::new(Self::start()));
        let mut cluster = cluster.lock().unwrap_or_else(PoisonError::into_inner);
        // A test that failed may have left a broker down.
        cluster.heal();
        cluster.until_in_sync();
        cluster
    }

    /// Formats and starts three brokers and waits until each knows the others.
    ///
    /// # Panics
    /// With the remedy when Kafka's jars or Java are missing, with a log when a start fails.
    pub fn start() -> Self {
        let libs = server::dependency("RADSTREAM_KAFKA_LIBS", ".deps/kafka/libs", "Apache Kafka");
        // A port that was free may be taken when a broker gets to it.
        for _ in 0..3 {
            if let Some(cluster) = Self::try_start(libs.clone()) {
                return cluster;
            }
        }
        panic!("no free ports stayed free for three brokers in three attempts")
    }

    fn try_start(libs: PathBuf) -> Option<Self> {
        let port = || SocketAddr::from(([127, 0, 0, 1], server::free_port()));
        let controllers: Vec<SocketAddr> = (0..BROKERS).map(|_| port()).collect();
        let voters: Vec<String> =
            controllers.iter().enumerate().map(|(i, at)| format!("{}@{at}", i + 1)).collect();
        let nodes = controllers.iter().enumerate().map(|(index, controller)| {
            let folder = server::server_folder("radstream-cluster-");
            let proxy = Proxy::bind();
            let (direct, behind) = (port(), port());
            proxy.set_target(behind);
            let own = [
                ("node.id", (index + 1).to_string()),
                ("controller.quorum.voters", voters.join(",")),
                (
                    "listeners",
                    format!("PLAINTEXT://{direct},CONTROLLER://{controller},PROXIED://{behind}"),
                ),
                (
                    "advertised.listeners",
                    format!("PLAINTEXT://{direct},PROXIED://{}", proxy.address()),
                ),
                ("log.dirs", folder.path().join("data").display().to_string()),
            ];
            let lines = PROPERTIES
                .iter()
                .map(|(key, value)| format!("{key}={value}\n"))
                .chain(own.iter().map(|(key, value)| format!("{key}={value}\n")));
            server::write(&folder.path().join("server.properties"), &lines.collect::<String>());
            server::write(&folder.path().join("log4j2.properties"), LOG4J);
            Node { server: None, folder, direct, proxy }
        });
        let mut cluster = Self { nodes: nodes.collect(), libs };
        for node in &cluster.nodes {
            cluster.format(node.folder.path());
        }
        for index in 0..BROKERS {
            cluster.launch(index);
        }
        cluster.until_all_are_up().then_some(cluster)
    }

    fn format(&self, folder: &Path) {
        let output = Command::new("java")
            .args(java(folder, &self.libs, "kafka.tools.StorageTool"))
            .args(["format", "--cluster-id", CLUSTER_ID, "--config"])
            .arg(folder.join("server.properties"))
            .output()
            .unwrap_or_else(|e| panic!("java does not start ({e}): run `make deps`"));
        assert!(
            output.status.success(),
            "Kafka's storage was not formatted:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn launch(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let mut args = java(node.folder.path(), &self.libs, "kafka.Kafka");
        args.push("server.properties".into());
        node.server = Some(JavaServer::spawn(node.folder.path(), args));
    }

    /// False when a port was taken by someone else meanwhile.
    fn until_all_are_up(&self) -> bool {
        let asking: BaseConsumer = self.client().create().expect("a consumer");
        // Three JVMs may start at once, beside others.
        let deadline = Instant::now() + 3 * PATIENCE;
        loop {
            let metadata = asking.fetch_metadata(None, Duration::from_millis(200));
            if metadata.is_ok_and(|metadata| metadata.brokers().len() == BROKERS) {
                return true;
            }
            for server in self.nodes.iter().filter_map(|node| node.server.as_ref()) {
                if server.exit_code().is_some() && server.log_contains("Address already in use") {
                    return false;
                }
                assert!(
                    server.exit_code().is_none() && Instant::now() < deadline,
                    "a broker did not start. The end of its log:\n{}",
                    server.log_tail(40)
                );
            }
        }
    }

    /// A client configuration past the proxies, quick to reconnect.
    pub fn client(&self) -> ClientConfig {
        let servers: Vec<String> = self.nodes.iter().map(|node| node.direct.to_string()).collect();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", servers.join(","))
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "500");
        config
    }

    /// Where radstream finds the brokers: behind the proxies.
    pub fn proxied(&self) -> String {
        let proxies: Vec<String> =
            self.nodes.iter().map(|node| node.proxy.address().to_string()).collect();
        proxies.join(",")
    }

    /// The proxies, one a broker.
    pub fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.nodes.iter().map(|node| &node.proxy)
    }

    /// The proxy of a broker.
    pub fn proxy(&self, index: usize) -> &Proxy {
        &self.nodes[index].proxy
    }

    /// Where each broker keeps its logs.
    pub fn data_folders(&self) -> Vec<PathBuf> {
        self.nodes.iter().map(|node| node.folder.path().join("data")).collect()
    }

    /// Creates a topic with three replicas, of which two must have a record. `limit`: no batch may have more
    /// bytes. From the start: a change comes to the brokers some time after it was acknowledged.
    ///
    /// # Panics
    /// When the brokers refuse it.
    pub fn create_topic(&self, name: &str, partitions: i32, limit: Option<u32>) {
        let limit = limit.map(|bytes| bytes.to_string());
        let mut config = vec![("min.insync.replicas", "2")];
        config.extend(limit.as_deref().map(|bytes| ("max.message.bytes", bytes)));
        let topic = NewTopic {
            name,
            num_partitions: partitions,
            replication: TopicReplication::Fixed(BROKERS as i32),
            config,
        };
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        // A broker may be away for a moment, and it takes three.
        wait_until(&format!("topic {name} to be created"), PATIENCE, || {
            let results = block_on(self.admin().create_topics([&topic], &options)).ok()?;
            let refused = results.into_iter().find_map(Result::err).map(|(_, code)| code);
            matches!(refused, None | Some(RDKafkaErrorCode::TopicAlreadyExists)).then_some(())
        });
        for node in &self.nodes {
            records::until_known(&node.client(), name, partitions);
        }
        self.until_in_sync();
    }

    /// Sets one property of a topic; all others go back to their defaults.
    ///
    /// # Panics
    /// When the brokers refuse it.
    pub fn set_topic(&self, topic: &str, key: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
        let results = block_on(self.admin().alter_configs([&change], &AdminOptions::new()))
            .expect("an answer to the change of a topic");
        for result in results {
            result.unwrap_or_else(|(_, code)| panic!("topic {topic} not changed: {code}"));
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    /// SIGKILL to a broker. Its data stay.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].server = None;
    }

    /// SIGTERM to a broker: it hands its partitions over and ends.
    ///
    /// # Panics
    /// When it has not ended in time.
    pub fn stop(&mut self, index: usize) {
        let server = self.nodes[index].server.as_ref().expect("a running broker");
        let pid = server.pid().to_string();
        let signalled = Command::new("sh").args(["-c", "kill -s TERM \"$1\"", "sh", &pid]).status();
        assert!(signalled.is_ok_and(|status| status.success()), "SIGTERM was not delivered");
        wait_until("a broker to end", PATIENCE, || server.exit_code());
        self.nodes[index].server = None;
    }

    /// Starts a broker that was killed or stopped, and waits until every replica is in sync again: the
    /// next fault may then fall on another broker.
    ///
    /// # Panics
    /// With its log when the start fails.
    pub fn restart(&mut self, index: usize) {
        self.launch(index);
        assert!(self.until_all_are_up(), "a port of the broker was taken by someone else");
        // The others may not have noticed yet that it was away.
        let client = self.nodes[index].client();
        wait_until("the broker to answer for itself", PATIENCE, || {
            let asking: BaseConsumer = client.create().expect("a consumer");
            let metadata = asking.fetch_metadata(None, Duration::from_secs(5)).ok()?;
            (metadata.brokers().len() == BROKERS).then_some(())
        });
        self.until_in_sync();
    }

    /// Starts what is down.
    pub fn heal(&mut self) {
        for index in 0..BROKERS {
            if self.nodes[index].server.is_none() {
                self.restart(index);
            }
        }
    }

    /// Waits until every partition has all its replicas in sync.
    ///
    /// # Panics
    /// When that takes longer than the patience of the tests.
    pub fn until_in_sync(&self) {
        let asking: BaseConsumer = self.client().create().expect("a consumer");
        wait_until("all replicas in sync", PATIENCE, || {
            let metadata = asking.fetch_metadata(None, Duration::from_secs(5)).ok()?;
            let all = metadata.topics().iter().flat_map(|topic| topic.partitions());
            all.into_iter().all(|p| p.isr().len() == BROKERS && p.leader() > 0).then_some(())
        });
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
