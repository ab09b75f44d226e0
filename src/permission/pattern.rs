//! Patterns for repositories, branches and environments. Knows nothing of rules.

use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

use crate::invalid::Invalid;

/// The longest pattern in characters.
const CHARS_MAX: usize = 200;

/// A glob: `*` is any text (slashes too), `?` one character, `[ab]` one of those, `{a,b}` either.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Any,
    Literal(String),
    Glob { exact: Box<GlobMatcher>, loose: Box<GlobMatcher> },
}

/// Whether capitals matter. Git's branches differ by them, and the hosts of repositories ignore them: what permits must not
/// be passed by another branch's spelling, and what refuses not by another spelling of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// `Main` is not `main`.
    Kept,
    /// `Acme/Web` is `acme/web`.
    Ignored,
}

impl Pattern {
    /// The pattern that matches everything.
    pub fn any() -> Self {
        Self { text: "*".to_owned(), matcher: Matcher::Any }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches all of `text`.
    pub fn matches(&self, text: &str, case: Case) -> bool {
        match (&self.matcher, case) {
            (Matcher::Any, _) => true,
            (Matcher::Literal(literal), Case::Kept) => literal == text,
            (Matcher::Literal(literal), Case::Ignored) => literal.eq_ignore_ascii_case(text),
            (Matcher::Glob { exact, .. }, Case::Kept) => exact.is_match(text),
            (Matcher::Glob { loose, .. }, Case::Ignored) => loose.is_match(text),
        }
    }

    /// Whether everything that `inner` matches is surely matched by this one too. Errs on the side of `false`.
    pub fn covers(&self, inner: &Pattern, case: Case) -> bool {
        match (&self.matcher, &inner.matcher) {
            (Matcher::Any, _) => true,
            (_, Matcher::Literal(literal)) => self.matches(literal, case),
            _ => self.text == inner.text,
        }
    }

    /// Whether some text surely can't match both. Errs on the side of `false`.
    pub fn is_apart_from(&self, other: &Pattern) -> bool {
        match (&self.matcher, &other.matcher) {
            (Matcher::Literal(literal), _) => !other.matches(literal, Case::Ignored),
            (_, Matcher::Literal(literal)) => !self.matches(literal, Case::Ignored),
            _ => false,
        }
    }
}

impl FromStr for Pattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: String| Invalid::new("pattern", why, "acme/*");
        if text.is_empty() || text.chars().count() > CHARS_MAX || text.contains(char::is_control) {
            return Err(invalid(format!(
                "A pattern has 1 to {CHARS_MAX} characters, none of them a control character."
            )));
        }
        let matcher = if text.bytes().all(|byte| byte == b'*') {
            Matcher::Any
        } else if !text.contains(['*', '?', '[', ']', '{', '}', '\\', '!']) {
            Matcher::Literal(text.to_owned())
        } else {
            let compile = |ignore_case| {
                let glob = GlobBuilder::new(text)
                    .case_insensitive(ignore_case)
                    .literal_separator(false)
                    .backslash_escape(true)
                    .build();
                glob.map(|glob| Box::new(glob.compile_matcher()))
                    .map_err(|error| invalid(format!("The pattern is not a glob: {}.", error.kind())))
            };
            Matcher::Glob { exact: compile(false)?, loose: compile(true)? }
        };
        Ok(Self { text: text.to_owned(), matcher })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn globs_match_whole_names_across_slashes() {
        let matches = |glob: &str, text: &str, case| pattern(glob).matches(text, case);
        for (glob, text) in
            [("acme/*", "acme/web"), ("release/*", "release/1/2"), ("*", ""), ("acme/{web,api}", "acme/api")]
        {
            assert!(matches(glob, text, Case::Kept) && matches(glob, text, Case::Ignored), "{glob} {text}");
        }
        for (glob, text) in [("release/*", "release"), ("acme/web", "acme/web2")] {
            assert!(!matches(glob, text, Case::Kept) && !matches(glob, text, Case::Ignored), "{glob} {text}");
        }
        for (glob, text) in [("acme/*", "ACME/Web"), ("main", "Main")] {
            assert!(!matches(glob, text, Case::Kept) && matches(glob, text, Case::Ignored), "{glob} {text}");
        }
    }

    #[test]
    fn a_bad_glob_is_refused_when_it_is_written() {
        for bad in ["", "[", "{a", "a\nb", "[z-a]"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one_and_never_the_other_way() {
        let covers = |outer: &str, inner: &str| pattern(outer).covers(&pattern(inner), Case::Kept);
        assert!(covers("*", "acme/*") && covers("acme/*", "acme/web"));
        assert!(!covers("acme/web", "acme/*") && !covers("acme/*", "*"));
    }

    proptest! {
        #[test]
        fn covering_is_sound(outer in "[ab*?/]{1,5}", inner in "[ab*?/]{1,5}", text in "[ab/]{0,6}") {
            let (outer, inner) = (pattern(&outer), pattern(&inner));
            for case in [Case::Kept, Case::Ignored] {
                prop_assert!(!outer.covers(&inner, case) || !inner.matches(&text, case) || outer.matches(&text, case));
            }
            prop_assert!(!(outer.is_apart_from(&inner) && outer.matches(&text, Case::Ignored) && inner.matches(&text, Case::Ignored)));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}", name in ".{0,20}") {
            if let Ok(pattern) = text.parse::<Pattern>() {
                let _ = (pattern.matches(&name, Case::Kept), pattern.matches(&name, Case::Ignored));
            }
        }
    }
}
