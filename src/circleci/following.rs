//! One poll of a run: as few reads as tell everything that a card shows. Knows nothing of when to poll.

use serde_json::Value;
use uuid::Uuid;

use super::budget::Lane;
use super::error::{self, ReadError};
use super::progress::{self, Progress, WorkflowLine};
use super::v2::{self, Pipelines};
use super::{CircleCi, Project, Run, RunId, Status, pipeline};

impl CircleCi {
    /// One poll of a run.
    ///
    /// `seen` is the run as an earlier poll with workflows told it: then the workflows alone are read, one call, and the
    /// pipeline again only where its revision isn't known or its setup workflow has just ended. Jobs are read for
    /// workflows that are on hold, and for no others. A word that isn't known counts as still running. Where a pipeline
    /// has no workflows, whether they are late or will never come is for the caller to decide, by the time that passes.
    ///
    /// # Errors
    /// As [`CircleCi::read`].
    pub async fn progress(&self, project: &Project, run: &RunId, seen: Option<&Run>) -> Result<Progress, ReadError> {
        match run {
            RunId::Build(number) => {
                let build = self.v1.followed(project, *number).await?;
                let run = self.v1.run(*number, &build);
                let ended_at = progress::stopped(&build, "stop_time");
                Ok(Progress { run, workflows: vec![], holds: vec![], messages: vec![], ended_at })
            }
            RunId::Pipeline { id, .. } => self.v2.progress(project, *id, seen).await,
        }
    }
}

/// How many workflows' jobs are read in one poll for what waits in them.
const HELD_MAX: usize = 3;

impl Pipelines {
    async fn progress(&self, project: &Project, id: Uuid, seen: Option<&Run>) -> Result<Progress, ReadError> {
        let slug = v2::slug(project).map_err(ReadError::Refused)?;
        let seen =
            seen.filter(|run| run.revision.is_some() && matches!(run.id, RunId::Pipeline { id: of, .. } if of == id));
        let (pipeline, workflows) = match seen {
            Some(_) => {
                let workflows = self.workflows(project, id, Lane::Poll).await?;
                let pipeline =
                    if enough(&workflows) { None } else { Some(self.followed(project, id, Lane::Poll).await?) };
                (pipeline, workflows)
            }
            None => {
                let pipeline = self.followed(project, id, Lane::Poll).await?;
                // One that errored has no workflows and never gets any.
                let errored = pipeline::text(&pipeline, "state") == "errored";
                let workflows = if errored { vec![] } else { self.workflows(project, id, Lane::Poll).await? };
                (Some(pipeline), workflows)
            }
        };
        let run = match (&pipeline, seen) {
            (Some(pipeline), _) => self.run(&slug, pipeline, &workflows),
            (None, Some(seen)) => Some(self.moved_on(seen, &workflows)),
            (None, None) => None,
        };
        let run = run.ok_or_else(|| ReadError::Unreadable { why: error::unreadable() })?;
        let RunId::Pipeline { number, .. } = run.id else {
            return Err(ReadError::Unreadable { why: error::unreadable() });
        };
        let lines = progress::lines(&workflows, |workflow| self.http.root.workflow_page(&slug, number, workflow));
        let messages = pipeline.as_ref().map(progress::errors).unwrap_or_default();
        let messages = messages.into_iter().map(|message| self.http.access.redact(message));
        let unauthorized = lines.iter().filter(|line| line.word == "unauthorized");
        let messages = messages.chain(unauthorized.map(|line| error::unauthorized(&line.name))).collect();
        let ended_at = progress::ended_at(&workflows);
        Ok(Progress { run, holds: self.holds(project, &lines).await?, workflows: lines, messages, ended_at })
    }

    /// What waits for an approval in these workflows.
    async fn holds(&self, project: &Project, lines: &[WorkflowLine]) -> Result<Vec<progress::Hold>, ReadError> {
        let mut holds = Vec::new();
        for line in lines.iter().filter(|line| line.word == "on_hold").take(HELD_MAX) {
            let jobs = self.jobs(project, line.id, Lane::Poll).await?;
            holds.extend(progress::holds(line.id, &jobs));
        }
        Ok(holds)
    }

    /// A run that was seen before, as far as these workflows are.
    fn moved_on(&self, seen: &Run, workflows: &[Value]) -> Run {
        // Its state is done with changing: there are workflows, and not only setup ones.
        let (status, word) = pipeline::status("created", workflows);
        let status_word = super::said::word(&self.http.access.redact(word), progress::WORD_UNITS_MAX);
        Run { status, status_word, ..seen.clone() }
    }
}

/// Whether the workflows alone tell how far the pipeline is: there are some, and they aren't a setup workflow that has
/// ended, which others follow or not as the pipeline's state says.
fn enough(workflows: &[Value]) -> bool {
    let newest = pipeline::newest(workflows);
    let setup_is_over = || {
        pipeline::only_setup(&newest)
            && newest
                .iter()
                .all(|workflow| pipeline::workflow_status(pipeline::text(workflow, "status")) == Status::Succeeded)
    };
    !newest.is_empty() && !setup_is_over()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn workflows_alone_are_enough_unless_a_setup_has_just_ended() {
        assert!(!enough(&[]));
        assert!(enough(&[json!({"name": "deploy", "status": "success"})]));
        assert!(enough(&[json!({"name": "setup", "status": "running", "tag": "setup"})]));
        assert!(!enough(&[json!({"name": "setup", "status": "success", "tag": "setup"})]));
        assert!(enough(&[
            json!({"name": "setup", "status": "success", "tag": "setup"}),
            json!({"name": "deploy", "status": "running"}),
        ]));
    }
}
