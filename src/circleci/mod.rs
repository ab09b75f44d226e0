//! CircleCI, behind one small interface of ours: trigger, look for, follow, stop, approve, run again, list branches. Each
//! API generation is one file; who asks knows neither URLs nor status codes.

mod access;
mod acting;
mod address;
mod budget;
mod client;
mod definition;
mod error;
mod failure;
mod following;
mod lacking;
mod limits;
mod mask;
mod output;
mod pipeline;
mod progress;
mod public;
mod reachable;
mod said;
pub mod sandbox;
mod v1;
mod v2;
pub mod webhook;
mod whole_build;

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

pub use access::{Access, CIRCLECI_URL, Patience};
pub use budget::{Lane, ReadStats};
pub use error::{ActError, ReadError, Refusal, RefusalKind, SetupError, TriggerError};
pub use progress::{Canceled, Failure, Hold, Progress, WorkflowLine};
pub use reachable::Reachable;

use crate::deploy::parameters::Parameter;
use crate::repo::{Branch, EnvironmentName, RepoName, Revision, Trigger, Vcs};
use crate::time::{Clock, Timestamp};
use client::Http;
use error::About;

/// A project as CircleCI addresses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    pub vcs: Vcs,
    pub repo: RepoName,
    /// The opaque `circleci/<org>/<project>` slug of a GitHub App project, which replaces the two above in API v2.
    pub slug: Option<String>,
    /// The suffix of `CIRCLE_API_PROJECT_TOKEN_…` under which this repo's own token may be found (`ACME_WEB`); none
    /// when two registered repos would share it.
    pub token_name: Option<String>,
}

/// One deploy, as CircleCI is asked for it.
#[derive(Debug, Clone)]
pub struct Order {
    pub project: Project,
    pub trigger: Trigger,
    pub branch: Branch,
    pub revision: Option<Revision>,
    pub parameters: Vec<Parameter>,
    pub deploy: Uuid,
    pub environment: EnvironmentName,
    /// Who asked, for `SLIPWAY_ACTOR`: a name and an id.
    pub actor: String,
    /// When the deploy was recorded; a lost build is looked for from then on.
    pub requested_at: Timestamp,
}

/// What CircleCI made of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: RunId,
    /// The page for people: http or https, whatever its host.
    pub url: Option<String>,
    pub status: Status,
    /// CircleCI's own word for the status.
    pub status_word: String,
    pub revision: Option<Revision>,
    /// The commit's subject.
    pub subject: Option<String>,
}

/// What tells a run from all others of its project.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RunId {
    /// API v1.1: the build's number in its project.
    Build(i64),
    /// API v2: the pipeline's id and its number in its project.
    Pipeline { id: Uuid, number: i64 },
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Canceled,
}

/// What was found of an order whose fate was unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This run: it carries the deploy's UUID.
    One(Run),
    /// This run fits and no other does, but nothing in it names the deploy: another deploy on its way may have made it.
    Likely(Run),
    /// Nothing.
    None,
    /// Any of these can be meant: a person must decide.
    Several(Vec<Run>),
}

/// How far the clocks of CircleCI and of this machine may be apart.
pub const CLOCK_SKEW: Duration = Duration::from_secs(120);
/// How long after it was recorded an order may still be sent: what is read before it, and rate limits that are waited for.
pub const SENT_WITHIN: Duration = Duration::from_secs(180);
/// The day on which CircleCI ends API v1.1's triggers, unless it names another in a `Sunset` header: 1 February 2027.
/// <https://circleci.com/changelog/deprecation-of-v1-and-v1-1-trigger-and-rerun-apis-february-1-2027/>
pub const V1_TRIGGERS_END: Timestamp = Timestamp::from_millis(1_801_440_000_000);

/// Tells whether another deploy holds a run. It is asked at every look, so it should know of claims made meanwhile.
pub type Claimed<'a> = &'a (dyn Fn(&RunId) -> bool + Send + Sync);

