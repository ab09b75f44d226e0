//! What somebody wants deployed, and how that is carried out. Pure: it reads what it is given.

use super::parameters::{PARAMETERS_MAX, VALUE_CHARS_MAX};
use super::{Origin, Parameter, Reason};
use crate::actor::{Actor, ActorId};
use crate::id::{ChannelId, DeployId};
use crate::permission::Case;
use crate::refusal::Refusal;
use crate::repo::template::Values;
use crate::repo::{Branch, Environment, EnvironmentName, Repo, RepoName, Revision};
use crate::text;

/// The longest name of a person that CircleCI is told, in UTF-16 units.
const ACTOR_NAME_MAX: usize = 64;

/// What somebody wants deployed.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What.
    pub repo: RepoName,
    /// From which branch.
    pub branch: Branch,
    /// Where to; the only environment, or `production`, unless named.
    pub environment: Option<EnvironmentName>,
    /// At which commit.
    pub revision: Option<Revision>,
    /// With which parameters.
    pub parameters: Vec<Parameter>,
    /// Why.
    pub reason: Option<Reason>,
    /// How it came to be wished for.
    pub origin: Origin,
}

/// A wish that may be carried out, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    pub(super) repo: Repo,
    pub(super) environment: Environment,
    pub(super) wish: Wish,
    /// What must still be live when it is recorded, because the person has seen that it is replaced.
    pub(super) replaces: Option<DeployId>,
    /// What there is to say of it from the beginning.
    pub(super) note: Option<String>,
}

impl Plan {
    /// The environment that is deployed to.
    pub fn environment(&self) -> &EnvironmentName {
        &self.environment.name
    }
}

/// The environment that is meant: the one named, else the only one, else the default, else `production`.
pub fn meant(environments: &[Environment], named: Option<&EnvironmentName>) -> Option<usize> {
    let is_called = |name: &EnvironmentName| environments.iter().position(|environment| environment.name == *name);
    match named {
        Some(name) => is_called(name),
        None if environments.len() == 1 => Some(0),
        None => environments
            .iter()
            .position(|environment| environment.is_default)
            .or_else(|| is_called(&EnvironmentName::production())),
    }
}

/// The same, or why there is none.
pub fn choose(
    repo: &Repo,
    mut environments: Vec<Environment>,
    named: Option<&EnvironmentName>,
) -> Result<Environment, Refusal> {
    let meant = meant(&environments, named);
    if let Some(index) = meant {
        return Ok(environments.swap_remove(index));
    }
    let known: Vec<String> = environments.iter().map(|environment| format!("`{}`", environment.name)).collect();
    let why = match named {
        Some(name) => format!("`{}` has no environment `{name}`.", repo.name),
        None => format!("`{}` has several environments, none of them the default nor called `production`.", repo.name),
    };
    Err(Refusal::conflict(why, format!("Name one of {} as `environment`.", known.join(", "))))
}

/// Refuses a wish that its environment doesn't take: of another branch, or in another channel. What is gone back to was taken
/// once.
pub(super) fn check_taken(
    repo: &Repo,
    environment: &Environment,
    wish: &Wish,
    channel: Option<ChannelId>,
) -> Result<(), Refusal> {
    let is_return = matches!(wish.origin, Origin::Rollback(_));
    if !is_return && !environment.branches.matches(wish.branch.as_str(), Case::Kept) {
        return Err(Refusal::conflict(
            format!("`{}` of `{}` takes no branch `{}`.", environment.name, repo.name, wish.branch),
            format!(
                "It takes those that fit `{}`; an admin changes that with `/environment set`.",
                environment.branches
            ),
        ));
    }
    match (environment.channel, channel) {
        // Whoever is at the terminal is in no channel.
        (Some(only), Some(here)) if only != here => Err(Refusal::Elsewhere {
            repo: repo.name.to_string(),
            environment: environment.name.to_string(),
            channel: only,
        }),
        _ => Ok(()),
    }
}

/// What an environment passes to its pipeline, and what the person adds: what the environment passes itself, nobody can
/// pass in its place, and everything together keeps CircleCI's limits.
pub(super) fn all_parameters(
    environment: &Environment,
    wish: &Wish,
    actor: &Actor,
    id: &str,
    number: &str,
) -> Result<Vec<Parameter>, Refusal> {
    if let Some(parameter) = wish.parameters.iter().find(|parameter| environment.template.passes(&parameter.name)) {
        return Err(Refusal::conflict(
            format!("The environment `{}` passes the parameter `{}` itself.", environment.name, parameter.name),
            "Leave it out.",
        ));
    }
    let values = Values {
        id,
        number,
        environment: environment.name.as_str(),
        actor: &name_for_circleci(&actor.id, &actor.name),
        branch: wish.branch.as_str(),
        revision: wish.revision.as_ref().map_or("", Revision::as_str),
        reason: wish.reason.as_ref().map_or("", Reason::as_str),
    };
    let mut parameters = environment.template.fill(&values);
    parameters.extend(wish.parameters.iter().cloned());
    if parameters.len() > PARAMETERS_MAX {
        return Err(Refusal::conflict(
            format!("With those of the environment there are more than {PARAMETERS_MAX} parameters, CircleCI's limit."),
            "Leave some out.",
        ));
    }
    let length = |parameter: &&Parameter| parameter.value.to_string().chars().count();
    if let Some(parameter) = parameters.iter().find(|parameter| length(parameter) > VALUE_CHARS_MAX) {
        return Err(Refusal::conflict(
            format!(
                "The parameter `{}` would be longer than {VALUE_CHARS_MAX} characters, CircleCI's limit.",
                parameter.name
            ),
            "Shorten what is put into it, such as the reason.",
        ));
    }
    Ok(parameters)
}

/// Who asked, as CircleCI is told: somebody's name is hostile in a shell too.
pub(super) fn name_for_circleci(id: &ActorId, name: &str) -> String {
    match id {
        ActorId::User(id) => {
            let name: String = name.chars().filter(|c| c.is_alphanumeric() || " ._-".contains(*c)).collect();
            format!("{} ({id})", text::clip(name.trim(), ACTOR_NAME_MAX))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::{Trigger, Vcs};

    fn environment(name: &str) -> Environment {
        Environment::new(name.parse().unwrap(), Trigger::Pipeline { definition: None })
    }

    #[test]
    fn the_environment_is_the_one_named_or_the_only_one_or_production() {
        let repo = Repo { name: "acme/web".parse().unwrap(), vcs: Vcs::GitHub, project: None, default_branch: None };
        let chosen = |names: &[&str], named: Option<&str>| {
            let named: Option<EnvironmentName> = named.map(|name| name.parse().unwrap());
            choose(&repo, names.iter().map(|name| environment(name)).collect(), named.as_ref())
                .map(|e| e.name.to_string())
                .ok()
        };
        assert_eq!(chosen(&["staging"], None).as_deref(), Some("staging"));
        assert_eq!(chosen(&["production", "staging"], None).as_deref(), Some("production"));
        assert_eq!(chosen(&["production", "staging"], Some("staging")).as_deref(), Some("staging"));
        assert_eq!(chosen(&["production"], Some("staging")), None);
        assert_eq!(chosen(&["eu", "us"], None), None);
    }
}
