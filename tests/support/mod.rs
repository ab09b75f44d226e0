//! The stage for tests: the real bot between a fake Discord and a fake CircleCI, and people who use it.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    reason = "each test uses a part of the stage, and one that unwraps in vain fails"
)]

pub mod circleci;
pub mod database;
pub mod discord;
pub mod stage;
mod tidy;

pub use stage::{Person, Stage};
