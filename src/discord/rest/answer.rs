//! Reads Discord's answers: ids of what was made, and the reason in an error's tree. Trusts nothing:
//! what is missing or odd is `None`, and no text leaves here that holds a token.

use std::num::NonZeroU64;

use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use serenity::model::id::{ChannelId, MessageId, UserId};

use crate::discord::limiter::{RateHeaders, Refusal};

/// The longest reason that is passed on, in characters.
const REASON_MAX: usize = 300;
/// An error tree is as deep as the body that was sent; this is deeper than any of ours.
const ERROR_DEPTH_MAX: usize = 16;

/// An answer, read to its end where that was possible.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub limits: RateHeaders,
    /// Set on a 429.
    pub refusal: Option<Refusal>,
    /// `None` when the connection ended, or time ran out, within the body.
    pub body: Option<Vec<u8>>,
}

/// Why Discord said no.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub code: u64,
    pub message: String,
}

/// What Discord made of an interaction's first answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallbackAnswer {
    /// The message that now answers, where there is one and Discord told.
    pub message: Option<MessageId>,
    /// The channel it is in.
    pub channel: Option<ChannelId>,
}

/// A message that was made or edited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Posted {
    /// The message's id, where Discord told.
    pub message: Option<MessageId>,
    /// The channel it is in.
    pub channel: Option<ChannelId>,
}

/// A message that stands in a channel.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "WireMessage")]
pub struct SeenMessage {
    /// Its id.
    pub id: u64,
    /// Its text; Discord shows us that of our own messages.
    pub content: String,
    /// Who wrote it.
    pub author: UserId,
}

#[derive(Deserialize)]
struct WireMessage {
    id: MessageId,
    #[serde(default)]
    content: String,
    author: WireAuthor,
}

#[derive(Deserialize)]
struct WireAuthor {
    id: UserId,
}

impl From<WireMessage> for SeenMessage {
    fn from(wire: WireMessage) -> Self {
        Self { id: wire.id.get(), content: wire.content, author: wire.author.id }
    }
}

impl Answer {
    /// The body as JSON; `None` when it is not all there or not JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(self.body.as_deref()?).ok()
    }

    /// Reads Discord's error object; the secrets are blotted out should it repeat them.
    pub fn reason(&self, secrets: &[&str]) -> Reason {
        let body = self.json().unwrap_or(Value::Null);
        let said = body.get("message").and_then(Value::as_str);
        let message = body
            .get("errors")
            .and_then(|errors| first_error(errors, "", ERROR_DEPTH_MAX))
            .or_else(|| said.map(str::to_owned))
            .unwrap_or_else(|| "no reason given".to_owned());
        Reason { code: body.get("code").and_then(Value::as_u64).unwrap_or(0), message: printable(&message, secrets) }
    }
}

impl CallbackAnswer {
    /// Reads the answer to a callback with `with_response`.
    pub(super) fn read(body: &[u8]) -> Self {
        let Callback { interaction, resource } = serde_json::from_slice(body).unwrap_or_default();
        let interaction = interaction.unwrap_or_default();
        let message = resource.and_then(|resource| resource.message).unwrap_or_default();
        Self {
            message: id(&interaction.response_message_id).or_else(|| id(&message.id)),
            channel: id(&message.channel_id).or_else(|| id(&interaction.channel_id)),
        }
    }
}

impl Posted {
    /// Reads a message object.
    pub(super) fn read(body: &[u8]) -> Self {
        let message: Message = serde_json::from_slice(body).unwrap_or_default();
        Self { message: id(&message.id), channel: id(&message.channel_id) }
    }
}

/// Of the answer to a callback, what tells where the message is: whole messages are long, and nothing else of them is used.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Callback {
    interaction: Option<Interaction>,
    resource: Option<Resource>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Interaction {
    response_message_id: Value,
    channel_id: Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    message: Option<Message>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    id: Value,
    channel_id: Value,
}

fn id<Id: From<NonZeroU64>>(value: &Value) -> Option<Id> {
    let id: NonZeroU64 = value.as_str()?.parse().ok()?;
    Some(id.into())
}

/// The first reason in an error tree and the path of the field it is about (reference, "Error Messages").
fn first_error(errors: &Value, path: &str, depth: usize) -> Option<String> {
    let fields = errors.as_object()?;
    let own = fields.get("_errors").and_then(|own| own.get(0));
    if let Some(message) = own.and_then(|error| error.get("message")?.as_str()) {
        return Some(if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") });
    }
    let depth = depth.checked_sub(1)?;
    fields.iter().find_map(|(name, inner)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        first_error(inner, &path, depth)
    })
}

fn printable(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "…");
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REASON_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(body: Value) -> Answer {
        Answer {
            status: StatusCode::BAD_REQUEST,
            limits: RateHeaders::default(),
            refusal: None,
            body: Some(body.to_string().into_bytes()),
        }
    }

    #[test]
    fn the_first_reason_of_the_tree_names_its_field() {
        let body = json!({ "code": 50035, "message": "Invalid Form Body", "errors": {
            "data": { "content": { "_errors": [
                { "code": "BASE_TYPE_MAX_LENGTH", "message": "Must be 2000 or fewer in length." },
            ] } },
        } });
        assert_eq!(
            answer(body).reason(&[]),
            Reason { code: 50035, message: "data.content: Must be 2000 or fewer in length.".to_owned() }
        );
    }

    #[test]
    fn a_reason_that_repeats_a_secret_has_it_blotted_out() {
        let body = json!({ "code": 1, "message": "bad token abc\u{1b}[31m" });
        assert_eq!(answer(body).reason(&["abc"]).message, "bad token … [31m");
    }

    #[test]
    fn ids_of_odd_answers_are_not_told() {
        for body in [json!({}), json!([]), json!({ "id": 7 }), json!({ "id": "0" })] {
            let body = body.to_string().into_bytes();
            assert_eq!(Posted::read(&body), Posted::default());
            assert_eq!(CallbackAnswer::read(&body), CallbackAnswer::default());
        }
        let odd = br#"{ "interaction": { "channel_id": "7", "response_message_id": null }, "resource": null }"#;
        assert_eq!(CallbackAnswer::read(odd).channel, Some(ChannelId::new(7)), "what is odd hides nothing else");
    }
}
