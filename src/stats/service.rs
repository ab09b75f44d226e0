//! The numbers of what somebody may see. Only reads.

use std::collections::HashMap;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::measure::{Figures, Known};
use super::store;
use crate::actor::Caller;
use crate::db::{Db, DbError};
use crate::guild::Settings;
use crate::id::GuildId;
use crate::invalid::Invalid;
use crate::permission::{Action, Ask, Permissions};
use crate::refusal::Refusal;
use crate::repo::{EnvironmentName, RepoName, Repos};
use crate::time::{self, Clock, Timestamp};

/// How far back is looked unless said.
pub const DEFAULT_SPAN: Duration = Duration::from_secs(30 * 86_400);
/// How far back is looked at most.
const SPAN_MAX: Duration = Duration::from_secs(2 * 366 * 86_400);

/// The numbers of every guild.
#[derive(Clone)]
pub struct Stats {
    db: Db,
    permissions: Permissions,
    repos: Repos,
    settings: Settings,
    clock: Clock,
}

/// What somebody wants to know.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Only of this repository.
    pub repo: Option<RepoName>,
    /// Only of this environment.
    pub environment: Option<EnvironmentName>,
    /// Since when; 30 days unless said.
    pub since: Option<String>,
}

/// The answer.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The numbers.
    pub figures: Figures,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

impl Stats {
    /// Numbers from `db`.
    pub fn new(db: Db, permissions: Permissions, repos: Repos, settings: Settings, clock: Clock) -> Self {
        Self { db, permissions, repos, settings, clock }
    }

    /// The numbers of what `caller` may see.
    pub async fn measure(&self, caller: &Caller, asked: &Asked) -> Result<Measured, Refusal> {
        // A repository that one may not see is as one that isn't there.
        if let Some(repo) = &asked.repo {
            let (repo, environments) = self.repos.show(caller, repo).await?;
            if let Some(name) = &asked.environment
                && !environments.iter().any(|environment| environment.name == *name)
            {
                return Err(Refusal::conflict(
                    format!("`{}` has no environment `{name}`.", repo.name),
                    format!("`/environment list {}` lists those there are.", repo.name),
                ));
            }
        }
        let now = self.clock.now();
        let zone = self.settings.of(caller.guild).await?.time_zone;
        let since = since(asked.since.as_deref(), now, &zone)?;
        let deploys = self.ended(caller.guild, asked, since).await?;
        let ask = |deploy: &Known| (deploy.place.clone(), deploy.branch.clone());
        let holdings = self.permissions.holdings(caller, &[Action::View]).await?;
        let mut known = HashMap::new();
        let deploys: Vec<Known> = deploys
            .into_iter()
            .filter(|deploy| {
                *known.entry(ask(deploy)).or_insert_with_key(|((repo, environment), branch)| {
                    let ask = Ask { repo: Some(repo), branch: Some(branch), environment: Some(environment) };
                    holdings.allow(Action::View, ask)
                })
            })
            .collect();
        Ok(Measured { figures: Figures::of(&deploys, since, now, &zone), since, until: now })
    }

    /// The guilds that have deploys.
    pub async fn guilds(&self) -> Result<Vec<GuildId>, DbError> {
        store::guilds(self.db.pool()).await
    }

    async fn ended(&self, guild: GuildId, asked: &Asked, since: Timestamp) -> Result<Vec<Known>, DbError> {
        let repo = asked.repo.as_ref().map(RepoName::key);
        let environment = asked.environment.as_ref().map(EnvironmentName::as_str);
        store::ended(self.db.pool(), guild, repo.as_deref(), environment, since).await
    }
}

/// The first instant that is meant: a duration ago, or a day or time in the guild's time zone.
fn since(typed: Option<&str>, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, Refusal> {
    let Some(typed) = typed else { return Ok(now.minus(DEFAULT_SPAN)) };
    let unusable = |invalid| Refusal::Invalid { option: "since".to_owned(), given: typed.to_owned(), invalid };
    let since = time::point_in_the_past(typed, now, zone).map_err(unusable)?;
    if since >= now {
        return Err(unusable(Invalid::new("time", "It is not in the past.", "30d")));
    }
    if since < now.minus(SPAN_MAX) {
        return Err(unusable(Invalid::new("time", "It is more than two years ago, which is more than fits.", "52w")));
    }
    Ok(since)
}
