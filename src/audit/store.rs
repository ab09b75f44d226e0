//! The audit log's rows in the database: appending, asking, streaming. The only SQL about `audit_log`.

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query as Statement;
use sqlx::{Any, AnyPool, AssertSqlSafe, Row as _};

use super::chain::{self, Head, Row, SALT_BYTES};
use super::entry::Entry;
use super::query::{Field, Glob, Query, Test};
use crate::db::{DbError, Tx};
use crate::id::GuildId;
use crate::time::Timestamp;

/// The columns `newest_seq` and `newest_hash`: the newest entry of a guild's chain, for statements that come before an entry in
/// the same transaction. It must be the transaction's last word about it.
macro_rules! newest_columns {
    ($guild:literal) => {
        concat!(
            "(SELECT seq FROM audit_log WHERE audit_log.guild_id = ",
            $guild,
            " ORDER BY seq DESC LIMIT 1) AS newest_seq, (SELECT hash FROM audit_log WHERE audit_log.guild_id = ",
            $guild,
            " ORDER BY seq DESC LIMIT 1) AS newest_hash"
        )
    };
}

pub(crate) use newest_columns;

/// The newest entry of a chain, as `newest_columns` tells it.
pub fn newest(seq: Option<i64>, hash: Option<String>) -> Head {
    seq.zip(hash).map_or_else(Head::beginning, |(seq, hash)| Head { seq, hash })
}

/// Appends `entry` to the chain of its guild, in the transaction of the act that it describes. The transaction holds the
/// write lock, so no other entry can come between: a chain never forks.
pub async fn append(tx: &mut Tx, entry: &Entry) -> Result<Head, DbError> {
    let newest: Option<(i64, String)> =
        sqlx::query_as("SELECT seq, hash FROM audit_log WHERE guild_id = $1 ORDER BY seq DESC LIMIT 1")
            .bind(entry.guild.row())
            .fetch_optional(&mut **tx)
            .await?;
    let newest = newest.map_or_else(Head::beginning, |(seq, hash)| Head { seq, hash });
    append_after(tx, newest, entry).await
}

/// The same where the transaction has told already which entry is the newest one.
pub async fn append_after(tx: &mut Tx, newest: Head, entry: &Entry) -> Result<Head, DbError> {
    let row = chain::link(entry, &newest, rand::random::<[u8; SALT_BYTES]>());
    sqlx::query(
        "INSERT INTO audit_log
             (guild_id, seq, format, at, channel_id, actor_id, actor_name, action, repo, environment, branch, revision,
              deploy_id, outcome, reason, detail, salt, seal, prev_hash, hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    )
    .bind(row.guild_id)
    .bind(row.seq)
    .bind(row.format)
    .bind(row.at)
    .bind(row.channel_id)
    .bind(row.actor_id)
    .bind(row.actor_name)
    .bind(row.action)
    .bind(row.repo)
    .bind(row.environment)
    .bind(row.branch)
    .bind(row.revision)
    .bind(row.deploy_id)
    .bind(row.outcome)
    .bind(row.reason)
    .bind(row.detail)
    .bind(row.salt)
    .bind(row.seal)
    .bind(row.prev_hash)
    .bind(row.hash.clone())
    .execute(&mut **tx)
    .await?;
    Ok(Head { seq: row.seq, hash: row.hash })
}

/// The guilds that have a chain, in the order of their ids.
pub async fn guilds(pool: &AnyPool) -> Result<Vec<GuildId>, DbError> {
    let mut guilds = Vec::new();
    let mut from = i64::MIN;
    // One step into the primary key for each guild, where DISTINCT would read every entry.
    loop {
        let guild: Option<i64> = sqlx::query_scalar("SELECT MIN(guild_id) FROM audit_log WHERE guild_id >= $1")
            .bind(from)
            .fetch_one(pool)
            .await?;
        let Some(guild) = guild else { return Ok(guilds) };
        guilds.push(GuildId::from_row(guild));
        let Some(next) = guild.checked_add(1) else { return Ok(guilds) };
        from = next;
    }
}

/// Every entry of a guild in the order of its chain. The stream holds a connection until it is dropped.
pub fn rows(pool: &AnyPool, guild: GuildId) -> BoxStream<'_, Result<Row, DbError>> {
    sqlx::query(
        "SELECT guild_id, seq, format, at, channel_id, actor_id, actor_name, action, repo, environment, branch, revision,
             deploy_id, outcome, reason, detail, salt, seal, prev_hash, hash
         FROM audit_log
         WHERE guild_id = $1
         ORDER BY seq",
    )
    .bind(guild.row())
    .fetch(pool)
    .map_err(DbError::from)
    .and_then(|row| std::future::ready(read(&row)))
    .boxed()
}

