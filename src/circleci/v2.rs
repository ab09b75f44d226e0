//! API v2: a pipeline of a branch, with typed parameters.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use uuid::Uuid;

use super::address::{Slug, Version};
use super::budget::Lane;
use super::client::{Call, Http, refusal_kind};
use super::definition::{self, Definition, Undecided};
use super::error::{self, About, ReadError, Refusal, RefusalKind, TriggerError};
use super::lacking::{Lacking, Part};
use super::pipeline::{self, Kinship};
use super::v1::{SUBJECT_UNITS_MAX, WORD_UNITS_MAX};
use super::{CLOCK_SKEW, Generation, Look, Order, Project, Run, RunId, SENT_WITHIN, Search, said};
use crate::repo::{Branch, Revision, Trigger};
use crate::time::Timestamp;

/// How many pages of pipelines are listed to find a lost one.
const LOOK_PAGES_MAX: usize = 3;
/// How many pipelines are read one by one in a look.
const READ_MAX: usize = 15;
/// How many pages of a pipeline's workflows are read.
const WORKFLOW_PAGES_MAX: usize = 5;
/// How many pages of recent pipelines are read for the names of branches.
const BRANCH_PAGES_MAX: usize = 2;
/// How many branches are kept; Insights tells of no more.
const BRANCHES_MAX: usize = 5_000;
/// How many items of a list are read, whatever CircleCI sends: more than any project has at a time.
const ITEMS_MAX: usize = 1_000;
/// The longest page token that is sent back, in bytes.
const PAGE_TOKEN_BYTES_MAX: usize = 4_096;
/// How many projects' definitions are remembered.
const KNOWN_MAX: usize = 1_000;

/// Pipelines of API v2.
pub(super) struct Pipelines {
    pub(super) http: Arc<Http>,
    /// The login of the token's owner.
    login: OnceCell<String>,
    known: Mutex<HashMap<Slug, (Timestamp, Ways)>>,
    /// What this CircleCI was seen to lack for a project.
    pub(super) lacking: Lacking,
}

/// The ways in which a project's pipelines can be run.
#[derive(Debug, Clone)]
pub(super) enum Ways {
    /// `pipeline/run`, with one of these definitions.
    Definitions(Arc<[Definition]>),
    /// A server without definitions: the classic `pipeline`.
    Classic,
}

impl Generation for Pipelines {
    type Id = Uuid;

    async fn trigger(&self, order: &Order) -> Result<Run, TriggerError> {
        let project = &order.project;
        let slug = slug(project).map_err(TriggerError::Refused)?;
        let ways = self.bounded_ways(project, &slug).await?;
        let (path, body): (&[&str], _) = match choose(order, &ways).map_err(TriggerError::Refused)? {
            Choice::Run(definition) => (&["pipeline", "run"], run_body(order, definition)),
            Choice::Classic => (&["pipeline"], classic_body(order)),
        };
        let answer = self.http.post(&self.in_project(project, &slug, path, &[]), Some(&body)).await?;
        // CircleCI answers 201 to what it runs. Its own command line takes any other 2xx for nothing started.
        if answer.status == 201 {
            let pipeline = answer.json().ok_or_else(|| error::lost(error::unreadable()))?;
            return self.run(&slug, &pipeline, &[]).ok_or_else(|| error::lost(error::unreadable()));
        }
        // A page that isn't CircleCI's says nothing about what was started.
        if (200..300).contains(&answer.status) && !answer.json().is_some_and(|said| said.is_object()) {
            return Err(error::lost(error::unreadable()));
        }
        self.known().remove(&slug);
        let said = self.http.said(&answer);
        let heard = said.as_deref().unwrap_or_default();
        let about = About { names: mentioned(order, heard), ..about(project) };
        Err(TriggerError::Refused(Refusal::new(kind(answer.status, heard), Some(answer.status), &about, said)))
    }

