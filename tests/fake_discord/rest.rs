//! REST: answers to interactions and their deadlines, messages, faults and limits, by plain HTTP requests.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::bot::{call, callback_path, original_path, send, text, used_command};
use crate::discord::{ALWAYS, CommandCall, FakeDiscord, Fault, RouteKind, Scope};

#[tokio::test]
async fn answers_come_in_time_once_and_in_order() {
    let discord = FakeDiscord::start().await;
    let (alice, interaction) = used_command(&discord).await;
    let (callback, original) = (callback_path(&interaction), original_path(&discord, &interaction));
    let code = |(status, body): (StatusCode, Value)| (status.as_u16(), body["code"].as_u64().unwrap_or(0));

    assert!(interaction.never_acknowledged());
    assert_eq!(code(call(&discord, Method::PATCH, &original, &text("early")).await), (404, 10015));
    let wrong = json!({"type": 8, "data": {"choices": []}});
    assert_eq!(code(call(&discord, Method::POST, &callback, &wrong).await), (400, 50035));
    let deferral = json!({"type": 5});
    let with_response = format!("{callback}?with_response=true");
    let (status, body) = call(&discord, Method::POST, &with_response, &deferral).await;
    assert_eq!(status, 200);
    assert_eq!(body["resource"]["message"]["flags"], 128);
    assert_eq!(code(call(&discord, Method::POST, &callback, &deferral).await), (400, 40060));

    let followups = format!("webhooks/{}/{}", discord.application_id(), interaction.token);
    call(&discord, Method::POST, &followups, &text("the answer")).await;
    call(&discord, Method::POST, &followups, &text("one more")).await;
    assert_eq!(interaction.answer().await.text(), "the answer");
    assert_eq!(interaction.followups()[0].text(), "one more");
    discord.expire(&interaction);
    assert_eq!(code(call(&discord, Method::PATCH, &original, &text("late")).await), (401, 50027));

    let late = CommandCall::new("permission").sub("list").typed_ago(Duration::from_secs(4));
    let late = discord.interact_now(&alice, late);
    assert_eq!(code(call(&discord, Method::POST, &callback_path(&late), &deferral).await), (404, 10062));
    let violations = discord.take_violations();
    assert_eq!(violations.len(), 2, "the wrong type and the second answer: {violations:?}");
}

