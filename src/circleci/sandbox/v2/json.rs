//! The shapes of API v2's answers, as its published specification has them.

use serde_json::{Value, json};

use super::super::hold::HoldPhase;
use super::super::plan::{Definition, Project, Provider};
use super::super::timeline::{Outcome, Phase};
use super::super::wire::iso;
use super::super::world::{Build, Pipeline, State, Workflow, World};

/// `GET /project/{slug}`.
pub(super) fn project(project: &Project) -> Value {
    json!({
        "slug": project.slug(),
        "name": project.repo,
        "id": project.id.to_string(),
        "organization_name": project.org,
        "organization_slug": format!("{}/{}", project.provider.short(), project.org),
        "organization_id": project.org_id.to_string(),
        "vcs_info": {
            "vcs_url": repository_url(project),
            "provider": project.provider.name(),
            "default_branch": project.default_branch,
        },
    })
}

/// One item of the pipeline definitions.
pub(super) fn definition(project: &Project, definition: &Definition) -> Value {
    let repo = json!({ "full_name": project.full_name(), "external_id": project.id.to_string() });
    json!({
        "id": definition.id.to_string(),
        "name": definition.name,
        "description": "",
        "created_at": "2026-01-01T00:00:00.000Z",
        "config_source": { "provider": definition.provider, "repo": repo, "file_path": definition.file_path },
        "checkout_source": { "provider": definition.provider, "repo": repo },
    })
}

/// The answer to a trigger.
pub(super) fn triggered(world: &World, pipeline: &Pipeline) -> Value {
    json!({
        "id": pipeline.id.to_string(),
        "state": state_of(world, pipeline),
        "number": pipeline.number,
        "created_at": iso(pipeline.created_at),
    })
}

/// A pipeline as lists show it: without what it was triggered with.
pub(super) fn pipeline_in_list(world: &World, project: &Project, pipeline: &Pipeline) -> Value {
    let errors: Vec<Value> =
        pipeline.error.iter().map(|message| json!({ "type": "config", "message": message })).collect();
    let mut vcs = json!({
        "provider_name": project.provider.name(),
        "origin_repository_url": repository_url(project),
        "target_repository_url": repository_url(project),
        "revision": pipeline.revision,
        "commit": { "subject": "A commit of Slipway's sandbox", "body": "" },
    });
    // Each is absent, not null, when the other one is what ran.
    if let Some(branch) = &pipeline.branch {
        vcs["branch"] = json!(branch);
    }
    if let Some(tag) = &pipeline.tag {
        vcs["tag"] = json!(tag);
    }
    json!({
        "id": pipeline.id.to_string(),
        "number": pipeline.number,
        "project_slug": project.slug(),
        "state": state_of(world, pipeline),
        "errors": errors,
        "created_at": iso(pipeline.created_at),
        "updated_at": iso(pipeline.created_at),
        "trigger": {
            "type": pipeline.trigger,
            "received_at": iso(pipeline.created_at),
            "actor": { "login": pipeline.actor, "avatar_url": null },
        },
        "vcs": vcs,
    })
}

/// A pipeline alone.
pub(super) fn pipeline(world: &World, project: &Project, pipeline: &Pipeline) -> Value {
    let mut value = pipeline_in_list(world, project, pipeline);
    value["trigger_parameters"] = json!(pipeline.parameters);
    value
}

/// A workflow, if its project is still there.
pub(super) fn workflow(world: &World, state: &State, workflow: &Workflow) -> Option<Value> {
    let pipeline = state.pipeline(workflow.pipeline)?;
    let project = state.project_by_id(pipeline.project)?;
    let now = world.now();
    let stops: Option<Vec<_>> = state.jobs(workflow).map(|build| build.timeline.stopped_at(now)).collect();
    let stopped_at = stops.and_then(|stops| stops.into_iter().max());
    let stopped_at = if is_live(workflow_status(world, state, workflow)) { None } else { stopped_at };
    let mut value = json!({
        "id": workflow.id.to_string(),
        "name": workflow.name,
        "status": workflow_status(world, state, workflow),
        "project_slug": project.slug(),
        "pipeline_id": pipeline.id.to_string(),
        "pipeline_number": pipeline.number,
        "started_by": state.user.id.to_string(),
        "created_at": iso(workflow.created_at),
        "stopped_at": stopped_at.map(iso),
        "tag": null,
    });
    if let Some(user) = workflow.canceled_by {
        value["canceled_by"] = json!(user.to_string());
    }
    Some(value)
}