    async fn look(&self, search: &Search<'_>, ruled_out: &mut HashSet<Uuid>) -> Result<Look, ReadError> {
        let Search { order, claimed, lane } = search;
        let project = &order.project;
        let slug = slug(project).map_err(ReadError::Refused)?;
        let login = self.login(project).await?;
        let (since, until) = window(order);
        let listed = self.listed(order, &slug, since, *lane).await?;
        let candidates: Vec<_> = listed
            .iter()
            .filter_map(|listed| pipeline::candidate(listed, &["api"], login, order.branch.as_str(), since..=until))
            .filter(|(id, number)| !ruled_out.contains(id) && !claimed(&RunId::Pipeline { id: *id, number: *number }))
            .take(READ_MAX)
            .collect();

        let mut look = Look::default();
        for (id, _) in candidates {
            let pipeline = self.pipeline(project, id, *lane).await?;
            let Some(run) = self.run(&slug, &pipeline, &[]) else { continue };
            match pipeline::kinship(&pipeline, order) {
                Kinship::Certain => look.certain.push(run),
                Kinship::Likely => look.likely.push(run),
                Kinship::Other => {
                    ruled_out.insert(id);
                }
            }
        }
        Ok(look)
    }

    async fn read(&self, project: &Project, id: Uuid) -> Result<Run, ReadError> {
        let slug = slug(project).map_err(ReadError::Refused)?;
        let pipeline = self.followed(project, id, Lane::Poll).await?;
        let workflows = self.workflows(project, id, Lane::Poll).await?;
        self.run(&slug, &pipeline, &workflows).ok_or_else(|| ReadError::Unreadable { why: error::unreadable() })
    }
}

/// When a pipeline of this order may have been created, by CircleCI's clock.
pub(super) fn window(order: &Order) -> (Timestamp, Timestamp) {
    (order.requested_at.minus(CLOCK_SKEW), order.requested_at.plus(SENT_WITHIN).plus(CLOCK_SKEW))
}

impl Pipelines {
    pub(super) fn new(http: Arc<Http>) -> Self {
        Self { http, login: OnceCell::new(), known: Mutex::default(), lacking: Lacking::default() }
    }

    /// The pipelines of an order's branch, newest first, as far back as `since`.
    pub(super) async fn listed(
        &self,
        order: &Order,
        slug: &Slug,
        since: Timestamp,
        lane: Lane,
    ) -> Result<Vec<Value>, ReadError> {
        let branch = [("branch", order.branch.as_str())];
        let call = Call { lane, ..self.in_project(&order.project, slug, &["pipeline"], &branch) };
        // Newest first: what follows an older one is older still.
        let goes_on = |items: &[Value]| items.last().and_then(pipeline::created).is_none_or(|created| created >= since);
        self.pages(&call, LOOK_PAGES_MAX, goes_on).await
    }

    /// A pipeline that was there before.
    pub(super) async fn followed(&self, project: &Project, id: Uuid, lane: Lane) -> Result<Value, ReadError> {
        self.pipeline(project, id, lane).await.map_err(|error| gone(project, error))
    }

    /// The workflows of a pipeline, reruns included.
    pub(super) async fn workflows(&self, project: &Project, id: Uuid, lane: Lane) -> Result<Vec<Value>, ReadError> {
        let id = id.to_string();
        let call = Call { lane, ..self.call(project, vec!["pipeline", &id, "workflow"], &[]) };
        self.pages(&call, WORKFLOW_PAGES_MAX, |_| true).await.map_err(|error| gone(project, error))
    }

