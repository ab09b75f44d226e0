//! The shapes of v1.1's answers, with the fields of the published samples that a client may read.

use serde_json::{Value, json};

use super::super::output;
use super::super::plan::{Project, Provider, User};
use super::super::timeline::{Outcome, Phase};
use super::super::wire::iso;
use super::super::world::{Build, State, World};

/// `GET /me`.
pub(super) fn user(user: &User) -> Value {
    json!({ "login": user.login, "name": user.name, "admin": false, "basic_email_prefs": "none" })
}

/// A list's item with `shallow=true`: less of the commit, nothing of the neighbours.
pub(super) fn shallow(world: &World, state: &State, project: &Project, build: &Build) -> Value {
    let mut value = summary(world, state, project, build);
    if let Some(members) = value.as_object_mut() {
        for name in ["all_commit_details", "previous", "previous_successful_build", "retries", "messages"] {
            members.remove(name);
        }
    }
    value
}

/// A build in a list, and the answer to a trigger: without build parameters, as published.
pub(super) fn summary(world: &World, state: &State, project: &Project, build: &Build) -> Value {
    let mut value = source(state, project, build);
    if let (Some(members), Value::Object(progress)) = (value.as_object_mut(), progress(world, state, project, build)) {
        members.extend(progress);
    }
    value
}

/// What is built, and for whom.
fn source(state: &State, project: &Project, build: &Build) -> Value {
    json!({
        "username": project.org,
        "reponame": project.repo,
        "vcs_type": project.provider.long(),
        "vcs_url": vcs_url(project),
        "vcs_revision": build.revision,
        "vcs_tag": build.tag,
        "branch": build.branch,
        "job_name": build.job,
        "why": build.why,
        "subject": "A commit of Slipway's sandbox",
        "body": "",
        "author_name": state.user.name,
        "author_email": null,
        "committer_name": state.user.name,
        "committer_email": null,
        "user": { "login": state.user.login, "name": state.user.name, "email": null, "is_user": true },
        "all_commit_details": [],
        "compare": null,
        "dont_build": null,
        "parallel": 1,
        "ssh_enabled": null,
        "node": null,
    })
}

/// Where it is, and its neighbours.
fn progress(world: &World, state: &State, project: &Project, build: &Build) -> Value {
    let now = world.now();
    let phase = build.timeline.phase(now);
    let outcome = phase.outcome();
    let started_at = build.timeline.started_at(now);
    let stopped_at = build.timeline.stopped_at(now);
    let run_time = started_at.zip(stopped_at).map(|(start, stop)| start.duration_until(stop).as_millis() as i64);
    json!({
        "build_url": build_url(world, project, build.num),
        "build_num": build.num,
        "status": phase.status(),
        "lifecycle": phase.lifecycle(),
        "outcome": outcome.map(Outcome::word),
        "queued_at": iso(build.timeline.queued_at),
        "usage_queued_at": iso(build.timeline.queued_at),
        "start_time": started_at.map(iso),
        "stop_time": stopped_at.map(iso),
        "build_time_millis": run_time,
        "canceled": outcome == Some(Outcome::Canceled),
        "timedout": outcome == Some(Outcome::TimedOut),
        "infrastructure_fail": outcome == Some(Outcome::InfrastructureFail),
        "failed": (outcome == Some(Outcome::Failed)).then_some(true),
        "retry_of": build.retry_of,
        "retries": retries(state, build),
        "previous": previous(state, build, world),
        "previous_successful_build": null,
        "messages": [],
        "workflows": workflow(state, build),
    })
}

/// The one answer that holds a build's parameters and steps.
pub(super) fn full(world: &World, state: &State, project: &Project, build: &Build) -> Value {
    let mut value = summary(world, state, project, build);
    if let Some(members) = value.as_object_mut() {
        members.insert("build_parameters".into(), json!(build.parameters));
        members.insert("steps".into(), steps(world, build));
    }
    value
}

/// Where people see the build: `<root>/gh/acme/web/42`, a page of the sandbox.
pub(super) fn build_url(world: &World, project: &Project, num: u64) -> String {
    format!("{}/{}/{num}", world.url(), project.slug())
}

fn vcs_url(project: &Project) -> String {
    match project.provider {
        Provider::Bitbucket => format!("https://bitbucket.org/{}", project.full_name()),
        _ => format!("https://github.com/{}", project.full_name()),
    }
}

fn retries(state: &State, build: &Build) -> Value {
    let builds = state.builds.iter().filter(|b| b.project == build.project && b.retry_of == Some(build.num));
    let nums: Vec<u64> = builds.map(|b| b.num).collect();
    if nums.is_empty() { Value::Null } else { json!(nums) }
}

fn previous(state: &State, build: &Build, world: &World) -> Value {
    let earlier = |b: &&Build| b.project == build.project && b.branch == build.branch && b.num < build.num;
    match state.builds.iter().rev().find(earlier) {
        Some(b) => json!({ "build_num": b.num, "status": b.timeline.phase(world.now()).status() }),
        None => Value::Null,
    }
}

fn workflow(state: &State, build: &Build) -> Value {
    match build.workflow.and_then(|id| state.workflow(id)) {
        Some(workflow) => json!({
            "workflow_id": workflow.id.to_string(),
            "workflow_name": workflow.name,
            "job_id": build.job_id.to_string(),
            "job_name": build.job,
            "upstream_job_ids": [],
            "workspace_id": workflow.id.to_string(),
        }),
        None => Value::Null,
    }
}

/// Two steps, once the job runs: the environment spins up, then the job's own work, which carries the outcome.
fn steps(world: &World, build: &Build) -> Value {
    let now = world.now();
    let Some(started_at) = build.timeline.started_at(now) else { return json!([]) };
    let stopped_at = build.timeline.stopped_at(now);
    let (status, exit_code) = match build.timeline.phase(now) {
        Phase::Finished(Outcome::Success) => ("success", Some(0)),
        Phase::Finished(Outcome::Failed) => ("failed", Some(1)),
        Phase::Finished(outcome) => (outcome.word(), None),
        Phase::Queued | Phase::Running => ("running", None),
    };
    let printed = output::printed(build, now).map(|_| output::address(world, build));
    let action = |step: u64, name: &str, status: &str, exit_code: Option<i32>, end: Option<String>| {
        let output_url = printed.as_ref().filter(|_| step == output::STEP);
        json!({
            "name": name,
            "actions": [{
                "name": name, "step": step, "index": 0, "status": status, "exit_code": exit_code,
                "failed": (status == "failed").then_some(true), "bash_command": null, "background": false,
                "parallel": false, "has_output": output_url.is_some(), "output_url": output_url, "start_time": iso(started_at), "end_time": end,
            }],
        })
    };
    json!([
        action(0, "Spin up environment", "success", Some(0), Some(iso(started_at))),
        action(output::STEP, &build.failing.name, status, exit_code, stopped_at.map(iso)),
    ])
}
