//! API v1.1: one job of a configuration below 2.1, on a branch or a commit of it. Its triggers end on 1 February 2027
//! (circleci.com/changelog, "deprecation of v1 and v1.1 trigger and rerun APIs"); its reads stay.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::address::{self, Version};
use super::budget::Lane;
use super::client::{Answer, Call, Http, refusal_kind};
use super::error::{self, About, ReadError, Refusal, RefusalKind, TriggerError};
use super::{CLOCK_SKEW, Generation, Look, Order, Project, Run, RunId, Search, Status, V1_TRIGGERS_END, said};
use crate::repo::{Revision, Trigger};
use crate::text;
use crate::time::{Timestamp, http_date};

/// How many of a branch's builds are listed to find a lost one; CircleCI's own default.
const LISTED_MAX: &str = "30";
/// How many of them are read one by one in a look: the list carries no build parameters.
const READ_MAX: usize = 15;

/// The longest word for a status, in UTF-16 units.
pub(super) const WORD_UNITS_MAX: usize = 40;
/// The longest subject of a commit that is kept, in UTF-16 units.
pub(super) const SUBJECT_UNITS_MAX: usize = 200;

/// The build parameter by which a lost build is found.
const DEPLOY_ID: &str = "SLIPWAY_DEPLOY_ID";

/// Jobs of API v1.1.
pub(super) struct Jobs {
    pub(super) http: Arc<Http>,
    sunset: watch::Sender<Option<Timestamp>>,
}

impl Generation for Jobs {
    type Id = i64;

    async fn trigger(&self, order: &Order) -> Result<Run, TriggerError> {
        let call = self.call(&order.project, &["tree", order.branch.as_str()], &[]);
        let answer = self.http.post(&call, Some(&body(order))).await?;
        self.note_sunset(&answer);
        if answer.is_success() {
            let answered = answer.json().ok_or_else(|| error::lost(error::unreadable()))?;
            if let Some(number) = build_number(&answered) {
                return Ok(self.run(number, &answered));
            }
            if said::in_json(&answered).is_none() {
                return Err(error::lost(error::unreadable()));
            }
        }
        let said = self.http.said(&answer);
        let about = About { project: &order.project, variable: &call.credential.variable, names: vec![] };
        let kind = kind(answer.status, said.as_deref().unwrap_or_default());
        Err(TriggerError::Refused(Refusal::new(kind, Some(answer.status), &about, said)))
    }

    async fn look(&self, search: &Search<'_>, ruled_out: &mut HashSet<i64>) -> Result<Look, ReadError> {
        let Search { order, claimed, lane } = search;
        let listed = self.listed(order, *lane).await?;
        let since = order.requested_at.minus(CLOCK_SKEW);
        let mut candidates: Vec<i64> = listed
            .iter()
            .filter_map(|build| candidate(build, order.branch.as_str(), since))
            .filter(|number| !ruled_out.contains(number) && !claimed(&RunId::Build(*number)))
            .collect();
        candidates.sort_unstable();
        candidates.dedup();
        // The newest ones, the oldest of them first: a rerun, which has its original's parameters, comes after it.
        let skipped = candidates.len().saturating_sub(READ_MAX);

        let (mut look, mut failure) = (Look::default(), None);
        for number in candidates.into_iter().skip(skipped) {
            let build = match self.build(&order.project, number, *lane).await {
                Ok(build) => build,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            match build.get("build_parameters") {
                Some(Value::Object(parameters)) if carries(parameters, &order.deploy.to_string()) => {
                    look.certain.push(self.run(number, &build));
                    return Ok(look);
                }
                Some(Value::Object(_)) => {
                    ruled_out.insert(number);
                }
                _ => {}
            }
        }
        // Not to have found it means something only when every candidate was read.
        failure.map_or(Ok(look), Err)
    }

    async fn read(&self, project: &Project, number: i64) -> Result<Run, ReadError> {
        let build = self.followed(project, number).await?;
        Ok(self.run(number, &build))
    }
}

impl Jobs {
    pub(super) fn new(http: Arc<Http>) -> Self {
        Self { http, sunset: watch::Sender::new(None) }
    }