/// The newest entries of a guild that `query` means as of `now`, newest first: at most `limit`, and only those that came
/// before the entry `before`. Pages by key: entries that arrive meanwhile move nothing.
pub async fn page(
    pool: &AnyPool,
    guild: GuildId,
    query: &Query,
    before: Option<i64>,
    limit: usize,
    now: Timestamp,
) -> Result<Vec<Row>, DbError> {
    let mut sql = Sql::new(
        "SELECT guild_id, seq, format, at, channel_id, actor_id, actor_name, action, repo, environment, branch, revision,
             deploy_id, outcome, reason, detail, salt, seal, prev_hash, hash
         FROM audit_log
         WHERE guild_id = ",
    );
    sql.bind(guild.row());
    if let Some(before) = before {
        sql.push(" AND seq < ").bind(before);
    }
    for term in &query.terms {
        // An empty column (NULL, neither true nor false) passes no test, so it passes the opposite of each.
        sql.push(if term.negated { " AND NOT COALESCE(" } else { " AND (" });
        sql.test(&term.test, now);
        sql.push(if term.negated { ", FALSE)" } else { ")" });
    }
    sql.push(" ORDER BY seq DESC LIMIT ").bind(i64::try_from(limit).unwrap_or(i64::MAX));
    sql.statement().fetch_all(pool).await?.iter().map(read).collect()
}

/// A statement in the making. What people wrote is only ever bound.
struct Sql {
    text: String,
    values: Vec<Value>,
}

enum Value {
    Integer(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl Sql {
    fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
        self
    }

    fn test(&mut self, test: &Test, now: Timestamp) {
        match test {
            Test::Field(field, globs) => self.any(globs, |sql, glob| sql.field(*field, glob)),
            Test::Deploy(ids) => self.any(ids, |sql, id| {
                sql.push("deploy_id = ").bind(id.0);
            }),
            Test::Since(when) => {
                self.push("at >= ").bind(when.first(now));
            }
            Test::Until(when) => {
                self.push("at < ").bind(when.end(now));
            }
            Test::Text(glob) => self.any(&["actor_name", "reason", "detail"], |sql, column| {
                sql.push("lower(").push(column).push(") LIKE ");
                sql.bind(format!("%{}%", glob.like())).push(" ESCAPE '\\'");
            }),
        }
    }

    fn field(&mut self, field: Field, glob: &Glob) {
        match field {
            // Always in lower case, so that their indexes serve.
            Field::Action => self.fits("action", glob),
            Field::Outcome => self.fits("outcome", glob),
            Field::Repo => self.fits("lower(repo)", glob),
            Field::Environment => self.fits("lower(environment)", glob),
            Field::Branch => self.fits("lower(branch)", glob),
            Field::Revision => self.fits("lower(revision)", glob),
            Field::Actor => {
                self.fits("lower(actor_name)", glob);
                self.push(" OR ");
                self.fits("lower(actor_id)", glob);
            }
        }
    }

    fn fits(&mut self, column: &'static str, glob: &Glob) {
        match glob.literal() {
            Some(text) => self.push(column).push(" = ").bind(text),
            None => self.push(column).push(" LIKE ").bind(glob.like()).push(" ESCAPE '\\'"),
        };
    }

    fn any<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.push(" OR ");
            }
            each(self, item);
        }
    }

    fn statement(self) -> Statement<'static, Any, AnyArguments> {
        let statement = sqlx::query(AssertSqlSafe(self.text));
        self.values.into_iter().fold(statement, |statement, value| match value {
            Value::Integer(number) => statement.bind(number),
            Value::Text(text) => statement.bind(text),
        })
    }
}

fn read(row: &AnyRow) -> Result<Row, DbError> {
    Ok(Row {
        guild_id: row.try_get("guild_id")?,
        seq: row.try_get("seq")?,
        format: row.try_get("format")?,
        at: row.try_get("at")?,
        channel_id: row.try_get("channel_id")?,
        actor_id: row.try_get("actor_id")?,
        actor_name: row.try_get("actor_name")?,
        action: row.try_get("action")?,
        repo: row.try_get("repo")?,
        environment: row.try_get("environment")?,
        branch: row.try_get("branch")?,
        revision: row.try_get("revision")?,
        deploy_id: row.try_get("deploy_id")?,
        outcome: row.try_get("outcome")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        salt: row.try_get("salt")?,
        seal: row.try_get("seal")?,
        prev_hash: row.try_get("prev_hash")?,
        hash: row.try_get("hash")?,
    })
}
