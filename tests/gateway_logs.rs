//! What the gateway's connection writes into the logs: each event once, and no token, even when
//! debugging. Alone in its file: it takes the process's subscriber.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/scripted_gateway.rs"]
#[allow(dead_code, reason = "shared with tests that need more")]
mod scripted_gateway;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scripted_gateway::ScriptedGateway;
use serde_json::json;
use slipway::discord::gateway::{GatewayOptions, Incoming, Limits, run};
use slipway::health::Health;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_event_is_logged_once_and_no_token_ever() {
    let logs = Logs::default();
    let writer = logs.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let gateway = ScriptedGateway::open().await;
    let (sender, mut incoming) = unbounded_channel();
    let stop = CancellationToken::new();
    let limits = Limits { retry_min: Duration::from_millis(20), ..Limits::default() };
    let token = "bot-secret".into();
    let options = GatewayOptions { url: gateway.url(), token, limits, health: Health::default() };
    let running = tokio::spawn(run(options, sender, stop.clone()));
    drop(gateway.accept_tcp().await);
    let mut peer = gateway.accept_session(45_000).await;
    assert!(matches!(incoming.recv().await, Some(Incoming::Ready { .. })));
    // The leaps in the sequence make serenity warn, with the whole event in its spans.
    let odd = json!({"id": "8", "type": 2, "token": "interaction-secret"});
    peer.dispatch(20, "INTERACTION_CREATE", odd).await;
    assert!(matches!(incoming.recv().await, Some(Incoming::Unreadable { .. })));
    // Without `s` serenity cannot read it at all, and logs the whole text.
    peer.send(json!({"op": 0, "t": "INTERACTION_CREATE", "d": {"token": "interaction-secret"}})).await;
    peer.close(4000).await;
    let mut peer = gateway.accept_resume(20).await;
    peer.resumed(21).await;
    assert!(matches!(incoming.recv().await, Some(Incoming::Resumed)));
    stop.cancel();
    running.await.unwrap().unwrap();

    let logs = String::from_utf8(logs.0.lock().unwrap().clone()).unwrap();
    assert!(!logs.contains("secret"), "{logs}");
    let lines = [
        "Discord's gateway could not be reached; trying again gateway.host=\"127.0.0.1\"",
        "Connected to Discord's gateway; a new session began",
        "Discord sent an event in a shape that Slipway cannot read; it was not handled \
         gateway.event=\"INTERACTION_CREATE\" interaction.id=8",
        "Discord closed the gateway connection; resuming the session gateway.close_code=4000",
        "Resumed the session with Discord's gateway",
        "Disconnected from Discord's gateway",
    ];
    for line in lines {
        assert_eq!(logs.matches(line).count(), 1, "{line}\n{logs}");
    }
    let ours = |line: &&str| !line.contains("DEBUG");
    assert_eq!(logs.lines().filter(ours).count(), lines.len(), "{logs}");
}
