//! The little of API v3 that the sandbox has: a job with its steps, and what they printed. The cloud has it, a server
//! does not.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use uuid::Uuid;

use super::auth::authenticate;
use super::output::{self, STEP};
use super::timeline::{Outcome, Phase};
use super::v2::cloud_only;
use super::wire::{Answer, Refusal, iso, ok, query_value};
use super::world::{Build, State as WorldState, World};

type Ctx = State<Arc<World>>;

/// The routes below `/api/v3`.
pub(super) fn routes(world: Arc<World>) -> Router<Arc<World>> {
    Router::new()
        .route("/jobs/{id}", get(job))
        .route("/jobs/{id}/stdout", get(stdout))
        .route("/jobs/{id}/stderr", get(stderr))
        .route_layer(from_fn_with_state(world, authenticate))
}

fn find<'a>(state: &'a WorldState, id: &str) -> Result<&'a Build, Refusal> {
    let id = Uuid::parse_str(id).ok();
    let found = state.builds.iter().find(|build| Some(build.job_id) == id);
    found.ok_or_else(|| Refusal::not_found("Job not found."))
}

async fn job(State(world): Ctx, Path(id): Path<String>) -> Answer {
    let state = world.state();
    cloud_only(&state)?;
    let build = find(&state, &id)?;
    let now = world.now();
    let (phase, outcome) = match build.timeline.phase(now) {
        Phase::Queued => ("queued", None),
        Phase::Running => ("started", None),
        Phase::Finished(outcome) => ("ended", Some(outcome_word(outcome))),
    };
    let bytes = output::printed(build, now).map_or(0, str::len);
    let exit_code = outcome.map(|outcome| i32::from(outcome != "succeeded"));
    let step = |num: u64, name: &str, outcome: Option<&str>, exit_code: Option<i32>, bytes: usize| {
        json!({
            "num": num, "name": name, "type": "run", "command": null, "phase": phase, "outcome": outcome,
            "exit_code": exit_code, "stdout_bytes": bytes, "stderr_bytes": 0,
        })
    };
    let steps: Value = match build.timeline.started_at(now) {
        None => json!([]),
        Some(_) => json!([
            step(0, "Spin up environment", Some("succeeded"), Some(0), 0),
            step(STEP, &build.failing.name, outcome, exit_code, bytes),
        ]),
    };
    ok(json!({ "data": {
        "id": build.job_id.to_string(),
        "attributes": {
            "name": build.job, "number": build.num, "type": "build", "phase": phase, "outcome": outcome,
            "started_at": build.timeline.started_at(now).map(iso), "ended_at": build.timeline.stopped_at(now).map(iso),
            "parallel_executions": [{ "steps": steps }],
        },
        "references": { "workflow": build.workflow.map(|id| json!({ "id": id.to_string() })) },
    } }))
}

/// v3's word for an end.
fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "succeeded",
        other => other.word(),
    }
}

async fn stdout(State(world): Ctx, Path(id): Path<String>, uri: Uri, headers: HeaderMap) -> Result<Response, Refusal> {
    let state = world.state();
    cloud_only(&state)?;
    let build = find(&state, &id)?;
    let asked = |name: &str| query_value(&uri, name);
    if asked("filter[execution]").is_none() || asked("filter[step_num]").is_none() {
        return Err(Refusal::bad_request("filter[execution] and filter[step_num] are required."));
    }
    let is_own =
        asked("filter[execution]").as_deref() == Some("0") && asked("filter[step_num]") == Some(STEP.to_string());
    match output::printed(build, world.now()).filter(|_| is_own) {
        Some(text) => Ok(output::bytes(&headers, text.as_bytes().to_vec(), "application/octet-stream")),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

async fn stderr(State(world): Ctx, Path(id): Path<String>) -> Result<Response, Refusal> {
    let state = world.state();
    cloud_only(&state)?;
    find(&state, &id)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
