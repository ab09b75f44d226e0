//! Registering repositories and finding them. Every change is written together with its audit entry.

use std::collections::HashSet;
use std::sync::Arc;

use super::environments::check_removable;
use super::{Branch, Environment, EnvironmentName, JobName, ProjectSlug, RepoName, Trigger, Vcs, store};
use crate::actor::Caller;
use crate::audit::{self, Entry, Outcome};
use crate::circleci::Project;
use crate::db::{Db, DbError, Reader};
use crate::id::GuildId;
use crate::permission::{Action, Ask, Case, Pattern, Permissions, Scope};
use crate::refusal::Refusal;
use crate::time::Clock;

/// A registered repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repo {
    /// `org/repo`.
    pub name: RepoName,
    /// Who hosts it.
    pub vcs: Vcs,
    /// Its slug on CircleCI, where that isn't made of the two above.
    pub project: Option<ProjectSlug>,
    /// The branch that is offered first.
    pub default_branch: Option<Branch>,
}

/// A repository to be registered.
#[derive(Debug, Clone)]
pub struct NewRepo {
    /// The repository.
    pub repo: Repo,
    /// The job that deploys `production`, for a configuration below 2.1; without it `production` runs a pipeline.
    pub job: Option<JobName>,
}

/// What is to be said of a repository; the rest keeps its value.
#[derive(Debug, Clone, Default)]
pub struct RepoChange {
    /// Who hosts it.
    pub vcs: Option<Vcs>,
    /// Its slug on CircleCI.
    pub project: Option<ProjectSlug>,
    /// The branch that is offered first.
    pub default_branch: Option<Branch>,
}

/// The repositories of every guild.
#[derive(Clone)]
pub struct Repos {
    pub(super) db: Db,
    pub(super) permissions: Permissions,
    clock: Clock,
    /// The suffixes for which there is a `CIRCLE_API_PROJECT_TOKEN_…`.
    token_names: Arc<HashSet<String>>,
}

impl Repos {
    /// Repositories kept in `db`; `token_names` are those that have a project token of their own.
    pub fn new(db: Db, permissions: Permissions, clock: Clock, token_names: HashSet<String>) -> Self {
        Self { db, permissions, clock, token_names: Arc::new(token_names) }
    }

    /// Registers a repository and makes its environment `production`.
    pub async fn add(&self, caller: &Caller, new: NewRepo) -> Result<Environment, Refusal> {
        let NewRepo { repo, job } = new;
        if job.is_some() && repo.project.is_some() {
            return Err(Refusal::conflict(
                "A project with a slug of its own has no API v1.1, which is what `job` needs.",
                "Leave `job` out: `production` then runs a pipeline.",
            ));
        }
        let trigger = job.map_or(Trigger::Pipeline { definition: None }, Trigger::Job);
        let production = Environment::new(EnvironmentName::production(), trigger);
        let _changing = self.permissions.changes().begin();
        let mut tx = self.db.begin().await?;
        self.permissions.require_in(&mut tx, caller, Action::Admin, whole(&repo.name)).await?;
        store::insert(&mut tx, caller.guild, &repo, &caller.actor, self.clock.now()).await.map_err(
            |error| match error {
                DbError::Duplicate => Refusal::conflict(
                    format!("`{}` is registered already.", repo.name),
                    format!("`/repo show {}` shows how.", repo.name),
                ),
                other => other.into(),
            },
        )?;
        store::put_environment(&mut tx, caller.guild, &repo.name, &production).await?;
        let mut detail = describe_repo(&repo);
        detail["production"] = describe(&production);
        let entry = self.entry(caller, audit::Action::RepoAdded, &repo.name, detail);
        audit::append(&mut tx, &entry.environment(&production.name)).await?;
        tx.commit().await?;
        Ok(production)
    }

    /// What would be removed: a repository, or one of its environments, for somebody who may.
    pub async fn removal(
        &self,
        caller: &Caller,
        name: &RepoName,
        environment: Option<&EnvironmentName>,
    ) -> Result<(Repo, Vec<Environment>), Refusal> {
        let ask = environment.map_or(whole(name), |environment| environment_of(name, environment));
        let mut reader = self.db.reader().await?;
        self.permissions.require(&mut reader, caller, Action::Admin, ask).await?;
        let repo = self.find(&mut reader, caller.guild, name).await?;
        let environments = self.environments(&mut reader, caller.guild, name).await?;
        if let Some(wanted) = environment {
            check_removable(&repo, &environments, wanted)?;
        }
        Ok((repo, environments))
    }

