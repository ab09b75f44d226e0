//! The connection to Discord's gateway against a gateway that misbehaves in every way we know.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "support/scripted_gateway.rs"]
mod scripted_gateway;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use scripted_gateway::{Peer, ScriptedGateway};
use serde_json::{Value, json};
use slipway::discord::gateway::{Fatal, GatewayOptions, Incoming, Limits, run, run_with};
use slipway::health::Health;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

const NO_HEARTBEATS_MS: u64 = 45_000;
const PATIENCE: Duration = Duration::from_secs(20);

fn limits() -> Limits {
    Limits {
        connect: Duration::from_millis(400),
        hello: Duration::from_millis(400),
        short_lived: Duration::from_millis(50),
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(200),
        identify_gap: Duration::from_millis(100),
        beat: Duration::from_millis(100),
        abandon_after: Duration::from_millis(300),
        generation_pause: Duration::from_millis(10),
        ..Limits::default()
    }
}

fn options(url: String, limits: Limits) -> GatewayOptions {
    GatewayOptions { url, token: "a.bot.token".into(), limits, health: Health::default() }
}

/// A running connection.
struct Bot {
    incoming: UnboundedReceiver<Incoming>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), Fatal>>,
}

impl Bot {
    fn start(url: String) -> Self {
        Self::start_with(url, limits())
    }

    fn start_with(url: String, limits: Limits) -> Self {
        let (sender, incoming) = unbounded_channel();
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(options(url, limits), sender, stop.clone()));
        Self { incoming, stop, running }
    }

    /// A bot in a session, and Discord's end of it.
    async fn in_session(gateway: &ScriptedGateway) -> (Self, Peer) {
        let mut bot = Self::start(gateway.url());
        let peer = gateway.accept_session(NO_HEARTBEATS_MS).await;
        bot.expect_ready().await;
        (bot, peer)
    }

    async fn next(&mut self) -> Incoming {
        timeout(PATIENCE, self.incoming.recv()).await.expect("no event").unwrap()
    }

    async fn expect_ready(&mut self) {
        match self.next().await {
            Incoming::Ready { application: 10, user: 20, guilds } => assert_eq!(guilds, [30]),
            other => panic!("{other:?}"),
        }
    }

    async fn expect_interaction(&mut self, id: u64) {
        match self.next().await {
            Incoming::Interaction(interaction) => assert_eq!(interaction.id().get(), id),
            other => panic!("{other:?}"),
        }
    }

    async fn expect_resumed(&mut self) {
        assert!(matches!(self.next().await, Incoming::Resumed));
    }

    /// Stops it, which has to be quick whatever state it is in.
    async fn stop(self) {
        let since = Instant::now();
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
        assert!(since.elapsed() < Duration::from_secs(2));
    }

    async fn ends_with(self) -> Fatal {
        timeout(PATIENCE, self.running).await.expect("it goes on").unwrap().unwrap_err()
    }
}

fn interaction(id: u64) -> Value {
    let user = json!({"id": "40", "username": "alice", "discriminator": "0", "avatar": null});
    json!({
        "id": id.to_string(), "application_id": "10", "type": 2, "token": "interaction-token", "version": 1,
        "guild_id": "30", "channel_id": "50", "locale": "en-US", "guild_locale": "en-US",
        "app_permissions": "0", "entitlements": [], "authorizing_integration_owners": {"0": "30"},
        "context": 0, "attachment_size_limit": 10_485_760,
        "member": {"user": user, "roles": [], "joined_at": "2026-01-01T00:00:00Z", "deaf": false,
            "mute": false, "flags": 0, "permissions": "0", "pending": false, "nick": null,
            "avatar": null, "premium_since": null},
        "data": {"id": "60", "name": "deploy", "type": 1, "options": []},
    })
}

#[tokio::test]
async fn an_interaction_arrives_and_discord_is_told_goodbye() {
    let gateway = ScriptedGateway::open().await;
    let (mut bot, mut peer) = Bot::in_session(&gateway).await;
    assert_eq!(peer.target, "/?v=10&encoding=json");
    peer.dispatch(2, "INTERACTION_CREATE", interaction(7)).await;
    bot.expect_interaction(7).await;
    let (code, ()) = tokio::join!(peer.closed_with(), bot.stop());
    assert_eq!(code, Some(1000));
}

