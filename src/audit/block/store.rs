//! The notes of blocks in the database, and the times that its triggers note in `audit_span`.

use std::collections::HashSet;

use futures_util::TryStreamExt;
use sqlx::Row as _;

use super::{BLOCK, Notes, Pair, Pairs, SPAN};
use crate::audit::store::rows_after;
use crate::db::{Connection, DbError};
use crate::id::GuildId;

/// Entries that are read at a time.
const ROWS: i64 = 512;

/// Notes what the entries of a block hold.
pub async fn note(connection: &mut Connection, guild: GuildId, block: i64) -> Result<(), DbError> {
    let mut pairs = HashSet::new();
    let mut first = block * BLOCK;
    while first < (block + 1) * BLOCK {
        let rows = match rows_after(connection, guild, first - 1, ROWS).await {
            // What can't be read is `verify`'s to tell: without a note nothing is passed by, and what is appended now goes on.
            Err(DbError::Corrupt(_)) => return Ok(()),
            rows => rows?,
        };
        for row in rows {
            if row.seq < first + ROWS {
                pairs.extend(Pair::of(&row));
            }
        }
        first += ROWS;
    }
    sqlx::query(
        "INSERT INTO audit_met (guild_id, block, pairs) VALUES ($1, $2, $3)
         ON CONFLICT (guild_id, block) DO UPDATE SET pairs = excluded.pairs",
    )
    .bind(guild.row())
    .bind(block)
    .bind(Pairs::noted(&pairs).0)
    .execute(connection)
    .await?;
    Ok(())
}

/// The same where it was noted before, and an entry was erased.
pub async fn note_again(connection: &mut Connection, guild: GuildId, block: i64) -> Result<(), DbError> {
    let noted: Option<i64> = sqlx::query_scalar("SELECT block FROM audit_met WHERE guild_id = $1 AND block = $2")
        .bind(guild.row())
        .bind(block)
        .fetch_optional(&mut *connection)
        .await?;
    match noted {
        Some(block) => note(connection, guild, block).await,
        None => Ok(()),
    }
}

/// The blocks from `first` to `last` in whose entries none of the pairs of one of `meetings` stands together, as far as they are noted.
pub async fn without(
    connection: &mut Connection,
    guild: GuildId,
    (first, last): (i64, i64),
    meetings: &[Vec<Pair>],
) -> Result<HashSet<i64>, DbError> {
    let mut noted = sqlx::query("SELECT block, pairs FROM audit_met WHERE guild_id = $1 AND block BETWEEN $2 AND $3")
        .bind(guild.row())
        .bind(first)
        .bind(last)
        .fetch(connection);
    let mut without = HashSet::new();
    while let Some(row) = noted.try_next().await? {
        let pairs = Pairs(row.try_get("pairs")?);
        if meetings.iter().any(|meeting| !meeting.iter().any(|pair| pairs.may_hold(*pair))) {
            without.insert(row.try_get("block")?);
        }
    }
    Ok(without)
}

/// What is noted of the entries from `first` to `last`.
pub async fn notes(connection: &mut Connection, guild: GuildId, first: i64, last: i64) -> Result<Notes, DbError> {
    let spans = sqlx::query_as(
        "SELECT block, at_min, at_max FROM audit_span WHERE guild_id = $1 AND block BETWEEN $2 AND $3 ORDER BY block",
    );
    let spans = spans.bind(guild.row()).bind(first / SPAN).bind(last / SPAN).fetch_all(&mut *connection).await?;
    let pairs = sqlx::query_as(
        "SELECT block, pairs FROM audit_met WHERE guild_id = $1 AND block BETWEEN $2 AND $3 ORDER BY block",
    );
    let pairs: Vec<(i64, Vec<u8>)> =
        pairs.bind(guild.row()).bind(first / BLOCK).bind(last / BLOCK).fetch_all(connection).await?;
    Ok(Notes { spans, pairs: pairs.into_iter().map(|(block, pairs)| (block, Pairs(pairs))).collect() })
}

/// Whether times are noted of entries that are still to come, which a search would then pass by.
pub async fn is_ahead(connection: &mut Connection, guild: GuildId, newest: i64) -> Result<bool, DbError> {
    let block: Option<i64> = sqlx::query_scalar("SELECT MAX(block) FROM audit_span WHERE guild_id = $1")
        .bind(guild.row())
        .fetch_one(connection)
        .await?;
    Ok(block.is_some_and(|block| block > newest / SPAN))
}

/// Forgets what is noted of blocks that are not whole without the entries after `last`: those are gone, and others come.
pub async fn cut_off(connection: &mut Connection, guild: GuildId, last: i64) -> Result<(), DbError> {
    sqlx::query("DELETE FROM audit_span WHERE guild_id = $1 AND block >= $2")
        .bind(guild.row())
        .bind((last + 1) / SPAN)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM audit_met WHERE guild_id = $1 AND block >= $2")
        .bind(guild.row())
        .bind((last + 1) / BLOCK)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets what is noted of the blocks before the one that `first` is in: their entries are archived.
pub async fn archived(connection: &mut Connection, guild: GuildId, first: i64) -> Result<(), DbError> {
    sqlx::query("DELETE FROM audit_met WHERE guild_id = $1 AND block < $2")
        .bind(guild.row())
        .bind(first / BLOCK)
        .execute(connection)
        .await?;
    Ok(())
}
