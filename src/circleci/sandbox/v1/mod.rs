//! API v1.1 of the sandbox: reading, canceling and, until 1 February 2027, triggering single jobs and builds. The
//! triggers are in `trigger`, the shapes of answers in `json`.

mod json;
mod trigger;

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use jiff::Timestamp;
use serde_json::Value;

use super::auth::{Caller, authenticate};
use super::edn;
use super::plan::{Project, Provider};
use super::timeline::{Outcome, Phase};
use super::wire::{Answer, Refusal, ok, query_value};
use super::world::{Build, State as WorldState, World};

/// A page of a list unless `limit` says otherwise; CircleCI documents both numbers.
const LIST_LIMIT_DEFAULT: usize = 30;
const LIST_LIMIT_MAX: usize = 100;

type Ctx = State<Arc<World>>;

/// `:vcs/:org/:repo` and one segment more: a branch or a build number.
type ProjectAnd = Path<(String, String, String, String)>;

/// The routes below `/api/v1.1`.
pub(super) fn routes(world: Arc<World>) -> Router<Arc<World>> {
    Router::new()
        .route("/me", get(me))
        .route("/recent-builds", get(recent_builds))
        .route("/project/{vcs}/{org}/{repo}", get(project_builds))
        .route("/project/{vcs}/{org}/{repo}/tree/{branch}", get(branch_builds))
        .route("/project/{vcs}/{org}/{repo}/{build_num}", get(build))
        .route("/project/{vcs}/{org}/{repo}/{build_num}/cancel", post(cancel))
        .merge(trigger::routes(world.clone()))
        .route_layer(from_fn_with_state(world, authenticate))
        .layer(from_fn(edn::negotiate))
}

/// The project of a path, if this caller may see it. v1.1 knows `github` and `bitbucket`, in full, and no other.
fn project<'a>(
    state: &'a WorldState,
    caller: Caller,
    vcs: &str,
    org: &str,
    repo: &str,
) -> Result<&'a Project, Refusal> {
    let provider = match vcs {
        "github" => Provider::GitHub,
        "bitbucket" => Provider::Bitbucket,
        _ => return Err(Refusal::no_project()),
    };
    let project = state.project(provider, org, repo).ok_or_else(Refusal::no_project)?;
    match caller {
        Caller::Project(id) if id != project.id => Err(Refusal::no_project()),
        _ => Ok(project),
    }
}

/// What only a personal token may do.
fn personal(caller: Caller) -> Result<(), Refusal> {
    match caller {
        Caller::Personal => Ok(()),
        Caller::Project(_) => Err(Refusal::new(StatusCode::FORBIDDEN, "Permission denied")),
    }
}

fn find_build<'a>(state: &'a WorldState, project: &Project, num: &str) -> Result<&'a Build, Refusal> {
    let num = num.parse().ok();
    num.and_then(|num| state.build(project.id, num)).ok_or_else(|| Refusal::not_found("Build not found"))
}

async fn me(State(world): Ctx, Extension(caller): Extension<Caller>) -> Answer {
    personal(caller)?;
    ok(json::user(&world.state().user))
}

async fn build(
    State(world): Ctx,
    Extension(caller): Extension<Caller>,
    Path((vcs, org, repo, num)): ProjectAnd,
) -> Answer {
    let state = world.state();
    let project = project(&state, caller, &vcs, &org, &repo)?;
    let build = find_build(&state, project, &num)?;
    ok(json::full(&world, &state, project, build))
}

async fn cancel(
    State(world): Ctx,
    Extension(caller): Extension<Caller>,
    Path((vcs, org, repo, num)): ProjectAnd,
) -> Answer {
    let mut state = world.state();
    let (project_id, num) = {
        let project = project(&state, caller, &vcs, &org, &repo)?;
        (project.id, find_build(&state, project, &num)?.num)
    };
    state.finish_build(project_id, num, Outcome::Canceled, world.now());
    let project = state.project_by_id(project_id).ok_or_else(Refusal::no_project)?;
    let build = find_build(&state, project, &num.to_string())?;
    ok(json::summary(&world, &state, project, build))
}

async fn project_builds(
    State(world): Ctx,
    Extension(caller): Extension<Caller>,
    Path((vcs, org, repo)): Path<(String, String, String)>,
    uri: Uri,
) -> Answer {
    let state = world.state();
    let project = project(&state, caller, &vcs, &org, &repo)?;
    let builds = state.builds_of(project.id, world.now()).map(|build| (project, build));
    list(&world, &state, builds, &uri)
}

async fn branch_builds(
    State(world): Ctx,
    Extension(caller): Extension<Caller>,
    Path((vcs, org, repo, branch)): ProjectAnd,
    uri: Uri,
) -> Answer {
    let state = world.state();
    let project = project(&state, caller, &vcs, &org, &repo)?;
    let builds = state.builds_of(project.id, world.now()).filter(|build| build.branch.as_ref() == Some(&branch));
    list(&world, &state, builds.map(|build| (project, build)), &uri)
}

async fn recent_builds(State(world): Ctx, Extension(caller): Extension<Caller>, uri: Uri) -> Answer {
    personal(caller)?;
    let state = world.state();
    let now = world.now();
    let builds = state.builds.iter().rev().filter(|build| build.timeline.queued_at <= now);
    let with_project = builds.filter_map(|build| Some((state.project_by_id(build.project)?, build)));
    list(&world, &state, with_project, &uri)
}

/// A list as `limit`, `offset`, `filter` and `shallow` ask for it: summaries, so without build parameters.
fn list<'a>(
    world: &World,
    state: &WorldState,
    builds: impl Iterator<Item = (&'a Project, &'a Build)>,
    uri: &Uri,
) -> Answer {
    let number = |name: &str| query_value(uri, name).and_then(|value| value.parse::<usize>().ok());
    let limit = number("limit").unwrap_or(LIST_LIMIT_DEFAULT).min(LIST_LIMIT_MAX);
    let offset = number("offset").unwrap_or(0);
    let filter = query_value(uri, "filter");
    let shallow = query_value(uri, "shallow").as_deref() == Some("true");
    let now = world.now();
    let chosen = builds.filter(|(_, build)| passes(filter.as_deref(), build, now)).skip(offset).take(limit);
    let shape = |(project, build)| match shallow {
        true => json::shallow(world, state, project, build),
        false => json::summary(world, state, project, build),
    };
    ok(Value::Array(chosen.map(shape).collect()))
}

/// `filter`: completed, successful, failed or running. CircleCI documents no other and neither do we refuse any.
fn passes(filter: Option<&str>, build: &Build, now: Timestamp) -> bool {
    let phase = build.timeline.phase(now);
    match filter {
        Some("completed") => matches!(phase, Phase::Finished(_)),
        Some("successful") => phase == Phase::Finished(Outcome::Success),
        Some("failed") => matches!(phase, Phase::Finished(outcome) if outcome != Outcome::Success),
        Some("running") => phase == Phase::Running,
        _ => true,
    }
}
