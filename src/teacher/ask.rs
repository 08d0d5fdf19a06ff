//! A question to the teacher, until it is answered or cannot be.
//!
//! ```text
//! ask ──> remembered? ──> provider whose breaker lets us in ──> budget ──> limits ──> one call
//!            one asks,        in order; waits while all are open             │
//!            others wait                                                     ├─ failed: again, elsewhere
//!                                                                            └─ not valid: one repair
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::report::{OBSERVATIONS, STATUSES};
use crate::telemetry::names;

use super::answer::{self, Answer, AnswerProblem};
use super::breaker::{Breaker, BreakerOptions, Gate};
use super::limits::{LimitOptions, Limits};
use super::prompt::{self, Message, Question, estimated_tokens};
use super::provider::{CallError, Completion, Provider, ProviderError, ProviderOptions, Usage};
use super::spend::{Amount, DailyBudget, Price, Spend};

mod member;
mod votes;

use member::Member;

/// How questions are asked.
#[derive(Clone, Debug)]
pub struct TeacherOptions {
    /// Calls for one question, repairs apart, before it is [`AskError::Unavailable`].
    pub attempts: u32,
    /// Pause before the second; doubles, with jitter.
    pub first_pause: Duration,
    /// Longest pause, and the longest `Retry-After` that is obeyed.
    pub longest_pause: Duration,
    /// When a provider is left alone.
    pub breaker: BreakerOptions,
    /// Budget of a day, all providers together.
    pub budget: DailyBudget,
    /// Whether a fault that does not pass by itself (a key, a model's name) is waited out, as a stage
    /// must, or told at once.
    pub patient: bool,
    /// Answers remembered by their text. Each takes about 1 KiB.
    pub remembered: usize,
}

/// A provider with what bounds its use.
#[derive(Clone, Debug)]
pub struct MemberOptions {
    /// The server.
    pub provider: ProviderOptions,
    /// How fast.
    pub limits: LimitOptions,
    /// What it costs.
    pub price: Price,
}

/// Who answered what.
#[derive(Clone, Debug)]
pub struct Given {
    /// The answer, valid.
    pub answer: Answer,
    /// Configured name of the provider.
    pub provider: Arc<str>,
    /// Model as the server names it.
    pub model: String,
    /// Votes that came.
    pub votes: u32,
    /// With more than one: shares of the votes, rows as observations, columns as statuses.
    pub shares: Option<Shares>,
    /// Tokens of all calls that led to it, failed ones included where counted.
    pub usage: Usage,
    /// Their cost.
    pub cost: f64,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The teacher's answer was not valid, and its repair was not either.
    #[error("the teacher's answer is not valid: {0}")]
    Invalid(AnswerProblem),
    /// The teacher's server does not take this question.
    #[error("the teacher does not take this report: {0}")]
    Refused(CallError),
    /// The day's budget is spent.
    #[error("the day's budget for the teacher is spent")]
    OverBudget,
    /// Nobody answered, however often asked. May be asked again later.
    #[error("the teacher does not answer: {0}")]
    Unavailable(CallError),
    /// Not de-identified, and no provider is local.
    #[error("the text was not de-identified and no teacher is local")]
    NotAllowed,
}

impl AskError {
    /// Machine name, as counted (`invalid`).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Refused(_) => "refused",
            Self::OverBudget => "budget_exhausted",
            Self::Unavailable(_) => "unavailable",
            Self::NotAllowed => "not_deidentified",
        }
    }
}

/// One call went wrong.
#[derive(Debug)]
enum AttemptError {
    Call(CallError),
    OverBudget,
    NotAllowed,
}

/// Shares of votes, rows as [`Observation::ALL`](crate::report::Observation::ALL), columns as
/// [`FindingStatus::ALL`](crate::report::FindingStatus::ALL).
pub type Shares = [[f32; STATUSES]; OBSERVATIONS];

type Key = [u8; 32];

/// All providers, in order, as one teacher. Share it.
pub struct Teacher {
    members: Vec<Member>,
    options: TeacherOptions,
    spend: Mutex<Spend>,
    remembered: Cache<Key, Arc<Given>>,
}

