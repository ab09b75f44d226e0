//! The pages behind the links that the sandbox hands out: plain text that says what this is, and the state.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::plan::Provider;
use super::timeline::Phase;
use super::world::{Build, World};

/// The pages of builds and pipelines; no token is needed to look at them.
pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/", get(root))
        .route("/gh/{org}/{repo}/{num}", get(github_build))
        .route("/bb/{org}/{repo}/{num}", get(bitbucket_build))
        .route("/pipelines/{vcs}/{org}/{repo}/{number}", get(pipeline))
        .route("/pipelines/{vcs}/{org}/{repo}/{number}/workflows/{*rest}", get(workflow))
}

async fn root() -> &'static str {
    "Slipway's sandbox CircleCI. Nothing here is real: no code is built and nothing is deployed.\n"
}

async fn github_build(State(world): State<Arc<World>>, Path(path): Path<(String, String, u64)>) -> Response {
    build(&world, Provider::GitHub, path)
}

async fn bitbucket_build(State(world): State<Arc<World>>, Path(path): Path<(String, String, u64)>) -> Response {
    build(&world, Provider::Bitbucket, path)
}

fn build(world: &World, provider: Provider, (org, repo, num): (String, String, u64)) -> Response {
    let state = world.state();
    let found = state.project(provider, &org, &repo).and_then(|project| state.build(project.id, num));
    match found {
        Some(build) => {
            let parameters: Vec<String> =
                build.parameters.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
            let text = format!("{}{}", line(world, build), parameters.concat());
            page(&format!("Build {num} of {org}/{repo}\n{text}"))
        }
        None => missing(),
    }
}

async fn pipeline(
    State(world): State<Arc<World>>,
    Path((vcs, org, repo, number)): Path<(String, String, String, u64)>,
) -> Response {
    show_pipeline(&world, &vcs, &org, &repo, number)
}

/// A workflow's page and its jobs' pages are the pipeline's here.
async fn workflow(
    State(world): State<Arc<World>>,
    Path((vcs, org, repo, number, _rest)): Path<(String, String, String, u64, String)>,
) -> Response {
    show_pipeline(&world, &vcs, &org, &repo, number)
}

fn show_pipeline(world: &World, vcs: &str, org: &str, repo: &str, number: u64) -> Response {
    let state = world.state();
    let project = Provider::from_slug(vcs).and_then(|provider| state.project(provider, org, repo));
    let found = project.and_then(|p| state.pipelines.iter().find(|one| one.project == p.id && one.number == number));
    let Some(pipeline) = found else { return missing() };
    let mut text = format!("Pipeline {number} of {org}/{repo}\n");
    if let Some(error) = &pipeline.error {
        text += &format!("errored: {error}\n");
    }
    for workflow in state.workflows_of(pipeline.id, world.now()) {
        text += &format!("workflow {}\n", workflow.name);
        text.extend(state.jobs(workflow).map(|build| format!("  {}", line(world, build))));
        if let (Some(hold), Some(phase)) = (&workflow.hold, state.hold_phase(workflow, world.now())) {
            text += &format!("  approval {}: {}\n", hold.name, phase.word());
        }
    }
    page(&text)
}

fn line(world: &World, build: &Build) -> String {
    let state = match build.timeline.phase(world.now()) {
        Phase::Queued => "queued",
        Phase::Running => "running",
        Phase::Finished(outcome) => outcome.word(),
    };
    let reference = build.branch.as_deref().or(build.tag.as_deref()).unwrap_or("-");
    format!("job {} on {reference} at {}: {state}\n", build.job, build.revision)
}

fn page(text: &str) -> Response {
    format!("Slipway's sandbox CircleCI: nothing was really built.\n\n{text}").into_response()
}

fn missing() -> Response {
    (StatusCode::NOT_FOUND, "Slipway's sandbox CircleCI knows no such build.\n").into_response()
}
