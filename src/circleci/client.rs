//! HTTP as CircleCI wants it: authentication, time-outs, limits, rate limits, and reads that are tried again. Knows
//! nothing of what is asked and answered.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, Retryable};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Client, Method, Url};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tracing::instrument::WithSubscriber;

use super::Project;
use super::access::{Access, Credential, Patience, Scheme};
use super::address::{Root, Version};
use super::budget::{Budget, Lane};
use super::error::{self, About, ReadError, Refusal, RefusalKind, SetupError, Unanswered};
use super::failure::OUTPUT_TIME_LIMIT;
use super::limits;
use super::public::{self, PublicOnly};
use super::reachable::Watched;
use super::said;
use crate::invalid::Invalid;
use crate::text;
use crate::time::Clock;

/// The largest answer that is read, in bytes; a long v1.1 build has about 1 MiB.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How much of a step's output is read, in bytes.
pub(super) const OUTPUT_BYTES_MAX: usize = 1024 * 1024;
/// How long a connection is kept for the next request: less than servers keep it, so that an order is not written to a
/// connection that is just being closed.
const IDLE: Duration = Duration::from_secs(15);
/// The media type of every request and every answer.
const JSON: &str = "application/json";
/// The longest cause of a failed connection that is shown, in UTF-16 units.
const CAUSE_UNITS_MAX: usize = 120;

/// The one HTTP client for CircleCI.
pub(super) struct Http {
    client: Client,
    /// For addresses that CircleCI hands out: never sees a token.
    outputs: Client,
    pub root: Root,
    pub access: Access,
    pub patience: Patience,
    pub clock: Clock,
    pub budget: Budget,
    pub reachable: Watched,
}

/// One request, apart from its method and body.
#[derive(Clone)]
pub(super) struct Call<'a> {
    pub version: Version,
    pub segments: Vec<&'a str>,
    pub query: Vec<(&'static str, &'a str)>,
    pub credential: Credential<'a>,
    pub project: &'a Project,
    /// Whose read it is.
    pub lane: Lane,
    /// Whether a server may lack it and say so with a 500, which then means neither that it is down nor that another
    /// try may help.
    pub may_be_absent: bool,
    /// The first byte of the answer that is wanted, where not all of it is.
    pub from_byte: Option<u64>,
}

impl<'a> Call<'a> {
    /// What a person waits for.
    pub(super) fn new(
        version: Version,
        segments: Vec<&'a str>,
        query: &[(&'static str, &'a str)],
        credential: Credential<'a>,
        project: &'a Project,
    ) -> Self {
        let query = query.to_vec();
        let (lane, may_be_absent, from_byte) = (Lane::Person, false, None);
        Self { version, segments, query, credential, project, lane, may_be_absent, from_byte }
    }

    /// The same read, for nobody in particular.
    pub(super) fn poll(self) -> Self {
        Self { lane: Lane::Poll, ..self }
    }

    /// The same read, of what only the cloud is sure to have.
    pub(super) fn of_the_cloud(self) -> Self {
        Self { may_be_absent: true, ..self }
    }
}

/// An answer that was read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as it came.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as JSON; `None` for anything else, Clojure's EDN for example.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Fault {
    /// The request was never sent.
    Unreachable(String),
    /// It was sent, perhaps in part.
    Silent,
    Dropped,
    Oversized,
}

/// A try at a read that may be followed by another.
#[derive(Debug)]
enum Setback {
    Fault(Fault),
    /// 429 or 5xx, and how long CircleCI wants to be left alone.
    Status(u16, Option<Duration>),
}

