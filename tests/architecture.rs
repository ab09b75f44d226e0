//! The rules of the house, held over the source text: which room may name which library, who may write SQL, what is pure.

#![allow(clippy::unwrap_used, reason = "a test that unwraps in vain fails, as it should")]

use std::fs;
use std::path::{Path, PathBuf};

/// A file longer than this has two subjects.
const LINES_MAX: usize = 500;

/// Features' pure files: what they say depends on their arguments alone.
const PURE: &[&str] = &[
    "access/card.rs",
    "access/request.rs",
    "actor.rs",
    "audit/block.rs",
    "audit/card.rs",
    "audit/chain.rs",
    "audit/entry.rs",
    "audit/export.rs",
    "audit/proof.rs",
    "audit/query.rs",
    "audit/query/bad.rs",
    "audit/query/complete.rs",
    "audit/query/glob.rs",
    "audit/query/parse.rs",
    "audit/query/span.rs",
    "audit/sight.rs",
    "circleci/definition.rs",
    "circleci/mask.rs",
    "circleci/output.rs",
    "circleci/pipeline.rs",
    "circleci/progress.rs",
    "circleci/said.rs",
    "circleci/webhook.rs",
    "command/arguments.rs",
    "command/docs.rs",
    "command/help.rs",
    "deploy/act.rs",
    "deploy/card.rs",
    "deploy/parameters.rs",
    "deploy/plan.rs",
    "deploy/reason.rs",
    "deploy/rollback.rs",
    "deploy/settled.rs",
    "deploy/state.rs",
    "guild/setting.rs",
    "id.rs",
    "invalid.rs",
    "permission/containment.rs",
    "permission/decision.rs",
    "permission/pattern.rs",
    "permission/rule.rs",
    "refusal.rs",
    "reply.rs",
    "repo/branch.rs",
    "near.rs",
    "policy/document.rs",
    "policy/entries.rs",
    "policy/plan.rs",
    "repo/declared.rs",
    "repo/environment.rs",
    "repo/name.rs",
    "repo/template.rs",
    "stats/chart.rs",
    "stats/measure.rs",
    "text.rs",
    "words.rs",
];

/// One file of `src`.
struct Source {
    /// Its path under `src`, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// Its lines of code with their numbers, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        lines
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
            .filter(|(_, line)| !line.trim().is_empty())
    }

    /// Where its code names this crate or module: `name::…` or `use name;`.
    fn names(&self, name: &str) -> Vec<String> {
        self.places(|line| {
            line.match_indices(name).any(|(at, _)| {
                let before = line[..at].chars().next_back();
                let after = &line[at + name.len()..];
                let is_whole = !before.is_some_and(|c| c.is_alphanumeric() || "_\"".contains(c));
                is_whole
                    && (after.starts_with("::")
                        || (line.trim_start().starts_with("use ") && after.starts_with([';', ' '])))
            })
        })
    }

    fn places(&self, found: impl Fn(&str) -> bool) -> Vec<String> {
        self.code()
            .filter(|(_, line)| found(line))
            .map(|(number, line)| format!("src/{}:{number}: {}", self.path, line.trim()))
            .collect()
    }

    fn is_under(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// A store, or the database itself.
    fn may_speak_sql(&self) -> bool {
        self.path == "db.rs" || self.path == "store.rs" || self.path.ends_with("/store.rs")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut sources) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
                sources.push(Source { path: name, text: fs::read_to_string(path).unwrap() });
            }
        }
    }
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

/// Every place in these files that breaks a rule.
fn broken(files: impl Fn(&Source) -> bool, places: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources().iter().filter(|source| files(source)).flat_map(places).collect()
}

#[track_caller]
fn assert_none(broken: &[String], rule: &str) {
    assert!(broken.is_empty(), "{rule}:\n{}", broken.join("\n"));
}

#[test]
fn serenity_is_named_under_discord_alone() {
    let broken = broken(|source| !source.is_under(&["discord/"]), |source| source.names("serenity"));
    assert_none(&broken, "Discord's types stay in src/discord, so that every chat can use the rest");
}