    pub(super) fn sunset(&self) -> watch::Receiver<Option<Timestamp>> {
        self.sunset.subscribe()
    }

    /// The recent builds of an order's branch.
    pub(super) async fn listed(&self, order: &Order, lane: Lane) -> Result<Vec<Value>, ReadError> {
        let query = [("limit", LISTED_MAX), ("shallow", "true")];
        let call = Call { lane, ..self.call(&order.project, &["tree", order.branch.as_str()], &query) };
        match self.http.get_json(&call).await? {
            Value::Array(builds) => Ok(builds),
            _ => Err(ReadError::Unreadable { why: error::unreadable() }),
        }
    }

    /// A build that was there before.
    pub(super) async fn followed(&self, project: &Project, number: i64) -> Result<Value, ReadError> {
        self.build(project, number, Lane::Poll).await.map_err(|error| match error {
            ReadError::Refused(refusal) if refusal.kind == RefusalKind::NotFound => {
                ReadError::Refused(self.gone(project, refusal))
            }
            error => error,
        })
    }

    /// The refusal of a build that is gone, in the place of that of a project.
    pub(super) fn gone(&self, project: &Project, refusal: Refusal) -> Refusal {
        let variable = self.http.access.job(project).variable;
        let about = About { project, variable: &variable, names: vec![] };
        Refusal::new(RefusalKind::RunNotFound, refusal.status, &about, refusal.said)
    }

    async fn build(&self, project: &Project, number: i64, lane: Lane) -> Result<Value, ReadError> {
        let number = number.to_string();
        let build = self.http.get_json(&Call { lane, ..self.call(project, &[&number], &[]) }).await?;
        if build.is_object() { Ok(build) } else { Err(ReadError::Unreadable { why: error::unreadable() }) }
    }

    pub(super) fn call<'a>(
        &'a self,
        project: &'a Project,
        rest: &[&'a str],
        query: &[(&'static str, &'a str)],
    ) -> Call<'a> {
        let mut segments = vec!["project", project.vcs.as_str(), project.repo.org(), project.repo.repo()];
        segments.extend_from_slice(rest);
        Call::new(Version::V1, segments, query, self.http.access.job(project), project)
    }

    /// What is told of a build.
    pub(super) fn run(&self, number: i64, build: &Value) -> Run {
        let text = |name: &str| build.get(name).and_then(Value::as_str);
        let (status, word) = status(text("lifecycle"), text("outcome"), text("status"));
        Run {
            id: RunId::Build(number),
            url: text("build_url").and_then(|url| address::link(url, &self.http.access)),
            status,
            status_word: said::word(word, WORD_UNITS_MAX),
            revision: text("vcs_revision").and_then(|revision| revision.parse::<Revision>().ok()),
            subject: text("subject").map(|subject| said::word(subject, SUBJECT_UNITS_MAX)),
        }
    }

    /// Remembers when the triggers end: `Sunset` (RFC 8594) names the day, `Deprecation` alone announces it, and 410
    /// says that it has come.
    pub(super) fn note_sunset(&self, answer: &Answer) {
        let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let known = *self.sunset.borrow();
        let announced = header("sunset").and_then(http_date);
        let deprecated = header("deprecation").is_some().then_some(known.unwrap_or(V1_TRIGGERS_END));
        let mut day = announced.or(deprecated).or(known);
        if answer.status == 410 {
            day = Some(day.unwrap_or(V1_TRIGGERS_END).min(self.http.clock.now()));
        }
        let Some(day) = day else { return };
        // An end that was seen is not undone by each later answer having a later moment to tell of.
        let changed = self.sunset.send_if_modified(|known| {
            let new = if answer.status == 410 { known.map_or(day, |known| known.min(day)) } else { day };
            known.replace(new) != Some(new)
        });
        if changed {
            tracing::warn!(circleci.sunset = %day, "CircleCI ends its v1.1 triggers; use pipeline environments");
        }
    }
}

