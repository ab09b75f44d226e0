//! Asking for access and deciding it. Every change is written together with its audit entry; what is granted goes through the same
//! checks as any other rule. Knows nothing of how requests are shown.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::request::{self, AccessRequest, DECIDED_WITHIN, Decision, OPEN_MAX, State, Wish};
use super::{card, store};
use crate::actor::{Actor, ActorId, Caller};
use crate::audit::{self, Entry, Outcome};
use crate::db::{Db, DbError, Tx};
use crate::deploy::Reason;
use crate::deploy::plan::choose;
use crate::deploy::reason::REASON_CHARS_MAX;
use crate::id::{GuildId, InteractionId, MessageId, RequestId};
use crate::permission::service::Grant;
use crate::permission::{Action, Ask, Effect, Held, Permissions, Subject};
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::repo::{EnvironmentName, RepoName, Repos};
use crate::text;
use crate::time::Clock;

/// The longest pause between two looks for requests that nobody decided in time.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The requests of every guild.
#[derive(Clone)]
pub struct Requests {
    db: Db,
    permissions: Permissions,
    repos: Repos,
    clock: Clock,
    changed: Arc<Notify>,
}

/// A wish that may be asked for.
#[derive(Debug)]
pub struct Plan {
    wish: Wish,
    environment: EnvironmentName,
}

/// What became of asking.
#[derive(Debug)]
pub enum Recorded {
    /// It is recorded, for the first time.
    New(Box<AccessRequest>),
    /// The same interaction has asked for it before.
    Before(Box<AccessRequest>),
}

impl Requests {
    /// Requests kept in `db`, decided by the rules.
    pub fn new(db: Db, permissions: Permissions, repos: Repos, clock: Clock) -> Self {
        Self { db, permissions, repos, clock, changed: Arc::default() }
    }

    /// Waits until a request has changed, for whoever shows them.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether a wish can be asked for. Reads only: it stands before an acknowledgement.
    pub async fn plan(&self, caller: &Caller, wish: Wish) -> Result<Plan, Refusal> {
        // Who may not see the repository isn't told whether there is one.
        let (repo, environments) = self.repos.show(caller, &wish.repo).await?;
        let environment = choose(&repo, environments, wish.environment.as_ref())?.name;
        let scope = request::scope(&repo.name, &environment);
        let until = Held::Until(self.clock.now().plus(wish.lasts));
        if self.permissions.held(caller, wish.action, &scope).await? >= until {
            return Err(Refusal::conflict(
                format!("You may `{}` in `{environment}` of `{}` already.", wish.action, repo.name),
                "`/whoami` tells what you may do.",
            ));
        }
        let refusing = self.permissions.refusing(caller, wish.action, &scope).await?;
        if let Some(rule) = refusing.first() {
            return Err(Refusal::conflict(
                format!(
                    "Rule `{rule}` denies you `{}` in `{environment}` of `{}`, and one denial outweighs every grant.",
                    wish.action, repo.name
                ),
                "Ask an administrator to revoke it.",
            ));
        }
        if self.deciders(caller.guild, &repo.name, &environment, caller.actor.id.clone()).await?.is_empty() {
            return Err(Refusal::conflict(
                "Nobody but you could decide that here.",
                "Whoever runs Slipway can name another owner in `SLIPWAY_OWNERS`.",
            ));
        }
        self.check_new(store::open(self.db.pool(), caller.guild).await?, caller, &wish, &environment)?;
        Ok(Plan { wish: Wish { repo: repo.name, ..wish }, environment })
    }

    /// Refuses what somebody has asked for already, and more than a few at a time.
    fn check_new(
        &self,
        open: Vec<AccessRequest>,
        caller: &Caller,
        wish: &Wish,
        environment: &EnvironmentName,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let own: Vec<AccessRequest> =
            open.into_iter().filter(|open| open.is_by(&caller.actor) && !open.is_due(now)).collect();
        let is_same = |open: &&AccessRequest| {
            (open.repo.key(), &open.environment, open.action) == (wish.repo.key(), environment, wish.action)
        };
        if let Some(open) = own.iter().find(is_same) {
            return Err(Refusal::conflict(
                format!("You have asked for that already: request `{}` waits for its decision.", open.id),
                format!("`/access withdraw {}` takes it back.", open.id.0),
            ));
        }
        if own.len() >= OPEN_MAX {
            return Err(Refusal::conflict(
                format!("{OPEN_MAX} of your requests wait for their decision, and there can't be more."),
                "`/access list` shows them; `/access withdraw` takes one back.",
            ));
        }
        Ok(())
    }

