//! What one audit entry says: who did what, where, when and with which outcome. Knows nothing of chains, SQL and who asks.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chain::Head;
use crate::actor::{Actor, ActorId};
use crate::id::{ChannelId, DeployId, GuildId};
use crate::time::Timestamp;
use crate::vocabulary::vocabulary;

vocabulary! {
    /// What was done: a category, a dot and a word. Words are only ever added: old entries keep theirs.
    Action, "action of the audit log", "deploy.requested" {
        /// Somebody asked for a deploy, and it was recorded before anything was sent.
        DeployRequested = "deploy.requested",
        /// A deploy, a rollback or an act on a deploy was refused: not permitted, or asked for in a way that can't be done.
        DeployDenied = "deploy.denied",
        /// CircleCI took the trigger.
        DeployTriggered = "deploy.triggered",
        /// CircleCI tells again of a deploy of which nothing was known, and hasn't begun it yet.
        DeployQueued = "deploy.queued",
        /// CircleCI began to run a deploy, or tells again that it runs.
        DeployRunning = "deploy.running",
        /// A deploy came to its end; the outcome is the state it ended in.
        DeployFinished = "deploy.finished",
        /// Somebody asked for a deploy to be canceled; recorded before CircleCI was asked.
        DeployCancelRequested = "deploy.cancel_requested",
        /// Somebody approved a job of a deploy that waited; recorded before CircleCI was asked.
        DeployApproved = "deploy.approved",
        /// Somebody had the failed jobs of a deploy run again; recorded before CircleCI was asked.
        DeployRerun = "deploy.rerun",
        /// What CircleCI answered to one of these three.
        DeployAnswered = "deploy.answered",
        /// A rule was added.
        PermissionGranted = "permission.granted",
        /// A rule was removed.
        PermissionRevoked = "permission.revoked",
        /// A change to the rules, or a look at them, was refused.
        PermissionDenied = "permission.denied",
        /// Somebody asked for access that runs out by itself.
        AccessRequested = "access.requested",
        /// An administrator granted what was asked for; the rule is an entry of its own.
        AccessApproved = "access.approved",
        /// An administrator refused what was asked for.
        AccessRejected = "access.rejected",
        /// Whoever asked took the request back.
        AccessWithdrawn = "access.withdrawn",
        /// Nobody decided a request in time.
        AccessExpired = "access.expired",
        /// A request for access, or an act on one, was refused.
        AccessDenied = "access.denied",
        /// A whole policy was applied; its changes are entries of their own.
        PolicyApplied = "policy.applied",
        /// A repository was registered.
        RepoAdded = "repo.added",
        /// What is known of a repository was changed.
        RepoEdited = "repo.edited",
        /// A repository was removed.
        RepoRemoved = "repo.removed",
        /// A change to the repositories, or a look at them, was refused.
        RepoDenied = "repo.denied",
        /// An environment was made or changed.
        EnvironmentSet = "environment.set",
        /// An environment was removed.
        EnvironmentRemoved = "environment.removed",
        /// A change to the environments, or a look at them, was refused.
        EnvironmentDenied = "environment.denied",
        /// The audit log was asked something.
        AuditSearched = "audit.searched",
        /// One entry of the audit log was looked at in full.
        AuditShown = "audit.shown",
        /// Entries of the audit log were given out as a file.
        AuditExported = "audit.exported",
        /// A question to the audit log, an export or another act on it was refused.
        AuditDenied = "audit.denied",
        /// A query was saved under a name.
        AuditQuerySaved = "audit.query_saved",
        /// A saved query was removed.
        AuditQueryForgotten = "audit.query_forgotten",
        /// The free text and the name of an entry were erased.
        AuditRedacted = "audit.redacted",
        /// The oldest entries were written to a file and removed.
        AuditArchived = "audit.archived",
        /// The newest entry was not the one that had been noted: the chain goes on from there as it stands.
        AuditBroken = "audit.broken",
        /// An entry could not be delivered to the audit channel; told once until it can be again.
        AuditUndelivered = "audit.undelivered",
        /// Something was set for a guild.
        SettingsChanged = "settings.changed",
        /// A change to what is set for a guild, or a look at it, was refused.
        SettingsDenied = "settings.denied",
        /// The process began its work.
        SlipwayStarted = "slipway.started",
        /// The process ended its work by itself, or was told to.
        SlipwayStopped = "slipway.stopped",
        /// Webhooks came whose signature isn't CircleCI's; one entry counts those of a while.
        WebhookRefused = "webhook.refused",
    }
}

impl Action {
    /// What stands before the dot.
    pub fn category(self) -> &'static str {
        self.as_str().split_once('.').map_or(self.as_str(), |(category, _)| category)
    }
}

vocabulary! {
    /// How it came out: allowed, denied or error; for `deploy.finished` the state in which the deploy ended.
    Outcome, "outcome", "allowed" {
        /// It was permitted, and done.
        Allowed = "allowed",
        /// It was refused.
        Denied = "denied",
        /// It was permitted and went wrong.
        Error = "error",
        /// The build succeeded.
        Succeeded = "succeeded",
        /// The build failed.
        Failed = "failed",
        /// The build was canceled.
        Canceled = "canceled",
        /// An approver said no.
        Rejected = "rejected",
        /// CircleCI said no.
        Refused = "refused",
        /// Approval never came.
        Expired = "expired",
        /// CircleCI may or may not have taken it.
        Unknown = "unknown",
    }
}

