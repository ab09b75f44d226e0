//! The parameters that an environment declares: what people may pass to its builds, of which type and with which values. Pure.

use serde::{Deserialize, Serialize};

use crate::deploy::parameters::{self, Parameter, VALUE_CHARS_MAX, Value, is_exact};
use crate::invalid::Invalid;
use crate::refusal::Refusal;
use crate::vocabulary::vocabulary;

/// How many parameters an environment declares: CircleCI's limit for a pipeline.
pub const DECLARED_MAX: usize = 100;
/// How many values one may be limited to: as many as Discord offers.
const VALUES_MAX: usize = 25;

vocabulary! {
    /// The types that parameters have on CircleCI.
    ParameterType, "type", "string" {
        /// Any text.
        String = "string",
        /// A whole number.
        Integer = "integer",
        /// `true` or `false`.
        Boolean = "boolean",
    }
}

/// A declared parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Its type's word.
    #[serde(rename = "type")]
    pub kind: String,
    /// The only values that it takes; any of its type when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What is passed where nobody names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether somebody must name it.
    #[serde(default)]
    pub required: bool,
}

impl Declared {
    /// A parameter that can be declared.
    pub fn new(
        name: &str,
        kind: ParameterType,
        values: Vec<String>,
        default: Option<String>,
        required: bool,
    ) -> Result<Self, Refusal> {
        let refuse = |option: &str, given: &str, invalid: Invalid| Refusal::Invalid {
            option: option.to_owned(),
            given: given.to_owned(),
            invalid,
        };
        parameters::check_name(name).map_err(|invalid| refuse("name", name, invalid))?;
        if values.len() > VALUES_MAX {
            let why = format!("At most {VALUES_MAX} values can be listed.");
            return Err(refuse("values", "", Invalid::new("list of values", why, "blue,green")));
        }
        let declared = Self { name: name.to_owned(), kind: kind.as_str().to_owned(), values, default, required };
        for value in &declared.values {
            read(kind, value).map_err(|invalid| refuse("values", value, invalid))?;
        }
        if let Some(default) = &declared.default {
            declared.value(default).map_err(|invalid| refuse("default", default, invalid))?;
        }
        Ok(declared)
    }

    /// Refuses what could not be declared: one that was read from somewhere else than a command.
    pub fn check(&self) -> Result<(), Refusal> {
        let kind = self.kind.parse().map_err(|invalid| Refusal::Invalid {
            option: "type".to_owned(),
            given: self.kind.clone(),
            invalid,
        })?;
        Self::new(&self.name, kind, self.values.clone(), self.default.clone(), self.required).map(drop)
    }

    /// A given text as its value, or why it isn't one.
    fn value(&self, text: &str) -> Result<Value, Invalid> {
        let kind = self.kind.parse().unwrap_or(ParameterType::String);
        let value = read(kind, text)?;
        if self.values.is_empty() || self.values.iter().any(|allowed| allowed == text) {
            return Ok(value);
        }
        let allowed: Vec<String> = self.values.iter().map(|value| format!("`{value}`")).collect();
        let why = format!("`{}` is one of {}.", self.name, allowed.join(", "));
        Err(Invalid::new("parameter", why, "REGION=eu"))
    }

    /// What stands for a value of it in an example: `REGION=eu`.
    fn example(&self) -> String {
        let of_type = match self.kind.as_str() {
            "integer" => "3",
            "boolean" => "true",
            _ => "…",
        };
        let value = self.values.first().or(self.default.as_ref()).map_or(of_type, String::as_str);
        format!("{}={value}", self.name)
    }
}

fn read(kind: ParameterType, text: &str) -> Result<Value, Invalid> {
    let wrong = |why: &str, example: &'static str| Invalid::new("parameter", why.to_owned(), example);
    match kind {
        ParameterType::String if text.chars().count() > VALUE_CHARS_MAX => {
            Err(wrong("A value has at most 512 characters, CircleCI's limit.", "blue"))
        }
        ParameterType::String => Ok(Value::Text(text.to_owned())),
        ParameterType::Integer => match text.parse::<i64>() {
            Ok(number) if is_exact(number) => Ok(Value::Integer(number)),
            _ => Err(wrong("It takes a whole number.", "3")),
        },
        ParameterType::Boolean => match text {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err(wrong("It takes true or false.", "true")),
        },
    }
}

