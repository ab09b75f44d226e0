//! What a person passes to a build: `NAME=value NAME2="other value"`. Knows nothing of how CircleCI is told.

use std::fmt;

use crate::invalid::Invalid;
use crate::words;

/// CircleCI's limits for a pipeline's parameters (`triggerPipelineRun` in its v2 specification), kept for jobs too.
pub const PARAMETERS_MAX: usize = 100;
/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 128;
/// The longest value, in characters.
pub const VALUE_CHARS_MAX: usize = 512;

/// How a name ends that looks like a secret: everyone who may see the project in CircleCI can read a build's parameters.
const SECRET_ENDINGS: [&str; 8] =
    ["TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "KEY", "CREDENTIAL", "CREDENTIALS"];

/// One parameter of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name: ASCII letters, digits and `_`, not beginning with a digit.
    pub name: String,
    /// Its value.
    pub value: Value,
}

/// A parameter's value. A pipeline's parameters have types, so what looks like a number or a truth value is one, unless
/// it is quoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Anything else, and anything quoted.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Boolean(value) => value.fmt(f),
            Value::Integer(value) => value.fmt(f),
            Value::Text(value) => value.fmt(f),
        }
    }
}

impl From<&Value> for serde_json::Value {
    fn from(value: &Value) -> Self {
        match value {
            Value::Boolean(value) => (*value).into(),
            Value::Integer(value) => (*value).into(),
            Value::Text(value) => value.as_str().into(),
        }
    }
}

/// Reads `NAME=value NAME2="other value"`.
pub fn parse(text: &str) -> Result<Vec<Parameter>, Invalid> {
    // Without what stands before the quote, which may be long, and a secret.
    let unclosed = |_| {
        invalid(
            "A quote (\") is opened and never closed. Close it, or write \\\" inside quotes for the sign itself."
                .to_owned(),
        )
    };
    let words = words::split(text).map_err(unclosed)?;
    let mut parameters: Vec<Parameter> = Vec::with_capacity(words.len());
    for word in words {
        let (name, value) = word.text.split_once('=').ok_or_else(|| {
            invalid("Every parameter is a name, `=` and a value, with spaces between parameters.".to_owned())
        })?;
        check_name(name)?;
        if value.chars().count() > VALUE_CHARS_MAX {
            return Err(invalid(format!(
                "The value of `{name}` is longer than {VALUE_CHARS_MAX} characters, CircleCI's limit."
            )));
        }
        if value.contains(|c: char| c.is_control() && c != '\n' && c != '\t') {
            return Err(invalid(format!("The value of `{name}` holds a control character.")));
        }
        if parameters.iter().any(|known| known.name == name) {
            return Err(invalid(format!("`{name}` is given twice.")));
        }
        parameters.push(Parameter { name: name.to_owned(), value: typed(value, word.quoted) });
    }
    if parameters.len() > PARAMETERS_MAX {
        return Err(invalid(format!("There are more than {PARAMETERS_MAX} parameters, CircleCI's limit.")));
    }
    Ok(parameters)
}

/// Whether CircleCI takes `name` for a parameter: ASCII letters, digits and `_`, not beginning with a digit
/// (docs/guides/security/inject-environment-variables-with-api).
pub fn is_name(name: &str) -> bool {
    let begins_well = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins_well && name.len() <= NAME_CHARS_MAX && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether every JSON reader reads `number` as it is: beyond 2^53 many, RFC 8785 among them, round.
pub fn is_exact(number: i64) -> bool {
    number.unsigned_abs() <= 1 << 53
}

/// Refuses a name that CircleCI doesn't take, that is reserved, or that looks like a secret.
pub fn check_name(name: &str) -> Result<(), Invalid> {
    if !is_name(name) {
        return Err(invalid(
            "A parameter's name has letters, digits and `_` only, doesn't begin with a digit, and has at most 128 characters."
                .to_owned(),
        ));
    }
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("CIRCLE_") || upper.starts_with("SLIPWAY_") {
        return Err(invalid(format!(
            "`{name}` is reserved: names that begin with `CIRCLE_` or `SLIPWAY_` are set by the services themselves."
        )));
    }
    let singular = upper.strip_suffix('S').unwrap_or(&upper);
    if SECRET_ENDINGS.iter().any(|ending| upper.ends_with(ending) || singular.ends_with(ending)) {
        return Err(invalid(format!(
            "`{name}` looks like a secret, and everyone who sees the project in CircleCI can read a build's parameters. \
             Define it in the project's settings on CircleCI instead."
        )));
    }
    Ok(())
}

fn typed(value: &str, quoted: bool) -> Value {
    match (quoted, value) {
        (false, "true") => Value::Boolean(true),
        (false, "false") => Value::Boolean(false),
        // Only what prints back the same is a number: `007` and `+1` are text.
        (false, digits) => match digits.parse::<i64>() {
            Ok(number) if number.to_string() == digits && is_exact(number) => Value::Integer(number),
            _ => Value::Text(value.to_owned()),
        },
        (true, _) => Value::Text(value.to_owned()),
    }
}

fn invalid(why: String) -> Invalid {
    Invalid::new("parameter", why, r#"IMAGE_TAG=v1.2 NOTE="first try""#)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn why(text: &str) -> String {
        parse(text).unwrap_err().why.into_owned()
    }

    #[test]
    fn names_and_values_are_read_with_their_types() {
        let parameters = parse(r#"TAG=v1.2 COUNT=3 DRY=true NOTE="other value" ID="7" EMPTY= PATH=a=b"#).unwrap();
        let read: Vec<_> = parameters.iter().map(|p| (p.name.as_str(), p.value.clone())).collect();
        assert_eq!(
            read,
            [
                ("TAG", Value::Text("v1.2".into())),
                ("COUNT", Value::Integer(3)),
                ("DRY", Value::Boolean(true)),
                ("NOTE", Value::Text("other value".into())),
                ("ID", Value::Text("7".into())),
                ("EMPTY", Value::Text(String::new())),
                ("PATH", Value::Text("a=b".into())),
            ]
        );
        assert_eq!(parse("  "), Ok(vec![]));
    }

    #[test]
    fn reserved_secret_looking_and_malformed_names_are_refused() {
        assert!(why("CIRCLE_JOB=x").contains("reserved"));
        assert!(why("slipway_actor=x").contains("reserved"));
        for secret in ["API_TOKEN=x", "db_password=x", "MY_SECRET=x", "SSH_KEY=x", "apikeys=x"] {
            assert!(why(secret).contains("looks like a secret"), "{secret}");
        }
        for malformed in ["1A=x", "A-B=x", "=x", "A B=x", "É=x", "novalue", "A=1 A=2", "A=\"x"] {
            assert!(parse(malformed).is_err(), "{malformed}");
        }
        assert!(parse(&format!("A={}", "x".repeat(513))).is_err());
        assert!(parse(&(0..101).map(|i| format!("A{i}=x ")).collect::<String>()).is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_read_has_legal_names(text in ".{0,60}") {
            for parameter in parse(&text).unwrap_or_default() {
                prop_assert!(parameter.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
            }
        }
    }
}
