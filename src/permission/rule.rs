//! A permission rule and its parts. Knows nothing of how rules are kept.

use super::pattern::{Case, Pattern};
use crate::actor::Actor;
use crate::id::{GuildId, RoleId, RuleId, UserId};
use crate::time::Timestamp;
use crate::vocabulary::vocabulary;

vocabulary! {
    /// What may be permitted.
    Action, "action", "deploy" {
        /// See repositories, environments, deploys and their state.
        View = "view",
        /// Deploy, and retry.
        Deploy = "deploy",
        /// Approve others' deploys.
        Approve = "approve",
        /// Cancel others' deploys.
        Cancel = "cancel",
        /// Roll back.
        Rollback = "rollback",
        /// Hold an environment.
        Lock = "lock",
        /// Pass a lock or a freeze, and release others' locks.
        Override = "override",
        /// Read the audit log.
        Audit = "audit",
        /// Change repositories, environments, rules and settings.
        Admin = "admin",
    }
}

vocabulary! {
    /// What a rule does to the actions it matches.
    Effect, "effect", "allow" {
        /// Permits, unless another rule refuses.
        Allow = "allow",
        /// Refuses, whatever else permits.
        Deny = "deny",
    }
}

/// Whom a rule is about. Everyone is the role whose id is the guild's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One person.
    User(UserId),
    /// Everyone who holds a role at the moment of the decision.
    Role(RoleId),
}

impl Subject {
    /// Everyone in `guild`.
    pub fn everyone(guild: GuildId) -> Self {
        Subject::Role(RoleId::from_row(guild.row()))
    }

    /// Whether `actor` is meant, in `guild`.
    pub fn means(self, actor: &Actor, guild: GuildId) -> bool {
        match self {
            Subject::User(id) => actor.id == crate::actor::ActorId::User(id),
            Subject::Role(role) => actor.holds(role, guild),
        }
    }
}

/// Where a rule holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Scope {
    /// Of which repositories (`org/repo`).
    pub repo: Pattern,
    /// Of which branches.
    pub branch: Pattern,
    /// Of which environments.
    pub environment: Pattern,
}

impl Scope {
    /// Everywhere.
    pub fn everywhere() -> Self {
        Self { repo: Pattern::any(), branch: Pattern::any(), environment: Pattern::any() }
    }

    /// Whether everything in `inner` is surely inside this scope too.
    pub fn covers(&self, inner: &Scope) -> bool {
        self.repo.covers(&inner.repo, Case::Ignored)
            && self.branch.covers(&inner.branch, Case::Kept)
            && self.environment.covers(&inner.environment, Case::Ignored)
    }

    /// Whether nothing can be in both.
    pub fn is_apart_from(&self, other: &Scope) -> bool {
        self.repo.is_apart_from(&other.repo)
            || self.branch.is_apart_from(&other.branch)
            || self.environment.is_apart_from(&other.environment)
    }
}

/// One rule of one guild.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its number in the guild.
    pub id: RuleId,
    /// Whom it is about.
    pub subject: Subject,
    /// What it does.
    pub effect: Effect,
    /// To which action.
    pub action: Action,
    /// Where.
    pub scope: Scope,
    /// Until when; for good when there is no time.
    pub expires_at: Option<Timestamp>,
    /// Why it was made.
    pub reason: Option<String>,
    /// Who made it: an [`crate::actor::ActorId`] as text, and the name at the time.
    pub made_by: String,
    /// The maker's name at the time.
    pub made_by_name: String,
    /// When it was made.
    pub made_at: Timestamp,
}

impl Rule {
    /// Whether it still holds.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}
