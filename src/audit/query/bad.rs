//! What is wrong with a query, where in its line, and what could stand there. Pure: it knows nothing of how a query is read.

use std::ops::Range;

use crate::near::near;

/// How much of a query is shown before and after what is wrong in it, in characters.
const AROUND_MAX: usize = 30;

/// What is wrong with a query. Its text doesn't repeat the term: whoever shows it quotes that in a way that is safe there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}{}{}", .possible.as_ref().map(|list| format!(" Possible: {list}.")).unwrap_or_default(),
    .example.map(|example| format!(" Example: {example}")).unwrap_or_default())]
pub struct BadQuery {
    /// The term at fault, as typed, without its quotes; `None` when it is the query as a whole.
    pub term: Option<String>,
    /// Where it stands in the line, in bytes, quotes included.
    pub span: Option<Range<usize>>,
    /// What is wrong: whole sentences.
    pub why: String,
    /// What could stand there instead.
    pub possible: Option<String>,
    /// A term that would do.
    pub example: Option<&'static str>,
}

impl BadQuery {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self { term: None, span: None, why: why.into(), possible: None, example: None }
    }

    /// A word that is none of those that are possible, with the one that was probably meant.
    pub(super) fn unknown(why: &str, typed: &str, possible: &[&str]) -> Self {
        let bad = match near(typed, possible.iter().copied()).first() {
            Some(word) => Self::new(format!("{why} Did you mean `{word}`?")),
            None => Self::new(why),
        };
        bad.possible(possible.iter().copied())
    }

    /// The same with its example set off in backticks.
    pub fn sentence(&self) -> String {
        let example = self.example.map(|example| format!(" Example: `{example}`.")).unwrap_or_default();
        format!("{}{example}", Self { example: None, ..self.clone() })
    }

    pub(super) fn possible(self, words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        Self { possible: Some(words.join(", ")), ..self }
    }

    pub(super) fn example(self, example: &'static str) -> Self {
        Self { example: Some(example), ..self }
    }

    /// The part of `line`, the query as typed, that is wrong, with what stands around it, and under it a line that points at it;
    /// nothing when it is the query as a whole. Whatever takes no column of its own, or two, is shown as a `?`.
    pub fn pointer(&self, line: &str) -> Option<(String, String)> {
        let span = self.span.clone()?;
        let (before, wrong, after) = (line.get(..span.start)?, line.get(span.clone())?, line.get(span.end..)?);
        let plain =
            |c: char| if c.is_ascii_graphic() || c == ' ' || (c.is_alphanumeric() && c < '\u{300}') { c } else { '?' };
        let mut shown: String =
            before.chars().rev().take(AROUND_MAX).map(plain).collect::<Vec<_>>().iter().rev().collect();
        if before.chars().count() > AROUND_MAX {
            shown.insert(0, '…');
        }
        let indent = shown.chars().count();
        shown.extend(wrong.chars().take(2 * AROUND_MAX).map(plain));
        let marks = shown.chars().count() - indent;
        if wrong.chars().count() <= 2 * AROUND_MAX {
            shown.extend(after.chars().take(AROUND_MAX).map(plain));
        }
        Some((shown.trim_end().to_owned(), format!("{}{}", " ".repeat(indent), "^".repeat(marks.max(1)))))
    }
}