    /// Records what is asked for.
    pub async fn ask(
        &self,
        caller: &Caller,
        plan: Plan,
        reason: Reason,
        (interaction, message): (Option<InteractionId>, Option<MessageId>),
    ) -> Result<Recorded, Refusal> {
        let ActorId::User(user) = caller.actor.id else {
            return Err(Refusal::conflict("Only people ask for access.", "An operator has an owner's rights."));
        };
        let now = self.clock.now();
        let Plan { wish, environment } = plan;
        let mut tx = self.db.begin().await?;
        self.permissions.ensure_guild(&mut tx, caller.guild).await?;
        self.check_new(store::open(&mut *tx, caller.guild).await?, caller, &wish, &environment)?;
        let request = AccessRequest {
            guild: caller.guild,
            id: store::next_number(&mut tx, caller.guild).await?,
            channel: caller.channel,
            message,
            user,
            user_name: caller.actor.name.clone(),
            action: wish.action,
            repo: wish.repo,
            environment,
            reason,
            lasts: wish.lasts,
            asked_at: now,
            expires_at: now.plus(DECIDED_WITHIN),
            state: State::Open,
            decision: None,
            version: 1,
        };
        match store::insert(&mut tx, &request, interaction).await {
            Err(DbError::Duplicate) => {
                drop(tx);
                let before = store::of_interaction(self.db.pool(), interaction).await?;
                return Ok(Recorded::Before(Box::new(before)));
            }
            inserted => inserted?,
        }
        let entry = self.entry(&caller.actor, &request, audit::Action::AccessRequested);
        audit::append(&mut tx, &entry.reason(Some(request.reason.as_str()))).await?;
        tx.commit().await?;
        self.changed.notify_one();
        Ok(Recorded::New(Box::new(request)))
    }

    /// Whether `caller` could decide a request now. Where they can, it only reads: it stands before what Discord waits for.
    pub async fn require_decidable(&self, caller: &Caller, id: RequestId) -> Result<(), Refusal> {
        let now = self.clock.now();
        let waits = |request: &AccessRequest| {
            request.state == State::Open && !request.is_due(now) && !request.is_by(&caller.actor)
        };
        if let Some(request) = self.numbered(caller.guild, id).await?.filter(waits)
            && self.permissions.administered(caller, &[request.scope()]).await? == [true]
        {
            return Ok(());
        }
        // As it is decided, for the exact refusal; nothing of it is kept.
        let mut tx = self.db.begin().await?;
        self.decidable(&mut tx, caller, id).await.map(drop)
    }

    /// Grants what was asked for, until it runs out.
    pub async fn approve(
        &self,
        caller: &Caller,
        id: RequestId,
        reason: Option<Reason>,
    ) -> Result<AccessRequest, Refusal> {
        let _changing = self.permissions.changes().begin();
        let mut tx = self.db.begin().await?;
        let mut request = self.decidable(&mut tx, caller, id).await?;
        let now = self.clock.now();
        let until = now.plus(request.lasts);
        let grant = Grant {
            subject: Subject::User(request.user),
            effect: Effect::Allow,
            action: request.action,
            scope: request.scope(),
            expires_at: Some(until),
            // No longer than a reason may be: the rule stands in policies too.
            reason: Some(
                text::clip(&format!("Access request {}: {}", request.id, request.reason), REASON_CHARS_MAX)
                    .into_owned(),
            ),
        };
        let rule = self.permissions.grant_in(&mut tx, caller, grant).await?;
        let mut decision = Decision::by(&caller.actor, now, reason);
        decision.rule = Some((rule.id, until));
        request.end(State::Approved, decision);
        self.keep(tx, caller, request, audit::Action::AccessApproved).await
    }

