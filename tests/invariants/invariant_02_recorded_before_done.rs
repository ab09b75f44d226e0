//! Invariant 2: the request and its audit entry are durable before CircleCI is called.

use super::*;

#[tokio::test]
async fn what_circleci_is_asked_for_is_in_the_database_already() {
    for (stage, trigger) in
        [(Stage::start().await, Route::RunPipeline), (Stage::start_with_job().await, Route::TriggerJob)]
    {
        let gate = stage.circleci.hold(trigger);
        alice_deploys(&stage).await;
        stage.circleci.until("it is asked", |circleci| !circleci.requests_to(trigger).is_empty()).await;

        // Another connection sees only what is committed.
        assert_eq!(stage.states().await, ["triggering"]);
        assert_eq!(stage.audited("deploy.requested").await, 1);
        gate.open();
        stage.finish().await;
    }
}

#[tokio::test]
async fn when_it_cannot_be_written_nothing_is_triggered_and_the_person_is_told() {
    let failures = [("deploy", "TRUE"), ("audit_log", "NEW.action = 'deploy.requested'"), ("audit_log", "TRUE")];
    for (table, when) in failures {
        let stage = Stage::start().await;
        stage.database_fails_at(table, when).await;

        let answer = alice_deploys(&stage).await.answer().await;

        insta::allow_duplicates! { insta::assert_snapshot!(stage.tidy(&answer), @r"
        # Not done: the database failed
        The database failed: disk I/O error. Because nothing could be recorded, nothing was done. Try again in a moment; if it stays so, tell whoever runs Slipway: its log has the details.
        "); }
        stage.database_recovers().await;
        nothing_came_of_it(stage).await;
    }
}

#[tokio::test]
async fn the_bot_goes_on_once_the_database_is_well_again() {
    let stage = Stage::start().await;
    stage.database_fails_at("deploy", "TRUE").await;
    assert!(alice_deploys(&stage).await.answer().await.text().contains("the database failed"));
    stage.database_recovers().await;

    assert!(alice_deploys(&stage).await.answer().await.text().contains("Deploy #1 is queued"));

    assert_eq!(stage.circleci.triggers(), 1);
    stage.finish().await;
}

#[tokio::test]
async fn a_kill_between_the_acknowledgement_and_the_record_triggers_nothing() {
    let mut stage = Stage::start().await;
    let database = stage.hold_database().await;
    let asked = alice_deploys(&stage).await;
    asked.acknowledged().await;
    stage.kill_bot().await;
    database.give_back().await;

    stage.start_bot_again().await;
    assert!(stage.alice().hears(CommandCall::new("help")).await.text().contains("Commands"));

    assert!(asked.original().unwrap().is_loading(), "Discord shows that it was never answered");
    nothing_came_of_it(stage).await;
}
