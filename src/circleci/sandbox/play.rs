//! What the sandbox plays by the name of a branch, so that a newcomer can see each end of a deploy: `fail/…`, `slow/…`,
//! `flaky/…` and `hold/…`. Pure: describes, and changes nothing.

use std::time::Duration;

use sha2::{Digest, Sha256};

/// How long jobs of a slow branch run.
const SLOW: Duration = Duration::from_secs(60);

/// How the jobs of a branch go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    /// As everywhere else.
    Plain,
    /// They fail.
    Fail,
    /// They take a minute.
    Slow,
    /// They fail the first time, and succeed when they are run again.
    Flaky,
    /// They wait for an approval.
    Hold,
}

impl Play {
    /// What a branch or tag plays.
    pub fn of(reference: &str) -> Play {
        match reference.split_once('/') {
            Some(("fail", _)) => Play::Fail,
            Some(("slow", _)) => Play::Slow,
            Some(("flaky", _)) => Play::Flaky,
            Some(("hold", _)) => Play::Hold,
            _ => Play::Plain,
        }
    }

    /// How long a job runs that would run for `usual`.
    pub fn running(self, usual: Duration) -> Duration {
        if self == Play::Slow { usual.max(SLOW) } else { usual }
    }
}

/// The commit at the head of a branch that exists because of what it plays.
pub fn commit_of(branch: &str) -> String {
    hex::encode(&Sha256::digest(branch.as_bytes())[..20])
}

/// A step of a job, and what it prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    pub output: String,
}

impl Step {
    /// A step of this name that prints this.
    pub fn new(name: &str, output: &str) -> Step {
        Step { name: name.into(), output: output.into() }
    }
}

/// The step in which a job fails, unless a test says otherwise.
pub fn failing_step(job: &str, branch: Option<&str>) -> Step {
    let flaky = branch.is_some_and(|branch| Play::of(branch) == Play::Flaky);
    match (flaky, job.contains("deploy")) {
        (true, _) => Step::new("Fetch dependencies", FLAKY_OUTPUT),
        (false, true) => Step::new("Deploy", DEPLOY_OUTPUT),
        (false, false) => Step::new("Run tests", TEST_OUTPUT),
    }
}

const DEPLOY_OUTPUT: &str = "\u{1b}[1m$ ./deploy.sh production\u{1b}[0m\r\n\
    ==> pulling registry.example.com/acme/web\r\n\
    layer 1 of 3  33%\rlayer 2 of 3  66%\rlayer 3 of 3 100%\r\n\
    ==> migrating the database\r\n\
    ==> starting 2 replicas\r\n\
    web-1 healthy\r\n\
    \u{1b}[31mweb-2: GET http://10.0.3.17:8080/healthz answered 503 for 60 s\u{1b}[0m\r\n\
    ==> web-2 does not become healthy; web-1 keeps the previous release\r\n\
    \r\n\
    Exited with code exit status 1\r\n";

const TEST_OUTPUT: &str = "\u{1b}[1m$ npm test\u{1b}[0m\r\n\
    \u{1b}[32m  ok\u{1b}[0m 41 cart\r\n\
    \u{1b}[32m  ok\u{1b}[0m 42 checkout with a voucher\r\n\
    \u{1b}[31m  not ok\u{1b}[0m 43 checkout with an expired voucher\r\n\
    \r\n\
    AssertionError: expected 200 to equal 410\r\n    at test/checkout.test.js:87:14\r\n\
    \r\n\
    1 of 43 tests failed\r\n\
    \r\n\
    Exited with code exit status 1\r\n";

const FLAKY_OUTPUT: &str = "\u{1b}[1m$ npm ci\u{1b}[0m\r\n\
    npm error code ETIMEDOUT\r\n\
    npm error network request to https://registry.example.com/left-pad failed, reason: connect ETIMEDOUT\r\n\
    npm error network This is a problem related to network connectivity.\r\n\
    \r\n\
    Exited with code exit status 1\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_plays_by_its_first_part() {
        assert_eq!(Play::of("fail/migration"), Play::Fail);
        assert_eq!(Play::of("flaky/x/y"), Play::Flaky);
        assert_eq!(Play::of("failsafe"), Play::Plain);
        assert_eq!(Play::of("main"), Play::Plain);
        assert_eq!(commit_of("fail/a").len(), 40);
        assert_ne!(commit_of("fail/a"), commit_of("fail/b"));
        assert_eq!(Play::Slow.running(Duration::from_secs(4)), Duration::from_secs(60));
        assert_eq!(Play::Fail.running(Duration::from_secs(4)), Duration::from_secs(4));
    }
}
