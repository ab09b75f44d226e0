//! Asking whether somebody may, and changing the rules that say so. Every change is written together with its audit entry.

use std::sync::Arc;

use super::decision::{Ask, Branches, Decision, Held, Holding, decide, is_owner, who_can_grant};
use super::pattern::{Case, Pattern};
use super::rule::{Action, Effect, Rule, Scope, Subject};
use super::store;
use crate::actor::{Actor, ActorId, Caller};
use crate::audit::{self, Entry, Outcome};
use crate::changes::Changes;
use crate::db::{Db, DbError, Reader, Tx};
use crate::guild;
use crate::id::{GuildId, RuleId, UserId};
use crate::refusal::{Denied, Refusal};
use crate::time::{Clock, Timestamp};

/// The rules of every guild, and the owners who stand above them.
#[derive(Clone)]
pub struct Permissions {
    db: Db,
    owners: Arc<[UserId]>,
    clock: Clock,
    changes: Changes,
}

/// What somebody holds in one guild, at one moment.
#[derive(Debug)]
pub struct Holdings {
    rules: Vec<Rule>,
    caller: Caller,
    owners: Arc<[UserId]>,
    now: Timestamp,
}

impl Holdings {
    /// Whether they may do `action`, one of those that were asked about, to what is asked.
    pub fn allow(&self, action: Action, ask: Ask<'_>) -> bool {
        let Caller { actor, guild, .. } = &self.caller;
        decide(&self.rules, &self.owners, actor, *guild, action, ask, self.now).is_allowed()
    }

    /// Whether they hold `action`, one of those that were asked about, over all of `scope`.
    pub fn hold_over(&self, action: Action, scope: &Scope) -> bool {
        self.holding(action).over(scope) != Held::No
    }

    /// The rules that permit them `action`, one of those that were asked about, somewhere.
    pub fn permits(&self, action: Action) -> Vec<&Rule> {
        self.holding(action).permits
    }

    fn holding(&self, action: Action) -> Holding<'_> {
        let Caller { actor, guild, .. } = &self.caller;
        Holding::of(&self.rules, &self.owners, actor, *guild, action, self.now)
    }

    /// Of which branches of a repository they hold `action` in an environment; nothing when of none.
    pub fn branches(&self, action: Action, repo: &str, environment: &str) -> Option<Branches> {
        self.holding(action).branches(repo, environment)
    }
}

/// A rule that somebody wants to make.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Whom it is about.
    pub subject: Subject,
    /// What it does.
    pub effect: Effect,
    /// To which action.
    pub action: Action,
    /// Where.
    pub scope: Scope,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// Why.
    pub reason: Option<String>,
}

impl Permissions {
    /// Permissions kept in `db`, with `owners` (`SLIPWAY_OWNERS`) above them.
    pub fn new(db: Db, owners: Arc<[UserId]>, clock: Clock) -> Self {
        Self { db, owners, clock, changes: Changes::default() }
    }

    /// The changes of rules, and of what they are about.
    pub fn changes(&self) -> &Changes {
        &self.changes
    }

    /// Refuses unless `caller` may do `action` to what is asked. Reads only.
    pub async fn require(
        &self,
        reader: &mut Reader,
        caller: &Caller,
        action: Action,
        ask: Ask<'_>,
    ) -> Result<(), Refusal> {
        let own = self.rules_for(reader, caller, &caller.actor, action).await?;
        if self.allows(&own, caller, action, ask) {
            return Ok(());
        }
        // Who administers says whom to ask.
        let admins = store::rules_about(&mut **reader, caller.guild, Action::Admin, self.clock.now()).await?;
        self.judge(&own, &admins, caller, action, ask)
    }

    /// The same inside the transaction of the act that it guards, so that no rule changes between the two.
    pub async fn require_in(&self, tx: &mut Tx, caller: &Caller, action: Action, ask: Ask<'_>) -> Result<(), Refusal> {
        self.ensure_guild(tx, caller.guild).await?;
        let now = self.clock.now();
        let own = store::rules_for(&mut **tx, caller.guild, &caller.actor, action, now).await?;
        if self.allows(&own, caller, action, ask) {
            return Ok(());
        }
        let admins = store::rules_about(&mut **tx, caller.guild, Action::Admin, now).await?;
        self.judge(&own, &admins, caller, action, ask)
    }

