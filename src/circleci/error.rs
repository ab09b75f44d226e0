//! What can go wrong between Slipway and CircleCI, and every text that people read about it. Knows nothing of HTTP but
//! the numbers of its statuses.
//!
//! In each text `why` is Slipway's own words, with nothing from CircleCI in them; CircleCI's words are apart, in
//! `said`.

use std::fmt;
use std::time::Duration;

use super::Project;
use crate::invalid::Invalid;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A setting cannot be used.
    #[error(transparent)]
    Setting(#[from] Invalid),
    /// The system offers no TLS or no resolver.
    #[error("The HTTP client for CircleCI cannot be set up. Check the system's certificates and name resolution.")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why an order led to no run that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TriggerError {
    /// CircleCI, or a check before it, said no: nothing runs.
    #[error(transparent)]
    Refused(Refusal),
    /// The order never reached CircleCI, or not past its rate limit: nothing runs.
    #[error("{why}")]
    NotSent { why: String },
    /// CircleCI may have taken the order: it must be looked for, and never be sent again.
    #[error("{why}")]
    Lost { why: String },
    /// CircleCI took the order and names no build in its answer, as `build` has it: it must be looked for.
    #[error("CircleCI took the request; its answer names no build, so the build is looked for.")]
    Unnamed,
}

/// Why something that a person asked for was not done, or is not known to be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// CircleCI, or a check before it, said no: nothing has changed.
    #[error(transparent)]
    Refused(Refusal),
    /// The request never reached CircleCI, or not past its rate limit: nothing has changed.
    #[error("{why}")]
    NotSent { why: String },
    /// CircleCI may have done it. It is not asked again; a person looks, and may ask once more.
    #[error("{why}")]
    Uncertain { why: String },
}

impl From<ReadError> for ActError {
    /// What had to be read first could not be.
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Refused(refusal) => ActError::Refused(refusal),
            ReadError::Unavailable { why, .. } | ReadError::Unreadable { why } => {
                ActError::NotSent { why: format!("{why} Nothing has changed.") }
            }
        }
    }
}

/// A POST without an answer that could be judged.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// It had no effect.
    NotSent(String),
    /// It may have had one.
    Lost(String),
}

impl From<Unanswered> for TriggerError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotSent(why) => not_sent(why),
            Unanswered::Lost(why) => lost(why),
        }
    }
}

impl From<Unanswered> for ActError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotSent(why) => ActError::NotSent { why: format!("{why} Nothing has changed.") },
            Unanswered::Lost(why) => uncertain(&why),
        }
    }
}

/// Why something could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// CircleCI said no.
    #[error(transparent)]
    Refused(Refusal),
    /// CircleCI could not be reached, failed or stayed over its rate limit, at every try.
    #[error("{why}")]
    Unavailable { status: Option<u16>, why: String },
    /// CircleCI's answer cannot be understood.
    #[error("{why}")]
    Unreadable { why: String },
}

impl From<ReadError> for TriggerError {
    /// What failed before the order was sent has started nothing.
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Refused(refusal) => TriggerError::Refused(refusal),
            ReadError::Unavailable { why, .. } | ReadError::Unreadable { why } => {
                TriggerError::NotSent { why: format!("{why} Nothing was started.") }
            }
        }
    }
}

/// A no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: RefusalKind,
    /// The HTTP status; none when nothing was sent.
    pub status: Option<u16>,
    /// What happened, why, and what to do next.
    pub why: String,
    /// CircleCI's own words, as one line of plain text: still to be escaped for where it is shown.
    pub said: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// Whether only the bot's operator can mend it: a token, or where CircleCI is.
    pub fn concerns_the_operator(&self) -> bool {
        use RefusalKind::{Forbidden, Redirected, Retired, Unauthorized};
        matches!(self.kind, Unauthorized | Forbidden | Redirected | Retired)
    }
}

/// What kind of no it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The token is wrong, revoked or expired (401).
    Unauthorized,
    /// The token may not do this (403).
    Forbidden,
    /// The project isn't there or the token can't see it (404).
    NotFound,
    /// The build or pipeline isn't there (404).
    RunNotFound,
    /// The repository has no such branch, or CircleCI doesn't know it yet.
    BranchNotFound,
    /// The configuration has no such job.
    JobNotFound,
    /// API v1.1 can't use the configuration: it is 2.1, or broken.
    Configuration,
    /// A parameter that the configuration doesn't declare.
    ParameterUndeclared,
    /// A parameter of another type than declared.
    ParameterType,
    /// CircleCI has ended this kind of trigger (410).
    Retired,
    /// CircleCI answered well, but started nothing.
    NothingStarted,
    /// A pipeline can't be pinned to a commit.
    RevisionNotPinned,
    /// The project's slug is not of the form `circleci/<org>/<project>`.
    Slug,
    /// The environment names a pipeline definition that isn't there.
    DefinitionNotFound,
    /// The project has several pipeline definitions and the environment names none.
    DefinitionAmbiguous,
    /// The environment names a pipeline definition, and this CircleCI tells of none.
    DefinitionsUnknown,
    /// CircleCI server doesn't have this.
    NotOnServer,
    /// The project has no API v1.1.
    NoV1,
    /// This kind of trigger takes no parameters.
    NoParameters,
    /// The job doesn't wait for an approval: it was approved already, or its workflow has ended.
    NotOnHold,
    /// Nothing has failed that could be run again from there.
    NothingFailed,
    /// Only pipelines can be run again from where they failed.
    OnlyPipelines,
    /// Another address is meant (3xx).
    Redirected,
    /// Anything else.
    Other,
}

