//! Sees a deploy through: planned from reads alone, recorded, then sent to CircleCI once, and what came of it recorded again.
//! Knows nothing of the chat that asked.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use uuid::Uuid;

use super::plan::{Plan, Wish, all_parameters, check_parameters, choose};
use super::settled::Settled;
use super::{Deploy, Reason, State, store};
use crate::actor::{ActorId, Caller};
use crate::audit::{self, Entry, Outcome};
use crate::circleci::{self, CircleCi, Order, Project, RunId, TriggerError};
use crate::db::{Db, DbError};
use crate::guild;
use crate::id::{DeployId, InteractionId, MessageId};
use crate::permission::{Action, Ask, Permissions};
use crate::refusal::Refusal;
use crate::repo::{Branch, EnvironmentName, Repo, RepoName, Repos, Revision};
use crate::text;
use crate::time::Clock;

/// The longest name of a person that CircleCI is told, in UTF-16 units.
const ACTOR_NAME_MAX: usize = 64;
/// A result that could not be recorded is tried again this often, over about half a minute.
const RECORD_TRIES: usize = 8;

/// How many pipelines are held in memory: more than are triggered while one is looked for. The database holds them all.
const CLAIMS_MAX: usize = 1_024;

/// What became of recording a plan.
#[derive(Debug)]
pub enum Recorded {
    /// It is recorded, for the first time.
    New(Box<Deploy>),
    /// The same interaction has made a deploy before; nothing is to be done.
    Before,
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
}

