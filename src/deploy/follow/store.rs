//! What following deploys asks of the database: which are followed, whose a run is, which projects send webhooks.

use std::ops::RangeInclusive;

use sqlx::{Any, Executor};
use uuid::Uuid;

use crate::db::{DbError, Tx};
use crate::deploy::store::uuid_of;
use crate::repo::{Branch, RepoName};
use crate::time::Timestamp;

/// The deploys that CircleCI is still asked about, of every guild; oldest first.
pub async fn followed(executor: impl Executor<'_, Database = Any>) -> Result<Vec<Uuid>, DbError> {
    let uuids: Vec<String> =
        sqlx::query_scalar("SELECT uuid FROM deploy WHERE followed = 1 ORDER BY asked_at").fetch_all(executor).await?;
    uuids.iter().map(|uuid| uuid_of(uuid)).collect()
}

/// The followed deploys that a run belongs to, a pipeline or a build, each with its project's slug on CircleCI.
pub async fn of_run(
    executor: impl Executor<'_, Database = Any>,
    pipeline: Option<Uuid>,
    build: Option<i64>,
) -> Result<Vec<(Uuid, String)>, DbError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT uuid, COALESCE(project, CASE vcs WHEN 'github' THEN 'gh/' ELSE 'bb/' END || repo)
           FROM deploy
          WHERE followed = 1 AND (pipeline_id = $1 OR build_number = $2)",
    )
    .bind(pipeline.map(|id| id.to_string()))
    .bind(build)
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(|(uuid, slug)| Ok((uuid_of(&uuid)?, slug))).collect()
}

/// A project's webhook was heard.
pub async fn heard_webhook(tx: &mut Tx, project: &str, now: Timestamp) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO webhook (project, heard_at) VALUES ($1, $2) ON CONFLICT (project) DO UPDATE SET heard_at = $2",
    )
    .bind(project)
    .bind(now.millis())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The projects whose webhooks were heard since.
pub async fn webhooks_since(
    executor: impl Executor<'_, Database = Any>,
    since: Timestamp,
) -> Result<Vec<String>, DbError> {
    let projects = sqlx::query_scalar("SELECT project FROM webhook WHERE heard_at >= $1")
        .bind(since.millis())
        .fetch_all(executor)
        .await?;
    Ok(projects)
}

/// The pipelines of deploys that have changed since `since`.
pub async fn pipelines_since(
    executor: impl Executor<'_, Database = Any>,
    since: Timestamp,
) -> Result<Vec<Uuid>, DbError> {
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT pipeline_id FROM deploy WHERE pipeline_id IS NOT NULL AND changed_at >= $1")
            .bind(since.millis())
            .fetch_all(executor)
            .await?;
    ids.iter().map(|id| id.parse().map_err(|_| DbError::Corrupt("a pipeline's id".to_owned()))).collect()
}

/// The builds of a repository's deploys that have changed since `since`, whatever the guild.
pub async fn builds_of(
    executor: impl Executor<'_, Database = Any>,
    repo: &RepoName,
    since: Timestamp,
) -> Result<Vec<i64>, DbError> {
    let builds = sqlx::query_scalar(
        "SELECT build_number FROM deploy WHERE build_number IS NOT NULL AND lower(repo) = $1 AND changed_at >= $2",
    )
    .bind(repo.key())
    .bind(since.millis())
    .fetch_all(executor)
    .await?;
    Ok(builds)
}

/// The deploys of a branch, whatever the guild, that CircleCI may have taken and whose run isn't known, asked for in `window`.
pub async fn without_run(
    executor: impl Executor<'_, Database = Any>,
    repo: &RepoName,
    branch: &Branch,
    window: RangeInclusive<Timestamp>,
) -> Result<Vec<Uuid>, DbError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "SELECT uuid
           FROM deploy
          WHERE lower(repo) = $1 AND branch = $2 AND asked_at BETWEEN $3 AND $4 AND state IN ('triggering', 'unknown')
                AND build_number IS NULL AND pipeline_id IS NULL",
    )
    .bind(repo.key())
    .bind(branch.as_str())
    .bind(window.start().millis())
    .bind(window.end().millis())
    .fetch_all(executor)
    .await?;
    ids.iter().map(|id| uuid_of(id)).collect()
}
