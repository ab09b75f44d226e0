//! Who may do what: rules, the decision that they make, and the service that changes them.

mod containment;
pub mod decision;
pub mod pattern;
pub mod rule;
pub mod service;
pub(crate) mod store;

pub use decision::{Ask, Because, Branches, Decision, Held, decide};
pub use pattern::{Case, Pattern};
pub use rule::{Action, Effect, Rule, Scope, Subject};
pub use service::{Holdings, Permissions};
