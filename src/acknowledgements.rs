//! Acknowledgements go first: Discord gives them three seconds, and a deploy that is under way can spare a moment. Knows
//! neither the chat nor what is acknowledged.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// Deploys go on when nobody has waited for this long: people who ask in the same instant arrive one after the other.
const QUIET: Duration = Duration::from_millis(5);
/// The longest that a deploy makes way, however many others arrive.
const MAKE_WAY_MAX: Duration = Duration::from_millis(50);

/// The requests that wait for their acknowledgement.
#[derive(Debug, Default)]
pub struct Acknowledgements(Mutex<Crowd>);

#[derive(Debug, Default)]
struct Crowd {
    waiting: usize,
    /// When the last one had waited.
    left_at: Option<Instant>,
}

/// A request that waits for its acknowledgement, until this is dropped.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Acknowledgements);

impl Acknowledgements {
    /// Another request waits.
    pub fn wait(&self) -> Waiting<'_> {
        self.crowd().waiting += 1;
        Waiting(self)
    }

    /// Lets those who wait, and those who are about to, go first, for a moment at most.
    pub async fn make_way(&self) {
        // Being late is all that may come of it.
        let _ = timeout(MAKE_WAY_MAX, async {
            while let Some(pause) = self.not_quiet_for() {
                sleep(pause).await;
            }
        })
        .await;
    }

    /// How much longer it takes at least until it has been quiet for long enough; nothing when it has.
    fn not_quiet_for(&self) -> Option<Duration> {
        let crowd = self.crowd();
        if crowd.waiting > 0 {
            return Some(QUIET);
        }
        let quiet = crowd.left_at.map_or(QUIET, |at| at.elapsed());
        QUIET.checked_sub(quiet).filter(|pause| !pause.is_zero())
    }

    fn crowd(&self) -> MutexGuard<'_, Crowd> {
        // Nothing panics between its two changes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut crowd = self.0.crowd();
        crowd.waiting -= 1;
        crowd.left_at = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deploy_makes_way_until_it_is_quiet_but_not_for_long() {
        let acknowledgements = Acknowledgements::default();
        let begun = Instant::now();
        acknowledgements.make_way().await;
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody waits and nobody did");

        drop(acknowledgements.wait());
        acknowledgements.make_way().await;
        assert_eq!(begun.elapsed(), QUIET, "whoever asked in the same instant may be about to arrive");

        let begun = Instant::now();
        let waiting = acknowledgements.wait();
        acknowledgements.make_way().await;
        assert_eq!(begun.elapsed(), MAKE_WAY_MAX);

        let begun = Instant::now();
        let acknowledged = async {
            sleep(QUIET * 2).await;
            drop(waiting);
        };
        tokio::join!(acknowledged, acknowledgements.make_way());
        assert_eq!(begun.elapsed(), QUIET * 3);
    }
}
