//! The repositories and environments as rows.

use sqlx::{Any, Executor, FromRow, Row as _};

use super::{Environment, EnvironmentName, Repo, RepoName, Trigger};
use crate::actor::Actor;
use crate::db::{DbError, Tx};
use crate::id::{ChannelId, GuildId};
use crate::time::Timestamp;

/// A repository's columns, `name` under the name of `repo_name`.
#[derive(sqlx::FromRow)]
pub(crate) struct RepoRow {
    repo_name: String,
    vcs: String,
    project: Option<String>,
    default_branch: Option<String>,
}

impl TryFrom<RepoRow> for Repo {
    type Error = DbError;

    fn try_from(row: RepoRow) -> Result<Self, DbError> {
        let corrupt = |_| DbError::Corrupt("a repository's name, host, project or default branch".to_owned());
        Ok(Repo {
            name: row.repo_name.parse().map_err(corrupt)?,
            vcs: row.vcs.parse().map_err(corrupt)?,
            project: row.project.map(|slug| slug.parse()).transpose().map_err(corrupt)?,
            default_branch: row.default_branch.map(|branch| branch.parse()).transpose().map_err(corrupt)?,
        })
    }
}

/// An environment's columns, `name` under the name of `environment_name`.
#[derive(sqlx::FromRow)]
pub(crate) struct EnvironmentRow {
    environment_name: String,
    kind: String,
    job: Option<String>,
    definition: Option<String>,
    template: String,
    confirm: i64,
    branches: String,
    environment_channel: Option<i64>,
    declared: String,
    approvals: i64,
    is_default: i64,
}

/// What an [`EnvironmentRow`] holds.
macro_rules! environment_columns {
    () => {
        "environment.name AS environment_name, environment.kind, environment.job, environment.definition,
         environment.template, environment.confirm, environment.branches,
         environment.channel_id AS environment_channel, environment.declared, environment.approvals,
         environment.is_default"
    };
}

pub(crate) use environment_columns;

impl TryFrom<EnvironmentRow> for Environment {
    type Error = DbError;

    fn try_from(row: EnvironmentRow) -> Result<Self, DbError> {
        Ok(Environment {
            name: row.environment_name.parse().map_err(|_| DbError::Corrupt("an environment's name".to_owned()))?,
            trigger: trigger(&row.kind, row.job, row.definition)?,
            template: row.template.parse().map_err(|_| DbError::Corrupt("an environment's template".to_owned()))?,
            confirm: row.confirm != 0,
            branches: row.branches.parse().map_err(|_| DbError::Corrupt("an environment's branches".to_owned()))?,
            channel: row.environment_channel.map(ChannelId::from_row),
            declared: serde_json::from_str(&row.declared)
                .map_err(|_| DbError::Corrupt("an environment's declared parameters".to_owned()))?,
            approvals: u8::try_from(row.approvals)
                .map_err(|_| DbError::Corrupt("an environment's approvals".to_owned()))?,
            is_default: row.is_default != 0,
        })
    }
}

/// The trigger that a row's columns stand for.
pub fn trigger(kind: &str, job: Option<String>, definition: Option<String>) -> Result<Trigger, DbError> {
    let corrupt = || DbError::Corrupt(format!("a trigger of kind {kind}"));
    match (kind, job) {
        ("pipeline", None) => Ok(Trigger::Pipeline { definition }),
        ("build", None) if definition.is_none() => Ok(Trigger::Build),
        ("job", Some(job)) => Ok(Trigger::Job(job.parse().map_err(|_| corrupt())?)),
        _ => Err(corrupt()),
    }
}

/// The columns that stand for a trigger: kind, job, definition.
pub fn columns(trigger: &Trigger) -> (&'static str, Option<&str>, Option<&str>) {
    match trigger {
        Trigger::Pipeline { definition } => (trigger.as_str(), None, definition.as_deref()),
        Trigger::Job(job) => (trigger.as_str(), Some(job.as_str()), None),
        Trigger::Build => (trigger.as_str(), None, None),
    }
}

/// One repository of `guild`.
pub async fn repo(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    name: &RepoName,
) -> Result<Option<Repo>, DbError> {
    let row: Option<RepoRow> = sqlx::query_as(
        "SELECT name AS repo_name, vcs, project, default_branch FROM repo WHERE guild_id = $1 AND repo_key = $2",
    )
    .bind(guild.row())
    .bind(name.key())
    .fetch_optional(executor)
    .await?;
    row.map(Repo::try_from).transpose()
}

/// Every repository of `guild`, by name.
pub async fn repos(executor: impl Executor<'_, Database = Any>, guild: GuildId) -> Result<Vec<Repo>, DbError> {
    let rows: Vec<RepoRow> = sqlx::query_as(
        "SELECT name AS repo_name, vcs, project, default_branch FROM repo WHERE guild_id = $1 ORDER BY repo_key",
    )
    .bind(guild.row())
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Repo::try_from).collect()
}

