//! Discord's limits on messages (resources/message, components/reference), checked on the bodies that a bot sends. It must
//! not know where a message goes nor what is done with it.

use std::collections::HashSet;

use serde_json::Value;

use super::form::{FormErrors, utf16_length};

const CONTENT_MAX: usize = 2000;
const EMBEDS_MAX: usize = 10;
const EMBEDS_TOTAL_MAX: usize = 6000;
const EMBED_TITLE_MAX: usize = 256;
const EMBED_DESCRIPTION_MAX: usize = 4096;
const EMBED_FIELDS_MAX: usize = 25;
const EMBED_FIELD_NAME_MAX: usize = 256;
const EMBED_FIELD_VALUE_MAX: usize = 1024;
const EMBED_FOOTER_MAX: usize = 2048;
const EMBED_AUTHOR_MAX: usize = 256;
const ROWS_MAX: usize = 5;
const BUTTONS_A_ROW_MAX: usize = 5;
const BUTTON_LABEL_MAX: usize = 80;
const CUSTOM_ID_MAX: usize = 100;
const BUTTON_URL_MAX: usize = 512;
const SELECT_OPTIONS_MAX: usize = 25;
const SELECT_TEXT_MAX: usize = 100;
const SELECT_PLACEHOLDER_MAX: usize = 150;
const COMPONENTS_V2_MAX: usize = 40;
const COMPONENTS_V2_TEXT_MAX: usize = 4000;
const NONCE_MAX: usize = 25;
const CHOICES_MAX: usize = 25;
const CHOICE_TEXT_MAX: usize = 100;
const MODAL_TITLE_MAX: usize = 45;

/// The message is seen only by the person who asked.
pub const EPHEMERAL: u64 = 1 << 6;
/// The message is a deferral: "thinking".
pub const LOADING: u64 = 1 << 7;
/// The message is made of components only.
pub const COMPONENTS_V2: u64 = 1 << 15;
/// Flags that a bot may set: suppress embeds, ephemeral, suppress notifications, components V2.
const SETTABLE_FLAGS: u64 = 1 << 2 | EPHEMERAL | 1 << 12 | COMPONENTS_V2;

/// Checks the body of a message to be made or edited. `components_v2` says that the message was made with that flag.
pub fn check_message(body: &Value, components_v2: bool, errors: &mut FormErrors) {
    let flags = body["flags"].as_u64().unwrap_or(0);
    if flags & !SETTABLE_FLAGS != 0 {
        errors.add("flags", "MESSAGE_FLAGS_INVALID", "Cannot set these flags");
    }
    let components_v2 = components_v2 || flags & COMPONENTS_V2 != 0;
    match &body["content"] {
        Value::Null => {}
        Value::String(content) => errors.length("content", content, 0, CONTENT_MAX),
        _ => errors.add("content", "BASE_TYPE_BAD_TYPE", "Must be string."),
    }
    match &body["nonce"] {
        Value::String(nonce) => errors.length("nonce", nonce, 1, NONCE_MAX),
        Value::Null | Value::Number(_) => {}
        _ => errors.add("nonce", "BASE_TYPE_BAD_TYPE", "Must be string or integer."),
    }
    if let Some(embeds) = list(body, "embeds", errors) {
        check_embeds(embeds, errors);
    }
    if let Some(components) = list(body, "components", errors) {
        check_components(components, components_v2, errors);
    }
    let has_text =
        !body["content"].as_str().unwrap_or("").is_empty() || body["embeds"].as_array().is_some_and(|e| !e.is_empty());
    if components_v2 && has_text {
        errors.add(
            "content",
            "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
            "The 'content' and 'embeds' fields cannot be used when using MessageFlags.IS_COMPONENTS_V2",
        );
    }
}

