//! Whatever the gateway's connection suffers, a deploy in hand goes on, and the next one works.
#![allow(clippy::unwrap_used, reason = "a test that unwraps in vain fails, as it should")]

mod support;

use std::time::Duration;

use support::Stage;
use support::circleci::{FakeCircleCi, Route};
use support::discord::{FakeDiscord, GatewayMode};

/// Breaks the connection while CircleCI keeps a deploy waiting, lets it go on, and then deploys once more.
async fn a_deploy_goes_on_while(breaks: impl AsyncFnOnce(&FakeDiscord), mends: impl AsyncFnOnce(&FakeDiscord)) {
    let stage = Stage::start().await;
    goes_on(stage, breaks, mends).await;
}

async fn goes_on(stage: Stage, breaks: impl AsyncFnOnce(&FakeDiscord), mends: impl AsyncFnOnce(&FakeDiscord)) {
    // The stage's bot asks for the definitions several times, for some seconds in all, before it gives up.
    let gate = stage.circleci.hold(Route::Definitions);
    let deploy = stage.alice().deploys("acme/web", "main").await;
    stage.circleci.until("CircleCI is asked", |fake| !fake.requests_to(Route::Definitions).is_empty()).await;

    breaks(&stage.discord).await;
    gate.open();
    // The answer needs no gateway, and comes while there is none.
    let card = deploy.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;
    assert!(card.buttons().iter().any(|button| button.label == "Build"), "{}", card.text());

    mends(&stage.discord).await;
    stage.circleci.clear_faults();
    let next = stage.alice().deploys("acme/web", "main").await;
    next.answer_when(|card| card.text().contains("Deploy #2 is queued")).await;
    assert_eq!(stage.circleci.triggers(), 2);
    stage.finish().await;
}

/// The session is taken up again, and no second one was begun.
async fn is_resumed(discord: &FakeDiscord) {
    discord.resumed(1).await;
    assert_eq!(discord.identifies().len(), 1, "{}", discord.story());
}

#[tokio::test]
async fn the_gateway_closes_without_a_code() {
    a_deploy_goes_on_while(async |discord| discord.close(None), is_resumed).await;
}

#[tokio::test]
async fn the_gateway_closes_with_an_error_of_its_own() {
    a_deploy_goes_on_while(async |discord| discord.close(Some(4000)), is_resumed).await;
}

#[tokio::test]
async fn the_connection_breaks_off() {
    a_deploy_goes_on_while(async |discord| discord.drop_connections(), is_resumed).await;
}

#[tokio::test]
async fn the_gateway_asks_to_reconnect() {
    a_deploy_goes_on_while(async |discord| discord.op7(), is_resumed).await;
}

#[tokio::test]
async fn the_session_is_over() {
    let mends = async |discord: &FakeDiscord| {
        discord.identified(2).await;
        discord.ready().await;
    };
    a_deploy_goes_on_while(async |discord| discord.invalid_session(false), mends).await;
}

#[tokio::test]
async fn the_gateway_takes_connections_and_says_nothing() {
    let breaks = async |discord: &FakeDiscord| {
        let connections = discord.connections();
        discord.gateway_mode(GatewayMode::Silent);
        discord.drop_connections();
        discord.connected(connections + 1).await;
    };
    let mends = async |discord: &FakeDiscord| {
        discord.gateway_mode(GatewayMode::Normal);
        is_resumed(discord).await;
    };
    a_deploy_goes_on_while(breaks, mends).await;
}

#[tokio::test]
async fn the_gateway_refuses_connections() {
    let breaks = async |discord: &FakeDiscord| {
        let connections = discord.connections();
        discord.gateway_mode(GatewayMode::Refusing);
        discord.close(None);
        discord.connected(connections + 1).await;
    };
    let mends = async |discord: &FakeDiscord| {
        discord.gateway_mode(GatewayMode::Normal);
        is_resumed(discord).await;
    };
    a_deploy_goes_on_while(breaks, mends).await;
}

#[tokio::test]
async fn the_gateway_stops_answering_heartbeats() {
    let mut stage = Stage::before_curtain(FakeCircleCi::start().await, &[]).await;
    // serenity keeps the interval that the session's first hello named.
    stage.discord.heartbeat_interval(Duration::from_secs(1));
    stage.start_bot();
    stage.root().adds_repo("acme/web").await;
    stage.root().lets("alice", "deploy").await;
    let breaks = async |discord: &FakeDiscord| {
        let connections = discord.connections();
        discord.stop_acking();
        discord.connected(connections + 1).await;
        discord.resume_acking();
    };
    goes_on(stage, breaks, is_resumed).await;
}

#[tokio::test]
async fn a_command_given_while_the_bot_is_away_is_delivered_late_and_done_once() {
    let stage = Stage::start().await;
    stage.discord.close(None);
    let deploy = stage.discord.interact_now(&stage.alice(), support::stage::deploy("acme/web", "main"));
    deploy.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;
    stage.discord.redeliver(&deploy).await;
    let next = stage.alice().deploys("acme/web", "main").await;
    next.answer_when(|card| card.text().contains("Deploy #2 is queued")).await;
    assert_eq!(stage.circleci.triggers(), 2);
    stage.finish().await;
}
