//! `/rollback`: back to what was live before, or to what an earlier deploy had made live.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use slipway::circleci::sandbox::timeline::Outcome;
use support::Stage;
use support::circleci::Route;
use support::discord::{CommandCall, MessageView};

fn rollback() -> CommandCall {
    CommandCall::new("rollback").string("repo", "acme/web")
}

fn set(name: &str) -> CommandCall {
    CommandCall::new("environment").sub("set").string("repo", "acme/web").string("name", name)
}

/// Alice may deploy and roll back by the job `deploy_docker`.
async fn stage() -> Stage {
    let stage = Stage::following_job().await;
    stage.root().lets("alice", "rollback").await;
    stage
}

/// Alice deploys a branch, and build `number` of it ends so.
async fn deployed(stage: &Stage, branch: &str, number: u64, outcome: Outcome) {
    let asked = stage.alice().deploys("acme/web", branch).await;
    asked.answer_when(|card| card.text().contains("is queued")).await;
    stage.circleci.finish("acme/web", number, outcome);
    asked.answer_when(|card| !card.text().contains("is queued") && !card.text().contains("is running")).await;
}

/// CircleCI has taken it; how far it is by now nobody knows.
fn taken(card: &MessageView) -> bool {
    ["is queued", "is running"].iter().any(|words| card.text().contains(words))
}

async fn hears(stage: &Stage, call: CommandCall) -> String {
    let answer = stage.alice().hears(call).await;
    assert!(answer.ephemeral, "{}", answer.text());
    stage.tidy(&answer).replace("(only you can see this)\n", "")
}

fn head(stage: &Stage, branch: &str) -> String {
    stage.circleci.project("acme/web").branches[branch].clone()
}

/// The commits by their branches, which differ from run to run.
fn tidy(stage: &Stage, text: &str) -> String {
    let branches = stage.circleci.project("acme/web").branches;
    branches
        .iter()
        .fold(text.to_owned(), |text, (branch, commit)| text.replace(&commit[..7], &format!("head-of-{branch}")))
}

