//! The bot's database as another program finds it: what it and its audit log tell, and what can go wrong with it.

use std::collections::HashMap;

use serde_json::Value;
use slipway::audit::{self, Checked};
use slipway::db::Db;
use slipway::id::GuildId;
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use super::stage::Stage;

impl Stage {
    /// The audit log's entries of the guild, oldest first: action, outcome and the columns in question.
    pub async fn audit(&self) -> Vec<Entry> {
        self.audit_of(self.discord.guild_id()).await
    }

    /// The same of another guild.
    pub async fn audit_of(&self, guild: u64) -> Vec<Entry> {
        let mut connection = self.another_program().await;
        let rows = sqlx::query("SELECT action, outcome, actor_name, repo, branch, environment, deploy_id, reason, detail FROM audit_log WHERE guild_id = $1 ORDER BY seq")
            .bind(i64::try_from(guild).unwrap())
            .fetch_all(&mut connection)
            .await
            .unwrap();
        rows.iter()
            .map(|row| Entry {
                action: row.get("action"),
                outcome: row.get("outcome"),
                actor: row.get("actor_name"),
                repo: row.get("repo"),
                branch: row.get("branch"),
                environment: row.get("environment"),
                deploy: row.get("deploy_id"),
                reason: row.get("reason"),
                detail: row
                    .get::<Option<String>, _>("detail")
                    .map_or(Value::Null, |detail| serde_json::from_str(&detail).unwrap()),
            })
            .collect()
    }

    /// The states of all deploys, in the order in which they were asked for.
    pub async fn states(&self) -> Vec<String> {
        let mut connection = self.another_program().await;
        sqlx::query_scalar("SELECT state FROM deploy ORDER BY number").fetch_all(&mut connection).await.unwrap()
    }

    /// The states that a deploy of the guild came to, one after the other, as its audit log tells them.
    pub async fn told_states(&self, deploy: i64) -> Vec<String> {
        let log = self.audit().await;
        let mut told: Vec<String> =
            log.iter().filter(|entry| entry.deploy == Some(deploy)).filter_map(Entry::told_state).collect();
        told.dedup();
        told
    }

    /// However a test went: where a deploy stands is what its last entry says. Deploys that a test put there by itself have none.
    pub(super) async fn assert_that_the_log_tells_every_state(&self) {
        let mut connection = self.another_program().await;
        let deploys: Vec<(i64, String)> = sqlx::query_as("SELECT number, state FROM deploy WHERE guild_id = $1")
            .bind(i64::try_from(self.discord.guild_id()).unwrap())
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let told: HashMap<i64, String> =
            self.audit().await.iter().filter_map(|entry| Some((entry.deploy?, entry.told_state()?))).collect();
        for (deploy, state) in deploys {
            let told = told.get(&deploy);
            assert!(told.is_none_or(|told| *told == state), "deploy #{deploy} is {state}, and the log tells {told:?}");
        }
    }

    /// How many audit entries of the guild are about `action`.
    pub async fn audited(&self, action: &str) -> usize {
        self.audit().await.iter().filter(|entry| entry.action == action).count()
    }

    /// Another program's connection to the bot's database.
    pub async fn another_program(&self) -> SqliteConnection {
        let url = format!("sqlite://{}", self.database().display());
        SqliteConnection::connect(&url).await.unwrap()
    }

    /// Another program writes to the bot's database.
    pub async fn another_program_writes(&self, sql: &str) {
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut self.another_program().await).await.unwrap();
    }

    /// Another program begins to write to the database and holds its lock until it is given back.
    pub async fn hold_database(&self) -> HeldDatabase {
        let mut program = self.another_program().await;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut program).await.unwrap();
        HeldDatabase(program)
    }

    /// From now on the database fails at every new row of `table` for which `when` holds.
    pub async fn database_fails_at(&self, table: &str, when: &str) {
        let sql = format!(
            "CREATE TRIGGER failing BEFORE INSERT ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"
        );
        sqlx::query(AssertSqlSafe(sql)).execute(&mut self.another_program().await).await.unwrap();
    }

    /// The database is well again.
    pub async fn database_recovers(&self) {
        sqlx::query("DROP TRIGGER failing").execute(&mut self.another_program().await).await.unwrap();
    }

    /// Checks the guild's audit chain.
    pub async fn verify(&self) -> Checked {
        let db = Db::open(&format!("sqlite://{}", self.database().display()).parse().unwrap()).await.unwrap();
        let guild = GuildId::new(self.discord.guild_id()).unwrap();
        let checked = audit::verify(db.pool(), guild, &[]).await.unwrap();
        db.close().await;
        checked
    }
}

/// The write lock of the database in another program's hands.
pub struct HeldDatabase(SqliteConnection);

impl HeldDatabase {
    /// Writes while it is held.
    pub async fn write(&mut self, sql: &str) {
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut self.0).await.unwrap();
    }

    /// Gives the lock back and keeps what was written.
    pub async fn give_back(mut self) {
        sqlx::query("COMMIT").execute(&mut self.0).await.unwrap();
        self.0.close().await.unwrap();
    }
}

/// One audit entry.
#[derive(Debug, Clone)]
pub struct Entry {
    pub action: String,
    pub outcome: String,
    pub actor: String,
    pub repo: Option<String>,
    pub branch: Option<String>,
    pub environment: Option<String>,
    pub deploy: Option<i64>,
    pub reason: Option<String>,
    pub detail: Value,
}

impl Entry {
    /// The state in which it says that its deploy is from then on, as `docs/audit.md` has it; none where it says nothing of that.
    fn told_state(&self) -> Option<String> {
        let state = match self.action.as_str() {
            "deploy.requested" => "triggering",
            "deploy.triggered" | "deploy.queued" => "queued",
            "deploy.running" => "running",
            "deploy.finished" => &self.outcome,
            "deploy.rerun" | "deploy.answered" => self.detail["state"].as_str()?,
            _ => return None,
        };
        Some(state.to_owned())
    }
}
