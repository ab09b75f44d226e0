//! The audit log: entries that are only ever appended, a chain for each guild that shows every change, and the questions
//! one can ask. Knows nothing of who may ask and of how answers are shown.
//!
//! Whoever acts writes `append(&mut tx, &entry)` in the same transaction as the act itself, so that neither is there
//! without the other. `docs/audit.md` specifies the bytes, the columns and the query language.

pub mod chain;
pub mod entry;
pub mod query;
pub mod search;
pub mod store;
pub mod verify;

pub use chain::{Broken, Fault, Head, Row};
pub use entry::{Action, Entry, Outcome};
pub use query::{BadQuery, Query};
pub use search::Newest;
pub use store::{append, append_after, page};
pub use verify::{Checked, verify};
