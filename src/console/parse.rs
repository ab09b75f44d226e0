//! A line of the console as a command with its arguments, read from the one table of commands. Pure: it knows neither the
//! terminal nor what a command does.

use super::misread::Misread;
use super::people::People;
use crate::command::{Arguments, COMMANDS, Completes, Kind, Leaf, OptionSpec, PAGE_OPTION, Path, Shape, Value, leaves};
use crate::near::near;
use crate::words::{self, Word};

/// The console's own commands, beside those of the table.
pub const OWN: [&str; 2] = ["as", "quit"];

/// The page of a list, which only the console's lines name.
static PAGE: OptionSpec =
    OptionSpec { name: PAGE_OPTION, description: "The page of the list", kind: Kind::Text, required: false };

/// What a line asks for.
#[derive(Debug)]
pub enum Line {
    /// Nothing: it is empty, or a comment.
    Nothing,
    /// To end.
    Quit,
    /// To speak as the person of this name.
    As(String),
    /// A command of the table.
    Command {
        /// Its words.
        path: Path,
        /// Its arguments.
        arguments: Arguments,
    },
}

/// Reads a line: `/deploy acme/web main`. The `/` may be left out.
///
/// Options stand as `name:value` anywhere, or by their position: those without a name fill, in the table's order, the
/// options that the line doesn't name. After an unquoted text nothing stands by its position: it may be more of the text. What is quoted from its beginning is text, and so is `see:` where no option is
/// called that.
pub fn parse(line: &str, people: &People) -> Result<Line, Misread> {
    read_line(line, people, |_, _| false)
}

/// The same for a line that a button carries, which leaves out what a form asks for.
pub fn parse_pressed(line: &str, people: &People) -> Result<Line, Misread> {
    read_line(line, people, |leaf, option| leaf.asks.contains(&option.name))
}

fn read_line(line: &str, people: &People, is_asked: fn(&Leaf, &OptionSpec) -> bool) -> Result<Line, Misread> {
    let line = line.trim();
    if line.starts_with('#') {
        return Ok(Line::Nothing);
    }
    let words = words::split(line)?;
    let Some((first, rest)) = words.split_first() else { return Ok(Line::Nothing) };
    match (first.text.strip_prefix('/').unwrap_or(&first.text), rest) {
        ("quit" | "exit", []) => return Ok(Line::Quit),
        ("as", [name]) => return Ok(Line::As(name.text.clone())),
        ("as", _) => return Err(Misread::As),
        _ => {}
    }
    let (path, leaf, rest) = find(first, rest)?;
    let mut arguments = Arguments::default();
    for (option, text) in place(&path, leaf, rest, is_asked)? {
        if let Some(value) = read(&path, leaf, option, text, people)? {
            arguments.insert(option.name, value);
        }
    }
    Ok(Line::Command { path: path.into_iter().map(str::to_owned).collect(), arguments })
}

/// How a command is written: `/deploy repo branch [environment]`.
pub fn usage(path: &[&str], leaf: &Leaf) -> String {
    let mut usage = format!("/{}", path.join(" "));
    for option in leaf.options {
        let name = option.name;
        usage.push_str(&if option.required { format!(" {name}") } else { format!(" [{name}]") });
    }
    if leaf.has_numbered_pages() {
        usage.push_str(&format!(" [{PAGE_OPTION}:2]"));
    }
    usage
}

