//! `/deploys`: looking at deploys, and what people do to them while they run and afterwards.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use slipway::circleci::sandbox::timeline::Outcome;
use support::circleci::{Fault, Route};
use support::discord::{CommandCall, Interaction, MessageView};
use support::stage::grant;
use support::{Person, Stage};

fn deploys(sub: &str) -> CommandCall {
    CommandCall::new("deploys").sub(sub)
}

fn of(sub: &str, id: &str) -> CommandCall {
    deploys(sub).string("id", id)
}

/// CircleCI has taken it; how far it is by now nobody knows.
fn taken(card: &MessageView) -> bool {
    ["is queued", "is running"].iter().any(|words| card.text().contains(words))
}

/// Alice deploys `branch`, and CircleCI has taken it.
async fn queued(stage: &Stage, branch: &str) -> Interaction {
    let asked = stage.alice().deploys("acme/web", branch).await;
    asked.answer_when(taken).await;
    asked
}

/// Alice deploys `branch`, and its pipeline has this number and runs.
async fn running(stage: &Stage, branch: &str, number: u64) -> Interaction {
    let asked = queued(stage, branch).await;
    stage.circleci.begin_pipeline("acme/web", number);
    asked.answer_when(|card| card.text().contains("is running")).await;
    asked
}

/// Alice deploys `branch`, and its pipeline has failed.
async fn failed(stage: &Stage, branch: &str, number: u64) -> (Interaction, MessageView) {
    let asked = queued(stage, branch).await;
    stage.circleci.fail_pipeline_with_output("acme/web", number, "Deploy", "no space left on device\n");
    let card = asked.answer_when(|card| card.text().contains("is failed") && card.text().contains("no space")).await;
    (asked, card)
}

/// What a message says; commits by their branches, and approvals without their ids: those differ from run to run.
fn tidy(stage: &Stage, message: &MessageView) -> String {
    let heads = stage.circleci.project("acme/web").branches;
    let named = |text: String, (branch, head): (String, String)| text.replace(&head[..7], &format!("head-of-{branch}"));
    let text = heads.into_iter().fold(stage.tidy(message).replace('\u{200b}', "·"), named);
    let mut parts = text.split("hold:");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| format!("{text}hold:AN-ID{}", &part[36..]))
}

/// The whole answer, only for the person's eyes.
async fn hears(stage: &Stage, who: &Person<'_>, call: CommandCall) -> String {
    let answer = who.hears(call).await;
    assert!(answer.ephemeral, "{}", answer.text());
    tidy(stage, &answer).replace("(only you can see this)\n", "")
}

