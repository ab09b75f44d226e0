//! Looking at deploys: lists, one in full, what completes their numbers.

use super::*;

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
