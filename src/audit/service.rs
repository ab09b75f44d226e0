//! The log for those who may ask it: every question is permitted first, recorded next and only then answered. Knows nothing of how
//! answers are shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::chain::{Head, Row};
use super::entry::{Action, Entry, Outcome, Searched};
use super::export::{Bounded, FileFormat, Lines};
use super::query::{AsOf, Query};
use super::search::{self, From, Page, Question};
use super::sight::Sight;
use super::verify::{self, Checked};
use super::{saved, store};
use crate::actor::Caller;
use crate::db::{Db, DbError};
use crate::id::GuildId;
use crate::permission::{self, Ask, Permissions};
use crate::refusal::Refusal;
use crate::time::{Clock, Timestamp};

/// Entries on a page.
pub const PAGE: usize = 10;
/// How long a page may be looked for; what lies further back is a page of its own.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a file may take to be made; an interaction can be answered for 15 minutes.
const EXPORT_PATIENCE: Duration = Duration::from_secs(5 * 60);
/// How many look through the log at a time: each has a connection, and what deploys needs the others.
const AT_ONCE: usize = 2;
/// How many of them may do so for minutes, so that a page never waits for an export, nor for another server's.
const LONG_AT_ONCE: usize = 1;

/// The audit log of every guild, for those who may ask.
#[derive(Clone)]
pub struct Audit {
    db: Db,
    permissions: Permissions,
    clock: Clock,
    turns: Arc<Turns>,
}

/// Who looks through the log now. A turn is waited for before the permission is asked for in the question's own transaction: what was
/// permitted minutes ago may not be any more.
struct Turns {
    any: Semaphore,
    long: Semaphore,
}

impl Turns {
    fn new() -> Self {
        Self { any: Semaphore::new(AT_ONCE), long: Semaphore::new(LONG_AT_ONCE) }
    }

    /// Waits for a turn of a second or so. It is never closed, so there always is one.
    async fn short(&self) -> Option<SemaphorePermit<'_>> {
        self.any.acquire().await.ok()
    }

    /// Waits for a turn of minutes.
    async fn long(&self) -> (Option<SemaphorePermit<'_>>, Option<SemaphorePermit<'_>>) {
        let long = self.long.acquire().await.ok();
        (long, self.short().await)
    }
}

/// What somebody asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The query as typed, whole.
    pub line: String,
    /// Where the page begins.
    pub from: From,
}

/// A page, and what it takes to turn it.
#[derive(Debug)]
pub struct Answer {
    /// The search that it belongs to: the number of its own entry.
    pub search: i64,
    /// What was asked.
    pub query: Query,
    /// Where the page begins.
    pub from: From,
    /// What was found.
    pub page: Page,
}

/// Entries as a file.
#[derive(Debug)]
pub struct Exported {
    /// The file's name.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
    /// How many entries.
    pub entries: u64,
    /// The newest of them.
    pub newest: Option<Head>,
    /// What was asked.
    pub query: Query,
}

impl Audit {
    /// The log in `db`.
    pub fn new(db: Db, permissions: Permissions, clock: Clock) -> Self {
        Self { db, permissions, clock, turns: Arc::new(Turns::new()) }
    }

    /// The first page of a search, or another one of a new search.
    pub async fn search(&self, caller: &Caller, asked: Asked) -> Result<Answer, Refusal> {
        self.sight(caller).await?;
        let (query, as_of) = self.read(caller.guild, &asked.line).await?;
        let detail = Searched { query: query.to_string(), from: asked.from.to_string(), again: None };
        let entry = self.entry(caller, Action::AuditSearched).detail(detail.value());
        let _turn = self.turns.short().await;
        let (sight, head) = self.record(caller, entry, None).await?;
        // The search itself is no part of its answer.
        let from = if asked.from == From::Newest { From::Before(head.seq) } else { asked.from };
        let page = self.page(caller, &sight, &query, &as_of, from).await?;
        Ok(Answer { search: head.seq, query, from: asked.from, page })
    }

    /// Another page of the search that is recorded as entry `search`, as of then. Only whoever searched turns its pages.
    pub async fn turn(&self, caller: &Caller, search: i64, from: From) -> Result<Answer, Refusal> {
        self.sight(caller).await?;
        let own = |row: &Row| {
            row.action == Action::AuditSearched.as_str()
                && row.actor_id.as_deref() == Some(&caller.actor.id.to_string())
        };
        let row = store::entry(&mut *self.db.reader().await?, caller.guild, search).await?.filter(own);
        let searched = row.as_ref().and_then(|row| Some((row.at, Searched::read(row.detail.as_deref()?)?)));
        let Some((at, searched)) = searched else {
            return Err(Refusal::conflict(
                "That is no search of yours, or its record was redacted or archived.",
                "Search again with `/audit search`.",
            ));
        };
        let query: Query = searched.query.parse().map_err(|bad| Refusal::bad_query(&searched.query, bad))?;
        let as_of = saved::as_of(self.db.pool(), caller.guild, Timestamp::from_millis(at)).await?;
        let detail = Searched { query: searched.query, from: from.to_string(), again: Some(search) };
        let entry = self.entry(caller, Action::AuditSearched).detail(detail.value());
        let _turn = self.turns.short().await;
        let (sight, _) = self.record(caller, entry, None).await?;
        let page = self.page(caller, &sight, &query, &as_of, from).await?;
        Ok(Answer { search, query, from, page })
    }

