//! The oldest entries as a file, from which the chain goes on in the database. Nothing is removed before the file is on the disk, was
//! read back and proves itself.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use sha2::{Digest, Sha256};

use super::block;
use super::chain::{Head, Row};
use super::entry::{Action, Entry, Outcome};
use super::export::{FileFormat, Lines, read_line};
use super::proof::{Broken, Records, Verifier};
use super::store;
use crate::actor::Actor;
use crate::db::{Db, DbError};
use crate::id::GuildId;
use crate::time::{Clock, Timestamp};
use crate::whole_file::WholeFile;

/// Entries that are read at a time.
const ROWS: i64 = 500;
/// Entries that are removed at a time: the bot writes in between.
const REMOVED: i64 = 2_000;

/// Why entries are not archived. Unless it says otherwise nothing was removed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// None is as old.
    #[error("No entry is older than that: nothing was archived.")]
    Nothing,
    /// The file is there.
    #[error("{} is there already. Name a file that isn't: an archive is never overwritten.", .0.display())]
    Exists(PathBuf),
    /// The chain is broken where it would be archived.
    #[error(
        "The chain is broken: {0}. What can't be proved is not archived; `slipway audit verify` tells more. Nothing was removed."
    )]
    Broken(Broken),
    /// The file can't be written or read.
    #[error("{} can't be written: {why}. Nothing was removed.", path.display())]
    File { path: PathBuf, why: io::Error },
    /// The file doesn't hold what was written.
    #[error("{} doesn't read back as it was written: {why}. Nothing was removed; keep the disk under suspicion.", path.display())]
    Differs { path: PathBuf, why: String },
    /// An entry was redacted while the file was written.
    #[error("An entry was redacted meanwhile, which the file {} does not know. Nothing was removed: remove that file and archive again.", .0.display())]
    Redacted(PathBuf),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What was archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// How many entries.
    pub entries: u64,
    /// The first of them.
    pub first: i64,
    /// The last of them, which the chain goes on from.
    pub head: Head,
    /// The SHA-256 of the file.
    pub sha256: String,
    /// The entry that records it.
    pub record: i64,
}

