//! Who and what exists on the fake Discord: guilds, channels, roles, members, and their JSON. It must not know about
//! interactions or messages.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::APPLICATION_ID;

const GUILD_ID: u64 = 1_100_000_000_000_000_001;
const CHANNEL_ID: u64 = 1_100_000_000_000_000_002;
const ADMINISTRATOR: u64 = 1 << 3;
/// What Discord gives a member of a new guild.
const USUAL_PERMISSIONS: u64 = 2_248_473_465_835_073;
pub const JOINED_AT: &str = "2024-01-02T03:04:05.678000+00:00";

/// A guild and its first channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Guild {
    pub id: u64,
    pub channel_id: u64,
    pub name: String,
}

/// Somebody who can use commands, and where they do.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub id: u64,
    pub name: String,
    pub roles: Vec<u64>,
    /// Discord's permission bits, computed for the channel.
    pub permissions: u64,
    pub guild_id: u64,
    pub channel_id: u64,
}

impl Member {
    /// The same person, an administrator of the guild in Discord's eyes.
    pub fn administrator(mut self) -> Self {
        self.permissions |= ADMINISTRATOR;
        self
    }

    /// The same person in another channel.
    pub fn in_channel(mut self, channel_id: u64) -> Self {
        self.channel_id = channel_id;
        self
    }

    /// Whether Discord would offer a command with these `default_member_permissions`.
    pub fn may_see(&self, default_member_permissions: &Value) -> bool {
        let needed = default_member_permissions.as_str().and_then(|bits| bits.parse::<u64>().ok());
        let administrator = self.permissions & ADMINISTRATOR != 0;
        needed.is_none_or(|bits| administrator || (bits != 0 && self.permissions & bits == bits))
    }

    pub fn user(&self) -> Value {
        json!({
            "id": self.id.to_string(), "username": self.name, "global_name": self.name,
            "discriminator": "0", "avatar": null, "public_flags": 0, "bot": false,
            "avatar_decoration_data": null, "clan": null, "primary_guild": null, "collectibles": null,
        })
    }

    /// The member as interactions carry the one who used them.
    pub fn with_user(&self) -> Value {
        let mut member = self.partial();
        member["user"] = self.user();
        member["deaf"] = json!(false);
        member["mute"] = json!(false);
        member
    }

    /// The member as `resolved` carries people, without user, deaf and mute.
    pub fn partial(&self) -> Value {
        let roles: Vec<String> = self.roles.iter().map(u64::to_string).collect();
        json!({
            "roles": roles, "permissions": self.permissions.to_string(), "joined_at": JOINED_AT,
            "nick": null, "avatar": null, "banner": null, "premium_since": null, "pending": false,
            "flags": 0, "communication_disabled_until": null, "unusual_dm_activity_until": null,
        })
    }
}

/// All guilds, channels, roles and members.
pub struct People {
    pub guilds: Vec<Guild>,
    channels: BTreeMap<u64, Channel>,
    roles: BTreeMap<u64, Role>,
    /// By guild and user.
    members: BTreeMap<(u64, u64), Member>,
}

struct Channel {
    name: String,
    guild_id: u64,
}

struct Role {
    name: String,
    guild_id: u64,
}

impl People {
    pub fn new() -> Self {
        let mut people =
            Self { guilds: Vec::new(), channels: BTreeMap::new(), roles: BTreeMap::new(), members: BTreeMap::new() };
        people.add_guild("home", GUILD_ID, CHANNEL_ID);
        people
    }

    pub fn home(&self) -> Guild {
        self.guilds[0].clone()
    }

    /// The guild of that name, and whether it is new.
    pub fn guild(&mut self, name: &str) -> (Guild, bool) {
        if let Some(known) = self.guilds.iter().find(|guild| guild.name == name) {
            return (known.clone(), false);
        }
        let (id, channel_id) = (named_id("guild", name), named_id("guild's channel", name));
        (self.add_guild(name, id, channel_id), true)
    }

    fn add_guild(&mut self, name: &str, id: u64, channel_id: u64) -> Guild {
        let guild = Guild { id, channel_id, name: name.to_owned() };
        self.guilds.push(guild.clone());
        self.channels.insert(channel_id, Channel { name: "deploys".to_owned(), guild_id: id });
        // The role whose id is the guild's is everyone.
        self.roles.insert(id, Role { name: "@everyone".to_owned(), guild_id: id });
        guild
    }

    pub fn channel(&mut self, name: &str) -> u64 {
        let id = named_id("channel", name);
        let channel = Channel { name: name.to_owned(), guild_id: GUILD_ID };
        self.channels.insert(id, channel);
        id
    }

    pub fn role(&mut self, guild: &Guild, name: &str) -> u64 {
        let id = named_id(&format!("role of {}", guild.name), name);
        self.roles.insert(id, Role { name: name.to_owned(), guild_id: guild.id });
        id
    }

