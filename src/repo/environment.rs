//! An environment: where a repository is deployed to, and how CircleCI is asked to do it. Knows nothing of HTTP and SQL.

use std::fmt;
use std::str::FromStr;

use super::declared::Declared;
use super::template::Template;
use crate::id::ChannelId;
use crate::invalid::Invalid;
use crate::permission::Pattern;
use crate::vocabulary::vocabulary;

/// The longest environment name in characters.
const NAME_CHARS_MAX: usize = 50;
/// The longest name of a pipeline definition in characters.
const DEFINITION_CHARS_MAX: usize = 100;
/// The most approvals that can be asked for.
pub const APPROVALS_MAX: u8 = 10;

/// The name of an environment, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnvironmentName(String);

impl EnvironmentName {
    /// The environment that every repository starts with.
    pub fn production() -> Self {
        Self("production".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvironmentName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let name = text.to_ascii_lowercase();
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let begins_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !begins_well || name.len() > NAME_CHARS_MAX || !name.bytes().all(legal) {
            return Err(Invalid::new(
                "environment",
                "An environment's name has 1 to 50 letters, digits, `-`, `_` or `.`, and begins with a letter or digit.",
                "production",
            ));
        }
        Ok(Self(name))
    }
}

impl fmt::Display for EnvironmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a job in `.circleci/config.yml`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct JobName(String);

impl JobName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if text.is_empty() || text.len() > 100 || !text.chars().all(legal) {
            return Err(Invalid::new(
                "job",
                "A job's name has 1 to 100 letters, digits, `-`, `_`, `.` or `/`, as in `.circleci/config.yml`.",
                "deploy_docker",
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for JobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How CircleCI is asked to deploy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// API v2: run a pipeline. The definition is found when it is not named.
    Pipeline {
        /// The name or UUID of the pipeline definition.
        definition: Option<String>,
    },
    /// API v1.1: run one job of a configuration below 2.1, until 1 February 2027.
    Job(JobName),
    /// API v1.1: run the workflows of a branch or a commit, until the same day. Takes no parameters; not on a server.
    Build,
}

impl Trigger {
    /// The kind.
    pub fn kind(&self) -> TriggerKind {
        match self {
            Trigger::Pipeline { .. } => TriggerKind::Pipeline,
            Trigger::Job(_) => TriggerKind::Job,
            Trigger::Build => TriggerKind::Build,
        }
    }

    /// The word for its kind, as people write it.
    pub fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }
}

vocabulary! {
    /// The kinds of triggers.
    TriggerKind, "trigger", "pipeline" {
        /// API v2: run a pipeline.
        Pipeline = "pipeline",
        /// API v1.1: run one job.
        Job = "job",
        /// API v1.1: run a branch's workflows.
        Build = "build",
    }
}

/// An environment of a repository.
#[derive(Debug, Clone, PartialEq)]
pub struct Environment {
    /// Its name.
    pub name: EnvironmentName,
    /// How it is deployed.
    pub trigger: Trigger,
    /// What is passed to its pipeline; empty for a job or a build.
    pub template: Template,
    /// Whether a rollback there asks for a confirmation first.
    pub confirm: bool,
    /// The branches that are deployed there.
    pub branches: Pattern,
    /// The only channel in which it is asked for.
    pub channel: Option<ChannelId>,
    /// What people may pass; anything when nothing is declared.
    pub declared: Vec<Declared>,
    /// How many must approve a deploy there. Nothing asks for it yet.
    pub approvals: u8,
    /// Whether it is meant where none is named.
    pub is_default: bool,
}

impl Environment {
    /// An environment that passes nothing of its own.
    pub fn new(name: EnvironmentName, trigger: Trigger) -> Self {
        Self {
            name,
            trigger,
            template: Template::default(),
            confirm: false,
            branches: Pattern::any(),
            channel: None,
            declared: Vec::new(),
            approvals: 0,
            is_default: false,
        }
    }

    /// Whether a deploy there can be of a certain commit: a pipeline must be told it by its template.
    pub fn pins_revisions(&self) -> bool {
        !matches!(self.trigger, Trigger::Pipeline { .. }) || self.template.carries("revision")
    }
}

/// A pipeline definition's name or id.
pub fn definition(text: &str) -> Result<String, Invalid> {
    if text.chars().count() > DEFINITION_CHARS_MAX || text.contains(char::is_control) {
        return Err(Invalid::new(
            "definition",
            "A pipeline definition's name has at most 100 characters, none of them a control character.",
            "deploy",
        ));
    }
    Ok(text.trim().to_owned())
}
