//! What is sent: addresses, headers, bodies.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;
use serenity::model::id::MessageId;
use slipway::discord::rest::Rest;

use crate::server::{Server, answer};
use crate::{APP, BOT_TOKEN, CHANNEL, GUILD, INTERACTION, TOKEN, soon};

#[tokio::test]
async fn a_callback_is_sent_as_discord_wants_it_and_without_the_bots_token() {
    let server = Server::start().await;
    let told = json!({ "interaction": { "id": "44", "type": 2, "response_message_id": "55" },
                       "resource": { "type": 4, "message": { "id": "55", "channel_id": "33" } } });
    server.on("POST", answer(200, told));
    let body = json!({ "type": 4, "data": { "content": "@everyone" } });
    let answer = server.rest().callback(INTERACTION, TOKEN, &body, soon()).await.unwrap();
    assert_eq!((answer.message, answer.channel), (Some(MessageId::new(55)), Some(CHANNEL)));

    let seen = &server.seen()[0];
    let path = format!("/api/v10/interactions/44/{TOKEN}/callback?with_response=true");
    assert_eq!(seen.line, format!("POST {path} HTTP/1.1"));
    assert!(seen.headers["user-agent"].starts_with("DiscordBot (http"), "{seen:?}");
    assert_eq!(seen.headers["content-type"], "application/json");
    assert!(!seen.headers.contains_key("authorization"));
    assert_eq!(seen.body["data"]["allowed_mentions"], json!({ "parse": [] }));
}

#[tokio::test]
async fn every_message_is_sent_with_no_mentions_and_bot_routes_with_the_token() {
    let server = Server::start().await;
    let made = json!({ "id": "66", "channel_id": "33" });
    for pattern in [
        "PATCH /api/v10/webhooks/11/",
        "POST /api/v10/webhooks/11/",
        "POST /api/v10/channels/33/messages ",
        "PATCH /api/v10/channels/33/messages/66 ",
    ] {
        server.on(pattern, answer(200, &made));
    }
    let rest = server.rest();
    let body = json!({ "content": "@here", "allowed_mentions": { "parse": ["everyone"] } });
    let id = MessageId::new(66);
    for posted in [
        rest.edit_original(APP, TOKEN, &body, soon()).await.unwrap(),
        rest.follow_up(APP, TOKEN, &body, soon()).await.unwrap(),
        rest.create_message(CHANNEL, &body, soon()).await.unwrap(),
        rest.edit_message(CHANNEL, id, &body, soon()).await.unwrap(),
    ] {
        assert_eq!((posted.message, posted.channel), (Some(id), Some(CHANNEL)));
    }
    let bot = format!("Bot {BOT_TOKEN}");
    for (seen, authorized) in server.seen().iter().zip([None, None, Some(&bot), Some(&bot)]) {
        assert_eq!(seen.body["allowed_mentions"], json!({ "parse": [] }));
        assert_eq!(seen.headers.get("authorization"), authorized);
    }
}

#[tokio::test]
async fn a_token_with_odd_characters_stays_one_path_segment() {
    let server = Server::start().await;
    server.on("PATCH", answer(200, "{}"));
    let odd = "../../x?y#z %2f";
    let body = json!({});
    server.rest().edit_original(APP, odd, &body, soon()).await.unwrap();
    let line = &server.seen()[0].line;
    assert!(line.contains("/webhooks/11/..%2F..%2Fx%3Fy%23z%20%252f/messages/@original"), "{line}");
}

#[tokio::test]
async fn the_gateway_and_the_commands_are_read_and_replaced() {
    let server = Server::start().await;
    let gateway = json!({ "url": "ws://here", "shards": 1, "session_start_limit":
        { "total": 1000, "remaining": 7, "reset_after": 1500, "max_concurrency": 1 } });
    server.on("GET /api/v10/gateway/bot", answer(200, gateway));
    for path in ["applications/11/guilds/22/commands", "applications/11/commands"] {
        server.on(&format!("GET /api/v10/{path}"), answer(200, json!([{ "name": "old" }])));
        server.on(&format!("PUT /api/v10/{path}"), answer(200, json!([{ "name": "new" }])));
    }
    let rest = server.rest();
    let gateway = rest.gateway_bot().await.unwrap();
    assert_eq!((gateway.url.as_str(), gateway.identifies_remaining), ("ws://here", 7));
    assert_eq!(gateway.reset_after, Duration::from_millis(1500));
    let new = json!([{ "name": "new" }]);
    assert_eq!(rest.guild_commands(APP, GUILD).await.unwrap()[0]["name"], "old");
    assert_eq!(rest.put_guild_commands(APP, GUILD, &new).await.unwrap()[0]["name"], "new");
    assert_eq!(rest.global_commands(APP).await.unwrap()[0]["name"], "old");
    assert_eq!(rest.put_global_commands(APP, &new).await.unwrap()[0]["name"], "new");
    assert_eq!(server.seen()[2].body, new);
}

#[tokio::test]
async fn settings_that_cannot_work_are_told_by_name() {
    for root in ["ftp://discord", "discord.com", "http://", "https://x/?y"] {
        let error = Rest::new(SecretString::from(BOT_TOKEN), Some(root)).unwrap_err();
        assert!(error.to_string().contains("DISCORD_API_URL"), "{root}");
    }
    let error = Rest::new(SecretString::from("a\nb"), None).unwrap_err();
    assert!(error.to_string().contains("DISCORD_TOKEN") && !error.to_string().contains("a\nb"));
}