/// An order whose fate isn't known, and for whom it is looked for.
pub struct Search<'a> {
    /// What was sent.
    pub order: &'a Order,
    /// The runs that other deploys hold.
    pub claimed: Claimed<'a>,
    /// Whether a person waits for it.
    pub lane: Lane,
}

/// CircleCI's API: one for the process; clones share it.
#[derive(Clone)]
pub struct CircleCi {
    http: Arc<Http>,
    v1: Arc<v1::Jobs>,
    v2: Arc<v2::Pipelines>,
    builds: Arc<whole_build::Builds>,
}

/// One generation of CircleCI's API.
trait Generation {
    /// What tells its runs apart.
    type Id: Eq + Hash + Send + Sync;

    /// Sends an order, once.
    fn trigger(&self, order: &Order) -> impl Future<Output = Result<Run, TriggerError>> + Send;

    /// Looks once for the run that an order led to, passing over what was `ruled_out` by looks before, and adding to
    /// it.
    fn look(
        &self,
        search: &Search<'_>,
        ruled_out: &mut HashSet<Self::Id>,
    ) -> impl Future<Output = Result<Look, ReadError>> + Send;

    /// Reads how far a run is.
    fn read(&self, project: &Project, id: Self::Id) -> impl Future<Output = Result<Run, ReadError>> + Send;
}

/// What one look saw.
#[derive(Debug, Default)]
struct Look {
    /// Runs that carry the deploy's UUID.
    certain: Vec<Run>,
    /// Runs that may be the one.
    likely: Vec<Run>,
}

impl Look {
    /// What the look means. A run that is only likely counts in the `last` look alone: until then another one may show
    /// up, or the deploy that it belongs to may claim it.
    fn verdict(mut self, last: bool) -> Option<Found> {
        let (mut runs, only): (Vec<Run>, fn(Run) -> Found) = match (self.certain.is_empty(), last) {
            (false, _) => (std::mem::take(&mut self.certain), Found::One),
            (true, true) => (self.likely, Found::Likely),
            (true, false) => return None,
        };
        match (runs.pop(), runs.is_empty()) {
            (None, _) => Some(Found::None),
            (Some(run), true) => Some(only(run)),
            (Some(run), false) => {
                runs.push(run);
                Some(Found::Several(runs))
            }
        }
    }
}

impl CircleCi {
    /// The client; nothing is sent yet.
    ///
    /// # Errors
    /// When the root is no address, a token could not be sent, or the system has no TLS.
    pub fn new(access: Access, patience: Patience, clock: Clock) -> Result<Self, SetupError> {
        let http = Arc::new(Http::new(access, patience, clock)?);
        let v1 = Arc::new(v1::Jobs::new(Arc::clone(&http)));
        let v2 = Arc::new(v2::Pipelines::new(Arc::clone(&http)));
        let builds = Arc::new(whole_build::Builds::new(Arc::clone(&v1), Arc::clone(&v2)));
        Ok(Self { http, v1, v2, builds })
    }

    /// Asks CircleCI to run the order. The order is sent at most once, so a [`TriggerError::Lost`] one must be looked
    /// for, as one that was taken without a name ([`TriggerError::Unnamed`]).
    pub async fn trigger(&self, order: &Order) -> Result<Run, TriggerError> {
        match &order.trigger {
            Trigger::Job(_) => self.v1.trigger(order).await,
            Trigger::Pipeline { .. } => self.v2.trigger(order).await,
            Trigger::Build => self.builds.trigger(order).await,
        }
    }

    /// Looks for the run of a lost order, several times over some seconds, as [`Patience::looks`] says. Only reads.
    ///
    /// Whoever adopts the run found must make sure, in the same transaction, that no other deploy has claimed it
    /// meanwhile.
    pub async fn look_for(&self, search: &Search<'_>) -> Result<Found, ReadError> {
        match &search.order.trigger {
            Trigger::Job(_) => self.search(&*self.v1, search).await,
            Trigger::Pipeline { .. } => self.search(&*self.v2, search).await,
            Trigger::Build => self.search(&*self.builds, search).await,
        }
    }

