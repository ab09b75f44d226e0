//! What those who show deploys ask and note: one deploy as it is, whether its card shows that, whether its end was told.

mod store;

use std::collections::HashMap;

use uuid::Uuid;

use super::{Deploy, Deploys};
use crate::db::DbError;
use crate::id::{ChannelId, MessageId};
use crate::time::Timestamp;

impl Deploys {
    /// The time, by the clock that deploys are recorded with.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One deploy, as it is.
    pub async fn get(&self, uuid: Uuid) -> Result<Option<Deploy>, DbError> {
        super::store::deploy(self.db.pool(), uuid).await
    }

    /// The deploys that CircleCI is still asked about, of every guild.
    pub async fn unfinished(&self) -> Result<Vec<Uuid>, DbError> {
        super::follow::store::followed(self.db.pool()).await
    }

    /// The deploys whose card doesn't show them as they are.
    pub async fn not_shown(&self) -> Result<Vec<Uuid>, DbError> {
        store::not_shown(self.db.pool()).await
    }

    /// Notes which version of each of these deploys its card shows.
    pub async fn note_shown(&self, versions: &HashMap<Uuid, i64>) -> Result<(), DbError> {
        if versions.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.begin().await?;
        let versions: Vec<(Uuid, i64)> = versions.iter().map(|(deploy, version)| (*deploy, *version)).collect();
        store::shown(&mut tx, &versions).await?;
        tx.commit().await
    }

    /// Notes that a deploy's asker is told of its end; whether they had not been.
    pub async fn note_told(&self, deploy: &Deploy) -> Result<bool, DbError> {
        let mut tx = self.db.begin().await?;
        let first = store::told(&mut tx, deploy.uuid).await?;
        tx.commit().await?;
        Ok(first)
    }

    /// Another message is the card of `deploy` from now on.
    pub async fn note_moved(&self, deploy: &Deploy, channel: ChannelId, message: MessageId) -> Result<(), DbError> {
        let mut tx = self.db.begin().await?;
        store::moved(&mut tx, deploy.uuid, channel, message).await?;
        tx.commit().await
    }
}
