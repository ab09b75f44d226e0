//! `/deploys`: the deploys there were, and what can be done to one.

use std::str::FromStr;

use uuid::Uuid;

use super::deploy::see_through;
use super::{Arguments, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Private, Shape, confirm};
use crate::actor::Caller;
use crate::app::{App, Chat, NotDone, Request, Visibility};
use crate::circleci::{ActError, Canceled};
use crate::deploy::acts::{Acted, Approval, Rerun};
use crate::deploy::card::{self, card};
use crate::deploy::history::{Filter, LISTED_MAX};
use crate::deploy::report::Waiting;
use crate::deploy::{Again, Deploy, LiveSince, Origin, Reason, RetryPlan, State};
use crate::id::DeployId;
use crate::invalid::Invalid;
use crate::permission::Action;
use crate::refusal::Refusal;
use crate::reply::{self, Button, Piece, Reply, Text, Tone};
use crate::time::Timestamp;

/// How many of a deploy's steps are shown: what fits a field.
const STEPS_SHOWN: usize = 12;
/// How many deploys that were made of one are named.
const MADE_SHOWN: usize = 10;

const ID: OptionSpec = OptionSpec::required("id", Kind::Completed(Completes::Deploy), "The deploy's number: #12");
const REASON: OptionSpec =
    OptionSpec::optional("reason", Kind::Text, "Why; shown on the card and kept in the audit log");

/// What was live when the person was asked whether it shall be replaced.
const OVER: OptionSpec = OptionSpec::optional("over", Kind::Text, "The deploy that it replaces");

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "deploys",
    description: "The deploys there were, and what can be done to one",
    shape: Shape::Group(&[
        (
            "list",
            Leaf {
                description: "List the deploys that you may see, the newest first",
                needs: Needs::Holds(Action::View),
                options: &[
                    OptionSpec::optional("repo", Kind::Completed(Completes::Repo), "Only of this repository: org/repo"),
                    OptionSpec::optional(
                        "environment",
                        Kind::Completed(Completes::Environment),
                        "Only to this environment",
                    ),
                    OptionSpec::optional("status", Kind::Choice(State::WORDS), "Only those in this state"),
                    OptionSpec::optional("user", Kind::User, "Only those that this person asked for"),
                ],
                pages: true,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/deploys list acme/web",
                parse: |arguments| Ok(Command::Private(Private::DeploysList(List::parse(arguments)?))),
            },
        ),
        (
            "show",
            Leaf {
                description: "Show one deploy: who, what, every step with its time, links",
                needs: Needs::Holds(Action::View),
                options: &[ID],
                pages: false,
                pressed: false,
                in_lines: &[],
                asks: &[],
                example: "/deploys show 1",
                parse: |arguments| Ok(Command::Private(Private::DeploysShow(Show(arguments.required("id")?)))),
            },
        ),
        (
            "cancel",
            Leaf {
                description: "Cancel the running build of a deploy",
                needs: Needs::HoldsUnlessOneself(Action::Cancel),
                options: &[ID, REASON],
                pages: false,
                pressed: true,
                in_lines: &[],
                asks: &[],
                example: "/deploys cancel 1 reason:\"the wrong branch\"",
                parse: |arguments| Ok(Command::Private(Private::DeploysCancel(Cancel::parse(arguments)?))),
            },
        ),
        (
            "retry",
            Leaf {
                description: "Run a deploy again as a new one, or only its failed jobs in the same pipeline",
                needs: Needs::Holds(Action::Deploy),
                options: &[
                    ID,
                    REASON,
                    OptionSpec::optional(
                        "failed",
                        Kind::Flag,
                        "Only the failed jobs and those after them, in the same pipeline: no new deploy",
                    ),
                ],
                pages: false,
                pressed: true,
                in_lines: &[OVER],
                asks: &[],
                example: "/deploys retry 1",
                parse: |arguments| {
                    let retry = Retry(Again {
                        id: arguments.required("id")?,
                        reason: arguments.optional("reason")?,
                        over: arguments.optional("over")?,
                    });
                    Ok(match arguments.flag("failed")? {
                        Some(true) => Command::Private(Private::DeploysRerun(retry)),
                        Some(false) | None => Command::Retry(retry),
                    })
                },
            },
        ),
        (
            "approve",
            Leaf {
                description: "Approve a job of a deploy's pipeline that waits; never one's own deploy",
                needs: Needs::Holds(Action::Approve),
                options: &[
                    ID,
                    REASON,
                    OptionSpec::optional("hold", Kind::Text, "Which approval, where several are awaited: its id"),
                ],
                pages: false,
                pressed: true,
                in_lines: &[],
                asks: &[],
                example: "/deploys approve 1",
                parse: |arguments| Ok(Command::Private(Private::DeploysApprove(Approve::parse(arguments)?))),
            },
        ),
    ]),
};

