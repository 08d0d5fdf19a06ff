//! One record at one offset, for the person who asks about it.

use std::sync::Arc;
use std::time::Instant;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{Offset, TopicPartitionList};

use super::{AdminError, Cluster, TURN, failed, listed, not_authorised};
use crate::broker::{Record, Ticket, TopicPartition};

/// What stands at an offset.
pub enum AtOffset {
    /// A record.
    Record(Box<Record>),
    /// Nothing that a reader gets: a transaction's marker, an aborted record, or one that was
    /// compacted away.
    NoRecord,
    /// The partition holds the offsets from `first` up to, and without, `end`.
    Outside {
        /// First offset that is there.
        first: i64,
        /// The offset after the last one.
        end: i64,
    },
}

impl Cluster {
    /// Reads the record at one offset, as stage label would get it (`read_committed`). Joins no group
    /// and commits nothing. The topic and the partition must exist ([`Cluster::topic`]).
    ///
    /// # Errors
    /// No right to read it, or no answer.
    pub fn record(&self, topic: &str, partition: i32, offset: i64) -> Result<AtOffset, AdminError> {
        let resource = || format!("topic {topic}");
        let (first, end) = self
            .client
            .fetch_watermarks(topic, partition, self.timeout)
            .map_err(|problem| failed("ListOffsets", resource(), &problem))?;
        if !(first..end).contains(&offset) {
            return Ok(AtOffset::Outside { first, end });
        }
        let mut place = TopicPartitionList::new();
        place
            .add_partition_offset(topic, partition, Offset::Offset(offset))
            .and_then(|()| self.client.assign(&place))
            .map_err(|problem| failed("Read", resource(), &problem))?;
        let found = self.await_record(topic, partition, offset);
        self.client.unassign().map_err(|problem| failed("Read", resource(), &problem))?;
        found
    }

    fn await_record(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<AtOffset, AdminError> {
        let resource = || format!("topic {topic}");
        let deadline = Instant::now() + self.timeout;
        loop {
            match self.client.poll(TURN) {
                Some(Ok(message)) if message.offset() == offset => {
                    let place = TopicPartition { topic: Arc::from(topic), partition };
                    let ticket = Ticket { partition: place, offset, sequence: 0, epoch: 0 };
                    return Ok(AtOffset::Record(Box::new(Record::from_message(&message, ticket))));
                }
                // The first that comes is a later one, or the end.
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => return Ok(AtOffset::NoRecord),
                Some(Err(problem))
                    if problem.rdkafka_error_code() == Some(Code::TopicAuthorizationFailed) =>
                {
                    return Err(not_authorised("Read", resource()));
                }
                // The client goes on trying; its last word is told at the deadline.
                Some(Err(_)) | None => {}
            }
            if Instant::now() >= deadline {
                let problem =
                    format!("no answer in time{}", listed(&self.client.context().reasons()));
                return Err(failed("Read", resource(), &problem));
            }
        }
    }
}
