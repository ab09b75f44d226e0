//! Environments made, changed and taken away. Every change is written together with its audit entry.

use super::declared::{DECLARED_MAX, Declared};
use super::environment::TriggerKind;
use super::service::{describe, environment_of, unknown, unknown_environment};
use super::{Environment, EnvironmentName, JobName, Repo, RepoName, Repos, Template, Trigger, store};
use crate::actor::Caller;
use crate::audit;
use crate::id::ChannelId;
use crate::permission::{Action, Pattern};
use crate::refusal::Refusal;

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
    /// The branches that are deployed there.
    pub branches: Option<Pattern>,
    /// The only channel in which it is asked for, or any.
    pub channel: Option<Option<ChannelId>>,
    /// How many must approve.
    pub approvals: Option<u8>,
    /// Whether it is meant where none is named.
    pub is_default: Option<bool>,
}

impl EnvironmentChange {
    /// Of this environment, and nothing yet.
    pub fn of(name: EnvironmentName) -> Self {
        Self {
            name,
            kind: None,
            job: None,
            definition: None,
            template: None,
            confirm: None,
            branches: None,
            channel: None,
            approvals: None,
            is_default: None,
        }
    }

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
        Ok(Environment {
            name: kept.name,
            trigger,
            template,
            confirm: self.confirm.unwrap_or(kept.confirm),
            branches: self.branches.unwrap_or(kept.branches),
            channel: self.channel.unwrap_or(kept.channel),
            declared: kept.declared,
            approvals: self.approvals.unwrap_or(kept.approvals),
            is_default: self.is_default.unwrap_or(kept.is_default),
        })
    }
}

impl Repos {
    /// Makes or changes an environment; what `change` doesn't name keeps its value.
    pub async fn set_environment(
        &self,
        caller: &Caller,
        name: &RepoName,
        change: EnvironmentChange,
    ) -> Result<Environment, Refusal> {
        let environment = change.name.clone();
        self.change_environment(caller, name, &environment, |before, repo| change.apply(before, repo)).await
    }

    /// Declares a parameter of an environment, anew where there is one of that name.
    pub async fn declare(
        &self,
        caller: &Caller,
        name: &RepoName,
        environment: &EnvironmentName,
        parameter: Declared,
    ) -> Result<Environment, Refusal> {
        self.change_environment(caller, name, environment, |before, repo| {
            let mut after = before.ok_or_else(|| unknown_environment(repo, environment))?;
            if after.template.passes(&parameter.name) {
                return Err(Refusal::conflict(
                    format!("The environment `{environment}` passes the parameter `{}` itself.", parameter.name),
                    "Take it out of the template first, with `/environment set … parameters`.",
                ));
            }
            match after.declared.iter_mut().find(|known| known.name == parameter.name) {
                Some(known) => *known = parameter,
                None => after.declared.push(parameter),
            }
            if after.declared.len() > DECLARED_MAX {
                let why = format!("An environment declares at most {DECLARED_MAX} parameters.");
                return Err(Refusal::conflict(why, "Take others away first."));
            }
            Ok(after)
        })
        .await
    }

    /// Takes a declared parameter away.
    pub async fn undeclare(
        &self,
        caller: &Caller,
        name: &RepoName,
        environment: &EnvironmentName,
        parameter: &str,
    ) -> Result<Environment, Refusal> {
        self.change_environment(caller, name, environment, |before, repo| {
            let mut after = before.ok_or_else(|| unknown_environment(repo, environment))?;
            let count = after.declared.len();
            after.declared.retain(|known| known.name != parameter);
            if after.declared.len() == count {
                return Err(Refusal::conflict(
                    format!("The environment `{environment}` declares no parameter of that name."),
                    format!("`/environment show {} {environment}` shows those that it declares.", repo.name),
                ));
            }
            Ok(after)
        })
        .await
    }

    async fn change_environment(
        &self,
        caller: &Caller,
        name: &RepoName,
        environment: &EnvironmentName,
        change: impl FnOnce(Option<Environment>, &Repo) -> Result<Environment, Refusal> + Send,
    ) -> Result<Environment, Refusal> {
        let _changing = self.permissions.changes().begin();
        let mut tx = self.db.begin().await?;
        self.permissions.require_in(&mut tx, caller, Action::Admin, environment_of(name, environment)).await?;
        let repo = store::repo(&mut *tx, caller.guild, name).await?.ok_or_else(|| unknown(name))?;
        let known = store::environments(&mut *tx, caller.guild, name).await?;
        let before = known.into_iter().find(|known| known.name == *environment);
        let detail_before = before.as_ref().map(describe);
        let after = change(before, &repo)?;
        store::put_environment(&mut tx, caller.guild, name, &after).await?;
        let detail = serde_json::json!({ "before": detail_before, "after": describe(&after) });
        let entry = self.entry(caller, audit::Action::EnvironmentSet, &repo.name, detail).environment(&after.name);
        audit::append(&mut tx, &entry).await?;
        tx.commit().await?;
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
        let removed = check_removable(&repo, &known, environment)?;
        store::delete_environment(&mut tx, caller.guild, name, environment).await?;
        let detail = serde_json::json!({ "before": describe(removed) });
        let entry = self.entry(caller, audit::Action::EnvironmentRemoved, &repo.name, detail).environment(environment);
        audit::append(&mut tx, &entry).await?;
        tx.commit().await?;
        Ok(repo)
    }
}

/// The environment that can be taken away: it is there, and not the only one.
pub(super) fn check_removable<'a>(
    repo: &Repo,
    known: &'a [Environment],
    wanted: &EnvironmentName,
) -> Result<&'a Environment, Refusal> {
    let found = known.iter().find(|known| known.name == *wanted).ok_or_else(|| unknown_environment(repo, wanted))?;
    if known.len() == 1 {
        return Err(Refusal::conflict(
            format!("`{wanted}` is the only environment of `{}`.", repo.name),
            format!("Set another one first, or take the whole repository away with `/repo remove {}`.", repo.name),
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Vcs;

    fn repo(project: Option<&str>) -> Repo {
        let project = project.map(|slug| slug.parse().unwrap());
        Repo { name: "acme/web".parse().unwrap(), vcs: Vcs::GitHub, project, default_branch: None }
    }

    fn to_build() -> EnvironmentChange {
        EnvironmentChange { kind: Some(TriggerKind::Build), ..EnvironmentChange::of(EnvironmentName::production()) }
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
