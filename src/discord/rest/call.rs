//! One call to Discord from the first try to its end: places, repeats, and what an answer means.
//! Knows nothing of the single routes.

use std::borrow::Cow;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{Method, Request, StatusCode};
use serenity::http::Route;
use tokio::time::{Instant, sleep};

use super::Inner;
use super::answer::{Answer, Reason};
use super::error::{CallbackError, RestError, Trouble, Unseen};
use super::transport::{Authorized, Body};
use crate::discord::limiter::{Major, Reach, Refusal, Target, TooSlow};
use crate::metrics::Service;

/// One try that may be followed by another.
const TRY_TIMEOUT: Duration = Duration::from_secs(10);
/// A try takes longer for what is large: bytes that go out in a second on a slow line.
const SENT_A_SECOND_MIN: usize = 256 * 1024;
/// Before the second try; doubled for each further one, with jitter.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Least pause after a 429 that names none.
const PAUSE_UNNAMED: Duration = Duration::from_secs(1);
/// Least pause after a call's second 429; doubled for each further one, so that a wait of zero
/// never becomes a loop.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_DOUBLINGS_MAX: u32 = 6;

/// Codes of Discord's errors (topics/opcodes-and-status-codes) that have a meaning of their own.
const UNKNOWN_MESSAGE: u64 = 10008;
const ALREADY_ACKNOWLEDGED: u64 = 40060;

/// A call that is ready to be sent.
pub(super) struct Call<'a> {
    pub method: Method,
    pub route: Route<'a>,
    pub query: Option<Cow<'static, str>>,
    pub body: Option<Body>,
    pub target: Target,
    /// The interaction's token, if any: never to be shown.
    pub token: &'a str,
    pub repeat: Repeat,
}

/// When a call may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Sending it twice is the same as once.
    Freely,
    /// Only when it is certain that it was not taken: a 429, or no connection.
    OnlyIfNotTaken,
}

impl<'a> Call<'a> {
    pub fn new(method: Method, route: Route<'a>, endpoint: &'static str, major: Major) -> Self {
        let repeat = if method == Method::POST { Repeat::OnlyIfNotTaken } else { Repeat::Freely };
        let reach = match major {
            Major::Interaction(_) => Reach::Interaction,
            _ => Reach::Bot,
        };
        Self { method, route, query: None, body: None, target: Target { endpoint, major, reach }, token: "", repeat }
    }

    /// With a body of JSON.
    pub fn body(self, body: Vec<u8>) -> Self {
        self.form("application/json".to_owned(), body)
    }

    /// With a body of another kind.
    pub fn form(mut self, kind: String, bytes: Vec<u8>) -> Self {
        self.body = Some(Body { kind, bytes });
        self
    }

    pub fn query(mut self, query: impl Into<Cow<'static, str>>) -> Self {
        self.query = Some(query.into());
        self
    }

    pub fn token(mut self, token: &'a str) -> Self {
        self.token = token;
        self
    }

    pub fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }
}

impl Inner {
    /// Sends a call until it is taken, refused for good, or out of time.
    pub async fn call(&self, call: &Call<'_>, deadline: Instant) -> Result<Answer, RestError> {
        let mut backoff = ExponentialBuilder::new()
            .with_min_delay(BACKOFF_MIN)
            .with_max_delay(BACKOFF_MAX)
            .with_jitter()
            .without_max_times()
            .build();
        let mut refusals = 0;
        loop {
            let cause = match self.attempt(call, deadline, &mut refusals).await? {
                Attempt::Taken(answer) => return Ok(answer),
                Attempt::RateLimited => continue,
                Attempt::Trouble(cause) => cause,
            };
            let unsent = matches!(cause, Trouble::Unreached(_));
            if call.repeat == Repeat::OnlyIfNotTaken && !unsent {
                return Err(RestError::FateUnknown { cause });
            }
            let pause = backoff.next().unwrap_or(BACKOFF_MAX);
            if Instant::now() + pause >= deadline {
                return Err(RestError::Unavailable { cause });
            }
            sleep(pause).await;
        }
    }

    async fn attempt(&self, call: &Call<'_>, deadline: Instant, refusals: &mut u32) -> Result<Attempt, RestError> {
        let reach = call.target.reach;
        self.refuse_dead_token(reach)?;
        let mut permit = self.limiter.acquire(&call.target, deadline).await?;
        if Instant::now() >= deadline {
            return Err(RestError::TooSlow);
        }
        // Another call's 401 may have come while this one waited.
        self.refuse_dead_token(reach)?;

        permit.send();
        let sent = call.body.as_ref().map_or(0, |body| body.bytes.len() / SENT_A_SECOND_MIN);
        let until = deadline.min(Instant::now() + TRY_TIMEOUT + Duration::from_secs(sent as u64));
        let answer = match self.transport.send(self.request(call), until).await {
            Ok(answer) => answer,
            Err(trouble) => return Ok(Attempt::Trouble(trouble)),
        };
        if let Some(refusal) = answer.refusal {
            let pause = pause_after(refusal, refusals);
            tracing::debug!(
                endpoint = call.target.endpoint,
                scope = ?refusal.scope,
                pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                "Discord asks for a pause"
            );
            self.limiter.refused(permit, &answer.limits, refusal.scope, reach, pause);
            if let Some(metrics) = self.metrics.get() {
                metrics.rate_limited(Service::Discord);
            }
            return Ok(Attempt::RateLimited);
        }
        if let Some(trouble) = server_trouble(&answer) {
            return Ok(Attempt::Trouble(trouble));
        }
        self.limiter.answered(permit, &answer.limits);
        if answer.status.is_success() {
            // Without its body a read has told nothing; a write was taken all the same.
            return Ok(match (&answer.body, &call.method) {
                (None, &Method::GET) => Attempt::Trouble(Trouble::TimedOut),
                _ => Attempt::Taken(answer),
            });
        }
        Err(self.refusal_of(call, &answer))
    }

