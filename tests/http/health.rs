//! `/healthz`: live, ready, and what stands in the way.

use std::net::TcpListener;

use serde_json::{Value, json};
use tokio::time::{Duration, sleep};

use crate::server::Server;
use crate::support::Stage;
use crate::support::circleci::FakeCircleCi;
use crate::support::discord::GatewayMode;

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn ready_is_who_can_record_and_be_heard() {
    let server = Server::start(1).await;
    let answer = server.gets("/healthz").await;
    assert_eq!(answer.status, 503);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        answer.json(),
        json!({"live": true, "ready": false, "database": "ok", "gateway": "connecting", "circleci": "unknown", "version": version})
    );

    server.health.gateway_connected();
    server.health.circleci(false);
    let answer = server.gets("/healthz").await;
    assert_eq!((answer.status, answer.json()["circleci"].as_str()), (200, Some("unreachable")));
    assert_eq!(answer.json()["ready"], true, "CircleCI's trouble is not ours");

    server.health.gateway_lost();
    server.health.circleci(true);
    let answer = server.gets("/healthz").await;
    assert_eq!(answer.status, 503);
    assert_eq!((&answer.json()["gateway"], &answer.json()["circleci"]), (&json!("reconnecting"), &json!("reachable")));
}

#[tokio::test]
async fn a_database_that_fails_is_told_and_who_only_asks_for_life_does_not_wait_for_it() {
    let server = Server::start(1).await;
    server.health.gateway_connected();
    server.db.close().await;
    let answer = server.gets("/healthz").await;
    assert_eq!((answer.status, answer.json()["database"].as_str()), (503, Some("failing")));
    for path in ["/healthz?live", "/healthz?live=1", "/healthz?x&live"] {
        let answer = server.gets(path).await;
        assert_eq!((answer.status, &answer.json()["live"]), (200, &json!(true)));
        assert_eq!(answer.json().get("ready"), None);
    }
}

#[tokio::test]
async fn a_database_that_hangs_is_told_within_its_time() {
    let server = Server::start(1).await;
    let mut held = Vec::new();
    // All of its connections are others'.
    while let Ok(Ok(reader)) = tokio::time::timeout(Duration::from_millis(200), server.db.reader()).await {
        held.push(reader);
    }
    let since = std::time::Instant::now();
    let answers = tokio::join!(server.gets("/healthz"), server.gets("/healthz"));
    for answer in [answers.0, answers.1] {
        assert_eq!((answer.status, answer.json()["database"].as_str()), (503, Some("slow")));
    }
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
}

async fn health_of(url: &str) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(url).send().await.unwrap().json().await.unwrap()
}

/// Asks again until the gateway is said to be so.
async fn until_gateway_is(url: &str, state: &str) -> Value {
    for _ in 0..200 {
        let told = health_of(url).await;
        if told["gateway"] == state {
            return told;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the gateway is not {state}: {}", health_of(url).await);
}

#[tokio::test]
async fn the_bot_tells_when_its_gateway_comes_and_goes() {
    let address = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{address}/healthz");
    let mut stage = Stage::before_curtain(FakeCircleCi::start().await, &[("SLIPWAY_HTTP_ADDR", &address)]).await;
    stage.discord.gateway_mode(GatewayMode::Refusing);
    stage.start_bot();
    stage.discord.until("the bot asks for the gateway", |discord| !discord.requests().is_empty()).await;
    assert_eq!(until_gateway_is(&url, "connecting").await["ready"], false);

    stage.discord.gateway_mode(GatewayMode::Normal);
    assert_eq!(until_gateway_is(&url, "connected").await["ready"], true);
    stage.discord.registered().await;

    stage.discord.gateway_mode(GatewayMode::Refusing);
    stage.discord.drop_connections();
    assert_eq!(until_gateway_is(&url, "reconnecting").await["ready"], false);
    stage.discord.gateway_mode(GatewayMode::Normal);
    until_gateway_is(&url, "connected").await;
    stage.finish().await;
}

#[tokio::test]
async fn a_port_that_is_taken_stops_the_start_with_advice() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut stage = Stage::before_curtain(FakeCircleCi::start().await, &[("SLIPWAY_HTTP_ADDR", &address)]).await;
    stage.start_bot();
    let said = stage.bot_ends().await.unwrap_err();
    assert!(said.contains("SLIPWAY_HTTP_ADDR") && said.contains(&address), "{said}");
    assert!(said.contains("choose another port"), "{said}");
    assert!(stage.discord.requests().is_empty(), "nothing was begun");
    stage.finish().await;
}
