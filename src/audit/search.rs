//! Questions to one chain, answered page by page: by key, so that entries which arrive meanwhile move nothing, in steps that each
//! take a moment, so that a question that fits no index can be left and gone on with. Knows no SQL and nothing of who may ask.

mod index;
mod store;

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use self::index::Drive;
use super::block::{self, BLOCK};
use super::chain::Row;
use super::query::{AsOf, Query};
use crate::db::{Connection, DbError, Pool};
use crate::id::GuildId;

/// Entries that are held at a time, all guilds together.
const HELD_MAX: usize = 1_000;
/// Entries that are asked for at a time: at most, and at least when there are many guilds.
const PAGE_MAX: usize = 200;
const PAGE_MIN: usize = 5;
/// How many numbers the first step of a search spans, and the shortest one.
const STEP_FIRST: i64 = 8_192;
const STEP_MIN: i64 = 1_024;
/// Of how many blocks the notes are read at a time: at first, and at most.
const BLOCKS_FIRST: i64 = 32;
const BLOCKS_MAX: i64 = 1_024;
/// A step that took less is followed by a longer one, one that took more by a shorter one.
const STEP_SHORT: Duration = Duration::from_millis(20);
const STEP_LONG: Duration = Duration::from_millis(100);
/// Entries that one statement brings: at most, and at least for a page, of which not everybody may see each.
const ROWS_MAX: usize = 500;
const ROWS_MIN: usize = 50;

/// What one wants to know of a chain.
#[derive(Debug, Clone)]
pub struct Question {
    /// Whose chain.
    pub guild: GuildId,
    /// Which entries.
    pub query: Query,
    /// What its times mean.
    pub as_of: AsOf,
}

/// Where a page begins, and which way it goes from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the newest entry, to older ones.
    Newest,
    /// At the entry before this one, to older ones.
    Before(i64),
    /// At the entry after this one, to newer ones.
    After(i64),
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            From::Newest => f.write_str("newest"),
            From::Before(seq) => write!(f, "before #{seq}"),
            From::After(seq) => write!(f, "after #{seq}"),
        }
    }
}

/// One page of an answer.
#[derive(Debug, Default)]
pub struct Page {
    /// Entries that are meant, newest first.
    pub rows: Vec<Row>,
    /// What lies beyond them in the direction that was asked for.
    pub beyond: Beyond,
}

/// What lies beyond a page.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// No entry that is meant.
    #[default]
    Nothing,
    /// At least one.
    More,
    /// The time was up: everything was looked through as far as this entry, and nothing beyond it.
    Unknown(i64),
}

/// Which entries whoever asks may see.
pub type Sees<'a> = dyn Fn(&Row) -> bool + Sync + 'a;

/// The `limit` entries nearest to `from` that are meant and seen. When it takes longer than `patience`, what was found by then.
pub async fn page(
    pool: &Pool,
    question: &Question,
    from: From,
    limit: usize,
    patience: Option<Duration>,
    sees: &Sees<'_>,
) -> Result<Page, DbError> {
    let begun = Instant::now();
    let mut connection = pool.acquire().await?;
    let mut search = Search::begin(&mut connection, question, from).await?;
    let mut rows = Vec::new();
    let mut beyond = Beyond::Nothing;
    // One more than the page holds tells whether there is another page.
    while rows.len() <= limit {
        if let Some(seq) = search.last.filter(|_| patience.is_some_and(|patience| begun.elapsed() >= patience)) {
            beyond = Beyond::Unknown(seq);
            break;
        }
        let Some(found) = search.step(&mut connection, (limit + 1 - rows.len()).max(ROWS_MIN)).await? else { break };
        rows.extend(found.into_iter().filter(sees));
    }
    if rows.len() > limit {
        rows.truncate(limit);
        beyond = Beyond::More;
    }
    if matches!(from, From::After(_)) {
        rows.reverse();
    }
    Ok(Page { rows, beyond })
}

/// A search under way.
struct Search {
    question: Question,
    upwards: bool,
    drive: Drive,
    /// The numbers that are left to look through, each from the first to the one after the last, in the order in which they come.
    ranges: VecDeque<(i64, i64)>,
    step: i64,
    /// Those of which the notes are still to be read, and of how many blocks at a time.
    unread: VecDeque<(i64, i64)>,
    blocks: i64,
    /// The last number that was looked at.
    last: Option<i64>,
}

