//! Deploys that are made of earlier ones: tried again, or gone back to. Planned from reads alone, and recorded as any other.

use super::acts::{not_over, tried_again_already};
use super::history::{self, LOOKED_BACK_MAX, no_such, place_of};
use super::plan::choose;
use super::{Deploy, Deploys, Origin, Parameter, Plan, Reason, Wish, rollback, store};
use crate::actor::Caller;
use crate::db::{Connection, Reader};
use crate::id::DeployId;
use crate::permission::{Action, Ask};
use crate::refusal::Refusal;
use crate::repo::{Environment, EnvironmentName, Repo, RepoName};

/// What somebody wants to go back to.
#[derive(Debug, Clone)]
pub struct Return {
    /// In which repository.
    pub repo: RepoName,
    /// In which environment; the only one, or `production`, unless named.
    pub environment: Option<EnvironmentName>,
    /// To which deploy; the last one before, unless named.
    pub to: Option<DeployId>,
    /// Why.
    pub reason: Option<Reason>,
    /// What was live when the person saw what the rollback replaces.
    pub live: Option<DeployId>,
}

/// A deploy that somebody wants to try again, whole or its failed jobs.
#[derive(Debug, Clone)]
pub struct Again {
    /// Which.
    pub id: DeployId,
    /// Why.
    pub reason: Option<Reason>,
    /// What was live when the person saw that it would be replaced.
    pub over: Option<DeployId>,
}

/// What there is to see before a deploy is tried again: something has gone live since it was asked for.
#[derive(Debug)]
pub struct LiveSince {
    /// What is live.
    pub live: Deploy,
    /// What is tried again.
    pub again: Deploy,
    /// Whether it would be of its branch's newest commit instead of its own.
    pub newest_commit: bool,
    /// What is on its way there.
    pub unfinished: Vec<Deploy>,
}

/// A retry: to be carried out, or to be asked about first.
#[derive(Debug)]
pub enum RetryPlan {
    /// How.
    Go(Box<Plan>),
    /// It would replace what the person may not know of.
    First(Box<LiveSince>),
}

/// A rollback that may be carried out.
#[derive(Debug)]
pub struct ReturnPlan {
    /// How.
    pub plan: Plan,
    /// What is live.
    pub live: Deploy,
    /// What is to be live again.
    pub target: Deploy,
    /// What is on its way there.
    pub unfinished: Vec<Deploy>,
}

impl ReturnPlan {
    /// Whether the environment wants it to be confirmed.
    pub fn asks_first(&self) -> bool {
        self.plan.environment.confirm
    }
}

impl Deploys {
    /// Whether a deploy may be tried again, and how: with the environment as it is now. Reads only.
    pub async fn plan_retry(&self, caller: &Caller, wish: Again) -> Result<RetryPlan, Refusal> {
        let Again { id, reason, over } = wish;
        let mut reader = self.db.reader().await?;
        let deploy = store::numbered(&mut *reader, caller.guild, id).await?.ok_or_else(|| no_such(id))?;
        if let Err(refusal) = self.permissions.require(&mut reader, caller, Action::Deploy, place_of(&deploy)).await {
            return Err(self.unless_hidden(&mut reader, caller, &deploy, refusal).await);
        }
        if !deploy.state.is_final() {
            return Err(not_over(&deploy));
        }
        if let Some(retry) = history::store::unfinished_retry(&mut *reader, caller.guild, id, None).await? {
            return Err(tried_again_already(id, &retry));
        }
        let since = live_since(&mut reader, &deploy, over).await?;
        drop(reader);
        let wish = Wish {
            repo: deploy.repo.clone(),
            branch: deploy.branch.clone(),
            environment: Some(deploy.environment.clone()),
            revision: deploy.revision.clone(),
            parameters: own_parameters(&deploy),
            reason,
            origin: Origin::Retry(id),
        };
        let plan = Plan { replaces: over, ..self.plan(caller, wish).await? };
        Ok(match since {
            Some(since) => {
                RetryPlan::First(Box::new(LiveSince { newest_commit: plan.wish.revision.is_none(), ..since }))
            }
            None => RetryPlan::Go(Box::new(plan)),
        })
    }

