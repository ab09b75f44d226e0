//! Policy as code: a guild's repositories, environments and rules as one document under version control.

pub mod document;
mod entries;
pub mod plan;
pub mod service;

pub use document::Document;
pub use service::Policies;
