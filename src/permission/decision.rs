//! The decision: may this person do this, here, now, and which rules say so. Pure: it reads what it is given.

use super::pattern::{Case, Pattern};
use super::rule::{Action, Effect, Rule, Scope, Subject};
use crate::actor::{Actor, ActorId};
use crate::id::{GuildId, RuleId, UserId};
use crate::time::Timestamp;

/// What is asked for. A part that is not named stands for all there is: only a rule about everything permits it, while a
/// refusal of any part of it refuses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask<'a> {
    /// The repository, `org/repo`.
    pub repo: Option<&'a str>,
    /// The branch.
    pub branch: Option<&'a str>,
    /// The environment.
    pub environment: Option<&'a str>,
}

/// Why a decision came out as it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Because {
    /// The person is one of `SLIPWAY_OWNERS`, or at the command line.
    Owner,
    /// These rules permit it and none refuses.
    Allowed(Vec<RuleId>),
    /// These rules refuse it, whatever others permit.
    Denied(Vec<RuleId>),
    /// No rule permits it.
    NoRule,
}

/// A decision and what made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Why.
    pub because: Because,
}

impl Decision {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self.because, Because::Owner | Because::Allowed(_))
    }

    /// The rules that made it.
    pub fn rules(&self) -> &[RuleId] {
        match &self.because {
            Because::Allowed(rules) | Because::Denied(rules) => rules,
            Because::Owner | Because::NoRule => &[],
        }
    }
}

/// Whether `actor` has an owner's rights: they may do every action, whatever rules say.
pub fn is_owner(actor: &Actor, owners: &[UserId]) -> bool {
    match &actor.id {
        ActorId::User(id) => owners.contains(id),
        ActorId::Cli(_) => true,
        ActorId::Slipway => false,
    }
}

/// Decides whether `actor` may do `action` to what is asked. `rules` are the guild's.
pub fn decide(
    rules: &[Rule],
    owners: &[UserId],
    actor: &Actor,
    guild: GuildId,
    action: Action,
    ask: Ask<'_>,
    now: Timestamp,
) -> Decision {
    if is_owner(actor, owners) {
        return Decision { because: Because::Owner };
    }
    let ids = |effect| -> Vec<RuleId> {
        rules
            .iter()
            .filter(|rule| rule.action == action && rule.effect == effect && rule.holds_at(now))
            .filter(|rule| rule.subject.means(actor, guild) && touches(&rule.scope, ask, effect))
            .map(|rule| rule.id)
            .collect()
    };
    let denials = ids(Effect::Deny);
    if !denials.is_empty() {
        return Decision { because: Because::Denied(denials) };
    }
    let permits = ids(Effect::Allow);
    Decision { because: if permits.is_empty() { Because::NoRule } else { Because::Allowed(permits) } }
}

fn touches(scope: &Scope, ask: Ask<'_>, effect: Effect) -> bool {
    let branch_case = match effect {
        Effect::Allow => Case::Kept,
        Effect::Deny => Case::Ignored,
    };
    let parts = [
        (&scope.repo, ask.repo, Case::Ignored),
        (&scope.branch, ask.branch, branch_case),
        (&scope.environment, ask.environment, Case::Ignored),
    ];
    parts.into_iter().all(|(pattern, part, case)| match (part, effect) {
        (Some(part), _) => pattern.matches(part, case),
        (None, Effect::Deny) => true,
        (None, Effect::Allow) => pattern.covers(&Pattern::any(), case),
    })
}

/// Until when somebody holds an action over a scope. In this order: later is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Not at all, or not over the whole of it.
    No,
    /// Until then.
    Until(Timestamp),
    /// For good.
    ForGood,
}

/// The rules that say over which scopes somebody holds an action.
#[derive(Debug)]
pub struct Holding<'a> {
    is_owner: bool,
    pub(super) permits: Vec<&'a Rule>,
    denials: Vec<&'a Rule>,
}

