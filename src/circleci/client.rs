//! HTTP as CircleCI wants it: authentication, time-outs, limits, rate limits, and reads that are tried again. Knows
//! nothing of what is asked and answered.

use std::time::Duration;

use backon::{BackoffBuilder, Retryable};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Url};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::Project;
use super::access::{Access, Credential, Patience, Scheme};
use super::address::{Root, Version};
use super::error::{self, About, ReadError, Refusal, RefusalKind, SetupError, TriggerError};
use super::said;
use crate::invalid::Invalid;
use crate::text;
use crate::time::{Clock, http_date};

/// The largest answer that is read, in bytes; a long v1.1 build has about 1 MiB.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
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
    pub root: Root,
    pub access: Access,
    pub patience: Patience,
    pub clock: Clock,
}

/// One request, apart from its method and body.
pub(super) struct Call<'a> {
    pub version: Version,
    pub segments: Vec<&'a str>,
    pub query: Vec<(&'static str, &'a str)>,
    pub credential: Credential<'a>,
    pub project: &'a Project,
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
        Ok(Self { client, root, access, patience, clock })
    }

    /// Reads, trying again while that may help.
    pub(super) async fn get(&self, call: &Call<'_>) -> Result<Answer, ReadError> {
        let longest = self.patience.rate_limited;
        let attempt = || async {
            let answer = self.send(Method::GET, call, None).await.map_err(Setback::Fault)?;
            match answer.status {
                429 | 500.. => Err(Setback::Status(answer.status, retry_after(&answer.headers, &self.clock))),
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
            return Err(ReadError::Refused(Refusal::new(kind, Some(answer.status), &about, self.said(&answer))));
        }
        answer.json().ok_or_else(|| ReadError::Unreadable { why: error::unreadable() })
    }

    /// Sends an order, once. Only a 429, with which CircleCI says that it was not taken, is waited for and sent again.
    /// The answer is a 2xx, 3xx or 4xx.
    pub(super) async fn post(&self, call: &Call<'_>, body: &Value) -> Result<Answer, TriggerError> {
        let deadline = Instant::now() + self.patience.rate_limited;
        let mut delays = self.patience.delays().build();
        loop {
            let answer = self.send(Method::POST, call, Some(body)).await.map_err(|fault| self.order_failed(fault))?;
            match answer.status {
                429 => {
                    let own = delays.next().unwrap_or(self.patience.retry_longest);
                    let delay = own.max(retry_after(&answer.headers, &self.clock).unwrap_or_default());
                    if Instant::now().checked_add(delay).is_none_or(|next| next > deadline) {
                        return Err(error::not_sent(error::rate_limited()));
                    }
                    sleep(delay).await;
                }
                200..500 => return Ok(answer),
                status => return Err(error::lost(error::failed(status))),
            }
        }
    }

    /// CircleCI's words in an answer, without any token of ours.
    pub(super) fn said(&self, answer: &Answer) -> Option<String> {
        said::message(&answer.body).map(|said| self.access.redact(said))
    }

    async fn send(&self, method: Method, call: &Call<'_>, body: Option<&Value>) -> Result<Answer, Fault> {
        let url = self.root.api(call.version, &call.segments, &call.query);
        let begun = Instant::now();
        let result = self.exchange(method.clone(), url.clone(), call, body).await;
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &result {
            Ok(answer) => tracing::debug!(
                http.method = %method, http.path = url.path(), http.status = answer.status, duration_ms,
                circleci.rate_limit_remaining = remaining(&answer.headers), "CircleCI answered"
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

    fn order_failed(&self, fault: Fault) -> TriggerError {
        match fault {
            Fault::Unreachable(cause) => error::not_sent(error::unreachable(&cause)),
            Fault::Silent => error::lost(error::silent(self.patience.request)),
            Fault::Dropped => error::lost(error::dropped()),
            Fault::Oversized => error::lost(error::oversized()),
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

/// How long CircleCI wants to be left alone: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), else what is
/// left of its window.
fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str| text.parse().ok().map(Duration::from_secs);
    if let Some(asked) = text(RETRY_AFTER.as_str()) {
        return seconds(asked).or_else(|| http_date(asked).map(|date| date.since(clock.now())));
    }
    text("ratelimit-reset").or_else(|| text("x-ratelimit-reset")).and_then(seconds)
}

/// How many requests are left in this window.
fn remaining(headers: &HeaderMap) -> Option<u64> {
    ["ratelimit-remaining", "x-ratelimit-remaining"]
        .iter()
        .filter_map(|name| headers.get(*name)?.to_str().ok()?.trim().parse().ok())
        .min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    fn after(name: &'static str, value: &str) -> Option<Duration> {
        let now = "2026-11-24T12:00:00Z".parse::<Timestamp>().unwrap();
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_str(value).unwrap())]);
        retry_after(&headers, &Clock::new(move || now))
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(after("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(after("retry-after", "Tue, 24 Nov 2026 12:00:09 GMT"), Some(Duration::from_secs(9)));
        assert_eq!(after("retry-after", "Tue, 24 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("retry-after", "soon"), None);
        assert_eq!(after("x-ratelimit-reset", "3"), Some(Duration::from_secs(3)));
    }

    proptest! {
        #[test]
        fn no_header_panics(value in "[ -~]{0,40}") {
            let _ = after("retry-after", &value);
        }
    }
}
