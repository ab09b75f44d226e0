//! Reads what Discord says about its rate limits in an answer's headers (topics/rate-limits).
//! Whatever is missing, malformed or absurd counts as not said; nothing here keeps state.

use std::time::Duration;

use reqwest::header::HeaderMap;

/// The longest wait that is believed. Discord's longest limits are counted by the day.
pub const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest bucket name that is remembered; Discord's have 32 characters.
const BUCKET_NAME_MAX: usize = 128;

/// The limits that an answer's headers tell of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateHeaders {
    /// `X-RateLimit-Bucket`: routes with the same name share one budget for each major parameter.
    pub bucket: Option<String>,
    /// The budget, when limit, remaining and reset were all there and sensible.
    pub budget: Option<Budget>,
}

/// How many requests the bucket takes, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Requests in a whole window, at least 1.
    pub limit: u32,
    /// Requests that are left in this window, at most `limit`.
    pub remaining: u32,
    /// How long this window still lasts.
    pub reset_after: Duration,
}

/// Whom a 429 speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This bot, in this bucket.
    User,
    /// Everybody who uses this resource; it does not count as an invalid request.
    Shared,
    /// This bot, on every route but the interaction endpoints.
    Global,
}

/// A 429: the request was not taken, and may be sent again after the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What Discord asks for; `None` when it said nothing that can be used.
    pub retry_after: Option<Duration>,
    /// Whom it concerns.
    pub scope: Scope,
}

impl RateHeaders {
    /// Reads the `X-RateLimit-*` headers of any answer.
    pub fn read(headers: &HeaderMap) -> Self {
        Self {
            bucket: text(headers, "x-ratelimit-bucket")
                .filter(|name| !name.is_empty() && name.len() <= BUCKET_NAME_MAX)
                .map(str::to_owned),
            budget: read_budget(headers),
        }
    }
}

impl Refusal {
    /// Reads a 429's headers and body. Without a scope and without Discord's JSON it comes from
    /// the proxy in front of Discord and concerns the whole address, so it counts as global.
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let said = |name: &str| body.as_ref().and_then(|body| body.get(name));
        // The body's number has fractions of a second; the header is rounded up.
        let retry_after = said("retry_after")
            .and_then(serde_json::Value::as_f64)
            .and_then(wait_of)
            .or_else(|| seconds(headers, "retry-after"));
        let everywhere = said("global").and_then(serde_json::Value::as_bool) == Some(true)
            || text(headers, "x-ratelimit-global") == Some("true");
        let scope = match text(headers, "x-ratelimit-scope") {
            _ if everywhere => Scope::Global,
            Some("global") => Scope::Global,
            Some("shared") => Scope::Shared,
            Some(_) => Scope::User,
            None if said("retry_after").is_none() && !headers.contains_key("x-ratelimit-bucket") => Scope::Global,
            None => Scope::User,
        };
        Self { retry_after, scope }
    }
}

fn read_budget(headers: &HeaderMap) -> Option<Budget> {
    let limit: u32 = text(headers, "x-ratelimit-limit")?.parse().ok()?;
    let remaining: u32 = text(headers, "x-ratelimit-remaining")?.parse().ok()?;
    let reset_after = seconds(headers, "x-ratelimit-reset-after")?;
    (limit > 0).then_some(Budget { limit, remaining: remaining.min(limit), reset_after })
}

fn seconds(headers: &HeaderMap, name: &str) -> Option<Duration> {
    text(headers, name)?.parse().ok().and_then(wait_of)
}

/// Not a number, negative or longer than [`WAIT_MAX`]: not said.
fn wait_of(seconds: f64) -> Option<Duration> {
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    (wait <= WAIT_MAX).then_some(wait)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    const NAMES: [&str; 7] = [
        "x-ratelimit-bucket",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset-after",
        "x-ratelimit-scope",
        "x-ratelimit-global",
        "retry-after",
    ];

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        headers
    }

    fn value() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..24),
            "-?[0-9]{1,40}(\\.[0-9]{0,20})?(e[0-9]{1,4})?".prop_map(String::into_bytes),
            prop_oneof!["NaN", "inf", "-inf", "-0", "1e308", "global", "true"].prop_map(String::into_bytes),
        ]
    }

    proptest! {
        #[test]
        fn whatever_the_headers_hold_only_sensible_numbers_come_out(
            pairs in proptest::collection::vec((0..NAMES.len(), value()), 0..10),
            body in value(),
        ) {
            let pairs: Vec<_> =
                pairs.iter().map(|(at, value)| (NAMES[*at], value.as_slice())).collect();
            let headers = headers(&pairs);
            if let Some(budget) = RateHeaders::read(&headers).budget {
                prop_assert!(budget.limit > 0 && budget.remaining <= budget.limit);
                prop_assert!(budget.reset_after <= WAIT_MAX);
            }
            let refusal = Refusal::read(&headers, &body);
            prop_assert!(refusal.retry_after.is_none_or(|wait| wait <= WAIT_MAX));
        }
    }

    #[test]
    fn the_documented_headers_are_understood() {
        let read = RateHeaders::read(&headers(&[
            ("x-ratelimit-bucket", b"abcd1234"),
            ("x-ratelimit-limit", b"5"),
            ("x-ratelimit-remaining", b"4"),
            ("x-ratelimit-reset-after", b"1.250"),
        ]));
        assert_eq!(read.bucket.as_deref(), Some("abcd1234"));
        assert_eq!(read.budget, Some(Budget { limit: 5, remaining: 4, reset_after: Duration::from_millis(1250) }));
    }

    #[test]
    fn a_refusal_takes_the_bodys_fraction_before_the_rounded_header() {
        let headers = headers(&[("retry-after", b"2"), ("x-ratelimit-scope", b"shared")]);
        let refusal = Refusal::read(&headers, br#"{"retry_after": 1.337, "global": false}"#);
        assert_eq!(refusal.retry_after, Some(Duration::from_millis(1337)));
        assert_eq!(refusal.scope, Scope::Shared);
    }

    #[test]
    fn a_refusal_of_the_proxy_in_front_concerns_every_route() {
        let refusal = Refusal::read(&headers(&[("retry-after", b"60")]), b"<html>error 1015");
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(60)));
        assert_eq!(refusal.scope, Scope::Global);
    }
}
