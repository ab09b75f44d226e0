//! The guilds as rows.

use sqlx::{Any, Executor, FromRow, Row};

use crate::audit::store::{Tail, newest_columns};
use crate::db::{DbError, Tx};
use crate::id::{DeployId, GuildId, RuleId};
use crate::time::Timestamp;

/// Notes that `guild` was seen; whether it was for the first time.
pub async fn first_seen(tx: &mut Tx, guild: GuildId, now: Timestamp) -> Result<bool, DbError> {
    let made = sqlx::query("INSERT INTO guild (guild_id, seen_at) VALUES ($1, $2) ON CONFLICT (guild_id) DO NOTHING")
        .bind(guild.row())
        .bind(now.millis())
        .execute(&mut **tx)
        .await?;
    Ok(made.rows_affected() == 1)
}

/// Whether `guild` was seen before.
pub async fn is_known(executor: impl Executor<'_, Database = Any>, guild: GuildId) -> Result<bool, DbError> {
    let found: Option<i64> = sqlx::query_scalar("SELECT guild_id FROM guild WHERE guild_id = $1")
        .bind(guild.row())
        .fetch_optional(executor)
        .await?;
    Ok(found.is_some())
}

/// A guild other than `guild` that was seen, if there is one.
pub async fn any_other(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
) -> Result<Option<GuildId>, DbError> {
    let found: Option<i64> = sqlx::query_scalar("SELECT guild_id FROM guild WHERE guild_id <> $1 LIMIT 1")
        .bind(guild.row())
        .fetch_optional(executor)
        .await?;
    Ok(found.map(GuildId::from_row))
}

/// The number of the guild's next rule.
pub async fn next_rule(tx: &mut Tx, guild: GuildId) -> Result<RuleId, DbError> {
    sqlx::query_scalar("UPDATE guild SET rules_made = rules_made + 1 WHERE guild_id = $1 RETURNING rules_made")
        .bind(guild.row())
        .fetch_one(&mut **tx)
        .await
        .map(RuleId)
        .map_err(DbError::from)
}

/// The number of the guild's next deploy, and where its audit log ends.
pub async fn next_deploy(tx: &mut Tx, guild: GuildId) -> Result<(DeployId, Tail), DbError> {
    let row = sqlx::query(concat!(
        "UPDATE guild SET deploys_made = deploys_made + 1 WHERE guild_id = $1 RETURNING deploys_made, ",
        newest_columns!("$1")
    ))
    .bind(guild.row())
    .fetch_one(&mut **tx)
    .await?;
    Ok((DeployId(row.try_get("deploys_made")?), Tail::from_row(&row)?))
}

/// What a guild has set: names and values.
pub async fn settings(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
) -> Result<Vec<(String, String)>, DbError> {
    let kept = sqlx::query_as("SELECT name, value FROM guild_setting WHERE guild_id = $1 ORDER BY name");
    Ok(kept.bind(guild.row()).fetch_all(executor).await?)
}

/// Keeps a setting.
pub async fn put_setting(tx: &mut Tx, guild: GuildId, name: &str, value: &str) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO guild_setting (guild_id, name, value) VALUES ($1, $2, $3)
         ON CONFLICT (guild_id, name) DO UPDATE SET value = excluded.value",
    )
    .bind(guild.row())
    .bind(name)
    .bind(value)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