/// One act, ready to be appended.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whose chain it belongs to; [`GuildId::PROCESS`] for acts that concern no guild.
    pub guild: GuildId,
    /// When.
    pub at: Timestamp,
    /// The channel in which it was asked for.
    pub channel: Option<ChannelId>,
    /// Who did it.
    pub actor: ActorId,
    /// What they were called then.
    pub actor_name: String,
    /// What was done.
    pub action: Action,
    /// The repository, as it was written: a refused request may hold anything here and in the next three.
    pub repo: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// The commit.
    pub revision: Option<String>,
    /// The deploy's number in its guild.
    pub deploy: Option<DeployId>,
    /// How it came out.
    pub outcome: Outcome,
    /// The reason that was given, or why it was refused.
    pub reason: Option<String>,
    /// Whatever else belongs to it. Numbers in it are JavaScript's (RFC 8785): ids stand as strings.
    pub detail: Option<Value>,
}

impl Entry {
    /// An entry that says who did what, with which outcome, and nothing more yet.
    pub fn new(guild: GuildId, at: Timestamp, actor: &Actor, action: Action, outcome: Outcome) -> Self {
        Self {
            guild,
            at,
            channel: None,
            actor: actor.id.clone(),
            actor_name: actor.name.clone(),
            action,
            repo: None,
            environment: None,
            branch: None,
            revision: None,
            deploy: None,
            outcome,
            reason: None,
            detail: None,
        }
    }

    /// Adds the channel, where there is one.
    pub fn channel(self, channel: impl Into<Option<ChannelId>>) -> Self {
        Self { channel: channel.into(), ..self }
    }

    /// Adds the repository.
    pub fn repo(self, repo: impl fmt::Display) -> Self {
        Self { repo: Some(repo.to_string()), ..self }
    }

    /// Adds the environment.
    pub fn environment(self, environment: impl fmt::Display) -> Self {
        Self { environment: Some(environment.to_string()), ..self }
    }

    /// Adds the branch.
    pub fn branch(self, branch: impl fmt::Display) -> Self {
        Self { branch: Some(branch.to_string()), ..self }
    }

    /// Adds the commit, where one was named.
    pub fn revision(self, revision: Option<impl fmt::Display>) -> Self {
        Self { revision: revision.map(|revision| revision.to_string()), ..self }
    }

    /// Adds the deploy's number.
    pub fn deploy(self, deploy: impl Into<Option<DeployId>>) -> Self {
        Self { deploy: deploy.into(), ..self }
    }

    /// Adds the reason, where one was given.
    pub fn reason(self, reason: Option<impl fmt::Display>) -> Self {
        Self { reason: reason.map(|reason| reason.to_string()), ..self }
    }

    /// Adds whatever else belongs to it.
    pub fn detail(self, detail: Value) -> Self {
        Self { detail: Some(detail), ..self }
    }
}

/// What the `detail` of [`Action::AuditRedacted`] says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Redacted {
    /// The numbers of the erased entries: that of the one that was asked for; where it records redactions itself, theirs too.
    pub redacted: Vec<i64>,
}

/// What the `detail` of [`Action::AuditArchived`] says, beside what else is known of the file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Archived {
    /// The number of the newest entry that was archived.
    pub last: i64,
    /// Its hash.
    pub head: String,
}

/// What the `detail` of [`Action::AuditSearched`] says.
#[derive(Debug, Serialize, Deserialize)]
pub struct Searched {
    /// What was asked, its saved queries and options written out.
    pub query: String,
    /// Where the page began: `newest`, `before #12` or `after #12`.
    pub from: String,
    /// The number of the search of which another page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<i64>,
}

impl Searched {
    /// As `detail`.
    pub fn value(&self) -> Value {
        serde_json::to_value(self).expect("texts and a number are JSON")
    }

    /// Read back.
    pub fn read(detail: &str) -> Option<Self> {
        serde_json::from_str(detail).ok()
    }
}

/// The entry that a chain goes on with whose newest entry isn't the one that was `noted`.
pub fn broken(guild: GuildId, at: Timestamp, found: &Head, noted: Option<&Head>) -> Entry {
    let why = match noted {
        Some(noted) if noted.seq > found.seq => {
            format!("The newest entry was #{}, and now is #{}: what came after it was cut off.", noted.seq, found.seq)
        }
        Some(noted) => format!("The newest entry was #{}, and another one stands there or after it now.", noted.seq),
        None => format!("The newest entry is #{}, and the note of the newest entry is gone.", found.seq),
    };
    let head = |head: &Head| serde_json::json!({ "seq": head.seq, "hash": head.hash });
    Entry::new(guild, at, &Actor::slipway(), Action::AuditBroken, Outcome::Error)
        .reason(Some(why))
        .detail(serde_json::json!({ "found": head(found), "noted": noted.map(head) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_a_category_and_a_word_and_reads_back() {
        for action in Action::ALL {
            let (category, word) = action.as_str().split_once('.').unwrap();
            assert!(!category.is_empty() && !word.is_empty() && !word.contains('.'));
            assert!(action.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte)));
            assert_eq!(action.as_str().parse(), Ok(*action));
            assert_eq!(action.category(), category);
        }
        assert!("deploy.invented".parse::<Action>().is_err());
        assert_eq!("succeeded".parse(), Ok(Outcome::Succeeded));
    }
}
