//! What Discord's close codes mean for us, and the words for those that mean "never again".
//! Source: topics/opcodes-and-status-codes, gateway close event codes.

use std::io;

/// Why the gateway can never be connected as things stand. The text tells the operator what to do.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    #[error(
        "Discord refused the bot token (gateway close code 4004). Set DISCORD_TOKEN to the token from \
         https://discord.com/developers/applications, your application, Bot; a token that was reset \
         there stops working at once."
    )]
    TokenRefused,
    #[error(
        "Discord refused the shard that Slipway named (gateway close code 4010). Slipway always connects \
         as shard 0 of 1: check that DISCORD_API_URL leads to Discord or to a server that takes that, \
         and update Slipway."
    )]
    ShardRefused,
    #[error(
        "This bot is in too many servers for one gateway connection: Discord requires sharding (gateway \
         close code 4011), which Slipway does not do. Remove the bot from servers that do not deploy \
         with it, or run a second application with its own DISCORD_TOKEN for some of them."
    )]
    ShardingRequired,
    #[error(
        "Discord no longer takes version 10 of its gateway (gateway close code 4012). Update Slipway to a \
         release that speaks a newer version."
    )]
    VersionRefused,
    #[error(
        "Discord did not understand the gateway intents (gateway close code 4013), although Slipway asks \
         for none. Check that DISCORD_API_URL leads to Discord, and update Slipway."
    )]
    IntentsInvalid,
    #[error(
        "Discord does not allow this bot the gateway intents (gateway close code 4014), although Slipway \
         asks for none. Look at Bot, Privileged Gateway Intents of your application at \
         https://discord.com/developers/applications, and update Slipway."
    )]
    IntentsRefused,
    #[error(
        "The gateway address that Discord's API gave is not a WebSocket address: {url:?}. It should look \
         like wss://gateway.discord.gg; check DISCORD_API_URL."
    )]
    Address { url: String },
    #[error("Slipway could not open a port on 127.0.0.1 for its gateway relay: {0}. Check the limits of this process.")]
    Loopback(#[source] io::Error),
    #[error("Slipway could not start the thread of its gateway client: {0}. Check the limits of this process.")]
    Thread(#[source] io::Error),
}

/// What to do after Discord closed the connection.
#[derive(Debug)]
pub enum Meaning {
    /// The session lives: connect again and resume it.
    Resume,
    /// The session is gone: connect again and identify.
    Identify,
    /// Never connect again.
    Never(Fatal),
}

impl Meaning {
    /// `None` is a connection that ended without a close code.
    pub fn of(code: Option<u16>) -> Self {
        match code {
            // Not authenticated, invalid sequence, session timed out.
            Some(4003 | 4007 | 4009) => Self::Identify,
            Some(4004) => Self::Never(Fatal::TokenRefused),
            Some(4010) => Self::Never(Fatal::ShardRefused),
            Some(4011) => Self::Never(Fatal::ShardingRequired),
            Some(4012) => Self::Never(Fatal::VersionRefused),
            Some(4013) => Self::Never(Fatal::IntentsInvalid),
            Some(4014) => Self::Never(Fatal::IntentsRefused),
            _ => Self::Resume,
        }
    }
}
