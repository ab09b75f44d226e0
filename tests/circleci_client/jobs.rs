//! Jobs of API v1.1.

use serde_json::json;
use slipway::circleci::sandbox::auth::AuthKind;
use slipway::circleci::sandbox::plan::{Config, ConfigVersion, Project as Planned, Provider};
use slipway::circleci::sandbox::timeline::Outcome;
use slipway::circleci::{RunId, Status, TriggerError};
use slipway::time::Clock;

use crate::circleci::{FakeCircleCi, Fault, Route};
use crate::{OrderExt, Scripted, access, client, day, hasty, job, project, refused, told, unread, with};

#[tokio::test]
async fn a_job_runs_with_the_deploys_parameters_and_is_read_to_its_end() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let head = fake.project("acme/web").branches["main"].clone();
    let order = job("main").parameters("TAG=v1 COUNT=3 DRY=true").revision(&head);
    let run = circleci.trigger(&order).await.unwrap();
    assert_eq!(
        (run.id.clone(), run.status, run.status_word.as_str()),
        (RunId::Build(1), Status::Queued, "not_running")
    );
    assert_eq!(run.url.unwrap(), format!("{}/gh/acme/web/1", fake.url()));
    assert_eq!(run.revision.unwrap().as_str(), head);

    let seen = &fake.requests()[0];
    assert_eq!(seen.auth, Some(AuthKind::Basic));
    assert_eq!(
        seen.json,
        Some(json!({
            "revision": head,
            "build_parameters": {
                "CIRCLE_JOB": "deploy_docker", "TAG": "v1", "COUNT": "3", "DRY": "true",
                "SLIPWAY_DEPLOY_ID": order.deploy.to_string(), "SLIPWAY_ENVIRONMENT": "production",
                "SLIPWAY_ACTOR": "alice (1)",
            },
        }))
    );
    fake.begin("acme/web", 1);
    assert_eq!(circleci.read(&project(), &run.id).await.unwrap().status, Status::Running);
    fake.finish("acme/web", 1, Outcome::Success);
    assert_eq!(circleci.read(&project(), &run.id).await.unwrap().status, Status::Succeeded);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_branch_is_one_encoded_segment() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    for (branch, segment) in [
        ("feature/x", "feature%2Fx"),
        ("ümlaut", "%C3%BCmlaut"),
        ("a#b%c", "a%23b%25c"),
        ("a+b&c=d", "a%2Bb%26c%3Dd"),
        ("100%2Fx", "100%252Fx"),
    ] {
        fake.change_project("acme/web", |project| *project = project.clone().branch(branch));
        circleci.trigger(&job(branch)).await.unwrap();
        let raw = fake.requests().last().unwrap().raw.clone();
        assert_eq!(raw, format!("/api/v1.1/project/github/acme/web/tree/{segment}"));
        assert_eq!(fake.builds().last().unwrap().branch.as_deref(), Some(branch));
    }
    // A `?` is no part of any branch name, by git's own rules.
    assert!("a#b?c%".parse::<slipway::repo::Branch>().is_err());
}

