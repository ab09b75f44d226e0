//! Reading and changing what a guild has set. Every change is written together with its audit entry.

use std::sync::Arc;

use tokio::sync::Notify;

use super::setting::{GuildSettings, Setting};
use super::store;
use crate::actor::Caller;
use crate::audit::{self, Action, Entry, Outcome, delivery};
use crate::db::{Db, DbError};
use crate::id::GuildId;
use crate::permission::{self, Ask, Permissions};
use crate::refusal::Refusal;
use crate::time::Clock;

/// The settings of every guild.
#[derive(Clone)]
pub struct Settings {
    db: Db,
    permissions: Permissions,
    clock: Clock,
    changed: Arc<Notify>,
}

/// A setting that was changed.
#[derive(Debug)]
pub struct Changed {
    /// What it was.
    pub before: String,
    /// What it is.
    pub after: String,
}

/// How far the audit channel of a guild has come.
#[derive(Debug)]
pub struct Standing {
    /// How many entries have not arrived.
    pub waiting: i64,
    /// Why nothing arrives, where nothing does.
    pub why: Option<String>,
}

impl Settings {
    /// Settings kept in `db`.
    pub fn new(db: Db, permissions: Permissions, clock: Clock) -> Self {
        Self { db, permissions, clock, changed: Arc::default() }
    }

    /// What a guild has set.
    pub async fn of(&self, guild: GuildId) -> Result<GuildSettings, DbError> {
        Ok(GuildSettings::of(&store::settings(self.db.pool(), guild).await?))
    }

    /// Waits until an audit channel was set, for whoever writes to it.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Each setting with its value, and how far the audit channel has come, for who administers the guild.
    pub async fn show(&self, caller: &Caller) -> Result<(Vec<(Setting, String)>, Option<Standing>), Refusal> {
        let mut reader = self.db.reader().await?;
        self.permissions.require(&mut reader, caller, permission::Action::Admin, Ask::default()).await?;
        let kept = store::settings(&mut *reader, caller.guild).await?;
        let value = |setting: &Setting| {
            let found = kept.iter().find(|(name, _)| name == setting.as_str());
            (*setting, found.map_or(setting.default_value().to_owned(), |(_, value)| value.clone()))
        };
        let standing = delivery::store::standing(&mut *reader, caller.guild).await?;
        let standing = standing.map(|(waiting, why)| Standing { waiting, why });
        Ok((Setting::ALL.iter().map(value).collect(), standing))
    }

    /// Changes a setting to a value as people type it.
    pub async fn set(&self, caller: &Caller, setting: Setting, typed: &str) -> Result<Changed, Refusal> {
        let mut tx = self.db.begin().await?;
        self.permissions.require_in(&mut tx, caller, permission::Action::Admin, Ask::default()).await?;
        let after = setting.read(typed).map_err(|invalid| Refusal::Invalid {
            option: "value".to_owned(),
            given: typed.to_owned(),
            invalid,
        })?;
        let kept = store::settings(&mut *tx, caller.guild).await?;
        let before = kept.into_iter().find(|(name, _)| name == setting.as_str()).map(|(_, value)| value);
        let before = before.unwrap_or_else(|| setting.default_value().to_owned());
        store::put_setting(&mut tx, caller.guild, setting.as_str(), &after).await?;
        let detail = serde_json::json!({ "setting": setting.as_str(), "before": before, "after": after });
        let entry =
            Entry::new(caller.guild, self.clock.now(), &caller.actor, Action::SettingsChanged, Outcome::Allowed)
                .channel(caller.channel)
                .detail(detail);
        let head = audit::append(&mut tx, &entry).await?;
        if setting == Setting::AuditChannel {
            match GuildSettings::of(&[(setting.as_str().to_owned(), after.clone())]).audit_channel {
                Some(channel) => delivery::store::set_channel(&mut tx, caller.guild, channel, head.seq).await?,
                None => delivery::store::end_channel(&mut tx, caller.guild, head.seq).await?,
            }
        }
        tx.commit().await?;
        self.changed.notify_one();
        Ok(Changed { before, after })
    }
}
