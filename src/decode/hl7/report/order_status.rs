//! What order and lines say together of the status of a report.

use super::{Group, Header};
use crate::decode::status::{self, Status};
use crate::report::ReportStatus;

/// OBR-25, as the source profile or the standard reads it; where it is missing, a cancellation in
/// ORC-1 or ORC-5 (table 0119, 0038). Also where it was read.
pub(super) fn order_status(
    header: &Header<'_>,
    group: &Group<'_>,
) -> (Option<Status>, &'static str) {
    if let Some(obr) = &group.obr {
        let code = obr.value(25, 1);
        if let Some(local) = header.profile.and_then(|profile| profile.order_status(&code)) {
            return (Some(local), "OBR-25, read by the profile");
        }
        if let Some(standard) = status::of_order(&code) {
            return (Some(standard), "OBR-25");
        }
    }
    let cancelled = group.orc.as_ref().is_some_and(|orc| {
        matches!(&*orc.value(5, 1), "CA" | "DC") || matches!(&*orc.value(1, 1), "CA" | "OC" | "CR")
    });
    if cancelled { (Some(Status::Withdrawn), "ORC-1 or ORC-5") } else { (None, "OBX-11") }
}

/// The order's status, made more exact by its lines: a final order whose lines are corrections is
/// corrected.
pub(super) fn refine(order: Status, lines: &[Status]) -> ReportStatus {
    let given = order.report().unwrap_or(ReportStatus::Final);
    let changed = [Status::Corrected, Status::Appended, Status::Amended]
        .into_iter()
        .find(|status| lines.contains(status))
        .and_then(Status::report);
    match given {
        ReportStatus::Final | ReportStatus::Partial => changed.unwrap_or(given),
        _ => given,
    }
}

/// The status that the lines give together.
pub(super) fn strongest(lines: &[Status]) -> Option<ReportStatus> {
    let preliminary = lines.contains(&Status::Preliminary);
    let strongest =
        lines.iter().filter_map(|status| status.report()).max_by_key(|status| status.rank());
    match strongest {
        Some(ReportStatus::Final) if preliminary => Some(ReportStatus::Preliminary),
        other => other,
    }
}
