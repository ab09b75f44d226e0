//! API v2 of the sandbox: projects, pipelines, workflows and jobs. This file reads; `trigger` starts pipelines,
//! `change` cancels and reruns, `json` has the shapes of answers. Only personal tokens get in.

mod change;
mod json;
mod trigger;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use serde_json::{Value, json as value};
use uuid::Uuid;

use super::auth::{authenticate, personal_only};
use super::plan::{Edition, Project, Provider};
use super::wire::{Answer, Refusal, ok, query_value};
use super::world::{Build, Pipeline, State as WorldState, Workflow, World};

/// Pipelines in a page of a list.
const PAGE_ITEMS: usize = 20;

type Ctx = State<Arc<World>>;

/// The three segments of a project slug.
type Slug = Path<(String, String, String)>;

/// A project slug and a number.
type SlugAnd = Path<(String, String, String, String)>;

/// The routes below `/api/v2`.
pub(super) fn routes(world: Arc<World>) -> Router<Arc<World>> {
    Router::new()
        .route("/me", get(me))
        .route("/project/{vcs}/{org}/{repo}", get(read_project))
        .route("/projects/{id}/pipeline-definitions", get(definitions))
        .route("/insights/{vcs}/{org}/{repo}/branches", get(branches))
        .route("/project/{vcs}/{org}/{repo}/pipeline", get(pipelines))
        .route("/project/{vcs}/{org}/{repo}/pipeline/{number}", get(pipeline_by_number))
        .route("/pipeline/{id}", get(pipeline))
        .route("/pipeline/{id}/workflow", get(workflows))
        .route("/workflow/{id}", get(workflow))
        .route("/workflow/{id}/job", get(jobs))
        .route("/project/{vcs}/{org}/{repo}/job/{num}", get(job))
        .merge(trigger::routes())
        .merge(change::routes())
        .route_layer(from_fn(personal_only))
        .route_layer(from_fn_with_state(world, authenticate))
}

fn project<'a>(state: &'a WorldState, vcs: &str, org: &str, repo: &str) -> Result<&'a Project, Refusal> {
    let provider = Provider::from_slug(vcs);
    provider.and_then(|provider| state.project(provider, org, repo)).ok_or_else(Refusal::no_project)
}

fn find_pipeline<'a>(state: &'a WorldState, id: &str) -> Result<&'a Pipeline, Refusal> {
    let id = Uuid::parse_str(id).ok();
    id.and_then(|id| state.pipeline(id)).ok_or_else(|| Refusal::not_found("Pipeline not found"))
}

/// A workflow that exists by now: those of a pending pipeline do not yet.
fn find_workflow<'a>(world: &World, state: &'a WorldState, id: &str) -> Result<&'a Workflow, Refusal> {
    let found = Uuid::parse_str(id).ok().and_then(|id| state.workflow(id));
    found.filter(|workflow| workflow.created_at <= world.now()).ok_or_else(|| Refusal::not_found("Workflow not found"))
}

fn find_job<'a>(state: &'a WorldState, project: &Project, num: &str) -> Result<&'a Build, Refusal> {
    let num = num.parse().ok();
    num.and_then(|num| state.build(project.id, num)).ok_or_else(|| Refusal::not_found("Job not found"))
}

/// What a server answers in the place of paths that only the cloud has.
pub(super) fn cloud_only(state: &WorldState) -> Result<(), Refusal> {
    match state.edition {
        Edition::Cloud => Ok(()),
        Edition::Server { absent } => {
            let status = StatusCode::from_u16(absent).unwrap_or(StatusCode::NOT_FOUND);
            let message = if status == StatusCode::NOT_FOUND { "Not found." } else { "Internal server error." };
            Err(Refusal::new(status, message))
        }
    }
}

/// A list without a next page.
fn items(items: Vec<Value>) -> Answer {
    ok(value!({ "items": items, "next_page_token": null }))
}

async fn me(State(world): Ctx) -> Answer {
    let state = world.state();
    ok(value!({ "id": state.user.id.to_string(), "login": state.user.login, "name": state.user.name }))
}

