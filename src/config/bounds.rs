//! Bounds of single numbers. What contradicts what is in [`super::validate`].

use std::fmt::Display;
use std::ops::RangeInclusive;

use super::settings::Settings;
use super::validate::Finding;

/// Every number that is out of its bounds.
pub(super) fn bounds(s: &Settings) -> Vec<Finding> {
    let mut found = Vec::new();
    connection(s, &mut found);
    pipeline(s, &mut found);
    publishing(s, &mut found);
    teacher(s, &mut found);
    promotion(s, &mut found);
    found
}

fn connection(s: &Settings, found: &mut Vec<Finding>) {
    // The brokers' own defaults: group.min.session.timeout.ms and group.max.session.timeout.ms.
    within(found, "kafka.session_timeout_ms", s.kafka.session_timeout_ms, 6_000..=1_800_000);
    within(found, "topics.partitions", s.topics.partitions, 1..=10_000);
    let copies = s.topics.replication_factor;
    if copies != -1 {
        within(found, "topics.replication_factor", copies, 1..=100);
    }
    for (key, hours) in [
        ("topics.reports_retention_hours", s.topics.reports_retention_hours),
        ("topics.findings_retention_hours", s.topics.findings_retention_hours),
        ("topics.escalations_retention_hours", s.topics.escalations_retention_hours),
        ("topics.distillation_retention_hours", s.topics.distillation_retention_hours),
        ("topics.dead_letters_retention_hours", s.topics.dead_letters_retention_hours),
    ] {
        if hours != -1 {
            // A thousand years; more would overflow the broker's milliseconds one day.
            within(found, key, hours, 1..=8_760_000);
        }
    }
    within(found, "schema_registry.timeout_ms", s.schema_registry.timeout_ms, 100..=60_000);
}

fn pipeline(s: &Settings, found: &mut Vec<Finding>) {
    // The upper end is the brokers' default transaction.max.timeout.ms.
    let transaction = s.delivery.transaction_timeout_ms;
    within(found, "delivery.transaction_timeout_ms", transaction, 1_000..=900_000);
    within(found, "delivery.commit_interval_ms", s.delivery.commit_interval_ms, 1..=450_000);
    within(found, "delivery.commit_records", s.delivery.commit_records, 1..=10_000);
    within(found, "delivery.commit_bytes", s.delivery.commit_bytes, 65_536..=1 << 40);
    within(found, "memory.budget_mib", s.memory.budget_mib, 32..=1_048_576);
    within(found, "intake.max_payload_mib", s.intake.max_payload_mib, 1..=64);
    within(found, "intake.max_future_days", s.intake.max_future_days, 1..=36_500);
    within(found, "intake.decode_threads", s.intake.decode_threads, 1..=256);
    within(found, "student.watch_interval_s", s.student.watch_interval_s, 0..=3_600);
    within(found, "shadow.share", s.shadow.share, 0.0..=1.0);
    if s.drift.window != 0 {
        within(found, "drift.window", s.drift.window, 200..=1_000_000);
    }
    within(found, "student.device_id", s.student.device_id, 0..=255);
    within(found, "student.sessions", s.student.sessions, 0..=256);
    if s.student.batch_tokens != 0 {
        within(found, "student.batch_tokens", s.student.batch_tokens, 128..=1_048_576);
    }
    within(found, "student.max_batch_age_ms", s.student.max_batch_age_ms, 1..=10_000);
    within(found, "student.remember_mib", s.student.remember_mib, 0..=4_096);
    within(found, "student.max_reports_per_second", s.student.max_reports_per_second, 0.0..=1e9);
}

fn teacher(s: &Settings, found: &mut Vec<Finding>) {
    let teacher = &s.teacher;
    within(found, "teacher.window", teacher.window, 1..=10_000);
    within(found, "teacher.attempts", teacher.attempts, 1..=20);
    within(found, "teacher.retry_delay_s", teacher.retry_delay_s, 1..=86_400);
    within(found, "teacher.give_up_after_s", teacher.give_up_after_s, 60..=2_592_000);
    within(found, "teacher.daily_cost", teacher.daily_cost, 0.0..=1e12);
    within(found, "teacher.remember", teacher.remember, 0..=10_000_000);
    within(found, "teacher.review_sure", teacher.review_sure, 0.0..=1.0);
    within(found, "teacher.review_unsure", teacher.review_unsure, 0.0..=1.0);
    within(found, "teacher.review_many", teacher.review_many, 1..=13);
    for (index, provider) in teacher.providers.iter().enumerate() {
        let key = |name: &str| format!("teacher.providers[{index}].{name}");
        within(found, key("timeout_s"), provider.timeout_s, 1..=3_600);
        within(found, key("max_tokens"), provider.max_tokens, 256..=1_000_000);
        within(found, key("concurrency"), provider.concurrency, 1..=1_000);
        within(found, key("prompt_price"), provider.prompt_price, 0.0..=1e9);
        within(found, key("completion_price"), provider.completion_price, 0.0..=1e9);
    }
}

