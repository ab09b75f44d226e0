//! `/deploy`, from Discord to CircleCI and back.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use slipway::circleci::sandbox::auth::AuthKind;
use slipway::circleci::sandbox::plan::{ConfigVersion, Definition};
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

/// The refusals of CircleCI, each with the words on its card.
mod refused {
    use super::*;

    /// The card, once it is certain that nothing was started and that the log says so.
    async fn refused(stage: &Stage) -> String {
        let card = card_of_main(stage).await;
        assert_eq!((stage.circleci.triggers(), stage.states().await), (0, vec!["refused".to_owned()]));
        let log = stage.audit().await;
        let last = log.last().unwrap();
        assert_eq!((last.action.as_str(), last.outcome.as_str()), ("deploy.finished", "refused"));
        card
    }

    #[tokio::test]
    async fn a_dead_token() {
        let mut stage = Stage::start().await;
        stage.circleci.replace_token("another-one");
        insta::assert_snapshot!(refused(&stage).await, @r"
        # Deploy #1 is refused
        CircleCI does not accept the token in CIRCLE\_API\_USER\_TOKEN: it is wrong, revoked or expired. Personal tokens live at most a year and are made on CircleCI under User Settings, Personal API Tokens. The bot's operator makes a new one there, sets CIRCLE\_API\_USER\_TOKEN and restarts the bot. CircleCI said: “You must log in first.”
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **refused**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        ");
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_project_that_the_token_does_not_see() {
        let stage = Stage::start().await;
        stage.circleci.world().state().projects.clear();
        insta::assert_snapshot!(refused(&stage).await, @r"
        # Deploy #1 is refused
        CircleCI shows no project acme/web (github) to the token in CIRCLE\_API\_USER\_TOKEN: it isn't there, or the token can't see it. Check how the name is written, that the project is set up on CircleCI, and that the token's owner can open it there. CircleCI said: “Project not found”
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **refused**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        ");
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_configuration_of_2_1_at_the_job_trigger() {
        let stage = Stage::start_with_job().await;
        stage.circleci.change_project("acme/web", |project| project.config.version = ConfigVersion::V2_1);
        let card = refused(&stage).await;
        insta::assert_snapshot!(card, @r"
        # Deploy #1 is refused
        CircleCI's job trigger (API v1.1) can't use the configuration of acme/web on this branch: it starts jobs only from configurations below 2.1. If `.circleci/config.yml` says `version: 2.1`, use a `pipeline` environment (docs/circleci.md shows how); else correct what CircleCI says of it. CircleCI said: “Your config file has errors and may not run correctly: 2 schema violations found; required key \[jobs\] not found; extraneous key \[parameters\] is not permitted”
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **refused**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        ");
        assert!(!card.contains("<br") && !card.contains("pre>"));
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_job_that_is_not_there() {
        let stage = Stage::start_with_job().await;
        stage.circleci.change_project("acme/web", |project| project.config.jobs.retain(|job| job == "build"));
        insta::assert_snapshot!(refused(&stage).await, @"
        # Deploy #1 is refused
        The configuration of acme/web on this branch has no such job. Check the environment's job against `.circleci/config.yml` there. CircleCI said: “Cannot find a job named `deploy_docker` to run in the `jobs:` section of your configuration file.”
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **refused**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        ");
        stage.finish().await;
    }

    #[tokio::test]
    async fn an_undeclared_parameter_and_one_of_another_type() {
        let stage = Stage::start().await;
        let with = |parameters: &'static str| move |call: CommandCall| call.string("parameters", parameters);
        let deploy = stage.alice().deploys_with("acme/web", "main", with("COLOUR=red")).await;
        insta::assert_snapshot!(stage.tidy(&deploy.answer().await), @"
        # Deploy #1 is refused
        The configuration declares no pipeline parameter `COLOUR`, and CircleCI refuses what is not declared. Declare it under `parameters:` in acme/web's `.circleci/config.yml` on this branch (docs/circleci.md shows how), or leave it out. CircleCI said: “Unexpected argument(s): COLOUR”
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **refused**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        Parameters: `COLOUR=red`
        [Retry](/deploys retry 1)
        ");
        let deploy = stage.alice().deploys_with("acme/web", "main", with("replicas=many")).await;
        insta::assert_snapshot!(stage.tidy(&deploy.answer().await), @r#"
        # Deploy #2 is refused
        The configuration declares another type for the parameter `replicas`. A number is written `N=3`, a truth value `DRY=true`, and text that looks like one of them is quoted: `TAG="3"`. CircleCI said: “Type error for argument replicas: expected type: integer, actual value: "many" (type string)”
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **refused**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        Parameters: `replicas=many`
        [Retry](/deploys retry 2)
        "#);
        assert_eq!((stage.circleci.triggers(), stage.states().await), (0, vec!["refused".to_owned(); 2]));
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_trigger_that_is_retired() {
        let stage = Stage::start_with_job().await;
        stage.circleci.retire_v1_triggers();
        insta::assert_snapshot!(refused(&stage).await, @"
        # Deploy #1 is refused
        CircleCI takes no more triggers of its API v1.1, which end for everybody on 1 February 2027. Use a `pipeline` environment instead: docs/circleci.md shows how to move one over. CircleCI said: “This endpoint was removed on 1 February 2027. Use API v2 or v3 to trigger pipelines.”
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **refused**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        ");
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_branch_that_is_not_there() {
        for stage in [Stage::start().await, Stage::start_with_job().await] {
            let deploy = stage.alice().deploys("acme/web", "no-such-branch").await;
            let card = stage.tidy(&deploy.answer().await);
            insta::allow_duplicates! { insta::assert_snapshot!(card, @"
            # Deploy #1 is refused
            CircleCI finds no such branch in acme/web. Check how it is written, and that it has been pushed. CircleCI said: “Branch not found”
            Repository: `acme/web`
            Branch: `no-such-branch`
            Environment: `production`
            State: **refused**
            Asked by: @somebody
            Asked at: a time (a time)
            Took: a while
            [Retry](/deploys retry 1)
            "); }
            stage.finish().await;
        }
    }

    #[tokio::test]
    async fn several_definitions() {
        let stage = Stage::start().await;
        stage.circleci.change_project("acme/web", |project| {
            project.definitions =
                ["one", "two"].map(|name| Definition::new(name, &format!("{name}.yml"), "github_app")).to_vec();
        });
        let card = refused(&stage).await;
        for definition in stage.circleci.project("acme/web").definitions {
            assert!(card.contains(&definition.name), "{card}");
        }
        assert!(card.contains("several pipeline definitions"), "{card}");
        stage.finish().await;
    }

    #[tokio::test]
    async fn the_words_of_circleci_are_inert() {
        let stage = Stage::start().await;
        let said = json!({"message": "@everyone <@1> **no** [x](https://evil.test) <script>"});
        stage.circleci.fault(Route::RunPipeline, Fault::Status(400, said), 1);
        let card = refused(&stage).await.replace('\u{200b}', "·");
        insta::assert_snapshot!(card, @r"
        # Deploy #1 is refused
        CircleCI refused the request for acme/web (status 400). What it says may tell what to change; its status page is https\://status.circleci.com. CircleCI said: “\@·everyone \<\@·1\> \*\*no\*\* \[x\](https\://evil.test) \<script\>”
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **refused**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        ");
        stage.finish().await;
    }
}

/// Triggers that CircleCI did not take, or may have taken.
mod lost {
    use super::*;

    #[tokio::test]
    async fn a_rate_limit_is_waited_for() {
        let stage = Stage::start().await;
        let again = Fault::RateLimited { retry_after: Some(RetryAfter::Seconds(1)) };
        stage.circleci.fault(Route::RunPipeline, again, 1);
        let begun = Instant::now();

        assert!(card_of_main(&stage).await.contains("is queued"));

        assert!(begun.elapsed() >= Duration::from_secs(1));
        assert_eq!((stage.circleci.requests_to(Route::RunPipeline).len(), stage.circleci.triggers()), (2, 1));
        stage.finish().await;
    }

    #[tokio::test]
    async fn what_was_not_sent_is_canceled() {
        let stage = Stage::start().await;
        stage.circleci.fault(
            Route::RunPipeline,
            Fault::RateLimited { retry_after: Some(RetryAfter::Seconds(3600)) },
            1,
        );

        insta::assert_snapshot!(card_of_main(&stage).await, @"
        # Deploy #1 is canceled
        CircleCI's rate limit is reached and does not end soon enough to wait for it. Try again in a few minutes. Nothing was started. Ask for it again once that is mended.
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **canceled**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        ");

        assert_eq!((stage.circleci.triggers(), stage.states().await), (0, vec!["canceled".to_owned()]));
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_circleci_that_cannot_be_reached_cancels() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nowhere = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let stage = Stage::with(&[("CIRCLECI_URL", &nowhere)]).await;
        stage.root().adds_repo("acme/web").await;

        let deploy = stage.root().deploys("acme/web", "main").await;

        insta::assert_snapshot!(stage.tidy(&deploy.answer().await), @r"
        # Deploy #1 is canceled
        CircleCI could not be reached (Connection refused). Try again in a minute; if it goes on, see https\://status.circleci.com, or let the bot's operator check its network and CIRCLECI\_URL. Nothing was started. Ask for it again once that is mended.
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **canceled**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        ");
        assert_eq!(stage.states().await, ["canceled"]);
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_lost_pipeline_is_looked_for_and_adopted() {
        let stage = Stage::start().await;
        stage.circleci.fault(Route::RunPipeline, Fault::DropAfter, 1);

        insta::assert_snapshot!(card_of_main(&stage).await, @"
        # Deploy #1 is queued
        The connection to CircleCI broke before its answer came. The build was found by looking for it.
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **queued**
        Asked by: @somebody
        Asked at: a time (a time)
        Commit: `a-short-commit` A commit of Slipway's sandbox
        Build: pipeline 1: <https://circleci.test/pipelines/github/acme/web/1>
        [Build](https://circleci.test/pipelines/github/acme/web/1) [Cancel](/deploys cancel 1)
        ");

        assert_eq!((stage.circleci.requests_to(Route::RunPipeline).len(), stage.circleci.triggers()), (1, 1));
        let triggered = stage.audit().await.into_iter().find(|entry| entry.action == "deploy.triggered").unwrap();
        assert_eq!(triggered.detail["adopted"], true);
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_lost_job_is_looked_for_and_adopted() {
        for fault in [Fault::DropAfter, Fault::HangAfter, Fault::StatusAfter(504, json!({})), Fault::Garbage] {
            let stage = Stage::start_with_job().await;
            stage.circleci.fault(Route::TriggerJob, fault, 1);

            let card = card_of_main(&stage).await;

            assert!(card.contains("is queued") && card.contains("build 1"), "{card}");
            assert_eq!((stage.circleci.requests_to(Route::TriggerJob).len(), stage.circleci.triggers()), (1, 1));
            stage.finish().await;
        }
    }

    #[tokio::test]
    async fn what_is_not_found_is_unknown_and_says_what_to_do() {
        for stage in [Stage::start().await, Stage::start_with_job().await] {
            for route in [Route::RunPipeline, Route::TriggerJob] {
                stage.circleci.fault(route, Fault::DropBefore, 1);
            }

            let card = card_of_main(&stage).await;

            insta::allow_duplicates! { insta::assert_snapshot!(card, @"
            # Deploy #1 is unknown
            The connection to CircleCI broke before its answer came. It was looked for and not found: CircleCI may or may not have taken it, and nothing was sent again. Look at the project on CircleCI before you deploy again.
            Repository: `acme/web`
            Branch: `main`
            Environment: `production`
            State: **unknown**
            Asked by: @somebody
            Asked at: a time (a time)
            Took: a while
            [Retry](/deploys retry 1)
            "); }
            assert_eq!((stage.circleci.triggers(), stage.states().await), (0, vec!["unknown".to_owned()]));
            let sent = stage.circleci.requests().into_iter().filter(|seen| seen.method == "POST").count();
            assert_eq!(sent, 1);
            let log = stage.audit().await;
            assert_eq!(log.last().unwrap().outcome, "unknown");
            stage.finish().await;
        }
    }

    #[tokio::test]
    async fn several_candidates_are_listed_for_a_person_to_decide() {
        let stage = Stage::start().await;
        stage.circleci.pipeline_by("slipway-sandbox", "acme/web", "main");
        stage.circleci.fault(Route::RunPipeline, Fault::DropAfter, 1);

        insta::assert_snapshot!(card_of_main(&stage).await, @r"
        # Deploy #1 is unknown
        The connection to CircleCI broke before its answer came. It was looked for, and any of these may be it: https\://circleci.test/pipelines/github/acme/web/2, https\://circleci.test/pipelines/github/acme/web/1. Nothing was sent again. Look at them on CircleCI before you deploy again.
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **unknown**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        ");

        assert_eq!((stage.circleci.triggers(), stage.states().await), (1, vec!["unknown".to_owned()]));
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_pipeline_that_another_deploy_holds_is_not_adopted() {
        let stage = Stage::start().await;
        assert!(card_of_main(&stage).await.contains("is queued"));
        stage.circleci.fault(Route::RunPipeline, Fault::DropBefore, 1);

        assert!(card_of_main(&stage).await.contains("# Deploy #2 is unknown"));

        assert_eq!(
            (stage.circleci.triggers(), stage.states().await),
            (1, vec!["queued".to_owned(), "unknown".to_owned()])
        );
        stage.finish().await;
    }

    #[tokio::test]
    async fn a_search_that_circleci_does_not_answer_ends_unknown() {
        let stage = Stage::start_with_job().await;
        stage.circleci.fault(Route::TriggerJob, Fault::DropAfter, 1);
        stage.circleci.fault(Route::ListBuilds, Fault::Html502, ALWAYS);

        insta::assert_snapshot!(card_of_main(&stage).await, @"
        # Deploy #1 is unknown
        The connection to CircleCI broke before its answer came. It could not be looked for yet: CircleCI had an error of its own (status 502). Slipway goes on looking, and this card changes when CircleCI answers again. Nothing was sent again: look at the project on CircleCI before you deploy again.
        Repository: `acme/web`
        Branch: `main`
        Environment: `production`
        State: **unknown**
        Asked by: @somebody
        Asked at: a time (a time)
        Took: a while
        [Retry](/deploys retry 1)
        ");

        assert_eq!((stage.circleci.triggers(), stage.states().await), (1, vec!["unknown".to_owned()]));
        stage.finish().await;
    }
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
