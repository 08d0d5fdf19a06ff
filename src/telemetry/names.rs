//! Metric names: an interface. Dashboards and alerts rest on them, so a golden test holds them.
//!
//! Prometheus rules: one prefix, base units, `_total` on counters, no unbounded label.

/// A metric's type in the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

macro_rules! metrics_table {
    ($($constant:ident $kind:ident $name:literal $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: &str = $name;)*

        /// Every metric: name, type, help.
        pub const ALL: &[(&str, Kind, &str)] = &[$(($name, Kind::$kind, $help),)*];
    };
}

metrics_table! {
    BUILD_INFO Gauge "radstream_build_info" "Always 1; label version.";
    MODEL_INFO Gauge "radstream_model_info" "1 for the model in service, 0 for one that was; labels name, version, sha256.";
    MODEL_SESSIONS Gauge "radstream_model_sessions" "Model sessions in memory; twice as many as configured while one model takes over from another.";
    MODEL_SWAPS_TOTAL Counter "radstream_model_swaps_total" "Times that another model was put into service while running.";
    MODEL_REFUSED Gauge "radstream_model_refused" "1 while the model folder holds a model that was refused; the one in service goes on.";
    MODEL_REFUSED_TOTAL Counter "radstream_model_refused_total" "Models refused while running, each version once, those whose reason may pass at every try; label reason (missing, unreadable, manifest, damaged, tokenizer, runtime, provider, session, shape, self_test, run, several, panic).";
    MODEL_LOAD_SECONDS Histogram "radstream_model_load_seconds" "Time to load and self-test a model while running, beside the one in service.";
    DRIFT_PSI Gauge "radstream_drift_psi" "Population stability index of recent reports against the reference of the model; labels figure, observation (the latter for figure labels only).";
    DRIFT_REFERENCE Gauge "radstream_drift_reference" "1 where the model in service has a reference and drift is measured; 0 where it has none, or drift.window is 0.";
    DRIFT_REPORTS Gauge "radstream_drift_reports" "Reports in the window that radstream_drift_psi was last computed of; 0: no full window, or no reference.";
    SHADOW_RUNNING Gauge "radstream_shadow_running" "1 while a shadow model listens, 0 when it could not be loaded.";
    SHADOW_INFO Gauge "radstream_shadow_info" "Always 1; labels name, version, sha256 of the shadow model.";
    SHADOW_REPORTS_TOTAL Counter "radstream_shadow_reports_total" "Reports for the shadow model, a share of the traffic and, in stage teach, every training sample; label outcome (scored, sampled, failed, dropped, too_long).";
    SHADOW_CELLS_TOTAL Counter "radstream_shadow_cells_total" "Cells by what the model in service and the shadow say; labels observation, status, shadow_status.";
    INPUT_RECORDS_TOTAL Counter "radstream_input_records_total" "Records fetched; labels topic, partition.";
    INPUT_BYTES_TOTAL Counter "radstream_input_bytes_total" "Bytes of those records; labels topic, partition.";
    CONSUMER_LAG_RECORDS Gauge "radstream_consumer_lag_records" "Records behind the end of the partition; labels topic, partition.";
    PARTITION_LAST_PROGRESS_TIMESTAMP_SECONDS Gauge "radstream_partition_last_progress_timestamp_seconds" "Unix time of the last commit; labels topic, partition.";
    OUTCOMES_TOTAL Counter "radstream_outcomes_total" "Committed outcomes of reports; label outcome.";
    PARSE_FAILURES_TOTAL Counter "radstream_parse_failures_total" "Committed dead letters of decode; label class.";
    TEXT_TRUNCATED_TOTAL Counter "radstream_text_truncated_total" "Reports longer than the model reads.";
    WARNINGS_TOTAL Counter "radstream_warnings_total" "Recoverable oddities of the input; label warning.";
    PROFILE_REPORTS_TOTAL Counter "radstream_profile_reports_total" "Committed outcomes of reports that a source profile read; label profile, a name of intake.profiles.";
    PDF_DOCUMENTS_TOTAL Counter "radstream_pdf_documents_total" "Attached PDF documents that were opened for want of other text; label outcome (text, empty, unreadable, over_limit).";
    MEMORY_BUDGET_BYTES Gauge "radstream_memory_budget_bytes" "The configured byte budget.";
    MEMORY_USED_BYTES Gauge "radstream_memory_used_bytes" "Bytes charged to the budget: fetched and not yet committed.";
    BACKPRESSURE_SECONDS_TOTAL Counter "radstream_backpressure_seconds_total" "Time with partitions paused because the budget was full.";
    QUEUE_RECORDS Gauge "radstream_queue_records" "Reports waiting; label stage.";
    QUEUE_WAIT_SECONDS Histogram "radstream_queue_wait_seconds" "Time from being queued for the student to its batch; label stage.";
    BATCH_RECORDS Histogram "radstream_batch_records" "Reports in a micro-batch.";
    BATCH_TOKENS Histogram "radstream_batch_tokens" "Padded tokens in a micro-batch.";
    BATCH_PADDING_RATIO Histogram "radstream_batch_padding_ratio" "Share of a micro-batch that is padding, 0 to 1.";
    INFERENCE_DURATION_SECONDS Histogram "radstream_inference_duration_seconds" "Time of one session run.";
    REMEMBERED_REPORTS_TOTAL Counter "radstream_remembered_reports_total" "Reports whose text was labelled before: answered from memory, without inference.";
    FORGONE_REPORTS_TOTAL Counter "radstream_forgone_reports_total" "Reports that were not labelled because their partition was given away while they waited; its next owner labels them.";
    TOKENS_TOTAL Counter "radstream_tokens_total" "Real tokens labelled.";
    FINDINGS_TOTAL Counter "radstream_findings_total" "Committed findings; labels observation, status.";
    DECISIONS_TOTAL Counter "radstream_decisions_total" "Routing decisions; labels route, reason.";
    TRANSACTIONS_TOTAL Counter "radstream_transactions_total" "Attempts to publish and commit; label outcome.";
    TRANSACTION_DURATION_SECONDS Histogram "radstream_transaction_duration_seconds" "Time of one attempt.";
    TRANSACTION_RECORDS Histogram "radstream_transaction_records" "Input records settled by one transaction.";
    CONSUMER_RESTARTS_TOTAL Counter "radstream_consumer_restarts_total" "Consumers replaced, or made to join their group anew; label reason: fenced (the group gave our name to another), astray (others have our partitions), unfetched (the client did not fetch partitions that were ours), unowned (partitions belonged to nobody; it left and came back).";
    UNOWNED_PARTITIONS Gauge "radstream_unowned_partitions" "Partitions that no member of the group had when it was last looked at; label topic.";
    PRODUCER_RESTARTS_TOTAL Counter "radstream_producer_restarts_total" "Producers retired; label reason.";
    KAFKA_ERRORS_TOTAL Counter "radstream_kafka_errors_total" "Errors that the Kafka clients told of, such as a broker that cannot be reached; label code, librdkafka's name.";
    BROKER_THROTTLE_SECONDS Gauge "radstream_broker_throttle_seconds" "Longest time of the last 5 s that a quota of the brokers held back a request; label client (consumer, producer).";
    OUTPUT_RECORDS_TOTAL Counter "radstream_output_records_total" "Records published and committed; label topic.";
    DEAD_LETTERS_TOTAL Counter "radstream_dead_letters_total" "Dead letters published and committed; label class.";
    REBALANCES_TOTAL Counter "radstream_rebalances_total" "Changes of the assignment; label kind.";
    TEACHER_CALLS_TOTAL Counter "radstream_teacher_calls_total" "Calls of the teacher; labels provider, outcome (answered, or what went wrong).";
    TEACHER_REPAIRS_TOTAL Counter "radstream_teacher_repairs_total" "Answers that were not valid and were asked for once more; label problem.";
    TEACHER_REMEMBERED_TOTAL Counter "radstream_teacher_remembered_total" "Questions answered from memory: the same text was asked before.";
    TEACHER_COST Gauge "radstream_teacher_cost" "Money spent since the start, in the currency of the prices; label provider.";
    TEACHER_CONCURRENCY_LIMIT Gauge "radstream_teacher_concurrency_limit" "Questions that may be asked at once at present; label provider.";
    TEACHER_BREAKER_OPEN Gauge "radstream_teacher_breaker_open" "1 while a provider is left alone because it fails; label provider.";
    TEACHER_CELLS_TOTAL Counter "radstream_teacher_cells_total" "Cells that the teacher was asked about; label result (agreed, changed).";
    TEACHER_RETRIES_TOTAL Counter "radstream_teacher_retries_total" "Escalations put off to the retry topic because no teacher answered.";
    REVIEWS_TOTAL Counter "radstream_reviews_total" "Revisions that a person should look at; label reason.";
    DEIDENTIFICATIONS_TOTAL Counter "radstream_deidentifications_total" "Reports de-identified for the teacher or for training; label outcome (done, or why refused).";
    GEN_AI_TOKEN_USAGE Histogram "gen_ai_client_token_usage" "Tokens of a call of the teacher; labels gen_ai_token_type, gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model.";
    GEN_AI_OPERATION_DURATION_SECONDS Histogram "gen_ai_client_operation_duration_seconds" "Time of a call of the teacher; labels error_type, gen_ai_operation_name, gen_ai_provider_name, gen_ai_request_model.";
    END_TO_END_LATENCY_SECONDS Histogram "radstream_end_to_end_latency_seconds" "From the input record's timestamp to the commit of its outcome; label stage.";
}

