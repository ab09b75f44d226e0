//! What a person types: a slash command with its options, checked against what the bot registered, because Discord's client
//! lets nobody send anything else. It must not know how events travel.

use std::time::Duration;

use serde_json::{Value, json};

use super::form::utf16_length;
use super::people::{Member, People};
use super::registration::{BOOLEAN, CHANNEL, GROUP, INTEGER, MENTIONABLE, NUMBER, ROLE, STRING, SUBCOMMAND, USER};

/// The longest text that Discord's client lets people type into an option.
const STRING_MAX: u64 = 6000;

/// A slash command as somebody uses it.
#[derive(Clone, Debug)]
pub struct CommandCall {
    pub name: String,
    path: Vec<String>,
    options: Vec<(String, Input)>,
    focused: Option<String>,
    checked: bool,
    /// How long ago it was typed, for events that arrive late.
    pub age: Duration,
}

#[derive(Clone, Debug)]
enum Input {
    Text(String),
    Integer(i64),
    Number(f64),
    Boolean(bool),
    /// The id of a user, role or channel.
    Id(u64),
}

impl CommandCall {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            path: Vec::new(),
            options: Vec::new(),
            focused: None,
            checked: true,
            age: Duration::ZERO,
        }
    }

    /// The subcommand; after a first one, that is the group and this its subcommand.
    pub fn sub(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }

    pub fn string(self, name: &str, value: &str) -> Self {
        self.option(name, Input::Text(value.to_owned()))
    }

    pub fn integer(self, name: &str, value: i64) -> Self {
        self.option(name, Input::Integer(value))
    }

    pub fn number(self, name: &str, value: f64) -> Self {
        self.option(name, Input::Number(value))
    }

    pub fn boolean(self, name: &str, value: bool) -> Self {
        self.option(name, Input::Boolean(value))
    }

    pub fn user(self, name: &str, member: &Member) -> Self {
        self.option(name, Input::Id(member.id))
    }

    pub fn role(self, name: &str, role: u64) -> Self {
        self.option(name, Input::Id(role))
    }

    pub fn channel(self, name: &str, channel: u64) -> Self {
        self.option(name, Input::Id(channel))
    }

    /// A mentionable option: the id of a user or a role, `member.id` or a role's id.
    pub fn mentionable(self, name: &str, id: u64) -> Self {
        self.option(name, Input::Id(id))
    }

    /// The option that is being typed, for autocompletion: what stands in it so far.
    pub fn typing(mut self, name: &str, so_far: &str) -> Self {
        self.focused = Some(name.to_owned());
        self.option(name, Input::Text(so_far.to_owned()))
    }

    /// Sends what Discord's client would not let people send: texts too long, required options missing.
    pub fn unchecked(mut self) -> Self {
        self.checked = false;
        self
    }

    /// It was typed this long ago, and the event comes late.
    pub fn typed_ago(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    fn option(mut self, name: &str, value: Input) -> Self {
        self.options.push((name.to_owned(), value));
        self
    }

    /// The `data` of the event. Panics when the registration does not allow it, or `who` would not be offered it.
    pub fn data(&self, who: &Member, command: &Value, people: &People) -> Value {
        let name = &self.name;
        let offered = who.may_see(&command["default_member_permissions"]);
        assert!(offered || !self.checked, "Discord does not offer /{name} to {}", who.name);
        let mut level = command;
        for step in &self.path {
            level = find(level, step).filter(|found| is_nesting(found)).unwrap_or_else(|| {
                panic!("/{name} has no subcommand {step}; it has {}", names(level));
            });
        }
        let ends = !options_of(level).iter().any(is_nesting);
        assert!(ends, "/{name} {} needs a subcommand: {}", self.path.join(" "), names(level));
        let mut resolved = json!({});
        let mut filled: Vec<Value> = Vec::new();
        for (key, input) in &self.options {
            let option = find(level, key).unwrap_or_else(|| {
                panic!("/{name} has no option {key}; it has {}", names(level));
            });
            filled.push(self.fill(option, input, who.guild_id, people, &mut resolved));
        }
        if self.checked && self.focused.is_none() {
            for option in options_of(level).iter().filter(|option| option["required"] == true) {
                let given = self.options.iter().any(|(key, _)| option["name"] == key.as_str());
                assert!(given, "/{name} needs the option {}", option["name"]);
            }
        }
        self.wrap(command, filled, &resolved)
    }

    fn wrap(&self, command: &Value, filled: Vec<Value>, resolved: &Value) -> Value {
        let mut options = filled;
        for (depth, step) in self.path.iter().enumerate().rev() {
            let innermost = depth + 1 == self.path.len();
            let kind = if innermost { SUBCOMMAND } else { GROUP };
            options = vec![json!({"name": step, "type": kind, "options": options})];
        }
        let mut data = json!({"id": command["id"], "name": command["name"], "type": command["type"]});
        if !options.is_empty() {
            data["options"] = Value::Array(options);
        }
        if resolved.as_object().is_some_and(|resolved| !resolved.is_empty()) {
            data["resolved"] = resolved.clone();
        }
        if !command["guild_id"].is_null() {
            data["guild_id"] = command["guild_id"].clone();
        }
        data
    }

    fn fill(&self, option: &Value, input: &Input, guild: u64, people: &People, resolved: &mut Value) -> Value {
        let kind = option["type"].as_u64().unwrap_or(0);
        let name = &option["name"];
        if self.focused.as_deref() == name.as_str() {
            let completes = option["autocomplete"] == true;
            assert!(completes, "the option {name} of /{} has no autocompletion", self.name);
            let Input::Text(text) = input else { panic!("{name} is typed as text") };
            return json!({"name": name, "type": kind, "value": text, "focused": true});
        }
        let value = match (kind, input) {
            (STRING, Input::Text(text)) => json!(text),
            (INTEGER, Input::Integer(value)) => json!(value),
            (NUMBER, Input::Number(value)) => json!(value),
            (BOOLEAN, Input::Boolean(value)) => json!(value),
            (USER | CHANNEL | ROLE | MENTIONABLE, Input::Id(id)) => {
                if self.focused.is_none() {
                    resolve(kind, *id, guild, people, resolved);
                }
                json!(id.to_string())
            }
            _ => panic!("the option {name} of /{} is of type {kind}, not {input:?}", self.name),
        };
        if self.checked {
            self.check_value(option, &value);
        }
        json!({"name": name, "type": kind, "value": value})
    }

    fn check_value(&self, option: &Value, value: &Value) {
        let about = format!("the option {} of /{}", option["name"], self.name);
        if let Some(text) = value.as_str().filter(|_| option["type"] == STRING) {
            let length = utf16_length(text) as u64;
            let max = option["max_length"].as_u64().unwrap_or(STRING_MAX);
            let min = option["min_length"].as_u64().unwrap_or(1);
            assert!((min..=max).contains(&length), "{about} takes {min} to {max} characters, not {length}");
        }
        if let Some(number) = value.as_f64() {
            let above = option["min_value"].as_f64().is_none_or(|min| number >= min);
            let below = option["max_value"].as_f64().is_none_or(|max| number <= max);
            assert!(above && below, "{about} does not take {number}");
        }
        if let Some(choices) = option["choices"].as_array().filter(|choices| !choices.is_empty()) {
            let offered = choices.iter().any(|choice| choice["value"] == *value);
            assert!(offered, "{about} offers no {value}");
        }
    }
}

