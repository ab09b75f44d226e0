//! The pages that name what the code names: commands and settings. Whoever adds one and forgets the page reads so here.

#![allow(clippy::unwrap_used, reason = "a test that unwraps in vain fails, as it should")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use slipway::config::VARIABLES;

/// The project tokens of single repositories, as the pages write them.
const TOKEN_OF_A_REPO: &str = "CIRCLE_API_PROJECT_TOKEN_<ORG>_<REPO>";

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn settings() -> BTreeSet<String> {
    VARIABLES.iter().copied().chain([TOKEN_OF_A_REPO]).map(str::to_owned).collect()
}

/// A name of upper-case letters and underscores, which a variable is; a repository's token by its general form.
fn variable(text: &str) -> Option<String> {
    if text.starts_with("CIRCLE_API_PROJECT_TOKEN_") {
        return Some(TOKEN_OF_A_REPO.to_owned());
    }
    let is_name = text.len() > 3 && text.contains('_') && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    is_name.then(|| text.to_owned())
}

#[test]
fn the_page_of_commands_is_what_the_table_makes() {
    let made = slipway::command::docs::markdown();
    assert!(
        page("docs/commands.md") == made,
        "docs/commands.md is old; make it with: cargo run -- commands > docs/commands.md"
    );
}

#[test]
fn the_example_of_settings_lists_each_once() {
    // `NAME=` or, commented out, `#NAME=` and `# NAME=`.
    let lines: Vec<String> = page(".env.example")
        .lines()
        .filter_map(|line| variable(line.trim_start_matches(['#', ' ']).split_once('=')?.0))
        .collect();
    let once: BTreeSet<String> = lines.iter().cloned().collect();
    assert_eq!(once, settings(), ".env.example lists other variables than src/config.rs");
    assert_eq!(lines.len(), once.len(), ".env.example lists a variable twice: {lines:?}");
}

#[test]
fn the_example_of_settings_holds_no_secret() {
    let secret = |name: &str| name.contains("TOKEN") || name.contains("SECRET");
    for line in page(".env.example").lines() {
        let Some((name, value)) = line.trim_start_matches(['#', ' ']).split_once('=') else { continue };
        if variable(name).is_some_and(|name| secret(&name)) {
            assert!(
                value.chars().filter(char::is_ascii_alphanumeric).count() < 20,
                "this looks like a real one: {line}"
            );
        }
    }
}

#[test]
fn the_readme_lists_every_setting() {
    // The first cell of a row: one name or several, each in backticks.
    let cells: BTreeSet<String> = page("README.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| Some(line.split_once('|')?.0.to_owned()))
        .flat_map(|cell| cell.split('`').filter_map(variable).collect::<Vec<_>>())
        .collect();
    assert_eq!(cells, settings(), "README.md's table of settings lists other variables than src/config.rs");
}
