//! Notes which version of each deploy its card shows, many at a time: each note by itself would cost a flush of the disk, and one
//! that a stop has lost costs no more than an edit to the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;
use uuid::Uuid;

use crate::deploy::Deploys;

/// How long notes are gathered: mostly until the card has changed again.
const GATHER_FOR: Duration = Duration::from_secs(5);
/// After a database that could not take them.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What the cards show and the database doesn't know yet; clones share it.
#[derive(Clone, Default)]
pub struct Shown(Arc<Inner>);

#[derive(Default)]
struct Inner {
    versions: Mutex<HashMap<Uuid, i64>>,
    more: Notify,
}

impl Shown {
    /// The card of a deploy shows this version of it.
    pub fn note(&self, deploy: Uuid, version: i64) {
        let mut versions = self.0.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let known = versions.entry(deploy).or_insert(version);
        *known = version.max(*known);
        drop(versions);
        self.0.more.notify_one();
    }

    /// Keeps what is noted, for as long as it is polled.
    pub async fn keep(&self, deploys: &Deploys) {
        loop {
            self.0.more.notified().await;
            sleep(GATHER_FOR).await;
            if !self.flush(deploys).await {
                sleep(AGAIN_AFTER).await;
                self.0.more.notify_one();
            }
        }
    }

    /// Keeps what is noted by now; whether the database took it.
    pub async fn flush(&self, deploys: &Deploys) -> bool {
        let versions = std::mem::take(&mut *self.0.versions.lock().unwrap_or_else(PoisonError::into_inner));
        match deploys.note_shown(&versions).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(cards = versions.len(), "It could not be noted which cards are up to date: {error}");
                versions.into_iter().for_each(|(deploy, version)| self.note(deploy, version));
                false
            }
        }
    }
}
