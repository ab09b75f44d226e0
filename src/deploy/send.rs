//! Sends a recorded deploy to CircleCI once, looks for one whose fate isn't known, and records what came of it.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use uuid::Uuid;

use super::plan::name_for_circleci;
use super::settled::Settled;
use super::{Deploy, Deploys, Reason, State, follow, store};
use crate::audit::{self, Entry, Outcome};
use crate::circleci::{CLOCK_SKEW, Found, Lane, Order, RunId, SENT_WITHIN, Search, TriggerError};
use crate::db::DbError;
use crate::metrics::Triggered;
use crate::repo::Revision;

/// A result that could not be recorded is tried again this often, over about half a minute.
const RECORD_TRIES: usize = 8;

/// What is told of a deploy that still stands as being sent: a stop has interrupted it, or the database.
const INTERRUPTED: &str = "CircleCI's answer to the trigger was not recorded.";
/// What is told of one whose answer never came.
const ANSWER_LOST: &str = "CircleCI's answer to the trigger was lost.";
/// How many pipelines are held in memory: more than are triggered while one is looked for. The database holds them all.
const CLAIMS_MAX: usize = 1_024;

/// The pipelines that this process gave to deploys lately, so that a look under way passes them over at once.
#[derive(Clone, Default)]
pub struct Claims(Arc<Mutex<VecDeque<(Uuid, Uuid)>>>);

impl Claims {
    fn add(&self, pipeline: Uuid, deploy: Uuid) {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.push_back((pipeline, deploy));
        if claims.len() > CLAIMS_MAX {
            claims.pop_front();
        }
    }

    /// Whether another deploy than `deploy` has the pipeline.
    fn hold(&self, pipeline: &Uuid, deploy: &Uuid) -> bool {
        let claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.iter().any(|(held, by)| held == pipeline && by != deploy)
    }
}

impl Deploys {
    /// Sends a recorded deploy to CircleCI, at most once, and records what came of it; from then on it is followed.
    pub async fn send(&self, deploy: Deploy) -> Deploy {
        let deploy = self.send_once(deploy).await;
        if deploy.followed {
            self.agenda.add(deploy.uuid, self.pace.first);
        }
        self.metrics.triggered(deploy.trigger.kind(), what_came_of(deploy.state));
        deploy
    }

