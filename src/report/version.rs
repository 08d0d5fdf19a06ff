//! Which version of a report it is.

/// Orders the versions of one report: compare `changed_at_ms`, then `rank`, then `message_at_ms`,
/// then the input offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReportVersion {
    /// When the result last changed (OBR-22, TXA-8, FHIR `issued`), else the message's time.
    /// Milliseconds since 1970-01-01 UTC; 0 when the message gives no usable time.
    pub changed_at_ms: i64,
    /// [`ReportStatus::rank`].
    pub rank: i32,
    /// When the message was made (MSH-7, FHIR `meta.lastUpdated`), same unit; 0 when not given.
    pub message_at_ms: i64,
}

impl ReportVersion {
    /// The version as far as it is believed of a record written at `at_ms`. A time more than
    /// `max_future_ms` later would outrank every true version to come: the record's own stands in for
    /// it. The record's time and not the clock's, so that a replay ends as the first reading did. Also
    /// says whether a time was replaced.
    pub fn believed(self, at_ms: i64, max_future_ms: i64) -> (Self, bool) {
        let latest = at_ms.saturating_add(max_future_ms);
        let bounded = |ms: i64| if ms > latest { at_ms } else { ms };
        let believed = Self {
            changed_at_ms: bounded(self.changed_at_ms),
            message_at_ms: bounded(self.message_at_ms),
            ..self
        };
        (believed, believed != self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_from_too_far_in_the_future_becomes_that_of_the_record() {
        let version =
            |changed_at_ms, message_at_ms| ReportVersion { changed_at_ms, rank: 3, message_at_ms };
        assert_eq!(version(1_100, 900).believed(1_000, 100), (version(1_100, 900), false));
        assert_eq!(version(1_101, 900).believed(1_000, 100), (version(1_000, 900), true));
        assert_eq!(version(500, i64::MAX).believed(1_000, 100), (version(500, 1_000), true));
        assert_eq!(version(0, 0).believed(1_000, 100), (version(0, 0), false));
        assert_eq!(version(7, 8).believed(i64::MAX, i64::MAX), (version(7, 8), false));
    }
}
