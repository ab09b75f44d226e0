//! The notices as rows.

use sqlx::{Any, Executor};

use crate::db::DbError;
use crate::time::Timestamp;

/// The name of the notice about API v1.1.
pub const V1_TRIGGERS_END: &str = "circleci.v1_triggers_end";

/// The day kept under `name`.
pub async fn read(executor: impl Executor<'_, Database = Any>, name: &str) -> Result<Option<Timestamp>, DbError> {
    let millis: Option<i64> =
        sqlx::query_scalar("SELECT value FROM notice WHERE name = $1").bind(name).fetch_optional(executor).await?;
    Ok(millis.map(Timestamp::from_millis))
}

/// Keeps a day under `name`.
pub async fn write(executor: impl Executor<'_, Database = Any>, name: &str, day: Timestamp) -> Result<(), DbError> {
    sqlx::query("INSERT INTO notice (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2")
        .bind(name)
        .bind(day.millis())
        .execute(executor)
        .await?;
    Ok(())
}
