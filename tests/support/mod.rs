//! What the integration tests stand on: real servers on loopback and the real binary.
//!
//! A test binary says `mod support;` and uses what it needs:
//! * [`kafka`]: a real Apache Kafka broker, one per test binary (`KafkaBroker::shared`) or one's own.
//! * [`records`]: what was written to a topic, read back in either isolation level.
//! * [`registry`]: a real schema registry with the Confluent API.
//! * [`models`]: a store of good and bad models with a link to the current one.
//! * [`certificates`], [`acls`]: certificates made on the spot, and rights on a broker.
//! * [`teach`]: stage teach, its topics and its stand-in teacher.
//! * [`metrics`]: what `/metrics` says.
//! * [`processes`]: the `radstream` binary as a child process: signals, memory, logs, HTTP.
//!
//! Nothing sleeps. What waits, waits on an event with a deadline, and says what it waited for.

#![allow(dead_code, reason = "each test binary uses its own part of the support")]
#![allow(unreachable_pub, reason = "a test binary exports nothing; `pub` marks what tests call")]

pub mod acls;
pub mod certificates;
pub mod escalations;
pub mod kafka;
pub mod metrics;
pub mod models;
pub mod processes;
pub mod records;
pub mod registry;
pub mod server;
pub mod stage;
pub mod teach;