/// The jobs of `GET /workflow/{id}/job`: those that exist, the approval, and those that are blocked by it.
pub(super) fn workflow_jobs(world: &World, state: &State, workflow: &Workflow) -> Vec<Value> {
    let mut jobs: Vec<Value> = state.jobs(workflow).filter_map(|build| workflow_job(world, state, build)).collect();
    let (Some(hold), Some(phase)) = (&workflow.hold, state.hold_phase(workflow, world.now())) else { return jobs };
    let slug = state.pipeline(workflow.pipeline).and_then(|pipeline| state.project_by_id(pipeline.project));
    let slug = slug.map(Project::slug);
    let mut approval = json!({
        "id": hold.id.to_string(), "name": hold.name, "type": "approval", "status": phase.word(), "project_slug": slug,
        "approval_request_id": hold.id.to_string(), "dependencies": [], "started_at": null, "stopped_at": null,
    });
    if phase == HoldPhase::Approved {
        approval["approved_by"] = json!(state.user.id.to_string());
    } else {
        let blocked = if phase == HoldPhase::Canceled { "not_run" } else { "blocked" };
        jobs.extend(hold.after.iter().map(|(name, id)| {
            json!({
                "id": id.to_string(), "name": name, "type": "build", "status": blocked, "project_slug": slug,
                "dependencies": [hold.id.to_string()], "started_at": null, "stopped_at": null,
            })
        }));
    }
    jobs.push(approval);
    jobs
}

/// A job that exists.
fn workflow_job(world: &World, state: &State, build: &Build) -> Option<Value> {
    let project = state.project_by_id(build.project)?;
    let now = world.now();
    Some(json!({
        "id": build.job_id.to_string(),
        "job_number": build.num,
        "name": build.job,
        "type": "build",
        "status": build.timeline.phase(now).status(),
        "project_slug": project.slug(),
        "dependencies": [],
        "started_at": build.timeline.started_at(now).map(iso),
        "stopped_at": build.timeline.stopped_at(now).map(iso),
    }))
}

/// `GET /project/{slug}/job/{number}`.
pub(super) fn job(world: &World, state: &State, project: &Project, build: &Build) -> Value {
    let now = world.now();
    let status = build.timeline.phase(now).status();
    let (started_at, stopped_at) = (build.timeline.started_at(now), build.timeline.stopped_at(now));
    let duration = started_at.zip(stopped_at).map(|(start, stop)| start.duration_until(stop).as_millis() as i64);
    let workflow = build.workflow.and_then(|id| state.workflow(id));
    let pipeline = workflow.and_then(|workflow| state.pipeline(workflow.pipeline));
    let web_url = match (workflow, pipeline) {
        (Some(workflow), Some(pipeline)) => format!(
            "{}/pipelines/{}/{}/{}/workflows/{}/jobs/{}",
            world.url(),
            project.provider.long(),
            project.full_name(),
            pipeline.number,
            workflow.id,
            build.num
        ),
        _ => format!("{}/{}/{}", world.url(), project.slug(), build.num),
    };
    json!({
        "number": build.num,
        "name": build.job,
        "status": status,
        "web_url": web_url,
        "created_at": iso(build.timeline.queued_at),
        "queued_at": iso(build.timeline.queued_at),
        "started_at": started_at.map(iso),
        "stopped_at": stopped_at.map(iso),
        "duration": duration,
        "parallelism": 1,
        "parallel_runs": [{ "index": 0, "status": status }],
        "executor": { "resource_class": "medium", "type": "docker" },
        "messages": [],
        "contexts": [],
        "organization": { "name": project.org },
        "project": {
            "id": project.id.to_string(),
            "slug": project.slug(),
            "name": project.repo,
            "external_url": repository_url(project),
        },
        "latest_workflow": workflow.map(|workflow| json!({ "id": workflow.id.to_string(), "name": workflow.name })),
        "pipeline": pipeline.map(|pipeline| json!({ "id": pipeline.id.to_string() })),
    })
}

fn repository_url(project: &Project) -> String {
    match project.provider {
        Provider::GitHub => format!("https://github.com/{}", project.full_name()),
        Provider::Bitbucket => format!("https://bitbucket.org/{}", project.full_name()),
        Provider::CircleCi => format!("//circleci.com/{}/{}", project.org_id, project.id),
    }
}

fn state_of(world: &World, pipeline: &Pipeline) -> &'static str {
    if world.now() < pipeline.expands_at {
        "pending"
    } else if pipeline.error.is_some() {
        "errored"
    } else {
        "created"
    }
}

/// Whether something may still happen in a workflow of this status.
pub(super) fn is_live(status: &str) -> bool {
    matches!(status, "running" | "failing" | "on_hold" | "queued")
}

/// A workflow's status follows from its jobs', unless it was given one; one whose jobs still queue is `running`, as on
/// CircleCI.
pub(super) fn workflow_status<'a>(world: &World, state: &State, workflow: &'a Workflow) -> &'a str {
    if let Some(word) = &workflow.word {
        return word;
    }
    let now = world.now();
    match state.hold_phase(workflow, now) {
        Some(HoldPhase::OnHold) => return "on_hold",
        Some(HoldPhase::Canceled) => return "canceled",
        Some(HoldPhase::Blocked | HoldPhase::Approved) | None => {}
    }
    let phases: Vec<Phase> = state.jobs(workflow).map(|build| build.timeline.phase(now)).collect();
    let outcomes: Vec<Outcome> = phases.iter().filter_map(|phase| phase.outcome()).collect();
    let canceled = outcomes.contains(&Outcome::Canceled);
    let failed = outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Success | Outcome::Canceled));
    let ended = outcomes.len() == phases.len();
    match (ended, canceled, failed) {
        (false, _, true) => "failing",
        (false, _, false) => "running",
        (true, true, _) => "canceled",
        (true, false, true) => "failed",
        (true, false, false) => "success",
    }
}
