//! Patterns for repositories, branches and environments. Knows nothing of rules.

use std::fmt;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

use crate::invalid::Invalid;

/// The longest pattern in characters.
const CHARS_MAX: usize = 200;

/// A glob: `*` is any text (slashes too), `?` one character, `[ab]` one of those, `{a,b}` either. Case is ignored, as the
/// hosts of repositories ignore it: a rule must not be passed by another spelling.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    Any,
    Literal(String),
    Glob(Box<GlobMatcher>),
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
    pub fn matches(&self, text: &str) -> bool {
        match &self.matcher {
            Matcher::Any => true,
            Matcher::Literal(literal) => literal.eq_ignore_ascii_case(text),
            Matcher::Glob(glob) => glob.is_match(text),
        }
    }

    /// Whether everything that `inner` matches is surely matched by this one too. Errs on the side of `false`.
    pub fn covers(&self, inner: &Pattern) -> bool {
        match (&self.matcher, &inner.matcher) {
            (Matcher::Any, _) => true,
            (_, Matcher::Literal(literal)) => self.matches(literal),
            _ => self.text.eq_ignore_ascii_case(&inner.text),
        }
    }

    /// Whether some text surely can't match both. Errs on the side of `false`.
    pub fn is_apart_from(&self, other: &Pattern) -> bool {
        match (&self.matcher, &other.matcher) {
            (Matcher::Literal(literal), _) => !other.matches(literal),
            (_, Matcher::Literal(literal)) => !self.matches(literal),
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
            let glob = GlobBuilder::new(text)
                .case_insensitive(true)
                .literal_separator(false)
                .backslash_escape(true)
                .build()
                .map_err(|error| invalid(format!("The pattern is not a glob: {}.", error.kind())))?;
            Matcher::Glob(Box::new(glob.compile_matcher()))
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
    fn globs_match_whole_names_across_slashes_and_case() {
        assert!(pattern("acme/*").matches("acme/web") && pattern("acme/*").matches("ACME/Web"));
        assert!(pattern("release/*").matches("release/1/2") && !pattern("release/*").matches("release"));
        assert!(pattern("*").matches("") && pattern("acme/{web,api}").matches("acme/api"));
        assert!(!pattern("acme/web").matches("acme/web2"));
    }

    #[test]
    fn a_bad_glob_is_refused_when_it_is_written() {
        for bad in ["", "[", "{a", "a\nb", "[z-a]"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_wider_pattern_covers_a_narrower_one_and_never_the_other_way() {
        assert!(pattern("*").covers(&pattern("acme/*")) && pattern("acme/*").covers(&pattern("acme/web")));
        assert!(!pattern("acme/web").covers(&pattern("acme/*")) && !pattern("acme/*").covers(&pattern("*")));
    }

    proptest! {
        #[test]
        fn covering_is_sound(outer in "[ab*?/]{1,5}", inner in "[ab*?/]{1,5}", text in "[ab/]{0,6}") {
            let (outer, inner) = (pattern(&outer), pattern(&inner));
            prop_assert!(!outer.covers(&inner) || !inner.matches(&text) || outer.matches(&text));
            prop_assert!(!(outer.is_apart_from(&inner) && outer.matches(&text) && inner.matches(&text)));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}", name in ".{0,20}") {
            if let Ok(pattern) = text.parse::<Pattern>() {
                let _ = pattern.matches(&name);
            }
        }
    }
}