impl<'a> Holding<'a> {
    /// Those of `rules` that are about `actor` and `action` and hold at `now`.
    pub fn of(
        rules: &'a [Rule],
        owners: &[UserId],
        actor: &Actor,
        guild: GuildId,
        action: Action,
        now: Timestamp,
    ) -> Self {
        let own = |rule: &&Rule| rule.action == action && rule.holds_at(now) && rule.subject.means(actor, guild);
        let (permits, denials) = rules.iter().filter(own).partition(|rule| rule.effect == Effect::Allow);
        Self { is_owner: is_owner(actor, owners), permits, denials }
    }

    /// Until when the action is held over all of `scope`: as long as some rule permits all of it and none refuses any.
    pub fn over(&self, scope: &Scope) -> Held {
        if self.is_owner {
            return Held::ForGood;
        }
        if self.denials.iter().any(|rule| !rule.scope.is_apart_from(scope)) {
            return Held::No;
        }
        let permits = self.permits.iter().filter(|rule| rule.scope.covers(scope));
        permits.map(|rule| Held::from(rule.expires_at)).max().unwrap_or(Held::No)
    }
}

/// Of which branches somebody may do something.
#[derive(Debug, Clone, PartialEq)]
pub struct Branches {
    /// Only of these; of every branch when there are none.
    pub only: Vec<Pattern>,
    /// Not of these.
    pub except: Vec<Pattern>,
    /// Until when at most.
    pub held: Held,
}

impl Holding<'_> {
    /// Of which branches of a repository the action is held in an environment; nothing when of none.
    pub fn branches(&self, repo: &str, environment: &str) -> Option<Branches> {
        if self.is_owner {
            return Some(Branches { only: vec![], except: vec![], held: Held::ForGood });
        }
        let there = |rule: &&&Rule| {
            rule.scope.repo.matches(repo, Case::Ignored) && rule.scope.environment.matches(environment, Case::Ignored)
        };
        let except: Vec<Pattern> = self.denials.iter().filter(there).map(|rule| rule.scope.branch.clone()).collect();
        let permits: Vec<&&Rule> = self.permits.iter().filter(there).collect();
        let is_refused = |only: &Pattern| except.iter().any(|not| not.covers(only, Case::Ignored));
        let left: Vec<&&Rule> = permits.into_iter().filter(|rule| !is_refused(&rule.scope.branch)).collect();
        let held = left.iter().map(|rule| Held::from(rule.expires_at)).max()?;
        let every = left.iter().any(|rule| rule.scope.branch == Pattern::any());
        let mut only: Vec<Pattern> = Vec::new();
        for rule in left.iter().filter(|_| !every) {
            if !only.contains(&rule.scope.branch) {
                only.push(rule.scope.branch.clone());
            }
        }
        let touches = |not: &Pattern| only.is_empty() || only.iter().any(|only| !only.is_apart_from(not));
        Some(Branches { except: except.into_iter().filter(touches).collect(), only, held })
    }
}

impl From<Option<Timestamp>> for Held {
    /// What a rule with this expiry gives.
    fn from(expires_at: Option<Timestamp>) -> Self {
        expires_at.map_or(Held::ForGood, Held::Until)
    }
}

