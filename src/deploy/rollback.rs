//! Which deploy a rollback goes back to, and why there may be none. Pure: it reads what it is given.

use super::{Deploy, State};
use crate::id::DeployId;
use crate::refusal::Refusal;
use crate::repo::{Environment, EnvironmentName, RepoName, Revision};

/// What is live somewhere, and what a rollback makes live again.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice<'a, T> {
    pub live: &'a T,
    pub target: &'a T,
}

/// What of a deploy decides.
pub trait Ran {
    /// Its commit, as far as it is known.
    fn revision(&self) -> Option<&Revision>;
}

impl Ran for Deploy {
    fn revision(&self) -> Option<&Revision> {
        self.revision.as_ref()
    }
}

/// The newest of `succeeded`, which stands in the order of its end, the last one first, that is of another commit than the
/// first, which is live.
pub fn choose<T: Ran>(succeeded: &[T]) -> Option<Choice<'_, T>> {
    let (live, earlier) = succeeded.split_first()?;
    let is_other = |deploy: &&T| deploy.revision().is_some_and(|revision| !is_same(Some(revision), live.revision()));
    earlier.iter().find(is_other).map(|target| Choice { live, target })
}

/// Whether two commits are the same as far as they are written out.
pub fn is_same(a: Option<&Revision>, b: Option<&Revision>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.is_full_of(b) || b.is_full_of(a),
        _ => false,
    }
}

/// Why there is nothing to go back to.
pub fn nothing(succeeded: &[Deploy], repo: &RepoName, environment: &EnvironmentName) -> Refusal {
    let Some(live) = succeeded.first() else {
        return Refusal::conflict(
            format!(
                "Nothing that Slipway knows of has succeeded in `{environment}` of `{repo}`, so there is nothing to go back to."
            ),
            format!("`/deploy {repo} …` deploys a branch, with `revision` a certain commit."),
        );
    };
    Refusal::conflict(
        format!(
            "There is nothing to go back to in `{environment}` of `{repo}`: no commit other than that of deploy `{}`, which is live, is known to have succeeded there before it.",
            live.id
        ),
        format!("`/deploy {repo} …` with `revision` deploys a certain commit."),
    )
}

/// Refuses to go back to `target` where that can't be meant.
pub fn check(target: &Deploy, live: &Deploy, repo: &RepoName, environment: &EnvironmentName) -> Result<(), Refusal> {
    let id = target.id;
    let others = "Leave `to` out for the last one before, or let it be completed.";
    if target.repo.key() != repo.key() || target.environment != *environment {
        let why = format!(
            "Deploy `{id}` went to `{}` of `{}`, not to `{environment}` of `{repo}`.",
            target.environment, target.repo
        );
        return Err(Refusal::conflict(why, others));
    }
    if id == live.id {
        return Err(Refusal::conflict(
            format!("Deploy `{id}` is what is live in `{environment}` of `{repo}`."),
            others,
        ));
    }
    if target.state != State::Succeeded {
        let why = format!("Deploy `{id}` is {}: it never was live, so there is no going back to it.", target.state);
        return Err(Refusal::conflict(why, others));
    }
    if target.revision.is_none() {
        let why = format!("CircleCI never told the commit of deploy `{id}`, so it can't be deployed again.");
        return Err(Refusal::conflict(why, others));
    }
    if is_same(target.revision.as_ref(), live.revision.as_ref()) {
        let why = format!("Deploy `{id}` has the same commit as deploy `{}`, which is live.", live.id);
        return Err(Refusal::conflict(why, format!("`/deploys retry {id}` deploys it once more.")));
    }
    Ok(())
}

/// Refuses where the environment can't be deployed at a certain commit.
pub fn check_pins(repo: &RepoName, environment: &Environment) -> Result<(), Refusal> {
    if environment.pins_revisions() {
        return Ok(());
    }
    Err(Refusal::conflict(
        format!(
            "`{}` of `{repo}` runs a pipeline that isn't told which commit to check out, so it can't go back to one.",
            environment.name
        ),
        format!(
            "An admin passes it: `/environment set {repo} {}` with `parameters` that hold `\"revision\": \"{{revision}}\"`, and the configuration checks that out; docs/circleci.md shows how.",
            environment.name
        ),
    ))
}

/// The refusal to go back twice to the same deploy at a time.
pub fn under_way(to: DeployId, first: &Deploy) -> Refusal {
    let refusal = Refusal::conflict(
        format!("Going back to deploy `{to}` is under way already: that is deploy `{}`, {}.", first.id, first.state),
        format!("`/deploys show {}` tells how it goes.", first.id),
    );
    refusal.with_page(first.url.clone())
}

/// The refusal when something else is live than what the person saw.
pub fn deployed_meanwhile(saw: DeployId, live: Option<&Deploy>) -> Refusal {
    let now = match live {
        Some(live) => {
            let commit = live.revision.as_ref().map(|revision| format!(" (`{}`)", revision.short()));
            format!("deploy `{}`{} by `{}`", live.id, commit.unwrap_or_default(), live.actor_name.replace('`', "'"))
        }
        None => "nothing".to_owned(),
    };
    Refusal::conflict(
        format!("Deploy `{saw}` isn't live any more: now {now} is, so this may not be what you want."),
        "Look at it, and ask again if it still is.",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Ran for Option<Revision> {
        fn revision(&self) -> Option<&Revision> {
            self.as_ref()
        }
    }

    fn commit(digit: &str, length: usize) -> Option<Revision> {
        Some(digit.repeat(length).parse().unwrap())
    }

    #[test]
    fn the_last_other_commit_before_is_chosen() {
        let (a, b, c) = (commit("a", 40), commit("b", 40), commit("c", 40));
        let chosen = |succeeded: &[Option<Revision>]| choose(succeeded).map(|choice| choice.target.clone().unwrap());
        assert_eq!(chosen(&[a.clone(), b.clone(), c.clone()]), b);
        assert_eq!(chosen(&[a.clone(), a.clone(), commit("a", 7), None, c.clone()]), c);
        assert_eq!(chosen(&[a.clone(), None]), None);
        assert_eq!(chosen(&[a]), None);
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[None, b.clone()]), b);
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_known_other_than_live_and_the_newest_such(picks in prop::collection::vec(prop::option::of((0usize..4, prop::bool::ANY)), 0..12)) {
            let succeeded: Vec<Option<Revision>> = picks
                .into_iter()
                .map(|pick| pick.and_then(|(digit, full)| commit(["a", "b", "c", "d"][digit], if full { 40 } else { 7 })))
                .collect();
            let is_other = |deploy: &Option<Revision>| deploy.is_some() && !is_same(deploy.as_ref(), succeeded[0].as_ref());
            match choose(&succeeded) {
                Some(choice) => {
                    prop_assert!(std::ptr::eq(choice.live, &succeeded[0]));
                    let at = succeeded.iter().position(|deploy| std::ptr::eq(deploy, choice.target)).unwrap();
                    prop_assert!(at > 0 && is_other(&succeeded[at]));
                    prop_assert!(!succeeded[1..at].iter().any(is_other));
                }
                None => prop_assert!(succeeded.is_empty() || !succeeded[1..].iter().any(is_other)),
            }
        }
    }
}
