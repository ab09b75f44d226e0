//! What completes a line as it is typed: the table's commands and options, people's names, and whatever the services know.
//! The terminal waits for it only for a moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::parse::{self, OWN};
use super::people::People;
use crate::actor::Caller;
use crate::app::App;
use crate::command::{Arguments, COMMANDS, Kind, OptionSpec, Path, Shape, Value};
use crate::complete::complete;
use crate::words;

/// How long typing stands still at most. What CircleCI answers later completes the next try.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Completes lines for whoever is speaking.
pub struct Completion {
    pub(super) app: Arc<App>,
    pub(super) people: People,
    pub(super) caller: Arc<Mutex<Caller>>,
    pub(super) runtime: Handle,
}

/// What is being typed.
#[derive(Debug)]
struct Typing {
    /// Where it begins in the line, in bytes.
    start: usize,
    /// What stands there so far, quotes taken off.
    typed: String,
    /// What would complete it.
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    /// One of these.
    Words(Vec<String>),
    /// A value of an option, or the name of an option that is not given yet.
    Value {
        path: Path,
        before: Vec<(&'static OptionSpec, String)>,
        option: Option<&'static OptionSpec>,
        names: Vec<String>,
    },
}

impl Completion {
    /// The candidates for what ends a line, and where they begin.
    pub fn of(&self, line: &str) -> (usize, Vec<String>) {
        let Some(Typing { start, typed, wanted }) = typing(line) else { return (line.len(), Vec::new()) };
        let begun = |words: Vec<String>| words.into_iter().filter(|word| word.starts_with(&typed)).collect::<Vec<_>>();
        let candidates = match wanted {
            Wanted::Words(words) => begun(words),
            Wanted::Value { path, before, option, names } => {
                let mut candidates =
                    option.map(|option| self.values(&path, &before, option, &typed)).unwrap_or_default();
                candidates.extend(begun(names));
                candidates
            }
        };
        (start, candidates)
    }

    fn values(&self, path: &Path, before: &[(&OptionSpec, String)], option: &OptionSpec, typed: &str) -> Vec<String> {
        let found = match option.kind {
            Kind::User | Kind::Mentionable => {
                let everyone = matches!(option.kind, Kind::Mentionable).then_some("@everyone");
                let names = self.people.names().chain(everyone).filter(|name| name.starts_with(typed));
                names.map(str::to_owned).collect()
            }
            Kind::Text | Kind::Choice(_) | Kind::Completed(_) | Kind::Flag => {
                let arguments = before.iter().fold(Arguments::default(), |arguments, (option, text)| {
                    arguments.with(option.name, Value::Text(text.clone()))
                });
                let caller = self.caller.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let asked = complete(&self.app, &caller, path, &arguments, option.name, typed);
                // The time-out must be made inside the runtime, which this thread is not.
                let choices = self.runtime.block_on(async { timeout(WAIT_MAX, asked).await }).unwrap_or_default();
                choices.into_iter().map(|choice| choice.value).collect::<Vec<String>>()
            }
        };
        found.iter().map(|value| format!("{} ", words::quote(value))).collect()
    }
}

impl Completer for Completion {
    type Candidate = String;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.of(line.get(..position).unwrap_or(line)))
    }
}

impl Hinter for Completion {
    type Hint = String;
}
impl Highlighter for Completion {}
impl Validator for Completion {}
impl Helper for Completion {}

