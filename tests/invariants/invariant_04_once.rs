//! Invariant 4: one interaction causes at most one trigger.

use super::*;

/// One trigger, one record, and the card tells of it.
async fn happened_once(mut stage: Stage, asked: &Interaction) {
    // A start asks CircleCI at once how far it is.
    let goes_on = |text: &str| text.contains("Deploy #1 is queued") || text.contains("Deploy #1 is running");
    let card = asked.answer_when(|card| goes_on(&card.text())).await;
    assert!(!card.text().contains("Deploy #2"));
    stage.stop_bot().await.unwrap();
    assert_eq!(stage.circleci.triggers(), 1);
    assert!(["queued", "running"].contains(&stage.states().await[0].as_str()) && stage.states().await.len() == 1);
    assert_eq!(stage.audited("deploy.requested").await, 1);
    let card = asked.original().unwrap();
    assert!(goes_on(&card.text()), "{}", card.text());
    stage.finish().await;
}

#[tokio::test]
async fn delivered_again_at_once() {
    let stage = Stage::start().await;
    let asked = alice_deploys(&stage).await;
    for _ in 0..5 {
        stage.discord.redeliver(&asked).await;
    }
    stage.alice().hears(CommandCall::new("help")).await;
    happened_once(stage, &asked).await;
}

#[tokio::test]
async fn delivered_again_while_the_first_is_under_way() {
    let stage = Stage::start().await;
    let gate = stage.circleci.hold(Route::RunPipeline);
    let asked = alice_deploys(&stage).await;
    stage.circleci.until("it is asked", |circleci| !circleci.requests_to(Route::RunPipeline).is_empty()).await;
    stage.discord.redeliver(&asked).await;
    stage.alice().hears(CommandCall::new("help")).await;
    gate.open();
    happened_once(stage, &asked).await;
}

#[tokio::test]
async fn delivered_again_after_a_restart() {
    let mut stage = Stage::start().await;
    let asked = alice_deploys(&stage).await;
    asked.answer().await;
    stage.stop_bot().await.unwrap();
    stage.start_bot_again().await;
    let before = stage.discord.requests_to(RouteKind::Callback).len();

    stage.discord.redeliver(&asked).await;

    stage.discord.requested(RouteKind::Callback, before + 1).await;
    stage.discord.take_violations();
    happened_once(stage, &asked).await;
}

/// The edit that finds out succeeds, because the first delivery was acknowledged: the record alone tells.
#[tokio::test]
async fn delivered_again_after_a_restart_and_the_second_acknowledgements_answer_is_lost() {
    let mut stage = Stage::start().await;
    let asked = alice_deploys(&stage).await;
    asked.answer().await;
    stage.stop_bot().await.unwrap();
    stage.start_bot_again().await;
    let before = stage.discord.requests_to(RouteKind::Callback).len();
    stage.discord.fault(RouteKind::Callback, DiscordFault::Status(502), 1);

    stage.discord.redeliver(&asked).await;

    stage.discord.requested(RouteKind::Callback, before + 1).await;
    happened_once(stage, &asked).await;
}
