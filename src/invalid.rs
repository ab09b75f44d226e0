//! What is said of a value that a person typed and that cannot be used. Knows nothing of where the value came from.

use std::borrow::Cow;

/// A value that was refused at the edge: what it should have been, why it isn't, and one that would do.
///
/// Its text never repeats the value itself: whoever shows it quotes the value in a way that is safe there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why} Example: {example}")]
pub struct Invalid {
    /// What was expected, as a noun: `branch`, `repository`.
    pub what: &'static str,
    /// Why the value is refused: one sentence.
    pub why: Cow<'static, str>,
    /// A value that would be accepted.
    pub example: &'static str,
}

impl Invalid {
    /// Refuses a `what` because of `why`; `example` is one that would be accepted.
    pub fn new(what: &'static str, why: impl Into<Cow<'static, str>>, example: &'static str) -> Self {
        Self { what, why: why.into(), example }
    }
}
