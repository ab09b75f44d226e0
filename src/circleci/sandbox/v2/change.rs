//! What changes pipelines after their start: canceling a workflow or a job, approving what waits, and running
//! a workflow again.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::hold::NotApproved;
use super::super::timeline::Outcome;
use super::super::wire::{Answer, Refusal, accepted, json_members, ok};
use super::super::world::{Build, World};
use super::json::workflow_status;
use super::{Ctx, SlugAnd, find_job, find_workflow, project};

/// Cancel, approve and rerun.
pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/workflow/{id}/cancel", post(cancel_workflow))
        .route("/workflow/{id}/rerun", post(rerun))
        .route("/workflow/{id}/approve/{approval}", post(approve))
        .route("/project/{vcs}/{org}/{repo}/job/{num}/cancel", post(cancel_job))
        .route("/jobs/{id}/cancel", post(cancel_job_by_id))
}

async fn cancel_workflow(State(world): Ctx, Path(id): Path<String>) -> Answer {
    let mut state = world.state();
    let id = find_workflow(&world, &state, &id)?.id;
    state.cancel_workflow(id, world.now());
    accepted(json!({ "message": "Accepted." }))
}

async fn approve(State(world): Ctx, Path((id, approval)): Path<(String, String)>) -> Answer {
    let mut state = world.state();
    let id = find_workflow(&world, &state, &id)?.id;
    let approval = Uuid::parse_str(&approval).map_err(|_| Refusal::bad_request("Invalid approval request id."))?;
    match state.approve(id, approval, world.now()) {
        Ok(()) => accepted(json!({ "message": "Accepted." })),
        Err(NotApproved::Unknown) => Err(Refusal::not_found("Approval job not found.")),
        Err(NotApproved::NotWaiting) => Err(Refusal::bad_request("The job is not on hold.")),
    }
}

async fn rerun(State(world): Ctx, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Answer {
    let members = json_members(&headers, &body)?;
    let mut state = world.state();
    let workflow = find_workflow(&world, &state, &id)?;
    let builds: Vec<&Build> = state.jobs(workflow).collect();
    let jobs: Vec<String> = match Rerun::parse(&members)? {
        Rerun::All => builds.iter().map(|build| build.job.clone()).collect(),
        Rerun::Failed => {
            if workflow_status(&world, &state, workflow) != "failed" {
                return Err(Refusal::bad_request("The workflow has not failed."));
            }
            let succeeded = Some(Outcome::Success);
            let failed = builds.iter().filter(|build| build.timeline.phase(world.now()).outcome() != succeeded);
            failed.map(|build| build.job.clone()).collect()
        }
        Rerun::Jobs(ids) => {
            if !ids.iter().all(|id| builds.iter().any(|build| build.job_id == *id)) {
                return Err(Refusal::bad_request("A job is not part of the workflow."));
            }
            let named = builds.iter().filter(|build| ids.contains(&build.job_id));
            named.map(|build| build.job.clone()).collect()
        }
    };
    let workflow = workflow.id;
    let new = state.rerun(workflow, &jobs, world.now()).ok_or_else(Refusal::no_project)?;
    accepted(json!({ "workflow_id": new.to_string() }))
}

async fn cancel_job(State(world): Ctx, Path((vcs, org, repo, num)): SlugAnd) -> Answer {
    let mut state = world.state();
    let project = project(&state, &vcs, &org, &repo)?;
    let (project, num) = (project.id, find_job(&state, project, &num)?.num);
    state.finish_build(project, num, Outcome::Canceled, world.now());
    ok(json!({ "message": "Job canceled successfully." }))
}

async fn cancel_job_by_id(State(world): Ctx, Path(id): Path<String>) -> Answer {
    let mut state = world.state();
    let id = Uuid::parse_str(&id).ok();
    let found = state.builds.iter().find(|build| Some(build.job_id) == id);
    let (project, num) =
        found.map(|build| (build.project, build.num)).ok_or_else(|| Refusal::not_found("Job not found"))?;
    state.finish_build(project, num, Outcome::Canceled, world.now());
    ok(json!({ "message": "Job canceled successfully." }))
}

enum Rerun {
    All,
    Failed,
    Jobs(Vec<Uuid>),
}

impl Rerun {
    /// `from_failed` excludes `jobs`; `enable_ssh` and `sparse_tree` need `jobs`.
    fn parse(members: &Map<String, Value>) -> Result<Rerun, Refusal> {
        let known = ["from_failed", "jobs", "enable_ssh", "sparse_tree"];
        if members.keys().any(|name| !known.contains(&name.as_str())) {
            // API v3's names among them, which would run everything again.
            return Err(Refusal::bad_request("Unexpected request body provided."));
        }
        let set = |name: &str| members.get(name).and_then(Value::as_bool).unwrap_or(false);
        match members.get("jobs").and_then(Value::as_array) {
            Some(_) if set("from_failed") => Err(Refusal::bad_request("from_failed and jobs are mutually exclusive.")),
            Some(ids) => {
                let parsed: Option<Vec<Uuid>> =
                    ids.iter().map(|id| id.as_str().and_then(|id| Uuid::parse_str(id).ok())).collect();
                parsed.map(Rerun::Jobs).ok_or_else(|| Refusal::bad_request("Unexpected request body provided."))
            }
            None if set("enable_ssh") || set("sparse_tree") => Err(Refusal::bad_request("jobs is required.")),
            None if set("from_failed") => Ok(Rerun::Failed),
            None => Ok(Rerun::All),
        }
    }
}