/// Latency buckets, seconds.
pub const LATENCY_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Size buckets: powers of two.
pub const SIZE_BUCKETS: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0,
    16384.0, 32768.0, 65536.0,
];
/// Ratio buckets.
pub const RATIO_BUCKETS: &[f64] = &[0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_prometheus_rules() {
        for (name, kind, help) in ALL {
            // Those of generative AI have the names of OpenTelemetry's conventions.
            let ours = name.starts_with("radstream_") || name.starts_with("gen_ai_client_");
            assert!(ours, "{name}");
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            let unit = name.trim_end_matches("_total").rsplit('_').next();
            assert!(!matches!(unit, Some("ms" | "us" | "millis" | "kb")), "{name}: base units");
            assert!(help.ends_with('.'), "{name}");
        }
    }

    /// The table of docs/METRICS.md, line by line: whoever changes a name changes it there, where
    /// the people who graph it will see it.
    #[test]
    fn the_documented_table_is_the_golden_list() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md");
        let documented = std::fs::read_to_string(file).unwrap();
        let rows: Vec<&str> = documented.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = ALL
            .iter()
            .map(|(name, kind, help)| {
                format!("| `{name}` | {} | {help} |", format!("{kind:?}").to_lowercase())
            })
            .collect();
        assert_eq!(rows, expected);
    }
}
