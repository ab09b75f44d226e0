//! The rules for registering application commands (interactions/application-commands): what Discord refuses, and in what
//! form it keeps what it takes. It must not know how commands are used.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::form::{FormErrors, utf16_length};

const COMMANDS_MAX: usize = 100;
const OPTIONS_MAX: usize = 25;
const CHOICES_MAX: usize = 25;
const NAME_MAX: usize = 32;
const DESCRIPTION_MAX: usize = 100;
const CHOICE_TEXT_MAX: usize = 100;
const COMMAND_TOTAL_MAX: usize = 8000;
const STRING_LENGTH_MAX: u64 = 6000;
/// Integers that a JSON client reads exactly.
const INTEGER_MAX: i64 = 1 << 53;

const CHAT_INPUT: u64 = 1;
pub const SUBCOMMAND: u64 = 1;
pub const GROUP: u64 = 2;
pub const STRING: u64 = 3;
pub const INTEGER: u64 = 4;
pub const BOOLEAN: u64 = 5;
pub const USER: u64 = 6;
pub const CHANNEL: u64 = 7;
pub const ROLE: u64 = 8;
pub const MENTIONABLE: u64 = 9;
pub const NUMBER: u64 = 10;
const ATTACHMENT: u64 = 11;

/// Checks the whole set that a `PUT` would store.
pub fn check_commands(body: &Value, errors: &mut FormErrors) {
    let Some(commands) = body.as_array() else {
        let message = "Only iterables may be used in a ListType";
        return errors.add("", "LIST_TYPE_CONVERT", message);
    };
    errors.count("", commands.len(), COMMANDS_MAX);
    let mut names = HashSet::new();
    for (i, command) in commands.iter().enumerate() {
        let path = i.to_string();
        let kind = command["type"].as_u64().unwrap_or(CHAT_INPUT);
        if !names.insert((kind, command["name"].as_str())) {
            errors.add(
                format!("{path}.name"),
                "APPLICATION_COMMANDS_DUPLICATE_NAME",
                "Application command names must be unique",
            );
        }
        check_command(command, kind, &path, errors);
    }
}

fn check_command(command: &Value, kind: u64, path: &str, errors: &mut FormErrors) {
    let permissions = &command["default_member_permissions"];
    let a_bit_set = permissions.as_str().is_some_and(|p| p.parse::<u64>().is_ok());
    if !permissions.is_null() && !a_bit_set {
        let at = format!("{path}.default_member_permissions");
        errors.add(at, "BASE_TYPE_BAD_TYPE", "Must be a bit set as a string.");
    }
    for (key, max) in [("contexts", 2), ("integration_types", 1)] {
        for entry in command[key].as_array().into_iter().flatten() {
            if entry.as_u64().is_none_or(|value| value > max) {
                errors.add(format!("{path}.{key}"), "BASE_TYPE_CHOICES", "Unknown value.");
            }
        }
    }
    if kind != CHAT_INPUT {
        let name = command["name"].as_str().unwrap_or("");
        return errors.length(&format!("{path}.name"), name, 1, NAME_MAX);
    }
    check_names(command, path, errors);
    check_options(command, path, Level::Command, errors);
    let total = characters(command);
    if total > COMMAND_TOTAL_MAX {
        let message = format!("Command exceeds maximum size ({total} of {COMMAND_TOTAL_MAX})");
        errors.add(path, "APPLICATION_COMMAND_TOO_LARGE", message);
    }
}

fn check_names(item: &Value, path: &str, errors: &mut FormErrors) {
    let name = item["name"].as_str().unwrap_or("");
    if !is_valid_name(name) {
        errors.add(
            format!("{path}.name"),
            "APPLICATION_COMMAND_INVALID_NAME",
            format!("Command name is invalid: {name:?}"),
        );
    }
    let description = item["description"].as_str().unwrap_or("");
    errors.length(&format!("{path}.description"), description, 1, DESCRIPTION_MAX);
}

/// `^[-_'\p{L}\p{N}\p{sc=Deva}\p{sc=Thai}]{1,32}$` and lower case.
fn is_valid_name(name: &str) -> bool {
    let valid =
        |c: char| matches!(c, '-' | '_' | '\'' | '\u{900}'..='\u{97F}' | '\u{E00}'..='\u{E7F}') || c.is_alphanumeric();
    (1..=NAME_MAX).contains(&name.chars().count()) && name.chars().all(valid) && name == name.to_lowercase()
}

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Command,
    Group,
    Subcommand,
}

