//! The v1.1 triggers and reruns, which CircleCI retires on 1 February 2027: until then each answer carries the
//! `Deprecation` and `Sunset` headers, afterwards each is 410.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Router};
use serde_json::{Map, Value, json};

use super::super::auth::Caller;
use super::super::plan::{ConfigVersion, Edition, Project, V1Triggers};
use super::super::wire::{Answer, Refusal, json_or_form_members, ok};
use super::super::world::{Checkout, NewBuild, State as WorldState, World};
use super::{Ctx, ProjectAnd, find_build, json as shape, personal, project};

/// The day of the end, as the `Sunset` header has it (circleci.com/changelog, deprecation of v1 and v1.1 triggers).
pub(super) const SUNSET: &str = "Mon, 01 Feb 2027 00:00:00 GMT";

/// The job that runs when `CIRCLE_JOB` names none.
const DEFAULT_JOB: &str = "build";

/// What v1.1 answers to a 2.1 configuration; the wording and the HTML are the real one's.
const CONFIG_2_1_REFUSED: &str = "Your config file has errors and may not run correctly:<br/><pre>2 schema violations \
    found<br/>required key [jobs] not found<br/>extraneous key [parameters] is not permitted</pre>";

/// The five calls below `/api/v1.1/project` that end, save `ssh`.
pub(super) fn routes(world: Arc<World>) -> Router<Arc<World>> {
    Router::new()
        .route("/project/{vcs}/{org}/{repo}", post(on_default_branch))
        .route("/project/{vcs}/{org}/{repo}/tree/{branch}", post(on_branch))
        .route("/project/{vcs}/{org}/{repo}/build", post(whole_build))
        .route("/project/{vcs}/{org}/{repo}/{build_num}/retry", post(retry))
        .route_layer(from_fn_with_state(world, sunset))
}

async fn sunset(State(world): Ctx, request: Request, next: Next) -> Response {
    let retired = world.state().v1_triggers == V1Triggers::Retired;
    if retired {
        let message = "This endpoint was removed on 1 February 2027. Use API v2 or v3 to trigger pipelines.";
        return Refusal::new(StatusCode::GONE, message).into_response();
    }
    let mut response = next.run(request).await;
    response.headers_mut().insert("deprecation", HeaderValue::from_static("true"));
    response.headers_mut().insert("sunset", HeaderValue::from_static(SUNSET));
    response
}

async fn on_branch(
    State(world): Ctx,
    Extension(caller): Extension<Caller>,
    Path((vcs, org, repo, branch)): ProjectAnd,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let request = JobRequest::parse(json_or_form_members(&headers, &body)?)?;
    let mut state = world.state();
    let project = project(&state, caller, &vcs, &org, &repo)?.clone();
    let checkout = request.checkout(&project, Some(branch))?;
    run_job(&world, &mut state, &project, request, checkout)
}

