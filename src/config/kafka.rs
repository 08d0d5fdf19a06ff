//! What the settings become as librdkafka properties.
//!
//! Pure, but for the host name where `kafka.instance_id` is empty. The maps hold secrets: never log
//! them. A property that the user passes through wins over ours; what must not be won over is
//! refused when the settings are loaded ([`super::properties`]).

use std::collections::BTreeMap;

use super::connection::{FirstOffset, Mechanism};
use super::properties::canonical;
use super::settings::Settings;

/// librdkafka properties by canonical name.
pub type Properties = BTreeMap<String, String>;

/// The largest fetch, where the budget allows it. One fetch may overshoot the queue's bound.
const FETCH_MAX_BYTES: u64 = 8 << 20;
/// What one partition adds to a fetch. A larger record still comes through, alone (KIP-74).
const PARTITION_FETCH_BYTES: u64 = 1 << 20;
/// Records in the producer's queue: 2 for each record of the largest commit.
const PRODUCER_QUEUE_RECORDS: u64 = 20_000;
/// Longest time that an idempotent, but not transactional, record tries to be delivered.
const PLAIN_MESSAGE_TIMEOUT_MS: u64 = 30_000;

/// Properties of the consumer of stage label.
pub fn consumer_properties(settings: &Settings) -> Properties {
    let kafka = &settings.kafka;
    let mut properties = common(settings);
    let session = kafka.session_timeout_ms;
    set(&mut properties, "group.id", &kafka.group);
    if kafka.static_membership {
        // A member that comes back within the session keeps its partitions: no rebalance.
        set(&mut properties, "group.instance.id", kafka.instance());
    }
    // Incremental: a rebalance stops only the partitions that move.
    set(&mut properties, "partition.assignment.strategy", "cooperative-sticky");
    set(&mut properties, "session.timeout.ms", session);
    set(&mut properties, "heartbeat.interval.ms", (session / 3).min(3_000));
    // A backstop only, the poll thread always polls. librdkafka wants it above the session.
    set(&mut properties, "max.poll.interval.ms", session.max(300_000));
    // Offsets belong to the transaction.
    set(&mut properties, "enable.auto.commit", false);
    set(&mut properties, "enable.auto.offset.store", false);
    // Also makes the client wait for offsets whose transaction is still open (stable offsets).
    set(&mut properties, "isolation.level", "read_committed");
    set(
        &mut properties,
        "auto.offset.reset",
        match kafka.first_offset {
            FirstOffset::Earliest => "earliest",
            FirstOffset::Latest => "latest",
            FirstOffset::Fail => "error",
        },
    );
    set(&mut properties, "enable.partition.eof", true);
    // A report damaged on its way must not be labelled.
    set(&mut properties, "check.crcs", true);
    set(&mut properties, "statistics.interval.ms", 5_000);
    fetch_bounds(settings, &mut properties);
    pass_through(&mut properties, &kafka.properties);
    pass_through(&mut properties, &kafka.consumer_properties);
    properties
}

/// Bounds of what waits in librdkafka, and short waits: reports are small and wanted soon.
fn fetch_bounds(settings: &Settings, properties: &mut Properties) {
    let share = settings.memory.fetch_bytes();
    let topics = u64::try_from(settings.topics.reports.len()).unwrap_or(u64::MAX).max(1);
    let partitions = u64::try_from(settings.topics.partitions).unwrap_or(1).max(1);
    // The bound holds for each partition's queue on its own, and one process may get them all.
    let queue_kib = share / 1024 / topics.saturating_mul(partitions);
    set(properties, "queued.max.messages.kbytes", queue_kib.clamp(1024, 2_097_151));
    set(properties, "queued.min.messages", 1_000);
    set(properties, "fetch.max.bytes", (share / 2).clamp(PARTITION_FETCH_BYTES, FETCH_MAX_BYTES));
    set(properties, "fetch.message.max.bytes", PARTITION_FETCH_BYTES);
    set(properties, "fetch.wait.max.ms", 50);
    set(properties, "fetch.min.bytes", 1);
    // The default of 1 s leaves gaps whenever the small queue has been full.
    set(properties, "fetch.queue.backoff.ms", 20);
}

