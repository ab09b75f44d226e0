//! Follows deploys to their end: one scheduler asks CircleCI about each in its turn, often while it is young, and records
//! what it tells. Knows nothing of how deploys are shown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::advance::{advance, out_of_reach, vanished};
use super::pace::Circumstances;
use super::{Deploy, Deploys, State, store};
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

/// What went wrong with the questions about each deploy, since the last good answer. Lost at a stop: the next start begins
/// to count anew.
#[derive(Debug, Clone, Default)]
pub struct Troubles(Arc<Mutex<HashMap<Uuid, Trouble>>>);

#[derive(Debug, Clone, Copy)]
struct Trouble {
    since: Timestamp,
    unanswered: u32,
    vanished: u32,
}

impl Troubles {
    fn of(&self, deploy: Uuid) -> Option<Trouble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&deploy).copied()
    }

    fn over(&self, deploy: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&deploy);
    }

    /// One more; how it stands now.
    fn one_more(&self, deploy: Uuid, now: Timestamp, vanished: bool) -> Trouble {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = troubles.entry(deploy).or_insert(Trouble { since: now, unanswered: 0, vanished: 0 });
        if vanished != (trouble.vanished > 0) {
            *trouble = Trouble { since: now, unanswered: 0, vanished: 0 };
        }
        trouble.unanswered += 1;
        trouble.vanished += u32::from(vanished);
        *trouble
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
        for (deploy, _) in &left {
            self.agenda.add(*deploy, pause);
            pause += each.min(self.pace.first);
        }
        Ok(left.len())
    }

    /// How many deploys are followed.
    pub fn followed(&self) -> usize {
        self.agenda.len()
    }

    /// CircleCI has told, by a webhook, that something has happened to a run of `project` (`gh/acme/web`).
    pub async fn heard(&self, project: &str, pipeline: Option<Uuid>, build: Option<i64>) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        store::heard_webhook(&mut tx, project, self.clock.now()).await?;
        tx.commit().await?;
        for (deploy, _) in store::of_run(self.db.pool(), pipeline, build).await? {
            self.agenda.nudge(deploy);
        }
        Ok(())
    }

    /// Asks CircleCI about a deploy and records what it tells. How long to wait before the next question; nothing when no
    /// more need be asked.
    async fn ask(&self, uuid: Uuid) -> Option<Duration> {
        let deploy = match store::deploy(self.db.pool(), uuid).await {
            Ok(Some(deploy)) if deploy.followed => deploy,
            Ok(_) => return None,
            Err(error) => {
                tracing::warn!(deploy.uuid = %uuid, "A deploy can't be read, so it isn't followed for a moment: {error}");
                return Some(AGAIN_AFTER);
            }
        };
        let asked = match &deploy.run {
            Some(run) => self.ask_about_run(&deploy, run).await,
            None => self.look_again(deploy.clone()).await.map_err(Unanswered::OutOfReach),
        };
        match asked {
            Ok(next) => {
                self.metrics.polled(if next.version == deploy.version { Polled::Unchanged } else { Polled::Changed });
                self.troubles.over(uuid);
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
        let failure = match progress.run.status {
            // What failed is for people to read; the end doesn't wait for it.
            Status::Failed => self.circleci.failure(&project, run).await.unwrap_or_else(|error| {
                tracing::debug!(deploy.uuid = %deploy.uuid, "What failed can't be read: {error}");
                None
            }),
            _ => None,
        };
        let Some(mut next) = advance(deploy, &progress, failure, &self.pace, self.clock.now()) else {
            return Ok(deploy.clone());
        };
        self.keep(deploy, &mut next, false).await.map_err(|error| Unanswered::Database(error.to_string()))?;
        if next.state != deploy.state {
            tracing::info!(deploy.id = next.id.0, deploy.uuid = %next.uuid, deploy.state = %next.state, "A deploy has moved on");
        }
        Ok(next)
    }

    /// What comes of a question without an answer.
    async fn without_answer(&self, deploy: Deploy, unanswered: Unanswered) -> Option<Duration> {
        let now = self.clock.now();
        let vanished_now = matches!(unanswered, Unanswered::Vanished);
        let trouble = self.troubles.one_more(deploy.uuid, now, vanished_now);
        let lasts = now.since(trouble.since);
        let next = match &unanswered {
            Unanswered::Database(_) => None,
            Unanswered::Vanished if trouble.vanished >= self.pace.vanished_times && lasts >= self.pace.vanished_for => {
                vanished(&deploy, now)
            }
            Unanswered::OutOfReach(error) if lasts >= self.pace.outage => out_of_reach(&deploy, error, now),
            Unanswered::Vanished | Unanswered::OutOfReach(_) => None,
        };
        tracing::debug!(deploy.uuid = %deploy.uuid, "CircleCI was asked about a deploy in vain: {unanswered}");
        let Some(mut next) = next else { return Some(self.pause(&deploy).await) };
        tracing::warn!(deploy.id = next.id.0, deploy.uuid = %next.uuid, "It is not known how far a deploy is: {unanswered}");
        // Failing that, the next question comes to the same.
        let _ = self.keep(&deploy, &mut next, false).await;
        if next.followed { Some(self.pause(&next).await) } else { None }
    }

    async fn pause(&self, deploy: &Deploy) -> Duration {
        let now = self.clock.now();
        let circumstances = Circumstances {
            age: now.since(deploy.asked_at),
            webhooks: self.sends_webhooks(deploy, now).await,
            unanswered: self.troubles.of(deploy.uuid).map_or(0, |trouble| trouble.unanswered),
        };
        self.pace.next(circumstances, rand::random())
    }

    async fn sends_webhooks(&self, deploy: &Deploy, now: Timestamp) -> bool {
        let heard = store::webhooks_since(self.db.pool(), now.minus(WEBHOOKS_BELIEVED_FOR)).await.unwrap_or_default();
        let slug = match &deploy.project {
            Some(slug) => slug.as_str().to_owned(),
            None => format!("{}/{}", deploy.vcs.short(), deploy.repo),
        };
        heard.iter().any(|project| project.eq_ignore_ascii_case(&slug))
    }

    pub(super) async fn project_of(&self, deploy: &Deploy) -> Result<Project, DbError> {
        let repo =
            Repo { name: deploy.repo.clone(), vcs: deploy.vcs, project: deploy.project.clone(), default_branch: None };
        self.repos.project(&repo).await
    }
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