#[tokio::test]
async fn an_interaction_that_cannot_be_read_is_noticed() {
    let gateway = ScriptedGateway::open().await;
    let (mut bot, mut peer) = Bot::in_session(&gateway).await;
    let odd = json!({"id": "8", "type": 2, "token": "interaction-token", "data": 5});
    peer.dispatch(2, "INTERACTION_CREATE", odd).await;
    peer.dispatch(3, "SOMETHING_NEW", json!({})).await;
    peer.dispatch(4, "INTERACTION_CREATE", interaction(9)).await;
    match bot.next().await {
        Incoming::Unreadable { event, interaction } => {
            assert_eq!((event.as_str(), interaction), ("INTERACTION_CREATE", Some(8)));
        }
        other => panic!("{other:?}"),
    }
    bot.expect_interaction(9).await;
    bot.stop().await;
}

/// Breaks a session, then checks that it is resumed where it was and goes on.
async fn is_resumed_after(gateway: &ScriptedGateway, mut bot: Bot) {
    let mut peer = gateway.accept_resume(1).await;
    assert_eq!(peer.target, "/resume?v=10&encoding=json");
    peer.dispatch(2, "INTERACTION_CREATE", interaction(7)).await;
    peer.resumed(3).await;
    bot.expect_interaction(7).await;
    bot.expect_resumed().await;
    peer.dispatch(4, "INTERACTION_CREATE", interaction(8)).await;
    bot.expect_interaction(8).await;
    assert_eq!(gateway.count(Duration::from_millis(300)).await, 0, "it connects needlessly");
    drop(peer);
    bot.stop().await;
}

/// Checks that a session is followed by a new one.
async fn identifies_after(gateway: &ScriptedGateway, mut bot: Bot) {
    let peer = gateway.accept_session(NO_HEARTBEATS_MS).await;
    assert_eq!(peer.target, "/?v=10&encoding=json");
    bot.expect_ready().await;
    assert_eq!(gateway.count(Duration::from_millis(300)).await, 0, "it connects needlessly");
    drop(peer);
    bot.stop().await;
}

#[tokio::test]
async fn a_dropped_connection_is_resumed_and_missed_events_come() {
    let gateway = ScriptedGateway::open().await;
    let (bot, peer) = Bot::in_session(&gateway).await;
    drop(peer);
    is_resumed_after(&gateway, bot).await;
}

#[tokio::test]
async fn an_empty_close_frame_is_resumed() {
    let gateway = ScriptedGateway::open().await;
    let (bot, peer) = Bot::in_session(&gateway).await;
    peer.close_without_code().await;
    is_resumed_after(&gateway, bot).await;
}

#[tokio::test]
async fn harmless_close_codes_are_resumed() {
    let mut all = JoinSet::new();
    for code in [1000, 1001, 4000, 4001, 4002, 4005, 4008, 4999] {
        all.spawn(async move {
            let gateway = ScriptedGateway::open().await;
            let (bot, peer) = Bot::in_session(&gateway).await;
            peer.close(code).await;
            is_resumed_after(&gateway, bot).await;
        });
    }
    all.join_all().await;
}

#[tokio::test]
async fn a_wish_to_reconnect_is_resumed() {
    let gateway = ScriptedGateway::open().await;
    let (bot, mut peer) = Bot::in_session(&gateway).await;
    peer.send(json!({"t": null, "s": null, "op": 7, "d": null})).await;
    is_resumed_after(&gateway, bot).await;
}

#[tokio::test]
async fn an_invalid_session_that_lives_is_resumed() {
    let gateway = ScriptedGateway::open().await;
    let (bot, mut peer) = Bot::in_session(&gateway).await;
    peer.send(json!({"t": null, "s": null, "op": 9, "d": true})).await;
    is_resumed_after(&gateway, bot).await;
}

#[tokio::test]
async fn an_invalid_session_is_begun_anew() {
    let gateway = ScriptedGateway::open().await;
    let (bot, mut peer) = Bot::in_session(&gateway).await;
    peer.send(json!({"t": null, "s": null, "op": 9, "d": false})).await;
    identifies_after(&gateway, bot).await;
}

