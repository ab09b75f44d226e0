//! Sees a deploy through: planned from reads alone, recorded, then sent to CircleCI once, and what came of it recorded again.
//! Knows nothing of the chat that asked.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use uuid::Uuid;

use super::plan::{Plan, Wish, all_parameters, choose, name_for_circleci};
use super::rulebook::Rulebooks;
use super::settled::Settled;
use super::store::Place;
use super::{Deploy, Reason, State, store};
use crate::actor::Caller;
use crate::audit::{self, Entry, Outcome};
use crate::circleci::{self, CLOCK_SKEW, CircleCi, Found, Order, Project, ReadError, RunId, SENT_WITHIN, TriggerError};
use crate::db::{Connection, Db, DbError, Reader};
use crate::guild;
use crate::id::{DeployId, InteractionId, MessageId};
use crate::permission::{Action, Ask, Permissions};
use crate::refusal::Refusal;
use crate::repo::{Branch, Environment, EnvironmentName, Repo, RepoName, Repos, Revision, Trigger};
use crate::time::Clock;

/// A result that could not be recorded is tried again this often, over about half a minute.
const RECORD_TRIES: usize = 8;

/// What is told of a deploy whose sending a stop has interrupted.
const INTERRUPTED: &str = "Slipway was stopped while CircleCI was being asked.";
/// How many pipelines are held in memory: more than are triggered while one is looked for. The database holds them all.
const CLAIMS_MAX: usize = 1_024;

/// What became of recording a plan.
#[derive(Debug)]
pub enum Recorded {
    /// It is recorded, for the first time.
    New(Box<Deploy>),
    /// The same interaction has made this deploy before; nothing is to be done.
    Before(Box<Deploy>),
}

/// A deploy that could not be looked for.
#[derive(Debug)]
pub struct NotYet {
    /// The deploy, as it stands.
    pub deploy: Box<Deploy>,
    /// Why not.
    pub why: String,
}

/// The pipelines that this process gave to deploys lately, so that a look under way passes them over at once.
#[derive(Clone, Default)]
struct Claims(Arc<Mutex<VecDeque<Uuid>>>);

impl Claims {
    fn add(&self, id: Uuid) {
        let mut claims = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        claims.push_back(id);
        if claims.len() > CLAIMS_MAX {
            claims.pop_front();
        }
    }

    fn hold(&self, id: &Uuid) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

/// The deploys of every guild.
#[derive(Clone)]
pub struct Deploys {
    db: Db,
    permissions: Permissions,
    repos: Repos,
    circleci: CircleCi,
    clock: Clock,
    claims: Claims,
    rulebooks: Rulebooks,
}

impl Deploys {
    /// Deploys kept in `db` and sent to `circleci`.
    pub fn new(db: Db, permissions: Permissions, repos: Repos, circleci: CircleCi, clock: Clock) -> Self {
        Self { db, permissions, repos, circleci, clock, claims: Claims::default(), rulebooks: Rulebooks::default() }
    }

    /// Whether a wish may be carried out, and how. Reads only, and never asks CircleCI: it stands between an interaction
    /// and its acknowledgement.
    pub async fn plan(&self, caller: &Caller, wish: Wish) -> Result<Plan, Refusal> {
        if wish.branch.looks_like_markup() {
            return Err(Refusal::Invalid {
                option: "branch".to_owned(),
                given: wish.branch.to_string(),
                invalid: crate::invalid::Invalid::new(
                    "branch",
                    "Git allows that name, but Discord reads it as a mention or as formatting, so Slipway doesn't deploy it.",
                    "feature/login",
                ),
            });
        }
        let (repo, environment) = match self.surely_permitted(caller, &wish).await? {
            Some(place) => place,
            None => self.find(caller, &wish).await?,
        };
        all_parameters(&environment, &wish, &caller.actor, &Uuid::nil(), DeployId(0))?;
        let is_pipeline = matches!(environment.trigger, Trigger::Pipeline { .. });
        if is_pipeline && wish.revision.is_some() && !environment.template.carries("revision") {
            let refusal = circleci::revision_not_pinned(&self.repos.project(&repo).await?);
            return Err(Refusal::conflict(refusal.to_string(), "Nothing was done."));
        }
        Ok(Plan { repo, environment, wish })
    }