/// The environments of every repository of a guild, each with its repository's key.
pub async fn environments_of_guild(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
) -> Result<Vec<(String, Environment)>, DbError> {
    let rows = sqlx::query(concat!(
        "SELECT repo_key, ",
        environment_columns!(),
        " FROM environment WHERE guild_id = $1 ORDER BY repo_key, name"
    ))
    .bind(guild.row())
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("repo_key")?, EnvironmentRow::from_row(row)?.try_into()?))).collect()
}

/// The names of every repository of every guild, each once.
pub async fn names_anywhere(executor: impl Executor<'_, Database = Any>) -> Result<Vec<RepoName>, DbError> {
    let names: Vec<String> =
        sqlx::query_scalar("SELECT MIN(name) FROM repo GROUP BY repo_key").fetch_all(executor).await?;
    names.iter().map(|name| name.parse().map_err(|_| DbError::Corrupt("a repository's name".to_owned()))).collect()
}

/// Every environment of every guild that API v1.1 triggers, as `org/repo name`.
pub async fn jobs_anywhere(executor: impl Executor<'_, Database = Any>) -> Result<Vec<String>, DbError> {
    let names = sqlx::query_scalar(
        "SELECT DISTINCT repo.name || ' ' || environment.name
           FROM environment JOIN repo USING (guild_id, repo_key)
          WHERE environment.kind IN ('job', 'build')
          ORDER BY 1",
    )
    .fetch_all(executor)
    .await?;
    Ok(names)
}

/// The environments of a repository, by name.
pub async fn environments(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    repo: &RepoName,
) -> Result<Vec<Environment>, DbError> {
    let rows: Vec<EnvironmentRow> = sqlx::query_as(concat!(
        "SELECT ",
        environment_columns!(),
        " FROM environment WHERE guild_id = $1 AND repo_key = $2 ORDER BY name"
    ))
    .bind(guild.row())
    .bind(repo.key())
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(Environment::try_from).collect()
}

/// Keeps a new repository.
pub async fn insert(tx: &mut Tx, guild: GuildId, repo: &Repo, maker: &Actor, now: Timestamp) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO repo (guild_id, repo_key, name, vcs, project, default_branch, made_by, made_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(guild.row())
    .bind(repo.name.key())
    .bind(repo.name.as_str())
    .bind(repo.vcs.as_str())
    .bind(repo.project.as_ref().map(|slug| slug.as_str()))
    .bind(repo.default_branch.as_ref().map(|branch| branch.as_str()))
    .bind(maker.id.to_string())
    .bind(now.millis())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps an environment, new or changed.
pub async fn put_environment(
    tx: &mut Tx,
    guild: GuildId,
    repo: &RepoName,
    environment: &Environment,
) -> Result<(), DbError> {
    let (kind, job, definition) = columns(&environment.trigger);
    if environment.is_default {
        sqlx::query("UPDATE environment SET is_default = 0 WHERE guild_id = $1 AND repo_key = $2 AND name <> $3")
            .bind(guild.row())
            .bind(repo.key())
            .bind(environment.name.as_str())
            .execute(&mut **tx)
            .await?;
    }
    sqlx::query(
        "INSERT INTO environment (guild_id, repo_key, name, kind, job, definition, template, confirm, branches, channel_id,
                                  declared, approvals, is_default)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (guild_id, repo_key, name)
         DO UPDATE SET kind = $4, job = $5, definition = $6, template = $7, confirm = $8, branches = $9, channel_id = $10,
                       declared = $11, approvals = $12, is_default = $13",
    )
    .bind(guild.row())
    .bind(repo.key())
    .bind(environment.name.as_str())
    .bind(kind)
    .bind(job)
    .bind(definition)
    .bind(environment.template.to_string())
    .bind(i64::from(environment.confirm))
    .bind(environment.branches.as_str())
    .bind(environment.channel.map(ChannelId::row))
    .bind(serde_json::to_string(&environment.declared).expect("names, words and flags are JSON"))
    .bind(i64::from(environment.approvals))
    .bind(i64::from(environment.is_default))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps what a repository has become.
pub async fn update(tx: &mut Tx, guild: GuildId, repo: &Repo) -> Result<(), DbError> {
    sqlx::query("UPDATE repo SET vcs = $1, project = $2, default_branch = $3 WHERE guild_id = $4 AND repo_key = $5")
        .bind(repo.vcs.as_str())
        .bind(repo.project.as_ref().map(|slug| slug.as_str()))
        .bind(repo.default_branch.as_ref().map(|branch| branch.as_str()))
        .bind(guild.row())
        .bind(repo.name.key())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Takes an environment away.
pub async fn delete_environment(
    tx: &mut Tx,
    guild: GuildId,
    repo: &RepoName,
    name: &EnvironmentName,
) -> Result<(), DbError> {
    sqlx::query("DELETE FROM environment WHERE guild_id = $1 AND repo_key = $2 AND name = $3")
        .bind(guild.row())
        .bind(repo.key())
        .bind(name.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Takes a repository and its environments away. Its deploys and audit entries stay.
pub async fn delete(tx: &mut Tx, guild: GuildId, repo: &RepoName) -> Result<(), DbError> {
    sqlx::query("DELETE FROM repo WHERE guild_id = $1 AND repo_key = $2")
        .bind(guild.row())
        .bind(repo.key())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