    /// Takes a repository and its environments away; what was deployed stays in the history.
    pub async fn remove(&self, caller: &Caller, name: &RepoName) -> Result<Repo, Refusal> {
        let _changing = self.permissions.changes().begin();
        let mut tx = self.db.begin().await?;
        self.permissions.require_in(&mut tx, caller, Action::Admin, whole(name)).await?;
        let Some(repo) = store::repo(&mut *tx, caller.guild, name).await? else {
            return Err(unknown(name));
        };
        let environments = store::environments(&mut *tx, caller.guild, name).await?;
        store::delete(&mut tx, caller.guild, name).await?;
        let detail = serde_json::json!({
            "vcs": repo.vcs.as_str(),
            "environments": environments.iter().map(|e| (e.name.to_string(), describe(e))).collect::<serde_json::Map<_, _>>(),
        });
        audit::append(&mut tx, &self.entry(caller, audit::Action::RepoRemoved, &repo.name, detail)).await?;
        tx.commit().await?;
        Ok(repo)
    }

    /// Changes who hosts a repository, its slug or its first branch; what `change` doesn't name keeps its value.
    pub async fn edit(&self, caller: &Caller, name: &RepoName, change: RepoChange) -> Result<Repo, Refusal> {
        let _changing = self.permissions.changes().begin();
        let mut tx = self.db.begin().await?;
        self.permissions.require_in(&mut tx, caller, Action::Admin, whole(name)).await?;
        let before = store::repo(&mut *tx, caller.guild, name).await?.ok_or_else(|| unknown(name))?;
        let after = Repo {
            name: before.name.clone(),
            vcs: change.vcs.unwrap_or(before.vcs),
            project: change.project.or_else(|| before.project.clone()),
            default_branch: change.default_branch.or_else(|| before.default_branch.clone()),
        };
        let environments = store::environments(&mut *tx, caller.guild, name).await?;
        let needs_v1 = |known: &&Environment| !matches!(known.trigger, Trigger::Pipeline { .. });
        if let (Some(known), true) = (environments.iter().find(needs_v1), after.project.is_some()) {
            return Err(Refusal::conflict(
                format!("A project with a slug of its own has no API v1.1, which is what `{}` needs.", known.name),
                format!("`/environment set {name} {} trigger:pipeline` moves it first.", known.name),
            ));
        }
        store::update(&mut tx, caller.guild, &after).await?;
        let detail = serde_json::json!({ "before": describe_repo(&before), "after": describe_repo(&after) });
        audit::append(&mut tx, &self.entry(caller, audit::Action::RepoEdited, &after.name, detail)).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// The repositories that `caller` may see, by name.
    pub async fn list(&self, caller: &Caller) -> Result<Vec<Repo>, DbError> {
        let repos = store::repos(self.db.pool(), caller.guild).await?;
        self.permissions.only_permitted(caller, Action::View, repos, |repo| whole(&repo.name)).await
    }

    /// A repository and its environments, for somebody who may see it.
    pub async fn show(&self, caller: &Caller, name: &RepoName) -> Result<(Repo, Vec<Environment>), Refusal> {
        let mut reader = self.db.reader().await?;
        self.permissions.require(&mut reader, caller, Action::View, whole(name)).await?;
        let repo = self.find(&mut reader, caller.guild, name).await?;
        let environments = self.environments(&mut reader, caller.guild, name).await?;
        Ok((repo, environments))
    }

    /// Of the patterns of `scope` the first that fits nothing registered in `guild`: what it is of, and the pattern.
    pub async fn fits_nothing(
        &self,
        guild: GuildId,
        scope: &Scope,
    ) -> Result<Option<(&'static str, Pattern)>, DbError> {
        let environments = store::environments_of_guild(self.db.pool(), guild).await?;
        let fits = |pattern: &Pattern, name: &str| pattern.matches(name, Case::Ignored);
        let mut repos = store::repos(self.db.pool(), guild).await?;
        repos.retain(|repo| fits(&scope.repo, repo.name.as_str()));
        if repos.is_empty() && scope.repo != Pattern::any() {
            return Ok(Some(("repository", scope.repo.clone())));
        }
        let of_these = |key: &str| repos.iter().any(|repo| repo.name.key() == key);
        let is_there = environments
            .iter()
            .any(|(key, environment)| of_these(key) && fits(&scope.environment, environment.name.as_str()));
        let nowhere = !is_there && scope.environment != Pattern::any();
        Ok(nowhere.then(|| ("environment", scope.environment.clone())))
    }

    /// A registered repository, whoever asks.
    pub async fn find(&self, reader: &mut Reader, guild: GuildId, name: &RepoName) -> Result<Repo, Refusal> {
        store::repo(&mut **reader, guild, name).await?.ok_or_else(|| unknown(name))
    }

    /// The environments of a registered repository, whoever asks.
    pub async fn environments(
        &self,
        reader: &mut Reader,
        guild: GuildId,
        name: &RepoName,
    ) -> Result<Vec<Environment>, DbError> {
        store::environments(&mut **reader, guild, name).await
    }

    /// Every environment that runs a job of API v1.1, as `org/repo name`, for the operator.
    pub async fn jobs_anywhere(&self) -> Result<Vec<String>, DbError> {
        store::jobs_anywhere(self.db.pool()).await
    }

    /// How CircleCI addresses a repository, and under which name a project token of its own may be found.
    pub async fn project(&self, repo: &Repo) -> Result<Project, DbError> {
        Ok(Project {
            vcs: repo.vcs,
            repo: repo.name.clone(),
            slug: repo.project.as_ref().map(|slug| slug.as_str().to_owned()),
            token_name: match self.token(&repo.name).await? {
                OwnToken::Has(name) => Some(name),
                OwnToken::None | OwnToken::Shared => None,
            },
        })
    }

    /// Whether a project token is set for this repository alone.
    pub async fn token(&self, name: &RepoName) -> Result<OwnToken, DbError> {
        let variable = name.variable();
        if !self.token_names.contains(&variable) {
            return Ok(OwnToken::None);
        }
        let names = store::names_anywhere(self.db.pool()).await?;
        let shared = names.iter().any(|other| other.key() != name.key() && other.variable() == variable);
        Ok(if shared { OwnToken::Shared } else { OwnToken::Has(variable) })
    }

    pub(super) fn entry(
        &self,
        caller: &Caller,
        action: audit::Action,
        name: &RepoName,
        detail: serde_json::Value,
    ) -> Entry {
        Entry {
            channel: caller.channel,
            repo: Some(name.to_string()),
            detail: Some(detail),
            ..Entry::new(caller.guild, self.clock.now(), &caller.actor, action, Outcome::Allowed)
        }
    }
}

/// A repository's own project token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnToken {
    /// No variable names it.
    None,
    /// The suffix of the variable that holds it.
    Has(String),
    /// The variable would fit another repository too, of this guild or another one, so it is used for neither.
    Shared,
}

