//! `/environment`: how a repository's environments are deployed.

use super::confirm::{self, SURE};
use super::repo::how;
use super::{Arguments, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Private, Shape};
use crate::actor::Caller;
use crate::app::App;
use crate::id::ChannelId;
use crate::invalid::Invalid;
use crate::permission::{Action, Pattern};
use crate::refusal::Refusal;
use crate::reply::{self, Piece, Reply, Text, Tone};
use crate::repo::declared::ParameterType;
use crate::repo::environment::{self, APPROVALS_MAX, TriggerKind};
use crate::repo::service::unknown_environment;
use crate::repo::{Declared, Environment, EnvironmentChange, EnvironmentName, RepoName};

const REPO: OptionSpec = OptionSpec::required("repo", Kind::Completed(Completes::Repo), "The repository: org/repo");
const NAME: OptionSpec = OptionSpec::required("name", Kind::Completed(Completes::Environment), "The environment");

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "environment",
    description: "How a repository's environments are deployed",
    shape: Shape::Group(&[
        (
            "set",
            Leaf {
                description: "Make or change an environment; what is not named keeps its value",
                needs: Needs::Holds(Action::Admin),
                options: &[
                    REPO,
                    NAME,
                    OptionSpec::optional(
                        "trigger",
                        Kind::Choice(TriggerKind::WORDS),
                        "pipeline (API v2), job or build (API v1.1, until 1 February 2027)",
                    ),
                    OptionSpec::optional("job", Kind::Text, "The job that deploys, for the trigger job"),
                    OptionSpec::optional(
                        "definition",
                        Kind::Text,
                        "The pipeline definition's name or id, where a project has several",
                    ),
                    OptionSpec::optional(
                        "parameters",
                        Kind::Text,
                        "Passed to the pipeline, a JSON object: {\"action\": \"deploy\", \"revision\": \"{revision}\"}",
                    ),
                    OptionSpec::optional(
                        "branches",
                        Kind::Text,
                        "The branches that are deployed there, as a glob; * for all",
                    ),
                    OptionSpec::optional("default", Kind::Flag, "Whether it is meant where no environment is named"),
                    OptionSpec::optional(
                        "channel",
                        Kind::Text,
                        "The only channel from which it is deployed: #deploys; any for every one",
                    ),
                    OptionSpec::optional(
                        "approvals",
                        Kind::Text,
                        "How many must approve a deploy: 0 to 10; not asked for yet",
                    ),
                    OptionSpec::optional("confirm", Kind::Flag, "Whether /rollback asks for a confirmation first"),
                ],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: r#"/environment set acme/web staging parameters:"{\"action\": \"deploy\", \"target\": \"{environment}\"}""#,
                parse: |arguments| Ok(Command::Private(Private::EnvironmentSet(Set::parse(arguments)?))),
            },
        ),
        (
            "parameter",
            Leaf {
                description: "Declare what people may pass to an environment's builds, and check it from then on",
                needs: Needs::Holds(Action::Admin),
                options: &[
                    REPO,
                    OptionSpec::required("environment", Kind::Completed(Completes::Environment), "The environment"),
                    OptionSpec::required("name", Kind::Text, "The parameter's name: REGION"),
                    OptionSpec::optional("type", Kind::Choice(ParameterType::WORDS), "string unless said"),
                    OptionSpec::optional("values", Kind::Text, "The only values that it takes, with commas: eu,us"),
                    OptionSpec::optional("default", Kind::Text, "What is passed where nobody names it"),
                    OptionSpec::optional("required", Kind::Flag, "Whether it must be named"),
                    OptionSpec::optional("remove", Kind::Flag, "Take the declaration away"),
                ],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/environment parameter acme/web production REGION values:eu,us required:True",
                parse: |arguments| Ok(Command::Private(Private::EnvironmentParameter(Parameter::parse(arguments)?))),
            },
        ),
        (
            "list",
            Leaf {
                description: "List the environments of a repository",
                needs: Needs::Holds(Action::View),
                options: &[REPO],
                pages: true,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/environment list acme/web",
                parse: |arguments| {
                    let list = List { repo: arguments.required("repo")?, page: arguments.page() };
                    Ok(Command::Private(Private::EnvironmentList(list)))
                },
            },
        ),
        (
            "show",
            Leaf {
                description: "Show how an environment is deployed",
                needs: Needs::Holds(Action::View),
                options: &[REPO, NAME],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/environment show acme/web production",
                parse: |arguments| {
                    let show = Show { repo: arguments.required("repo")?, name: arguments.required("name")? };
                    Ok(Command::Private(Private::EnvironmentShow(show)))
                },
            },
        ),
        (
            "remove",
            Leaf {
                description: "Remove an environment; what was deployed there stays in the history",
                needs: Needs::Holds(Action::Admin),
                options: &[REPO, NAME],
                pages: false,
                pressed: true,
                in_lines: &[SURE],
                asks: &[],
                example: "/environment remove acme/web staging",
                parse: |arguments| Ok(Command::Private(Private::EnvironmentRemove(Remove::parse(arguments)?))),
            },
        ),
    ]),
};

