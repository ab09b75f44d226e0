//! The deploys as rows.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Executor, FromRow, Row as _};
use uuid::Uuid;

use super::parameters::{self, Parameter, Value};
use super::{Deploy, Origin, Replaced};
use crate::actor::{ActorId, Caller};
use crate::audit::store::{Tail, newest_columns};
use crate::circleci::RunId;
use crate::db::{DbError, Tx};
use crate::id::{ChannelId, DeployId, GuildId, InteractionId, MessageId};
use crate::permission::store::about;
use crate::permission::{self, Action, Rule};
use crate::repo::store::{EnvironmentRow, RepoRow, columns, environment_columns, trigger};
use crate::repo::{Environment, EnvironmentName, Repo, RepoName};
use crate::time::Timestamp;

/// How many deploys under way to one place are told at once of what has gone live there: each costs an edit of its card.
const TOLD_MAX: i64 = 20;

/// A deploy's columns.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    uuid: String,
    guild_id: i64,
    number: i64,
    channel_id: Option<i64>,
    message_id: Option<i64>,
    actor_id: String,
    actor_name: String,
    repo: String,
    vcs: String,
    project: Option<String>,
    environment: String,
    branch: String,
    revision: Option<String>,
    parameters: String,
    reason: Option<String>,
    kind: String,
    job: Option<String>,
    definition: Option<String>,
    state: String,
    said: Option<String>,
    build_number: Option<i64>,
    pipeline_id: Option<String>,
    pipeline_number: Option<i64>,
    url: Option<String>,
    asked_at: i64,
    changed_at: i64,
    own_parameters: Option<String>,
    origin: String,
    origin_number: Option<i64>,
    replaces_number: Option<i64>,
    replaces_revision: Option<String>,
    subject: Option<String>,
    report: String,
    steps: String,
    ended_at: Option<i64>,
    followed: i64,
    version: i64,
    acts: String,
}

/// A query for what a [`Row`] holds.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT uuid, guild_id, number, channel_id, message_id, actor_id, actor_name, repo, vcs, project, environment,
                    branch, revision, parameters, reason, kind, job, definition, state, said, build_number, pipeline_id,
                    pipeline_number, url, asked_at, changed_at, own_parameters, origin, origin_number, replaces_number,
                    replaces_revision, subject, report, steps, ended_at, followed, version, acts
               FROM deploy ",
            $which
        )
    };
}

pub(super) use select;

impl TryFrom<Row> for Deploy {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let corrupt = |what: &'static str| DbError::Corrupt(format!("the {what} of deploy #{}", row.number));
        let run = match (row.build_number, &row.pipeline_id, row.pipeline_number) {
            (None, None, _) => None,
            (Some(number), None, _) => Some(RunId::Build(number)),
            (None, Some(id), Some(number)) => {
                Some(RunId::Pipeline { id: id.parse().map_err(|_| corrupt("pipeline"))?, number })
            }
            _ => return Err(corrupt("run")),
        };
        Ok(Deploy {
            uuid: row.uuid.parse().map_err(|_| corrupt("uuid"))?,
            id: DeployId(row.number),
            guild: GuildId::from_row(row.guild_id),
            channel: row.channel_id.map(ChannelId::from_row),
            message: row.message_id.map(MessageId::from_row),
            actor: ActorId::from(row.actor_id.as_str()),
            repo: row.repo.parse().map_err(|_| corrupt("repository"))?,
            vcs: row.vcs.parse().map_err(|_| corrupt("host"))?,
            project: row.project.as_deref().map(str::parse).transpose().map_err(|_| corrupt("project"))?,
            environment: row.environment.parse().map_err(|_| corrupt("environment"))?,
            branch: row.branch.parse().map_err(|_| corrupt("branch"))?,
            revision: row.revision.as_deref().map(str::parse).transpose().map_err(|_| corrupt("revision"))?,
            parameters: read_parameters(&row.parameters).ok_or_else(|| corrupt("parameters"))?,
            reason: row.reason.as_deref().map(str::parse).transpose().map_err(|_| corrupt("reason"))?,
            state: row.state.parse().map_err(|_| corrupt("state"))?,
            trigger: trigger(&row.kind, row.job, row.definition)?,
            actor_name: row.actor_name,
            said: row.said,
            run,
            url: row.url,
            asked_at: Timestamp::from_millis(row.asked_at),
            changed_at: Timestamp::from_millis(row.changed_at),
            subject: row.subject,
            own_parameters: match &row.own_parameters {
                Some(own) => Some(read_parameters(own).ok_or_else(|| corrupt("own parameters"))?),
                None => None,
            },
            origin: match (row.origin.as_str(), row.origin_number) {
                ("asked", None) => Origin::Asked,
                ("retry", Some(number)) => Origin::Retry(DeployId(number)),
                ("rollback", Some(number)) => Origin::Rollback(DeployId(number)),
                _ => return Err(corrupt("origin")),
            },
            replaces: read_replaced(row.replaces_number, row.replaces_revision)?,
            report: serde_json::from_str(&row.report).map_err(|_| corrupt("report"))?,
            steps: serde_json::from_str(&row.steps).map_err(|_| corrupt("steps"))?,
            ended_at: row.ended_at.map(Timestamp::from_millis),
            followed: row.followed != 0,
            version: row.version,
            acts: serde_json::from_str(&row.acts).map_err(|_| corrupt("acts"))?,
        })
    }
}

