//! What Discord delivers, decoded into requests. Knows nothing of what commands do.

use serenity::model::application::{
    ActionRowComponent, CommandInteraction, ComponentInteraction, ModalInteraction, ResolvedOption, ResolvedValue,
};
use serenity::model::guild::{Member, PartialMember};
use serenity::model::id as model;
use serenity::model::user::User;

use crate::actor::{Actor, ActorId, Caller};
use crate::app::Request;
use crate::command::{self, Arguments, Leaf, OptionSpec, Path, Value};
use crate::console::parse::{Line, parse_pressed};
use crate::console::people::People;
use crate::id::{ChannelId, GuildId, InteractionId, RoleId, UserId};

/// Why something that was delivered is no request.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// It was asked outside of a server.
    #[error("Slipway's commands work in a server only.")]
    NoGuild,
    /// An id is out of range.
    #[error("An id in it is not one that Discord makes.")]
    Id,
    /// A button that is not one of ours.
    #[error("That button is not known to this version of Slipway. Run the command again.")]
    Button,
}

/// A command that somebody runs, or types so far.
pub fn command(interaction: &CommandInteraction) -> Result<Request, Undecodable> {
    let options = interaction.data.options();
    let mut path: Path = vec![interaction.data.name.clone()];
    let mut options: &[ResolvedOption<'_>] = &options;
    while let [
        ResolvedOption {
            name, value: ResolvedValue::SubCommand(inner) | ResolvedValue::SubCommandGroup(inner), ..
        },
    ] = options
    {
        path.push((*name).to_owned());
        options = inner;
    }
    let mut arguments = Arguments::default();
    for option in options {
        if let Some(value) = value(&option.value) {
            arguments.insert(option.name, value);
        }
    }
    Ok(Request {
        interaction: Some(id(interaction.id)?),
        path,
        arguments,
        caller: caller(interaction.guild_id, interaction.channel_id, &interaction.user, interaction.member.as_deref())?,
    })
}

/// The option that is being typed and what stands there so far.
pub fn typed(interaction: &CommandInteraction) -> Option<(String, String)> {
    interaction.data.autocomplete().map(|option| (option.name.to_owned(), option.value.to_owned()))
}

/// A press on a button, whose id is a line of the console's. Anyone can send any id, so only commands are run that list or
/// that the table lets a button run, with the presser's own permissions.
pub fn button(interaction: &ComponentInteraction) -> Result<Request, Undecodable> {
    let (path, arguments) = line(interaction.guild_id, &interaction.data.custom_id)?;
    let caller = caller(interaction.guild_id, interaction.channel_id, &interaction.user, interaction.member.as_ref())?;
    Ok(Request { interaction: Some(id(interaction.id)?), path, arguments, caller })
}

/// A form that somebody has filled in: its id is a line as a button's is, and what was typed are options of that command.
pub fn form(interaction: &ModalInteraction) -> Result<Request, Undecodable> {
    let (path, mut arguments) = line(interaction.guild_id, &interaction.data.custom_id)?;
    let leaf = command::find(&path).filter(|leaf| !leaf.asks.is_empty()).ok_or(Undecodable::Button)?;
    for component in interaction.data.components.iter().flat_map(|row| &row.components) {
        let ActionRowComponent::InputText(input) = component else { continue };
        // What the line says stands.
        let is_asked = leaf.asks.contains(&input.custom_id.as_str()) && arguments.text(&input.custom_id).is_none();
        if let Some(value) = input.value.as_ref().filter(|value| is_asked && !value.trim().is_empty()) {
            arguments.insert(&input.custom_id, Value::Text(value.trim().to_owned()));
        }
    }
    let caller = caller(interaction.guild_id, interaction.channel_id, &interaction.user, interaction.member.as_ref())?;
    Ok(Request { interaction: Some(id(interaction.id)?), path, arguments, caller })
}

/// The line that a button or a form carries, if it is one that may be pressed.
fn line(guild: Option<model::GuildId>, id: &str) -> Result<(Path, Arguments), Undecodable> {
    let guild = GuildId::new(guild.ok_or(Undecodable::NoGuild)?.get()).ok_or(Undecodable::Id)?;
    let line = parse_pressed(id, &People::new(guild, Vec::new())).map_err(|_| Undecodable::Button)?;
    let Line::Command { path, arguments } = line else { return Err(Undecodable::Button) };
    let says = |option: &OptionSpec| !option.required || arguments.text(option.name).is_some();
    let says_all = |leaf: &Leaf| leaf.in_lines.iter().all(says);
    if !command::find(&path).is_some_and(|leaf| leaf.pages || (leaf.pressed && says_all(leaf))) {
        return Err(Undecodable::Button);
    }
    Ok((path, arguments))
}

fn caller(
    guild: Option<model::GuildId>,
    channel: model::ChannelId,
    user: &User,
    member: Option<&Member>,
) -> Result<Caller, Undecodable> {
    let nick = member.and_then(|member| member.nick.as_deref());
    Ok(Caller {
        guild: GuildId::new(guild.ok_or(Undecodable::NoGuild)?.get()).ok_or(Undecodable::Id)?,
        channel: ChannelId::new(channel.get()),
        actor: Actor {
            id: ActorId::User(UserId::new(user.id.get()).ok_or(Undecodable::Id)?),
            name: nick.or(user.global_name.as_deref()).unwrap_or(&user.name).to_owned(),
            roles: member.map(|member| ids(&member.roles)).unwrap_or_default(),
        },
    })
}

fn id(interaction: model::InteractionId) -> Result<InteractionId, Undecodable> {
    InteractionId::new(interaction.get()).ok_or(Undecodable::Id)
}

fn ids(roles: &[model::RoleId]) -> Vec<RoleId> {
    roles.iter().filter_map(|role| RoleId::new(role.get())).collect()
}

fn value(value: &ResolvedValue<'_>) -> Option<Value> {
    match value {
        ResolvedValue::String(text) => Some(Value::Text((*text).to_owned())),
        ResolvedValue::Autocomplete { value, .. } => Some(Value::Text((*value).to_owned())),
        ResolvedValue::Integer(number) => Some(Value::Text(number.to_string())),
        ResolvedValue::Boolean(flag) => Some(Value::Text(flag.to_string())),
        ResolvedValue::User(user, member) => Some(Value::User(person(user, *member)?)),
        ResolvedValue::Role(role) => Some(Value::Role(RoleId::new(role.id.get())?, role.name.clone())),
        _ => None,
    }
}

fn person(user: &User, member: Option<&PartialMember>) -> Option<Actor> {
    Some(Actor {
        id: ActorId::User(UserId::new(user.id.get())?),
        name: member
            .and_then(|member| member.nick.clone())
            .or_else(|| user.global_name.clone())
            .unwrap_or_else(|| user.name.clone()),
        roles: member.map(|member| ids(&member.roles)).unwrap_or_default(),
    })
}