/// What a refusal is about.
#[derive(Debug, Clone)]
pub(super) struct About<'a> {
    pub project: &'a Project,
    /// The variable that the token came from.
    pub variable: &'a str,
    /// The names of ours that CircleCI speaks of: parameters.
    pub names: Vec<&'a str>,
}

impl Refusal {
    /// The text for a no of this kind.
    pub(super) fn new(kind: RefusalKind, status: Option<u16>, about: &About<'_>, said: Option<String>) -> Self {
        let why = why(kind, status, about);
        Self { kind, status, why, said }
    }
}

fn why(kind: RefusalKind, status: Option<u16>, about: &About<'_>) -> String {
    let (repo, vcs, variable) = (&about.project.repo, about.project.vcs, about.variable);
    match kind {
        RefusalKind::Unauthorized => format!(
            "CircleCI does not accept the token in {variable}: it is wrong, revoked or expired. {} The bot's operator \
             makes a new one there, sets {variable} and restarts the bot.",
            origin(variable)
        ),
        RefusalKind::Forbidden => format!(
            "CircleCI does not let the token in {variable} do this in {repo}. Its owner needs write access to the \
             repository; a project token needs more than a read-only scope."
        ),
        RefusalKind::NotFound => format!(
            "CircleCI shows no project {repo} ({vcs}) to the token in {variable}: it isn't there, or the token can't \
             see it. Check how the name is written, that the project is set up on CircleCI, and that the token's \
             owner can open it there."
        ),
        RefusalKind::RunNotFound => format!(
            "CircleCI no longer shows this build of {repo} to the token in {variable}: it was deleted, or the token \
             can't see the project any more. Look for it on CircleCI."
        ),
        RefusalKind::BranchNotFound => {
            format!("CircleCI finds no such branch in {repo}. Check how it is written, and that it has been pushed.")
        }
        RefusalKind::JobNotFound => format!(
            "The configuration of {repo} on this branch has no such job. Check the environment's job against \
             `.circleci/config.yml` there."
        ),
        RefusalKind::Configuration => format!(
            "CircleCI's job trigger (API v1.1) can't use the configuration of {repo} on this branch: it starts jobs \
             only from configurations below 2.1. If `.circleci/config.yml` says `version: 2.1`, use a `pipeline` \
             environment (docs/circleci.md shows how); else correct what CircleCI says of it."
        ),
        RefusalKind::ParameterUndeclared => format!(
            "The configuration declares no pipeline parameter {}, and CircleCI refuses what is not declared. Declare \
             it under `parameters:` in {repo}'s `.circleci/config.yml` on this branch (docs/circleci.md shows how), \
             or leave it out.",
            named(about).unwrap_or_else(|| "of a name that was sent".to_owned())
        ),
        RefusalKind::ParameterType => format!(
            "The configuration declares another type for the parameter {}. A number is written `N=3`, a truth value \
             `DRY=true`, and text that looks like one of them is quoted: `TAG=\"3\"`.",
            named(about).unwrap_or_else(|| "that CircleCI speaks of".to_owned())
        ),
        RefusalKind::Retired => {
            "CircleCI takes no more triggers of its API v1.1, which end for everybody on 1 February 2027. \
             Use a `pipeline` environment instead: docs/circleci.md shows how to move one over."
                .to_owned()
        }
        RefusalKind::NothingStarted => format!(
            "CircleCI took the request for {repo} but started nothing. A commit message that skips CI, or settings of \
             the project on CircleCI, can be the reason: change that, then deploy again."
        ),
        RefusalKind::RevisionNotPinned => "A pipeline runs the newest commit of its branch and can't be pinned to \
             another. Leave `revision` out, or pass it on: put `{revision}` into the environment's parameters and let \
             the configuration check it out (docs/circleci.md shows how)."
            .to_owned(),
        RefusalKind::Slug => format!(
            "The project slug of {repo} is not one of CircleCI's. Copy it from Project Settings on CircleCI: \
             `circleci/<organization id>/<project id>`."
        ),
        RefusalKind::DefinitionNotFound => format!(
            "{repo} has no pipeline definition of the name or id that the environment gives, or several of that name. \
             Set the environment's `definition` to the id of one that the project has."
        ),
        RefusalKind::DefinitionAmbiguous => format!(
            "{repo} has several pipeline definitions and it isn't clear which one deploys. Set the environment's \
             `definition` to the name or id of one of them."
        ),
        RefusalKind::DefinitionsUnknown => format!(
            "The environment gives a pipeline definition, but this CircleCI does not tell which ones {repo} has. A \
             CircleCI server has none: take `definition` out of the environment. Otherwise try again in a few minutes."
        ),
        RefusalKind::NotOnServer => format!(
            "This CircleCI tells of no pipeline definitions for {repo}, as a CircleCI server: the trigger `build` is not \
             available there. Set the environment's `trigger` to `pipeline`."
        ),
        RefusalKind::NoV1 => format!(
            "{repo} has a project slug of its own and no API v1.1, which is what the trigger `build` needs. Set the \
             environment's `trigger` to `pipeline`."
        ),
        RefusalKind::NoParameters => "The trigger `build` takes no parameters. Leave them out, or set the environment's \
             `trigger` to `pipeline`."
            .to_owned(),
        RefusalKind::NotOnHold => "Nothing waits for this approval any more: it was given already, or the workflow has \
             ended. The card shows it at its next change."
            .to_owned(),
        RefusalKind::NothingFailed => "CircleCI shows no workflow of this pipeline that has failed, so there is nothing to \
             run again from there. Retry makes a new deploy."
            .to_owned(),
        RefusalKind::OnlyPipelines => {
            "Only a pipeline can be run again from where it failed, and this is a single build. Retry makes a new deploy."
                .to_owned()
        }
        RefusalKind::Redirected => "CircleCI's address has moved: it answered with a redirection, which is not \
             followed. The bot's operator sets CIRCLECI_URL to the address that it leads to."
            .to_owned(),
        RefusalKind::Other => format!(
            "CircleCI refused the request for {repo}{}. What it says may tell what to change; its status page is \
             https://status.circleci.com.",
            status.map(|status| format!(" (status {status})")).unwrap_or_default()
        ),
    }
}

