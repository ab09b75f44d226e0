//! The one budget of all reads of this process: a steady rate with a burst, two lanes, and a pause of the polls when
//! CircleCI asks for one. Knows neither what is read nor HTTP.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex as Queue;
use tokio::time::{Instant, sleep};

/// The longest pause that CircleCI can ask for; then it is asked whether it still means it.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
/// The lowest rate that can be set, in reads a second, so that no wait is for ever.
const RATE_MIN: f64 = 0.01;

/// Whose read it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A person waits for it: it goes first, and no pause holds it.
    Person,
    /// Nobody waits: it goes after every person's read, and waits while CircleCI wants to be left alone.
    Poll,
}

/// How many reads there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadStats {
    /// Reads sent, each try counted.
    pub total: u64,
    /// Answers that were 429, to reads and to orders.
    pub rate_limited: u64,
    /// How often CircleCI made the polls pause, by a 429 or by telling that nothing is left of its limit.
    pub paused: u64,
}

/// A token bucket with two lanes.
#[derive(Debug)]
pub(super) struct Budget {
    /// Tokens a second.
    rate: f64,
    /// The most tokens that are saved up.
    burst: f64,
    bucket: Mutex<Bucket>,
    /// In each lane one read at a time waits for a token, the others for their turn, in their order.
    people: Queue<()>,
    polls: Queue<()>,
    people_waiting: AtomicUsize,
    total: AtomicU64,
    rate_limited: AtomicU64,
    paused: AtomicU64,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    polls_paused_until: Option<Instant>,
}

impl Budget {
    /// A full bucket: `rate` reads a second, at most `burst` of them at once.
    pub(super) fn new(rate: f64, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self {
            // A rate that is no number is the lowest.
            rate: rate.max(RATE_MIN),
            burst,
            bucket: Mutex::new(Bucket { tokens: burst, at: Instant::now(), polls_paused_until: None }),
            people: Queue::new(()),
            polls: Queue::new(()),
            people_waiting: AtomicUsize::new(0),
            total: AtomicU64::new(0),
            rate_limited: AtomicU64::new(0),
            paused: AtomicU64::new(0),
        }
    }

    /// Waits for the turn of one read.
    pub(super) async fn turn(&self, lane: Lane) {
        match lane {
            Lane::Person => {
                let _waiting = Waiting::new(&self.people_waiting);
                let _first = self.people.lock().await;
                while let Some(wait) = self.try_take(lane) {
                    sleep(wait).await;
                }
            }
            Lane::Poll => {
                let _first = self.polls.lock().await;
                while let Some(wait) = self.try_take(lane) {
                    sleep(wait).await;
                }
            }
        }
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// Holds the polls back for `time`, at most [`PAUSE_MAX`]; a longer pause that was asked for before stays.
    pub(super) fn pause_polls(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        let until = Instant::now() + time.min(PAUSE_MAX);
        let mut bucket = self.bucket();
        if bucket.polls_paused_until.is_none_or(|known| known < until) {
            bucket.polls_paused_until = Some(until);
            self.paused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a 429.
    pub(super) fn note_rate_limited(&self) {
        self.rate_limited.fetch_add(1, Ordering::Relaxed);
    }

    /// The counters.
    pub(super) fn stats(&self) -> ReadStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadStats { total: read(&self.total), rate_limited: read(&self.rate_limited), paused: read(&self.paused) }
    }

    /// Takes a token, or tells after which time to try again.
    fn try_take(&self, lane: Lane) -> Option<Duration> {
        let now = Instant::now();
        let mut bucket = self.bucket();
        bucket.tokens = self.burst.min(bucket.tokens + (now - bucket.at).as_secs_f64() * self.rate);
        bucket.at = now;
        if lane == Lane::Poll {
            if let Some(until) = bucket.polls_paused_until {
                if until > now {
                    return Some(until - now);
                }
                bucket.polls_paused_until = None;
            }
            // A person's read takes the next token, and the one after it is tried for again.
            if self.people_waiting.load(Ordering::Relaxed) > 0 {
                return Some(Duration::from_secs_f64(1.0 / self.rate));
            }
        }
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return None;
        }
        // A nanosecond more, so that rounding does not make it wait twice.
        Some(Duration::from_secs_f64((1.0 - bucket.tokens) / self.rate) + Duration::from_nanos(1))
    }

    fn bucket(&self) -> MutexGuard<'_, Bucket> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One read more that a person waits for, for as long as this lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let budget = Budget::new(10.0, 20);
        let begun = Instant::now();
        for _ in 0..20 {
            budget.turn(Lane::Poll).await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for _ in 0..10 {
            budget.turn(Lane::Poll).await;
        }
        let elapsed = begun.elapsed();
        assert!((Duration::from_millis(990)..Duration::from_millis(1_100)).contains(&elapsed), "{elapsed:?}");
        assert_eq!(budget.stats().total, 30);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_person_waits_for_goes_before_polls_that_came_earlier() {
        let budget = Arc::new(Budget::new(1.0, 1));
        budget.turn(Lane::Poll).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for (name, lane) in [("poll", Lane::Poll), ("poll", Lane::Poll), ("person", Lane::Person)] {
            let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                budget.turn(lane).await;
                order.lock().unwrap().push(name);
            }));
            tokio::task::yield_now().await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["person", "poll", "poll"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_polls_and_no_person() {
        let budget = Budget::new(10.0, 20);
        budget.pause_polls(Duration::from_secs(30));
        budget.pause_polls(Duration::from_secs(5));
        budget.pause_polls(Duration::ZERO);
        let begun = Instant::now();
        budget.turn(Lane::Person).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        budget.turn(Lane::Poll).await;
        assert_eq!(begun.elapsed().as_secs(), 30);
        assert_eq!(budget.stats(), ReadStats { total: 2, rate_limited: 0, paused: 1 });
        budget.pause_polls(Duration::MAX);
        let begun = Instant::now();
        budget.turn(Lane::Poll).await;
        assert_eq!(begun.elapsed().as_secs(), PAUSE_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_that_is_given_up_holds_nobody_back() {
        let budget = Budget::new(1.0, 1);
        budget.turn(Lane::Poll).await;
        let hasty = tokio::time::timeout(Duration::from_millis(10), budget.turn(Lane::Person)).await;
        assert!(hasty.is_err());
        let begun = Instant::now();
        budget.turn(Lane::Poll).await;
        assert!(begun.elapsed() <= Duration::from_secs(1));
    }
}
