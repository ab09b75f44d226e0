//! The ids that tell guilds, people, roles, channels, interactions and deploys apart, each a type of its own, so that
//! none can stand for another. Knows nothing of how Discord or the database writes them.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;

macro_rules! snowflake {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(i64);

        impl $name {
            /// The id with this number; `None` for one that Discord could not have made (a snowflake is below 2^63).
            pub fn new(number: u64) -> Option<Self> {
                i64::try_from(number).ok().map(Self)
            }

            /// The id read back from the database.
            pub const fn from_row(number: i64) -> Self {
                Self(number)
            }

            /// The number, as the database keeps it.
            pub fn row(self) -> i64 {
                self.0
            }

            /// The number, as Discord writes it.
            pub fn get(self) -> u64 {
                self.0.unsigned_abs()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                text.parse()
                    .ok()
                    .filter(|number| *number > 0)
                    .and_then(Self::new)
                    .ok_or_else(|| Invalid::new($what, "An id is a number.", "175928847299117063"))
            }
        }
    )*};
}

snowflake! {
    /// A Discord server. Guild `0` is the process itself (start, stop, acts that concern no guild).
    GuildId, "guild id";
    /// A person on Discord.
    UserId, "user id";
    /// A role of a guild. The role whose id is the guild's is everyone.
    RoleId, "role id";
    /// A channel of a guild.
    ChannelId, "channel id";
    /// A message in a channel.
    MessageId, "message id";
    /// One act of one person, as Discord delivers it: perhaps twice, never with another id.
    InteractionId, "interaction id";
}

impl GuildId {
    /// The process itself, for audit entries that belong to no guild.
    pub const PROCESS: GuildId = GuildId(0);
}

/// The largest integer that a JSON number holds exactly (RFC 7493, section 2.2): as such the audit log hashes a number that
/// somebody typed.
const NUMBER_MAX: i64 = (1 << 53) - 1;

macro_rules! number {
    ($($(#[$doc:meta])* $name:ident, $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "#{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let digits = text.strip_prefix('#').unwrap_or(text);
                match digits.parse() {
                    Ok(number) if (1..=NUMBER_MAX).contains(&number) && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Self(number)),
                    _ => Err(Invalid::new($what, concat!("The ", $what, " must be written as in the lists."), "#12")),
                }
            }
        }
    )*};
}

number! {
    /// A deploy's number for people, counted in its guild and shown as `#12`.
    DeployId, "deploy number";
    /// A permission rule's number, counted in its guild and shown as `#12`.
    RuleId, "rule number";
    /// An access request's number, counted in its guild and shown as `#12`.
    RequestId, "request number";
    /// The number of an entry in its guild's audit log, shown as `#12`.
    EntryId, "entry number";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_and_without_the_hash() {
        assert_eq!("#12".parse(), Ok(DeployId(12)));
        assert_eq!("12".parse(), Ok(DeployId(12)));
        assert_eq!("9007199254740991".parse(), Ok(DeployId(NUMBER_MAX)));
        for bad in ["", "#", "0", "-1", "+1", "#+1", "1.5", "##1", "9007199254740992", "99999999999999999999"] {
            assert!(bad.parse::<DeployId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_snowflake_past_63_bits_is_no_id() {
        assert!("9223372036854775808".parse::<UserId>().is_err());
        assert_eq!(UserId::new(u64::MAX), None);
    }
}
