//! The audit log's rows in the database: appending and streaming.

use sqlx::any::AnyRow;
use sqlx::{AnyPool, FromRow, Row as _};

use super::block::BLOCK;
use super::chain::{self, Head, Row, SALT_BYTES};
use super::entry::{self, Entry};
use super::proof::Records;
use super::{block, delivery};
use crate::db::{Connection, DbError, Tx};
use crate::id::GuildId;
use crate::time::Timestamp;

/// The columns of `audit_log`, in the order of the documentation.
macro_rules! columns {
    () => {
        "guild_id, seq, format, at, channel_id, actor_id, actor_name, action, repo, environment, branch, revision, deploy_id,
         outcome, reason, detail, salt, seal, prev_hash, hash"
    };
}

pub(super) use columns;

/// The columns `newest_seq`, `newest_hash`, `noted_seq` and `noted_hash`: the newest entry of a guild's chain and what is noted of it,
/// for statements that come before an entry in the same transaction. It must be the transaction's last word about it.
macro_rules! newest_columns {
    ($guild:literal) => {
        concat!(
            "(SELECT seq FROM audit_log WHERE audit_log.guild_id = ",
            $guild,
            " ORDER BY seq DESC LIMIT 1) AS newest_seq, (SELECT hash FROM audit_log WHERE audit_log.guild_id = ",
            $guild,
            " ORDER BY seq DESC LIMIT 1) AS newest_hash, (SELECT seq FROM audit_head WHERE audit_head.guild_id = ",
            $guild,
            ") AS noted_seq, (SELECT hash FROM audit_head WHERE audit_head.guild_id = ",
            $guild,
            ") AS noted_hash"
        )
    };
}

pub(crate) use newest_columns;

/// The end of a chain: its newest entry, and the one that is noted as that in a row of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// The newest entry that is there.
    pub head: Head,
    /// The newest entry that was written.
    pub noted: Option<Head>,
}

impl Tail {
    /// Whether entries were cut off, changed or put there since the last one was written.
    pub fn is_broken(&self) -> bool {
        self.noted.as_ref().map_or(self.head.seq > 0, |noted| *noted != self.head)
    }
}

impl From<Head> for Tail {
    /// The end of a chain to which this entry has just been appended.
    fn from(head: Head) -> Self {
        Self { noted: Some(head.clone()), head }
    }
}

impl FromRow<'_, AnyRow> for Tail {
    /// From the columns of `newest_columns`.
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let head = |seq: Option<i64>, hash: Option<String>| seq.zip(hash).map(|(seq, hash)| Head { seq, hash });
        let newest = head(row.try_get("newest_seq")?, row.try_get("newest_hash")?);
        let noted = head(row.try_get("noted_seq")?, row.try_get("noted_hash")?);
        Ok(Self { head: newest.unwrap_or_else(Head::beginning), noted })
    }
}

/// The end of the chain of `guild`.
pub async fn tail(connection: &mut Connection, guild: GuildId) -> Result<Tail, DbError> {
    let tail = sqlx::query_as(concat!("SELECT ", newest_columns!("$1"))).bind(guild.row());
    tail.fetch_one(connection).await.map_err(DbError::from)
}

/// Appends `entry` to the chain of its guild, in the transaction of the act that it describes. The transaction holds the
/// write lock, so no other entry can come between: a chain never forks.
pub async fn append(tx: &mut Tx, entry: &Entry) -> Result<Head, DbError> {
    let tail = tail(tx, entry.guild).await?;
    append_after(tx, tail, entry).await
}

/// The same where the transaction has told already where the chain ends. A chain whose end isn't what was noted is gone on from as it
/// stands, and an entry says so first.
pub async fn append_after(tx: &mut Tx, tail: impl Into<Tail>, entry: &Entry) -> Result<Head, DbError> {
    let tail = tail.into();
    let newest = if tail.is_broken() { record_break(tx, tail, entry.guild, entry.at).await? } else { tail.head };
    insert(tx, newest, entry).await
}

