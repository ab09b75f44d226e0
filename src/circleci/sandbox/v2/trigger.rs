//! The two v2 triggers: `pipeline/run`, which refuses unknown members and takes a definition, and the classic
//! `POST /project/{slug}/pipeline`. Both check typed parameters against what the configuration declares.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::super::plan::{ConfigVersion, ParameterType, Project, Provider, random_hex};
use super::super::wire::{Answer, Refusal, created, json_members, ok};
use super::super::world::{Checkout, State as WorldState, World};
use super::{Ctx, Slug, cloud_only, json as shape, project};

/// The specification's limits on pipeline parameters.
const PARAMETERS_MAX: usize = 100;
const PARAMETER_NAME_CHARS_MAX: usize = 128;
const PARAMETER_VALUE_CHARS_MAX: usize = 512;

/// A branch with this in its name stands for one whose newest commit says `[skip ci]`.
const SKIPPED_NAME: &str = "skip-ci";

/// A reference that names nothing of the project.
const BRANCH_NOT_FOUND: &str = "Branch not found";

/// Pipelines that are asked for by API v2.
pub(super) fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/project/{vcs}/{org}/{repo}/pipeline/run", post(run))
        .route("/project/{vcs}/{org}/{repo}/pipeline", post(classic))
}

async fn run(State(world): Ctx, Path((vcs, org, repo)): Slug, headers: HeaderMap, body: Bytes) -> Answer {
    let mut state = world.state();
    cloud_only(&state)?;
    let project = project(&state, &vcs, &org, &repo)?.clone();
    let members = json_members(&headers, &body)?;
    only(&members, &["definition_id", "config", "checkout", "parameters"])?;
    let definition = chosen_definition(&project, members.get("definition_id"))?;
    let config = reference(&members, "config")?.resolve(&project)?;
    let checkout = reference(&members, "checkout")?.resolve(&project)?;
    let parameters = checked_parameters(&project, members.get("parameters"))?;
    if config.name().contains(SKIPPED_NAME) || checkout.name().contains(SKIPPED_NAME) {
        // 200 and not 201: CircleCI's own command line reads every other 2xx as "skipped".
        return ok(json!({ "message": "Pipeline skipped: the commit message contains [skip ci]." }));
    }
    start(&world, &mut state, &project, definition, checkout, parameters)
}

/// Without a body, or with one that is not JSON, it runs the default branch.
async fn classic(State(world): Ctx, Path((vcs, org, repo)): Slug, headers: HeaderMap, body: Bytes) -> Answer {
    let mut state = world.state();
    let project = project(&state, &vcs, &org, &repo)?.clone();
    if project.provider == Provider::CircleCi {
        return Err(Refusal::bad_request("This project's pipelines are triggered by /pipeline/run."));
    }
    let members = json_members(&headers, &body)?;
    let checkout = Reference::parse(&members)?.resolve(&project)?;
    let parameters = checked_parameters(&project, members.get("parameters"))?;
    start(&world, &mut state, &project, None, checkout, parameters)
}

fn start(
    world: &World,
    state: &mut WorldState,
    project: &Project,
    definition: Option<Uuid>,
    checkout: Checkout,
    parameters: Map<String, Value>,
) -> Answer {
    let started = state.start_pipeline(project.id, definition, checkout, parameters, world.now());
    created(shape::triggered(world, &started.ok_or_else(Refusal::no_project)?))
}

/// Members that the specification does not have are refused (`additionalProperties: false`).
fn only(members: &Map<String, Value>, known: &[&str]) -> Result<(), Refusal> {
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        Some(_) => Err(Refusal::bad_request("Unexpected request body provided.")),
        None => Ok(()),
    }
}

/// The definition that was named, else the project's first.
fn chosen_definition(project: &Project, id: Option<&Value>) -> Result<Option<Uuid>, Refusal> {
    let Some(id) = id else { return Ok(project.definitions.first().map(|definition| definition.id)) };
    let id = id.as_str().and_then(|id| Uuid::parse_str(id).ok());
    let id = id.ok_or_else(|| Refusal::bad_request("definition_id must be a UUID."))?;
    let known = project.definitions.iter().any(|definition| definition.id == id);
    if known { Ok(Some(id)) } else { Err(Refusal::not_found("Pipeline definition not found")) }
}

/// What `config` or `checkout` names.
fn reference(members: &Map<String, Value>, name: &str) -> Result<Reference, Refusal> {
    match members.get(name) {
        None => Ok(Reference::Default),
        Some(Value::Object(inner)) => {
            only(inner, &["branch", "tag"])?;
            Reference::parse(inner)
        }
        Some(_) => Err(Refusal::bad_request("Unexpected request body provided.")),
    }
}