    /// Records a plan and its audit entry, durably, before CircleCI is called. The permission is asked for again in the same
    /// transaction, so that none is lost in between.
    pub async fn record(
        &self,
        caller: &Caller,
        plan: Plan,
        interaction: Option<InteractionId>,
        message: Option<MessageId>,
    ) -> Result<Recorded, Refusal> {
        let Plan { repo, environment, wish } = plan;
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        match self.permitted_place(&mut tx, caller, &repo.name, &environment.name, &wish.branch).await? {
            Some(place) if place.repo == repo && place.environment == environment => {}
            place => {
                if place.is_none() {
                    let ask = ask(&repo.name, &wish.branch, &environment.name);
                    self.permissions.require_in(&mut tx, caller, Action::Deploy, ask).await?;
                }
                return Err(Refusal::conflict(
                    format!(
                        "How `{}` is deployed to `{}` was changed this very moment, so nothing was done.",
                        repo.name, environment.name
                    ),
                    "Ask again.",
                ));
            }
        }
        let (uuid, id) = (Uuid::now_v7(), guild::store::next_deploy(&mut tx, caller.guild).await?);
        let parameters = all_parameters(&environment, &wish, &caller.actor, &uuid, id)?;
        let deploy = Deploy {
            uuid,
            id,
            guild: caller.guild,
            channel: caller.channel,
            message,
            actor: caller.actor.id.clone(),
            actor_name: caller.actor.name.clone(),
            repo: repo.name,
            vcs: repo.vcs,
            project: repo.project,
            environment: environment.name,
            branch: wish.branch,
            revision: wish.revision,
            parameters,
            reason: wish.reason,
            trigger: environment.trigger,
            state: State::Triggering,
            said: None,
            run: None,
            url: None,
            asked_at: now,
            changed_at: now,
        };
        match store::insert(&mut tx, &deploy, interaction).await {
            Ok(()) => {}
            Err(DbError::Duplicate) => {
                drop(tx);
                let before = store::of_interaction(self.db.pool(), interaction).await?;
                return Ok(Recorded::Before(Box::new(before)));
            }
            Err(error) => return Err(error.into()),
        }
        let detail = serde_json::json!({
            "uuid": deploy.uuid.to_string(),
            "trigger": deploy.trigger.as_str(),
            "parameters": deploy.parameters.iter().map(|p| (p.name.clone(), (&p.value).into())).collect::<serde_json::Map<_, _>>(),
        });
        audit::append(&mut tx, &self.entry(&deploy, audit::Action::DeployRequested, Outcome::Allowed, detail)).await?;
        tx.commit().await.map_err(DbError::from)?;
        Ok(Recorded::New(Box::new(deploy)))
    }

