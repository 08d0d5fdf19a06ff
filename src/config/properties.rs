//! Which librdkafka properties may not be passed through, and why.
//!
//! `kafka.properties`, `kafka.consumer_properties` and `kafka.producer_properties` pass anything on
//! to librdkafka but what stands here. A test keeps the table of `docs/CONFIGURATION.md` the same.

use super::settings::Settings;

/// A property that is refused, always or outside bounds.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// librdkafka's name, or the beginning of names where it ends in `*`. Aliases stand for
    /// themselves in [`canonical`].
    pub property: &'static str,
    /// When.
    pub rule: Rule,
    /// What it would break.
    pub reason: &'static str,
    /// What to do instead.
    pub remedy: &'static str,
}

/// When a property is refused.
#[derive(Clone, Copy, Debug)]
pub enum Rule {
    /// Whatever its value.
    Always,
    /// Above the number that the settings allow.
    Above(fn(&Settings) -> u64),
    /// Outside 1 to the number that the settings allow: 0 means "for ever".
    OutsideOneTo(fn(&Settings) -> u64),
}

impl Rule {
    /// In words, for the table of the documentation.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Above(_) => "above our value",
            Self::OutsideOneTo(_) => "0, or above our value",
        }
    }
}

const OFFSETS: &str = "offsets are committed with the results they led to, never on their own";
const EXACTLY_ONCE: &str = "exactly-once delivery and order rest on its value";
const BUDGET: &str = "memory.budget_mib sets it, so that memory stays bounded";
const REBALANCE: &str = "hand-over of partitions is written for cooperative-sticky assignment";
const OWN_KEY: &str = "it has a setting of its own, and two places could contradict each other";
const SECRET: &str = "secrets given here would be printed by tools that show properties";
const OAUTH: &str = "radstream fetches tokens itself; librdkafka's own way is not compiled in";
const TIMEOUT: &str = "a record still on its way when its transaction ends would stop the producer";

const fn refused(
    property: &'static str,
    rule: Rule,
    reason: &'static str,
    remedy: &'static str,
) -> Refused {
    Refused { property, rule, reason, remedy }
}

