//! Invariant 7: the acknowledgement goes out before any slow work.

use super::*;

/// Of Discord's three seconds, at most this much.
const AT_ONCE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_acknowledgement_waits_for_no_disk() {
    let stage = Stage::start().await;
    let database = stage.hold_database().await;

    let asked = alice_deploys(&stage).await;

    let acknowledged = asked.acknowledged().await;
    assert!(!acknowledged.ephemeral && acknowledged.after < AT_ONCE, "{acknowledged:?}");
    assert_eq!((stage.states().await.len(), stage.circleci.requests().len()), (0, 0));
    database.give_back().await;
    asked.answer_when(|card| card.text().contains("is queued")).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_refusal_waits_for_no_disk_either() {
    let stage = Stage::start().await;
    let database = stage.hold_database().await;
    let calls = [deploy("acme/web", "main"), deploy("acme/web", "a..b"), grant(stage.bob().id, "deploy")];
    for call in calls {
        let acknowledged = stage.bob().runs(call).await.acknowledged().await;
        assert!(acknowledged.ephemeral && acknowledged.after < AT_ONCE, "{acknowledged:?}");
    }
    database.give_back().await;
    stage.finish().await;
}

#[tokio::test]
async fn the_acknowledgement_waits_for_no_circleci() {
    let stage = Stage::start().await;
    stage.circleci.fault(Route::Any, Fault::HangBefore, usize::MAX);

    let asked = alice_deploys(&stage).await;

    assert!(asked.acknowledged().await.after < AT_ONCE);
    stage.circleci.until("it is asked", |circleci| !circleci.requests().is_empty()).await;
    stage.circleci.clear_faults();
    asked.answer_when(|card| card.text().contains("is queued")).await;
    stage.finish().await;
}

#[tokio::test]
async fn nothing_is_asked_of_circleci_before_discord_has_the_acknowledgement() {
    let stage = Stage::start().await;
    let before = stage.discord.requests_to(RouteKind::Callback).len();
    stage.discord.fault(RouteKind::Callback, DiscordFault::DelayAnswer(Duration::from_millis(500)), 1);
    let asked = alice_deploys(&stage).await;
    stage
        .discord
        .until("the acknowledgement to be answered", |discord| {
            let callbacks = discord.requests_to(RouteKind::Callback);
            let answered = callbacks.get(before).is_some_and(|callback| callback.status.is_some());
            assert!(answered || stage.circleci.requests().is_empty(), "CircleCI was asked before Discord had accepted");
            answered
        })
        .await;
    asked.answer_when(|card| card.text().contains("is queued")).await;
    stage.finish().await;
}
