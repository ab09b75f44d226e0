//! A log of one guild in a file, and the binary that works on it.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use slipway::actor::{Actor, ActorId};
use slipway::audit::{self, Action, Entry, Outcome};
use slipway::db::Db;
use slipway::id::{DeployId, GuildId, UserId};
use slipway::time::Timestamp;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};

pub const DAY: i64 = 86_400_000;
/// The day of the first entry.
pub const FIRST: i64 = 1_764_547_200_000; // 2025-12-01

pub fn acme() -> GuildId {
    GuildId::from_row(197_038_439_483_310_086)
}

pub struct Log {
    pub db: Db,
    folder: tempfile::TempDir,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!((self.status, self.err.contains("panicked")), (0, false), "{self:?}");
        self
    }

    #[track_caller]
    pub fn refused(self, why: &str) {
        assert!(self.status == 1 && self.err.contains(why), "{why}: {self:?}");
    }
}

/// An entry of the `number`th day.
pub fn entry(number: i64, reason: &str) -> Entry {
    let alice =
        Actor { id: ActorId::User(UserId::from_row(175_928_847_299_117_063)), name: "alice".into(), roles: vec![] };
    let at = Timestamp::from_millis(FIRST + (number - 1) * DAY);
    Entry::new(acme(), at, &alice, Action::DeployRequested, Outcome::Allowed)
        .repo("acme/web")
        .environment("production")
        .branch("main")
        .deploy(DeployId(number))
        .reason(Some(reason))
        .detail(json!({ "rules": [number], "text": "é\u{1b}\"\\\u{7f}\u{2028}" }))
}

impl Log {
    /// One with as many entries, a day after the other.
    pub async fn of(entries: i64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/slipway.db", folder.path().display()).parse().unwrap();
        let log = Self { db: Db::open(&url).await.unwrap(), folder };
        for number in 1..=entries {
            log.append(&entry(number, &format!("reason {number}"))).await;
        }
        log
    }

    pub async fn append(&self, entry: &Entry) {
        let mut tx = self.db.begin().await.unwrap();
        audit::append(&mut tx, entry).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `slipway audit …` about the guild, as it ends.
    pub fn audit(&self, args: &[&str]) -> Said {
        self.command(args).output().unwrap().into()
    }

    /// `slipway audit …` about the guild.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.env_clear().current_dir(self.folder.path());
        command.env("DATABASE_URL", format!("sqlite://{}", self.path("slipway.db").display()));
        command.env("DISCORD_GUILD_ID", acme().to_string());
        command.arg("audit").args(args);
        command
    }

    /// Lets a log of one entry have as many, all alike: enough to be looked through for a while, and no chain.
    pub async fn grow_to(&self, entries: i64) {
        let sql = "WITH RECURSIVE number (seq) AS (SELECT 2 UNION ALL SELECT seq + 1 FROM number WHERE seq < $1)
             INSERT INTO audit_log SELECT guild_id, number.seq, format, at, channel_id, actor_id, actor_name, action, repo, environment,
             branch, revision, deploy_id, outcome, reason, detail, salt, seal, prev_hash, hash
             FROM audit_log JOIN number WHERE audit_log.seq = 1 ORDER BY number.seq";
        sqlx::query(sql).bind(entries).execute(self.db.pool()).await.unwrap();
    }

    /// What the checker of docs/audit.md says of a file: `Ok` begins with what is expected, or an `Err` holds it. Where there is no
    /// Python, nothing is checked; in CI there must be one.
    #[track_caller]
    pub fn python_says(&self, file: &str, expected: Result<&str, &str>) {
        let page = include_str!("../../docs/audit.md");
        let checker = page.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
        assert!(checker.lines().count() <= 20, "it is a short one");
        let ran = Command::new("python3").args(["-c", checker]).arg(self.path(file)).output();
        let said: Said = match ran {
            Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
                return eprintln!("SKIPPED: there is no python3 to check {file} with");
            }
            ran => ran.unwrap().into(),
        };
        match expected {
            Ok(begins) => assert!(said.status == 0 && said.out.starts_with(begins), "{said:?}"),
            Err(holds) => assert!(said.status == 1 && said.err.contains(holds), "{said:?}"),
        }
    }

    pub async fn tamper(&self, sql: &'static str) {
        sqlx::query(sql).execute(self.db.pool()).await.unwrap();
    }

    pub async fn column(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(self.db.pool()).await.unwrap()
    }

    /// How many steps of SQLite's virtual machine a statement that changes one entry takes.
    pub async fn steps(&self, sql: &str) -> u64 {
        let mut connection = SqliteConnectOptions::new().filename(self.path("slipway.db")).connect().await.unwrap();
        let steps = Arc::new(AtomicU64::new(0));
        let counted = steps.clone();
        connection.lock_handle().await.unwrap().set_progress_handler(1, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            true
        });
        let changed = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
        assert_eq!(changed.rows_affected(), 1, "{sql}");
        steps.load(Ordering::Relaxed)
    }

    /// Whether some file of the database holds these bytes.
    pub fn holds_bytes(&self, text: &str) -> bool {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path());
        let mut databases = files.filter(|path| path.to_string_lossy().contains("slipway.db"));
        databases.any(|path| std::fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()))
    }

    /// The names of the files beside the database.
    pub fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        let names = files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with("slipway.db")).collect();
        names.sort();
        names
    }
}
