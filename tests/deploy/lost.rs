//! Triggers that CircleCI did not take, or may have taken.

use super::*;
use crate::nobody::Nobody;

#[tokio::test]
async fn a_rate_limit_is_waited_for() {
    let stage = Stage::start().await;
    let again = Fault::RateLimited { retry_after: Some(RetryAfter::Seconds(1)) };
    stage.circleci.fault(Route::RunPipeline, again, 1);
    let begun = Instant::now();

    assert!(card_of_main(&stage).await.contains("is queued"));

    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!((stage.circleci.requests_to(Route::RunPipeline).len(), stage.circleci.triggers()), (2, 1));
    stage.finish().await;
}

#[tokio::test]
async fn what_was_not_sent_is_canceled() {
    let stage = Stage::start().await;
    stage.circleci.fault(Route::RunPipeline, Fault::RateLimited { retry_after: Some(RetryAfter::Seconds(3600)) }, 1);

    insta::assert_snapshot!(card_of_main(&stage).await, @"
    # Deploy #1 is canceled
    CircleCI's rate limit is reached and does not end soon enough to wait for it. Try again in a few minutes. Nothing was started. Ask for it again once that is mended.
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **canceled**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    [Retry](/deploys retry 1)
    ");

    assert_eq!((stage.circleci.triggers(), stage.states().await), (0, vec!["canceled".to_owned()]));
    stage.finish().await;
}

#[tokio::test]
async fn a_circleci_that_cannot_be_reached_cancels() {
    let nobody = Nobody::new();
    let stage = Stage::with(&[("CIRCLECI_URL", &nobody.url())]).await;
    stage.root().adds_repo("acme/web").await;

    let deploy = stage.root().deploys("acme/web", "main").await;

    insta::assert_snapshot!(stage.tidy(&deploy.answer().await), @r"
    # Deploy #1 is canceled
    CircleCI could not be reached (Connection refused). Try again in a minute; if it goes on, see https\://status.circleci.com, or let the bot's operator check its network and CIRCLECI\_URL. Nothing was started. Ask for it again once that is mended.
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **canceled**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    [Retry](/deploys retry 1)
    ");
    assert_eq!(stage.states().await, ["canceled"]);
    stage.finish().await;
}

#[tokio::test]
async fn a_lost_pipeline_is_looked_for_and_adopted() {
    let stage = Stage::start().await;
    stage.circleci.fault(Route::RunPipeline, Fault::DropAfter, 1);

    insta::assert_snapshot!(card_of_main(&stage).await, @"
    # Deploy #1 is queued
    The connection to CircleCI broke before its answer came. The build was found by looking for it.
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **queued**
    Asked by: @somebody
    Asked at: a time (a time)
    Commit: `a-short-commit` A commit of Slipway's sandbox
    Build: pipeline 1: <https://circleci.test/pipelines/github/acme/web/1>
    [Build](https://circleci.test/pipelines/github/acme/web/1) [Cancel](/deploys cancel 1)
    ");

    assert_eq!((stage.circleci.requests_to(Route::RunPipeline).len(), stage.circleci.triggers()), (1, 1));
    let triggered = stage.audit().await.into_iter().find(|entry| entry.action == "deploy.triggered").unwrap();
    assert_eq!(triggered.detail["adopted"], true);
    stage.finish().await;
}

#[tokio::test]
async fn a_lost_job_is_looked_for_and_adopted() {
    for fault in [Fault::DropAfter, Fault::HangAfter, Fault::StatusAfter(504, json!({})), Fault::Garbage] {
        let stage = Stage::start_with_job().await;
        stage.circleci.fault(Route::TriggerJob, fault, 1);

        let card = card_of_main(&stage).await;

        assert!(card.contains("is queued") && card.contains("build 1"), "{card}");
        assert_eq!((stage.circleci.requests_to(Route::TriggerJob).len(), stage.circleci.triggers()), (1, 1));
        stage.finish().await;
    }
}

#[tokio::test]
async fn what_is_not_found_is_unknown_and_says_what_to_do() {
    for stage in [Stage::start().await, Stage::start_with_job().await] {
        for route in [Route::RunPipeline, Route::TriggerJob] {
            stage.circleci.fault(route, Fault::DropBefore, 1);
        }

        let card = card_of_main(&stage).await;

        insta::allow_duplicates! { insta::assert_snapshot!(card, @"
        # Deploy #1 is unknown
        The connection to CircleCI broke before its answer came. It was looked for and not found: CircleCI may or may not have taken it, and nothing was sent again. Look at the project on CircleCI before you deploy again.
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **unknown**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        "); }
        assert_eq!((stage.circleci.triggers(), stage.states().await), (0, vec!["unknown".to_owned()]));
        let sent = stage.circleci.requests().into_iter().filter(|seen| seen.method == "POST").count();
        assert_eq!(sent, 1);
        let log = stage.audit().await;
        assert_eq!(log.last().unwrap().outcome, "unknown");
        stage.finish().await;
    }
}

#[tokio::test]
async fn several_candidates_are_listed_for_a_person_to_decide() {
    let stage = Stage::start().await;
    stage.circleci.pipeline_by("slipway-sandbox", "acme/web", "main");
    stage.circleci.fault(Route::RunPipeline, Fault::DropAfter, 1);

    insta::assert_snapshot!(card_of_main(&stage).await, @r"
    # Deploy #1 is unknown
    The connection to CircleCI broke before its answer came. It was looked for, and any of these may be it: https\://circleci.test/pipelines/github/acme/web/2, https\://circleci.test/pipelines/github/acme/web/1. Nothing was sent again. Look at them on CircleCI before you deploy again.
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **unknown**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    [Retry](/deploys retry 1)
    ");

    assert_eq!((stage.circleci.triggers(), stage.states().await), (1, vec!["unknown".to_owned()]));
    stage.finish().await;
}

#[tokio::test]
async fn a_pipeline_that_another_deploy_holds_is_not_adopted() {
    let stage = Stage::start().await;
    assert!(card_of_main(&stage).await.contains("is queued"));
    stage.circleci.fault(Route::RunPipeline, Fault::DropBefore, 1);

    assert!(card_of_main(&stage).await.contains("# Deploy #2 is unknown"));

    assert_eq!((stage.circleci.triggers(), stage.states().await), (1, vec!["queued".to_owned(), "unknown".to_owned()]));
    stage.finish().await;
}

#[tokio::test]
async fn a_search_that_circleci_does_not_answer_ends_unknown() {
    let stage = Stage::start_with_job().await;
    stage.circleci.fault(Route::TriggerJob, Fault::DropAfter, 1);
    stage.circleci.fault(Route::ListBuilds, Fault::Html502, ALWAYS);

    insta::assert_snapshot!(card_of_main(&stage).await, @"
    # Deploy #1 is unknown
    The connection to CircleCI broke before its answer came. It could not be looked for yet: CircleCI had an error of its own (status 502). Slipway goes on looking, and this card changes when CircleCI answers again. Nothing was sent again: look at the project on CircleCI before you deploy again.
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **unknown**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    [Retry](/deploys retry 1)
    ");

    assert_eq!((stage.circleci.triggers(), stage.states().await), (1, vec!["unknown".to_owned()]));
    stage.finish().await;
}
