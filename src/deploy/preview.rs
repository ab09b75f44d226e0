//! What carrying out a plan would send to CircleCI, what allows it and what it would replace. Sends and records nothing.

use super::parameters::Value;
use super::plan::{all_parameters, name_for_circleci};
use super::{Deploy, Deploys, Origin, Parameter, Plan, Replaced, history};
use crate::actor::Caller;
use crate::circleci::Project;
use crate::db::DbError;
use crate::permission::{Because, Rule};
use crate::refusal::Refusal;
use crate::repo::{Branch, EnvironmentName, Revision, Trigger};

/// What stands for the deploy's own ids, which it gets when it is recorded.
const ID: &str = "{id}";
const NUMBER: &str = "{number}";

/// What would happen.
#[derive(Debug)]
pub struct Preview {
    /// The project as CircleCI addresses it.
    pub project: Project,
    /// The environment.
    pub environment: EnvironmentName,
    /// How CircleCI would be asked.
    pub trigger: Trigger,
    /// Of which branch.
    pub branch: Branch,
    /// At which commit; the branch's newest one unless known.
    pub revision: Option<Revision>,
    /// Every parameter.
    pub parameters: Vec<Parameter>,
    /// What there is to say of it.
    pub note: Option<String>,
    /// Whether it would ask for a confirmation first.
    pub asks_first: bool,
    /// What it would replace.
    pub replaces: Option<Replaced>,
    /// What is on its way to the same environment.
    pub unfinished: Vec<Deploy>,
    /// Whether an owner's rights allow it, whatever the rules say.
    pub by_owner: bool,
    /// The rules that allow it.
    pub rules: Vec<Rule>,
}

impl Deploys {
    /// What carrying out `plan` would do. Never asks CircleCI.
    pub async fn preview(&self, caller: &Caller, plan: &Plan) -> Result<Preview, Refusal> {
        let Plan { repo, environment, wish, note, .. } = plan;
        let ask = super::service::ask(&repo.name, &wish.branch, &environment.name);
        let (decision, rules) = self.permissions.check(caller, &caller.actor, wish.origin.action(), ask).await?;
        let mut parameters = all_parameters(environment, wish, &caller.actor, ID, NUMBER)?;
        if let Trigger::Job(job) = &environment.trigger {
            let text =
                |name: &str, value: &str| Parameter { name: name.to_owned(), value: Value::Text(value.to_owned()) };
            parameters.extend([
                text("CIRCLE_JOB", job.as_str()),
                text("SLIPWAY_DEPLOY_ID", ID),
                text("SLIPWAY_ENVIRONMENT", environment.name.as_str()),
                text("SLIPWAY_ACTOR", &name_for_circleci(&caller.actor.id, &caller.actor.name)),
            ]);
        }
        let (replaces, unfinished) = self.found_there(caller, plan).await?;
        Ok(Preview {
            project: self.repos.project(repo).await?,
            environment: environment.name.clone(),
            trigger: environment.trigger.clone(),
            branch: wish.branch.clone(),
            revision: wish.revision.clone(),
            parameters,
            note: note.clone(),
            asks_first: environment.confirm && matches!(wish.origin, Origin::Rollback(_)),
            replaces,
            unfinished,
            by_owner: matches!(decision.because, Because::Owner),
            rules,
        })
    }

    async fn found_there(&self, caller: &Caller, plan: &Plan) -> Result<(Option<Replaced>, Vec<Deploy>), DbError> {
        let (repo, environment) = (&plan.repo.name, &plan.environment.name);
        let mut reader = self.db.reader().await?;
        let live = history::store::succeeded(&mut *reader, caller.guild, repo, environment, 1).await?.pop();
        let unfinished = history::store::unfinished(&mut *reader, caller.guild, repo, environment).await?;
        Ok((live.map(|live| Replaced { deploy: live.id, revision: live.revision }), unfinished))
    }
}
