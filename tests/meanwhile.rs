//! What happens while a deploy is on its way: others change things, the bot dies, two are asked for at once.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use std::time::Duration;

use support::circleci::{Fault, Route};
use support::discord::{CommandCall, Fault as DiscordFault, RouteKind};
use support::{Stage, stage};

/// Alice's deploy stands between its acknowledgement and its recording, and goes on when `meanwhile` is done.
async fn between_acknowledgement_and_recording(stage: &Stage, meanwhile: impl AsyncFnOnce()) -> String {
    stage.discord.fault(RouteKind::Callback, DiscordFault::DelayAnswer(Duration::from_millis(700)), 1);
    let asked = stage.alice().deploys("acme/web", "main").await;
    asked.acknowledged().await;
    meanwhile().await;
    stage.tidy(&asked.answer().await)
}

#[tokio::test]
async fn an_environment_that_is_changed_meanwhile_is_not_deployed_as_it_was() {
    let stage = Stage::start().await;
    let set = CommandCall::new("environment").sub("set").string("repo", "acme/web").string("name", "production");
    let answer = between_acknowledgement_and_recording(&stage, async || {
        stage.root().hears(set.string("job", "deploy_docker")).await;
    })
    .await;
    assert!(answer.contains("was changed this very moment") && answer.contains("Ask again"), "{answer}");
    assert_eq!(stage.circleci.triggers(), 0);
    stage.finish().await;
}

#[tokio::test]
async fn a_repository_that_is_removed_meanwhile_is_not_deployed() {
    let stage = Stage::start().await;
    let answer = between_acknowledgement_and_recording(&stage, async || {
        stage.root().removes(CommandCall::new("repo").sub("remove").string("name", "acme/web")).await;
    })
    .await;
    assert!(answer.contains("was changed this very moment"), "{answer}");
    assert_eq!((stage.circleci.triggers(), stage.states().await), (0, vec![]));
    stage.finish().await;
}

#[tokio::test]
async fn a_permission_that_is_taken_away_meanwhile_is_missing() {
    let stage = Stage::start().await;
    let answer = between_acknowledgement_and_recording(&stage, async || {
        stage.root().grants(stage::grant(stage.alice().id, "deploy").string("effect", "deny")).await;
    })
    .await;
    assert!(answer.contains("One denial outweighs every grant"), "{answer}");
    assert_eq!(stage.circleci.triggers(), 0);
    stage.finish().await;
}

#[tokio::test]
async fn a_permission_that_another_program_takes_away_is_missing_at_once() {
    let stage = Stage::start().await;
    stage.alice().deploys("acme/web", "main").await.answer().await;
    let mut program = stage.hold_database().await;
    program.write("UPDATE rule SET revoked_at = 1 WHERE action = 'deploy'").await;
    program.give_back().await;
    let answer = stage.alice().deploys("acme/web", "main").await.answer().await;
    assert!(answer.text().contains("no rule gives it to you"), "{}", answer.text());
    assert_eq!((stage.circleci.triggers(), stage.states().await.len()), (1, 1));
    stage.finish().await;
}

/// Nothing in a pipeline names the deploy that made it, so of two deploys that were lost together neither may take the one
/// pipeline that there is.
#[tokio::test]
async fn of_two_that_a_kill_interrupted_neither_takes_a_pipeline_that_may_be_the_others() {
    let mut stage = Stage::start().await;
    stage.circleci.fault(Route::RunPipeline, Fault::HangAfter, 1);
    stage.circleci.fault(Route::RunPipeline, Fault::HangBefore, 1);
    let first = stage.alice().deploys("acme/web", "main").await;
    stage.circleci.until("the first is asked", |fake| fake.requests_to(Route::RunPipeline).len() == 1).await;
    let second = stage.alice().deploys("acme/web", "main").await;
    stage.circleci.until("the second is asked", |fake| fake.requests_to(Route::RunPipeline).len() == 2).await;
    stage.kill_bot().await;
    assert_eq!(stage.states().await, ["triggering", "triggering"]);

    stage.start_bot_again().await;

    for asked in [first, second] {
        let card = asked.answer_when(|card| card.text().contains("is unknown")).await;
        assert!(card.text().contains("any of these may be it"), "{}", card.text());
    }
    assert_eq!(stage.states().await, ["unknown", "unknown"]);
    assert_eq!((stage.circleci.triggers(), stage.circleci.requests_to(Route::RunPipeline).len()), (1, 2));
    stage.finish().await;
}

#[tokio::test]
async fn a_refusal_that_nobody_saw_is_recorded_all_the_same() {
    let stage = Stage::start().await;
    stage.discord.fault(RouteKind::Callback, DiscordFault::Refused(404, 10062, "Unknown interaction"), 1);
    stage.bob().deploys("acme/web", "main").await;
    stage.discord.requested(RouteKind::Callback, 1).await;
    while stage.audited("deploy.denied").await == 0 {
        tokio::task::yield_now().await;
    }
    stage.finish().await;
}

/// At the start after a power cut the network may come later than the bot.
#[tokio::test]
async fn a_deploy_that_cannot_be_looked_for_at_the_start_is_looked_for_again() {
    let mut stage = Stage::following().await;
    let set = CommandCall::new("environment").sub("set").string("repo", "acme/web").string("name", "production");
    stage.root().hears(set.string("job", "deploy_docker")).await;
    stage.circleci.fault(Route::TriggerJob, Fault::HangAfter, 1);
    let asked = stage.alice().deploys("acme/web", "main").await;
    stage.circleci.until("it is asked", |fake| !fake.requests_to(Route::TriggerJob).is_empty()).await;
    stage.kill_bot().await;
    stage.circleci.fault(Route::ListBuilds, Fault::Html502, usize::MAX);

    stage.start_bot_again().await;
    stage.circleci.until_answered(Route::ListBuilds, 12).await;
    assert_ne!(stage.states().await, ["queued"]);
    stage.circleci.clear_faults();

    let card = asked.answer_when(|card| card.text().contains("is queued")).await;
    assert!(card.text().contains("found by looking for it"), "{}", card.text());
    assert_eq!(stage.circleci.triggers(), 1);
    stage.finish().await;
}
