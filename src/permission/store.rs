//! The rules as rows.

use sqlx::{Any, AssertSqlSafe, Executor};

use super::rule::{Action, Rule, Scope, Subject};
use crate::actor::{Actor, ActorId};
use crate::db::{DbError, Tx};
use crate::id::{GuildId, RoleId, RuleId, UserId};
use crate::time::Timestamp;

/// A rule's columns.
#[derive(sqlx::FromRow)]
pub(crate) struct Row {
    number: i64,
    subject_kind: String,
    subject_id: i64,
    effect: String,
    action: String,
    repo: String,
    branch: String,
    environment: String,
    expires_at: Option<i64>,
    reason: Option<String>,
    made_by: String,
    made_by_name: String,
    made_at: i64,
}

impl TryFrom<Row> for Rule {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let corrupt = |what: &str| DbError::Corrupt(format!("rule #{} has an unknown {what}", row.number));
        Ok(Rule {
            id: RuleId(row.number),
            subject: match row.subject_kind.as_str() {
                "user" => Subject::User(UserId::from_row(row.subject_id)),
                "role" => Subject::Role(RoleId::from_row(row.subject_id)),
                _ => return Err(corrupt("subject")),
            },
            effect: row.effect.parse().map_err(|_| corrupt("effect"))?,
            action: row.action.parse().map_err(|_| corrupt("action"))?,
            scope: Scope {
                repo: row.repo.parse().map_err(|_| corrupt("repo pattern"))?,
                branch: row.branch.parse().map_err(|_| corrupt("branch pattern"))?,
                environment: row.environment.parse().map_err(|_| corrupt("environment pattern"))?,
            },
            expires_at: row.expires_at.map(Timestamp::from_millis),
            reason: row.reason,
            made_by: row.made_by,
            made_by_name: row.made_by_name,
            made_at: Timestamp::from_millis(row.made_at),
        })
    }
}

/// A query for what a [`Row`] holds.
macro_rules! select {
    ($which:literal) => {
        concat!(
            "SELECT number, subject_kind, subject_id, effect, action, repo, branch, environment, expires_at, reason,
                    made_by, made_by_name, made_at
               FROM rule
              WHERE guild_id = $1 AND revoked_at IS NULL ",
            $which,
            // With the plus no index is chosen for its order: one that finds few rules is worth more.
            " ORDER BY +number"
        )
    };
}

/// Every rule of `guild` that was not revoked, oldest first.
pub async fn rules(executor: impl Executor<'_, Database = Any>, guild: GuildId) -> Result<Vec<Rule>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(select!("")).bind(guild.row()).fetch_all(executor).await?;
    rows.into_iter().map(Rule::try_from).collect()
}

/// The rules of `guild` about `action` that hold at `now`, whomever they are about.
pub async fn rules_about(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    action: Action,
    now: Timestamp,
) -> Result<Vec<Rule>, DbError> {
    let rows: Vec<Row> = sqlx::query_as(select!("AND action = $2 AND (expires_at IS NULL OR expires_at > $3)"))
        .bind(guild.row())
        .bind(action.as_str())
        .bind(now.millis())
        .fetch_all(executor)
        .await?;
    rows.into_iter().map(Rule::try_from).collect()
}

/// Whether `guild` has more than `max` rules about `action`.
pub async fn has_more(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    action: Action,
    max: usize,
) -> Result<bool, DbError> {
    let max = i64::try_from(max).unwrap_or(i64::MAX - 1);
    let count: i64 = sqlx::query_scalar(
        "SELECT COUNT(*)
           FROM (SELECT 1 FROM rule WHERE guild_id = $1 AND action = $2 AND revoked_at IS NULL LIMIT $3 + 1)",
    )
    .bind(guild.row())
    .bind(action.as_str())
    .bind(max)
    .fetch_one(executor)
    .await?;
    Ok(count > max)
}

/// Of those, the rules about `action` for `actor`: as a person, by a role they hold, or as anybody. They alone decide
/// whether `actor` may, and each row that is fetched costs time before an acknowledgement.
pub async fn rules_for(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
    actor: &Actor,
    action: Action,
    now: Timestamp,
) -> Result<Vec<Rule>, DbError> {
    let ActorId::User(user) = &actor.id else { return Ok(vec![]) };
    let sql = format!(select!("AND {}"), about(actor, 2));
    let query = sqlx::query_as(AssertSqlSafe(sql)).bind(guild.row()).bind(action.as_str()).bind(now.millis());
    // The role that everybody holds has the guild's id.
    let query = query.bind(user.row()).bind(guild.row());
    let query = actor.roles.iter().fold(query, |query, role| query.bind(role.row()));
    let rows: Vec<Row> = query.fetch_all(executor).await?;
    rows.into_iter().map(Rule::try_from).collect()
}

/// The condition that a rule in force is about an action for `actor`; Discord gives no person the id of a role, and the decision
/// looks once more. Its parameters follow each other from `$first` on: the
/// action, the time, the user, the guild, the roles.
pub(crate) fn about(actor: &Actor, first: usize) -> String {
    let roles: Vec<String> = (first + 3..=first + 3 + actor.roles.len()).map(|number| format!("${number}")).collect();
    format!(
        "rule.action = ${first} AND (rule.expires_at IS NULL OR rule.expires_at > ${})
         AND rule.subject_kind IN ('user', 'role') AND rule.subject_id IN (${}, {})",
        first + 1,
        first + 2,
        roles.join(", ")
    )
}

/// Keeps a new rule.
pub async fn insert(tx: &mut Tx, guild: GuildId, rule: &Rule) -> Result<(), DbError> {
    let (kind, id) = match rule.subject {
        Subject::User(id) => ("user", id.row()),
        Subject::Role(id) => ("role", id.row()),
    };
    sqlx::query(
        "INSERT INTO rule (guild_id, number, subject_kind, subject_id, effect, action, repo, branch, environment,
                           expires_at, reason, made_by, made_by_name, made_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(guild.row())
    .bind(rule.id.0)
    .bind(kind)
    .bind(id)
    .bind(rule.effect.as_str())
    .bind(rule.action.as_str())
    .bind(rule.scope.repo.as_str())
    .bind(rule.scope.branch.as_str())
    .bind(rule.scope.environment.as_str())
    .bind(rule.expires_at.map(Timestamp::millis))
    .bind(rule.reason.as_deref())
    .bind(&rule.made_by)
    .bind(&rule.made_by_name)
    .bind(rule.made_at.millis())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Revokes a rule. Its row stays, so that its number never means another.
pub async fn revoke(tx: &mut Tx, guild: GuildId, id: RuleId, now: Timestamp) -> Result<(), DbError> {
    sqlx::query("UPDATE rule SET revoked_at = $1 WHERE guild_id = $2 AND number = $3 AND revoked_at IS NULL")
        .bind(now.millis())
        .bind(guild.row())
        .bind(id.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
