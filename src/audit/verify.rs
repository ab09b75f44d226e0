//! Checks a whole chain as the database has it now, in constant memory. Knows no SQL, and nothing of how the answer is shown.

use std::collections::HashSet;

use super::block::{self, BLOCK, Notes};
use super::chain::{Head, Row};
use super::proof::{Broken, Fault, Verifier};
use super::store;
use crate::db::{Connection, Db, DbError, Pool};
use crate::id::GuildId;
use crate::text::one_line;
use crate::time::Timestamp;

/// Breaks of one chain that are told; further ones are only counted.
pub const BREAKS_TOLD_MAX: usize = 10;
/// Entries that are read at a time.
const ROWS: i64 = 500;
/// The newest entries of each chain that a start looks at.
const ENDS: i64 = 100;

/// What became of the check of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whose chain.
    pub guild: GuildId,
    /// How many entries it has.
    pub entries: u64,
    /// How many of them were erased, as is recorded.
    pub redacted: u64,
    /// The last of the entries that were archived and removed, as is recorded.
    pub archived: Option<Head>,
    /// Its newest entry, when every entry could be read.
    pub head: Head,
    /// Where it breaks: the first ones.
    pub broken: Vec<Broken>,
    /// In how many places it breaks.
    pub broken_count: u64,
    /// Those of the noted heads that are in it.
    pub found: Vec<Head>,
}

impl Checked {
    /// Whether nothing was changed, removed, inserted or reordered.
    pub fn holds(&self) -> bool {
        self.broken_count == 0
    }

    fn tell(&mut self, broken: Broken) {
        self.broken_count += 1;
        if self.broken.len() < BREAKS_TOLD_MAX {
            self.broken.push(broken);
        }
    }
}

/// A check under way.
struct Check<'a> {
    verifier: Verifier,
    noted: &'a [String],
    checked: Checked,
    /// The table and the block of which was told last that searches pass it by.
    hidden: Option<(&'static str, i64)>,
}

impl Check<'_> {
    fn row(&mut self, row: &Row) {
        self.checked.entries += 1;
        self.checked.redacted += u64::from(row.salt.is_none());
        if let Err(broken) = self.verifier.next(row) {
            self.checked.tell(broken);
        }
        self.look_for(&row.head());
    }

    /// Whether searches find it. Of a block that is told once.
    fn search(&mut self, row: &Row, notes: &Notes, newest: i64) {
        let hidden = notes.hide(row, newest);
        if let Some((table, _)) = hidden.filter(|_| hidden != self.hidden) {
            self.checked.tell(Broken { guild: self.checked.guild, seq: row.seq, fault: Fault::Hidden(table) });
        }
        self.hidden = hidden.or(self.hidden);
    }

    fn look_for(&mut self, head: &Head) {
        if self.noted.contains(&head.hash) {
            self.checked.found.push(head.clone());
        }
    }
}

/// Checks the chain of `guild`, and looks in it for heads (hashes in lower case) that were noted earlier.
pub async fn verify(pool: &Pool, guild: GuildId, noted: &[String]) -> Result<Checked, DbError> {
    verify_after(std::iter::empty(), HashSet::new(), pool, guild, noted).await
}

