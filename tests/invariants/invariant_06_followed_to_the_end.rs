//! Invariant 6: a kill at any instant loses nothing recorded.

use super::*;

/// The bot is killed while CircleCI has the trigger in hand, and started again; the card that stands afterwards.
async fn killed_while_triggering(stage: &mut Stage, trigger: Route, fault: Fault) -> String {
    stage.circleci.fault(trigger, fault, 1);
    let asked = alice_deploys(stage).await;
    stage.circleci.until("it is asked", |circleci| !circleci.requests_to(trigger).is_empty()).await;
    stage.kill_bot().await;
    assert_eq!(stage.states().await, ["triggering"]);

    stage.start_bot_again().await;

    let card = asked.answer_when(|card| !card.text().contains("is triggering")).await;
    assert_eq!(stage.circleci.requests_to(trigger).len(), 1, "it is not sent again");
    stage.tidy(&card)
}

#[tokio::test]
async fn a_trigger_that_a_kill_interrupted_is_looked_for_and_adopted() {
    for (mut stage, trigger) in
        [(Stage::start().await, Route::RunPipeline), (Stage::start_with_job().await, Route::TriggerJob)]
    {
        let card = killed_while_triggering(&mut stage, trigger, Fault::HangAfter).await;
        assert!(card.contains("# Deploy #1 is queued"), "{card}");
        assert_eq!((stage.circleci.triggers(), stage.states().await), (1, vec!["queued".to_owned()]));
        assert!(!stage.discord.requests_to(RouteKind::EditMessage).is_empty(), "as the bot: its token may be dead");
        let log = stage.audit().await;
        let triggered = log.iter().find(|entry| entry.action == "deploy.triggered").unwrap();
        assert_eq!((triggered.detail["adopted"].clone(), triggered.actor.as_str()), (true.into(), "alice"));
        stage.finish().await;
    }
}

#[tokio::test]
async fn a_trigger_that_a_kill_interrupted_and_nobody_finds_is_unknown() {
    let mut stage = Stage::start_with_job().await;
    let card = killed_while_triggering(&mut stage, Route::TriggerJob, Fault::HangBefore).await;
    insta::assert_snapshot!(card, @"
    # Deploy #1 is unknown
    CircleCI's answer to the trigger was not recorded. It was looked for and not found: CircleCI may or may not have taken it, and nothing was sent again. Look at the project on CircleCI before you deploy again.
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **unknown**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    [Retry](/deploys retry 1)
    ");
    assert_eq!((stage.circleci.triggers(), stage.states().await), (0, vec!["unknown".to_owned()]));
    stage.finish().await;
}

#[tokio::test]
async fn what_could_not_be_recorded_is_taken_up_at_the_next_start() {
    let mut stage = Stage::start_with_job().await;
    let gate = stage.circleci.hold(Route::TriggerJob);
    let asked = alice_deploys(&stage).await;
    stage.circleci.until("it is asked", |circleci| !circleci.requests_to(Route::TriggerJob).is_empty()).await;
    let database = stage.hold_database().await;
    gate.open();
    stage.circleci.until_answered(Route::TriggerJob, 1).await;
    stage.kill_bot().await;
    database.give_back().await;
    assert_eq!((stage.circleci.triggers(), stage.states().await), (1, vec!["triggering".to_owned()]));

    stage.start_bot_again().await;

    asked.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;
    assert_eq!((stage.circleci.triggers(), stage.states().await), (1, vec!["queued".to_owned()]));
    stage.finish().await;
}

#[tokio::test]
async fn a_stop_waits_for_what_is_under_way() {
    let mut stage = Stage::start().await;
    let gate = stage.circleci.hold(Route::RunPipeline);
    let asked = alice_deploys(&stage).await;
    stage.circleci.until("it is asked", |circleci| !circleci.requests_to(Route::RunPipeline).is_empty()).await;
    let (stopped, ()) = tokio::join!(stage.stop_bot(), async { gate.open() });
    stopped.unwrap();
    assert!(asked.original().unwrap().text().contains("Deploy #1 is queued"));
    assert_eq!(stage.states().await, ["queued"]);
    stage.finish().await;
}