/// Appends what is known of a break to the chain itself, where every later check finds it.
pub async fn record_break(tx: &mut Tx, tail: Tail, guild: GuildId, at: Timestamp) -> Result<Head, DbError> {
    let broken = entry::broken(guild, at, &tail.head, tail.noted.as_ref());
    tracing::error!(
        guild = %guild, found.seq = tail.head.seq, noted.seq = tail.noted.as_ref().map(|noted| noted.seq),
        "THE AUDIT LOG IS BROKEN: {} `slipway audit verify` tells more; what follows is appended to what is left",
        broken.reason.as_deref().unwrap_or_default()
    );
    block::store::cut_off(tx, guild, tail.head.seq).await?;
    // What was cut off may have been shown in the audit channel; what is written in its place is shown there, too.
    delivery::store::cut_off(tx, guild, tail.head.seq).await?;
    insert(tx, tail.head, &broken).await
}

async fn insert(tx: &mut Tx, newest: Head, entry: &Entry) -> Result<Head, DbError> {
    let row = chain::link(entry, &newest, rand::random::<[u8; SALT_BYTES]>());
    let head = row.head();
    insert_row(tx, row).await?;
    Ok(head)
}

/// Writes a row that was linked already. Whoever acts appends; a benchmark makes its log so.
pub async fn insert_row(connection: &mut Connection, row: Row) -> Result<(), DbError> {
    let (guild, seq) = (GuildId::from_row(row.guild_id), row.seq);
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
    .bind(row.hash)
    .execute(&mut *connection)
    .await?;
    if (seq + 1) % BLOCK == 0 {
        block::store::note(connection, guild, seq / BLOCK).await?;
    }
    Ok(())
}

/// The guilds that have a chain, or had one, in the order of their ids.
pub async fn guilds(pool: &AnyPool) -> Result<Vec<GuildId>, DbError> {
    // Of the entries one step into the primary key for each guild, where DISTINCT would read every entry.
    let guilds: Vec<i64> = sqlx::query_scalar(
        "WITH RECURSIVE chain (guild_id) AS (
             SELECT MIN(guild_id) FROM audit_log
             UNION ALL
             SELECT (SELECT MIN(guild_id) FROM audit_log WHERE audit_log.guild_id > chain.guild_id)
             FROM chain
             WHERE chain.guild_id IS NOT NULL
         )
         SELECT guild_id FROM chain WHERE guild_id IS NOT NULL
         UNION
         SELECT guild_id FROM audit_head
         ORDER BY guild_id",
    )
    .fetch_all(pool)
    .await?;
    Ok(guilds.into_iter().map(GuildId::from_row).collect())
}

/// The next entries of a chain in its order, at most `limit`. They come as one text, which is quicker than a row for each.
///
/// # Errors
/// [`DbError::Corrupt`] where one of them holds what no entry holds.
pub async fn rows_after(
    connection: &mut Connection,
    guild: GuildId,
    seq: i64,
    limit: i64,
) -> Result<Vec<Row>, DbError> {
    let packed: String = sqlx::query_scalar(concat!(
        "SELECT json_group_array(json_array(",
        columns!(),
        ")) FROM (SELECT ",
        columns!(),
        " FROM audit_log WHERE guild_id = $1 AND seq > $2 ORDER BY seq LIMIT $3)"
    ))
    .bind(guild.row())
    .bind(seq)
    .bind(limit)
    .fetch_one(connection)
    .await?;
    serde_json::from_str(&packed).map_err(|error| DbError::Corrupt(error.to_string()))
}

/// One entry.
pub async fn entry(connection: &mut Connection, guild: GuildId, seq: i64) -> Result<Option<Row>, DbError> {
    let row = sqlx::query(concat!("SELECT ", columns!(), " FROM audit_log WHERE guild_id = $1 AND seq = $2"))
        .bind(guild.row())
        .bind(seq)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(read).transpose()
}

