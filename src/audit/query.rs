//! The query language of the audit log, one line for chat and command line alike: what a query is, and which entries it
//! means. Pure: reading one is in `parse.rs`, asking the database in the audit log's store.

mod glob;
mod parse;

use std::fmt;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

pub use glob::Glob;
pub use parse::{BadQuery, QUERY_CHARS_MAX};

use super::chain::Row;
use crate::id::DeployId;
use crate::time::Timestamp;
use crate::words;

/// A question to the log: entries for which every term holds. The empty one means every entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// The terms, and-ed.
    pub terms: Vec<Term>,
}

/// A test, or its opposite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Whether it stands behind a `-`.
    pub negated: bool,
    /// What is tested.
    pub test: Test,
}

/// What a term tests. A column that is empty passes no test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// The column fits one of the patterns.
    Field(Field, Vec<Glob>),
    /// It belongs to one of these deploys.
    Deploy(Vec<DeployId>),
    /// It happened then or later.
    Since(When),
    /// It happened then or earlier; with a date, on that day or earlier.
    Until(When),
    /// The pattern fits somewhere in the reason, the detail or the actor's name.
    Text(Glob),
}

/// The columns that are asked by patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `deploy.requested`; a word without a dot means its whole category.
    Action,
    /// The name at the time, or the id.
    Actor,
    /// `org/repo`.
    Repo,
    /// The environment's name.
    Environment,
    /// The branch.
    Branch,
    /// The commit.
    Revision,
    /// `allowed`, `denied`, `error`, or the state in which a deploy ended.
    Outcome,
}

/// A point in time, as it was written: a query that is kept means the same tomorrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This long before the question is asked.
    Ago(Duration),
    /// A day, in UTC.
    Day(Date),
    /// An instant.
    At(Timestamp),
}

/// What a key makes of its value.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Field(Field),
    Deploy,
    Since,
    Until,
    Text,
}

/// A key of the language, for help and for errors.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// The word before the colon.
    pub word: &'static str,
    /// A term with it.
    pub example: &'static str,
    kind: Kind,
}

/// Every key, in the order in which they are offered: the one list of what the language knows.
pub const KEYS: &[Key] = &[
    Key { word: "action", example: "action:deploy.*", kind: Kind::Field(Field::Action) },
    Key { word: "actor", example: "actor:@alice", kind: Kind::Field(Field::Actor) },
    Key { word: "repo", example: "repo:acme/*", kind: Kind::Field(Field::Repo) },
    Key { word: "environment", example: "environment:production", kind: Kind::Field(Field::Environment) },
    Key { word: "branch", example: "branch:release/*", kind: Kind::Field(Field::Branch) },
    Key { word: "revision", example: "revision:1dc6aa6*", kind: Kind::Field(Field::Revision) },
    Key { word: "outcome", example: "outcome:denied,error", kind: Kind::Field(Field::Outcome) },
    Key { word: "deploy", example: "deploy:#12", kind: Kind::Deploy },
    Key { word: "since", example: "since:7d", kind: Kind::Since },
    Key { word: "until", example: "until:2026-01-31", kind: Kind::Until },
    Key { word: "text", example: "text:\"disk full\"", kind: Kind::Text },
];

impl Query {
    /// Whether it means this entry, when it is asked at `now`.
    pub fn matches(&self, row: &Row, now: Timestamp) -> bool {
        self.terms.iter().all(|term| term.test.holds(row, now) != term.negated)
    }
}

impl Test {
    fn holds(&self, row: &Row, now: Timestamp) -> bool {
        match self {
            Test::Field(field, globs) => {
                field.of(row).into_iter().flatten().any(|text| globs.iter().any(|glob| glob.matches(text)))
            }
            Test::Deploy(ids) => ids.iter().any(|id| Some(id.0) == row.deploy_id),
            Test::Since(when) => row.at >= when.first(now),
            Test::Until(when) => row.at < when.end(now),
            Test::Text(glob) => {
                [&row.actor_name, &row.reason, &row.detail].into_iter().flatten().any(|text| glob.matches_within(text))
            }
        }
    }

    fn key(&self) -> &'static str {
        match self {
            Test::Field(Field::Action, _) => "action",
            Test::Field(Field::Actor, _) => "actor",
            Test::Field(Field::Repo, _) => "repo",
            Test::Field(Field::Environment, _) => "environment",
            Test::Field(Field::Branch, _) => "branch",
            Test::Field(Field::Revision, _) => "revision",
            Test::Field(Field::Outcome, _) => "outcome",
            Test::Deploy(_) => "deploy",
            Test::Since(_) => "since",
            Test::Until(_) => "until",
            Test::Text(_) => "text",
        }
    }

    fn value(&self) -> String {
        let list = |values: Vec<String>| values.join(",");
        match self {
            Test::Field(field, globs) => list(globs.iter().map(|glob| field.written(glob)).collect()),
            Test::Deploy(ids) => list(ids.iter().map(DeployId::to_string).collect()),
            Test::Since(when) | Test::Until(when) => when.to_string(),
            Test::Text(glob) => glob.to_string(),
        }
    }
}

impl Field {
    /// The columns that it asks, of which one must fit.
    fn of(self, row: &Row) -> [Option<&str>; 2] {
        match self {
            Field::Action => [Some(&row.action), None],
            Field::Actor => [row.actor_name.as_deref(), row.actor_id.as_deref()],
            Field::Repo => [row.repo.as_deref(), None],
            Field::Environment => [row.environment.as_deref(), None],
            Field::Branch => [row.branch.as_deref(), None],
            Field::Revision => [row.revision.as_deref(), None],
            Field::Outcome => [Some(&row.outcome), None],
        }
    }

    fn written(self, glob: &Glob) -> String {
        let text = glob.to_string().replace(',', "\\,");
        // Reading an actor takes the sign of a mention off.
        if self == Field::Actor && text.starts_with(['@', '<']) { format!("@{text}") } else { text }
    }
}

impl When {
    /// The first millisecond that is meant.
    pub fn first(self, now: Timestamp) -> i64 {
        match self {
            When::Ago(duration) => now.minus(duration).millis(),
            When::Day(day) => midnight(day).unwrap_or(i64::MIN),
            When::At(instant) => instant.millis(),
        }
    }

    /// The first millisecond after all that is meant.
    pub fn end(self, now: Timestamp) -> i64 {
        match self {
            When::Day(day) => day.tomorrow().ok().and_then(midnight).unwrap_or(i64::MAX),
            When::Ago(_) | When::At(_) => self.first(now).saturating_add(1),
        }
    }
}

fn midnight(day: Date) -> Option<i64> {
    TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok().map(|start| start.as_millisecond())
}

impl fmt::Display for Query {
    /// As it would be typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            term.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let negation = if self.negated { "-" } else { "" };
        let value = self.test.value();
        let plain = matches!(self.test, Test::Text(_)) && !value.starts_with('-') && !value.contains(':');
        // A word that only quotes would keep from being another term is written with its key.
        if plain {
            write!(f, "{}", words::quote(&format!("{negation}{value}")))
        } else {
            write!(f, "{negation}{}:{}", self.test.key(), words::quote(&value))
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            When::Day(day) => day.fmt(f),
            When::At(instant) => instant.fmt(f),
            When::Ago(duration) => {
                let seconds = duration.as_secs();
                let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
                let whole = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
                let (unit, letter) = whole.unwrap_or((1, 's'));
                write!(f, "{}{letter}", seconds / unit)
            }
        }
    }
}
