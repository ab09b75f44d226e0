//! The pure half of the limiter: what one bucket, and the bot as a whole, may send at an instant.
//! It is told the time and never waits, locks or sends.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::headers::Budget;

/// Requests a second over all bot routes (topics/rate-limits, "Global Rate Limit").
pub const GLOBAL_LIMIT: usize = 50;
/// The span in which [`GLOBAL_LIMIT`] counts.
pub const GLOBAL_WINDOW: Duration = Duration::from_secs(1);

/// What the one whose turn it is may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Send now; the place is taken.
    Go,
    /// Ask again at this instant.
    At(Instant),
    /// Ask again when a request that is under way has ended.
    OnAnswer,
}

/// One bucket's budget.
#[derive(Debug)]
pub struct Window {
    known: Known,
    /// Places taken by requests that have neither been answered nor given up.
    in_flight: u32,
    blocked_until: Option<Instant>,
    used_at: Instant,
}

#[derive(Debug)]
enum Known {
    /// Nothing was ever answered: one request at a time finds out.
    Nothing,
    /// Discord answered without limits: only a 429 stops this bucket.
    NoLimit,
    /// The last budget that Discord told, less what was sent since. Without an end, the window
    /// has just begun and the next answer tells when it ends.
    Limit { limit: u32, remaining: u32, resets_at: Option<Instant> },
}

impl Window {
    /// A bucket of which nothing is known.
    pub fn unknown(now: Instant) -> Self {
        Self::new(Known::Nothing, now)
    }

    /// A bucket whose route, elsewhere, has this limit (`None`: none).
    pub fn expected(limit: Option<u32>, now: Instant) -> Self {
        let known = match limit {
            Some(limit) => Known::Limit { limit, remaining: limit, resets_at: None },
            None => Known::NoLimit,
        };
        Self::new(known, now)
    }

    fn new(known: Known, now: Instant) -> Self {
        Self { known, in_flight: 0, blocked_until: None, used_at: now }
    }

    /// Takes a place, or says when to ask again.
    pub fn take(&mut self, now: Instant) -> Turn {
        if let Some(until) = self.blocked_until {
            if until > now {
                return Turn::At(until);
            }
            self.blocked_until = None;
        }
        let turn = self.take_of_budget(now);
        if turn == Turn::Go {
            self.in_flight += 1;
            self.used_at = now;
        }
        turn
    }

    fn take_of_budget(&mut self, now: Instant) -> Turn {
        let in_flight = self.in_flight;
        match &mut self.known {
            Known::Nothing if in_flight == 0 => Turn::Go,
            Known::Nothing => Turn::OnAnswer,
            Known::NoLimit => Turn::Go,
            Known::Limit { limit, remaining, resets_at } => {
                // Without an end and with nothing under way, no answer will come to tell of it.
                let over = resets_at.map_or(*remaining == 0 && in_flight == 0, |at| at <= now);
                if over {
                    *remaining = *limit;
                    *resets_at = None;
                }
                match (*remaining, *resets_at) {
                    (0, Some(at)) => Turn::At(at),
                    (0, None) => Turn::OnAnswer,
                    _ => {
                        *remaining -= 1;
                        Turn::Go
                    }
                }
            }
        }
    }

    /// A place that was taken was not used.
    pub fn give_back(&mut self) {
        self.end();
        if let Known::Limit { limit, remaining, .. } = &mut self.known {
            *remaining = (*remaining + 1).min(*limit);
        }
    }

