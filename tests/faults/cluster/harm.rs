//! What a cluster can be made to suffer, or to do, beyond the end of a broker.

use std::process::Command;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};

use super::Cluster;
use crate::run::group;
use crate::support::kafka::java;
use crate::support::server::{PATIENCE, wait_until};

impl Cluster {
    /// From now on a broker can write nothing any more, as when its disk is full: the kernel lets none of its
    /// files grow. Waits until it has noticed and ended, as a broker does that has no other disk.
    ///
    /// # Panics
    /// When util-linux' `prlimit` is missing, or the broker has not ended in time.
    pub fn fill_disk(&mut self, index: usize) {
        let server = self.nodes[index].server.as_ref().expect("a running broker");
        let limited = Command::new("prlimit")
            .args(["--fsize=0:0", "--pid", &server.pid().to_string()])
            .status()
            .expect("prlimit, of util-linux");
        assert!(limited.success(), "the size of files was not limited");
        let code = wait_until("a broker without a disk to end", PATIENCE, || server.exit_code());
        self.nodes[index].server = None;
        // Its log has no room either; by its own will it ends with 1.
        assert_eq!(code, 1, "the broker's end");
    }

    /// Sets or lifts a quota of what radstream's clients may write, and read, of each broker.
    ///
    /// # Panics
    /// When Kafka's tool fails.
    pub fn set_quota(&self, bytes_per_second: Option<u32>) {
        let change = match bytes_per_second {
            Some(rate) => {
                let both = format!("producer_byte_rate={rate},consumer_byte_rate={rate}");
                ["--add-config".to_owned(), both]
            }
            None => ["--delete-config", "producer_byte_rate,consumer_byte_rate"].map(str::to_owned),
        };
        let client = ["--alter", "--entity-type", "clients", "--entity-name", "radstream"];
        let args: Vec<&str> = client.into_iter().chain(change.iter().map(String::as_str)).collect();
        self.tool("kafka.admin.ConfigCommand", &args);
    }

    /// Gives every partition back to the first of its replicas. Gives how many moved.
    ///
    /// # Panics
    /// When Kafka's tool fails.
    pub fn elect_preferred_leaders(&self) -> usize {
        let args = ["--election-type", "preferred", "--all-topic-partitions"];
        let class = "org.apache.kafka.tools.LeaderElectionCommand";
        // It fails where the first replica is out of sync for a moment.
        let said = wait_until("preferred leaders", PATIENCE, || self.try_tool(class, &args).ok());
        // "Successfully completed leader election (PREFERRED) for partitions a-0, a-1": its own words.
        said.lines()
            .filter(|line| line.starts_with("Successfully completed"))
            .map(|line| line.matches(", ").count() + 1)
            .sum()
    }

    /// A name for a plan, of those that begin so, whose group and whose first process' transactions have
    /// different coordinators: one can then be lost without the other.
    ///
    /// What earlier tests did to the brokers may have left one of them coordinating everything, so each
    /// partition goes back to its first replica before.
    ///
    /// # Panics
    /// When no name is found in time.
    pub fn name_of_two_coordinators(&self, start: &str) -> String {
        // Its topics come into being with the first question; only then is there something to give back.
        self.coordinators();
        self.until_in_sync();
        self.elect_preferred_leaders();
        // A broker may hear of it later than the controller.
        wait_until("coordination by more than one broker", PATIENCE, || {
            let coordinators = self.coordinators();
            let mut names = (0..64).map(|number| format!("{start}-{number}"));
            names.find(|name| coordinators.two(&group(name), "p0").is_some())
        })
    }

    /// The broker that coordinates a group and the one that coordinates its instance's transactions. A group
    /// named by [`Cluster::name_of_two_coordinators`] has two; should a broker have been away meanwhile, what
    /// it led is given back to it.
    ///
    /// # Panics
    /// When it does not come to two.
    pub fn two_coordinators(&self, group: &str, instance: &str) -> (usize, usize) {
        let two = || self.coordinators().two(group, instance);
        two().unwrap_or_else(|| {
            self.until_in_sync();
            self.elect_preferred_leaders();
            wait_until("two coordinators", PATIENCE, two)
        })
    }

    /// Which brokers coordinate at present.
    ///
    /// # Panics
    /// When the brokers do not tell.
    fn coordinators(&self) -> Coordinators {
        // Both topics come into being when they are first needed.
        let producer: BaseProducer =
            self.client().set("transactional.id", "coordinators").create().expect("a producer");
        producer.init_transactions(PATIENCE).expect("a coordinator of transactions");
        let asking: BaseConsumer =
            self.client().set("group.id", "coordinators").create().expect("a consumer");
        let mut asked = TopicPartitionList::new();
        asked.add_partition("coordinators", 0);
        wait_until("a coordinator of groups", PATIENCE, || {
            asking.committed_offsets(asked.clone(), PATIENCE).ok()
        });
        let leaders = |topic: &str| {
            wait_until("coordinators to be known", PATIENCE, || {
                let metadata = asking.fetch_metadata(Some(topic), PATIENCE).ok()?;
                let partitions = metadata.topics().first()?.partitions();
                let mut leaders: Vec<(i32, i32)> =
                    partitions.iter().map(|p| (p.id(), p.leader())).collect();
                leaders.sort_unstable();
                let leaders: Option<Vec<usize>> =
                    leaders.into_iter().map(|(_, node)| usize::try_from(node - 1).ok()).collect();
                leaders.filter(|leaders| !leaders.is_empty())
            })
        };
        let (groups, transactions) =
            (leaders("__consumer_offsets"), leaders("__transaction_state"));
        Coordinators { groups, transactions }
    }

    /// Runs one of Kafka's tools against the brokers; what it says.
    fn tool(&self, class: &str, args: &[&str]) -> String {
        self.try_tool(class, args).unwrap_or_else(|said| panic!("{class} failed:\n{said}"))
    }

    /// The same; what it says is an error if the tool failed.
    fn try_tool(&self, class: &str, args: &[&str]) -> Result<String, String> {
        let servers: Vec<String> = self.nodes.iter().map(|node| node.direct.to_string()).collect();
        let output = Command::new("java")
            .args(java(self.nodes[0].folder.path(), &self.libs, class))
            .args(["--bootstrap-server", &servers.join(",")])
            .args(args)
            .output()
            .unwrap_or_else(|e| panic!("java does not start ({e}): run `make deps`"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        Err(said + &String::from_utf8_lossy(&output.stderr))
    }
}

/// The leader of each partition of the topics that coordinators keep.
struct Coordinators {
    groups: Vec<usize>,
    transactions: Vec<usize>,
}

impl Coordinators {
    /// Which broker coordinates a group, and which the transactions of one of its instances; none when it is
    /// the same.
    fn two(&self, group: &str, instance: &str) -> Option<(usize, usize)> {
        let at = |leaders: &[usize], name: &str| leaders[java_hash(name) as usize % leaders.len()];
        let of_group = at(&self.groups, group);
        let of_transactions = at(&self.transactions, &format!("{group}.{instance}"));
        (of_group != of_transactions).then_some((of_group, of_transactions))
    }
}

/// `Utils.abs(String.hashCode)`, of ASCII: by it Kafka chooses coordinators.
fn java_hash(text: &str) -> u32 {
    let add = |hash: i32, byte: u8| hash.wrapping_mul(31).wrapping_add(byte.into());
    text.bytes().fold(0, add).checked_abs().unwrap_or_default().unsigned_abs()
}