    /// Sends a recorded deploy to CircleCI, at most once, and records what came of it.
    pub async fn send(&self, deploy: Deploy) -> Deploy {
        let order = match self.order(&deploy).await {
            Ok(order) => order,
            Err(error) => {
                return self.settle(deploy, Settled::not_sent(&format!("{error} Nothing was started."))).await;
            }
        };
        let settled = match self.circleci.trigger(&order).await {
            Ok(run) => Settled::taken(run),
            Err(TriggerError::Refused(refusal)) => {
                if refusal.concerns_the_operator() {
                    tracing::error!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, "{refusal}");
                }
                Settled::refused(&refusal)
            }
            Err(TriggerError::NotSent { why }) => {
                tracing::warn!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, "A deploy was not sent: {why}");
                Settled::not_sent(&why)
            }
            Err(TriggerError::Lost { why }) => {
                tracing::warn!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, "It is not known whether CircleCI took a deploy; it is looked for: {why}");
                self.look(&order, &why).await.unwrap_or_else(|error| Settled::not_looked_for(&why, &error))
            }
        };
        self.settle(deploy, settled).await
    }

    /// The deploys that were being sent when Slipway last stopped.
    pub async fn unfinished(&self) -> Result<Vec<Deploy>, DbError> {
        store::in_state(self.db.pool(), State::Triggering).await
    }

    /// Takes up a deploy that a stop has interrupted: it is looked for, never sent again, and what was found is recorded.
    ///
    /// # Errors
    /// When it could not even be looked for; it stands as it stood and may be taken up again.
    pub async fn take_up(&self, deploy: Deploy) -> Result<Deploy, NotYet> {
        let looked = match self.order(&deploy).await {
            Ok(order) => self.look(&order, INTERRUPTED).await,
            Err(error) => Err(error.to_string()),
        };
        match looked {
            Ok(settled) => Ok(self.settle(deploy, settled).await),
            Err(why) => Err(NotYet { deploy: Box::new(deploy), why }),
        }
    }

    /// The branches of a repository that were deployed here, the latest first.
    pub async fn branches(&self, caller: &Caller, repo: &RepoName, limit: i64) -> Result<Vec<String>, DbError> {
        store::branches(self.db.pool(), caller.guild, repo, limit).await
    }

    /// A repository and environment, if they are there and `caller` may deploy that branch to it.
    async fn permitted_place(
        &self,
        connection: &mut Connection,
        caller: &Caller,
        repo: &RepoName,
        environment: &EnvironmentName,
        branch: &Branch,
    ) -> Result<Option<Place>, DbError> {
        let place = store::place(connection, caller, Action::Deploy, repo, environment, self.clock.now()).await?;
        Ok(place.filter(|place| {
            let ask = ask(&place.repo.name, branch, &place.environment.name);
            self.permissions.allows(&place.rules, caller, Action::Deploy, ask)
        }))
    }

    /// The repository and environment that are wished for, if it is plain that `caller` may deploy there.
    async fn surely_permitted(&self, caller: &Caller, wish: &Wish) -> Result<Option<(Repo, Environment)>, DbError> {
        let book = self.rulebooks.of(&self.db, self.permissions.changes(), caller, self.clock.now()).await?;
        // Where no environment is named, one called `production` is meant, the only one or not.
        let named = wish.environment.clone().unwrap_or_else(EnvironmentName::production);
        let Some((repo, environment)) = book.place(&wish.repo, &named) else { return Ok(None) };
        let ask = ask(&repo.name, &wish.branch, &environment.name);
        let may = self.permissions.allows(book.rules(), caller, Action::Deploy, ask);
        Ok(may.then(|| (repo.clone(), environment.clone())))
    }

    /// The same in full: the environment that is meant, or why not.
    async fn find(&self, caller: &Caller, wish: &Wish) -> Result<(Repo, Environment), Refusal> {
        let mut reader = self.db.reader().await?;
        let refusal = match self.place(&mut reader, caller, wish).await {
            Ok(found) => return Ok(found),
            Err(refusal) => refusal,
        };
        // Who may not even see the repository isn't told whether there is one, nor by which kind of refusal.
        let whole = Ask { repo: Some(wish.repo.as_str()), ..Ask::default() };
        self.permissions.require(&mut reader, caller, Action::View, whole).await?;
        Err(refusal)
    }

    async fn place(&self, reader: &mut Reader, caller: &Caller, wish: &Wish) -> Result<(Repo, Environment), Refusal> {
        let repo = self.repos.find(reader, caller.guild, &wish.repo).await?;
        let environments = self.repos.environments(reader, caller.guild, &repo.name).await?;
        let environment = choose(&repo, environments, wish.environment.as_ref())?;
        let ask = ask(&repo.name, &wish.branch, &environment.name);
        self.permissions.require(reader, caller, Action::Deploy, ask).await?;
        Ok((repo, environment))
    }

    async fn order(&self, deploy: &Deploy) -> Result<Order, DbError> {
        let repo =
            Repo { name: deploy.repo.clone(), vcs: deploy.vcs, project: deploy.project.clone(), default_branch: None };
        let project: Project = self.repos.project(&repo).await?;
        Ok(Order {
            project,
            trigger: deploy.trigger.clone(),
            branch: deploy.branch.clone(),
            revision: deploy.revision.clone(),
            parameters: deploy.parameters.clone(),
            deploy: deploy.uuid,
            environment: deploy.environment.clone(),
            actor: name_for_circleci(&deploy.actor, &deploy.actor_name),
            requested_at: deploy.asked_at,
        })
    }

    /// What looking for a deploy finds; an error when it could not be looked for.
    async fn look(&self, order: &Order, why: &str) -> Result<Settled, String> {
        let said = |error: DbError| error.to_string();
        let held = store::pipelines_since(self.db.pool(), order.requested_at.minus(CLOCK_SKEW)).await.map_err(said)?;
        let held: HashSet<Uuid> = held.into_iter().collect();
        let claimed = |run: &RunId| match run {
            RunId::Pipeline { id, .. } => held.contains(id) || self.claims.hold(id),
            RunId::Build(_) => false,
        };
        let found = match self.circleci.look_for(order, &claimed).await {
            Ok(Found::Likely(run)) if self.has_rivals(order).await.map_err(said)? => Found::Several(vec![run]),
            Ok(found) => found,
            Err(ReadError::Refused(refusal)) => return Ok(Settled::not_looked_for(why, &refusal.to_string())),
            Err(error @ (ReadError::Unavailable { .. } | ReadError::Unreadable { .. })) => {
                return Err(error.to_string());
            }
        };
        Ok(Settled::looked_for(found, why))
    }

    /// Whether another deploy, whose pipeline isn't known either, may have made the one that was found.
    async fn has_rivals(&self, order: &Order) -> Result<bool, DbError> {
        let near = SENT_WITHIN + CLOCK_SKEW;
        let window = order.requested_at.minus(near)..=order.requested_at.plus(near);
        let unknown = store::without_run(self.db.pool(), &order.project.repo, &order.branch, window).await?;
        Ok(unknown.iter().any(|other| *other != order.deploy))
    }

    /// Records what a deploy has become. What CircleCI took must not be forgotten for a moment's trouble with the disk, so
    /// this is tried again for a while; failing that, the deploy is taken up at the next start.
    async fn settle(&self, before: Deploy, settled: Settled) -> Deploy {
        let mut deploy = before.clone();
        settled.apply(&mut deploy);
        if let Some(RunId::Pipeline { id, .. }) = &deploy.run {
            self.claims.add(*id);
        }
        deploy.changed_at = self.clock.now();
        let pauses = ExponentialBuilder::new().with_max_times(RECORD_TRIES).with_min_delay(Duration::from_millis(100));
        // Without backon's `std` feature its jitter would be the same in every process.
        let patience = pauses.with_jitter().with_jitter_seed(rand::random());
        let written = (|| self.write(&deploy, before.state, settled.adopted))
            .retry(patience)
            .when(|error| !matches!(error, DbError::Duplicate))
            .await;
        match written {
            Ok(()) => deploy,
            Err(DbError::Duplicate) => {
                // The run found belongs to another deploy after all: a person must look.
                let page = deploy.url.unwrap_or_else(|| "That pipeline".to_owned());
                Box::pin(self.settle(before, Settled::of_another(&page))).await
            }
            Err(error) => {
                tracing::error!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, deploy.state = %deploy.state, "What became of a deploy could not be recorded: {error}");
                let said = deploy.said.take().map(|said| format!("{said} ")).unwrap_or_default();
                deploy.said = Some(format!(
                    "{said}This could not be recorded: {error} Slipway looks for it again at its next start."
                ));
                deploy
            }
        }
    }

    async fn write(&self, deploy: &Deploy, from: State, adopted: bool) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        if !store::update(&mut tx, deploy, from).await? {
            // Somebody else has settled it; what they wrote stands.
            return Ok(());
        }
        if let Some(run) = &deploy.run {
            let mut detail = serde_json::json!({ "url": deploy.url, "adopted": adopted });
            match run {
                // As text: the chain's numbers are JavaScript's.
                RunId::Build(number) => detail["build"] = number.to_string().into(),
                RunId::Pipeline { id, number } => {
                    detail["pipeline"] = serde_json::json!({ "id": id.to_string(), "number": number.to_string() });
                }
            }
            audit::append(&mut tx, &self.entry(deploy, audit::Action::DeployTriggered, Outcome::Allowed, detail))
                .await?;
        }
        if deploy.state.is_final() {
            let outcome = outcome(deploy.state);
            let detail = serde_json::json!({ "said": deploy.said });
            let mut entry = self.entry(deploy, audit::Action::DeployFinished, outcome, detail);
            // Why it ended so, where nobody gave a reason for it.
            entry.reason = entry.reason.or_else(|| deploy.said.clone());
            audit::append(&mut tx, &entry).await?;
        }
        tx.commit().await.map_err(DbError::from)
    }

    fn entry(&self, deploy: &Deploy, action: audit::Action, outcome: Outcome, detail: serde_json::Value) -> Entry {
        Entry {
            guild: deploy.guild,
            at: self.clock.now(),
            channel: deploy.channel,
            actor: deploy.actor.clone(),
            actor_name: deploy.actor_name.clone(),
            action,
            repo: Some(deploy.repo.to_string()),
            environment: Some(deploy.environment.to_string()),
            branch: Some(deploy.branch.to_string()),
            revision: deploy.revision.as_ref().map(Revision::to_string),
            deploy: Some(deploy.id),
            outcome,
            reason: deploy.reason.as_ref().map(Reason::to_string),
            detail: Some(detail),
        }
    }
}

/// The audit log's word for the state in which a deploy ended.
fn outcome(state: State) -> Outcome {
    match state {
        State::Succeeded => Outcome::Succeeded,
        State::Failed => Outcome::Failed,
        State::Canceled => Outcome::Canceled,
        State::Rejected => Outcome::Rejected,
        State::Refused => Outcome::Refused,
        State::Expired => Outcome::Expired,
        State::Unknown => Outcome::Unknown,
        State::AwaitingApproval | State::Waiting | State::Triggering | State::Queued | State::Running => {
            Outcome::Allowed
        }
    }
}

fn ask<'a>(repo: &'a RepoName, branch: &'a Branch, environment: &'a EnvironmentName) -> Ask<'a> {
    Ask { repo: Some(repo.as_str()), branch: Some(branch.as_str()), environment: Some(environment.as_str()) }
}
