//! The stage: starts the bot on real parts (serenity's gateway, HTTP, SQLite), gives tests people to act as and words to act
//! with, and fails a test when the bot broke a rule of Discord's or CircleCI's, or did not end well.

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use slipway::circleci::Patience;
use slipway::cli::run::serve;
use slipway::config::{Settings, Variables};
use slipway::deploy::Pace;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::circleci::FakeCircleCi;
use super::discord::{CommandCall, FakeDiscord, Guild, Interaction, Member, MessageView};
use super::tidy::{is_commit, is_short, replace_between};

/// The stage of one test.
pub struct Stage {
    pub discord: FakeDiscord,
    pub circleci: FakeCircleCi,
    folder: TempDir,
    owner: Member,
    more: Vec<(String, String)>,
    pace: Pace,
    bot: Option<Bot>,
}

/// The bot lives on a runtime of its own, so that all of it can be taken away at once.
struct Bot {
    runtime: Runtime,
    task: JoinHandle<Result<(), String>>,
    stopping: CancellationToken,
}

/// How long the rest of the bot may take to go when it is taken away.
const GONE_WITHIN: Duration = Duration::from_secs(10);

impl Bot {
    async fn ended(self) -> Result<(), String> {
        let ended =
            tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("the bot ends within its time");
        // What it left behind, if anything, must not hold up the test.
        self.runtime.shutdown_background();
        ended.expect("the bot did not panic")
    }
}

/// A member of the guild who can speak to the bot.
pub struct Person<'a> {
    stage: &'a Stage,
    pub member: Member,
}

/// A CircleCI that fails is given up on quickly.
fn patience() -> Patience {
    Patience {
        request: Duration::from_millis(1_500),
        connect: Duration::from_millis(700),
        retry_first: Duration::from_millis(20),
        retry_longest: Duration::from_millis(100),
        rate_limited: Duration::from_secs(3),
        looks: [50, 200, 500].map(Duration::from_millis).to_vec(),
        ..Patience::default()
    }
}

/// Deploys are asked about when a start takes them up, and then no more as long as any test lasts.
fn slow() -> Pace {
    let never = Duration::from_secs(3_600);
    Pace { first: never, longest: never, ..Pace::default() }
}

/// Deploys are asked about as often as a test can wait for.
fn quick() -> Pace {
    Pace {
        first: Duration::from_millis(50),
        longest: Duration::from_millis(200),
        first_beside_webhooks: Duration::from_millis(500),
        longest_beside_webhooks: Duration::from_secs(2),
        vanished_for: Duration::from_millis(200),
        outage: Duration::from_millis(1_500),
        ..Pace::default()
    }
}

impl Stage {
    /// The bot is connected and its commands registered; `root` is an owner; nothing else is set up.
    pub async fn empty() -> Self {
        Self::with(&[]).await
    }

    /// The same with more settings.
    pub async fn with(more: &[(&str, &str)]) -> Self {
        let mut stage = Self::before_curtain(FakeCircleCi::start().await, more).await;
        stage.start_bot();
        stage.discord.ready().await;
        stage.discord.registered().await;
        stage
    }

    /// `acme/web` is registered and deployed by a pipeline, and Alice may deploy it.
    pub async fn start() -> Self {
        let stage = Self::empty().await;
        stage.root().adds_repo("acme/web").await;
        stage.root().lets("alice", "deploy").await;
        stage
    }

    /// `acme/web` is registered and deployed by the job `deploy_docker` of API v1.1, and Alice may deploy it.
    pub async fn start_with_job() -> Self {
        let stage = Self::empty().await;
        let add = CommandCall::new("repo").sub("add").string("name", "acme/web").string("job", "deploy_docker");
        stage.root().runs(add).await.answer().await;
        stage.root().lets("alice", "deploy").await;
        stage
    }

    /// Everything is there but the bot.
    pub async fn before_curtain(circleci: FakeCircleCi, more: &[(&str, &str)]) -> Self {
        let discord = FakeDiscord::start().await;
        let owner = discord.member("root", &[]);
        Self {
            discord,
            circleci,
            folder: tempfile::tempdir().unwrap(),
            owner,
            more: more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            pace: slow(),
            bot: None,
        }
    }