    /// Sends an interaction's first answer: at most once, save when it was certainly not taken.
    ///
    /// No limiter stands in the way: each interaction has a budget of its own and is exempt from
    /// the global limit, so there is nothing to wait for but a 429 of its own.
    pub async fn call_back(&self, call: &Call<'_>, deadline: Instant) -> Result<Answer, CallbackError> {
        let mut refusals = 0;
        let mut pause = BACKOFF_MIN;
        if Instant::now() >= deadline {
            let cause = Unseen::TooLate;
            return Err(CallbackError::NotSeen { cause });
        }
        loop {
            let cause = match self.transport.send(self.request(call), deadline).await {
                Ok(answer) => match answer.refusal {
                    Some(refusal) => {
                        pause = pause_after(refusal, &mut refusals);
                        Unseen::TooSlow
                    }
                    None => return self.first_answer(call, answer),
                },
                Err(Trouble::Unreached(_)) => Unseen::Unreached,
                Err(cause) => return Err(CallbackError::FateUnknown { cause }),
            };
            if Instant::now() + pause >= deadline {
                return Err(CallbackError::NotSeen { cause });
            }
            sleep(pause).await;
        }
    }

    fn first_answer(&self, call: &Call<'_>, answer: Answer) -> Result<Answer, CallbackError> {
        if answer.status.is_success() {
            return Ok(answer);
        }
        if let Some(cause) = server_trouble(&answer) {
            return Err(CallbackError::FateUnknown { cause });
        }
        let Reason { code, message } = self.reason(call, &answer);
        let status = answer.status.as_u16();
        Err(match (answer.status, code) {
            (_, ALREADY_ACKNOWLEDGED) => CallbackError::AlreadyAcknowledged,
            (StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED, _) => {
                CallbackError::NotSeen { cause: Unseen::Unknown { status, code } }
            }
            _ => CallbackError::Refused { status, code, message },
        })
    }

    fn refusal_of(&self, call: &Call<'_>, answer: &Answer) -> RestError {
        let Reason { code, message } = self.reason(call, answer);
        match (answer.status, call.target.reach) {
            (StatusCode::UNAUTHORIZED, Reach::Bot) => {
                self.unauthorized.send_replace(true);
                RestError::Unauthorized
            }
            (StatusCode::UNAUTHORIZED, Reach::Interaction) => RestError::Gone,
            // The message is not there, but the interaction may live.
            (StatusCode::NOT_FOUND, Reach::Interaction) if code != UNKNOWN_MESSAGE => RestError::Gone,
            (StatusCode::NOT_FOUND, _) => RestError::NotFound { code, message },
            (StatusCode::FORBIDDEN, _) => RestError::Forbidden { code, message },
            (status, _) => RestError::Refused { status: status.as_u16(), code, message },
        }
    }

    fn reason(&self, call: &Call<'_>, answer: &Answer) -> Reason {
        answer.reason(&[call.token, self.bot_token()])
    }

    fn request(&self, call: &Call<'_>) -> Request {
        let authorized = match call.target.reach {
            Reach::Bot => Authorized::AsBot,
            Reach::Interaction => Authorized::ByPath,
        };
        self.transport.request(call.method.clone(), call.route, call.query.as_deref(), call.body.clone(), authorized)
    }

    /// 10,000 invalid answers in 10 minutes ban the address (topics/rate-limits): one is enough.
    fn refuse_dead_token(&self, reach: Reach) -> Result<(), RestError> {
        match reach {
            Reach::Bot if *self.unauthorized.borrow() => Err(RestError::Unauthorized),
            _ => Ok(()),
        }
    }
}

impl From<TooSlow> for RestError {
    fn from(TooSlow: TooSlow) -> Self {
        Self::TooSlow
    }
}

enum Attempt {
    Taken(Answer),
    RateLimited,
    Trouble(Trouble),
}

fn server_trouble(answer: &Answer) -> Option<Trouble> {
    answer.status.is_server_error().then(|| Trouble::Status { status: answer.status.as_u16() })
}

/// What Discord asks for, and more each time that it was not enough.
fn pause_after(refusal: Refusal, refusals: &mut u32) -> Duration {
    let floor = match *refusals {
        0 => Duration::ZERO,
        again => PAUSE_MIN * 2u32.pow((again - 1).min(PAUSE_DOUBLINGS_MAX)),
    };
    *refusals = refusals.saturating_add(1);
    refusal.retry_after.unwrap_or(PAUSE_UNNAMED).max(floor)
}
