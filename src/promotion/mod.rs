//! May a new student take the old one's place?
//!
//! ```text
//! evaluate::Verdict ──> evidence ──> gate ──> Decision ──> record   JSON, Markdown, SVG
//! of each gold set      figures      guards   verdict      store    the model that is served
//! ```
//!
//! [`gate::decide`] is a pure function of the [`evidence`] and the [`limits`]: every guard is computed
//! and told, whatever the others say. The [`store`] is the only part that touches the disk: models by
//! version, and a link to the one in service that moves in one step.
//!
//! `docs/REDISTILLATION.md` says what is guarded and why.

pub mod evidence;
pub mod forest;
pub mod gate;
pub mod limits;
pub mod record;
pub mod store;
