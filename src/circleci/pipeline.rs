//! What API v2's pipelines and workflows tell: how far they are, and whether one of them is a deploy's. Pure: knows
//! nothing of how they are asked for.

use std::ops::RangeInclusive;

use serde_json::Value;
use uuid::Uuid;

use super::{Order, Status};
use crate::time::Timestamp;

/// The id and number of a pipeline.
pub(super) fn identify(pipeline: &Value) -> Option<(Uuid, i64)> {
    let id = pipeline.get("id")?.as_str()?.parse().ok()?;
    Some((id, pipeline.get("number")?.as_i64().filter(|number| *number > 0)?))
}

/// The branch of a pipeline: of its VCS, or of a GitHub App's trigger.
pub(super) fn branch(pipeline: &Value) -> Option<&str> {
    pipeline
        .pointer("/vcs/branch")
        .or_else(|| pipeline.pointer("/trigger_parameters/git/branch"))
        .and_then(Value::as_str)
}

/// When a pipeline was created.
pub(super) fn created(pipeline: &Value) -> Option<Timestamp> {
    pipeline.get("created_at")?.as_str()?.parse().ok()
}

/// The listed pipeline's id and number, when it may be the one of an order: triggered by us (`login`) in one of these
/// ways (`trigger.type`), on its branch, while it may have been sent. Only a time or a branch that isn't told speaks for it.
pub(super) fn candidate(
    pipeline: &Value,
    ways: &[&str],
    login: &str,
    wanted: &str,
    window: RangeInclusive<Timestamp>,
) -> Option<(Uuid, i64)> {
    let text = |pointer: &str| pipeline.pointer(pointer).and_then(Value::as_str);
    let ours =
        text("/trigger/type").is_some_and(|way| ways.contains(&way)) && text("/trigger/actor/login") == Some(login);
    let here = branch(pipeline).is_none_or(|known| known == wanted);
    let new = created(pipeline).is_none_or(|created| window.contains(&created));
    identify(pipeline).filter(|_| ours && here && new)
}

/// Whether a candidate is the pipeline of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kinship {
    /// It carries the deploy's UUID.
    Certain,
    /// Nothing speaks against it.
    Likely,
    /// It has another value for a parameter of the order.
    Other,
}

/// Compares an order with the parameters that a pipeline says it was triggered with. CircleCI often says none.
pub(super) fn kinship(pipeline: &Value, order: &Order) -> Kinship {
    let Some(parameters) = pipeline.get("trigger_parameters") else { return Kinship::Likely };
    if holds(parameters, &order.deploy.to_string()) {
        return Kinship::Certain;
    }
    let differs = order.parameters.iter().any(|ours| {
        let theirs = match parameters.get(&ours.name) {
            Some(Value::String(theirs)) => theirs.clone(),
            Some(theirs @ (Value::Bool(_) | Value::Number(_))) => theirs.to_string(),
            _ => return false,
        };
        theirs != ours.value.to_string()
    });
    if differs { Kinship::Other } else { Kinship::Likely }
}

/// Whether `text` stands anywhere in the value. serde_json reads at most 128 levels, so this ends.
fn holds(value: &Value, text: &str) -> bool {
    match value {
        Value::String(known) => known.to_ascii_lowercase().contains(text),
        Value::Array(items) => items.iter().any(|item| holds(item, text)),
        Value::Object(fields) => fields.values().any(|field| holds(field, text)),
        _ => false,
    }
}

/// The newest workflow of each name, in the order in which the names came up: reruns add workflows of the same name.
pub(super) fn newest(workflows: &[Value]) -> Vec<&Value> {
    let mut newest: Vec<(&str, Option<Timestamp>, Option<Timestamp>, &Value)> = Vec::new();
    // CircleCI lists the newest first; of one instant that order counts.
    for workflow in workflows.iter().rev() {
        let (name, at) = (text(workflow, "name"), created(workflow));
        match newest.iter_mut().find(|(known, ..)| *known == name) {
            Some((_, first, last, known)) => {
                *first = (*first).min(at);
                if at >= *last {
                    (*last, *known) = (at, workflow);
                }
            }
            None => newest.push((name, at, at, workflow)),
        }
    }
    newest.sort_by_key(|(_, first, ..)| *first);
    newest.into_iter().map(|(.., workflow)| workflow).collect()
}

