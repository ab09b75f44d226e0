//! `/help`: every command, from the table.

use super::{
    Arguments, COMMANDS, Command, CommandSpec, Completes, Kind, Leaf, Needs, OptionSpec, Private, Shape, leaves,
};
use crate::refusal::Refusal;
use crate::reply::{Reply, Text, Tone};

pub(super) const SPEC: CommandSpec = CommandSpec {
    name: "help",
    description: "Help for every command",
    shape: Shape::Single(Leaf {
        description: "List the commands, or explain one",
        needs: Needs::Nothing,
        options: &[OptionSpec::optional(
            "command",
            Kind::Completed(Completes::Command),
            "The command to explain: permission grant",
        )],
        pages: false,
        pressed: false,
        in_lines: &[],
        asks: &[],
        example: "/help deploy",
        parse: |arguments| Ok(Command::Private(Private::Help(Help::parse(arguments)?))),
    }),
};

#[derive(Debug)]
pub struct Help {
    /// The rows to explain, with the words that name them; none for the overview.
    explained: Vec<(Vec<&'static str>, &'static Leaf)>,
}

impl Help {
    fn parse(arguments: &Arguments) -> Result<Self, Refusal> {
        let Some(wanted) = arguments.text("command").filter(|text| !text.trim().is_empty()) else {
            return Ok(Self { explained: Vec::new() });
        };
        let words: Vec<&str> = wanted.trim().trim_start_matches('/').split_whitespace().collect();
        let explained: Vec<_> = leaves().filter(|(path, _)| path.starts_with(&words)).collect();
        if explained.is_empty() {
            return Err(Refusal::Invalid {
                option: "command".to_owned(),
                given: wanted.to_owned(),
                invalid: crate::invalid::Invalid::new("command", "There is no such command.", "permission grant"),
            });
        }
        Ok(Self { explained })
    }

    pub(super) fn run(self) -> Reply {
        if self.explained.is_empty() {
            return overview();
        }
        let texts = self.explained.iter().map(|(path, leaf)| explain(path, leaf));
        Reply::new(Tone::Neutral, "Help").body(Text::join(texts, &Text::default().line().line()))
    }
}

fn overview() -> Reply {
    let lines = COMMANDS.iter().map(|spec| {
        let names = match &spec.shape {
            Shape::Single(_) => String::new(),
            Shape::Group(leaves) => {
                format!(" {}", leaves.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" | "))
            }
        };
        Text::default().code(format!("/{}{names}", spec.name)).plain(format!(" {}", spec.description))
    });
    let body =
        Text::join(lines, &Text::default().line()).line().sentence("`/help command:deploy` explains one of them.");
    Reply::new(Tone::Neutral, "Commands").body(body)
}

fn explain(path: &[&str], leaf: &Leaf) -> Text {
    let mut text =
        Text::default().strong(format!("/{}", path.join(" "))).line().plain(format!("{}. ", leaf.description));
    text = text.plain("Needs: ").plain(leaf.needs.words()).plain(".");
    for option in leaf.options {
        let required = if option.required { ", required" } else { "" };
        text = text.line().code(option.name).plain(format!(
            " ({}{required}): {}",
            option.kind.words(),
            option.description
        ));
    }
    text.line().plain("Example: ").code(leaf.example)
}
