//! Which deploys have changed since somebody last looked: any number of changes of one deploy count once, so that whoever
//! shows them can be slow. Knows nothing of what has changed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use super::Deploy;

/// The deploys that have changed; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Changed(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    deploys: Mutex<Changes>,
    more: Notify,
}

/// Each deploy that has changed as it is now, where whoever changed it told so; else it must be read.
pub type Changes = HashMap<Uuid, Option<Box<Deploy>>>;

impl Changed {
    /// A deploy has changed.
    pub fn note(&self, deploy: Uuid) {
        self.deploys().insert(deploy, None);
        self.0.more.notify_one();
    }

    /// A deploy has been kept like this.
    pub fn note_as(&self, deploy: &Deploy) {
        match self.deploys().entry(deploy.uuid) {
            Entry::Vacant(place) => {
                place.insert(Some(Box::new(deploy.clone())));
            }
            Entry::Occupied(mut known) => {
                // One that must be read must be, whichever of the two changes came last.
                if let Some(known) = known.get_mut().as_deref_mut().filter(|known| known.version < deploy.version) {
                    known.clone_from(deploy);
                }
            }
        }
        self.0.more.notify_one();
    }

    /// Those that have changed since this was last called; waits until there is one.
    pub async fn next(&self) -> Changes {
        loop {
            let deploys = self.take();
            if !deploys.is_empty() {
                return deploys;
            }
            self.0.more.notified().await;
        }
    }

    /// The same without waiting.
    pub fn take(&self) -> Changes {
        std::mem::take(&mut *self.deploys())
    }

    fn deploys(&self) -> MutexGuard<'_, Changes> {
        // Nothing panics while it is locked.
        self.0.deploys.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(changed.next().await.into_keys().collect::<Vec<_>>(), [deploy]);
        assert!(changed.take().is_empty());
    }
}
