//! The composition root: the services wired together, and the one entry for a request, whatever chat it comes from.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::access::{AccessRequest, Requests};
use crate::acknowledgements::Acknowledgements;
use crate::actor::{Actor, Caller};
use crate::audit::delivery::Deliveries;
use crate::audit::{self, Audit, Entry, Outcome};
use crate::circleci::{CircleCi, Reachable};
use crate::command::{self, Arguments, Command, Path};
use crate::complete::Branches;
use crate::db::{Db, DbError};
use crate::deploy::{Deploy, Deploys, Pace};
use crate::guild::Settings;
use crate::health::Health;
use crate::id::{DeployId, GuildId, InteractionId, MessageId, RequestId, UserId};
use crate::metrics::Metrics;
use crate::permission::Permissions;
use crate::refusal::Refusal;
use crate::reply::{ATTACHMENT_MAX, Form, Reply, Text};
use crate::repo::{Branch, EnvironmentName, RepoName, Repos};
use crate::stats::Stats;
use crate::time::{Clock, Timestamp};
use crate::{notice, text};

/// How often the metrics take over what other parts have counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// The longest reason of a refusal that is kept, in UTF-16 units.
const REASON_MAX: usize = 500;
/// How many interactions are remembered, so that one delivered twice in a row is not begun twice.
const REMEMBERED_MAX: usize = 4_096;

/// Slipway's services.
pub struct App {
    /// The audit log, for those who may ask.
    pub audit: Audit,
    /// What of it goes to the guilds' audit channels.
    pub deliveries: Deliveries,
    /// How each guild deploys, in numbers.
    pub stats: Stats,
    /// What each guild has set.
    pub settings: Settings,
    /// The rules.
    pub permissions: Permissions,
    /// The repositories.
    pub repos: Repos,
    /// The requests for access.
    pub requests: Requests,
    /// The deploys.
    pub deploys: Deploys,
    /// What completes a branch.
    pub branches: Branches,
    /// The requests that wait for theirs.
    pub acknowledgements: Acknowledgements,
    /// What is counted.
    pub metrics: Metrics,
    /// How the connections are.
    pub health: Health,
    /// The time.
    pub clock: Clock,
    /// Canceled when Slipway stops: no new work is taken from then on.
    pub stopping: CancellationToken,
    db: Db,
    circleci: CircleCi,
    v1_triggers_end: notice::Remembered,
    remembered: Mutex<Remembered>,
}

/// What somebody asks for.
#[derive(Debug)]
pub struct Request {
    /// The interaction, where the chat may deliver it twice.
    pub interaction: Option<InteractionId>,
    /// The words of the command.
    pub path: Path,
    /// Its arguments.
    pub arguments: Arguments,
    /// Who asks, and where.
    pub caller: Caller,
}

/// Who sees an answer. A chat may be unable to change it after the acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Everyone in the channel.
    Public,
    /// The person who asked.
    Ephemeral,
}

/// What the acknowledgement made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// The message that answers from now on, where the chat has such.
    pub message: Option<MessageId>,
}

/// Why nothing may be done: the acknowledgement was not accepted, or was by an earlier delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// Nobody will see an answer.
    Nobody,
    /// Another delivery of the same request has been acknowledged.
    Before,
}

/// Where a request comes from and its answers go.
pub trait Chat: Send + Sync {
    /// Tells the person that the request has arrived. Once it has, it isn't told again and the first visibility stays.
    fn acknowledge(&self, visibility: Visibility) -> impl Future<Output = Result<Seen, Unseen>> + Send;

    /// From now on the answer is the card of `deploy`, and the chat keeps it up to date by itself.
    fn becomes_card(&self, deploy: &Deploy);

    /// From now on the answer is the card of `request`, and the chat keeps it up to date by itself.
    fn becomes_request(&self, request: &AccessRequest);

    /// The largest file that an answer may have, in bytes.
    fn attachment_max(&self) -> usize {
        ATTACHMENT_MAX
    }

    /// Asks the person for more words, which come as a request of their own. Nothing else has been answered before.
    fn ask(&self, form: &Form) -> impl Future<Output = Result<(), Unseen>> + Send;

