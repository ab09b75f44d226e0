//! Stopping: at once when nothing is under way, else within ten seconds, with everything finished or recorded.

use std::time::{Duration, Instant};

use crate::process::{Process, Signal};
use crate::support::Stage;
use crate::support::circleci::Route;
use crate::support::discord::{CommandCall, RouteKind};
use crate::{ready, slipway, stage};

/// What service managers commonly give a process before they kill it, and the bot's promise.
const STOP_WITHIN: Duration = Duration::from_secs(10);
const IDLE_STOP_WITHIN: Duration = Duration::from_secs(4);

#[tokio::test]
async fn an_idle_bot_stops_quickly_by_either_signal() {
    let stage = stage().await;
    for signal in [Signal::Term, Signal::Interrupt] {
        let bot = slipway(&stage, &["run"]);
        bot.says("The commands are registered").await;
        bot.signal(signal);
        let ended = bot.ends_within(IDLE_STOP_WITHIN).await;
        assert_eq!(ended.code, Some(0), "{signal:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("Slipway has stopped"), "{}", ended.stderr);
    }
    assert_eq!(stage.discord.client_closes(), [Some(1000), Some(1000)], "Discord is told goodbye");
    stage.finish().await;
}

/// A bot that is stopped while CircleCI holds its answer to Alice's deploy, and that has just refused Bob's command.
async fn stopping_bot(stage: &Stage) -> (Process, Instant) {
    let bot = ready(stage).await;
    let deploy = stage.alice().deploys("acme/web", "main").await;
    stage.circleci.until("the trigger is sent", |fake| !fake.requests_to(Route::RunPipeline).is_empty()).await;
    assert_eq!(deploy.acknowledged().await.kind, 5, "it is deferred");
    bot.signal(Signal::Term);
    let since = Instant::now();
    bot.says("Slipway is stopping").await;
    for refused in [stage.alice().deploys("acme/web", "main").await, stage.bob().runs(CommandCall::new("help")).await] {
        let answer = refused.answer().await;
        assert!(answer.ephemeral && answer.text().contains("Slipway is restarting"), "{}", answer.text());
    }
    (bot, since)
}

#[tokio::test]
async fn what_is_under_way_is_finished_and_what_comes_meanwhile_is_refused() {
    let stage = stage().await;
    let gate = stage.circleci.hold(Route::RunPipeline);
    let (bot, since) = stopping_bot(&stage).await;
    gate.open();
    let ended = bot.ends_within(STOP_WITHIN.saturating_sub(since.elapsed())).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(stage.states().await, ["queued"]);
    assert_eq!(stage.circleci.triggers(), 1);
    let card = stage
        .discord
        .message_when(stage.discord.channel_id(), |card| card.text().contains("Deploy #1 is queued"))
        .await;
    assert!(card.buttons().iter().any(|button| button.label == "Build"), "{}", card.text());
    let denied = stage.audit().await.into_iter().filter(|entry| entry.action == "deploy.denied").count();
    assert_eq!(denied, 1, "the refusal is recorded");
    stage.finish().await;
}

#[tokio::test]
async fn what_cannot_be_finished_is_recorded_and_taken_up_at_the_next_start() {
    let stage = stage().await;
    let _never_opened = stage.circleci.hold(Route::RunPipeline);
    let (bot, since) = stopping_bot(&stage).await;
    let ended = bot.ends_within(STOP_WITHIN.saturating_sub(since.elapsed())).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!((stage.states().await, stage.circleci.triggers()), (vec!["triggering".to_owned()], 0));

    // CircleCI never took it: it is looked for in vain and not sent again.
    let bot = slipway(&stage, &["run"]);
    // The looks take 15 s, and a stage waits 20 s for what it is asked.
    stage.discord.requested(RouteKind::EditMessage, 1).await;
    let card = stage.discord.message_when(stage.discord.channel_id(), |card| card.text().contains("is unknown")).await;
    assert!(card.text().contains("nothing was sent again"), "{}", card.text());
    assert_eq!(stage.circleci.requests_to(Route::RunPipeline).len(), 1);
    bot.signal(Signal::Term);
    assert_eq!(bot.ends().await.code, Some(0));
    stage.finish().await;
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let stage = stage().await;
    let _never_opened = stage.circleci.hold(Route::RunPipeline);
    let (bot, _) = stopping_bot(&stage).await;
    bot.signal(Signal::Term);
    let ended = bot.ends_within(Duration::from_secs(2)).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(stage.states().await, ["triggering"]);
}
