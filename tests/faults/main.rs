//! Nothing lost, nothing twice, whatever fails: three brokers of Apache Kafka, processes of radstream, a
//! seeded schedule of faults, and a checker that knows nothing of the code under test.
//!
//! `make test` runs a short set; `make faults` the full one (`RADSTREAM_FAULTS=full`), and prints the
//! figures of docs/RELIABILITY.md. `RADSTREAM_FAULTS_SEED` draws other schedules. The planted bugs need a
//! build with the feature `planted-bugs`.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    unreachable_pub,
    reason = "a test may stop there and shows its schedule; the soak shares these modules"
)]

mod checker;
mod cluster;
mod feed;
mod feeding;
#[cfg(feature = "planted-bugs")]
mod planted;
mod proxy;
mod run;
mod schedule;
#[path = "../support/mod.rs"]
mod support;

mod watch;

#[cfg(not(feature = "planted-bugs"))]
mod clean;
#[cfg(not(feature = "planted-bugs"))]
mod limits;