/// Whether there is nothing but setup workflows, which are followed by the ones that they choose.
pub(super) fn only_setup(newest: &[&Value]) -> bool {
    newest.iter().all(|workflow| text(workflow, "tag") == "setup")
}

/// How far a pipeline is with these workflows, and CircleCI's word for it. A word that isn't known is taken for a
/// workflow that still runs. Of several workflows of one name the newest counts.
pub(super) fn status(state: &str, workflows: &[Value]) -> (Status, String) {
    if state == "errored" {
        return (Status::Failed, state.to_owned());
    }
    let newest = newest(workflows);
    let words = newest.iter().map(|workflow| text(workflow, "status"));
    let Some(word) = words.max_by_key(|word| (weight(workflow_status(word)), urgency(word))) else {
        return (Status::Queued, state.to_owned());
    };
    let status = workflow_status(word);
    if only_setup(&newest) && status == Status::Succeeded && matches!(state, "setup" | "setup-pending" | "pending") {
        return (Status::Running, state.to_owned());
    }
    let some_ended = newest.iter().any(|workflow| is_over(workflow_status(text(workflow, "status"))));
    // One that waits behind others that have ended is a pipeline under way.
    let status = if status == Status::Queued && some_ended { Status::Running } else { status };
    (status, word.to_owned())
}

/// A text of a workflow or a job; empty where there is none.
pub(super) fn text<'a>(item: &'a Value, name: &str) -> &'a str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Whether nothing more happens.
pub(super) fn is_over(status: Status) -> bool {
    !matches!(status, Status::Queued | Status::Running)
}

/// Of several workflows that run, the one that tells most: one that is going to fail, then one that does something.
fn urgency(word: &str) -> u8 {
    match word {
        "failing" => 2,
        "on_hold" => 0,
        _ => 1,
    }
}

/// Which of several workflows speaks for the pipeline: a live one first, then the worst end.
fn weight(status: Status) -> u8 {
    match status {
        Status::Running => 4,
        Status::Queued => 3,
        Status::Failed => 2,
        Status::Canceled => 1,
        Status::Succeeded => 0,
    }
}

