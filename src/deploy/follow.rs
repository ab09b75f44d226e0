//! Follows deploys to their end: one scheduler asks CircleCI about each in its turn, often while it is young, and records
//! what it tells. Knows nothing of how deploys are shown.

pub(super) mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::advance::{advance, out_of_reach, vanished, with_failure};
use super::pace::Circumstances;
use super::{Deploy, Deploys, State};
use crate::circleci::{Project, ReadError, RefusalKind, Run, RunId, Status};
use crate::db::DbError;
use crate::metrics::Polled;
use crate::repo::Repo;
use crate::time::Timestamp;

/// How many questions are under way at once.
const QUESTIONS_MAX: usize = 16;
/// The deploys that a start takes up are asked about within this time, one after the other.
const TAKE_UP_WITHIN: Duration = Duration::from_secs(5);
/// A question that could not be recorded, or that the database couldn't even begin, is asked again after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// A project whose webhooks were heard within this time is believed to send them.
const WEBHOOKS_BELIEVED_FOR: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many searches for lost builds are under way at once: each takes its time, and the other questions shall not wait.
const LOOKS_MAX: usize = 4;
/// How often what failed is asked for; the end is told without it.
const FAILURE_TRIES: u32 = 3;

/// What went wrong with the questions about each deploy, since the last good answer. Lost at a stop: the next start begins
/// to count anew.
#[derive(Debug, Clone)]
pub struct Troubles {
    known: Arc<Mutex<HashMap<Uuid, Trouble>>>,
    looks: Arc<Semaphore>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Trouble {
    unanswered: u32,
    out_of_reach_since: Option<Timestamp>,
    vanished: u32,
    vanished_since: Option<Timestamp>,
}

impl Default for Troubles {
    fn default() -> Self {
        Self { known: Arc::default(), looks: Arc::new(Semaphore::new(LOOKS_MAX)) }
    }
}

impl Troubles {
    fn of(&self, deploy: Uuid) -> Trouble {
        self.known().get(&deploy).copied().unwrap_or_default()
    }

    fn over(&self, deploy: Uuid) {
        self.known().remove(&deploy);
    }

