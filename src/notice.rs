//! What Slipway has noticed of CircleCI and must not forget: the day on which API v1.1's triggers end.

mod store;

use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::circleci::V1_TRIGGERS_END;
use crate::db::{Db, DbError};
use crate::time::Timestamp;

/// A day that CircleCI named, kept over restarts.
pub struct Remembered {
    millis: AtomicI64,
}

impl Remembered {
    /// The day on which API v1.1's triggers end, as CircleCI last said, or as its changelog says.
    pub async fn v1_triggers_end(db: &Db) -> Result<Self, DbError> {
        let day = store::read(db.pool(), store::V1_TRIGGERS_END).await?.unwrap_or(V1_TRIGGERS_END);
        Ok(Self { millis: AtomicI64::new(day.millis()) })
    }

    /// The day.
    pub fn get(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::Relaxed))
    }

    /// Keeps what `said` tells, until `stopping`.
    pub async fn follow(&self, db: &Db, mut said: watch::Receiver<Option<Timestamp>>, stopping: &CancellationToken) {
        loop {
            let day = *said.borrow_and_update();
            if let Some(day) = day.filter(|day| *day != self.get()) {
                tracing::warn!(circleci.v1_triggers_end = %day, "CircleCI says when API v1.1's triggers end; environments of kind `job` must run pipelines by then (docs/circleci.md)");
                self.millis.store(day.millis(), Ordering::Relaxed);
                if let Err(error) = keep(db, day).await {
                    tracing::error!("The day could not be kept: {error}");
                }
            }
            tokio::select! {
                changed = said.changed() => if changed.is_err() { return },
                () = stopping.cancelled() => return,
            }
        }
    }
}

async fn keep(db: &Db, day: Timestamp) -> Result<(), DbError> {
    let mut tx = db.begin().await?;
    store::write(&mut *tx, store::V1_TRIGGERS_END, day).await?;
    tx.commit().await
}