/// What is wrong with the `allowed_mentions` of a message's body, if anything: a body that carries text must say
/// `"parse": []`, so that no text can ping anybody.
pub fn unsafe_mentions(body: &Value) -> Option<&'static str> {
    let content = !body["content"].as_str().unwrap_or("").is_empty();
    let embeds = body["embeds"].as_array().is_some_and(|e| !e.is_empty());
    let text_components = body["flags"].as_u64().unwrap_or(0) & COMPONENTS_V2 != 0;
    if !content && !embeds && !text_components {
        return None;
    }
    match body["allowed_mentions"]["parse"].as_array() {
        Some(parse) if parse.is_empty() => None,
        Some(_) => Some("its allowed_mentions let text ping people"),
        None => Some("it has no allowed_mentions with \"parse\": []"),
    }
}

/// Checks the choices of an autocomplete answer.
pub fn check_choices(data: &Value, errors: &mut FormErrors) {
    let Some(choices) = data["choices"].as_array() else {
        return errors.required("data.choices");
    };
    errors.count("data.choices", choices.len(), CHOICES_MAX);
    for (i, choice) in choices.iter().enumerate() {
        let name = choice["name"].as_str().unwrap_or("");
        errors.length(&format!("data.choices.{i}.name"), name, 1, CHOICE_TEXT_MAX);
        match &choice["value"] {
            Value::String(value) => {
                errors.length(&format!("data.choices.{i}.value"), value, 1, CHOICE_TEXT_MAX);
            }
            Value::Number(_) => {}
            _ => errors.required(&format!("data.choices.{i}.value")),
        }
    }
}

const INPUT_LABEL_MAX: usize = 45;
const INPUT_PLACEHOLDER_MAX: usize = 100;

/// Checks a modal: its title, its id and its text inputs, one in each row (components/reference, "Text Input").
pub fn check_modal(data: &Value, errors: &mut FormErrors) {
    let text = |key: &str| data[key].as_str().unwrap_or("");
    errors.length("data.title", text("title"), 1, MODAL_TITLE_MAX);
    errors.length("data.custom_id", text("custom_id"), 1, CUSTOM_ID_MAX);
    let components = data["components"].as_array().map_or(0, Vec::len);
    if components == 0 {
        errors.required("data.components");
    }
    errors.count("data.components", components, ROWS_MAX);
    let mut ids = Vec::new();
    for (i, row) in data["components"].as_array().into_iter().flatten().enumerate() {
        let inputs = row["components"].as_array().map_or(&[][..], Vec::as_slice);
        let [input] = inputs else {
            errors.add(
                format!("data.components.{i}"),
                "COMPONENT_LAYOUT_INVALID",
                "A row of a modal holds one text input",
            );
            continue;
        };
        let path = format!("data.components.{i}.components.0");
        let text = |key: &str| input[key].as_str().unwrap_or("");
        if input["type"] != 4 || !matches!(input["style"].as_u64(), Some(1 | 2)) {
            errors.add(format!("{path}.type"), "BASE_TYPE_CHOICES", "It must be a text input, short or a paragraph");
        }
        errors.length(&format!("{path}.custom_id"), text("custom_id"), 1, CUSTOM_ID_MAX);
        errors.length(&format!("{path}.label"), text("label"), 1, INPUT_LABEL_MAX);
        errors.length(&format!("{path}.placeholder"), text("placeholder"), 0, INPUT_PLACEHOLDER_MAX);
        let in_range =
            |key: &str, least: u64| input[key].as_u64().is_none_or(|length| (least..=4_000).contains(&length));
        if !in_range("min_length", 0) || !in_range("max_length", 1) {
            errors.add(&path, "NUMBER_TYPE_MAX", "A text input holds at most 4000 characters");
        }
        if ids.contains(&text("custom_id")) {
            errors.add(
                format!("{path}.custom_id"),
                "COMPONENT_CUSTOM_ID_DUPLICATED",
                "Component custom id cannot be duplicated",
            );
        }
        ids.push(text("custom_id"));
    }
}

