//! What a sandbox CircleCI is given at its start: who owns the token, which projects there are and how their
//! builds go. It describes only; the state that grows from it is in `world`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::play::{self, Play};
use super::timeline::{Outcome, Timing};

/// Times of the console's sandbox: short enough to watch, long enough to cancel.
const SANDBOX_TIMING: Timing =
    Timing { pending: Duration::from_millis(500), queued: Duration::from_millis(500), running: Duration::from_secs(4) };

/// A branch, tag, job or parameter with this in its name makes its builds fail; a parameter that is `false` does not.
const FAILING_NAME: &str = "fail";

/// Where the sandbox reads the time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock::new(Timestamp::now)
    }

    /// Any other clock, for tests that move time on.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    /// Now, to the millisecond, as CircleCI's API tells time.
    pub fn now(&self) -> Timestamp {
        let now = (self.0)();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Which CircleCI this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition {
    Cloud,
    /// A self-hosted server below 4.8: no `pipeline/run`, no v1.1 `build`, no pipeline definitions. Their paths
    /// answer `absent`: 404, or 500 as some cloud-only paths do.
    Server {
        absent: u16,
    },
}

/// Whether v1.1 still triggers and reruns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum V1Triggers {
    /// They work, with `Deprecation` and `Sunset` headers: until 1 February 2027.
    Sunset,
    /// They answer 410: from that day on.
    Retired,
}

/// The owner of the personal token.
#[derive(Clone, Debug)]
pub struct User {
    pub id: Uuid,
    pub login: String,
    pub name: String,
}

/// Everything a sandbox needs to know. It holds a token, so it is deliberately not `Debug`.
#[derive(Clone)]
pub struct Plan {
    pub user: User,
    /// The personal token that the sandbox accepts.
    pub token: String,
    pub projects: Vec<Project>,
    pub timing: Timing,
    pub edition: Edition,
    pub v1_triggers: V1Triggers,
    pub clock: Clock,
}

impl Plan {
    /// The console's sandbox: `acme/web` on GitHub, and a token that is random so that nothing else can use it.
    pub fn sandbox() -> Plan {
        Plan {
            user: User { id: Uuid::now_v7(), login: "slipway-sandbox".into(), name: "Slipway sandbox".into() },
            token: format!("sandbox-{}", random_hex()),
            projects: vec![Project::acme_web()],
            timing: SANDBOX_TIMING,
            edition: Edition::Cloud,
            v1_triggers: V1Triggers::Sunset,
            clock: Clock::system(),
        }
    }
}

/// 40 hexadecimal digits: a commit, or the random part of a token.
pub fn random_hex() -> String {
    rand::random::<[u8; 20]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Who hosts a project's code, as project slugs name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    GitHub,
    Bitbucket,
    /// GitHub App, GitLab and Bitbucket Data Center: an opaque `circleci/<org>/<project>` slug, unknown to v1.1.
    CircleCi,
}

impl Provider {
    /// Reads the first segment of a v2 project slug, short or long.
    pub fn from_slug(segment: &str) -> Option<Provider> {
        match segment {
            "gh" | "github" => Some(Provider::GitHub),
            "bb" | "bitbucket" => Some(Provider::Bitbucket),
            "circleci" => Some(Provider::CircleCi),
            _ => None,
        }
    }

    /// As the API answers it in slugs, and as `build_url` has it.
    pub fn short(self) -> &'static str {
        match self {
            Provider::GitHub => "gh",
            Provider::Bitbucket => "bb",
            Provider::CircleCi => "circleci",
        }
    }

    /// As v1.1 paths and the web pages of pipelines have it.
    pub fn long(self) -> &'static str {
        match self {
            Provider::GitHub => "github",
            Provider::Bitbucket => "bitbucket",
            Provider::CircleCi => "circleci",
        }
    }

    /// As `vcs_info.provider` and `vcs.provider_name` have it.
    pub fn name(self) -> &'static str {
        match self {
            Provider::GitHub => "GitHub",
            Provider::Bitbucket => "Bitbucket",
            Provider::CircleCi => "CircleCI",
        }
    }
}

