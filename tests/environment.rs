//! `/environment`: how a repository is deployed to where, and what its pipeline is passed.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use serde_json::json;
use support::discord::CommandCall;
use support::{Stage, stage};

fn set(name: &str) -> CommandCall {
    CommandCall::new("environment").sub("set").string("repo", "acme/web").string("name", name)
}

fn ask(sub: &str) -> CommandCall {
    CommandCall::new("environment").sub(sub).string("repo", "acme/web")
}

const TEMPLATE: &str = r#"{"action": "deploy", "environment": "{environment}", "revision": "{revision}", "deploy_id": "{id}", "actor": "{actor} #{number}", "reason": "{reason}", "replicas": 3, "migrate": true}"#;

#[tokio::test]
async fn a_pipeline_is_passed_what_the_template_says_with_its_types() {
    let stage = Stage::start().await;
    stage.root().runs(set("staging").string("parameters", TEMPLATE)).await.answer().await;
    let revision = stage.circleci.project("acme/web").branches["main"].clone();

    let deploy = stage
        .alice()
        .deploys_with("acme/web", "main", |call| {
            call.string("environment", "staging")
                .string("revision", &revision)
                .string("reason", "why not")
                .string("parameters", "fail=false")
        })
        .await;
    let card = deploy.answer().await.text();

    assert!(card.contains("Environment: `staging`") && card.contains("queued"), "{card}");
    let sent = stage.circleci.pipelines()[0].parameters.clone();
    let id = sent["deploy_id"].as_str().unwrap().to_owned();
    assert_eq!(
        serde_json::to_value(&sent).unwrap(),
        json!({
            "action": "deploy", "environment": "staging", "revision": revision, "deploy_id": id, "actor": format!("alice ({}) #1", stage.alice().id),
            "reason": "why not", "replicas": 3, "migrate": true, "fail": false,
        })
    );
    assert_eq!(id.len(), 36);
    stage.finish().await;
}

#[tokio::test]
async fn what_the_template_passes_nobody_passes_in_its_place() {
    let stage = Stage::start().await;
    stage.root().runs(set("production").string("parameters", TEMPLATE)).await.answer().await;

    let refused =
        stage.alice().deploys_with("acme/web", "main", |call| call.string("parameters", "environment=staging")).await;

    insta::assert_snapshot!(stage.tidy(&refused.answer().await), @"
    (only you can see this)
    # Not done
    The environment `production` passes the parameter `environment` itself. Leave it out.
    ");
    assert_eq!(stage.circleci.triggers(), 0);
    stage.finish().await;
}

#[tokio::test]
async fn an_environment_is_set_shown_listed_changed_and_removed() {
    let stage = Stage::start().await;
    let root = stage.root();

    let set_up = root.runs(set("staging").string("job", "deploy_docker")).await.answer().await;
    insta::assert_snapshot!(stage.tidy(&set_up), @"
    (only you can see this)
    # staging of acme/web is set
    Trigger: runs the job `deploy_docker` (API v1.1, which CircleCI ends a time (a time); `/environment set` with `trigger:pipeline` moves it)
    ");
    let moved =
        root.runs(set("staging").string("trigger", "pipeline").string("definition", "deploys")).await.answer().await;
    insta::assert_snapshot!(stage.tidy(&moved), @"
    (only you can see this)
    # staging of acme/web is set
    Trigger: runs the pipeline `deploys` (API v2)
    ");
    let kept = root.runs(set("staging").string("parameters", r#"{"action": "deploy"}"#)).await.answer().await;
    insta::assert_snapshot!(stage.tidy(&kept), @r#"
    (only you can see this)
    # staging of acme/web is set
    Trigger: runs the pipeline `deploys` (API v2)
    Parameters: `{"action":"deploy"}`
    "#);
    let listed = stage.alice().runs(ask("list")).await.answer().await;
    insta::assert_snapshot!(stage.tidy(&listed), @"
    (only you can see this)
    # Environments of acme/web
    `production` runs a pipeline (API v2)
    `staging` runs the pipeline `deploys` (API v2)
    ");
    root.removes(ask("remove").string("name", "staging")).await;
    let shown = stage.alice().runs(ask("show").string("name", "staging")).await.answer().await;
    insta::assert_snapshot!(stage.tidy(&shown), @"
    (only you can see this)
    # Not done
    `acme/web` has no environment `staging`. `/environment list acme/web` shows those it has.
    ");
    let actions: Vec<String> =
        stage.audit().await.into_iter().map(|entry| entry.action).filter(|a| a.starts_with("environment.")).collect();
    assert_eq!(
        actions,
        ["environment.set", "environment.set", "environment.set", "environment.removed", "environment.denied"]
    );
    stage.finish().await;
}

#[tokio::test]
async fn what_does_not_fit_together_is_refused() {
    let stage = Stage::start().await;
    let root = stage.root();
    for (call, words) in [
        (set("staging").string("trigger", "job"), "needs a job"),
        (set("staging").string("trigger", "pipeline").string("job", "x"), "a pipeline has none"),
        (set("staging").string("job", "x").string("parameters", "{}"), "belong to the trigger"),
        (set("staging").string("parameters", r#"{"a": "{revison}"}"#), "stands for nothing"),
        (set("staging").string("parameters", "nonsense"), "JSON object"),
        (set("@everyone"), "can't be used as"),
        (ask("remove").string("name", "production"), "the only environment"),
    ] {
        let answer = root.runs(call).await.answer().await;
        assert!(answer.ephemeral && answer.text().contains(words), "{words}: {}", answer.text());
    }
    let denied = stage.alice().runs(set("staging")).await.answer().await.text();
    assert!(denied.contains("You need the permission `admin`"), "{denied}");
    stage.finish().await;
}

#[tokio::test]
async fn a_deploy_goes_to_the_environment_that_is_named() {
    let stage = Stage::start().await;
    stage.root().runs(set("staging").string("job", "deploy_docker")).await.answer().await;
    stage.root().grants(stage::grant(stage.bob().id, "deploy").string("environment", "staging")).await;

    let denied = stage.bob().deploys("acme/web", "main").await.answer().await.text();
    assert!(denied.contains("environment `production`"), "{denied}");
    let card = stage
        .bob()
        .deploys_with("acme/web", "main", |call| call.string("environment", "staging"))
        .await
        .answer()
        .await
        .text();
    assert!(card.contains("build 1"), "{card}");

    let builds = stage.circleci.builds();
    assert_eq!(builds[0].parameters["SLIPWAY_ENVIRONMENT"], "staging");
    stage.finish().await;
}