fn promotion(s: &Settings, found: &mut Vec<Finding>) {
    let gate = &s.promotion;
    let least = s.redistill.min_new_samples;
    within(found, "redistill.min_new_samples", least, 0..=1_000_000_000);
    within(found, "redistill.keep_days", s.redistill.keep_days, 0..=36_500);
    within(found, "promotion.log_loss_margin", gate.log_loss_margin, 0.0..=10.0);
    within(found, "promotion.keep", gate.keep, 2..=1_000);
    within(found, "promotion.resamples", gate.resamples, 200..=100_000);
    within(found, "promotion.min_reports", gate.min_reports, 1..=1_000_000);
    within(found, "promotion.min_support", gate.min_support, 1..=10_000);
    within(found, "promotion.floor_cells", gate.floor_cells, 1..=100_000);
    within(found, "promotion.max_model_mib", gate.max_model_mib, 1..=100_000);
    within(found, "promotion.max_lost_sentences", gate.max_lost_sentences, 0..=10_000);
    for (key, share) in [
        ("promotion.margin_positive", gate.margin_positive),
        ("promotion.margin_uncertainty", gate.margin_uncertainty),
        ("promotion.margin_negation", gate.margin_negation),
        ("promotion.margin_mention", gate.margin_mention),
        ("promotion.floor_fall", gate.floor_fall),
        ("promotion.max_ece", gate.max_ece),
        ("promotion.ece_margin", gate.ece_margin),
        ("promotion.doubted_rise", gate.doubted_rise),
        ("promotion.min_doubted_ratio", gate.min_doubted_ratio),
        ("promotion.mistakes_rise", gate.mistakes_rise),
        ("promotion.min_speed_ratio", gate.min_speed_ratio),
    ] {
        within(found, key, share, 0.0..=1.0);
    }
}

fn publishing(s: &Settings, found: &mut Vec<Finding>) {
    if let Some(confidence) = s.routing.min_confidence {
        within(found, "routing.min_confidence", confidence, 0.0..=1.0);
    }
    within(found, "routing.max_escalation_rate", s.routing.max_escalation_rate, 0.0..=1.0);
    within(found, "routing.audit_rate", s.routing.audit_rate, 0.0..=1.0);
    let tokens = s.routing.max_tokens_per_word;
    within(found, "routing.max_tokens_per_word", tokens, 0.0..=100.0);
    if let Some(most) = s.routing.max_rule_conflicts {
        within(found, "routing.max_rule_conflicts", most, 0..=13);
    }
    within(found, "publish.max_message_bytes", s.publish.max_message_bytes, 10_000..=100_000_000);
    let ratio = s.publish.max_dead_letter_ratio;
    if ratio <= 0.0 {
        found.push(Finding::new(
            "publish.max_dead_letter_ratio",
            format!("{ratio} would stop at the first dead letter"),
            "write a share above 0, such as 0.05; 1.0 never stops",
        ));
    } else {
        within(found, "publish.max_dead_letter_ratio", ratio, 0.0..=1.0);
    }
    let in_a_row = s.publish.max_consecutive_dead_letters;
    within(found, "publish.max_consecutive_dead_letters", in_a_row, 1..=1_000_000_000);
    within(found, "shutdown.grace_s", s.shutdown.grace_s, 1..=3_600);
}

fn within<T: PartialOrd + Display>(
    found: &mut Vec<Finding>,
    key: impl Into<String>,
    value: T,
    range: RangeInclusive<T>,
) {
    if !range.contains(&value) {
        let (least, most) = range.into_inner();
        found.push(Finding::new(
            key,
            format!("{value} is out of bounds"),
            format!("choose {least} to {most}"),
        ));
    }
}
