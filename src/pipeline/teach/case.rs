//! One escalation, from its record to its end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::broker::Record;
use crate::deidentify::{Deidentified, Deidentifier, Refused};
use crate::publish::{
    EncodeError, EscalationMarker, Mark, Opinion, Outgoing, PublishedEvidence, Revised, Sampled,
    ShadowAnswer, TeacherIdentity, TeacherOutcome,
};
use crate::report::{OBSERVATIONS, ReportText};
use crate::teacher::ask::{AskError, Given};
use crate::teacher::merge::{Merged, ReviewReason, merge};
use crate::teacher::prompt::{self, Question};
use crate::telemetry::names;
use crate::telemetry::totals::Outcome;

use super::super::budget::Budget;
use super::super::flight::{Finished, Flight, Part};
use super::super::letters::Failure;
use super::super::unix_ms;
use super::Teaching;
use super::escalated::Escalated;

/// A record in the window.
pub(super) struct Case {
    teaching: Arc<Teaching>,
    flight: Flight,
    read: Result<Read, &'static str>,
}

/// What a record of the escalations topic is.
enum Read {
    Escalated(Box<Escalated>),
    /// Something became of a report; nothing is asked.
    Marker(EscalationMarker),
}

impl Case {
    /// Reads a record and notes which version of a report it is.
    pub(super) fn open(teaching: Arc<Teaching>, record: Record) -> Self {
        let read =
            std::panic::catch_unwind(AssertUnwindSafe(|| read(&record))).unwrap_or(Err("panic"));
        match &read {
            Ok(Read::Escalated(escalated)) => {
                let escalation = &escalated.escalation;
                let key = escalation.report_key.as_bytes();
                teaching.versions.note(key, escalation.report_version);
            }
            Ok(Read::Marker(marker)) => {
                teaching.versions.note(record.key.as_deref().unwrap_or_default(), marker.version);
            }
            Err(_) => {}
        }
        let cost = Budget::cost(&record);
        Self { teaching, flight: Flight::new(record, cost, 1), read }
    }

    /// The record's end, whatever happens: a bug must cost one dead letter, not the process.
    pub(super) async fn settle(self) -> Option<Finished> {
        let letter = |class| {
            let failure = Failure::at("teach", class);
            self.teaching.letters.part(&self.flight.record, 0, failure)
        };
        let part = match &self.read {
            Err(class) => letter(class),
            Ok(Read::Marker(marker)) => self.marked(marker),
            Ok(Read::Escalated(escalated)) => AssertUnwindSafe(self.part(escalated))
                .catch_unwind()
                .await
                .unwrap_or_else(|_| letter("panic")),
        };
        self.flight.complete(0, part)
    }

    /// A sample that was published before the retraction was known is struck by a null value behind it.
    fn marked(&self, marker: &EscalationMarker) -> Part {
        let Record { key, headers, .. } = &self.flight.record;
        let (name, strikes) = match marker.mark {
            Mark::Retracted => ("retracted", self.teaching.samples),
            Mark::Replaced => ("replaced", false),
        };
        let publisher = &self.teaching.publisher;
        let strike = key
            .as_deref()
            .filter(|_| strikes)
            .map(|key| publisher.withdrawal_again(headers, key, &marker.version, unix_ms()));
        Part { outcome: Outcome::plain(name), outgoing: Vec::from_iter(strike) }
    }

    async fn part(&self, escalated: &Escalated) -> Part {
        // A clock that is wrong elsewhere must not hold the partition.
        let latest = unix_ms().saturating_add(self.teaching.retry_delay_ms);
        wait_until(escalated.not_before_ms.min(latest)).await;
        if !self.teaching.ours.holds(&self.flight.record.ticket) {
            // Nothing of it will be published: the transaction thread knows its assignment as closed.
            return Part { outcome: Outcome::plain("revoked"), outgoing: Vec::new() };
        }
        let end = self.end(escalated).await;
        let (name, outgoing) = match end {
            End::PutOff(outgoing) => {
                metrics::counter!(names::TEACHER_RETRIES_TOTAL).increment(1);
                ("put_off", Ok(vec![outgoing]))
            }
            End::Answered(answered) => ("teacher", self.answered(escalated, &answered)),
            End::Without(outcome, problem) => {
                (outcome.name(), self.without(escalated, outcome, problem))
            }
        };
        match outgoing {
            Ok(outgoing) => Part { outcome: Outcome::plain(name), outgoing },
            Err(error) => {
                let failure = Failure::of_encoding(&error);
                self.teaching.letters.part(&self.flight.record, 0, failure)
            }
        }
    }

