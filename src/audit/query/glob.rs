//! Patterns of query terms: `*` stands for any signs, `?` for one; a backslash takes the meaning from either, from a comma
//! and from itself. Letters A to Z match in either case. Knows nothing of terms and columns.

use std::fmt;

/// A pattern, in lower case, with no two `*` in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<Sign>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Char(char),
    One,
    Many,
}

impl Glob {
    /// Reads a pattern. Any text is one.
    pub fn new(text: &str) -> Self {
        let mut signs = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\\' => {
                    let literal = chars.next_if(|next| "*?,\\".contains(*next));
                    signs.push(Sign::Char(literal.unwrap_or('\\')));
                }
                '*' if signs.last() == Some(&Sign::Many) => {}
                '*' => signs.push(Sign::Many),
                '?' => signs.push(Sign::One),
                c => signs.push(Sign::Char(c.to_ascii_lowercase())),
            }
        }
        Self(signs)
    }

    /// Splits a list at its commas, save those behind a backslash.
    pub fn split_list(text: &str) -> Vec<&str> {
        let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
        for (index, c) in text.char_indices() {
            if c == ',' && !escaped {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            escaped = c == '\\' && !escaped;
        }
        parts.push(&text[start..]);
        parts
    }

    /// How many `*` it has.
    pub fn stars(&self) -> usize {
        self.0.iter().filter(|sign| **sign == Sign::Many).count()
    }

    /// The text that it stands for, when it stands for one only.
    pub fn literal(&self) -> Option<String> {
        let only = |sign: &Sign| match sign {
            Sign::Char(c) => Some(*c),
            Sign::One | Sign::Many => None,
        };
        self.0.iter().map(only).collect()
    }

    /// What every text that fits begins with.
    pub fn prefix(&self) -> String {
        let char = |sign: &Sign| match sign {
            Sign::Char(c) => Some(*c),
            Sign::One | Sign::Many => None,
        };
        self.0.iter().map_while(char).collect()
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        fits(&self.0, text)
    }

    /// Whether some part of `text` fits.
    pub fn matches_within(&self, text: &str) -> bool {
        let within: Vec<Sign> = [&[Sign::Many], self.0.as_slice(), &[Sign::Many]].concat();
        fits(&within, text)
    }

    /// The pattern as SQL's LIKE takes it, with `\` as its ESCAPE.
    pub fn like(&self) -> String {
        let mut like = String::new();
        for sign in &self.0 {
            match sign {
                Sign::Many => like.push('%'),
                Sign::One => like.push('_'),
                Sign::Char(c) => {
                    if matches!(c, '%' | '_' | '\\') {
                        like.push('\\');
                    }
                    like.push(*c);
                }
            }
        }
        like
    }
}

impl fmt::Display for Glob {
    /// As [`Glob::new`] reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for sign in &self.0 {
            match sign {
                Sign::Many => f.write_char('*')?,
                Sign::One => f.write_char('?')?,
                Sign::Char(c) => {
                    if matches!(c, '*' | '?' | '\\') {
                        f.write_char('\\')?;
                    }
                    f.write_char(*c)?;
                }
            }
        }
        Ok(())
    }
}

/// Goes back to the last `*` only, which is enough: time grows with the product of the two lengths at worst.
fn fits(pattern: &[Sign], text: &str) -> bool {
    let text: Vec<char> = text.chars().map(|c| c.to_ascii_lowercase()).collect();
    let (mut at, mut sign) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(sign) {
            Some(Sign::Many) => {
                last_star = Some((sign, at));
                sign += 1;
            }
            Some(Sign::One) => (at, sign) = (at + 1, sign + 1),
            Some(Sign::Char(c)) if *c == text[at] => (at, sign) = (at + 1, sign + 1),
            _ => match last_star {
                Some((star, from)) => {
                    last_star = Some((star, from + 1));
                    (at, sign) = (from + 1, star + 1);
                }
                None => return false,
            },
        }
    }
    pattern[sign..].iter().all(|sign| *sign == Sign::Many)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_signs() {
        for (glob, text, fits) in [
            ("acme/*", "acme/web", true),
            ("acme/*", "ACME/", true),
            ("*web*", "acme/web", true),
            ("acme/w?b", "acme/web", true),
            ("acme/w?b", "acme/wb", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            (r"\*", "*", true),
            (r"\*", "x", false),
            (r"a\b", r"a\b", true),
            ("", "", true),
            ("", "x", false),
            ("?", "é", true),
        ] {
            assert_eq!(Glob::new(glob).matches(text), fits, "{glob} {text}");
        }
        assert_eq!(Glob::new(r"50%_*\?\*").like(), r"50\%\_%?*");
        assert_eq!(Glob::split_list(r"a,b\,c,d\\,"), ["a", r"b\,c", r"d\\", ""]);
    }

    #[test]
    fn a_glob_full_of_stars_is_quick() {
        let glob = Glob::new(&"*a".repeat(500));
        assert!(!glob.matches(&"ab".repeat(499)));
    }

    proptest! {
        #[test]
        fn a_glob_reads_back_as_it_was_written(text in r"[a-cA-C*?\\,%_é]{0,10}") {
            let glob = Glob::new(&text);
            prop_assert_eq!(Glob::new(&glob.to_string()), glob);
        }

        #[test]
        fn what_it_stands_for_fits(text in r"[a-c*?\\,%_é]{0,10}") {
            if let Some(literal) = Glob::new(&text).literal() {
                prop_assert!(Glob::new(&text).matches(&literal));
            }
        }
    }
}
