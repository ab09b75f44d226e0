//! The fake Discord's own test: a real serenity client and plain HTTP requests find it behaving, and refusing, as Discord
//! does. It must not know of any bot's code.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../support/discord/mod.rs"]
mod discord;

mod bot;
mod client;
mod gateway;
mod refusals;
mod rest;