#[derive(Debug)]
pub struct List {
    filter: Filter,
    page: usize,
}

impl List {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        Ok(Self {
            filter: Filter {
                repo: arguments.optional("repo")?,
                environment: arguments.optional("environment")?,
                status: arguments.optional("status")?,
                user: arguments.user("user").ok().map(|user| user.id.clone()),
            },
            page: arguments.page(),
        })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let deploys = app.deploys.list(caller, &self.filter).await?;
        let reply = Reply::new(Tone::Neutral, "Deploys");
        if deploys.is_empty() {
            return Ok(reply.body(Text::of("No deploy that you may see fits that.")));
        }
        let mut reply = reply::page(reply, &deploys, self.page, &self.command(), line);
        if i64::try_from(deploys.len()).is_ok_and(|count| count >= LISTED_MAX) {
            reply.body = reply.body.line().plain(format!(
                "These are the newest {LISTED_MAX}. Name a repo, environment, status or user to see older ones."
            ));
        }
        Ok(reply)
    }

    /// The console's line for the same list.
    fn command(&self) -> String {
        let mut command = "/deploys list".to_owned();
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                command.push_str(&format!(" {name}:{value}"));
            }
        };
        add("repo", self.filter.repo.as_ref().map(ToString::to_string));
        add("environment", self.filter.environment.as_ref().map(ToString::to_string));
        add("status", self.filter.status.map(|status| status.to_string()));
        add("user", self.filter.user.as_ref().map(|user| format!("<@{user}>")));
        command
    }
}

/// A deploy in one line.
fn line(deploy: &Deploy) -> Text {
    let line = Text::default()
        .code(deploy.id)
        .plain(" ")
        .strong(deploy.state.as_str())
        .plain(" ")
        .code(&deploy.repo)
        .plain(" ")
        .code(&deploy.branch)
        .plain(" → ")
        .code(&deploy.environment)
        .plain(", ")
        .then(card::person(&deploy.actor))
        .plain(", ")
        .time(deploy.asked_at);
    match &deploy.revision {
        Some(revision) => line.plain(", ").code(revision.short()),
        None => line,
    }
}

#[derive(Debug)]
pub struct Show(DeployId);

impl Show {
    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let (deploy, made) = app.deploys.show(caller, self.0).await?;
        let skipped = deploy.steps.len().saturating_sub(STEPS_SHOWN);
        let steps = deploy.steps.iter().skip(skipped).map(|step| {
            let text = Text::default().time(Timestamp::from_millis(step.at)).plain(" ").strong(step.state.as_str());
            match &step.said {
                Some(said) => text.plain(": ").sentence(said),
                None => text,
            }
        });
        let mut steps: Vec<Text> = steps.collect();
        if skipped > 0 {
            steps.insert(0, Text::of(format!("{skipped} earlier ones left out")));
        }
        let made: Vec<Text> = made
            .iter()
            .rev()
            .take(MADE_SHOWN)
            .map(|made| {
                let what =
                    if matches!(made.origin, Origin::Rollback(_)) { "gone back to by" } else { "tried again as" };
                Text::of(format!("{what} deploy ")).code(made.id).plain(", ").strong(made.state.as_str())
            })
            .collect();
        let new_line = Text::default().line();
        let reply = card(&deploy);
        Ok(reply
            .field("Steps", Text::join(steps, &new_line))
            .field_if("Since then", (!made.is_empty()).then(|| Text::join(made, &new_line)))
            .field("UUID", Text::default().code(deploy.uuid)))
    }
}