#[derive(Debug)]
pub struct Set {
    repo: RepoName,
    change: EnvironmentChange,
}

impl Set {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        Ok(Self {
            repo: arguments.required("repo")?,
            change: EnvironmentChange {
                name: arguments.required("name")?,
                kind: arguments.optional("trigger")?,
                job: arguments.optional("job")?,
                definition: arguments.optional_with("definition", environment::definition)?,
                template: arguments.optional("parameters")?,
                confirm: arguments.flag("confirm")?,
                branches: arguments.optional("branches")?,
                channel: arguments.optional_with("channel", channel)?,
                approvals: arguments.optional_with("approvals", approvals)?,
                is_default: arguments.flag("default")?,
            },
        })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let environment = app.repos.set_environment(caller, &self.repo, self.change).await?;
        Ok(fields(Reply::new(Tone::Good, format!("{} of {} is set", environment.name, self.repo)), &environment, app))
    }
}

/// A channel as Discord writes it into a text, or its id; none for every one.
fn channel(text: &str) -> Result<Option<ChannelId>, Invalid> {
    let text = text.trim();
    if ["any", "*"].contains(&text) {
        return Ok(None);
    }
    let id = text.strip_prefix("<#").and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    id.parse::<u64>().ok().and_then(ChannelId::new).map(Some).ok_or_else(|| {
        Invalid::new(
            "channel",
            "A channel is picked by `#` and its name, or given by its id; `any` stands for every one.",
            "#deploys",
        )
    })
}

fn approvals(text: &str) -> Result<u8, Invalid> {
    let count = text.parse().ok().filter(|count| *count <= APPROVALS_MAX);
    count.ok_or_else(|| Invalid::new("number of approvals", "It is a number from 0 to 10.", "1"))
}

#[derive(Debug)]
pub struct Parameter {
    repo: RepoName,
    environment: EnvironmentName,
    name: String,
    declared: Option<Declared>,
}

impl Parameter {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        let name = arguments.text("name").ok_or_else(|| super::arguments::missing("name"))?.trim().to_owned();
        let declared = match arguments.flag("remove")?.unwrap_or(false) {
            true => None,
            false => {
                let values = arguments.text("values").unwrap_or_default().split(',').map(str::trim);
                Some(Declared::new(
                    &name,
                    arguments.optional("type")?.unwrap_or(ParameterType::String),
                    values.filter(|value| !value.is_empty()).map(str::to_owned).collect(),
                    arguments.text("default").map(str::to_owned),
                    arguments.flag("required")?.unwrap_or(false),
                )?)
            }
        };
        Ok(Self { repo: arguments.required("repo")?, environment: arguments.required("environment")?, name, declared })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let Self { repo, environment, name, declared } = self;
        let (environment, done) = match declared {
            Some(declared) => (app.repos.declare(caller, &repo, &environment, declared).await?, "is declared"),
            None => (app.repos.undeclare(caller, &repo, &environment, &name).await?, "is not declared any more"),
        };
        let title = format!("{name} {done} for {} of {repo}", environment.name);
        Ok(fields(Reply::new(Tone::Good, title), &environment, app))
    }
}

