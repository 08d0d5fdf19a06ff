//! The workload on an input topic, and as the model reads it.

use std::time::Duration;

use radstream::command::assemble;
use radstream::config::Settings;
use radstream::decode::{Decoded, decode};
use radstream::demo::generator::DemoMessage;
use radstream::extract::{Extracted, extract};
use radstream::student::{Encoder, Encoding};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

/// Bytes that the mock keeps of a partition.
const RETENTION: usize = 5 << 20;

/// A message as the pipeline's decode thread reads it.
pub(crate) struct Reader<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) encoder: Encoder,
}

impl Reader<'_> {
    pub(crate) fn read(&mut self, message: &DemoMessage) -> Encoding {
        let mut decoded = decode(&message.payload, &self.settings.intake.decode_options());
        let Some(Decoded::Report(mut report)) = decoded.pop() else { panic!("no report") };
        match extract(&mut report, &assemble::extract_policy(self.settings)) {
            Extracted::Text(text) => self.encoder.encode(&text),
            Extracted::Skipped(skip) => panic!("a report of the workload is {}", skip.name()),
        }
    }
}

/// Puts the messages on the input topic, and sees to it that the mock keeps them all.
pub(crate) fn produce(settings: &Settings, messages: &[DemoMessage]) {
    let bytes: usize = messages.iter().map(|message| message.payload.len()).sum();
    let share = bytes / settings.topics.partitions.unsigned_abs() as usize;
    assert!(share < RETENTION / 2, "too few --partitions for {bytes} bytes of reports");
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &settings.kafka.bootstrap_servers);
    client.set("queue.buffering.max.messages", "1000000");
    let producer: ThreadedProducer<DefaultProducerContext> = client.create().unwrap();
    for message in messages {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&settings.topics.reports[0]);
        record.key = message.key.as_deref();
        record.payload = Some(&message.payload);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}
