//! Whether CircleCI can be reached, from the last answers. Pure but for the channel on which it is told.

use tokio::sync::watch;

use crate::time::Timestamp;

/// Whether CircleCI answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reachable {
    /// Nothing has been asked yet.
    #[default]
    Unknown,
    /// The last answer was below 500.
    Yes,
    /// There was no answer to the last requests, or only 5xx.
    No {
        /// The first of these.
        since: Timestamp,
    },
}

/// Where it is kept.
#[derive(Debug, Default)]
pub(super) struct Watched(watch::Sender<Reachable>);

impl Watched {
    pub(super) fn subscribe(&self) -> watch::Receiver<Reachable> {
        self.0.subscribe()
    }

    /// Notes how one request went.
    pub(super) fn note(&self, answers: bool, now: Timestamp) {
        self.0.send_if_modified(|known| {
            let next = match (answers, *known) {
                (true, _) => Reachable::Yes,
                (false, Reachable::No { since }) => Reachable::No { since },
                (false, Reachable::Unknown | Reachable::Yes) => Reachable::No { since: now },
            };
            std::mem::replace(known, next) != next
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_since_when_nobody_answers() {
        let watched = Watched::default();
        let seen = watched.subscribe();
        assert_eq!(*seen.borrow(), Reachable::Unknown);
        let at = Timestamp::from_millis;
        watched.note(false, at(1));
        watched.note(false, at(2));
        assert_eq!(*seen.borrow(), Reachable::No { since: at(1) });
        watched.note(true, at(3));
        assert_eq!(*seen.borrow(), Reachable::Yes);
        watched.note(false, at(4));
        assert_eq!(*seen.borrow(), Reachable::No { since: at(4) });
    }
}
