//! Branch names and revisions, by git's own rules. Knows nothing of which branches exist.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;

/// The longest branch name in bytes: a file name on most systems, where git keeps refs.
pub const BRANCH_BYTES_MAX: usize = 244;

/// A branch name that `git check-ref-format --branch` accepts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Branch(String);

impl Branch {
    /// The name as git writes it, without `refs/heads/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether Discord could read the name as a mention, an emoji or formatting. Git allows such names; a deploy bot
    /// has no reason to.
    pub fn looks_like_markup(&self) -> bool {
        ["@everyone", "@here", "<@", "<#", "<:", "<a:", "</", "<t:", "<id:", "`", "||", "~~", "](", "://"]
            .iter()
            .any(|trick| self.0.contains(trick))
    }
}

impl FromStr for Branch {
    type Err = Invalid;

    /// By the rules of <https://git-scm.com/docs/git-check-ref-format>, and no longer than a ref can be.
    fn from_str(name: &str) -> Result<Self, Invalid> {
        let invalid = |why: &'static str| Err(Invalid::new("branch", why, "feature/login"));
        if name.is_empty() {
            return invalid("A branch name can't be empty.");
        }
        if name.len() > BRANCH_BYTES_MAX {
            return invalid("A branch name has at most 244 bytes.");
        }
        if name.starts_with('-') {
            return invalid("A branch name can't start with `-`.");
        }
        if name == "HEAD" || name == "@" {
            return invalid("`HEAD` and `@` mean the present commit and can't be a branch name.");
        }
        if name.contains("..") {
            return invalid("A branch name can't hold `..`.");
        }
        if name.contains("@{") {
            return invalid("A branch name can't hold `@{`.");
        }
        if name.bytes().any(|byte| byte <= b' ' || byte == 0x7f || b"~^:?*[\\".contains(&byte)) {
            return invalid("A branch name can't hold spaces, control characters or any of `~ ^ : ? * [ \\`.");
        }
        if name.ends_with('.') {
            return invalid("A branch name can't end with a dot.");
        }
        for component in name.split('/') {
            if component.is_empty() {
                return invalid("A branch name can't start or end with a slash or hold two in a row.");
            }
            if component.starts_with('.') {
                return invalid("No part of a branch name can start with a dot.");
            }
            if component.ends_with(".lock") {
                return invalid("No part of a branch name can end with `.lock`.");
            }
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A commit: 40 hexadecimal digits, or the first 7 or more of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Revision(String);

/// The shortest abbreviation that git itself prints.
const REVISION_DIGITS_MIN: usize = 7;
/// A whole SHA-1.
const REVISION_DIGITS: usize = 40;

impl Revision {
    /// The digits, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The commit as people name it: its first 7 digits.
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }

    /// Whether `abbreviation` stands for this commit.
    pub fn is_full_of(&self, abbreviation: &Revision) -> bool {
        self.0.starts_with(&abbreviation.0)
    }
}

impl FromStr for Revision {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digits = (REVISION_DIGITS_MIN..=REVISION_DIGITS).contains(&text.len());
        if !digits || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Invalid::new(
                "revision",
                "A revision is a commit's 40 hexadecimal digits, or the first 7 or more of them.",
                "1dc6aa69429bff4806ad6afe58d3d8f57e25973e",
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_takes_for_no_name_is_refused() {
        for bad in [
            "a..b",
            "-x",
            "main.lock",
            "a b",
            "a\tb",
            "a\u{7f}",
            "",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.",
            "@",
            "a@{1}",
            "HEAD",
            "a\nb",
        ] {
            assert!(bad.parse::<Branch>().is_err(), "{bad:?}");
        }
        for good in [
            "main",
            "feature/login",
            "release/1.2",
            "a@b",
            "ümlaut",
            "x-",
            "refs/heads/x",
            "@everyone",
            "a.lock.b",
            "heads/HEAD",
        ] {
            assert!(good.parse::<Branch>().is_ok(), "{good:?}");
        }
    }

    #[test]
    fn names_that_discord_would_read_are_known() {
        for trick in ["@everyone", "x/@here", "<@123>", "a`b", "||spoiler||", "<#1>"] {
            assert!(trick.parse::<Branch>().unwrap().looks_like_markup(), "{trick}");
        }
        assert!(!"feature/a_b-c@2".parse::<Branch>().unwrap().looks_like_markup());
    }

    #[test]
    fn a_revision_is_hexadecimal() {
        assert_eq!("1DC6AA6".parse::<Revision>().unwrap().as_str(), "1dc6aa6");
        for bad in ["", "1dc6aa", "main", "1dc6aa69429bff4806ad6afe58d3d8f57e25973e0", "1dc6aag", "é123456"] {
            assert!(bad.parse::<Revision>().is_err(), "{bad}");
        }
    }
}