fn list<'a>(body: &'a Value, key: &str, errors: &mut FormErrors) -> Option<&'a Vec<Value>> {
    match &body[key] {
        Value::Null => None,
        Value::Array(entries) => Some(entries),
        _ => {
            errors.add(key, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
            None
        }
    }
}

fn check_embeds(embeds: &[Value], errors: &mut FormErrors) {
    errors.count("embeds", embeds.len(), EMBEDS_MAX);
    let mut total = 0;
    for (i, embed) in embeds.iter().enumerate() {
        let path = format!("embeds.{i}");
        let mut text = |key: &str, value: &Value, min: usize, max: usize| {
            let Some(text) = value.as_str() else {
                if min > 0 {
                    errors.required(&format!("{path}.{key}"));
                }
                return;
            };
            total += utf16_length(text);
            errors.length(&format!("{path}.{key}"), text, min, max);
        };
        text("title", &embed["title"], 0, EMBED_TITLE_MAX);
        text("description", &embed["description"], 0, EMBED_DESCRIPTION_MAX);
        if embed["footer"].is_object() {
            text("footer.text", &embed["footer"]["text"], 1, EMBED_FOOTER_MAX);
        }
        if embed["author"].is_object() {
            text("author.name", &embed["author"]["name"], 1, EMBED_AUTHOR_MAX);
        }
        let fields = embed["fields"].as_array().map_or(&[][..], Vec::as_slice);
        for (j, field) in fields.iter().enumerate() {
            let (name, value) = (&field["name"], &field["value"]);
            text(&format!("fields.{j}.name"), name, 1, EMBED_FIELD_NAME_MAX);
            text(&format!("fields.{j}.value"), value, 1, EMBED_FIELD_VALUE_MAX);
        }
        errors.count(&format!("{path}.fields"), fields.len(), EMBED_FIELDS_MAX);
        if let Some(url) = embed["url"].as_str().filter(|url| !is_http(url)) {
            let message = format!("Scheme of \"{url}\" is not supported. Must be http or https.");
            errors.add(format!("{path}.url"), "URL_TYPE_INVALID_SCHEME", message);
        }
        if embed["color"].as_u64().is_some_and(|color| color > 0xFF_FFFF) {
            errors.add(
                format!("{path}.color"),
                "NUMBER_TYPE_MAX",
                "int value should be less than or equal to 16777215.",
            );
        }
    }
    if total > EMBEDS_TOTAL_MAX {
        errors.add(
            "embeds",
            "MAX_EMBED_SIZE_EXCEEDED",
            format!("Embed size exceeds maximum size of {EMBEDS_TOTAL_MAX} (is {total})"),
        );
    }
}

fn check_components(components: &[Value], v2: bool, errors: &mut FormErrors) {
    let mut seen = Seen::default();
    if v2 {
        check_tree(components, "components", &mut seen, errors);
        errors.count("components", seen.count, COMPONENTS_V2_MAX);
        errors.count("components", seen.text, COMPONENTS_V2_TEXT_MAX);
        return;
    }
    errors.count("components", components.len(), ROWS_MAX);
    for (i, row) in components.iter().enumerate() {
        if row["type"] != 1 {
            errors.add(
                format!("components.{i}.type"),
                "UNION_TYPE_CHOICES",
                "Value of field \"type\" must be one of (1,).",
            );
        }
    }
    check_tree(components, "components", &mut seen, errors);
}

#[derive(Default)]
struct Seen {
    custom_ids: HashSet<String>,
    count: usize,
    text: usize,
}

