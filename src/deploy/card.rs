//! The card: one deploy as people see it, from its request to its end. Pure.

use std::time::Duration;

use super::act::{Act, What};
use super::{Deploy, Origin, Replaced, Report, State};
use crate::actor::ActorId;
use crate::circleci::RunId;
use crate::reply::{Button, Piece, Reply, Text, Tone};
use crate::text;
use crate::time::Timestamp;

/// How many workflows a card names.
const WORKFLOWS_MAX: usize = 8;
/// How many approvals a card offers: with the other buttons they fit one row.
const APPROVALS_MAX: usize = 2;
/// How many buttons fit a row.
pub const BUTTONS_MAX: usize = 5;
/// The longest name on a button, in UTF-16 units.
const BUTTON_NAME_MAX: usize = 40;

/// How many approvals and reruns a card names.
const ACTS_MAX: usize = 5;
/// What the two ways to try again are.
const RETRY_OR_RERUN: &str =
    "Retry makes a new deploy; Rerun failed runs only the failed jobs again, in the same pipeline.";

/// The card of `deploy`.
pub fn card(deploy: &Deploy) -> Reply {
    let reply = Reply::new(tone(deploy.state), format!("Deploy {} is {}", deploy.id, deploy.state))
        .body(body(deploy))
        .field("Repository", Text::default().code(&deploy.repo))
        .field("Branch", Text::default().code(&deploy.branch))
        .field("Environment", Text::default().code(&deploy.environment))
        .field("State", Text::default().strong(deploy.state.as_str()))
        .field("Asked by", person(&deploy.actor))
        .field("Asked at", Text::default().time(deploy.asked_at))
        .field_if("Took", deploy.ended_at.map(|ended| took(deploy, ended)))
        .field_if("Commit", commit(deploy))
        .field_if(replaces_label(deploy.state), deploy.replaces.as_ref().map(replaced))
        .field_if("Origin", origin(deploy))
        .field_if("Reason", deploy.reason.as_ref().map(|reason| Text::of(reason.as_str())))
        .field_if("Parameters", parameters(deploy))
        .field_if(if deploy.state == State::Canceled { "Canceled by" } else { "Cancel asked by" }, canceled(deploy))
        .field_if("Approved", acts(deploy, What::Approve))
        .field_if("Run again", acts(deploy, What::Rerun))
        .field_if("Workflows", workflows(&deploy.report))
        .field_if("Failed", failed(&deploy.report))
        .field_if("Build", build(deploy));
    buttons(deploy, reply)
}

/// The card that takes the place of another one, which may not be edited any more.
pub fn moved(card: Reply, old: String) -> Reply {
    let body = Text::of("The first card of this deploy can't be edited any more: ").piece(Piece::Link(old)).line();
    Reply { body: body.then(card.body.clone()), ..card }
}

/// What tells somebody who has waited for long that their deploy has ended.
pub fn end(deploy: &Deploy) -> Reply {
    let took = duration(deploy.took(deploy.changed_at));
    let body = Text::of("Deploy of ")
        .code(&deploy.repo)
        .plain(" to ")
        .code(&deploy.environment)
        .plain(format!(" is {} after {took}.", deploy.state));
    Reply::new(tone(deploy.state), format!("Deploy {} is {}", deploy.id, deploy.state)).body(body)
}

/// A span of time in its two largest units: `42 s`, `3 min 12 s`, `1 h 4 min`.
pub fn duration(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// How a state feels.
pub fn tone(state: State) -> Tone {
    match state {
        State::AwaitingApproval | State::Waiting | State::Triggering | State::Queued | State::Running => Tone::Busy,
        State::Succeeded => Tone::Good,
        State::Failed | State::Refused | State::Rejected => Tone::Bad,
        State::Canceled | State::Expired | State::Unknown => Tone::Warning,
    }
}

fn body(deploy: &Deploy) -> Text {
    let mut lines = Vec::new();
    lines.extend(deploy.said.as_ref().map(|said| Text::default().sentence(said)));
    lines.extend(deploy.report.messages.iter().map(|message| Text::of(message.as_str())));
    if runs_again(deploy) {
        lines.push(Text::default().sentence(RETRY_OR_RERUN));
    }
    if !deploy.state.is_final() && !deploy.report.waiting.is_empty() {
        let jobs = deploy.report.waiting.iter().map(|waiting| Text::default().code(&waiting.job));
        lines.push(Text::of("Waits for an approval of ").then(Text::join(jobs, &Text::of(", "))).plain("."));
    }
    Text::join(lines, &Text::default().line())
}

/// Who did something.
pub fn person(actor: &ActorId) -> Text {
    match actor {
        ActorId::User(id) => Text::default().piece(Piece::User(*id)),
        other => Text::of(other.to_string()),
    }
}

/// The commit of a deploy, as far as it is known.
pub fn commit(deploy: &Deploy) -> Option<Text> {
    let revision = Text::default().code(deploy.revision.as_ref()?.short());
    Some(match &deploy.subject {
        Some(subject) => revision.plain(format!(" {subject}")),
        None => revision,
    })
}

fn took(deploy: &Deploy, ended: Timestamp) -> Text {
    let took = duration(deploy.took(ended));
    // What ran before it failed, and the time in which nothing ran, are no part of it.
    if deploy.began_at() == deploy.asked_at {
        Text::of(took)
    } else {
        Text::of(format!("{took} since it was run again"))
    }
}

/// What the deploy that was live before is to this one: what has failed may have replaced it in part, or not at all.
fn replaces_label(state: State) -> &'static str {
    match state {
        State::Succeeded => "Replaced",
        state if state.is_final() => "Live before",
        _ => "Replaces",
    }
}

