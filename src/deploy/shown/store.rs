//! Whether a deploy's card shows it as it is, and whether its end was told: columns of its row.

use sqlx::any::AnyArguments;
use sqlx::{Any, AssertSqlSafe, Executor};
use uuid::Uuid;

use crate::db::{DbError, Tx};
use crate::deploy::store::uuid_of;
use crate::id::{ChannelId, MessageId};

/// How many notes one statement takes.
const NOTED_MAX: usize = 100;

type Statement = sqlx::query::Query<'static, Any, AnyArguments>;

/// The deploys whose card doesn't show them as they are; oldest change first.
pub async fn not_shown(executor: impl Executor<'_, Database = Any>) -> Result<Vec<Uuid>, DbError> {
    let uuids: Vec<String> = sqlx::query_scalar("SELECT uuid FROM deploy WHERE shown < version ORDER BY changed_at")
        .fetch_all(executor)
        .await?;
    uuids.iter().map(|uuid| uuid_of(uuid)).collect()
}

/// Notes which version of each deploy its card shows.
pub async fn shown(tx: &mut Tx, versions: &[(Uuid, i64)]) -> Result<(), DbError> {
    for versions in versions.chunks(NOTED_MAX) {
        let noted: Vec<String> =
            (0..versions.len()).map(|row| format!("(${}, ${})", 2 * row + 1, 2 * row + 2)).collect();
        let sql = format!(
            "WITH noted (uuid, version) AS (VALUES {})
             UPDATE deploy
                SET shown = noted.version
               FROM noted
              WHERE deploy.uuid = noted.uuid AND deploy.shown < noted.version",
            noted.join(", ")
        );
        let statement = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        let bind =
            |statement: Statement, (uuid, version): &(Uuid, i64)| statement.bind(uuid.to_string()).bind(*version);
        versions.iter().fold(statement, bind).execute(&mut **tx).await?;
    }
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
