//! `/environment`: how a repository's environments are deployed.

use super::repo::how;
use super::{Arguments, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Private, Shape};
use crate::actor::Caller;
use crate::app::App;
use crate::invalid::Invalid;
use crate::permission::Action;
use crate::refusal::Refusal;
use crate::reply::{self, Reply, Text, Tone};
use crate::repo::environment::TriggerKind;
use crate::repo::service::unknown_environment;
use crate::repo::{Environment, EnvironmentChange, EnvironmentName, RepoName};

/// The longest name of a pipeline definition in characters.
const DEFINITION_CHARS_MAX: usize = 100;

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
                    OptionSpec::optional("confirm", Kind::Flag, "Whether /rollback asks for a confirmation first"),
                ],
                pages: false,
                pressed: false,
                in_lines: &[],
                example: r#"/environment set acme/web staging parameters:"{\"action\": \"deploy\", \"target\": \"{environment}\"}""#,
                parse: |arguments| Ok(Command::Private(Private::EnvironmentSet(Set::parse(arguments)?))),
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
                pressed: false,
                in_lines: &[],
                example: "/environment remove acme/web staging",
                parse: |arguments| {
                    let remove = Remove { repo: arguments.required("repo")?, name: arguments.required("name")? };
                    Ok(Command::Private(Private::EnvironmentRemove(remove)))
                },
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
                definition: arguments.optional_with("definition", definition)?,
                template: arguments.optional("parameters")?,
                confirm: arguments.flag("confirm")?,
            },
        })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let environment = app.repos.set_environment(caller, &self.repo, self.change).await?;
        Ok(fields(Reply::new(Tone::Good, format!("{} of {} is set", environment.name, self.repo)), &environment, app))
    }
}

fn definition(text: &str) -> Result<String, Invalid> {
    if text.chars().count() > DEFINITION_CHARS_MAX || text.contains(char::is_control) {
        return Err(Invalid::new(
            "definition",
            "A pipeline definition's name has at most 100 characters, none of them a control character.",
            "deploy",
        ));
    }
    Ok(text.trim().to_owned())
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
}

impl Remove {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let repo = app.repos.remove_environment(caller, &self.repo, &self.name).await?;
        let body = Text::of("It can't be deployed to any more. Rules, deploys and audit entries stay.");
        Ok(Reply::new(Tone::Good, format!("{} of {} is removed", self.name, repo.name)).body(body))
    }
}

fn fields(reply: Reply, environment: &Environment, app: &App) -> Reply {
    let template = (!environment.template.is_empty()).then(|| Text::default().code(&environment.template));
    let confirm = environment.confirm.then(|| Text::of("confirmed first"));
    reply.field("Trigger", how(environment, app)).field_if("Parameters", template).field_if("Rollbacks", confirm)
}
