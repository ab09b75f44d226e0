//! The HTTP server: what it refuses, what it limits, what it tells, and the webhooks that it hands over.
#![allow(clippy::unwrap_used, reason = "a test that unwraps in vain fails, as it should")]

#[path = "../support/mod.rs"]
mod support;

mod health;
mod limits;
mod scraped;
mod server;
mod webhooks;
