//! The check of a chain, row by row: where it breaks and how. Pure: knows nothing of the database.

use std::collections::HashSet;
use std::fmt;

use super::chain::{FORMAT, Head, Row, SALT_BYTES};
use super::entry::{Action, Archived, Redacted};
use crate::id::GuildId;

/// What the entries of a chain record of the chain itself. Each of them is an entry like others, and checked like them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Records {
    /// The entries that were erased.
    pub redacted: HashSet<i64>,
    /// The last of the oldest entries that were archived and removed.
    pub archived: Option<Head>,
}

impl Records {
    /// Takes note of what the `detail` of a redaction or an archive says. What doesn't read as Slipway writes it records nothing; its own
    /// seal tells that it was changed.
    pub fn note(&mut self, detail: &str) {
        if let Ok(Redacted { redacted }) = serde_json::from_str(detail) {
            self.redacted.extend(redacted);
        }
        if let Ok(Archived { last, head }) = serde_json::from_str(detail)
            && self.archived.as_ref().is_none_or(|archived| archived.seq < last)
        {
            self.archived = Some(Head { seq: last, hash: head });
        }
    }

    /// Takes note of `row`, if it records a redaction.
    pub fn note_redaction(&mut self, row: &Row) {
        if let Some(detail) = row.detail.as_deref().filter(|_| row.action == Action::AuditRedacted.as_str()) {
            self.note(detail);
        }
    }
}

/// Where a chain breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Whose chain.
    pub guild: GuildId,
    /// The entry at which it shows.
    pub seq: i64,
    /// How.
    pub fault: Fault,
}

/// How a chain breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Entries that should come before this one are not there.
    Missing {
        /// The first of them.
        first: i64,
        /// The last of them.
        last: i64,
    },
    /// An entry stands where none can be: a number below 1, or one that was there before.
    Misplaced,
    /// The row belongs to another guild than the chain that is checked.
    OtherGuild,
    /// It was written in a format that this version doesn't know.
    Format(i64),
    /// `prev_hash` is not the hash of the entry before.
    Unlinked,
    /// The salt is gone, or is none, and no redaction is recorded.
    Salt,
    /// `seal` doesn't fit the salt, name, reason and detail.
    Seal,
    /// `hash` doesn't fit the entry.
    Hash,
    /// The row holds something that no entry holds, such as bytes that are not text.
    Unreadable,
    /// It is the newest one, and another is noted as the newest in `audit_head`; none is noted when that row is gone.
    NotTheNewest(Option<Head>),
    /// It is the last one that was archived, and its hash is not the one that is recorded.
    NotTheArchived,
    /// What this table notes of its block would make searches pass it by.
    Hidden(&'static str),
    /// The entry itself records that the newest entries were found to be others than those that had been noted.
    Recorded,
}

