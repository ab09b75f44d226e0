//! Where a database is, as a setting says it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::invalid::Invalid;

/// Where the database is: `sqlite://` and a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl(PathBuf);

impl DatabaseUrl {
    /// The database file.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for DatabaseUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &'static str| Err(Invalid::new("database", why, "sqlite://slipway.db"));
        let Some(path) = text.strip_prefix("sqlite://") else {
            return invalid(
                "The database is `sqlite://` and the path of a file; other databases are not supported yet.",
            );
        };
        if path.is_empty() || path.contains(['?', '#', '%', '\0']) || path == ":memory:" {
            return invalid("The database's path must name a file and hold none of `?`, `#` and `%`.");
        }
        Ok(Self(path.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_sqlite_are_databases() {
        for bad in [
            "",
            "slipway.db",
            "postgres://x",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite://a?mode=ro",
        ] {
            assert!(bad.parse::<DatabaseUrl>().is_err(), "{bad}");
        }
    }
}
