//! Who acts: a person on Discord, an operator at the command line, or Slipway itself. Knows nothing of what they may do.

use std::fmt;

use crate::id::{ChannelId, GuildId, RoleId, UserId};

/// Who did something, as the database and the audit log keep it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ActorId {
    /// A person on Discord.
    User(UserId),
    /// The operating system's user at the command line or the console.
    Cli(String),
    /// Slipway itself.
    Slipway,
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ActorId::User(id) => id.fmt(f),
            ActorId::Cli(user) => write!(f, "cli:{user}"),
            ActorId::Slipway => f.write_str("slipway"),
        }
    }
}

impl From<&str> for ActorId {
    /// Reads what `Display` wrote; anything else is somebody at the command line.
    fn from(text: &str) -> Self {
        match text.parse() {
            Ok(id) => ActorId::User(id),
            Err(_) if text == "slipway" => ActorId::Slipway,
            Err(_) => ActorId::Cli(text.strip_prefix("cli:").unwrap_or(text).to_owned()),
        }
    }
}

/// Who asks for something, in one guild, at this moment.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Who it is.
    pub id: ActorId,
    /// What they are called now. Names decide nothing.
    pub name: String,
    /// The roles that Discord says they hold now.
    pub roles: Vec<RoleId>,
}

impl Actor {
    /// An operator at the command line.
    pub fn cli(user: &str) -> Self {
        Self { id: ActorId::Cli(user.to_owned()), name: format!("cli:{user}"), roles: Vec::new() }
    }

    /// Slipway itself.
    pub fn slipway() -> Self {
        Self { id: ActorId::Slipway, name: "Slipway".to_owned(), roles: Vec::new() }
    }

    /// Whether they hold `role` in `guild`; everyone holds the role whose id is the guild's.
    pub fn holds(&self, role: RoleId, guild: GuildId) -> bool {
        role.row() == guild.row() || self.roles.contains(&role)
    }
}

/// Who asks, and where.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The guild; everything that is asked is about it alone.
    pub guild: GuildId,
    /// The channel, where there is one.
    pub channel: Option<ChannelId>,
    /// Who asks.
    pub actor: Actor,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_reads_back_as_it_was_written() {
        for actor in
            [ActorId::User(UserId::from_row(175_928_847_299_117_063)), ActorId::Cli("root".into()), ActorId::Slipway]
        {
            assert_eq!(ActorId::from(actor.to_string().as_str()), actor);
        }
    }
}