    async fn send_once(&self, deploy: Deploy) -> Deploy {
        let order = match self.order(&deploy).await {
            Ok(order) => order,
            Err(error) => {
                return self.settle(deploy, Settled::not_sent(&format!("{error} Nothing was started."))).await;
            }
        };
        let settled = match self.circleci.trigger(&order).await {
            Ok(run) => Settled::taken(run),
            Err(TriggerError::Refused(refusal)) => {
                if refusal.concerns_the_operator() {
                    tracing::error!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, "{refusal}");
                }
                Settled::refused(&refusal)
            }
            Err(TriggerError::NotSent { why }) => {
                tracing::warn!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, "A deploy was not sent: {why}");
                Settled::not_sent(&why)
            }
            Err(error @ TriggerError::Unnamed) => {
                let why = error.to_string();
                self.look(&order, &why, Lane::Person).await.unwrap_or_else(|error| Settled::out_of_reach(&why, &error))
            }
            Err(TriggerError::Lost { why }) => {
                tracing::warn!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, "It is not known whether CircleCI took a deploy; it is looked for: {why}");
                self.look(&order, &why, Lane::Person).await.unwrap_or_else(|error| Settled::out_of_reach(&why, &error))
            }
        };
        self.settle(deploy, settled).await
    }

    /// Looks for a deploy of which it isn't known whether CircleCI took it: never sent again, what was found is recorded.
    ///
    /// # Errors
    /// When CircleCI can't be asked now: why.
    pub(super) async fn look_again(&self, deploy: Deploy) -> Result<Deploy, String> {
        let order = self.order(&deploy).await.map_err(|error| error.to_string())?;
        let why = if deploy.state == State::Triggering { INTERRUPTED } else { ANSWER_LOST };
        let settled = self.look(&order, why, Lane::Poll).await?;
        Ok(self.settle(deploy, settled).await)
    }

    async fn order(&self, deploy: &Deploy) -> Result<Order, DbError> {
        Ok(Order {
            project: self.project_of(deploy).await?,
            trigger: deploy.trigger.clone(),
            branch: deploy.branch.clone(),
            revision: deploy.revision.clone(),
            parameters: deploy.parameters.clone(),
            deploy: deploy.uuid,
            environment: deploy.environment.clone(),
            actor: name_for_circleci(&deploy.actor, &deploy.actor_name),
            requested_at: deploy.asked_at,
        })
    }

    /// What looking for a deploy finds; an error when it could not be looked for.
    async fn look(&self, order: &Order, why: &str, lane: Lane) -> Result<Settled, String> {
        let said = |error: DbError| error.to_string();
        let held =
            follow::store::pipelines_since(self.db.pool(), order.requested_at.minus(CLOCK_SKEW)).await.map_err(said)?;
        let held: HashSet<Uuid> = held.into_iter().collect();
        let builds =
            follow::store::builds_of(self.db.pool(), &order.project.repo, order.requested_at.minus(CLOCK_SKEW)).await;
        let builds: HashSet<i64> = builds.map_err(said)?.into_iter().collect();
        let claimed = |run: &RunId| match run {
            RunId::Pipeline { id, .. } => held.contains(id) || self.claims.hold(id, &order.deploy),
            RunId::Build(number) => builds.contains(number),
        };
        let found = match self.circleci.look_for(&Search { order, claimed: &claimed, lane }).await {
            Ok(Found::Likely(run)) if self.has_rivals(order).await.map_err(said)? => Found::Several(vec![run]),
            Ok(found) => found,
            // A no to a read can be a moment's trouble as well: nothing is concluded from it.
            Err(error) => return Err(error.to_string()),
        };
        Ok(Settled::looked_for(found, why))
    }

    /// Whether another deploy, whose pipeline isn't known either, may have made the one that was found.
    async fn has_rivals(&self, order: &Order) -> Result<bool, DbError> {
        let near = SENT_WITHIN + CLOCK_SKEW;
        let window = order.requested_at.minus(near)..=order.requested_at.plus(near);
        let unknown = follow::store::without_run(self.db.pool(), &order.project.repo, &order.branch, window).await?;
        Ok(unknown.iter().any(|other| *other != order.deploy))
    }

    /// Records what a deploy has become. What CircleCI took must not be forgotten for a moment's trouble with the disk, so
    /// this is tried again for a while; failing that, the deploy is looked for by following it.
    async fn settle(&self, before: Deploy, settled: Settled) -> Deploy {
        let mut deploy = before.clone();
        if !settled.apply(&mut deploy, self.clock.now()) {
            return deploy;
        }
        match self.keep(&before, &mut deploy, settled.adopted).await {
            Ok(()) => deploy,
            Err(DbError::Duplicate) => {
                // The run found belongs to another deploy after all: a person must look.
                let page = deploy.url.unwrap_or_else(|| "That pipeline".to_owned());
                Box::pin(self.settle(before, Settled::of_another(&page))).await
            }
            Err(error) => {
                let said = deploy.said.take().map(|said| format!("{said} ")).unwrap_or_default();
                deploy.said =
                    Some(format!("{said}This could not be recorded: {error} Slipway looks for it again in a moment."));
                deploy
            }
        }
    }

    /// Keeps what `before` has become, trying again for a while.
    ///
    /// # Errors
    /// [`DbError::Duplicate`] when another deploy has its run; anything else when it can't be kept, which is logged.
    pub(super) async fn keep(&self, before: &Deploy, deploy: &mut Deploy, adopted: bool) -> Result<(), DbError> {
        if let (Some(RunId::Pipeline { id, .. }), None) = (&deploy.run, &before.run) {
            self.claims.add(*id, deploy.uuid);
        }
        let pauses = ExponentialBuilder::new().with_max_times(RECORD_TRIES).with_min_delay(Duration::from_millis(100));
        // Without backon's `std` feature its jitter would be the same in every process.
        let patience = pauses.with_jitter().with_jitter_seed(rand::random());
        let written = (|| self.write(before, deploy, adopted))
            .retry(patience)
            .when(|error| !matches!(error, DbError::Duplicate))
            .await;
        match written {
            Ok(Written::As(written)) => {
                if written.state.is_final() && written.state != before.state {
                    self.metrics.ended(written.state);
                }
                *deploy = *written;
                self.changed.note_as(deploy);
                Ok(())
            }
            // Somebody else has changed it meanwhile; what they wrote stands.
            Ok(Written::Not(stands)) => {
                *deploy = *stands;
                self.changed.note_as(deploy);
                Ok(())
            }
            Err(error) => {
                if !matches!(error, DbError::Duplicate) {
                    tracing::error!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, deploy.state = %deploy.state, "What became of a deploy could not be recorded: {error}");
                }
                Err(error)
            }
        }
    }

    async fn write(&self, before: &Deploy, deploy: &Deploy, adopted: bool) -> Result<Written, DbError> {
        let mut deploy = deploy.clone();
        let mut tx = self.db.begin().await?;
        let mut newest = store::update(&mut tx, &mut deploy).await?;
        if newest.is_none() {
            let Some(stands) = store::deploy(&mut *tx, deploy.uuid).await? else {
                return Err(DbError::Corrupt(format!("deploy {} is gone", deploy.id)));
            };
            if (stands.state, &stands.run) != (before.state, &before.run) {
                return Ok(Written::Not(Box::new(stands)));
            }
            // People have done something to it meanwhile, or something else went live: that changes nothing of this.
            (deploy.version, deploy.acts) = (stands.version, stands.acts);
            newest = store::update(&mut tx, &mut deploy).await?;
        }
        let Some(mut newest) = newest else { return Err(DbError::Corrupt(format!("deploy {} is gone", deploy.id))) };
        if let (Some(run), None) = (&deploy.run, &before.run) {
            let mut detail = serde_json::json!({ "url": deploy.url, "adopted": adopted });
            match run {
                // As text: the chain's numbers are JavaScript's.
                RunId::Build(number) => detail["build"] = number.to_string().into(),
                RunId::Pipeline { id, number } => {
                    detail["pipeline"] = serde_json::json!({ "id": id.to_string(), "number": number.to_string() });
                }
            }
            let entry = self.entry(&deploy, audit::Action::DeployTriggered, Outcome::Allowed, detail);
            newest = audit::append_after(&mut tx, newest, &entry).await?.into();
        }
        if deploy.state != before.state
            && let Some(action) = told_as(deploy.state, before)
        {
            let detail = serde_json::json!({ "was": before.state.as_str(), "said": deploy.said });
            let mut entry = self.entry(&deploy, action, outcome(deploy.state), detail);
            if deploy.state.is_final() {
                // Why it ended so, where nobody gave a reason for it.
                entry.reason = entry.reason.or_else(|| deploy.said.clone());
            }
            audit::append_after(&mut tx, newest, &entry).await?;
        }
        let went_live = deploy.state == State::Succeeded && before.state != State::Succeeded;
        let others = if went_live { store::note_live(&mut tx, &deploy).await? } else { Vec::new() };
        tx.commit().await?;
        others.into_iter().for_each(|other| self.changed.note(other));
        Ok(Written::As(Box::new(deploy)))
    }

    pub(super) fn entry(
        &self,
        deploy: &Deploy,
        action: audit::Action,
        outcome: Outcome,
        detail: serde_json::Value,
    ) -> Entry {
        Entry {
            guild: deploy.guild,
            at: self.clock.now(),
            channel: deploy.channel,
            actor: deploy.actor.clone(),
            actor_name: deploy.actor_name.clone(),
            action,
            repo: Some(deploy.repo.to_string()),
            environment: Some(deploy.environment.to_string()),
            branch: Some(deploy.branch.to_string()),
            revision: deploy.revision.as_ref().map(Revision::to_string),
            deploy: Some(deploy.id),
            outcome,
            reason: deploy.reason.as_ref().map(Reason::to_string),
            detail: Some(detail),
        }
    }
}

