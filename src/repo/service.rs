//! Registering repositories and finding them. Every change is written together with its audit entry.

use std::collections::HashSet;
use std::sync::Arc;

use super::environment::TriggerKind;
use super::{Branch, Environment, EnvironmentName, JobName, ProjectSlug, RepoName, Template, Trigger, Vcs, store};
use crate::actor::Caller;
use crate::audit::{self, Entry, Outcome};
use crate::circleci::Project;
use crate::db::{Db, DbError, Reader};
use crate::id::GuildId;
use crate::permission::{Action, Ask, Permissions};
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

/// What is to be said of an environment; the rest keeps its value.
#[derive(Debug, Clone)]
pub struct EnvironmentChange {
    /// Which environment; it is made when it isn't there.
    pub name: EnvironmentName,
    /// The kind of trigger.
    pub kind: Option<TriggerKind>,
    /// The job, for the kind `job`.
    pub job: Option<JobName>,
    /// The pipeline definition's name or id, for the kind `pipeline`.
    pub definition: Option<String>,
    /// What is passed to the pipeline.
    pub template: Option<Template>,
    /// Whether a rollback asks for a confirmation first.
    pub confirm: Option<bool>,
}

impl EnvironmentChange {
    /// The environment that the change makes of `before`, or of nothing.
    fn apply(self, before: Option<Environment>, repo: &Repo) -> Result<Environment, Refusal> {
        let kept = before.unwrap_or_else(|| Environment::new(self.name, Trigger::Pipeline { definition: None }));
        let kind = self.kind.unwrap_or(if self.job.is_some() { TriggerKind::Job } else { kept.trigger.kind() });
        let trigger = match (kind, kept.trigger) {
            (TriggerKind::Pipeline | TriggerKind::Build, _) if self.job.is_some() => {
                return Err(Refusal::conflict(
                    format!("`job` belongs to the trigger `job`, and a {kind} has none."),
                    "Name one of the two.",
                ));
            }
            (TriggerKind::Pipeline, Trigger::Pipeline { definition }) => {
                Trigger::Pipeline { definition: self.definition.or(definition) }
            }
            (TriggerKind::Pipeline, Trigger::Job(_) | Trigger::Build) => {
                Trigger::Pipeline { definition: self.definition }
            }
            (TriggerKind::Job | TriggerKind::Build, _) if self.definition.is_some() || self.template.is_some() => {
                return Err(Refusal::conflict(
                    "`definition` and `parameters` belong to the trigger `pipeline`.",
                    "Leave them out, or set `trigger` to `pipeline`.",
                ));
            }
            (TriggerKind::Job | TriggerKind::Build, _) if repo.project.is_some() => {
                return Err(Refusal::conflict(
                    format!("A project with a slug of its own has no API v1.1, which is what `{kind}` needs."),
                    "Use the trigger `pipeline`.",
                ));
            }
            (TriggerKind::Job, Trigger::Job(job)) => Trigger::Job(self.job.unwrap_or(job)),
            (TriggerKind::Build, _) => Trigger::Build,
            (TriggerKind::Job, Trigger::Pipeline { .. } | Trigger::Build) => {
                Trigger::Job(self.job.ok_or_else(|| {
                    Refusal::conflict(
                        "The trigger `job` needs a job.",
                        "Name it as `job`, as it stands in `.circleci/config.yml`.",
                    )
                })?)
            }
        };
        let template = match kind {
            TriggerKind::Pipeline => self.template.unwrap_or(kept.template),
            TriggerKind::Job | TriggerKind::Build => Template::default(),
        };
        Ok(Environment { name: kept.name, trigger, template, confirm: self.confirm.unwrap_or(kept.confirm) })
    }
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
        let detail = serde_json::json!({
            "vcs": repo.vcs.as_str(),
            "project": repo.project.as_ref().map(ProjectSlug::as_str),
            "default_branch": repo.default_branch.as_ref().map(Branch::as_str),
            "production": describe(&production),
        });
        let entry = self.entry(caller, audit::Action::RepoAdded, &repo.name, detail);
        audit::append(&mut tx, &entry.environment(&production.name)).await?;
        tx.commit().await.map_err(DbError::from)?;
        Ok(production)
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
        tx.commit().await.map_err(DbError::from)?;
        Ok(repo)
    }

    /// Makes or changes an environment; what `change` doesn't name keeps its value.
    pub async fn set_environment(
        &self,
        caller: &Caller,
        name: &RepoName,
        change: EnvironmentChange,
    ) -> Result<Environment, Refusal> {
        let _changing = self.permissions.changes().begin();
        let mut tx = self.db.begin().await?;
        self.permissions.require_in(&mut tx, caller, Action::Admin, environment_of(name, &change.name)).await?;
        let repo = store::repo(&mut *tx, caller.guild, name).await?.ok_or_else(|| unknown(name))?;
        let before = store::environments(&mut *tx, caller.guild, name)
            .await?
            .into_iter()
            .find(|known| known.name == change.name);
        let detail_before = before.as_ref().map(describe);
        let after = change.apply(before, &repo)?;
        store::put_environment(&mut tx, caller.guild, name, &after).await?;
        let detail = serde_json::json!({ "before": detail_before, "after": describe(&after) });
        let entry = self.entry(caller, audit::Action::EnvironmentSet, &repo.name, detail).environment(&after.name);
        audit::append(&mut tx, &entry).await?;
        tx.commit().await.map_err(DbError::from)?;
        Ok(after)
    }

    /// Takes an environment away; what was deployed there stays in the history.
    pub async fn remove_environment(
        &self,
        caller: &Caller,
        name: &RepoName,
        environment: &EnvironmentName,
    ) -> Result<Repo, Refusal> {
        let _changing = self.permissions.changes().begin();
        let mut tx = self.db.begin().await?;
        self.permissions.require_in(&mut tx, caller, Action::Admin, environment_of(name, environment)).await?;
        let repo = store::repo(&mut *tx, caller.guild, name).await?.ok_or_else(|| unknown(name))?;
        let known = store::environments(&mut *tx, caller.guild, name).await?;
        let removed = known
            .iter()
            .find(|known| known.name == *environment)
            .ok_or_else(|| unknown_environment(&repo, environment))?;
        if known.len() == 1 {
            return Err(Refusal::conflict(
                format!("`{environment}` is the only environment of `{}`.", repo.name),
                format!("Set another one first, or take the whole repository away with `/repo remove {}`.", repo.name),
            ));
        }
        store::delete_environment(&mut tx, caller.guild, name, environment).await?;
        let detail = serde_json::json!({ "before": describe(removed) });
        let entry = self.entry(caller, audit::Action::EnvironmentRemoved, &repo.name, detail).environment(environment);
        audit::append(&mut tx, &entry).await?;
        tx.commit().await.map_err(DbError::from)?;
        Ok(repo)
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

    fn entry(&self, caller: &Caller, action: audit::Action, name: &RepoName, detail: serde_json::Value) -> Entry {
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

fn environment_of<'a>(name: &'a RepoName, environment: &'a EnvironmentName) -> Ask<'a> {
    Ask { environment: Some(environment.as_str()), ..whole(name) }
}

/// The refusal for an environment that a repository doesn't have.
pub fn unknown_environment(repo: &Repo, name: &EnvironmentName) -> Refusal {
    Refusal::conflict(
        format!("`{}` has no environment `{name}`.", repo.name),
        format!("`/environment list {}` shows those it has.", repo.name),
    )
}

fn unknown(name: &RepoName) -> Refusal {
    Refusal::conflict(
        format!("`{name}` is not registered here."),
        "`/repo list` shows what is; an admin can add it with `/repo add`.",
    )
}

fn describe(environment: &Environment) -> serde_json::Value {
    let (kind, job, definition) = store::columns(&environment.trigger);
    serde_json::json!({ "trigger": kind, "job": job, "definition": definition, "parameters": environment.template.to_string(), "confirm": environment.confirm })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(project: Option<&str>) -> Repo {
        let project = project.map(|slug| slug.parse().unwrap());
        Repo { name: "acme/web".parse().unwrap(), vcs: Vcs::GitHub, project, default_branch: None }
    }

    fn to_build() -> EnvironmentChange {
        let (name, kind) = (EnvironmentName::production(), Some(TriggerKind::Build));
        EnvironmentChange { name, kind, job: None, definition: None, template: None, confirm: None }
    }

    fn why(change: EnvironmentChange, repo: &Repo) -> String {
        match change.apply(None, repo) {
            Err(Refusal::Conflict { why, .. }) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_build_has_neither_job_nor_definition_nor_parameters_and_needs_v1() {
        let web = repo(None);
        let pipeline = Environment {
            template: r#"{"action": "deploy"}"#.parse().unwrap(),
            ..Environment::new(
                EnvironmentName::production(),
                Trigger::Pipeline { definition: Some("deploy".to_owned()) },
            )
        };
        let build = to_build().apply(Some(pipeline), &web).unwrap();
        assert_eq!(build, Environment::new(EnvironmentName::production(), Trigger::Build));

        let job = Some("deploy".parse().unwrap());
        assert!(why(EnvironmentChange { job, ..to_build() }, &web).contains("a build has none"));
        let definition = Some("deploy".to_owned());
        assert!(why(EnvironmentChange { definition, ..to_build() }, &web).contains("belong to the trigger `pipeline`"));
        let template = Some(r#"{"a": 1}"#.parse().unwrap());
        assert!(why(EnvironmentChange { template, ..to_build() }, &web).contains("belong to the trigger `pipeline`"));
        let opaque = repo(Some("circleci/43G3km5/44n9puj"));
        assert!(why(to_build(), &opaque).contains("which is what `build` needs"));

        let back = EnvironmentChange { kind: Some(TriggerKind::Job), job: Some("x".parse().unwrap()), ..to_build() };
        assert_eq!(back.apply(Some(build), &web).unwrap().trigger, Trigger::Job("x".parse().unwrap()));
    }
}