async fn read_project(State(world): Ctx, Path((vcs, org, repo)): Slug) -> Answer {
    let state = world.state();
    ok(json::project(project(&state, &vcs, &org, &repo)?))
}

async fn definitions(State(world): Ctx, Path(id): Path<String>) -> Answer {
    let state = world.state();
    cloud_only(&state)?;
    let found = Uuid::parse_str(&id).ok().and_then(|id| state.project_by_id(id));
    let project = found.ok_or_else(Refusal::no_project)?;
    let definitions = project.definitions.iter().map(|definition| json::definition(project, definition));
    ok(value!({ "items": definitions.collect::<Vec<_>>() }))
}

async fn branches(State(world): Ctx, Path((vcs, org, repo)): Slug) -> Answer {
    let state = world.state();
    cloud_only(&state)?;
    let project = project(&state, &vcs, &org, &repo)?;
    let names: Vec<&String> = project.branches.keys().collect();
    ok(value!({ "org_id": project.org_id.to_string(), "project_id": project.id.to_string(), "branches": names }))
}

/// Newest first. A page's token names the last number that was shown, so new pipelines do not shift the pages.
async fn pipelines(State(world): Ctx, Path((vcs, org, repo)): Slug, uri: Uri) -> Answer {
    let state = world.state();
    let project = project(&state, &vcs, &org, &repo)?;
    let branch = query_value(&uri, "branch");
    let before = match query_value(&uri, "page-token") {
        None => u64::MAX,
        Some(token) => token
            .strip_prefix("before-")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Refusal::bad_request("Invalid page token."))?,
    };
    let all = state.pipelines.iter().rev().filter(|pipeline| pipeline.project == project.id);
    let wanted = |pipeline: &&Pipeline| branch.is_none() || pipeline.branch == branch;
    let mut rest = all.filter(wanted).filter(|pipeline| pipeline.number < before);
    let page: Vec<&Pipeline> = rest.by_ref().take(PAGE_ITEMS).collect();
    let more = rest.next().is_some();
    let next = page.last().filter(|_| more).map(|last| format!("before-{}", last.number));
    let shown: Vec<Value> = page.iter().map(|one| json::pipeline_in_list(&world, project, one)).collect();
    ok(value!({ "items": shown, "next_page_token": next }))
}

async fn pipeline_by_number(State(world): Ctx, Path((vcs, org, repo, number)): SlugAnd) -> Answer {
    let state = world.state();
    let project = project(&state, &vcs, &org, &repo)?;
    let found = state.pipelines.iter().find(|one| one.project == project.id && one.number.to_string() == number);
    let pipeline = found.ok_or_else(|| Refusal::not_found("Pipeline not found"))?;
    ok(json::pipeline(&world, project, pipeline))
}

async fn pipeline(State(world): Ctx, Path(id): Path<String>) -> Answer {
    let state = world.state();
    let pipeline = find_pipeline(&state, &id)?;
    let project = state.project_by_id(pipeline.project).ok_or_else(Refusal::no_project)?;
    ok(json::pipeline(&world, project, pipeline))
}

async fn workflows(State(world): Ctx, Path(id): Path<String>) -> Answer {
    let state = world.state();
    let pipeline = find_pipeline(&state, &id)?;
    let workflows = state.workflows_of(pipeline.id, world.now());
    items(workflows.filter_map(|workflow| json::workflow(&world, &state, workflow)).collect())
}

async fn workflow(State(world): Ctx, Path(id): Path<String>) -> Answer {
    let state = world.state();
    let workflow = find_workflow(&world, &state, &id)?;
    ok(json::workflow(&world, &state, workflow).ok_or_else(Refusal::no_project)?)
}

async fn jobs(State(world): Ctx, Path(id): Path<String>) -> Answer {
    let state = world.state();
    let workflow = find_workflow(&world, &state, &id)?;
    items(json::workflow_jobs(&world, &state, workflow))
}

async fn job(State(world): Ctx, Path((vcs, org, repo, num)): SlugAnd) -> Answer {
    let state = world.state();
    let project = project(&state, &vcs, &org, &repo)?;
    ok(json::job(&world, &state, project, find_job(&state, project, &num)?))
}
