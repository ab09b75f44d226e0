//! Messages as the fake keeps them, as Discord's API returns them, and as a person would read them. It must not know how a
//! message came to be.

use serde_json::{Value, json};

use super::limits::{EPHEMERAL, LOADING};
use super::people::bot_user;
use super::upload::File;
use super::world::APPLICATION_ID;

/// A message on the fake.
#[derive(Clone)]
pub struct StoredMessage {
    pub view: MessageView,
    pub author: Value,
    pub nonce: Value,
    pub timestamp: String,
    pub edited_timestamp: Value,
    pub webhook: bool,
    pub interaction_metadata: Value,
}

/// A message as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageView {
    pub id: u64,
    pub channel_id: u64,
    pub content: String,
    /// The embeds as the bot sent them.
    pub embeds: Value,
    /// The components as the bot sent them.
    pub components: Value,
    pub flags: u64,
    pub ephemeral: bool,
    /// The files that it has, with what each shows.
    pub files: Vec<File>,
    /// Whom it pinged when it was posted: `everyone`, or the mentions in its text that `allowed_mentions` let through.
    pub pings: Vec<String>,
    /// What it was before each edit, the oldest first.
    pub history: Vec<MessageView>,
}

impl MessageView {
    /// A deferral that says only "thinking".
    pub fn is_loading(&self) -> bool {
        self.flags & LOADING != 0
    }

    /// Takes over what the body of a creation or an edit says; what it does not name stays.
    pub fn apply(&mut self, body: &Value) {
        if let Some(content) = body.get("content") {
            // Discord strips white space round the text.
            self.content = content.as_str().unwrap_or("").trim().to_owned();
        }
        for (key, part) in [("embeds", &mut self.embeds), ("components", &mut self.components)] {
            match body.get(key) {
                Some(Value::Array(entries)) => *part = Value::Array(entries.clone()),
                Some(Value::Null) => *part = json!([]),
                _ => {}
            }
        }
        if let Some(flags) = body["flags"].as_u64() {
            self.flags = flags | (self.flags & EPHEMERAL);
        }
        self.flags &= !LOADING;
        self.ephemeral = self.flags & EPHEMERAL != 0;
    }

    /// Nothing to show: Discord refuses such a message with code 50006.
    pub fn is_empty(&self) -> bool {
        let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
        self.content.is_empty() && none(&self.embeds) && none(&self.components)
    }

    /// Every button that can be pressed or followed.
    pub fn buttons(&self) -> Vec<Button> {
        let mut buttons = Vec::new();
        collect_buttons(&self.components, &mut buttons);
        buttons
    }

    /// The message as a person reads it: content, embeds, buttons.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        if self.ephemeral {
            lines.push("(only you can see this)".to_owned());
        }
        if self.is_loading() {
            lines.push("(thinking)".to_owned());
        }
        push(&mut lines, &self.content);
        for embed in self.embeds.as_array().into_iter().flatten() {
            embed_lines(embed, &mut lines);
        }
        for file in &self.files {
            lines.push(format!("[file {}]", file.name));
        }
        component_lines(&self.components, &mut lines);
        lines.join("\n")
    }
}

/// A button of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Button {
    pub label: String,
    pub custom_id: Option<String>,
    pub url: Option<String>,
    pub disabled: bool,
}

fn collect_buttons(components: &Value, buttons: &mut Vec<Button>) {
    for component in components.as_array().into_iter().flatten() {
        if component["type"] == 2 {
            let text = |key: &str| component[key].as_str().map(str::to_owned);
            buttons.push(Button {
                label: text("label").unwrap_or_default(),
                custom_id: text("custom_id"),
                url: text("url"),
                disabled: component["disabled"] == true,
            });
        }
        collect_buttons(&component["components"], buttons);
        if component["accessory"].is_object() {
            collect_buttons(&json!([component["accessory"]]), buttons);
        }
    }
}

fn push(lines: &mut Vec<String>, text: &str) {
    if !text.is_empty() {
        lines.push(text.to_owned());
    }
}

