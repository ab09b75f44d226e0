//! Requests for access as rows.

use std::time::Duration;

use sqlx::{Any, Executor};

use super::request::{AccessRequest, Decision};
use crate::actor::ActorId;
use crate::db::{DbError, Tx};
use crate::id::{ChannelId, GuildId, InteractionId, MessageId, RequestId, RuleId, UserId};
use crate::time::Timestamp;

/// How many are read at a time of those whose card must change.
const NOT_SHOWN_MAX: i64 = 100;

/// A request's columns.
#[derive(sqlx::FromRow)]
struct Row {
    guild_id: i64,
    number: i64,
    channel_id: Option<i64>,
    message_id: Option<i64>,
    user_id: i64,
    user_name: String,
    action: String,
    repo: String,
    environment: String,
    reason: String,
    duration_ms: i64,
    state: String,
    asked_at: i64,
    expires_at: i64,
    decided_by: Option<String>,
    decided_by_name: Option<String>,
    decided_at: Option<i64>,
    decision_reason: Option<String>,
    rule_number: Option<i64>,
    granted_until: Option<i64>,
    version: i64,
}

impl TryFrom<Row> for AccessRequest {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let corrupt = |what: &str| DbError::Corrupt(format!("access request #{} has an unknown {what}", row.number));
        let reason = row.decision_reason.as_deref().map(str::parse).transpose();
        let reason = reason.map_err(|_| corrupt("reason of its decision"))?;
        let decision = match (row.decided_by, row.decided_by_name, row.decided_at) {
            (Some(by), Some(by_name), Some(at)) => Some(Decision {
                by: ActorId::from(by.as_str()),
                by_name,
                at: Timestamp::from_millis(at),
                reason,
                rule: row.rule_number.map(RuleId).zip(row.granted_until.map(Timestamp::from_millis)),
            }),
            _ => None,
        };
        Ok(AccessRequest {
            guild: GuildId::from_row(row.guild_id),
            id: RequestId(row.number),
            channel: row.channel_id.map(ChannelId::from_row),
            message: row.message_id.map(MessageId::from_row),
            user: UserId::from_row(row.user_id),
            user_name: row.user_name,
            action: row.action.parse().map_err(|_| corrupt("action"))?,
            repo: row.repo.parse().map_err(|_| corrupt("repository"))?,
            environment: row.environment.parse().map_err(|_| corrupt("environment"))?,
            reason: row.reason.parse().map_err(|_| corrupt("reason"))?,
            lasts: Duration::from_millis(u64::try_from(row.duration_ms).map_err(|_| corrupt("duration"))?),
            asked_at: Timestamp::from_millis(row.asked_at),
            expires_at: Timestamp::from_millis(row.expires_at),
            state: row.state.parse().map_err(|_| corrupt("state"))?,
            decision,
            version: row.version,
        })
    }
}

/// A query for what a [`Row`] holds.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT guild_id, number, channel_id, message_id, user_id, user_name, action, repo, environment, reason,
                    duration_ms, state, asked_at, expires_at, decided_by, decided_by_name, decided_at, decision_reason,
                    rule_number, granted_until, version
               FROM access_request ",
            $which
        )
    };
}

fn parsed(rows: Vec<Row>) -> Result<Vec<AccessRequest>, DbError> {
    rows.into_iter().map(AccessRequest::try_from).collect()
}

/// One request of a guild.
pub async fn request(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    id: RequestId,
) -> Result<Option<AccessRequest>, DbError> {
    let row: Option<Row> = sqlx::query_as(select!("WHERE guild_id = $1 AND number = $2"))
        .bind(guild.row())
        .bind(id.0)
        .fetch_optional(executor)
        .await?;
    row.map(AccessRequest::try_from).transpose()
}

/// The open requests of a guild, oldest first.
pub async fn open(executor: impl Executor<'_, Database = Any>, guild: GuildId) -> Result<Vec<AccessRequest>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(select!("WHERE guild_id = $1 AND state = 'open' ORDER BY number"))
        .bind(guild.row())
        .fetch_all(executor)
        .await?;
    parsed(rows)
}

/// The open requests of every guild that can't be decided any more at `now`.
pub async fn due(executor: impl Executor<'_, Database = Any>, now: Timestamp) -> Result<Vec<AccessRequest>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(select!("WHERE state = 'open' AND expires_at <= $1 ORDER BY expires_at"))
        .bind(now.millis())
        .fetch_all(executor)
        .await?;
    parsed(rows)
}

/// When the next open request expires.
pub async fn next_due(executor: impl Executor<'_, Database = Any>) -> Result<Option<Timestamp>, DbError> {
    let next: Option<i64> = sqlx::query_scalar("SELECT MIN(expires_at) FROM access_request WHERE state = 'open'")
        .fetch_one(executor)
        .await?;
    Ok(next.map(Timestamp::from_millis))
}

