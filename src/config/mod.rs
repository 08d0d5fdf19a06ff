//! Configuration: one TOML file, overridden by the environment, checked as a whole.
//!
//! * [`Settings`] — every setting with its meaning, unit, default and how to choose it. The file
//!   `config/radstream.toml` says the same; a test holds the two together.
//! * [`load()`] — file, then environment, then secrets; reports **all** problems at once, each with
//!   file, line, key, what is wrong and the remedy.
//! * [`Secret`] — a value that is never printed.
//! * [`kafka`] — what the settings become as librdkafka properties. Pure.
//! * [`profiles`] — source profiles: what is special about single senders.
//! * [`properties`] — which librdkafka properties may not be passed through, and why. Pure.
//!
//! Paths in settings are relative to the working directory of the process, not to the file.

mod address;
mod advice;
mod bounds;
mod connection;
pub mod kafka;
mod load;
mod problem;
pub mod profiles;
mod promotion;
pub mod properties;
mod redistill;
mod secret;
mod security;
mod settings;
mod source;
mod teacher;
mod validate;

pub use advice::{Advice, advice};
pub use connection::{
    FirstOffset, Kafka, Mechanism, Sasl, SchemaRegistry, SubjectStrategy, Tls, Topics,
};
pub use load::{load, process_environment};
pub use problem::{Problem, Problems};
pub use promotion::{Promotion, PromotionRequire, PromotionTask};
pub use redistill::Redistill;
pub use secret::Secret;
pub use settings::{
    DeadLetterHeaders, Delivery, Device, Drift, Guarantee, Http, Intake, Labeler, Log, LogFormat,
    Memory, Publish, Routing, Settings, Shadow, Shutdown, Student,
};
pub use teacher::{Teacher, TeacherApi, TeacherFormat, TeacherProvider};
