//! The bots that take turns: how each is started and what must be there before somebody may deploy. All of them get the
//! same settings in the same environment. It must not know what is measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sqlx::Connection;

use super::process::Process;
use super::support::Stage;
use super::support::discord::Member;
use super::support::stage::grant;

/// The argument with which the benchmark becomes the bot that only acknowledges.
pub const ACK_ONLY: &str = "ack-only";
/// Slipway has this many rules besides the one that lets the role deploy, as a guild in use would.
const FURTHER_RULES: usize = 20;

/// A bot that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    AckOnly,
    Slipway,
    /// Another build of Slipway, for a comparison with this one.
    Baseline,
    DiscordJs,
    DiscordPy,
}

impl Contestant {
    /// All of them, or those whose names stand in `only`.
    pub fn all(only: Option<&str>) -> Vec<Self> {
        let mut all = vec![Self::AckOnly, Self::Slipway, Self::DiscordJs, Self::DiscordPy];
        if baseline().is_some() {
            all.push(Self::Baseline);
        }
        all.retain(|contestant| only.is_none_or(|only| only.split(',').any(|name| name == contestant.name())));
        all
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::AckOnly => ACK_ONLY,
            Self::Slipway => "slipway",
            Self::Baseline => "baseline",
            Self::DiscordJs => "discord.js",
            Self::DiscordPy => "discord.py",
        }
    }

    /// How to install it, when it isn't.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Self::AckOnly | Self::Slipway | Self::Baseline => None,
            Self::DiscordJs => (!peer("discordjs/node_modules").exists())
                .then_some("`npm ci --prefix benches/peers/discordjs` installs it."),
            Self::DiscordPy => (!python().exists()).then_some(
                "`python3 -m venv target/bench-venv && target/bench-venv/bin/pip install -r \
                 benches/peers/discordpy/requirements.txt` installs it.",
            ),
        }
    }

    /// Whether it does more than acknowledge.
    pub fn deploys(self) -> bool {
        self != Self::AckOnly
    }

    /// Whether it tells Discord its commands itself.
    pub fn registers_commands(self) -> bool {
        self.is_slipway()
    }

    /// Whether it is Slipway, of whatever build.
    pub fn is_slipway(self) -> bool {
        matches!(self, Self::Slipway | Self::Baseline)
    }

    /// Starts it on `stage`, in a folder where it finds no settings but these.
    pub fn start(self, stage: &Stage) -> Process {
        let mut command = match self {
            Self::Slipway => with_arguments(env!("CARGO_BIN_EXE_slipway"), ["run"]),
            Self::Baseline => with_arguments(baseline().unwrap(), ["run"]),
            Self::AckOnly => with_arguments(std::env::current_exe().unwrap(), [ACK_ONLY]),
            Self::DiscordJs => with_arguments("node", [peer("discordjs/index.js")]),
            Self::DiscordPy => with_arguments(python(), [peer("discordpy/bot.py")]),
        };
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(stage.variables());
        command.current_dir(stage.database().parent().unwrap());
        Process::start(&mut command, &format!("{}/bench-{}.log", env!("CARGO_TARGET_TMPDIR"), self.name()))
    }

    /// Lets this many people deploy `acme/web`.
    pub async fn prepare(self, stage: &Stage, people: usize) -> Vec<Member> {
        let role = stage.discord.role("deployers");
        let people: Vec<Member> =
            (1..=people).map(|number| stage.discord.member(&format!("deployer {number}"), &[role])).collect();
        match self {
            Self::AckOnly => {}
            Self::Slipway | Self::Baseline => {
                stage.root().adds_repo("acme/web").await;
                stage.root().grants(grant(role, "deploy")).await;
                for number in 1..=FURTHER_RULES {
                    let somebody = stage.discord.member(&format!("somebody {number}"), &[]);
                    stage.root().grants(grant(somebody.id, "deploy")).await;
                }
            }
            Self::DiscordJs | Self::DiscordPy => {
                let url = format!("sqlite://{}", stage.database().display());
                let mut database = sqlx::SqliteConnection::connect(&url).await.unwrap();
                for who in &people {
                    let insert = sqlx::query("INSERT INTO permission (user_id) VALUES ($1)").bind(who.id.to_string());
                    insert.execute(&mut database).await.unwrap();
                }
            }
        }
        people
    }
}

/// Registers `/deploy` in the place of a bot that doesn't.
pub async fn register_for(stage: &Stage) {
    let option = |name: &str| json!({ "type": 3, "name": name, "description": name, "required": true });
    let commands =
        json!([{ "name": "deploy", "description": "Deploy", "options": [option("repo"), option("branch")] }]);
    let (application, guild) = (stage.discord.application_id(), stage.discord.guild_id());
    let url = format!("{}/api/v10/applications/{application}/guilds/{guild}/commands", stage.discord.url());
    let answer = reqwest::Client::new()
        .put(url)
        .header("Authorization", format!("Bot {}", stage.discord.token()))
        .header("User-Agent", "DiscordBot (https://slipway.invalid, 0)")
        .json(&commands)
        .send()
        .await
        .unwrap();
    assert!(answer.status().is_success(), "{}", answer.status());
}

fn with_arguments<A: AsRef<std::ffi::OsStr>>(program: impl AsRef<std::ffi::OsStr>, arguments: [A; 1]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// `SLIPWAY_BASELINE` is the path of another build's binary.
fn baseline() -> Option<std::ffi::OsString> {
    std::env::var_os("SLIPWAY_BASELINE")
}

fn peer(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(path)
}

fn python() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench-venv/bin/python")
}
