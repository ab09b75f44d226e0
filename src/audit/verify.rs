//! Checks a whole chain as the database has it now, in constant memory. Knows no SQL, and nothing of how the answer is shown.

use super::chain::{Broken, Head, Verifier};
use super::store;
use crate::db::{DbError, Pool};
use crate::id::GuildId;
use futures_util::StreamExt;

/// Breaks of one chain that are told; further ones are only counted.
pub const BREAKS_TOLD_MAX: usize = 10;

/// What became of the check of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whose chain.
    pub guild: GuildId,
    /// How many entries it has.
    pub entries: u64,
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

/// Checks the chain of `guild`, and looks in it for heads (hashes in lower case) that were noted earlier.
pub async fn verify(pool: &Pool, guild: GuildId, noted: &[String]) -> Result<Checked, DbError> {
    let mut verifier = Verifier::new(guild);
    let mut checked =
        Checked { guild, entries: 0, head: Head::beginning(), broken: Vec::new(), broken_count: 0, found: Vec::new() };
    let mut rows = store::rows(pool, guild);
    while let Some(row) = rows.next().await {
        let row = match row {
            Ok(row) => row,
            // Nothing after it can be reached: the stream ends with its first error.
            Err(DbError::Corrupt(_)) => {
                checked.entries += 1;
                checked.tell(verifier.unreadable());
                break;
            }
            Err(error) => return Err(error),
        };
        checked.entries += 1;
        if let Err(broken) = verifier.next(&row) {
            checked.tell(broken);
        }
        if noted.contains(&row.hash) {
            checked.found.push(row.head());
        }
    }
    drop(rows);
    checked.head = verifier.head().clone();
    Ok(checked)
}
