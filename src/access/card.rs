//! A request as its card shows it, and what is said of its end. Pure.

use super::request::{AccessRequest, Decision, State};
use crate::actor::ActorId;
use crate::deploy;
use crate::id::GuildId;
use crate::permission::Subject;
use crate::reply::{Button, Piece, Reply, Text, Tone};
use crate::time;

/// The card of a request, which `deciders` can decide as long as it is open.
pub fn card(request: &AccessRequest, deciders: &[Subject]) -> Reply {
    let body = asker(request)
        .plain(" asks for ")
        .then(what(request))
        .plain(format!(", for {} from the approval on.", time::written(request.lasts)));
    let reply = Reply::new(tone(request.state), format!("Access request {}", request.id))
        .body(body)
        .field("State", Text::default().strong(request.state.as_str()))
        .field("Asked", Text::default().time(request.asked_at))
        .field("Reason", Text::of(request.reason.as_str()));
    match &request.decision {
        None => {
            let button = |label: &str, word: &str| Button::Run {
                label: label.to_owned(),
                line: format!("/access {word} {}", request.id.0),
            };
            reply
                .field("To be decided by", subjects(deciders, request.guild))
                .field("Until", Text::default().time(request.expires_at))
                .button(button("Approve", "approve"))
                .button(button("Reject", "reject"))
                .button(button("Withdraw", "withdraw"))
        }
        Some(decision) => {
            let reason = decision.reason.as_ref().map(|reason| Text::of(reason.as_str()));
            reply.field(ended(request.state), by(decision)).field_if("Because", reason).field_if("Rule", rule(decision))
        }
    }
}

/// What whoever asked is told of the end, in the channel.
pub fn end(request: &AccessRequest) -> Option<Reply> {
    let decision = request.decision.as_ref()?;
    let body = asker(request);
    let body = match (request.state, decision.rule) {
        (State::Approved, Some((_, until))) => {
            body.plain(" holds ").then(what(request)).plain(" until ").time(until).plain(". Approved by ")
        }
        (State::Rejected, _) => body.plain(" asked for ").then(what(request)).plain(". Rejected by "),
        (State::Expired, _) => {
            let body = body.plain(" asked for ").then(what(request)).plain(". Nobody decided in time. ");
            let body = body.sentence("Ask again with `/access request`.");
            return Some(Reply::new(tone(request.state), title(request)).body(body));
        }
        // Who has taken it back knows.
        _ => return None,
    };
    let body = body.then(person(&decision.by));
    let body = match &decision.reason {
        Some(reason) => body.plain(": ").plain(reason.as_str()),
        None => body.plain("."),
    };
    Some(Reply::new(tone(request.state), title(request)).body(body))
}

/// A request in one line.
pub fn line(request: &AccessRequest) -> Text {
    let line = Text::default().code(request.id).plain(" ").then(asker(request)).plain(" asks for ").then(what(request));
    let line = line.plain(format!(" for {}, until ", time::written(request.lasts))).time(request.expires_at);
    line.plain(": ").plain(request.reason.as_str())
}

/// What it is called when it has come to an end.
pub fn title(request: &AccessRequest) -> String {
    format!("Access request {} is {}", request.id, request.state)
}

/// `deploy` in `production` of `acme/web`.
pub fn what(request: &AccessRequest) -> Text {
    let text = Text::default().code(request.action).plain(" in ").code(&request.environment);
    text.plain(" of ").code(&request.repo)
}

fn asker(request: &AccessRequest) -> Text {
    Text::default().piece(Piece::User(request.user))
}

fn by(decision: &Decision) -> Text {
    person(&decision.by).plain(", ").time(decision.at)
}

fn person(id: &ActorId) -> Text {
    match id {
        ActorId::Slipway => Text::of("nobody in time"),
        decider => deploy::card::person(decider),
    }
}

fn rule(decision: &Decision) -> Option<Text> {
    let (rule, until) = decision.rule?;
    Some(Text::default().code(rule).plain(" until ").time(until))
}

fn ended(state: State) -> &'static str {
    match state {
        State::Open => "Open",
        State::Approved => "Approved by",
        State::Rejected => "Rejected by",
        State::Withdrawn => "Withdrawn by",
        State::Expired => "Decided by",
    }
}

fn subjects(subjects: &[Subject], guild: GuildId) -> Text {
    let subjects = subjects.iter().map(|subject| Text::default().subject(*subject, guild));
    Text::join(subjects, &Text::of(", "))
}

fn tone(state: State) -> Tone {
    match state {
        State::Open => Tone::Busy,
        State::Approved => Tone::Good,
        State::Rejected => Tone::Bad,
        State::Withdrawn => Tone::Neutral,
        State::Expired => Tone::Warning,
    }
}
