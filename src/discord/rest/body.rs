//! The one place where the bodies of messages are made safe to send: whatever their text says, it
//! mentions nobody (resources/message, "Allowed Mentions Object"). Knows nothing of how they are sent.

use serde_json::{Value, json};

use crate::reply::Attachment;
use crate::text::clip;

/// The longest description of a file, in UTF-16 units (resources/message, "Attachment Object").
const DESCRIPTION_MAX: usize = 1_024;

/// Interaction callback types whose data is a message (interactions/receiving-and-responding):
/// a message, a deferred message, an update of a component's message.
const TYPES_WITH_MESSAGE: [u64; 3] = [4, 5, 7];

/// A message, new or edited, that pings nobody, whatever it asked for.
///
/// A value that is not an object stays as it is; Discord refuses it.
pub fn message_body(mut message: Value) -> Value {
    if let Some(fields) = message.as_object_mut() {
        fields.insert("allowed_mentions".to_owned(), json!({ "parse": [] }));
    }
    message
}

/// A message with files as `multipart/form-data` (reference, "Uploading Files"): its media type and its bytes.
pub fn form(mut message: Value, files: &[Attachment]) -> serde_json::Result<(String, Vec<u8>)> {
    let described = files.iter().enumerate();
    message["attachments"] = described
        .map(|(id, file)| json!({ "id": id, "filename": file.name, "description": clip(&file.description, DESCRIPTION_MAX) }))
        .collect();
    // So many random digits stand in no file.
    let boundary = format!("slipway-{}", hex::encode(rand::random::<[u8; 16]>()));
    let mut bytes = Vec::new();
    let mut part = |heads: String, content: &[u8]| {
        bytes.extend_from_slice(format!("--{boundary}\r\nContent-Disposition: form-data; {heads}\r\n\r\n").as_bytes());
        bytes.extend_from_slice(content);
        bytes.extend_from_slice(b"\r\n");
    };
    part("name=\"payload_json\"\r\nContent-Type: application/json".to_owned(), &serde_json::to_vec(&message)?);
    for (id, Attachment { name, bytes, .. }) in files.iter().enumerate() {
        debug_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{name}");
        part(format!("name=\"files[{id}]\"; filename=\"{name}\"\r\nContent-Type: application/octet-stream"), bytes);
    }
    bytes.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((format!("multipart/form-data; boundary={boundary}"), bytes))
}

/// An interaction's callback whose message, if it has one, pings nobody. Autocomplete choices and
/// modals have no mentions and stay as they are, and so does a deferral without data.
pub fn callback_body(mut callback: Value) -> Value {
    let kind = callback.get("type").and_then(Value::as_u64);
    if kind.is_some_and(|kind| TYPES_WITH_MESSAGE.contains(&kind))
        && let Some(data) = callback.get_mut("data")
    {
        *data = message_body(data.take());
    }
    callback
}

/// Whether Discord itself keeps this message from appearing twice: a nonce that is enforced
/// returns the first message when it is sent again within a few minutes.
pub fn is_sent_once(message: &Value) -> bool {
    message.get("enforce_nonce").and_then(Value::as_bool) == Some(true)
        && message.get("nonce").is_some_and(|nonce| !nonce.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_pings_nobody_even_when_it_asks_to() {
        let asked = json!({ "content": "@everyone", "allowed_mentions": { "parse": ["everyone"] } });
        assert_eq!(message_body(asked), json!({ "content": "@everyone", "allowed_mentions": { "parse": [] } }));
    }

    #[test]
    fn a_callback_is_made_safe_where_its_message_is() {
        for kind in TYPES_WITH_MESSAGE {
            let body = callback_body(json!({ "type": kind, "data": { "flags": 64 } }));
            assert_eq!(body["data"]["allowed_mentions"], json!({ "parse": [] }));
            assert_eq!(body["data"]["flags"], 64);
        }
    }

    #[test]
    fn callbacks_without_a_message_stay_as_they_are() {
        for body in [
            json!({ "type": 5 }),
            json!({ "type": 6 }),
            json!({ "type": 8, "data": { "choices": [] } }),
            json!({ "type": 9, "data": { "title": "why" } }),
        ] {
            assert_eq!(callback_body(body.clone()), body);
        }
    }

    #[test]
    fn only_an_enforced_nonce_makes_a_message_safe_to_repeat() {
        assert!(is_sent_once(&json!({ "nonce": "12", "enforce_nonce": true })));
        assert!(!is_sent_once(&json!({ "nonce": "12" })));
        assert!(!is_sent_once(&json!({ "enforce_nonce": true })));
    }
}