    /// Whether somebody may go back to an earlier deploy, and how. Reads only.
    pub async fn plan_return(&self, caller: &Caller, wish: Return) -> Result<ReturnPlan, Refusal> {
        let mut reader = self.db.reader().await?;
        let found = match self.return_to(&mut reader, caller, &wish).await {
            Ok(found) => found,
            Err(refusal) => {
                // Who may not even see the repository isn't told what is live there, nor whether there is one.
                let whole = Ask { repo: Some(wish.repo.as_str()), ..Ask::default() };
                self.permissions.require(&mut reader, caller, Action::View, whole).await?;
                return Err(refusal);
            }
        };
        let (repo, environment, live, target) = found;
        let unfinished = history::store::unfinished(&mut *reader, caller.guild, &repo.name, &environment.name).await?;
        if let Some(first) =
            unfinished.iter().find(|deploy| !deploy.state.is_final() && deploy.origin == Origin::Rollback(target.id))
        {
            return Err(rollback::under_way(target.id, first));
        }
        drop(reader);
        let again = Wish {
            repo: repo.name.clone(),
            branch: target.branch.clone(),
            environment: Some(environment.name.clone()),
            revision: target.revision.clone(),
            parameters: own_parameters(&target),
            reason: wish.reason,
            origin: Origin::Rollback(target.id),
        };
        let plan = Plan { replaces: Some(live.id), ..self.fit(caller, repo, environment, again).await? };
        Ok(ReturnPlan { plan, live, target, unfinished })
    }

    async fn return_to(
        &self,
        reader: &mut Reader,
        caller: &Caller,
        wish: &Return,
    ) -> Result<(Repo, Environment, Deploy, Deploy), Refusal> {
        let repo = self.repos.find(reader, caller.guild, &wish.repo).await?;
        let environments = self.repos.environments(reader, caller.guild, &repo.name).await?;
        let environment = choose(&repo, environments, wish.environment.as_ref())?;
        let name = &environment.name;
        let succeeded =
            history::store::succeeded(&mut **reader, caller.guild, &repo.name, name, LOOKED_BACK_MAX).await?;
        let live = succeeded.first().ok_or_else(|| rollback::nothing(&succeeded, &repo.name, name))?;
        if let Some(saw) = wish.live.filter(|saw| *saw != live.id) {
            return Err(rollback::deployed_meanwhile(saw, Some(live)));
        }
        let target = match wish.to {
            None => {
                let choice =
                    rollback::choose(&succeeded).ok_or_else(|| rollback::nothing(&succeeded, &repo.name, name))?;
                choice.target.clone()
            }
            Some(to) => {
                let target = store::numbered(&mut **reader, caller.guild, to).await?.ok_or_else(|| no_such(to))?;
                if target.repo.key() != repo.name.key() || target.environment != *name {
                    let seen = self.permissions.require(reader, caller, Action::View, place_of(&target)).await;
                    seen.map_err(|_| no_such(to))?;
                }
                rollback::check(&target, live, &repo.name, name)?;
                target
            }
        };
        self.permissions.require(reader, caller, Action::Rollback, place_of(&target)).await?;
        rollback::check_pins(&repo.name, &environment)?;
        let live = live.clone();
        Ok((repo, environment, live, target))
    }

    /// `refusal`, unless `caller` may not even see the deploy, which they are not told of then.
    async fn unless_hidden(&self, reader: &mut Reader, caller: &Caller, deploy: &Deploy, refusal: Refusal) -> Refusal {
        match self.permissions.require(reader, caller, Action::View, place_of(deploy)).await {
            Err(Refusal::Denied(_)) => no_such(deploy.id),
            Err(other) => other,
            Ok(()) => refusal,
        }
    }
}

/// What has gone live where `deploy` goes to since that was asked for, unless the person has seen it (`over`).
///
/// # Errors
/// Also when something else is live by now than what they saw.
pub(super) async fn live_since(
    connection: &mut Connection,
    deploy: &Deploy,
    over: Option<DeployId>,
) -> Result<Option<LiveSince>, Refusal> {
    let Deploy { guild, repo, environment, .. } = deploy;
    let live = history::store::succeeded(&mut *connection, *guild, repo, environment, 1).await?.pop();
    if let Some(saw) = over {
        return match live {
            Some(live) if live.id == saw => Ok(None),
            live => Err(rollback::deployed_meanwhile(saw, live.as_ref())),
        };
    }
    let since = |live: &Deploy| live.id != deploy.id && live.ended_at.is_some_and(|ended| ended > deploy.asked_at);
    let Some(live) = live.filter(since) else { return Ok(None) };
    let unfinished = history::store::unfinished(connection, *guild, repo, environment).await?;
    Ok(Some(LiveSince { live, again: deploy.clone(), newest_commit: false, unfinished }))
}

/// What the asker named; where that isn't known, all: what the environment passes itself is left out later.
fn own_parameters(deploy: &Deploy) -> Vec<Parameter> {
    deploy.own_parameters.clone().unwrap_or_else(|| deploy.parameters.clone())
}
