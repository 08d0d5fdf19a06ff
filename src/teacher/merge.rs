//! Student and teacher become one: cell by cell, and what a person should look at. Pure.
//!
//! The teacher decides the cells that it was asked about; the others stay the student's, whatever the
//! teacher says of them: they were sure, and a teacher is wrong sometimes too. What it says of them
//! is published all the same, and where it contradicts a sure student in many of them, the whole
//! answer is doubted.

use crate::report::{FindingStatus, Labels, OBSERVATIONS, STATUSES};

use super::answer::{Answer, TeacherCell};

/// What the student says of one observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StudentCell {
    /// Most probable status.
    pub status: FindingStatus,
    /// Its calibrated probability, 0 to 1.
    pub confidence: f32,
    /// Of each status, columns as [`FindingStatus::ALL`].
    pub probabilities: [f32; STATUSES],
    /// The teacher is to decide it.
    pub ask: bool,
}

/// What is published of one observation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MergedCell {
    /// Its status.
    pub status: FindingStatus,
    /// How sure whoever decided is, 0 to 1. For a cell that the teacher decided without giving a
    /// confidence, the student's probability of that status: low where the two differ.
    pub confidence: f32,
    /// The teacher decided.
    pub by_teacher: bool,
    /// What the teacher says, decided or not.
    pub teacher: TeacherCell,
}

/// Why a person should look at a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReviewReason {
    /// The teacher contradicts a sure student in one cell, and is sure itself as far as it says.
    ConfidentDisagreement,
    /// The teacher contradicts a sure student in many cells.
    ContradictsStudent,
    /// A doubtful cell that the teacher is unsure of too.
    TeacherUnsure,
    /// The teacher was asked in vain.
    TeacherFailed,
    /// The budget was spent.
    BudgetExhausted,
}

impl ReviewReason {
    /// Machine name (`teacher_unsure`).
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfidentDisagreement => "confident_disagreement",
            Self::ContradictsStudent => "contradicts_student",
            Self::TeacherUnsure => "teacher_unsure",
            Self::TeacherFailed => "teacher_failed",
            Self::BudgetExhausted => "budget_exhausted",
        }
    }
}

/// When a person should look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReviewPolicy {
    /// A student at least so sure is contradicted, not helped.
    pub sure: f32,
    /// A teacher below this is unsure; only where it says how sure it is.
    pub unsure: f32,
    /// So many contradicted cells are many.
    pub many: usize,
}

impl Default for ReviewPolicy {
    fn default() -> Self {
        Self { sure: 0.95, unsure: 0.6, many: 3 }
    }
}

/// Student and teacher together.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// One per observation.
    pub cells: [MergedCell; OBSERVATIONS],
    /// Why a person should look; empty when none need.
    pub reviews: Vec<ReviewReason>,
}

impl Merged {
    /// The statuses.
    pub fn labels(&self) -> Labels {
        self.cells.map(|cell| cell.status)
    }

    /// The teacher decided every cell.
    pub fn all_by_teacher(&self) -> bool {
        self.cells.iter().all(|cell| cell.by_teacher)
    }
}

/// Merges what both say.
pub fn merge(
    student: &[StudentCell; OBSERVATIONS],
    answer: &Answer,
    policy: &ReviewPolicy,
) -> Merged {
    let mut index = 0;
    let cells = student.map(|cell| {
        let teacher = answer.cells.get(index).copied().unwrap_or_else(TeacherCell::silent);
        index += 1;
        let status = if cell.ask { teacher.status } else { cell.status };
        let own = FindingStatus::ALL.iter().position(|s| *s == teacher.status);
        let students = own.and_then(|at| cell.probabilities.get(at)).copied().unwrap_or_default();
        let confidence = if cell.ask {
            teacher.confidence.or(teacher.agreement).unwrap_or(students)
        } else {
            cell.confidence
        };
        MergedCell { status, confidence, by_teacher: cell.ask, teacher }
    });
    let mut reviews = Vec::new();
    let unsure = |teacher: &TeacherCell| {
        teacher.confidence.or(teacher.agreement).is_some_and(|sure| sure < policy.unsure)
    };
    let contradicted = || {
        student.iter().zip(&answer.cells).filter(|(cell, teacher)| {
            cell.confidence >= policy.sure && teacher.status != cell.status
        })
    };
    if contradicted().any(|(cell, teacher)| cell.ask && !unsure(teacher)) {
        reviews.push(ReviewReason::ConfidentDisagreement);
    }
    if contradicted().count() >= policy.many.max(1) {
        reviews.push(ReviewReason::ContradictsStudent);
    }
    let asked_in_vain = student
        .iter()
        .zip(&answer.cells)
        .any(|(cell, teacher)| cell.ask && cell.confidence < policy.sure && unsure(teacher));
    if asked_in_vain {
        reviews.push(ReviewReason::TeacherUnsure);
    }
    Merged { cells, reviews }
}

