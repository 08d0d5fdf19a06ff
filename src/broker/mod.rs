//! The outside world's queue: bytes, topics, offsets, transactions. Knows no medicine.
//!
//! * [`consumer`] — the poll thread's side: subscription, pausing, a new client for one that gave up.
//! * [`rebalance`] — its callbacks: what the group gives and takes.
//! * [`assignment`] — what the group has given us, and where we stand in it: epochs, tickets, ends.
//! * [`ledger`] — what may be committed: per partition, the contiguous finished prefix. Pure.
//! * [`protocol`] — what an error of the transaction protocol means. Pure.
//! * [`standing`] — are the partitions that we hold still ours? Pure.
//! * [`division`] — how the group divides the partitions among its members, as the cluster tells.
//! * [`ownership`] — does every partition have an owner, and who sees to it if not? Pure.
//! * [`committer`] — produces a batch and commits its offsets, exactly once or at least once.
//! * [`delivery`], [`heartbeat`] — producing; and a watchdog's view of the transaction thread.
//! * [`client`] — callbacks that every Kafka client of ours shares: logs, statistics, tokens.
//! * [`retirement`] — clients that are given up: how often, and how they are dropped.
//! * [`span`] — a stretch of a topic, read once, without a group.
//! * [`writer`] — records in transactions of their own, without offsets.
//! * [`admin`], [`auth`] — topics, and OAUTHBEARER tokens.

use std::fmt;
use std::sync::Arc;

use rdkafka::message::{Headers, Message};

pub mod admin;
pub mod assignment;
pub mod auth;
pub mod client;
pub mod committer;
pub mod consumer;
pub mod delivery;
pub mod division;
pub mod heartbeat;
pub mod ledger;
pub mod ownership;
pub mod protocol;
pub mod rebalance;
pub mod retirement;
pub mod span;
pub mod standing;
pub mod writer;

/// A partition of a topic.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition number.
    pub partition: i32,
}

impl fmt::Debug for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Proof that one record is in flight.
///
/// `sequence` counts the records handed out for this partition in this assignment, from 0 without
/// gaps (offsets have gaps: transaction markers, compaction). `epoch` names the assignment: results
/// of an assignment that was revoked or lost are recognised by it and thrown away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Where the record stands.
    pub partition: TopicPartition,
    /// Its offset.
    pub offset: i64,
    /// Its place in the assignment, from 0.
    pub sequence: u64,
    /// The assignment.
    pub epoch: u64,
}

/// An input record, owned.
pub struct Record {
    /// Proof of flight.
    pub ticket: Ticket,
    /// The record's timestamp, milliseconds since 1970-01-01 UTC.
    pub timestamp_ms: Option<i64>,
    /// Key as received.
    pub key: Option<Vec<u8>>,
    /// Value as received; `None` is a tombstone.
    pub payload: Option<Vec<u8>>,
    /// Headers as received; a header without a value has an empty one.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// Copies a message out of the client's memory.
    pub fn from_message(message: &impl Message, ticket: Ticket) -> Self {
        let headers = message.headers().map_or_else(Vec::new, |headers| {
            headers
                .iter()
                .map(|header| {
                    (header.key.to_owned(), header.value.map_or_else(Vec::new, <[u8]>::to_vec))
                })
                .collect()
        });
        Self {
            ticket,
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers,
        }
    }

    /// Bytes on the wire: key, value and headers.
    pub fn wire_bytes(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.key.as_ref().map_or(0, Vec::len) + self.payload.as_ref().map_or(0, Vec::len) + headers
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Key, value and headers are PHI.
        write!(
            f,
            "Record({:?}@{}, {} bytes)",
            self.ticket.partition,
            self.ticket.offset,
            self.wire_bytes()
        )
    }
}
