//! The deploys there were, for whoever may see them: lists, one in full, what is live, what can be acted on. Only reads.

pub mod store;

use std::collections::HashSet;

use super::plan::choose;
use super::service::ask;
use super::{Deploy, Deploys, State};
use crate::actor::{ActorId, Caller};
use crate::db::DbError;
use crate::id::{DeployId, GuildId};
use crate::permission::{Action, Ask};
use crate::refusal::Refusal;
use crate::repo::{EnvironmentName, RepoName};

/// How many deploys a list holds; older ones are found by narrowing it down.
pub const LISTED_MAX: i64 = 500;
/// How many deploys are offered to be acted on.
const OFFERED_MAX: i64 = 100;
/// How far back a rollback looks for another revision.
pub(super) const LOOKED_BACK_MAX: i64 = 500;

/// Which deploys are meant.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this repository.
    pub repo: Option<RepoName>,
    /// To this environment.
    pub environment: Option<EnvironmentName>,
    /// In this state.
    pub status: Option<State>,
    /// That this person asked for.
    pub user: Option<ActorId>,
}

/// What depends on a repository or an environment.
#[derive(Debug, Clone, Copy)]
pub struct Depending {
    /// How many deploys went there.
    pub deploys: i64,
    /// How many of them have not come to their end.
    pub unfinished: i64,
    /// How many rules name it.
    pub rules: usize,
}

/// What somebody wants to do with a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    See,
    Cancel,
    Retry,
    Approve,
}

impl Deploys {
    /// The newest deploys that `filter` means and `caller` may see.
    pub async fn list(&self, caller: &Caller, filter: &Filter) -> Result<Vec<Deploy>, DbError> {
        let deploys = store::matching(self.db.pool(), caller.guild, filter, LISTED_MAX).await?;
        self.permissions.only_permitted(caller, Action::View, deploys, place_of).await
    }

    /// One deploy, and those that were made of it, for somebody who may see it.
    pub async fn show(&self, caller: &Caller, id: DeployId) -> Result<(Deploy, Vec<Deploy>), Refusal> {
        let mut reader = self.db.reader().await?;
        let deploy = super::store::numbered(&mut *reader, caller.guild, id).await?.ok_or_else(|| no_such(id))?;
        let made = store::made_of(&mut *reader, caller.guild, id).await?;
        drop(reader);
        let mut seen = self.permissions.only_permitted(caller, Action::View, vec![deploy], place_of).await?;
        let deploy = seen.pop().ok_or_else(|| no_such(id))?;
        let made = self.permissions.only_permitted(caller, Action::View, made, place_of).await?;
        Ok((deploy, made))
    }

    /// One deploy, whoever asks: for the record.
    pub async fn numbered(&self, guild: GuildId, id: DeployId) -> Result<Option<Deploy>, DbError> {
        super::store::numbered(self.db.pool(), guild, id).await
    }

    /// The environment of a repository that is meant where none is named, if there is one; for the record.
    pub async fn environment_meant(&self, guild: GuildId, repo: &RepoName) -> Result<Option<EnvironmentName>, DbError> {
        let mut reader = self.db.reader().await?;
        let repo = match self.repos.find(&mut reader, guild, repo).await {
            Ok(repo) => repo,
            Err(Refusal::Database(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let environments = self.repos.environments(&mut reader, guild, &repo.name).await?;
        Ok(choose(&repo, environments, None).ok().map(|environment| environment.name))
    }

    /// What depends on a repository, or on one environment of it.
    pub async fn depending(
        &self,
        caller: &Caller,
        repo: &RepoName,
        environment: Option<&EnvironmentName>,
    ) -> Result<Depending, DbError> {
        let (deploys, unfinished) = store::count(self.db.pool(), caller.guild, repo, environment).await?;
        let rules =
            self.permissions.naming(caller.guild, repo.as_str(), environment.map(EnvironmentName::as_str)).await?;
        Ok(Depending { deploys, unfinished, rules })
    }

    /// The recent deploys with which `caller` may do what they want, the newest first.
    pub async fn offered(&self, caller: &Caller, purpose: Purpose) -> Result<Vec<Deploy>, DbError> {
        let deploys = store::matching(self.db.pool(), caller.guild, &Filter::default(), OFFERED_MAX).await?;
        let own = |deploy: &Deploy| deploy.actor == caller.actor.id;
        let fits = |deploy: &Deploy| match purpose {
            Purpose::See => true,
            Purpose::Cancel => !deploy.state.is_final() && deploy.run.is_some(),
            Purpose::Retry => deploy.state.is_final(),
            Purpose::Approve => !deploy.state.is_final() && !deploy.report.waiting.is_empty() && !own(deploy),
        };
        let fitting: Vec<Deploy> = deploys.into_iter().filter(fits).collect();
        let action = match purpose {
            Purpose::See => Action::View,
            Purpose::Cancel => Action::Cancel,
            Purpose::Retry => Action::Deploy,
            Purpose::Approve => Action::Approve,
        };
        let mut may: HashSet<DeployId> = self
            .permissions
            .only_permitted(caller, action, fitting.iter().collect(), |d| place_of(d))
            .await?
            .into_iter()
            .map(|deploy| deploy.id)
            .collect();
        if purpose == Purpose::Cancel {
            let own = fitting.iter().filter(|deploy| own(deploy)).collect();
            let seen = self.permissions.only_permitted(caller, Action::View, own, |d| place_of(d)).await?;
            may.extend(seen.into_iter().map(|deploy| deploy.id));
        }
        Ok(fitting.into_iter().filter(|deploy| may.contains(&deploy.id)).collect())
    }

    /// What succeeded somewhere, as far as `caller` may see it; the first is live, if it is among them.
    pub async fn succeeded(
        &self,
        caller: &Caller,
        repo: &RepoName,
        environment: &EnvironmentName,
    ) -> Result<Vec<Deploy>, DbError> {
        let deploys = store::succeeded(self.db.pool(), caller.guild, repo, environment, OFFERED_MAX).await?;
        self.permissions.only_permitted(caller, Action::View, deploys, place_of).await
    }

    /// The repositories that were deployed lately, the latest first.
    pub async fn recent_repos(&self, caller: &Caller) -> Result<Vec<String>, DbError> {
        store::recent_repos(self.db.pool(), caller.guild).await
    }

    /// The branches of a repository that were deployed here, the latest first.
    pub async fn branches(&self, caller: &Caller, repo: &RepoName, limit: i64) -> Result<Vec<String>, DbError> {
        store::branches(self.db.pool(), caller.guild, repo, limit).await
    }
}

/// What a permission about a deploy is asked for.
pub(super) fn place_of(deploy: &Deploy) -> Ask<'_> {
    ask(&deploy.repo, &deploy.branch, &deploy.environment)
}

/// The same words whether there is none or the person may not see it.
pub(super) fn no_such(id: DeployId) -> Refusal {
    Refusal::conflict(
        format!("There is no deploy `{id}` here that you may see."),
        "`/deploys list` shows those that you may.",
    )
}
