//! The saved queries as rows.

use sqlx::{Any, Executor};

use super::{Name, SavedQuery};
use crate::actor::Caller;
use crate::audit::query::Query;
use crate::db::{DbError, Tx};
use crate::id::GuildId;
use crate::time::Timestamp;

/// Those of a guild, by name.
pub async fn all(executor: impl Executor<'_, Database = Any>, guild: GuildId) -> Result<Vec<SavedQuery>, DbError> {
    let rows: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT name, query, made_by_name, made_at FROM audit_query WHERE guild_id = $1 ORDER BY name")
            .bind(guild.row())
            .fetch_all(executor)
            .await?;
    let read = |(name, query, made_by_name, made_at): (String, String, String, i64)| {
        let query: Query = query.parse().map_err(|_| DbError::Corrupt(format!("the saved query @{name}")))?;
        Ok(SavedQuery { name, query, made_by_name, made_at: Timestamp::from_millis(made_at) })
    };
    rows.into_iter().map(read).collect()
}

/// Keeps a query under a name; what was kept under it before.
pub async fn put(
    tx: &mut Tx,
    caller: &Caller,
    name: &Name,
    query: &Query,
    now: Timestamp,
) -> Result<Option<String>, DbError> {
    let before = kept(tx, caller.guild, name).await?;
    sqlx::query(
        "INSERT INTO audit_query (guild_id, name, query, made_by, made_by_name, made_at)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (guild_id, name) DO UPDATE
            SET query = excluded.query, made_by = excluded.made_by, made_by_name = excluded.made_by_name,
                made_at = excluded.made_at",
    )
    .bind(caller.guild.row())
    .bind(name.as_str())
    .bind(query.to_string())
    .bind(caller.actor.id.to_string())
    .bind(&caller.actor.name)
    .bind(now.millis())
    .execute(&mut **tx)
    .await?;
    Ok(before)
}

/// How many a guild keeps.
pub async fn count(tx: &mut Tx, guild: GuildId) -> Result<i64, DbError> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM audit_query WHERE guild_id = $1");
    Ok(count.bind(guild.row()).fetch_one(&mut **tx).await?)
}

/// Removes one; what it was.
pub async fn remove(tx: &mut Tx, guild: GuildId, name: &Name) -> Result<Option<String>, DbError> {
    let before = kept(tx, guild, name).await?;
    sqlx::query("DELETE FROM audit_query WHERE guild_id = $1 AND name = $2")
        .bind(guild.row())
        .bind(name.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(before)
}

async fn kept(tx: &mut Tx, guild: GuildId, name: &Name) -> Result<Option<String>, DbError> {
    let kept = sqlx::query_scalar("SELECT query FROM audit_query WHERE guild_id = $1 AND name = $2");
    Ok(kept.bind(guild.row()).bind(name.as_str()).fetch_optional(&mut **tx).await?)
}