fn check_options(item: &Value, path: &str, level: Level, errors: &mut FormErrors) {
    let options = item["options"].as_array().map_or(&[][..], Vec::as_slice);
    let at = format!("{path}.options");
    errors.count(&at, options.len(), OPTIONS_MAX);
    let nesting = |option: &Value| matches!(option["type"].as_u64(), Some(SUBCOMMAND | GROUP));
    let nested = options.iter().filter(|option| nesting(option)).count();
    if nested > 0 && nested < options.len() {
        let message = "Sub-command and sub-command group option types are mutually exclusive to all other types";
        errors.add(at.clone(), "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message);
    }
    let (mut names, mut optional_seen) = (HashSet::new(), false);
    for (i, option) in options.iter().enumerate() {
        let path = format!("{at}.{i}");
        check_names(option, &path, errors);
        if !names.insert(option["name"].as_str()) {
            errors.add(
                format!("{path}.name"),
                "APPLICATION_COMMAND_OPTIONS_NAME_DUPLICATE",
                "Option names must be unique",
            );
        }
        let required = option["required"].as_bool().unwrap_or(false);
        if required && optional_seen {
            errors.add(
                path.clone(),
                "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
                "Required options must be placed before non-required options",
            );
        }
        optional_seen |= !required;
        match (option["type"].as_u64(), level) {
            (Some(SUBCOMMAND), Level::Command | Level::Group) => {
                check_options(option, &path, Level::Subcommand, errors);
            }
            (Some(GROUP), Level::Command) => {
                if option["options"].as_array().is_none_or(Vec::is_empty) {
                    errors.required(&format!("{path}.options"));
                }
                check_options(option, &path, Level::Group, errors);
            }
            (Some(STRING..=ATTACHMENT), Level::Command | Level::Subcommand) => {
                check_value_option(option, &path, errors);
            }
            _ => errors.add(
                format!("{path}.type"),
                "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
                "This option type is not allowed here",
            ),
        }
    }
}

fn check_value_option(option: &Value, path: &str, errors: &mut FormErrors) {
    let kind = option["type"].as_u64().unwrap_or(0);
    let choices = option["choices"].as_array().map_or(&[][..], Vec::as_slice);
    let completes = option["autocomplete"] == true;
    let mut refuse = |key: &str, code: &'static str, message: &str| {
        errors.add(format!("{path}.{key}"), code, message);
    };
    if !choices.is_empty() && completes {
        let message = "Choices and autocomplete cannot both be set";
        refuse("autocomplete", "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_CHOICES", message);
    }
    let takes_choices = matches!(kind, STRING | INTEGER | NUMBER);
    if (!choices.is_empty() || completes) && !takes_choices {
        let message = "This option type has neither choices nor autocomplete";
        refuse("type", "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", message);
    }
    for (key, fits) in [
        ("min_value", matches!(kind, INTEGER | NUMBER)),
        ("max_value", matches!(kind, INTEGER | NUMBER)),
        ("min_length", kind == STRING),
        ("max_length", kind == STRING),
        ("channel_types", kind == CHANNEL),
    ] {
        let given = !option[key].is_null() && option[key] != json!([]);
        if given && !fits {
            refuse(key, "BASE_TYPE_BAD_TYPE", "Not a setting of this option type.");
        }
    }
    if option["max_length"].as_u64().is_some_and(|n| n == 0 || n > STRING_LENGTH_MAX) {
        refuse("max_length", "NUMBER_TYPE_MAX", "Must be between 1 and 6000.");
    }
    check_option_choices(choices, kind, path, errors);
}

fn check_option_choices(choices: &[Value], kind: u64, path: &str, errors: &mut FormErrors) {
    errors.count(&format!("{path}.choices"), choices.len(), CHOICES_MAX);
    let mut names = HashSet::new();
    for (i, choice) in choices.iter().enumerate() {
        let at = format!("{path}.choices.{i}");
        let name = choice["name"].as_str().unwrap_or("");
        errors.length(&format!("{at}.name"), name, 1, CHOICE_TEXT_MAX);
        if !names.insert(name) {
            errors.add(
                format!("{at}.name"),
                "APPLICATION_COMMAND_OPTIONS_CHOICES_NAME_DUPLICATE",
                "Choice names must be unique",
            );
        }
        let value = &choice["value"];
        let fits = match kind {
            STRING => value.is_string(),
            INTEGER => value.as_i64().is_some_and(|v| v.abs() <= INTEGER_MAX),
            _ => value.is_number(),
        };
        if !fits {
            errors.add(format!("{at}.value"), "BASE_TYPE_BAD_TYPE", "Wrong type of value.");
        }
        if let Some(text) = value.as_str() {
            errors.length(&format!("{at}.value"), text, 1, CHOICE_TEXT_MAX);
        }
    }
}

/// The characters of all names, descriptions and values of a command, which together have a limit.
fn characters(item: &Value) -> usize {
    let own: usize =
        ["name", "description", "value"].iter().map(|key| utf16_length(item[*key].as_str().unwrap_or(""))).sum();
    let children = ["options", "choices"].into_iter();
    let below: usize = children.flat_map(|key| item[key].as_array().into_iter().flatten()).map(characters).sum();
    own + below
}

/// A command as Discord keeps and returns it: with ids, its defaults filled in, and the options' defaults left out.
pub fn stored(command: &Value, id: u64, version: u64, application: u64, guild: Option<u64>) -> Value {
    let or = |key: &str, default: Value| match &command[key] {
        Value::Null => default,
        given => given.clone(),
    };
    let mut stored = json!({
        "id": id.to_string(),
        "application_id": application.to_string(),
        "version": version.to_string(),
        "default_member_permissions": or("default_member_permissions", Value::Null),
        "type": or("type", json!(CHAT_INPUT)),
        "name": command["name"],
        "description": or("description", json!("")),
        "contexts": or("contexts", Value::Null),
        "integration_types": or("integration_types", json!([0])),
        "nsfw": or("nsfw", json!(false)),
    });
    if let Some(guild) = guild {
        stored["guild_id"] = json!(guild.to_string());
    } else {
        let in_dms = command["contexts"].as_array().is_none_or(|c| c.contains(&json!(1)));
        stored["dm_permission"] = json!(in_dms);
    }
    let options = stored_options(&command["options"]);
    if !options.is_empty() {
        stored["options"] = Value::Array(options);
    }
    stored
}

fn stored_options(options: &Value) -> Vec<Value> {
    let options = options.as_array().map_or(&[][..], Vec::as_slice);
    options.iter().map(stored_option).collect()
}

fn stored_option(option: &Value) -> Value {
    let given = option.as_object().cloned().unwrap_or_default();
    let mut kept = Map::new();
    for (key, value) in given {
        let value = if key == "options" { Value::Array(stored_options(&value)) } else { value };
        let is_default = value.is_null() || value == json!(false) || value == json!([]);
        if !is_default {
            kept.insert(key, value);
        }
    }
    Value::Object(kept)
}