    /// The pipeline that a workflow belongs to.
    pub(super) async fn pipeline_of(&self, project: &Project, workflow: Uuid, lane: Lane) -> Result<Run, ReadError> {
        let unreadable = || ReadError::Unreadable { why: error::unreadable() };
        let slug = slug(project).map_err(ReadError::Refused)?;
        let workflow = workflow.to_string();
        let workflow =
            self.http.get_json(&Call { lane, ..self.call(project, vec!["workflow", &workflow], &[]) }).await?;
        let id = workflow.get("pipeline_id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        let pipeline = self.pipeline(project, id.ok_or_else(unreadable)?, lane).await?;
        self.run(&slug, &pipeline, &[]).ok_or_else(unreadable)
    }

    /// The jobs of a workflow.
    pub(super) async fn jobs(&self, project: &Project, workflow: Uuid, lane: Lane) -> Result<Vec<Value>, ReadError> {
        let id = workflow.to_string();
        let call = Call { lane, ..self.call(project, vec!["workflow", &id, "job"], &[]) };
        self.pages(&call, WORKFLOW_PAGES_MAX, |_| true).await
    }

    /// The branches of recent pipelines, then those that Insights knows; an error only when neither can be read.
    pub(super) async fn branches(&self, project: &Project) -> Result<Vec<Branch>, ReadError> {
        let slug = slug(project).map_err(ReadError::Refused)?;
        let recent_call = self.in_project(project, &slug, &["pipeline"], &[]);
        let mut segments = vec!["insights"];
        segments.extend(slug.segments());
        segments.push("branches");
        let insights_call = self.call(project, segments, &[]).of_the_cloud();
        let insights = self.unless_lacking(Part::Insights, &slug, self.http.get_json(&insights_call));
        let (recent, insights) = tokio::join!(self.pages(&recent_call, BRANCH_PAGES_MAX, |_| true), insights);
        let (recent, insights) = match (recent, insights) {
            (Err(error), Err(_)) => return Err(error),
            (recent, insights) => (recent.unwrap_or_default(), insights.unwrap_or_default()),
        };
        let known = insights.get("branches").and_then(Value::as_array);
        let names = recent.iter().filter_map(pipeline::branch);
        let names = names.chain(known.into_iter().flatten().filter_map(Value::as_str));
        let mut seen = HashSet::new();
        let branches =
            names.filter_map(|name| name.parse::<Branch>().ok()).filter(|branch| seen.insert(branch.clone()));
        Ok(branches.take(BRANCHES_MAX).collect())
    }

    /// How the project's pipelines can be run, or an end after a while: nothing is sent yet, and a person waits.
    pub(super) async fn bounded_ways(&self, project: &Project, slug: &Slug) -> Result<Ways, TriggerError> {
        let waited = self.http.patience.request * 2;
        timeout(waited, self.ways(project, slug)).await.map_err(|_| error::not_sent(error::silent(waited)))?
    }

    /// How the project's pipelines can be run: asked once in some minutes. Only reads tell, never a trial run.
    async fn ways(&self, project: &Project, slug: &Slug) -> Result<Ways, TriggerError> {
        let now = self.http.clock.now();
        if let Some((at, ways)) = self.known().get(slug)
            && now.since(*at) < self.http.patience.definitions
        {
            return Ok(ways.clone());
        }
        let found = self.http.get_json(&self.in_project(project, slug, &[], &[])).await?;
        let id: Uuid = found
            .get("id")
            .and_then(Value::as_str)
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| error::not_sent(error::unreadable()))?;
        let id = id.to_string();
        let mut call = self.call(project, vec!["projects", &id, "pipeline-definitions"], &[]);
        // Of CircleCI's own service, which has them, a 500 says nothing.
        let may_be_server = !self.http.root.is_circleci();
        call.may_be_absent = may_be_server;
        let ways = match self.http.get_json(&call).await {
            Ok(answer) => {
                let definitions = definition::read(&answer).ok_or_else(|| error::not_sent(error::unreadable()))?;
                Ways::Definitions(definitions.into())
            }
            // A server answers 404, or 500 as to some other paths that only the cloud has.
            Err(ReadError::Refused(refusal)) if refusal.status == Some(404) => Ways::Classic,
            Err(ReadError::Unavailable { status: Some(500), .. }) if may_be_server => Ways::Classic,
            Err(error) => return Err(error.into()),
        };
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(slug.clone(), (now, ways.clone()));
        Ok(ways)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<Slug, (Timestamp, Ways)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn login(&self, project: &Project) -> Result<&str, ReadError> {
        let ask = || async {
            let me = self.http.get_json(&self.call(project, vec!["me"], &[])).await?;
            let login = me.get("login").and_then(Value::as_str).map(str::to_owned);
            login.ok_or_else(|| ReadError::Unreadable { why: error::unreadable() })
        };
        self.login.get_or_try_init(ask).await.map(String::as_str)
    }

    async fn pipeline(&self, project: &Project, id: Uuid, lane: Lane) -> Result<Value, ReadError> {
        let id = id.to_string();
        self.http.get_json(&Call { lane, ..self.call(project, vec!["pipeline", &id], &[]) }).await
    }

    /// The items of a paged list, while there are pages, `pages_max` is not reached and the last page calls for more.
    async fn pages(
        &self,
        call: &Call<'_>,
        pages_max: usize,
        more: impl Fn(&[Value]) -> bool,
    ) -> Result<Vec<Value>, ReadError> {
        let (mut items, mut token) = (Vec::new(), None::<String>);
        for _ in 0..pages_max {
            let mut page = call.clone();
            page.query.extend(token.as_deref().map(|token| ("page-token", token)));
            let mut page = self.http.get_json(&page).await?;
            let Some(Value::Array(new)) = page.get_mut("items").map(Value::take) else {
                return Err(ReadError::Unreadable { why: error::unreadable() });
            };
            let go_on = more(&new);
            items.extend(new.into_iter().take(ITEMS_MAX - items.len()));
            token = page.get("next_page_token").and_then(Value::as_str).map(str::to_owned);
            let named = token.as_ref().is_some_and(|token| !token.is_empty() && token.len() <= PAGE_TOKEN_BYTES_MAX);
            if !go_on || !named || items.len() == ITEMS_MAX {
                break;
            }
        }
        Ok(items)
    }

    fn in_project<'a>(
        &'a self,
        project: &'a Project,
        slug: &'a Slug,
        rest: &[&'a str],
        query: &[(&'static str, &'a str)],
    ) -> Call<'a> {
        // The three parts of a slug are segments of their own: as one with `%2F`, `pipeline/run` answers 404.
        let mut segments = vec!["project"];
        segments.extend(slug.segments());
        segments.extend_from_slice(rest);
        self.call(project, segments, query)
    }

