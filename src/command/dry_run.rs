//! What `dry_run:True` answers: what would be sent, what allows it, what speaks against it. Nothing is done.

use crate::app::App;
use crate::deploy::preview::Preview;
use crate::deploy::{State, card};
use crate::reply::{Piece, Reply, Text, Tone};
use crate::repo::Trigger;

/// What is told of a plan that is only looked at.
pub fn reply(title: &str, preview: &Preview, app: &App) -> Reply {
    let warnings = warnings(preview, app);
    let tone = if warnings.is_empty() { Tone::Neutral } else { Tone::Warning };
    let comma = Text::of(", ");
    let rules = preview.rules.iter().map(|rule| Text::default().code(rule.id));
    let allowed = if preview.by_owner {
        Text::default().sentence("an owner's rights (`SLIPWAY_OWNERS`), whatever the rules say")
    } else {
        Text::of("rule ").then(Text::join(rules, &comma))
    };
    let parameters = preview
        .parameters
        .iter()
        .map(|parameter| Text::default().code(format!("{}={}", parameter.name, parameter.value)));
    let mut parameters = Text::join(parameters, &Text::of(" "));
    if preview.parameters.is_empty() {
        parameters = Text::of("none");
    } else if carries_ids(preview) {
        parameters = parameters
            .line()
            .sentence("`{id}` and `{number}` are the deploy's own, which it gets when it is recorded.");
    }
    let commit = match &preview.revision {
        Some(revision) => Text::default().code(revision),
        None => Text::of("the branch's newest one"),
    };
    let replaces = match &preview.replaces {
        Some(replaced) => card::replaced(replaced),
        None => Text::of("nothing that Slipway knows of"),
    };
    let mut reply = Reply::new(tone, title)
        .body(Text::of("A dry run: nothing was sent and nothing recorded."))
        .field("Sent by", api(&preview.trigger))
        .field("Project", project(preview));
    if let Trigger::Pipeline { definition } = &preview.trigger {
        reply = reply.field(
            "Definition",
            match definition {
                Some(definition) => Text::default().code(definition),
                None => Text::of("the only one that CircleCI has for the project, else that of ")
                    .code(".circleci/config.yml")
                    .plain("; found when it is sent"),
            },
        );
    }
    reply = reply
        .field("Branch", Text::default().code(&preview.branch))
        .field("Commit", commit)
        .field("Environment", Text::default().code(&preview.environment))
        .field("Parameters", parameters)
        .field("Replaces", replaces)
        .field("Allowed by", allowed);
    match warnings.is_empty() {
        true => reply.field("Against it", Text::of("nothing that Slipway knows of")),
        false => reply.field("Against it", Text::join(warnings, &Text::default().line())),
    }
}

fn api(trigger: &Trigger) -> Text {
    match trigger {
        Trigger::Pipeline { .. } => Text::of("API v2: a pipeline is run"),
        Trigger::Job(job) => Text::of("API v1.1: the job ").code(job).plain(" is run"),
        Trigger::Build => Text::of("API v1.1: the workflows of the branch are run"),
    }
}

fn project(preview: &Preview) -> Text {
    let project = &preview.project;
    Text::default().code(match &project.slug {
        Some(slug) => slug.clone(),
        None => format!("{}/{}", project.vcs.short(), project.repo),
    })
}

fn carries_ids(preview: &Preview) -> bool {
    preview.parameters.iter().any(|parameter| {
        let value = parameter.value.to_string();
        value.contains("{id}") || value.contains("{number}")
    })
}

fn warnings(preview: &Preview, app: &App) -> Vec<Text> {
    let mut warnings: Vec<Text> = preview.note.iter().map(|note| Text::of(note.as_str())).collect();
    if preview.asks_first {
        warnings.push(Text::of("It would ask for a confirmation first."));
    }
    if !matches!(preview.trigger, Trigger::Pipeline { .. }) {
        let end = app.v1_triggers_end();
        let word = if app.clock.now() >= end { "ended" } else { "ends" };
        warnings.push(Text::of(format!("CircleCI {word} API v1.1's triggers ")).time(end).plain("."));
    }
    warnings.extend(preview.unfinished.iter().map(|deploy| {
        let text =
            Text::of("Deploy ").code(deploy.id).plain(" to the same environment is ").strong(deploy.state.as_str());
        let text = text.plain(", asked for by ").then(card::person(&deploy.actor)).plain(".");
        let text =
            if deploy.state == State::Unknown { text.plain(" It may be live by now, or become so.") } else { text };
        match &deploy.url {
            Some(url) => text.plain(" ").piece(Piece::Link(url.clone())),
            None => text,
        }
    }));
    warnings
}