impl Http {
    pub(super) fn new(access: Access, patience: Patience, clock: Clock) -> Result<Self, SetupError> {
        let root = Root::parse(&access.url)?;
        for (variable, token) in access.tokens() {
            let secret = token.expose_secret();
            if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
                let why =
                    format!("{variable} is not one of CircleCI's tokens: it is empty or holds spaces or other signs.");
                return Err(Invalid::new("CircleCI token", why, "CCIPAT_xxxxxxxxxxxxxxxx").into());
            }
        }
        let mut client = Client::builder()
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(patience.connect)
            .timeout(patience.request)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // Nobody but this file decides what is sent a second time.
            .retry(reqwest::retry::never());
        if root.is_loopback() {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| SetupError::Http(error.into()))?;
        let mut outputs = Client::builder()
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(patience.connect)
            .timeout(OUTPUT_TIME_LIMIT.min(patience.request))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .pool_max_idle_per_host(0)
            .retry(reqwest::retry::never());
        if root.is_loopback() {
            outputs = outputs.no_proxy();
        }
        // A server keeps its outputs where its operator says, in its own network.
        if root.is_circleci() {
            outputs = outputs.dns_resolver(Arc::new(PublicOnly));
        }
        let outputs = outputs.build().map_err(|error| SetupError::Http(error.into()))?;
        let budget = Budget::new(patience.reads_per_second, patience.reads_burst);
        Ok(Self { client, outputs, root, access, patience, clock, budget, reachable: Watched::default() })
    }

    /// Reads, trying again while that may help.
    pub(super) async fn get(&self, call: &Call<'_>) -> Result<Answer, ReadError> {
        let longest = self.patience.rate_limited;
        let attempt = || async {
            self.budget.turn(call.lane).await;
            let answer = self.send(Method::GET, call, None).await.map_err(Setback::Fault)?;
            match answer.status {
                500 if call.may_be_absent => Ok(answer),
                429 | 500.. => Err(Setback::Status(answer.status, limits::retry_after(&answer.headers, &self.clock))),
                _ => Ok(answer),
            }
        };
        attempt
            .retry(self.patience.delays().with_max_times(self.patience.read_retries_max))
            .when(|setback| !matches!(setback, Setback::Fault(Fault::Oversized)))
            .adjust(|setback, delay| match (setback, delay) {
                (Setback::Status(_, Some(asked)), Some(own)) => Some(own.max(*asked)).filter(|delay| *delay <= longest),
                _ => delay,
            })
            .await
            .map_err(|setback| self.unavailable(setback))
    }

    /// Reads JSON; anything but a 2xx is an error.
    pub(super) async fn get_json(&self, call: &Call<'_>) -> Result<Value, ReadError> {
        let answer = self.get(call).await?;
        if !answer.is_success() {
            let about = About { project: call.project, variable: &call.credential.variable, names: vec![] };
            let kind = refusal_kind(answer.status);
            if answer.status >= 500 {
                return Err(ReadError::Unavailable { status: Some(answer.status), why: error::failed(answer.status) });
            }
            return Err(ReadError::Refused(Refusal::new(kind, Some(answer.status), &about, self.said(&answer))));
        }
        answer.json().ok_or_else(|| ReadError::Unreadable { why: error::unreadable() })
    }

    /// Sends an order or another request that changes something, once. Only a 429, with which CircleCI says that it was not taken, is waited for and sent again.
    /// The answer is a 2xx, 3xx or 4xx.
    pub(super) async fn post(&self, call: &Call<'_>, body: Option<&Value>) -> Result<Answer, Unanswered> {
        let deadline = Instant::now() + self.patience.rate_limited;
        let mut delays = self.patience.delays().build();
        loop {
            let answer = self.send(Method::POST, call, body).await.map_err(|fault| self.order_failed(fault))?;
            match answer.status {
                429 => {
                    let own = delays.next().unwrap_or(self.patience.retry_longest);
                    let delay = own.max(limits::retry_after(&answer.headers, &self.clock).unwrap_or_default());
                    if Instant::now().checked_add(delay).is_none_or(|next| next > deadline) {
                        return Err(Unanswered::NotSent(error::rate_limited()));
                    }
                    sleep(delay).await;
                }
                200..500 => return Ok(answer),
                status => return Err(Unanswered::Lost(error::failed(status))),
            }
        }
    }

    /// The end of a step's output, from an address that CircleCI hands out and that lets in whoever knows it: without any
    /// token, and without a word in the log. `None` when it can't be had.
    pub(super) async fn fetch_output(&self, address: Url) -> Option<Vec<u8>> {
        // reqwest's own log lines name the address, which is a secret.
        let quiet = tracing::subscriber::NoSubscriber::default();
        self.read_output(address).with_subscriber(quiet).await
    }

    async fn read_output(&self, address: Url) -> Option<Vec<u8>> {
        if self.root.is_circleci() && public::is_literal(&address) {
            return None;
        }
        // The last bytes, where the storage can do that; else the whole, if it isn't more.
        let range = format!("bytes=-{OUTPUT_BYTES_MAX}");
        let mut response = self.outputs.get(address).header(RANGE, range).send().await.ok()?;
        if !matches!(response.status().as_u16(), 200 | 206) {
            return None;
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.ok()? {
            if body.len() + chunk.len() > OUTPUT_BYTES_MAX {
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        Some(body)
    }

    /// CircleCI's words in an answer, without any token of ours.
    pub(super) fn said(&self, answer: &Answer) -> Option<String> {
        said::message(&answer.body).map(|said| self.access.redact(said))
    }

    async fn send(&self, method: Method, call: &Call<'_>, body: Option<&Value>) -> Result<Answer, Fault> {
        let url = self.root.api(call.version, &call.segments, &call.query);
        let begun = Instant::now();
        let result = self.exchange(method.clone(), url.clone(), call, body).await;
        self.note(call, &result);
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &result {
            Ok(answer) => tracing::debug!(
                http.method = %method, http.path = url.path(), http.status = answer.status, duration_ms,
                circleci.rate_limit_remaining = limits::remaining(&answer.headers), "CircleCI answered"
            ),
            Err(fault) => tracing::debug!(
                http.method = %method, http.path = url.path(), duration_ms, ?fault, "CircleCI did not answer"
            ),
        }
        result
    }

    async fn exchange(&self, method: Method, url: Url, call: &Call<'_>, body: Option<&Value>) -> Result<Answer, Fault> {
        let mut request = self.client.request(method, url).header(ACCEPT, JSON);
        let secret = call.credential.token.expose_secret();
        request = match call.credential.scheme {
            Scheme::Basic => request.basic_auth(secret, Some("")),
            Scheme::Header => {
                let mut value = HeaderValue::from_str(secret)
                    .map_err(|_| Fault::Unreachable(format!("{} is not a token", call.credential.variable)))?;
                value.set_sensitive(true);
                request.header("Circle-Token", value)
            }
        };
        if let Some(from) = call.from_byte {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(body) = body {
            // Without this header CircleCI ignores the body and runs the default branch (api-preview-docs#46).
            request = request.header(CONTENT_TYPE, JSON).body(body.to_string());
        }
        let mut response = request.send().await.map_err(fault)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(Fault::Oversized);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }

    fn unavailable(&self, setback: Setback) -> ReadError {
        let (status, why) = match setback {
            Setback::Fault(Fault::Oversized) => return ReadError::Unreadable { why: error::oversized() },
            Setback::Fault(Fault::Unreachable(cause)) => (None, error::unreachable(&cause)),
            Setback::Fault(Fault::Silent) => (None, error::silent(self.patience.request)),
            Setback::Fault(Fault::Dropped) => (None, error::dropped()),
            Setback::Status(429, _) => (Some(429), error::rate_limited()),
            Setback::Status(status, _) => (Some(status), error::failed(status)),
        };
        ReadError::Unavailable { status, why }
    }

    fn order_failed(&self, fault: Fault) -> Unanswered {
        match fault {
            Fault::Unreachable(cause) => Unanswered::NotSent(error::unreachable(&cause)),
            Fault::Silent => Unanswered::Lost(error::silent(self.patience.request)),
            Fault::Dropped => Unanswered::Lost(error::dropped()),
            Fault::Oversized => Unanswered::Lost(error::oversized()),
        }
    }

    /// What an answer, or none, tells of CircleCI itself.
    fn note(&self, call: &Call<'_>, result: &Result<Answer, Fault>) {
        match result {
            Ok(answer) => {
                if answer.status == 429 {
                    self.budget.note_rate_limited();
                }
                if let Some(pause) = limits::pause(answer.status, &answer.headers, &self.clock) {
                    self.budget.pause_polls(pause);
                }
                if answer.status < 500 || !call.may_be_absent {
                    self.reachable.note(answer.status < 500, self.clock.now());
                }
            }
            Err(Fault::Oversized) => {}
            Err(Fault::Unreachable(_) | Fault::Silent | Fault::Dropped) => {
                self.reachable.note(false, self.clock.now());
            }
        }
    }
}

/// What reqwest says of a request without an answer. Only a failure to connect, TLS included, is sure to have sent
/// nothing.
fn fault(error: reqwest::Error) -> Fault {
    if error.is_connect() || error.is_builder() {
        if error.is_timeout() {
            return Fault::Unreachable("no connection in time".to_owned());
        }
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        let cause = cause.to_string();
        // The number of the system's error helps nobody who reads this.
        let cause = cause.split(" (os error").next().unwrap_or_default();
        return Fault::Unreachable(text::clip(&text::one_line(cause), CAUSE_UNITS_MAX).into_owned());
    }
    if error.is_timeout() { Fault::Silent } else { Fault::Dropped }
}

/// The kind of a no that its status alone tells.
pub(super) fn refusal_kind(status: u16) -> RefusalKind {
    match status {
        300..=399 => RefusalKind::Redirected,
        401 => RefusalKind::Unauthorized,
        403 => RefusalKind::Forbidden,
        404 => RefusalKind::NotFound,
        _ => RefusalKind::Other,
    }
}