    /// What `person` may do and which rules say so. About anybody but oneself that is for who administers what is asked for.
    pub async fn check(
        &self,
        caller: &Caller,
        person: &Actor,
        action: Action,
        ask: Ask<'_>,
    ) -> Result<(Decision, Vec<Rule>), Refusal> {
        let mut reader = self.db.reader().await?;
        if person.id != caller.actor.id {
            self.require(&mut reader, caller, Action::Admin, ask).await?;
        }
        let mut rules = self.rules_for(&mut reader, caller, person, action).await?;
        let decision = decide(&rules, &self.owners, person, caller.guild, action, ask, self.clock.now());
        rules.retain(|rule| decision.rules().contains(&rule.id));
        Ok((decision, rules))
    }

    /// Of `items`, those that `actor` may do `action` to; `ask` says what an item is.
    pub async fn only_permitted<T>(
        &self,
        caller: &Caller,
        action: Action,
        items: Vec<T>,
        ask: impl Fn(&T) -> Ask<'_>,
    ) -> Result<Vec<T>, DbError> {
        let rules = self.rules_for(&mut self.db.reader().await?, caller, &caller.actor, action).await?;
        let now = self.clock.now();
        let may =
            |item: &T| decide(&rules, &self.owners, &caller.actor, caller.guild, action, ask(item), now).is_allowed();
        Ok(items.into_iter().filter(may).collect())
    }

    /// Makes a rule.
    pub async fn grant(&self, caller: &Caller, grant: Grant) -> Result<Rule, Refusal> {
        let _changing = self.changes.begin();
        let mut tx = self.db.begin().await?;
        let rule = self.grant_in(&mut tx, caller, grant).await?;
        tx.commit().await?;
        Ok(rule)
    }

    /// The same in the transaction of what the rule comes of. A change is under way, [`Self::changes`], until that is committed.
    pub async fn grant_in(&self, tx: &mut Tx, caller: &Caller, grant: Grant) -> Result<Rule, Refusal> {
        let now = self.clock.now();
        self.ensure_guild(tx, caller.guild).await?;
        self.require_may_give(tx, caller, &grant).await?;
        let rule = Rule {
            id: guild::store::next_rule(tx, caller.guild).await?,
            subject: grant.subject,
            effect: grant.effect,
            action: grant.action,
            scope: grant.scope,
            expires_at: grant.expires_at,
            reason: grant.reason,
            made_by: caller.actor.id.to_string(),
            made_by_name: caller.actor.name.clone(),
            made_at: now,
        };
        store::insert(tx, caller.guild, &rule).await?;
        audit::append(tx, &self.entry(caller, audit::Action::PermissionGranted, &rule)).await?;
        Ok(rule)
    }

    /// Revokes a rule.
    pub async fn revoke(&self, caller: &Caller, id: RuleId) -> Result<Rule, Refusal> {
        let _changing = self.changes.begin();
        let mut tx = self.db.begin().await?;
        self.ensure_guild(&mut tx, caller.guild).await?;
        let rules = store::rules(&mut *tx, caller.guild).await?;
        let administers = self.holding(&rules, caller, Action::Admin);
        let may_see = |rule: &&Rule| may_see(&administers, caller, rule);
        let Some(rule) = rules.iter().filter(|rule| rule.id == id).find(may_see) else {
            // Who may not see a rule isn't told whether there is one.
            self.judge(&rules, &rules, caller, Action::Admin, Ask::default())?;
            return Err(Refusal::conflict(
                format!("There is no rule `{id}`, or it is revoked already."),
                "`/permission list` shows the rules there are.",
            ));
        };
        self.require_admin_over(&rules, caller, &rule.scope)?;
        if rule.effect == Effect::Deny && self.holding(&rules, caller, rule.action).over(&rule.scope) == Held::No {
            return Err(not_theirs_to_lift(rule));
        }
        store::revoke(&mut tx, caller.guild, id, self.clock.now()).await?;
        audit::append(&mut tx, &self.entry(caller, audit::Action::PermissionRevoked, rule)).await?;
        tx.commit().await?;
        Ok(rule.clone())
    }