/// Parameters as one JSON object, in the order in which they were given.
pub fn write_parameters(parameters: &[Parameter]) -> String {
    let pairs: Vec<(&str, serde_json::Value)> =
        parameters.iter().map(|parameter| (parameter.name.as_str(), (&parameter.value).into())).collect();
    serde_json::to_string(&pairs).expect("pairs of names and plain values are JSON")
}

fn read_parameters(text: &str) -> Option<Vec<Parameter>> {
    let pairs: Vec<(String, serde_json::Value)> = serde_json::from_str(text).ok()?;
    pairs
        .into_iter()
        .map(|(name, value)| {
            let value = match value {
                serde_json::Value::Bool(value) => Value::Boolean(value),
                serde_json::Value::Number(value) => Value::Integer(value.as_i64()?),
                serde_json::Value::String(value) => Value::Text(value),
                _ => return None,
            };
            Some(parameters::Parameter { name, value })
        })
        .collect()
}

/// Where somebody wants to deploy, and what may let them.
pub struct Place {
    /// The repository.
    pub repo: Repo,
    /// The environment.
    pub environment: Environment,
    /// The rules about the action for them. They alone decide whether they may.
    pub rules: Vec<Rule>,
}

/// A place, if there is one of that name. One statement: it stands before an acknowledgement, and each costs a way to the
/// database's thread and back.
pub async fn place(
    executor: impl Executor<'_, Database = Any>,
    caller: &Caller,
    action: Action,
    repo: &RepoName,
    environment: &EnvironmentName,
    now: Timestamp,
) -> Result<Option<Place>, DbError> {
    let Caller { guild, actor, .. } = caller;
    let user = if let ActorId::User(user) = actor.id { Some(user.row()) } else { None };
    let sql = format!(
        "SELECT repo.name AS repo_name, repo.vcs, repo.project, repo.default_branch, {},
                rule.number, rule.subject_kind, rule.subject_id, rule.effect, rule.action, rule.repo, rule.branch,
                rule.environment, rule.expires_at, rule.reason, rule.made_by, rule.made_by_name, rule.made_at
           FROM repo
           JOIN environment ON environment.guild_id = repo.guild_id AND environment.repo_key = repo.repo_key
           LEFT JOIN rule ON rule.guild_id = repo.guild_id AND rule.revoked_at IS NULL AND {}
          WHERE repo.guild_id = $1 AND repo.repo_key = $2 AND environment.name = $3
          ORDER BY +rule.number",
        environment_columns!(),
        about(actor, 4)
    );
    let query = sqlx::query(AssertSqlSafe(sql)).bind(guild.row()).bind(repo.key()).bind(environment.as_str());
    // The role that everybody holds has the guild's id.
    let query = query.bind(action.as_str()).bind(now.millis()).bind(user).bind(guild.row());
    let rows = actor.roles.iter().fold(query, |query, role| query.bind(role.row())).fetch_all(executor).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let is_rule = |row: &&AnyRow| matches!(row.try_get("number"), Ok(Some::<i64>(_)));
    let rule = |row| Rule::try_from(permission::store::Row::from_row(row)?);
    Ok(Some(Place {
        repo: RepoRow::from_row(first)?.try_into()?,
        environment: EnvironmentRow::from_row(first)?.try_into()?,
        rules: rows.iter().filter(is_rule).map(rule).collect::<Result<_, _>>()?,
    }))
}

