//! `/repo`: the repositories that can be deployed.

use super::confirm::{self, SURE};
use super::{Arguments, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Private, Shape};
use crate::actor::Caller;
use crate::app::App;
use crate::permission::Action;
use crate::refusal::Refusal;
use crate::reply::{self, Reply, Text, Tone};
use crate::repo::service::OwnToken;
use crate::repo::{Environment, JobName, NewRepo, Repo, RepoChange, RepoName, Trigger, Vcs};

const NAME: OptionSpec = OptionSpec::required("name", Kind::Completed(Completes::Repo), "The repository: org/repo");

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "repo",
    description: "The repositories that can be deployed",
    shape: Shape::Group(&[
        (
            "add",
            Leaf {
                description: "Register a repository; it starts with the environment production",
                needs: Needs::Holds(Action::Admin),
                options: &[
                    OptionSpec::required("name", Kind::Text, "The repository: org/repo"),
                    OptionSpec::optional("vcs", Kind::Choice(Vcs::WORDS), "Who hosts it; github unless said"),
                    OptionSpec::optional(
                        "job",
                        Kind::Text,
                        "For a configuration below 2.1: the job that deploys. Otherwise a pipeline runs",
                    ),
                    OptionSpec::optional("default_branch", Kind::Text, "The branch that is offered first"),
                    OptionSpec::optional(
                        "project",
                        Kind::Text,
                        "Its circleci/… slug, for GitHub App and GitLab projects",
                    ),
                ],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/repo add acme/api job:deploy_docker",
                parse: |arguments| Ok(Command::Private(Private::RepoAdd(Add::parse(arguments)?))),
            },
        ),
        (
            "list",
            Leaf {
                description: "List the repositories that you may see",
                needs: Needs::Holds(Action::View),
                options: &[],
                pages: true,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/repo list",
                parse: |arguments| Ok(Command::Private(Private::RepoList(List { page: arguments.page() }))),
            },
        ),
        (
            "show",
            Leaf {
                description: "Show a repository and how its environments are deployed",
                needs: Needs::Holds(Action::View),
                options: &[NAME],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/repo show acme/web",
                parse: |arguments| Ok(Command::Private(Private::RepoShow(Show(arguments.required("name")?)))),
            },
        ),
        (
            "edit",
            Leaf {
                description: "Change what is known of a repository; what is not named keeps its value",
                needs: Needs::Holds(Action::Admin),
                options: &[
                    NAME,
                    OptionSpec::optional("vcs", Kind::Choice(Vcs::WORDS), "Who hosts it"),
                    OptionSpec::optional("default_branch", Kind::Text, "The branch that is offered first"),
                    OptionSpec::optional(
                        "project",
                        Kind::Text,
                        "Its circleci/… slug, for GitHub App and GitLab projects",
                    ),
                ],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/repo edit acme/web default_branch:main",
                parse: |arguments| Ok(Command::Private(Private::RepoEdit(Edit::parse(arguments)?))),
            },
        ),
        (
            "remove",
            Leaf {
                description: "Remove a repository and its environments; what was deployed stays in the history",
                needs: Needs::Holds(Action::Admin),
                options: &[NAME],
                pages: false,
                pressed: true,
                in_lines: &[SURE],
                asks: &[],
                example: "/repo remove acme/api",
                parse: |arguments| {
                    let sure = arguments.flag("sure")?.unwrap_or(false);
                    Ok(Command::Private(Private::RepoRemove(Remove { name: arguments.required("name")?, sure })))
                },
            },
        ),
    ]),
};

#[derive(Debug)]
pub struct Add(NewRepo);

impl Add {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        Ok(Self(NewRepo {
            repo: Repo {
                name: arguments.required("name")?,
                vcs: arguments.optional("vcs")?.unwrap_or(Vcs::GitHub),
                project: arguments.optional("project")?,
                default_branch: arguments.optional("default_branch")?,
            },
            job: arguments.optional::<JobName>("job")?,
        }))
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let name = self.0.repo.name.clone();
        let production = app.repos.add(caller, self.0).await?;
        let body = Text::of("Its environment ")
            .code(&production.name)
            .plain(" ")
            .then(how(&production, app))
            .sentence(&format!(". Try `/deploy {name} main`."));
        Ok(Reply::new(Tone::Good, format!("{name} is registered")).body(body))
    }
}

