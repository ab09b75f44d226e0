//! Trying again: a new deploy of the same.

use super::*;

#[tokio::test]
async fn a_retry_is_a_new_deploy_of_the_same_with_a_card_of_its_own() {
    let stage = Stage::following_job().await;
    let head = stage.circleci.project("acme/web").branches["main"].clone();
    let first = stage
        .alice()
        .deploys_with("acme/web", "main", |call| call.string("parameters", "TARGET=eu").string("revision", &head[..10]))
        .await;
    first.answer_when(taken).await;
    stage.circleci.finish("acme/web", 1, Outcome::Failed);
    let card = first.answer_when(|card| card.text().contains("is failed")).await;
    assert!(card.buttons().iter().all(|button| button.label != "Rerun failed"), "only pipelines rerun");
    let before = tidy(&stage, &card);

    let pressed = stage.discord.press(&stage.alice(), &card, "Retry").await;

    let retry = pressed.answer_when(taken).await;
    assert!(!retry.ephemeral && retry.id != card.id);
    insta::assert_snapshot!(tidy(&stage, &retry), @"
    # Deploy #2 is queued
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **queued**
    Asked by: @somebody
    Asked at: a time (a time)
    Commit: `a-short-commit` A commit of Slipway's sandbox
    Origin: deploy #1, tried again
    Parameters: `TARGET=eu`
    Build: build 2: <https://circleci.test/gh/acme/web/2>
    [Build](https://circleci.test/gh/acme/web/2) [Cancel](/deploys cancel 2)
    ");
    assert_eq!(tidy(&stage, &first.original().unwrap()), before, "the old card stays");
    let builds = stage.circleci.builds();
    assert_eq!((builds.len(), &builds[1].revision, &builds[1].parameters["TARGET"]), (2, &head, &"eu".into()));
    assert_ne!(builds[0].parameters["SLIPWAY_DEPLOY_ID"], builds[1].parameters["SLIPWAY_DEPLOY_ID"]);
    assert_eq!(stage.circleci.requests_to(Route::RetryBuild).len(), 0, "never CircleCI's own");
    let requested: Vec<_> = stage.audit().await.into_iter().filter(|e| e.action == "deploy.requested").collect();
    assert_eq!((requested[1].deploy, &requested[1].detail["retry_of"]), (Some(2), &1.into()));
    stage.circleci.finish("acme/web", 2, Outcome::Success);
    pressed.answer_when(|card| card.text().contains("is succeeded")).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_retry_pressed_twice_in_the_same_second_makes_one_deploy() {
    let stage = Stage::following().await;
    stage.root().lets("bob", "deploy").await;
    let (_, card) = failed(&stage, "main", 1).await;

    let first = stage.discord.press(&stage.alice(), &card, "Retry").await;
    let second = stage.discord.press(&stage.bob(), &card, "Retry").await;

    let answers = [first.answer().await.text(), second.answer().await.text()];
    let told: Vec<&String> = answers.iter().filter(|text| text.contains("is being tried again already")).collect();
    assert_eq!(told.len(), 1, "{answers:?}");
    assert_eq!((stage.states().await.len(), stage.circleci.triggers()), (2, 2));
    stage.circleci.begin_pipeline("acme/web", 2);
    while stage.states().await[1] != "running" {
        tokio::task::yield_now().await;
    }
    let later = hears(&stage, &stage.alice(), of("retry", "1")).await;
    insta::assert_snapshot!(later, @"
    # Not done
    Deploy `#1` is being tried again already: that is deploy `#2`, running. `/deploys show #2` tells how it goes. <https://circleci.test/pipelines/github/acme/web/2>
    [Build](https://circleci.test/pipelines/github/acme/web/2)
    ");
    stage.finish().await;
}

#[tokio::test]
async fn a_retry_needs_its_permission_and_an_end() {
    let stage = Stage::following().await;
    let asked = running(&stage, "main", 1).await;
    let running = hears(&stage, &stage.alice(), of("retry", "1")).await;
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Failed);
    let card = asked.answer_when(|card| card.text().contains("is failed")).await;
    let pressed = stage.discord.press(&stage.bob(), &card, "Retry").await;
    let denied = tidy(&stage, &pressed.answer().await).replace("(only you can see this)\n", "");
    assert!(pressed.acknowledged().await.ephemeral);
    let unknown = hears(&stage, &stage.alice(), of("retry", "99")).await;
    let invalid = hears(&stage, &stage.alice(), of("retry", "@everyone")).await;
    insta::assert_snapshot!([running, denied, unknown, invalid].join("\n\n"), @"
    # Not done
    Deploy `#1` is running: it is not over. Wait for its end, or cancel it first with `/deploys cancel #1`. <https://circleci.test/pipelines/github/acme/web/1>
    [Build](https://circleci.test/pipelines/github/acme/web/1)

    # Not permitted
    You need the permission `deploy` for `acme/web`, branch `main`, environment `production`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
    [Request access](/access request acme/web environment:production action:deploy)

    # Not done
    There is no deploy `#99` here that you may see. `/deploys list` shows those that you may.

    # Not a usable deploy number
    `@·everyone` can't be used as `id`. The deploy number must be written as in the lists. Example: `#12`. Nothing was done.
    ");
    assert_eq!(stage.circleci.triggers(), 1);
    stage.finish().await;
}

/// Nobody knows whether CircleCI has the first one: a person has looked, and decides.
#[tokio::test]
async fn a_deploy_of_which_nothing_is_known_is_not_canceled_but_may_be_tried_again() {
    let stage = Stage::following().await;
    stage.circleci.fault(Route::RunPipeline, Fault::DropBefore, 1);
    let asked = stage.alice().deploys("acme/web", "main").await;
    let card = asked.answer_when(|card| card.text().contains("is unknown")).await;
    let cancel = hears(&stage, &stage.alice(), of("cancel", "1")).await;
    insta::assert_snapshot!(cancel, @"
    # Not done
    It isn't known whether CircleCI has deploy `#1`, so Slipway can't cancel it. Look at the project on CircleCI, and cancel it there if it runs.
    ");
    let retry = stage.discord.press(&stage.alice(), &card, "Retry").await;
    retry.answer_when(taken).await;
    assert_eq!(stage.circleci.triggers(), 1);
    stage.finish().await;
}
