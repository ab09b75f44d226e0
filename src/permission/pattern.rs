//! Patterns for repositories, branches and environments. Knows nothing of rules.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use globset::{Glob, GlobBuilder, GlobMatcher};

use super::containment;
use crate::invalid::Invalid;

/// What makes a glob of a text.
const SPECIAL: [char; 8] = ['*', '?', '[', ']', '{', '}', '\\', '!'];
/// The longest pattern in characters: a repository's name alone can have 201.
const CHARS_MAX: usize = 250;

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
    /// This text and whatever follows: `acme/*`.
    Begins(String),
    /// Compiled when first asked: of the many rules of a guild a decision looks at few.
    Glob(Box<Globs>),
}

/// A glob in both cases.
#[derive(Debug, Clone)]
struct Globs {
    exact: Lazy,
    loose: Lazy,
}

/// A glob, and how it matches once that was asked.
#[derive(Debug, Clone)]
struct Lazy {
    glob: Glob,
    compiled: OnceLock<GlobMatcher>,
}

impl Lazy {
    fn new(glob: Glob) -> Self {
        Self { glob, compiled: OnceLock::new() }
    }

    fn is_match(&self, text: &str) -> bool {
        self.compiled.get_or_init(|| self.glob.compile_matcher()).is_match(text)
    }
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
            (Matcher::Begins(beginning), Case::Kept) => text.starts_with(beginning),
            (Matcher::Begins(beginning), Case::Ignored) => begins_loosely(text, beginning),
            (Matcher::Glob(globs), Case::Kept) => globs.exact.is_match(text),
            (Matcher::Glob(globs), Case::Ignored) => globs.loose.is_match(text),
        }
    }

    /// Whether everything that `inner` matches is matched by this one too. Where that can't be said within reason, or this is
    /// everything under another name, it is `false`.
    pub fn covers(&self, inner: &Pattern, case: Case) -> bool {
        match (&self.matcher, &inner.matcher) {
            (Matcher::Any, _) => true,
            // A decision asks this of many rules. What is written otherwise and matches everything all the same isn't recognized.
            (_, Matcher::Any) => false,
            (_, Matcher::Literal(literal)) => self.matches(literal, case),
            (Matcher::Begins(outer), Matcher::Begins(inner)) => match case {
                Case::Kept => inner.starts_with(outer),
                Case::Ignored => begins_loosely(inner, outer),
            },
            _ if self.text == inner.text => true,
            _ => containment::is_inside(&inner.expression(case), &self.expression(case)).unwrap_or(false),
        }
    }

    /// Whether no text matches both, capitals or not. Where that can't be said within reason it is `false`.
    pub fn is_apart_from(&self, other: &Pattern) -> bool {
        match (&self.matcher, &other.matcher) {
            (Matcher::Any, _) | (_, Matcher::Any) => false,
            (Matcher::Literal(literal), _) => !other.matches(literal, Case::Ignored),
            (_, Matcher::Literal(literal)) => !self.matches(literal, Case::Ignored),
            _ => {
                let [one, another] = [self, other].map(|pattern| pattern.expression(Case::Ignored));
                !containment::overlap(&one, &another).unwrap_or(true)
            }
        }
    }

    /// The regular expression that it is.
    fn expression(&self, case: Case) -> String {
        match (&self.matcher, case) {
            (Matcher::Glob(globs), Case::Kept) => globs.exact.glob.regex().to_owned(),
            (Matcher::Glob(globs), Case::Ignored) => globs.loose.glob.regex().to_owned(),
            // These were globs too.
            _ => glob(&self.text, case).map(|glob| glob.regex().to_owned()).unwrap_or_else(|_| NOTHING.to_owned()),
        }
    }
}

/// A regular expression that nothing matches.
const NOTHING: &str = "[a&&b]";

fn begins_loosely(text: &str, beginning: &str) -> bool {
    text.as_bytes().get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()))
}

