//! What somebody asks for, and what can become of it. Pure: it reads what it is given.

use std::time::Duration;

use crate::actor::{Actor, ActorId};
use crate::deploy::Reason;
use crate::id::{ChannelId, GuildId, MessageId, RequestId, RuleId, UserId};
use crate::permission::{Action, Pattern, Scope};
use crate::repo::{EnvironmentName, RepoName};
use crate::time::Timestamp;
use crate::vocabulary::vocabulary;

/// How long a request can be decided.
pub const DECIDED_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
/// For how long access is asked unless said.
pub const LASTS: Duration = Duration::from_secs(60 * 60);
/// For how long it can be asked at most; whoever needs it for longer needs a rule that an administrator thinks about.
pub const LASTS_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// For how long at least: an approval that ends before it is read helps nobody.
pub const LASTS_MIN: Duration = Duration::from_secs(60);
/// How many open requests one person can have in a guild.
pub const OPEN_MAX: usize = 5;

vocabulary! {
    /// What has become of a request.
    State, "state of a request", "open" {
        /// It waits for a decision.
        Open = "open",
        /// An administrator granted it.
        Approved = "approved",
        /// An administrator refused it.
        Rejected = "rejected",
        /// Whoever asked took it back.
        Withdrawn = "withdrawn",
        /// Nobody decided in time.
        Expired = "expired",
    }
}

/// What somebody wishes to be granted.
#[derive(Debug, Clone)]
pub struct Wish {
    /// In which repository.
    pub repo: RepoName,
    /// In which environment; the one that `/deploy` would take unless named.
    pub environment: Option<EnvironmentName>,
    /// To do what.
    pub action: Action,
    /// For how long, from the approval on.
    pub lasts: Duration,
}

/// A request for access.
#[derive(Debug, Clone, PartialEq)]
pub struct AccessRequest {
    /// Its guild.
    pub guild: GuildId,
    /// Its number there.
    pub id: RequestId,
    /// Where it was asked; none at a terminal.
    pub channel: Option<ChannelId>,
    /// Its card.
    pub message: Option<MessageId>,
    /// Who asked.
    pub user: UserId,
    /// What they were called then.
    pub user_name: String,
    /// To do what.
    pub action: Action,
    /// In which repository.
    pub repo: RepoName,
    /// In which environment.
    pub environment: EnvironmentName,
    /// Why.
    pub reason: Reason,
    /// For how long, from the approval on.
    pub lasts: Duration,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// Until when it can be decided.
    pub expires_at: Timestamp,
    /// What has become of it.
    pub state: State,
    /// Who ended it, and how; nobody as long as it is open.
    pub decision: Option<Decision>,
    /// How often it has changed: what its card shows is of one version.
    pub version: i64,
}

/// How a request was ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// By whom; Slipway where nobody decided in time.
    pub by: ActorId,
    /// What they were called then.
    pub by_name: String,
    /// When.
    pub at: Timestamp,
    /// Why, where they said so.
    pub reason: Option<Reason>,
    /// The rule that came of it, and when that ends.
    pub rule: Option<(RuleId, Timestamp)>,
}

impl Decision {
    /// By `actor`, at `now`.
    pub fn by(actor: &Actor, now: Timestamp, reason: Option<Reason>) -> Self {
        Self { by: actor.id.clone(), by_name: actor.name.clone(), at: now, reason, rule: None }
    }
}

impl AccessRequest {
    /// What it is asked for: every branch, there.
    pub fn scope(&self) -> Scope {
        scope(&self.repo, &self.environment)
    }

    /// Whether nobody decided in time.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.state == State::Open && self.expires_at <= now
    }

    /// Whether `actor` asked.
    pub fn is_by(&self, actor: &Actor) -> bool {
        actor.id == ActorId::User(self.user)
    }

    /// Ends it. Only an open request is ended, and once.
    pub fn end(&mut self, state: State, decision: Decision) {
        debug_assert!(self.state == State::Open && state != State::Open, "a request is decided once");
        self.state = state;
        self.decision = Some(decision);
    }
}

/// Every branch of a repository, in one environment.
pub fn scope(repo: &RepoName, environment: &EnvironmentName) -> Scope {
    let exactly = |name: &str| name.parse::<Pattern>().expect("names hold nothing that makes a glob");
    Scope { repo: exactly(repo.as_str()), branch: Pattern::any(), environment: exactly(environment.as_str()) }
}
