//! What makes one policy of another: a readable list of changes. Pure.

use std::fmt;

use serde::Serialize;

use super::document::{EnvironmentEntry, RepoEntry, RuleEntry};
use crate::id::RuleId;
use crate::repo::RepoName;

/// One change.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A repository is registered, with its environments.
    AddRepo(RepoEntry),
    /// What is known of a repository changes.
    EditRepo(RepoEntry, RepoEntry),
    /// A repository is taken away, with its environments.
    RemoveRepo(RepoEntry),
    /// An environment is made or changed.
    SetEnvironment(RepoName, Option<EnvironmentEntry>, EnvironmentEntry),
    /// An environment is taken away.
    RemoveEnvironment(RepoName, EnvironmentEntry),
    /// A rule is made.
    AddRule(RuleEntry),
    /// A rule is revoked.
    RevokeRule(RuleId, RuleEntry),
}

/// What makes `wanted` of what there is, in an order in which it can be done.
pub fn plan(repos: &[RepoEntry], rules: &[(RuleId, RuleEntry)], wanted: (&[RepoEntry], &[RuleEntry])) -> Vec<Change> {
    let (wanted_repos, wanted_rules) = wanted;
    let same = |a: &RepoEntry, b: &RepoEntry| a.name.0.key() == b.name.0.key();
    let mut changes = Vec::new();
    for repo in repos.iter().filter(|repo| !wanted_repos.iter().any(|wanted| same(repo, wanted))) {
        changes.push(Change::RemoveRepo(repo.clone()));
    }
    for wanted in wanted_repos {
        match repos.iter().find(|repo| same(repo, wanted)) {
            None => changes.push(Change::AddRepo(wanted.clone())),
            Some(repo) => changes.extend(within(repo, wanted)),
        }
    }
    let mut left: Vec<&RuleEntry> = wanted_rules.iter().collect();
    let mut revoked = Vec::new();
    for (id, rule) in rules {
        match left.iter().position(|wanted| *wanted == rule) {
            Some(index) => _ = left.remove(index),
            None => revoked.push(Change::RevokeRule(*id, rule.clone())),
        }
    }
    changes.extend(left.into_iter().cloned().map(Change::AddRule));
    changes.extend(revoked);
    changes
}

/// What makes one repository's entry of another's.
fn within(repo: &RepoEntry, wanted: &RepoEntry) -> Vec<Change> {
    let mut changes = Vec::new();
    let head = |repo: &RepoEntry| (repo.vcs.clone(), repo.project.clone(), repo.default_branch.clone());
    if head(repo) != head(wanted) {
        changes.push(Change::EditRepo(repo.clone(), wanted.clone()));
    }
    let known = |entry: &EnvironmentEntry| repo.environments.iter().find(|known| known.name == entry.name);
    // A default that moves must be given up before another takes it.
    let mut set: Vec<&EnvironmentEntry> =
        wanted.environments.iter().filter(|entry| known(entry) != Some(*entry)).collect();
    set.sort_by_key(|entry| entry.default);
    let name = &repo.name.0;
    changes.extend(
        set.into_iter().map(|entry| Change::SetEnvironment(name.clone(), known(entry).cloned(), entry.clone())),
    );
    let is_wanted = |entry: &&EnvironmentEntry| wanted.environments.iter().any(|wanted| wanted.name == entry.name);
    let gone = repo.environments.iter().filter(|entry| !is_wanted(entry));
    changes.extend(gone.map(|entry| Change::RemoveEnvironment(name.clone(), entry.clone())));
    changes
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::AddRepo(repo) => {
                write!(f, "+ repo {}", repo.name.0)?;
                repo.environments
                    .iter()
                    .try_for_each(|entry| write!(f, "\n+   environment {}{}", entry.name.0, keys(entry, "name")))
            }
            Change::EditRepo(before, after) => {
                let without = |repo: &RepoEntry| RepoEntry { environments: vec![], ..repo.clone() };
                write!(f, "~ repo {}{}", after.name.0, differing(&without(before), &without(after)))
            }
            Change::RemoveRepo(repo) => write!(f, "- repo {}, with its environments", repo.name.0),
            Change::SetEnvironment(repo, None, after) => {
                write!(f, "+ environment {} of {repo}{}", after.name.0, keys(after, "name"))
            }
            Change::SetEnvironment(repo, Some(before), after) => {
                write!(f, "~ environment {} of {repo}{}", after.name.0, differing(before, after))
            }
            Change::RemoveEnvironment(repo, entry) => write!(f, "- environment {} of {repo}", entry.name.0),
            Change::AddRule(rule) => write!(f, "+ rule{}", keys(rule, "")),
            Change::RevokeRule(id, rule) => write!(f, "- rule {id}{}", keys(rule, "")),
        }
    }
}

fn object(entry: &impl Serialize) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(entry) {
        Ok(serde_json::Value::Object(object)) => object,
        _ => serde_json::Map::new(),
    }
}

/// Every key of an entry with its value, but `name`.
fn keys(entry: &impl Serialize, but: &str) -> String {
    object(entry).iter().filter(|(key, _)| *key != but).map(|(key, value)| format!(" {key}={value}")).collect()
}

