//! The little that the relay reads of the gateway's messages, and the one that it changes. It copies
//! nothing and never logs a message: they hold tokens.

use std::borrow::Cow;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// Opcodes (topics/opcodes-and-status-codes).
pub(super) mod op {
    pub(in super::super) const DISPATCH: u8 = 0;
    pub(in super::super) const HEARTBEAT: u8 = 1;
    pub(in super::super) const IDENTIFY: u8 = 2;
    pub(in super::super) const RECONNECT: u8 = 7;
    pub(in super::super) const INVALID_SESSION: u8 = 9;
    pub(in super::super) const HELLO: u8 = 10;
    pub(in super::super) const HEARTBEAT_ACK: u8 = 11;
}

/// Answers a heartbeat in Discord's place.
pub(super) const ACK: &str = r#"{"t":null,"s":null,"op":11,"d":null}"#;

/// What a message is.
#[derive(Deserialize)]
pub(super) struct Header<'a> {
    pub(super) op: u8,
    /// The event's name, for op 0.
    #[serde(borrow, default)]
    pub(super) t: Option<Cow<'a, str>>,
}

/// Reads what a message is; `None` for what is not a message of the gateway.
pub(super) fn header(text: &str) -> Option<Header<'_>> {
    serde_json::from_str(text).ok()
}

#[derive(Deserialize)]
struct With<D> {
    d: D,
}

/// The interval of heartbeats, if this is Hello.
pub(super) fn hello(text: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Hello {
        heartbeat_interval: u64,
    }
    if header(text)?.op != op::HELLO {
        return None;
    }
    let hello: With<Hello> = serde_json::from_str(text).ok()?;
    let interval = Duration::from_millis(hello.d.heartbeat_interval);
    (!interval.is_zero()).then_some(interval)
}

/// READY's address for resuming.
pub(super) fn resume_address(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Ready {
        resume_gateway_url: Option<String>,
    }
    serde_json::from_str::<With<Ready>>(text).ok()?.d.resume_gateway_url
}

/// Whether an invalid session can be resumed.
pub(super) fn resumable(text: &str) -> bool {
    serde_json::from_str::<With<bool>>(text).is_ok_and(|message| message.d)
}

/// serenity's identify with `compress` off, so that what follows can be read.
pub(super) fn uncompressed_identify(text: &str) -> Option<String> {
    let mut message: Value = serde_json::from_str(text).ok()?;
    message.get_mut("d")?.as_object_mut()?.insert("compress".to_owned(), Value::Bool(false));
    Some(message.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_in_any_order_and_past_any_data() {
        let text = r#"{"d":{"op":3,"t":"X","x":[{}]},"s":4,"t":"READY","op":0}"#;
        let header = header(text).unwrap();
        assert_eq!((header.op, header.t.as_deref()), (0, Some("READY")));
    }

    #[test]
    fn a_hello_without_an_interval_is_none() {
        assert_eq!(hello(r#"{"op":10,"d":{"heartbeat_interval":0}}"#), None);
        assert_eq!(hello(r#"{"op":10,"d":null}"#), None);
        let hello = hello(r#"{"t":null,"s":null,"op":10,"d":{"heartbeat_interval":41250,"_trace":[]}}"#);
        assert_eq!(hello, Some(Duration::from_millis(41_250)));
    }

    #[test]
    fn an_identify_keeps_all_but_its_compression() {
        let text = r#"{"op":2,"d":{"compress":true,"token":"t","intents":0}}"#;
        let changed: Value = serde_json::from_str(&uncompressed_identify(text).unwrap()).unwrap();
        let wanted = serde_json::json!({"op":2,"d":{"compress":false,"token":"t","intents":0}});
        assert_eq!(changed, wanted);
    }
}
