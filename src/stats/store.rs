//! The deploys that came to an end, as rows.

use futures_util::TryStreamExt;
use sqlx::{AnyPool, Row as _};

use super::measure::Known;
use crate::db::DbError;
use crate::id::GuildId;
use crate::time::Timestamp;

/// The deploys of a guild that ended since then as `succeeded` or `failed` and that are in `repo` and `environment`, where those are
/// named, in the order in which they ended. An index holds all that is read.
pub async fn ended(
    pool: &AnyPool,
    guild: GuildId,
    repo: Option<&str>,
    environment: Option<&str>,
    since: Timestamp,
) -> Result<Vec<Known>, DbError> {
    let mut rows = sqlx::query(
        "SELECT number, lower(repo) AS repo, environment, branch, state, origin, replaces_number, asked_at, ended_at
           FROM deploy
          WHERE guild_id = $1 AND state IN ('succeeded', 'failed') AND ended_at >= $2
            AND (CAST($3 AS TEXT) IS NULL OR lower(repo) = $3)
            AND (CAST($4 AS TEXT) IS NULL OR environment = $4)
          ORDER BY ended_at, number",
    )
    .bind(guild.row())
    .bind(since.millis())
    .bind(repo)
    .bind(environment)
    .fetch(pool);
    let mut known = Vec::new();
    while let Some(row) = rows.try_next().await? {
        known.push(Known {
            number: row.try_get("number")?,
            place: (row.try_get("repo")?, row.try_get("environment")?),
            branch: row.try_get("branch")?,
            succeeded: row.try_get::<&str, _>("state")? == "succeeded",
            rollback: row.try_get::<&str, _>("origin")? == "rollback",
            replaces: row.try_get("replaces_number")?,
            asked_at: Timestamp::from_millis(row.try_get("asked_at")?),
            ended_at: Timestamp::from_millis(row.try_get("ended_at")?),
        });
    }
    Ok(known)
}

/// The guilds that have deploys.
pub async fn guilds(pool: &AnyPool) -> Result<Vec<GuildId>, DbError> {
    let guilds: Vec<i64> = sqlx::query_scalar("SELECT guild_id FROM guild WHERE deploys_made > 0 ORDER BY guild_id")
        .fetch_all(pool)
        .await?;
    Ok(guilds.into_iter().map(GuildId::from_row).collect())
}