/// The `version` of a project's configuration, which decides which triggers it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigVersion {
    /// `version: 2`: v1.1 runs its jobs; pipelines run but take no parameters.
    V2_0,
    /// `version: 2.1`: pipelines take the declared parameters; v1.1's job triggers refuse it.
    V2_1,
    /// A simple 2.1 configuration of the kind that v1.1 takes too (circleci-docs issue 4347): for a sandbox in
    /// which every trigger can be tried on one project.
    Either,
}

/// What a declared pipeline parameter may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParameterType {
    String,
    Integer,
    Boolean,
    Enum(Vec<String>),
}

/// A declared pipeline parameter. Without a default it must be given, or the pipeline ends `errored`.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub kind: ParameterType,
    pub default: Option<Value>,
}

/// A workflow of the configuration.
#[derive(Clone, Debug)]
pub struct WorkflowConfig {
    pub name: String,
    pub jobs: Vec<String>,
    /// An approval job after these, and the jobs after it.
    pub hold: Option<HoldConfig>,
    /// `when: equal: [value, << pipeline.parameters.name >>]`.
    pub when: Option<(String, Value)>,
}

/// An approval job of a workflow.
#[derive(Clone, Debug)]
pub struct HoldConfig {
    pub name: String,
    /// The jobs that require it.
    pub after: Vec<String>,
}

/// What a project's `.circleci/config.yml` says.
#[derive(Clone, Debug)]
pub struct Config {
    pub version: ConfigVersion,
    pub jobs: Vec<String>,
    pub parameters: BTreeMap<String, Parameter>,
    pub workflows: Vec<WorkflowConfig>,
}

impl Config {
    /// A configuration of `version` with these jobs and no workflow.
    pub fn new(version: ConfigVersion, jobs: &[&str]) -> Config {
        Config {
            version,
            jobs: jobs.iter().map(ToString::to_string).collect(),
            parameters: BTreeMap::new(),
            workflows: Vec::new(),
        }
    }

    /// Declares a pipeline parameter.
    pub fn parameter(mut self, name: &str, kind: ParameterType, default: Option<Value>) -> Config {
        self.parameters.insert(name.into(), Parameter { kind, default });
        self
    }

    /// Adds a workflow that always runs.
    pub fn workflow(mut self, name: &str, jobs: &[&str]) -> Config {
        let jobs = jobs.iter().map(ToString::to_string).collect();
        self.workflows.push(WorkflowConfig { name: name.into(), jobs, hold: None, when: None });
        self
    }

    /// Adds a workflow that runs only when the pipeline parameter `parameter` has `value`.
    pub fn workflow_when(mut self, name: &str, jobs: &[&str], parameter: &str, value: Value) -> Config {
        let jobs = jobs.iter().map(ToString::to_string).collect();
        let when = Some((parameter.into(), value));
        self.workflows.push(WorkflowConfig { name: name.into(), jobs, hold: None, when });
        self
    }

    /// Adds a workflow that always runs: `jobs`, then the approval job `approval`, then the jobs `after`.
    pub fn workflow_with_hold(mut self, name: &str, jobs: &[&str], approval: &str, after: &[&str]) -> Config {
        let own = |jobs: &[&str]| jobs.iter().map(ToString::to_string).collect();
        let hold = HoldConfig { name: approval.into(), after: own(after) };
        self.workflows.push(WorkflowConfig { name: name.into(), jobs: own(jobs), hold: Some(hold), when: None });
        self
    }
}

/// A pipeline definition of a project.
#[derive(Clone, Debug)]
pub struct Definition {
    pub id: Uuid,
    pub name: String,
    pub file_path: String,
    /// `github_oauth`, `github_app`, `bitbucket`, …
    pub provider: String,
}

impl Definition {
    /// A definition with an id of its own.
    pub fn new(name: &str, file_path: &str, provider: &str) -> Definition {
        Definition { id: Uuid::now_v7(), name: name.into(), file_path: file_path.into(), provider: provider.into() }
    }
}

/// A project that the token's owner can see.
#[derive(Clone, Debug)]
pub struct Project {
    pub id: Uuid,
    pub org_id: Uuid,
    pub provider: Provider,
    pub org: String,
    pub repo: String,
    pub config: Config,
    pub default_branch: String,
    /// Branch to the commit at its head.
    pub branches: BTreeMap<String, String>,
    /// Tag to its commit.
    pub tags: BTreeMap<String, String>,
    pub definitions: Vec<Definition>,
    /// A token for this project only, which v1.1 takes.
    pub project_token: Option<String>,
    /// How builds of a branch end, where the names would not say it.
    pub outcomes: BTreeMap<String, Outcome>,
}