    /// Of the rules that `caller` may see those about `who` that may touch `repo`, oldest first.
    pub async fn visible_about(
        &self,
        caller: &Caller,
        who: Option<Subject>,
        repo: Option<&Pattern>,
    ) -> Result<Vec<Rule>, DbError> {
        let mut rules = self.visible(caller).await?;
        rules.retain(|rule| {
            who.is_none_or(|who| rule.subject == who) && repo.is_none_or(|repo| !rule.scope.repo.is_apart_from(repo))
        });
        Ok(rules)
    }

    /// The rules that `caller` may see: an administrator those within their scope, everybody else those about themselves.
    pub async fn visible(&self, caller: &Caller) -> Result<Vec<Rule>, DbError> {
        let rules = self.rules(caller.guild).await?;
        let administers = self.holding(&rules, caller, Action::Admin);
        Ok(rules.iter().filter(|rule| may_see(&administers, caller, rule)).cloned().collect())
    }

    /// How many rules name a repository, or an environment of it, by more than what stands for everything.
    pub async fn naming(&self, guild: GuildId, repo: &str, environment: Option<&str>) -> Result<usize, DbError> {
        let names = |pattern: &Pattern, name: &str| *pattern != Pattern::any() && pattern.matches(name, Case::Ignored);
        let rules = self.rules(guild).await?;
        let named = rules.iter().filter(|rule| match environment {
            None => names(&rule.scope.repo, repo),
            Some(name) => names(&rule.scope.environment, name) && rule.scope.repo.matches(repo, Case::Ignored),
        });
        Ok(named.count())
    }

    /// Whether there is anybody who stands above the rules in a chat.
    pub fn has_owners(&self) -> bool {
        !self.owners.is_empty()
    }

    /// Whether `actor` has an owner's rights.
    pub fn is_owner(&self, actor: &Actor) -> bool {
        is_owner(actor, &self.owners)
    }

    /// What `caller` holds of `actions` in their guild.
    pub async fn holdings(&self, caller: &Caller, actions: &[Action]) -> Result<Holdings, DbError> {
        let mut reader = self.db.reader().await?;
        let mut rules = Vec::new();
        for action in actions {
            rules.extend(self.rules_for(&mut reader, caller, &caller.actor, *action).await?);
        }
        Ok(Holdings { rules, caller: caller.clone(), owners: Arc::clone(&self.owners), now: self.clock.now() })
    }

    /// What `caller` holds of `action`, inside the transaction of the act that it guards.
    pub async fn holdings_in(&self, tx: &mut Tx, caller: &Caller, action: Action) -> Result<Holdings, DbError> {
        let now = self.clock.now();
        let rules = store::rules_for(&mut **tx, caller.guild, &caller.actor, action, now).await?;
        Ok(Holdings { rules, caller: caller.clone(), owners: Arc::clone(&self.owners), now })
    }

    /// Until when `caller` holds `action` over all of `scope`.
    pub async fn held(&self, caller: &Caller, action: Action, scope: &Scope) -> Result<Held, DbError> {
        let rules = self.rules_for(&mut self.db.reader().await?, caller, &caller.actor, action).await?;
        Ok(self.holding(&rules, caller, action).over(scope))
    }

    /// The rules that refuse `caller` an action all over `scope`, whatever is granted.
    pub async fn refusing(&self, caller: &Caller, action: Action, scope: &Scope) -> Result<Vec<RuleId>, DbError> {
        let rules = self.rules_for(&mut self.db.reader().await?, caller, &caller.actor, action).await?;
        let refuses = |rule: &&Rule| rule.effect == Effect::Deny && rule.scope.covers(scope);
        Ok(rules.iter().filter(refuses).map(|rule| rule.id).collect())
    }

    /// Which of `scopes` `caller` administers the whole of.
    pub async fn administered(&self, caller: &Caller, scopes: &[Scope]) -> Result<Vec<bool>, DbError> {
        let rules = self.rules_for(&mut self.db.reader().await?, caller, &caller.actor, Action::Admin).await?;
        let holding = self.holding(&rules, caller, Action::Admin);
        Ok(scopes.iter().map(|scope| holding.over(scope) != Held::No).collect())
    }

    /// Whom to ask for a grant of what is asked, owners first.
    pub async fn who_can_grant(&self, guild: GuildId, ask: Ask<'_>) -> Result<Vec<Subject>, DbError> {
        let now = self.clock.now();
        let admins = store::rules_about(self.db.pool(), guild, Action::Admin, now).await?;
        Ok(who_can_grant(&admins, &self.owners, ask, now))
    }