fn whole(name: &RepoName) -> Ask<'_> {
    Ask { repo: Some(name.as_str()), ..Ask::default() }
}

pub(super) fn environment_of<'a>(name: &'a RepoName, environment: &'a EnvironmentName) -> Ask<'a> {
    Ask { environment: Some(environment.as_str()), ..whole(name) }
}

/// The refusal for an environment that a repository doesn't have.
pub fn unknown_environment(repo: &Repo, name: &EnvironmentName) -> Refusal {
    Refusal::conflict(
        format!("`{}` has no environment `{name}`.", repo.name),
        format!("`/environment list {}` shows those it has.", repo.name),
    )
}

pub(super) fn unknown(name: &RepoName) -> Refusal {
    Refusal::conflict(
        format!("`{name}` is not registered here."),
        "`/repo list` shows what is; an admin can add it with `/repo add`.",
    )
}

pub(super) fn describe(environment: &Environment) -> serde_json::Value {
    let (kind, job, definition) = store::columns(&environment.trigger);
    serde_json::json!({ "trigger": kind, "job": job, "definition": definition, "parameters": environment.template.to_string(), "confirm": environment.confirm, "branches": environment.branches.as_str(), "channel": environment.channel.map(|id| id.to_string()), "declared": environment.declared, "approvals": environment.approvals, "default": environment.is_default })
}

fn describe_repo(repo: &Repo) -> serde_json::Value {
    serde_json::json!({
        "vcs": repo.vcs.as_str(),
        "project": repo.project.as_ref().map(ProjectSlug::as_str),
        "default_branch": repo.default_branch.as_ref().map(Branch::as_str),
    })
}