#[derive(Debug)]
pub struct List {
    page: usize,
}

impl List {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let repos = app.repos.list(caller).await?;
        let reply = Reply::new(Tone::Neutral, "Repositories");
        if repos.is_empty() {
            return Ok(reply.body(Text::default().sentence(
                "No repository that you may see is registered here. An admin can add one with `/repo add`.",
            )));
        }
        Ok(reply::page(reply, &repos, self.page, "/repo list", |repo| {
            Text::default().code(&repo.name).plain(format!(" on {}", repo.vcs))
        }))
    }
}

#[derive(Debug)]
pub struct Show(RepoName);

impl Show {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let (repo, environments) = app.repos.show(caller, &self.0).await?;
        let lines = environments
            .iter()
            .map(|environment| Text::default().code(&environment.name).plain(" ").then(how(environment, app)));
        let environments = Text::join(lines, &Text::default().line());
        let token = match app.repos.token(&repo.name).await? {
            OwnToken::None => None,
            OwnToken::Has(name) => Some(Text::default().code(format!("CIRCLE_API_PROJECT_TOKEN_{name}"))),
            OwnToken::Shared => Some(
                Text::default()
                    .code(format!("CIRCLE_API_PROJECT_TOKEN_{}", repo.name.variable()))
                    .sentence(" would fit another registered repository too, so it is used for neither. Use `CIRCLE_API_PROJECT_TOKEN`, or the user token, for the two."),
            ),
        };
        Ok(fields(Reply::new(Tone::Neutral, repo.name.to_string()), &repo)
            .field("Environments", environments)
            .field_if("Project token", token))
    }
}

#[derive(Debug)]
pub struct Edit {
    name: RepoName,
    change: RepoChange,
}

impl Edit {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        let change = RepoChange {
            vcs: arguments.optional("vcs")?,
            project: arguments.optional("project")?,
            default_branch: arguments.optional("default_branch")?,
        };
        Ok(Self { name: arguments.required("name")?, change })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let repo = app.repos.edit(caller, &self.name, self.change).await?;
        Ok(fields(Reply::new(Tone::Good, format!("{} is changed", repo.name)), &repo))
    }
}

fn fields(reply: Reply, repo: &Repo) -> Reply {
    reply
        .field("Host", Text::of(repo.vcs.as_str()))
        .field_if("Project", repo.project.as_ref().map(|slug| Text::default().code(slug)))
        .field_if("Default branch", repo.default_branch.as_ref().map(|branch| Text::default().code(branch)))
}

#[derive(Debug)]
pub struct Remove {
    name: RepoName,
    sure: bool,
}

impl Remove {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        if !self.sure {
            let (repo, environments) = app.repos.removal(caller, &self.name, None).await?;
            let line = format!("/repo remove {} sure:True", repo.name);
            let depends = app.deploys.depending(caller, &repo.name, None).await?;
            let names = environments.iter().map(|environment| Text::default().code(&environment.name));
            let reply = confirm::removal(&format!("Remove {}?", repo.name), depends, line);
            return Ok(reply.field("Environments", Text::join(names, &Text::of(", "))));
        }
        let repo = app.repos.remove(caller, &self.name).await?;
        let body = Text::of(
            "Its environments are gone and it can't be deployed any more. Rules, deploys and audit entries stay.",
        );
        Ok(Reply::new(Tone::Good, format!("{} is removed", repo.name)).body(body))
    }
}

/// How an environment is deployed, after its name.
pub(super) fn how(environment: &Environment, app: &App) -> Text {
    match &environment.trigger {
        Trigger::Pipeline { definition: None } => Text::of("runs a pipeline (API v2)"),
        Trigger::Pipeline { definition: Some(definition) } => {
            Text::of("runs the pipeline ").code(definition).plain(" (API v2)")
        }
        Trigger::Job(job) => Text::of("runs the job ")
            .code(job)
            .plain(" (API v1.1, which CircleCI ends ")
            .time(app.v1_triggers_end())
            .sentence("; `/environment set` with `trigger:pipeline` moves it)"),
        Trigger::Build => Text::of("runs the branch's workflows (API v1.1, which CircleCI ends ")
            .time(app.v1_triggers_end())
            .sentence("; `/environment set` with `trigger:pipeline` moves it)"),
    }
}
