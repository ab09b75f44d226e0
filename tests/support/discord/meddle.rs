//! What a test does to the way between the bot and Discord: faults of REST and of the gateway. It must not know what they do
//! to the bot.

use std::time::Duration;

use serde_json::{Value, json};

use super::FakeDiscord;
use super::fault::{Fault, RouteKind};
use super::gateway::{Gateway, GatewayMode, Order};
use super::view::StoredMessage;

/// What goes wrong.
impl FakeDiscord {
    /// Lays a fault on a route for this many requests. Faults of a route happen in the order they were laid.
    pub fn fault(&self, route: RouteKind, fault: Fault, times: usize) {
        self.shared.change(|world| world.faults.lay(route, fault, times));
    }

    /// Takes back every REST fault that has not happened yet.
    pub fn clear_faults(&self) {
        self.shared.change(|world| world.faults.clear());
    }

    /// Whether the bot may read what stands in a channel: otherwise its messages are listed as none.
    pub fn hide_history(&self, channel: u64, hidden: bool) {
        self.shared.change(|world| if hidden { world.hidden.insert(channel) } else { world.hidden.remove(&channel) });
    }

    /// Somebody else's bot says something in a channel.
    pub fn another_bot_says(&self, channel: u64, text: &str) {
        self.shared.change(|world| {
            let (id, timestamp) = (world.snowflake(Duration::ZERO), world.timestamp());
            let mut message = StoredMessage::new(id, channel, 0, timestamp);
            message.view.apply(&json!({"content": text}));
            message.author["id"] = json!("1204567890123456700");
            world.messages.insert(id, message);
        });
    }

    /// Another limit for a route's buckets: `requests` in each `window`.
    pub fn limit(&self, route: RouteKind, requests: u32, window: Duration) {
        self.shared.change(|world| world.buckets.set_rule(route, requests, window));
    }

    /// How the gateway treats new connections from now on.
    pub fn gateway_mode(&self, mode: GatewayMode) {
        self.shared.change(|world| world.gateway.mode = mode);
    }

    /// The interval that hello names to new connections.
    pub fn heartbeat_interval(&self, interval: Duration) {
        self.shared.change(|world| world.gateway.heartbeat_interval = interval);
    }

    /// Heartbeats are no longer acknowledged, on every connection.
    pub fn stop_acking(&self) {
        self.shared.change(|world| world.gateway.acks_heartbeats = false);
    }

    /// Heartbeats are acknowledged again.
    pub fn resume_acking(&self) {
        self.shared.change(|world| world.gateway.acks_heartbeats = true);
    }

    /// Closes every connection with this code, or with an empty close frame.
    pub fn close(&self, code: Option<u16>) {
        self.disturb(|gateway| gateway.end_all(|| Order::Close(code)));
    }

    /// Ends every TCP connection without a close frame.
    pub fn drop_connections(&self) {
        self.disturb(|gateway| gateway.end_all(|| Order::Drop));
    }

    /// Answers every identify with this close frame, until [`FakeDiscord::accept_identify`].
    pub fn refuse_identify(&self, code: Option<u16>) {
        self.shared.change(|world| world.gateway.refuses_identify = Some(code));
    }

    /// Identifies are judged on their own again.
    pub fn accept_identify(&self) {
        self.shared.change(|world| world.gateway.refuses_identify = None);
    }

    /// Op 7: asks clients to reconnect and resume.
    pub fn op7(&self) {
        let payload = json!({"op": 7, "s": null, "t": null, "d": null});
        self.disturb(|gateway| gateway.order(|| Order::Send(payload.clone())));
    }

    /// Op 9: the session is invalid; a resumable one is still there.
    pub fn invalid_session(&self, resumable: bool) {
        let payload = json!({"op": 9, "s": null, "t": null, "d": resumable});
        self.disturb(|gateway| {
            gateway.order(|| Order::Send(payload.clone()));
            if !resumable {
                gateway.sessions.clear();
            }
        });
    }

    /// Op 1: asks clients for a heartbeat at once.
    pub fn ask_for_heartbeat(&self) {
        let payload = json!({"op": 1, "s": null, "t": null, "d": null});
        self.shared.change(|world| world.gateway.order(|| Order::Send(payload.clone())));
    }

    /// Dispatches any event, such as one that no client knows.
    pub fn send_event(&self, name: &str, data: &Value) {
        self.shared.change(|world| world.gateway.dispatch(name, data));
    }

    fn disturb(&self, act: impl FnOnce(&mut Gateway)) {
        self.shared.change(|world| {
            world.excuse_unanswered();
            act(&mut world.gateway);
        });
    }
}
