//! Several answers to one question: what most of them say, and how many do.

use futures_util::future::join_all;

use crate::report::{FindingStatus, OBSERVATIONS};

use super::super::answer::{Answer, TeacherCell};
use super::super::prompt::Question;
use super::{AskError, Given, Shares, Teacher};

impl Teacher {
    /// Asks `votes` times. The error of the first vote that failed, unless most succeeded;
    /// [`Given::votes`] says how many did.
    pub(super) async fn voted(&self, question: &Question, votes: u32) -> Result<Given, AskError> {
        if votes <= 1 {
            return self.answered(question, None).await;
        }
        let asked = (0..votes).map(|vote| self.answered(question, Some(vote)));
        let mut given = Vec::new();
        let mut failed = None;
        for result in join_all(asked).await {
            match result {
                Ok(vote) => given.push(vote),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        let few = given.len() * 2 <= votes as usize;
        let mut sum = match (given.first().cloned(), failed) {
            // One answer of five is of one mind with itself: no agreement that says anything.
            (_, Some(error @ (AskError::OverBudget | AskError::Unavailable(_)))) => {
                return Err(error);
            }
            (_, Some(error)) if few => return Err(error),
            (Some(first), _) => first,
            (None, Some(error)) => return Err(error),
            (None, None) => return Err(AskError::NotAllowed),
        };
        for vote in given.iter().skip(1) {
            sum.usage.prompt += vote.usage.prompt;
            sum.usage.completion += vote.usage.completion;
            sum.cost += vote.cost;
        }
        let answers: Vec<&Answer> = given.iter().map(|vote| &vote.answer).collect();
        sum.votes = u32::try_from(answers.len()).unwrap_or(u32::MAX);
        sum.shares = Some(shares(&answers));
        sum.answer = majority(&answers);
        Ok(sum)
    }
}

/// Cell by cell, how the votes are shared out.
#[expect(clippy::cast_precision_loss, reason = "a handful of votes")]
fn shares(answers: &[&Answer]) -> Shares {
    std::array::from_fn(|cell| {
        FindingStatus::ALL.map(|status| {
            let gives = |answer: &&&Answer| {
                answer.cells.get(cell).is_some_and(|given| given.status == status)
            };
            answers.iter().filter(gives).count() as f32 / answers.len().max(1) as f32
        })
    })
}

/// Cell by cell, the status that most answers give; of equals the one given first. Its quote is that
/// of the first answer that gives it.
fn majority(answers: &[&Answer]) -> Answer {
    let cells: [TeacherCell; OBSERVATIONS] = std::array::from_fn(|cell| {
        let votes: Vec<&TeacherCell> =
            answers.iter().filter_map(|answer| answer.cells.get(cell)).collect();
        let count = |status: FindingStatus| votes.iter().filter(|v| v.status == status).count();
        // The last maximum wins: go backwards.
        let winner = votes.iter().rev().max_by_key(|vote| count(vote.status));
        let Some(winner) = winner.map(|vote| vote.status) else { return TeacherCell::silent() };
        let same: Vec<_> = votes.iter().filter(|vote| vote.status == winner).collect();
        let sure: Vec<f32> = same.iter().filter_map(|vote| vote.confidence).collect();
        #[expect(clippy::cast_precision_loss, reason = "a handful of votes")]
        let share = |part: usize, of: usize| part as f32 / of.max(1) as f32;
        #[expect(clippy::cast_precision_loss, reason = "a handful of votes")]
        let mean = (!sure.is_empty()).then(|| sure.iter().sum::<f32>() / sure.len() as f32);
        TeacherCell {
            status: winner,
            quote: same.iter().find_map(|vote| vote.quote),
            confidence: mean,
            agreement: Some(share(same.len(), votes.len())),
        }
    });
    Answer { cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: FindingStatus, confidence: Option<f32>) -> Answer {
        let cell = TeacherCell { status, quote: None, confidence, agreement: None };
        Answer { cells: [cell; OBSERVATIONS] }
    }

    #[test]
    fn most_votes_win_and_the_first_of_equals() {
        use FindingStatus::{Negative, Positive, Uncertain};
        let (a, b, c) =
            (answer(Positive, Some(0.6)), answer(Negative, None), answer(Positive, Some(0.8)));
        let cell = majority(&[&a, &b, &c]).cells[0];
        assert_eq!(cell.status, Positive);
        assert!((cell.agreement.unwrap() - 2.0 / 3.0).abs() < 1e-6);
        assert!((cell.confidence.unwrap() - 0.7).abs() < 1e-6);
        let shared = shares(&[&a, &b, &c])[0];
        assert!((shared[1] - 2.0 / 3.0).abs() < 1e-6 && (shared[2] - 1.0 / 3.0).abs() < 1e-6);
        let d = answer(Uncertain, None);
        assert_eq!(majority(&[&b, &a, &d]).cells[0].status, Negative);
        assert_eq!(majority(&[&d, &b]).cells[0].agreement, Some(0.5));
    }
}