async fn until_audited(stage: &Stage, action: &str, count: usize) {
    while stage.audited(action).await < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn deploys_are_listed_the_newest_first_and_only_to_who_may_see_them() {
    let stage = Stage::following().await;
    stage.root().adds_repo("acme/secret").await;
    let everyone = stage.discord.guild_id();
    let hide = grant(everyone, "view").string("effect", "deny").string("repo", "acme/secret");
    stage.root().grants(hide).await;
    failed(&stage, "main", 1).await;
    let second = stage.root().deploys("acme/web", "feature/login").await;
    second.answer_when(taken).await;
    stage.circleci.finish_pipeline("acme/web", 2, Outcome::Success);
    second.answer_when(|card| card.text().contains("is succeeded")).await;
    stage.root().deploys("acme/secret", "main").await.answer().await;

    let list = hears(&stage, &stage.bob(), deploys("list")).await;
    insta::assert_snapshot!(list, @"
    # Deploys
    `#2` **succeeded** `acme/web` `feature/login` → `production`, @somebody, a time (a time), `a-short-commit`
    `#1` **failed** `acme/web` `main` → `production`, @somebody, a time (a time), `a-short-commit`
    ");
    let own = hears(&stage, &stage.bob(), deploys("list").user("user", &stage.alice())).await;
    assert!(own.contains("`#1`") && !own.contains("`#2`"), "{own}");
    let none = hears(&stage, &stage.bob(), deploys("list").string("repo", "acme/secret")).await;
    insta::assert_snapshot!(none, @"
    # Deploys
    No deploy that you may see fits that.
    ");
    let by_state = deploys("list").string("status", "succeeded").string("environment", "production");
    let succeeded = hears(&stage, &stage.bob(), by_state.string("repo", "ACME/web")).await;
    assert!(succeeded.contains("`#2`") && !succeeded.contains("`#1`"), "{succeeded}");
    let shown = hears(&stage, &stage.bob(), of("show", "3")).await;
    let missing = hears(&stage, &stage.bob(), of("show", "77")).await;
    assert_eq!(shown.replace("#3", "#77"), missing);
    insta::assert_snapshot!(shown, @"
    # Not done
    There is no deploy `#3` here that you may see. `/deploys list` shows those that you may.
    ");
    stage.finish().await;
}

#[tokio::test]
async fn lists_have_pages() {
    let stage = Stage::following().await;
    for _ in 0..11 {
        stage.alice().deploys("acme/web", "main").await.answer().await;
    }
    let first = stage.bob().hears(deploys("list").string("repo", "acme/web")).await;
    assert!(first.text().contains("`#11`") && !first.text().contains("`#1`"), "{}", first.text());
    stage.discord.press(&stage.bob(), &first, "Older").await.acknowledged().await;
    let is_second = |message: &MessageView| message.id == first.id && message.text().contains("Page 2 of 2");
    let second = stage.discord.message_when(stage.discord.channel_id(), is_second).await;
    assert!(second.text().contains("`#1`"), "{}", second.text());
    stage.finish().await;
}

#[tokio::test]
async fn a_deploy_is_shown_with_every_step_and_what_became_of_it() {
    let stage = Stage::following().await;
    let (_, card) = failed(&stage, "main", 1).await;
    let retry = stage.discord.press(&stage.alice(), &card, "Retry").await;
    retry.answer_when(taken).await;
    stage.circleci.finish_pipeline("acme/web", 2, Outcome::Success);
    let retry = retry.answer_when(|card| card.text().contains("is succeeded")).await;
    assert!(retry.text().contains("deploy #1, tried again. The pipeline isn't told a commit"), "{}", retry.text());
    let shown = hears(&stage, &stage.bob(), of("show", "#1")).await;
    let (before, after) = shown.split_once("UUID: ").unwrap();
    assert!(after.contains("[Retry]"), "{after}");
    // Whether it was seen running in between is chance.
    let before: Vec<&str> = before.lines().filter(|line| !line.ends_with("**running**")).collect();
    insta::assert_snapshot!(before.join("\n"), @"
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
    Steps: a time (a time) **triggering**
    a time (a time) **queued**
    a time (a time) **failed**
    Since then: tried again as deploy `#2`, **succeeded**
    ");
    stage.finish().await;
}

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
    alice deploy.cancel_requested allowed
    alice deploy.answered allowed
    alice deploy.finished canceled
    ");
    assert_eq!(entries[2].reason.as_deref(), Some("the wrong *branch*"));
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
    let card = asked.answer_when(|card| card.text().contains("is canceled")).await;
    assert!(card.text().contains(&format!("Canceled by: <@{}>", stage.bob().id)), "{}", card.text());
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

#[tokio::test]
async fn who_may_not_see_a_deploy_is_not_told_of_it_by_its_buttons_either() {
    let stage = Stage::following().await;
    let (_, card) = failed(&stage, "main", 1).await;
    stage.root().hears(CommandCall::new("permission").sub("revoke").string("id", "#1")).await;
    for button in ["Retry", "Rerun failed"] {
        let told = stage.discord.press(&stage.bob(), &card, button).await.answer().await;
        assert!(
            told.ephemeral && told.text().contains("There is no deploy `#1` here that you may see"),
            "{}",
            told.text()
        );
    }
    for line in ["/deploys cancel 1", "/deploys approve 1"] {
        let told = stage.discord.press_forged(&stage.bob(), &card, line).await.answer().await;
        assert!(
            told.ephemeral && told.text().contains("There is no deploy `#1` here that you may see"),
            "{}",
            told.text()
        );
    }
    assert_eq!((stage.circleci.triggers(), stage.states().await.len()), (1, 1));
    stage.finish().await;
}

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

mod approvals {
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

        let lines: Vec<String> =
            which.text().lines().map(|line| line.split("hold:").next().unwrap().to_owned()).collect();
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
}

#[tokio::test]
async fn deploys_complete_by_what_can_be_done_to_them() {
    let stage = Stage::following().await;
    let (_, _) = failed(&stage, "main", 1).await;
    running(&stage, "feature/login", 2).await;
    let offered = async |who: &Person<'_>, sub: &str, typed: &str| -> Vec<String> {
        let asked = stage.discord.autocomplete(who, deploys(sub).typing("id", typed)).await;
        asked.choices().await.into_iter().map(|(name, value)| format!("{} {name}", value.as_str().unwrap())).collect()
    };
    let alice = stage.alice();
    assert_eq!(
        offered(&alice, "show", "").await,
        ["2 #2 acme/web feature/login → production (running)", "1 #1 acme/web main → production (failed)"]
    );
    assert_eq!(offered(&alice, "show", "#1").await, ["1 #1 acme/web main → production (failed)"]);
    assert_eq!(offered(&alice, "cancel", "").await, ["2 #2 acme/web feature/login → production (running)"]);
    assert_eq!(offered(&alice, "retry", "").await, ["1 #1 acme/web main → production (failed)"]);
    assert_eq!(offered(&alice, "approve", "").await, [""; 0]);
    assert_eq!(offered(&stage.bob(), "cancel", "").await, [""; 0]);
    assert_eq!(offered(&stage.bob(), "retry", "1").await, [""; 0]);
    stage.finish().await;
}