impl fmt::Display for Broken {
    /// One sentence for people, without its full stop.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seq = self.seq;
        match &self.fault {
            Fault::Missing { first, last } if first == last => {
                write!(f, "entry {first} is missing: it was removed or renumbered (next is {seq})")
            }
            Fault::Missing { first, last } => {
                write!(f, "entries {first} to {last} are missing: they were removed or renumbered (next is {seq})")
            }
            Fault::Misplaced => write!(f, "entry {seq} stands where none can be: it was inserted or renumbered"),
            Fault::OtherGuild => write!(f, "entry {seq} belongs to another guild"),
            Fault::Format(format) => {
                write!(f, "entry {seq} says it has format {format}: it was changed, or written by a newer Slipway")
            }
            Fault::Unlinked => write!(
                f,
                "entry {seq} doesn't follow the one before it: prev_hash was changed, or entries were replaced, inserted or reordered"
            ),
            Fault::Salt => write!(f, "entry {seq} has lost its salt, and no redaction is recorded"),
            Fault::Seal => {
                write!(f, "entry {seq} was changed: its seal doesn't fit actor_name, reason, detail and salt")
            }
            Fault::Hash => write!(f, "entry {seq} was changed: its hash doesn't fit its columns"),
            Fault::Unreadable => {
                write!(
                    f,
                    "entry {seq} can't be read: it was changed to something that no entry holds; what follows can't be checked"
                )
            }
            Fault::NotTheNewest(Some(Head { seq: noted, .. })) if *noted == seq => {
                write!(
                    f,
                    "entry {seq} is not the one that audit_head has noted under that number: one of them was changed"
                )
            }
            Fault::NotTheNewest(Some(Head { seq: noted, .. })) if *noted == seq.saturating_add(1) => {
                write!(f, "entry {noted} was cut off: audit_head has noted it as the newest one")
            }
            Fault::NotTheNewest(Some(Head { seq: noted, .. })) if *noted > seq => {
                write!(f, "entries {} to {noted} were cut off: audit_head has noted {noted} as the newest one", seq + 1)
            }
            Fault::NotTheNewest(Some(Head { seq: noted, .. })) => {
                write!(f, "entry {seq} came without a note: audit_head still has {noted} as the newest one")
            }
            Fault::NotTheNewest(None) => {
                write!(f, "entry {seq} is the newest, and the row of audit_head that says so is gone")
            }
            Fault::NotTheArchived => write!(f, "entry {seq} is not the one that was archived under that number"),
            Fault::Hidden(table) => {
                write!(f, "entry {seq} is hidden from searches: what {table} notes of its block was changed or removed")
            }
            Fault::Recorded => {
                write!(
                    f,
                    "entry {seq} records that what stood before it had been cut off or changed: its reason says what"
                )
            }
        }
    }
}

/// Checks one guild's chain, row by row in the order of `seq`, in constant memory.
#[derive(Debug, Clone)]
pub struct Verifier {
    guild: GuildId,
    head: Option<Head>,
    records: Records,
}

impl Verifier {
    /// A check of the chain of `guild`, in which `records` are found, before its first row.
    pub fn new(guild: GuildId, records: Records) -> Self {
        Self { guild, head: None, records }
    }

    /// Begins behind an entry that was checked elsewhere, or is not there.
    pub fn go_on_from(&mut self, head: Head) {
        self.head = Some(head);
    }

    /// Checks that `row` is what comes next. After a break it goes on from the row as it stands, so that later breaks show
    /// too.
    pub fn next(&mut self, row: &Row) -> Result<(), Broken> {
        let before = self.head.take().unwrap_or_else(|| self.start(row));
        self.head = Some(row.head());
        match self.fault(&before, row) {
            None => Ok(()),
            Some(fault) => Err(Broken { guild: self.guild, seq: row.seq, fault }),
        }
    }

    /// Checks that the last row is the newest entry that was noted.
    pub fn end(&self, noted: Option<&Head>) -> Result<(), Broken> {
        let last = self.head();
        if noted.map_or(last.seq == 0, |noted| *noted == last) {
            return Ok(());
        }
        Err(Broken { guild: self.guild, seq: last.seq, fault: Fault::NotTheNewest(noted.cloned()) })
    }

    /// What the first row must follow: the beginning, or the last of what was archived. An archived entry may be gone, and is so before
    /// those that come after it.
    fn start(&self, first: &Row) -> Head {
        match &self.records.archived {
            Some(archived) if first.seq > archived.seq => archived.clone(),
            Some(_) if first.seq > 1 => Head { seq: first.seq - 1, hash: first.prev_hash.clone() },
            _ => Head::beginning(),
        }
    }

    /// The break at a row that can't even be read: it should have been the next one.
    pub fn unreadable(&self) -> Broken {
        Broken { guild: self.guild, seq: self.head().seq + 1, fault: Fault::Unreadable }
    }