    /// A request that was sent has ended, answered or not.
    pub fn end(&mut self) {
        debug_assert!(self.in_flight > 0, "every end follows a take");
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// An answer told the budget, or (`None`) that there is none to tell.
    pub fn told(&mut self, budget: Option<Budget>, now: Instant) {
        let Some(budget) = budget else {
            if matches!(self.known, Known::Nothing) {
                self.known = Known::NoLimit;
            }
            return;
        };
        // Requests under way may not be counted in the answer yet.
        let fresh = budget.remaining.saturating_sub(self.in_flight);
        let remaining = match self.known {
            // Answers overtake each other: within a window the budget only shrinks, unless it
            // turns out to be another than was expected.
            Known::Limit { limit, remaining, resets_at }
                if limit == budget.limit && resets_at.is_none_or(|at| at > now) =>
            {
                remaining.min(fresh)
            }
            _ => fresh,
        };
        self.known = Known::Limit { limit: budget.limit, remaining, resets_at: Some(now + budget.reset_after) };
    }

    /// A 429: nothing more until then.
    pub fn block(&mut self, until: Instant) {
        self.blocked_until = self.blocked_until.max(Some(until));
    }

    /// Whether forgetting this bucket loses nothing.
    pub fn is_idle(&self, now: Instant) -> bool {
        let resets_at = match self.known {
            Known::Limit { resets_at, .. } => resets_at,
            _ => None,
        };
        self.in_flight == 0 && self.blocked_until.max(resets_at).is_none_or(|at| at <= now)
    }

    /// When a place was last taken.
    pub fn used_at(&self) -> Instant {
        self.used_at
    }
}

/// The budget of the bot as a whole.
#[derive(Debug, Default)]
pub struct GlobalWindow {
    sent: VecDeque<Instant>,
    blocked_until: Option<Instant>,
}

impl GlobalWindow {
    /// Takes a place, or says when to ask again. In no second are there more than the limit.
    pub fn take(&mut self, now: Instant) -> Turn {
        if let Some(until) = self.blocked_until.filter(|until| *until > now) {
            return Turn::At(until);
        }
        while self.sent.front().is_some_and(|at| *at + GLOBAL_WINDOW <= now) {
            self.sent.pop_front();
        }
        match self.sent.front() {
            Some(first) if self.sent.len() >= GLOBAL_LIMIT => Turn::At(*first + GLOBAL_WINDOW),
            _ => {
                self.sent.push_back(now);
                Turn::Go
            }
        }
    }

    /// A global 429: nothing more on bot routes until then.
    pub fn block(&mut self, until: Instant) {
        self.blocked_until = self.blocked_until.max(Some(until));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(1);

    fn told(window: &mut Window, limit: u32, remaining: u32, now: Instant) {
        let reset_after = WINDOW;
        window.told(Some(Budget { limit, remaining, reset_after }), now);
    }

    #[test]
    fn an_unknown_bucket_is_found_out_by_one_request() {
        let now = Instant::now();
        let mut window = Window::unknown(now);
        assert_eq!(window.take(now), Turn::Go);
        assert_eq!(window.take(now), Turn::OnAnswer);
        window.end();
        told(&mut window, 2, 1, now);
        assert_eq!(window.take(now), Turn::Go);
        assert_eq!(window.take(now), Turn::At(now + WINDOW));
        assert_eq!(window.take(now + WINDOW), Turn::Go);
    }

    #[test]
    fn an_answer_that_was_overtaken_gives_nothing_back() {
        let now = Instant::now();
        let mut window = Window::expected(Some(2), now);
        assert_eq!(window.take(now), Turn::Go);
        assert_eq!(window.take(now), Turn::Go);
        window.end();
        told(&mut window, 2, 0, now);
        window.end();
        told(&mut window, 2, 1, now);
        assert_eq!(window.take(now), Turn::At(now + WINDOW));
    }

    #[test]
    fn a_bucket_whose_answers_were_all_lost_goes_on() {
        let now = Instant::now();
        let mut window = Window::expected(Some(1), now);
        assert_eq!(window.take(now), Turn::Go);
        assert_eq!(window.take(now), Turn::OnAnswer);
        window.end();
        assert_eq!(window.take(now), Turn::Go);
    }

    proptest! {
        /// Discord as it counts: a window begins with a request, and takes `limit` of them.
        #[test]
        fn a_server_that_keeps_its_word_never_refuses(
            limit in 1u32..6,
            gaps in proptest::collection::vec(0u64..400, 1..200),
        ) {
            let mut now = Instant::now();
            let mut window = Window::unknown(now);
            let (mut used, mut ends) = (0, now);
            for gap in gaps {
                now += Duration::from_millis(gap);
                while let Turn::At(at) = window.take(now) {
                    prop_assert!(at > now, "waiting for the past would spin");
                    now = at;
                }
                if now >= ends {
                    (used, ends) = (0, now + WINDOW);
                }
                used += 1;
                prop_assert!(used <= limit);
                window.end();
                let remaining = limit - used;
                window.told(Some(Budget { limit, remaining, reset_after: ends - now }), now);
            }
        }

        #[test]
        fn no_second_sees_more_than_the_global_limit(
            gaps in proptest::collection::vec(0u64..30, 1..400),
        ) {
            let mut now = Instant::now();
            let mut global = GlobalWindow::default();
            let mut sent = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                while let Turn::At(at) = global.take(now) {
                    prop_assert!(at > now);
                    now = at;
                }
                sent.push(now);
            }
            for (first, last) in sent.iter().zip(sent.iter().skip(GLOBAL_LIMIT)) {
                prop_assert!(*last >= *first + GLOBAL_WINDOW);
            }
        }
    }
}