/// Adds what an id stands for, as Discord does: users with their member, roles, channels.
fn resolve(kind: u64, id: u64, guild: u64, people: &People, resolved: &mut Value) {
    let key = id.to_string();
    let member = people.find_member(guild, id).filter(|_| matches!(kind, USER | MENTIONABLE));
    if let Some(member) = member {
        resolved["users"][&key] = member.user();
        resolved["members"][&key] = member.partial();
        return;
    }
    if matches!(kind, ROLE | MENTIONABLE) && people.has_role(guild, id) {
        resolved["roles"][&key] = people.role_json(id);
        return;
    }
    assert!(
        kind == CHANNEL && people.guild_of_channel(id) == Some(guild),
        "nobody and nothing with the id {id} fits an option of type {kind}"
    );
    let mut channel = people.channel_json(id);
    channel["permissions"] = json!("2248473465835073");
    resolved["channels"][&key] = channel;
}

fn is_nesting(option: &Value) -> bool {
    matches!(option["type"].as_u64(), Some(SUBCOMMAND | GROUP)) && option["id"].is_null()
}

fn options_of(level: &Value) -> &[Value] {
    level["options"].as_array().map_or(&[], Vec::as_slice)
}

fn find<'a>(level: &'a Value, name: &str) -> Option<&'a Value> {
    options_of(level).iter().find(|option| option["name"] == name)
}

fn names(level: &Value) -> String {
    let names: Vec<&str> = options_of(level).iter().filter_map(|o| o["name"].as_str()).collect();
    names.join(", ")
}