/// What was live before.
pub fn replaced(replaced: &Replaced) -> Text {
    let text = match &replaced.revision {
        Some(revision) => Text::default().code(revision.short()).plain(" "),
        None => Text::default(),
    };
    text.plain(format!("(deploy {})", replaced.deploy))
}

fn canceled(deploy: &Deploy) -> Option<Text> {
    // One that ended otherwise was not canceled by anybody, whoever asked.
    let matters = !deploy.state.is_final() || deploy.state == State::Canceled;
    matters.then(|| deploy.acts.iter().rfind(|act| act.what == What::Cancel && act.counts()).map(done_by)).flatten()
}

/// The acts of a kind that had an effect, the last ones first.
fn acts(deploy: &Deploy, what: What) -> Option<Text> {
    let acts = deploy.acts.iter().rev().filter(|act| act.what == what && act.counts()).take(ACTS_MAX).map(done_by);
    let acts: Vec<Text> = acts.collect();
    (!acts.is_empty()).then(|| Text::join(acts, &Text::default().line()))
}

fn done_by(act: &Act) -> Text {
    let text = match &act.job {
        Some(job) => Text::default().code(job).plain(" by "),
        None => Text::default(),
    };
    let text = text.then(person(&act.actor()));
    match &act.reason {
        Some(reason) => text.plain(": ").plain(reason.as_str()),
        None => text,
    }
}

fn origin(deploy: &Deploy) -> Option<Text> {
    match deploy.origin {
        Origin::Asked => None,
        Origin::Retry(of) => {
            let text = Text::of(format!("deploy {of}, tried again"));
            // What there was to say of it at its beginning: that it may be of another commit.
            Some(match deploy.steps.first().and_then(|step| step.said.as_ref()) {
                Some(said) => text.plain(". ").plain(said.as_str()),
                None => text,
            })
        }
        Origin::Rollback(to) => Some(Text::of(format!("back to deploy {to}"))),
    }
}

fn parameters(deploy: &Deploy) -> Option<Text> {
    let pairs = deploy
        .parameters
        .iter()
        .map(|parameter| Text::default().code(format!("{}={}", parameter.name, parameter.value)));
    (!deploy.parameters.is_empty()).then(|| Text::join(pairs, &Text::of(" ")))
}

fn workflows(report: &Report) -> Option<Text> {
    let line = |workflow: &super::report::Workflow| {
        Text::default().code(&workflow.name).plain(" ").strong(workflow.word.as_str())
    };
    let mut lines: Vec<Text> = report.workflows.iter().take(WORKFLOWS_MAX).map(line).collect();
    if report.workflows.len() > WORKFLOWS_MAX {
        lines.push(Text::of(format!("and {} more", report.workflows.len() - WORKFLOWS_MAX)));
    }
    (!lines.is_empty()).then(|| Text::join(lines, &Text::default().line()))
}

fn failed(report: &Report) -> Option<Text> {
    let failed = report.failed.as_ref()?;
    let mut text = Text::of("job ").code(&failed.job);
    if let Some(step) = &failed.step {
        text = text.plain(", step ").code(step);
    }
    Some(match &failed.output {
        Some(output) => text.line().piece(Piece::Block(output.clone())),
        None => text,
    })
}

fn build(deploy: &Deploy) -> Option<Text> {
    let run = match deploy.run.as_ref()? {
        RunId::Build(number) => format!("build {number}"),
        RunId::Pipeline { number, .. } => format!("pipeline {number}"),
    };
    Some(match &deploy.url {
        Some(url) => Text::of(format!("{run}: ")).piece(Piece::Link(url.clone())),
        None => Text::of(run),
    })
}

/// What stands on the button that approves a job.
pub fn approve_label(job: &str) -> String {
    format!("Approve {}", text::clip(job, BUTTON_NAME_MAX))
}

/// Whether its failed jobs may run again in the same pipeline.
fn runs_again(deploy: &Deploy) -> bool {
    deploy.state.may_run_again() && matches!(deploy.run, Some(RunId::Pipeline { .. })) && deploy.report.failed.is_some()
}

fn buttons(deploy: &Deploy, mut reply: Reply) -> Reply {
    let number = deploy.id.0;
    if let Some(url) = &deploy.url {
        reply = reply.button(Button::Link { label: "Build", url: url.clone() });
    }
    let run = |label: &str, line: String| Button::Run { label: label.to_owned(), line };
    if deploy.state.is_final() {
        return match deploy.state {
            State::Succeeded => reply,
            _ => {
                let reply = reply.button(run("Retry", format!("/deploys retry {number}")));
                if !runs_again(deploy) {
                    return reply;
                }
                reply.button(run("Rerun failed", format!("/deploys retry {number} failed:True")))
            }
        };
    }
    if deploy.run.is_some() {
        reply = reply.button(run("Cancel", format!("/deploys cancel {number}")));
    }
    for waiting in deploy.report.waiting.iter().take(APPROVALS_MAX) {
        let label = approve_label(&waiting.job);
        let line = format!("/deploys approve {number} hold:{}", waiting.approval);
        reply = reply.button(Button::Run { label, line });
    }
    reply
}
