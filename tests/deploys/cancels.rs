//! Canceling: who may, what is recorded, what CircleCI answers.

use super::*;

#[tokio::test]
async fn ones_own_deploy_is_canceled_and_the_card_says_who_did_it_and_why() {
    let stage = Stage::following().await;
    let asked = running(&stage, "main", 1).await;

    let answer = hears(&stage, &stage.alice(), of("cancel", "1").string("reason", "the wrong *branch*")).await;

    insta::assert_snapshot!(answer, @"
    # Deploy #1 is being canceled
    CircleCI was asked to stop it. The card changes when CircleCI says that it has ended.
    ");
    let card = asked.answer_when(|card| card.text().contains("is canceled")).await;
    insta::assert_snapshot!(tidy(&stage, &card), @r"
    # Deploy #1 is canceled
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **canceled**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    Commit: `a-short-commit` A commit of Slipway's sandbox
    Canceled by: @somebody: the wrong \*branch\*
    Workflows: `build` **canceled**
    Build: pipeline 1: <https://circleci.test/pipelines/github/acme/web/1>
    [Build](https://circleci.test/pipelines/github/acme/web/1) [Retry](/deploys retry 1)
    ");
    until_audited(&stage, "deploy.finished", 1).await;
    let entries: Vec<_> = stage.audit().await.into_iter().filter(|entry| entry.deploy == Some(1)).collect();
    let told: Vec<String> = entries.iter().map(|e| format!("{} {} {}", e.actor, e.action, e.outcome)).collect();
    insta::assert_snapshot!(told.join("\n"), @"
    alice deploy.requested allowed
    alice deploy.triggered allowed
    alice deploy.running allowed
    alice deploy.cancel_requested allowed
    alice deploy.answered allowed
    alice deploy.finished canceled
    ");
    let cancel = entries.iter().find(|entry| entry.action == "deploy.cancel_requested").unwrap();
    assert_eq!(cancel.reason.as_deref(), Some("the wrong *branch*"));
    assert!(stage.verify().await.holds());
    stage.finish().await;
}

#[tokio::test]
async fn others_deploys_are_canceled_only_with_the_permission() {
    let stage = Stage::following().await;
    let asked = running(&stage, "main", 1).await;
    let card = asked.original().unwrap();

    let refused = stage.discord.press(&stage.bob(), &card, "Cancel").await.answer().await;
    assert!(refused.ephemeral && refused.id != card.id, "{}", refused.text());
    insta::assert_snapshot!(tidy(&stage, &refused), @"
    (only you can see this)
    # Not permitted
    You need the permission `cancel` for `acme/web`, branch `main`, environment `production`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
    [Request access](/access request acme/web environment:production action:cancel)
    ");
    assert_eq!(stage.circleci.requests_to(Route::CancelWorkflow).len(), 0);
    let entry = stage.audit().await.pop().unwrap();
    assert_eq!(
        (entry.action.as_str(), entry.deploy, entry.repo.as_deref()),
        ("deploy.denied", Some(1), Some("acme/web"))
    );
    assert_eq!((entry.branch.as_deref(), entry.environment.as_deref()), (Some("main"), Some("production")));

    stage.root().lets("bob", "cancel").await;
    let done = stage.discord.press(&stage.bob(), &card, "Cancel").await.answer().await;
    assert!(done.ephemeral && done.text().contains("is being canceled"), "{}", done.text());
    // Perhaps the build's end is heard before the answer to the cancel.
    let by = format!("Canceled by: <@{}>", stage.bob().id);
    asked.answer_when(|card| card.text().contains("is canceled") && card.text().contains(&by)).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_cancel_is_recorded_before_circleci_is_asked() {
    let stage = Stage::following().await;
    running(&stage, "main", 1).await;
    stage.database_fails_at("audit_log", "NEW.action = 'deploy.cancel_requested'").await;
    let answer = hears(&stage, &stage.alice(), of("cancel", "1")).await;
    assert!(answer.contains("the database failed"), "{answer}");
    assert_eq!(stage.circleci.requests_to(Route::CancelWorkflow).len(), 0);
    stage.database_recovers().await;
    stage.finish().await;
}

#[tokio::test]
async fn a_cancel_that_has_nothing_to_cancel_says_why() {
    let stage = Stage::following().await;
    let asked = running(&stage, "main", 1).await;
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
    asked.answer_when(|card| card.text().contains("is succeeded")).await;
    let over = hears(&stage, &stage.alice(), of("cancel", "1")).await;
    queued(&stage, "feature/login").await;
    stage.circleci.no_workflows("acme/web", 2);
    let early = hears(&stage, &stage.alice(), of("cancel", "2")).await;
    insta::assert_snapshot!([over, early].join("\n\n"), @"
    # Not done
    Deploy `#1` is succeeded already; nothing of it runs. `/rollback acme/web production` goes back to what was live before.

    # Deploy #2 will be canceled
    CircleCI has nothing of it yet that could be stopped. Slipway asks for that as soon as it has, and the card tells when it has ended.
    ");
    stage.finish().await;
}

#[tokio::test]
async fn what_circleci_answers_to_a_cancel_is_told_in_plain_words() {
    let stage = Stage::following().await;
    running(&stage, "main", 1).await;
    let mut told = Vec::new();
    for fault in [Fault::Status(403, serde_json::json!({"message": "no"})), Fault::HangAfter] {
        stage.circleci.fault(Route::CancelWorkflow, fault, 1);
        told.push(hears(&stage, &stage.alice(), of("cancel", "1")).await);
    }
    insta::assert_snapshot!(told.join("\n\n"), @r"
    # Deploy #1 is not canceled
    CircleCI does not let the token in CIRCLE\_API\_USER\_TOKEN do this in acme/web. Its owner needs write access to the repository; a project token needs more than a read-only scope. CircleCI said: “no” <https://circleci.test/pipelines/github/acme/web/1>

    # It is not known what became of deploy #1
    CircleCI did not answer within 1.5 s. It may have been done all the same: look at the build on CircleCI before you ask again. The card tells what CircleCI makes of it. <https://circleci.test/pipelines/github/acme/web/1>
    ");
    stage.finish().await;
}
