//! What `radstream demo` shows: generated messages, and the table at its end.

pub mod generator;
pub mod summary;