/// The order as v1.1 takes it. Nobody's parameters replace Slipway's own.
fn body(order: &Order) -> Value {
    let mut parameters: Map<String, Value> =
        order.parameters.iter().map(|known| (known.name.clone(), known.value.to_string().into())).collect();
    if let Trigger::Job(job) = &order.trigger {
        parameters.insert("CIRCLE_JOB".to_owned(), job.as_str().into());
    }
    parameters.insert(DEPLOY_ID.to_owned(), order.deploy.to_string().into());
    parameters.insert("SLIPWAY_ENVIRONMENT".to_owned(), order.environment.as_str().into());
    parameters.insert("SLIPWAY_ACTOR".to_owned(), text::one_line(&order.actor).into());
    let mut body = json!({ "build_parameters": parameters });
    if let Some(revision) = &order.revision {
        body["revision"] = revision.as_str().into();
    }
    body
}

/// The number of a build.
pub(super) fn build_number(build: &Value) -> Option<i64> {
    build.get("build_num")?.as_i64().filter(|number| *number > 0)
}

/// The number of a listed build that may be the one of an order: of its branch, queued since it was sent. What the list
/// doesn't tell speaks for it.
pub(super) fn candidate(build: &Value, branch: &str, since: Timestamp) -> Option<i64> {
    let text = |name: &str| build.get(name).and_then(Value::as_str);
    let elsewhere = text("branch").is_some_and(|known| known != branch);
    let queued = ["queued_at", "usage_queued_at", "start_time"]
        .iter()
        .filter_map(|name| text(name)?.parse::<Timestamp>().ok())
        .max();
    build_number(build).filter(|_| !elsewhere && queued.is_none_or(|queued| queued >= since))
}

fn carries(parameters: &Map<String, Value>, deploy: &str) -> bool {
    parameters.get(DEPLOY_ID).and_then(Value::as_str).is_some_and(|known| known.eq_ignore_ascii_case(deploy))
}

/// What kind of no it is, by the status and the words that go with it.
pub(super) fn kind(status: u16, said: &str) -> RefusalKind {
    let said = said.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    match status {
        410 => RefusalKind::Retired,
        401 => RefusalKind::Unauthorized,
        _ if says(&["find a job named", "no job named", "job not found"]) => RefusalKind::JobNotFound,
        _ if says(&["config file has errors", "schema violation", "version: 2.1", "version 2.1"]) => {
            RefusalKind::Configuration
        }
        _ if says(&["branch"]) && says(&["not found", "not exist", "unknown", "no such"]) => {
            RefusalKind::BranchNotFound
        }
        _ if says(&["permission denied"]) => RefusalKind::Forbidden,
        200..300 => RefusalKind::NothingStarted,
        _ => refusal_kind(status),
    }
}

