//! What the fake CircleCI saw of each request, and what it holds against it.

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use jiff::Timestamp;
use serde_json::Value;
use slipway::circleci::sandbox::auth::{AuthKind, Caller, caller, credentials};
use slipway::circleci::sandbox::wire::{content_type, form_pairs, percent_decoded};
use slipway::circleci::sandbox::world::World;

use super::route::Route;

/// One request.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Timestamp,
    pub route: Route,
    pub method: String,
    /// Path and query as they came over the wire.
    pub raw: String,
    /// The path with its escapes resolved.
    pub path: String,
    pub query: Vec<(String, String)>,
    /// How the token came, if one did.
    pub auth: Option<AuthKind>,
    pub token: Option<String>,
    /// Whose token it is; `None` for one that nobody holds.
    pub caller: Option<Caller>,
    pub accept: Option<String>,
    pub content_type: Option<String>,
    pub user_agent: Option<String>,
    pub body: Vec<u8>,
    /// The body as JSON, where it is that.
    pub json: Option<Value>,
    /// The status that was answered; `None` while it is in hand and for one that never got an answer.
    pub answered: Option<u16>,
}

impl Seen {
    pub(super) fn new(world: &World, parts: &Parts, body: &Bytes) -> Seen {
        let raw_path = parts.uri.path();
        let credentials = credentials(&parts.headers);
        let text = |name: &str| header_text(&parts.headers, name);
        Seen {
            at: world.now(),
            route: Route::of(&parts.method, raw_path),
            method: parts.method.to_string(),
            raw: parts.uri.to_string(),
            path: percent_decoded(raw_path),
            query: form_pairs(parts.uri.query().unwrap_or_default()),
            auth: credentials.as_ref().map(|(kind, _)| *kind),
            caller: credentials.as_ref().and_then(|(_, token)| caller(world, token)),
            token: credentials.map(|(_, token)| token),
            accept: text("accept"),
            content_type: content_type(&parts.headers),
            user_agent: text("user-agent"),
            body: body.to_vec(),
            json: serde_json::from_slice(body).ok(),
            answered: None,
        }
    }

    /// What a client of CircleCI must not do, in words.
    pub(super) fn violations(&self) -> Vec<String> {
        let is_api = self.raw.starts_with("/api/");
        let asks_for_json = self.accept.as_deref().is_some_and(|accept| accept.contains("application/json"));
        let has_json = self.content_type.as_deref() == Some("application/json");
        let is_v2_trigger = matches!(self.route, Route::RunPipeline | Route::ClassicPipeline);
        let escaped = self.raw.to_ascii_uppercase().contains("%2F");
        let has_member = |name: &str| self.json.as_ref().is_some_and(|body| body.get(name).is_some());
        let has_v3_names = ["is_from_failed", "is_ssh_enabled"].into_iter().any(has_member);
        let is_v2 = self.raw.starts_with("/api/v2/");
        let broken = [
            (is_api && !asks_for_json, "no `Accept: application/json`: v1.1 would answer EDN"),
            (self.query.iter().any(|(name, _)| name == "circle-token"), "a token in the query string"),
            (
                is_v2_trigger && !has_json,
                "a pipeline trigger that is not `Content-Type: application/json`: it would run the default branch",
            ),
            (self.route == Route::RunPipeline && escaped, "an escaped slash in the slug of `pipeline/run`"),
            (
                is_v2 && !is_v2_trigger && !self.body.is_empty() && !has_json,
                "a body that is not `Content-Type: application/json`: API v2 ignores it",
            ),
            (is_v2 && has_v3_names, "a name of API v3's in a body for API v2"),
            (
                self.route == Route::RerunWorkflow && !has_member("from_failed") && !has_member("jobs"),
                "a rerun of everything",
            ),
            (self.route == Route::TriggerBuild && has_member("build_parameters"), "build parameters for a whole build"),
            (self.route == Route::Output && self.token.is_some(), "a token sent to the address of an output"),
            (is_v2 && matches!(self.caller, Some(Caller::Project(_))), "a project token sent to API v2"),
        ];
        let broken = broken.into_iter().filter(|(is_broken, _)| *is_broken);
        broken.map(|(_, rule)| format!("{} {}: {rule}", self.method, self.path)).collect()
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(String::from)
}