    /// Shows `reply` in place of what was shown before. A chat that fails to says so in its log: what was done is done.
    fn answer(&self, reply: &Reply) -> impl Future<Output = ()> + Send;
}

/// Why a request was not carried out to its end.
#[derive(Debug)]
pub enum NotDone {
    /// It is refused.
    Refused(Refusal),
    /// The acknowledgement was not accepted.
    Unseen(Unseen),
    /// The same interaction was carried out before.
    Before,
}

impl From<Refusal> for NotDone {
    fn from(refusal: Refusal) -> Self {
        NotDone::Refused(refusal)
    }
}

impl From<Unseen> for NotDone {
    fn from(unseen: Unseen) -> Self {
        NotDone::Unseen(unseen)
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// It was carried out.
    Done,
    /// It was refused, and the person was told why.
    Refused,
    /// Nobody saw the acknowledgement, so nothing was done.
    Unseen,
    /// It had been carried out before, so nothing was done.
    Before,
}

impl App {
    /// Wires the services together; they stop at `stopping`. `token_names` are the suffixes of `CIRCLE_API_PROJECT_TOKEN_…` that are set.
    ///
    /// # Errors
    /// When the database can't be read.
    pub async fn new(
        db: Db,
        circleci: CircleCi,
        owners: Vec<UserId>,
        token_names: HashSet<String>,
        clock: Clock,
        pace: Pace,
        stopping: CancellationToken,
    ) -> Result<Arc<Self>, DbError> {
        let permissions = Permissions::new(db.clone(), owners.into(), clock.clone());
        let repos = Repos::new(db.clone(), permissions.clone(), clock.clone(), token_names);
        let requests = Requests::new(db.clone(), permissions.clone(), repos.clone(), clock.clone());
        let settings = Settings::new(db.clone(), permissions.clone(), clock.clone());
        let metrics = Metrics::new();
        let common = (db.clone(), permissions.clone(), clock.clone());
        let deploys = Deploys::new(repos.clone(), circleci.clone(), common, metrics.clone(), pace);
        // Before any new one is recorded: those are followed once they are sent.
        let left = deploys.take_up().await?;
        if left > 0 {
            tracing::info!(deploys = left, "Deploys that the last stop has left unfinished are taken up");
        }
        Ok(Arc::new(Self {
            acknowledgements: Acknowledgements::default(),
            metrics,
            health: Health::default(),
            branches: Branches::new(circleci.clone(), stopping.clone()),
            v1_triggers_end: notice::Remembered::v1_triggers_end(&db).await?,
            stopping,
            remembered: Mutex::default(),
            audit: Audit::new(db.clone(), permissions.clone(), clock.clone()),
            deliveries: Deliveries::new(db.clone(), clock.clone()),
            stats: Stats::new(db.clone(), permissions.clone(), repos.clone(), settings.clone(), clock.clone()),
            settings,
            permissions,
            repos,
            requests,
            deploys,
            clock,
            db,
            circleci,
        }))
    }

    /// Carries out a request, or tells the person why not.
    pub async fn handle<C: Chat>(&self, request: &Request, chat: &C) -> Handled {
        if request.interaction.is_some_and(|id| !self.remember(id)) {
            return Handled::Before;
        }
        match self.carry_out(request, chat).await {
            Ok(()) => Handled::Done,
            Err(NotDone::Unseen(Unseen::Nobody)) => {
                tracing::warn!(command = %request.path.join(" "), "Nobody saw the acknowledgement, so nothing was done");
                Handled::Unseen
            }
            Err(NotDone::Before | NotDone::Unseen(Unseen::Before)) => {
                tracing::info!(command = %request.path.join(" "), "A request was delivered again and not carried out again");
                Handled::Before
            }
            Err(NotDone::Refused(refusal)) => self.refuse(request, chat, &refusal).await,
        }
    }

    /// Looks at the newest entries of the audit log, for whoever begins to write it: what is broken there is told loudly.
    pub async fn check_audit(&self) -> Result<(), DbError> {
        audit::verify::check_ends(&self.db, self.clock.now()).await
    }

