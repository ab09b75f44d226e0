//! The card: one deploy as people see it. Pure.

use super::{Deploy, State};
use crate::actor::ActorId;
use crate::circleci::RunId;
use crate::reply::{Button, Piece, Reply, Text, Tone};

/// The card of `deploy`.
pub fn card(deploy: &Deploy) -> Reply {
    let mut reply = Reply::new(tone(deploy.state), format!("Deploy {} is {}", deploy.id, deploy.state))
        .field("Repository", Text::default().code(&deploy.repo))
        .field("Branch", Text::default().code(&deploy.branch))
        .field("Environment", Text::default().code(&deploy.environment))
        .field("State", Text::default().strong(deploy.state.as_str()))
        .field("Asked by", asker(deploy))
        .field("Asked at", Text::default().time(deploy.asked_at))
        .field_if("Revision", deploy.revision.as_ref().map(|revision| Text::default().code(revision)))
        .field_if("Reason", deploy.reason.as_ref().map(|reason| Text::of(reason.as_str())))
        .field_if("Parameters", parameters(deploy))
        .field_if("Build", build(deploy));
    if let Some(said) = &deploy.said {
        reply = reply.body(Text::default().sentence(said));
    }
    match &deploy.url {
        Some(url) => reply.button(Button::Link { label: "Build", url: url.clone() }),
        None => reply,
    }
}

fn tone(state: State) -> Tone {
    match state {
        State::AwaitingApproval | State::Waiting | State::Triggering | State::Queued | State::Running => Tone::Busy,
        State::Succeeded => Tone::Good,
        State::Failed | State::Refused | State::Rejected => Tone::Bad,
        State::Canceled | State::Expired | State::Unknown => Tone::Warning,
    }
}

fn asker(deploy: &Deploy) -> Text {
    match &deploy.actor {
        ActorId::User(id) => Text::default().piece(Piece::User(*id)),
        other => Text::of(other.to_string()),
    }
}

fn parameters(deploy: &Deploy) -> Option<Text> {
    let pairs = deploy
        .parameters
        .iter()
        .map(|parameter| Text::default().code(format!("{}={}", parameter.name, parameter.value)));
    (!deploy.parameters.is_empty()).then(|| Text::join(pairs, &Text::of(" ")))
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