    /// Asks, unless there is a reason not to.
    async fn end(&self, escalated: &Escalated) -> End {
        let teaching = &*self.teaching;
        let escalation = &escalated.escalation;
        let (key, version) = (escalation.report_key.as_bytes(), escalation.report_version);
        if teaching.versions.is_superseded(key, version) {
            return End::Without(TeacherOutcome::Superseded, None);
        }
        let expires = escalation.escalated_at.saturating_add(teaching.give_up_after_ms);
        let left = Duration::from_millis(u64::try_from(expires - unix_ms()).unwrap_or(0));
        if left.is_zero() {
            return End::Without(TeacherOutcome::TeacherFailed, Some("expired"));
        }
        let text = Deidentifier::default().apply(&escalated.sections, &escalated.identifiers);
        let outcome = text.as_ref().map_or_else(|refused| refused.code(), |_| "done");
        metrics::counter!(names::DEIDENTIFICATIONS_TOTAL, "outcome" => outcome).increment(1);
        let question = match &text {
            Ok(text) => Question::deidentified(text),
            Err(_) if teaching.teacher.has_local() => {
                Question::as_received(escalated.sections.clone())
            }
            Err(_) => {
                return End::Without(TeacherOutcome::TeacherFailed, Some("deidentification"));
            }
        };
        let asked = tokio::time::timeout(left, teaching.teacher.ask(&question, 1)).await;
        // It may have come while the teacher was thinking.
        if teaching.versions.is_superseded(key, version) {
            return End::Without(TeacherOutcome::Superseded, None);
        }
        match asked {
            Ok(Ok((given, _))) => {
                let merged = merge(&escalated.student, &given.answer, &teaching.review);
                End::Answered(Box::new(Answered { given, merged, question, text }))
            }
            Err(_) => End::Without(TeacherOutcome::TeacherFailed, Some("expired")),
            Ok(Err(AskError::OverBudget)) => End::Without(TeacherOutcome::BudgetExhausted, None),
            Ok(Err(AskError::Unavailable(_))) => {
                let again = unix_ms().saturating_add(teaching.retry_delay_ms);
                if again < expires {
                    End::PutOff(self.retry(escalated.attempt.saturating_add(1), again))
                } else {
                    End::Without(TeacherOutcome::TeacherFailed, Some("unavailable"))
                }
            }
            Ok(Err(error)) => End::Without(TeacherOutcome::TeacherFailed, Some(error.code())),
        }
    }

    fn retry(&self, attempt: u32, not_before_ms: i64) -> Outgoing {
        let Record { key, payload, headers, .. } = &self.flight.record;
        let (key, payload) = (key.as_deref(), payload.as_deref());
        self.teaching.publisher.retry(key, payload, headers, attempt, not_before_ms)
    }

    /// Revision and sample of an answer.
    fn answered(
        &self,
        escalated: &Escalated,
        answered: &Answered,
    ) -> Result<Vec<Outgoing>, EncodeError> {
        let Answered { given, merged, question, text } = answered;
        for (student, cell) in escalated.student.iter().zip(&merged.cells) {
            if student.ask {
                let result = if student.status == cell.status { "agreed" } else { "changed" };
                metrics::counter!(names::TEACHER_CELLS_TOTAL, "result" => result).increment(1);
            }
        }
        let teacher = TeacherIdentity {
            model: given.model.as_str().into(),
            provider: (&*given.provider).into(),
            prompt_version: prompt::version().into(),
            votes: i32::try_from(given.votes).unwrap_or(i32::MAX),
        };
        let quotes: [Option<String>; OBSERVATIONS] = given
            .answer
            .cells
            .map(|cell| cell.quote.map(|quote| quote.text(question.sections()).to_owned()));
        let revised = Revised {
            escalation: &escalated.escalation,
            input: &self.flight.record.headers,
            outcome: TeacherOutcome::Teacher,
            problem: None,
            opinion: Some(Opinion {
                merged,
                teacher,
                evidence: evidence(escalated, given, &quotes),
            }),
            reviews: &merged.reviews,
        };
        let mut outgoing = vec![self.revision(&revised)?];
        let sampled = self.teaching.samples && !escalated.escalation.training_excluded;
        if let (true, Ok(text)) = (sampled, text) {
            let chance = escalated.is_audit().then_some(self.teaching.audit_chance);
            let shadow = self.shadow(escalated);
            let sampled = Sampled { text, quotes: &quotes, inclusion_probability: chance, shadow };
            match self.teaching.publisher.sample(&revised, sampled, unix_ms()) {
                Some(Ok(sample)) => outgoing.push(sample),
                // The revision is what is owed; a sample is a gift.
                Some(Err(EncodeError::TooLarge { .. })) | None => {}
                Some(Err(error)) => return Err(error),
            }
        }
        Ok(outgoing)
    }

