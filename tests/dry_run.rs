//! `dry_run:True`: what would be sent and what speaks against it, while nothing is sent.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use support::Stage;
use support::discord::CommandCall;
use support::stage::deploy;

fn set(name: &str) -> CommandCall {
    CommandCall::new("environment").sub("set").string("repo", "acme/web").string("name", name)
}

/// What is told, and that nothing was done.
async fn told(stage: &Stage, call: CommandCall) -> String {
    let (deploys, entries) = (stage.states().await.len(), stage.audit().await.len());
    let triggers = stage.circleci.triggers();
    let answer = stage.alice().hears(call.boolean("dry_run", true)).await;
    assert!(answer.ephemeral, "{}", answer.text());
    assert_eq!((stage.states().await.len(), stage.audit().await.len()), (deploys, entries));
    assert_eq!(stage.circleci.triggers(), triggers);
    let head = &stage.circleci.project("acme/web").branches["main"];
    stage.tidy(&answer).replace(head.as_str(), "head-of-main")
}

#[tokio::test]
async fn a_pipeline_is_told_with_every_parameter_and_sent_nowhere() {
    let stage = Stage::start().await;
    let template = r#"{"action": "deploy", "deploy_id": "{id}", "actor": "{actor} #{number}", "revision": "{revision}", "replicas": 3}"#;
    stage.root().hears(set("production").string("parameters", template).string("definition", "deploys")).await;
    let head = stage.circleci.project("acme/web").branches["main"].clone();
    let call = deploy("acme/web", "main").string("revision", &head).string("parameters", "migrate=true");

    insta::assert_snapshot!(told(&stage, call).await, @"
    (only you can see this)
    # Deploy of acme/web main
    A dry run: nothing was sent and nothing recorded.
    Sent by: API v2: a pipeline is run
    Project: `gh/acme/web`
    Definition: `deploys`
    Branch: `main`
    Commit: `a-commit`
    Environment: `production`
    Parameters: `action=deploy` `actor=alice (1026642021442447267) #{number}` `deploy_id={id}` `replicas=3` `revision=head-of-main` `migrate=true`
    `{id}` and `{number}` are the deploy's own, which it gets when it is recorded.
    Replaces: nothing that Slipway knows of
    Allowed by: rule `#2`
    Against it: nothing that Slipway knows of
    ");
    assert_eq!(stage.circleci.requests().len(), 0, "not even a question");
    stage.finish().await;
}

#[tokio::test]
async fn a_job_is_told_with_the_day_on_which_its_trigger_ends_and_with_who_else_is_under_way() {
    let stage = Stage::start_with_job().await;
    stage.alice().deploys("acme/web", "main").await.answer_when(|card| card.text().contains("is queued")).await;

    insta::assert_snapshot!(told(&stage, deploy("acme/web", "main").string("parameters", "TARGET=eu")).await, @"
    (only you can see this)
    # Deploy of acme/web main
    A dry run: nothing was sent and nothing recorded.
    Sent by: API v1.1: the job `deploy_docker` is run
    Project: `gh/acme/web`
    Branch: `main`
    Commit: the branch's newest one
    Environment: `production`
    Parameters: `TARGET=eu` `CIRCLE_JOB=deploy_docker` `SLIPWAY_DEPLOY_ID={id}` `SLIPWAY_ENVIRONMENT=production` `SLIPWAY_ACTOR=alice (1026642021442447267)`
    `{id}` and `{number}` are the deploy's own, which it gets when it is recorded.
    Replaces: nothing that Slipway knows of
    Allowed by: rule `#2`
    Against it: CircleCI ends API v1.1's triggers a time (a time).
    Deploy `#1` to the same environment is **queued**, asked for by @somebody. <https://circleci.test/gh/acme/web/1>
    ");
    stage.finish().await;
}

#[tokio::test]
async fn a_whole_build_takes_no_parameters() {
    let stage = Stage::start().await;
    stage.root().hears(set("production").string("trigger", "build")).await;
    insta::assert_snapshot!(told(&stage, deploy("acme/web", "main")).await, @"
    (only you can see this)
    # Deploy of acme/web main
    A dry run: nothing was sent and nothing recorded.
    Sent by: API v1.1: the workflows of the branch are run
    Project: `gh/acme/web`
    Branch: `main`
    Commit: the branch's newest one
    Environment: `production`
    Parameters: none
    Replaces: nothing that Slipway knows of
    Allowed by: rule `#2`
    Against it: CircleCI ends API v1.1's triggers a time (a time).
    ");
    stage.finish().await;
}

#[tokio::test]
async fn who_may_not_deploy_is_told_what_is_missing_and_that_is_recorded() {
    let stage = Stage::start().await;
    let answer = stage.bob().hears(deploy("acme/web", "main").boolean("dry_run", true)).await;
    insta::assert_snapshot!(stage.tidy(&answer), @"
    (only you can see this)
    # Not permitted
    You need the permission `deploy` for `acme/web`, branch `main`, environment `production`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
    [Request access](/access request acme/web environment:production action:deploy)
    ");
    assert_eq!(stage.audited("deploy.denied").await, 1);
    let pinned = deploy("acme/web", "main").string("revision", "0123456789").boolean("dry_run", true);
    let refused = stage.alice().hears(pinned).await;
    assert!(refused.ephemeral && refused.text().contains("{revision}"), "{}", refused.text());
    assert_eq!(stage.circleci.requests().len(), 0);
    stage.finish().await;
}

#[tokio::test]
async fn an_owner_is_told_that_no_rule_is_needed() {
    let stage = Stage::start().await;
    let answer = stage.root().hears(deploy("acme/web", "main").boolean("dry_run", true)).await;
    assert!(answer.text().contains("Allowed by: an owner's rights"), "{}", answer.text());
    stage.finish().await;
}
