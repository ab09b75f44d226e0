//! With what Slipway speaks to CircleCI, and how patiently. Knows nothing of requests.

use std::collections::HashMap;
use std::time::Duration;

use backon::ExponentialBuilder;
use secrecy::{ExposeSecret, SecretString};

use super::Project;

/// Where CircleCI is, and the tokens for it.
#[derive(Debug, Clone)]
pub struct Access {
    /// The root, `CIRCLECI_URL`: `https://circleci.com`, or a server of one's own.
    pub url: String,
    /// `CIRCLE_API_USER_TOKEN`.
    pub user_token: SecretString,
    /// `CIRCLE_API_PROJECT_TOKEN`: for every project's v1.1 triggers and reads.
    pub project_token: Option<SecretString>,
    /// `CIRCLE_API_PROJECT_TOKEN_<suffix>` by their suffixes (`ACME_WEB`): for one project's v1.1 triggers and reads.
    pub project_tokens: HashMap<String, SecretString>,
}

/// The root of CircleCI's own service.
pub const CIRCLECI_URL: &str = "https://circleci.com";

/// The variable of the personal token.
pub(super) const USER_TOKEN: &str = "CIRCLE_API_USER_TOKEN";
/// The variable of the project token, and the beginning of those for one project.
const PROJECT_TOKEN: &str = "CIRCLE_API_PROJECT_TOKEN";

/// How a token is shown to CircleCI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// API v1.1: the user name of basic authentication, with an empty password.
    Basic,
    /// API v2: a header.
    Header,
}

/// A token, and the setting that it came from.
#[derive(Debug, Clone)]
pub(super) struct Credential<'a> {
    pub token: &'a SecretString,
    /// The name of the variable, for messages: never its value.
    pub variable: String,
    pub scheme: Scheme,
}

impl Access {
    /// For API v2, which takes personal tokens only.
    pub(super) fn user(&self) -> Credential<'_> {
        Credential { token: &self.user_token, variable: USER_TOKEN.to_owned(), scheme: Scheme::Header }
    }

    /// For what API v1.1 lets nobody but a person do.
    pub(super) fn user_v1(&self) -> Credential<'_> {
        Credential { scheme: Scheme::Basic, ..self.user() }
    }

    /// For API v1.1: the token that can do the least.
    pub(super) fn job(&self, project: &Project) -> Credential<'_> {
        let own = project.token_name.as_ref().and_then(|name| Some((self.project_tokens.get(name)?, name)));
        let (token, variable) = match (own, &self.project_token) {
            (Some((token, name)), _) => (token, format!("{PROJECT_TOKEN}_{name}")),
            (None, Some(token)) => (token, PROJECT_TOKEN.to_owned()),
            (None, None) => (&self.user_token, USER_TOKEN.to_owned()),
        };
        Credential { token, variable, scheme: Scheme::Basic }
    }

    /// Every token, with the name of its variable.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (String, &SecretString)> {
        let shared = self.project_token.iter().map(|token| (PROJECT_TOKEN.to_owned(), token));
        let own = self.project_tokens.iter().map(|(name, token)| (format!("{PROJECT_TOKEN}_{name}"), token));
        std::iter::once((USER_TOKEN.to_owned(), &self.user_token)).chain(shared).chain(own)
    }

    /// Whether a token of ours stands in `text`.
    pub(super) fn is_in(&self, text: &str) -> bool {
        self.tokens().any(|(_, token)| !token.expose_secret().is_empty() && text.contains(token.expose_secret()))
    }

    /// `text` without any token of ours: a service may repeat what it was sent.
    pub(super) fn redact(&self, text: String) -> String {
        self.tokens()
            .map(|(_, token)| token.expose_secret())
            .filter(|secret| !secret.is_empty())
            .fold(text, |text, secret| if text.contains(secret) { text.replace(secret, "[token]") } else { text })
    }
}

/// How long CircleCI is waited for, and how often it is asked again.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For a whole request, from its start to the last byte of the answer; more than `connect`.
    pub request: Duration,
    /// Before a read is tried for the second time; it doubles from then on, with jitter.
    pub retry_first: Duration,
    /// The longest delay between two tries, unless CircleCI names a longer one.
    pub retry_longest: Duration,
    /// How often a read is tried again.
    pub read_retries_max: usize,
    /// How long 429 answers to one request are waited for, in all.
    pub rate_limited: Duration,
    /// When a lost build is looked for, counted from the beginning of the search; ascending.
    pub looks: Vec<Duration>,
    /// How long it is remembered of a project what there is and what CircleCI lacks for it: pipeline definitions, API v3,
    /// Insights.
    pub definitions: Duration,
    /// How many reads the process sends in a second, in the long run.
    pub reads_per_second: f64,
    /// How many reads go out at once after a quiet time.
    pub reads_burst: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(20),
            retry_first: Duration::from_millis(300),
            retry_longest: Duration::from_secs(10),
            read_retries_max: 3,
            rate_limited: Duration::from_secs(60),
            looks: [1, 3, 8, 15].map(Duration::from_secs).to_vec(),
            definitions: Duration::from_secs(5 * 60),
            // CircleCI publishes no numbers; its documentation names bursts and frequent polling as what it throttles.
            reads_per_second: 40.0,
            reads_burst: 40,
        }
    }
}

impl Patience {
    /// The delays between tries, without an end: who uses them sets one.
    pub(super) fn delays(&self) -> ExponentialBuilder {
        ExponentialBuilder::new()
            .with_min_delay(self.retry_first)
            .with_max_delay(self.retry_longest)
            .without_max_times()
            .with_jitter()
            // Without backon's `std` feature its jitter would be the same in every process.
            .with_jitter_seed(rand::random())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::Vcs;

    fn access() -> Access {
        Access {
            url: CIRCLECI_URL.to_owned(),
            user_token: "user".to_owned().into(),
            project_token: Some("shared".to_owned().into()),
            project_tokens: HashMap::from([("ACME_WEB".to_owned(), "own".to_owned().into())]),
        }
    }

    fn project(token_name: Option<&str>) -> Project {
        Project {
            vcs: Vcs::GitHub,
            repo: "acme/web".parse().unwrap(),
            slug: None,
            token_name: token_name.map(str::to_owned),
        }
    }

    #[test]
    fn a_job_is_asked_for_with_the_token_that_can_do_the_least() {
        let mut access = access();
        let variable = |access: &Access, name| access.job(&project(name)).variable;
        assert_eq!(variable(&access, Some("ACME_WEB")), "CIRCLE_API_PROJECT_TOKEN_ACME_WEB");
        assert_eq!(variable(&access, Some("ACME_APP")), "CIRCLE_API_PROJECT_TOKEN");
        assert_eq!(variable(&access, None), "CIRCLE_API_PROJECT_TOKEN");
        access.project_token = None;
        assert_eq!(variable(&access, None), "CIRCLE_API_USER_TOKEN");
    }

    #[test]
    fn tokens_cannot_be_printed_and_are_taken_out_of_what_others_say() {
        let access = access();
        let printed = format!("{access:?}");
        assert!(!printed.contains("\"user\"") && !printed.contains("\"own\""), "{printed}");
        assert_eq!(access.redact("Invalid token own.".to_owned()), "Invalid token [token].");
    }
}
