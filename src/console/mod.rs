//! The terminal chat: the whole bot in a terminal, on an embedded sandbox CircleCI or on the real one. It decodes lines and
//! prints answers; what they mean is the commands' and the services' affair.

mod chat;
mod completion;
pub mod files;
pub mod lines;
mod misread;
pub mod parse;
pub mod people;
pub mod render;
mod session;

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::actor::{Actor, ActorId, Caller};
use crate::app::App;
use crate::circleci::sandbox::{Plan, Sandbox};
use crate::circleci::{Access, CircleCi, Patience, SetupError};
use crate::config::{self, Base, Variables, Wrong};
use crate::db::{Db, DbError, Lease, LeaseError};
use crate::deploy::Pace;
use crate::guild;
use crate::id::{GuildId, UserId};
use crate::refusal::Refusal;
use crate::repo::{EnvironmentChange, EnvironmentName, NewRepo, Repo, Vcs};
use crate::text;
use crate::time::Clock;

pub use chat::Screen;
pub use completion::Completion;
pub use misread::Misread;
use people::People;
pub use session::Ended;
use session::Session;

/// The sandbox's guild; no guild of Discord's has so small an id.
pub const SANDBOX_GUILD: GuildId = GuildId::from_row(1);
/// Who may do everything in the sandbox.
const YOU: UserId = UserId::from_row(2);
/// Who may do nothing there but what the starting rule gives to everyone.
const GUEST: UserId = UserId::from_row(3);
/// What chooses the deploy workflow in the sandbox's configuration.
const PRODUCTION_PARAMETERS: &str = r#"{"action": "deploy", "environment": "{environment}", "revision": "{revision}"}"#;
/// When the sandbox's lost builds are looked for: nothing is far away there.
const SANDBOX_LOOKS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// How long the console's end waits for questions to CircleCI that nobody needs any more.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// Why the console can't begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings are missing or malformed.
    #[error("{}", .0.iter().map(Wrong::to_string).collect::<Vec<_>>().join("\n"))]
    Settings(Vec<Wrong>),
    /// On a real CircleCI, nobody said which guild is meant.
    #[error(
        "Which guild? CIRCLE_API_USER_TOKEN is set, so this is the real CircleCI: say `--guild ID`, or set DISCORD_GUILD_ID. \
         Example: slipway console --guild 81384788765712384"
    )]
    NoGuild,
    /// A real guild was named for the sandbox.
    #[error(
        "`--guild` means a guild of Discord's, but without CIRCLE_API_USER_TOKEN the console is a sandbox, where nothing is \
         real. Set the token to use the real CircleCI, or leave `--guild` out."
    )]
    GuildInSandbox,
    /// Somebody else has the database.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The database can't be used.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The database has seen a real guild, so nobody plays with it.
    #[error(
        "The database {path} has seen the guild {guild} of Discord's, so the sandbox doesn't touch it. Unset DATABASE_URL to \
         use the sandbox's own, slipway-sandbox.db, or set CIRCLE_API_USER_TOKEN to use the real CircleCI."
    )]
    RealDatabase { path: String, guild: GuildId },
    /// CircleCI's client can't be made.
    #[error(transparent)]
    CircleCi(#[from] SetupError),
    /// The sandbox can't be served.
    #[error("The sandbox CircleCI can't be started: {0}. It needs a free port on 127.0.0.1.")]
    Sandbox(io::Error),
    /// The sandbox's repository can't be registered.
    #[error("acme/web can't be registered in the sandbox ({0}). Delete the sandbox's database to begin anew.")]
    Registration(&'static str),
}

impl StartError {
    /// Whether the command line was used wrongly, rather than something failed.
    pub fn is_misuse(&self) -> bool {
        matches!(self, StartError::NoGuild | StartError::GuildInSandbox)
    }
}

/// The console, ready for its first line.
pub struct Console {
    app: Arc<App>,
    guild: GuildId,
    people: People,
    caller: Arc<Mutex<Caller>>,
    place: Place,
    database: String,
    _lease: Lease,
}

/// Which CircleCI it is.
enum Place {
    /// The embedded one.
    Sandbox(Sandbox),
    /// The one at this address.
    Real(String),
}

impl Console {
    /// Opens the sandbox, or with a token the real CircleCI for `guild` (`--guild`) or `DISCORD_GUILD_ID`.
    pub async fn open(variables: &Variables, guild: Option<GuildId>, clock: Clock) -> Result<Self, StartError> {
        if variables.has_circleci_token() {
            Self::open_real(variables, guild, clock).await
        } else if guild.is_some() {
            Err(StartError::GuildInSandbox)
        } else {
            Self::open_sandbox(variables, clock).await
        }
    }

    async fn open_sandbox(variables: &Variables, clock: Clock) -> Result<Self, StartError> {
        let database = Base::read_for_sandbox(variables).map_err(StartError::Settings)?.database;
        let path = database.path().display().to_string();
        let lease = Lease::take(&database, &format!("slipway console (sandbox), process {}", std::process::id()))?;
        let db = Db::open(&database).await?;
        if let Some(guild) = guild::any_other(db.pool(), SANDBOX_GUILD).await? {
            db.close().await;
            return Err(StartError::RealDatabase { path, guild });
        }
        let sandbox = Sandbox::start(Plan::sandbox()).await.map_err(StartError::Sandbox)?;
        let access = Access {
            url: sandbox.url().to_owned(),
            user_token: sandbox.token().to_owned().into(),
            project_token: None,
            project_tokens: HashMap::new(),
        };
        let patience = Patience { looks: SANDBOX_LOOKS.to_vec(), ..Patience::default() };
        let circleci = CircleCi::new(access, patience, clock.clone())?;
        let app =
            App::new(db, circleci, vec![YOU], HashSet::new(), clock, sandbox_pace(), CancellationToken::new()).await?;
        app.check_audit().await?;
        register_acme_web(&app).await?;
        let person = |id, name: &str| Actor { id: ActorId::User(id), name: name.to_owned(), roles: Vec::new() };
        let (you, guest) = (person(YOU, "you"), person(GUEST, "guest"));
        let people = People::new(SANDBOX_GUILD, vec![("you", you.clone()), ("guest", guest)]);
        Ok(Self::ready(app, SANDBOX_GUILD, people, you, Place::Sandbox(sandbox), path, lease))
    }

    async fn open_real(variables: &Variables, guild: Option<GuildId>, clock: Clock) -> Result<Self, StartError> {
        let (base, access) = match (Base::read(variables), config::circleci(variables)) {
            (Ok(base), Ok(access)) => (base, access),
            (base, access) => {
                let wrong = base.err().into_iter().chain(access.err()).flatten().collect();
                return Err(StartError::Settings(wrong));
            }
        };
        let guild = guild.or(base.guild).ok_or(StartError::NoGuild)?;
        let holder = format!("slipway console on a real CircleCI, process {}", std::process::id());
        let lease = Lease::take(&base.database, &holder)?;
        let url = access.url.clone();
        let token_names: HashSet<String> = access.project_tokens.keys().cloned().collect();
        let circleci = CircleCi::new(access, Patience::default(), clock.clone())?;
        let db = Db::open(&base.database).await?;
        let app =
            App::new(db, circleci, base.owners, token_names, clock, Pace::default(), CancellationToken::new()).await?;
        app.check_audit().await?;
        let operator = Actor::cli(&whoami::username().unwrap_or_else(|_| "unknown".to_owned()));
        let people = People::new(guild, vec![("you", operator.clone())]);
        let path = base.database.path().display().to_string();
        Ok(Self::ready(app, guild, people, operator, Place::Real(url), path, lease))
    }

    fn ready(
        app: Arc<App>,
        guild: GuildId,
        people: People,
        speaker: Actor,
        place: Place,
        database: String,
        lease: Lease,
    ) -> Self {
        let caller = Arc::new(Mutex::new(Caller { guild, channel: None, actor: speaker }));
        Self { app, guild, people, caller, place, database, _lease: lease }
    }

    /// What completes its lines. Must be called inside the runtime.
    pub fn completion(&self) -> Completion {
        Completion {
            app: Arc::clone(&self.app),
            people: self.people.clone(),
            caller: Arc::clone(&self.caller),
            runtime: Handle::current(),
        }
    }

    /// Says where it is, carries out the lines, and closes everything. `stop` ends it early.
    pub async fn run<W: Write + Send>(
        self,
        mut lines: lines::Lines,
        screen: &Screen<W>,
        stop: &CancellationToken,
    ) -> Ended {
        // Where people expect them: beside the database, which is where the console runs unless they say otherwise.
        if let Some(folder) = Path::new(&self.database).parent().filter(|folder| !folder.as_os_str().is_empty()) {
            screen.saves_in(folder);
        }
        screen.say(&self.first_lines());
        let app = Arc::clone(&self.app);
        let watch = tokio::spawn(async move { app.watch_v1_triggers_end().await });
        let app = Arc::clone(&self.app);
        let follow = tokio::spawn(async move { app.deploys.follow(&app.stopping).await });
        let app = Arc::clone(&self.app);
        let requests = tokio::spawn(async move { app.requests.watch(&app.stopping).await });
        let session = Session {
            app: &self.app,
            guild: self.guild,
            people: &self.people,
            caller: &self.caller,
            may_change_speaker: matches!(self.place, Place::Sandbox(_)),
            screen,
            stop,
            followed: Mutex::default(),
        };
        let ended = session.run(&mut lines).await;
        lines.close();
        self.app.stopping.cancel();
        if let Err(error) = watch.await {
            tracing::error!("Watching what CircleCI says of API v1.1 failed: {error}");
        }
        if let Err(error) = follow.await {
            tracing::error!("Following deploys failed: {error}");
        }
        if let Err(error) = requests.await {
            tracing::error!("Watching the requests for access failed: {error}");
        }
        // Nobody needs what is still being asked.
        let _ = timeout(CLOSE_LIMIT, self.app.branches.close()).await;
        self.app.db().close().await;
        if let Place::Sandbox(sandbox) = self.place {
            sandbox.stop().await;
        }
        ended
    }

    fn first_lines(&self) -> String {
        let database = text::one_line(&self.database);
        match &self.place {
            Place::Sandbox(sandbox) => format!(
                "Slipway console: a SANDBOX. Nothing real is deployed.\n\
                 \x20 CircleCI   built in, at {} (CIRCLE_API_USER_TOKEN is not set)\n\
                 \x20 Database   {database}\n\
                 \x20 Speaking   you, who may do everything; `/as guest` speaks as somebody who may only look\n\
                 \x20 Try        /deploy acme/web main\n\
                 \x20            /permission check guest acme/web main\n\
                 \x20            /help deploy\n\
                 \x20 End        /quit or Ctrl-D\n\n",
                sandbox.url()
            ),
            Place::Real(url) => {
                let speaker = &self.caller.lock().unwrap_or_else(std::sync::PoisonError::into_inner).actor.name.clone();
                format!(
                    "Slipway console: the REAL CircleCI. What you deploy here is deployed.\n\
                     \x20 CircleCI   {}\n\
                     \x20 Guild      {}\n\
                     \x20 Database   {database}\n\
                     \x20 Speaking   {}, with an owner's rights; the audit log says so\n\
                     \x20 End        /quit or Ctrl-D\n\n",
                    text::one_line(url),
                    self.guild,
                    text::one_line(speaker)
                )
            }
        }
    }
}

/// Nothing is far away in the sandbox, and nobody else asks there. It forgets its builds when it ends: what an earlier console
/// has left unfinished is soon known not to be there.
fn sandbox_pace() -> Pace {
    Pace {
        first: Duration::from_millis(300),
        longest: Duration::from_secs(2),
        vanished_for: Duration::from_secs(1),
        ..Pace::default()
    }
}

/// Registers the sandbox's repository, unless it is registered already.
async fn register_acme_web(app: &App) -> Result<(), StartError> {
    let name: crate::repo::RepoName = "acme/web".parse().expect("acme/web is a well-formed name");
    if app.repos.find(&mut app.db().reader().await?, SANDBOX_GUILD, &name).await.is_ok() {
        return Ok(());
    }
    let caller = Caller { guild: SANDBOX_GUILD, channel: None, actor: Actor::cli("sandbox") };
    let repo = Repo {
        name,
        vcs: Vcs::GitHub,
        project: None,
        default_branch: Some("main".parse().expect("main is a well-formed branch")),
    };
    let template = PRODUCTION_PARAMETERS.parse().expect("the sandbox's template is a well-formed one");
    let production =
        EnvironmentChange { template: Some(template), ..EnvironmentChange::of(EnvironmentName::production()) };
    let registered = async {
        app.repos.add(&caller, NewRepo { repo: repo.clone(), job: None }).await?;
        app.repos.set_environment(&caller, &repo.name, production).await
    };
    match registered.await {
        Ok(_) => Ok(()),
        Err(Refusal::Database(error)) => Err(error.into()),
        Err(refusal) => Err(StartError::Registration(refusal.kind())),
    }
}