impl Search {
    async fn begin(connection: &mut Connection, question: &Question, from: From) -> Result<Self, DbError> {
        let (mut first, mut end) = (1, store::newest(connection, question.guild).await?.saturating_add(1));
        match from {
            From::Newest => {}
            From::Before(seq) => end = end.min(seq),
            From::After(seq) => first = first.max(seq.saturating_add(1)),
        }
        let upwards = matches!(from, From::After(_));
        let mut ranges = store::ranges(connection, question.guild, question.query.span(&question.as_of)).await?;
        for range in &mut ranges {
            *range = (range.0.max(first), range.1.min(end));
        }
        ranges.retain(|(first, end)| first < end);
        if !upwards {
            ranges.reverse();
        }
        let span = ranges.iter().fold((i64::MAX, 0), |span, range| (range.0.min(span.0), range.1.max(span.1)));
        let drive = Drive::choose(connection, question, span).await?;
        let step = if drive.is_short() { i64::MAX } else { STEP_FIRST };
        let ranges = if drive.is_empty() { VecDeque::new() } else { ranges.into() };
        Ok(Self {
            question: question.clone(),
            upwards,
            drive,
            ranges,
            step,
            unread: VecDeque::new(),
            blocks: BLOCKS_FIRST,
            last: None,
        })
    }

    /// Passes by the blocks that are noted to have no entry that is meant, some blocks at a time.
    async fn narrow(&mut self, connection: &mut Connection) -> Result<(), DbError> {
        while self.ranges.is_empty()
            && let Some((first, end)) = self.unread.pop_front()
        {
            let numbers = self.blocks.saturating_mul(BLOCK);
            let (part, rest) = if self.upwards {
                let cut = end.min(first.saturating_add(numbers));
                ((first, cut), (cut, end))
            } else {
                let cut = first.max(end.saturating_sub(numbers));
                ((cut, end), (first, cut))
            };
            if rest.0 < rest.1 {
                self.unread.push_front(rest);
            }
            let blocks = (part.0 / BLOCK, (part.1 - 1) / BLOCK);
            let passed_by =
                block::store::without(connection, self.question.guild, blocks, &self.drive.meetings).await?;
            // Where nothing is passed by, there may be no notes: behind a number that somebody put far away, for ever.
            let max = if passed_by.is_empty() { i64::MAX } else { BLOCKS_MAX };
            self.blocks = self.blocks.saturating_mul(2).min(max);
            let mut left = block::without(&[part], &passed_by);
            if !self.upwards {
                left.reverse();
            }
            self.ranges = left.into();
        }
        Ok(())
    }

    /// Looks through the next few numbers; the first ones that are meant there, `wanted` at most, in the order of the search. Nothing
    /// when no number is left.
    async fn step(&mut self, connection: &mut Connection, wanted: usize) -> Result<Option<Vec<Row>>, DbError> {
        self.narrow(connection).await?;
        let Some((first, end)) = self.ranges.pop_front() else { return Ok(None) };
        let window = if self.upwards {
            (first, end.min(first.saturating_add(self.step)))
        } else {
            (first.max(end.saturating_sub(self.step)), end)
        };
        let limit = wanted.min(ROWS_MAX);
        let begun = Instant::now();
        let rows = store::rows(connection, &self.question, &self.drive, window, self.upwards, limit).await?;
        let took = begun.elapsed();
        // Where the statement was full, the rest of the window is still to come.
        let cut = rows.last().filter(|_| rows.len() == limit).map(|row| row.seq);
        let rest = match (self.upwards, cut) {
            (true, Some(seq)) => (seq + 1, end),
            (true, None) => (window.1, end),
            (false, Some(seq)) => (first, seq),
            (false, None) => (first, window.0),
        };
        if rest.0 < rest.1 {
            self.ranges.push_front(rest);
        }
        // What is found at once needs no notes.
        if self.last.is_none() && !self.drive.meetings.is_empty() {
            std::mem::swap(&mut self.ranges, &mut self.unread);
        }
        self.last = Some(if self.upwards { rest.0 - 1 } else { rest.1 });
        // The index was followed to the end of the window: where the statement was full, in vain.
        if cut.is_some() || took > STEP_LONG {
            self.step = (self.step / 2).max(STEP_MIN);
        } else if took < STEP_SHORT {
            self.step = self.step.saturating_mul(4);
        }
        Ok(Some(rows))
    }
}

