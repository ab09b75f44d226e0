//! What is live somewhere: what a deploy replaces, whichever order deploys end in, and that nobody goes over it unawares.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use std::time::Duration;

use slipway::circleci::sandbox::timeline::{Outcome, Timing};
use support::Stage;
use support::circleci::{FakeCircleCi, Fault, Route};
use support::discord::{CommandCall, Interaction, MessageView};

/// CircleCI has taken it; how far it is by now nobody knows.
fn taken(card: &MessageView) -> bool {
    ["is queued", "is running"].iter().any(|words| card.text().contains(words))
}

async fn deploys(stage: &Stage, branch: &str) -> Interaction {
    let asked = stage.alice().deploys("acme/web", branch).await;
    asked.answer_when(taken).await;
    asked
}

/// The build of this number ends so, and the card tells it.
async fn ends(stage: &Stage, asked: &Interaction, number: u64, outcome: Outcome) -> MessageView {
    stage.circleci.finish("acme/web", number, outcome);
    asked.answer_when(|card| !taken(card)).await
}

fn line(card: &MessageView, label: &str) -> String {
    card.text().lines().find(|line| line.starts_with(label)).unwrap_or_default().to_owned()
}

fn is_live(label: &str, number: u64) -> impl Fn(&MessageView) -> bool {
    move |card| line(card, label).ends_with(&format!("(deploy #{number})"))
}

#[tokio::test]
async fn a_card_says_what_the_deploy_replaces_when_it_goes_live_whatever_was_live_when_it_was_asked_for() {
    let stage = Stage::following_job().await;
    let first = deploys(&stage, "main").await;
    ends(&stage, &first, 1, Outcome::Success).await;
    let slow = deploys(&stage, "main").await;
    slow.answer_when(is_live("Replaces:", 1)).await;

    let quick = deploys(&stage, "feature/login").await;
    ends(&stage, &quick, 3, Outcome::Success).await;

    slow.answer_when(is_live("Replaces:", 3)).await;
    let card = ends(&stage, &slow, 2, Outcome::Success).await;
    assert!(is_live("Replaced:", 3)(&card), "{}", card.text());
    stage.finish().await;
}

#[tokio::test]
async fn what_failed_says_what_was_live_before() {
    let stage = Stage::following_job().await;
    let first = deploys(&stage, "main").await;
    ends(&stage, &first, 1, Outcome::Success).await;
    let second = deploys(&stage, "feature/login").await;
    let card = ends(&stage, &second, 2, Outcome::Failed).await;
    assert!(is_live("Live before:", 1)(&card), "{}", card.text());
    stage.finish().await;
}

#[tokio::test]
async fn what_ended_while_slipway_was_stopped_is_live_in_the_order_in_which_it_ended() {
    let mut stage = Stage::following_job().await;
    stage.root().lets("alice", "rollback").await;
    let [first, second] = [deploys(&stage, "main").await, deploys(&stage, "feature/login").await];
    stage.kill_bot().await;
    // The second one asked for ends first.
    stage.circleci.finish("acme/web", 2, Outcome::Success);
    stage.circleci.advance(Duration::from_millis(50));
    stage.circleci.finish("acme/web", 1, Outcome::Success);

    stage.start_bot_again().await;

    for asked in [&first, &second] {
        asked.answer_when(|card| !taken(card)).await;
    }
    let rollback = CommandCall::new("rollback").string("repo", "acme/web").boolean("dry_run", true);
    let dry = stage.alice().hears(rollback).await;
    assert!(is_live("Replaces:", 1)(&dry), "{}", dry.text());
    first.answer_when(is_live("Replaced:", 2)).await;
    stage.finish().await;
}

mod going_over_it {
    use super::*;

    fn retry(id: &str) -> CommandCall {
        CommandCall::new("deploys").sub("retry").string("id", id)
    }

