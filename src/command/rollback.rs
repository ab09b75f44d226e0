//! `/rollback`: back to what was live before, or to what an earlier deploy had made live.

use super::deploy::{look_only, see_through};
use super::{Arguments, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Shape, confirm};
use crate::app::{App, Chat, NotDone, Request, Visibility};
use crate::deploy::{Return, ReturnPlan};
use crate::permission::Action;
use crate::refusal::Refusal;
use crate::reply::{Button, Reply, Text, Tone};

/// What was live when the person was asked for a confirmation.
const LIVE: OptionSpec = OptionSpec::required("live", Kind::Text, "The deploy that it replaces");

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "rollback",
    description: "Go back to what was live before",
    shape: Shape::Single(Leaf {
        description: "Deploy the last commit that succeeded there before the present one, or that of an earlier deploy",
        needs: Needs::Holds(Action::Rollback),
        options: &[
            OptionSpec::required("repo", Kind::Completed(Completes::Repo), "The repository: org/repo"),
            OptionSpec::optional(
                "environment",
                Kind::Completed(Completes::Environment),
                "Where; production, or the only one, unless said",
            ),
            OptionSpec::optional(
                "to",
                Kind::Completed(Completes::Succeeded),
                "The deploy to go back to: #9; the last one of another commit unless said",
            ),
            OptionSpec::optional("reason", Kind::Text, "Why; shown on the card and kept in the audit log"),
            OptionSpec::optional("dry_run", Kind::Flag, "Only tell what would happen"),
        ],
        pages: false,
        pressed: true,
        in_lines: &[LIVE],
        asks: &[],
        example: "/rollback acme/web production dry_run:True",
        parse: |arguments| Ok(Command::Rollback(Rollback::parse(arguments)?)),
    }),
};

/// `/rollback` with its arguments.
#[derive(Debug)]
pub struct Rollback {
    wish: Return,
    dry_run: bool,
}

impl Rollback {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        Ok(Self {
            wish: Return {
                repo: arguments.required("repo")?,
                environment: arguments.optional("environment")?,
                to: arguments.optional("to")?,
                reason: arguments.optional("reason")?,
                live: arguments.optional("live")?,
            },
            dry_run: arguments.flag("dry_run")?.unwrap_or(false),
        })
    }

    /// Does it, tells what it would do, or asks first.
    pub async fn run<C: Chat>(self, app: &App, request: &Request, chat: &C) -> Result<(), NotDone> {
        let waiting = app.acknowledgements.wait();
        let is_confirmed = self.wish.live.is_some();
        let found = app.deploys.plan_return(&request.caller, self.wish.clone()).await?;
        if self.dry_run {
            let title = format!("Rollback of {} in {}", self.wish.repo, found.plan.environment());
            return look_only(app, request, chat, &found.plan, &title).await;
        }
        if found.asks_first() && !is_confirmed {
            let question = question(&self.wish, &found)?;
            chat.acknowledge(Visibility::Ephemeral).await?;
            chat.answer(&question).await;
            return Ok(());
        }
        see_through(app, request, chat, found.plan, waiting).await
    }
}

/// What the rollback will replace with what, and a button that does it as long as that is still so.
fn question(wish: &Return, found: &ReturnPlan) -> Result<Reply, Refusal> {
    let ReturnPlan { live, target, unfinished, .. } = found;
    let environment = found.plan.environment();
    let line = format!("/rollback {} {environment} to:{} live:{}", wish.repo, target.id.0, live.id.0);
    let instead = "Shorten the reason or leave it out; where the name alone is too long, an admin ends the confirmation with `/environment set … confirm:False`.";
    let line = confirm::line(line, wish.reason.as_ref(), instead)?;
    Ok(Reply::new(Tone::Warning, format!("Roll back {} in {environment}?", wish.repo))
        .body(confirm::body(unfinished))
        .field("Replaces, live now", confirm::what(live))
        .field("With", confirm::what(target))
        .field_if("Reason", wish.reason.as_ref().map(|reason| Text::of(reason.as_str())))
        .button(Button::Run { label: "Roll back".to_owned(), line }))
}