    /// Refuses unless `caller` administers the whole of `scope`.
    pub async fn require_admin_in(&self, tx: &mut Tx, caller: &Caller, scope: &Scope) -> Result<(), Refusal> {
        let admins = store::rules_about(&mut **tx, caller.guild, Action::Admin, self.clock.now()).await?;
        self.require_admin_over(&admins, caller, scope)
    }

    fn holding<'a>(&self, rules: &'a [Rule], caller: &Caller, action: Action) -> Holding<'a> {
        Holding::of(rules, &self.owners, &caller.actor, caller.guild, action, self.clock.now())
    }

    /// Notes `guild` at its first act and gives it the rule that every guild starts with: everyone may view.
    pub async fn ensure_guild(&self, tx: &mut Tx, guild: GuildId) -> Result<(), DbError> {
        let now = self.clock.now();
        if !guild::store::first_seen(tx, guild, now).await? {
            return Ok(());
        }
        guild::store::next_rule(tx, guild).await?;
        let rule = starting_rule(guild, now);
        store::insert(tx, guild, &rule).await?;
        let slipway = Caller { guild, channel: None, actor: Actor::slipway() };
        audit::append(tx, &self.entry(&slipway, audit::Action::PermissionGranted, &rule)).await?;
        Ok(())
    }

    async fn rules(&self, guild: GuildId) -> Result<Vec<Rule>, DbError> {
        let mut reader = self.db.reader().await?;
        let rules = store::rules(&mut *reader, guild).await?;
        self.or_starting_rule(&mut reader, guild, rules).await
    }

    /// The rules about `action` for `person`, in the caller's guild.
    async fn rules_for(
        &self,
        reader: &mut Reader,
        caller: &Caller,
        person: &Actor,
        action: Action,
    ) -> Result<Vec<Rule>, DbError> {
        let rules = store::rules_for(&mut **reader, caller.guild, person, action, self.clock.now()).await?;
        self.or_starting_rule(reader, caller.guild, rules).await
    }

    /// A guild that has never acted has no row yet, and stands as if it had just begun.
    async fn or_starting_rule(
        &self,
        reader: &mut Reader,
        guild: GuildId,
        rules: Vec<Rule>,
    ) -> Result<Vec<Rule>, DbError> {
        if rules.is_empty() && !guild::store::is_known(&mut **reader, guild).await? {
            return Ok(vec![starting_rule(guild, self.clock.now())]);
        }
        Ok(rules)
    }

    /// Whether `rules`, which hold at least those about the action for the caller, permit it.
    pub fn allows(&self, rules: &[Rule], caller: &Caller, action: Action, ask: Ask<'_>) -> bool {
        decide(rules, &self.owners, &caller.actor, caller.guild, action, ask, self.clock.now()).is_allowed()
    }

    /// What the rules about `caller` decide, with whom to ask by the rules about administration.
    fn judge(
        &self,
        rules: &[Rule],
        admins: &[Rule],
        caller: &Caller,
        action: Action,
        ask: Ask<'_>,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let decision = decide(rules, &self.owners, &caller.actor, caller.guild, action, ask, now);
        if decision.is_allowed() {
            return Ok(());
        }
        let place = [("", ask.repo), ("branch", ask.branch), ("environment", ask.environment)];
        Err(Refusal::Denied(Denied {
            guild: caller.guild,
            action,
            place: place.into_iter().filter_map(|(what, name)| Some((what, name?.to_owned()))).collect(),
            because: decision.because,
            grantors: who_can_grant(admins, &self.owners, ask, now),
        }))
    }

    /// Refuses a rule that gives more than `caller` holds: outside of what they administer, an action that they don't hold there
    /// themselves, or for longer than they hold it. So nobody can give themselves anything, either.
    async fn require_may_give(&self, tx: &mut Tx, caller: &Caller, grant: &Grant) -> Result<(), Refusal> {
        let now = self.clock.now();
        let admins = store::rules_about(&mut **tx, caller.guild, Action::Admin, now).await?;
        self.require_admin_over(&admins, caller, &grant.scope)?;
        if grant.effect == Effect::Deny {
            return Ok(());
        }
        let own = store::rules_for(&mut **tx, caller.guild, &caller.actor, grant.action, now).await?;
        let held = self.holding(&own, caller, grant.action).over(&grant.scope);
        let administered = self.holding(&admins, caller, Action::Admin).over(&grant.scope);
        match held.min(administered) {
            Held::No => Err(not_theirs_to_give(grant)),
            Held::Until(end) if Held::from(grant.expires_at) > Held::Until(end) => Err(Refusal::conflict(
                format!("You hold that yourself until {end} only, and nobody gives away more than they hold."),
                "It must end no later than that.",
            )),
            Held::Until(_) | Held::ForGood => Ok(()),
        }
    }

    /// Refuses unless `caller` administers the whole of `scope`.
    fn require_admin_over(&self, rules: &[Rule], caller: &Caller, scope: &Scope) -> Result<(), Refusal> {
        if self.holding(rules, caller, Action::Admin).over(scope) != Held::No {
            return Ok(());
        }
        let now = self.clock.now();
        let place = [("repo", &scope.repo), ("branch", &scope.branch), ("environment", &scope.environment)];
        let decision = decide(rules, &self.owners, &caller.actor, caller.guild, Action::Admin, Ask::default(), now);
        Err(Refusal::Denied(Denied {
            guild: caller.guild,
            action: Action::Admin,
            place: place.into_iter().map(|(what, pattern)| (what, pattern.to_string())).collect(),
            because: decision.because,
            grantors: who_can_grant(rules, &self.owners, Ask::default(), now),
        }))
    }

    /// The audit entry of a rule that is made or revoked.
    pub fn entry(&self, caller: &Caller, action: audit::Action, rule: &Rule) -> Entry {
        let (kind, id) = match rule.subject {
            subject if subject == Subject::everyone(caller.guild) => ("everyone", caller.guild.to_string()),
            Subject::User(id) => ("user", id.to_string()),
            Subject::Role(id) => ("role", id.to_string()),
        };
        Entry {
            channel: caller.channel,
            repo: Some(rule.scope.repo.to_string()),
            environment: Some(rule.scope.environment.to_string()),
            branch: Some(rule.scope.branch.to_string()),
            reason: rule.reason.clone(),
            detail: Some(serde_json::json!({
                "rule": rule.id.0,
                "subject": { "kind": kind, "id": id },
                "effect": rule.effect.as_str(),
                "action": rule.action.as_str(),
                "expires_at": rule.expires_at.map(|at| at.to_string()),
            })),
            ..Entry::new(caller.guild, self.clock.now(), &caller.actor, action, Outcome::Allowed)
        }
    }
}