/// How far a workflow of this word is.
pub(super) fn workflow_status(word: &str) -> Status {
    match word {
        "success" => Status::Succeeded,
        "failed" | "error" | "unauthorized" => Status::Failed,
        "canceled" => Status::Canceled,
        // Ended without having run: on a server only.
        "not_run" => Status::Canceled,
        "queued" => Status::Queued,
        // `failing` may still end as canceled; `on_hold` waits for an approval.
        _ => Status::Running,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::circleci::Project;
    use crate::deploy::parameters;
    use crate::repo::{EnvironmentName, Trigger, Vcs};

    fn order(parameters: &str) -> Order {
        Order {
            project: Project { vcs: Vcs::GitHub, repo: "acme/web".parse().unwrap(), slug: None, token_name: None },
            trigger: Trigger::Pipeline { definition: None },
            branch: "main".parse().unwrap(),
            revision: None,
            parameters: parameters::parse(parameters).unwrap(),
            deploy: Uuid::from_u128(7),
            environment: EnvironmentName::production(),
            actor: "alice".to_owned(),
            requested_at: Timestamp::from_millis(0),
        }
    }

    fn of(state: &str, workflows: &[(&str, &str, u8)]) -> (Status, String) {
        let workflows: Vec<_> = workflows
            .iter()
            .map(|(name, status, at)| {
                json!({"name": name, "status": status, "created_at": format!("2026-11-24T12:00:{at:02}Z")})
            })
            .collect();
        status(state, &workflows)
    }

    #[test]
    fn a_pipeline_is_as_far_as_its_workflows() {
        let table = [
            ("errored", vec![], Status::Failed, "errored"),
            ("pending", vec![], Status::Queued, "pending"),
            ("created", vec![], Status::Queued, "created"),
            ("created", vec![("a", "success", 1)], Status::Succeeded, "success"),
            ("created", vec![("a", "success", 1), ("b", "running", 1)], Status::Running, "running"),
            ("created", vec![("a", "success", 1), ("b", "failing", 1)], Status::Running, "failing"),
            ("created", vec![("a", "success", 1), ("b", "on_hold", 1)], Status::Running, "on_hold"),
            ("created", vec![("a", "success", 1), ("b", "levitating", 1)], Status::Running, "levitating"),
            ("created", vec![("a", "success", 1), ("b", "failed", 1)], Status::Failed, "failed"),
            ("created", vec![("a", "canceled", 1), ("b", "unauthorized", 1)], Status::Failed, "unauthorized"),
            ("created", vec![("a", "success", 1), ("b", "canceled", 1)], Status::Canceled, "canceled"),
            ("created", vec![("a", "not_run", 1)], Status::Canceled, "not_run"),
            ("created", vec![("a", "queued", 1)], Status::Queued, "queued"),
            ("created", vec![("a", "success", 1), ("b", "queued", 1)], Status::Running, "queued"),
            // A rerun of the same workflow.
            ("created", vec![("a", "failed", 1), ("a", "success", 2)], Status::Succeeded, "success"),
            ("created", vec![("a", "success", 2), ("a", "failed", 1)], Status::Succeeded, "success"),
        ];
        for (state, workflows, far, word) in table {
            assert_eq!(of(state, &workflows), (far, word.to_owned()), "{state} {workflows:?}");
        }
    }

    #[test]
    fn a_setup_workflow_is_not_the_end() {
        let setup = json!({"name": "setup", "status": "success", "tag": "setup"});
        assert_eq!(status("setup", std::slice::from_ref(&setup)).0, Status::Running);
        assert_eq!(status("created", &[setup]).0, Status::Succeeded);
    }

    #[test]
    fn a_candidate_is_ours_on_the_branch_and_new() {
        let window = "2026-11-24T12:00:00Z".parse().unwrap()..="2026-11-24T12:05:00Z".parse().unwrap();
        let id = Uuid::from_u128(1);
        let good = json!({"id": id.to_string(), "number": 7, "created_at": "2026-11-24T12:00:01Z",
            "vcs": {"branch": "main"}, "trigger": {"type": "api", "actor": {"login": "slipway"}}});
        let is = |pointer: &str, value: Value| {
            let mut pipeline = good.clone();
            *pipeline.pointer_mut(pointer).unwrap() = value;
            candidate(&pipeline, &["api"], "slipway", "main", window.clone())
        };
        assert_eq!(is("/number", json!(7)), Some((id, 7)));
        assert_eq!(is("/created_at", json!(null)), Some((id, 7)));
        assert_eq!(is("/vcs", json!(null)), Some((id, 7)));
        assert_eq!(is("/created_at", json!("2026-11-24T11:59:59Z")), None);
        assert_eq!(is("/created_at", json!("2026-11-24T12:05:01Z")), None);
        assert_eq!(is("/vcs/branch", json!("develop")), None);
        assert_eq!(is("/trigger/type", json!("webhook")), None);
        assert_eq!(is("/trigger/actor/login", json!("somebody")), None);
        assert_eq!(is("/number", json!(u64::MAX)), None);
        assert_eq!(is("/id", json!("../../me")), None);
    }

    #[test]
    fn parameters_tell_whose_pipeline_it_is() {
        let id = Uuid::from_u128(7).to_string();
        let of = |parameters: Value| kinship(&json!({ "trigger_parameters": parameters }), &order("tag=v1 count=3"));
        assert_eq!(of(json!({"deploy": id.to_uppercase()})), Kinship::Certain);
        assert_eq!(of(json!({"circleci": {"x": ["deploy", format!("of {id}")]}})), Kinship::Certain);
        assert_eq!(of(json!({"tag": "v1", "count": 3})), Kinship::Likely);
        assert_eq!(of(json!({"count": "3"})), Kinship::Likely);
        assert_eq!(of(json!({"tag": "v2"})), Kinship::Other);
        assert_eq!(of(json!({"count": 4})), Kinship::Other);
        assert_eq!(of(json!(null)), Kinship::Likely);
        assert_eq!(kinship(&json!({}), &order("")), Kinship::Likely);
    }

    proptest! {
        #[test]
        fn no_words_panic_and_nothing_unknown_is_an_end(words in proptest::collection::vec("[x-z_]{0,9}", 1..5)) {
            let workflow = |word: &String| json!({"name": word, "status": word, "created_at": word});
            let workflows: Vec<_> = words.iter().map(workflow).collect();
            prop_assert_eq!(status("created", &workflows).0, Status::Running);
        }
    }
}