/// Keeps a new deploy and notes what was live before it.
///
/// # Errors
/// [`DbError::Duplicate`] when the interaction has made a deploy already.
pub async fn insert(tx: &mut Tx, deploy: &mut Deploy, interaction: Option<InteractionId>) -> Result<(), DbError> {
    let (kind, job, definition) = columns(&deploy.trigger);
    let (origin, origin_number) = match deploy.origin {
        Origin::Asked => ("asked", None),
        Origin::Retry(number) => ("retry", Some(number.0)),
        Origin::Rollback(number) => ("rollback", Some(number.0)),
    };
    let replaced: (Option<i64>, Option<String>) = sqlx::query_as(
        "WITH live AS (
             SELECT number, revision
               FROM deploy
              WHERE guild_id = $2 AND lower(repo) = lower($9) AND environment = $12 AND state = 'succeeded'
              ORDER BY ended_at DESC, number DESC
              LIMIT 1)
         INSERT INTO deploy (uuid, guild_id, number, interaction_id, channel_id, message_id, actor_id, actor_name,
                             repo, vcs, project, environment, branch, revision, parameters, reason,
                             kind, job, definition, state, asked_at, changed_at, own_parameters, origin, origin_number,
                             steps, followed, replaces_number, replaces_revision)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
                 $24, $25, $26, 1, (SELECT number FROM live), (SELECT revision FROM live))
         RETURNING replaces_number, replaces_revision",
    )
    .bind(deploy.uuid.to_string())
    .bind(deploy.guild.row())
    .bind(deploy.id.0)
    .bind(interaction.map(InteractionId::row))
    .bind(deploy.channel.map(ChannelId::row))
    .bind(deploy.message.map(MessageId::row))
    .bind(deploy.actor.to_string())
    .bind(&deploy.actor_name)
    .bind(deploy.repo.as_str())
    .bind(deploy.vcs.as_str())
    .bind(deploy.project.as_ref().map(|slug| slug.as_str()))
    .bind(deploy.environment.as_str())
    .bind(deploy.branch.as_str())
    .bind(deploy.revision.as_ref().map(|revision| revision.as_str()))
    .bind(write_parameters(&deploy.parameters))
    .bind(deploy.reason.as_ref().map(|reason| reason.as_str()))
    .bind(kind)
    .bind(job)
    .bind(definition)
    .bind(deploy.state.as_str())
    .bind(deploy.asked_at.millis())
    .bind(deploy.changed_at.millis())
    .bind(deploy.own_parameters.as_deref().map(write_parameters))
    .bind(origin)
    .bind(origin_number)
    .bind(json(&deploy.steps))
    .fetch_one(&mut **tx)
    .await?;
    let (number, revision) = replaced;
    deploy.replaces = read_replaced(number, revision)?;
    Ok(())
}

fn read_replaced(number: Option<i64>, revision: Option<String>) -> Result<Option<Replaced>, DbError> {
    let Some(number) = number else { return Ok(None) };
    let revision = revision.map(|revision| revision.parse()).transpose();
    let revision = revision.map_err(|_| DbError::Corrupt(format!("the revision of deploy #{number}")))?;
    Ok(Some(Replaced { deploy: DeployId(number), revision }))
}

pub(super) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("reports and steps are strings, numbers and lists of them")
}

/// Keeps what a deploy has become since it was read as version `deploy.version`, and notes what was live there before it; nothing
/// when it no longer stood so. Its version is one more afterwards. The newest entry of its guild's audit log.
///
/// # Errors
/// [`DbError::Duplicate`] when another deploy holds that pipeline.
pub async fn update(tx: &mut Tx, deploy: &mut Deploy) -> Result<Option<Tail>, DbError> {
    let (build, pipeline, pipeline_number) = match &deploy.run {
        None => (None, None, None),
        Some(RunId::Build(number)) => (Some(*number), None, None),
        Some(RunId::Pipeline { id, number }) => (None, Some(id.to_string()), Some(*number)),
    };
    // One that had failed and runs again has an end of its own to be told.
    let written = sqlx::query(concat!(
        "UPDATE deploy
            SET state = $1, said = $2, build_number = $3, pipeline_id = $4, pipeline_number = $5, url = $6,
                revision = $7, changed_at = $8, subject = $9, report = $10, steps = $11, ended_at = $12, followed = $13,
                told = CASE WHEN state = 'failed' AND $1 = 'running' THEN 0 ELSE told END,
                (replaces_number, replaces_revision) = (
                    SELECT live.number, live.revision
                      FROM deploy AS live
                     WHERE live.guild_id = deploy.guild_id AND lower(live.repo) = lower(deploy.repo)
                           AND live.environment = deploy.environment AND live.state = 'succeeded'
                           AND live.ended_at <= COALESCE($12, live.ended_at) AND live.uuid <> deploy.uuid
                     ORDER BY live.ended_at DESC, live.number DESC
                     LIMIT 1),
                version = version + 1
          WHERE uuid = $14 AND version = $15
          RETURNING replaces_number, replaces_revision, ",
        newest_columns!("$16")
    ))
    .bind(deploy.state.as_str())
    .bind(deploy.said.as_deref())
    .bind(build)
    .bind(pipeline)
    .bind(pipeline_number)
    .bind(deploy.url.as_deref())
    .bind(deploy.revision.as_ref().map(|revision| revision.as_str()))
    .bind(deploy.changed_at.millis())
    .bind(deploy.subject.as_deref())
    .bind(json(&deploy.report))
    .bind(json(&deploy.steps))
    .bind(deploy.ended_at.map(Timestamp::millis))
    .bind(i64::from(deploy.followed))
    .bind(deploy.uuid.to_string())
    .bind(deploy.version)
    .bind(deploy.guild.row())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(written) = written else { return Ok(None) };
    deploy.replaces = read_replaced(written.try_get("replaces_number")?, written.try_get("replaces_revision")?)?;
    deploy.version += 1;
    Ok(Some(Tail::from_row(&written)?))
}

