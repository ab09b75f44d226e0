//! The query language of the audit log, one line for chat and command line alike: what a query is, and which entries it
//! means. Pure: reading one is in `parse.rs`, asking the database in the audit log's store.

mod bad;
mod complete;
mod glob;
mod parse;
mod span;

use std::fmt;

pub use bad::BadQuery;
pub use complete::complete;
pub use glob::Glob;
pub use parse::{QUERY_CHARS_MAX, Saved};
pub use span::{AsOf, Span, When};

use super::chain::Row;
use super::entry::{Action, Outcome};
use crate::id::DeployId;
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
    /// It happened in that span of time.
    At(Span),
    /// Its name, reason and detail were erased.
    Redacted,
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

/// What a key makes of its value.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Field(Field),
    Deploy,
    Since,
    Until,
    Created,
    Is,
    Text,
}

impl Kind {
    /// The only words that it takes; none where it takes others too.
    fn words(self) -> Vec<&'static str> {
        let outcomes = Outcome::ALL.iter().map(|outcome| outcome.as_str());
        match self {
            Kind::Field(Field::Action) => Action::ALL.iter().map(|action| action.as_str()).collect(),
            Kind::Field(Field::Outcome) => outcomes.collect(),
            Kind::Is => outcomes.chain(["redacted"]).collect(),
            _ => Vec::new(),
        }
    }
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
    Key { word: "created", example: "created:2026-01-01..2026-01-31", kind: Kind::Created },
    Key { word: "is", example: "is:denied", kind: Kind::Is },
    Key { word: "text", example: "text:\"disk full\"", kind: Kind::Text },
];

impl Query {
    /// Whether it means this entry, when it is asked as of `as_of`.
    pub fn matches(&self, row: &Row, as_of: &AsOf) -> bool {
        self.terms.iter().all(|term| term.test.holds(row, as_of) != term.negated)
    }

    /// The milliseconds that all its spans of time have in common: the first one, and the first one after them.
    pub fn span(&self, as_of: &AsOf) -> (i64, i64) {
        let spans = self.terms.iter().filter_map(|term| match &term.test {
            Test::At(span) if !term.negated => Some(span.bounds(as_of)),
            _ => None,
        });
        spans.fold((i64::MIN, i64::MAX), |(first, end), span| (first.max(span.0), end.min(span.1)))
    }
}

impl Test {
    fn holds(&self, row: &Row, as_of: &AsOf) -> bool {
        match self {
            Test::Field(field, globs) => {
                field.of(row).into_iter().flatten().any(|text| globs.iter().any(|glob| glob.matches(text)))
            }
            Test::Deploy(ids) => ids.iter().any(|id| Some(id.0) == row.deploy_id),
            Test::At(span) => span.holds(row.at, as_of),
            Test::Redacted => row.salt.is_none(),
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
            Test::At(span) => span.key(),
            Test::Redacted => "is",
            Test::Text(_) => "text",
        }
    }

    fn value(&self) -> String {
        let list = |values: Vec<String>| values.join(",");
        match self {
            Test::Field(field, globs) => list(globs.iter().map(|glob| field.written(glob)).collect()),
            Test::Deploy(ids) => list(ids.iter().map(DeployId::to_string).collect()),
            Test::At(span) => span.to_string(),
            Test::Redacted => "redacted".to_owned(),
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
        let plain = matches!(self.test, Test::Text(_)) && !value.starts_with(['-', '@']) && !value.contains(':');
        // A word that only quotes would keep from being another term is written with its key.
        if plain {
            write!(f, "{}", words::quote(&format!("{negation}{value}")))
        } else {
            write!(f, "{negation}{}:{}", self.test.key(), words::quote(&value))
        }
    }
}