/// What the entries of a chain record of the chain itself.
pub async fn records(connection: &mut Connection, guild: GuildId) -> Result<Records, DbError> {
    let details: Vec<Option<String>> = sqlx::query_scalar(
        // Left to choose, SQLite reads the whole log.
        "SELECT detail
           FROM audit_log INDEXED BY audit_log_by_action
          WHERE guild_id = $1 AND action IN ('audit.redacted', 'audit.archived')",
    )
    .bind(guild.row())
    .fetch_all(connection)
    .await?;
    let mut records = Records::default();
    details.into_iter().flatten().for_each(|detail| records.note(&detail));
    Ok(records)
}

/// Where the indexes that searches use don't fit the entries of all chains, in SQLite's words: at most 100 places. It takes as long as to
/// check the chains, and keeps nobody from writing.
pub async fn index_faults(pool: &AnyPool) -> Result<Vec<String>, DbError> {
    // https://sqlite.org/pragma.html#pragma_integrity_check: one row `ok`, or one for each fault.
    let mut told: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(audit_log)").fetch_all(pool).await?;
    told.retain(|fault| fault != "ok");
    Ok(told)
}

/// The entries but `seq` that have this reason, the oldest ones first and at most `limit`.
pub async fn with_reason(
    connection: &mut Connection,
    guild: GuildId,
    reason: &str,
    seq: i64,
    limit: i64,
) -> Result<Vec<i64>, DbError> {
    let entries = sqlx::query_scalar(
        "SELECT seq FROM audit_log WHERE guild_id = $1 AND reason = $2 AND seq <> $3 ORDER BY seq LIMIT $4",
    );
    Ok(entries.bind(guild.row()).bind(reason).bind(seq).bind(limit).fetch_all(connection).await?)
}

/// Erases what is sealed in an entry, with its salt. An entry of the same transaction must say so: the database refuses it otherwise.
pub async fn erase(tx: &mut Tx, guild: GuildId, seq: i64) -> Result<(), DbError> {
    // What SQLite frees is overwritten: https://sqlite.org/pragma.html#pragma_secure_delete
    sqlx::query("PRAGMA secure_delete = ON").execute(&mut **tx).await?;
    sqlx::query(
        "UPDATE audit_log SET actor_name = NULL, reason = NULL, detail = NULL, salt = NULL WHERE guild_id = $1 AND seq = $2",
    )
    .bind(guild.row())
    .bind(seq)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The last of the oldest entries that are all older than `before`.
pub async fn last_before(
    connection: &mut Connection,
    guild: GuildId,
    before: Timestamp,
) -> Result<Option<i64>, DbError> {
    let newer: Option<i64> =
        sqlx::query_scalar("SELECT seq FROM audit_log WHERE guild_id = $1 AND at >= $2 ORDER BY seq LIMIT 1")
            .bind(guild.row())
            .bind(before.millis())
            .fetch_optional(&mut *connection)
            .await?;
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(seq) FROM audit_log WHERE guild_id = $1 AND seq < $2")
        .bind(guild.row())
        .bind(newer.unwrap_or(i64::MAX))
        .fetch_one(connection)
        .await?;
    Ok(last)
}

/// Removes the oldest entries up to `last`, which an entry must record as archived; at most `limit`. How many they were.
pub async fn remove_oldest(tx: &mut Tx, guild: GuildId, last: i64, limit: i64) -> Result<u64, DbError> {
    let removed = sqlx::query(
        "DELETE FROM audit_log
         WHERE guild_id = $1 AND seq <= $2 AND seq < (SELECT MIN(seq) FROM audit_log WHERE guild_id = $1) + $3",
    )
    .bind(guild.row())
    .bind(last)
    .bind(limit)
    .execute(&mut **tx)
    .await?;
    Ok(removed.rows_affected())
}

/// A row with the columns of `columns!`.
pub(super) fn read(row: &AnyRow) -> Result<Row, DbError> {
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
