//! What an environment passes to its pipeline: a JSON object whose strings may hold a deploy's own values. Pure.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value as Json};

use crate::deploy::parameters::{self, PARAMETERS_MAX, Parameter, VALUE_CHARS_MAX, Value};
use crate::invalid::Invalid;

/// The longest template in bytes.
const BYTES_MAX: usize = 4_000;

/// The words that stand for a deploy's own values, in braces.
pub const PLACEHOLDERS: [&str; 7] = ["id", "number", "environment", "actor", "branch", "revision", "reason"];

/// A template: the parameters of a pipeline, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template(Vec<Parameter>);

/// A deploy's own values, for the [`PLACEHOLDERS`] in their order.
#[derive(Debug, Clone, Default)]
pub struct Values<'a> {
    /// The deploy's UUID.
    pub id: &'a str,
    /// Its number.
    pub number: &'a str,
    /// Its environment.
    pub environment: &'a str,
    /// Who asked.
    pub actor: &'a str,
    /// Its branch.
    pub branch: &'a str,
    /// Its revision; empty where none is named.
    pub revision: &'a str,
    /// Its reason; empty where none is given.
    pub reason: &'a str,
}

impl Template {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it passes a parameter of that name.
    pub fn passes(&self, name: &str) -> bool {
        self.0.iter().any(|parameter| parameter.name == name)
    }

    /// Whether some parameter carries the deploy's own value `word`, one of the [`PLACEHOLDERS`].
    pub fn carries(&self, word: &str) -> bool {
        let placeholder = format!("{{{word}}}");
        self.0.iter().any(|parameter| matches!(&parameter.value, Value::Text(text) if text.contains(&placeholder)))
    }

    /// The parameters with a deploy's own values in place. Other types than strings stay as they are. A filled value may be
    /// longer than CircleCI takes.
    pub fn fill(&self, values: &Values<'_>) -> Vec<Parameter> {
        let of =
            [values.id, values.number, values.environment, values.actor, values.branch, values.revision, values.reason];
        let fill = |value: &Value| match value {
            Value::Text(text) => {
                // From left to right, so that what a value holds is not read as a placeholder itself.
                let mut filled = String::with_capacity(text.len());
                let mut rest = text.as_str();
                while let Some((before, word, after)) = next_placeholder(rest) {
                    filled.push_str(before);
                    filled.push_str(PLACEHOLDERS.iter().position(|known| *known == word).map_or("", |index| of[index]));
                    rest = after;
                }
                filled.push_str(rest);
                Value::Text(filled)
            }
            other => other.clone(),
        };
        self.0
            .iter()
            .map(|parameter| Parameter { name: parameter.name.clone(), value: fill(&parameter.value) })
            .collect()
    }
}

impl FromStr for Template {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.len() > BYTES_MAX {
            return Err(invalid(format!("A template has at most {BYTES_MAX} bytes.")));
        }
        let object: Map<String, Json> = serde_json::from_str(text).map_err(|error| {
            invalid(format!(
                "A template is a JSON object; this one can't be read at line {}, column {}.",
                error.line(),
                error.column()
            ))
        })?;
        if object.len() > PARAMETERS_MAX {
            return Err(invalid(format!("A template has at most {PARAMETERS_MAX} parameters, CircleCI's limit.")));
        }
        object.into_iter().map(|(name, value)| parameter(name, value)).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Template {
    /// The JSON object.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object: Map<String, Json> =
            self.0.iter().map(|parameter| (parameter.name.clone(), (&parameter.value).into())).collect();
        Json::Object(object).fmt(f)
    }
}

fn parameter(name: String, value: Json) -> Result<Parameter, Invalid> {
    parameters::check_name(&name).map_err(|refused| invalid(refused.why.into_owned()))?;
    let value = match value {
        Json::Bool(value) => Value::Boolean(value),
        Json::Number(number) => Value::Integer(
            number
                .as_i64()
                .filter(|number| parameters::is_exact(*number))
                .ok_or_else(|| invalid(format!("`{name}` is a number that CircleCI doesn't take: use a whole one.")))?,
        ),
        Json::String(text) => {
            if text.chars().count() > VALUE_CHARS_MAX {
                return Err(invalid(format!(
                    "The value of `{name}` is longer than {VALUE_CHARS_MAX} characters, CircleCI's limit."
                )));
            }
            check_placeholders(&name, &text)?;
            Value::Text(text)
        }
        Json::Null | Json::Array(_) | Json::Object(_) => {
            return Err(invalid(format!("`{name}` must be a string, a whole number, `true` or `false`.")));
        }
    };
    Ok(Parameter { name, value })
}

fn check_placeholders(name: &str, text: &str) -> Result<(), Invalid> {
    let mut rest = text;
    while let Some((_, word, after)) = next_placeholder(rest) {
        if !PLACEHOLDERS.contains(&word) {
            let known = PLACEHOLDERS.map(|word| format!("`{{{word}}}`")).join(", ");
            return Err(invalid(format!("`{name}` holds `{{{word}}}`, which stands for nothing. There are {known}.")));
        }
        rest = after;
    }
    Ok(())
}

/// The text before the next `{word}`, the word, and the text after it.
fn next_placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let open = from + text[from..].find('{')?;
        let inside = &text[open + 1..];
        let length = inside.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(inside.len());
        if length > 0 && inside[length..].starts_with('}') {
            return Some((&text[..open], &inside[..length], &inside[length + 1..]));
        }
        from = open + 1;
    }
}

fn invalid(why: String) -> Invalid {
    Invalid::new("template", why, r#"{"action": "deploy", "revision": "{revision}"}"#)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn types_stay_and_placeholders_are_filled() {
        let template: Template =
            r#"{"action":"deploy","dry":false,"count":3,"what":"{environment}:{branch}@{revision} by {actor} #{number} {reason}"}"#.parse().unwrap();
        let values = Values {
            number: "12",
            environment: "production",
            actor: "alice",
            branch: "main",
            revision: "abc",
            reason: "why {id}",
            ..Values::default()
        };
        let filled: Vec<String> = template.fill(&values).iter().map(|p| format!("{}={:?}", p.name, p.value)).collect();
        assert_eq!(
            filled,
            [
                "action=Text(\"deploy\")",
                "count=Integer(3)",
                "dry=Boolean(false)",
                "what=Text(\"production:main@abc by alice #12 why {id}\")"
            ]
        );
    }

    #[test]
    fn what_circleci_would_refuse_is_refused_when_it_is_written() {
        for bad in
            ["", "[]", "{", r#"{"a-b":"x"}"#, r#"{"a":null}"#, r#"{"a":1.5}"#, r#"{"a":{}}"#, r#"{"a":"{revison}"}"#]
        {
            assert!(bad.parse::<Template>().is_err(), "{bad}");
        }
        assert!(r#"{"json":"{\"a\":{}}"}"#.parse::<Template>().is_ok());
    }

    proptest! {
        #[test]
        fn printing_and_reading_are_inverse(pairs in prop::collection::btree_map("[a-z]{1,5}", "[ -z]{0,10}", 0..5)) {
            let text = serde_json::to_string(&pairs).unwrap();
            if let Ok(template) = text.parse::<Template>() {
                prop_assert_eq!(template.to_string().parse::<Template>(), Ok(template));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Template>();
        }
    }
}
