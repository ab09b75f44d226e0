//! Whether a deploy's card shows it as it is, and whether its end was told: columns of its row.

use sqlx::{Any, Executor};
use uuid::Uuid;

use crate::db::{DbError, Tx};
use crate::deploy::store::uuid_of;
use crate::id::{ChannelId, MessageId};

/// The deploys whose card doesn't show them as they are; oldest change first.
pub async fn not_shown(executor: impl Executor<'_, Database = Any>) -> Result<Vec<Uuid>, DbError> {
    let uuids: Vec<String> = sqlx::query_scalar("SELECT uuid FROM deploy WHERE shown < version ORDER BY changed_at")
        .fetch_all(executor)
        .await?;
    uuids.iter().map(|uuid| uuid_of(uuid)).collect()
}

/// Notes that the card shows a deploy's `version`.
pub async fn shown(tx: &mut Tx, uuid: Uuid, version: i64) -> Result<(), DbError> {
    sqlx::query("UPDATE deploy SET shown = $1 WHERE uuid = $2 AND shown < $1")
        .bind(version)
        .bind(uuid.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Notes that a deploy's asker is told of its end; whether they had not been.
pub async fn told(tx: &mut Tx, uuid: Uuid) -> Result<bool, DbError> {
    let done = sqlx::query("UPDATE deploy SET told = 1 WHERE uuid = $1 AND told = 0")
        .bind(uuid.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Another message is a deploy's card from now on.
pub async fn moved(tx: &mut Tx, uuid: Uuid, channel: ChannelId, message: MessageId) -> Result<(), DbError> {
    sqlx::query("UPDATE deploy SET channel_id = $1, message_id = $2 WHERE uuid = $3")
        .bind(channel.row())
        .bind(message.row())
        .bind(uuid.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}