/// What is passed of what somebody gave, where these parameters are declared: of their types, completed by their defaults. Where
/// none is declared everything goes.
pub fn check(declared: &[Declared], given: Vec<Parameter>) -> Result<Vec<Parameter>, Refusal> {
    if declared.is_empty() {
        return Ok(given);
    }
    let refuse = |given: &Parameter, invalid: Invalid| Refusal::Invalid {
        option: "parameters".to_owned(),
        given: format!("{}={}", given.name, given.value),
        invalid,
    };
    let mut passed = Vec::with_capacity(declared.len());
    for parameter in given {
        let Some(known) = declared.iter().find(|known| known.name == parameter.name) else {
            let names: Vec<String> = declared.iter().map(|known| format!("`{}`", known.name)).collect();
            let why = format!("It is not among what is declared there: {}.", names.join(", "));
            return Err(refuse(&parameter, Invalid::new("parameter", why, "REGION=eu")));
        };
        let value = known.value(&parameter.value.to_string()).map_err(|invalid| refuse(&parameter, invalid))?;
        passed.push(Parameter { name: parameter.name, value });
    }
    for known in declared {
        if passed.iter().any(|parameter| parameter.name == known.name) {
            continue;
        }
        match &known.default {
            Some(default) => {
                let value = known.value(default).unwrap_or_else(|_| Value::Text(default.clone()));
                passed.push(Parameter { name: known.name.clone(), value });
            }
            None if known.required => {
                return Err(Refusal::conflict(
                    format!("The parameter `{}` must be named there.", known.name),
                    format!("Say it in `parameters`: `{}`.", known.example()),
                ));
            }
            None => {}
        }
    }
    Ok(passed)
}

/// What completes `typed`, the parameters so far: the names that are still to be said, and the values of the last one.
pub fn complete(declared: &[Declared], typed: &str) -> Vec<String> {
    let (before, last) = match typed.rfind(' ') {
        Some(at) => typed.split_at(at + 1),
        None => ("", typed),
    };
    let said = |name: &str| before.split(' ').any(|pair| pair.split_once('=').is_some_and(|(known, _)| known == name));
    if let Some((name, _)) = last.split_once('=') {
        let values = declared.iter().filter(|known| known.name == name).flat_map(|known| {
            let words: &[String] = &known.values;
            let flags = if known.kind == "boolean" && words.is_empty() { vec!["true", "false"] } else { vec![] };
            let default = known.default.as_deref().filter(|_| words.is_empty());
            let all = words.iter().map(String::as_str).chain(flags).chain(default);
            all.map(|value| format!("{before}{name}={}", crate::words::quote(value))).collect::<Vec<_>>()
        });
        return values.collect();
    }
    declared.iter().filter(|known| !said(&known.name)).map(|known| format!("{before}{}=", known.name)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn declared() -> Vec<Declared> {
        let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        vec![
            Declared::new("REGION", ParameterType::String, values(&["eu", "us"]), None, true).unwrap(),
            Declared::new("REPLICAS", ParameterType::Integer, vec![], Some("2".into()), false).unwrap(),
            Declared::new("MIGRATE", ParameterType::Boolean, vec![], None, false).unwrap(),
        ]
    }

    fn passed(text: &str) -> Result<Vec<(String, Value)>, String> {
        match check(&declared(), parameters::parse(text).unwrap()) {
            Ok(passed) => Ok(passed.into_iter().map(|p| (p.name, p.value)).collect()),
            Err(Refusal::Invalid { invalid, .. }) => Err(invalid.why.into_owned()),
            Err(refusal) => Err(refusal.why()),
        }
    }

    #[test]
    fn what_is_given_has_its_declared_type_and_what_is_not_its_default() {
        let text = |text: &str| Value::Text(text.to_owned());
        assert_eq!(
            passed("REGION=eu MIGRATE=true").unwrap(),
            [
                ("REGION".to_owned(), text("eu")),
                ("MIGRATE".to_owned(), Value::Boolean(true)),
                ("REPLICAS".to_owned(), Value::Integer(2)),
            ]
        );
        assert!(passed("").unwrap_err().contains("`REGION` must be named"));
        assert!(passed("REGION=asia").unwrap_err().contains("one of `eu`, `us`"));
        assert!(passed("REGION=eu REPLICAS=many").unwrap_err().contains("a whole number"));
        assert!(passed("REGION=eu OTHER=1").unwrap_err().contains("not among what is declared"));
    }

    #[test]
    fn what_can_not_be_is_not_declared() {
        let new = |name, kind, values: &[&str], default: Option<&str>| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            Declared::new(name, kind, values, default.map(str::to_owned), false).is_ok()
        };
        assert!(!new("API_TOKEN", ParameterType::String, &[], None));
        assert!(!new("N", ParameterType::Integer, &["1", "x"], None));
        assert!(!new("N", ParameterType::Integer, &["1", "2"], Some("3")));
        assert!(new("N", ParameterType::Integer, &["1", "2"], Some("2")));
    }

    #[test]
    fn names_and_values_complete() {
        assert_eq!(complete(&declared(), ""), ["REGION=", "REPLICAS=", "MIGRATE="]);
        assert_eq!(complete(&declared(), "REGION="), ["REGION=eu", "REGION=us"]);
        assert_eq!(complete(&declared(), "REGION=eu MI"), ["REGION=eu REPLICAS=", "REGION=eu MIGRATE="]);
        assert_eq!(complete(&declared(), "REGION=eu MIGRATE="), ["REGION=eu MIGRATE=true", "REGION=eu MIGRATE=false"]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = complete(&declared(), &text);
            if let Ok(given) = parameters::parse(&text) {
                let _ = check(&declared(), given);
            }
        }
    }
}
