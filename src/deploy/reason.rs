//! Why somebody deploys, in their own words.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;

/// The longest reason in characters: what fits a card beside everything else.
pub const REASON_CHARS_MAX: usize = 500;

/// A reason: any text of some length without control characters. It is hostile wherever it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        let invalid = |why: String| Err(Invalid::new("reason", why, "fixes the login page"));
        let length = text.chars().count();
        if length == 0 {
            return invalid("A reason can't be empty.".to_owned());
        }
        if length > REASON_CHARS_MAX {
            return invalid(format!("A reason has at most {REASON_CHARS_MAX} characters; this one has {length}."));
        }
        if text.contains(|c: char| c.is_control() && c != '\n') {
            return invalid("A reason can't hold control characters.".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
