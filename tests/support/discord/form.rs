//! "Invalid Form Body": what Discord says of a body that breaks its rules. Collects errors by path and writes Discord's
//! tree of them. It must not know which rules there are.

use serde_json::{Map, Value, json};

/// The errors found in one request body.
#[derive(Default)]
pub struct FormErrors(Vec<FormError>);

struct FormError {
    path: String,
    code: &'static str,
    message: String,
}

impl FormErrors {
    /// Notes an error at `path`, whose steps are separated by dots: `embeds.0.title`.
    pub fn add(&mut self, path: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.0.push(FormError { path: path.into(), code, message: message.into() });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Refuses a text whose length in UTF-16 units is not within `min..=max`.
    pub fn length(&mut self, path: &str, text: &str, min: usize, max: usize) {
        let length = utf16_length(text);
        if length < min || length > max || (min > 0 && text.trim().is_empty()) {
            self.add(path, "BASE_TYPE_BAD_LENGTH", format!("Must be between {min} and {max} in length (is {length})."));
        }
    }

    /// Refuses a list of more than `max` entries.
    pub fn count(&mut self, path: &str, count: usize, max: usize) {
        if count > max {
            self.add(path, "BASE_TYPE_MAX_LENGTH", format!("Must be {max} or fewer in length (is {count})."));
        }
    }

    /// Notes that something necessary is missing.
    pub fn required(&mut self, path: &str) {
        self.add(path, "BASE_TYPE_REQUIRED", "This field is required");
    }

    /// Discord's body of the refusal: `400` with code 50035.
    pub fn to_json(&self) -> Value {
        let mut tree = json!({});
        for error in &self.0 {
            let mut node = &mut tree;
            for step in error.path.split('.').filter(|step| !step.is_empty()) {
                node = &mut node[step];
                if node.is_null() {
                    *node = Value::Object(Map::new());
                }
            }
            let entry = json!({"code": error.code, "message": error.message});
            match node["_errors"].as_array_mut() {
                Some(errors) => errors.push(entry),
                None => node["_errors"] = json!([entry]),
            }
        }
        json!({"message": "Invalid Form Body", "code": 50035, "errors": tree})
    }

    /// The same in one line, for people.
    pub fn summary(&self) -> String {
        let lines: Vec<String> =
            self.0.iter().map(|error| format!("{}: {} {}", error.path, error.code, error.message)).collect();
        lines.join("; ")
    }
}

/// Discord counts the length of texts in UTF-16 units.
pub fn utf16_length(text: &str) -> usize {
    text.encode_utf16().count()
}