    pub(super) fn call<'a>(
        &'a self,
        project: &'a Project,
        segments: Vec<&'a str>,
        query: &[(&'static str, &'a str)],
    ) -> Call<'a> {
        Call::new(Version::V2, segments, query, self.http.access.user(), project)
    }

    /// What is told of a pipeline with these workflows; none when it is no pipeline.
    pub(super) fn run(&self, slug: &Slug, pipeline: &Value, workflows: &[Value]) -> Option<Run> {
        let (id, number) = pipeline::identify(pipeline)?;
        let text = |pointer: &str| pipeline.pointer(pointer).and_then(Value::as_str);
        let (status, word) = pipeline::status(text("/state").unwrap_or("unknown"), workflows);
        let word = self.http.access.redact(word);
        // A GitHub App's or GitLab's trigger tells of the commit in a place of its own.
        let revision = text("/vcs/revision").or_else(|| text("/trigger_parameters/git/checkout_sha"));
        Some(Run {
            id: RunId::Pipeline { id, number },
            url: Some(self.http.root.pipeline_page(slug, number)),
            status,
            status_word: said::word(&word, WORD_UNITS_MAX),
            revision: revision.and_then(|revision| revision.parse::<Revision>().ok()),
            subject: text("/vcs/commit/subject").map(|subject| said::word(subject, SUBJECT_UNITS_MAX)),
        })
    }
}

/// How one order is run.
enum Choice {
    Run(Option<Uuid>),
    Classic,
}

fn choose(order: &Order, ways: &Ways) -> Result<Choice, Refusal> {
    let wanted = match &order.trigger {
        Trigger::Pipeline { definition } => definition.as_deref(),
        Trigger::Job(_) | Trigger::Build => None,
    };
    let refuse = |kind, said| Refusal::new(kind, None, &about(&order.project), said);
    match ways {
        // The classic trigger would run another configuration than the one that was named.
        Ways::Classic if wanted.is_some() => Err(refuse(RefusalKind::DefinitionsUnknown, None)),
        Ways::Classic => Ok(Choice::Classic),
        Ways::Definitions(definitions) => {
            definition::choose(wanted, definitions).map(Choice::Run).map_err(|undecided| {
                let kind = match undecided {
                    Undecided::Ambiguous if wanted.is_none() => RefusalKind::DefinitionAmbiguous,
                    Undecided::Ambiguous | Undecided::NotFound => RefusalKind::DefinitionNotFound,
                };
                refuse(kind, definition::listed(definitions))
            })
        }
    }
}

