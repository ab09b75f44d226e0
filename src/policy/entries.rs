//! A document's entries as the repositories, environments and rules that they stand for, and back. Pure.

use super::document::{EnvironmentEntry, Parsed, RepoEntry, RuleEntry, Who};
use crate::id::{GuildId, RuleId};
use crate::permission::{Pattern, Rule, Scope};
use crate::repo::environment::{self, APPROVALS_MAX, TriggerKind};
use crate::repo::{Environment, Repo, Template, Trigger};
use crate::time::Timestamp;

impl EnvironmentEntry {
    /// How it is deployed, or why that doesn't fit together.
    pub fn trigger(&self) -> Result<Trigger, &'static str> {
        match (self.trigger.0, &self.job, &self.definition, &self.parameters) {
            (TriggerKind::Pipeline, None, definition, _) => Ok(Trigger::Pipeline { definition: definition.clone() }),
            (TriggerKind::Job, Some(job), None, None) => Ok(Trigger::Job(job.0.clone())),
            (TriggerKind::Build, None, None, None) => Ok(Trigger::Build),
            (TriggerKind::Job, None, ..) => Err("the trigger `job` needs a `job`."),
            (TriggerKind::Pipeline | TriggerKind::Build, Some(_), ..) => Err("`job` belongs to the trigger `job`."),
            _ => Err("`definition` and `parameters` belong to the trigger `pipeline`."),
        }
    }

    /// What is wrong with it beyond what its reader tells.
    pub fn check(&self) -> Result<(), String> {
        self.trigger()?;
        if self.approvals > APPROVALS_MAX {
            return Err(format!("at most {APPROVALS_MAX} approvals can be asked for."));
        }
        if let Some(definition) = &self.definition {
            environment::definition(definition).map_err(|invalid| invalid.why.into_owned())?;
        }
        let template = self.parameters.as_ref().map(|template| &template.0);
        for parameter in &self.declared {
            if template.is_some_and(|template| template.passes(&parameter.name)) {
                return Err(format!("it passes the parameter {} itself.", parameter.name));
            }
            let twice = self.declared.iter().filter(|other| other.name == parameter.name).count() > 1;
            if twice {
                return Err(format!("the parameter {} stands there twice.", parameter.name));
            }
            parameter.check().map_err(|refusal| format!("the parameter {}: {}", parameter.name, refusal.why()))?;
        }
        Ok(())
    }

    /// The environment that it stands for; its trigger was checked when it was read.
    pub fn environment(&self) -> Result<Environment, &'static str> {
        let template = self.parameters.as_ref().map_or_else(Template::default, |template| template.0.clone());
        Ok(Environment {
            template,
            confirm: self.confirm,
            branches: self.branches.as_ref().map_or_else(Pattern::any, |branches| branches.0.clone()),
            channel: self.channel.as_ref().map(|channel| channel.0),
            declared: self.declared.clone(),
            approvals: self.approvals,
            is_default: self.default,
            ..Environment::new(self.name.0.clone(), self.trigger()?)
        })
    }
}

impl From<&Environment> for EnvironmentEntry {
    fn from(environment: &Environment) -> Self {
        let (job, definition) = match &environment.trigger {
            Trigger::Pipeline { definition } => (None, definition.clone()),
            Trigger::Job(job) => (Some(Parsed(job.clone())), None),
            Trigger::Build => (None, None),
        };
        let branches = &environment.branches;
        Self {
            name: Parsed(environment.name.clone()),
            trigger: Parsed(environment.trigger.kind()),
            job,
            definition,
            parameters: (!environment.template.is_empty()).then(|| Parsed(environment.template.clone())),
            branches: (*branches != Pattern::any()).then(|| Parsed(branches.clone())),
            channel: environment.channel.map(Parsed),
            approvals: environment.approvals,
            default: environment.is_default,
            confirm: environment.confirm,
            declared: environment.declared.clone(),
        }
    }
}

impl RepoEntry {
    /// The repository that it stands for.
    pub fn repo(&self) -> Repo {
        Repo {
            name: self.name.0.clone(),
            vcs: self.vcs.0,
            project: self.project.as_ref().map(|project| project.0.clone()),
            default_branch: self.default_branch.as_ref().map(|branch| branch.0.clone()),
        }
    }

    /// The entry of a repository with these environments.
    pub fn of(repo: &Repo, environments: &[&Environment]) -> Self {
        Self {
            name: Parsed(repo.name.clone()),
            vcs: Parsed(repo.vcs),
            project: repo.project.clone().map(Parsed),
            default_branch: repo.default_branch.clone().map(Parsed),
            environments: environments.iter().map(|environment| EnvironmentEntry::from(*environment)).collect(),
        }
    }
}

impl RuleEntry {
    /// The entry of a rule of `guild`.
    pub fn of(rule: &Rule, guild: GuildId) -> Self {
        Self {
            who: Parsed(Who::of(rule.subject, guild)),
            effect: Parsed(rule.effect),
            action: Parsed(rule.action),
            repo: Parsed(rule.scope.repo.clone()),
            branch: Parsed(rule.scope.branch.clone()),
            environment: Parsed(rule.scope.environment.clone()),
            expires: rule.expires_at.map(Parsed),
            reason: rule.reason.as_ref().and_then(|reason| reason.parse().ok()).map(Parsed),
        }
    }

    /// The rule that it stands for in `guild`, made by somebody.
    pub fn rule(
        &self,
        guild: GuildId,
        id: RuleId,
        (made_by, made_by_name): (String, String),
        made_at: Timestamp,
    ) -> Rule {
        Rule {
            id,
            subject: self.who.0.subject(guild),
            effect: self.effect.0,
            action: self.action.0,
            scope: Scope {
                repo: self.repo.0.clone(),
                branch: self.branch.0.clone(),
                environment: self.environment.0.clone(),
            },
            expires_at: self.expires.as_ref().map(|end| end.0),
            reason: self.reason.as_ref().map(|reason| reason.0.to_string()),
            made_by,
            made_by_name,
            made_at,
        }
    }
}
