//! What deploys of a guild rest on, as it was last read: its repositories and environments, and the rules about deploying.
//! When many ask in the same instant, one of them reads for all. It can only say who surely may; everything else, and what
//! is recorded, is asked of the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::plan::meant;
use crate::actor::Caller;
use crate::changes::{Changes, Unchanged};
use crate::db::{Db, DbError};
use crate::id::GuildId;
use crate::permission::store::{has_more, rules_about};
use crate::permission::{Action, Rule};
use crate::repo::{Environment, EnvironmentName, Repo, RepoName, store};
use crate::time::Timestamp;

/// Changes made by other programs, such as the command line, are seen after this long; those of this process at once.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// A guild with more rules about deploying has no rulebook; with more repositories or environments it is read for each deploy.
const ROWS_MAX: usize = 2_000;
/// How many guilds are remembered.
const GUILDS_MAX: usize = 256;

/// The rulebooks of the guilds that deploy.
#[derive(Debug, Clone, Default)]
pub struct Rulebooks {
    guilds: Arc<Mutex<HashMap<GuildId, Shelf>>>,
}

/// Where a guild's rulebook stands; whoever reads a new one holds the lock, and others wait for it.
type Shelf = Arc<tokio::sync::Mutex<Option<Arc<Rulebook>>>>;

/// One guild's.
#[derive(Debug)]
pub struct Rulebook {
    read_at: Instant,
    unchanged: Option<Unchanged>,
    places: HashMap<String, (Repo, Vec<Environment>)>,
    rules: Vec<Rule>,
}

impl Rulebook {
    /// A registered repository and the environment of it that is meant.
    pub fn place(&self, repo: &RepoName, named: Option<&EnvironmentName>) -> Option<(&Repo, &Environment)> {
        let (repo, environments) = self.places.get(&repo.key())?;
        Some((repo, environments.get(meant(environments, named)?)?))
    }

    /// The rules about deploying. Those that have run out meanwhile are among them.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn is_current(&self, changes: &Changes) -> bool {
        self.unchanged.is_some() && self.unchanged == changes.now() && self.read_at.elapsed() < BELIEVED_FOR
    }
}

impl Rulebooks {
    /// The rulebook of the guild in which `caller` asks.
    pub async fn of(
        &self,
        db: &Db,
        changes: &Changes,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<Arc<Rulebook>, DbError> {
        let shelf = self.shelf(caller.guild);
        let mut book = shelf.lock().await;
        if let Some(book) = book.as_ref().filter(|book| book.is_current(changes)) {
            return Ok(Arc::clone(book));
        }
        let new = Arc::new(read(db, changes, caller.guild, now).await?);
        *book = Some(Arc::clone(&new));
        Ok(new)
    }

    fn shelf(&self, guild: GuildId) -> Shelf {
        // Nothing panics while it is locked.
        let mut guilds = self.guilds.lock().unwrap_or_else(PoisonError::into_inner);
        if guilds.len() >= GUILDS_MAX && !guilds.contains_key(&guild) {
            guilds.clear();
        }
        Arc::clone(guilds.entry(guild).or_default())
    }
}

async fn read(db: &Db, changes: &Changes, guild: GuildId, now: Timestamp) -> Result<Rulebook, DbError> {
    let (read_at, before) = (Instant::now(), changes.now());
    let mut reader = db.reader().await?;
    if has_more(&mut *reader, guild, Action::Deploy, ROWS_MAX).await? {
        // The rules about one person are fewer, and the database finds them.
        return Ok(Rulebook { read_at, unchanged: before, places: HashMap::new(), rules: Vec::new() });
    }
    let repos = store::repos(&mut *reader, guild).await?;
    let environments = store::environments_of_guild(&mut *reader, guild).await?;
    let rules = rules_about(&mut *reader, guild, Action::Deploy, now).await?;
    let few = repos.len().max(environments.len()).max(rules.len()) <= ROWS_MAX;
    let mut places: HashMap<String, (Repo, Vec<Environment>)> =
        repos.into_iter().map(|repo| (repo.name.key(), (repo, Vec::new()))).collect();
    for (key, environment) in environments {
        if let Some((_, known)) = places.get_mut(&key) {
            known.push(environment);
        }
    }
    Ok(Rulebook { read_at, unchanged: before.filter(|_| few && changes.now() == before), places, rules })
}
