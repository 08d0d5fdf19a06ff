//! Exit codes, after `sysexits.h`. They are an interface: supervisors decide by them.

use crate::broker::admin::AdminError;

/// All is well, or was stopped in good order.
pub const OK: u8 = 0;
/// A challenger was refused by the gate. Not of `sysexits.h`: it is an answer, not a failure.
pub const REFUSED: u8 = 10;
/// The gate has too few reports or cells to say. An answer, too.
pub const INSUFFICIENT: u8 = 11;
/// `redistill` has too few new samples to do anything. No failure.
pub const NOTHING_NEW: u8 = 12;
/// The command line is wrong (`EX_USAGE`).
pub const USAGE: u8 = 64;
/// Input is not as it should be: records that cannot be read, with `label --strict`; messages that a
/// source profile reads otherwise than expected; dead letters that cannot be replayed (`EX_DATAERR`).
pub const DATA: u8 = 65;
/// An input file is missing or cannot be read (`EX_NOINPUT`).
pub const NO_INPUT: u8 = 66;
/// A broker or the schema registry cannot be reached (`EX_UNAVAILABLE`). Trying again may help.
pub const UNAVAILABLE: u8 = 69;
/// A fault of ours, or fenced: another process runs with our `kafka.instance_id`, or replays the same
/// dead letters (`EX_SOFTWARE`).
/// Trying again does not help.
pub const INTERNAL: u8 = 70;
/// Reading or writing a file or stream failed, for example a full disk (`EX_IOERR`).
pub const IO: u8 = 74;
/// Stopped before the end: by a second signal, after the grace time, or because too many messages
/// became dead letters (`EX_TEMPFAIL`). Nothing is lost; start again.
pub const TEMPORARY: u8 = 75;
/// Kafka or the registry refuses: a password, a certificate or an ACL is wrong (`EX_NOPERM`).
pub const NOT_AUTHORISED: u8 = 77;
/// The configuration is wrong: a setting, a missing topic, model or execution provider
/// (`EX_CONFIG`).
pub const CONFIGURATION: u8 = 78;

/// The exit code of a cluster's answer.
pub const fn of_admin_error(problem: &AdminError) -> u8 {
    match problem {
        AdminError::Configuration(_) | AdminError::NoAdministration => CONFIGURATION,
        AdminError::Unreachable { .. } | AdminError::Failed { .. } => UNAVAILABLE,
        AdminError::Authentication { .. } | AdminError::NotAuthorised { .. } => NOT_AUTHORISED,
    }
}