#[tokio::test]
async fn a_session_that_timed_out_is_begun_anew() {
    let gateway = ScriptedGateway::open().await;
    let (bot, peer) = Bot::in_session(&gateway).await;
    peer.close(4009).await;
    identifies_after(&gateway, bot).await;
}

#[tokio::test]
async fn a_session_that_never_begins_is_begun_anew() {
    let gateway = ScriptedGateway::open().await;
    let session = Duration::from_millis(500);
    let bot = Bot::start_with(gateway.url(), Limits { session, ..limits() });
    let mut peer = gateway.accept().await;
    peer.hello(NO_HEARTBEATS_MS).await;
    peer.expect(2).await;
    identifies_after(&gateway, bot).await;
}

#[tokio::test]
async fn heartbeats_without_an_answer_are_resumed() {
    let gateway = ScriptedGateway::open().await;
    let connect = Duration::from_secs(5);
    let mut bot = Bot::start_with(gateway.url(), Limits { connect, ..limits() });
    let mut peer = gateway.accept_session(1_000).await;
    bot.expect_ready().await;
    peer.answers_heartbeats = false;
    while peer.next().await.is_some() {}
    assert_eq!(peer.heartbeats, 1);
    // Longer than the heartbeats' interval: serenity by itself would identify anew now.
    sleep(Duration::from_millis(1_500)).await;
    is_resumed_after(&gateway, bot).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_session_and_not_the_process() {
    let gateway = ScriptedGateway::open().await;
    let message_bytes_max = 64 * 1024;
    let mut bot = Bot::start_with(gateway.url(), Limits { message_bytes_max, ..limits() });
    let mut peer = gateway.accept_session(NO_HEARTBEATS_MS).await;
    bot.expect_ready().await;
    peer.dispatch(2, "INTERACTION_CREATE", json!("x".repeat(message_bytes_max))).await;
    identifies_after(&gateway, bot).await;
}

#[tokio::test]
async fn nonsense_is_passed_over() {
    let gateway = ScriptedGateway::open().await;
    let (mut bot, mut peer) = Bot::in_session(&gateway).await;
    peer.send(json!("nonsense")).await;
    peer.send(json!({"op": 77})).await;
    peer.dispatch(2, "INTERACTION_CREATE", interaction(7)).await;
    bot.expect_interaction(7).await;
    bot.stop().await;
}

#[tokio::test]
async fn silent_peers_and_refusals_are_tried_again() {
    let gateway = ScriptedGateway::open().await;
    let mut bot = Bot::start(gateway.url());
    let _no_handshake = gateway.accept_tcp().await;
    let _no_hello = gateway.accept().await;
    drop(gateway.accept_tcp().await);
    drop(gateway.accept().await);
    gateway.accept().await.close(4000).await;
    gateway.accept().await.send(json!({"op": 0})).await;
    let _peer = gateway.accept_session(NO_HEARTBEATS_MS).await;
    bot.expect_ready().await;
    bot.stop().await;
}

#[tokio::test]
async fn a_resume_address_that_is_dead_is_not_insisted_on() {
    let gateway = ScriptedGateway::open().await;
    let mut bot = Bot::start(gateway.url());
    let mut peer = gateway.accept().await;
    peer.hello(NO_HEARTBEATS_MS).await;
    peer.expect(2).await;
    let dead = ScriptedGateway::open().await.url();
    peer.ready(&dead).await;
    bot.expect_ready().await;
    drop(peer);
    let mut peer = gateway.accept_resume(1).await;
    assert_eq!(peer.target, "/?v=10&encoding=json");
    peer.resumed(2).await;
    bot.expect_resumed().await;
    bot.stop().await;
}

#[tokio::test]
async fn a_gateway_without_tls_behind_wss_is_a_failed_try() {
    let gateway = ScriptedGateway::open().await;
    let bot = Bot::start(gateway.url().replace("ws:", "wss:"));
    for _ in 0..2 {
        drop(gateway.accept_tcp().await);
    }
    assert!(!bot.running.is_finished());
    bot.stop().await;
}

#[tokio::test]
async fn a_storm_of_reconnects_is_slowed_down() {
    let gateway = ScriptedGateway::open().await;
    let slow = Duration::from_millis(500);
    let limits = Limits { short_lived: slow, retry_min: slow, retry_max: slow * 2, ..limits() };
    let mut bot = Bot::start_with(gateway.url(), limits);
    let mut peer = gateway.accept_session(NO_HEARTBEATS_MS).await;
    bot.expect_ready().await;
    let since = Instant::now();
    for _ in 0..3 {
        peer.send(json!({"t": null, "s": null, "op": 7, "d": null})).await;
        peer = gateway.accept_resume(1).await;
    }
    assert!(since.elapsed() > slow * 3);
    bot.stop().await;
}

#[tokio::test]
async fn close_codes_that_mean_never_end_it_with_advice() {
    let advice = [
        (4004, "DISCORD_TOKEN"),
        (4010, "DISCORD_API_URL"),
        (4011, "sharding"),
        (4012, "Update Slipway"),
        (4013, "intents"),
        (4014, "Privileged Gateway Intents"),
    ];
    for (code, words) in advice {
        let gateway = ScriptedGateway::open().await;
        let bot = Bot::start(gateway.url());
        let mut peer = gateway.accept().await;
        peer.hello(NO_HEARTBEATS_MS).await;
        peer.expect(2).await;
        peer.close(code).await;
        let text = bot.ends_with().await.to_string();
        assert!(text.contains(words) && text.contains(&code.to_string()), "{text}");
        assert_eq!(gateway.count(Duration::from_millis(200)).await, 0);
    }
}

#[tokio::test]
async fn a_close_code_that_means_never_ends_it_before_any_greeting() {
    let gateway = ScriptedGateway::open().await;
    let bot = Bot::start(gateway.url());
    gateway.accept().await.close(4012).await;
    assert!(matches!(bot.ends_with().await, Fatal::VersionRefused));
}

#[tokio::test]
async fn an_address_that_is_no_gateway_is_refused_at_once() {
    let bot = Bot::start("https://discord.com".to_owned());
    assert!(bot.ends_with().await.to_string().contains("https://discord.com"));
}

#[tokio::test]
async fn it_stops_quickly_before_it_was_ever_connected() {
    let gateway = ScriptedGateway::open().await;
    let bot = Bot::start(gateway.url());
    let _silent = gateway.accept_tcp().await;
    bot.stop().await;

    let bot = Bot::start(gateway.url());
    bot.stop().await;

    let gone = ScriptedGateway::open().await;
    let bot = Bot::start(gone.url());
    drop(gone.accept_tcp().await);
    drop(gone);
    bot.stop().await;
}

#[tokio::test]
async fn it_stops_quickly_when_discord_no_longer_reads() {
    let gateway = ScriptedGateway::open().await;
    let (bot, peer) = Bot::in_session(&gateway).await;
    bot.stop().await;
    drop(peer);
}

#[tokio::test]
async fn a_client_that_no_longer_turns_is_replaced() {
    let gateway = ScriptedGateway::open().await;
    let (sender, mut incoming) = unbounded_channel();
    let (release, held) = std::sync::mpsc::channel();
    let (held, calls) = (Mutex::new(held), AtomicUsize::new(0));
    let deliver = {
        move |event| {
            sender.send(event).unwrap();
            // The first call blocks serenity's whole runtime.
            if calls.fetch_add(1, Ordering::SeqCst) == 0 {
                held.lock().unwrap().recv().unwrap();
            }
        }
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run_with(options(gateway.url(), limits()), Arc::new(deliver), stop.clone()));

    let mut first = gateway.accept_session(NO_HEARTBEATS_MS).await;
    assert!(matches!(incoming.recv().await, Some(Incoming::Ready { .. })));
    assert_eq!(first.closed_with().await, Some(4000));

    let mut second = gateway.accept_session(NO_HEARTBEATS_MS).await;
    assert!(matches!(incoming.recv().await, Some(Incoming::Ready { .. })));
    second.dispatch(2, "INTERACTION_CREATE", interaction(7)).await;
    assert!(matches!(incoming.recv().await, Some(Incoming::Interaction(_))));

    // The first one wakes up and must not disturb the second.
    release.send(()).unwrap();
    assert_eq!(gateway.count(Duration::from_millis(500)).await, 0);
    stop.cancel();
    running.await.unwrap().unwrap();
}