#[tokio::test]
async fn a_public_message_is_editable_as_the_bot_and_an_ephemeral_one_never() {
    let discord = FakeDiscord::start().await;
    let (alice, public) = used_command(&discord).await;
    let secret = discord.interact_now(&alice, CommandCall::new("permission").sub("list"));
    for (interaction, flags, expected) in [(&public, 0, 200), (&secret, 64, 404)] {
        let mut data = text("hello");
        data["flags"] = json!(flags);
        call(&discord, Method::POST, &callback_path(interaction), &json!({"type": 4, "data": data})).await;
        let message = interaction.answer().await;
        let path = format!("channels/{}/messages/{}", message.channel_id, message.id);
        assert_eq!(call(&discord, Method::PATCH, &path, &text("edited")).await.0.as_u16(), expected);
    }
    assert_eq!(public.answer().await.text(), "edited");
    assert_eq!(secret.answer().await.text(), "(only you can see this)\nhello");
    assert_eq!(discord.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_post_sent_again_with_its_nonce_appears_once() {
    let discord = FakeDiscord::start().await;
    let path = format!("channels/{}/messages", discord.channel_id());
    let mut body = text("deployed");
    body["nonce"] = json!("slipway-1");
    body["enforce_nonce"] = json!(true);
    discord.fault(RouteKind::PostMessage, Fault::DropAfter, 1);
    assert!(send(&discord, Method::POST, &path, &body).await.is_err());
    assert_eq!(call(&discord, Method::POST, &path, &body).await.0, 200);
    assert_eq!(discord.messages(discord.channel_id()).len(), 1);
    discord.advance(Duration::from_secs(600));
    call(&discord, Method::POST, &path, &body).await;
    assert_eq!(discord.messages(discord.channel_id()).len(), 2);
}

#[tokio::test]
async fn faults_have_the_effect_they_say() {
    let discord = FakeDiscord::start().await;
    let (_, interaction) = used_command(&discord).await;
    let (callback, deferral) = (callback_path(&interaction), json!({"type": 5}));
    discord.fault(RouteKind::Callback, Fault::Status(502), 1);
    discord.fault(RouteKind::Callback, Fault::DropBefore, 1);
    discord.fault(RouteKind::Callback, Fault::Refused(403, 50001, "Missing Access"), 1);
    discord.fault(RouteKind::Callback, Fault::DropAfter, 1);

    let response = send(&discord, Method::POST, &callback, &deferral).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["content-type"]), (502, &"text/html".parse().unwrap()));
    assert!(send(&discord, Method::POST, &callback, &deferral).await.is_err());
    assert_eq!(call(&discord, Method::POST, &callback, &deferral).await.1["code"], 50001);
    assert!(interaction.never_acknowledged());
    assert!(send(&discord, Method::POST, &callback, &deferral).await.is_err());
    assert_eq!(interaction.acknowledged().await.kind, 5);
    assert_eq!(call(&discord, Method::POST, &callback, &deferral).await.1["code"], 40060);
    assert_eq!(discord.violations(), Vec::<String>::new(), "nothing here is the bot's fault");

    let short = Duration::from_millis(100);
    discord.fault(RouteKind::EditOriginal, Fault::Delay(2 * short), 1);
    discord.fault(RouteKind::EditOriginal, Fault::HangAfter, 1);
    let original = original_path(&discord, &interaction);
    for content in ["delayed", "never answered"] {
        let edit = text(content);
        let unanswered = send(&discord, Method::PATCH, &original, &edit);
        assert!(tokio::time::timeout(short, unanswered).await.is_err());
        interaction.answer_when(|answer| answer.content == content).await;
    }

    discord.fault(RouteKind::Any, Fault::Hang, ALWAYS);
    let edit = text("x");
    let hanging = send(&discord, Method::PATCH, &original, &edit);
    assert!(tokio::time::timeout(short, hanging).await.is_err());
    discord.clear_faults();
    assert_eq!(call(&discord, Method::PATCH, &original, &edit).await.0, 200);
}

#[tokio::test]
async fn limits_are_told_by_headers_and_ignoring_them_is_noted() {
    let discord = FakeDiscord::start().await;
    let path = format!("channels/{}/messages", discord.channel_id());
    for remaining in ["4", "3", "2", "1", "0"] {
        let response = send(&discord, Method::POST, &path, &text("x")).await.unwrap();
        assert_eq!(response.headers()["x-ratelimit-remaining"], remaining);
    }
    discord.advance(Duration::from_secs(1));
    let response = send(&discord, Method::POST, &path, &text("x")).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["x-ratelimit-scope"], "user");
    let retry_after = response.json::<Value>().await.unwrap()["retry_after"].as_f64().unwrap();
    assert!((3.0..=4.0).contains(&retry_after), "{retry_after}");
    assert_eq!(discord.take_violations().len(), 1);
    discord.advance(Duration::from_secs(4));
    assert_eq!(call(&discord, Method::POST, &path, &text("x")).await.0, 200);

    discord.fault(RouteKind::PostMessage, Fault::RateLimited(Duration::from_millis(1500), Scope::Global), 1);
    let response = send(&discord, Method::POST, &path, &text("x")).await.unwrap();
    assert_eq!(
        (&response.headers()["retry-after"], &response.headers()["x-ratelimit-global"]),
        (&"2".parse().unwrap(), &"true".parse().unwrap())
    );
    assert_eq!(call(&discord, Method::GET, "users/@me", &Value::Null).await.0, 429);
    assert_eq!(discord.take_violations().len(), 1, "sent again before the global limit was over");
    discord.advance(Duration::from_millis(1500));
    assert_eq!(call(&discord, Method::GET, "users/@me", &Value::Null).await.0, 200);
    assert_eq!(discord.violations(), Vec::<String>::new());
}
