//! A console in a folder of its own: lines are typed, and what it shows is read with everything that changes from run to
//! run made the same.

use std::io::{Cursor, Write};
use std::process::{Command, Stdio};

use slipway::circleci::sandbox::{Plan, Sandbox};
use slipway::config::Variables;
use slipway::console::lines::Lines;
use slipway::console::{Console, Ended, SANDBOX_GUILD, Screen, StartError};
use slipway::db::{DatabaseUrl, Db};
use slipway::id::{ChannelId, GuildId};
use slipway::time::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;

/// 24 November 2026, 18:00 UTC.
const NOW: Timestamp = Timestamp::from_millis(1_795_543_200_000);

/// What the built binary did.
#[derive(Debug)]
pub struct Ran {
    pub status: Option<i32>,
    /// Standard output.
    pub shown: String,
    /// Standard error.
    pub complaint: String,
}

/// Where a console runs, and with which settings.
pub struct Stage {
    folder: tempfile::TempDir,
    variables: Vec<(String, String)>,
}

impl Stage {
    /// No settings but the place of the database.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/slipway-sandbox.db", folder.path().display());
        Self { variables: vec![("DATABASE_URL".to_owned(), url)], folder }
    }

    /// With one more setting.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The database.
    pub fn database(&self) -> DatabaseUrl {
        self.variables[0].1.parse().unwrap()
    }

    /// Opens the console.
    pub async fn opens(&self) -> Result<Console, StartError> {
        self.opens_for(None).await
    }

    /// Opens the console for `--guild`.
    pub async fn opens_for(&self, guild: Option<GuildId>) -> Result<Console, StartError> {
        let variables = Variables::of(self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        Console::open(&variables, guild, Clock::new(|| NOW)).await
    }

    /// Pipes lines in: what is shown, and how it ends.
    pub async fn types(&self, lines: &str) -> (String, Ended) {
        let console = self.opens().await.unwrap();
        let lines = lines.lines().map(|line| format!("{}\n", line.trim())).collect::<String>();
        let lines = Lines::piped(Cursor::new(lines)).unwrap();
        let screen = Screen::new(Vec::new(), false);
        let ended = console.run(lines, &screen, &CancellationToken::new()).await;
        (self.steady(&String::from_utf8(screen.into_inner()).unwrap()), ended)
    }

    /// Runs the built binary in the folder, with no other settings, and pipes `lines` into it.
    pub fn pipes(&self, arguments: &[&str], lines: &str) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_slipway"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that refuses to start does not read its lines.
        let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { status: output.status.code(), shown: text(output.stdout), complaint: text(output.stderr) }
    }

    /// Makes a deploy look as it did before CircleCI had answered, asked for in `channel`.
    pub async fn forgets_the_answer_to_deploy(&self, number: i64, channel: Option<ChannelId>) {
        let db = Db::open(&self.database()).await.unwrap();
        sqlx::query("UPDATE deploy SET state = 'triggering', pipeline_id = NULL, pipeline_number = NULL, url = NULL, channel_id = $2, followed = 1, shown = 0, ended_at = NULL WHERE number = $1")
            .bind(number)
            .bind(channel.map(ChannelId::row))
            .execute(db.pool())
            .await
            .unwrap();
        db.close().await;
    }

    /// The sandbox's audit log, whose chain must hold.
    pub async fn audit_log(&self) -> String {
        let db = Db::open(&self.database()).await.unwrap();
        let checked = slipway::audit::verify(db.pool(), SANDBOX_GUILD, &[]).await.unwrap();
        assert!(checked.holds());
        let query =
            "SELECT actor_name || ' ' || action || ' ' || outcome FROM audit_log WHERE guild_id = $1 ORDER BY seq";
        let rows: Vec<String> = sqlx::query_scalar(query).bind(SANDBOX_GUILD.row()).fetch_all(db.pool()).await.unwrap();
        db.close().await;
        rows.join("\n")
    }

    /// `text` without what is different each time: ports, processes, folders.
    fn steady(&self, text: &str) -> String {
        let folder = format!("{}/", self.folder.path().display());
        let text = text.replace(&folder, "");
        let user = whoami::username().unwrap();
        assert_ne!(user, "anonymous", "whoami without its `std` feature knows nobody");
        let operator = format!("cli:{user}");
        let text = digits_after(&text.replace(&operator, "cli:OPERATOR"), "127.0.0.1:", "PORT");
        let is_commit = |word: &str| word.len() == 7 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        text.split('`').map(|word| if is_commit(word) { "COMMIT" } else { word }).collect::<Vec<_>>().join("`")
    }
}

/// A CircleCI that is real as far as the console can tell.
pub async fn circleci() -> Sandbox {
    Sandbox::start(Plan::sandbox()).await.unwrap()
}

/// What the console says when it does not start.
pub fn refused(opened: Result<Console, StartError>) -> String {
    opened.err().expect("the console does not start").to_string()
}

/// What is shown after the first lines.
pub fn after_the_first_lines(shown: &str) -> &str {
    shown.split_once("\n\n").map_or("", |(_, rest)| rest)
}

fn digits_after(text: &str, before: &str, instead: &str) -> String {
    let mut parts = text.split(before);
    let mut steady = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        steady.push_str(before);
        steady.push_str(instead);
        steady.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    steady
}
