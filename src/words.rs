//! Splits a line into words: at spaces, save inside double quotes. The one set of quoting rules for the console's lines,
//! for `parameters:` and for audit queries.

use std::ops::Range;

use winnow::combinator::{alt, delimited, preceded, repeat, terminated};
use winnow::error::ContextError;
use winnow::prelude::*;
use winnow::stream::LocatingSlice;
use winnow::token::{any, none_of, take_till, take_while};

/// One word of a line, its quotes taken off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// What it says.
    pub text: String,
    /// How many bytes of it stand before its first quote; all of them when it has none.
    pub bare: usize,
    /// Whether some of it was quoted: then it is text, whatever it looks like.
    pub quoted: bool,
    /// Where it stands in its line, quotes included, in bytes.
    pub span: Range<usize>,
}

/// A quote that is opened and never closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "A quote (\") is opened after “{after}” and never closed. Close it, or write \\\" inside quotes for the sign itself."
)]
pub struct UnclosedQuote {
    /// What stands before the quote.
    pub after: String,
    /// Where the word stands that the quote is in, to the line's end, in bytes.
    pub span: Range<usize>,
}

/// Splits `line` into words. `\"` and `\\` inside quotes stand for the signs themselves; a backslash elsewhere is a
/// backslash, and an apostrophe is an apostrophe.
pub fn split(line: &str) -> Result<Vec<Word>, UnclosedQuote> {
    preceded(spaces, repeat(0.., terminated(word, spaces))).parse(Line::new(line)).map_err(|error| {
        let before = line[..error.offset()].trim_end_matches('"').trim_end();
        let space = before.char_indices().rfind(|(_, c)| c.is_whitespace());
        let word = space.map_or(0, |(at, space)| at + space.len_utf8());
        UnclosedQuote { after: before.trim_start().to_owned(), span: word..line.len() }
    })
}

/// Writes `text` so that [`split`] reads it as one word.
pub fn quote(text: &str) -> String {
    let bare = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"');
    if bare { text.to_owned() } else { format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")) }
}

type Line<'a> = LocatingSlice<&'a str>;

fn spaces<'a>(input: &mut Line<'a>) -> Result<&'a str, ContextError> {
    take_while(0.., char::is_whitespace).parse_next(input)
}

fn word(input: &mut Line<'_>) -> Result<Word, ContextError> {
    let (parts, span): (Vec<(String, bool)>, _) = repeat(1.., alt((quoted, bare))).with_span().parse_next(input)?;
    Ok(Word {
        span,
        bare: parts.iter().take_while(|(_, quoted)| !quoted).map(|(text, _)| text.len()).sum(),
        quoted: parts.iter().any(|(_, quoted)| *quoted),
        text: parts.into_iter().map(|(text, _)| text).collect(),
    })
}

fn bare(input: &mut Line<'_>) -> Result<(String, bool), ContextError> {
    take_till(1.., |c: char| c.is_whitespace() || c == '"').map(|text: &str| (text.to_owned(), false)).parse_next(input)
}

fn quoted(input: &mut Line<'_>) -> Result<(String, bool), ContextError> {
    let sign = alt((preceded('\\', any.verify(|c| matches!(c, '"' | '\\'))), none_of('"')));
    delimited('"', repeat(0.., sign), '"').map(|text: String| (text, true)).parse_next(input)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(line).unwrap().into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn spaces_split_and_quotes_hold_together() {
        assert_eq!(
            texts(r#" /deploy acme/web  main reason:"a \"big\" day" "#),
            ["/deploy", "acme/web", "main", r#"reason:a "big" day"#]
        );
        assert_eq!(texts(r"don't C:\x"), ["don't", r"C:\x"]);
        assert_eq!(texts(r#"A="" B"#), ["A=", "B"]);
        assert_eq!(texts("  "), [""; 0]);
        assert_eq!(texts("a\u{a0}b"), ["a", "b"]);
        let bare = |line: &str| split(line).unwrap()[0].bare;
        assert_eq!((bare(r#"A="1"2"#), bare(r#""A=1""#), bare("A=1")), (2, 0, 3));
        assert!(split(r#"A="1""#).unwrap()[0].quoted && !split("A=1").unwrap()[0].quoted);
        let line = r#" é  a:"b c"d  e"#;
        let spans: Vec<&str> = split(line).unwrap().into_iter().map(|word| &line[word.span]).collect();
        assert_eq!(spans, ["é", r#"a:"b c"d"#, "e"]);
    }

    #[test]
    fn a_quote_never_closed_is_pointed_at() {
        let line = "a\u{a0} b reason:\"x y";
        let unclosed = split(line).unwrap_err();
        assert_eq!((unclosed.after.as_str(), &line[unclosed.span]), ("a\u{a0} b reason:", "reason:\"x y"));
    }

    proptest! {
        #[test]
        fn quoting_and_splitting_are_inverse(words in prop::collection::vec(".{0,12}", 0..6)) {
            let line = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(texts(&line), words);
        }

        #[test]
        fn no_line_panics(line in ".{0,60}") {
            let _ = split(&line);
        }
    }
}
