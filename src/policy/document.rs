//! A guild's policy as a TOML document: its repositories with their environments, and its rules. `docs/permissions.md` describes
//! the format. Pure.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::deploy::Reason;
use crate::id::{ChannelId, GuildId, RoleId, UserId};
use crate::invalid::Invalid;
use crate::permission::{Action, Effect, Pattern, Subject};
use crate::repo::environment::TriggerKind;
use crate::repo::{Branch, Declared, EnvironmentName, JobName, ProjectSlug, RepoName, Template, Vcs};
use crate::time::Timestamp;

/// The version of the format.
pub const VERSION: i64 = 1;

/// A guild's policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The version of the format: 1.
    pub version: i64,
    /// The registered repositories.
    #[serde(default, rename = "repo", skip_serializing_if = "Vec::is_empty")]
    pub repos: Vec<RepoEntry>,
    /// The rules.
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleEntry>,
}

/// A repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepoEntry {
    pub name: Parsed<RepoName>,
    pub vcs: Parsed<Vcs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<Parsed<ProjectSlug>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_branch: Option<Parsed<Branch>>,
    #[serde(default, rename = "environment")]
    pub environments: Vec<EnvironmentEntry>,
}

/// An environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentEntry {
    pub name: Parsed<EnvironmentName>,
    pub trigger: Parsed<TriggerKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<Parsed<JobName>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// The template, as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parsed<Template>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branches: Option<Parsed<Pattern>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<Parsed<ChannelId>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub approvals: u8,
    #[serde(default, skip_serializing_if = "is_false")]
    pub default: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub confirm: bool,
    #[serde(default, rename = "parameter", skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<Declared>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleEntry {
    pub who: Parsed<Who>,
    #[serde(default = "allow", skip_serializing_if = "is_allow")]
    pub effect: Parsed<Effect>,
    pub action: Parsed<Action>,
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub repo: Parsed<Pattern>,
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub branch: Parsed<Pattern>,
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub environment: Parsed<Pattern>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Parsed<Timestamp>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Parsed<Reason>>,
}

/// Whom a rule is about, as it is written: `user:ID`, `role:ID` or `everyone`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// One person.
    User(UserId),
    /// Whoever holds a role.
    Role(RoleId),
    /// Everyone in the guild.
    Everyone,
}

impl Who {
    /// As a rule of `guild` keeps it.
    pub fn subject(self, guild: GuildId) -> Subject {
        match self {
            Who::User(id) => Subject::User(id),
            Who::Role(id) => Subject::Role(id),
            Who::Everyone => Subject::everyone(guild),
        }
    }

    /// Whom a rule of `guild` is about.
    pub fn of(subject: Subject, guild: GuildId) -> Self {
        match subject {
            subject if subject == Subject::everyone(guild) => Who::Everyone,
            Subject::User(id) => Who::User(id),
            Subject::Role(id) => Who::Role(id),
        }
    }
}

impl FromStr for Who {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let who = match text.split_once(':') {
            Some(("user", id)) => id.parse().map(Who::User).ok(),
            Some(("role", id)) => id.parse().map(Who::Role).ok(),
            None if text == "everyone" => Some(Who::Everyone),
            _ => None,
        };
        who.ok_or_else(|| {
            Invalid::new("subject", "It is `user:` or `role:` with an id, or `everyone`.", "role:41771983423143936")
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::User(id) => write!(f, "user:{id}"),
            Who::Role(id) => write!(f, "role:{id}"),
            Who::Everyone => f.write_str("everyone"),
        }
    }
}

/// A value that is written as text: read by the rules of its type, so that a mistake is told with its line and column.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed<T>(pub T);

impl<'de, T: FromStr<Err = Invalid>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Parsed).map_err(|invalid: Invalid| {
            serde::de::Error::custom(format!(
                "this is no usable {}: {} Example: {}",
                invalid.what, invalid.why, invalid.example
            ))
        })
    }
}

impl<T: fmt::Display> Serialize for Parsed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

fn is_zero(number: &u8) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn allow() -> Parsed<Effect> {
    Parsed(Effect::Allow)
}

fn is_allow(effect: &Parsed<Effect>) -> bool {
    effect.0 == Effect::Allow
}

fn any() -> Parsed<Pattern> {
    Parsed(Pattern::any())
}

fn is_any(pattern: &Parsed<Pattern>) -> bool {
    pattern.0 == Pattern::any()
}

/// Why a document is no policy: with the line and column, as the TOML reader tells it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl FromStr for Document {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let document: Document = toml::from_str(text).map_err(|error| Unreadable(error.to_string()))?;
        if document.version != VERSION {
            return Err(Unreadable(format!(
                "The policy's version is {}, and this Slipway reads version {VERSION}.",
                document.version
            )));
        }
        document.check()?;
        Ok(document)
    }
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml::to_string_pretty(self).map_err(|_| fmt::Error)?)
    }
}

impl Document {
    /// What TOML's reader can't tell: names that stand twice, repositories without environments, triggers that don't fit.
    fn check(&self) -> Result<(), Unreadable> {
        let mut repos = std::collections::HashSet::new();
        for repo in &self.repos {
            let name = &repo.name.0;
            if !repos.insert(name.key()) {
                return Err(Unreadable(format!("The repository {name} stands there twice.")));
            }
            let mut names = std::collections::HashSet::new();
            if let Some(twice) = repo.environments.iter().find(|environment| !names.insert(&environment.name.0)) {
                return Err(Unreadable(format!("The environment {} of {name} stands there twice.", twice.name.0)));
            }
            if repo.environments.is_empty() {
                return Err(Unreadable(format!(
                    "The repository {name} has no environment: give it a [[repo.environment]]."
                )));
            }
            if repo.environments.iter().filter(|environment| environment.default).count() > 1 {
                return Err(Unreadable(format!("Only one environment of {name} can be the default.")));
            }
            for environment in &repo.environments {
                environment
                    .check()
                    .map_err(|why| Unreadable(format!("The environment {} of {name}: {why}", environment.name.0)))?;
            }
        }
        Ok(())
    }
}
