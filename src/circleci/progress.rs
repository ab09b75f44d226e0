//! How far a run is, as a card tells it, and what failed: the types, and how CircleCI's JSON becomes them. Pure: knows
//! nothing of how it is asked for.

use serde_json::Value;
use uuid::Uuid;

use super::pipeline::{self, text};
use super::{Run, Status, said};
use crate::time::Timestamp;

/// The longest name of a workflow, job or step, in UTF-16 units.
const NAME_UNITS_MAX: usize = 80;
/// The longest word for a status, in UTF-16 units.
pub(super) const WORD_UNITS_MAX: usize = 40;
/// How many workflows, holds and messages are told of; a card has room for fewer.
const TOLD_MAX: usize = 25;

/// How far a run is, in full.
///
/// A pipeline has no workflows at first, for a moment or while CircleCI is busy, and some never get any: when every
/// `when` is false. Both look alike (state `created`, status `Queued`), so who follows it sets the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The run as a whole.
    pub run: Run,
    /// The newest workflow of each name, oldest name first; none for a single build.
    pub workflows: Vec<WorkflowLine>,
    /// What waits for somebody's approval.
    pub holds: Vec<Hold>,
    /// Why it errored, in CircleCI's words, or what an end means: lines of plain text, to be escaped for where they are
    /// shown.
    pub messages: Vec<String>,
    /// When the last part of it ended, by CircleCI's clock, as far as it tells.
    pub ended_at: Option<Timestamp>,
}

/// One workflow of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowLine {
    /// Its id.
    pub id: Uuid,
    /// Its name in the configuration: to be escaped for where it is shown.
    pub name: String,
    /// CircleCI's own word for its status, `on_hold` or `failing` among them.
    pub word: String,
    /// How far it is.
    pub status: Status,
    /// Its page.
    pub url: Option<String>,
}

/// A job that waits for an approval.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hold {
    /// Its workflow.
    pub workflow: Uuid,
    /// What an approval names.
    pub approval: Uuid,
    /// The job's name: to be escaped for where it is shown.
    pub name: String,
}

/// What failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The first job that failed.
    pub job: String,
    /// Its first step that failed, where CircleCI tells of steps.
    pub step: Option<String>,
    /// The last lines that the step printed, without control sequences and with what looks like a secret masked; still
    /// to be escaped for where they are shown.
    pub output: Option<String>,
    /// The job's page.
    pub url: Option<String>,
}

/// What came of asking CircleCI to stop a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canceled {
    /// CircleCI was asked to stop this many workflows, or the one build; it tells the end later.
    Asked {
        /// How many.
        count: usize,
    },
    /// Nothing of it ran any more.
    AlreadyEnded,
    /// The pipeline has no workflow yet, and only workflows can be canceled: to be tried again in a moment.
    NothingYet,
}

/// A job that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedJob {
    pub id: Option<Uuid>,
    pub number: Option<i64>,
    pub name: String,
}

/// A step that failed, and where its output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FailedStep<Output> {
    pub name: String,
    pub output: Option<Output>,
}

/// Where API v3 keeps a step's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct V3Output {
    pub execution: usize,
    pub step: u64,
    pub stdout_bytes: Option<u64>,
    pub stderr_bytes: Option<u64>,
}

/// The lines of the newest workflows; `page` tells a workflow's page.
pub(super) fn lines(workflows: &[Value], page: impl Fn(Uuid) -> String) -> Vec<WorkflowLine> {
    let line = |workflow: &Value| {
        let id = id(workflow, "id")?;
        let word = text(workflow, "status");
        Some(WorkflowLine {
            id,
            name: name(text(workflow, "name")),
            word: said::word(if word.is_empty() { "unknown" } else { word }, WORD_UNITS_MAX),
            status: pipeline::workflow_status(word),
            url: Some(page(id)),
        })
    };
    pipeline::newest(workflows).into_iter().filter_map(line).take(TOLD_MAX).collect()
}

/// The jobs of a workflow that wait for an approval.
pub(super) fn holds(workflow: Uuid, jobs: &[Value]) -> Vec<Hold> {
    let waiting = jobs.iter().filter(|job| text(job, "type") == "approval" && text(job, "status") == "on_hold");
    let hold = |job: &Value| {
        // CircleCI's samples have the same id in both places.
        let approval = id(job, "approval_request_id").or_else(|| id(job, "id"))?;
        Some(Hold { workflow, approval, name: name(text(job, "name")) })
    };
    waiting.filter_map(hold).take(TOLD_MAX).collect()
}

/// When the last of the newest workflows ended.
pub(super) fn ended_at(workflows: &[Value]) -> Option<Timestamp> {
    pipeline::newest(workflows).into_iter().filter_map(|workflow| stopped(workflow, "stopped_at")).max()
}

/// When a workflow, job or build ended: the time of that name.
pub(super) fn stopped(item: &Value, name: &str) -> Option<Timestamp> {
    text(item, name).parse().ok()
}

