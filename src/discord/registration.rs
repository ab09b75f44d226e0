//! Registering the commands with Discord, from the one table, and only when something changed.

use serde_json::{Map, Value, json};
use serenity::builder::{CreateCommand, CreateCommandOption};
use serenity::model::application::{CommandOptionType, InteractionContext};
use serenity::model::id::{ApplicationId, GuildId};

use super::rest::{Rest, RestError};
use crate::command::{COMMANDS, CommandSpec, Kind, Leaf, OptionSpec, Shape};

/// The longest text that an option takes: more than any command accepts, so that Slipway can say what is wrong.
const TEXT_LENGTH_MAX: u16 = 6_000;

/// Registers the commands in `guild`, or everywhere, unless they stand there already.
pub async fn register(
    rest: &Rest,
    application: ApplicationId,
    guild: Option<GuildId>,
) -> Result<Registered, RestError> {
    let wanted: Vec<CreateCommand> = COMMANDS.iter().map(|spec| command(spec, guild)).collect();
    let present = match guild {
        Some(guild) => rest.guild_commands(application, guild).await,
        None => rest.global_commands(application).await,
    };
    match present {
        Ok(present) if same(&present, &wanted) => return Ok(Registered::Unchanged),
        Ok(_) => {}
        Err(error @ (RestError::Unauthorized | RestError::Forbidden { .. })) => return Err(error),
        // What can't be read is replaced.
        Err(error) => tracing::warn!("Which commands are registered could not be read: {error}"),
    }
    match guild {
        Some(guild) => rest.put_guild_commands(application, guild, &wanted).await?,
        None => rest.put_global_commands(application, &wanted).await?,
    };
    Ok(Registered::Replaced)
}

/// What registering did.
#[derive(Debug, PartialEq, Eq)]
pub enum Registered {
    /// The same commands stood there.
    Unchanged,
    /// They were replaced.
    Replaced,
}

fn command(spec: &CommandSpec, guild: Option<GuildId>) -> CreateCommand {
    let command = CreateCommand::new(spec.name).description(spec.description);
    // "Only for globally-scoped commands": interactions/application-commands, "Application Command Structure".
    let command = if guild.is_none() { command.contexts(vec![InteractionContext::Guild]) } else { command };
    match &spec.shape {
        Shape::Single(leaf) => leaf.options.iter().fold(command, |command, spec| command.add_option(option(spec))),
        Shape::Group(leaves) => {
            leaves.iter().fold(command, |command, (name, leaf)| command.add_option(subcommand(name, leaf)))
        }
    }
}

fn subcommand(name: &str, leaf: &Leaf) -> CreateCommandOption {
    let subcommand = CreateCommandOption::new(CommandOptionType::SubCommand, name, leaf.description);
    leaf.options.iter().fold(subcommand, |subcommand, spec| subcommand.add_sub_option(option(spec)))
}

fn option(spec: &OptionSpec) -> CreateCommandOption {
    let kind = match spec.kind {
        Kind::Text | Kind::Choice(_) | Kind::Completed(_) => CommandOptionType::String,
        Kind::Flag => CommandOptionType::Boolean,
        Kind::User => CommandOptionType::User,
        Kind::Mentionable => CommandOptionType::Mentionable,
    };
    let option = CreateCommandOption::new(kind, spec.name, spec.description).required(spec.required);
    match spec.kind {
        Kind::Text => option.max_length(TEXT_LENGTH_MAX),
        Kind::Completed(_) => option.max_length(TEXT_LENGTH_MAX).set_autocomplete(true),
        Kind::Choice(choices) => {
            choices.iter().fold(option, |option, choice| option.add_string_choice(*choice, *choice))
        }
        Kind::Flag | Kind::User | Kind::Mentionable => option,
    }
}

/// Whether what Discord has is what is wanted, whatever it adds of its own.
fn same(present: &[Value], wanted: &[CreateCommand]) -> bool {
    let Ok(Value::Array(wanted)) = serde_json::to_value(wanted) else { return false };
    let by_name = |commands: &[Value]| {
        let mut commands: Vec<Value> = commands.iter().map(essence).collect();
        commands.sort_by_key(|command| command["name"].to_string());
        commands
    };
    by_name(present) == by_name(&wanted)
}

/// The parts of a command or an option that we say; what is said or left out to the same effect is alike.
fn essence(value: &Value) -> Value {
    let mut said = Map::new();
    for key in
        ["name", "description", "type", "required", "autocomplete", "max_length", "choices", "options", "contexts"]
    {
        let part = match (key, value.get(key)) {
            ("options" | "choices", Some(Value::Array(list))) if !list.is_empty() => Value::Array(
                list.iter()
                    .map(|item| if key == "options" { essence(item) } else { json!([item["name"], item["value"]]) })
                    .collect(),
            ),
            // A command's type is 1, a slash command, when it isn't said.
            ("type", None | Some(Value::Null)) => json!(1),
            (_, None | Some(Value::Null | Value::Bool(false))) => continue,
            (_, Some(Value::Array(list))) if list.is_empty() => continue,
            (_, Some(part)) => part.clone(),
        };
        said.insert(key.to_owned(), part);
    }
    Value::Object(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Vec<CreateCommand> {
        COMMANDS.iter().map(|spec| command(spec, None)).collect()
    }

    #[test]
    fn what_discord_adds_is_no_change_and_what_it_lacks_is_one() {
        let Value::Array(mut present) = serde_json::to_value(wanted()).unwrap() else { unreachable!() };
        for command in &mut present {
            command["id"] = json!("1");
            command["version"] = json!("2");
            command["nsfw"] = json!(false);
            command["default_member_permissions"] = Value::Null;
            command["type"] = json!(1);
        }
        present.reverse();
        assert!(same(&present, &wanted()));
        present[0]["description"] = json!("Another");
        assert!(!same(&present, &wanted()));
        assert!(!same(&present[1..], &wanted()));
    }
}
