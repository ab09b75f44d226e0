//! How fast the relay may connect again: the delays after failed tries, and Discord's limit on
//! identifies. It does not wait itself.

use std::collections::VecDeque;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::Limits;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The delays after failed tries: doubling, with jitter, without end.
pub(super) struct Backoff {
    builder: ExponentialBuilder,
    delays: ExponentialBackoff,
    max: Duration,
}

impl Backoff {
    pub(super) fn new(limits: &Limits) -> Self {
        // The jitter comes on top and at most doubles a delay.
        let builder = ExponentialBuilder::new()
            .with_min_delay(limits.retry_min)
            .with_max_delay(limits.retry_max / 2)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(rand::random());
        Self { builder, delays: builder.build(), max: limits.retry_max }
    }

    pub(super) fn next(&mut self) -> Duration {
        self.delays.next().unwrap_or(self.max).min(self.max)
    }

    pub(super) fn reset(&mut self) {
        self.builder = self.builder.with_jitter_seed(rand::random());
        self.delays = self.builder.build();
    }
}

/// The identifies of the last 24 hours.
pub(super) struct Identifies {
    gap: Duration,
    per_day: usize,
    sent: VecDeque<Instant>,
}

impl Identifies {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { gap: limits.identify_gap, per_day: limits.identifies_per_day, sent: VecDeque::new() }
    }

    /// How long until another one is allowed.
    pub(super) fn wait(&self, now: Instant) -> Duration {
        let after_last = self.sent.back().map(|last| *last + self.gap);
        let full = self.sent.len() >= self.per_day;
        let after_first = self.sent.front().filter(|_| full).map(|first| *first + DAY);
        let free = after_last.max(after_first).unwrap_or(now);
        free.saturating_duration_since(now)
    }

    /// Counts one that is being sent.
    pub(super) fn count(&mut self, now: Instant) {
        while self.sent.len() >= self.per_day {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_and_never_pass_their_limit() {
        let mut backoff = Backoff::new(&Limits::default());
        let delays: Vec<_> = (0..50).map(|_| backoff.next()).collect();
        assert!(delays[0] <= Duration::from_secs(1));
        assert!(delays[20] >= Duration::from_secs(15));
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(30)));
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
    }

    #[test]
    fn identifies_keep_their_distance_and_their_number_a_day() {
        let limits = Limits { identifies_per_day: 3, ..Limits::default() };
        let mut identifies = Identifies::new(&limits);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(identifies.wait(start), Duration::ZERO);
        for time in [0, 10, 20] {
            identifies.count(at(time));
        }
        assert_eq!(identifies.wait(at(22)), DAY - Duration::from_secs(22));
        assert_eq!(identifies.wait(start + DAY), Duration::ZERO);
        identifies.count(start + DAY);
        assert_eq!(identifies.wait(start + DAY), Duration::from_secs(10));
    }
}
