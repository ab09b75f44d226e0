//! The name of a repository and the service that hosts it. Knows nothing of which repositories are registered.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;
use crate::vocabulary::vocabulary;

/// `org/repo`, in characters that GitHub and Bitbucket allow, so that it can neither leave its place in a URL nor
/// mean anything to Discord.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RepoName {
    text: String,
    slash: usize,
}

/// The longest organisation or repository name in bytes; GitHub allows 39 and 100, Bitbucket 62 and 62.
const SEGMENT_BYTES_MAX: usize = 100;

impl RepoName {
    /// The organisation (GitHub) or workspace (Bitbucket).
    pub fn org(&self) -> &str {
        &self.text[..self.slash]
    }

    /// The repository within its organisation.
    pub fn repo(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// `org/repo`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name as it stands in the name of an environment variable: `ACME_WEB`. Two repositories may share one.
    pub fn variable(&self) -> String {
        self.text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
    }

    /// The name by which two spellings are the same repository: both hosts ignore case.
    pub fn key(&self) -> String {
        self.text.to_ascii_lowercase()
    }
}

impl FromStr for RepoName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &'static str| Invalid::new("repository", why, "acme/web");
        let (org, repo) = text
            .split_once('/')
            .ok_or_else(|| invalid("A repository is written as organisation, a slash and its name."))?;
        for segment in [org, repo] {
            if segment.is_empty() || segment.len() > SEGMENT_BYTES_MAX {
                return Err(invalid("Both parts of a repository's name have 1 to 100 characters."));
            }
            if segment == "." || segment == ".." {
                return Err(invalid("A part of a repository's name can't be `.` or `..`."));
            }
            if !segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
                return Err(invalid(
                    "A repository's name has only letters, digits, `-`, `_` and `.` on both sides of one slash.",
                ));
            }
        }
        Ok(Self { text: text.to_owned(), slash: org.len() })
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The opaque slug of a project that CircleCI doesn't address by its repository: `circleci/<organisation>/<project>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProjectSlug(String);

impl ProjectSlug {
    /// The slug.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProjectSlug {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let id = |part: &str| {
            (1..=64).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        match text.split('/').collect::<Vec<_>>()[..] {
            ["circleci", org, project] if id(org) && id(project) => Ok(Self(text.to_owned())),
            _ => Err(Invalid::new(
                "project slug",
                "A project slug is `circleci/`, the organisation's id, `/` and the project's id, as in Project Settings, Overview on CircleCI.",
                "circleci/43G3kM5RtfFE7v5sa4nWAU/44n9pujWcTnVZ2b5S8Fnat",
            )),
        }
    }
}

impl fmt::Display for ProjectSlug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

vocabulary! {
    /// Who hosts a repository, by the long names that are path segments of CircleCI's API and of its web pages.
    Vcs, "host", "github" {
        /// github.com
        GitHub = "github",
        /// bitbucket.org
        Bitbucket = "bitbucket",
    }
}

impl Vcs {
    /// The short name, with which CircleCI's API v2 begins a project's slug.
    pub const fn short(self) -> &'static str {
        match self {
            Vcs::GitHub => "gh",
            Vcs::Bitbucket => "bb",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_repository_has_an_organisation_and_a_name() {
        let name: RepoName = "acme/web.app-2_x".parse().unwrap();
        assert_eq!((name.org(), name.repo()), ("acme", "web.app-2_x"));
    }

    #[test]
    fn tricks_are_not_repositories() {
        for bad in [
            "",
            "acme",
            "/",
            "acme/",
            "/web",
            "acme/web/x",
            "../../me",
            "../me",
            "acme/..",
            "./web",
            "acme/web?x=1",
            "acme/web#1",
            "@everyone",
            "<@1>/x",
            "acme/**web**",
            "acme web/x",
            "acme/wéb",
            "acme/web\n",
            "acme%2Fweb/x",
            "`a`/b",
            "a:b/c",
        ] {
            assert!(bad.parse::<RepoName>().is_err(), "{bad:?}");
        }
        assert!(format!("acme/{}", "x".repeat(101)).parse::<RepoName>().is_err());
    }

    proptest! {
        #[test]
        fn what_parses_prints_as_it_was(text in ".{0,40}") {
            if let Ok(name) = text.parse::<RepoName>() {
                prop_assert_eq!(name.to_string(), text);
                prop_assert_eq!(format!("{}/{}", name.org(), name.repo()), name.as_str());
            }
        }
    }
}
