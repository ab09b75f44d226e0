//! `/deploy`: acknowledge, record, trigger, and answer with the card.

use super::{Arguments, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Shape, dry_run};
use crate::acknowledgements::Waiting;
use crate::app::{App, Chat, NotDone, Request, Visibility};
use crate::deploy::card::card;
use crate::deploy::{Origin, Plan, Recorded, Wish, parameters};
use crate::permission::Action;
use crate::refusal::Refusal;

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "deploy",
    description: "Deploy a branch of a repository",
    shape: Shape::Single(Leaf {
        description: "Check, record and trigger a deploy, and answer with the link to its build",
        needs: Needs::Holds(Action::Deploy),
        options: &[
            OptionSpec::required("repo", Kind::Completed(Completes::Repo), "The repository: org/repo"),
            OptionSpec::required("branch", Kind::Completed(Completes::Branch), "The branch"),
            OptionSpec::optional(
                "environment",
                Kind::Completed(Completes::Environment),
                "Where to; production, or the only one, unless said",
            ),
            OptionSpec::optional("revision", Kind::Text, "The commit: 40 hexadecimal digits, or the first 7 or more"),
            OptionSpec::optional(
                "parameters",
                Kind::Completed(Completes::Parameters),
                "Passed to the build: NAME=value NAME2=\"other value\"",
            ),
            OptionSpec::optional("reason", Kind::Text, "Why; shown on the card and kept in the audit log"),
            OptionSpec::optional("dry_run", Kind::Flag, "Only tell what would be sent, and what speaks against it"),
        ],
        pages: false,
        pressed: false,
        in_lines: &[],
        asks: &[],
        example: "/deploy acme/web main reason:\"fixes the login page\"",
        parse: |arguments| Ok(Command::Deploy(Deploy::parse(arguments)?)),
    }),
};

/// `/deploy` with its arguments.
#[derive(Debug)]
pub struct Deploy {
    wish: Wish,
    dry_run: bool,
}

impl Deploy {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        let wish = Wish {
            repo: arguments.required("repo")?,
            branch: arguments.required("branch")?,
            environment: arguments.optional("environment")?,
            revision: arguments.optional("revision")?,
            parameters: arguments.optional_with("parameters", parameters::parse)?.unwrap_or_default(),
            reason: arguments.optional("reason")?,
            origin: Origin::Asked,
        };
        Ok(Self { wish, dry_run: arguments.flag("dry_run")?.unwrap_or(false) })
    }

    /// Does it, or only tells what it would do.
    pub async fn run<C: Chat>(self, app: &App, request: &Request, chat: &C) -> Result<(), NotDone> {
        let waiting = app.acknowledgements.wait();
        let title = format!("Deploy of {} {}", self.wish.repo, self.wish.branch);
        let plan = app.deploys.plan(&request.caller, self.wish).await?;
        if self.dry_run {
            return look_only(app, request, chat, &plan, &title).await;
        }
        see_through(app, request, chat, plan, waiting).await
    }
}

/// Carries out a plan, whichever command has made it: nothing is recorded before the chat accepted the acknowledgement, and
/// nothing sent before it is recorded.
pub(super) async fn see_through<C: Chat>(
    app: &App,
    request: &Request,
    chat: &C,
    plan: Plan,
    waiting: Waiting<'_>,
) -> Result<(), NotDone> {
    let seen = chat.acknowledge(Visibility::Public).await?;
    drop(waiting);
    app.acknowledgements.make_way().await;
    let deploy = match app.deploys.record(&request.caller, plan, request.interaction, seen.message).await? {
        Recorded::New(deploy) => *deploy,
        Recorded::Before(deploy) => {
            // Finding out whether the acknowledgement was accepted may have written over its card.
            chat.answer(&card(&deploy)).await;
            return Err(NotDone::Before);
        }
    };
    tracing::info!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, repo = %deploy.repo, branch = %deploy.branch, environment = %deploy.environment, "A deploy is recorded");

    chat.becomes_card(&deploy);
    let deploy = app.deploys.send(deploy).await;
    tracing::info!(deploy.id = deploy.id.0, deploy.uuid = %deploy.uuid, deploy.state = %deploy.state, "CircleCI was asked");
    Ok(())
}

/// Tells what carrying out a plan would do, for the asker's eyes.
pub(super) async fn look_only<C: Chat>(
    app: &App,
    request: &Request,
    chat: &C,
    plan: &Plan,
    title: &str,
) -> Result<(), NotDone> {
    let preview = app.deploys.preview(&request.caller, plan).await?;
    chat.acknowledge(Visibility::Ephemeral).await?;
    chat.answer(&dry_run::reply(title, &preview, app)).await;
    Ok(())
}