impl Project {
    /// A project with the branch `main`, the one definition that OAuth projects have, and this configuration.
    pub fn new(provider: Provider, org: &str, repo: &str, config: Config) -> Project {
        let source = match provider {
            Provider::GitHub => "github_oauth",
            Provider::Bitbucket => "bitbucket",
            Provider::CircleCi => "github_app",
        };
        Project {
            id: Uuid::now_v7(),
            org_id: Uuid::now_v7(),
            provider,
            org: org.into(),
            repo: repo.into(),
            config,
            default_branch: "main".into(),
            branches: BTreeMap::from([("main".into(), random_hex())]),
            tags: BTreeMap::new(),
            definitions: vec![Definition::new(repo, ".circleci/config.yml", source)],
            project_token: None,
            outcomes: BTreeMap::new(),
        }
    }

    /// `acme/web`, the project of the console's sandbox.
    pub fn acme_web() -> Project {
        let actions = ParameterType::Enum(vec!["build".into(), "deploy".into(), "rollback".into()]);
        let text = || ParameterType::String;
        let config = Config::new(ConfigVersion::Either, &["build", "test", "deploy", "deploy_docker"])
            .parameter("action", actions, Some("build".into()))
            .parameter("environment", text(), Some("production".into()))
            .parameter("revision", text(), Some("".into()))
            .parameter("deploy_id", text(), Some("".into()))
            .parameter("actor", text(), Some("".into()))
            .parameter("reason", text(), Some("".into()))
            .parameter("replicas", ParameterType::Integer, Some(2.into()))
            .parameter("migrate", ParameterType::Boolean, Some(false.into()))
            .parameter("fail", ParameterType::Boolean, Some(false.into()))
            .workflow_when("build", &["build", "test"], "action", "build".into())
            .workflow_when("deploy", &["deploy"], "action", "deploy".into())
            .workflow_when("rollback", &["deploy"], "action", "rollback".into());
        Project::new(Provider::GitHub, "acme", "web", config)
            .branch("develop")
            .branch("feature/login")
            .branch("release/1.2")
            // One of each that plays something; others of these first parts exist without being named.
            .branch("fail/migration")
            .branch("flaky/network")
            .branch("hold/review")
            .branch("slow/build")
    }

    /// The commit at the head of a branch: a declared one, or one that exists because of what its name plays.
    pub fn head(&self, branch: &str) -> Option<String> {
        let plays = Play::of(branch) != Play::Plain;
        self.branches.get(branch).cloned().or_else(|| plays.then(|| play::commit_of(branch)))
    }

    /// Adds a branch with a random commit.
    pub fn branch(mut self, name: &str) -> Project {
        self.branches.insert(name.into(), random_hex());
        self
    }

    /// Adds a tag with a random commit.
    pub fn tag(mut self, name: &str) -> Project {
        self.tags.insert(name.into(), random_hex());
        self
    }

    /// Gives it a project token.
    pub fn token(mut self, token: &str) -> Project {
        self.project_token = Some(token.into());
        self
    }

    /// Gives it exactly these pipeline definitions.
    pub fn definitions(mut self, definitions: Vec<Definition>) -> Project {
        self.definitions = definitions;
        self
    }

    /// Makes builds of `branch` end so.
    pub fn ends(mut self, branch: &str, outcome: Outcome) -> Project {
        self.outcomes.insert(branch.into(), outcome);
        self
    }

    /// `org/repo`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.org, self.repo)
    }

    /// The slug as API v2 answers it: `gh/acme/web`.
    pub fn slug(&self) -> String {
        format!("{}/{}/{}", self.provider.short(), self.org, self.repo)
    }

    /// How a build of `reference` ends; `names` are those of its job and its parameters.
    pub fn outcome<'a>(&self, reference: &str, mut names: impl Iterator<Item = &'a str>) -> Outcome {
        if let Some(outcome) = self.outcomes.get(reference) {
            return *outcome;
        }
        if reference.contains(FAILING_NAME) || names.any(|name| name.contains(FAILING_NAME)) {
            return Outcome::Failed;
        }
        Outcome::Success
    }
}
