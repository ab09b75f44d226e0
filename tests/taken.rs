//! What an environment takes: which branches, from which channel, with which parameters; which one is meant where none is named;
//! and that taking one away is asked about first.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use serde_json::json;
use support::Stage;
use support::discord::CommandCall;
use support::stage::{deploy, grant};

fn set(name: &str) -> CommandCall {
    CommandCall::new("environment").sub("set").string("repo", "acme/web").string("name", name)
}

fn parameter(name: &str) -> CommandCall {
    let call = CommandCall::new("environment").sub("parameter").string("repo", "acme/web");
    call.string("environment", "production").string("name", name)
}

async fn hears(stage: &Stage, call: CommandCall) -> String {
    let answer = stage.alice().hears(call).await;
    assert!(answer.ephemeral, "{}", answer.text());
    stage.tidy(&answer).replace("(only you can see this)\n", "")
}

async fn root_hears(stage: &Stage, call: CommandCall) -> String {
    stage.tidy(&stage.root().hears(call).await).replace("(only you can see this)\n", "")
}

#[tokio::test]
async fn an_environment_takes_the_branches_that_it_says() {
    let stage = Stage::start().await;
    insta::assert_snapshot!(root_hears(&stage, set("production").string("branches", "{main,release/*}")).await, @"
    # production of acme/web is set
    Trigger: runs a pipeline (API v2)
    Branches: `{main,release/*}`
    ");

    insta::assert_snapshot!(hears(&stage, deploy("acme/web", "feature/login")).await, @"
    # Not done
    `production` of `acme/web` takes no branch `feature/login`. It takes those that fit `{main,release/*}`; an admin changes that with `/environment set`.
    ");

    assert_eq!(stage.circleci.triggers(), 0);
    let taken = stage.alice().deploys("acme/web", "main").await.answer().await;
    assert!(!taken.ephemeral, "{}", taken.text());
    root_hears(&stage, set("production").string("branches", "*")).await;
    let taken = stage.alice().deploys("acme/web", "feature/login").await.answer().await;
    assert!(!taken.ephemeral, "{}", taken.text());
    stage.finish().await;
}

#[tokio::test]
async fn an_environment_is_deployed_from_its_channel_only_and_the_refusal_says_where() {
    let stage = Stage::start().await;
    let deploys = stage.discord.channel("deploys");
    root_hears(&stage, set("production").string("channel", &format!("<#{deploys}>"))).await;

    let refused = stage.alice().hears(deploy("acme/web", "main")).await.text();

    assert!(refused.contains(&format!("`production` of `acme/web` is deployed from <#{deploys}> only")), "{refused}");
    let mut there = stage.alice();
    there.member = there.member.in_channel(deploys);
    let taken = there.deploys("acme/web", "main").await.answer().await;
    assert!(!taken.ephemeral, "{}", taken.text());
    root_hears(&stage, set("production").string("channel", "any")).await;
    let taken = stage.alice().deploys("acme/web", "main").await.answer().await;
    assert!(!taken.ephemeral, "{}", taken.text());
    stage.finish().await;
}

#[tokio::test]
async fn the_default_environment_is_meant_where_none_is_named() {
    let stage = Stage::start().await;
    root_hears(&stage, set("staging").boolean("default", true)).await;
    root_hears(&stage, set("testing")).await;
    let card = stage.alice().deploys("acme/web", "main").await.answer().await.text();
    assert!(card.contains("Environment: `staging`"), "{card}");
    // One at a time.
    root_hears(&stage, set("testing").boolean("default", true)).await;
    let card = stage.alice().deploys("acme/web", "main").await.answer().await.text();
    assert!(card.contains("Environment: `testing`"), "{card}");
    root_hears(&stage, set("testing").boolean("default", false)).await;
    let card = stage.alice().deploys("acme/web", "main").await.answer().await.text();
    assert!(card.contains("Environment: `production`"), "{card}");
    stage.finish().await;
}

#[tokio::test]
async fn declared_parameters_are_checked_typed_and_completed() {
    let stage = Stage::start().await;
    let region = parameter("action").string("values", "deploy,preview").boolean("required", true);
    root_hears(&stage, region).await;
    let shown = root_hears(&stage, parameter("environment").string("default", "eu")).await;
    insta::assert_snapshot!(shown, @"
    # environment is declared for production of acme/web
    Trigger: runs a pipeline (API v2)
    Declared: `action` string: `deploy`, `preview`, required
    `environment` string, else `eu`
    ");
    let with = |parameters: &str| deploy("acme/web", "main").string("parameters", parameters);

    let refused = [deploy("acme/web", "main"), with("action=party"), with("action=deploy other=1")];
    let mut told = Vec::new();
    for call in refused {
        told.push(hears(&stage, call).await);
    }
    insta::assert_snapshot!(told.join("\n\n"), @"
    # Not done
    The parameter `action` must be named there. Say it in `parameters`: `action=deploy`.

    # Not a usable parameter
    `action=party` can't be used as `parameters`. `action` is one of `deploy`, `preview`. Example: `REGION=eu`. Nothing was done.

    # Not a usable parameter
    `other=1` can't be used as `parameters`. It is not among what is declared there: `action`, `environment`. Example: `REGION=eu`. Nothing was done.
    ");
    assert_eq!(stage.circleci.triggers(), 0);

    let taken = stage.alice().runs(with("action=deploy")).await.answer().await;
    assert!(!taken.ephemeral, "{}", taken.text());
    let sent = stage.circleci.pipelines()[0].parameters.clone();
    assert_eq!(serde_json::to_value(&sent).unwrap(), json!({"action": "deploy", "environment": "eu"}));
    let typing =
        stage.discord.autocomplete(&stage.alice(), deploy("acme/web", "main").typing("parameters", "action=")).await;
    let choices: Vec<String> = typing.choices().await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(choices, ["action=deploy", "action=preview"]);

    root_hears(&stage, parameter("action").boolean("remove", true)).await;
    let none = root_hears(&stage, parameter("action").boolean("remove", true)).await;
    assert!(none.contains("declares no parameter of that name"), "{none}");
    stage.finish().await;
}

#[tokio::test]
async fn what_can_not_be_set_is_refused() {
    let stage = Stage::start().await;
    for (call, why) in [
        (set("production").string("branches", "[a"), "not a glob"),
        (set("production").string("channel", "deploys"), "A channel is picked by"),
        (set("production").string("approvals", "11"), "a number from 0 to 10"),
        (parameter("API_TOKEN"), "looks like a secret"),
        (parameter("COUNT").string("type", "integer").string("default", "many"), "a whole number"),
        (parameter("REGION").string("values", "eu,us").string("default", "asia"), "one of `eu`, `us`"),
    ] {
        let told = stage.root().hears(call).await.text().replace('\\', "");
        assert!(told.contains(why), "{why}: {told}");
    }
    assert_eq!(stage.audited("environment.denied").await, 6);
    stage.finish().await;
}

#[tokio::test]
async fn a_removal_is_asked_about_first_and_tells_what_depends_on_it() {
    let stage = Stage::start().await;
    stage.root().grants(grant(stage.bob().id, "deploy").string("repo", "acme/web")).await;
    stage.alice().deploys("acme/web", "main").await.answer().await;
    let remove = || CommandCall::new("repo").sub("remove").string("name", "acme/web");

    let question = stage.root().hears(remove()).await;

    insta::assert_snapshot!(stage.tidy(&question), @"
    (only you can see this)
    # Remove acme/web?
    Nothing is done until you press the button. After that nobody can deploy there any more.
    Deploys: 1, which stay in the history; 1 of them under way, and followed to the end
    Rules: 1 by its name, which stay and hold again should it come back
    Environments: `production`
    [Remove](/repo remove acme/web sure:True)
    ");
    assert_eq!(stage.audited("repo.removed").await, 0);
    let seen = stage.alice().hears(CommandCall::new("help")).await;
    let forged = "/repo remove acme/web sure:True";
    let others = stage.discord.press_forged(&stage.alice(), &seen, forged).await.answer().await;
    assert!(others.text().contains("Not permitted"), "{}", others.text());
    let removed = stage.discord.press(&stage.root(), &question, "Remove").await.answer().await;
    assert!(removed.text().contains("is removed"), "{}", removed.text());
    let again = stage.discord.press(&stage.root(), &question, "Remove").await.answer().await;
    assert!(again.text().contains("is not registered here"), "{}", again.text());
    assert_eq!(stage.audited("repo.removed").await, 1);
    stage.finish().await;
}

#[tokio::test]
async fn a_repository_can_be_edited() {
    let stage = Stage::start().await;
    let edit = CommandCall::new("repo").sub("edit").string("name", "acme/web").string("default_branch", "develop");
    insta::assert_snapshot!(root_hears(&stage, edit).await, @"
    # acme/web is changed
    Host: github
    Default branch: `develop`
    ");
    let entry = stage.audit().await.into_iter().rfind(|entry| entry.action == "repo.edited").unwrap();
    assert_eq!(
        (&entry.detail["before"]["default_branch"], &entry.detail["after"]["default_branch"]),
        (&serde_json::Value::Null, &"develop".into())
    );
    stage.finish().await;
}