#[tokio::test]
async fn the_last_other_commit_that_succeeded_there_is_deployed_again() {
    let stage = stage().await;
    deployed(&stage, "main", 1, Outcome::Success).await;
    deployed(&stage, "feature/login", 2, Outcome::Success).await;
    deployed(&stage, "feature/login", 3, Outcome::Success).await;
    deployed(&stage, "main", 4, Outcome::Failed).await;
    let dry = hears(&stage, rollback().boolean("dry_run", true)).await;
    insta::assert_snapshot!(tidy(&stage, &dry), @"
    # Rollback of acme/web in production
    A dry run: nothing was sent and nothing recorded.
    Sent by: API v1.1: the job `deploy_docker` is run
    Project: `gh/acme/web`
    Branch: `main`
    Commit: `a-commit`
    Environment: `production`
    Parameters: `CIRCLE_JOB=deploy_docker` `SLIPWAY_DEPLOY_ID={id}` `SLIPWAY_ENVIRONMENT=production` `SLIPWAY_ACTOR=alice (1026642021442447267)`
    `{id}` and `{number}` are the deploy's own, which it gets when it is recorded.
    Replaces: `a-short-commit` (deploy #3)
    Allowed by: rule `#3`
    Against it: CircleCI ends API v1.1's triggers a time (a time).
    ");
    assert_eq!(stage.states().await.len(), 4);

    let back = stage.alice().runs(rollback().string("reason", "the login page is blank")).await;

    let card = back.answer_when(|card| card.text().contains("is queued")).await;
    assert!(!card.ephemeral);
    insta::assert_snapshot!(tidy(&stage, &stage.tidy(&card)), @"
    # Deploy #5 is queued
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **queued**
    Asked by: @somebody
    Asked at: a time (a time)
    Commit: `a-short-commit` A commit of Slipway's sandbox
    Replaces: `a-short-commit` (deploy #3)
    Origin: back to deploy #1
    Reason: the login page is blank
    Build: build 5: <https://circleci.test/gh/acme/web/5>
    [Build](https://circleci.test/gh/acme/web/5) [Cancel](/deploys cancel 5)
    ");
    let sent = stage.circleci.builds().last().unwrap().clone();
    assert_eq!((sent.branch.as_deref(), &sent.revision), (Some("main"), &head(&stage, "main")));
    let requested = stage.audit().await.into_iter().rfind(|e| e.action == "deploy.requested").unwrap();
    assert_eq!((requested.deploy, &requested.detail["rollback_to"]), (Some(5), &1.into()));
    stage.circleci.finish("acme/web", 5, Outcome::Success);
    back.answer_when(|card| card.text().contains("is succeeded")).await;
    assert!(stage.verify().await.holds());
    stage.finish().await;
}

#[tokio::test]
async fn what_can_not_be_gone_back_to_is_refused_with_the_reason() {
    let stage = stage().await;
    stage.root().hears(set("staging").string("job", "deploy_docker")).await;
    let mut told = vec![hears(&stage, rollback().string("environment", "production")).await];
    deployed(&stage, "main", 1, Outcome::Success).await;
    let production = || rollback().string("environment", "production");
    told.push(hears(&stage, production()).await);
    deployed(&stage, "main", 2, Outcome::Failed).await;
    deployed(&stage, "main", 3, Outcome::Success).await;
    let there = stage.alice().deploys_with("acme/web", "feature/login", |c| c.string("environment", "staging")).await;
    there.answer_when(|card| card.text().contains("is queued")).await;
    for to in ["1", "2", "3", "4", "99", "x"] {
        told.push(hears(&stage, production().string("to", to)).await);
    }
    insta::assert_snapshot!(told.join("\n\n"), @"
    # Not done
    Nothing that Slipway knows of has succeeded in `production` of `acme/web`, so there is nothing to go back to. `/deploy acme/web …` deploys a branch, with `revision` a certain commit.

    # Not done
    There is nothing to go back to in `production` of `acme/web`: no commit other than that of deploy `#1`, which is live, is known to have succeeded there before it. `/deploy acme/web …` with `revision` deploys a certain commit.

    # Not done
    Deploy `#1` has the same commit as deploy `#3`, which is live. `/deploys retry #1` deploys it once more.

    # Not done
    Deploy `#2` is failed: it never was live, so there is no going back to it. Leave `to` out for the last one before, or let it be completed.

    # Not done
    Deploy `#3` is what is live in `production` of `acme/web`. Leave `to` out for the last one before, or let it be completed.

    # Not done
    Deploy `#4` went to `staging` of `acme/web`, not to `production` of `acme/web`. Leave `to` out for the last one before, or let it be completed.

    # Not done
    There is no deploy `#99` here that you may see. `/deploys list` shows those that you may.

    # Not a usable deploy number
    `x` can't be used as `to`. The deploy number must be written as in the lists. Example: `#12`. Nothing was done.
    ");
    assert_eq!(stage.audited("deploy.denied").await, told.len());
    assert_eq!(stage.circleci.triggers(), 4);
    stage.finish().await;
}

#[tokio::test]
async fn it_needs_its_own_permission_for_the_branch_that_would_run() {
    let stage = Stage::following_job().await;
    deployed(&stage, "main", 1, Outcome::Success).await;
    deployed(&stage, "feature/login", 2, Outcome::Success).await;
    insta::assert_snapshot!(hears(&stage, rollback()).await, @"
    # Not permitted
    You need the permission `rollback` for `acme/web`, branch `main`, environment `production`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
    [Request access](/access request acme/web environment:production action:rollback)
    ");
    let call = support::stage::grant(stage.alice().id, "rollback").string("branch", "release/*");
    stage.root().grants(call).await;
    assert!(hears(&stage, rollback()).await.contains("You need the permission `rollback`"));
    assert_eq!(stage.circleci.triggers(), 2);
    stage.finish().await;
}

#[tokio::test]
async fn a_pipeline_that_is_not_told_the_commit_cannot_go_back_and_the_refusal_names_the_way() {
    let stage = Stage::following().await;
    stage.root().lets("alice", "rollback").await;
    for (number, branch) in [(1, "main"), (2, "feature/login")] {
        let asked = stage.alice().deploys("acme/web", branch).await;
        asked.answer_when(taken).await;
        stage.circleci.finish_pipeline("acme/web", number, Outcome::Success);
        asked.answer_when(|card| card.text().contains("is succeeded")).await;
    }
    insta::assert_snapshot!(hears(&stage, rollback()).await, @r#"
    # Not done
    `production` of `acme/web` runs a pipeline that isn't told which commit to check out, so it can't go back to one. An admin passes it: `/environment set acme/web production` with `parameters` that hold `"revision": "{revision}"`, and the configuration checks that out; docs/circleci.md shows how.
    "#);

    let template = r#"{"action": "deploy", "revision": "{revision}"}"#;
    stage.root().hears(set("production").string("parameters", template)).await;
    let back = stage.alice().runs(rollback()).await;
    back.answer_when(taken).await;
    let sent = stage.circleci.pipelines().last().unwrap().clone();
    assert_eq!((sent.branch.as_deref(), &sent.parameters["revision"]), (Some("main"), &head(&stage, "main").into()));
    stage.finish().await;
}

#[tokio::test]
async fn an_environment_may_ask_first_and_the_button_does_what_was_seen() {
    let stage = stage().await;
    let set = stage.root().hears(set("production").boolean("confirm", true)).await;
    assert!(set.text().contains("Rollbacks: confirmed first"), "{}", set.text());
    deployed(&stage, "main", 1, Outcome::Success).await;
    deployed(&stage, "feature/login", 2, Outcome::Success).await;

    let question = stage.alice().hears(rollback().string("reason", "it is \"slow\"")).await;

    assert!(question.ephemeral);
    insta::assert_snapshot!(tidy(&stage, &stage.tidy(&question)), @r#"
    (only you can see this)
    # Roll back acme/web in production?
    Nothing is done until you press the button.
    Replaces, live now: `a-short-commit` A commit of Slipway's sandbox
    deploy `#2` of `feature/login` by @somebody, a time (a time)
    With: `a-short-commit` A commit of Slipway's sandbox
    deploy `#1` of `main` by @somebody, a time (a time)
    Reason: it is "slow"
    [Roll back](/rollback acme/web production to:1 live:2 reason:"it is \"slow\"")
    "#);
    let id = question.buttons()[0].custom_id.clone().unwrap();
    insta::assert_snapshot!(id, @r#"/rollback acme/web production to:1 live:2 reason:"it is \"slow\"""#);
    assert_eq!(stage.circleci.triggers(), 2);

    let pressed = stage.discord.press(&stage.alice(), &question, "Roll back").await;
    let card = pressed.answer_when(|card| card.text().contains("is queued")).await;
    assert!(!card.ephemeral && card.text().contains("Reason: it is \"slow\""), "{}", card.text());
    assert_eq!(stage.circleci.builds().last().unwrap().revision, head(&stage, "main"));
    stage.finish().await;
}

#[tokio::test]
async fn a_confirmation_that_fits_no_button_is_refused_with_what_to_do() {
    let stage = stage().await;
    stage.root().hears(set("production").boolean("confirm", true)).await;
    deployed(&stage, "main", 1, Outcome::Success).await;
    deployed(&stage, "feature/login", 2, Outcome::Success).await;
    let long = hears(&stage, rollback().string("reason", &"why ".repeat(20))).await;
    insta::assert_snapshot!(long, @"
    # Not done
    This must be confirmed by a button, which holds only a short line, and this one doesn't fit. Shorten the reason or leave it out; where the name alone is too long, an admin ends the confirmation with `/environment set … confirm:False`.
    ");
    let listed = hears(&stage, CommandCall::new("environment").sub("list").string("repo", "acme/web")).await;
    assert!(listed.contains("; a rollback is confirmed first"), "{listed}");
    let dry = hears(&stage, rollback().boolean("dry_run", true)).await;
    assert!(dry.contains("It would ask for a confirmation first."), "{dry}");
    stage.root().hears(set("production").boolean("confirm", false)).await;
    let back = stage.alice().runs(rollback().string("reason", &"why ".repeat(20))).await;
    back.answer_when(|card| card.text().contains("is queued")).await;
    stage.finish().await;
}

#[tokio::test]
async fn the_same_rollback_asked_for_twice_is_done_once() {
    let stage = stage().await;
    deployed(&stage, "main", 1, Outcome::Success).await;
    deployed(&stage, "feature/login", 2, Outcome::Success).await;

    let (first, second) = (stage.alice().runs(rollback()).await, stage.alice().runs(rollback()).await);

    let answers = [first.answer().await.text(), second.answer().await.text()];
    let told = answers.iter().filter(|text| text.contains("Going back to deploy `#1` is under way already"));
    assert_eq!((told.count(), stage.states().await.len()), (1, 3), "{answers:?}");
    assert_eq!(stage.circleci.triggers(), 3);
    stage.finish().await;
}

#[tokio::test]
async fn someone_deployed_meanwhile() {
    let stage = stage().await;
    stage.root().hears(set("production").boolean("confirm", true)).await;
    deployed(&stage, "main", 1, Outcome::Success).await;
    deployed(&stage, "feature/login", 2, Outcome::Success).await;
    let question = stage.alice().hears(rollback()).await;
    deployed(&stage, "main", 3, Outcome::Success).await;

    let refused = stage.discord.press(&stage.alice(), &question, "Roll back").await.answer().await;

    insta::assert_snapshot!(tidy(&stage, &stage.tidy(&refused)), @"
    (only you can see this)
    # Not done
    Deploy `#2` isn't live any more: now deploy `#3` (`a-short-commit`) by `alice` is, so this may not be what you want. Look at it, and ask again if it still is.
    ");
    assert_eq!(stage.circleci.triggers(), 3);
    stage.finish().await;
}

/// What is live is asked for again in the transaction that records the rollback.
#[tokio::test]
async fn a_deploy_that_ends_between_the_plan_and_the_record_stops_it() {
    use std::time::Duration;
    use support::discord::{Fault as DiscordFault, RouteKind};
    let stage = stage().await;
    deployed(&stage, "main", 1, Outcome::Success).await;
    deployed(&stage, "feature/login", 2, Outcome::Success).await;
    let third = stage.alice().deploys("acme/web", "main").await;
    third.answer_when(|card| card.text().contains("is queued")).await;
    stage.discord.fault(RouteKind::Callback, DiscordFault::DelayAnswer(Duration::from_millis(1_500)), 1);
    let back = stage.alice().runs(rollback()).await;
    back.acknowledged().await;
    stage.circleci.finish("acme/web", 3, Outcome::Success);
    let is_live = |stage: &Stage| stage.circleci.requests_to(Route::ReadBuild).len();
    let before = is_live(&stage);
    while stage.states().await[2] != "succeeded" {
        tokio::task::yield_now().await;
    }
    assert!(is_live(&stage) >= before);
    let answer = back.answer().await.text();
    assert!(answer.contains("Deploy `#2` isn't live any more: now deploy `#3`"), "{answer}");
    assert_eq!(stage.circleci.triggers(), 3);
    stage.finish().await;
}

#[tokio::test]
async fn what_ran_there_and_what_is_live_complete() {
    let stage = stage().await;
    deployed(&stage, "main", 1, Outcome::Success).await;
    deployed(&stage, "feature/login", 2, Outcome::Failed).await;
    deployed(&stage, "feature/login", 3, Outcome::Success).await;
    let typed = stage.discord.autocomplete(&stage.bob(), rollback().typing("to", "")).await;
    let choices = typed.choices().await;
    let shown: Vec<String> = choices.iter().map(|(name, value)| format!("{value} {}", tidy(&stage, name))).collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    "3" #3 (live) feature/login head-of-feature/login A commit of Slipway's sandbox
    "1" #1 main head-of-main A commit of Slipway's sandbox
    "#);
    stage.finish().await;
}

#[tokio::test]
async fn a_forged_press_must_say_what_was_live() {
    let stage = stage().await;
    deployed(&stage, "main", 1, Outcome::Success).await;
    deployed(&stage, "feature/login", 2, Outcome::Success).await;
    let message: MessageView = stage.alice().hears(CommandCall::new("help")).await;
    let forged = stage.discord.press_forged(&stage.alice(), &message, "/rollback acme/web").await.answer().await;
    assert!(forged.ephemeral && forged.text().contains("That button is not known"), "{}", forged.text());
    assert_eq!(stage.circleci.triggers(), 2);
    stage.finish().await;
}