#[test]
fn http_is_spoken_under_discord_and_circleci_alone() {
    let broken = broken(|source| !source.is_under(&["discord/", "circleci/"]), |source| source.names("reqwest"));
    assert_none(&broken, "reqwest stays in src/discord and src/circleci");
}

#[test]
fn sql_is_written_in_stores_alone() {
    const STATEMENTS: &[&str] = &["SELECT ", "INSERT INTO ", "DELETE FROM ", "CREATE TABLE ", "BEGIN IMMEDIATE"];
    let broken = broken(
        |source| !source.may_speak_sql(),
        |source| {
            let sql = source.places(|line| STATEMENTS.iter().any(|statement| line.contains(statement)));
            [source.names("sqlx"), sql].concat()
        },
    );
    assert_none(&broken, "sqlx and SQL stay in files called store.rs and in src/db.rs");
}

#[test]
fn commands_call_services_and_never_stores() {
    let broken = broken(
        |source| source.is_under(&["command/"]),
        |source| {
            source.places(|line| {
                let words = ["store::", "::store", "db::", "::db", ".pool()", ".db()", ".require("];
                words.iter().any(|word| line.contains(word))
            })
        },
    );
    assert_none(&broken, "a command calls a feature's service; who may do what is checked there");
}

#[test]
fn chats_do_not_reach_into_features() {
    let broken = broken(
        |source| source.is_under(&["discord/", "console/"]),
        |source| source.places(|line| line.contains("store::")),
    );
    assert_none(&broken, "a request goes through the app and its services");
}

#[test]
fn circleci_knows_no_chat_and_no_database() {
    let broken = broken(
        |source| source.is_under(&["circleci/"]),
        |source| {
            ["crate::db", "crate::discord", "crate::app", "crate::command"]
                .iter()
                .flat_map(|module| source.names(module))
                .collect()
        },
    );
    assert_none(&broken, "src/circleci knows CircleCI alone");
}

#[test]
fn what_is_pure_touches_neither_runtime_nor_database_nor_network() {
    let all = sources();
    for path in PURE {
        assert!(
            all.iter().any(|source| source.path == *path),
            "src/{path} is called pure and isn't there: was it moved?"
        );
    }
    let broken = broken(
        |source| PURE.contains(&source.path.as_str()),
        |source| {
            let crates = ["tokio", "tokio_util", "sqlx", "reqwest", "serenity", "axum", "std::fs", "std::net"];
            crates.iter().flat_map(|name| source.names(name)).collect()
        },
    );
    assert_none(&broken, "pure files import no runtime, database or network");
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    let broken = broken(
        |_| true,
        |source| {
            let lines = source.text.lines().count();
            let speechless =
                (!source.text.starts_with("//! ")).then(|| format!("src/{} does not open with //!", source.path));
            let long = (lines > LINES_MAX).then(|| format!("src/{} has {lines} lines", source.path));
            speechless.into_iter().chain(long).collect()
        },
    );
    assert_none(&broken, "a file opens with //! and has one subject");
}

#[test]
fn nothing_is_left_undone() {
    let broken = broken(
        |_| true,
        |source| source.places(|line| ["todo!", "unimplemented!", "dbg!("].iter().any(|word| line.contains(word))),
    );
    assert_none(&broken, "no unfinished code");
}

#[test]
fn a_crate_is_noticed_wherever_it_is_named() {
    let named = |text: &str| !Source { path: "a.rs".to_owned(), text: text.to_owned() }.names("sqlx").is_empty();
    for text in
        ["use sqlx::AnyPool;", "use sqlx;", "fn a(pool: &sqlx::AnyPool) {}", "pub use ::sqlx::Any;", "use sqlx as x;"]
    {
        assert!(named(text), "{text}");
    }
    for text in ["// use sqlx::AnyPool;", "//! sqlx::query", "use my_sqlx::Any;", "let text = \"sqlx is a crate\";"] {
        assert!(!named(text), "{text}");
    }
}
