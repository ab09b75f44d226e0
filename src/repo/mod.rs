//! Repositories, how their environments are deployed, and the names of both.

pub mod branch;
pub mod declared;
pub mod environment;
pub mod environments;
pub mod name;
pub mod service;
pub mod standing;
pub(crate) mod store;
pub mod template;

pub use branch::{Branch, Revision};
pub use declared::Declared;
pub use environment::{Environment, EnvironmentName, JobName, Trigger};
pub use environments::EnvironmentChange;
pub use name::{ProjectSlug, RepoName, Vcs};
pub use service::{NewRepo, Repo, RepoChange, Repos};
pub use template::Template;
