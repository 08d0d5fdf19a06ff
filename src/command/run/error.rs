//! Why `run` could not start or go on: in words, as an exit code, and as rights that are missing.

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::broker::admin::AdminError;
use crate::broker::protocol::{End, Step, is_authorisation};
use crate::command::assemble::teacher::TeacherError;
use crate::command::assemble::{InputError, TopicsError};
use crate::command::exit;
use crate::command::rights::{self, Operation, Right};
use crate::pipeline::StageError;
use crate::publish::registry::RegistryError;
use crate::student::StudentError;
use crate::telemetry::TelemetryError;

/// Why `run` could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Telemetry.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The HTTP address.
    #[error(
        "http.listen = \"{listen}\" cannot be bound: {problem}; choose a free address, or \"\" for none"
    )]
    Http {
        /// The address.
        listen: String,
        /// The system's reason.
        problem: std::io::Error,
    },
    /// The model.
    #[error(transparent)]
    Student(#[from] StudentError),
    /// The cluster or its topics.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// The input.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The teacher.
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    /// The schema registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The stage.
    #[error("{0}{remedy}", remedy = stage_remedy(.0))]
    Stage(#[from] StageError),
    /// The system.
    #[error("the process could not be set up: {0}")]
    System(#[from] std::io::Error),
    /// Stopped by force.
    #[error("stopped before everything was settled; what was not committed will be done again")]
    Forced,
}

fn stage_remedy(error: &StageError) -> &'static str {
    match error {
        StageError::Commit(error) if error.code == Code::InvalidTransactionTimeout => {
            "; the brokers' transaction.max.timeout.ms is lower: lower delivery.transaction_timeout_ms"
        }
        StageError::Commit(error) => match error.end {
            End::Fenced => {
                "; another process uses the same kafka.instance_id: give each process its own"
            }
            // What to grant is told by the rights that the stage needs.
            End::NotAuthorised => "",
            End::Fatal => "; the process can be started again: nothing committed is lost",
        },
        StageError::Consume(error)
            if error.rdkafka_error_code() == Some(Code::FencedInstanceId) =>
        {
            "; another process uses the same kafka.instance_id: give each process its own"
        }
        StageError::Consume(error)
            if error.rdkafka_error_code() == Some(Code::InvalidSessionTimeout) =>
        {
            "; the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms do not allow \
             kafka.session_timeout_ms"
        }
        StageError::Consume(error) if error.rdkafka_error_code() == Some(Code::AutoOffsetReset) => {
            "; kafka.first_offset = \"fail\": no usable committed offset. Choose earliest or latest"
        }
        StageError::TooManyDeadLetters { .. } => {
            "; look at radstream.error.class in the dead letters, mend the source, and start again \
             (publish.max_dead_letter_ratio, publish.max_consecutive_dead_letters)"
        }
        _ => "",
    }
}

impl RunError {
    /// The documented exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Telemetry(_) | Self::Http { .. } | Self::Student(_) | Self::Teacher(_) => {
                exit::CONFIGURATION
            }
            Self::Topics(TopicsError::Cluster(error)) => exit::of_admin_error(error),
            Self::Topics(TopicsError::Missing(_)) => exit::CONFIGURATION,
            Self::Input(InputError::Schema { .. }) => exit::CONFIGURATION,
            Self::Input(InputError::System(_)) => exit::INTERNAL,
            Self::Registry(RegistryError::Unreachable { .. }) => exit::UNAVAILABLE,
            Self::Registry(RegistryError::Unauthorized { .. }) => exit::NOT_AUTHORISED,
            Self::Registry(_) => exit::CONFIGURATION,
            Self::System(_) => exit::INTERNAL,
            Self::Forced => exit::TEMPORARY,
            Self::Stage(error) => match error {
                StageError::Commit(error) if error.code == Code::InvalidTransactionTimeout => {
                    exit::CONFIGURATION
                }
                StageError::Commit(error) => match error.end {
                    End::Fenced => exit::INTERNAL,
                    End::NotAuthorised => exit::NOT_AUTHORISED,
                    End::Fatal => exit::TEMPORARY,
                },
                StageError::Consume(error) => match error.rdkafka_error_code() {
                    Some(code) if is_authorisation(code) => exit::NOT_AUTHORISED,
                    Some(Code::AutoOffsetReset | Code::InvalidSessionTimeout) => {
                        exit::CONFIGURATION
                    }
                    Some(Code::FencedInstanceId) => exit::INTERNAL,
                    _ => exit::TEMPORARY,
                },
                StageError::TooManyDeadLetters { .. } | StageError::Backwards(_) => exit::TEMPORARY,
                StageError::Client(_) => exit::CONFIGURATION,
                StageError::Panic { .. } | StageError::Thread(_) => exit::INTERNAL,
            },
        }
    }

    /// The rights, of those that the stage needs, that the brokers can have refused.
    pub fn refused_rights(&self, needed: &[Right]) -> Vec<Right> {
        let topic = Code::TopicAuthorizationFailed;
        match self {
            Self::Topics(TopicsError::Cluster(AdminError::NotAuthorised {
                operation,
                resource,
            })) => {
                let reading = (*operation == "Read").then_some(Operation::Read);
                rights::refused(needed, topic, reading, resource)
            }
            Self::Stage(StageError::Consume(error)) => {
                let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
                rights::refused(needed, code, Some(Operation::Read), "")
            }
            Self::Stage(StageError::Commit(error)) if error.end == End::NotAuthorised => {
                // A committed offset is a matter of reading.
                let reads = matches!(
                    error.step,
                    Step::SendOffsets | Step::FetchOffsets | Step::PlainCommit
                );
                let doing = if reads { Operation::Read } else { Operation::Write };
                rights::refused(needed, error.code, Some(doing), &error.problem)
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::error::KafkaError;

    use super::*;
    use crate::broker::committer::CommitError;

    #[test]
    fn what_the_brokers_will_never_allow_is_a_matter_of_configuration() {
        let transaction = StageError::Commit(CommitError {
            end: End::Fatal,
            step: Step::Init,
            code: Code::InvalidTransactionTimeout,
            problem: String::from("Broker: Transaction timeout is larger than the maximum"),
        });
        let session = StageError::Consume(KafkaError::Global(Code::InvalidSessionTimeout));
        for (error, setting) in [
            (transaction, "delivery.transaction_timeout_ms"),
            (session, "kafka.session_timeout_ms"),
        ] {
            let error = RunError::Stage(error);
            assert_eq!(error.exit_code(), exit::CONFIGURATION, "{error}");
            assert!(error.to_string().contains(setting), "{error}");
        }
    }
}
