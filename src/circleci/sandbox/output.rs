//! The outputs of steps as CircleCI keeps them: behind presigned addresses, which need no token and end after some
//! minutes. A token that is sent to one is refused, as object storage refuses a second way to authenticate.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::auth::credentials;
use super::timeline::{Outcome, Phase};
use super::wire::{iso, query_value};
use super::world::{Build, World};

/// How long an address lets in whoever knows it, in seconds.
pub const EXPIRES_SECONDS: i64 = 300;

/// The number of the step that carries a job's outcome.
pub const STEP: u64 = 101;

/// Where outputs are kept.
pub(super) fn routes() -> Router<Arc<World>> {
    Router::new().route("/storage/output/{job}/{step}", get(output))
}

/// The address of the output of a job's own step.
pub(super) fn address(world: &World, build: &Build) -> String {
    let path = format!("/storage/output/{}/{STEP}", build.job_id);
    let at = world.now().as_second();
    let signature = sign(world, &path, at);
    format!("{}{path}?X-Amz-Date={at}&X-Amz-Expires={EXPIRES_SECONDS}&X-Amz-Signature={signature}", world.url())
}

/// What the job's own step printed so far: all of it, once the job has ended.
pub(super) fn printed(build: &Build, now: Timestamp) -> Option<&str> {
    match build.timeline.phase(now) {
        Phase::Finished(Outcome::Failed | Outcome::TimedOut) => Some(&build.failing.output),
        _ => None,
    }
}

async fn output(
    State(world): State<Arc<World>>,
    Path((job, step)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    if credentials(&headers).is_some() {
        return xml(StatusCode::BAD_REQUEST, "InvalidArgument", "Only one auth mechanism allowed");
    }
    let at: Option<i64> = query_value(&uri, "X-Amz-Date").and_then(|at| at.parse().ok());
    let signed = at.is_some_and(|at| query_value(&uri, "X-Amz-Signature") == Some(sign(&world, uri.path(), at)));
    let now = world.now();
    if !signed || at.is_none_or(|at| now.as_second() > at + EXPIRES_SECONDS) {
        return xml(StatusCode::FORBIDDEN, "AccessDenied", "Request has expired");
    }
    let state = world.state();
    let found =
        state.builds.iter().find(|build| Uuid::parse_str(&job).ok() == Some(build.job_id) && step.parse() == Ok(STEP));
    match found.and_then(|build| printed(build, now)) {
        Some(text) => {
            let parts = json!([{ "message": text, "time": iso(now), "type": "out", "truncated": false }]);
            bytes(&headers, parts.to_string().into_bytes(), "application/json")
        }
        None => xml(StatusCode::NOT_FOUND, "NoSuchKey", "The specified key does not exist."),
    }
}

/// The bytes, or the range of them that is asked for: `bytes=-N` or `bytes=N-`.
pub(super) fn bytes(headers: &HeaderMap, bytes: Vec<u8>, content_type: &'static str) -> Response {
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let content_type = [(header::CONTENT_TYPE, content_type)];
    let Some((from, to)) = range.and_then(|range| range.strip_prefix("bytes=")).and_then(|range| range.split_once('-'))
    else {
        return (content_type, bytes).into_response();
    };
    let start = match (from.parse::<usize>(), to.parse::<usize>()) {
        (Ok(from), _) => from,
        (Err(_), Ok(last)) => bytes.len().saturating_sub(last),
        _ => 0,
    };
    if start >= bytes.len() {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    (StatusCode::PARTIAL_CONTENT, content_type, bytes[start..].to_vec()).into_response()
}

fn sign(world: &World, path: &str, at: i64) -> String {
    hex::encode(Sha256::digest(format!("{}\n{path}\n{at}", world.signing_key())))
}

fn xml(status: StatusCode, code: &str, message: &str) -> Response {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>");
    (status, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}