/// Where a token of this variable is made.
fn origin(variable: &str) -> &'static str {
    if variable == super::access::USER_TOKEN {
        "Personal tokens live at most a year and are made on CircleCI under User Settings, Personal API Tokens."
    } else {
        "Project tokens are made on CircleCI under Project Settings, API Permissions."
    }
}

/// The parameters spoken of; only harmless names are repeated.
fn named(about: &About<'_>) -> Option<String> {
    let harmless = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let names: Vec<_> = about.names.iter().copied().filter(harmless).map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// There is no connection.
pub(super) fn unreachable(cause: &str) -> String {
    format!(
        "CircleCI could not be reached ({cause}). Try again in a minute; if it goes on, see \
         https://status.circleci.com, or let the bot's operator check its network and CIRCLECI_URL."
    )
}

/// There was no answer in time.
pub(super) fn silent(waited: Duration) -> String {
    format!("CircleCI did not answer within {} s.", waited.as_secs_f32())
}

/// The connection ended before the answer did.
pub(super) fn dropped() -> String {
    "The connection to CircleCI broke before its answer came.".to_owned()
}

/// CircleCI failed.
pub(super) fn failed(status: u16) -> String {
    format!("CircleCI had an error of its own (status {status}).")
}

/// The rate limit lasts longer than it is waited for.
pub(super) fn rate_limited() -> String {
    "CircleCI's rate limit is reached and does not end soon enough to wait for it. Try again in a few minutes."
        .to_owned()
}

/// The answer is not what it should be.
pub(super) fn unreadable() -> String {
    "CircleCI's answer can't be understood. If CIRCLECI_URL is set, check that it leads to CircleCI and not to a login \
     page."
        .to_owned()
}

/// The answer is larger than any that is expected.
pub(super) fn oversized() -> String {
    "CircleCI's answer is larger than any that is expected and was not read to its end.".to_owned()
}

/// An order that is not certain to have had no effect: whoever looks for it says what came of that.
pub(super) fn lost(why: String) -> TriggerError {
    TriggerError::Lost { why }
}

/// A request of a person's that is not certain to have had no effect.
pub(super) fn uncertain(why: &str) -> ActError {
    ActError::Uncertain {
        why: format!("{why} It may have been done all the same: look at the build on CircleCI before you ask again."),
    }
}

/// What the end `unauthorized` of a workflow means.
pub(super) fn unauthorized(workflow: &str) -> String {
    format!(
        "The workflow {workflow} is unauthorized: one of its jobs uses a context that is restricted to others than whose \
         token triggered it or who approved it. Change the context's restrictions on CircleCI, or let one of them do it."
    )
}

/// An order that has had no effect.
pub(super) fn not_sent(why: String) -> TriggerError {
    TriggerError::NotSent { why: format!("{why} Nothing was started.") }
}

/// What was asked for isn't there, as was seen a short while ago.
pub(super) fn lacking() -> String {
    "This CircleCI doesn't have what was asked for, as a server doesn't.".to_owned()
}
