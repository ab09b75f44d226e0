//! Deploys from the wish to the record: planned from reads alone, then recorded, before anything is sent. Knows nothing of the
//! chat that asked.

use std::sync::Arc;

use uuid::Uuid;

use super::agenda::Agenda;
use super::changed::Changed;
use super::follow::Troubles;
use super::plan::{Plan, Wish, all_parameters, choose};
use super::rulebook::Rulebooks;
use super::send::Claims;
use super::store::Place;
use super::{Deploy, Pace, Report, State, store};
use crate::actor::Caller;
use crate::audit::{self, Outcome};
use crate::circleci::{self, CircleCi};
use crate::db::{Connection, Db, DbError, Reader};
use crate::guild;
use crate::id::{DeployId, InteractionId, MessageId};
use crate::metrics::Metrics;
use crate::permission::{Action, Ask, Permissions};
use crate::refusal::Refusal;
use crate::repo::{Branch, Environment, EnvironmentName, Repo, RepoName, Repos, Trigger};
use crate::time::Clock;

/// What became of recording a plan.
#[derive(Debug)]
pub enum Recorded {
    /// It is recorded, for the first time.
    New(Box<Deploy>),
    /// The same interaction has made this deploy before; nothing is to be done.
    Before(Box<Deploy>),
}

/// The deploys of every guild.
#[derive(Clone)]
pub struct Deploys {
    pub(super) db: Db,
    pub(super) permissions: Permissions,
    pub(super) repos: Repos,
    pub(super) circleci: CircleCi,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) pace: Arc<Pace>,
    pub(super) agenda: Agenda,
    pub(super) troubles: Troubles,
    pub(super) changed: Changed,
    pub(super) claims: Claims,
    rulebooks: Rulebooks,
}

impl Deploys {
    /// Deploys kept in `db`, sent to `circleci` and followed at this `pace`.
    pub fn new(
        repos: Repos,
        circleci: CircleCi,
        (db, permissions, clock): (Db, Permissions, Clock),
        metrics: Metrics,
        pace: Pace,
    ) -> Self {
        Self {
            db,
            permissions,
            repos,
            circleci,
            clock,
            metrics,
            pace: Arc::new(pace),
            agenda: Agenda::default(),
            troubles: Troubles::default(),
            changed: Changed::default(),
            claims: Claims::default(),
            rulebooks: Rulebooks::default(),
        }
    }

    /// The deploys that have changed, for whoever shows them.
    pub fn changed(&self) -> &Changed {
        &self.changed
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
        let mut deploy = Deploy {
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
            subject: None,
            parameters,
            own_parameters: Some(wish.parameters),
            reason: wish.reason,
            origin: wish.origin,
            replaces: None,
            trigger: environment.trigger,
            state: State::Triggering,
            said: None,
            run: None,
            url: None,
            asked_at: now,
            changed_at: now,
            ended_at: None,
            report: Report::default(),
            steps: Vec::new(),
            followed: true,
            version: 1,
        };
        deploy.note_step();
        match store::insert(&mut tx, &mut deploy, interaction).await {
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
        self.changed.note(deploy.uuid);
        Ok(Recorded::New(Box::new(deploy)))
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
}

fn ask<'a>(repo: &'a RepoName, branch: &'a Branch, environment: &'a EnvironmentName) -> Ask<'a> {
    Ask { repo: Some(repo.as_str()), branch: Some(branch.as_str()), environment: Some(environment.as_str()) }
}
