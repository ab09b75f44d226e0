//! Access that is asked for: requests, how each is decided, its card, and what keeps them.

pub mod card;
pub mod request;
mod service;
mod store;

pub use request::{AccessRequest, Decision, State, Wish};
pub use service::{Plan, Recorded, Requests};