/// `live` has succeeded: the deploys that are under way to the same place replace it from now on, or else the one that went live
/// next and was heard of before. Those that have changed; where very many are under way, or while one is being sent, each hears of
/// it at its next change.
pub async fn note_live(tx: &mut Tx, live: &Deploy) -> Result<Vec<Uuid>, DbError> {
    let uuids: Vec<String> = sqlx::query_scalar(
        "WITH next AS (
             SELECT uuid
               FROM deploy
              WHERE guild_id = $3 AND lower(repo) = $4 AND environment = $5 AND state = 'succeeded' AND uuid <> $6
                    AND ended_at > $7
              ORDER BY ended_at, number
              LIMIT 1)
         UPDATE deploy
            SET replaces_number = $1, replaces_revision = $2, version = version + 1
          WHERE uuid IN (SELECT uuid FROM next)
                OR guild_id = $3 AND lower(repo) = $4 AND environment = $5 AND uuid <> $6
                   AND state IN ('awaiting_approval', 'waiting', 'queued', 'running')
                   AND NOT EXISTS (SELECT 1 FROM next)
                   AND $8 >= (
                       SELECT COUNT(*)
                         FROM (SELECT 1
                                 FROM deploy
                                WHERE guild_id = $3 AND lower(repo) = $4 AND environment = $5
                                      AND state IN ('awaiting_approval', 'waiting', 'queued', 'running')
                                LIMIT $8 + 1))
          RETURNING uuid",
    )
    .bind(live.id.0)
    .bind(live.revision.as_ref().map(|revision| revision.as_str()))
    .bind(live.guild.row())
    .bind(live.repo.key())
    .bind(live.environment.as_str())
    .bind(live.uuid.to_string())
    .bind(live.ended_at.map(Timestamp::millis))
    .bind(TOLD_MAX)
    .fetch_all(&mut **tx)
    .await?;
    uuids.iter().map(|uuid| uuid_of(uuid)).collect()
}

/// One deploy.
pub async fn deploy(executor: impl Executor<'_, Database = Any>, uuid: Uuid) -> Result<Option<Deploy>, DbError> {
    let row: Option<Row> =
        sqlx::query_as(select!("WHERE uuid = $1")).bind(uuid.to_string()).fetch_optional(executor).await?;
    row.map(Deploy::try_from).transpose()
}

/// One deploy of a guild.
pub async fn numbered(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    id: DeployId,
) -> Result<Option<Deploy>, DbError> {
    let row: Option<Row> = sqlx::query_as(select!("WHERE guild_id = $1 AND number = $2"))
        .bind(guild.row())
        .bind(id.0)
        .fetch_optional(executor)
        .await?;
    row.map(Deploy::try_from).transpose()
}

/// A deploy's uuid out of a row.
pub fn uuid_of(text: &str) -> Result<Uuid, DbError> {
    text.parse().map_err(|_| DbError::Corrupt("a deploy's uuid".to_owned()))
}

/// The deploy that an interaction has made.
pub async fn of_interaction(
    executor: impl Executor<'_, Database = Any>,
    interaction: Option<InteractionId>,
) -> Result<Deploy, DbError> {
    let row: Row = sqlx::query_as(select!("WHERE interaction_id = $1"))
        .bind(interaction.map(InteractionId::row))
        .fetch_one(executor)
        .await?;
    Deploy::try_from(row)
}