fn check_tree(components: &[Value], path: &str, seen: &mut Seen, errors: &mut FormErrors) {
    for (i, component) in components.iter().enumerate() {
        let path = format!("{path}.{i}");
        seen.count += 1;
        seen.text += utf16_length(component["content"].as_str().unwrap_or(""));
        match component["type"].as_u64() {
            Some(1) => {
                let buttons = component["components"].as_array().map_or(0, Vec::len);
                if buttons == 0 {
                    errors.required(&format!("{path}.components"));
                }
                errors.count(&format!("{path}.components"), buttons, BUTTONS_A_ROW_MAX);
            }
            Some(2) => check_button(component, &path, seen, errors),
            Some(3 | 5..=8) => check_select(component, &path, seen, errors),
            Some(9..=14 | 17) => {}
            _ => errors.add(format!("{path}.type"), "UNION_TYPE_CHOICES", "Not a component of a message."),
        }
        if let Some(children) = component["components"].as_array() {
            check_tree(children, &format!("{path}.components"), seen, errors);
        }
        if component["accessory"].is_object() {
            let accessory = std::slice::from_ref(&component["accessory"]);
            check_tree(accessory, &format!("{path}.accessory"), seen, errors);
        }
    }
}

fn check_button(button: &Value, path: &str, seen: &mut Seen, errors: &mut FormErrors) {
    if let Some(label) = button["label"].as_str() {
        errors.length(&format!("{path}.label"), label, 1, BUTTON_LABEL_MAX);
    } else if button["emoji"].is_null() {
        errors.required(&format!("{path}.label"));
    }
    let url = button["url"].as_str();
    match (button["style"].as_u64(), url) {
        (Some(5), Some(url)) => {
            errors.length(&format!("{path}.url"), url, 1, BUTTON_URL_MAX);
            if !is_http(url) {
                errors.add(format!("{path}.url"), "URL_TYPE_INVALID_SCHEME", "Must be http, https or discord.");
            }
            if !button["custom_id"].is_null() {
                let message = "A custom id and url cannot both be specified";
                errors.add(path, "COMPONENT_CUSTOM_ID_AND_URL", message);
            }
        }
        (Some(5), None) => errors.required(&format!("{path}.url")),
        (Some(1..=4), None) => check_custom_id(button, path, seen, errors),
        (Some(1..=4), Some(_)) => {
            let message = "Only link buttons have a url";
            errors.add(format!("{path}.url"), "COMPONENT_URL_NOT_ALLOWED", message);
        }
        _ => errors.add(format!("{path}.style"), "BASE_TYPE_CHOICES", "Value must be one of {1, 2, 3, 4, 5}."),
    }
}

fn check_select(select: &Value, path: &str, seen: &mut Seen, errors: &mut FormErrors) {
    check_custom_id(select, path, seen, errors);
    let placeholder = select["placeholder"].as_str().unwrap_or("");
    errors.length(&format!("{path}.placeholder"), placeholder, 0, SELECT_PLACEHOLDER_MAX);
    if select["type"] != 3 {
        return;
    }
    let options = select["options"].as_array().map_or(&[][..], Vec::as_slice);
    if options.is_empty() {
        errors.required(&format!("{path}.options"));
    }
    errors.count(&format!("{path}.options"), options.len(), SELECT_OPTIONS_MAX);
    for (i, option) in options.iter().enumerate() {
        for key in ["label", "value"] {
            let text = option[key].as_str().unwrap_or("");
            errors.length(&format!("{path}.options.{i}.{key}"), text, 1, SELECT_TEXT_MAX);
        }
    }
}

fn check_custom_id(component: &Value, path: &str, seen: &mut Seen, errors: &mut FormErrors) {
    let Some(custom_id) = component["custom_id"].as_str() else {
        return errors.required(&format!("{path}.custom_id"));
    };
    errors.length(&format!("{path}.custom_id"), custom_id, 1, CUSTOM_ID_MAX);
    if !seen.custom_ids.insert(custom_id.to_owned()) {
        errors.add(
            format!("{path}.custom_id"),
            "COMPONENT_CUSTOM_ID_DUPLICATED",
            "Component custom id cannot be duplicated",
        );
    }
}

fn is_http(url: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
}
