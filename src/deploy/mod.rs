//! Deploys: what is asked for, the states they go through, and the service that sees them through.

pub mod act;
pub mod acts;
mod advance;
mod again;
pub mod agenda;
mod cancel;
pub mod card;
pub mod changed;
mod follow;
pub mod history;
pub mod pace;
pub mod parameters;
pub mod plan;
pub mod preview;
pub mod reason;
pub mod report;
pub mod rollback;
mod rulebook;
mod send;
pub mod service;
mod settled;
mod shown;
pub mod state;
mod store;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::actor::ActorId;
use crate::circleci::{Run, RunId};
use crate::id::{ChannelId, DeployId, GuildId, MessageId};
use crate::permission::Action;
use crate::repo::{Branch, EnvironmentName, ProjectSlug, RepoName, Revision, Trigger, Vcs};
use crate::time::Timestamp;

pub use act::Act;
pub use again::{Again, LiveSince, RetryPlan, Return, ReturnPlan};
pub use follow::Ended;
pub use pace::Pace;
pub use parameters::Parameter;
pub use plan::{Plan, Wish};
pub use reason::Reason;
pub use report::Report;
pub use service::{Deploys, Recorded};
pub use state::State;

/// How many of a deploy's states are kept: more than any deploy has.
const STEPS_MAX: usize = 50;

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
    /// The commit's subject, where CircleCI told.
    pub subject: Option<String>,
    /// What is passed to the build.
    pub parameters: Vec<Parameter>,
    /// Those of them that its asker named; none where that isn't known.
    pub own_parameters: Option<Vec<Parameter>>,
    /// Why.
    pub reason: Option<Reason>,
    /// How it came to be asked for.
    pub origin: Origin,
    /// What was live there when it was asked for.
    pub replaces: Option<Replaced>,
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
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
    /// What CircleCI tells of its parts.
    pub report: Report,
    /// The states so far.
    pub steps: Vec<Step>,
    /// What people did to it.
    pub acts: Vec<Act>,
    /// Whether CircleCI is asked about it still.
    pub followed: bool,
    /// Grows with each change that people should see.
    pub version: i64,
}

/// How a deploy came to be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// By itself.
    #[default]
    Asked,
    /// Another deploy, tried again.
    Retry(DeployId),
    /// Back to what an earlier deploy had made live.
    Rollback(DeployId),
}

impl Origin {
    /// What somebody must hold to make such a deploy.
    pub fn action(self) -> Action {
        match self {
            Origin::Asked | Origin::Retry(_) => Action::Deploy,
            Origin::Rollback(_) => Action::Rollback,
        }
    }
}

/// What a deploy replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// The deploy that had made it live.
    pub deploy: DeployId,
    /// Its commit.
    pub revision: Option<Revision>,
}

/// A state that a deploy has reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The word for the state.
    pub state: String,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// What there was to say of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

impl Deploy {
    /// Puts the deploy in another state, reached at `now`, of which `said` is to be said.
    fn enter(&mut self, state: State, said: Option<String>, now: Timestamp) {
        debug_assert!(self.state.may_become(state), "{} does not become {state}", self.state);
        self.state = state;
        self.said = said;
        self.changed_at = now;
        self.ended_at = state.is_final().then_some(now);
        self.note_step();
    }

    /// Runs on in the same pipeline, from where it failed. Nothing else leads on from that state.
    fn run_again(&mut self, now: Timestamp) {
        debug_assert!(self.state.may_run_again(), "{} does not run again", self.state);
        self.state = State::Running;
        self.said = None;
        self.changed_at = now;
        self.ended_at = None;
        self.followed = true;
        self.report.failed = None;
        self.note_step();
    }

    /// Notes the state that it is in as one of its steps.
    fn note_step(&mut self) {
        let step = Step { state: self.state.to_string(), at: self.changed_at.millis(), said: self.said.clone() };
        self.steps.push(step);
        if self.steps.len() > STEPS_MAX {
            // The first one stays: it tells when all began.
            self.steps.remove(1);
        }
    }

    /// Takes over what CircleCI tells of its run.
    fn learn(&mut self, run: &Run) {
        self.url = run.url.clone().or_else(|| self.url.take());
        self.run = Some(run.id.clone());
        // A pipeline reports its branch's newest commit; what was asked for stands, unless it is the same in full.
        let asked = self.revision.take();
        let told = run.revision.clone();
        self.revision = told.filter(|told| asked.as_ref().is_none_or(|asked| told.is_full_of(asked))).or(asked);
        if self.revision == run.revision {
            self.subject.clone_from(&run.subject);
        }
    }

    /// When it began to run as it does now: when it was asked for, or when its failed jobs were made to run again.
    pub fn began_at(&self) -> Timestamp {
        let again = self.acts.iter().rfind(|act| act.what == act::What::Rerun && act.counts());
        again.map_or(self.asked_at, |act| act.time())
    }

    /// How long it took, or has taken by `now`.
    pub fn took(&self, now: Timestamp) -> Duration {
        self.ended_at.unwrap_or(now).since(self.began_at())
    }
}
