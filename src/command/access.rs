//! `/access`: asking for what one may not do yet, for a while, and deciding that.

use super::{Arguments, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Private, Shape};
use crate::access::{AccessRequest, Recorded, Wish, card, request};
use crate::actor::Caller;
use crate::app::{App, Chat, NotDone, Request, Visibility};
use crate::deploy::Reason;
use crate::id::RequestId;
use crate::invalid::Invalid;
use crate::permission::Action;
use crate::refusal::Refusal;
use crate::reply::{self, Form, Input, Reply, Text, Tone};
use crate::time::{self, written};
use crate::words;

const ACTION: Kind = Kind::Choice(Action::WORDS);
const ID: OptionSpec = OptionSpec::required("id", Kind::Completed(Completes::Request), "The request's number: #12");

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "access",
    description: "Ask for access that runs out by itself",
    shape: Shape::Group(&[
        (
            "request",
            Leaf {
                description: "Ask for a temporary grant; whoever administers it approves or rejects",
                needs: Needs::Nothing,
                options: &[
                    OptionSpec::required("repo", Kind::Completed(Completes::Repo), "The repository: org/repo"),
                    OptionSpec::required("reason", Kind::Text, "Why you need it"),
                    OptionSpec::optional(
                        "environment",
                        Kind::Completed(Completes::Environment),
                        "The environment; the one that /deploy takes unless said",
                    ),
                    OptionSpec::optional("action", ACTION, "deploy unless said"),
                    OptionSpec::optional("duration", Kind::Text, "For how long: 30m, 8h, 7d; 1h unless said"),
                ],
                pages: false,
                pressed: true,
                in_lines: &[],
                asks: &["reason", "duration"],
                example: "/access request acme/web \"the release of the week\"",
                parse: |arguments| Ok(Command::Access(Access::Request(Ask::parse(arguments)?))),
            },
        ),
        (
            "approve",
            Leaf {
                description: "Grant what somebody has asked for",
                needs: Needs::Holds(Action::Admin),
                options: &[ID, OptionSpec::optional("reason", Kind::Text, "Why; kept in the audit log")],
                pages: false,
                pressed: true,
                in_lines: &[],
                asks: &[],
                example: "/access approve #1",
                parse: |arguments| {
                    let (id, reason) = (arguments.required("id")?, arguments.optional("reason")?);
                    Ok(Command::Private(Private::AccessApprove(Approve { id, reason })))
                },
            },
        ),
        (
            "reject",
            Leaf {
                description: "Refuse what somebody has asked for",
                needs: Needs::Holds(Action::Admin),
                options: &[ID, OptionSpec::required("reason", Kind::Text, "Why; whoever asked reads it")],
                pages: false,
                pressed: true,
                in_lines: &[],
                asks: &["reason"],
                example: "/access reject #1 \"wait for the release\"",
                parse: |arguments| {
                    let (id, reason) = (arguments.required("id")?, arguments.optional("reason")?);
                    Ok(Command::Access(Access::Reject(Reject { id, reason })))
                },
            },
        ),
        (
            "withdraw",
            Leaf {
                description: "Take back what you have asked for",
                needs: Needs::Nothing,
                options: &[ID],
                pages: false,
                pressed: true,
                in_lines: &[],
                asks: &[],
                example: "/access withdraw #1",
                parse: |arguments| Ok(Command::Private(Private::AccessWithdraw(Withdraw(arguments.required("id")?)))),
            },
        ),
        (
            "list",
            Leaf {
                description: "List the open requests: your own, and those that you may decide",
                needs: Needs::HoldsUnlessOneself(Action::Admin),
                options: &[],
                pages: true,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/access list",
                parse: |arguments| Ok(Command::Private(Private::AccessList(List { page: arguments.page() }))),
            },
        ),
    ]),
};

/// What may have to ask the person for more words before it is done.
#[derive(Debug)]
pub enum Access {
    Request(Ask),
    Reject(Reject),
}

impl Access {
    /// Does it, or asks for the words that a button could not give.
    pub async fn run<C: Chat>(self, app: &App, request: &Request, chat: &C) -> Result<(), NotDone> {
        match self {
            Access::Request(ask) => ask.run(app, request, chat).await,
            Access::Reject(reject) => reject.run(app, &request.caller, chat).await,
        }
    }
}