/// A search that is gone on with as its matches are asked for. It is begun once: to choose what leads it, and to read which blocks it
/// passes by, for every few hundred matches would cost more than the matches.
struct Going {
    pool: Pool,
    question: Question,
    from: From,
    search: Option<Search>,
}

impl Going {
    fn new(pool: &Pool, question: Question, from: From) -> Self {
        Self { pool: pool.clone(), question, from, search: None }
    }

    /// The next matches, `wanted` at most and perhaps none; nothing when everything was looked through.
    async fn next(&mut self, wanted: usize) -> Result<Option<Vec<Row>>, DbError> {
        let mut connection = self.pool.acquire().await?;
        let search = match &mut self.search {
            Some(search) => search,
            None => self.search.insert(Search::begin(&mut connection, &self.question, self.from).await?),
        };
        search.step(&mut connection, wanted).await
    }

    /// The number of the last entry that was looked at.
    fn last(&self) -> Option<i64> {
        self.search.as_ref()?.last
    }
}

/// The matches of a query in the chains of one or more guilds, one after the other and newest first, in constant memory and without
/// holding the database between pages.
pub struct Newest {
    page: usize,
    chains: Vec<Chain>,
}

/// What is left of one guild's matches.
struct Chain {
    going: Going,
    held: VecDeque<Row>,
    ended: bool,
}

impl Newest {
    /// Asks these chains, each from where is said.
    pub fn new(pool: &Pool, chains: Vec<(GuildId, From)>, query: &Query, as_of: &AsOf) -> Self {
        let page = (HELD_MAX / chains.len().max(1)).clamp(PAGE_MIN, PAGE_MAX);
        let chain = |(guild, from)| {
            let question = Question { guild, query: query.clone(), as_of: as_of.clone() };
            Chain { going: Going::new(pool, question, from), held: VecDeque::new(), ended: false }
        };
        Self { page, chains: chains.into_iter().map(chain).collect() }
    }

    /// The next match: the latest that is left; within a guild in the order of its chain, whatever its clock did.
    pub async fn next(&mut self) -> Result<Option<Row>, DbError> {
        for chain in &mut self.chains {
            while chain.held.is_empty() && !chain.ended {
                match chain.going.next(self.page).await? {
                    Some(rows) => chain.held = rows.into(),
                    None => chain.ended = true,
                }
            }
        }
        let latest = self.chains.iter_mut().max_by_key(|chain| chain.held.front().map(|row| (row.at, row.guild_id)));
        Ok(latest.and_then(|chain| chain.held.pop_front()))
    }
}

/// The matches of a query in one chain in its order, some at a time, in constant memory.
pub struct Oldest {
    going: Going,
    /// The number after the last that is looked at.
    end: i64,
    passed: i64,
}

impl Oldest {
    /// Asks a chain up to the entry before `end`.
    pub fn new(pool: &Pool, question: Question, end: i64) -> Self {
        Self { going: Going::new(pool, question, From::After(0)), end, passed: 0 }
    }

    /// How many numbers there are to look through.
    pub async fn length(&self) -> Result<i64, DbError> {
        let newest = store::newest(&mut *self.going.pool.acquire().await?, self.going.question.guild).await?;
        Ok(newest.min(self.end.saturating_sub(1)))
    }

    /// The number of the last entry that was looked at.
    pub fn passed(&self) -> i64 {
        self.passed
    }

    /// The next matches, perhaps none; nothing when everything was looked through.
    pub async fn next(&mut self) -> Result<Option<Vec<Row>>, DbError> {
        if self.passed >= self.end.saturating_sub(1) {
            return Ok(None);
        }
        let next = if self.going.question.query.terms.is_empty() { self.any().await? } else { self.meant().await? };
        Ok(next.map(|mut rows| {
            rows.retain(|row| row.seq < self.end);
            rows
        }))
    }

    /// Every entry is meant: they come as quickly as there is.
    async fn any(&mut self) -> Result<Option<Vec<Row>>, DbError> {
        let mut connection = self.going.pool.acquire().await?;
        let guild = self.going.question.guild;
        let rows = super::store::rows_after(&mut connection, guild, self.passed, ROWS_MAX as i64).await?;
        self.passed = rows.last().map_or(self.passed, |row| row.seq);
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }

    async fn meant(&mut self) -> Result<Option<Vec<Row>>, DbError> {
        let next = self.going.next(ROWS_MAX).await?;
        self.passed = self.going.last().unwrap_or(self.passed);
        Ok(next)
    }
}
