//! A batch compressed by Kafka's own means is opened by the client library, which for gzip sets no bound:
//! the broker has to measure it before.

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::{PATIENCE, Secured};

#[test]
fn a_batch_that_grows_is_refused_where_the_topic_keeps_its_records_uncompressed() {
    const GROWN: usize = 32 << 20;
    let kafka = Secured::shared();
    let written = |topic: &str, compression: &str| {
        let settings = [("compression.type", compression), ("max.message.bytes", "1048588")];
        kafka.broker.create_topic(topic, 1, &settings);
        let mut config = kafka.broker.client();
        config.set("compression.type", "gzip").set("message.max.bytes", "100000000");
        let producer: BaseProducer = config.create().unwrap();
        let value = vec![b' '; GROWN];
        let record = BaseRecord::<(), [u8]>::to(topic).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
        // Returns once the broker has taken the record or refused it.
        producer.flush(PATIENCE).unwrap();
        kafka.broker.end_offsets(topic)[&0]
    };
    assert_eq!(
        written("bomb.as-sent", "producer"),
        1,
        "small on the wire: Kafka's default lets it in"
    );
    assert_eq!(written("bomb.measured", "uncompressed"), 0, "opened and measured first");
}