    /// Deploy #1 has failed, and #2 has gone live since.
    async fn stage() -> Stage {
        let stage = Stage::following_job().await;
        let failed = deploys(&stage, "main").await;
        ends(&stage, &failed, 1, Outcome::Failed).await;
        let newer = deploys(&stage, "feature/login").await;
        ends(&stage, &newer, 2, Outcome::Success).await;
        stage
    }

    #[tokio::test]
    async fn is_asked_first_and_the_button_does_it() {
        let stage = stage().await;
        let question = stage.alice().hears(retry("1").string("reason", "again")).await;
        insta::assert_snapshot!(stage.tidy(&question), @"
        (only you can see this)
        # Put deploy #1 over #2?
        Something else has gone live there since it was asked for. Nothing is done until you press the button.
        Replaces, live now: `a-short-commit` A commit of Slipway's sandbox
        deploy `#2` of `feature/login` by @somebody, a time (a time)
        With: `a-short-commit` A commit of Slipway's sandbox
        deploy `#1` of `main` by @somebody, a time (a time)
        Reason: again
        [Retry](/deploys retry 1 over:2 reason:again)
        ");
        assert_eq!(stage.circleci.triggers(), 2);

        let pressed = stage.discord.press(&stage.alice(), &question, "Retry").await;

        let card = pressed.answer_when(taken).await;
        assert!(!card.ephemeral && card.text().contains("deploy #1, tried again"), "{}", card.text());
        stage.finish().await;
    }

    #[tokio::test]
    async fn is_not_what_somebody_saw_once_something_else_is_live() {
        let stage = stage().await;
        let question = stage.alice().hears(retry("1")).await;
        let third = deploys(&stage, "main").await;
        ends(&stage, &third, 3, Outcome::Success).await;
        let refused = stage.discord.press(&stage.alice(), &question, "Retry").await.answer().await;
        assert!(refused.text().contains("Deploy `#2` isn't live any more: now deploy `#3`"), "{}", refused.text());
        assert_eq!(stage.circleci.triggers(), 3);
        stage.finish().await;
    }

    #[tokio::test]
    async fn by_failed_jobs_alone_is_asked_first_too() {
        let stage = Stage::following().await;
        for (number, outcome) in [(1, Outcome::Failed), (2, Outcome::Success)] {
            let asked = deploys(&stage, "main").await;
            stage.circleci.finish_pipeline("acme/web", number, outcome);
            asked.answer_when(|card| !taken(card)).await;
        }
        let whole = stage.alice().hears(retry("1")).await.text();
        assert!(whole.contains("With: the newest commit\ndeploy `#1` of `main`"), "{whole}");
        let question = stage.alice().hears(retry("1").boolean("failed", true)).await;
        assert!(question.text().contains("[Rerun failed](/deploys retry 1 failed:True over:2)"), "{}", question.text());
        assert_eq!(stage.circleci.requests_to(Route::RerunWorkflow).len(), 0);
        let done = stage.discord.press(&stage.alice(), &question, "Rerun failed").await.answer().await;
        assert!(done.text().contains("Deploy #1 runs again"), "{}", done.text());
        assert_eq!(stage.circleci.requests_to(Route::RerunWorkflow).len(), 1);
        stage.finish().await;
    }
}

#[tokio::test]
async fn a_deploy_of_which_nothing_is_known_is_told_of_before_something_goes_over_it() {
    let stage = Stage::following_job().await;
    stage.root().lets("alice", "rollback").await;
    let confirm = CommandCall::new("environment").sub("set").string("repo", "acme/web").string("name", "production");
    stage.root().hears(confirm.boolean("confirm", true)).await;
    for (number, branch) in [(1, "main"), (2, "feature/login")] {
        let asked = deploys(&stage, branch).await;
        ends(&stage, &asked, number, Outcome::Success).await;
    }
    stage.circleci.fault(Route::TriggerJob, Fault::DropBefore, 1);
    let lost = stage.alice().deploys("acme/web", "main").await;
    lost.answer_when(|card| card.text().contains("is unknown")).await;

    let rollback = || CommandCall::new("rollback").string("repo", "acme/web");
    let question = stage.alice().hears(rollback()).await.text();
    let dry = stage.alice().hears(rollback().boolean("dry_run", true)).await.text();

    assert!(question.contains("Deploy `#3`, too, may be live or become so: it is **unknown**."), "{question}");
    assert!(dry.contains("is **unknown**") && dry.contains("It may be live by now, or become so."), "{dry}");
    stage.finish().await;
}

mod a_cancel_before_there_is_anything_to_stop {
    use super::*;

