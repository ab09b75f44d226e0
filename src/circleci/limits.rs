//! CircleCI's rate limits as its answers' headers tell them
//! (circleci.com/docs, "API v2 developer's guide", rate limits: the lower of two limits is the one that is enforced).

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::time::{Clock, http_date};

/// The two families of headers: what is left, and in how many seconds the window begins anew. The second family may
/// name a window after it: `X-RateLimit-Remaining-Minute`.
const FAMILIES: [(&str, &str); 2] =
    [("ratelimit-remaining", "ratelimit-reset"), ("x-ratelimit-remaining", "x-ratelimit-reset")];

/// How long CircleCI wants to be left alone: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), else what is
/// left of its window.
pub(super) fn retry_after(headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    if let Some(asked) = text(headers, RETRY_AFTER.as_str()) {
        return seconds(asked).or_else(|| http_date(asked).map(|date| date.since(clock.now())));
    }
    let families = FAMILIES.iter().find_map(|(_, reset)| text(headers, reset).and_then(seconds));
    families.or_else(|| combined(headers).filter_map(|(left, reset)| reset.filter(|_| left == 0)).max())
}

/// How many requests are left in this window, by the lower of the limits.
pub(super) fn remaining(headers: &HeaderMap) -> Option<u64> {
    let families = FAMILIES.iter().filter_map(|(remaining, _)| left(headers, remaining));
    families.chain(combined(headers).map(|(left, _)| left)).min()
}

/// How long nothing should be asked that can wait: after a 429 that says so, and when nothing is left of a window.
pub(super) fn pause(status: u16, headers: &HeaderMap, clock: &Clock) -> Option<Duration> {
    let asked = (status == 429).then(|| retry_after(headers, clock)).flatten();
    let used_up = FAMILIES.iter().filter(|(remaining, _)| left(headers, remaining) == Some(0));
    let resets = used_up.filter_map(|(_, reset)| longest(headers, reset));
    let windows = combined(headers).filter_map(|(left, reset)| reset.filter(|_| left == 0));
    resets.chain(windows).chain(asked).max()
}

/// The windows of API v3's one header, `RateLimit: "minute";r=40;t=12, "day";r=900`: what is left of each, and how long until
/// it begins anew (draft-ietf-httpapi-ratelimit-headers-10).
fn combined(headers: &HeaderMap) -> impl Iterator<Item = (u64, Option<Duration>)> {
    let values = headers.get_all("ratelimit").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|window| {
        let parameter = |name: char| {
            let values = window.split(';').skip(1).filter_map(|pair| pair.trim().split_once('='));
            values.filter(|(known, _)| known.chars().eq([name])).find_map(|(_, value)| value.trim().parse::<u64>().ok())
        };
        Some((parameter('r')?, parameter('t').map(Duration::from_secs)))
    })
}

/// What is left by the headers of this name, with and without a window after it.
fn left(headers: &HeaderMap, name: &str) -> Option<u64> {
    family(headers, name).filter_map(|value| value.parse().ok()).min()
}

fn longest(headers: &HeaderMap, name: &str) -> Option<Duration> {
    family(headers, name).filter_map(seconds).max()
}

fn family<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let values = headers.iter().filter(move |(known, _)| {
        known.as_str().strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    });
    values.filter_map(|(_, value)| value.to_str().ok().map(str::trim))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

fn seconds(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::time::Timestamp;

    fn clock() -> Clock {
        let now = "2026-11-24T12:00:00Z".parse::<Timestamp>().unwrap();
        Clock::new(move || now)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn after(name: &'static str, value: &str) -> Option<Duration> {
        retry_after(&headers(&[(name, value)]), &clock())
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(after("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(after("retry-after", "Tue, 24 Nov 2026 12:00:09 GMT"), Some(Duration::from_secs(9)));
        assert_eq!(after("retry-after", "Tue, 24 Nov 2026 11:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("retry-after", "soon"), None);
        assert_eq!(after("x-ratelimit-reset", "3"), Some(Duration::from_secs(3)));
    }

    #[test]
    fn a_pause_follows_from_a_429_or_from_nothing_being_left() {
        let pause = |status, pairs: &[(&'static str, &str)]| pause(status, &headers(pairs), &clock());
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(pause(429, &[("retry-after", "7")]), seconds(7));
        assert_eq!(pause(200, &[("retry-after", "7")]), None);
        assert_eq!(pause(429, &[]), None);
        assert_eq!(pause(200, &[("ratelimit-remaining", "1"), ("ratelimit-reset", "9")]), None);
        assert_eq!(pause(200, &[("ratelimit-remaining", "0"), ("ratelimit-reset", "9")]), seconds(9));
        // Of two limits the lower one is enforced, here that of the minute.
        let both = [
            ("ratelimit-remaining", "40"),
            ("ratelimit-reset", "9"),
            ("x-ratelimit-remaining-second", "3"),
            ("x-ratelimit-remaining-minute", "0"),
            ("x-ratelimit-reset", "30"),
        ];
        assert_eq!(pause(200, &both), seconds(30));
        assert_eq!(remaining(&headers(&both)), Some(0));
    }

    #[test]
    fn the_windows_of_the_one_header_count_too() {
        let pause = |value: &str| pause(200, &headers(&[("ratelimit", value)]), &clock());
        assert_eq!(pause("\"minute\";r=1;t=12"), None);
        assert_eq!(pause("\"minute\";r=0;t=12, \"day\";r=900;t=4000"), Some(Duration::from_secs(12)));
        assert_eq!(pause("\"minute\"; r=0; t=12"), Some(Duration::from_secs(12)));
        assert_eq!(pause("\"minute\";r=0"), None);
        assert_eq!(remaining(&headers(&[("ratelimit", "\"minute\";r=7;t=12, \"day\";r=3")])), Some(3));
        assert_eq!(after("ratelimit", "\"minute\";r=0;t=9"), Some(Duration::from_secs(9)));
    }

    proptest! {
        #[test]
        fn no_header_panics(value in "[ -~]{0,40}") {
            let _ = (after("retry-after", &value), after("ratelimit", &value), remaining(&headers(&[("ratelimit", &value)])));
            let _ = pause(429, &headers(&[("x-ratelimit-remaining", &value), ("x-ratelimit-reset", &value)]), &clock());
        }
    }
}