/// A declared parameter in one line.
fn declared(parameter: &Declared) -> Text {
    let mut text = Text::default().code(&parameter.name).plain(format!(" {}", parameter.kind));
    if !parameter.values.is_empty() {
        let values = parameter.values.iter().map(|value| Text::default().code(value));
        text = text.plain(": ").then(Text::join(values, &Text::of(", ")));
    }
    if let Some(default) = &parameter.default {
        text = text.plain(", else ").code(default);
    }
    if parameter.required && parameter.default.is_none() { text.plain(", required") } else { text }
}

#[derive(Debug)]
pub struct List {
    repo: RepoName,
    page: usize,
}

impl List {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let (repo, environments) = app.repos.show(caller, &self.repo).await?;
        let reply = Reply::new(Tone::Neutral, format!("Environments of {}", repo.name));
        let command = format!("/environment list {}", repo.name);
        Ok(reply::page(reply, &environments, self.page, &command, |environment| {
            let line = Text::default().code(&environment.name).plain(" ").then(how(environment, app));
            if environment.confirm { line.plain("; a rollback is confirmed first") } else { line }
        }))
    }
}

#[derive(Debug)]
pub struct Show {
    repo: RepoName,
    name: EnvironmentName,
}

impl Show {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let (repo, environments) = app.repos.show(caller, &self.repo).await?;
        let environment = environments
            .iter()
            .find(|known| known.name == self.name)
            .ok_or_else(|| unknown_environment(&repo, &self.name))?;
        Ok(fields(Reply::new(Tone::Neutral, format!("{} of {}", environment.name, repo.name)), environment, app))
    }
}

#[derive(Debug)]
pub struct Remove {
    repo: RepoName,
    name: EnvironmentName,
    sure: bool,
}

impl Remove {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        let sure = arguments.flag("sure")?.unwrap_or(false);
        Ok(Self { repo: arguments.required("repo")?, name: arguments.required("name")?, sure })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        if !self.sure {
            let (repo, _) = app.repos.removal(caller, &self.repo, Some(&self.name)).await?;
            let title = format!("Remove {} of {}?", self.name, repo.name);
            let line = format!("/environment remove {} {} sure:True", repo.name, self.name);
            let depends = app.deploys.depending(caller, &repo.name, Some(&self.name)).await?;
            return Ok(confirm::removal(&title, depends, line));
        }
        let repo = app.repos.remove_environment(caller, &self.repo, &self.name).await?;
        let body = Text::of("It can't be deployed to any more. Rules, deploys and audit entries stay.");
        Ok(Reply::new(Tone::Good, format!("{} of {} is removed", self.name, repo.name)).body(body))
    }
}

fn fields(reply: Reply, environment: &Environment, app: &App) -> Reply {
    let template = (!environment.template.is_empty()).then(|| Text::default().code(&environment.template));
    let confirm = environment.confirm.then(|| Text::of("confirmed first"));
    let branches = (environment.branches != Pattern::any()).then(|| Text::default().code(&environment.branches));
    let channel = environment.channel.map(|channel| Text::default().piece(Piece::Channel(channel)));
    let approvals =
        (environment.approvals > 0).then(|| Text::of(format!("{} (not asked for yet)", environment.approvals)));
    let lines = environment.declared.iter().map(declared);
    let declared = (!environment.declared.is_empty()).then(|| Text::join(lines, &Text::default().line()));
    reply
        .field("Trigger", how(environment, app))
        .field_if("Parameters", template)
        .field_if("Declared", declared)
        .field_if("Branches", branches)
        .field_if("Channel", channel)
        .field_if("Approvals", approvals)
        .field_if("Rollbacks", confirm)
        .field_if("Default", environment.is_default.then(|| Text::of("meant where none is named")))
}