/// Every refused property, in canonical names.
pub const REFUSED: &[Refused] = &[
    refused("enable.auto.commit", Rule::Always, OFFSETS, "remove it"),
    refused("auto.commit.interval.ms", Rule::Always, OFFSETS, "set delivery.commit_interval_ms"),
    refused("enable.auto.offset.store", Rule::Always, OFFSETS, "remove it"),
    refused("offset.store.method", Rule::Always, OFFSETS, "remove it"),
    refused("auto.offset.reset", Rule::Always, OWN_KEY, "set kafka.first_offset"),
    refused(
        "isolation.level",
        Rule::Always,
        "read_committed hides aborted messages and makes the client wait for offsets in doubt",
        "remove it",
    ),
    refused("group.id", Rule::Always, OWN_KEY, "set kafka.group"),
    refused(
        "group.instance.id",
        Rule::Always,
        OWN_KEY,
        "set kafka.instance_id and kafka.static_membership",
    ),
    refused("session.timeout.ms", Rule::Always, OWN_KEY, "set kafka.session_timeout_ms"),
    refused("partition.assignment.strategy", Rule::Always, REBALANCE, "remove it"),
    refused("group.protocol", Rule::Always, REBALANCE, "remove it"),
    refused("group.protocol.type", Rule::Always, REBALANCE, "remove it"),
    refused("group.remote.assignor", Rule::Always, REBALANCE, "remove it"),
    refused(
        "enable.partition.eof",
        Rule::Always,
        "run --until-end and the readiness check need the end-of-partition events",
        "remove it",
    ),
    refused("transactional.id", Rule::Always, OWN_KEY, "set kafka.group and kafka.instance_id"),
    refused("transaction.timeout.ms", Rule::Always, OWN_KEY, "set delivery.transaction_timeout_ms"),
    refused("enable.idempotence", Rule::Always, EXACTLY_ONCE, "remove it"),
    refused("request.required.acks", Rule::Always, EXACTLY_ONCE, "remove it"),
    refused("max.in.flight.requests.per.connection", Rule::Always, EXACTLY_ONCE, "remove it"),
    refused("message.send.max.retries", Rule::Always, EXACTLY_ONCE, "remove it"),
    refused("enable.gapless.guarantee", Rule::Always, EXACTLY_ONCE, "remove it"),
    refused("queuing.strategy", Rule::Always, EXACTLY_ONCE, "remove it"),
    refused("api.version.request", Rule::Always, EXACTLY_ONCE, "remove it"),
    refused(
        "delivery.report.only.error",
        Rule::Always,
        "a transaction is committed only when every record of it was acknowledged",
        "remove it",
    ),
    refused(
        "partitioner",
        Rule::Always,
        "murmur2_random puts a key where Java clients put it; readers join topics by it",
        "remove it",
    ),
    refused(
        "message.timeout.ms",
        Rule::OutsideOneTo(|s| s.delivery.transaction_timeout_ms),
        TIMEOUT,
        "lower it, or raise delivery.transaction_timeout_ms",
    ),
    refused(
        "socket.timeout.ms",
        Rule::Above(|s| s.delivery.transaction_timeout_ms.saturating_sub(100)),
        "a request must time out at least 100 ms before its transaction does",
        "lower it, or raise delivery.transaction_timeout_ms",
    ),
    refused(
        "linger.ms",
        Rule::Above(|s| s.delivery.transaction_timeout_ms / 2),
        TIMEOUT,
        "lower it, or raise delivery.transaction_timeout_ms",
    ),
    refused("message.max.bytes", Rule::Always, OWN_KEY, "set publish.max_message_bytes"),
    refused("queued.max.messages.kbytes", Rule::Always, BUDGET, "set memory.budget_mib"),
    refused("queued.min.messages", Rule::Always, BUDGET, "set memory.budget_mib"),
    refused("fetch.max.bytes", Rule::Always, BUDGET, "set memory.budget_mib"),
    refused("fetch.message.max.bytes", Rule::Always, BUDGET, "set memory.budget_mib"),
    refused("queue.buffering.max.kbytes", Rule::Always, BUDGET, "set memory.budget_mib"),
    refused("queue.buffering.max.messages", Rule::Always, BUDGET, "set memory.budget_mib"),
    refused(
        "statistics.interval.ms",
        Rule::Always,
        "the metrics of consumer lag and of quotas come from these statistics",
        "remove it",
    ),
    refused("bootstrap.servers", Rule::Always, OWN_KEY, "set kafka.bootstrap_servers"),
    refused("client.id", Rule::Always, OWN_KEY, "set kafka.client_id"),
    refused(
        "allow.auto.create.topics",
        Rule::Always,
        "a misspelt topic would come into being, with one partition and one copy",
        "create topics with radstream topics create",
    ),
    refused(
        "security.protocol",
        Rule::Always,
        OWN_KEY,
        "set kafka.tls.enabled and kafka.sasl.mechanism; it follows from them",
    ),
    refused("ssl.ca.location", Rule::Always, OWN_KEY, "set kafka.tls.ca_file"),
    refused("ssl.certificate.location", Rule::Always, OWN_KEY, "set kafka.tls.certificate_file"),
    refused("ssl.key.location", Rule::Always, OWN_KEY, "set kafka.tls.key_file"),
    refused("ssl.key.password", Rule::Always, SECRET, "set kafka.tls.key_password"),
    refused("ssl.key.pem", Rule::Always, SECRET, "set kafka.tls.key_file"),
    refused(
        "ssl.keystore.password",
        Rule::Always,
        SECRET,
        "convert the keystore to PEM files and set kafka.tls.certificate_file, key_file and \
         key_password",
    ),
    refused(
        "ssl.endpoint.identification.algorithm",
        Rule::Always,
        OWN_KEY,
        "set kafka.tls.verify_hostname",
    ),
    refused(
        "enable.ssl.certificate.verification",
        Rule::Always,
        "reports would go to whoever answers",
        "give the authority of a private certificate as kafka.tls.ca_file",
    ),
    refused("sasl.mechanisms", Rule::Always, OWN_KEY, "set kafka.sasl.mechanism"),
    refused("sasl.username", Rule::Always, OWN_KEY, "set kafka.sasl.username"),
    refused("sasl.password", Rule::Always, SECRET, "set kafka.sasl.password"),
    refused("sasl.oauthbearer.*", Rule::Always, OAUTH, "set kafka.sasl.oauth_*"),
    refused(
        "enable.sasl.oauthbearer.unsecure.jwt",
        Rule::Always,
        "unsigned tokens prove nothing",
        "set kafka.sasl.oauth_*",
    ),
    refused(
        "plugin.library.paths",
        Rule::Always,
        "foreign code in the process would see report text",
        "remove it",
    ),
];