#[tokio::test]
async fn the_projects_own_token_is_preferred_and_named_when_it_is_refused() {
    let fake = FakeCircleCi::start().await;
    fake.change_project("acme/web", |project| *project = project.clone().token("project-token"));
    let mut access = access(fake.url(), fake.token());
    access.project_token = Some("shared-token".to_owned().into());
    access.project_tokens.insert("ACME_WEB".to_owned(), "project-token".to_owned().into());
    with(access.clone(), hasty()).trigger(&job("main")).await.unwrap();
    assert_eq!(fake.requests()[0].token.as_deref(), Some("project-token"));

    access.project_tokens.clear();
    let error = with(access, hasty()).trigger(&job("main")).await.unwrap_err();
    insta::assert_snapshot!(told(&error), @r#"
    Unauthorized 401: CircleCI does not accept the token in CIRCLE_API_PROJECT_TOKEN: it is wrong, revoked or expired. Project tokens are made on CircleCI under Project Settings, API Permissions. The bot's operator makes a new one there, sets CIRCLE_API_PROJECT_TOKEN and restarts the bot.
    CircleCI: You must log in first.
    "#);
    let error = with(crate::access(fake.url(), "wrong"), hasty()).trigger(&job("main")).await.unwrap_err();
    insta::assert_snapshot!(told(&error), @r#"
    Unauthorized 401: CircleCI does not accept the token in CIRCLE_API_USER_TOKEN: it is wrong, revoked or expired. Personal tokens live at most a year and are made on CircleCI under User Settings, Personal API Tokens. The bot's operator makes a new one there, sets CIRCLE_API_USER_TOKEN and restarts the bot.
    CircleCI: You must log in first.
    "#);
    assert_eq!(fake.triggers(), 1);
}

#[tokio::test]
async fn each_refusal_says_what_to_do() {
    let fake = FakeCircleCi::start().await;
    let new = Planned::new(Provider::GitHub, "acme", "new", Config::new(ConfigVersion::V2_1, &["deploy_docker"]));
    let old = Planned::new(Provider::GitHub, "acme", "old", Config::new(ConfigVersion::V2_0, &["build"]));
    let fake = fake.with_project(new).with_project(old);
    let circleci = client(&fake);
    let refusal = async |repo: &str, branch: &str| {
        let mut order = job(branch);
        order.project.repo = repo.parse().unwrap();
        told(&circleci.trigger(&order).await.unwrap_err())
    };
    insta::assert_snapshot!(refusal("acme/new", "main").await, @r#"
    Configuration 400: CircleCI's job trigger (API v1.1) can't use the configuration of acme/new on this branch: it starts jobs only from configurations below 2.1. If `.circleci/config.yml` says `version: 2.1`, use a `pipeline` environment (docs/circleci.md shows how); else correct what CircleCI says of it.
    CircleCI: Your config file has errors and may not run correctly: 2 schema violations found; required key [jobs] not found; extraneous key [parameters] is not permitted
    "#);
    insta::assert_snapshot!(refusal("acme/old", "main").await, @r#"
    JobNotFound 400: The configuration of acme/old on this branch has no such job. Check the environment's job against `.circleci/config.yml` there.
    CircleCI: Cannot find a job named `deploy_docker` to run in the `jobs:` section of your configuration file.
    "#);
    insta::assert_snapshot!(refusal("acme/web", "nowhere").await, @r#"
    BranchNotFound 400: CircleCI finds no such branch in acme/web. Check how it is written, and that it has been pushed.
    CircleCI: Branch not found
    "#);
    insta::assert_snapshot!(refusal("acme/gone", "main").await, @r#"
    NotFound 404: CircleCI shows no project acme/gone (github) to the token in CIRCLE_API_USER_TOKEN: it isn't there, or the token can't see it. Check how the name is written, that the project is set up on CircleCI, and that the token's owner can open it there.
    CircleCI: Project not found
    "#);
    fake.fault(Route::TriggerJob, Fault::Status(403, json!({"message": "Permission denied"})), 1);
    insta::assert_snapshot!(refusal("acme/web", "main").await, @r#"
    Forbidden 403: CircleCI does not let the token in CIRCLE_API_USER_TOKEN do this in acme/web. Its owner needs write access to the repository; a project token needs more than a read-only scope.
    CircleCI: Permission denied
    "#);
    fake.fault(Route::TriggerJob, Fault::Status(418, json!({"message": "I'm a <b>teapot</b>"})), 1);
    insta::assert_snapshot!(refusal("acme/web", "main").await, @r#"
    Other 418: CircleCI refused the request for acme/web (status 418). What it says may tell what to change; its status page is https://status.circleci.com.
    CircleCI: I'm a teapot
    "#);
    assert_eq!(fake.triggers(), 0);
}

#[tokio::test]
async fn a_well_answered_message_without_a_build_is_a_refusal() {
    let body = r#"{"message":"Your config file has errors and may not run correctly:<br/><pre>21 schema violations found<br/></pre>"}"#;
    let server = Scripted::answers(200, &[("content-type", "application/json")], body).await;
    insta::assert_snapshot!(told(&server.client().trigger(&job("main")).await.unwrap_err()), @r#"
    Configuration 200: CircleCI's job trigger (API v1.1) can't use the configuration of acme/web on this branch: it starts jobs only from configurations below 2.1. If `.circleci/config.yml` says `version: 2.1`, use a `pipeline` environment (docs/circleci.md shows how); else correct what CircleCI says of it.
    CircleCI: Your config file has errors and may not run correctly: 21 schema violations found
    "#);
}

#[tokio::test]
async fn what_cannot_be_understood_may_have_been_taken() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    for fault in [
        Fault::Garbage,
        Fault::OddJson(json!([])),
        Fault::OddJson(json!({"build_num": "4"})),
        Fault::OddJson(json!({"build_num": -4})),
        Fault::OddJson(json!({"status": 200, "body": "Build created"})),
    ] {
        fake.fault(Route::TriggerJob, fault, 1);
        assert!(matches!(circleci.trigger(&job("main")).await, Err(TriggerError::Lost { .. })));
    }
    let edn = Scripted::answers(200, &[], "{:build_num 4, :status \"not_running\"}").await;
    insta::assert_snapshot!(told(&edn.client().trigger(&job("main")).await.unwrap_err()), @"lost: CircleCI's answer can't be understood. If CIRCLECI_URL is set, check that it leads to CircleCI and not to a login page.");
}

#[tokio::test]
async fn only_http_links_are_passed_on() {
    let fake = FakeCircleCi::start().await;
    for (link, shown) in [
        (json!("https://ci.example.com/gh/acme/web/4"), Some("https://ci.example.com/gh/acme/web/4".to_owned())),
        (json!("javascript:alert(1)"), None),
        (json!(format!("https://circleci.com/4?circle-token={}", fake.token())), None),
        (json!(null), None),
    ] {
        fake.fault(Route::TriggerJob, Fault::OddJson(json!({"build_num": 4, "build_url": link})), 1);
        assert_eq!(client(&fake).trigger(&job("main")).await.unwrap().url, shown);
    }
}

#[tokio::test]
async fn the_end_of_v1_triggers_is_remembered() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let sunset = circleci.sunset();
    assert_eq!(*sunset.borrow(), None);
    circleci.trigger(&job("main")).await.unwrap();
    assert_eq!(*sunset.borrow(), Some(day("2027-02-01")));

    fake.retire_v1_triggers();
    let error = circleci.trigger(&job("main")).await.unwrap_err();
    insta::assert_snapshot!(told(&error), @"
    Retired 410: CircleCI takes no more triggers of its API v1.1, which end for everybody on 1 February 2027. Use a `pipeline` environment instead: docs/circleci.md shows how to move one over.
    CircleCI: This endpoint was removed on 1 February 2027. Use API v2 or v3 to trigger pipelines.
    ");
    let now = Clock::system().now();
    let end = sunset.borrow().unwrap();
    assert!(end <= now && end <= day("2027-02-01"));
    circleci.trigger(&job("main")).await.unwrap_err();
    assert_eq!(*sunset.borrow(), Some(end), "the day on which the end was seen stays");
}

#[tokio::test]
async fn a_deprecation_without_a_day_means_the_published_one() {
    for (headers, end) in [
        (vec![("deprecation", "true")], Some(day("2027-02-01"))),
        (vec![("deprecation", "true"), ("sunset", "Fri, 01 Jan 2027 00:00:00 GMT")], Some(day("2027-01-01"))),
        (vec![("sunset", "soon")], None),
        (vec![], None),
    ] {
        let server = Scripted::answers(200, &headers, r#"{"build_num": 1}"#).await;
        let circleci = server.client();
        circleci.trigger(&job("main")).await.unwrap();
        assert_eq!(*circleci.sunset().borrow(), end);
    }
}

#[tokio::test]
async fn a_build_that_is_gone_is_told_from_a_project_that_is() {
    let fake = FakeCircleCi::start().await;
    let error = client(&fake).read(&project(), &RunId::Build(99)).await.unwrap_err();
    insta::assert_snapshot!(unread(&error), @r#"
    RunNotFound 404: CircleCI no longer shows this build of acme/web to the token in CIRCLE_API_USER_TOKEN: it was deleted, or the token can't see the project any more. Look for it on CircleCI.
    CircleCI: Build not found
    "#);
}

#[tokio::test]
async fn a_redirection_is_not_followed() {
    let server = Scripted::answers(302, &[("location", "https://elsewhere.example.com/")], "").await;
    let TriggerError::Refused(refusal) = server.client().trigger(&job("main")).await.unwrap_err() else {
        panic!("a redirection starts nothing");
    };
    insta::assert_snapshot!(refused(&refusal), @"Redirected 302: CircleCI's address has moved: it answered with a redirection, which is not followed. The bot's operator sets CIRCLECI_URL to the address that it leads to.");
}