/// Whether a rule is about `caller`, or inside of what they administer.
fn may_see(administers: &Holding<'_>, caller: &Caller, rule: &Rule) -> bool {
    rule.subject.means(&caller.actor, caller.guild) || administers.over(&rule.scope) != Held::No
}

fn not_theirs_to_give(grant: &Grant) -> Refusal {
    let Grant { action, scope, .. } = grant;
    Refusal::conflict(
        format!(
            "You don't hold `{action}` yourself over all of repo `{}`, branch `{}`, environment `{}`, and nobody gives away more than they hold.",
            scope.repo, scope.branch, scope.environment
        ),
        "Narrow the patterns to what you hold (`/permission list` shows it), or ask somebody who holds more.",
    )
}

fn not_theirs_to_lift(rule: &Rule) -> Refusal {
    Refusal::conflict(
        format!(
            "Rule `{}` denies `{}`, which you don't hold there yourself, and nobody gives away more than they hold.",
            rule.id, rule.action
        ),
        "Somebody who holds it there can revoke the rule, an owner for one.",
    )
}

/// What a guild starts with, and its administrators can revoke.
fn starting_rule(guild: GuildId, now: Timestamp) -> Rule {
    Rule {
        id: RuleId(1),
        subject: Subject::everyone(guild),
        effect: Effect::Allow,
        action: Action::View,
        scope: Scope::everywhere(),
        expires_at: None,
        reason: Some("Every guild starts with this rule.".to_owned()),
        made_by: ActorId::Slipway.to_string(),
        made_by_name: "Slipway".to_owned(),
        made_at: now,
    }
}