    /// One more; how it stands now.
    fn one_more(&self, deploy: Uuid, now: Timestamp, vanished: bool) -> Trouble {
        let mut known = self.known();
        let trouble = known.entry(deploy).or_default();
        trouble.unanswered += 1;
        if vanished {
            trouble.vanished += 1;
            trouble.vanished_since.get_or_insert(now);
        } else {
            trouble.out_of_reach_since.get_or_insert(now);
        }
        *trouble
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Uuid, Trouble>> {
        // Nothing panics while it is locked.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deploys {
    /// Follows every unfinished deploy until `stopping`.
    pub async fn follow(&self, stopping: &CancellationToken) {
        let mut asking = JoinSet::new();
        loop {
            tokio::select! {
                () = stopping.cancelled() => break,
                turn = self.agenda.next(), if asking.len() < QUESTIONS_MAX => {
                    let deploys = self.clone();
                    asking.spawn(async move {
                        let pause = deploys.ask(turn.deploy()).await;
                        turn.ends(pause);
                    });
                }
                Some(asked) = asking.join_next() => if let Err(error) = asked {
                    tracing::error!("Following a deploy ended badly: {error}. This is a mistake in Slipway; please report it");
                }
            }
        }
        // A transaction is whole or isn't; what is being asked is asked again at the next start.
        asking.shutdown().await;
    }

    /// Takes up the deploys that the last stop has left behind, spread over a few seconds. How many there are.
    pub async fn take_up(&self) -> Result<usize, DbError> {
        let left = store::followed(self.db.pool()).await?;
        let each = TAKE_UP_WITHIN.checked_div(u32::try_from(left.len()).unwrap_or(u32::MAX)).unwrap_or_default();
        let mut pause = Duration::ZERO;
        for deploy in &left {
            self.agenda.add(*deploy, pause);
            pause += each.min(self.pace.first);
        }
        Ok(left.len())
    }

    /// How many deploys are followed.
    pub fn followed(&self) -> usize {
        self.agenda.len()
    }

    /// CircleCI has told, by a webhook, that a workflow of a pipeline, or a job, of `project` (`gh/acme/web`) has ended.
    pub async fn heard(&self, project: &str, ended: Ended) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        store::heard_webhook(&mut tx, &heard_as(project, ended.is_job()), self.clock.now()).await?;
        tx.commit().await?;
        let (pipeline, build) = match ended {
            Ended::Workflow { pipeline } => (Some(pipeline), None),
            Ended::Job { number } => (None, Some(number)),
        };
        for (deploy, slug) in store::of_run(self.db.pool(), pipeline, build).await? {
            // Builds are numbered in their project.
            if pipeline.is_some() || slug.eq_ignore_ascii_case(project) {
                self.agenda.nudge(deploy);
            }
        }
        Ok(())
    }

    /// Asks CircleCI about a deploy and records what it tells. How long to wait before the next question; nothing when no
    /// more need be asked.
    async fn ask(&self, uuid: Uuid) -> Option<Duration> {
        let deploy = match super::store::deploy(self.db.pool(), uuid).await {
            Ok(Some(deploy)) if deploy.followed => deploy,
            Ok(_) => return None,
            Err(error) => {
                tracing::warn!(deploy.uuid = %uuid, "A deploy can't be read, so it isn't followed for a moment: {error}");
                return Some(AGAIN_AFTER);
            }
        };
        let asked = match &deploy.run {
            Some(run) if deploy.state == State::Failed => self.ask_what_failed(&deploy, run).await,
            Some(run) => self.ask_about_run(&deploy, run).await,
            None => match self.troubles.looks.try_acquire() {
                Ok(_look) => self.look_again(deploy.clone()).await.map_err(Unanswered::OutOfReach),
                // It waits for its turn among those that are looked for.
                Err(_) => return Some(self.pace.first),
            },
        };
        match asked {
            Ok(next) => {
                self.metrics.polled(if next.version == deploy.version { Polled::Unchanged } else { Polled::Changed });
                self.troubles.over(uuid);
                self.cancel_as_asked(&next).await;
                if next.followed { Some(self.pause(&next).await) } else { None }
            }
            Err(unanswered) => {
                self.metrics.polled(Polled::Failed);
                self.without_answer(deploy, unanswered).await
            }
        }
    }

    async fn ask_about_run(&self, deploy: &Deploy, run: &RunId) -> Result<Deploy, Unanswered> {
        let project = self.project_of(deploy).await.map_err(|error| Unanswered::Database(error.to_string()))?;
        let seen = deploy.revision.as_ref().filter(|_| !deploy.report.workflows.is_empty()).map(|_| seen(deploy, run));
        let progress = self.circleci.progress(&project, run, seen.as_ref()).await.map_err(Unanswered::from)?;
        let Some(mut next) = advance(deploy, &progress, &self.pace, self.clock.now()) else {
            return Ok(deploy.clone());
        };
        self.keep(deploy, &mut next, false).await.map_err(|error| Unanswered::Database(error.to_string()))?;
        if next.state != deploy.state {
            tracing::info!(deploy.id = next.id.0, deploy.uuid = %next.uuid, deploy.state = %next.state, "A deploy has moved on");
        }
        Ok(next)
    }

    /// The end is told by now; this is for people to read.
    async fn ask_what_failed(&self, deploy: &Deploy, run: &RunId) -> Result<Deploy, Unanswered> {
        let project = self.project_of(deploy).await.map_err(|error| Unanswered::Database(error.to_string()))?;
        let failure = match self.circleci.failure(&project, run).await {
            Ok(failure) => failure,
            Err(error) if self.troubles.of(deploy.uuid).unanswered + 1 < FAILURE_TRIES => return Err(error.into()),
            Err(_) => None,
        };
        let mut next = with_failure(deploy, failure);
        self.keep(deploy, &mut next, false).await.map_err(|error| Unanswered::Database(error.to_string()))?;
        Ok(next)
    }

    /// What comes of a question without an answer.
    async fn without_answer(&self, deploy: Deploy, unanswered: Unanswered) -> Option<Duration> {
        let now = self.clock.now();
        let is_gone = matches!(unanswered, Unanswered::Vanished);
        let trouble = self.troubles.one_more(deploy.uuid, now, is_gone);
        let lasts = |since: Option<Timestamp>| since.map(|since| now.since(since)).unwrap_or_default();
        let vanishes =
            trouble.vanished >= self.pace.vanished_times && lasts(trouble.vanished_since) >= self.pace.vanished_for;
        let next = match &unanswered {
            Unanswered::Vanished if vanishes => Some(vanished(&deploy, now)),
            _ if now.since(deploy.began_at()) >= self.pace.never_ends => Some(vanished(&deploy, now)),
            Unanswered::OutOfReach(error) if lasts(trouble.out_of_reach_since) >= self.pace.outage => {
                out_of_reach(&deploy, error, now)
            }
            _ => None,
        };
        tracing::debug!(deploy.uuid = %deploy.uuid, "CircleCI was asked about a deploy in vain: {unanswered}");
        let Some(mut next) = next else { return Some(self.pause(&deploy).await) };
        tracing::warn!(deploy.id = next.id.0, deploy.uuid = %next.uuid, "It is not known how far a deploy is: {unanswered}");
        // Failing that, the next question comes to the same.
        let kept = self.keep(&deploy, &mut next, false).await;
        if kept.is_ok() && !next.followed {
            self.troubles.over(deploy.uuid);
            return None;
        }
        Some(self.pause(&deploy).await)
    }

    async fn pause(&self, deploy: &Deploy) -> Duration {
        let now = self.clock.now();
        let circumstances = Circumstances {
            age: now.since(deploy.began_at()),
            webhooks: self.sends_webhooks(deploy, now).await,
            unanswered: self.troubles.of(deploy.uuid).unanswered,
        };
        self.pace.next(circumstances, rand::random())
    }

    async fn sends_webhooks(&self, deploy: &Deploy, now: Timestamp) -> bool {
        let heard = store::webhooks_since(self.db.pool(), now.minus(WEBHOOKS_BELIEVED_FOR)).await.unwrap_or_default();
        let slug = match &deploy.project {
            Some(slug) => slug.as_str().to_owned(),
            None => format!("{}/{}", deploy.vcs.short(), deploy.repo),
        };
        let is_job = matches!(deploy.run, Some(RunId::Build(_)));
        heard.iter().any(|project| project.eq_ignore_ascii_case(&heard_as(&slug, is_job)))
    }

    pub(super) async fn project_of(&self, deploy: &Deploy) -> Result<Project, DbError> {
        let repo =
            Repo { name: deploy.repo.clone(), vcs: deploy.vcs, project: deploy.project.clone(), default_branch: None };
        self.repos.project(&repo).await
    }
}

/// What a webhook tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// A workflow of this pipeline.
    Workflow { pipeline: Uuid },
    /// The job, or build, of this number in its project.
    Job { number: i64 },
}

impl Ended {
    fn is_job(self) -> bool {
        matches!(self, Ended::Job { .. })
    }
}

/// Under which name it is kept that a project's webhooks were heard: CircleCI can be told to send one kind alone.
fn heard_as(project: &str, job: bool) -> String {
    format!("{project} {}", if job { "jobs" } else { "workflows" })
}

/// What is known of a run already, so that it need not be read again.
fn seen(deploy: &Deploy, run: &RunId) -> Run {
    Run {
        id: run.clone(),
        url: deploy.url.clone(),
        status: match deploy.state {
            State::Queued | State::Triggering => Status::Queued,
            _ => Status::Running,
        },
        status_word: deploy.state.to_string(),
        revision: deploy.revision.clone(),
        subject: deploy.subject.clone(),
    }
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// CircleCI says that the run isn't there.
    #[error("CircleCI says that it isn't there")]
    Vanished,
    /// CircleCI didn't answer, or not so that it could be understood.
    #[error("{0}")]
    OutOfReach(String),
    /// Our own database didn't.
    #[error("{0}")]
    Database(String),
}

impl From<ReadError> for Unanswered {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Refused(refusal) if refusal.kind == RefusalKind::RunNotFound => Unanswered::Vanished,
            other => Unanswered::OutOfReach(other.to_string()),
        }
    }
}
