//! Failed jobs run again in the same pipeline.

use super::*;

#[tokio::test]
async fn failed_jobs_run_again_in_the_same_pipeline_and_the_same_card_goes_on() {
    let stage = Stage::following().await;
    let (asked, card) = failed(&stage, "main", 1).await;
    insta::assert_snapshot!(tidy(&stage, &card), @"
    # Deploy #1 is failed
    Retry makes a new deploy; Rerun failed runs only the failed jobs again, in the same pipeline.
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **failed**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while
    Commit: `a-short-commit` A commit of Slipway's sandbox
    Workflows: `build` **failed**
    Failed: job `build`, step `Deploy`
    ```
    no space left on device
    ```
    Build: pipeline 1: <https://circleci.test/pipelines/github/acme/web/1>
    [Build](https://circleci.test/pipelines/github/acme/web/1) [Retry](/deploys retry 1) [Rerun failed](/deploys retry 1 failed:True)
    ");

    let answer = stage.discord.press(&stage.alice(), &card, "Rerun failed").await.answer().await;

    insta::assert_snapshot!(tidy(&stage, &answer), @"
    (only you can see this)
    # Deploy #1 runs again
    CircleCI runs its failed jobs, and those after them, again in the same pipeline. Its card goes on from here. `/deploys retry #1` would make a new deploy instead.
    ");
    asked.answer_when(|card| card.text().contains("is running")).await;
    let twice = hears(&stage, &stage.alice(), of("retry", "1").boolean("failed", true)).await;
    assert!(twice.contains("is running: it is not over"), "{twice}");
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
    let card = asked.answer_when(|card| card.text().contains("is succeeded")).await;
    insta::assert_snapshot!(tidy(&stage, &card), @"
    # Deploy #1 is succeeded
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **succeeded**
    Asked by: @somebody
    Asked at: a time (a time)
    Took: a while since it was run again
    Commit: `a-short-commit` A commit of Slipway's sandbox
    Run again: @somebody
    Workflows: `build` **success**
    Build: pipeline 1: <https://circleci.test/pipelines/github/acme/web/1>
    [Build](https://circleci.test/pipelines/github/acme/web/1)
    ");
    assert_eq!((stage.states().await, stage.circleci.pipelines().len()), (vec!["succeeded".to_owned()], 1));
    assert_eq!(stage.circleci.requests_to(Route::RerunWorkflow).len(), 1);
    let actions: Vec<String> =
        stage.audit().await.into_iter().filter(|e| e.deploy == Some(1)).map(|e| e.action).collect();
    insta::assert_snapshot!(actions.join(" "), @"deploy.requested deploy.triggered deploy.finished deploy.rerun deploy.answered deploy.denied deploy.finished");
    stage.finish().await;
}

#[tokio::test]
async fn a_rerun_that_circleci_refuses_leaves_the_deploy_failed() {
    let stage = Stage::following().await;
    let (asked, card) = failed(&stage, "main", 1).await;
    stage.circleci.fault(Route::RerunWorkflow, Fault::Status(403, serde_json::json!({"message": "no"})), 1);
    let answer = stage.discord.press(&stage.alice(), &card, "Rerun failed").await.answer().await;
    assert!(answer.ephemeral && answer.text().contains("does not run again"), "{}", answer.text());
    let card = asked.answer_when(|card| card.text().contains("is failed") && card.text().contains("no space")).await;
    assert!(!card.text().contains("Run again"), "{}", card.text());
    assert_eq!(stage.states().await, ["failed"]);
    stage.finish().await;
}

#[tokio::test]
async fn a_rerun_whose_answer_is_lost_goes_by_what_circleci_tells_of_the_pipeline() {
    for (fault, ends) in [(Fault::DropBefore, "is failed"), (Fault::DropAfter, "is running")] {
        let stage = Stage::following().await;
        let (asked, card) = failed(&stage, "main", 1).await;
        stage.circleci.fault(Route::RerunWorkflow, fault, 1);
        let answer = stage.discord.press(&stage.alice(), &card, "Rerun failed").await.answer().await;
        assert!(answer.ephemeral && answer.text().contains("It is not known"), "{}", answer.text());
        let tried = |card: &MessageView| card.text().contains("Run again: ") && card.text().contains(ends);
        asked.answer_when(tried).await;
        assert_eq!(stage.circleci.requests_to(Route::RerunWorkflow).len(), 1, "never blindly again");
        stage.finish().await;
    }
}

/// Stopped at the worst moment, the next start hears from CircleCI what became of it.
#[tokio::test]
async fn a_rerun_that_a_kill_interrupts_is_followed_at_the_next_start() {
    let mut stage = Stage::following().await;
    let (asked, card) = failed(&stage, "main", 1).await;
    stage.circleci.fault(Route::RerunWorkflow, Fault::HangAfter, 1);
    stage.discord.press(&stage.alice(), &card, "Rerun failed").await;
    stage.circleci.until("it runs again", |fake| fake.world().state().workflows.len() == 2).await;
    stage.kill_bot().await;
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
    stage.start_bot_again().await;
    asked.answer_when(|card| card.text().contains("is succeeded")).await;
    assert!(stage.verify().await.holds());
    stage.finish().await;
}

#[tokio::test]
async fn only_a_failed_pipeline_reruns() {
    let stage = Stage::following_job().await;
    let asked = queued(&stage, "main").await;
    stage.circleci.finish("acme/web", 1, Outcome::Failed);
    asked.answer_when(|card| card.text().contains("is failed")).await;
    let build = hears(&stage, &stage.alice(), of("retry", "1").boolean("failed", true)).await;
    insta::assert_snapshot!(build, @"
    # Not done
    Only a pipeline's failed jobs can run again by themselves, and deploy `#1` is no pipeline. `/deploys retry #1` runs all of it again, as a new deploy.
    ");
    stage.finish().await;
}