/// Some requests whose card doesn't show them as they are, those that changed last at the end.
pub async fn not_shown(executor: impl Executor<'_, Database = Any>) -> Result<Vec<AccessRequest>, DbError> {
    let rows: Vec<Row> =
        sqlx::query_as(select!("WHERE shown < version ORDER BY COALESCE(decided_at, asked_at) LIMIT $1"))
            .bind(NOT_SHOWN_MAX)
            .fetch_all(executor)
            .await?;
    parsed(rows)
}

/// The number of the guild's next request.
pub async fn next_number(tx: &mut Tx, guild: GuildId) -> Result<RequestId, DbError> {
    sqlx::query_scalar("UPDATE guild SET requests_made = requests_made + 1 WHERE guild_id = $1 RETURNING requests_made")
        .bind(guild.row())
        .fetch_one(&mut **tx)
        .await
        .map(RequestId)
        .map_err(DbError::from)
}

/// Keeps a new request.
///
/// # Errors
/// [`DbError::Duplicate`] when the interaction has made one already.
pub async fn insert(tx: &mut Tx, request: &AccessRequest, interaction: Option<InteractionId>) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO access_request (guild_id, number, interaction_id, channel_id, message_id, user_id, user_name, action,
                                     repo, environment, reason, duration_ms, state, asked_at, expires_at, version)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
    )
    .bind(request.guild.row())
    .bind(request.id.0)
    .bind(interaction.map(InteractionId::row))
    .bind(request.channel.map(ChannelId::row))
    .bind(request.message.map(MessageId::row))
    .bind(request.user.row())
    .bind(&request.user_name)
    .bind(request.action.as_str())
    .bind(request.repo.as_str())
    .bind(request.environment.as_str())
    .bind(request.reason.as_str())
    .bind(i64::try_from(request.lasts.as_millis()).unwrap_or(i64::MAX))
    .bind(request.state.as_str())
    .bind(request.asked_at.millis())
    .bind(request.expires_at.millis())
    .bind(request.version)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The request that an interaction has made.
pub async fn of_interaction(
    executor: impl Executor<'_, Database = Any>,
    interaction: Option<InteractionId>,
) -> Result<AccessRequest, DbError> {
    let row: Row = sqlx::query_as(select!("WHERE interaction_id = $1"))
        .bind(interaction.map(InteractionId::row))
        .fetch_one(executor)
        .await?;
    AccessRequest::try_from(row)
}

/// Keeps how an open request was ended. Its version is one more afterwards.
pub async fn end(tx: &mut Tx, request: &mut AccessRequest) -> Result<(), DbError> {
    let decision = request.decision.as_ref();
    let rule = decision.and_then(|decision| decision.rule);
    let ended = sqlx::query(
        "UPDATE access_request
            SET state = $1, decided_by = $2, decided_by_name = $3, decided_at = $4, decision_reason = $5, rule_number = $6,
                granted_until = $7, version = version + 1
          WHERE guild_id = $8 AND number = $9 AND state = 'open'",
    )
    .bind(request.state.as_str())
    .bind(decision.map(|decision| decision.by.to_string()))
    .bind(decision.map(|decision| decision.by_name.as_str()))
    .bind(decision.map(|decision| decision.at.millis()))
    .bind(decision.and_then(|decision| decision.reason.as_ref()).map(|reason| reason.as_str()))
    .bind(rule.map(|(rule, _)| rule.0))
    .bind(rule.map(|(_, until)| until.millis()))
    .bind(request.guild.row())
    .bind(request.id.0)
    .execute(&mut **tx)
    .await?;
    if ended.rows_affected() != 1 {
        return Err(DbError::Corrupt(format!("access request {} is not open", request.id)));
    }
    request.version += 1;
    Ok(())
}

/// Notes that the card of a request shows its `version`.
pub async fn shown(tx: &mut Tx, request: &AccessRequest) -> Result<(), DbError> {
    sqlx::query("UPDATE access_request SET shown = $1 WHERE guild_id = $2 AND number = $3 AND shown < $1")
        .bind(request.version)
        .bind(request.guild.row())
        .bind(request.id.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Notes which message is the card of a request.
pub async fn moved(tx: &mut Tx, request: &AccessRequest, message: MessageId) -> Result<(), DbError> {
    sqlx::query("UPDATE access_request SET message_id = $1 WHERE guild_id = $2 AND number = $3")
        .bind(message.row())
        .bind(request.guild.row())
        .bind(request.id.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Notes that whoever asked is told of the decision; whether they had not been.
pub async fn told(tx: &mut Tx, request: &AccessRequest) -> Result<bool, DbError> {
    let told = sqlx::query("UPDATE access_request SET told = 1 WHERE guild_id = $1 AND number = $2 AND told = 0")
        .bind(request.guild.row())
        .bind(request.id.0)
        .execute(&mut **tx)
        .await?;
    Ok(told.rows_affected() == 1)
}