/// Whom to ask for a grant: those who administer what is asked for, owners first.
pub fn who_can_grant(rules: &[Rule], owners: &[UserId], ask: Ask<'_>, now: Timestamp) -> Vec<Subject> {
    let mut subjects: Vec<Subject> = owners.iter().copied().map(Subject::User).collect();
    for rule in rules {
        let admin = rule.action == Action::Admin && rule.effect == Effect::Allow && rule.holds_at(now);
        if admin && touches(&rule.scope, ask, Effect::Allow) && !subjects.contains(&rule.subject) {
            subjects.push(rule.subject);
        }
    }
    subjects
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::RoleId;

    const GUILD: GuildId = GuildId::PROCESS;

    fn now() -> Timestamp {
        Timestamp::from_millis(1_000_000)
    }

    fn actor(user: i64, roles: &[i64]) -> Actor {
        Actor {
            id: ActorId::User(UserId::from_row(user)),
            name: "alice".into(),
            roles: roles.iter().copied().map(RoleId::from_row).collect(),
        }
    }

    fn rule(id: i64, subject: Subject, effect: Effect, repo: &str, branch: &str) -> Rule {
        Rule {
            id: RuleId(id),
            subject,
            effect,
            action: Action::Deploy,
            scope: Scope { repo: repo.parse().unwrap(), branch: branch.parse().unwrap(), environment: Pattern::any() },
            expires_at: None,
            reason: None,
            made_by: "1".into(),
            made_by_name: "root".into(),
            made_at: now(),
        }
    }

    const MAIN: Ask<'_> = Ask { repo: Some("acme/web"), branch: Some("main"), environment: Some("production") };

    fn asks(rules: &[Rule], who: &Actor, ask: Ask<'_>) -> Because {
        decide(rules, &[], who, GUILD, Action::Deploy, ask, now()).because
    }

    #[test]
    fn nothing_is_permitted_without_a_rule() {
        assert_eq!(asks(&[], &actor(1, &[]), MAIN), Because::NoRule);
    }

    #[test]
    fn one_deny_is_enough_to_refuse() {
        let alice = Subject::User(UserId::from_row(1));
        let crew = Subject::Role(RoleId::from_row(9));
        let rules = [rule(1, alice, Effect::Allow, "acme/*", "*"), rule(2, crew, Effect::Deny, "acme/web", "main")];
        assert_eq!(asks(&rules, &actor(1, &[]), MAIN), Because::Allowed(vec![RuleId(1)]));
        assert_eq!(asks(&rules, &actor(1, &[9]), MAIN), Because::Denied(vec![RuleId(2)]));
    }

    #[test]
    fn another_spelling_of_a_branch_is_another_branch_to_what_permits_and_none_to_what_refuses() {
        let alice = Subject::User(UserId::from_row(1));
        let other = Ask { branch: Some("Main"), ..MAIN };
        assert_eq!(asks(&[rule(1, alice, Effect::Allow, "*", "main")], &actor(1, &[]), other), Because::NoRule);
        let rules = [rule(1, alice, Effect::Allow, "*", "*"), rule(2, alice, Effect::Deny, "*", "main")];
        assert_eq!(asks(&rules, &actor(1, &[]), other), Because::Denied(vec![RuleId(2)]));
    }

    #[test]
    fn an_expired_rule_is_no_rule() {
        let mut expiring = rule(1, Subject::User(UserId::from_row(1)), Effect::Allow, "*", "*");
        expiring.expires_at = Some(now());
        assert_eq!(asks(&[expiring], &actor(1, &[]), MAIN), Because::NoRule);
    }

    #[test]
    fn asking_for_everything_needs_a_rule_about_everything_and_is_refused_by_any_deny() {
        let alice = Subject::User(UserId::from_row(1));
        let everything = Ask { branch: None, ..MAIN };
        assert_eq!(asks(&[rule(1, alice, Effect::Allow, "*", "main")], &actor(1, &[]), everything), Because::NoRule);
        let rules = [rule(1, alice, Effect::Allow, "*", "*"), rule(2, alice, Effect::Deny, "*", "main")];
        assert_eq!(asks(&rules, &actor(1, &[]), everything), Because::Denied(vec![RuleId(2)]));
    }

    #[test]
    fn owners_and_operators_may_do_everything() {
        let owner = UserId::from_row(1);
        assert!(decide(&[], &[owner], &actor(1, &[]), GUILD, Action::Admin, Ask::default(), now()).is_allowed());
        assert!(decide(&[], &[], &Actor::cli("root"), GUILD, Action::Admin, Ask::default(), now()).is_allowed());
    }

    #[test]
    fn a_scope_is_held_as_long_as_one_rule_permits_all_of_it_and_none_refuses_any() {
        let alice = Subject::User(UserId::from_row(1));
        let scope = |repo: &str, branch: &str| Scope {
            repo: repo.parse().unwrap(),
            branch: branch.parse().unwrap(),
            environment: Pattern::any(),
        };
        let later = now().plus(std::time::Duration::from_secs(60));
        let mut until = rule(1, alice, Effect::Allow, "acme/*", "*");
        until.expires_at = Some(later);
        let held = |rules: &[Rule], scope: &Scope| {
            Holding::of(rules, &[], &actor(1, &[]), GUILD, Action::Deploy, now()).over(scope)
        };
        let mut rules = vec![until, rule(2, alice, Effect::Allow, "acme/w*", "main")];
        assert_eq!(held(&rules, &scope("acme/web", "main")), Held::ForGood);
        assert_eq!(held(&rules, &scope("acme/w*", "*")), Held::Until(later));
        assert_eq!(held(&rules, &scope("*", "main")), Held::No);
        rules.push(rule(3, alice, Effect::Deny, "*", "release/*"));
        assert_eq!(held(&rules, &scope("acme/web", "*")), Held::No);
        assert_eq!(held(&rules, &scope("acme/web", "main")), Held::ForGood);
    }

    proptest! {
        /// What `/whoami` tells is what is decided.
        #[test]
        fn the_branches_that_are_told_are_those_that_are_permitted(
            rules in prop::collection::vec((any::<bool>(), "[a-b*?]{1,2}", "[a-bB*?]{1,3}"), 0..6),
            repo in "[a-b]{1,2}", branch in "[abB]{1,3}",
        ) {
            let alice = Subject::User(UserId::from_row(1));
            let rules: Vec<Rule> = rules.iter().zip(1..).map(|((allow, repo, branch), id)| {
                rule(id, alice, if *allow { Effect::Allow } else { Effect::Deny }, repo, branch)
            }).collect();
            let ask = Ask { repo: Some(&repo), branch: Some(&branch), environment: Some("production") };
            let allowed = decide(&rules, &[], &actor(1, &[]), GUILD, Action::Deploy, ask, now()).is_allowed();
            let holding = Holding::of(&rules, &[], &actor(1, &[]), GUILD, Action::Deploy, now());
            let told = holding.branches(&repo, "production").is_some_and(|told| {
                let only = told.only.is_empty() || told.only.iter().any(|only| only.matches(&branch, Case::Kept));
                only && !told.except.iter().any(|not| not.matches(&branch, Case::Ignored))
            });
            prop_assert_eq!(told, allowed);
        }

        /// Invariant 1, over any rules: permitted only by an allow that matches, and by none that refuses.
        #[test]
        fn refused_by_default_whatever_the_rules(
            rules in prop::collection::vec((any::<bool>(), 1i64..4, "[a-c*]{1,3}", "[a-c*]{1,3}"), 0..8),
            repo in "[a-c]{1,3}", branch in "[a-c]{1,3}",
        ) {
            let rules: Vec<Rule> = rules.iter().zip(1..).map(|((allow, user, repo, branch), id)| {
                let effect = if *allow { Effect::Allow } else { Effect::Deny };
                rule(id, Subject::User(UserId::from_row(*user)), effect, repo, branch)
            }).collect();
            let ask = Ask { repo: Some(&repo), branch: Some(&branch), environment: Some("production") };
            let matching = |effect| rules.iter().any(|r| r.subject == Subject::User(UserId::from_row(1)) && r.effect == effect
                && r.scope.repo.matches(&repo, Case::Kept) && r.scope.branch.matches(&branch, Case::Kept));
            let allowed = decide(&rules, &[], &actor(1, &[]), GUILD, Action::Deploy, ask, now()).is_allowed();
            prop_assert_eq!(allowed, matching(Effect::Allow) && !matching(Effect::Deny));
        }
    }
}