/// Writes the entries of a guild that are older than `before`, as far as none of them is newer, to the new file `path`, and removes
/// them.
pub async fn archive(
    db: &Db,
    operator: &Actor,
    guild: GuildId,
    before: Timestamp,
    path: &Path,
    clock: &Clock,
) -> Result<Archive, ArchiveError> {
    if path.exists() {
        return Err(ArchiveError::Exists(path.to_owned()));
    }
    // What an earlier archive was stopped at is removed first: it is in its file.
    let earlier = store::records(&mut *db.reader().await?, guild).await?.archived;
    if let Some(archived) = earlier {
        remove(db, guild, archived.seq).await?;
    }
    // One snapshot: what is recorded as redacted and what is there belong together.
    let mut snapshot = db.pool().begin().await.map_err(DbError::from)?;
    let records = store::records(&mut snapshot, guild).await?;
    let Some(last) = store::last_before(&mut snapshot, guild, before).await? else { return Err(ArchiveError::Nothing) };
    let failed = |why| ArchiveError::File { path: path.to_owned(), why };
    let file = WholeFile::begin(path).map_err(failed)?;
    let mut lines = Lines::new(FileFormat::Jsonl, Hashed::new(BufWriter::new(file))).map_err(failed)?;
    let mut check = Check::new(guild, records.clone());
    let mut rows = store::rows_after(&mut snapshot, guild, i64::MIN, ROWS).await?;
    while let Some(seq) = rows.last().map(|row| row.seq) {
        for row in rows.iter().filter(|row| row.seq <= last) {
            check.row(row).map_err(ArchiveError::Broken)?;
            lines.write(row).map_err(failed)?;
        }
        if seq >= last {
            break;
        }
        rows = store::rows_after(&mut snapshot, guild, seq, ROWS).await?;
    }
    drop(snapshot);
    let (out, sha256) = lines.finish().map_err(failed)?.finish();
    out.into_inner().map_err(io::IntoInnerError::into_error).and_then(WholeFile::finish_new).map_err(failed)?;

    let (first, entries) = (check.first, check.entries);
    let head = check.verifier.head();
    let differs = |why: String| ArchiveError::Differs { path: path.to_owned(), why };
    let read = read_back(path, guild, records.clone()).map_err(differs)?;
    if (read.0.entries, read.0.verifier.head(), &read.1) != (entries, head.clone(), &sha256) {
        return Err(differs("its entries or its bytes are others".to_owned()));
    }

    let mut tx = db.begin().await?;
    // What is recorded is told by an index; looking at each entry would keep deploys from the database for seconds.
    let redacted = |records: &Records| records.redacted.iter().filter(|seq| **seq <= last).count();
    if redacted(&store::records(&mut tx, guild).await?) != redacted(&records) {
        return Err(ArchiveError::Redacted(path.to_owned()));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let detail = json!({
        "first": first, "last": head.seq, "head": head.hash, "entries": entries, "before": before.to_string(),
        "file": name, "sha256": sha256,
    });
    let entry = Entry::new(guild, clock.now(), operator, Action::AuditArchived, Outcome::Allowed).detail(detail);
    let record = super::append(&mut tx, &entry).await?.seq;
    tx.commit().await?;
    remove(db, guild, head.seq).await?;
    Ok(Archive { entries, first, head, sha256, record })
}

/// Removes what is recorded as archived, a little at a time.
async fn remove(db: &Db, guild: GuildId, last: i64) -> Result<(), DbError> {
    loop {
        let mut tx = db.begin().await?;
        let removed = store::remove_oldest(&mut tx, guild, last, REMOVED).await?;
        if removed == 0 {
            block::store::archived(&mut tx, guild, last + 1).await?;
            return tx.commit().await;
        }
        tx.commit().await?;
    }
}

/// What is known of the entries of an archive so far.
struct Check {
    verifier: Verifier,
    first: i64,
    entries: u64,
}

impl Check {
    fn new(guild: GuildId, records: Records) -> Self {
        Self { verifier: Verifier::new(guild, records), first: 0, entries: 0 }
    }

    fn row(&mut self, row: &Row) -> Result<(), Broken> {
        if self.entries == 0 {
            self.first = row.seq;
        }
        self.entries += 1;
        self.verifier.next(row)
    }
}

fn read_back(path: &Path, guild: GuildId, records: Records) -> Result<(Check, String), String> {
    let mut check = Check::new(guild, records);
    for row in open(path).map_err(|error| error.to_string())? {
        check.row(&row.map_err(|error| error.to_string())?).map_err(|broken| broken.to_string())?;
    }
    let mut bytes = Hashed::new(io::sink());
    File::open(path).and_then(|mut file| io::copy(&mut file, &mut bytes)).map_err(|error| error.to_string())?;
    Ok((check, bytes.finish().1))
}

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum BadArchive {
    /// A line is no entry.
    #[error("line {0} is no entry as `slipway audit archive` or `slipway audit export --format jsonl` writes it")]
    Line(u64),
    /// It can't be read.
    #[error("it can't be read: {0}")]
    Read(#[from] io::Error),
}

/// The entries of an archive, or of an export as JSON lines, one by one.
pub struct Rows {
    lines: BufReader<File>,
    number: u64,
    line: String,
}

/// Reads the entries of a file.
pub fn open(path: &Path) -> io::Result<Rows> {
    Ok(Rows { lines: BufReader::new(File::open(path)?), number: 0, line: String::new() })
}

impl Iterator for Rows {
    type Item = Result<Row, BadArchive>;

    fn next(&mut self) -> Option<Self::Item> {
        self.line.clear();
        self.number += 1;
        match self.lines.read_line(&mut self.line) {
            Ok(0) => None,
            Ok(_) => Some(read_line(&self.line).ok_or(BadArchive::Line(self.number))),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(Err(BadArchive::Line(self.number))),
            Err(error) => Some(Err(error.into())),
        }
    }
}

/// Hashes what is written through it.
struct Hashed<W> {
    out: W,
    hash: Sha256,
}

impl<W> Hashed<W> {
    fn new(out: W) -> Self {
        Self { out, hash: Sha256::new() }
    }

    fn finish(self) -> (W, String) {
        (self.out, hex::encode(self.hash.finalize()))
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
