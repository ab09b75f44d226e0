//! The audit log: entries that are only ever appended, a chain for each guild that shows every change, and the questions
//! one can ask. Only its service knows who may ask.
//!
//! Whoever acts writes `append(&mut tx, &entry)` in the same transaction as the act itself, so that neither is there
//! without the other. `docs/audit.md` specifies the bytes, the columns and the query language.

pub mod archive;
mod block;
pub mod card;
pub mod chain;
pub mod delivery;
pub mod entry;
pub mod export;
pub mod proof;
pub mod query;
pub mod redact;
pub mod saved;
pub mod search;
pub mod service;
mod sight;
pub mod store;
pub mod verify;

pub use chain::{Head, Row};
pub use entry::{Action, Entry, Outcome};
pub use proof::{Broken, Fault, Records, Verifier};
pub use query::{AsOf, BadQuery, Query, Saved};
pub use search::{Newest, Question};
pub use service::Audit;
pub use store::{append, append_after};
pub use verify::{Checked, verify};
