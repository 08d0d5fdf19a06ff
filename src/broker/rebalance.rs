//! librdkafka's callbacks for our consumer: what the group gives and takes, and what the client says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

use super::assignment::Assignment;
use super::client::{Callbacks, note_throttling};

/// librdkafka's callbacks for our consumer.
pub(super) struct Context {
    pub(super) callbacks: Callbacks,
    pub(super) assignment: Arc<Assignment>,
    /// Replaced by another client: what it still says concerns nobody.
    pub(super) retired: AtomicBool,
}

impl Context {
    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        self.assignment.add(list, consumer.group_metadata());
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list)?,
            _ => consumer.assign(list)?,
        }
        if list.count() == 0 {
            return Ok(());
        }
        // A pause outlives a revocation inside librdkafka: say which of the two holds now.
        if self.assignment.is_paused() { consumer.pause(list) } else { consumer.resume(list) }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let lost = consumer.assignment_lost();
        // A client that was fenced says that all is lost, too: that is no reason to be fenced.
        let comes_back = lost && fatal(consumer).is_none();
        self.assignment.remove(list, lost);
        if comes_back {
            self.assignment.unsettle();
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        }
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.callbacks.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.callbacks.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        if !self.retired.load(Ordering::Relaxed) {
            note_throttling("consumer", &statistics);
            self.assignment.note_statistics(&statistics);
        }
    }

    fn generate_oauth_token(
        &self,
        config: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.callbacks.generate_oauth_token(config)
    }
}

impl ConsumerContext for Context {
    // The default ignores the errors of assign and unassign.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let done = match event {
            _ if self.retired.load(Ordering::Relaxed) => consumer.unassign(),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(consumer, list),
            _ => consumer.unassign(),
        };
        if let Err(error) = done {
            tracing::error!(target: "kafka", %error, "a change of the assignment failed");
        }
    }
}

/// Why the client has given up for good, if it has.
pub(super) fn fatal(client: &BaseConsumer<Context>) -> Option<KafkaError> {
    client.client().fatal_error().map(|(code, _)| KafkaError::Global(code))
}
