//! What is shown before something goes over what is live, or is taken away, and the button that does it as long as that is still
//! so.

use super::{Kind, OptionSpec};
use crate::deploy::history::Depending;
use crate::deploy::{Deploy, Reason, State, card};
use crate::refusal::Refusal;
use crate::reply::{Button, Reply, Text, Tone};
use crate::words;

/// The longest line that a button carries: Discord's `custom_id` has 100 characters (components/reference, "Button").
const LINE_MAX: usize = 100;

/// Whether a removal is meant.
pub const SURE: OptionSpec = OptionSpec::required("sure", Kind::Flag, "Whether it is meant");

/// What removing something takes away and leaves, and the button that does it.
pub fn removal(title: &str, depends: Depending, line: String) -> Reply {
    let deploys = match (depends.deploys, depends.unfinished) {
        (0, _) => "none".to_owned(),
        (deploys, 0) => format!("{deploys}, which stay in the history"),
        (deploys, unfinished) => {
            format!("{deploys}, which stay in the history; {unfinished} of them under way, and followed to the end")
        }
    };
    let rules = match depends.rules {
        0 => "none by its name".to_owned(),
        rules => format!("{rules} by its name, which stay and hold again should it come back"),
    };
    Reply::new(Tone::Warning, title)
        .body(Text::of("Nothing is done until you press the button. After that nobody can deploy there any more."))
        .field("Deploys", Text::of(deploys))
        .field("Rules", Text::of(rules))
        .button(Button::Run { label: "Remove".to_owned(), line })
}

/// The button's line: `line` with the reason. What doesn't fit is refused, and `instead` tells what to do.
pub fn line(line: String, reason: Option<&Reason>, instead: &str) -> Result<String, Refusal> {
    let line = match reason {
        Some(reason) => format!("{line} reason:{}", words::quote(reason.as_str())),
        None => line,
    };
    if line.encode_utf16().count() > LINE_MAX || line.contains('\n') {
        return Err(Refusal::conflict(
            "This must be confirmed by a button, which holds only a short line, and this one doesn't fit.",
            instead,
        ));
    }
    Ok(line)
}

/// That nothing is done yet, and what else is on its way there.
pub fn body(unfinished: &[Deploy]) -> Text {
    unfinished.iter().fold(Text::of("Nothing is done until you press the button."), |body, deploy| {
        let body = body.line().plain("Deploy ").code(deploy.id);
        match deploy.state {
            State::Unknown => body.plain(", too, may be live or become so: it is ").strong("unknown").plain("."),
            state => body.plain(" is on its way there: ").strong(state.as_str()).plain("."),
        }
    })
}

/// A deploy as what is, was or becomes live.
pub fn what(deploy: &Deploy) -> Text {
    let commit = card::commit(deploy).unwrap_or_else(|| Text::of("an unknown commit"));
    let text = of(commit, deploy);
    match deploy.ended_at {
        Some(ended) => text.plain(", ").time(ended),
        None => text,
    }
}

/// A deploy that would be tried again, whatever its branch's newest commit is by now.
pub fn newest_of(deploy: &Deploy) -> Text {
    of(Text::of("the newest commit"), deploy)
}

fn of(commit: Text, deploy: &Deploy) -> Text {
    let text = commit.line().plain("deploy ").code(deploy.id).plain(" of ").code(&deploy.branch);
    text.plain(" by ").then(card::person(&deploy.actor))
}
