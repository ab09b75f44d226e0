//! Which deploys have changed since somebody last looked: any number of changes of one deploy count once, so that whoever
//! shows them can be slow. Knows nothing of what has changed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

/// The deploys that have changed; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Changed(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    deploys: Mutex<HashSet<Uuid>>,
    more: Notify,
}

impl Changed {
    /// A deploy has changed.
    pub fn note(&self, deploy: Uuid) {
        self.0.deploys.lock().unwrap_or_else(PoisonError::into_inner).insert(deploy);
        self.0.more.notify_one();
    }

    /// Those that have changed since this was last called; waits until there is one.
    pub async fn next(&self) -> HashSet<Uuid> {
        loop {
            let deploys = self.take();
            if !deploys.is_empty() {
                return deploys;
            }
            self.0.more.notified().await;
        }
    }

    /// The same without waiting.
    pub fn take(&self) -> HashSet<Uuid> {
        std::mem::take(&mut *self.0.deploys.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn many_changes_of_one_deploy_count_once() {
        let (changed, deploy) = (Changed::default(), Uuid::from_u128(7));
        changed.note(deploy);
        changed.note(deploy);
        assert_eq!(changed.next().await, HashSet::from([deploy]));
        assert!(changed.take().is_empty());
    }
}
