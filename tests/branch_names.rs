//! Branch names by the rules of the real git: whatever `git check-ref-format --branch` takes is a [`Branch`], and nothing
//! else is.
//!
//! Two differences are meant. Outside a repository git prints `@` back although no branch can be called so (inside, it is
//! the present commit); and names beyond [`BRANCH_BYTES_MAX`] are refused, because git could not write them as a file. A
//! third cannot occur: a name from Discord is UTF-8, while git takes any bytes.

#![allow(clippy::unwrap_used, reason = "a test that unwraps in vain fails, as it should")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use slipway::repo::Branch;
use slipway::repo::branch::BRANCH_BYTES_MAX;

/// Names that are generated, besides those picked by hand.
const GENERATED: usize = 700;
/// Processes of git at a time.
const LANES: usize = 4;

/// One for each rule of git-check-ref-format(1), each at the beginning, in the middle and at the end, and what people type.
const PICKED: &[&str] = &[
    "",
    "main",
    "feature/login",
    "release/1.2",
    "a..b",
    "..",
    "...",
    "a..",
    "..a",
    ".",
    ".a",
    "a.",
    "a/.b",
    "a/b.",
    "a./b",
    "-",
    "-x",
    "x-",
    "a/-b",
    "--",
    "--branch",
    "-1",
    "@{-1}",
    "@{1}",
    "a@{",
    "a@{1}",
    "@a",
    "a@",
    "a@b",
    "@/a",
    "a/@",
    "{",
    "}",
    "{@",
    "HEAD",
    "head",
    "Head",
    "HEAD/x",
    "x/HEAD",
    "refs/heads/x",
    "refs/heads/HEAD",
    "heads/x",
    "main.lock",
    ".lock",
    "a.lock/b",
    "a.lockb",
    "a.LOCK",
    "x/.lock",
    "lock",
    "a.lock.b",
    "/",
    "/a",
    "a/",
    "a//b",
    "//",
    "a///b",
    "a b",
    " a",
    "a ",
    "a\tb",
    "a\nb",
    "a\rb",
    "\u{1}",
    "a\u{1f}",
    "a\u{7f}",
    "\u{7f}",
    "a~b",
    "~",
    "a^b",
    "^a",
    "a:b",
    ":a",
    "a?b",
    "?",
    "a*b",
    "*",
    "a[b",
    "[",
    "a]b",
    "]",
    "a\\b",
    "\\",
    "a!b",
    "!",
    "a#b",
    "#1",
    "a$b",
    "$(x)",
    "a%b",
    "%2e%2e",
    "a&b",
    "a'b",
    "a\"b",
    "a(b)",
    "a+b",
    "a,b",
    "a;b",
    "a<b>",
    "a=b",
    "a`b",
    "a|b",
    "a_b",
    "ümlaut",
    "分支",
    "🚀",
    "\u{85}",
    "\u{a0}a",
    "a\u{200b}b",
    "\u{202e}a",
    "\u{feff}",
    "e\u{301}",
    "@everyone",
    "FETCH_HEAD",
    "ORIG_HEAD",
    "stash",
    "0",
    "00",
];

/// What git trips over, in letters and in morsels.
fn nasty() -> impl Strategy<Value = String> {
    let morsels = prop::collection::vec(
        prop::sample::select(vec![
            "a", "b1", "main", "/", "/", ".", "..", "@", "@{", "{", "}", "-", ".lock", "lock", "HEAD", " ", "\t", "\n",
            "\u{7f}", "~", "^", ":", "?", "*", "[", "]", "\\", "ü", "🚀", "refs/", "heads", "%2f", "#", "'", "\"", "$",
            "|", "<", ">",
        ]),
        1..7,
    )
    .prop_map(|morsels| morsels.concat());
    // Names of which most are right, so that both answers are common.
    let usual = "[a-z0-9._@/-]{1,12}";
    let lengthy = (BRANCH_BYTES_MAX - 4..BRANCH_BYTES_MAX + 5).prop_map(|length| "x".repeat(length));
    // A process cannot be given a NUL.
    let any = "[^\u{0}]{1,8}";
    prop_oneof![5 => morsels, 3 => usual, 1 => lengthy, 1 => any]
}

/// What git says: the branch, or nothing.
fn git(folder: &Path, name: &str) -> bool {
    let output = Command::new("git")
        .args(["check-ref-format", "--branch", name])
        .current_dir(folder)
        // No repository is looked for above the folder, and nobody's configuration counts.
        .env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap())
        .env_remove("GIT_DIR")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .stdin(Stdio::null())
        .output()
        .expect("git is installed: this test compares with it");
    let printed = output.status.success().then(|| String::from_utf8(output.stdout).unwrap());
    // `@{-1}` and its like are expanded; a branch is called as it was typed.
    printed.is_some_and(|printed| printed.strip_suffix('\n') == Some(name))
}

/// Where Slipway means to differ.
fn differs_on_purpose(name: &str) -> bool {
    name == "@" || name.len() > BRANCH_BYTES_MAX
}

#[test]
fn a_branch_is_what_git_calls_one() {
    let mut runner = TestRunner::deterministic();
    let strategy = nasty();
    let mut names: BTreeSet<String> = PICKED.iter().map(|name| (*name).to_owned()).collect();
    let wanted = names.len() + GENERATED;
    while names.len() < wanted {
        names.insert(strategy.new_tree(&mut runner).unwrap().current());
    }
    let names: Vec<String> = names.into_iter().filter(|name| !differs_on_purpose(name)).collect();

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    let answers: Vec<bool> = thread::scope(|scope| {
        let lanes: Vec<_> = names
            .chunks(names.len().div_ceil(LANES))
            .map(|names| scope.spawn(|| names.iter().map(|name| git(&folder, name)).collect::<Vec<_>>()))
            .collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    });

    let taken = answers.iter().filter(|taken| **taken).count();
    assert!(names.len() >= 600 && taken >= 100 && names.len() - taken >= 100, "{taken} of {} are right", names.len());
    let wrong: Vec<(&String, &bool)> =
        names.iter().zip(&answers).filter(|(name, taken)| name.parse::<Branch>().is_ok() != **taken).collect();
    assert!(wrong.is_empty(), "git takes (true) or refuses (false), and Slipway does not agree: {wrong:?}");
}

#[test]
fn the_differences_are_refusals() {
    assert!("@".parse::<Branch>().is_err());
    assert!("x".repeat(BRANCH_BYTES_MAX).parse::<Branch>().is_ok());
    assert!("x".repeat(BRANCH_BYTES_MAX + 1).parse::<Branch>().is_err());
    assert!("a\0b".parse::<Branch>().is_err());
}