    /// Refuses what was asked for.
    pub async fn reject(&self, caller: &Caller, id: RequestId, reason: Reason) -> Result<AccessRequest, Refusal> {
        let mut tx = self.db.begin().await?;
        let mut request = self.decidable(&mut tx, caller, id).await?;
        request.end(State::Rejected, Decision::by(&caller.actor, self.clock.now(), Some(reason)));
        self.keep(tx, caller, request, audit::Action::AccessRejected).await
    }

    /// Takes back what one has asked for oneself.
    pub async fn withdraw(&self, caller: &Caller, id: RequestId) -> Result<AccessRequest, Refusal> {
        let mut tx = self.db.begin().await?;
        self.permissions.ensure_guild(&mut tx, caller.guild).await?;
        let own = store::request(&mut *tx, caller.guild, id).await?.filter(|request| request.is_by(&caller.actor));
        let Some(request) = own else {
            return Err(Refusal::conflict(
                format!("There is no request `{id}` of yours."),
                "`/access list` shows those that are open.",
            ));
        };
        let mut request = self.still_open(request).await?;
        request.end(State::Withdrawn, Decision::by(&caller.actor, self.clock.now(), None));
        self.keep(tx, caller, request, audit::Action::AccessWithdrawn).await
    }

    /// The open requests that `caller` may decide, and their own, the newest first.
    pub async fn visible(&self, caller: &Caller) -> Result<Vec<AccessRequest>, DbError> {
        let now = self.clock.now();
        let mut open = store::open(self.db.pool(), caller.guild).await?;
        open.retain(|request| !request.is_due(now));
        let scopes: Vec<_> = open.iter().map(AccessRequest::scope).collect();
        let administered = self.permissions.administered(caller, &scopes).await?;
        let visible = open.into_iter().zip(administered).rev();
        let visible = visible.filter(|(request, administered)| *administered || request.is_by(&caller.actor));
        Ok(visible.map(|(request, _)| request).collect())
    }

    /// A request of a guild, whoever asks.
    pub async fn numbered(&self, guild: GuildId, id: RequestId) -> Result<Option<AccessRequest>, DbError> {
        store::request(self.db.pool(), guild, id).await
    }

