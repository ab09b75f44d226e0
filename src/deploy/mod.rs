//! Deploys: what is asked for, the states they go through, and the service that sees them through.

pub mod card;
pub mod parameters;
pub mod plan;
pub mod reason;
mod rulebook;
pub mod service;
mod settled;
pub mod state;
mod store;

use uuid::Uuid;

use crate::actor::ActorId;
use crate::circleci::RunId;
use crate::id::{ChannelId, DeployId, GuildId, MessageId};
use crate::repo::{Branch, EnvironmentName, ProjectSlug, RepoName, Revision, Trigger, Vcs};
use crate::time::Timestamp;

pub use parameters::Parameter;
pub use plan::{Plan, Wish};
pub use reason::Reason;
pub use service::{Deploys, NotYet, Recorded};
pub use state::State;

/// One deploy, as it was asked for and as far as it is. It keeps its own copy of how it is triggered, whatever becomes of
/// its repository and environment afterwards.
#[derive(Debug, Clone)]
pub struct Deploy {
    /// For machines; unique everywhere.
    pub uuid: Uuid,
    /// For people; counted in the guild.
    pub id: DeployId,
    /// The guild it belongs to.
    pub guild: GuildId,
    /// Where its card is.
    pub channel: Option<ChannelId>,
    /// The card.
    pub message: Option<MessageId>,
    /// Who asked.
    pub actor: ActorId,
    /// What they were called then.
    pub actor_name: String,
    /// What is deployed.
    pub repo: RepoName,
    /// Who hosts it.
    pub vcs: Vcs,
    /// Its own slug on CircleCI.
    pub project: Option<ProjectSlug>,
    /// Where to.
    pub environment: EnvironmentName,
    /// From which branch.
    pub branch: Branch,
    /// At which commit, where one was named or CircleCI told.
    pub revision: Option<Revision>,
    /// What is passed to the build.
    pub parameters: Vec<Parameter>,
    /// Why.
    pub reason: Option<Reason>,
    /// How CircleCI is asked.
    pub trigger: Trigger,
    /// How far it is.
    pub state: State,
    /// What there is to say of that state: why it was refused, what was found.
    pub said: Option<String>,
    /// What CircleCI made of it.
    pub run: Option<RunId>,
    /// The page of the build.
    pub url: Option<String>,
    /// When it was recorded.
    pub asked_at: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
}
