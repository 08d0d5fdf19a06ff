//! The thread that looks whether every partition has an owner (see `broker::ownership`), and whether ours are
//! fetched.

use std::collections::BTreeMap;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::broker::consumer::{Consumer, Rejoin};
use crate::broker::division::Division;
use crate::broker::ownership::Ownership;
use crate::telemetry::names;

/// Time for the brokers to answer. Short: a stage that ends waits for it.
const ANSWER: Duration = Duration::from_secs(2);
/// Time between two looks where the session timeout is not known, which is librdkafka's default.
const INTERVAL: Duration = Duration::from_millis(22_500);

/// Looks until the stage's work has ended: `open` is then closed.
///
/// Twice in a session: partitions without an owner then wait about as long as those of a member that died.
pub fn run(consumer: &Consumer, open: &Receiver<()>) {
    let interval = consumer.session_timeout().map_or(INTERVAL, |session| session / 2);
    // An open transaction that hides where to begin has ended by then: its time is shorter than a session.
    let patience = 4 * interval;
    let mut ownership = Ownership::new(consumer.instance());
    while matches!(open.recv_timeout(interval), Err(RecvTimeoutError::Timeout)) {
        if consumer.unfetched_for().is_some_and(|since| since >= patience) {
            consumer.ask_to_rejoin(Rejoin::Unfetched);
            continue;
        }
        match consumer.division(ANSWER) {
            Ok(Some(division)) => {
                tell(&division);
                if ownership.must_rejoin(&division) {
                    consumer.ask_to_rejoin(Rejoin::Unowned);
                }
            }
            // A rebalance is under way: the next look will tell.
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "who owns which partition could not be asked"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of partitions")]
fn tell(division: &Division) {
    let mut counts: BTreeMap<&str, usize> =
        division.partitions.iter().map(|partition| (&*partition.topic, 0)).collect();
    let unowned = division.unowned();
    for partition in &unowned {
        *counts.entry(&partition.topic).or_default() += 1;
    }
    for (topic, count) in counts {
        metrics::gauge!(names::UNOWNED_PARTITIONS, "topic" => topic.to_owned()).set(count as f64);
    }
}