/// librdkafka's other names for the same property.
const ALIASES: &[(&str, &str)] = &[
    ("metadata.broker.list", "bootstrap.servers"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("auto.commit.enable", "enable.auto.commit"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("retries", "message.send.max.retries"),
    ("acks", "request.required.acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("compression.type", "compression.codec"),
    ("sasl.mechanism", "sasl.mechanisms"),
];

/// One name per property: two names of one property must not both reach librdkafka, which would take
/// whichever comes last.
pub fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, canonical)| canonical)
}

/// Why `name = value` is refused, as (what, remedy); `None` where it may pass. The value is not
/// quoted: it may be a secret.
pub fn refusal(settings: &Settings, name: &str, value: &str) -> Option<(String, String)> {
    let known = canonical(name);
    let entry = REFUSED.iter().find(|entry| match entry.property.strip_suffix('*') {
        Some(beginning) => known.starts_with(beginning),
        None => known == entry.property,
    })?;
    let bound = match entry.rule {
        Rule::Always => String::new(),
        Rule::Above(limit) | Rule::OutsideOneTo(limit) => {
            let limit = limit(settings);
            let least = u64::from(matches!(entry.rule, Rule::OutsideOneTo(_)));
            if value.trim().parse::<u64>().is_ok_and(|v| (least..=limit).contains(&v)) {
                return None;
            }
            format!(" outside {least} to {limit}")
        }
    };
    Some((format!("{name} is refused{bound}: {}", entry.reason), entry.remedy.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(name: &str, value: &str) -> Option<String> {
        refusal(&Settings::default(), name, value)
            .map(|(what, remedy)| format!("{what} / {remedy}"))
    }

    #[test]
    fn what_would_break_exactly_once_is_refused_under_every_name() {
        for name in [
            "enable.auto.commit",
            "auto.commit.enable",
            "isolation.level",
            "enable.idempotence",
            "acks",
            "request.required.acks",
            "max.in.flight",
            "retries",
            "transactional.id",
            "partitioner",
            "group.id",
            "auto.offset.reset",
            "sasl.mechanism",
            "sasl.oauthbearer.method",
        ] {
            assert!(refuses(name, "1").is_some(), "{name} passes");
        }
        for name in ["compression.type", "client.rack", "socket.keepalive.enable", "debug"] {
            assert_eq!(refuses(name, "x"), None);
        }
    }

    #[test]
    fn a_bound_lets_its_edge_through_and_refuses_one_more() {
        for (name, edge) in [
            ("message.timeout.ms", 10_000),
            ("delivery.timeout.ms", 10_000),
            ("socket.timeout.ms", 9_900),
            ("linger.ms", 5_000),
            ("queue.buffering.max.ms", 5_000),
        ] {
            assert_eq!(refuses(name, &edge.to_string()), None, "{name}");
            assert!(refuses(name, &(edge + 1).to_string()).is_some(), "{name}");
        }
        assert!(refuses("message.timeout.ms", "0").is_some(), "0 means for ever");
        assert!(refuses("linger.ms", "soon").is_some());
    }

    #[test]
    fn a_secret_among_the_properties_is_refused_and_not_quoted() {
        for name in ["sasl.password", "ssl.key.password", "sasl.oauthbearer.client.secret"] {
            let refusal = refuses(name, "hunter2").unwrap();
            assert!(!refusal.contains("hunter2"));
            assert!(refusal.contains("set kafka."), "{refusal}");
        }
    }

    #[test]
    fn aliases_lead_to_names_that_are_no_aliases() {
        for (alias, name) in ALIASES {
            assert_eq!(canonical(name), *name, "{alias}");
        }
        for entry in REFUSED {
            assert_eq!(canonical(entry.property), entry.property);
        }
    }
}