async fn on_default_branch(
    State(world): Ctx,
    Extension(caller): Extension<Caller>,
    Path((vcs, org, repo)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let request = JobRequest::parse(json_or_form_members(&headers, &body)?)?;
    let mut state = world.state();
    let project = project(&state, caller, &vcs, &org, &repo)?.clone();
    let checkout = request.checkout(&project, None)?;
    run_job(&world, &mut state, &project, request, checkout)
}

fn run_job(
    world: &World,
    state: &mut WorldState,
    project: &Project,
    request: JobRequest,
    checkout: Checkout,
) -> Answer {
    if project.config.version == ConfigVersion::V2_1 {
        return Err(Refusal::bad_request(CONFIG_2_1_REFUSED));
    }
    if !project.config.jobs.contains(&request.job) {
        let JobRequest { job, .. } = request;
        return Err(Refusal::bad_request(format!(
            "Cannot find a job named `{job}` to run in the `jobs:` section of your configuration file."
        )));
    }
    let new = NewBuild {
        project: project.id,
        job: request.job,
        checkout,
        parameters: request.parameters,
        why: "edit",
        retry_of: None,
    };
    answer_new_build(world, state, project, new)
}

async fn retry(
    State(world): Ctx,
    Extension(caller): Extension<Caller>,
    Path((vcs, org, repo, num)): ProjectAnd,
) -> Answer {
    let mut state = world.state();
    let project = project(&state, caller, &vcs, &org, &repo)?.clone();
    let build = find_build(&state, &project, &num)?.clone();
    let new = NewBuild {
        project: project.id,
        job: build.job,
        checkout: Checkout { branch: build.branch, tag: build.tag, revision: build.revision },
        parameters: build.parameters,
        why: "retry",
        retry_of: Some(build.num),
    };
    answer_new_build(&world, &mut state, &project, new)
}

fn answer_new_build(world: &World, state: &mut WorldState, project: &Project, new: NewBuild) -> Answer {
    let num = state.start_job(new, world.now()).ok_or_else(Refusal::no_project)?;
    let build = find_build(state, project, &num.to_string())?;
    let mut summary = shape::summary(world, state, project, build);
    // The published answer to a trigger has a status that reads never show again.
    summary["status"] = "not_running".into();
    summary["lifecycle"] = "not_running".into();
    ok(summary)
}

/// `POST …/build`: workflows run, and the answer tells no number. Personal tokens on the cloud only.
async fn whole_build(
    State(world): Ctx,
    Extension(caller): Extension<Caller>,
    Path((vcs, org, repo)): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let members = json_or_form_members(&headers, &body)?;
    let mut state = world.state();
    if state.edition != Edition::Cloud {
        return Err(Refusal::no_such_path());
    }
    if members.keys().any(|name| !["branch", "revision", "tag"].contains(&name.as_str())) {
        return Err(Refusal::bad_request("build_parameters are not supported by this endpoint."));
    }
    let project = project(&state, caller, &vcs, &org, &repo)?.clone();
    personal(caller)?;
    if members.contains_key("tag") && (members.contains_key("branch") || members.contains_key("revision")) {
        return Err(Refusal::bad_request("Specify either a tag, or a branch and a revision."));
    }
    let branch = text(&members, "branch");
    let request = JobRequest::parse(members)?;
    let checkout = request.checkout(&project, branch)?;
    let started = state.start_pipeline(project.id, None, checkout, Map::new(), world.now());
    started.ok_or_else(Refusal::no_project)?;
    ok(json!({ "status": 200, "body": "Build created" }))
}

/// The body of a job trigger.
struct JobRequest {
    job: String,
    revision: Option<String>,
    tag: Option<String>,
    parameters: BTreeMap<String, String>,
}

impl JobRequest {
    fn parse(members: Map<String, Value>) -> Result<JobRequest, Refusal> {
        let parameters = build_parameters(members.get("build_parameters"))?;
        let named = parameters.get("CIRCLE_JOB").cloned().or_else(|| text(&members, "job"));
        Ok(JobRequest {
            job: named.unwrap_or_else(|| DEFAULT_JOB.into()),
            revision: text(&members, "revision"),
            tag: text(&members, "tag"),
            parameters,
        })
    }

    /// The commit that the request names on this branch (the default one unless told).
    fn checkout(&self, project: &Project, branch: Option<String>) -> Result<Checkout, Refusal> {
        if let Some(tag) = &self.tag {
            if self.revision.is_some() {
                return Err(Refusal::bad_request("Specify either a revision or a tag."));
            }
            let revision = project.tags.get(tag).ok_or_else(|| Refusal::bad_request("Tag not found"))?;
            return Ok(Checkout { branch: None, tag: Some(tag.clone()), revision: revision.clone() });
        }
        let branch = branch.unwrap_or_else(|| project.default_branch.clone());
        let head = project.head(&branch).ok_or_else(|| Refusal::bad_request("Branch not found"))?;
        let revision = match &self.revision {
            Some(revision) => full_revision(project, revision)?,
            None => head,
        };
        Ok(Checkout { branch: Some(branch), tag: None, revision })
    }
}

fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    members.get(name).and_then(Value::as_str).map(String::from)
}

/// Names of ASCII letters, digits and `_`, not starting with a digit; values that are no strings are turned into JSON
/// text (circleci-docs, inject-environment-variables-with-api).
fn build_parameters(value: Option<&Value>) -> Result<BTreeMap<String, String>, Refusal> {
    let members = match value {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(Refusal::bad_request("build_parameters must be a map")),
    };
    let mut parameters = BTreeMap::new();
    for (name, value) in members {
        let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Refusal::bad_request(format!("Invalid build parameter name: {name}")));
        }
        let text = value.as_str().map(String::from).unwrap_or_else(|| value.to_string());
        parameters.insert(name.clone(), text);
    }
    Ok(parameters)
}

/// A full hash is taken as it is; an abbreviation must be that of a commit that the sandbox knows.
fn full_revision(project: &Project, revision: &str) -> Result<String, Refusal> {
    let is_hex = revision.chars().all(|c| c.is_ascii_hexdigit());
    if is_hex && revision.len() == 40 {
        return Ok(revision.to_ascii_lowercase());
    }
    let commits = project.branches.values().chain(project.tags.values());
    let found = commits.into_iter().find(|commit| commit.starts_with(&revision.to_ascii_lowercase()));
    let usable = is_hex && (4..40).contains(&revision.len());
    found.filter(|_| usable).cloned().ok_or_else(|| Refusal::bad_request("Revision not found"))
}
