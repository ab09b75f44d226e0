//! Webhooks with a wrong signature, counted and written down at most once a minute, so that nobody can flood the log or the
//! audit log. Knows nothing of how a signature is checked.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::actor::Actor;
use crate::audit::{self, Action, Entry, Outcome};
use crate::circleci::webhook::Unsigned;
use crate::db::{Db, DbError};
use crate::id::GuildId;
use crate::time::{Clock, Timestamp};

/// How often they are written down.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);

/// Those that are not written down yet.
#[derive(Default)]
pub(super) struct Refused {
    since: Mutex<Option<Since>>,
    came: Notify,
}

#[derive(Clone, Copy)]
struct Since {
    count: u64,
    first: Timestamp,
    last: Unsigned,
}

impl Refused {
    /// Another one came.
    pub(super) fn count(&self, why: Unsigned, now: Timestamp) {
        let mut since = self.since();
        let before = since.unwrap_or(Since { count: 0, first: now, last: why });
        *since = Some(Since { count: before.count.saturating_add(1), last: why, ..before });
        drop(since);
        self.came.notify_one();
    }

    /// Writes them down until `ended`, then what is left.
    pub(super) async fn write_down(&self, db: &Db, clock: &Clock, ended: &CancellationToken) {
        while !ended.is_cancelled() {
            tokio::select! {
                () = self.came.notified() => {}
                () = ended.cancelled() => {}
            }
            self.write(db, clock).await;
            tokio::select! {
                () = sleep(WRITTEN_EVERY) => {}
                () = ended.cancelled() => {}
            }
        }
        self.write(db, clock).await;
    }

    async fn write(&self, db: &Db, clock: &Clock) {
        let Some(since) = self.since().take() else { return };
        tracing::warn!(webhooks = since.count, since = %since.first, "Webhooks were refused; of the last one: {}", since.last);
        if let Err(error) = append(db, clock.now(), since).await {
            tracing::error!("Refused webhooks could not be recorded, and are with the next ones: {error}");
            self.put_back(since);
        }
    }

    fn put_back(&self, unwritten: Since) {
        let mut since = self.since();
        let later = since.unwrap_or(Since { count: 0, ..unwritten });
        *since = Some(Since { count: later.count.saturating_add(unwritten.count), first: unwritten.first, ..later });
        drop(since);
        self.came.notify_one();
    }

    fn since(&self) -> MutexGuard<'_, Option<Since>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn append(db: &Db, now: Timestamp, since: Since) -> Result<(), DbError> {
    let slipway = Actor::slipway();
    let entry = Entry::new(GuildId::PROCESS, now, &slipway, Action::WebhookRefused, Outcome::Denied)
        .reason(Some(since.last))
        .detail(json!({ "count": since.count, "since": since.first.to_string() }));
    let mut tx = db.begin().await?;
    audit::append(&mut tx, &entry).await?;
    tx.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_could_not_be_written_down_is_written_with_what_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/slipway.db", folder.path().display()).parse().unwrap();
        let (refused, clock) = (Refused::default(), Clock::system());
        let first = Timestamp::from_millis(1_000);
        refused.count(Unsigned::Missing, first);
        let gone = Db::open(&url).await.unwrap();
        gone.close().await;
        refused.write(&gone, &clock).await;
        refused.count(Unsigned::Missing, Timestamp::from_millis(2_000));
        let db = Db::open(&url).await.unwrap();
        refused.write(&db, &clock).await;
        let entry = audit::store::entry(&mut db.reader().await.unwrap(), GuildId::PROCESS, 1).await.unwrap().unwrap();
        assert_eq!(entry.detail.unwrap(), format!(r#"{{"count":2,"since":"{first}"}}"#));
        refused.write(&db, &clock).await;
        assert!(audit::store::entry(&mut db.reader().await.unwrap(), GuildId::PROCESS, 2).await.unwrap().is_none());
    }
}