fn run_body(order: &Order, definition: Option<Uuid>) -> Value {
    let branch = order.branch.as_str();
    let mut body = json!({ "config": { "branch": branch }, "checkout": { "branch": branch } });
    if let Some(definition) = definition {
        body["definition_id"] = definition.to_string().into();
    }
    with_parameters(body, order)
}

fn classic_body(order: &Order) -> Value {
    with_parameters(json!({ "branch": order.branch.as_str() }), order)
}

/// Only parameters that are declared are taken, so an order without any says nothing of them.
fn with_parameters(mut body: Value, order: &Order) -> Value {
    if !order.parameters.is_empty() {
        let parameters = order.parameters.iter().map(|known| (known.name.clone(), Value::from(&known.value)));
        body["parameters"] = Value::Object(parameters.collect::<Map<_, _>>());
    }
    body
}

/// The slug of a project, or why it has none.
pub(super) fn slug(project: &Project) -> Result<Slug, Refusal> {
    Slug::of(project).ok_or_else(|| Refusal::new(RefusalKind::Slug, None, &about(project), None))
}

/// What it means that a pipeline isn't there which was there before.
fn gone(project: &Project, error: ReadError) -> ReadError {
    match error {
        ReadError::Refused(refusal) if refusal.kind == RefusalKind::NotFound => {
            ReadError::Refused(Refusal::new(RefusalKind::RunNotFound, refusal.status, &about(project), refusal.said))
        }
        error => error,
    }
}

/// What a refusal of API v2's is about.
pub(super) fn about(project: &Project) -> About<'_> {
    About { project, variable: super::access::USER_TOKEN, names: vec![] }
}

/// The order's parameters whose names stand in what CircleCI says.
fn mentioned<'a>(order: &'a Order, said: &str) -> Vec<&'a str> {
    let words: HashSet<_> = said.split(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c)).collect();
    order.parameters.iter().map(|known| known.name.as_str()).filter(|name| words.contains(name)).collect()
}

/// What kind of no it is, by the status and the words that go with it.
fn kind(status: u16, said: &str) -> RefusalKind {
    let said = said.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let missing = || says(&["not found", "not exist", "unknown", "no such"]);
    match status {
        200..300 => RefusalKind::NothingStarted,
        401 => RefusalKind::Unauthorized,
        400 | 404 if says(&["branch"]) && missing() => RefusalKind::BranchNotFound,
        400 if says(&["unexpected argument", "undeclared", "not declared", "undefined parameter"])
            || (says(&["parameter"]) && (missing() || says(&["unexpected", "not defined"]))) =>
        {
            RefusalKind::ParameterUndeclared
        }
        400 if says(&["type error"])
            || (says(&["parameter", "argument"]) && says(&["type", "expected", "must be"])) =>
        {
            RefusalKind::ParameterType
        }
        400 if says(&["permission denied"]) => RefusalKind::Forbidden,
        _ => refusal_kind(status),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_no_is_told_by_its_words() {
        assert_eq!(kind(400, "Branch not found"), RefusalKind::BranchNotFound);
        assert_eq!(kind(400, "Unexpected argument(s): tag, x"), RefusalKind::ParameterUndeclared);
        assert_eq!(kind(400, "Unknown pipeline parameter: tag"), RefusalKind::ParameterUndeclared);
        assert_eq!(kind(400, "Type error for argument tag: expected type: boolean"), RefusalKind::ParameterType);
        assert_eq!(kind(400, "Parameter tag must be an integer"), RefusalKind::ParameterType);
        assert_eq!(kind(404, "Project not found."), RefusalKind::NotFound);
        assert_eq!(kind(400, "Unexpected request body provided."), RefusalKind::Other);
        assert_eq!(kind(202, "Branch not found"), RefusalKind::NothingStarted);
        assert_eq!(kind(401, ""), RefusalKind::Unauthorized);
        assert_eq!(kind(403, ""), RefusalKind::Forbidden);
    }

    proptest! {
        #[test]
        fn no_words_panic(said in "\\PC{0,60}", status in 200u16..500) {
            let _ = kind(status, &said);
        }
    }
}
