//! When a job of the sandbox waits, runs and ends, read off the clock. Pure: no timer moves anything on, and
//! nothing here knows about HTTP.

use std::time::Duration;

use jiff::Timestamp;

/// How a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failed,
    Canceled,
    TimedOut,
    InfrastructureFail,
}

impl Outcome {
    /// The word that both API generations use for a job that ended so.
    pub fn word(self) -> &'static str {
        match self {
            Outcome::Success => "success",
            Outcome::Failed => "failed",
            Outcome::Canceled => "canceled",
            Outcome::TimedOut => "timedout",
            Outcome::InfrastructureFail => "infrastructure_fail",
        }
    }
}

/// Where a job is at some instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Queued,
    Running,
    Finished(Outcome),
}

impl Phase {
    /// v1.1's `status` and v2's job status, which use the same words for these phases.
    pub fn status(self) -> &'static str {
        match self {
            Phase::Queued => "queued",
            Phase::Running => "running",
            Phase::Finished(outcome) => outcome.word(),
        }
    }

    /// v1.1's `lifecycle`.
    pub fn lifecycle(self) -> &'static str {
        match self {
            Phase::Queued => "queued",
            Phase::Running => "running",
            Phase::Finished(_) => "finished",
        }
    }

    /// How it ended, once it has.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Phase::Finished(outcome) => Some(outcome),
            Phase::Queued | Phase::Running => None,
        }
    }
}

/// How long the stages last.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From a pipeline's trigger until its workflows exist (state `pending`); v1.1 jobs skip it.
    pub pending: Duration,
    /// From then until a job starts.
    pub queued: Duration,
    /// From a job's start to its end.
    pub running: Duration,
}

/// One job's past and, as far as nobody interferes, its future.
#[derive(Clone, Debug)]
pub struct Timeline {
    pub queued_at: Timestamp,
    starts_at: Timestamp,
    stops_at: Timestamp,
    ends: Outcome,
}

impl Timeline {
    /// A job that is queued at `queued_at` and will end with `ends`.
    pub fn new(queued_at: Timestamp, timing: Timing, ends: Outcome) -> Timeline {
        let starts_at = queued_at + timing.queued;
        Timeline { queued_at, starts_at, stops_at: starts_at + timing.running, ends }
    }

    /// Where the job is at `now`.
    pub fn phase(&self, now: Timestamp) -> Phase {
        if now >= self.stops_at {
            Phase::Finished(self.ends)
        } else if now >= self.starts_at {
            Phase::Running
        } else {
            Phase::Queued
        }
    }

    /// When it started, if it has by `now`; never for a job that ended in the queue.
    pub fn started_at(&self, now: Timestamp) -> Option<Timestamp> {
        (self.starts_at <= now && self.starts_at <= self.stops_at).then_some(self.starts_at)
    }

    /// When it ended, if it has by `now`.
    pub fn stopped_at(&self, now: Timestamp) -> Option<Timestamp> {
        (self.stops_at <= now).then_some(self.stops_at)
    }

    /// Starts a queued job at `now`, with its full time to run ahead of it.
    pub fn begin(&mut self, now: Timestamp) {
        if self.phase(now) == Phase::Queued {
            let running = self.starts_at.duration_until(self.stops_at);
            self.queued_at = self.queued_at.min(now);
            self.starts_at = now;
            self.stops_at = now + running;
        }
    }

    /// Ends a job at `now`. One that has ended stays as it is: the answer says whether anything changed.
    pub fn finish(&mut self, now: Timestamp, outcome: Outcome) -> bool {
        if let Phase::Finished(_) = self.phase(now) {
            return false;
        }
        self.queued_at = self.queued_at.min(now);
        if outcome != Outcome::Canceled {
            self.starts_at = self.starts_at.min(now);
        }
        self.stops_at = now;
        self.ends = outcome;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing =
        Timing { pending: Duration::ZERO, queued: Duration::from_secs(1), running: Duration::from_secs(4) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a second of our era")
    }

    #[test]
    fn a_job_waits_runs_and_ends_by_the_clock() {
        let job = Timeline::new(at(10), TIMING, Outcome::Success);
        assert_eq!(job.phase(at(10)), Phase::Queued);
        assert_eq!(job.phase(at(11)), Phase::Running);
        assert_eq!(job.phase(at(15)), Phase::Finished(Outcome::Success));
        assert_eq!(job.stopped_at(at(14)), None);
        assert_eq!(job.stopped_at(at(20)), Some(at(15)));
    }

    #[test]
    fn a_job_canceled_in_the_queue_never_started() {
        let mut job = Timeline::new(at(10), TIMING, Outcome::Success);
        assert!(job.finish(at(10), Outcome::Canceled));
        assert_eq!(job.phase(at(30)), Phase::Finished(Outcome::Canceled));
        assert_eq!(job.started_at(at(30)), None);
        assert!(!job.finish(at(31), Outcome::Failed));
    }

    #[test]
    fn a_job_begun_early_still_runs_its_full_time() {
        let mut job = Timeline::new(at(10), TIMING, Outcome::Failed);
        job.begin(at(10));
        assert_eq!(job.phase(at(13)), Phase::Running);
        assert_eq!(job.phase(at(14)), Phase::Finished(Outcome::Failed));
    }
}