fn glob(text: &str, case: Case) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text)
        .case_insensitive(case == Case::Ignored)
        .literal_separator(false)
        .backslash_escape(true)
        .build()
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
        } else if !text.contains(SPECIAL) {
            Matcher::Literal(text.to_owned())
        } else if let Some(beginning) = text.strip_suffix('*').filter(|rest| !rest.contains(SPECIAL)) {
            Matcher::Begins(beginning.to_owned())
        } else {
            let compile = |case| {
                let unusable = |error: globset::Error| invalid(format!("The pattern is not a glob: {}.", error.kind()));
                glob(text, case).map(Lazy::new).map_err(unusable)
            };
            Matcher::Glob(Box::new(Globs { exact: compile(Case::Kept)?, loose: compile(Case::Ignored)? }))
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
        for (outer, inner) in [
            ("*", "acme/*"),
            ("acme/*", "acme/web"),
            ("acme/*", "acme/web-*"),
            ("acme/{web,api}", "acme/{api,web}"),
            ("acme/[a-z]*", "acme/w?b"),
            ("release/**", "release/*/hotfix"),
            ("?*", "*?"),
        ] {
            assert!(covers(outer, inner), "{outer} {inner}");
        }
        for (outer, inner) in [
            ("acme/web", "acme/*"),
            ("acme/*", "*"),
            ("acme/*", "acme*"),
            ("acme/{web,api}", "acme/{web,api,db}"),
            ("acme/w?b", "acme/w*b"),
            ("acme/*", "Acme/*"),
        ] {
            assert!(!covers(outer, inner), "{outer} {inner}");
        }
        assert!(pattern("acme/*").covers(&pattern("ACME/w*"), Case::Ignored));
    }

    #[test]
    fn patterns_without_a_text_in_common_are_apart() {
        let apart = |one: &str, other: &str| pattern(one).is_apart_from(&pattern(other));
        assert!(apart("acme/*", "globex/*") && apart("*-prod", "*-staging") && apart("acme/web", "acme/w"));
        assert!(!apart("acme/*", "*/web") && !apart("*", "acme/web") && !apart("main", "MAIN") && !apart("a*", "A*b"));
    }

    /// Every text of a few letters, up to a length at which patterns of three characters show all that they are.
    fn short_texts() -> Vec<String> {
        let mut texts = vec![String::new()];
        let mut from = 0;
        for _ in 0..6 {
            let longer: Vec<String> =
                texts[from..].iter().flat_map(|text| ["a", "b", "/"].map(|letter| format!("{text}{letter}"))).collect();
            from = texts.len();
            texts.extend(longer);
        }
        texts
    }

    proptest! {
        #[test]
        fn covering_is_what_it_says(outer in "[ab*?/]{1,3}", inner in "[ab*?/]{1,3}") {
            let (outer, inner) = (pattern(&outer), pattern(&inner));
            let texts = short_texts();
            let in_both = texts.iter().any(|text| outer.matches(text, Case::Ignored) && inner.matches(text, Case::Ignored));
            prop_assert_eq!(outer.is_apart_from(&inner), !in_both);
            let outside = |text: &String| inner.matches(text, Case::Kept) && !outer.matches(text, Case::Kept);
            let is_any = inner.as_str().chars().all(|c| c == '*');
            // Letters that no pattern here names are texts of `*`, too.
            if !is_any {
                prop_assert_eq!(outer.covers(&inner, Case::Kept), !texts.iter().any(outside), "{} {}", outer, inner);
            }
        }

        #[test]
        fn covering_is_sound(outer in "[ab*?/{},\\[\\]!-]{1,8}", inner in "[ab*?/{},\\[\\]!-]{1,8}", text in "[abAB/,-]{0,8}") {
            let (Ok(outer), Ok(inner)) = (outer.parse::<Pattern>(), inner.parse::<Pattern>()) else { return Ok(()) };
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
