//! Approving a job that waits.

use slipway::circleci::sandbox::plan::{Config, ConfigVersion};

use super::*;

/// A pipeline of Alice's waits for an approval.
async fn waiting(stage: &Stage) -> (Interaction, MessageView) {
    stage.circleci.change_project("acme/web", |project| {
        project.config = Config::new(ConfigVersion::V2_1, &["build", "deploy"]).workflow_with_hold(
            "deploy",
            &["build"],
            "may it go?",
            &["deploy"],
        );
    });
    let asked = queued(stage, "main").await;
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
    let card = asked.answer_when(|card| card.text().contains("Waits for an approval")).await;
    (asked, card)
}

#[tokio::test]
async fn a_job_that_waits_is_approved_from_the_card_never_by_its_asker() {
    let stage = Stage::following().await;
    stage.root().lets("alice", "approve").await;
    let (asked, card) = waiting(&stage).await;
    insta::assert_snapshot!(tidy(&stage, &card), @r"
    # Deploy #1 is running
    Waits for an approval of `may it go?`.
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **running**
    Asked by: @somebody
    Asked at: a time (a time)
    Commit: `a-short-commit` A commit of Slipway's sandbox
    Workflows: `deploy` **on\_hold**
    Build: pipeline 1: <https://circleci.test/pipelines/github/acme/web/1>
    [Build](https://circleci.test/pipelines/github/acme/web/1) [Cancel](/deploys cancel 1) [Approve may it go?](/deploys approve 1 hold:AN-ID)
    ");
    let label = "Approve may it go?";

    let own = stage.discord.press(&stage.alice(), &card, label).await.answer().await;
    let denied = stage.discord.press(&stage.bob(), &card, label).await.answer().await;
    insta::assert_snapshot!(format!("{}\n\n{}", tidy(&stage, &own), tidy(&stage, &denied)), @"
    (only you can see this)
    # Not done
    You asked for deploy `#1` yourself, and nobody approves their own deploy, owners neither. Somebody else who holds the permission `approve` can.

    (only you can see this)
    # Not permitted
    You need the permission `approve` for `acme/web`, branch `main`, environment `production`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
    [Request access](/access request acme/web environment:production action:approve)
    ");
    assert_eq!(stage.circleci.requests_to(Route::Approve).len(), 0);

    stage.root().lets("bob", "approve").await;
    let done = stage.discord.press(&stage.bob(), &card, label).await.answer().await;
    insta::assert_snapshot!(tidy(&stage, &done), @"
    (only you can see this)
    # Deploy #1 may go on
    `may it go?` is approved. The card changes when CircleCI says that it runs on.
    ");
    let on = asked.answer_when(|card| !card.text().contains("Waits for an approval")).await;
    assert!(on.text().contains(&format!("Approved: `may it go?` by <@{}>", stage.bob().id)), "{}", on.text());
    let again = hears(&stage, &stage.bob(), of("approve", "1")).await;
    let old = stage.discord.press_forged(&stage.bob(), &on, card.buttons()[2].custom_id.as_deref().unwrap()).await;
    insta::assert_snapshot!(format!("{again}\n\n{}", tidy(&stage, &old.answer().await)), @"
    # Not done
    Nothing of deploy `#1` waits for an approval, as far as CircleCI has told. The card shows what waits; look again in a moment.

    (only you can see this)
    # Not done
    That approval of deploy `#1` is not awaited any more: it was given, or its workflow has ended. `/deploys show #1` tells what waits now.
    ");
    let entries = stage.audit().await;
    let approved = entries.iter().find(|entry| entry.action == "deploy.approved").unwrap();
    assert_eq!((approved.actor.as_str(), approved.deploy), ("bob", Some(1)));
    assert_eq!(approved.detail["job"], "may it go?");
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
    asked.answer_when(|card| card.text().contains("is succeeded")).await;
    stage.finish().await;
}

#[tokio::test]
async fn where_several_wait_and_none_is_named_they_are_listed() {
    let stage = Stage::following().await;
    stage.root().lets("bob", "approve").await;
    stage.circleci.change_project("acme/web", |project| {
        project.config = Config::new(ConfigVersion::V2_1, &["build", "deploy"])
            .workflow_with_hold("eu", &["build"], "hold-eu", &["deploy"])
            .workflow_with_hold("us", &["build"], "hold-us", &["deploy"]);
    });
    let asked = queued(&stage, "main").await;
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
    let both = |card: &MessageView| card.text().contains("hold-eu") && card.text().contains("hold-us");
    asked.answer_when(both).await;

    let which = stage.bob().hears(of("approve", "1")).await;

    let lines: Vec<String> = which.text().lines().map(|line| line.split("hold:").next().unwrap().to_owned()).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    (only you can see this)
    # What of deploy #1 is approved?
    Several of its jobs wait. Name one:
    `hold-eu`: `/deploys approve 1 
    `hold-us`: `/deploys approve 1 
    [Approve hold-eu](/deploys approve 1
    ");
    assert_eq!(stage.circleci.requests_to(Route::Approve).len(), 0);
    let done = stage.discord.press(&stage.bob(), &which, "Approve hold-us").await.answer().await;
    assert!(done.text().contains("`hold-us` is approved"), "{}", done.text());
    let only = stage.bob().hears(of("approve", "1")).await;
    assert!(only.text().contains("`hold-eu` is approved"), "{}", only.text());
    stage.finish().await;
}

#[tokio::test]
async fn owners_do_not_approve_their_own() {
    let stage = Stage::following().await;
    stage.circleci.change_project("acme/web", |_| {});
    let asked = stage.root().deploys("acme/web", "main").await;
    asked.answer_when(taken).await;
    let own = hears(&stage, &stage.root(), of("approve", "1")).await;
    assert!(own.contains("nobody approves their own deploy"), "{own}");
    let strange = hears(&stage, &stage.root(), of("approve", "1").string("hold", "x")).await;
    insta::assert_snapshot!(strange, @"
    # Not a usable approval
    `x` can't be used as `hold`. An approval is named by the id that CircleCI gives it; `/deploys approve` without one lists those that wait. Example: `0190c2a4-7d1e-7c3a-9b1f-2f7d3c5a1e00`. Nothing was done.
    ");
    stage.finish().await;
}