#[derive(Debug)]
pub struct Cancel {
    id: DeployId,
    reason: Option<Reason>,
}

impl Cancel {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        Ok(Self { id: arguments.required("id")?, reason: arguments.optional("reason")? })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let Acted { deploy, answer, before } = app.deploys.cancel(caller, self.id, self.reason).await?;
        let id = self.id;
        let reply = match answer {
            Ok(Canceled::Asked { count }) => {
                let what = match count {
                    1 => "stop it".to_owned(),
                    count => format!("stop {count} workflows"),
                };
                let body =
                    format!("CircleCI was asked to {what}. The card changes when CircleCI says that it has ended.");
                Reply::new(Tone::Good, format!("Deploy {id} is being canceled")).body(Text::of(body))
            }
            Ok(Canceled::AlreadyEnded) => {
                let body = "CircleCI says that nothing of it runs any more. The card tells how it ended in a moment.";
                Reply::new(Tone::Neutral, format!("Deploy {id} has ended already")).body(Text::of(body))
            }
            Ok(Canceled::NothingYet) => {
                let body = "CircleCI has nothing of it yet that could be stopped. Slipway asks for that as soon as it has, and the card tells when it has ended.";
                Reply::new(Tone::Good, format!("Deploy {id} will be canceled")).body(Text::of(body))
            }
            Err(error) => failed(&error, &format!("Deploy {id} is not canceled"), &deploy),
        };
        Ok(match before {
            Some(before) => Reply {
                body: reply.body.then(
                    Text::of(" It was asked before, by ")
                        .then(card::person(&before.actor()))
                        .plain(", ")
                        .time(before.time())
                        .plain("."),
                ),
                ..reply
            },
            None => reply,
        })
    }
}

/// `/deploys retry`.
#[derive(Debug)]
pub struct Retry(Again);

impl Retry {
    /// A new deploy, as `/deploy` makes one; or a question, where it would go over what the person may not know of.
    pub async fn run<C: Chat>(self, app: &App, request: &Request, chat: &C) -> Result<(), NotDone> {
        let waiting = app.acknowledgements.wait();
        match app.deploys.plan_retry(&request.caller, self.0.clone()).await? {
            RetryPlan::Go(plan) => see_through(app, request, chat, *plan, waiting).await,
            RetryPlan::First(since) => {
                let question = self.question(&since, ("Retry", ""))?;
                chat.acknowledge(Visibility::Ephemeral).await?;
                chat.answer(&question).await;
                Ok(())
            }
        }
    }

    /// The same deploy, whose failed jobs run again.
    pub(super) async fn run_failed(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let Acted { deploy, answer, .. } = match app.deploys.rerun(caller, self.0.clone()).await? {
            Rerun::Asked(acted) => *acted,
            Rerun::First(since) => return self.question(&since, ("Rerun failed", " failed:True")),
        };
        let id = deploy.id;
        Ok(match answer {
            Ok(_) => Reply::new(Tone::Good, format!("Deploy {id} runs again")).body(
                Text::of("CircleCI runs its failed jobs, and those after them, again in the same pipeline. Its card goes on from here. ")
                    .sentence(&format!("`/deploys retry {id}` would make a new deploy instead.")),
            ),
            Err(error) => failed(&error, &format!("Deploy {id} does not run again"), &deploy),
        })
    }

