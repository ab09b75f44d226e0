//! API v1.1's trigger of a whole build: the workflows of a branch or a commit, until 1 February 2027. It answers without
//! a number, so what it led to is looked for: among the pipelines of API v2, else among v1.1's recent builds.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::address::{Slug, Version};
use super::client::Call;
use super::error::{self, About, ReadError, Refusal, RefusalKind, TriggerError};
use super::v1::{self, Jobs};
use super::v2::{self, Pipelines, Ways};
use super::{CLOCK_SKEW, Generation, Look, Order, Project, Run, RunId, Search, pipeline};

/// How CircleCI may call this trigger among its pipelines: nothing that it publishes tells.
const WAYS: [&str; 2] = ["api", "explicit"];

/// Whole builds, which need both generations.
pub(super) struct Builds {
    v1: Arc<Jobs>,
    v2: Arc<Pipelines>,
}

impl Generation for Builds {
    type Id = RunId;

    async fn trigger(&self, order: &Order) -> Result<Run, TriggerError> {
        self.check(order).await?;
        let project = &order.project;
        let segments = vec!["project", project.vcs.as_str(), project.repo.org(), project.repo.repo(), "build"];
        let call = Call::new(Version::V1, segments, &[], self.v1.http.access.user_v1(), project);
        let answer = self.v1.http.post(&call, Some(&body(order))).await?;
        self.v1.note_sunset(&answer);
        let said = answer.json();
        if answer.is_success() {
            let said = said.filter(Value::is_object).ok_or_else(|| error::lost(error::unreadable()))?;
            if let Some(number) = v1::build_number(&said) {
                return Ok(self.v1.run(number, &said));
            }
            // `{"status":200,"body":"Build created"}`
            if said.get("status").and_then(Value::as_i64).is_none_or(|status| (200..300).contains(&status))
                && said.get("message").is_none()
            {
                return Err(TriggerError::Unnamed);
            }
        }
        let said = self.v1.http.said(&answer);
        let about = About { project, variable: &call.credential.variable, names: vec![] };
        let kind = v1::kind(answer.status, said.as_deref().unwrap_or_default());
        Err(TriggerError::Refused(Refusal::new(kind, Some(answer.status), &about, said)))
    }

    async fn look(&self, search: &Search<'_>, _: &mut HashSet<RunId>) -> Result<Look, ReadError> {
        let by_pipelines = self.among_pipelines(search).await;
        if let Ok(look) = &by_pipelines
            && !look.likely.is_empty()
        {
            return by_pipelines;
        }
        match self.among_builds(search).await {
            Ok(look) => Ok(look),
            // Not to have found it means something only when all could be read that tells.
            Err(error) => by_pipelines.and(Err(error)),
        }
    }

    async fn read(&self, project: &Project, id: RunId) -> Result<Run, ReadError> {
        match id {
            RunId::Build(number) => self.v1.read(project, number).await,
            RunId::Pipeline { id, .. } => self.v2.read(project, id).await,
        }
    }
}

impl Builds {
    pub(super) fn new(v1: Arc<Jobs>, v2: Arc<Pipelines>) -> Self {
        Self { v1, v2 }
    }

    /// What speaks against sending an order, found out by reads.
    async fn check(&self, order: &Order) -> Result<(), TriggerError> {
        let project = &order.project;
        let refuse = |kind| TriggerError::Refused(Refusal::new(kind, None, &v2::about(project), None));
        let slug = v2::slug(project).map_err(TriggerError::Refused)?;
        if slug.is_opaque() {
            return Err(refuse(RefusalKind::NoV1));
        }
        if !order.parameters.is_empty() {
            return Err(refuse(RefusalKind::NoParameters));
        }
        if self.v1.http.root.is_circleci() {
            return Ok(());
        }
        match self.v2.bounded_ways(project, &slug).await? {
            Ways::Classic => Err(refuse(RefusalKind::NotOnServer)),
            Ways::Definitions(_) => Ok(()),
        }
    }

    /// Pipelines that we started on this branch at this time. None can carry the deploy's id, so each is only likely.
    async fn among_pipelines(&self, search: &Search<'_>) -> Result<Look, ReadError> {
        let Search { order, claimed, lane } = search;
        let project = &order.project;
        let slug: Slug = v2::slug(project).map_err(ReadError::Refused)?;
        let login = self.v2.login(project).await?;
        let (since, until) = v2::window(order);
        let listed = self.v2.listed(order, &slug, since, *lane).await?;
        let ours = listed.iter().filter(|listed| {
            let found = pipeline::candidate(listed, &WAYS, login, order.branch.as_str(), since..=until);
            found.is_some_and(|(id, number)| !claimed(&RunId::Pipeline { id, number }))
        });
        let runs = ours.filter_map(|listed| self.v2.run(&slug, listed, &[]));
        Ok(Look { certain: vec![], likely: runs.filter(|run| fits(order, run)).collect() })
    }

    /// What was queued on this branch since, and no push or rerun made: the pipeline of each workflow, for one of its builds
    /// alone tells nothing of the end, and builds without one.
    async fn among_builds(&self, search: &Search<'_>) -> Result<Look, ReadError> {
        let Search { order, claimed, lane } = search;
        let mut listed = self.v1.listed(order, *lane).await?;
        listed.sort_by_key(v1::build_number);
        let since = order.requested_at.minus(CLOCK_SKEW);
        let (mut workflows, mut likely) = (HashSet::new(), Vec::new());
        for build in &listed {
            let Some(number) = v1::candidate(build, order.branch.as_str(), since) else { continue };
            let of_others = ["github", "bitbucket", "retry", "ssh"].contains(&pipeline::text(build, "why"));
            let workflow = build.pointer("/workflows/workflow_id").and_then(Value::as_str);
            let known = workflow.is_some_and(|workflow| !workflows.insert(workflow));
            if of_others || known {
                continue;
            }
            let run = match workflow.and_then(|workflow| workflow.parse().ok()) {
                Some(workflow) => self.v2.pipeline_of(&order.project, workflow, *lane).await?,
                None => self.v1.run(number, build),
            };
            if !claimed(&run.id) && fits(order, &run) {
                likely.push(run);
            }
        }
        Ok(Look { certain: vec![], likely })
    }
}

/// Whether a run is of the order's commit, as far as both are told.
fn fits(order: &Order, run: &Run) -> bool {
    match (&order.revision, &run.revision) {
        (Some(wanted), Some(known)) => known.as_str().starts_with(wanted.as_str()),
        _ => true,
    }
}

/// The order as v1.1 takes it. Only a tag would exclude the two from each other.
fn body(order: &Order) -> Value {
    let mut body = json!({ "branch": order.branch.as_str() });
    if let Some(revision) = &order.revision {
        body["revision"] = revision.as_str().into();
    }
    body
}
