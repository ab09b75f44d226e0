//! What people do to a deploy under way: approve what waits, have its failed jobs run again; what this shares with canceling
//! it. Each is recorded, with its permission, before CircleCI is asked; what becomes of the deploy is heard by following it.
//! Knows no chat.

use uuid::Uuid;

use super::act::{self, Act, Answered, What};
use super::again::{Again, LiveSince, live_since};
use super::history::{self, no_such, place_of};
use super::report::Waiting;
use super::{Deploy, Deploys, Reason, State, store};
use crate::actor::Caller;
use crate::audit::{self, Entry, Outcome};
use crate::circleci::{ActError, Project, RunId};
use crate::db::{DbError, Tx};
use crate::id::DeployId;
use crate::permission::Action;
use crate::refusal::Refusal;
use crate::time::Timestamp;

/// What came of asking CircleCI for something.
#[derive(Debug)]
pub struct Acted<T> {
    /// The deploy, as it was when CircleCI was asked.
    pub deploy: Deploy,
    /// What CircleCI answered.
    pub answer: Result<T, ActError>,
    /// The same act, if somebody had done it before.
    pub before: Option<Act>,
}

/// What CircleCI answered, as it is kept.
pub(super) struct Heard {
    /// In a word.
    pub answered: Answered,
    /// For the audit log.
    pub told: String,
    /// The workflow that it made.
    pub id: Option<Uuid>,
}

/// What came of a rerun.
#[derive(Debug)]
pub enum Rerun {
    /// CircleCI was asked.
    Asked(Box<Acted<Uuid>>),
    /// It would replace what the person may not know of.
    First(Box<LiveSince>),
}

/// What came of an approval.
#[derive(Debug)]
pub enum Approval {
    /// CircleCI was asked.
    Asked(Box<Acted<()>>, Waiting),
    /// Several jobs wait, and none was named.
    Which(Box<Deploy>),
}

impl Deploys {
    /// Approves a job that waits: the one named by its approval, or the only one. Never by who asked for the deploy.
    pub async fn approve(
        &self,
        caller: &Caller,
        id: DeployId,
        reason: Option<Reason>,
        hold: Option<Uuid>,
    ) -> Result<Approval, Refusal> {
        let mut tx = self.db.begin().await?;
        let mut deploy = self.for_act(&mut tx, caller, id, |_| Action::Approve).await?;
        if deploy.actor == caller.actor.id {
            return Err(Refusal::conflict(
                format!("You asked for deploy `{id}` yourself, and nobody approves their own deploy, owners neither."),
                "Somebody else who holds the permission `approve` can.",
            ));
        }
        let Some(waiting) = waiting_for(&deploy, hold)? else { return Ok(Approval::Which(Box::new(deploy))) };
        let act = Act {
            job: Some(waiting.job.clone()),
            id: Some(waiting.approval),
            ..Act::new(What::Approve, caller, reason.as_ref(), self.clock.now())
        };
        self.note(&mut tx, caller, &mut deploy, act.clone(), audit::Action::DeployApproved).await?;
        tx.commit().await?;
        self.changed.note(deploy.uuid);

        let answer = match self.project_for_act(&deploy).await {
            Ok(project) => self.circleci.approve(&project, &waiting.hold()).await,
            Err(error) => Err(error),
        };
        let told = answer.as_ref().map_or_else(ToString::to_string, |()| "approved".to_owned());
        let heard = Heard { answered: Answered::of(&answer), told, id: None };
        self.note_answer(caller, &deploy, &act, heard, None).await;
        self.agenda.nudge(deploy.uuid);
        Ok(Approval::Asked(Box::new(Acted { deploy, answer, before: None }), waiting))
    }