/// What became of keeping a deploy.
enum Written {
    /// It is kept so.
    As(Box<Deploy>),
    /// It has become something else meanwhile.
    Not(Box<Deploy>),
}

/// The entry by which the audit log tells that a deploy has come to `state`; none where another of the same transaction does:
/// `deploy.requested` for what is not sent yet, `deploy.triggered` for what CircleCI has just taken.
fn told_as(state: State, before: &Deploy) -> Option<audit::Action> {
    match state {
        State::AwaitingApproval | State::Waiting | State::Triggering => None,
        State::Queued => before.run.is_some().then_some(audit::Action::DeployQueued),
        State::Running => Some(audit::Action::DeployRunning),
        State::Succeeded
        | State::Failed
        | State::Canceled
        | State::Rejected
        | State::Refused
        | State::Expired
        | State::Unknown => Some(audit::Action::DeployFinished),
    }
}

/// What a trigger has come to when the deploy stands at `state` right after it.
fn what_came_of(state: State) -> Triggered {
    match state {
        State::Refused => Triggered::Refused,
        State::Unknown => Triggered::Unknown,
        State::Canceled => Triggered::NotSent,
        _ => Triggered::Taken,
    }
}

/// The audit log's word for the state in which a deploy ended.
fn outcome(state: State) -> Outcome {
    match state {
        State::Succeeded => Outcome::Succeeded,
        State::Failed => Outcome::Failed,
        State::Canceled => Outcome::Canceled,
        State::Rejected => Outcome::Rejected,
        State::Refused => Outcome::Refused,
        State::Expired => Outcome::Expired,
        State::Unknown => Outcome::Unknown,
        State::AwaitingApproval | State::Waiting | State::Triggering | State::Queued | State::Running => {
            Outcome::Allowed
        }
    }
}
