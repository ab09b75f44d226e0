//! The guilds that Slipway has met, the numbers counted in each, and what each has set for itself.

pub mod setting;
pub mod settings;
pub mod store;

pub use setting::{GuildSettings, Setting};
pub use settings::Settings;
pub use store::any_other;
