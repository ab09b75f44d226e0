//! Why a line of the console is no command, and what the person is told: what is wrong, and how the command is written.

use crate::reply::{Reply, Text, Tone};
use crate::text;
use crate::words::UnclosedQuote;

/// The longest part of a line that is shown back, in UTF-16 units.
const SHOWN_MAX: usize = 100;

/// Why a line is no command.
#[derive(Debug, PartialEq, Eq)]
pub enum Misread {
    /// A quote is opened and never closed.
    Quote(UnclosedQuote),
    /// No command is called that.
    NoCommand { typed: String, near: Vec<&'static str> },
    /// The command has subcommands, and this is none of them.
    NoSubcommand { command: &'static str, typed: Option<String>, near: Vec<&'static str>, usages: Vec<String> },
    /// The command has no option of that name.
    NoOption { typed: String, near: Option<&'static str>, usage: String },
    /// An option is given twice.
    Twice { option: &'static str, usage: String },
    /// There are more values than options.
    TooMany { surplus: String, usage: String },
    /// A required option is missing.
    Missing { option: &'static str, usage: String },
    /// That is no person, and no role where one would do.
    Nobody { option: &'static str, typed: String, names: Vec<&'static str>, roles_too: bool, usage: String },
    /// A list has no such page.
    NotAPage { typed: String, usage: String },
    /// `/as` without a name, or with several.
    As,
}

impl From<UnclosedQuote> for Misread {
    fn from(unclosed: UnclosedQuote) -> Self {
        Misread::Quote(unclosed)
    }
}

impl Misread {
    /// What the person is told.
    pub fn reply(&self) -> Reply {
        let (why, usages) = match self {
            Misread::Quote(unclosed) => (Text::of(unclosed.to_string()), vec![]),
            Misread::NoCommand { typed, near } => (
                meant(Text::of("There is no command ").code(shown(&format!("/{typed}"))).plain("."), "/", near)
                    .sentence(" `/help` lists the commands."),
                vec![],
            ),
            Misread::NoSubcommand { command, typed: None, usages, .. } => (
                Text::default().sentence(&format!("`/{command}` is a family of commands; say which one.")),
                usages.clone(),
            ),
            Misread::NoSubcommand { command, typed: Some(typed), near, usages } => (
                meant(
                    Text::default().sentence(&format!("`/{command}` has no subcommand ")).code(shown(typed)).plain("."),
                    "",
                    near,
                ),
                usages.clone(),
            ),
            Misread::NoOption { typed, near, usage } => {
                let why = Text::of("There is no option ").code(shown(typed)).plain(" here.");
                let why = meant(why, "", near.as_slice());
                (why.plain(" If it is text, put the whole of it in \"quotes\"."), vec![usage.clone()])
            }
            Misread::Twice { option, usage } => {
                (Text::of("The option ").code(option).plain(" is given twice."), vec![usage.clone()])
            }
            Misread::TooMany { surplus, usage } => (
                Text::of("There is no option for ")
                    .code(shown(surplus))
                    .plain(" at this place. Put \"quotes\" round text that has spaces, as in reason:\"two words\"."),
                vec![usage.clone()],
            ),
            Misread::Missing { option, usage } => {
                (Text::of("The option ").code(option).plain(" is missing."), vec![usage.clone()])
            }
            Misread::Nobody { option, typed, names, roles_too, usage } => {
                let names = names.iter().flat_map(|name| [Text::default().code(name), Text::of(", ")]);
                let why = Text::default()
                    .code(shown(typed))
                    .plain(" is nobody for ")
                    .code(option)
                    .plain(": write ")
                    .then(Text::join(names, &Text::default()))
                    .plain("an id as on Discord, ")
                    .code("<@175928847299117063>");
                let roles = Text::of(", a role ").code("<@&175928847299117063>").plain(", or ").code("@everyone");
                let why = if *roles_too { why.then(roles) } else { why };
                (why.plain("."), vec![usage.clone()])
            }
            Misread::NotAPage { typed, usage } => (
                Text::default().code(shown(typed)).plain(" is no page: a page is a number from 1 on."),
                vec![usage.clone()],
            ),
            Misread::As => (Text::of("Say who is to speak."), vec!["/as NAME".to_owned()]),
        };
        let usages = usages.into_iter().map(|usage| Text::of("Usage: ").plain(usage));
        let body = Text::join([why.plain(" Nothing was done.")].into_iter().chain(usages), &Text::default().line());
        Reply::new(Tone::Bad, "Not understood").body(body)
    }
}

fn shown(typed: &str) -> std::borrow::Cow<'_, str> {
    text::clip(typed, SHOWN_MAX)
}

fn meant(text: Text, before: &str, near: &[&str]) -> Text {
    if near.is_empty() {
        return text;
    }
    let near = near.iter().map(|word| Text::default().code(format!("{before}{word}")));
    text.plain(" Did you mean ").then(Text::join(near, &Text::of(" or "))).plain("?")
}