    /// The last row that was seen; before the first one, what that must follow.
    pub fn head(&self) -> Head {
        let archived = || self.records.archived.clone().unwrap_or_else(Head::beginning);
        self.head.clone().unwrap_or_else(archived)
    }

    /// The number of the last row that was seen; below every number before the first one.
    pub fn last(&self) -> i64 {
        self.head.as_ref().map_or(i64::MIN, |head| head.seq)
    }

    fn fault(&self, before: &Head, row: &Row) -> Option<Fault> {
        let next = before.seq.saturating_add(1);
        if row.guild_id != self.guild.row() {
            return Some(Fault::OtherGuild);
        }
        if row.seq < next {
            return Some(Fault::Misplaced);
        }
        if row.seq > next {
            return Some(Fault::Missing { first: next, last: row.seq - 1 });
        }
        if row.format != FORMAT {
            return Some(Fault::Format(row.format));
        }
        if row.prev_hash != before.hash {
            return Some(Fault::Unlinked);
        }
        match &row.salt {
            // What was sealed can't be checked any more, and must be gone with the salt.
            None if self.records.redacted.contains(&row.seq) => {
                if row.actor_name.is_some() || row.reason.is_some() || row.detail.is_some() {
                    return Some(Fault::Seal);
                }
            }
            Some(salt) if is_salt(salt) => {
                if row.expected_seal().as_ref() != Some(&row.seal) {
                    return Some(Fault::Seal);
                }
            }
            _ => return Some(Fault::Salt),
        }
        if !row.has_exact_numbers() || row.expected_hash() != row.hash {
            return Some(Fault::Hash);
        }
        if self.records.archived.as_ref().is_some_and(|archived| archived.seq == row.seq && archived.hash != row.hash) {
            return Some(Fault::NotTheArchived);
        }
        (row.action == Action::AuditBroken.as_str()).then_some(Fault::Recorded)
    }
}

