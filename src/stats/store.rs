//! The deploys that came to an end, as rows.

use futures_util::TryStreamExt;
use sqlx::{AnyPool, Row as _};

use super::measure::Known;
use crate::db::DbError;
use crate::id::GuildId;
use crate::time::Timestamp;

/// How long before a span of time a deploy that ended in it can have been asked for: numbers are in the order of the requests, so
/// older ones need not be read.
const LASTED_MAX_MS: i64 = 7 * 86_400_000;

/// The deploys of a guild that ended since then and that are in `repo` and `environment`, where those are named.
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
         WHERE guild_id = $1
         ORDER BY number DESC",
    )
    .bind(guild.row())
    .fetch(pool);
    let mut known = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let asked_at: i64 = row.try_get("asked_at")?;
        if asked_at < since.millis().saturating_sub(LASTED_MAX_MS) {
            break;
        }
        let state: String = row.try_get("state")?;
        let Some(ended_at) = row.try_get::<Option<i64>, _>("ended_at")? else { continue };
        let place: (String, String) = (row.try_get("repo")?, row.try_get("environment")?);
        let meant = repo.is_none_or(|repo| repo == place.0) && environment.is_none_or(|name| name == place.1);
        if !meant || !matches!(state.as_str(), "succeeded" | "failed") {
            continue;
        }
        known.push(Known {
            number: row.try_get("number")?,
            place,
            branch: row.try_get("branch")?,
            succeeded: state == "succeeded",
            rollback: row.try_get::<String, _>("origin")? == "rollback",
            replaces: row.try_get("replaces_number")?,
            asked_at: Timestamp::from_millis(asked_at),
            ended_at: Timestamp::from_millis(ended_at),
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
