//! A guild's policy read as a document, compared with one, and made what one says, in one transaction with its audit entries. For
//! the operator, who has an owner's rights.

use super::document::{Document, EnvironmentEntry, RepoEntry, RuleEntry, VERSION};
use super::plan::{Change, plan};
use crate::actor::Caller;
use crate::audit::{self, Entry, Outcome};
use crate::changes::Changes;
use crate::db::{Connection, Db, DbError, Tx};
use crate::guild;
use crate::id::{GuildId, RuleId};
use crate::permission::{Action, Effect, Permissions, Rule};
use crate::refusal::Refusal;
use crate::repo::{Environment, RepoName};
use crate::time::{Clock, Timestamp};
use crate::{permission, repo};

/// The policies of every guild.
#[derive(Clone)]
pub struct Policies {
    db: Db,
    permissions: Permissions,
    clock: Clock,
}

/// What there is.
struct Present {
    repos: Vec<RepoEntry>,
    rules: Vec<(RuleId, RuleEntry)>,
}

impl Policies {
    /// Policies kept in `db`.
    pub fn new(db: Db, permissions: Permissions, clock: Clock) -> Self {
        Self { db, permissions, clock }
    }

    /// The policy of a guild as it stands. Rules that have run out are not part of it.
    pub async fn export(&self, guild: GuildId) -> Result<Document, DbError> {
        let present = present(&mut *self.db.reader().await?, guild, self.clock.now()).await?;
        let rules = present.rules.into_iter().map(|(_, rule)| rule).collect();
        Ok(Document { version: VERSION, repos: present.repos, rules })
    }

    /// What `document` would change in a guild.
    pub async fn plan(&self, guild: GuildId, document: &Document) -> Result<Vec<Change>, DbError> {
        let present = present(&mut *self.db.reader().await?, guild, self.clock.now()).await?;
        Ok(plan(&present.repos, &present.rules, (&document.repos, &document.rules)))
    }

    /// Makes a guild's policy what `document` says: all of it or nothing.
    ///
    /// # Errors
    /// Also when nobody could administer the guild any more.
    pub async fn apply(&self, caller: &Caller, document: &Document) -> Result<Vec<Change>, Refusal> {
        let changing: &Changes = self.permissions.changes();
        let _changing = changing.begin();
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        self.permissions.ensure_guild(&mut tx, caller.guild).await?;
        let present = present(&mut tx, caller.guild, now).await?;
        self.check_not_locked_out(document, now)?;
        let changes = plan(&present.repos, &present.rules, (&document.repos, &document.rules));
        for change in &changes {
            self.make(&mut tx, caller, change, now).await?;
        }
        if !changes.is_empty() {
            let list: Vec<String> = changes.iter().map(ToString::to_string).collect();
            let detail = serde_json::json!({ "changes": list });
            let entry = Entry::new(caller.guild, now, &caller.actor, audit::Action::PolicyApplied, Outcome::Allowed);
            audit::append(&mut tx, &entry.detail(detail)).await?;
        }
        tx.commit().await?;
        Ok(changes)
    }

    /// Somebody must still be able to change the rules from a chat.
    fn check_not_locked_out(&self, document: &Document, now: Timestamp) -> Result<(), Refusal> {
        let is_admin = |rule: &&RuleEntry| {
            let holds = rule.expires.as_ref().is_none_or(|end| now < end.0);
            rule.action.0 == Action::Admin && rule.effect.0 == Effect::Allow && holds
        };
        if self.permissions.has_owners() || document.rules.iter().any(|rule| is_admin(&rule)) {
            return Ok(());
        }
        Err(Refusal::conflict(
            "With that policy nobody could administer this server any more: no rule allows `admin`, and `SLIPWAY_OWNERS` names nobody.",
            "Add a rule that allows `admin`, or set `SLIPWAY_OWNERS`. Nothing was changed.",
        ))
    }

