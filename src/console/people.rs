//! Whom the console knows by name, and how people and roles are written in its lines. Knows nothing of what they may do.

use crate::actor::{Actor, ActorId};
use crate::command::Value;
use crate::id::{GuildId, RoleId, UserId};

/// The people that have a name in the console, and the guild in which everybody else is an id.
#[derive(Debug, Clone)]
pub struct People {
    guild: GuildId,
    known: Vec<(&'static str, Actor)>,
}

impl People {
    /// These people, by these names, in `guild`.
    pub fn new(guild: GuildId, known: Vec<(&'static str, Actor)>) -> Self {
        Self { guild, known }
    }

    /// The person of that name, with or without `@`.
    pub fn named(&self, text: &str) -> Option<&Actor> {
        let name = text.strip_prefix('@').unwrap_or(text);
        let is_meant = |(known, actor): &&(&str, Actor)| known.eq_ignore_ascii_case(name) || actor.name == name;
        self.known.iter().find(is_meant).map(|(_, actor)| actor)
    }

    /// The person meant by a name, `<@id>` or an id. The roles of somebody who is only an id are not known here.
    pub fn person(&self, text: &str) -> Option<Actor> {
        if let Some(known) = self.named(text) {
            return Some(known.clone());
        }
        // `<@!id>` is how Discord's clients once wrote a member, and may be pasted still.
        let mention = text.strip_prefix("<@").and_then(|rest| rest.strip_suffix('>'));
        let id: UserId = mention.map_or(text, |id| id.strip_prefix('!').unwrap_or(id)).parse().ok()?;
        let known = self.known.iter().map(|(_, actor)| actor).find(|actor| actor.id == ActorId::User(id));
        Some(known.cloned().unwrap_or_else(|| Actor { id: ActorId::User(id), name: format!("<@{id}>"), roles: vec![] }))
    }

    /// The person or role that a rule can be about: as for [`People::person`], or `<@&id>`, or `@everyone`.
    pub fn mentionable(&self, text: &str) -> Option<Value> {
        if text.trim_start_matches('@').eq_ignore_ascii_case("everyone") {
            return Some(Value::Role(RoleId::from_row(self.guild.row()), "everyone".to_owned()));
        }
        if let Some(id) = text.strip_prefix("<@&").and_then(|rest| rest.strip_suffix('>')) {
            return Some(Value::Role(id.parse().ok()?, format!("<@&{id}>")));
        }
        self.person(text).filter(|actor| matches!(actor.id, ActorId::User(_))).map(Value::User)
    }

    /// What `id` is called here.
    pub fn name(&self, id: UserId) -> Option<&str> {
        self.known.iter().find(|(_, actor)| actor.id == ActorId::User(id)).map(|(name, _)| *name)
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.known.iter().map(|(name, _)| *name)
    }
}