enum Reference {
    Default,
    Branch(String),
    Tag(String),
}

impl Reference {
    fn parse(members: &Map<String, Value>) -> Result<Reference, Refusal> {
        match (members.get("branch"), members.get("tag")) {
            (None, None) => Ok(Reference::Default),
            (Some(Value::String(branch)), None) => Ok(Reference::Branch(branch.clone())),
            (None, Some(Value::String(tag))) => Ok(Reference::Tag(tag.clone())),
            (Some(_), Some(_)) => Err(Refusal::bad_request("Branch and tag are mutually exclusive.")),
            _ => Err(Refusal::bad_request("Unexpected request body provided.")),
        }
    }

    fn resolve(self, project: &Project) -> Result<Checkout, Refusal> {
        let branch = match self {
            Reference::Tag(tag) => {
                let revision = project.tags.get(&tag).ok_or_else(|| Refusal::bad_request("Tag not found"))?.clone();
                return Ok(Checkout { branch: None, tag: Some(tag), revision });
            }
            Reference::Branch(branch) => branch,
            Reference::Default => project.default_branch.clone(),
        };
        let revision = match project.head(&branch) {
            Some(revision) => revision,
            None if is_pull_request(&branch) && project.provider == Provider::GitHub => random_hex(),
            None => return Err(Refusal::bad_request(BRANCH_NOT_FOUND)),
        };
        Ok(Checkout { branch: Some(branch), tag: None, revision })
    }
}

/// `pull/<number>/head` and `pull/<number>/merge` count as branches on GitHub.
fn is_pull_request(branch: &str) -> bool {
    let segments: Vec<&str> = branch.split('/').collect();
    matches!(segments[..], ["pull", number, "head" | "merge"] if number.parse::<u64>().is_ok())
}

fn checked_parameters(project: &Project, value: Option<&Value>) -> Result<Map<String, Value>, Refusal> {
    let given = match value {
        None => return Ok(Map::new()),
        Some(Value::Object(given)) => given,
        Some(_) => return Err(Refusal::bad_request("Unexpected request body provided.")),
    };
    if given.len() > PARAMETERS_MAX {
        return Err(Refusal::bad_request(format!("At most {PARAMETERS_MAX} parameters may be given.")));
    }
    // Pipeline parameters came with 2.1: an older configuration declares none.
    let declares = project.config.version != ConfigVersion::V2_0;
    let declared = |name: &String| project.config.parameters.get(name).filter(|_| declares);
    let unexpected: Vec<&str> = given.keys().filter(|name| declared(name).is_none()).map(String::as_str).collect();
    for (name, value) in given {
        fits(name, value)?;
    }
    if !unexpected.is_empty() {
        return Err(Refusal::bad_request(format!("Unexpected argument(s): {}", unexpected.join(", "))));
    }
    for (name, value) in given {
        if let Some(parameter) = declared(name) {
            has_type(name, value, &parameter.kind)?;
        }
    }
    Ok(given.clone())
}

fn fits(name: &str, value: &Value) -> Result<(), Refusal> {
    if name.chars().count() > PARAMETER_NAME_CHARS_MAX {
        return Err(Refusal::bad_request("A parameter name is longer than 128 characters."));
    }
    match value {
        Value::String(text) if text.chars().count() > PARAMETER_VALUE_CHARS_MAX => {
            Err(Refusal::bad_request(format!("The value of {name} is longer than 512 characters.")))
        }
        Value::String(_) | Value::Bool(_) => Ok(()),
        Value::Number(number) if !number.is_f64() => Ok(()),
        _ => Err(Refusal::bad_request("Unexpected request body provided.")),
    }
}

fn has_type(name: &str, value: &Value, kind: &ParameterType) -> Result<(), Refusal> {
    let expected = match kind {
        ParameterType::String => "string",
        ParameterType::Integer => "integer",
        ParameterType::Boolean => "boolean",
        ParameterType::Enum(_) => "enum",
    };
    let right = match kind {
        ParameterType::String => value.is_string(),
        ParameterType::Integer => value.is_i64() || value.is_u64(),
        ParameterType::Boolean => value.is_boolean(),
        ParameterType::Enum(values) => value.as_str().is_some_and(|text| values.iter().any(|known| known == text)),
    };
    if right {
        return Ok(());
    }
    let actual = match value {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        _ => "integer",
    };
    let shown = format!("actual value: {value} (type {actual})");
    Err(Refusal::bad_request(format!("Type error for argument {name}: expected type: {expected}, {shown}")))
}