/// The messages of a pipeline that errored.
pub(super) fn errors(pipeline: &Value) -> Vec<String> {
    let errors = pipeline.get("errors").and_then(Value::as_array);
    let messages = errors.into_iter().flatten().filter_map(said::in_json).map(|message| said::clean(&message));
    messages.filter(|message| !message.is_empty()).take(TOLD_MAX).collect()
}

/// The first job of a workflow that failed, by the time of its end.
pub(super) fn failed_job(jobs: &[Value]) -> Option<FailedJob> {
    let failed = jobs.iter().filter(|job| is_bad(text(job, "status")));
    let first = failed.min_by_key(|job| {
        let ended = stopped(job, "stopped_at");
        (ended.is_none(), ended)
    })?;
    let number = first.get("job_number").and_then(Value::as_i64).filter(|number| *number > 0);
    Some(FailedJob { id: id(first, "id"), number, name: name(text(first, "name")) })
}

/// The first step of a v1.1 build that failed, with the address of its output.
pub(super) fn v1_step(build: &Value) -> Option<FailedStep<String>> {
    let steps = build.get("steps")?.as_array()?;
    steps.iter().find_map(|step| {
        let action = step.get("actions")?.as_array()?.iter().find(|action| {
            let failed = action.get("failed").and_then(Value::as_bool) == Some(true);
            failed || is_bad(text(action, "status"))
        })?;
        let named = Some(text(action, "name")).filter(|name| !name.is_empty()).unwrap_or(text(step, "name"));
        let output = action.get("output_url").and_then(Value::as_str).map(str::to_owned);
        Some(FailedStep { name: name(named), output })
    })
}

/// The name of a v1.1 build's job.
pub(super) fn v1_job(build: &Value) -> String {
    let at = |pointer: &str| build.pointer(pointer).and_then(Value::as_str).filter(|name| !name.is_empty());
    name(at("/workflows/job_name").or_else(|| at("/job_name")).unwrap_or("build"))
}

/// The first step of a v3 job that failed.
pub(super) fn v3_step(job: &Value) -> Option<FailedStep<V3Output>> {
    let executions = job.pointer("/data/attributes/parallel_executions")?.as_array()?;
    executions.iter().enumerate().find_map(|(execution, run)| {
        let step = run.get("steps")?.as_array()?.iter().find(|step| {
            let exited = step.get("exit_code").and_then(Value::as_i64).is_some_and(|code| code != 0);
            exited || is_bad(text(step, "outcome"))
        })?;
        let bytes = |name: &str| step.get(name).and_then(Value::as_u64);
        let output = step.get("num").and_then(Value::as_u64).map(|num| V3Output {
            execution,
            step: num,
            stdout_bytes: bytes("stdout_bytes"),
            stderr_bytes: bytes("stderr_bytes"),
        });
        Some(FailedStep { name: name(text(step, "name")), output })
    })
}

/// Whether a job or step of this word came to a bad end that was nobody's wish.
fn is_bad(word: &str) -> bool {
    matches!(
        word,
        "failed" | "timedout" | "infrastructure_fail" | "unauthorized" | "terminated-unknown" | "errored" | "error"
    )
}

/// An id among the members of an item.
pub(super) fn id(item: &Value, name: &str) -> Option<Uuid> {
    text(item, name).parse().ok()
}

fn name(raw: &str) -> String {
    said::word(raw, NAME_UNITS_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_approvals_that_wait_are_holds() {
        let (workflow, approval) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let job = |kind: &str, status: &str| json!({"type": kind, "status": status, "name": "ok?", "id": approval.to_string(), "approval_request_id": approval.to_string()});
        let jobs = [job("build", "on_hold"), job("approval", "success"), job("approval", "on_hold"), json!(7)];
        assert_eq!(holds(workflow, &jobs), [Hold { workflow, approval, name: "ok?".to_owned() }]);
    }

    #[test]
    fn the_job_that_failed_first_is_told() {
        let job = |name: &str, status: &str, at: &str| json!({"name": name, "status": status, "stopped_at": at, "job_number": 4, "id": "x"});
        let jobs = [
            job("lint", "success", "2026-11-24T12:00:00Z"),
            job("late", "failed", "2026-11-24T12:05:00Z"),
            job("early", "timedout", "2026-11-24T12:01:00Z"),
            job("never", "blocked", ""),
        ];
        assert_eq!(failed_job(&jobs), Some(FailedJob { id: None, number: Some(4), name: "early".to_owned() }));
        assert_eq!(failed_job(&jobs[..1]), None);
    }

    proptest! {
        #[test]
        fn nothing_odd_panics(word in "\\PC{0,30}", number in any::<i64>()) {
            let odd = json!({
                "id": word, "name": word, "status": word, "job_number": number, "type": "approval", "errors": [word, {"message": word}],
                "steps": [{"actions": [{"status": word}, word]}, {"actions": [{"failed": true}]}],
                "data": {"attributes": {"parallel_executions": [{"steps": [{"exit_code": number, "name": word}]}]}},
            });
            let items = [odd.clone(), json!(null), json!([word])];
            let _ = (lines(&items, |_| String::new()), holds(Uuid::nil(), &items), failed_job(&items));
            let _ = (errors(&odd), v1_step(&odd), v1_job(&odd), v3_step(&odd));
        }
    }
}
