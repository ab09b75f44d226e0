//! Questions about the deploys there were, as rows.

use sqlx::{Any, Executor};

use super::Filter;
use crate::db::{DbError, Tx};
use crate::deploy::Deploy;
use crate::deploy::store::{Row, json, select};
use crate::id::{DeployId, GuildId, InteractionId};
use crate::repo::{EnvironmentName, RepoName};

/// How many deploys on their way to one place are told of.
const UNFINISHED_MAX: i64 = 10;

fn read(rows: Vec<Row>) -> Result<Vec<Deploy>, DbError> {
    rows.into_iter().map(Deploy::try_from).collect()
}

/// The deploys of a guild that `filter` means, the newest first.
pub async fn matching(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<Deploy>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(select!(
        "WHERE guild_id = $1
           AND (CAST($2 AS TEXT) IS NULL OR lower(repo) = $2)
           AND (CAST($3 AS TEXT) IS NULL OR environment = $3)
           AND (CAST($4 AS TEXT) IS NULL OR state = $4)
           AND (CAST($5 AS TEXT) IS NULL OR actor_id = $5)
         ORDER BY number DESC
         LIMIT $6"
    ))
    .bind(guild.row())
    .bind(filter.repo.as_ref().map(RepoName::key))
    .bind(filter.environment.as_ref().map(EnvironmentName::as_str))
    .bind(filter.status.map(|state| state.as_str()))
    .bind(filter.user.as_ref().map(ToString::to_string))
    .bind(limit)
    .fetch_all(executor)
    .await?;
    read(rows)
}

/// The deploys that succeeded somewhere, the one that ended last, which is live, first.
pub async fn succeeded(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    repo: &RepoName,
    environment: &EnvironmentName,
    limit: i64,
) -> Result<Vec<Deploy>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(select!(
        "WHERE guild_id = $1 AND lower(repo) = $2 AND environment = $3 AND state = 'succeeded'
         ORDER BY ended_at DESC, number DESC
         LIMIT $4"
    ))
    .bind(guild.row())
    .bind(repo.key())
    .bind(environment.as_str())
    .bind(limit)
    .fetch_all(executor)
    .await?;
    read(rows)
}

/// The deploys to a place that are live one day unless they fail, or by now: those that have not come to their end, and those of
/// which it isn't known how they ended since something last succeeded there. The newest first.
pub async fn unfinished(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    repo: &RepoName,
    environment: &EnvironmentName,
) -> Result<Vec<Deploy>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(select!(
        "WHERE guild_id = $1 AND lower(repo) = $2 AND environment = $3
           AND (state IN ('awaiting_approval', 'waiting', 'triggering', 'queued', 'running')
                OR state = 'unknown' AND ended_at > COALESCE(
                    (SELECT MAX(live.ended_at)
                       FROM deploy AS live
                      WHERE live.guild_id = $1 AND lower(live.repo) = $2 AND live.environment = $3
                            AND live.state = 'succeeded'), 0))
         ORDER BY number DESC
         LIMIT $4"
    ))
    .bind(guild.row())
    .bind(repo.key())
    .bind(environment.as_str())
    .bind(UNFINISHED_MAX)
    .fetch_all(executor)
    .await?;
    read(rows)
}

/// How many deploys went to a repository, or one environment of it, and how many of them have not come to their end.
pub async fn count(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    repo: &RepoName,
    environment: Option<&EnvironmentName>,
) -> Result<(i64, i64), DbError> {
    let counts = sqlx::query_as(
        "SELECT COUNT(*),
                COUNT(CASE WHEN state IN ('awaiting_approval', 'waiting', 'triggering', 'queued', 'running') THEN 1 END)
           FROM deploy
          WHERE guild_id = $1 AND lower(repo) = $2 AND (CAST($3 AS TEXT) IS NULL OR environment = $3)",
    )
    .bind(guild.row())
    .bind(repo.key())
    .bind(environment.map(EnvironmentName::as_str))
    .fetch_one(executor)
    .await?;
    Ok(counts)
}

/// The deploys that were made of one: its retries, and rollbacks to it.
pub async fn made_of(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    of: DeployId,
) -> Result<Vec<Deploy>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(select!("WHERE guild_id = $1 AND origin_number = $2 ORDER BY number"))
        .bind(guild.row())
        .bind(of.0)
        .fetch_all(executor)
        .await?;
    read(rows)
}

/// A retry of a deploy that has not come to its end, if there is one that another interaction has made.
pub async fn unfinished_retry(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    of: DeployId,
    interaction: Option<InteractionId>,
) -> Result<Option<Deploy>, DbError> {
    unfinished_from(executor, guild, ("retry", of), interaction).await
}

/// The same of a rollback to a deploy.
pub async fn unfinished_rollback(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    to: DeployId,
    interaction: Option<InteractionId>,
) -> Result<Option<Deploy>, DbError> {
    unfinished_from(executor, guild, ("rollback", to), interaction).await
}

async fn unfinished_from(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    (origin, of): (&str, DeployId),
    interaction: Option<InteractionId>,
) -> Result<Option<Deploy>, DbError> {
    let row: Option<Row> = sqlx::query_as(select!(
        "WHERE guild_id = $1 AND origin_number = $2 AND origin = $4
           AND state IN ('awaiting_approval', 'waiting', 'triggering', 'queued', 'running')
           AND (interaction_id IS NULL OR interaction_id <> $3)
         ORDER BY number DESC
         LIMIT 1"
    ))
    .bind(guild.row())
    .bind(of.0)
    // No interaction of Discord's has this id.
    .bind(interaction.map_or(0, InteractionId::row))
    .bind(origin.to_owned())
    .fetch_optional(executor)
    .await?;
    row.map(Deploy::try_from).transpose()
}

/// Keeps the acts of a deploy, whose version is one more afterwards.
pub async fn put_acts(tx: &mut Tx, deploy: &mut Deploy) -> Result<(), DbError> {
    sqlx::query("UPDATE deploy SET acts = $1, version = version + 1 WHERE uuid = $2")
        .bind(json(&deploy.acts))
        .bind(deploy.uuid.to_string())
        .execute(&mut **tx)
        .await?;
    deploy.version += 1;
    Ok(())
}

/// The repositories of a guild's last deploys, the latest first.
pub async fn recent_repos(executor: impl Executor<'_, Database = Any>, guild: GuildId) -> Result<Vec<String>, DbError> {
    let names = sqlx::query_scalar(
        "SELECT repo
           FROM (SELECT repo, number FROM deploy WHERE guild_id = $1 ORDER BY number DESC LIMIT 200) AS latest
          GROUP BY repo
          ORDER BY MAX(number) DESC",
    )
    .bind(guild.row())
    .fetch_all(executor)
    .await?;
    Ok(names)
}

/// The branches of a repository that were deployed here, the latest first.
pub async fn branches(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    repo: &RepoName,
    limit: i64,
) -> Result<Vec<String>, DbError> {
    let names = sqlx::query_scalar(
        "SELECT branch FROM deploy WHERE guild_id = $1 AND repo = $2 GROUP BY branch ORDER BY MAX(changed_at) DESC LIMIT $3",
    )
    .bind(guild.row())
    .bind(repo.as_str())
    .bind(limit)
    .fetch_all(executor)
    .await?;
    Ok(names)
}
