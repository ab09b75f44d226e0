//! The notes of blocks in the database, and the times that its triggers note in `audit_span`.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures_util::TryStreamExt;
use sqlx::Row as _;

use super::{BLOCK, Kind, Notes, Pair, Pairs, SPAN};
use crate::audit::store::rows_after;
use crate::db::{Connection, DbError};
use crate::id::GuildId;

/// Entries that are read at a time.
const ROWS: i64 = 512;

/// Notes what the entries of a block hold.
pub async fn note(connection: &mut Connection, guild: GuildId, block: i64) -> Result<(), DbError> {
    let mut pairs: HashMap<Kind, HashSet<Pair>> = Kind::all().map(|kind| (kind, HashSet::new())).collect();
    let mut first = block * BLOCK;
    while first < (block + 1) * BLOCK {
        let rows = match rows_after(connection, guild, first - 1, ROWS).await {
            // What can't be read is `verify`'s to tell: without a note nothing is passed by, and what is appended now goes on.
            Err(DbError::Corrupt(_)) => return Ok(()),
            rows => rows?,
        };
        for row in rows {
            if row.seq < first + ROWS {
                for pair in Pair::of(&row) {
                    pairs.entry(pair.kind).or_default().insert(pair);
                }
            }
        }
        first += ROWS;
    }
    for (kind, pairs) in pairs {
        sqlx::query(
            "INSERT INTO audit_met (guild_id, kind, block, pairs) VALUES ($1, $2, $3, $4)
             ON CONFLICT (guild_id, kind, block) DO UPDATE SET pairs = excluded.pairs",
        )
        .bind(guild.row())
        .bind(kind.number())
        .bind(block)
        .bind(Pairs::noted(&pairs).0)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// The same where it was noted before, and an entry was erased.
pub async fn note_again(connection: &mut Connection, guild: GuildId, block: i64) -> Result<(), DbError> {
    let noted: Option<i64> = sqlx::query_scalar("SELECT block FROM audit_met WHERE guild_id = $1 AND kind IN (SELECT value FROM json_each($2)) AND block = $3 LIMIT 1")
        .bind(guild.row())
        .bind(all_kinds())
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
) -> Result<BTreeSet<i64>, DbError> {
    let mut without = BTreeSet::new();
    for meeting in meetings {
        let mut kinds: HashMap<Kind, Vec<Pair>> = HashMap::new();
        meeting.iter().for_each(|pair| kinds.entry(pair.kind).or_default().push(*pair));
        // In how many of the kinds a block has none.
        let mut missing: HashMap<i64, usize> = HashMap::new();
        for (kind, meant) in &kinds {
            let mut noted = sqlx::query(
                "SELECT block, pairs FROM audit_met WHERE guild_id = $1 AND kind = $2 AND block BETWEEN $3 AND $4",
            )
            .bind(guild.row())
            .bind(kind.number())
            .bind(first)
            .bind(last)
            .fetch(&mut *connection);
            while let Some(row) = noted.try_next().await? {
                let pairs = Pairs(row.try_get("pairs")?);
                if !meant.iter().any(|pair| pairs.may_hold(*pair)) {
                    *missing.entry(row.try_get("block")?).or_default() += 1;
                }
            }
        }
        without.extend(missing.into_iter().filter(|(_, missing)| *missing == kinds.len()).map(|(block, _)| block));
    }
    Ok(without)
}

/// What is noted of the entries of the blocks from `first` to `last`.
pub async fn notes(connection: &mut Connection, guild: GuildId, (first, last): (i64, i64)) -> Result<Notes, DbError> {
    let spans_each = BLOCK / SPAN;
    let spans = sqlx::query_as(
        "SELECT block, at_min, at_max FROM audit_span WHERE guild_id = $1 AND block BETWEEN $2 AND $3 ORDER BY block",
    );
    let spans = spans
        .bind(guild.row())
        .bind(first.saturating_mul(spans_each))
        .bind((last + 1).saturating_mul(spans_each) - 1)
        .fetch_all(&mut *connection)
        .await?;
    let pairs = sqlx::query_as(
        "SELECT block, kind, pairs
           FROM audit_met
          WHERE guild_id = $1 AND kind IN (SELECT value FROM json_each($2)) AND block BETWEEN $3 AND $4",
    );
    let pairs: Vec<(i64, i64, Vec<u8>)> =
        pairs.bind(guild.row()).bind(all_kinds()).bind(first).bind(last).fetch_all(connection).await?;
    Ok(Notes::new(spans, pairs.into_iter().map(|(block, kind, pairs)| (block, kind, Pairs(pairs)))))
}

/// Every kind's number, as a JSON array: the notes are in their order.
fn all_kinds() -> String {
    serde_json::Value::from_iter(Kind::all().map(Kind::number)).to_string()
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
        .bind(last.saturating_add(1) / SPAN)
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "DELETE FROM audit_met WHERE guild_id = $1 AND kind IN (SELECT value FROM json_each($2)) AND block >= $3",
    )
    .bind(guild.row())
    .bind(all_kinds())
    .bind(last.saturating_add(1) / BLOCK)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets what is noted of the blocks before the one that `first` is in: their entries are archived.
pub async fn archived(connection: &mut Connection, guild: GuildId, first: i64) -> Result<(), DbError> {
    sqlx::query(
        "DELETE FROM audit_met WHERE guild_id = $1 AND kind IN (SELECT value FROM json_each($2)) AND block < $3",
    )
    .bind(guild.row())
    .bind(all_kinds())
    .bind(first / BLOCK)
    .execute(connection)
    .await?;
    Ok(())
}
