//! The rights (ACLs) that a stage needs, and which of them the brokers refused. Pure.
//!
//! `docs/CONFIGURATION.md` lists the same; `tests/security.rs` holds the two together, and tries each
//! on a broker.

use std::fmt;

use rdkafka::types::RDKafkaErrorCode as Code;

use super::run::Stage;
use crate::config::{Guarantee, Settings};

/// What is to be allowed. Either includes Describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To consume a topic, or to be a member of a group.
    Read,
    /// To produce to a topic, or to use a transactional id.
    Write,
    /// To produce without a transactional id, on brokers before 2.8.
    IdempotentWrite,
}

/// On what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// By its name.
    Topic(String),
    /// By its name.
    Group(String),
    /// By the id.
    TransactionalId(String),
    /// The cluster itself.
    Cluster,
}

/// A right, as Kafka's ACLs name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// What.
    pub operation: Operation,
    /// On what.
    pub resource: Resource,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::TransactionalId(id) => write!(f, "transactional id {id}"),
            Self::Cluster => f.write_str("the cluster"),
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {}", self.operation, self.resource)
    }
}

/// Every right that a stage needs with these settings, and no other.
pub fn needed(settings: &Settings, stage: Stage) -> Vec<Right> {
    let topics = &settings.topics;
    let distillation = Some(&topics.distillation).filter(|name| !name.is_empty());
    let (inputs, outputs, group): (Vec<&String>, Vec<&String>, &str) = match stage {
        Stage::Label => {
            let escalations = settings.routing.escalate.then_some(&topics.escalations);
            let outputs = [Some(&topics.findings), escalations, distillation];
            let outputs = outputs.into_iter().flatten().chain([&topics.dead_letters]);
            (topics.reports.iter().collect(), outputs.collect(), &settings.kafka.group)
        }
        Stage::Teach => {
            let outputs = [Some(&topics.findings), distillation, Some(&topics.retries)];
            let outputs = outputs.into_iter().flatten().chain([&topics.dead_letters]);
            let inputs = vec![&topics.escalations, &topics.retries];
            (inputs, outputs.collect(), &settings.teacher.group)
        }
    };
    let topic = |operation| move |name: &String| right(operation, Resource::Topic(name.clone()));
    let mut rights: Vec<Right> = inputs.into_iter().map(topic(Operation::Read)).collect();
    rights.extend(outputs.into_iter().map(topic(Operation::Write)));
    rights.push(right(Operation::Read, Resource::Group(group.to_owned())));
    if settings.delivery.guarantee == Guarantee::ExactlyOnce {
        let id = format!("{group}.{}", settings.kafka.instance());
        rights.push(right(Operation::Write, Resource::TransactionalId(id)));
    }
    rights
}

/// The rights, of those needed, that a refusal can mean: by its code, by what was being done, and by the
/// topics that its words name. Where they name none, every topic that was so used.
pub fn refused(needed: &[Right], code: Code, doing: Option<Operation>, words: &str) -> Vec<Right> {
    let fits = |right: &&Right| match (code, &right.resource) {
        (Code::GroupAuthorizationFailed, Resource::Group(_))
        | (Code::TransactionalIdAuthorizationFailed, Resource::TransactionalId(_)) => true,
        (Code::TopicAuthorizationFailed, Resource::Topic(_)) => {
            doing.is_none_or(|operation| operation == right.operation)
        }
        _ => false,
    };
    if code == Code::ClusterAuthorizationFailed {
        return vec![right(Operation::IdempotentWrite, Resource::Cluster)];
    }
    let possible: Vec<Right> = needed.iter().filter(fits).cloned().collect();
    let named: Vec<Right> =
        possible.iter().filter(|right| right.is_named(words)).cloned().collect();
    if named.is_empty() { possible } else { named }
}

/// What to do about refused rights, as the end of an error message; empty where none is known.
pub fn remedy(refused: &[Right]) -> String {
    if refused.is_empty() {
        return String::new();
    }
    let rights: Vec<String> = refused.iter().map(Right::to_string).collect();
    format!("; grant our principal {} (docs/CONFIGURATION.md, Kafka rights)", rights.join(", "))
}

impl Right {
    /// Its topic stands in these words, whole: `a.b` does not stand in `a.b.c`.
    fn is_named(&self, words: &str) -> bool {
        let Resource::Topic(name) = &self.resource else { return false };
        words.match_indices(name.as_str()).any(|(at, found)| {
            let part = |byte: Option<&u8>| {
                byte.is_some_and(|b| b.is_ascii_alphanumeric() || b"._-".contains(b))
            };
            let bytes = words.as_bytes();
            let before = at.checked_sub(1).and_then(|at| bytes.get(at));
            !part(before) && !part(bytes.get(at + found.len()))
        })
    }
}

const fn right(operation: Operation, resource: Resource) -> Right {
    Right { operation, resource }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(stage: Stage, code: Code, doing: Option<Operation>, words: &str) -> Vec<String> {
        let mut settings = Settings::default();
        settings.kafka.instance_id = "i".to_owned();
        let needed = needed(&settings, stage);
        refused(&needed, code, doing, words).iter().map(Right::to_string).collect()
    }

    #[test]
    fn a_refusal_names_the_topic_that_its_words_name_and_no_longer_one() {
        let words = "Topic authorization failed (topic radiology.escalations)";
        let topic = Code::TopicAuthorizationFailed;
        let label = told(Stage::Label, topic, Some(Operation::Write), words);
        assert_eq!(label, ["Write on topic radiology.escalations"]);
        let retry = "topic radiology.escalations.retry";
        let both = told(Stage::Teach, topic, None, retry);
        let of_retries =
            ["Read", "Write"].map(|o| format!("{o} on topic radiology.escalations.retry"));
        assert_eq!(both, of_retries);
        let doing = told(Stage::Teach, topic, Some(Operation::Write), retry);
        assert_eq!(doing, of_retries[1..]);
    }

    #[test]
    fn group_and_transactional_id_are_those_of_the_stage() {
        let group = told(Stage::Teach, Code::GroupAuthorizationFailed, None, "");
        assert_eq!(group, ["Read on group radstream.teach"]);
        let id = told(Stage::Label, Code::TransactionalIdAuthorizationFailed, None, "");
        assert_eq!(id, ["Write on transactional id radstream.label.i"]);
        assert!(told(Stage::Label, Code::SaslAuthenticationFailed, None, "").is_empty());
    }

    #[test]
    fn what_is_not_used_needs_no_right() {
        let mut settings = Settings::default();
        settings.routing.escalate = false;
        settings.topics.distillation = String::new();
        settings.delivery.guarantee = Guarantee::AtLeastOnce;
        let rights: Vec<_> = needed(&settings, Stage::Label).iter().map(Right::to_string).collect();
        let expected = [
            "Read on topic radiology.reports",
            "Write on topic radiology.findings",
            "Write on topic radiology.dead-letters",
            "Read on group radstream.label",
        ];
        assert_eq!(rights, expected);
    }
}
