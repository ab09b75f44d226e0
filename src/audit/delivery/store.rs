//! The deliveries as rows.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row as _};

use super::{Delivery, Message};
use crate::db::{DbError, Tx};
use crate::id::{ChannelId, GuildId};
use crate::time::Timestamp;

/// Sets the channel of a guild, or none; `delivered` is the last entry that it is not told. What was being sent to another one is not
/// sent any more.
pub async fn set_channel(
    tx: &mut Tx,
    guild: GuildId,
    channel: Option<ChannelId>,
    delivered: i64,
) -> Result<(), DbError> {
    let Some(channel) = channel else {
        sqlx::query("DELETE FROM audit_delivery WHERE guild_id = $1").bind(guild.row()).execute(&mut **tx).await?;
        return Ok(());
    };
    // The same channel once more changes nothing.
    sqlx::query(
        "INSERT INTO audit_delivery (guild_id, channel_id, delivered) VALUES ($1, $2, $3)
         ON CONFLICT (guild_id) DO UPDATE
            SET channel_id = excluded.channel_id, delivered = excluded.delivered, sending = NULL, sending_last = NULL,
                sent_at = NULL, head_day = 0, head_seq = 0, failing = 0
          WHERE audit_delivery.channel_id <> excluded.channel_id",
    )
    .bind(guild.row())
    .bind(channel.row())
    .bind(delivered)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Those of every guild.
pub async fn all(executor: impl Executor<'_, Database = Any>) -> Result<Vec<Delivery>, DbError> {
    let rows = sqlx::query(
        "SELECT guild_id, channel_id, delivered, sending, sending_last, sent_at, head_day, head_seq
         FROM audit_delivery
         ORDER BY guild_id",
    )
    .fetch_all(executor)
    .await?;
    rows.iter().map(read).collect()
}

/// Notes what is about to be sent; whether that is still what comes next.
pub async fn note_sending(tx: &mut Tx, of: &Delivery, message: Message, now: Timestamp) -> Result<bool, DbError> {
    let (kind, last) = match message {
        Message::Entries(last) => ("entries", last),
        Message::Head(seq) => ("head", seq),
    };
    let noted = sqlx::query(
        "UPDATE audit_delivery SET sending = $4, sending_last = $5, sent_at = $6
         WHERE guild_id = $1 AND channel_id = $2 AND delivered = $3 AND sending IS NULL",
    )
    .bind(of.guild.row())
    .bind(of.channel.row())
    .bind(of.delivered)
    .bind(kind)
    .bind(last)
    .bind(now.millis())
    .execute(&mut **tx)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Notes that what was being sent has arrived.
pub async fn note_arrived(tx: &mut Tx, of: &Delivery, message: Message, today: i64) -> Result<(), DbError> {
    let arrived = match message {
        Message::Entries(last) => sqlx::query(
            "UPDATE audit_delivery
                SET delivered = $3, sending = NULL, sending_last = NULL, sent_at = NULL, failing = 0
              WHERE guild_id = $1 AND channel_id = $2 AND sending = 'entries' AND sending_last = $3",
        )
        .bind(of.guild.row())
        .bind(of.channel.row())
        .bind(last),
        Message::Head(seq) => sqlx::query(
            "UPDATE audit_delivery
                SET head_seq = $3, head_day = $4, sending = NULL, sending_last = NULL, sent_at = NULL, failing = 0
              WHERE guild_id = $1 AND channel_id = $2 AND sending = 'head' AND sending_last = $3",
        )
        .bind(of.guild.row())
        .bind(of.channel.row())
        .bind(seq)
        .bind(today),
    };
    arrived.execute(&mut **tx).await?;
    Ok(())
}

/// Notes that nothing arrives; whether that is new.
pub async fn note_failing(tx: &mut Tx, of: &Delivery) -> Result<bool, DbError> {
    let noted =
        sqlx::query("UPDATE audit_delivery SET failing = 1 WHERE guild_id = $1 AND channel_id = $2 AND failing = 0")
            .bind(of.guild.row())
            .bind(of.channel.row())
            .execute(&mut **tx)
            .await?;
    Ok(noted.rows_affected() == 1)
}

fn read(row: &AnyRow) -> Result<Delivery, DbError> {
    let (kind, last): (Option<String>, Option<i64>) = (row.try_get("sending")?, row.try_get("sending_last")?);
    let message = match (kind.as_deref(), last) {
        (Some("entries"), Some(last)) => Some(Message::Entries(last)),
        (Some("head"), Some(seq)) => Some(Message::Head(seq)),
        _ => None,
    };
    let since: Option<i64> = row.try_get("sent_at")?;
    Ok(Delivery {
        guild: GuildId::from_row(row.try_get("guild_id")?),
        channel: ChannelId::from_row(row.try_get("channel_id")?),
        delivered: row.try_get("delivered")?,
        sending: message.zip(since.map(Timestamp::from_millis)),
        head: (row.try_get("head_day")?, row.try_get("head_seq")?),
    })
}
