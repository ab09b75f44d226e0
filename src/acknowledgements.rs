//! Acknowledgements go first: Discord gives them three seconds, and a deploy that is under way can spare a moment. Knows
//! neither the chat nor what is acknowledged.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// The longest that a deploy makes way, however many others arrive.
const MAKE_WAY_MAX: Duration = Duration::from_millis(50);

/// The requests that wait for their acknowledgement.
#[derive(Debug, Default)]
pub struct Acknowledgements {
    waiting: watch::Sender<usize>,
}

/// A request that waits for its acknowledgement, until this is dropped.
#[derive(Debug)]
pub struct Waiting<'a>(&'a Acknowledgements);

impl Acknowledgements {
    /// Another request waits.
    pub fn wait(&self) -> Waiting<'_> {
        self.waiting.send_if_modified(|waiting| {
            *waiting += 1;
            false
        });
        Waiting(self)
    }

    /// Lets those who wait go first, for a moment at most.
    pub async fn make_way(&self) {
        let mut waiting = self.waiting.subscribe();
        // The sender lives as long as `self`, so only time can end this early.
        let _ = timeout(MAKE_WAY_MAX, waiting.wait_for(|waiting| *waiting == 0)).await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Only the last one wakes those who make way.
        self.0.waiting.send_if_modified(|waiting| {
            *waiting -= 1;
            *waiting == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deploy_makes_way_until_nobody_waits_but_not_for_long() {
        let acknowledgements = Acknowledgements::default();
        let begun = tokio::time::Instant::now();
        acknowledgements.make_way().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);

        let waiting = acknowledgements.wait();
        acknowledgements.make_way().await;
        assert_eq!(begun.elapsed(), MAKE_WAY_MAX);

        let acknowledged = async {
            tokio::time::sleep(MAKE_WAY_MAX / 5).await;
            drop(waiting);
        };
        tokio::join!(acknowledged, acknowledgements.make_way());
        assert_eq!(begun.elapsed(), MAKE_WAY_MAX + MAKE_WAY_MAX / 5);
    }
}
