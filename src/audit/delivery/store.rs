//! The deliveries as rows.

use sqlx::any::AnyRow;
use sqlx::{Any, Executor, Row as _};

use super::{Delivery, Message, Sending};
use crate::db::{DbError, Tx};
use crate::id::{ChannelId, GuildId, MessageId};
use crate::time::Timestamp;

/// Sets the channel of a guild to `channel`; `entry` says so. A first channel is told everything from that entry on, another one what has
/// not arrived in the one before.
pub async fn set_channel(tx: &mut Tx, guild: GuildId, channel: ChannelId, entry: i64) -> Result<(), DbError> {
    // The same channel once more only takes back that it was turned off.
    sqlx::query(
        "INSERT INTO audit_delivery (guild_id, channel_id, delivered) VALUES ($1, $2, $3 - 1)
         ON CONFLICT (guild_id) DO UPDATE
            SET channel_id = excluded.channel_id,
                ends = NULL,
                message_id = CASE WHEN channel_id = excluded.channel_id THEN message_id END,
                head_day = CASE WHEN channel_id = excluded.channel_id THEN head_day ELSE 0 END,
                head_seq = CASE WHEN channel_id = excluded.channel_id THEN head_seq ELSE 0 END,
                failing = CASE WHEN channel_id = excluded.channel_id THEN failing ELSE 0 END,
                why = CASE WHEN channel_id = excluded.channel_id THEN why END",
    )
    .bind(guild.row())
    .bind(channel.row())
    .bind(entry)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Turns the channel of a guild off, where there is one; `entry` says so and is the last that it is told.
pub async fn end_channel(tx: &mut Tx, guild: GuildId, entry: i64) -> Result<(), DbError> {
    sqlx::query("UPDATE audit_delivery SET ends = $2 WHERE guild_id = $1 AND ends IS NULL")
        .bind(guild.row())
        .bind(entry)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes a channel that was turned off.
pub async fn remove_ended(tx: &mut Tx, guild: GuildId) -> Result<(), DbError> {
    sqlx::query("DELETE FROM audit_delivery WHERE guild_id = $1 AND ends IS NOT NULL")
        .bind(guild.row())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The guilds that have a channel.
pub async fn guilds(executor: impl Executor<'_, Database = Any>) -> Result<Vec<GuildId>, DbError> {
    let guilds: Vec<i64> =
        sqlx::query_scalar("SELECT guild_id FROM audit_delivery ORDER BY guild_id").fetch_all(executor).await?;
    Ok(guilds.into_iter().map(GuildId::from_row).collect())
}

/// How far a guild's log has come.
pub async fn of(executor: impl Executor<'_, Database = Any>, guild: GuildId) -> Result<Option<Delivery>, DbError> {
    let row = sqlx::query(
        "SELECT guild_id, channel_id, delivered, message_id, sending, sending_last,
                COALESCE(sending_channel, channel_id) AS sending_channel, COALESCE(sending_after, 0) AS sending_after,
                sent_at, head_day, head_seq, ends, failing
         FROM audit_delivery
         WHERE guild_id = $1",
    )
    .bind(guild.row())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(read).transpose()
}

/// How many entries wait for a guild's channel, and why nothing arrives there, where nothing does; nothing where it has no channel.
pub async fn standing(
    executor: impl Executor<'_, Database = Any>,
    guild: GuildId,
) -> Result<Option<(i64, Option<String>)>, DbError> {
    let standing = sqlx::query_as(
        "SELECT COALESCE((SELECT MAX(seq) FROM audit_log WHERE audit_log.guild_id = $1), delivered) - delivered, why
         FROM audit_delivery
         WHERE audit_delivery.guild_id = $1 AND ends IS NULL",
    );
    Ok(standing.bind(guild.row()).fetch_optional(executor).await?)
}

/// Notes what is about to be sent; whether that is still what comes next.
pub async fn note_sending(tx: &mut Tx, of: &Delivery, sending: &Sending) -> Result<bool, DbError> {
    let (kind, last) = kind(sending.message);
    let noted = sqlx::query(
        "UPDATE audit_delivery
            SET sending = $4, sending_last = $5, sending_channel = $2, sending_after = $6, sent_at = $7
          WHERE guild_id = $1 AND channel_id = $2 AND delivered = $3 AND sending IS NULL",
    )
    .bind(of.guild.row())
    .bind(sending.channel.row())
    .bind(of.delivered)
    .bind(kind)
    .bind(last)
    .bind(sending.after.row())
    .bind(sending.since.millis())
    .execute(&mut **tx)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// Notes that what was being sent has arrived. Of a channel that was changed meanwhile only the entries count.
pub async fn note_arrived(
    tx: &mut Tx,
    guild: GuildId,
    sending: &Sending,
    posted: MessageId,
    day: i64,
) -> Result<(), DbError> {
    let (kind, last) = kind(sending.message);
    sqlx::query(
        "UPDATE audit_delivery
            SET delivered = CASE WHEN $3 = 'entries' THEN $4 ELSE delivered END,
                head_seq = CASE WHEN $3 = 'head' AND channel_id = $2 THEN $4 ELSE head_seq END,
                head_day = CASE WHEN $3 = 'head' AND channel_id = $2 THEN $5 ELSE head_day END,
                message_id = CASE WHEN channel_id = $2 THEN $6 ELSE message_id END,
                failing = CASE WHEN channel_id = $2 THEN 0 ELSE failing END,
                why = CASE WHEN channel_id = $2 THEN NULL ELSE why END,
                sending = NULL, sending_last = NULL, sending_channel = NULL, sending_after = NULL, sent_at = NULL
          WHERE guild_id = $1 AND sending = $3 AND sending_last = $4",
    )
    .bind(guild.row())
    .bind(sending.channel.row())
    .bind(kind)
    .bind(last)
    .bind(day)
    .bind(posted.row())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that nothing is being sent.
pub async fn note_withdrawn(tx: &mut Tx, guild: GuildId) -> Result<(), DbError> {
    sqlx::query(
        "UPDATE audit_delivery
            SET sending = NULL, sending_last = NULL, sending_channel = NULL, sending_after = NULL, sent_at = NULL
          WHERE guild_id = $1",
    )
    .bind(guild.row())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that nothing arrives, and why; whether that is new.
pub async fn note_failing(tx: &mut Tx, of: &Delivery, why: &str) -> Result<bool, DbError> {
    let noted = sqlx::query(
        "UPDATE audit_delivery SET failing = 1, why = $3 WHERE guild_id = $1 AND channel_id = $2 AND failing = 0",
    )
    .bind(of.guild.row())
    .bind(of.channel.row())
    .bind(why)
    .execute(&mut **tx)
    .await?;
    if noted.rows_affected() == 1 {
        return Ok(true);
    }
    sqlx::query("UPDATE audit_delivery SET why = $3 WHERE guild_id = $1 AND channel_id = $2 AND why <> $3")
        .bind(of.guild.row())
        .bind(of.channel.row())
        .bind(why)
        .execute(&mut **tx)
        .await?;
    Ok(false)
}

/// Goes back to `last` where what came behind it was cut off from the chain: the numbers behind it are given anew.
pub async fn cut_off(tx: &mut Tx, guild: GuildId, last: i64) -> Result<(), DbError> {
    // Of entries that may have arrived those count that are left.
    sqlx::query(
        "UPDATE audit_delivery SET sending_last = $2
         WHERE guild_id = $1 AND sending = 'entries' AND sending_last > $2 AND delivered < $2",
    )
    .bind(guild.row())
    .bind(last)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "UPDATE audit_delivery
            SET sending = NULL, sending_last = NULL, sending_channel = NULL, sending_after = NULL, sent_at = NULL
          WHERE guild_id = $1 AND sending_last > $2",
    )
    .bind(guild.row())
    .bind(last)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "UPDATE audit_delivery SET delivered = $2, head_seq = CASE WHEN head_seq > $2 THEN $2 ELSE head_seq END
         WHERE guild_id = $1 AND delivered > $2",
    )
    .bind(guild.row())
    .bind(last)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn kind(message: Message) -> (&'static str, i64) {
    match message {
        Message::Entries(last) => ("entries", last),
        Message::Head(seq) => ("head", seq),
    }
}

fn read(row: &AnyRow) -> Result<Delivery, DbError> {
    let (kind, last): (Option<String>, Option<i64>) = (row.try_get("sending")?, row.try_get("sending_last")?);
    let message = match (kind.as_deref(), last) {
        (Some("entries"), Some(last)) => Some(Message::Entries(last)),
        (Some("head"), Some(seq)) => Some(Message::Head(seq)),
        _ => None,
    };
    let sending = match message {
        Some(message) => Some(Sending {
            message,
            channel: ChannelId::from_row(row.try_get("sending_channel")?),
            after: MessageId::from_row(row.try_get("sending_after")?),
            since: Timestamp::from_millis(row.try_get("sent_at")?),
        }),
        None => None,
    };
    let message: Option<i64> = row.try_get("message_id")?;
    Ok(Delivery {
        guild: GuildId::from_row(row.try_get("guild_id")?),
        channel: ChannelId::from_row(row.try_get("channel_id")?),
        delivered: row.try_get("delivered")?,
        message: message.map(MessageId::from_row),
        sending,
        head: (row.try_get("head_day")?, row.try_get("head_seq")?),
        ends: row.try_get("ends")?,
        failing: row.try_get::<i64, _>("failing")? != 0,
    })
}