    /// One entry. One that may not be seen is as one that isn't there.
    pub async fn show(&self, caller: &Caller, seq: i64) -> Result<Row, Refusal> {
        let sight = self.sight(caller).await?;
        let mut reader = self.db.reader().await?;
        let row = store::entry(&mut reader, caller.guild, seq).await?.filter(|row| sight.sees(row));
        let Some(row) = row else {
            let archived = store::records(&mut reader, caller.guild).await?.archived;
            return Err(match archived.filter(|archived| seq <= archived.seq && sight.is_all()) {
                Some(archived) => Refusal::conflict(
                    format!("Entry #{seq} was archived: the log here begins after #{}.", archived.seq),
                    "`/audit search action:audit.archived` tells into which file.",
                ),
                None => Refusal::conflict(
                    format!("There is no entry #{seq} that you may see."),
                    "`/audit search` lists those there are.",
                ),
            });
        };
        drop(reader);
        let about = Entry {
            repo: row.repo.clone(),
            environment: row.environment.clone(),
            branch: row.branch.clone(),
            ..self.entry(caller, Action::AuditShown)
        };
        self.record(caller, about.detail(serde_json::json!({ "entry": format!("#{seq}") })), Some(&row)).await?;
        Ok(row)
    }

    /// The entries that a query means and the caller may see as a file of at most `bytes_max` bytes, compressed where that is needed.
    pub async fn export(
        &self,
        caller: &Caller,
        line: &str,
        format: FileFormat,
        bytes_max: usize,
    ) -> Result<Exported, Refusal> {
        self.sight(caller).await?;
        let (query, as_of) = self.read(caller.guild, line).await?;
        let detail = serde_json::json!({ "query": query.to_string(), "format": format.as_str() });
        let entry = self.entry(caller, Action::AuditExported).detail(detail);
        let _turn = self.turns.long().await;
        let (sight, head) = self.record(caller, entry, None).await?;
        let question = question(caller, &sight, &query, &as_of);
        let mut left = search::Oldest::new(self.db.pool(), question, head.seq);
        let begun = Instant::now();
        let (mut entries, mut newest) = (0, None);
        let refused = |why: String| {
            Refusal::conflict(
                why,
                format!(
                    "Narrow it down with `since:` and `until:`, or ask whoever runs Slipway for `slipway audit export --guild {} --format {} --output FILE`.",
                    caller.guild,
                    format.as_str()
                ),
            )
        };
        let mib = bytes_max / 1024 / 1024;
        let too_large = || refused(format!("That is more than a file of {mib} MiB holds, even compressed."));
        let mut lines = Lines::new(format, Bounded::new(bytes_max)).map_err(|_| too_large())?;
        while let Some(rows) = left.next().await? {
            if begun.elapsed() > EXPORT_PATIENCE {
                return Err(refused("It takes longer than a chat waits for.".to_owned()));
            }
            for row in rows.iter().filter(|row| sight.sees(row)) {
                lines.write(row).map_err(|_| too_large())?;
                entries += 1;
                newest = Some(row.head());
            }
        }
        let (bytes, compressed) = lines.finish().and_then(Bounded::finish).map_err(|_| too_large())?;
        let day = as_of.now.day_in(&as_of.zone);
        let name = format!("audit-{day}.{}{}", format.as_str(), if compressed { ".gz" } else { "" });
        Ok(Exported { name, bytes, entries, newest, query })
    }

    /// Checks the whole chain of the caller's guild, and looks in it for a head that was noted earlier.
    pub async fn verify(&self, caller: &Caller, noted: &[String]) -> Result<Checked, Refusal> {
        self.require_all(caller).await?;
        let _turn = self.turns.long().await;
        // It may have been waited for for minutes.
        self.require_all(caller).await?;
        Ok(verify::verify(self.db.pool(), caller.guild, noted).await?)
    }

    /// The queries that are saved in the caller's guild.
    pub async fn saved(&self, caller: &Caller) -> Result<Vec<saved::SavedQuery>, Refusal> {
        self.sight(caller).await?;
        Ok(saved::store::all(self.db.pool(), caller.guild).await?)
    }