/// How far a build is, and CircleCI's word for it. A word that isn't known is taken for a build that still runs.
fn status<'a>(lifecycle: Option<&'a str>, outcome: Option<&'a str>, status: Option<&'a str>) -> (Status, &'a str) {
    let word = status.or(outcome).or(lifecycle).unwrap_or("unknown");
    let ended = |word: &str| match word {
        "success" | "fixed" | "no_tests" => Some(Status::Succeeded),
        "failed" | "timedout" | "infrastructure_fail" | "retried" => Some(Status::Failed),
        "canceled" | "not_run" => Some(Status::Canceled),
        _ => None,
    };
    let far = match (outcome, lifecycle) {
        (Some(outcome), _) => ended(outcome).or_else(|| status.and_then(ended)),
        (None, Some("finished" | "not_run") | None) => status.or(lifecycle).and_then(ended),
        (None, Some(_)) => None,
    };
    let waiting = |word| matches!(word, Some("queued" | "scheduled" | "not_running"));
    let live =
        if waiting(lifecycle) || (lifecycle.is_none() && waiting(status)) { Status::Queued } else { Status::Running };
    (far.unwrap_or(live), word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_published_day_is_the_first_of_february() {
        assert_eq!(V1_TRIGGERS_END.to_string(), "2027-02-01T00:00:00.000Z");
    }

    #[test]
    fn a_builds_words_tell_how_far_it_is() {
        let far = |lifecycle, outcome, word| status(lifecycle, outcome, word).0;
        assert_eq!(far(Some("not_running"), None, Some("not_running")), Status::Queued);
        assert_eq!(far(Some("queued"), None, Some("queued")), Status::Queued);
        assert_eq!(far(Some("scheduled"), None, Some("scheduled")), Status::Queued);
        assert_eq!(far(Some("running"), None, Some("running")), Status::Running);
        assert_eq!(far(Some("finished"), Some("success"), Some("fixed")), Status::Succeeded);
        assert_eq!(far(Some("finished"), Some("no_tests"), Some("no_tests")), Status::Succeeded);
        assert_eq!(far(Some("finished"), Some("timedout"), Some("timedout")), Status::Failed);
        assert_eq!(far(Some("finished"), Some("infrastructure_fail"), None), Status::Failed);
        assert_eq!(far(Some("finished"), Some("canceled"), Some("canceled")), Status::Canceled);
        assert_eq!(far(Some("not_run"), None, Some("not_run")), Status::Canceled);
        assert_eq!(far(Some("finished"), None, Some("failed")), Status::Failed);
        assert_eq!(far(None, None, Some("queued")), Status::Queued);
        assert_eq!(far(None, None, None), Status::Running);
        assert_eq!(far(Some("levitating"), None, Some("success")), Status::Running);
        assert_eq!(far(Some("finished"), Some("unheard_of"), Some("unheard_of")), Status::Running);
    }

    #[test]
    fn candidates_are_of_the_branch_and_queued_since() {
        let since = "2026-11-24T12:00:00Z".parse().unwrap();
        let is = |build: Value| candidate(&build, "main", since);
        assert_eq!(is(json!({"build_num": 7, "branch": "main", "queued_at": "2026-11-24T12:00:01.5Z"})), Some(7));
        assert_eq!(is(json!({"build_num": 7})), Some(7));
        assert_eq!(is(json!({"build_num": 7, "queued_at": "whenever"})), Some(7));
        assert_eq!(is(json!({"build_num": 7, "queued_at": "2026-11-24T11:00:00Z"})), None);
        assert_eq!(is(json!({"build_num": 7, "branch": "develop"})), None);
        for number in [json!(0), json!(-1), json!("7"), json!(1.5), json!(u64::MAX), json!(null)] {
            assert_eq!(is(json!({"build_num": number})), None);
        }
    }

    #[test]
    fn a_no_is_told_by_its_words() {
        let job = "Cannot find a job named `x` to run in the `jobs:` section of your configuration file.";
        assert_eq!(kind(400, job), RefusalKind::JobNotFound);
        assert_eq!(
            kind(200, "Your config file has errors and may not run correctly: 21 schema violations found"),
            RefusalKind::Configuration
        );
        assert_eq!(kind(404, "Branch not found"), RefusalKind::BranchNotFound);
        assert_eq!(kind(404, "Project not found"), RefusalKind::NotFound);
        assert_eq!(kind(404, ""), RefusalKind::NotFound);
        assert_eq!(kind(400, "Permission denied"), RefusalKind::Forbidden);
        assert_eq!(kind(200, "Build skipped"), RefusalKind::NothingStarted);
        assert_eq!(kind(410, "Branch not found"), RefusalKind::Retired);
        assert_eq!(kind(302, ""), RefusalKind::Redirected);
        assert_eq!(kind(418, ""), RefusalKind::Other);
    }

    proptest! {
        #[test]
        fn no_words_panic(words in proptest::array::uniform3(proptest::option::of("\\PC{0,20}")), code in 200u16..500) {
            let (_, word) = status(words[0].as_deref(), words[1].as_deref(), words[2].as_deref());
            let _ = kind(code, word);
        }
    }
}