#[cfg(test)]
mod tests {
    use super::*;
    use FindingStatus::{Negative, NotMentioned, Positive, Uncertain};

    fn student(confidence: f32, ask: bool) -> StudentCell {
        let rest = (1.0 - confidence) / 3.0;
        let probabilities = [confidence, rest, rest, rest];
        StudentCell { status: NotMentioned, confidence, probabilities, ask }
    }

    fn says(status: FindingStatus, confidence: Option<f32>) -> TeacherCell {
        TeacherCell { status, quote: None, confidence, agreement: None }
    }

    /// A sure, silent student and the same teacher, but for the first cells.
    fn merged(first: &[(StudentCell, TeacherCell)]) -> Merged {
        let mut cells = [student(0.99, false); OBSERVATIONS];
        let mut answer = Answer { cells: [TeacherCell::silent(); OBSERVATIONS] };
        for (at, (cell, teacher)) in first.iter().enumerate() {
            cells[at] = *cell;
            answer.cells[at] = *teacher;
        }
        merge(&cells, &answer, &ReviewPolicy::default())
    }

    #[test]
    fn the_teacher_decides_what_it_is_asked_and_nothing_else() {
        let merged = merged(&[
            (student(0.5, true), says(Positive, Some(0.9))),
            (student(0.99, false), says(Positive, Some(0.9))),
        ]);
        assert_eq!(merged.cells[0].status, Positive);
        assert!((merged.cells[0].confidence - 0.9).abs() < 1e-6);
        assert!(merged.cells[0].by_teacher && !merged.cells[1].by_teacher);
        assert_eq!(merged.cells[1].status, NotMentioned, "the student was sure");
        assert_eq!(merged.cells[1].teacher.status, Positive, "told all the same");
        assert!(!merged.all_by_teacher());
        assert_eq!(merged.reviews, []);
    }

    #[test]
    fn no_confidence_is_made_up() {
        let merged = merged(&[(student(0.7, true), says(Positive, None))]);
        assert!((merged.cells[0].confidence - 0.1).abs() < 1e-6, "the student's for that status");
        let agreeing = says(NotMentioned, None);
        let same = super::tests::merged(&[(student(0.7, true), agreeing)]);
        assert!((same.cells[0].confidence - 0.7).abs() < 1e-6);
    }

    #[test]
    fn a_person_looks_where_both_are_sure_and_differ() {
        let audit = |confidence| (student(0.99, true), says(Negative, confidence));
        assert_eq!(merged(&[audit(Some(0.9))]).reviews, [ReviewReason::ConfidentDisagreement]);
        assert_eq!(merged(&[audit(None)]).reviews, [ReviewReason::ConfidentDisagreement]);
        assert_eq!(merged(&[audit(Some(0.5))]).reviews, [], "the teacher only guesses");
    }

    #[test]
    fn a_person_looks_where_neither_is_sure() {
        let merged = merged(&[(student(0.5, true), says(Uncertain, Some(0.5)))]);
        assert_eq!(merged.reviews, [ReviewReason::TeacherUnsure]);
    }

    #[test]
    fn an_answer_that_contradicts_a_sure_student_in_many_cells_is_doubted() {
        let contradicted = (student(0.99, false), says(Positive, Some(0.99)));
        assert_eq!(merged(&[contradicted; 2]).reviews, []);
        assert_eq!(merged(&[contradicted; 3]).reviews, [ReviewReason::ContradictsStudent]);
    }
}
