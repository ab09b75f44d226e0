//! Discord's rate limits (topics/rate-limits): a bucket for each route and resource, the bot's global limit, and the headers
//! and refusals that tell of them. It must not know what the requests do.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::fault::{RouteKind, Scope};

/// Requests a second of a bot over all routes but the interactions'.
const GLOBAL_LIMIT: u32 = 50;
const GLOBAL_WINDOW: Duration = Duration::from_secs(1);
/// An answer that was written this long ago has been read: sending on regardless is the bot's fault.
const TOLD_AFTER: Duration = Duration::from_millis(100);

/// The windows of all buckets, and the times before which a 429 forbade to send again.
#[derive(Default)]
pub struct Buckets {
    windows: HashMap<String, Window>,
    rules: HashMap<RouteKind, (u32, Duration)>,
    forbidden: HashMap<String, Forbidden>,
}

struct Window {
    used: u32,
    ends: Duration,
    /// When an answer told that nothing remains.
    exhausted: Option<Duration>,
}

struct Forbidden {
    until: Duration,
    scope: Scope,
}

/// What the limits say to one request.
pub struct Verdict {
    pub headers: Vec<(&'static str, String)>,
    pub refusal: Option<Refusal>,
}

/// A 429.
pub struct Refusal {
    pub retry_after: Duration,
    pub scope: Scope,
    /// The bot had been told, by headers or by an earlier 429.
    pub told: bool,
}

impl Refusal {
    pub fn body(&self) -> Value {
        json!({
            "message": "You are being rate limited.",
            "retry_after": self.retry_after.as_secs_f64(),
            "global": self.scope == Scope::Global,
        })
    }

    pub fn headers(&self) -> Vec<(&'static str, String)> {
        // The header is in whole seconds, rounded up; the body in fractions.
        let seconds = self.retry_after.as_secs_f64().ceil().max(1.0);
        let mut headers =
            vec![("retry-after", seconds.to_string()), ("x-ratelimit-scope", self.scope.name().to_owned())];
        if self.scope == Scope::Global {
            headers.push(("x-ratelimit-global", "true".to_owned()));
        }
        headers
    }
}

impl Buckets {
    pub fn set_rule(&mut self, route: RouteKind, requests: u32, window: Duration) {
        self.rules.insert(route, (requests, window));
    }

    /// Counts one request. `resource` is the channel, guild or token that the bucket belongs to; `wall` is the clock's
    /// distance from 1970, for the `Reset` header.
    pub fn take(&mut self, route: RouteKind, resource: &str, now: Duration, wall: Duration) -> Verdict {
        if let Some(refusal) = self.forbidden(route, resource, now) {
            return Verdict { headers: Vec::new(), refusal: Some(refusal) };
        }
        if !route.is_interaction() {
            let global = self.window("global", GLOBAL_WINDOW, now);
            global.used += 1;
            if global.used > GLOBAL_LIMIT {
                let retry_after = global.ends - now;
                let refusal = Refusal { retry_after, scope: Scope::Global, told: true };
                return Verdict { headers: Vec::new(), refusal: Some(refusal) };
            }
        }
        let (name, limit, length) = self.rule(route);
        let window = self.window(&format!("{name}:{resource}"), length, now);
        window.used += 1;
        let remaining = limit.saturating_sub(window.used);
        let reset_after = window.ends - now;
        let told = window.exhausted.is_some_and(|at| now > at + TOLD_AFTER);
        if remaining == 0 {
            window.exhausted.get_or_insert(now);
        }
        let refusal = (window.used > limit).then_some(Refusal { retry_after: reset_after, scope: Scope::User, told });
        let headers = vec![
            ("x-ratelimit-limit", limit.to_string()),
            ("x-ratelimit-remaining", remaining.to_string()),
            ("x-ratelimit-reset", format!("{:.3}", (wall + reset_after).as_secs_f64())),
            ("x-ratelimit-reset-after", format!("{:.3}", reset_after.as_secs_f64())),
            ("x-ratelimit-bucket", bucket_hash(name)),
        ];
        Verdict { headers, refusal }
    }

    /// Forbids a resource, or everything, for a while: what a 429 laid by a test means for later requests.
    pub fn forbid(&mut self, route: RouteKind, resource: &str, until: Duration, scope: Scope) {
        self.forbidden.insert(self.forbidden_key(route, resource, scope), Forbidden { until, scope });
    }

    fn forbidden(&self, route: RouteKind, resource: &str, now: Duration) -> Option<Refusal> {
        let own = self.forbidden_key(route, resource, Scope::User);
        let global = (!route.is_interaction()).then_some("global");
        let mut keys = std::iter::once(own.as_str()).chain(global);
        let ban = keys.find_map(|key| self.forbidden.get(key).filter(|ban| ban.until > now))?;
        Some(Refusal { retry_after: ban.until - now, scope: ban.scope, told: true })
    }

    fn forbidden_key(&self, route: RouteKind, resource: &str, scope: Scope) -> String {
        match scope {
            Scope::Global if !route.is_interaction() => "global".to_owned(),
            _ => format!("{}:{resource}", self.rule(route).0),
        }
    }

    fn rule(&self, route: RouteKind) -> (&'static str, u32, Duration) {
        let (name, limit, seconds) = match route {
            RouteKind::Callback => ("callback", 5, 1),
            RouteKind::EditOriginal | RouteKind::ReadOriginal | RouteKind::DeleteOriginal | RouteKind::Followup => {
                ("webhook", 5, 2)
            }
            RouteKind::PostMessage => ("messages.post", 5, 5),
            RouteKind::EditMessage => ("messages.edit", 5, 5),
            RouteKind::ReadMessage => ("messages.read", 50, 1),
            RouteKind::DeleteMessage => ("messages.delete", 5, 1),
            RouteKind::Commands => ("commands", 20, 20),
            RouteKind::Gateway | RouteKind::Other | RouteKind::Any => ("other", 50, 1),
        };
        let (limit, length) = self.rules.get(&route).copied().unwrap_or((limit, Duration::from_secs(seconds)));
        (name, limit, length)
    }

    fn window(&mut self, key: &str, length: Duration, now: Duration) -> &mut Window {
        let fresh = || Window { used: 0, ends: now + length, exhausted: None };
        let window = self.windows.entry(key.to_owned()).or_insert_with(fresh);
        if window.ends <= now {
            *window = fresh();
        }
        window
    }
}

/// Buckets are named by opaque hashes.
fn bucket_hash(name: &str) -> String {
    name.bytes().fold(String::new(), |hash, byte| hash + &format!("{byte:02x}"))
}
