//! The guilds that Slipway has met, and the numbers counted in each.

pub mod store;

pub use store::any_other;