    /// The member with these roles from now on. A person has one id in all guilds.
    pub fn member(&mut self, guild: &Guild, name: &str, roles: &[u64]) -> Member {
        assert!(!roles.contains(&guild.id), "Discord never lists the everyone role among a member's");
        for role in roles {
            let unnamed = Role { name: format!("role {role}"), guild_id: guild.id };
            self.roles.entry(*role).or_insert(unnamed);
        }
        let member = Member {
            id: named_id("member", name),
            name: name.to_owned(),
            roles: roles.to_vec(),
            permissions: USUAL_PERMISSIONS,
            guild_id: guild.id,
            channel_id: guild.channel_id,
        };
        self.members.insert((guild.id, member.id), member.clone());
        member
    }

    pub fn find_member(&self, guild: u64, id: u64) -> Option<&Member> {
        self.members.get(&(guild, id))
    }

    pub fn has_role(&self, guild: u64, id: u64) -> bool {
        self.roles.get(&id).is_some_and(|role| role.guild_id == guild)
    }

    pub fn guild_of_channel(&self, channel_id: u64) -> Option<u64> {
        self.channels.get(&channel_id).map(|channel| channel.guild_id)
    }

    pub fn role_json(&self, id: u64) -> Value {
        let role = &self.roles[&id];
        json!({
            "id": id.to_string(), "name": role.name, "permissions": USUAL_PERMISSIONS.to_string(),
            "color": 0, "colors": {"primary_color": 0, "secondary_color": null, "tertiary_color": null},
            "position": u8::from(role.name != "@everyone"), "hoist": false, "managed": false,
            "mentionable": false, "icon": null, "unicode_emoji": null, "flags": 0, "description": null,
        })
    }

    pub fn channel_json(&self, id: u64) -> Value {
        let channel = &self.channels[&id];
        json!({
            "id": id.to_string(), "type": 0, "name": channel.name, "guild_id": channel.guild_id.to_string(),
            "position": 0, "permission_overwrites": [], "topic": null, "nsfw": false, "parent_id": null,
            "last_message_id": null, "rate_limit_per_user": 0, "flags": 0,
        })
    }

    /// A guild as `GUILD_CREATE` carries it.
    pub fn guild_json(&self, guild: &Guild) -> Value {
        let here = |id: &u64| *id == guild.id;
        let roles = self.roles.iter().filter(|(_, role)| here(&role.guild_id));
        let channels = self.channels.iter().filter(|(_, channel)| here(&channel.guild_id));
        let mut json = guild_settings();
        json["id"] = json!(guild.id.to_string());
        json["name"] = json!(guild.name);
        json["member_count"] = json!(self.members.len() + 1);
        json["roles"] = roles.map(|(id, _)| self.role_json(*id)).collect();
        json["channels"] = channels.map(|(id, _)| self.channel_json(*id)).collect();
        for list in GUILD_LISTS {
            json[list] = json!([]);
        }
        json
    }
}

/// What `GUILD_CREATE` lists, and the fake has none of.
const GUILD_LISTS: [&str; 11] = [
    "emojis",
    "features",
    "guild_scheduled_events",
    "members",
    "presences",
    "soundboard_sounds",
    "stage_instances",
    "stickers",
    "threads",
    "voice_states",
    "embedded_activities",
];

/// A guild as new guilds are set.
fn guild_settings() -> Value {
    json!({
        "owner_id": named_id("member", "owner").to_string(), "icon": null, "splash": null,
        "discovery_splash": null, "banner": null, "description": null, "afk_channel_id": null,
        "afk_timeout": 300, "verification_level": 0, "default_message_notifications": 0,
        "explicit_content_filter": 0, "mfa_level": 0, "nsfw_level": 0, "premium_tier": 0,
        "premium_subscription_count": 0, "premium_progress_bar_enabled": false,
        "preferred_locale": "en-US", "application_id": null, "system_channel_id": null,
        "system_channel_flags": 0, "rules_channel_id": null, "vanity_url_code": null,
        "max_members": 500_000, "joined_at": JOINED_AT, "large": false, "unavailable": false,
    })
}

/// The bot's own user.
pub fn bot_user() -> Value {
    json!({
        "id": APPLICATION_ID.to_string(), "username": "slipway", "discriminator": "4242", "avatar": null,
        "bot": true, "verified": true, "mfa_enabled": true, "email": null, "global_name": null, "flags": 0,
        "public_flags": 0,
    })
}

/// A snowflake that depends only on what is named, so that the same name is the same id in every run (FNV-1a).
fn named_id(kind: &str, name: &str) -> u64 {
    const SINCE: u64 = 900_000_000_000_000_000;
    const RANGE: u64 = 200_000_000_000_000_000;
    let bytes = kind.bytes().chain([0]).chain(name.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    SINCE + hash % RANGE
}
