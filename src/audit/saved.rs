//! Queries that a guild keeps under a name: `@weekly`. Knows nothing of who may keep one.

pub mod store;

use std::str::FromStr;

use super::query::{AsOf, BadQuery, Query, Saved};
use crate::db::{DbError, Pool};
use crate::guild::{self, GuildSettings};
use crate::id::GuildId;
use crate::invalid::Invalid;
use crate::time::Timestamp;

/// Longest name, in characters.
const NAME_MAX: usize = 32;
/// The most queries that a guild keeps: each question reads them all.
pub const QUERIES_MAX: i64 = 100;

/// The name of a saved query, in lower case and without its `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name = text.strip_prefix('@').unwrap_or(text).to_ascii_lowercase();
        let fits = (1..=NAME_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        fits.then_some(Self(name)).ok_or_else(|| {
            Invalid::new("name", "The name of a query is at most 32 letters, digits, `-` and `_`.", "@weekly")
        })
    }
}

/// What times mean to a guild in a question of `now`.
pub async fn as_of(pool: &Pool, guild: GuildId, now: Timestamp) -> Result<AsOf, DbError> {
    let zone = GuildSettings::of(&guild::store::settings(pool, guild).await?).time_zone;
    Ok(AsOf { now, zone })
}

/// A query as a guild understands it, with its saved ones, and what its times mean when it is asked at `now`; in no guild there are
/// none, and days are UTC's.
pub async fn read(
    pool: &Pool,
    guild: Option<GuildId>,
    line: &str,
    now: Timestamp,
) -> Result<Result<(Query, AsOf), BadQuery>, DbError> {
    let (saved, as_of) = match guild {
        Some(guild) => {
            let saved = store::all(pool, guild).await?;
            (saved.into_iter().map(|saved| (saved.name, saved.query)).collect(), as_of(pool, guild, now).await?)
        }
        None => (Saved::new(), AsOf::utc(now)),
    };
    Ok(Query::read(line, &saved).and_then(|query| query.check(&as_of).map(|()| (query, as_of))))
}

/// A query that is kept.
#[derive(Debug, Clone)]
pub struct SavedQuery {
    /// Its name.
    pub name: String,
    /// What it asks.
    pub query: Query,
    /// Who saved it, as they were called then.
    pub made_by_name: String,
    /// When.
    pub made_at: Timestamp,
}
