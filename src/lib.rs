//! Slipway: deploys from Discord through CircleCI, with permissions and a tamper-evident record.
//!
//! A request flows one way: `discord` or `console` decodes it, [`app`] takes it, a [`command`] says what to do, a feature's
//! service does it with its store and [`circleci`], and the [`reply`] is rendered by whoever asked.

pub mod access;
pub mod acknowledgements;
pub mod actor;
pub mod app;
pub mod audit;
pub mod changes;
pub mod circleci;
pub mod cli;
pub mod command;
pub mod complete;
pub mod config;
pub mod console;
pub mod db;
pub mod deploy;
pub mod discord;
pub mod guild;
pub mod health;
pub mod http;
pub mod id;
pub mod invalid;
pub mod logging;
pub mod metrics;
mod near;
pub mod notice;
pub mod permission;
pub mod policy;
pub mod refusal;
pub mod reply;
pub mod repo;
pub mod stats;
pub mod text;
pub mod time;
mod vocabulary;
mod whole_file;
pub mod words;
