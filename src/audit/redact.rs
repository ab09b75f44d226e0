//! Erasing what people wrote in one entry, so that the chain still proves everything else: a pasted secret, a name that must be
//! forgotten. That it was erased is an entry of its own, in the same transaction.

use super::block::{self, BLOCK};
use super::chain::Row;
use super::entry::{Action, Entry, Outcome, Redacted};
use super::store;
use crate::actor::Actor;
use crate::db::{Db, DbError};
use crate::id::GuildId;
use crate::time::Timestamp;

/// How many entries with the same reason are told of.
pub const ALIKE_MAX: i64 = 20;

/// Why an entry is not erased.
#[derive(Debug, thiserror::Error)]
pub enum RedactError {
    /// There is none of that number.
    #[error("There is no entry #{0}. `slipway audit search` lists those there are.")]
    None(i64),
    /// It is in an archive.
    #[error(
        "Entry #{seq} was archived: the log here begins after #{last}. Erase it in the archive by removing that file, of which `slipway audit search action:audit.archived` tells the name."
    )]
    Archived { seq: i64, last: i64 },
    /// It is erased already.
    #[error("Entry #{0} has been redacted already.")]
    Before(i64),
    /// Without it nobody could tell that the archived entries are not simply gone.
    #[error("Entry #{0} records an archive: without it the chain could not be proved any more. It is not erased.")]
    Record(i64),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What was erased.
#[derive(Debug)]
pub struct Erased {
    /// The entry that records it.
    pub record: i64,
    /// Other entries that hold the same reason, which may have to follow: the oldest [`ALIKE_MAX`].
    pub alike: Vec<i64>,
    /// Whether nothing of it is left in the database's files either; otherwise it is once the bot lets go of them.
    pub wiped: bool,
}

/// Erases the name, the reason and the detail of an entry, with its salt.
pub async fn redact(
    db: &Db,
    operator: &Actor,
    guild: GuildId,
    seq: i64,
    reason: &str,
    now: Timestamp,
) -> Result<Erased, RedactError> {
    let alike = alike(db, guild, seq).await?;
    let mut tx = db.begin().await?;
    let records = store::records(&mut tx, guild).await?;
    let Some(row) = store::entry(&mut tx, guild, seq).await? else {
        return Err(match records.archived.filter(|archived| seq <= archived.seq) {
            Some(archived) => RedactError::Archived { seq, last: archived.seq },
            None => RedactError::None(seq),
        });
    };
    if row.salt.is_none() {
        return Err(RedactError::Before(seq));
    }
    if row.action == Action::AuditArchived.as_str() {
        return Err(RedactError::Record(seq));
    }
    let detail = serde_json::to_value(Redacted { redacted: erased_with(&row) }).expect("numbers are JSON");
    let entry =
        Entry::new(guild, now, operator, Action::AuditRedacted, Outcome::Allowed).reason(Some(reason)).detail(detail);
    let head = super::append(&mut tx, &entry).await?;
    store::erase(&mut tx, guild, seq).await?;
    block::store::note_again(&mut tx, guild, seq / BLOCK).await?;
    tx.commit().await?;
    Ok(Erased { record: head.seq, alike, wiped: db.flush_log().await? })
}

/// Other entries with the same reason. No index knows reasons, and a transaction that writes would keep deploys waiting for as long as
/// it takes to read the whole log.
async fn alike(db: &Db, guild: GuildId, seq: i64) -> Result<Vec<i64>, DbError> {
    let mut reader = db.reader().await?;
    let Some(reason) = store::entry(&mut reader, guild, seq).await?.and_then(|row| row.reason) else {
        return Ok(Vec::new());
    };
    store::with_reason(&mut reader, guild, &reason, seq, ALIKE_MAX).await
}

/// The entry itself, and where it records redactions, those: their record is gone with it.
fn erased_with(row: &Row) -> Vec<i64> {
    let mut erased = vec![row.seq];
    if row.action == Action::AuditRedacted.as_str()
        && let Some(Ok(Redacted { redacted })) = row.detail.as_deref().map(serde_json::from_str)
    {
        erased.extend(redacted);
    }
    erased
}
