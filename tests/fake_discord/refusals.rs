//! Bodies that Discord refuses: messages beyond its limits, commands against its rules.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::bot::{call, put_commands, register, text};
use crate::discord::{FakeDiscord, RouteKind};

#[tokio::test]
async fn what_breaks_a_limit_is_refused_and_noted() {
    let discord = FakeDiscord::start().await;
    let path = format!("channels/{}/messages", discord.channel_id());
    discord.limit(RouteKind::PostMessage, 100, Duration::from_secs(1));
    let embed = |embed: Value| json!({"embeds": [embed], "allowed_mentions": {"parse": []}});
    let buttons =
        |buttons: Value| json!({"components": [{"type": 1, "components": buttons}], "allowed_mentions": {"parse": []}});
    let button = |label: &str, id: &str| json!({"type": 2, "style": 1, "label": label, "custom_id": id});
    let fields = |name: &str, value: &str| embed(json!({"fields": [{"name": name, "value": value}]}));
    let long = |length: usize| "x".repeat(length);
    let cases = [
        (text(&long(2001)), "/content"),
        (text(&"🚀".repeat(1001)), "/content"),
        (embed(json!({"title": long(257)})), "/embeds/0/title"),
        (embed(json!({"description": long(4097)})), "/embeds/0/description"),
        (fields("", "x"), "/embeds/0/fields/0/name"),
        (fields("x", " "), "/embeds/0/fields/0/value"),
        (fields("x", &long(1025)), "/embeds/0/fields/0/value"),
        (json!({"embeds": vec![json!({"title": "x"}); 11], "allowed_mentions": {"parse": []}}), "/embeds"),
        (json!({"embeds": vec![json!({"description": long(3001)}); 2], "allowed_mentions": {"parse": []}}), "/embeds"),
        (embed(json!({"title": "x", "url": "javascript:x"})), "/embeds/0/url"),
        (buttons(json!([button(&long(81), "a")])), "/components/0/components/0/label"),
        (buttons(json!([button("x", &long(101))])), "/components/0/components/0/custom_id"),
        (buttons(json!([button("x", "a"), button("y", "a")])), "/components/0/components/1/custom_id"),
        (buttons(json!(vec![button("x", "a"); 6])), "/components/0/components"),
        (buttons(json!([{"type": 2, "style": 5, "label": "x", "url": "ftp://x"}])), "/components/0/components/0/url"),
    ];
    for (body, at) in &cases {
        let (status, answer) = call(&discord, Method::POST, &path, body).await;
        assert_eq!((status.as_u16(), &answer["code"]), (400, &json!(50035)), "{at}: {answer}");
        assert!(answer["errors"].pointer(at).is_some_and(|at| at["_errors"].is_array()), "{at}: {answer}");
    }
    assert_eq!(discord.take_violations().len(), cases.len());

    let (status, answer) = call(&discord, Method::POST, &path, &json!({"content": " "})).await;
    assert_eq!((status.as_u16(), &answer["code"]), (400, &json!(50006)));
    let (status, _) = call(&discord, Method::POST, &path, &json!({"content": "@everyone"})).await;
    assert_eq!(status, 200, "Discord takes text that pings");
    assert_eq!(discord.messages(discord.channel_id())[0].pings, ["everyone"]);
    let at_the_limit = [text(&"🚀".repeat(1000)), fields("x", &long(1024)), buttons(json!([button(&long(80), "a")]))];
    for body in &at_the_limit {
        assert_eq!(call(&discord, Method::POST, &path, body).await.0, 200);
    }
    let violations = discord.take_violations();
    assert_eq!(violations.len(), 3, "no mentions allowed for twice, nothing in it once: {violations:?}");
}

#[tokio::test]
async fn commands_are_kept_as_discord_keeps_them_and_bad_ones_refused() {
    let discord = FakeDiscord::start().await;
    register(&discord).await;
    let before = discord.commands();
    register(&discord).await;
    assert_eq!((discord.commands(), discord.puts()), (before.clone(), 2), "nothing changed, so no new ids or versions");
    assert_eq!(before[0]["default_member_permissions"], Value::Null);
    assert!(before[0]["options"][1].get("required").is_none());
    let typed: Vec<serenity::all::Command> = serde_json::from_value(json!(before)).unwrap();
    assert!(typed[0].options[0].required);

    let command = |options: Value| json!([{"name": "x", "description": "x", "options": options}]);
    let option = |name: &str| json!({"type": 3, "name": name, "description": "x"});
    let with = |key: &str, value: Value| {
        let mut option = option("a");
        option[key] = value;
        option
    };
    let choice = json!({"name": "x", "value": "x"});
    let group =
        json!({"type": 2, "name": "g", "description": "x", "options": [{"type": 2, "name": "h", "description": "x"}]});
    for (commands, at) in [
        (json!([{"name": "Deploy", "description": "x"}]), "/0/name"),
        (json!([{"name": "x", "description": ""}]), "/0/description"),
        (json!([{"name": "x", "description": "x"}, {"name": "x", "description": "y"}]), "/1/name"),
        (command(json!([option("a"), option("a")])), "/0/options/1/name"),
        (command(json!([option("b"), with("required", json!(true))])), "/0/options/1"),
        (command(json!([with("choices", json!(vec![choice.clone(); 26]))])), "/0/options/0/choices"),
        (command(json!([with("type", json!(1)), option("b")])), "/0/options"),
        (command(json!([group])), "/0/options/0/options/0/type"),
        (command(json!([with("max_length", json!(6001))])), "/0/options/0/max_length"),
        (command((0..26).map(|i| option(&format!("o{i}"))).collect()), "/0/options"),
        (
            command(json!([{"type": 3, "name": "a", "description": "x", "autocomplete": true, "choices": [choice]}])),
            "/0/options/0/autocomplete",
        ),
    ] {
        let (status, answer) = put_commands(&discord, &commands).await;
        assert_eq!(status, 400, "{at}");
        assert!(answer["errors"].pointer(at).is_some(), "{at}: {answer}");
    }
    assert_eq!(discord.commands(), before, "a refused set changes nothing");
}
