//! Which deploy is to be attended to when: each stands in it once, and while it is attended to, not at all, so that never two
//! are at work on one. Knows nothing of what is to be done.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// A turn that nobody has ended, because whoever had it failed, comes again after this long.
const AFTER_MISHAP: Duration = Duration::from_secs(30);

/// The agenda; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Agenda(Arc<Inner>);

/// A deploy's turn: nobody else has one for it until this [`ends`](Turn::ends), or is dropped because something went wrong.
#[derive(Debug)]
pub struct Turn {
    agenda: Agenda,
    deploy: Uuid,
    next: Option<Duration>,
}

#[derive(Debug, Default)]
struct Inner {
    items: Mutex<Items>,
    sooner: Notify,
}

#[derive(Debug, Default)]
struct Items {
    due: BTreeSet<(Instant, Uuid)>,
    items: HashMap<Uuid, Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    /// It is attended to then.
    At(Instant),
    /// It is being attended to, and perhaps at once again.
    UnderWay { again: bool },
}

impl Agenda {
    /// A deploy is attended to after `pause` unless it is sooner.
    pub fn add(&self, deploy: Uuid, pause: Duration) {
        let at = Instant::now() + pause;
        self.items().sooner(deploy, at);
        self.0.sooner.notify_one();
    }

    /// Something has happened to a deploy that stands here: it is attended to at once, before all that are late.
    pub fn nudge(&self, deploy: Uuid) {
        let mut items = self.items();
        if items.items.contains_key(&deploy) {
            let before_all = items.due.first().map_or_else(Instant::now, |(at, _)| (*at).min(Instant::now()));
            items.sooner(deploy, before_all);
            self.0.sooner.notify_one();
        }
    }

    /// The turn of the next deploy to be attended to, when its time has come.
    pub async fn next(&self) -> Turn {
        loop {
            let at = match self.items().take(Instant::now()) {
                Ok(deploy) => return Turn { agenda: self.clone(), deploy, next: Some(AFTER_MISHAP) },
                Err(at) => at,
            };
            let soon = self.0.sooner.notified();
            match at {
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = soon => {}
                },
                None => soon.await,
            }
        }
    }

    fn done(&self, deploy: Uuid, pause: Option<Duration>) {
        let mut items = self.items();
        // What has happened meanwhile counts, whatever was found before it.
        let again = matches!(items.items.remove(&deploy), Some(Item::UnderWay { again: true }));
        if let Some(pause) = if again { Some(Duration::ZERO) } else { pause } {
            items.sooner(deploy, Instant::now() + pause);
            self.0.sooner.notify_one();
        }
    }

    /// How many deploys stand here, or are being attended to.
    pub fn len(&self) -> usize {
        self.items().items.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn items(&self) -> MutexGuard<'_, Items> {
        // Nothing panics between its two changes.
        self.0.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Whose turn it is.
    pub fn deploy(&self) -> Uuid {
        self.deploy
    }

    /// The deploy was attended to: again after `pause`, or never, unless something has happened to it meanwhile.
    pub fn ends(mut self, pause: Option<Duration>) {
        self.next = pause;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.agenda.done(self.deploy, self.next);
    }
}

impl Items {
    fn sooner(&mut self, deploy: Uuid, at: Instant) {
        match self.items.get(&deploy).copied() {
            Some(Item::UnderWay { .. }) => {
                self.items.insert(deploy, Item::UnderWay { again: true });
            }
            Some(Item::At(known)) if known <= at => {}
            known => {
                if let Some(Item::At(known)) = known {
                    self.due.remove(&(known, deploy));
                }
                self.items.insert(deploy, Item::At(at));
                self.due.insert((at, deploy));
            }
        }
    }

    /// A deploy whose time has come, or else when the next one's comes.
    fn take(&mut self, now: Instant) -> Result<Uuid, Option<Instant>> {
        match self.due.first().copied() {
            Some((at, deploy)) if at <= now => {
                self.due.pop_first();
                self.items.insert(deploy, Item::UnderWay { again: false });
                Ok(deploy)
            }
            next => Err(next.map(|(at, _)| at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deploy_has_its_turn_and_is_attended_to_once_at_a_time() {
        let agenda = Agenda::default();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        agenda.add(one, Duration::from_secs(9));
        agenda.add(two, Duration::from_secs(5));
        agenda.add(two, Duration::from_secs(50));
        let begun = Instant::now();
        let turn_of_two = agenda.next().await;
        assert_eq!((turn_of_two.deploy(), begun.elapsed().as_secs()), (two, 5));
        agenda.nudge(two);
        let turn_of_one = agenda.next().await;
        assert_eq!((turn_of_one.deploy(), begun.elapsed().as_secs()), (one, 9), "two is being attended to");
        turn_of_one.ends(None);
        turn_of_two.ends(Some(Duration::from_secs(60)));
        let turn_of_two = agenda.next().await;
        assert_eq!((turn_of_two.deploy(), begun.elapsed().as_secs()), (two, 9), "it was nudged meanwhile");
        agenda.nudge(one);
        agenda.add(two, Duration::ZERO);
        turn_of_two.ends(None);
        let turn_of_two = agenda.next().await;
        assert_eq!(turn_of_two.deploy(), two, "something has happened while it was attended to for the last time");
        drop(turn_of_two);
        let turn_of_two = agenda.next().await;
        assert_eq!(begun.elapsed(), Duration::from_secs(9) + AFTER_MISHAP, "whoever attended to it has failed");
        turn_of_two.ends(None);
        assert!(agenda.is_empty());
    }
}