    /// What the shadow says of the text that the student read.
    fn shadow(&self, escalated: &Escalated) -> Option<ShadowAnswer<'_>> {
        let shadow = self.teaching.shadow.as_ref()?;
        let text = ReportText { sections: escalated.sections.clone(), present: Vec::new() };
        tokio::task::block_in_place(|| shadow.answer(&text))
    }

    /// The revision of an escalation without an answer: the student's statuses stand.
    fn without(
        &self,
        escalated: &Escalated,
        outcome: TeacherOutcome,
        problem: Option<&'static str>,
    ) -> Result<Vec<Outgoing>, EncodeError> {
        // An audit that fails says nothing against a student that was sure.
        let reviews: &[ReviewReason] = match outcome {
            _ if escalated.is_audit() => &[],
            TeacherOutcome::TeacherFailed => &[ReviewReason::TeacherFailed],
            TeacherOutcome::BudgetExhausted => &[ReviewReason::BudgetExhausted],
            TeacherOutcome::Teacher | TeacherOutcome::Superseded => &[],
        };
        let revised = Revised {
            escalation: &escalated.escalation,
            input: &self.flight.record.headers,
            outcome,
            problem,
            opinion: None,
            reviews,
        };
        Ok(vec![self.revision(&revised)?])
    }

    fn revision(&self, revised: &Revised<'_>) -> Result<Outgoing, EncodeError> {
        let outgoing = self.teaching.publisher.revision(revised, unix_ms())?;
        for reason in revised.reviews {
            metrics::counter!(names::REVIEWS_TOTAL, "reason" => reason.name()).increment(1);
        }
        Ok(outgoing)
    }
}

/// Reads a record of the escalations or retry topic.
fn read(record: &Record) -> Result<Read, &'static str> {
    match (&record.payload, EscalationMarker::read(&record.headers)) {
        (None, Some(marker)) => Ok(Read::Marker(marker)),
        _ => Escalated::read(record).map(Read::Escalated),
    }
}

/// How a case ended.
enum End {
    Answered(Box<Answered>),
    Without(TeacherOutcome, Option<&'static str>),
    PutOff(Outgoing),
}

/// An answer with what it answers.
struct Answered {
    given: Arc<Given>,
    merged: Merged,
    question: Question,
    text: Result<Deidentified, Refused>,
}

/// Where the teacher's quotes stand in the text as received. One that holds a stand-in does not stand
/// there.
fn evidence<'a>(
    escalated: &Escalated,
    given: &Given,
    quotes: &[Option<String>; OBSERVATIONS],
) -> [Option<PublishedEvidence<'a>>; OBSERVATIONS] {
    std::array::from_fn(|index| {
        let quote = given.answer.cells.get(index)?.quote?;
        let words = quotes.get(index)?.as_deref()?;
        let text = escalated.sections.get(quote.section)?.text.expose();
        let start = text.find(words)?;
        let found = crate::teacher::answer::Quote { start, end: start + words.len(), ..quote };
        let place = found.evidence(&escalated.sections);
        Some(PublishedEvidence {
            section: place.section.name().into(),
            start: i32::try_from(place.start).unwrap_or(i32::MAX),
            end: i32::try_from(place.end).unwrap_or(i32::MAX),
            text: Some(words.to_owned().into()),
        })
    })
}

async fn wait_until(ms: i64) {
    let wait = ms.saturating_sub(unix_ms());
    if let Ok(wait) = u64::try_from(wait) {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
}
