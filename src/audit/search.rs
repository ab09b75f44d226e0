//! Every entry that a query means, newest first, across the chains of one or more guilds, in constant memory and without
//! holding the database between pages. Knows no SQL.

use std::collections::VecDeque;

use super::chain::Row;
use super::query::Query;
use super::store;
use crate::db::{DbError, Pool};
use crate::id::GuildId;
use crate::time::Timestamp;

/// Entries that are held at a time, all guilds together.
const HELD_MAX: usize = 1_000;
/// Entries that are asked for at a time: at most, and at least when there are many guilds.
const PAGE_MAX: usize = 200;
const PAGE_MIN: usize = 5;

/// The matches of a query, one after the other.
pub struct Newest {
    pool: Pool,
    query: Query,
    now: Timestamp,
    page: usize,
    chains: Vec<Chain>,
}

/// What is left of one guild's matches.
struct Chain {
    guild: GuildId,
    /// Where the next page begins; `None` at the newest entry.
    before: Option<i64>,
    held: VecDeque<Row>,
    ended: bool,
}

impl Newest {
    /// Asks the chain of `guild`, or of every guild, as of `now`.
    pub async fn new(pool: &Pool, guild: Option<GuildId>, query: Query, now: Timestamp) -> Result<Self, DbError> {
        let guilds = match guild {
            Some(guild) => vec![guild],
            None => store::guilds(pool).await?,
        };
        let page = (HELD_MAX / guilds.len().max(1)).clamp(PAGE_MIN, PAGE_MAX);
        let chains = guilds
            .into_iter()
            .map(|guild| Chain { guild, before: None, held: VecDeque::new(), ended: false })
            .collect();
        Ok(Self { pool: pool.clone(), query, now, page, chains })
    }

    /// The next match: the latest that is left; within a guild in the order of its chain, whatever its clock did.
    pub async fn next(&mut self) -> Result<Option<Row>, DbError> {
        for chain in self.chains.iter_mut().filter(|chain| chain.held.is_empty() && !chain.ended) {
            let rows = store::page(&self.pool, chain.guild, &self.query, chain.before, self.page, self.now).await?;
            chain.ended = rows.len() < self.page;
            chain.before = rows.last().map(|row| row.seq).or(chain.before);
            chain.held = rows.into();
        }
        let latest = self.chains.iter_mut().max_by_key(|chain| chain.held.front().map(|row| (row.at, row.guild_id)));
        Ok(latest.and_then(|chain| chain.held.pop_front()))
    }
}