    /// Has the failed jobs of a pipeline, and those after them, run again in the same pipeline: the deploy runs on.
    pub async fn rerun(&self, caller: &Caller, wish: Again) -> Result<Rerun, Refusal> {
        let Again { id, reason, over } = wish;
        let mut tx = self.db.begin().await?;
        let failed = self.for_act(&mut tx, caller, id, |_| Action::Deploy).await?;
        let run = run_to_rerun(&failed)?;
        if let Some(retry) = history::store::unfinished_retry(&mut *tx, caller.guild, id, None).await? {
            return Err(tried_again_already(id, &retry));
        }
        if let Some(first) = live_since(&mut tx, &failed, over).await? {
            return Ok(Rerun::First(Box::new(first)));
        }
        let mut deploy = failed.clone();
        // Before CircleCI is asked: should Slipway be stopped in between, the next start follows it and hears the truth. It
        // is not on the agenda until then.
        deploy.run_again(self.clock.now());
        if store::update(&mut tx, &mut deploy).await?.is_none() {
            return Err(Refusal::conflict(format!("Deploy `{id}` changed this very moment."), "Ask again."));
        }
        let act = Act::new(What::Rerun, caller, reason.as_ref(), self.clock.now());
        self.note(&mut tx, caller, &mut deploy, act.clone(), audit::Action::DeployRerun).await?;
        tx.commit().await?;
        self.changed.note(deploy.uuid);

        let answer = match self.project_for_act(&deploy).await {
            Ok(project) => self.circleci.rerun_from_failed(&project, &run).await,
            Err(error) => Err(error),
        };
        let told = answer.as_ref().map_or_else(ToString::to_string, |workflow| format!("workflow {workflow}"));
        let heard = Heard { answered: Answered::of(&answer), told, id: answer.as_ref().ok().copied() };
        if let Some(stands) = self.note_answer(caller, &deploy, &act, heard, Some(&failed)).await {
            deploy = stands;
        }
        if deploy.followed {
            self.agenda.add(deploy.uuid, self.pace.first);
        }
        Ok(Rerun::Asked(Box::new(Acted { deploy, answer, before: None })))
    }

    /// The deploy of that number, for somebody who may do this to it. Who may not even see it isn't told that it is there.
    pub(super) async fn for_act(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        id: DeployId,
        action: impl Fn(&Deploy) -> Action,
    ) -> Result<Deploy, Refusal> {
        let deploy = store::numbered(&mut **tx, caller.guild, id).await?.ok_or_else(|| no_such(id))?;
        match self.permissions.require_in(tx, caller, action(&deploy), place_of(&deploy)).await {
            Ok(()) => Ok(deploy),
            Err(Refusal::Denied(denied)) => {
                match self.permissions.require_in(tx, caller, Action::View, place_of(&deploy)).await {
                    Ok(()) => Err(Refusal::Denied(denied)),
                    Err(Refusal::Denied(_)) => Err(no_such(id)),
                    Err(other) => Err(other),
                }
            }
            Err(other) => Err(other),
        }
    }

    pub(super) async fn project_for_act(&self, deploy: &Deploy) -> Result<Project, ActError> {
        let asked = self.project_of(deploy).await;
        asked.map_err(|error| ActError::NotSent { why: format!("{error} CircleCI was not asked.") })
    }

    /// Keeps an act with its audit entry.
    pub(super) async fn note(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        deploy: &mut Deploy,
        act: Act,
        action: audit::Action,
    ) -> Result<(), DbError> {
        let mut detail = serde_json::json!({ "state": deploy.state.as_str(), "asked_by": deploy.actor.to_string() });
        if let Some(job) = &act.job {
            detail["job"] = job.as_str().into();
            detail["approval"] = act.id.map(|id| id.to_string()).into();
        }
        let entry = self.entry_by(caller, deploy, action, Outcome::Allowed, act.reason.clone(), detail);
        act::add(&mut deploy.acts, act);
        history::store::put_acts(tx, deploy).await?;
        audit::append(tx, &entry).await?;
        Ok(())
    }

    /// Keeps what CircleCI answered, and what that makes of a deploy that had `failed` before its rerun. How it stands then;
    /// nothing when that isn't known: CircleCI has been asked, so a database that fails now is only logged.
    pub(super) async fn note_answer(
        &self,
        caller: &Caller,
        deploy: &Deploy,
        act: &Act,
        heard: Heard,
        failed: Option<&Deploy>,
    ) -> Option<Deploy> {
        let kept = async {
            let mut tx = self.db.begin().await?;
            let Some(mut stands) = store::deploy(&mut *tx, deploy.uuid).await? else { return Ok(None) };
            act::answer(&mut stands.acts, act, heard.answered, heard.id);
            history::store::put_acts(&mut tx, &mut stands).await?;
            if failed.is_some_and(|failed| after_rerun(&mut stands, failed, heard.answered, self.clock.now())) {
                store::update(&mut tx, &mut stands).await?;
            }
            let outcome = match heard.answered {
                Answered::Taken | Answered::Waits => Outcome::Allowed,
                Answered::Nothing | Answered::Refused | Answered::Uncertain => Outcome::Error,
            };
            let detail = serde_json::json!({
                "act": act.what.as_str(), "answered": heard.told, "state": stands.state.as_str(),
            });
            let action = audit::Action::DeployAnswered;
            audit::append(&mut tx, &self.entry_by(caller, deploy, action, outcome, act.reason.clone(), detail)).await?;
            tx.commit().await?;
            Ok::<_, DbError>(Some(stands))
        };
        match kept.await {
            Ok(stands) => {
                self.changed.note(deploy.uuid);
                stands
            }
            Err(error) => {
                tracing::error!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, "What CircleCI answered could not be recorded: {error}");
                None
            }
        }
    }

    fn entry_by(
        &self,
        caller: &Caller,
        deploy: &Deploy,
        action: audit::Action,
        outcome: Outcome,
        reason: Option<String>,
        detail: serde_json::Value,
    ) -> Entry {
        Entry {
            channel: caller.channel,
            actor: caller.actor.id.clone(),
            actor_name: caller.actor.name.clone(),
            reason,
            ..self.entry(deploy, action, outcome, detail)
        }
    }
}