    fn cancel(id: &str) -> CommandCall {
        CommandCall::new("deploys").sub("cancel").string("id", id)
    }

    /// CircleCI takes its time to make workflows.
    async fn stage() -> Stage {
        let second = Duration::from_secs(1);
        let late = Timing { pending: Duration::from_secs(3_600), queued: second, running: second };
        Stage::following_on(FakeCircleCi::start().await.with_timing(late), &[]).await
    }

    #[tokio::test]
    async fn is_kept_and_carried_out_once_the_pipeline_has_workflows() {
        let stage = stage().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        asked.answer_when(taken).await;

        let told = stage.alice().hears(cancel("1").string("reason", "the wrong branch")).await;

        assert!(told.text().contains("Deploy #1 will be canceled"), "{}", told.text());
        asked.answer_when(|card| card.text().contains("Cancel asked by")).await;
        stage.circleci.begin_pipeline("acme/web", 1);
        asked.answer_when(|card| card.text().contains("is canceled") && card.text().contains("the wrong branch")).await;
        let answered: Vec<_> = stage.audit().await.into_iter().filter(|e| e.action == "deploy.answered").collect();
        assert_eq!(answered.len(), 2, "kept, then carried out");
        assert!(answered.iter().all(|entry| entry.actor == "alice"), "{answered:?}");
        assert!(stage.verify().await.holds());
        stage.finish().await;
    }

    #[tokio::test]
    async fn outlives_a_stop() {
        let mut stage = stage().await;
        let asked = stage.alice().deploys("acme/web", "main").await;
        asked.answer_when(taken).await;
        stage.alice().hears(cancel("1")).await;
        stage.kill_bot().await;
        stage.circleci.begin_pipeline("acme/web", 1);
        stage.start_bot_again().await;
        asked.answer_when(|card| card.text().contains("is canceled")).await;
        stage.finish().await;
    }

    #[tokio::test]
    async fn while_the_trigger_is_under_way_loses_neither_the_build_nor_the_cancel() {
        let stage = Stage::following_job().await;
        let gate = stage.circleci.hold(Route::TriggerJob);
        let asked = stage.alice().deploys("acme/web", "main").await;
        stage.circleci.until("the trigger waits", |fake| fake.requests_to(Route::TriggerJob).len() == 1).await;
        let told = stage.alice().hears(cancel("1")).await;
        assert!(told.text().contains("Deploy #1 will be canceled"), "{}", told.text());
        gate.open();
        asked.answer_when(|card| card.text().contains("is canceled")).await;
        assert_eq!(stage.circleci.triggers(), 1);
        stage.finish().await;
    }
}

#[tokio::test]
async fn a_rerun_takes_as_long_as_it_runs_not_as_long_as_nobody_looked() {
    let stage = Stage::following().await;
    let asked = deploys(&stage, "main").await;
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Failed);
    asked.answer_when(|card| card.text().contains("is failed")).await;
    // It was asked for two hours ago and failed soon.
    let two_hours_ms = 7_200_000;
    stage.another_program_writes(&format!("UPDATE deploy SET asked_at = asked_at - {two_hours_ms}")).await;
    let again = CommandCall::new("deploys").sub("retry").string("id", "1").boolean("failed", true);
    stage.alice().hears(again).await;
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
    let card = asked.answer_when(|card| card.text().contains("is succeeded")).await;
    let took = line(&card, "Took:");
    assert!(took.ends_with(" s since it was run again") && !took.contains('h'), "{took}");
    assert!(stage.everything_shown().iter().all(|message| !message.text().contains("is succeeded after")));
    stage.finish().await;
}
