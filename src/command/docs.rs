//! `docs/commands.md`, made from the table of commands.

use std::fmt::Write as _;

use super::{COMMANDS, Completes, Kind, Leaf, Needs, Shape};

impl Needs {
    /// What the person must hold, in words.
    pub fn words(self) -> String {
        match self {
            Needs::Nothing => "nothing".to_owned(),
            Needs::Holds(action) => format!("{action}"),
            Needs::HoldsUnlessOneself(action) => format!("{action}; about oneself nothing"),
        }
    }
}

impl Kind {
    /// What the option holds, in words.
    pub fn words(self) -> String {
        match self {
            Kind::Text => "text".to_owned(),
            Kind::Choice(choices) => choices.join(" | "),
            Kind::Completed(Completes::Repo) => "repository".to_owned(),
            Kind::Completed(Completes::Branch) => "branch".to_owned(),
            Kind::Completed(Completes::Environment) => "environment".to_owned(),
            Kind::Completed(Completes::Rule) => "rule number".to_owned(),
            Kind::Completed(Completes::Request) => "request number".to_owned(),
            Kind::Completed(Completes::Deploy | Completes::Succeeded) => "deploy number".to_owned(),
            Kind::Completed(Completes::Parameters) => "text".to_owned(),
            Kind::Completed(Completes::Query) => "audit query".to_owned(),
            Kind::Completed(Completes::SavedQuery) => "name of a saved query".to_owned(),
            Kind::Completed(Completes::AuditAction) => "action of the audit log".to_owned(),
            Kind::Completed(Completes::SettingValue) => "text".to_owned(),
            Kind::Completed(Completes::Outcome) => "outcome".to_owned(),
            Kind::Completed(Completes::Command) => "command".to_owned(),
            Kind::Flag => "True | False".to_owned(),
            Kind::User => "person".to_owned(),
            Kind::Mentionable => "person or role".to_owned(),
        }
    }
}

/// The whole page, in Markdown.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Commands\n\n\
         Made by `slipway commands` from the table of commands; a test keeps it current. In Discord the options are named; in\n\
         the console they stand in this order or as `name:value`, with `\"quotes\"` round text that has spaces. Required\n\
         options are marked `*`. *Needs* is the action that the person must hold for the repository, branch and environment\n\
         in question (`SLIPWAY_OWNERS` hold every action).\n",
    );
    for spec in COMMANDS {
        match &spec.shape {
            Shape::Single(leaf) => section(&mut page, spec.name, leaf),
            Shape::Group(leaves) => {
                leaves.iter().for_each(|(name, leaf)| section(&mut page, &format!("{} {name}", spec.name), leaf))
            }
        }
    }
    page
}

fn section(page: &mut String, name: &str, leaf: &Leaf) {
    let mut add = |line: String| writeln!(page, "{line}").expect("writing to a string cannot fail");
    add(format!("\n## /{name}\n\n{}.\n\nNeeds: {}.", leaf.description, leaf.needs.words()));
    if !leaf.options.is_empty() {
        add("\n| option | holds | |\n|---|---|---|".to_owned());
    }
    for option in leaf.options {
        let star = if option.required { "\\*" } else { "" };
        add(format!(
            "| `{}`{star} | {} | {} |",
            option.name,
            option.kind.words().replace('|', "\\|"),
            option.description
        ));
    }
    if leaf.has_numbered_pages() {
        add("\nIts pages are turned by the buttons `Newer` and `Older`; the console's lines name one: `page:2`."
            .to_owned());
    }
    add(format!("\nExample: `{}`", leaf.example));
}
