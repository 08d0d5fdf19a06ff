//! What `radstream demo` shows: generated messages, a stand-in for the teacher, and the table at its
//! end.

pub mod generator;
pub mod summary;
pub mod teacher;
