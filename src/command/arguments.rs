//! The arguments of a command as a chat delivers them, and reading them into types. Knows nothing of which chat.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::actor::Actor;
use crate::id::RoleId;
use crate::invalid::Invalid;
use crate::permission::Subject;
use crate::refusal::Refusal;

/// An argument as it was delivered.
#[derive(Debug, Clone)]
pub enum Value {
    /// Text that a person typed.
    Text(String),
    /// A person, with the roles that the chat says they hold.
    User(Actor),
    /// A role, by its name at this moment.
    Role(RoleId, String),
}

/// The arguments of one command by their options' names.
#[derive(Debug, Clone, Default)]
pub struct Arguments(BTreeMap<String, Value>);

impl Arguments {
    /// Adds an argument.
    pub fn with(mut self, name: impl Into<String>, value: Value) -> Self {
        self.insert(name, value);
        self
    }

    /// Adds an argument; whether there was none of that name.
    pub fn insert(&mut self, name: impl Into<String>, value: Value) -> bool {
        self.0.insert(name.into(), value).is_none()
    }

    /// The text given for `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.0.get(name)? {
            Value::Text(text) => Some(text),
            Value::User(_) | Value::Role(..) => None,
        }
    }

    /// The argument `name`, which must be there.
    pub fn required<T: FromStr<Err = Invalid>>(&self, name: &'static str) -> Result<T, Refusal> {
        self.optional(name)?.ok_or_else(|| missing(name))
    }

    /// The argument `name`, if it is there. Empty text counts as none.
    pub fn optional<T: FromStr<Err = Invalid>>(&self, name: &'static str) -> Result<Option<T>, Refusal> {
        self.optional_with(name, T::from_str)
    }

    /// The argument `name`, if it is there, as `read` understands it.
    pub fn optional_with<T>(
        &self,
        name: &'static str,
        read: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Refusal> {
        let Some(text) = self.text(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        read(text).map(Some).map_err(|invalid| Refusal::Invalid {
            option: name.to_owned(),
            given: text.to_owned(),
            invalid,
        })
    }

    /// Whether `name` is said to be so; none where nothing is said.
    pub fn flag(&self, name: &'static str) -> Result<Option<bool>, Refusal> {
        self.optional_with(name, |text| match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Invalid::new("flag", "It must be True or False.", "True")),
        })
    }

    /// The person given for `name`, who must be there.
    pub fn user(&self, name: &'static str) -> Result<&Actor, Refusal> {
        match self.0.get(name) {
            Some(Value::User(actor)) => Ok(actor),
            _ => Err(missing(name)),
        }
    }

    /// The person or role given for `name`, if it is there.
    pub fn subject(&self, name: &'static str) -> Option<Subject> {
        match self.0.get(name)? {
            Value::User(actor) => match actor.id {
                crate::actor::ActorId::User(id) => Some(Subject::User(id)),
                _ => None,
            },
            Value::Role(id, _) => Some(Subject::Role(*id)),
            Value::Text(_) => None,
        }
    }

    /// The page of a list.
    pub fn page(&self) -> usize {
        self.text(super::PAGE_OPTION).and_then(|page| page.parse().ok()).unwrap_or(1)
    }
}

/// The refusal for want of the option `name`.
pub fn missing(name: &'static str) -> Refusal {
    Refusal::conflict(format!("The option `{name}` is missing."), "`/help` shows what the command takes.")
}