/// What is being typed at the end of `line`; none where nothing can complete it.
fn typing(line: &str) -> Option<Typing> {
    let start = last_word(line);
    let (before, last) = line.split_at(start);
    let before = words::split(before).ok()?;
    let word = words::split(last).or_else(|_| words::split(&format!("{last}\""))).ok()?.into_iter().next();
    let (typed, bare) = word.map(|word| (word.text, word.bare)).unwrap_or_default();
    let Some(first) = before.first() else {
        let names = COMMANDS.iter().map(|spec| spec.name).chain(OWN);
        let slash = if typed.is_empty() || typed.starts_with('/') { "/" } else { "" };
        return Some(Typing {
            start,
            typed,
            wanted: Wanted::Words(names.map(|name| format!("{slash}{name} ")).collect()),
        });
    };
    let Some((path, leaf, taken)) = parse::row(&before) else {
        let name = first.text.trim_start_matches('/');
        let spec = COMMANDS.iter().find(|spec| spec.name == name).filter(|_| before.len() == 1)?;
        let Shape::Group(subcommands) = &spec.shape else { return None };
        let words = subcommands.iter().map(|(name, _)| format!("{name} ")).collect();
        return Some(Typing { start, typed, wanted: Wanted::Words(words) });
    };
    let placed = parse::place_so_far(&path, leaf, &before[taken..]).ok()?;
    let path: Path = path.into_iter().map(str::to_owned).collect();
    let is_free = |option: &&OptionSpec| !placed.iter().any(|(known, _)| known.name == option.name);
    if let Some((name, value)) = typed.split_once(':').filter(|(name, _)| name.len() < bare)
        && let Some(option) = parse::options(leaf).filter(is_free).find(|option| option.name == name)
    {
        let (start, typed) = (start + name.len() + 1, value.to_owned());
        let wanted = Wanted::Value { path, before: placed, option: Some(option), names: vec![] };
        return Some(Typing { start, typed, wanted });
    }
    let names = parse::options(leaf).filter(is_free).map(|option| format!("{}:", option.name)).collect();
    let option = leaf.options.iter().find(is_free);
    Some(Typing { start, typed, wanted: Wanted::Value { path, before: placed, option, names } })
}

/// Where the last word of `line` begins: after the last space that is not in quotes.
fn last_word(line: &str) -> usize {
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (index, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => start = index + c.len_utf8(),
            _ => {}
        }
    }
    start
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wanted(line: &str) -> String {
        match typing(line) {
            None => "nothing".to_owned(),
            Some(Typing { start, typed, wanted: Wanted::Words(words) }) => format!("{start} {typed:?} {words:?}"),
            Some(Typing { start, typed, wanted: Wanted::Value { path, before, option, names } }) => format!(
                "{start} {typed:?} for {} of {}, after {:?}, or {names:?}",
                option.map_or("nothing", |option| option.name),
                path.join(" "),
                before.into_iter().map(|(option, text)| format!("{}={text}", option.name)).collect::<Vec<_>>(),
            ),
        }
    }

    #[test]
    fn what_is_typed_is_known_by_its_place() {
        insta::assert_snapshot!(wanted("/de"), @r#"
        0 "/de" ["/deploy ", "/rollback ", "/deploys ", "/permission ", "/access ", "/repo ", "/environment ", "/stats ", "/audit ", "/settings ", "/whoami ", "/help ", "/as ", "/quit "]
        "#);
        insta::assert_snapshot!(wanted("repo "), @r#"5 "" ["add ", "list ", "show ", "edit ", "remove "]"#);
        insta::assert_snapshot!(wanted("/deploy acme/web ma"), @r#"17 "ma" for branch of deploy, after ["repo=acme/web"], or ["branch:", "environment:", "revision:", "parameters:", "reason:", "dry_run:"]"#);
        insta::assert_snapshot!(wanted("/deploy branch:main repo:ac"), @r#"25 "ac" for repo of deploy, after ["branch=main"], or []"#);
        insta::assert_snapshot!(wanted("/help \"permission gr"), @r#"6 "permission gr" for command of help, after [], or ["command:"]"#);
        insta::assert_snapshot!(wanted("/nothing x"), @"nothing");
    }

    proptest! {
        #[test]
        fn no_line_panics(line in "(/deploy |/repo )?.{0,40}") {
            if let Some(typing) = typing(&line) {
                prop_assert!(line.is_char_boundary(typing.start));
            }
        }
    }
}