impl Teacher {
    /// Makes the clients; calls nobody.
    ///
    /// # Errors
    /// A provider's settings cannot be used.
    pub fn new(
        members: Vec<MemberOptions>,
        options: TeacherOptions,
    ) -> Result<Self, ProviderError> {
        let members = members.into_iter().map(|member| {
            Ok(Member {
                name: Arc::from(member.provider.name.as_str()),
                limits: Arc::new(Limits::new(member.limits, &member.provider.name)),
                breaker: Mutex::new(Breaker::new(options.breaker)),
                price: member.price,
                provider: Provider::new(member.provider)?,
            })
        });
        Ok(Self {
            members: members.collect::<Result<_, ProviderError>>()?,
            spend: Mutex::new(Spend::new(options.budget)),
            remembered: Cache::new(options.remembered.max(1)),
            options,
        })
    }

    /// Whether text that was not de-identified may be asked about.
    pub fn has_local(&self) -> bool {
        self.members.iter().any(|member| member.provider.options().local)
    }

    /// What was spent today.
    pub fn spent_today(&self) -> Amount {
        self.spend.lock().today()
    }

    /// Asks, unless the same text was answered before. Of several that ask the same at once, one
    /// does. With more than one of `votes`, it is asked so often, with chance let in, and the status of
    /// most votes is taken. The second value says whether the answer came from memory.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(
        &self,
        question: &Question,
        votes: u32,
    ) -> Result<(Arc<Given>, bool), AskError> {
        let key = self.key(question, votes);
        match self.remembered.get_value_or_guard_async(&key).await {
            Ok(given) => {
                metrics::counter!(names::TEACHER_REMEMBERED_TOTAL).increment(1);
                Ok((given, true))
            }
            Err(guard) => {
                let given = Arc::new(self.voted(question, votes).await?);
                // Only fails when the entry was replaced meanwhile: then that one stands.
                guard.insert(Arc::clone(&given)).ok();
                Ok((given, false))
            }
        }
    }

    /// Text, prompt and who is asked: the answer is a function of these, as far as it is one.
    fn key(&self, question: &Question, votes: u32) -> Key {
        let mut hash = Sha256::new();
        hash.update(votes.to_be_bytes());
        hash.update(question.text_hash());
        hash.update(prompt::version());
        for member in &self.members {
            hash.update(member.provider.options().model.as_bytes());
            hash.update([0]);
        }
        hash.finalize().into()
    }

    /// A valid answer, by one repair if need be.
    async fn answered(&self, question: &Question, vote: Option<u32>) -> Result<Given, AskError> {
        let mut conversation = prompt::messages(question);
        let mut bill = Bill::default();
        let first = self.completed(&conversation, question.may_leave(), vote, &mut bill).await?;
        let problem = match read(&first.completion, question) {
            Ok(answer) => return Ok(first.given(answer, bill)),
            Err(AnswerProblem::Declined) => return Err(AskError::Invalid(AnswerProblem::Declined)),
            Err(problem) => problem,
        };
        metrics::counter!(names::TEACHER_REPAIRS_TOTAL, "problem" => problem.code()).increment(1);
        prompt::repair(&mut conversation, &shortened(&first.completion), &problem);
        let second = self.completed(&conversation, question.may_leave(), vote, &mut bill).await?;
        match read(&second.completion, question) {
            Ok(answer) => Ok(second.given(answer, bill)),
            Err(problem) => Err(AskError::Invalid(problem)),
        }
    }

    /// The one retry loop.
    async fn completed(
        &self,
        conversation: &[Message],
        may_leave: bool,
        vote: Option<u32>,
        bill: &mut Bill,
    ) -> Result<Completed, AskError> {
        let longest = self.options.longest_pause;
        let pauses = ExponentialBuilder::default()
            .with_min_delay(self.options.first_pause)
            .with_max_delay(longest)
            .with_max_times(self.options.attempts.max(1) as usize - 1)
            .with_jitter();
        let attempt = || self.attempt(conversation, may_leave, vote);
        let result = attempt
            .retry(pauses)
            .when(|error| match error {
                AttemptError::Call(call) => {
                    call.passes() || (self.options.patient && call.is_of_the_server())
                }
                _ => false,
            })
            .adjust(|error, pause| match error {
                AttemptError::Call(call) => {
                    let wanted = call.retry_after().unwrap_or_default().min(longest);
                    pause.map(|pause| pause.max(wanted))
                }
                _ => pause,
            })
            .await;
        match result {
            Ok(completed) => {
                bill.add(completed.completion.usage, completed.cost);
                Ok(completed)
            }
            Err(AttemptError::OverBudget) => Err(AskError::OverBudget),
            Err(AttemptError::NotAllowed) => Err(AskError::NotAllowed),
            Err(AttemptError::Call(call)) if call.is_of_the_server() => {
                Err(AskError::Unavailable(call))
            }
            Err(AttemptError::Call(call)) => Err(AskError::Refused(call)),
        }
    }

    async fn attempt(
        &self,
        conversation: &[Message],
        may_leave: bool,
        vote: Option<u32>,
    ) -> Result<Completed, AttemptError> {
        let member = self.choose(may_leave).await?;
        let estimate = estimated_tokens(conversation);
        let tokens = estimate.prompt + estimate.completion;
        let cost = member.price.of(estimate.prompt, estimate.completion);
        let place = member.limits.enter(tokens).await;
        // After the wait: from here on the call is made, and what is dropped was probably spent.
        let estimated = Amount { tokens, cost };
        let mut reserved = Reserved::of(&self.spend, estimated).ok_or(AttemptError::OverBudget)?;
        let started = Instant::now();
        let result = member.provider.complete(conversation, vote).await;
        drop(place);
        member.note(&result, started.elapsed());
        match result {
            Ok(completion) => {
                let Usage { prompt, completion: written, .. } = completion.usage;
                let cost = member.price.of(prompt, written);
                reserved.settle(Amount { tokens: prompt + written, cost });
                metrics::gauge!(names::TEACHER_COST, "provider" => member.name.to_string())
                    .increment(cost);
                Ok(Completed { completion, provider: Arc::clone(&member.name), cost })
            }
            Err(error) => {
                // What the server may have answered is billed; an error is not, as far as we know.
                let billed = matches!(error, CallError::Timeout | CallError::Unreadable);
                reserved.settle(if billed { estimated } else { Amount::default() });
                tracing::debug!(provider = &*member.name, %error, "a call of the teacher failed");
                Err(AttemptError::Call(error))
            }
        }
    }

    /// The first provider in order that may be asked. Waits while the breakers of all are open.
    async fn choose(&self, may_leave: bool) -> Result<&Member, AttemptError> {
        loop {
            let mut earliest: Option<Instant> = None;
            let allowed = |member: &&Member| may_leave || member.provider.options().local;
            for member in self.members.iter().filter(allowed) {
                match member.breaker.lock().enter(Instant::now()) {
                    Gate::Open => return Ok(member),
                    Gate::ClosedUntil(until) => {
                        earliest = Some(earliest.map_or(until, |earliest| earliest.min(until)));
                    }
                }
            }
            let until = earliest.ok_or(AttemptError::NotAllowed)?;
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

/// A call that brought something.
struct Completed {
    completion: Completion,
    provider: Arc<str>,
    cost: f64,
}

impl Completed {
    fn given(self, answer: Answer, bill: Bill) -> Given {
        Given {
            answer,
            provider: self.provider,
            model: self.completion.model,
            votes: 1,
            shares: None,
            usage: bill.usage,
            cost: bill.cost,
        }
    }
}

/// What a question has cost so far.
#[derive(Default)]
struct Bill {
    usage: Usage,
    cost: f64,
}

impl Bill {
    fn add(&mut self, usage: Usage, cost: f64) {
        self.usage.prompt += usage.prompt;
        self.usage.completion += usage.completion;
        self.usage.counted = usage.counted;
        self.cost += cost;
    }
}

/// Part of the budget, until its call is settled. One that is dropped was spent, for all we know.
struct Reserved<'a> {
    spend: &'a Mutex<Spend>,
    amount: Amount,
    settled: bool,
}

impl<'a> Reserved<'a> {
    fn of(spend: &'a Mutex<Spend>, amount: Amount) -> Option<Self> {
        let fits = spend.lock().reserve(amount, jiff::Timestamp::now().as_millisecond());
        fits.then_some(Self { spend, amount, settled: false })
    }

    fn settle(&mut self, spent: Amount) {
        self.settled = true;
        self.spend.lock().settle(self.amount, spent);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(self.amount);
        }
    }
}

fn read(completion: &Completion, question: &Question) -> Result<Answer, AnswerProblem> {
    match completion.unusable {
        Some(problem) => Err(problem),
        None => {
            let content = completion.content.expose();
            answer::read(content, &completion.logprobs, question.sections())
        }
    }
}

/// An answer as it is shown back to the teacher: one that never ended is not sent whole.
fn shortened(completion: &Completion) -> crate::report::Phi<String> {
    const LONGEST: usize = 8 << 10;
    let content = completion.content.expose();
    crate::report::Phi::new(content.chars().take(LONGEST).collect::<String>())
}
