//! Deploys from the wish to the record: planned from reads alone, then recorded, before anything is sent. Knows nothing of the
//! chat that asked.

use std::sync::Arc;

use uuid::Uuid;

use super::agenda::Agenda;
use super::changed::Changed;
use super::follow::Troubles;
use super::plan::{Plan, Wish, all_parameters, check_taken, choose};
use super::rulebook::Rulebooks;
use super::send::Claims;
use super::store::Place;
use super::{Deploy, Origin, Pace, Report, State, acts, history, rollback, store};
use crate::actor::Caller;
use crate::audit::{self, Outcome};
use crate::circleci::{self, CircleCi};
use crate::db::{Connection, Db, DbError, Reader, Tx};
use crate::guild;
use crate::id::{InteractionId, MessageId};
use crate::metrics::Metrics;
use crate::permission::{Action, Ask, Permissions};
use crate::refusal::Refusal;
use crate::repo::{Branch, Environment, EnvironmentName, Repo, RepoName, Repos, declared};
use crate::time::Clock;

/// What is said of a deploy that is tried again where no commit can be named.
const NEWEST_COMMIT: &str = "The pipeline isn't told a commit, so it runs the newest one of the branch, which may not be the one of the deploy that is tried again.";

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
        self.fit(caller, repo, environment, wish).await
    }

    /// A wish that fits its environment, or why it doesn't.
    pub(super) async fn fit(
        &self,
        caller: &Caller,
        repo: Repo,
        environment: Environment,
        mut wish: Wish,
    ) -> Result<Plan, Refusal> {
        let mut note = None;
        check_taken(&repo, &environment, &wish, caller.channel)?;
        if wish.origin != Origin::Asked {
            // The environment as it is now says what it passes itself, and what is declared there.
            let is_declared = |name: &str| environment.declared.iter().any(|known| known.name == name);
            wish.parameters.retain(|parameter| {
                let passes = environment.template.passes(&parameter.name);
                !passes && (environment.declared.is_empty() || is_declared(&parameter.name))
            });
        }
        wish.parameters = declared::check(&environment.declared, wish.parameters)?;
        if wish.revision.is_some() && !environment.pins_revisions() {
            if !matches!(wish.origin, Origin::Retry(_)) {
                let refusal = circleci::revision_not_pinned(&self.repos.project(&repo).await?);
                return Err(Refusal::conflict(refusal.to_string(), "Nothing was done."));
            }
            wish.revision = None;
            note = Some(NEWEST_COMMIT.to_owned());
        }
        // As long as they will be.
        all_parameters(&environment, &wish, &caller.actor, &Uuid::nil().to_string(), &i64::MAX.to_string())?;
        Ok(Plan { repo, environment, wish, replaces: None, note })
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
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        self.still_permitted(&mut tx, caller, &plan).await?;
        self.still_so(&mut tx, caller, &plan, interaction).await?;
        let Plan { repo, environment, wish, note, .. } = plan;
        let uuid = Uuid::now_v7();
        let (id, newest) = guild::store::next_deploy(&mut tx, caller.guild).await?;
        let parameters = all_parameters(&environment, &wish, &caller.actor, &uuid.to_string(), &id.0.to_string())?;
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
            said: note,
            run: None,
            url: None,
            asked_at: now,
            changed_at: now,
            ended_at: None,
            report: Report::default(),
            steps: Vec::new(),
            acts: Vec::new(),
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
        let mut detail = serde_json::json!({
            "uuid": deploy.uuid.to_string(),
            "trigger": deploy.trigger.as_str(),
            "parameters": deploy.parameters.iter().map(|p| (p.name.clone(), (&p.value).into())).collect::<serde_json::Map<_, _>>(),
        });
        match deploy.origin {
            Origin::Asked => {}
            Origin::Retry(of) => detail["retry_of"] = of.0.into(),
            Origin::Rollback(to) => detail["rollback_to"] = to.0.into(),
        }
        let entry = self.entry(&deploy, audit::Action::DeployRequested, Outcome::Allowed, detail);
        audit::append_after(&mut tx, newest, &entry).await?;
        tx.commit().await?;
        self.changed.note_as(&deploy);
        Ok(Recorded::New(Box::new(deploy)))
    }

    /// Refuses what is no longer permitted, or what would be deployed otherwise than planned.
    async fn still_permitted(&self, tx: &mut Tx, caller: &Caller, plan: &Plan) -> Result<(), Refusal> {
        let Plan { repo, environment, wish, .. } = plan;
        let action = wish.origin.action();
        match self.permitted_place(tx, caller, action, &repo.name, &environment.name, &wish.branch).await? {
            Some(place) if place.repo == *repo && place.environment == *environment => return Ok(()),
            Some(_) => {}
            None => {
                let ask = ask(&repo.name, &wish.branch, &environment.name);
                self.permissions.require_in(tx, caller, action, ask).await?;
            }
        }
        Err(Refusal::conflict(
            format!(
                "How `{}` is deployed to `{}` was changed this very moment, so nothing was done.",
                repo.name, environment.name
            ),
            "Ask again.",
        ))
    }

    /// Refuses what rests on something that has changed since it was planned: what a rollback replaces, or that nobody else
    /// tries a deploy again.
    async fn still_so(
        &self,
        tx: &mut Tx,
        caller: &Caller,
        plan: &Plan,
        interaction: Option<InteractionId>,
    ) -> Result<(), Refusal> {
        if let Origin::Retry(of) = plan.wish.origin
            && let Some(retry) = history::store::unfinished_retry(&mut **tx, caller.guild, of, interaction).await?
        {
            return Err(acts::tried_again_already(of, &retry));
        }
        if let Origin::Rollback(to) = plan.wish.origin
            && let Some(first) = history::store::unfinished_rollback(&mut **tx, caller.guild, to, interaction).await?
        {
            return Err(rollback::under_way(to, &first));
        }
        if let Some(saw) = plan.replaces {
            let (repo, environment) = (&plan.repo.name, &plan.environment.name);
            let live = history::store::succeeded(&mut **tx, caller.guild, repo, environment, 1).await?.pop();
            if live.as_ref().map(|live| live.id) != Some(saw) {
                return Err(rollback::deployed_meanwhile(saw, live.as_ref()));
            }
        }
        Ok(())
    }

    /// A repository and environment, if they are there and `caller` may do `action` to that branch and it.
    async fn permitted_place(
        &self,
        connection: &mut Connection,
        caller: &Caller,
        action: Action,
        repo: &RepoName,
        environment: &EnvironmentName,
        branch: &Branch,
    ) -> Result<Option<Place>, DbError> {
        let place = store::place(connection, caller, action, repo, environment, self.clock.now()).await?;
        Ok(place.filter(|place| {
            let ask = ask(&place.repo.name, branch, &place.environment.name);
            self.permissions.allows(&place.rules, caller, action, ask)
        }))
    }

    /// The repository and environment that are wished for, if it is plain that `caller` may deploy there.
    async fn surely_permitted(&self, caller: &Caller, wish: &Wish) -> Result<Option<(Repo, Environment)>, DbError> {
        let book = self.rulebooks.of(&self.db, self.permissions.changes(), caller, self.clock.now()).await?;
        let Some((repo, environment)) = book.place(&wish.repo, wish.environment.as_ref()) else { return Ok(None) };
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

/// What a permission about a deploy is asked for.
pub(super) fn ask<'a>(repo: &'a RepoName, branch: &'a Branch, environment: &'a EnvironmentName) -> Ask<'a> {
    Ask { repo: Some(repo.as_str()), branch: Some(branch.as_str()), environment: Some(environment.as_str()) }
}
