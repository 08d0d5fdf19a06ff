//! What the benchmarks work on: the demo's generated feed, chest radiograph reports only.

use radstream::demo::generator::{DemoKind, DemoMessage, Generator};

/// Seed of the feed. Another one gives other reports and other figures.
const SEED: u64 = 1;

/// The first `count` messages of the feed that are labelled: HL7 v2 and FHIR in all layouts.
pub(crate) fn reports(count: usize) -> Vec<DemoMessage> {
    Generator::new(SEED)
        .filter(|message| matches!(message.kind, DemoKind::Report(_)))
        .take(count)
        .collect()
}
