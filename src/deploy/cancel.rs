//! Cancels a deploy: CircleCI is asked to stop it, at once or, where it has nothing yet that could be stopped, as soon as it
//! has. Knows no chat.

use super::act::{Act, Answered, What};
use super::acts::{Acted, Heard};
use super::{Deploy, Deploys, Reason, State};
use crate::actor::{Actor, Caller};
use crate::audit;
use crate::circleci::{ActError, Canceled, RunId};
use crate::id::DeployId;
use crate::permission::Action;
use crate::refusal::Refusal;

impl Deploys {
    /// Asks CircleCI to stop a deploy. One's own needs nothing more than being allowed to see it.
    pub async fn cancel(
        &self,
        caller: &Caller,
        id: DeployId,
        reason: Option<Reason>,
    ) -> Result<Acted<Canceled>, Refusal> {
        let mut tx = self.db.begin().await?;
        let own = |deploy: &Deploy| deploy.actor == caller.actor.id;
        let action = |deploy: &Deploy| if own(deploy) { Action::View } else { Action::Cancel };
        let mut deploy = self.for_act(&mut tx, caller, id, action).await?;
        check_runs(&deploy)?;
        let before = deploy.acts.iter().rfind(|act| act.what == What::Cancel && act.counts()).cloned();
        let act = Act::new(What::Cancel, caller, reason.as_ref(), self.clock.now());
        self.note(&mut tx, caller, &mut deploy, act.clone(), audit::Action::DeployCancelRequested).await?;
        tx.commit().await?;
        self.changed.note(deploy.uuid);

        let answer = match deploy.run.clone() {
            Some(run) => self.ask_to_stop(&deploy, &run).await,
            None => Ok(Canceled::NothingYet),
        };
        self.note_answer(caller, &deploy, &act, heard(&answer), None).await;
        self.agenda.nudge(deploy.uuid);
        Ok(Acted { deploy, answer, before })
    }

    /// Asks CircleCI to stop what somebody wanted stopped before there was anything to stop, as soon as there is.
    pub(super) async fn cancel_as_asked(&self, deploy: &Deploy) {
        let kept = deploy.acts.iter().rfind(|act| act.what == What::Cancel && act.answered == Answered::Waits);
        let (Some(act), Some(run)) = (kept, &deploy.run) else { return };
        let is_there = matches!(run, RunId::Build(_)) || !deploy.report.workflows.is_empty();
        if deploy.state.is_final() || !is_there {
            return;
        }
        let answer = self.ask_to_stop(deploy, run).await;
        if !matches!(answer, Ok(Canceled::NothingYet) | Err(ActError::NotSent { .. })) {
            let actor = Actor { id: act.actor(), name: act.name.clone(), roles: Vec::new() };
            let caller = Caller { guild: deploy.guild, channel: deploy.channel, actor };
            self.note_answer(&caller, deploy, act, heard(&answer), None).await;
        }
    }

    async fn ask_to_stop(&self, deploy: &Deploy, run: &RunId) -> Result<Canceled, ActError> {
        let project = self.project_for_act(deploy).await?;
        self.circleci.cancel(&project, run).await
    }
}

fn heard(answer: &Result<Canceled, ActError>) -> Heard {
    let (answered, told) = match answer {
        Ok(Canceled::Asked { count }) => (Answered::Taken, format!("asked to stop {count}")),
        Ok(Canceled::AlreadyEnded) => (Answered::Refused, "it had ended already".to_owned()),
        Ok(Canceled::NothingYet) => (Answered::Waits, "there was nothing to stop yet".to_owned()),
        Err(error) => (Answered::of(answer), error.to_string()),
    };
    Heard { answered, told, id: None }
}

/// Refuses where nothing runs that could be stopped.
fn check_runs(deploy: &Deploy) -> Result<(), Refusal> {
    let id = deploy.id;
    match deploy.state {
        State::Unknown => Err(Refusal::conflict(
            format!("It isn't known whether CircleCI has deploy `{id}`, so Slipway can't cancel it."),
            "Look at the project on CircleCI, and cancel it there if it runs.",
        )
        .with_page(deploy.url.clone())),
        State::Succeeded => Err(Refusal::conflict(
            format!("Deploy `{id}` is succeeded already; nothing of it runs."),
            format!("`/rollback {} {}` goes back to what was live before.", deploy.repo, deploy.environment),
        )),
        state if state.is_final() => Err(Refusal::conflict(
            format!("Deploy `{id}` is {state} already; nothing of it runs."),
            format!("`/deploys show {id}` tells how it ended."),
        )),
        _ => Ok(()),
    }
}
