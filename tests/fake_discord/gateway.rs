//! The gateway: sessions, heartbeats, resuming, its faults and its end.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

use tokio_tungstenite::tungstenite::Message;

use crate::bot::{Bot, register};
use crate::discord::{CommandCall, FakeDiscord, GatewayMode};

#[tokio::test]
async fn a_session_is_resumed_after_a_drop_and_misses_nothing() {
    let discord = FakeDiscord::start().await;
    let mut bot = Bot::start(&discord, discord.token()).await;
    register(&discord).await;
    discord.ready().await;
    assert_eq!(bot.guild().await.id.get(), discord.guild_id());

    discord.drop_connections();
    discord.interact_now(&discord.member("alice", &[]), CommandCall::new("permission").sub("list"));
    assert_eq!(bot.command().await.1.data.name, "permission");
    discord.resumed(1).await;
    assert_eq!(discord.identifies().len(), 1);

    discord.op7();
    discord.resumed(2).await;
    discord.close(Some(4000));
    discord.resumed(3).await;
    discord.ready().await;
    assert_eq!(discord.identifies().len(), 1);
    assert_eq!(discord.guild("elsewhere").id, bot.guild().await.id.get());
}

#[tokio::test]
async fn an_invalid_session_makes_a_client_identify_anew() {
    let discord = FakeDiscord::start().await;
    let _bot = Bot::start(&discord, discord.token()).await;
    discord.ready().await;
    discord.invalid_session(false);
    assert!(!discord.is_ready());
    discord.identified(2).await;
}

#[tokio::test]
async fn heartbeats_are_acknowledged_until_told_otherwise() {
    let discord = FakeDiscord::start().await;
    discord.heartbeat_interval(Duration::from_millis(100));
    let _bot = Bot::start(&discord, discord.token()).await;
    discord.until("3 heartbeats", |discord| discord.heartbeats().len() >= 3).await;
    assert_eq!(discord.connections(), 1);
    discord.stop_acking();
    discord.connected(2).await;
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_4004_and_401() {
    let discord = FakeDiscord::start().await;
    let mut bot = Bot::start(&discord, "MTIwNDU2Nzg5MDEyMzQ1Njc4OQ.FaKe00.wrong").await;
    let ended = (&mut bot.client).await.unwrap();
    assert!(ended.is_err(), "{ended:?}");
    assert!(discord.identifies().iter().all(|identify| !identify.token_is_right));

    let user = format!("{}/api/v10/users/@me", discord.url());
    let with_token = |token: &str| {
        let request = reqwest::Client::new().get(&user).header("authorization", format!("Bot {token}"));
        request.header("user-agent", "DiscordBot (https://example.invalid, 1)").send()
    };
    let refused = with_token("wrong").await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(refused.json::<Value>().await.unwrap(), json!({"message": "401: Unauthorized", "code": 0}));
    assert_eq!((discord.invalid_answers(), discord.violations().len()), (1, 0));
    with_token("wrong").await.unwrap();
    assert_eq!(discord.violations().len(), 1, "a bot must stop after a 401");
}

#[tokio::test]
async fn gateway_faults_hold_up_new_connections() {
    let discord = FakeDiscord::start().await;
    let url = format!("{}/?v=10", discord.gateway_url());
    discord.gateway_mode(GatewayMode::Refusing);
    assert!(tokio_tungstenite::connect_async(&url).await.is_err());
    discord.gateway_mode(GatewayMode::Silent);
    let handshake = tokio::time::timeout(Duration::from_millis(100), tokio_tungstenite::connect_async(&url));
    assert!(handshake.await.is_err());
    discord.gateway_mode(GatewayMode::NoHello);
    let (mut socket, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), socket.next()).await.is_err());
    discord.close(None);
    let closed = socket.next().await.unwrap().unwrap();
    assert_eq!(closed, Message::Close(None));
}

#[tokio::test]
async fn everything_ends_with_the_last_handle() {
    let discord = FakeDiscord::start().await;
    let (url, gateway) = (discord.url(), discord.gateway_url());
    let (mut socket, _) = tokio_tungstenite::connect_async(&gateway).await.unwrap();
    let other = discord.clone();
    drop(discord);
    assert!(reqwest::get(format!("{url}/api/v10/gateway")).await.is_ok());
    drop(other);
    while let Some(Ok(_)) = socket.next().await {}
    assert!(reqwest::get(format!("{url}/api/v10/gateway")).await.is_err());
}

#[tokio::test]
async fn what_a_client_must_not_send_is_answered_by_its_close_code() {
    let discord = FakeDiscord::start().await;
    let identify = |token: &str, intents: u64, shard: Value| json!({"op": 2, "d": {"token": token, "intents": intents, "shard": shard, "properties": {}}});
    let token = discord.token();
    for (payload, code) in [
        (json!({"op": 99}), 4001),
        (json!({"op": 3, "d": {}}), 4003),
        (identify("wrong", 1, json!([0, 1])), 4004),
        (identify(token, 1, json!([1, 1])), 4010),
        (identify(token, 1 << 30, json!([0, 1])), 4013),
        (identify(token, 1 << 15, json!([0, 1])), 4014),
    ] {
        assert_eq!(closes_with(&discord, "v=10", &payload).await, Some(code), "{payload}");
    }
    assert_eq!(closes_with(&discord, "v=6", &json!({"op": 1, "d": null})).await, Some(4012));
    discord.refuse_identify(Some(4011));
    assert_eq!(closes_with(&discord, "v=10", &identify(token, 1, json!([0, 1]))).await, Some(4011));
    assert!(!discord.is_ready());
}

/// Sends one payload after hello, and reads until the server closes.
async fn closes_with(discord: &FakeDiscord, query: &str, payload: &Value) -> Option<u16> {
    let url = format!("{}/?{query}", discord.gateway_url());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let hello = socket.next().await.unwrap().unwrap();
    assert!(hello.to_text().unwrap().contains("heartbeat_interval"));
    socket.send(Message::text(payload.to_string())).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            return frame.map(|frame| frame.code.into());
        }
    }
    None
}