    /// Ends requests that nobody decided in time, until `stopping`.
    pub async fn watch(&self, stopping: &CancellationToken) {
        loop {
            let pause = match self.expire().await {
                Ok(next) => next.min(LOOK_EVERY),
                Err(error) => {
                    tracing::warn!("Requests for access that nobody decided can't be ended now: {error}");
                    LOOK_EVERY
                }
            };
            tokio::select! {
                () = stopping.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    /// Ends what nobody decided in time; how long it is until the next one.
    async fn expire(&self) -> Result<Duration, DbError> {
        let now = self.clock.now();
        for due in store::due(self.db.pool(), now).await? {
            let mut tx = self.db.begin().await?;
            let still = store::request(&mut *tx, due.guild, due.id).await?.filter(|request| request.is_due(now));
            let Some(mut request) = still else { continue };
            let slipway = Actor::slipway();
            request.end(State::Expired, Decision::by(&slipway, now, None));
            store::end(&mut tx, &mut request).await?;
            audit::append(&mut tx, &self.entry(&slipway, &request, audit::Action::AccessExpired)).await?;
            tx.commit().await?;
            self.changed.notify_one();
        }
        let next = store::next_due(self.db.pool()).await?;
        Ok(next.map_or(LOOK_EVERY, |next| next.since(self.clock.now())))
    }

    /// The requests whose card doesn't show them as they are.
    pub async fn not_shown(&self) -> Result<Vec<AccessRequest>, DbError> {
        store::not_shown(self.db.pool()).await
    }

    /// A request as its card shows it.
    pub async fn card(&self, request: &AccessRequest) -> Result<Reply, DbError> {
        let deciders = match request.state {
            State::Open => {
                let asker = ActorId::User(request.user);
                self.deciders(request.guild, &request.repo, &request.environment, asker).await?
            }
            _ => Vec::new(),
        };
        Ok(card::card(request, &deciders))
    }

    /// Notes that the card of a request shows it as it is.
    pub async fn note_shown(&self, request: &AccessRequest) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        store::shown(&mut tx, request).await?;
        tx.commit().await
    }

    /// Notes that another message is the card of a request now.
    pub async fn note_moved(&self, request: &AccessRequest, message: MessageId) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        store::moved(&mut tx, request, message).await?;
        tx.commit().await
    }

    /// Notes that whoever asked is told of the end; whether they had not been.
    pub async fn note_told(&self, request: &AccessRequest) -> Result<bool, DbError> {
        let mut tx = self.db.begin().await?;
        let first = store::told(&mut tx, request).await?;
        tx.commit().await?;
        Ok(first)
    }

    /// A request that `caller` may decide: it is open, somebody else's, and they administer what it is about.
    async fn decidable(&self, tx: &mut Tx, caller: &Caller, id: RequestId) -> Result<AccessRequest, Refusal> {
        self.permissions.ensure_guild(tx, caller.guild).await?;
        let Some(request) = store::request(&mut **tx, caller.guild, id).await? else {
            // Who administers nothing isn't told whether there is one.
            self.permissions.require_in(tx, caller, Action::Admin, Ask::default()).await?;
            return Err(Refusal::conflict(
                format!("There is no access request `{id}`."),
                "`/access list` shows those that are open.",
            ));
        };
        if request.is_by(&caller.actor) {
            return Err(Refusal::conflict(
                "Nobody decides what they have asked for themselves.",
                "Somebody else who administers it must; `/access withdraw` takes it back.",
            ));
        }
        self.permissions.require_admin_in(tx, caller, &request.scope()).await?;
        self.still_open(request).await
    }

    /// The request, unless it has come to an end.
    async fn still_open(&self, request: AccessRequest) -> Result<AccessRequest, Refusal> {
        if request.is_due(self.clock.now()) {
            return Err(Refusal::conflict(
                format!("Request `{}` has expired: nobody decided in time.", request.id),
                "It can be asked again with `/access request`.",
            ));
        }
        match &request.decision {
            None => Ok(request),
            Some(decision) => Err(Refusal::conflict(
                format!(
                    "Request `{}` is {} already, by `{}`.",
                    request.id,
                    request.state,
                    decision.by_name.replace('`', "'")
                ),
                "A request is decided once.",
            )),
        }
    }

    async fn keep(
        &self,
        mut tx: Tx,
        caller: &Caller,
        mut request: AccessRequest,
        action: audit::Action,
    ) -> Result<AccessRequest, Refusal> {
        store::end(&mut tx, &mut request).await?;
        audit::append(&mut tx, &self.entry(&caller.actor, &request, action).channel(caller.channel)).await?;
        tx.commit().await?;
        self.changed.notify_one();
        Ok(request)
    }

    async fn deciders(
        &self,
        guild: GuildId,
        repo: &RepoName,
        environment: &EnvironmentName,
        asker: ActorId,
    ) -> Result<Vec<Subject>, DbError> {
        let ask = Ask { repo: Some(repo.as_str()), branch: None, environment: Some(environment.as_str()) };
        let mut deciders = self.permissions.who_can_grant(guild, ask).await?;
        deciders.retain(|decider| !matches!((decider, &asker), (Subject::User(one), ActorId::User(own)) if one == own));
        Ok(deciders)
    }

    fn entry(&self, actor: &Actor, request: &AccessRequest, action: audit::Action) -> Entry {
        let decision = request.decision.as_ref();
        let rule = decision.and_then(|decision| decision.rule);
        Entry::new(request.guild, self.clock.now(), actor, action, Outcome::Allowed)
            .channel(request.channel)
            .repo(&request.repo)
            .environment(&request.environment)
            .reason(decision.and_then(|decision| decision.reason.as_ref()))
            .detail(serde_json::json!({
                "request": request.id.0,
                "user": request.user.to_string(),
                "action": request.action.as_str(),
                "lasts": crate::time::written(request.lasts),
                "rule": rule.map(|(rule, _)| rule.0),
                "until": rule.map(|(_, until)| until.to_string()),
            }))
    }
}
