//! `/whoami`: what the asker may do here, by repository and environment, by the very decision that guards each command.

use super::{Arguments, Command, CommandSpec, Leaf, Needs, Private, Shape};
use crate::actor::Caller;
use crate::app::App;
use crate::permission::{Action, Branches, Held, Pattern};
use crate::refusal::Refusal;
use crate::reply::{self, Reply, Text, Tone};
use crate::repo::standing::Standing;

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "whoami",
    description: "What you may do here",
    shape: Shape::Single(Leaf {
        description: "Tell what you may do here, by repository and environment",
        needs: Needs::Nothing,
        options: &[],
        pages: true,
        pressed: false,
        in_lines: &[],
        asks: &[],
        example: "/whoami",
        parse: |arguments| Ok(Command::Private(Private::Whoami(Whoami::parse(arguments)))),
    }),
};

#[derive(Debug)]
pub struct Whoami {
    page: usize,
}

impl Whoami {
    fn parse(arguments: &Arguments) -> Self {
        Self { page: arguments.page() }
    }

    pub(super) async fn run(self, app: &App, caller: &Caller) -> Result<Reply, Refusal> {
        let reply = Reply::new(Tone::Neutral, format!("What {} may do here", caller.actor.name));
        if app.permissions.is_owner(&caller.actor) {
            let body = "You have an owner's rights (`SLIPWAY_OWNERS`): you may do everything, whatever rules say, except approve your own deploy.";
            return Ok(reply.body(Text::default().sentence(body)));
        }
        let standings = app.repos.standings(caller, Action::ALL).await?;
        if standings.is_empty() {
            let body = "There is no repository here that you may see. `/permission check` tells why for one; whoever administers Slipway here can grant more.";
            return Ok(reply.body(Text::default().sentence(body)));
        }
        let mut reply = reply::page(reply, &standings, self.page, "/whoami", line);
        reply.body = reply.body.line().sentence("`/permission check` tells which rules say so.");
        Ok(reply)
    }
}

/// What somebody may do in one environment.
fn line(standing: &Standing) -> Text {
    let actions = standing.actions.iter().map(|(action, branches)| {
        let text = Text::default().strong(action.as_str());
        limits(branches).map_or(text.clone(), |limits| text.plain(" (").then(limits).plain(")"))
    });
    let line = Text::default().code(&standing.repo).plain(" ").code(&standing.environment).plain(": ");
    line.then(Text::join(actions, &Text::of(", ")))
}

/// Of which branches, and until when.
fn limits(branches: &Branches) -> Option<Text> {
    let patterns = |patterns: &[Pattern]| Text::join(patterns.iter().map(|p| Text::default().code(p)), &Text::of(", "));
    let only = (!branches.only.is_empty()).then(|| Text::of("branch ").then(patterns(&branches.only)));
    let except = (!branches.except.is_empty()).then(|| Text::of("not ").then(patterns(&branches.except)));
    let until = match branches.held {
        Held::Until(end) => Some(Text::of("until ").time(end)),
        Held::No | Held::ForGood => None,
    };
    let limits: Vec<Text> = [only, except, until].into_iter().flatten().collect();
    (!limits.is_empty()).then(|| Text::join(limits, &Text::of("; ")))
}
