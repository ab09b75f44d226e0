//! `/deploy`, from Discord to CircleCI and back.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

#[path = "../support/nobody.rs"]
mod nobody;
#[path = "../support/mod.rs"]
mod support;

mod lost;
mod refused;

use serde_json::json;
use slipway::circleci::sandbox::auth::AuthKind;
use slipway::circleci::sandbox::plan::{ConfigVersion, Definition};
use std::time::{Duration, Instant};
use support::circleci::{FakeCircleCi, Fault, RetryAfter, Route};
use support::discord::{ALWAYS, CommandCall, Fault as DiscordFault, RouteKind};
use support::{Person, Stage};

/// `/deploy acme/web main` by Alice, and the card that it ends with.
async fn card_of_main(stage: &Stage) -> String {
    let deploy = stage.alice().deploys("acme/web", "main").await;
    stage.tidy(&deploy.answer().await)
}

#[tokio::test]
async fn a_deploy_is_checked_recorded_triggered_and_answered_with_its_link() {
    let stage = Stage::start().await;

    let deploy =
        stage.alice().deploys_with("acme/web", "main", |call| call.string("reason", "fixes the login page")).await;

    assert!(!deploy.acknowledged().await.ephemeral);
    let card = deploy.answer().await;
    insta::assert_snapshot!(stage.tidy(&card), @"
    # Deploy #1 is queued
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **queued**
    Asked by: @somebody
    Asked at: a time (a time)
    Reason: fixes the login page
    Build: pipeline 1: <https://circleci.test/pipelines/github/acme/web/1>
    [Build](https://circleci.test/pipelines/github/acme/web/1) [Cancel](/deploys cancel 1)
    ");
    assert_eq!(card.buttons()[0].url, Some(format!("{}/pipelines/github/acme/web/1", stage.circleci.url())));
    let pipelines = stage.circleci.pipelines();
    assert_eq!(pipelines.len(), 1);
    assert_eq!(pipelines[0].branch.as_deref(), Some("main"));
    let sent = &stage.circleci.requests_to(Route::RunPipeline)[0];
    assert_eq!(sent.content_type.as_deref(), Some("application/json"));
    assert_eq!((sent.auth, sent.token.as_deref()), (Some(AuthKind::CircleToken), Some(stage.circleci.token())));
    assert_eq!(stage.states().await, ["queued"]);
    let entries: Vec<_> = stage.audit().await.into_iter().filter(|entry| entry.deploy == Some(1)).collect();
    let told: Vec<_> = entries.iter().map(|entry| (entry.action.as_str(), entry.outcome.as_str())).collect();
    assert_eq!(told, [("deploy.requested", "allowed"), ("deploy.triggered", "allowed")]);
    for entry in &entries {
        assert_eq!(entry.actor, "alice");
        assert_eq!(entry.reason.as_deref(), Some("fixes the login page"));
        assert_eq!((entry.repo.as_deref(), entry.branch.as_deref()), (Some("acme/web"), Some("main")));
        assert_eq!(entry.environment.as_deref(), Some("production"));
    }
    assert_eq!(entries[1].detail["pipeline"]["id"], pipelines[0].id.to_string());
    stage.finish().await;
}

#[tokio::test]
async fn a_pipeline_gets_typed_parameters() {
    let stage = Stage::start().await;
    let parameters = r#"action=deploy replicas=3 migrate=true revision="7" environment="two words""#;

    let deploy = stage.alice().deploys_with("acme/web", "main", |call| call.string("parameters", parameters)).await;

    let card = deploy.answer().await;
    assert!(card.text().contains("Parameters: `action=deploy` `replicas=3` `migrate=true`"), "{}", card.text());
    let sent = serde_json::Value::Object(stage.circleci.pipelines()[0].parameters.clone());
    assert_eq!(
        sent,
        json!({"action": "deploy", "replicas": 3, "migrate": true, "revision": "7", "environment": "two words"})
    );
    stage.finish().await;
}

#[tokio::test]
async fn a_job_is_triggered_as_the_projects_curl_did_it() {
    let stage = Stage::start_with_job().await;
    let head = stage.circleci.project("acme/web").branches["main"].clone();

    let deploy = stage
        .alice()
        .deploys_with("acme/web", "main", |call| {
            call.string("parameters", "TARGET=eu N=3").string("revision", &head[..10])
        })
        .await;

    let card = deploy.answer().await;
    insta::assert_snapshot!(stage.tidy(&card), @"
    # Deploy #1 is queued
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **queued**
    Asked by: @somebody
    Asked at: a time (a time)
    Commit: `a-short-commit` A commit of Slipway's sandbox
    Parameters: `TARGET=eu` `N=3`
    Build: build 1: <https://circleci.test/gh/acme/web/1>
    [Build](https://circleci.test/gh/acme/web/1) [Cancel](/deploys cancel 1)
    ");
    let builds = stage.circleci.builds();
    assert_eq!((builds.len(), builds[0].job.as_str(), builds[0].branch.as_deref()), (1, "deploy_docker", Some("main")));
    assert_eq!(builds[0].revision, head);
    let mut parameters = builds[0].parameters.clone();
    let id = parameters.remove("SLIPWAY_DEPLOY_ID").unwrap();
    assert_eq!(id, stage.audit().await.iter().find(|entry| entry.deploy == Some(1)).unwrap().detail["uuid"]);
    let parameters: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let alice = stage.alice().id;
    assert_eq!(
        parameters,
        [
            "CIRCLE_JOB=deploy_docker",
            "N=3",
            &format!("SLIPWAY_ACTOR=alice ({alice})"),
            "SLIPWAY_ENVIRONMENT=production",
            "TARGET=eu"
        ]
    );
    let sent = &stage.circleci.requests_to(Route::TriggerJob)[0];
    assert_eq!(sent.json.as_ref().unwrap()["revision"], head[..10]);
    assert_eq!((sent.auth, sent.token.as_deref()), (Some(AuthKind::Basic), Some(stage.circleci.token())));
    assert_eq!(sent.accept.as_deref(), Some("application/json"));
    stage.finish().await;
}

#[tokio::test]
async fn a_job_is_asked_for_with_the_projects_own_token() {
    let stage = Stage::with(&[("CIRCLE_API_PROJECT_TOKEN_ACME_WEB", "only-for-acme-web")]).await;
    stage.circleci.change_project("acme/web", |project| project.project_token = Some("only-for-acme-web".to_owned()));
    let add = CommandCall::new("repo").sub("add").string("name", "acme/web").string("job", "deploy_docker");
    stage.root().hears(add).await;

    let deploy = stage.root().deploys("acme/web", "main").await;

    assert!(deploy.answer().await.text().contains("is queued"));
    let sent = &stage.circleci.requests_to(Route::TriggerJob)[0];
    assert_eq!(sent.token.as_deref(), Some("only-for-acme-web"));
    stage.finish().await;
}

#[tokio::test]
async fn a_branchs_name_is_percent_encoded() {
    let stage = Stage::start_with_job().await;
    let branch = "feature/a%2Fb#c&d=é+x";
    stage.circleci.change_project("acme/web", |project| {
        project.branches.insert(branch.to_owned(), "1".repeat(40));
    });

    let deploy = stage.alice().deploys("acme/web", branch).await;

    assert!(deploy.answer().await.text().contains("is queued"));
    let sent = &stage.circleci.requests_to(Route::TriggerJob)[0];
    assert_eq!(sent.raw, "/api/v1.1/project/github/acme/web/tree/feature%2Fa%252Fb%23c%26d%3D%C3%A9%2Bx");
    assert_eq!(stage.circleci.builds()[0].branch.as_deref(), Some(branch));
    stage.finish().await;
}

#[tokio::test]
async fn a_reason_and_a_name_are_inert() {
    let stage = Stage::start_with_job().await;
    let trickster = stage.person("@everyone **x** <@1> $(rm -rf)`");
    stage.root().lets("@everyone **x** <@1> $(rm -rf)`", "deploy").await;
    let reason = "@everyone @here <@1> <@&2> <#3> **bold** `code` [a](https://evil.test) https://evil.test\n# big";

    let deploy = trickster.deploys_with("acme/web", "main", |call| call.string("reason", reason)).await;

    let card = deploy.answer().await;
    insta::assert_snapshot!(stage.tidy(&card).replace('\u{200b}', "·"), @r"
    # Deploy #1 is queued
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **queued**
    Asked by: @somebody
    Asked at: a time (a time)
    Commit: `a-short-commit` A commit of Slipway's sandbox
    Reason: \@·everyone \@·here \<\@·1\> \<\@·&2\> \<#3\> \*\*bold\*\* \`code\` \[a\](https\://evil.test) https\://evil.test
    \# big
    Build: build 1: <https://circleci.test/gh/acme/web/1>
    [Build](https://circleci.test/gh/acme/web/1) [Cancel](/deploys cancel 1)
    ");
    assert_eq!(card.pings, [""; 0]);
    let actor = &stage.circleci.builds()[0].parameters["SLIPWAY_ACTOR"];
    assert_eq!(*actor, format!("everyone x 1 rm -rf ({})", trickster.id));
    stage.finish().await;
}

#[tokio::test]
async fn the_card_says_triggering_while_circleci_is_slow() {
    let stage = Stage::start().await;
    let gate = stage.circleci.hold(Route::ReadProject);

    let deploy = stage.alice().deploys("acme/web", "main").await;

    let card = deploy.answer().await;
    insta::assert_snapshot!(stage.tidy(&card), @r"
    # Deploy #1 is triggering
    Repository: `acme/web`
    Branch: `main`
    Environment: `production`
    State: **triggering**
    Asked by: @somebody
    Asked at: a time (a time)
    ");
    assert_eq!(stage.circleci.triggers(), 0);
    gate.open();
    let card = deploy.answer_when(|card| !card.text().contains("triggering")).await;
    assert!(card.text().contains("# Deploy #1 is queued"), "{}", card.text());
    stage.finish().await;
}

#[tokio::test]
async fn the_environment_may_be_named_and_a_repositorys_name_spelt_in_another_case() {
    let stage = Stage::start().await;

    let deploy = stage.alice().deploys_with("ACME/Web", "main", |call| call.string("environment", "Production")).await;

    let card = deploy.answer().await;
    assert!(card.text().contains("Repository: `acme/web`") && card.text().contains("Environment: `production`"));
    stage.finish().await;
}

#[tokio::test]
async fn the_card_is_edited_as_the_bot_once_the_token_is_dead() {
    let stage = Stage::start().await;
    let gate = stage.circleci.hold(Route::ReadProject);
    let deploy = stage.alice().deploys("acme/web", "main").await;
    deploy.acknowledged().await;
    stage.discord.expire(&deploy);
    gate.open();

    let channel = stage.discord.channel_id();
    stage.discord.message_when(channel, |message| message.text().contains("Deploy #1 is queued")).await;

    assert!(!stage.discord.requests_to(RouteKind::EditMessage).is_empty());
    stage.discord.take_violations();
    stage.finish().await;
}

#[tokio::test]
async fn a_slow_or_limited_discord_still_gets_the_card() {
    let stage = Stage::start().await;
    stage.discord.fault(RouteKind::EditOriginal, DiscordFault::Status(503), 2);
    stage.discord.fault(
        RouteKind::EditOriginal,
        DiscordFault::RateLimited(Duration::from_millis(300), support::discord::Scope::Shared),
        1,
    );

    assert!(card_of_main(&stage).await.contains("is queued"));

    assert_eq!(stage.circleci.triggers(), 1);
    stage.finish().await;
}

#[tokio::test]
async fn a_server_without_definitions_gets_the_classic_trigger() {
    let mut stage = Stage::before_curtain(FakeCircleCi::start().await.on_server(404), &[]).await;
    stage.start_bot();
    stage.root().adds_repo("acme/web").await;
    let root: Person<'_> = stage.root();

    let deploy = root.deploys("acme/web", "develop").await;

    assert!(deploy.answer().await.text().contains("is queued"));
    assert_eq!(stage.circleci.requests_to(Route::RunPipeline).len(), 0);
    assert_eq!(stage.circleci.pipelines()[0].branch.as_deref(), Some("develop"));
    stage.finish().await;
}