fn is_salt(text: &str) -> bool {
    text.len() == 2 * SALT_BYTES && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::tests::chain;

    const GUILD: GuildId = GuildId::PROCESS;

    fn faults(rows: &[Row]) -> Vec<(i64, Fault)> {
        let mut verifier = Verifier::new(GUILD, Records::default());
        rows.iter().filter_map(|row| verifier.next(row).err().map(|broken| (broken.seq, broken.fault))).collect()
    }

    #[test]
    fn a_chain_holds_and_its_head_is_its_newest_entry() {
        let rows = chain(3);
        assert_eq!(faults(&rows), []);
        let mut verifier = Verifier::new(GUILD, Records::default());
        rows.iter().for_each(|row| verifier.next(row).unwrap());
        assert_eq!(verifier.head(), Head { seq: 3, hash: rows[2].hash.clone() });
    }

    #[test]
    fn removal_insertion_and_reordering_are_told_apart() {
        let rows = chain(4);
        let [one, two, three, four] = [&rows[0], &rows[1], &rows[2], &rows[3]].map(Row::clone);
        assert_eq!(faults(&[one.clone(), four.clone()]), [(4, Fault::Missing { first: 2, last: 3 })]);
        assert_eq!(faults(std::slice::from_ref(&two)), [(2, Fault::Missing { first: 1, last: 1 })]);
        assert_eq!(faults(&[one.clone(), one.clone()]), [(1, Fault::Misplaced)]);
        let swapped = [one, Row { seq: 2, ..three }, Row { seq: 3, ..two }, four];
        assert_eq!(faults(&swapped), [(2, Fault::Unlinked), (3, Fault::Unlinked), (4, Fault::Unlinked)]);
    }

    #[test]
    fn a_chain_rewritten_from_some_point_has_another_head() {
        let rows = chain(2);
        let forged = Row { reason: Some("another".to_owned()), ..rows[1].clone() };
        let forged = Row { seal: forged.expected_seal().unwrap(), ..forged };
        let forged = Row { hash: forged.expected_hash(), ..forged };
        assert_eq!(faults(&[rows[0].clone(), forged.clone()]), [], "only a noted head can tell");
        assert_ne!(forged.hash, rows[1].hash);
    }

    #[test]
    fn what_was_erased_holds_only_where_that_is_recorded_and_only_when_all_of_it_is_gone() {
        let rows = chain(2);
        let erased = Row { actor_name: None, reason: None, detail: None, salt: None, ..rows[0].clone() };
        assert_eq!(faults(&[erased.clone(), rows[1].clone()]), [(1, Fault::Salt)]);
        let check = |row: &Row| {
            let mut verifier = Verifier::new(GUILD, Records { redacted: HashSet::from([1]), archived: None });
            verifier.next(row).map_err(|broken| broken.fault)
        };
        assert_eq!(check(&erased), Ok(()));
        assert_eq!(check(&rows[0]), Ok(()), "recorded, and not erased after all");
        assert_eq!(check(&Row { reason: Some("forged".to_owned()), ..erased.clone() }), Err(Fault::Seal));
        assert_eq!(check(&Row { branch: Some("main".to_owned()), ..erased }), Err(Fault::Hash));
    }

    #[test]
    fn a_chain_goes_on_from_what_was_archived() {
        let rows = chain(4);
        let check = |rows: &[Row]| {
            let records = Records { archived: Some(self::chain(4)[1].head()), ..Records::default() };
            let mut verifier = Verifier::new(GUILD, records);
            let faults: Vec<Fault> = rows.iter().filter_map(|row| verifier.next(row).err()).map(|b| b.fault).collect();
            faults
        };
        assert_eq!(check(&rows[2..]), []);
        assert_eq!(check(&rows), []);
        assert_eq!(check(&rows[3..]), [Fault::Missing { first: 3, last: 3 }]);
        assert_eq!(check(&rows[1..]), [], "it was stopped before all that is archived was removed");
        let forged = Row { prev_hash: rows[1].hash.clone(), ..rows[1].clone() };
        let forged = Row { hash: forged.expected_hash(), ..forged };
        assert_eq!(check(&[forged]), [Fault::NotTheArchived]);
        let forged = Row { prev_hash: rows[0].hash.clone(), ..rows[2].clone() };
        assert_eq!(check(&[forged]), [Fault::Unlinked]);
    }

    #[test]
    fn the_newest_entry_is_the_one_that_was_noted() {
        let rows = chain(3);
        let mut verifier = Verifier::new(GUILD, Records::default());
        rows[..2].iter().for_each(|row| verifier.next(row).unwrap());
        let told = |noted: Option<Head>| verifier.end(noted.as_ref()).map_err(|broken| broken.to_string());
        assert_eq!(told(Some(rows[1].head())), Ok(()));
        for (noted, told_as) in [
            (Some(rows[2].head()), "entry 3 was cut off"),
            (Some(Head { seq: 9, ..rows[2].head() }), "entries 3 to 9 were cut off"),
            (Some(Head { seq: 2, ..rows[2].head() }), "entry 2 is not the one"),
            (Some(rows[0].head()), "entry 2 came without a note"),
            (None, "entry 2 is the newest, and the row"),
        ] {
            assert!(told(noted).unwrap_err().starts_with(told_as), "{told_as}");
        }
        assert!(Verifier::new(GUILD, Records::default()).end(None).is_ok());
        assert!(Verifier::new(GUILD, Records::default()).end(Some(&rows[2].head())).is_err());
    }

    #[test]
    fn numbers_that_json_would_round_are_no_way_round_the_hash() {
        let rows = chain(1);
        let rounded = Row { at: (1 << 53) + 1, ..rows[0].clone() };
        let rounded = Row { hash: rounded.expected_hash(), ..rounded };
        assert_eq!(Row { at: 1 << 53, ..rounded.clone() }.expected_hash(), rounded.hash);
        assert_eq!(faults(&[rounded]), [(1, Fault::Hash)]);
    }
}