/// The keys in which two entries differ.
fn differing(before: &impl Serialize, after: &impl Serialize) -> String {
    let (before, after) = (object(before), object(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let shown = |value: Option<&serde_json::Value>| value.map_or("nothing".to_owned(), ToString::to_string);
    let lines = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    lines.map(|name| format!("\n~   {name}: {} → {}", shown(before.get(name)), shown(after.get(name)))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::Document;

    fn document(text: &str) -> Document {
        format!("version = 1\n{text}").parse().unwrap()
    }

    fn planned(from: &Document, to: &Document) -> Vec<Change> {
        let rules: Vec<(RuleId, RuleEntry)> =
            from.rules.iter().cloned().zip(1..).map(|(rule, id)| (RuleId(id), rule)).collect();
        plan(&from.repos, &rules, (&to.repos, &to.rules))
    }

    const BEFORE: &str = r#"
        [[repo]]
        name = "acme/web"
        vcs = "github"
        [[repo.environment]]
        name = "production"
        trigger = "pipeline"
        branches = "main"
        [[repo.environment]]
        name = "staging"
        trigger = "pipeline"
        default = true
        [[repo]]
        name = "acme/old"
        vcs = "bitbucket"
        [[repo.environment]]
        name = "production"
        trigger = "job"
        job = "deploy"
        [[rule]]
        who = "everyone"
        action = "view"
        [[rule]]
        who = "user:175928847299117063"
        action = "deploy"
        repo = "acme/*"
        expires = "2027-01-01T00:00:00Z"
    "#;

    const AFTER: &str = r#"
        [[repo]]
        name = "acme/web"
        vcs = "github"
        default_branch = "main"
        [[repo.environment]]
        name = "production"
        trigger = "pipeline"
        parameters = '{"action": "deploy"}'
        default = true
        [[repo.environment.parameter]]
        name = "REGION"
        type = "string"
        values = ["eu", "us"]
        [[repo.environment]]
        name = "staging"
        trigger = "pipeline"
        [[repo]]
        name = "acme/api"
        vcs = "github"
        [[repo.environment]]
        name = "production"
        trigger = "pipeline"
        [[rule]]
        who = "role:41771983423143936"
        action = "deploy"
        branch = "release/*"
        effect = "deny"
        reason = "interns never deploy"
        [[rule]]
        who = "everyone"
        action = "view"
    "#;

    #[test]
    fn what_would_change_is_told_line_by_line() {
        let changes = planned(&document(BEFORE), &document(AFTER));
        let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        - repo acme/old, with its environments
        ~ repo acme/web
        ~   default_branch: nothing → "main"
        ~ environment staging of acme/web
        ~   default: true → nothing
        ~ environment production of acme/web
        ~   branches: "main" → nothing
        ~   default: nothing → true
        ~   parameter: nothing → [{"name":"REGION","required":false,"type":"string","values":["eu","us"]}]
        ~   parameters: nothing → "{\"action\":\"deploy\"}"
        + repo acme/api
        +   environment production trigger="pipeline"
        + rule action="deploy" branch="release/*" effect="deny" reason="interns never deploy" who="role:41771983423143936"
        - rule #2 action="deploy" expires="2027-01-01T00:00:00.000Z" repo="acme/*" who="user:175928847299117063"
        "#);
    }

    #[test]
    fn a_policy_is_written_as_it_is_read() {
        for text in [BEFORE, AFTER, ""] {
            let read = document(text);
            assert_eq!(read.to_string().parse::<Document>().unwrap(), read);
            assert_eq!(planned(&read, &read), []);
        }
    }

    #[test]
    fn a_mistake_is_told_with_its_line_and_column() {
        let why = |text: &str| text.parse::<Document>().unwrap_err().to_string();
        insta::assert_snapshot!(why("version = 1\n[[rule]]\nwho = \"everyone\"\naction = \"view\"\ncolour = \"red\"\n"), @r#"
        TOML parse error at line 5, column 1
          |
        5 | colour = "red"
          | ^^^^^^
        unknown field `colour`, expected one of `who`, `effect`, `action`, `repo`, `branch`, `environment`, `expires`, `reason`
        "#);
        insta::assert_snapshot!(why("version = 1\n[[rule]]\nwho = \"everyone\"\naction = \"veiw\"\n"), @r#"
        TOML parse error at line 4, column 10
          |
        4 | action = "veiw"
          |          ^^^^^^
        this is no usable action: It must be one of view, deploy, approve, cancel, rollback, lock, override, audit, admin. Example: deploy
        "#);
        assert!(why("version = 2").contains("reads version 1"));
        assert!(why("[[rule]]").contains("line 1"));
        for (text, words) in [
            ("[[repo]]\nname = \"a/b\"\nvcs = \"github\"", "has no environment"),
            (
                "[[repo]]\nname = \"a/b\"\nvcs = \"github\"\n[[repo.environment]]\nname = \"x\"\ntrigger = \"job\"",
                "needs a `job`",
            ),
            ("[[repo]]\nname = \"../me\"\nvcs = \"github\"", "line 3"),
            ("[[rule]]\nwho = \"bob\"\naction = \"view\"", "`user:` or `role:`"),
            ("[[rule]]\nwho = \"everyone\"\naction = \"view\"\nrepo = \"[a\"", "not a glob"),
        ] {
            let told = why(&format!("version = 1\n{text}"));
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(version = 1\\n)?(\\[\\[(rule|repo)\\]\\]\\n)?.{0,60}") {
            let _ = text.parse::<Document>();
        }
    }
}