    async fn make(&self, tx: &mut Tx, caller: &Caller, change: &Change, now: Timestamp) -> Result<(), Refusal> {
        let guild = caller.guild;
        let entry = |action, name: &RepoName, detail| Entry {
            repo: Some(name.to_string()),
            detail: Some(detail),
            ..Entry::new(guild, now, &caller.actor, action, Outcome::Allowed)
        };
        match change {
            Change::AddRepo(new) => {
                let name = &new.name.0;
                repo::store::insert(tx, guild, &new.repo(), &caller.actor, now).await?;
                for environment in &new.environments {
                    repo::store::put_environment(tx, guild, name, &made_of(environment)?).await?;
                }
                audit::append(tx, &entry(audit::Action::RepoAdded, name, json(new))).await?;
            }
            Change::EditRepo(before, after) => {
                repo::store::update(tx, guild, &after.repo()).await?;
                let head = |entry: &RepoEntry| json(&RepoEntry { environments: vec![], ..entry.clone() });
                let detail = serde_json::json!({ "before": head(before), "after": head(after) });
                audit::append(tx, &entry(audit::Action::RepoEdited, &after.name.0, detail)).await?;
            }
            Change::RemoveRepo(gone) => {
                repo::store::delete(tx, guild, &gone.name.0).await?;
                audit::append(tx, &entry(audit::Action::RepoRemoved, &gone.name.0, json(gone))).await?;
            }
            Change::SetEnvironment(name, before, after) => {
                repo::store::put_environment(tx, guild, name, &made_of(after)?).await?;
                let detail = serde_json::json!({ "before": before.as_ref().map(json), "after": json(after) });
                let entry = entry(audit::Action::EnvironmentSet, name, detail).environment(&after.name.0);
                audit::append(tx, &entry).await?;
            }
            Change::RemoveEnvironment(name, gone) => {
                repo::store::delete_environment(tx, guild, name, &gone.name.0).await?;
                let detail = serde_json::json!({ "before": json(gone) });
                let entry = entry(audit::Action::EnvironmentRemoved, name, detail).environment(&gone.name.0);
                audit::append(tx, &entry).await?;
            }
            Change::AddRule(new) => {
                let id = guild::store::next_rule(tx, guild).await?;
                let made_by = (caller.actor.id.to_string(), caller.actor.name.clone());
                let rule = new.rule(guild, id, made_by, now);
                permission::store::insert(tx, guild, &rule).await?;
                audit::append(tx, &self.permissions.entry(caller, audit::Action::PermissionGranted, &rule)).await?;
            }
            Change::RevokeRule(id, gone) => {
                permission::store::revoke(tx, guild, *id, now).await?;
                let rule: Rule = gone.rule(guild, *id, (String::new(), String::new()), now);
                audit::append(tx, &self.permissions.entry(caller, audit::Action::PermissionRevoked, &rule)).await?;
            }
        }
        Ok(())
    }
}

async fn present(connection: &mut Connection, guild: GuildId, now: Timestamp) -> Result<Present, DbError> {
    let repos = repo::store::repos(&mut *connection, guild).await?;
    let environments = repo::store::environments_of_guild(&mut *connection, guild).await?;
    let rules = permission::store::rules(&mut *connection, guild).await?;
    let entry = |repo: &crate::repo::Repo| {
        let key = repo.name.key();
        let own: Vec<&Environment> =
            environments.iter().filter(|(of, _)| *of == key).map(|(_, environment)| environment).collect();
        RepoEntry::of(repo, &own)
    };
    let holds = |rule: &&Rule| rule.holds_at(now);
    Ok(Present {
        repos: repos.iter().map(entry).collect(),
        rules: rules.iter().filter(holds).map(|rule| (rule.id, RuleEntry::of(rule, guild))).collect(),
    })
}

fn made_of(entry: &EnvironmentEntry) -> Result<Environment, Refusal> {
    let name = &entry.name.0;
    entry.environment().map_err(|why| Refusal::conflict(format!("The environment `{name}`: {why}"), "Mend the policy."))
}

fn json(entry: &impl serde::Serialize) -> serde_json::Value {
    serde_json::to_value(entry).unwrap_or_default()
}
