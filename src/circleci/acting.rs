//! What a person asks of a run: stop it, approve what waits, run it again from where it failed. Each request is sent
//! once; only a 429, with which CircleCI says that it took nothing, is waited for.

use serde_json::json;
use uuid::Uuid;

use super::budget::Lane;
use super::client::{Answer, Call, refusal_kind};
use super::error::{self, About, ActError, Refusal, RefusalKind};
use super::progress::{self, Canceled, Hold};
use super::v2::{self, Pipelines};
use super::{CircleCi, Project, RunId, Status, pipeline};

/// How CircleCI says that there is nothing left to do.
const TOO_LATE: [&str; 6] = ["already", "finished", "not running", "completed", "has ended", "can't be canceled"];

impl CircleCi {
    /// Asks CircleCI to stop a run: the build, or each workflow of the pipeline that has not ended. To ask twice does no
    /// harm.
    ///
    /// # Errors
    /// [`ActError::Refused`] and [`ActError::NotSent`] when nothing has changed, at least in one workflow;
    /// [`ActError::Uncertain`] when it may have.
    pub async fn cancel(&self, project: &Project, run: &RunId) -> Result<Canceled, ActError> {
        match run {
            RunId::Build(number) => self.cancel_build(project, *number).await,
            RunId::Pipeline { id, .. } => self.v2.cancel(project, *id).await,
        }
    }

    /// Approves a job that waits, as the owner of the personal token. To ask twice does no harm.
    ///
    /// # Errors
    /// As [`CircleCi::cancel`]; [`RefusalKind::NotOnHold`] when it doesn't wait any more.
    pub async fn approve(&self, project: &Project, hold: &Hold) -> Result<(), ActError> {
        let (workflow, approval) = (hold.workflow.to_string(), hold.approval.to_string());
        let call = self.v2.call(project, vec!["workflow", &workflow, "approve", &approval], &[]);
        let answer = self.http.post(&call, None).await?;
        if answer.is_success() {
            return Ok(());
        }
        let kind = match answer.status {
            400 | 404 | 409 => RefusalKind::NotOnHold,
            status => refusal_kind(status),
        };
        Err(self.v2.refused(project, kind, &answer))
    }

    /// Runs the newest workflow of a pipeline that failed again, its failed jobs and those after them. Its id; it
    /// belongs to the same pipeline, whose [`CircleCi::progress`] tells of it. Not to be asked twice: it would run twice.
    ///
    /// # Errors
    /// As [`CircleCi::cancel`]; [`RefusalKind::OnlyPipelines`] for a build, [`RefusalKind::NothingFailed`] where no
    /// workflow has failed.
    pub async fn rerun_from_failed(&self, project: &Project, run: &RunId) -> Result<Uuid, ActError> {
        match run {
            RunId::Build(_) => {
                let about = v2::about(project);
                Err(ActError::Refused(Refusal::new(RefusalKind::OnlyPipelines, None, &about, None)))
            }
            RunId::Pipeline { id, .. } => self.v2.rerun_from_failed(project, *id).await,
        }
    }

    async fn cancel_build(&self, project: &Project, number: i64) -> Result<Canceled, ActError> {
        let number = number.to_string();
        let call = self.v1.call(project, &[&number, "cancel"], &[]);
        let answer = self.http.post(&call, None).await?;
        if answer.is_success() {
            let build = answer.json().unwrap_or_default();
            let outcome = build.get("outcome").and_then(|outcome| outcome.as_str());
            let over = outcome.is_some_and(|outcome| outcome != "canceled");
            return Ok(if over { Canceled::AlreadyEnded } else { Canceled::Asked { count: 1 } });
        }
        let said = self.http.said(&answer);
        if too_late(answer.status, said.as_deref()) {
            return Ok(Canceled::AlreadyEnded);
        }
        let about = About { project, variable: &call.credential.variable, names: vec![] };
        let refusal = Refusal::new(refusal_kind(answer.status), Some(answer.status), &about, said);
        Err(ActError::Refused(match refusal.kind {
            RefusalKind::NotFound => self.v1.gone(project, refusal),
            _ => refusal,
        }))
    }
}

impl Pipelines {
    async fn cancel(&self, project: &Project, id: Uuid) -> Result<Canceled, ActError> {
        let workflows = self.workflows(project, id, Lane::Person).await?;
        if workflows.is_empty() {
            let pipeline = self.followed(project, id, Lane::Person).await?;
            let errored = pipeline::text(&pipeline, "state") == "errored";
            return Ok(if errored { Canceled::AlreadyEnded } else { Canceled::NothingYet });
        }
        let live = workflows
            .iter()
            .filter(|workflow| !pipeline::is_over(pipeline::workflow_status(pipeline::text(workflow, "status"))));
        let (mut count, mut failure) = (0, None);
        for workflow in live.filter_map(|workflow| progress::id(workflow, "id")) {
            match self.cancel_workflow(project, workflow).await {
                Ok(asked) => count += usize::from(asked),
                // The others are to be stopped all the same.
                Err(error) => failure = Some(error),
            }
        }
        match (failure, count) {
            (Some(error), _) => Err(error),
            (None, 0) => Ok(Canceled::AlreadyEnded),
            (None, count) => Ok(Canceled::Asked { count }),
        }
    }

    /// Whether there was something to stop.
    async fn cancel_workflow(&self, project: &Project, workflow: Uuid) -> Result<bool, ActError> {
        let workflow = workflow.to_string();
        let call = self.call(project, vec!["workflow", &workflow, "cancel"], &[]);
        let answer = self.http.post(&call, None).await?;
        if answer.is_success() {
            return Ok(true);
        }
        if too_late(answer.status, self.http.said(&answer).as_deref()) {
            return Ok(false);
        }
        Err(self.refused(project, refusal_kind(answer.status), &answer))
    }

    async fn rerun_from_failed(&self, project: &Project, id: Uuid) -> Result<Uuid, ActError> {
        let workflows = self.workflows(project, id, Lane::Person).await?;
        let newest = pipeline::newest(&workflows);
        let failed = newest
            .iter()
            .filter(|workflow| pipeline::workflow_status(pipeline::text(workflow, "status")) == Status::Failed);
        let Some(failed) = failed.max_by_key(|workflow| pipeline::created(workflow)) else {
            let refusal = Refusal::new(RefusalKind::NothingFailed, None, &v2::about(project), None);
            return Err(ActError::Refused(refusal));
        };
        let failed = pipeline::text(failed, "id").parse::<Uuid>().unwrap_or_default().to_string();
        let call: Call<'_> = self.call(project, vec!["workflow", &failed, "rerun"], &[]);
        // The name is API v2's. v3's is another one, and each ignores the other's: everything would run again.
        let answer = self.http.post(&call, Some(&json!({ "from_failed": true }))).await?;
        if answer.is_success() {
            let new = answer.json().and_then(|answer| progress::id(&answer, "workflow_id"));
            return new.ok_or_else(|| error::uncertain(&error::unreadable()));
        }
        Err(self.refused(project, refusal_kind(answer.status), &answer))
    }

    pub(super) fn refused(&self, project: &Project, kind: RefusalKind, answer: &Answer) -> ActError {
        let said = self.http.said(answer);
        ActError::Refused(Refusal::new(kind, Some(answer.status), &v2::about(project), said))
    }
}

/// Whether a no to a cancel means that it has ended.
fn too_late(status: u16, said: Option<&str>) -> bool {
    let said = said.unwrap_or_default().to_ascii_lowercase();
    matches!(status, 400 | 409) && TOO_LATE.iter().any(|words| said.contains(words))
}
