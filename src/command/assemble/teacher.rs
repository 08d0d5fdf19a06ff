//! From settings to a teacher that can be asked, and to stage teach.

use std::sync::Arc;
use std::time::Duration;

use super::{frame_options, publish_settings, shadow_options};
use crate::broker::assignment::Ends;
use crate::broker::auth::Authenticator;
use crate::config::{Settings, TeacherApi, TeacherFormat, TeacherProvider};
use crate::pipeline::teach::TeachOptions;
use crate::publish::{Framing, Publisher};
use crate::teacher::ask::{MemberOptions, Teacher, TeacherOptions};
use crate::teacher::breaker::BreakerOptions;
use crate::teacher::limits::LimitOptions;
use crate::teacher::merge::ReviewPolicy;
use crate::teacher::provider::{AnswerFormat, Api, ProviderError, ProviderOptions};
use crate::teacher::spend::{DailyBudget, Price};

/// Failures in a row that make us leave a provider alone.
const FAILURES: u32 = 8;
/// For how long at first, and at most.
const COOLDOWN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(120));
/// Pause before a call is tried again, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// No teacher can be asked.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// None is configured.
    #[error("teacher.providers is empty: nobody can be asked; see docs/TEACHER.md")]
    None,
    /// One cannot be used.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// The teacher that the settings name, for a stage: where no provider answers, questions wait. Calls
/// nobody.
///
/// # Errors
/// [`TeacherError`].
pub fn teacher(settings: &Settings) -> Result<Teacher, TeacherError> {
    let breaker = BreakerOptions { failures: FAILURES, cooldown: COOLDOWN.0, longest: COOLDOWN.1 };
    assembled(settings, breaker, true)
}

/// The same for a command that somebody watches: where no provider answers, it says so.
///
/// # Errors
/// [`TeacherError`].
pub fn watched_teacher(settings: &Settings) -> Result<Teacher, TeacherError> {
    let never =
        BreakerOptions { failures: u32::MAX, cooldown: Duration::ZERO, longest: Duration::ZERO };
    assembled(settings, never, false)
}

fn assembled(
    settings: &Settings,
    breaker: BreakerOptions,
    patient: bool,
) -> Result<Teacher, TeacherError> {
    let teacher = &settings.teacher;
    if teacher.providers.is_empty() {
        return Err(TeacherError::None);
    }
    let options = TeacherOptions {
        attempts: teacher.attempts,
        first_pause: PAUSE.0,
        longest_pause: PAUSE.1,
        breaker,
        patient,
        budget: DailyBudget { tokens: teacher.daily_tokens, cost: teacher.daily_cost },
        remembered: teacher.remember,
    };
    Ok(Teacher::new(teacher.providers.iter().map(member).collect(), options)?)
}

fn member(provider: &TeacherProvider) -> MemberOptions {
    let request = provider.request.iter().map(|(name, value)| {
        // TOML has no null.
        let removed = value.as_str() == Some("remove");
        (name.clone(), if removed { serde_json::Value::Null } else { value.clone() })
    });
    MemberOptions {
        provider: ProviderOptions {
            name: provider.name.clone(),
            base_url: provider.base_url.clone(),
            api: match provider.api {
                TeacherApi::Openai => Api::OpenAi,
                TeacherApi::Azure => Api::Azure { version: provider.api_version.clone() },
            },
            api_key: provider.api_key.expose().to_owned(),
            model: provider.model.clone(),
            local: provider.local,
            timeout: Duration::from_secs(provider.timeout_s),
            format: match provider.format {
                TeacherFormat::Auto => AnswerFormat::Auto,
                TeacherFormat::Schema => AnswerFormat::Schema,
                TeacherFormat::Json => AnswerFormat::Json,
                TeacherFormat::None => AnswerFormat::None,
            },
            logprobs: provider.logprobs,
            max_tokens: provider.max_tokens,
            request: request.collect(),
            ca_file: (!provider.ca_file.as_os_str().is_empty()).then(|| provider.ca_file.clone()),
            proxy: provider.proxy.is_set().then(|| provider.proxy.expose().to_owned()),
        },
        limits: LimitOptions {
            concurrency: provider.concurrency,
            requests_per_minute: provider.requests_per_minute,
            tokens_per_minute: provider.tokens_per_minute,
        },
        price: price(provider),
    }
}

/// What a provider's tokens cost.
pub fn price(provider: &TeacherProvider) -> Price {
    Price { prompt: provider.prompt_price, completion: provider.completion_price }
}

/// Topics that stage teach reads.
pub fn teach_inputs(settings: &Settings) -> Vec<String> {
    vec![settings.topics.escalations.clone(), settings.topics.retries.clone()]
}

/// Topics that stage teach reads and writes, inputs first.
pub fn teach_topics(settings: &Settings) -> Vec<String> {
    let topics = &settings.topics;
    let mut all = teach_inputs(settings);
    all.extend([topics.findings.clone(), topics.dead_letters.clone()]);
    if !topics.distillation.is_empty() {
        all.push(topics.distillation.clone());
    }
    all
}

/// Options of stage teach with this teacher.
#[expect(clippy::cast_possible_truncation, reason = "shares between 0 and 1")]
pub fn teach_options(
    settings: &Settings,
    teacher: Teacher,
    auth: Arc<Authenticator>,
    framing: Framing,
    stop_at: Option<Ends>,
) -> TeachOptions {
    let teach = &settings.teacher;
    let mut publish = publish_settings(settings, framing);
    publish.consumer_group.clone_from(&teach.group);
    let samples = !settings.topics.distillation.is_empty();
    TeachOptions {
        frame: frame_options(settings, auth, teach_inputs(settings), stop_at, Some(&teach.group)),
        teacher: Arc::new(teacher),
        publisher: Arc::new(Publisher::new(publish)),
        review: ReviewPolicy {
            sure: teach.review_sure as f32,
            unsure: teach.review_unsure as f32,
            many: teach.review_many,
        },
        window: teach.window,
        retry_delay: Duration::from_secs(teach.retry_delay_s),
        give_up_after: Duration::from_secs(teach.give_up_after_s),
        samples,
        audit_chance: settings.routing.audit_rate.min(settings.routing.max_escalation_rate),
        shadow: shadow_options(settings).filter(|_| samples).map(|shadow| shadow.load),
    }
}
