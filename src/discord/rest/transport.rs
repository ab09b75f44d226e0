//! Sends one request once and reads its answer, within a time. Knows addresses, headers and
//! connections; what an answer means, limits and repeating are for others.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, Request, Response, StatusCode, Url, redirect};
use secrecy::{ExposeSecret, SecretString};
use serenity::http::Route;
use tokio::time::{Instant, timeout_at};

use super::answer::Answer;
use super::error::{SetupError, Trouble};
use crate::discord::limiter::{RateHeaders, Refusal};

/// For the connection alone, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections are kept warm, so that an acknowledgement does not wait for a handshake.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// Keeps a dead peer from being found out only by the next request.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// The largest answer that is read; a hundred commands with every option are smaller.
const BODY_MAX: usize = 16 * 1024 * 1024;
/// The root that serenity's routes begin with.
const DISCORD: &str = "https://discord.com";
/// Where this program is described; Discord wants an address in the `User-Agent` (reference,
/// "User Agent").
const PROJECT_URL: &str = env!("CARGO_PKG_REPOSITORY");
/// Says "no address" where the package names none.
const NO_PROJECT_URL: &str = "https://slipway.invalid";
/// What may stand in a path segment as it is (RFC 3986, "unreserved").
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The connections to one root.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client,
    root: Option<String>,
    authorization: HeaderValue,
}

impl Transport {
    pub fn new(token: &SecretString, root: Option<&str>) -> Result<Self, SetupError> {
        let mut authorization =
            HeaderValue::from_str(&format!("Bot {}", token.expose_secret().trim())).map_err(|_| SetupError::Token)?;
        authorization.set_sensitive(true);
        let mut client = Client::builder()
            .user_agent(user_agent())
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tcp_keepalive(TCP_KEEPALIVE)
            .tcp_nodelay(true);
        // A root that somebody named is meant as it is; the environment's proxy is for Discord's.
        if root.is_some() {
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build().map_err(SetupError::Client)?,
            root: root.map(checked_root).transpose()?,
            authorization,
        })
    }

    /// A request to one of serenity's routes.
    ///
    /// serenity's own `Request::build` is not used: it opens a tracing span at info level whose
    /// field is the whole request, so that an interaction's token would reach every subscriber;
    /// it sends the bot's token on routes that need none; and it names serenity as the agent.
    pub fn request(
        &self,
        method: Method,
        route: Route<'_>,
        query: Option<&str>,
        body: Option<Body>,
        authorized: Authorized,
    ) -> Request {
        let path = route.path();
        let path = path.strip_prefix(DISCORD).unwrap_or(&path);
        let root = self.root.as_deref().unwrap_or(DISCORD);
        let mut url = Url::parse(&format!("{root}{path}"))
            .expect("a checked root and a route of ids and encoded segments make a URL");
        url.set_query(query);

        let mut request = Request::new(method, url);
        let headers = request.headers_mut();
        if authorized == Authorized::AsBot {
            headers.insert(AUTHORIZATION, self.authorization.clone());
        }
        if let Some(body) = body {
            let kind = HeaderValue::try_from(body.kind).expect("a media type of ours is a header");
            headers.insert(CONTENT_TYPE, kind);
            *request.body_mut() = Some(body.bytes.into());
        }
        request
    }

    /// Sends it once. Any answer, also a refusal, is an answer.
    pub async fn send(&self, request: Request, until: Instant) -> Result<Answer, Trouble> {
        let response =
            timeout_at(until, self.client.execute(request)).await.map_err(|_| Trouble::TimedOut)?.map_err(trouble)?;
        let status = response.status();
        let limits = RateHeaders::read(response.headers());
        let headers = response.headers().clone();
        // The status alone tells whether it was taken: a body that breaks off is only missing.
        let body = timeout_at(until, read(response)).await.ok().flatten();
        let refusal = (status == StatusCode::TOO_MANY_REQUESTS)
            .then(|| Refusal::read(&headers, body.as_deref().unwrap_or_default()));
        Ok(Answer { status, limits, refusal, body })
    }
}

/// What is sent, and its media type.
#[derive(Clone)]
pub struct Body {
    pub kind: String,
    pub bytes: Vec<u8>,
}

/// Whether the bot's token goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authorized {
    AsBot,
    /// The interaction's token in the path is enough.
    ByPath,
}

/// A token as one path segment, whatever is in it.
pub(super) fn segment(token: &str) -> String {
    utf8_percent_encode(token, SEGMENT).to_string()
}

async fn read(mut response: Response) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > BODY_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    Some(body)
}

fn trouble(error: reqwest::Error) -> Trouble {
    // The URL holds the interaction's token.
    let error = error.without_url();
    if error.is_connect() { Trouble::Unreached(error) } else { Trouble::Lost(error) }
}

fn checked_root(root: &str) -> Result<String, SetupError> {
    let url = Url::parse(root).map_err(|_| SetupError::Root)?;
    let plain =
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none() && url.fragment().is_none();
    if !plain {
        return Err(SetupError::Root);
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Without this form Discord's front refuses requests.
fn user_agent() -> String {
    let url = if PROJECT_URL.is_empty() { NO_PROJECT_URL } else { PROJECT_URL };
    format!("DiscordBot ({url}, {})", env!("CARGO_PKG_VERSION"))
}
