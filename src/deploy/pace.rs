//! How often CircleCI is asked about a deploy, and when it is given up. Pure: knows neither clocks nor requests.

use std::time::Duration;

/// The patience with which deploys are followed.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Between the first two questions.
    pub first: Duration,
    /// Between two questions about a build that has run for long.
    pub longest: Duration,
    /// The same two where webhooks arrive, which tell the end by themselves.
    pub first_beside_webhooks: Duration,
    pub longest_beside_webhooks: Duration,
    /// CircleCI has been out of reach for so long that people must be told.
    pub outage: Duration,
    /// A pipeline that has no workflow by then never gets one.
    pub no_workflow: Duration,
    /// A build that waits for a machine for longer than this is no longer followed.
    pub never_starts: Duration,
    /// CircleCI ends by itself what has run for this long (guides/orchestrate/workflows: 90 days).
    pub never_ends: Duration,
    /// How often, and for how long, CircleCI must say that a build isn't there before that is believed.
    pub vanished_times: u32,
    pub vanished_for: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(3),
            longest: Duration::from_secs(60),
            first_beside_webhooks: Duration::from_secs(20),
            longest_beside_webhooks: Duration::from_secs(240),
            outage: Duration::from_secs(10 * 60),
            no_workflow: Duration::from_secs(10 * 60),
            never_starts: Duration::from_secs(24 * 60 * 60),
            never_ends: Duration::from_secs(91 * 24 * 60 * 60),
            vanished_times: 3,
            vanished_for: Duration::from_secs(60),
        }
    }
}

/// What decides about the next question.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circumstances {
    /// How long ago the deploy was asked for.
    pub age: Duration,
    /// Whether its project sends webhooks.
    pub webhooks: bool,
    /// How many questions in a row were not answered.
    pub unanswered: u32,
}

impl Pace {
    /// How long to wait before the next question: a share of the age, so that a build is asked about often while it is
    /// young. `jitter` from 0 to 1 keeps those that began together apart.
    pub fn next(&self, circumstances: Circumstances, jitter: f64) -> Duration {
        let (first, longest, share) = match circumstances.webhooks {
            false => (self.first, self.longest, 0.25),
            true => (self.first_beside_webhooks, self.longest_beside_webhooks, 0.75),
        };
        let patience = 2_u32.saturating_pow(circumstances.unanswered.min(16));
        let even = circumstances.age.mul_f64(share).max(first).saturating_mul(patience).min(longest);
        even.mul_f64(0.9 + 0.2 * jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn questions(webhooks: bool, length: Duration) -> usize {
        let (pace, mut age, mut count) = (Pace::default(), Duration::ZERO, 0);
        loop {
            age += pace.next(Circumstances { age, webhooks, unanswered: 0 }, 0.5);
            count += 1;
            if age >= length {
                return count;
            }
        }
    }

    #[test]
    fn a_ten_minute_build_is_asked_about_seldom_enough() {
        // Each question reads a pipeline's workflows, the first ones the pipeline too.
        let ten_minutes = Duration::from_secs(600);
        assert!(questions(false, ten_minutes) <= 32, "{}", questions(false, ten_minutes));
        assert!(questions(true, ten_minutes) <= 8, "{}", questions(true, ten_minutes));
    }

    proptest! {
        #[test]
        fn pauses_stay_within_their_limits(age in 0u64..100_000_000, unanswered in 0u32..100, webhooks: bool, jitter in 0.0f64..1.0) {
            let pace = Pace::default();
            let pause = pace.next(Circumstances { age: Duration::from_secs(age), webhooks, unanswered }, jitter);
            prop_assert!(pause >= pace.first.mul_f64(0.89) && pause <= pace.longest_beside_webhooks.mul_f64(1.11));
        }
    }
}