    /// Records an act of the process itself: its start, or its stop.
    pub async fn record_process(&self, action: audit::Action) -> Result<(), DbError> {
        let slipway = Actor::slipway();
        let mut tx = self.db.begin().await?;
        let entry = Entry::new(GuildId::PROCESS, self.clock.now(), &slipway, action, Outcome::Allowed)
            .detail(serde_json::json!({ "version": env!("CARGO_PKG_VERSION") }));
        audit::append(&mut tx, &entry).await?;
        tx.commit().await
    }

    /// Remembers the day on which API v1.1's triggers end whenever CircleCI names it; runs until Slipway stops.
    pub async fn watch_v1_triggers_end(&self) {
        self.v1_triggers_end.follow(&self.db, self.circleci.sunset(), &self.stopping).await;
    }

    /// Tells the health and the metrics how CircleCI answers; runs until Slipway stops.
    pub async fn watch_circleci(&self) {
        let mut reachable = self.circleci.reachable();
        let mut reads = self.circleci.reads();
        loop {
            match *reachable.borrow_and_update() {
                Reachable::Unknown => {}
                Reachable::Yes => self.health.circleci(true),
                Reachable::No { .. } => self.health.circleci(false),
            }
            self.metrics.following(i64::try_from(self.deploys.followed()).unwrap_or(i64::MAX));
            let now = self.circleci.reads();
            self.metrics.circleci(now.total - reads.total, now.rate_limited - reads.rate_limited);
            reads = now;
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = sleep(COUNT_EVERY) => {}
                // The client lives as long as `self`.
                _ = reachable.changed() => {}
            }
        }
    }

    /// The day on which API v1.1's triggers end, as far as it is known.
    pub fn v1_triggers_end(&self) -> Timestamp {
        self.v1_triggers_end.get()
    }

    /// The database, for what starts and stops the bot.
    pub fn db(&self) -> &Db {
        &self.db
    }

    async fn carry_out<C: Chat>(&self, request: &Request, chat: &C) -> Result<(), NotDone> {
        if self.stopping.is_cancelled() {
            return Err(Refusal::Stopping.into());
        }
        match command::parse(&request.path, &request.arguments)? {
            Command::Deploy(deploy) => deploy.run(self, request, chat).await,
            Command::Rollback(rollback) => rollback.run(self, request, chat).await,
            Command::Retry(retry) => retry.run(self, request, chat).await,
            Command::Access(access) => access.run(self, request, chat).await,
            Command::AuditExport(export) => export.run(self, request, chat).await,
            Command::Private(command) => {
                chat.acknowledge(Visibility::Ephemeral).await?;
                chat.answer(&command.run(self, &request.caller).await?).await;
                Ok(())
            }
        }
    }

    /// Acknowledges first, as everywhere; then records the refusal, whoever saw the acknowledgement; then tells it.
    async fn refuse<C: Chat>(&self, request: &Request, chat: &C, refusal: &Refusal) -> Handled {
        let seen = chat.acknowledge(Visibility::Ephemeral).await;
        if seen.is_err_and(|unseen| unseen == Unseen::Before) {
            return Handled::Before;
        }
        let mut reply = refusal.reply();
        if let Err(error) = self.record_refusal(request, refusal).await {
            tracing::error!(command = %request.path.join(" "), "A refusal could not be recorded: {error}");
            if !matches!(refusal, Refusal::Database(_)) {
                reply.body =
                    std::mem::take(&mut reply.body).then(Text::of(format!(" (This could not be recorded: {error})")));
            }
        }
        if seen.is_err() {
            return Handled::Unseen;
        }
        chat.answer(&reply).await;
        Handled::Refused
    }