    /// What it would replace, and a button that does it as long as that is still so.
    fn question(&self, since: &LiveSince, (label, option): (&str, &str)) -> Result<Reply, Refusal> {
        let LiveSince { live, again, newest_commit, unfinished } = since;
        let line = format!("/deploys retry {}{option} over:{}", again.id.0, live.id.0);
        let line = confirm::line(line, self.0.reason.as_ref(), "Shorten the reason or leave it out.")?;
        let title = format!("Put deploy {} over {}?", again.id, live.id);
        Ok(Reply::new(Tone::Warning, title)
            .body(
                Text::of("Something else has gone live there since it was asked for. ").then(confirm::body(unfinished)),
            )
            .field("Replaces, live now", confirm::what(live))
            .field("With", if *newest_commit { confirm::newest_of(again) } else { confirm::what(again) })
            .field_if("Reason", self.0.reason.as_ref().map(|reason| Text::of(reason.as_str())))
            .button(Button::Run { label: label.to_owned(), line }))
    }
}

#[derive(Debug)]
pub struct Approve {
    id: DeployId,
    reason: Option<Reason>,
    hold: Option<Uuid>,
}

impl Approve {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        let hold = arguments.optional_with("hold", |text| {
            Uuid::from_str(text).map_err(|_| {
                let why = "An approval is named by the id that CircleCI gives it; `/deploys approve` without one lists those that wait.";
                Invalid::new("approval", why, "0190c2a4-7d1e-7c3a-9b1f-2f7d3c5a1e00")
            })
        })?;
        Ok(Self { id: arguments.required("id")?, reason: arguments.optional("reason")?, hold })
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let id = self.id;
        let (acted, waiting) = match app.deploys.approve(caller, id, self.reason, self.hold).await? {
            Approval::Which(deploy) => return Ok(which(&deploy)),
            Approval::Asked(acted, waiting) => (acted, waiting),
        };
        Ok(match acted.answer {
            Ok(()) => {
                let body = Text::default()
                    .code(&waiting.job)
                    .plain(" is approved. The card changes when CircleCI says that it runs on.");
                Reply::new(Tone::Good, format!("Deploy {id} may go on")).body(body)
            }
            Err(error) => failed(&error, &format!("Deploy {id} is not approved"), &acted.deploy),
        })
    }
}

/// Several jobs wait: which one is meant?
fn which(deploy: &Deploy) -> Reply {
    let id = deploy.id.0;
    let command = |waiting: &Waiting| format!("/deploys approve {id} hold:{}", waiting.approval);
    let lines = deploy
        .report
        .waiting
        .iter()
        .map(|waiting| Text::default().code(&waiting.job).plain(": ").code(command(waiting)));
    let body = Text::of("Several of its jobs wait. Name one:").line().then(Text::join(lines, &Text::default().line()));
    let reply = Reply::new(Tone::Neutral, format!("What of deploy {} is approved?", deploy.id)).body(body);
    deploy.report.waiting.iter().take(card::BUTTONS_MAX).fold(reply, |reply, waiting| {
        reply.button(Button::Run { label: card::approve_label(&waiting.job), line: command(waiting) })
    })
}

/// CircleCI was asked in vain, or it isn't known whether.
fn failed(error: &ActError, title: &str, deploy: &Deploy) -> Reply {
    let (tone, title, body) = match error {
        ActError::Refused(refusal) => {
            let body = Text::of(refusal.to_string());
            let body = match &refusal.said {
                Some(said) => body.plain(" CircleCI said: “").plain(said).plain("”"),
                None => body,
            };
            (Tone::Bad, title.to_owned(), body)
        }
        ActError::NotSent { why } => (Tone::Bad, title.to_owned(), Text::of(why).plain(" Try again in a moment.")),
        ActError::Uncertain { why } => {
            let body = Text::of(why).plain(" The card tells what CircleCI makes of it.");
            (Tone::Warning, format!("It is not known what became of deploy {}", deploy.id), body)
        }
    };
    let body = match &deploy.url {
        Some(url) => body.plain(" ").piece(Piece::Link(url.clone())),
        None => body,
    };
    Reply::new(tone, title).body(body)
}