/// Properties of the producer. `transactional` is false in at-least-once delivery: the producer is
/// idempotent all the same.
pub fn producer_properties(settings: &Settings, transactional: bool) -> Properties {
    let kafka = &settings.kafka;
    let transaction = settings.delivery.transaction_timeout_ms;
    let mut properties = common(settings);
    if transactional {
        set(&mut properties, "transactional.id", kafka.transactional_id());
        set(&mut properties, "transaction.timeout.ms", transaction);
        // Both must end before the transaction does; half leaves time for a second try.
        set(&mut properties, "message.timeout.ms", transaction);
        set(&mut properties, "socket.timeout.ms", (transaction / 2).min(60_000));
    } else {
        set(&mut properties, "message.timeout.ms", PLAIN_MESSAGE_TIMEOUT_MS);
    }
    // A topic that is gone is told as such, and not as a record that timed out.
    set(&mut properties, "topic.metadata.propagation.max.ms", (transaction / 2).min(5_000));
    set(&mut properties, "enable.idempotence", true);
    set(&mut properties, "statistics.interval.ms", 5_000);
    set(&mut properties, "request.required.acks", "all");
    set(&mut properties, "linger.ms", 5);
    set(&mut properties, "compression.codec", "zstd");
    // librdkafka's own default (CRC32) puts keys elsewhere than Java clients do.
    set(&mut properties, "partitioner", "murmur2_random");
    set(&mut properties, "message.max.bytes", settings.publish.max_message_bytes);
    // A full queue is our back pressure.
    let queue_kib = (settings.memory.producer_bytes() / 1024).clamp(1, 2_147_483_647);
    set(&mut properties, "queue.buffering.max.kbytes", queue_kib);
    set(&mut properties, "queue.buffering.max.messages", PRODUCER_QUEUE_RECORDS);
    pass_through(&mut properties, &kafka.properties);
    pass_through(&mut properties, &kafka.producer_properties);
    properties
}

/// Properties of clients that only ask or administer.
pub fn admin_properties(settings: &Settings) -> Properties {
    let mut properties = common(settings);
    pass_through(&mut properties, &settings.kafka.properties);
    properties
}

/// Address, name, encryption and authentication: the same for all clients.
fn common(settings: &Settings) -> Properties {
    let kafka = &settings.kafka;
    let (tls, sasl) = (&kafka.tls, &kafka.sasl);
    let mut properties = Properties::new();
    set(&mut properties, "bootstrap.servers", &kafka.bootstrap_servers);
    set(&mut properties, "client.id", &kafka.client_id);
    // A misspelt topic must be an error, not a new topic.
    set(&mut properties, "allow.auto.create.topics", false);
    let protocol = match (tls.enabled, sasl.mechanism) {
        (false, Mechanism::None) => "plaintext",
        (false, _) => "sasl_plaintext",
        (true, Mechanism::None) => "ssl",
        (true, _) => "sasl_ssl",
    };
    set(&mut properties, "security.protocol", protocol);
    if tls.enabled {
        let algorithm = if tls.verify_hostname { "https" } else { "none" };
        set(&mut properties, "ssl.endpoint.identification.algorithm", algorithm);
        for (name, path) in [
            ("ssl.ca.location", &tls.ca_file),
            ("ssl.certificate.location", &tls.certificate_file),
            ("ssl.key.location", &tls.key_file),
        ] {
            if !path.as_os_str().is_empty() {
                set(&mut properties, name, path.display());
            }
        }
        if tls.key_password.is_set() {
            set(&mut properties, "ssl.key.password", tls.key_password.expose());
        }
    }
    if sasl.mechanism != Mechanism::None {
        set(&mut properties, "sasl.mechanisms", sasl.mechanism.name());
    }
    if sasl.mechanism.takes_password() {
        set(&mut properties, "sasl.username", &sasl.username);
        set(&mut properties, "sasl.password", sasl.password.expose());
    }
    properties
}

fn set(properties: &mut Properties, name: &str, value: impl ToString) {
    properties.insert(name.to_owned(), value.to_string());
}

fn pass_through(properties: &mut Properties, given: &BTreeMap<String, String>) {
    for (name, value) in given {
        set(properties, canonical(name), value);
    }
}