/// A rerun that CircleCI refused has changed nothing: the deploy is failed as before. One that was taken runs, whatever was
/// heard of it in between. Whether this makes anything else of it.
fn after_rerun(deploy: &mut Deploy, failed: &Deploy, answered: Answered, now: Timestamp) -> bool {
    match (answered, deploy.state) {
        (Answered::Refused, State::Running) => {
            deploy.enter(State::Failed, failed.said.clone(), now);
            deploy.ended_at = failed.ended_at;
            deploy.report.clone_from(&failed.report);
            deploy.followed = false;
        }
        (Answered::Taken, State::Failed) => deploy.run_again(now),
        _ => return false,
    }
    true
}

/// The pipeline whose failed jobs can run again; or why they can't.
fn run_to_rerun(deploy: &Deploy) -> Result<RunId, Refusal> {
    let id = deploy.id;
    match (deploy.state, &deploy.run) {
        (State::Failed, Some(run @ RunId::Pipeline { .. })) => Ok(run.clone()),
        (State::Failed, _) => Err(Refusal::conflict(
            format!("Only a pipeline's failed jobs can run again by themselves, and deploy `{id}` is no pipeline."),
            format!("`/deploys retry {id}` runs all of it again, as a new deploy."),
        )),
        (state, _) if !state.is_final() => Err(not_over(deploy)),
        (state, _) => Err(Refusal::conflict(
            format!("Deploy `{id}` is {state}, and only the jobs of a failed one can run again by themselves."),
            format!("`/deploys retry {id}` runs all of it again, as a new deploy."),
        )),
    }
}

/// The refusal to run again what is still under way.
pub(super) fn not_over(deploy: &Deploy) -> Refusal {
    let id = deploy.id;
    let refusal = Refusal::conflict(
        format!("Deploy `{id}` is {}: it is not over.", deploy.state),
        format!("Wait for its end, or cancel it first with `/deploys cancel {id}`."),
    );
    refusal.with_page(deploy.url.clone())
}

/// The refusal to try again what is being tried again.
pub(super) fn tried_again_already(id: DeployId, retry: &Deploy) -> Refusal {
    let refusal = Refusal::conflict(
        format!("Deploy `{id}` is being tried again already: that is deploy `{}`, {}.", retry.id, retry.state),
        format!("`/deploys show {}` tells how it goes.", retry.id),
    );
    refusal.with_page(retry.url.clone())
}

/// The job that is meant; none where several wait and none is named.
fn waiting_for(deploy: &Deploy, hold: Option<Uuid>) -> Result<Option<Waiting>, Refusal> {
    let id = deploy.id;
    if deploy.state.is_final() {
        return Err(Refusal::conflict(
            format!("Deploy `{id}` is {}; nothing of it waits for an approval any more.", deploy.state),
            format!("`/deploys show {id}` tells how it ended."),
        ));
    }
    let approved = |waiting: &&Waiting| {
        let by = |act: &&Act| act.what == What::Approve && act.id == Some(waiting.approval) && act.counts();
        deploy.acts.iter().find(by)
    };
    if let Some(named) = hold {
        let Some(waiting) = deploy.report.waiting.iter().find(|waiting| waiting.approval == named) else {
            return Err(Refusal::conflict(
                format!(
                    "That approval of deploy `{id}` is not awaited any more: it was given, or its workflow has ended."
                ),
                format!("`/deploys show {id}` tells what waits now."),
            ));
        };
        return match approved(&waiting) {
            None => Ok(Some(waiting.clone())),
            Some(act) => Err(Refusal::conflict(
                format!("`{}` has approved that already.", act.name.replace('`', "'")),
                "The card changes when CircleCI says that it runs on.",
            )),
        };
    }
    let open: Vec<&Waiting> = deploy.report.waiting.iter().filter(|waiting| approved(waiting).is_none()).collect();
    match open.as_slice() {
        [] => Err(Refusal::conflict(
            format!("Nothing of deploy `{id}` waits for an approval, as far as CircleCI has told."),
            "The card shows what waits; look again in a moment.",
        )),
        [only] => Ok(Some((*only).clone())),
        _ => Ok(None),
    }
}