    /// Reads how far a run is.
    pub async fn read(&self, project: &Project, run: &RunId) -> Result<Run, ReadError> {
        match run {
            RunId::Build(number) => self.v1.read(project, *number).await,
            RunId::Pipeline { id, .. } => self.v2.read(project, *id).await,
        }
    }

    /// The branches that CircleCI knows, the most recently built ones first.
    pub async fn branches(&self, project: &Project) -> Result<Vec<Branch>, ReadError> {
        self.v2.branches(project).await
    }

    /// The day on which API v1.1's triggers end, as CircleCI last said; none while it has said nothing.
    pub fn sunset(&self) -> watch::Receiver<Option<Timestamp>> {
        self.v1.sunset()
    }

    /// How many reads there were so far, for metrics.
    pub fn reads(&self) -> ReadStats {
        self.http.budget.stats()
    }

    /// Whether CircleCI answers, by the last requests.
    pub fn reachable(&self) -> watch::Receiver<Reachable> {
        self.http.reachable.subscribe()
    }

    async fn search<G: Generation>(&self, generation: &G, search: &Search<'_>) -> Result<Found, ReadError> {
        let begun = Instant::now();
        // Nothing may count as not found that was not looked for.
        let looks = match self.http.patience.looks.as_slice() {
            [] => &[Duration::ZERO],
            looks => looks,
        };
        let mut ruled_out = HashSet::new();
        let mut result = Ok(Found::None);
        // A CircleCI that hangs must not keep anybody waiting for minutes.
        let last = looks.iter().max().copied().unwrap_or_default();
        let end = begun + last + self.http.patience.request;
        for (index, after) in looks.iter().enumerate() {
            sleep_until(begun + *after).await;
            let looked = timeout_at(end, generation.look(search, &mut ruled_out)).await;
            let silent = |_| ReadError::Unavailable { status: None, why: error::silent(end - begun) };
            match looked.map_err(silent).flatten() {
                Ok(look) => match look.verdict(index + 1 == looks.len()) {
                    Some(found) => return Ok(found),
                    None => result = Ok(Found::None),
                },
                Err(error) => result = Err(error),
            }
        }
        result
    }
}

/// The refusal of a revision that a pipeline is not passed: it can't be pinned to a commit, so a parameter must carry the
/// revision to the configuration. For whoever wants to tell before anything is recorded.
pub fn revision_not_pinned(project: &Project) -> Refusal {
    let about = About { project, variable: access::USER_TOKEN, names: vec![] };
    Refusal::new(RefusalKind::RevisionNotPinned, None, &about, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: i64) -> Run {
        Run {
            id: RunId::Build(number),
            url: None,
            status: Status::Queued,
            status_word: "queued".to_owned(),
            revision: None,
            subject: None,
        }
    }

    #[test]
    fn a_likely_run_is_adopted_only_in_the_last_look_and_only_alone() {
        let look = |certain: &[i64], likely: &[i64]| Look {
            certain: certain.iter().copied().map(run).collect(),
            likely: likely.iter().copied().map(run).collect(),
        };
        assert_eq!(look(&[], &[1]).verdict(false), None);
        assert_eq!(look(&[], &[1]).verdict(true), Some(Found::Likely(run(1))));
        assert_eq!(look(&[], &[1, 2]).verdict(true), Some(Found::Several(vec![run(1), run(2)])));
        assert_eq!(look(&[], &[]).verdict(true), Some(Found::None));
        assert_eq!(look(&[3], &[1, 2]).verdict(false), Some(Found::One(run(3))));
        assert_eq!(look(&[3, 4], &[]).verdict(false), Some(Found::Several(vec![run(3), run(4)])));
    }
}