    /// Deploys are followed to their end while the test looks on; `acme/web` is registered and Alice may deploy it.
    pub async fn following() -> Self {
        Self::following_on(FakeCircleCi::start().await, &[]).await
    }

    /// The same with the job `deploy_docker` of API v1.1.
    pub async fn following_job() -> Self {
        let stage = Self::following().await;
        let set = CommandCall::new("environment").sub("set").string("repo", "acme/web").string("name", "production");
        stage.root().hears(set.string("job", "deploy_docker")).await;
        stage
    }

    /// The same on this CircleCI and with more settings.
    pub async fn following_on(circleci: FakeCircleCi, more: &[(&str, &str)]) -> Self {
        let mut stage = Self { pace: quick(), ..Self::before_curtain(circleci, more).await };
        stage.start_bot();
        stage.discord.ready().await;
        stage.discord.registered().await;
        stage.root().adds_repo("acme/web").await;
        stage.root().lets("alice", "deploy").await;
        stage
    }

    /// The settings with which the bot finds both fakes.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut variables: Vec<(String, String)> = [
            ("DISCORD_TOKEN", self.discord.token().to_owned()),
            ("DISCORD_GUILD_ID", self.discord.guild_id().to_string()),
            ("DISCORD_API_URL", self.discord.url()),
            ("CIRCLE_API_USER_TOKEN", self.circleci.token().to_owned()),
            ("CIRCLECI_URL", self.circleci.url().to_owned()),
            ("DATABASE_URL", format!("sqlite://{}", self.database().display())),
            ("SLIPWAY_OWNERS", self.owner.id.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        variables.extend(self.more.iter().cloned());
        variables
    }

    /// The database file.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("slipway.db")
    }

    /// Starts the bot in this process.
    pub fn start_bot(&mut self) {
        let variables = self.variables();
        let variables = Variables::of(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let settings = Settings::read(&variables).unwrap();
        let stopping = CancellationToken::new();
        let served = serve(settings, patience(), self.pace.clone(), stopping.clone());
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("bot").enable_all().build().unwrap();
        let task = runtime.spawn(async { served.await.map_err(|complaint| complaint.0) });
        self.bot = Some(Bot { runtime, task, stopping });
    }

    /// Stops the bot in good order.
    pub async fn stop_bot(&mut self) -> Result<(), String> {
        let bot = self.bot.take().expect("the bot was started");
        bot.stopping.cancel();
        bot.ended().await
    }

    /// Waits until the bot ends by itself and returns what it says.
    pub async fn bot_ends(&mut self) -> Result<(), String> {
        let bot = self.bot.take().expect("the bot was started");
        bot.ended().await
    }

    /// Takes the bot away at this instant, as a kill would: nothing is finished or recorded.
    pub async fn kill_bot(&mut self) {
        let bot = self.bot.take().expect("the bot was started");
        tokio::task::spawn_blocking(move || bot.runtime.shutdown_timeout(GONE_WITHIN)).await.unwrap();
        self.discord.disconnected().await;
    }

    /// Starts the bot again and waits until it is connected.
    pub async fn start_bot_again(&mut self) {
        let before = self.discord.identifies().len();
        self.start_bot();
        let bot = self.bot.as_mut().expect("it was started just now");
        tokio::select! {
            () = self.discord.identified(before + 1) => {}
            ended = &mut bot.task => panic!("the bot does not start again: {ended:?}"),
        }
        self.discord.ready().await;
    }

    /// Ends the test: the bot stops in good order, and nobody broke a rule.
    pub async fn finish(mut self) {
        if self.bot.is_some() {
            self.stop_bot().await.unwrap();
        }
        self.assert_that_the_log_tells_every_state().await;
        assert_eq!(self.discord.violations(), Vec::<String>::new(), "{}", self.discord.story());
        assert_eq!(self.circleci.violations(), Vec::<String>::new());
    }

    /// The owner.
    pub fn root(&self) -> Person<'_> {
        Person { stage: self, member: self.owner.clone() }
    }

    pub fn alice(&self) -> Person<'_> {
        self.person("alice")
    }

    pub fn bob(&self) -> Person<'_> {
        self.person("bob")
    }

    /// A member of that name without roles.
    pub fn person(&self, name: &str) -> Person<'_> {
        self.person_with(name, &[])
    }

    /// A member of that name who holds these roles.
    pub fn person_with(&self, name: &str, roles: &[u64]) -> Person<'_> {
        Person { stage: self, member: self.discord.member(name, roles) }
    }

    /// What a message says, without what differs from run to run.
    pub fn tidy(&self, message: &MessageView) -> String {
        let text = message.text().replace(self.circleci.url(), "https://circleci.test");
        let text = text.replace(&self.circleci.url().replace(':', "\\:"), "https\\://circleci.test");
        let text = replace_between(&text, "Took: ", " s", "Took: a while");
        let text = replace_between(&text, "<t:", ">", "a time");
        let text = replace_between(&text, "<@&", ">", "@a-role");
        let text = replace_between(&text, "<@", ">", "@somebody");
        text.split('`')
            .map(|word| {
                if is_commit(word) {
                    "a-commit"
                } else if is_short(word) {
                    "a-short-commit"
                } else {
                    word
                }
            })
            .collect::<Vec<_>>()
            .join("`")
    }

    /// Everything that the bot has shown in the home guild's channel, each message as it was before each edit too.
    pub fn everything_shown(&self) -> Vec<MessageView> {
        let messages = self.discord.messages(self.discord.channel_id());
        messages.into_iter().flat_map(|message| [message.history.clone(), vec![message]].concat()).collect()
    }

    /// A person in another guild.
    pub fn person_of(&self, guild: &Guild, name: &str) -> Person<'_> {
        Person { stage: self, member: self.discord.member_of(guild, name, &[]) }
    }
}