#[derive(Debug)]
pub struct Ask {
    wish: Wish,
    reason: Option<Reason>,
}

impl Ask {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        let wish = Wish {
            repo: arguments.required("repo")?,
            environment: arguments.optional("environment")?,
            action: arguments.optional("action")?.unwrap_or(Action::Deploy),
            lasts: arguments.optional_with("duration", lasts)?.unwrap_or(request::LASTS),
        };
        Ok(Self { wish, reason: arguments.optional("reason")? })
    }

    async fn run<C: Chat>(self, app: &App, request: &Request, chat: &C) -> Result<(), NotDone> {
        let caller = &request.caller;
        let line = request_line(&self.wish);
        let plan = app.requests.plan(caller, self.wish).await?;
        let Some(reason) = self.reason else {
            let form = Form {
                title: "Request access",
                line,
                inputs: vec![
                    Input { name: "reason", label: "Why do you need it?", example: "", required: true },
                    Input { name: "duration", label: "For how long? 1h unless said", example: "8h", required: false },
                ],
            };
            return Ok(chat.ask(&form).await?);
        };
        let seen = chat.acknowledge(Visibility::Public).await?;
        match app.requests.ask(caller, plan, reason, (request.interaction, seen.message)).await? {
            Recorded::New(asked) => {
                tracing::info!(access.id = asked.id.0, repo = %asked.repo, environment = %asked.environment, "Access is asked for");
                chat.becomes_request(&asked);
                Ok(())
            }
            Recorded::Before(asked) => {
                chat.answer(&app.requests.card(&asked).await.map_err(Refusal::from)?).await;
                Err(NotDone::Before)
            }
        }
    }
}

/// The line by which a button asks for what is wished.
fn request_line(wish: &Wish) -> String {
    let environment = wish.environment.as_ref().map(|name| format!(" environment:{name}")).unwrap_or_default();
    format!("/access request {}{environment} action:{}", words::quote(wish.repo.as_str()), wish.action)
}

fn lasts(text: &str) -> Result<std::time::Duration, Invalid> {
    let lasts = time::duration(text)?;
    if (request::LASTS_MIN..=request::LASTS_MAX).contains(&lasts) {
        return Ok(lasts);
    }
    let why = format!(
        "Access can be asked for from {} to {}; for longer, ask an administrator for a rule.",
        written(request::LASTS_MIN),
        written(request::LASTS_MAX)
    );
    Err(Invalid::new("duration", why, "8h"))
}

#[derive(Debug)]
pub struct Approve {
    id: RequestId,
    reason: Option<Reason>,
}

impl Approve {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let request = app.requests.approve(caller, self.id, self.reason).await?;
        Ok(decided(&request))
    }
}

#[derive(Debug)]
pub struct Reject {
    id: RequestId,
    reason: Option<Reason>,
}

impl Reject {
    async fn run<C: Chat>(self, app: &App, caller: &Caller, chat: &C) -> Result<(), NotDone> {
        let Some(reason) = self.reason else {
            app.requests.require_decidable(caller, self.id).await?;
            let form = Form {
                title: "Reject the request",
                line: format!("/access reject {}", self.id.0),
                inputs: vec![Input { name: "reason", label: "Why? They will read it", example: "", required: true }],
            };
            return Ok(chat.ask(&form).await?);
        };
        chat.acknowledge(Visibility::Ephemeral).await?;
        let request = app.requests.reject(caller, self.id, reason).await?;
        chat.answer(&decided(&request)).await;
        Ok(())
    }
}

#[derive(Debug)]
pub struct Withdraw(RequestId);

impl Withdraw {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let request = app.requests.withdraw(caller, self.0).await?;
        Ok(Reply::new(Tone::Neutral, card::title(&request)).body(Text::of("Nobody can decide it any more.")))
    }
}

/// What whoever decided is told.
fn decided(request: &AccessRequest) -> Reply {
    card::end(request).unwrap_or_else(|| Reply::new(Tone::Neutral, card::title(request)))
}

#[derive(Debug)]
pub struct List {
    page: usize,
}

impl List {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let requests = app.requests.visible(caller).await?;
        let reply = Reply::new(Tone::Neutral, "Open access requests");
        if requests.is_empty() {
            return Ok(reply.body(Text::of("There is none that you may see.")));
        }
        Ok(reply::page(reply, &requests, self.page, "/access list", card::line))
    }
}
