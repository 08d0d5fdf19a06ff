//! Settings of the gate as it wants them.

use crate::config::{Promotion, PromotionRequire, PromotionTask};
use crate::promotion::gate;
use crate::promotion::limits::{Limits, Margins, Require};

/// The limits that the settings give.
pub(super) fn of(gate: &Promotion) -> Limits {
    Limits {
        require: match gate.require {
            PromotionRequire::Better => Require::Better,
            PromotionRequire::NotWorse => Require::NotWorse,
        },
        primary: gate
            .primary
            .iter()
            .map(|task| match task {
                PromotionTask::Positive => "positive",
                PromotionTask::Uncertainty => "uncertainty",
                PromotionTask::Negation => "negation",
                PromotionTask::Mention => "mention",
                PromotionTask::ExactMatch => gate::EXACT_MATCH,
            })
            .collect(),
        min_reports: gate.min_reports,
        margins: Margins {
            positive: gate.margin_positive,
            uncertainty: gate.margin_uncertainty,
            negation: gate.margin_negation,
            mention: gate.margin_mention,
        },
        floor_cells: gate.floor_cells,
        floor_fall: gate.floor_fall,
        max_ece: gate.max_ece,
        ece_margin: gate.ece_margin,
        log_loss_margin: gate.log_loss_margin,
        doubted_rise: gate.doubted_rise,
        min_doubted_ratio: gate.min_doubted_ratio,
        mistakes_rise: gate.mistakes_rise,
        min_speed_ratio: gate.min_speed_ratio,
        max_bytes: gate.max_model_mib.saturating_mul(1 << 20),
        max_lost_sentences: gate.max_lost_sentences,
    }
}