    async fn record_refusal(&self, request: &Request, refusal: &Refusal) -> Result<(), DbError> {
        let Some(action) = command::denied_action(&request.path) else { return Ok(()) };
        let outcome = if matches!(refusal, Refusal::Database(_)) { Outcome::Error } else { Outcome::Denied };
        let Caller { guild, channel, actor } = &request.caller;
        // `/environment` calls it `name`, and `/repo` means the repository by that.
        let environment =
            if request.path.first().is_some_and(|word| word == "environment") { "name" } else { "environment" };
        let about = self.refused_about(request).await?;
        let mut tx = self.db.begin().await?;
        self.permissions.ensure_guild(&mut tx, *guild).await?;
        let mut detail = refusal.detail();
        detail["command"] = request.path.join(" ").into();
        if request.arguments.flag("dry_run").is_ok_and(|dry_run| dry_run == Some(true)) {
            detail["dry_run"] = true.into();
        }
        let known = about.deploy.as_ref();
        let entry = Entry {
            channel: *channel,
            // Only what parses stands in the columns; the rest is in `detail`, clipped, and can be erased.
            repo: parsed::<RepoName>(&request.arguments, &["repo", "name"])
                .or_else(|| refusal.place(""))
                .or_else(|| known.map(|deploy| deploy.repo.to_string()))
                .or_else(|| about.repo.map(|repo| repo.to_string())),
            branch: parsed::<Branch>(&request.arguments, &["branch"])
                .or_else(|| refusal.place("branch"))
                .or_else(|| known.map(|deploy| deploy.branch.to_string())),
            environment: parsed::<EnvironmentName>(&request.arguments, &[environment])
                .or_else(|| refusal.place("environment"))
                .or_else(|| about.environment.map(|environment| environment.to_string())),
            revision: known.and_then(|deploy| deploy.revision.as_ref()).map(ToString::to_string),
            deploy: about.id,
            // What was asked for, or why it was refused.
            reason: Some(
                text::clip(request.arguments.text("reason").unwrap_or(&refusal.why()), REASON_MAX).into_owned(),
            ),
            detail: Some(detail),
            ..Entry::new(*guild, self.clock.now(), actor, action, outcome)
        };
        audit::append(&mut tx, &entry).await?;
        tx.commit().await
    }

    /// What a refused request was about beyond what it named: whoever reads the log may know, though the asker may not.
    async fn refused_about(&self, request: &Request) -> Result<About, DbError> {
        let (guild, arguments) = (request.caller.guild, &request.arguments);
        match request.path.first().map(String::as_str) {
            // `/permission revoke` calls a rule's number so.
            Some("deploys") => {
                let id: Option<DeployId> = arguments.text("id").and_then(|id| id.parse().ok());
                let deploy = match id {
                    Some(id) => self.deploys.numbered(guild, id).await?,
                    None => None,
                };
                let environment = deploy.as_ref().map(|deploy| deploy.environment.clone());
                Ok(About { id, deploy, environment, repo: None })
            }
            Some("access") => {
                let id: Option<RequestId> = arguments.text("id").and_then(|id| id.parse().ok());
                let asked = match id {
                    Some(id) => self.requests.numbered(guild, id).await?,
                    None => None,
                };
                let (repo, environment) = asked.map(|asked| (asked.repo, asked.environment)).unzip();
                Ok(About { repo, environment, ..About::default() })
            }
            Some("deploy" | "rollback") if arguments.text("environment").is_none() => {
                let repo: Option<RepoName> = arguments.text("repo").and_then(|repo| repo.parse().ok());
                let environment = match repo {
                    Some(repo) => self.deploys.environment_meant(guild, &repo).await?,
                    None => None,
                };
                Ok(About { environment, ..About::default() })
            }
            _ => Ok(About::default()),
        }
    }

    /// Remembers an interaction; whether it is new.
    fn remember(&self, id: InteractionId) -> bool {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if !remembered.ids.insert(id) {
            return false;
        }
        remembered.order.push_back(id);
        if remembered.order.len() > REMEMBERED_MAX
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.ids.remove(&oldest);
        }
        true
    }
}

/// What a refused request was about.
#[derive(Default)]
struct About {
    id: Option<DeployId>,
    deploy: Option<Deploy>,
    repo: Option<RepoName>,
    environment: Option<EnvironmentName>,
}

#[derive(Default)]
struct Remembered {
    ids: HashSet<InteractionId>,
    order: VecDeque<InteractionId>,
}

fn parsed<T: std::str::FromStr + ToString>(arguments: &Arguments, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| arguments.text(name)?.parse::<T>().ok()).map(|value| value.to_string())
}