/// The options that a line may name.
pub fn options(leaf: &'static Leaf) -> impl Iterator<Item = &'static OptionSpec> {
    leaf.options.iter().chain(leaf.has_numbered_pages().then_some(&PAGE)).chain(leaf.in_lines)
}

/// Each word with the option that it is for, as far as the words go: nothing is missing yet.
pub fn place_so_far(
    path: &[&'static str],
    leaf: &'static Leaf,
    words: &[Word],
) -> Result<Vec<(&'static OptionSpec, String)>, Misread> {
    let mut placed: Vec<(&OptionSpec, String)> = Vec::new();
    let mut without_name = Vec::new();
    let mut after_bare_text = false;
    for word in words {
        let Some((option, value)) = named(path, leaf, word)? else {
            // `reason:promote staging` must not deploy to staging.
            if after_bare_text {
                return Err(Misread::TooMany { surplus: word.text.clone(), usage: usage(path, leaf) });
            }
            without_name.push(word.text.clone());
            continue;
        };
        if placed.iter().any(|(known, _)| known.name == option.name) {
            return Err(Misread::Twice { option: option.name, usage: usage(path, leaf) });
        }
        after_bare_text = matches!(option.kind, Kind::Text) && !word.quoted;
        placed.push((option, value));
    }
    let free: Vec<&OptionSpec> =
        leaf.options.iter().filter(|option| !placed.iter().any(|(known, _)| known.name == option.name)).collect();
    // `/help permission grant`: a command's name may have several words, and nothing can come after it.
    if let ([option], [_, _, ..]) = (free.as_slice(), without_name.as_slice())
        && matches!(option.kind, Kind::Completed(Completes::Command))
    {
        without_name = vec![without_name.join(" ")];
    }
    if let Some(surplus) = without_name.get(free.len()) {
        return Err(Misread::TooMany { surplus: surplus.clone(), usage: usage(path, leaf) });
    }
    placed.extend(free.into_iter().zip(without_name));
    Ok(placed)
}

fn find<'a>(first: &Word, rest: &'a [Word]) -> Result<(Vec<&'static str>, &'static Leaf, &'a [Word]), Misread> {
    let typed = first.text.strip_prefix('/').unwrap_or(&first.text);
    let Some(spec) = COMMANDS.iter().find(|spec| spec.name == typed) else {
        let names = COMMANDS.iter().map(|spec| spec.name).chain(OWN);
        return Err(Misread::NoCommand { typed: typed.to_owned(), near: near(typed, names) });
    };
    let subcommands = match &spec.shape {
        Shape::Single(leaf) => return Ok((vec![spec.name], leaf, rest)),
        Shape::Group(subcommands) => subcommands,
    };
    let usages = || subcommands.iter().map(|(sub, leaf)| usage(&[spec.name, sub], leaf)).collect();
    let Some((word, rest)) = rest.split_first() else {
        return Err(Misread::NoSubcommand { command: spec.name, typed: None, near: vec![], usages: usages() });
    };
    let typed = word.text.as_str();
    if let Some((sub, leaf)) = subcommands.iter().find(|(sub, _)| *sub == typed) {
        return Ok((vec![spec.name, sub], leaf, rest));
    }
    let near = near(typed, subcommands.iter().map(|(sub, _)| *sub));
    Err(Misread::NoSubcommand { command: spec.name, typed: Some(typed.to_owned()), near, usages: usages() })
}

/// As [`place_so_far`], and every required option is there.
fn place(
    path: &[&'static str],
    leaf: &'static Leaf,
    words: &[Word],
    is_asked: fn(&Leaf, &OptionSpec) -> bool,
) -> Result<Vec<(&'static OptionSpec, String)>, Misread> {
    let placed = place_so_far(path, leaf, words)?;
    let is_there = |wanted: &&OptionSpec| {
        placed.iter().any(|(option, value)| option.name == wanted.name && !value.trim().is_empty())
    };
    match leaf.options.iter().find(|option| option.required && !is_asked(leaf, option) && !is_there(option)) {
        Some(OptionSpec { name: option, .. }) => Err(Misread::Missing { option, usage: usage(path, leaf) }),
        None => Ok(placed),
    }
}

/// The option that a word names, and its value; none for a word that is a value itself.
fn named(
    path: &[&'static str],
    leaf: &'static Leaf,
    word: &Word,
) -> Result<Option<(&'static OptionSpec, String)>, Misread> {
    let Some((name, value)) = word.text.split_once(':').filter(|(name, _)| name.len() < word.bare) else {
        return Ok(None);
    };
    if let Some(option) = options(leaf).find(|option| option.name == name) {
        return Ok(Some((option, value.to_owned())));
    }
    // A slip of the finger must not make `enviroment:staging` somebody's branch.
    let near = near(name, options(leaf).map(|option| option.name)).first().copied();
    let is_anothers = leaves().any(|(_, other)| options(other).any(|option| option.name == name));
    if near.is_none() && !is_anothers {
        return Ok(None);
    }
    Err(Misread::NoOption { typed: name.to_owned(), near, usage: usage(path, leaf) })
}

/// An argument as the table's kind of option wants it; none for an empty one.
fn read(
    path: &[&'static str],
    leaf: &'static Leaf,
    option: &'static OptionSpec,
    text: String,
    people: &People,
) -> Result<Option<Value>, Misread> {
    if text.is_empty() {
        return Ok(None);
    }
    let value = match option.kind {
        Kind::User => people.person(&text).map(Value::User),
        Kind::Mentionable => people.mentionable(&text),
        Kind::Text | Kind::Choice(_) | Kind::Completed(_) if option.name == PAGE_OPTION => {
            return match text.parse::<usize>() {
                Ok(1..) => Ok(Some(Value::Text(text))),
                _ => Err(Misread::NotAPage { typed: text, usage: usage(path, leaf) }),
            };
        }
        Kind::Text | Kind::Choice(_) | Kind::Completed(_) | Kind::Flag => return Ok(Some(Value::Text(text))),
    };
    let roles_too = matches!(option.kind, Kind::Mentionable);
    match value {
        Some(value) => Ok(Some(value)),
        None => Err(Misread::Nobody {
            option: option.name,
            typed: text,
            names: people.names().filter(|name| !roles_too || people.mentionable(name).is_some()).collect(),
            roles_too,
            usage: usage(path, leaf),
        }),
    }
}

/// The row of the table that the words so far name, and how many words that took.
pub fn row(words: &[Word]) -> Option<(Vec<&'static str>, &'static Leaf, usize)> {
    let (first, rest) = words.split_first()?;
    let (path, leaf, rest) = find(first, rest).ok()?;
    Some((path, leaf, words.len() - rest.len()))
}