impl Deploys {
    /// Deploys kept in `db` and sent to `circleci`.
    pub fn new(db: Db, permissions: Permissions, repos: Repos, circleci: CircleCi, clock: Clock) -> Self {
        Self { db, permissions, repos, circleci, clock, claims: Claims::default() }
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
        let repo = match self.repos.find(caller.guild, &wish.repo).await {
            Ok(repo) => repo,
            Err(unknown) => {
                // Who may not even see a repository of that name isn't told whether there is one.
                let ask = Ask { repo: Some(wish.repo.as_str()), ..Ask::default() };
                self.permissions.require(caller, Action::View, ask).await?;
                return Err(unknown);
            }
        };
        let environments = self.repos.environments(caller.guild, &repo.name).await?;
        let environment = choose(&repo, environments, wish.environment.as_ref())?;
        self.permissions.require(caller, Action::Deploy, ask(&repo.name, &wish.branch, &environment.name)).await?;
        check_parameters(&environment, &wish.parameters)?;
        let project = self.repos.project(&repo).await?;
        let parameters = all_parameters(&environment, &wish, &caller.actor.name, &Uuid::nil(), DeployId(0));
        circleci::check_revision(&project, &environment.trigger, wish.revision.as_ref(), &parameters)
            .map_err(|refusal| Refusal::conflict(refusal.to_string(), ""))?;
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
        let ask = ask(&repo.name, &wish.branch, &environment.name);
        self.permissions.require_in(&mut tx, caller, Action::Deploy, ask).await?;
        let (uuid, id) = (Uuid::now_v7(), guild::store::next_deploy(&mut tx, caller.guild).await?);
        let parameters = all_parameters(&environment, &wish, &caller.actor.name, &uuid, id);
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
            Err(DbError::Duplicate) => return Ok(Recorded::Before),
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
            Err(error) => return self.settle(deploy, Settled::not_sent(&error.to_string())).await,
        };
        let settled = match self.circleci.trigger(&order).await {
            Ok(run) => Settled::taken(run),
            Err(TriggerError::Refused(refusal)) => Settled::refused(&refusal),
            Err(TriggerError::NotSent { why }) => Settled::not_sent(&why),
            Err(TriggerError::Lost { why }) => {
                tracing::warn!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, "It is not known whether CircleCI took a deploy; it is looked for: {why}");
                self.look(&order, &why).await
            }
        };
        self.settle(deploy, settled).await
    }

    /// Takes up the deploys that were being sent when Slipway last stopped: each is looked for, never sent again.
    pub async fn unfinished(&self) -> Result<Vec<Deploy>, DbError> {
        store::in_state(self.db.pool(), State::Triggering).await
    }

    /// Looks for a deploy of which only the sending is known, and records what was found.
    pub async fn take_up(&self, deploy: Deploy) -> Deploy {
        let settled = match self.order(&deploy).await {
            Ok(order) => self.look(&order, "Slipway was stopped while CircleCI was being asked.").await,
            Err(error) => Settled::unknown(&error.to_string()),
        };
        self.settle(deploy, settled).await
    }

    /// The branches of a repository that were deployed here, the latest first.
    pub async fn branches(&self, caller: &Caller, repo: &RepoName, limit: i64) -> Result<Vec<String>, DbError> {
        store::branches(self.db.pool(), caller.guild, repo, limit).await
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
            actor: actor_for_circleci(deploy),
            requested_at: deploy.asked_at,
        })
    }

    async fn look(&self, order: &Order, why: &str) -> Settled {
        let held: HashSet<Uuid> = match store::pipelines_since(self.db.pool(), order.requested_at).await {
            Ok(held) => held.into_iter().collect(),
            Err(error) => return Settled::unknown(&format!("{why} {error}")),
        };
        let claimed = |run: &RunId| match run {
            RunId::Pipeline { id, .. } => held.contains(id) || self.claims.hold(id),
            RunId::Build(_) => false,
        };
        Settled::looked_for(self.circleci.look_for(order, &claimed).await, why)
    }

    /// Records what a deploy has become. What CircleCI took must not be forgotten for a moment's trouble with the disk, so
    /// this is tried again for a while; failing that, the deploy is taken up at the next start.
    async fn settle(&self, mut deploy: Deploy, settled: Settled) -> Deploy {
        let from = deploy.state;
        settled.apply(&mut deploy);
        if let Some(RunId::Pipeline { id, .. }) = &deploy.run {
            self.claims.add(*id);
        }
        deploy.changed_at = self.clock.now();
        let patience = ExponentialBuilder::new()
            .with_max_times(RECORD_TRIES)
            .with_min_delay(Duration::from_millis(100))
            .with_jitter();
        let written = (|| self.write(&deploy, from, settled.adopted))
            .retry(patience)
            .when(|error| !matches!(error, DbError::Duplicate))
            .await;
        match written {
            Ok(()) => deploy,
            Err(DbError::Duplicate) => {
                // The run found belongs to another deploy after all: a person must look.
                let page = deploy.url.take().unwrap_or_else(|| "that pipeline".to_owned());
                deploy.run = None;
                deploy.state = from;
                let why = format!("{page} was found, but it belongs to another deploy.");
                Box::pin(self.settle(deploy, Settled::unknown(&why))).await
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
                RunId::Build(number) => detail["build"] = (*number).into(),
                RunId::Pipeline { id, number } => {
                    detail["pipeline"] = serde_json::json!({ "id": id.to_string(), "number": number })
                }
            }
            audit::append(&mut tx, &self.entry(deploy, audit::Action::DeployTriggered, Outcome::Allowed, detail))
                .await?;
        }
        if deploy.state.is_final() {
            let outcome = deploy.state.as_str().parse().unwrap_or(Outcome::Unknown);
            let detail = serde_json::json!({ "said": deploy.said });
            audit::append(&mut tx, &self.entry(deploy, audit::Action::DeployFinished, outcome, detail)).await?;
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

fn ask<'a>(repo: &'a RepoName, branch: &'a Branch, environment: &'a EnvironmentName) -> Ask<'a> {
    Ask { repo: Some(repo.as_str()), branch: Some(branch.as_str()), environment: Some(environment.as_str()) }
}

/// Who asked, as CircleCI is told: somebody's name is hostile in a shell's environment too.
fn actor_for_circleci(deploy: &Deploy) -> String {
    match &deploy.actor {
        ActorId::User(id) => {
            let name: String =
                deploy.actor_name.chars().filter(|c| c.is_alphanumeric() || " ._-".contains(*c)).collect();
            format!("{} ({id})", text::clip(name.trim(), ACTOR_NAME_MAX))
        }
        other => other.to_string(),
    }
}
