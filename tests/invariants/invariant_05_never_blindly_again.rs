//! Invariant 5: what CircleCI may have taken is looked for and never sent again.

use super::*;

#[tokio::test]
async fn a_trigger_that_may_have_been_taken_is_looked_for_and_not_sent_again() {
    let errors = json!({"message": "Internal server error."});
    let fates = [
        (Fault::DropBefore, 0, "unknown"),
        (Fault::DropAfter, 1, "queued"),
        (Fault::Status(500, errors.clone()), 0, "unknown"),
        (Fault::StatusAfter(503, errors), 1, "queued"),
        (Fault::Html502, 0, "unknown"),
        (Fault::HangBefore, 0, "unknown"),
        (Fault::HangAfter, 1, "queued"),
    ];
    let stories = fates.map(|(fault, taken, ends)| async move {
        for (stage, trigger) in
            [(Stage::start().await, Route::RunPipeline), (Stage::start_with_job().await, Route::TriggerJob)]
        {
            stage.circleci.fault(trigger, fault.clone(), 1);
            let card = alice_deploys(&stage).await.answer_when(|card| !card.text().contains("triggering")).await;
            assert!(card.text().contains(&format!("Deploy #1 is {ends}")), "{}", card.text());
            assert_eq!(stage.circleci.requests_to(trigger).len(), 1);
            assert_eq!((stage.circleci.triggers(), stage.states().await), (taken, vec![ends.to_owned()]));
            stage.finish().await;
        }
    });
    futures_util::future::join_all(stories).await;
}

#[tokio::test]
async fn a_lost_pipeline_is_told_from_those_that_other_deploys_hold() {
    let stage = Stage::start().await;
    alice_deploys(&stage).await.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;
    stage.circleci.fault(Route::RunPipeline, Fault::DropAfter, 1);

    let card = alice_deploys(&stage).await.answer_when(|card| !card.text().contains("triggering")).await;

    assert!(card.text().contains("Deploy #2 is queued") && card.text().contains("pipeline 2"), "{}", card.text());
    stage.finish().await;
}

#[tokio::test]
async fn two_lost_at_once_do_not_adopt_the_same_pipeline() {
    let stage = Stage::start().await;
    stage.circleci.fault(Route::RunPipeline, Fault::DropAfter, 1);
    stage.circleci.fault(Route::RunPipeline, Fault::DropBefore, 1);

    let asked = [alice_deploys(&stage).await, alice_deploys(&stage).await];
    for asked in &asked {
        asked.answer_when(|card| !card.text().contains("triggering")).await;
    }

    // Nobody can tell whose it is, unless one has it before the other looks.
    let states = stage.states().await;
    assert!(states.iter().filter(|state| *state == "queued").count() <= 1, "{states:?}");
    assert_eq!((stage.circleci.requests_to(Route::RunPipeline).len(), stage.circleci.triggers()), (2, 1));
    stage.finish().await;
}