/// librdkafka's objection to a property, if it has one: no such name, or not such a value.
pub fn objection(name: &str, value: &str) -> Option<String> {
    let mut config = rdkafka::ClientConfig::new();
    config.set(name, value);
    match config.create_native_config() {
        Ok(_) => None,
        Err(rdkafka::error::KafkaError::ClientConfig(_, description, _, _)) => {
            // A password may stand in the wrong place.
            Some(description.replace(&format!("\"{value}\""), "(not shown)"))
        }
        Err(problem) => Some(problem.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn get<'p>(properties: &'p Properties, name: &str) -> &'p str {
        properties.get(name).map_or("(not set)", String::as_str)
    }

    #[test]
    fn librdkafka_knows_every_property_that_we_set() {
        let mut settings = Settings::default();
        settings.kafka.tls.enabled = true;
        for properties in [
            consumer_properties(&settings),
            producer_properties(&settings, true),
            producer_properties(&settings, false),
            admin_properties(&settings),
        ] {
            for (name, value) in properties {
                assert_eq!(objection(&name, &value), None, "{name} = {value}");
                assert_eq!(canonical(&name), name);
            }
        }
        assert!(objection("no.such.property", "1").unwrap().contains("no.such.property"));
    }

    #[test]
    fn timeouts_of_a_transaction_end_before_it_for_any_allowed_length() {
        for length in [1_000, 10_000, 900_000] {
            let mut settings = Settings::default();
            settings.delivery.transaction_timeout_ms = length;
            let properties = producer_properties(&settings, true);
            let number = |name: &str| get(&properties, name).parse::<u64>().unwrap();
            assert!(number("message.timeout.ms") <= number("transaction.timeout.ms"));
            assert!(number("socket.timeout.ms") + 100 <= number("transaction.timeout.ms"));
        }
    }

    #[test]
    fn queues_of_the_clients_stay_inside_the_budget() {
        for budget_mib in [32, 256, 4_096] {
            let mut settings = Settings::default();
            settings.memory.budget_mib = budget_mib;
            let consumer = consumer_properties(&settings);
            let producer = producer_properties(&settings, true);
            let kib = |p: &Properties, name: &str| get(p, name).parse::<u64>().unwrap();
            let fetched = 6 * kib(&consumer, "queued.max.messages.kbytes");
            let produced = kib(&producer, "queue.buffering.max.kbytes");
            assert!(fetched <= budget_mib * 1024 / 4, "{budget_mib}");
            assert!(produced <= budget_mib * 1024 * 15 / 100, "{budget_mib}");
            assert!(kib(&consumer, "fetch.max.bytes") <= settings.memory.fetch_bytes());
        }
    }

    #[test]
    fn the_security_protocol_follows_from_tls_and_sasl() {
        let mut settings = Settings::default();
        assert_eq!(get(&admin_properties(&settings), "security.protocol"), "plaintext");
        settings.kafka.tls.enabled = true;
        settings.kafka.tls.verify_hostname = false;
        settings.kafka.tls.ca_file = "ca.pem".into();
        settings.kafka.tls.key_password = Secret::new("key");
        let properties = admin_properties(&settings);
        assert_eq!(get(&properties, "security.protocol"), "ssl");
        assert_eq!(get(&properties, "ssl.ca.location"), "ca.pem");
        assert_eq!(get(&properties, "ssl.key.password"), "key");
        assert_eq!(get(&properties, "ssl.endpoint.identification.algorithm"), "none");
        settings.kafka.sasl.mechanism = Mechanism::ScramSha512;
        settings.kafka.sasl.username = "label".to_owned();
        settings.kafka.sasl.password = Secret::new("hunter2");
        let properties = consumer_properties(&settings);
        assert_eq!(get(&properties, "security.protocol"), "sasl_ssl");
        assert_eq!(get(&properties, "sasl.password"), "hunter2");
        settings.kafka.tls.enabled = false;
        settings.kafka.sasl.mechanism = Mechanism::OauthBearer;
        let properties = producer_properties(&settings, true);
        assert_eq!(get(&properties, "security.protocol"), "sasl_plaintext");
        assert_eq!(get(&properties, "sasl.mechanisms"), "OAUTHBEARER");
        assert_eq!(get(&properties, "sasl.password"), "(not set)");
        assert_eq!(get(&properties, "ssl.ca.location"), "(not set)");
    }

    #[test]
    fn passed_properties_win_under_any_of_their_names_and_reach_their_client_only() {
        let mut settings = Settings::default();
        let insert = |map: &mut BTreeMap<String, String>, name: &str, value: &str| {
            map.insert(name.to_owned(), value.to_owned());
        };
        insert(&mut settings.kafka.properties, "client.rack", "b");
        insert(&mut settings.kafka.producer_properties, "compression.type", "lz4");
        insert(&mut settings.kafka.consumer_properties, "fetch.wait.max.ms", "7");
        let consumer = consumer_properties(&settings);
        let producer = producer_properties(&settings, false);
        assert_eq!(get(&consumer, "client.rack"), "b");
        assert_eq!(get(&producer, "client.rack"), "b");
        assert_eq!(get(&producer, "compression.codec"), "lz4");
        assert_eq!(get(&producer, "compression.type"), "(not set)");
        assert_eq!(get(&consumer, "fetch.wait.max.ms"), "7");
        assert_eq!(get(&producer, "fetch.wait.max.ms"), "(not set)");
    }

    #[test]
    fn identity_is_stable_and_the_first_offset_is_a_choice() {
        let mut settings = Settings::default();
        settings.kafka.instance_id = "label-0".to_owned();
        settings.kafka.first_offset = FirstOffset::Fail;
        let consumer = consumer_properties(&settings);
        assert_eq!(get(&consumer, "group.instance.id"), "label-0");
        assert_eq!(get(&consumer, "auto.offset.reset"), "error");
        let producer = producer_properties(&settings, true);
        assert_eq!(get(&producer, "transactional.id"), "radstream.label.label-0");
        assert_eq!(get(&producer_properties(&settings, false), "transactional.id"), "(not set)");
        settings.kafka.static_membership = false;
        assert_eq!(get(&consumer_properties(&settings), "group.instance.id"), "(not set)");
        settings.kafka.instance_id = String::new();
        assert!(!settings.kafka.instance().is_empty());
    }
}