    /// Saves a query under a name, in place of the one that had it. For who may see all entries: everybody's `@name` is the same.
    pub async fn save(&self, caller: &Caller, name: saved::Name, line: &str) -> Result<Query, Refusal> {
        let query: Query = line.parse().map_err(|bad| Refusal::bad_query(line, bad))?;
        if query.terms.is_empty() {
            return Err(Refusal::conflict(
                "An empty query finds everything: there is nothing to save.",
                "Example: `/audit save weekly since:7d -outcome:allowed`.",
            ));
        }
        let mut tx = self.db.begin().await?;
        self.permissions.require_in(&mut tx, caller, permission::Action::Audit, Ask::default()).await?;
        let before = saved::store::put(&mut tx, caller, &name, &query, self.clock.now()).await?;
        if before.is_none() && saved::store::count(&mut tx, caller.guild).await? > saved::QUERIES_MAX {
            return Err(Refusal::conflict(
                format!("There are {} saved queries, and no more are kept.", saved::QUERIES_MAX),
                "`/audit saved` lists them, and `/audit forget` removes one.",
            ));
        }
        let detail = serde_json::json!({ "name": name.as_str(), "query": query.to_string(), "before": before });
        super::append(&mut tx, &self.entry(caller, Action::AuditQuerySaved).detail(detail)).await?;
        tx.commit().await?;
        Ok(query)
    }

    /// Removes a saved query.
    pub async fn forget(&self, caller: &Caller, name: saved::Name) -> Result<(), Refusal> {
        let mut tx = self.db.begin().await?;
        self.permissions.require_in(&mut tx, caller, permission::Action::Audit, Ask::default()).await?;
        let Some(before) = saved::store::remove(&mut tx, caller.guild, &name).await? else {
            return Err(Refusal::conflict(
                format!("There is no saved query `@{}`.", name.as_str()),
                "`/audit saved` lists those there are.",
            ));
        };
        let detail = serde_json::json!({ "name": name.as_str(), "before": before });
        super::append(&mut tx, &self.entry(caller, Action::AuditQueryForgotten).detail(detail)).await?;
        Ok(tx.commit().await?)
    }

    async fn read(&self, guild: GuildId, line: &str) -> Result<(Query, AsOf), Refusal> {
        let read = saved::read(self.db.pool(), Some(guild), line, self.clock.now()).await?;
        read.map_err(|bad| Refusal::bad_query(line, bad))
    }

    async fn page(
        &self,
        caller: &Caller,
        sight: &Sight,
        query: &Query,
        as_of: &AsOf,
        from: From,
    ) -> Result<Page, DbError> {
        let question = question(caller, sight, query, as_of);
        search::page(self.db.pool(), &question, from, PAGE, Some(PATIENCE), &|row| sight.sees(row)).await
    }

    /// What the caller may see; a refusal when that is nothing.
    async fn sight(&self, caller: &Caller) -> Result<Sight, Refusal> {
        let holdings = self.permissions.holdings(caller, &[permission::Action::Audit]).await?;
        if let Some(sight) = Sight::of(holdings) {
            return Ok(sight);
        }
        // It says what is missing and who can grant it.
        self.require_all(caller).await?;
        Err(granted_just_now())
    }

    async fn require_all(&self, caller: &Caller) -> Result<(), Refusal> {
        let mut reader = self.db.reader().await?;
        self.permissions.require(&mut reader, caller, permission::Action::Audit, Ask::default()).await
    }

    fn entry(&self, caller: &Caller, action: Action) -> Entry {
        Entry::new(caller.guild, self.clock.now(), &caller.actor, action, Outcome::Allowed).channel(caller.channel)
    }

    /// Records an act for who still may do it in the same transaction: what they may see from then on, and the act's own entry. `shown`
    /// is the entry that they are about to be shown.
    async fn record(&self, caller: &Caller, entry: Entry, shown: Option<&Row>) -> Result<(Sight, Head), Refusal> {
        let mut tx = self.db.begin().await?;
        let holdings = self.permissions.holdings_in(&mut tx, caller, permission::Action::Audit).await?;
        let sight = Sight::of(holdings).filter(|sight| shown.is_none_or(|row| sight.sees(row)));
        let Some(sight) = sight else {
            self.permissions.require_in(&mut tx, caller, permission::Action::Audit, Ask::default()).await?;
            return Err(granted_just_now());
        };
        let head = super::append(&mut tx, &entry).await?;
        tx.commit().await?;
        Ok((sight, head))
    }
}

/// Between two looks at the rules somebody has granted what was missing.
fn granted_just_now() -> Refusal {
    Refusal::conflict("Your permissions were changed just now.", "Ask again.")
}

/// A query as the caller may ask it.
fn question(caller: &Caller, sight: &Sight, query: &Query, as_of: &AsOf) -> Question {
    let mut query = query.clone();
    query.terms.extend(sight.term());
    Question { guild: caller.guild, query, as_of: as_of.clone() }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_page_waits_for_no_export() {
        let turns = Turns::new();
        let export = turns.long().await;
        assert!(turns.long().now_or_never().is_none(), "another one waits");
        assert!(turns.short().now_or_never().is_some());
        drop(export);
        assert!(turns.long().now_or_never().is_some());
    }
}