impl Person<'_> {
    /// The same person, an administrator of the server in Discord's eyes.
    pub fn administrator(mut self) -> Self {
        self.member = self.member.administrator();
        self
    }

    /// Runs a command.
    pub async fn runs(&self, call: CommandCall) -> Interaction {
        self.stage.discord.interact(&self.member, call).await
    }

    /// `/deploy`.
    pub async fn deploys(&self, repo: &str, branch: &str) -> Interaction {
        self.runs(deploy(repo, branch)).await
    }

    /// Runs a command and waits for what it answers.
    pub async fn hears(&self, call: CommandCall) -> MessageView {
        self.runs(call).await.answer().await
    }

    /// `/deploy` with more options.
    pub async fn deploys_with(
        &self,
        repo: &str,
        branch: &str,
        more: impl FnOnce(CommandCall) -> CommandCall,
    ) -> Interaction {
        self.runs(more(deploy(repo, branch))).await
    }

    /// `/repo add`, and it works.
    pub async fn adds_repo(&self, name: &str) {
        let answer = self.runs(CommandCall::new("repo").sub("add").string("name", name)).await.answer().await;
        assert!(answer.text().contains("is registered"), "{}", answer.text());
    }

    /// `/repo remove` or `/environment remove`, confirmed by its button.
    pub async fn removes(&self, call: CommandCall) -> MessageView {
        let question = self.hears(call).await;
        self.stage.discord.press(&self.member, &question, "Remove").await.answer().await
    }

    /// `/permission grant` for everything, and it works.
    pub async fn lets(&self, name: &str, action: &str) {
        let who = self.stage.person(name).member.id;
        self.grants(grant(who, action)).await;
    }

    /// `/permission grant`, and it works.
    pub async fn grants(&self, call: CommandCall) {
        let answer = self.runs(call).await.answer().await;
        assert!(answer.text().contains("is made"), "{}", answer.text());
    }
}

impl Deref for Person<'_> {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}

/// `/deploy repo branch`.
pub fn deploy(repo: &str, branch: &str) -> CommandCall {
    CommandCall::new("deploy").string("repo", repo).string("branch", branch)
}

/// `/permission grant who action`.
pub fn grant(who: u64, action: &str) -> CommandCall {
    CommandCall::new("permission").sub("grant").mentionable("who", who).string("action", action)
}
