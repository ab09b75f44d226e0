//! Repositories, how their environments are deployed, and the names of both.

pub mod branch;
pub mod environment;
pub mod name;
pub mod service;
pub mod standing;
pub(crate) mod store;
pub mod template;

pub use branch::{Branch, Revision};
pub use environment::{Environment, EnvironmentName, JobName, Trigger};
pub use name::{ProjectSlug, RepoName, Vcs};
pub use service::{EnvironmentChange, NewRepo, Repo, Repos};
pub use template::Template;