/// The same for a chain whose oldest entries are not in the database any more but were `archived`; among them are the records of these
/// redactions.
pub async fn verify_after(
    archived: impl Iterator<Item = Row>,
    redacted: HashSet<i64>,
    pool: &Pool,
    guild: GuildId,
    noted: &[String],
) -> Result<Checked, DbError> {
    // One snapshot: what is recorded and what is there belong together.
    let mut tx = pool.begin().await?;
    let mut records = store::records(&mut tx, guild).await?;
    records.redacted.extend(redacted);
    let tail = store::tail(&mut tx, guild).await?;
    let mut check = Check {
        noted,
        hidden: None,
        checked: Checked {
            guild,
            entries: 0,
            redacted: 0,
            archived: records.archived.clone(),
            head: Head::beginning(),
            broken: Vec::new(),
            broken_count: 0,
            found: Vec::new(),
        },
        verifier: Verifier::new(guild, records),
    };
    archived.for_each(|row| check.row(&row));
    if check.checked.entries == 0
        && let Some(archived) = check.checked.archived.clone()
    {
        check.look_for(&archived);
    }
    let (mut notes, mut notes_of) = (Notes::default(), None);
    let mut rows = store::rows_after(&mut tx, guild, i64::MIN, ROWS).await;
    loop {
        let read = match rows {
            Ok(read) => read,
            Err(DbError::Corrupt(_)) => {
                unreadable(&mut check, &mut tx).await?;
                break;
            }
            Err(error) => return Err(error),
        };
        let Some((first, last)) = read.first().zip(read.last()).map(|(first, last)| (first.seq, last.seq)) else {
            break;
        };
        let blocks = (first.div_euclid(BLOCK), last.div_euclid(BLOCK));
        if notes_of != Some(blocks) {
            (notes, notes_of) = (block::store::notes(&mut tx, guild, blocks).await?, Some(blocks));
        }
        // The next ones are read while these are checked.
        let check_these = async {
            for row in &read {
                check.row(row);
                check.search(row, &notes, tail.head.seq);
            }
        };
        (rows, ()) = tokio::join!(store::rows_after(&mut tx, guild, last, ROWS), check_these);
    }
    if block::store::is_ahead(&mut tx, guild, tail.head.seq).await? {
        check.checked.tell(Broken { guild, seq: tail.head.seq, fault: Fault::Hidden("audit_span") });
    }
    let Check { verifier, mut checked, .. } = check;
    checked.head = verifier.head();
    if checked.broken.iter().all(|broken| broken.fault != Fault::Unreadable)
        && let Err(broken) = verifier.end(tail.noted.as_ref())
    {
        checked.tell(broken);
    }
    Ok(checked)
}

/// Looks at the newest entries of each chain, as far as that takes a moment: what is broken there is told in the log, and where entries were
/// cut off since the last one was written, the chain itself says so and goes on from what is left.
pub async fn check_ends(db: &Db, now: Timestamp) -> Result<(), DbError> {
    for guild in store::guilds(db.pool()).await? {
        let mut tx = db.begin().await?;
        let tail = store::tail(&mut tx, guild).await?;
        if tail.is_broken() {
            store::record_break(&mut tx, tail.clone(), guild, now).await?;
        }
        tx.commit().await?;
        let mut reader = db.reader().await?;
        let records = store::records(&mut reader, guild).await?;
        let rows = match store::rows_after(&mut reader, guild, tail.head.seq.saturating_sub(ENDS), ENDS).await {
            Ok(rows) => rows,
            Err(DbError::Corrupt(why)) => {
                let why = one_line(&why);
                tracing::error!(guild = %guild, "THE AUDIT LOG IS BROKEN: one of its newest entries can't be read ({why}). `slipway audit verify` tells more");
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut verifier = Verifier::new(guild, records);
        if let Some(first) = rows.first() {
            verifier.go_on_from(Head { seq: first.seq - 1, hash: first.prev_hash.clone() });
        }
        let broken = rows.iter().filter_map(|row| verifier.next(row).err());
        for broken in broken.filter(|broken| broken.fault != Fault::Recorded) {
            tracing::error!(guild = %guild, "THE AUDIT LOG IS BROKEN: {broken}. `slipway audit verify` tells more");
        }
    }
    Ok(())
}

/// Goes on one by one to the entry that can't be read.
async fn unreadable(check: &mut Check<'_>, connection: &mut Connection) -> Result<(), DbError> {
    loop {
        let last = check.verifier.last();
        match store::rows_after(connection, check.checked.guild, last, 1).await {
            Ok(rows) => match rows.first() {
                Some(row) => check.row(row),
                None => return Ok(()),
            },
            Err(DbError::Corrupt(_)) => {
                check.checked.entries += 1;
                let broken = check.verifier.unreadable();
                check.checked.tell(broken);
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}
