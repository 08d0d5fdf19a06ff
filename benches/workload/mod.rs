//! What the benchmarks work on: the demo's generated feed, chest radiograph reports only.

use radstream::demo::generator::{DemoKind, DemoMessage, Generator, Layout};

/// Seed of the feed. Another one gives other reports and other figures.
const SEED: u64 = 1;

/// The first `count` messages of the feed that are labelled: HL7 v2 and FHIR in all layouts.
pub(crate) fn reports(count: usize) -> Vec<DemoMessage> {
    Generator::new(SEED)
        .filter(|message| matches!(message.kind, DemoKind::Report(_)))
        .take(count)
        .collect()
}

/// Length of an ORU that is worth comparing parsers with, in bytes: a report of some length, sent line
/// by line.
const RESULT_BYTES: std::ops::Range<usize> = 1800..2200;

/// The first `count` `ORU^R01` of about 2 KB, as the standard ends and frames them, so that every
/// parser takes the same bytes.
pub(crate) fn results(count: usize) -> Vec<Vec<u8>> {
    let fits = |message: &DemoMessage| {
        let payload = &message.payload;
        matches!(message.kind, DemoKind::Report(layout) if IS_RESULT.contains(&layout))
            && RESULT_BYTES.contains(&payload.len())
            && !payload.iter().any(|byte| matches!(byte, b'\n' | 0x0b))
    };
    Generator::new(SEED).filter(fits).take(count).map(|message| message.payload).collect()
}

/// Layouts that are `ORU^R01`.
const IS_RESULT: [Layout; 4] =
    [Layout::Lines, Layout::Suffixes, Layout::Repetitions, Layout::Notes];