fn embed_lines(embed: &Value, lines: &mut Vec<String>) {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    push(lines, &text(&embed["author"]["name"]));
    let title = text(&embed["title"]);
    match embed["url"].as_str() {
        Some(url) => lines.push(format!("# {title} <{url}>")),
        None if title.is_empty() => {}
        None => lines.push(format!("# {title}")),
    }
    push(lines, &text(&embed["description"]));
    for field in embed["fields"].as_array().into_iter().flatten() {
        lines.push(format!("{}: {}", text(&field["name"]), text(&field["value"])));
    }
    if let Some(footer) = embed["footer"]["text"].as_str() {
        lines.push(format!("-- {footer}"));
    }
}

fn component_lines(components: &Value, lines: &mut Vec<String>) {
    for component in components.as_array().into_iter().flatten() {
        push(lines, component["content"].as_str().unwrap_or(""));
        if component["type"] == 1 {
            let mut buttons = Vec::new();
            collect_buttons(&json!([component]), &mut buttons);
            let buttons: Vec<String> = buttons.iter().map(Button::line).collect();
            push(lines, &buttons.join(" "));
            continue;
        }
        component_lines(&component["components"], lines);
    }
}

impl Button {
    fn line(&self) -> String {
        let target = self.url.as_deref().or(self.custom_id.as_deref()).unwrap_or("");
        let disabled = if self.disabled { " disabled" } else { "" };
        format!("[{}]({target}){disabled}", self.label)
    }
}

impl StoredMessage {
    /// A message without anything in it yet.
    pub fn new(id: u64, channel_id: u64, flags: u64, timestamp: String) -> Self {
        Self {
            view: MessageView {
                id,
                channel_id,
                content: String::new(),
                embeds: json!([]),
                components: json!([]),
                flags,
                ephemeral: flags & EPHEMERAL != 0,
                files: Vec::new(),
                pings: Vec::new(),
                history: Vec::new(),
            },
            author: bot_user(),
            nonce: Value::Null,
            timestamp,
            edited_timestamp: Value::Null,
            webhook: false,
            interaction_metadata: Value::Null,
        }
    }

    /// Edits the message, keeping what it was.
    pub fn edit(&mut self, body: &Value, timestamp: String) {
        let before = MessageView { history: Vec::new(), ..self.view.clone() };
        self.view.history.push(before);
        self.view.apply(body);
        self.edited_timestamp = json!(timestamp);
    }

    /// The message as the API returns it.
    pub fn to_json(&self) -> Value {
        let view = &self.view;
        let mut embeds = view.embeds.clone();
        for embed in embeds.as_array_mut().into_iter().flatten() {
            embed["type"] = json!("rich");
        }
        let mut message = json!({
            "id": view.id.to_string(), "channel_id": view.channel_id.to_string(), "type": 0,
            "author": self.author, "application_id": APPLICATION_ID.to_string(), "content": view.content,
            "embeds": embeds, "components": view.components, "flags": view.flags, "attachments": [],
            "mentions": [], "mention_roles": [], "mention_everyone": view.pings.iter().any(|p| p == "everyone"),
            "timestamp": self.timestamp, "edited_timestamp": self.edited_timestamp,
            "tts": false, "pinned": false,
        });
        if !self.nonce.is_null() {
            message["nonce"] = self.nonce.clone();
        }
        if self.webhook {
            message["webhook_id"] = json!(APPLICATION_ID.to_string());
        }
        if !self.interaction_metadata.is_null() {
            message["type"] = json!(20);
            message["interaction_metadata"] = self.interaction_metadata.clone();
        }
        message
    }
}

/// Whom a new message pings: what its text mentions, as far as its `allowed_mentions` let it.
pub fn pings(body: &Value) -> Vec<String> {
    let content = body["content"].as_str().unwrap_or("");
    let allowed = &body["allowed_mentions"];
    let parses = |kind: &str| match allowed["parse"].as_array() {
        Some(kinds) => kinds.contains(&json!(kind)),
        None => allowed.is_null(),
    };
    let listed = |kind: &str, id: &str| allowed[kind].as_array().is_some_and(|ids| ids.contains(&json!(id)));
    let mut pings = Vec::new();
    if parses("everyone") && (content.contains("@everyone") || content.contains("@here")) {
        pings.push("everyone".to_owned());
    }
    for mention in content.split("<@").skip(1).filter_map(|rest| rest.split_once('>')) {
        let (kind, id) = match mention.0.strip_prefix('&') {
            Some(id) => ("roles", id),
            None => ("users", mention.0.trim_start_matches('!')),
        };
        if parses(kind) || listed(kind, id) {
            pings.push(mention.0.to_owned());
        }
    }
    pings
}
