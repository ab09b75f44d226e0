//! API v1.1 and its tokens.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway::circleci::sandbox::auth::AuthKind;
use slipway::circleci::sandbox::plan::{Config, ConfigVersion, Project, Provider};
use slipway::circleci::sandbox::timeline::Outcome;

use crate::circleci::FakeCircleCi;
use crate::{BUILDS, ON_MAIN, PROJECT, answer, client, get, message, post};

#[tokio::test]
async fn the_seeds_curl_runs_one_job_and_links_to_its_build() {
    let fake = FakeCircleCi::start().await;
    let response = client()
        .post(format!("{}{}", fake.url(), ON_MAIN))
        .basic_auth(fake.token(), Some(""))
        .header("Accept", "application/json")
        .form(&[("build_parameters[CIRCLE_JOB]", "deploy_docker"), ("build_parameters[ROUND]", "a b&c")])
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["deprecation"], "true");
    assert_eq!(response.headers()["sunset"], "Mon, 01 Feb 2027 00:00:00 GMT");
    let (status, build) = answer(response).await;
    assert_eq!(status, 200);
    assert_eq!(build["build_num"], 1);
    assert_eq!(build["status"], "not_running");
    assert_eq!(build["job_name"], "deploy_docker");
    assert_eq!(build["vcs_revision"], fake.project("acme/web").branches["main"]);
    assert!(build.get("build_parameters").is_none());

    let (_, full) = get(&fake, &format!("{BUILDS}/1")).await;
    assert_eq!(full["status"], "queued");
    assert_eq!(full["build_parameters"], json!({ "CIRCLE_JOB": "deploy_docker", "ROUND": "a b&c" }));

    let url = build["build_url"].as_str().unwrap();
    assert_eq!(url, format!("{}/gh/acme/web/1", fake.url()));
    let page = client().get(url).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("sandbox") && page.contains("queued"), "{page}");
    assert_eq!(fake.requests()[0].auth, Some(AuthKind::Basic));
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_job_is_followed_from_the_queue_to_its_end() {
    let fake = FakeCircleCi::start().await;
    let job = json!({ "build_parameters": { "CIRCLE_JOB": "deploy" } });
    for _ in 0..3 {
        assert_eq!(post(&fake, ON_MAIN, job.clone()).await.0, 200);
    }
    fake.begin("acme/web", 1);
    assert_eq!(get(&fake, &format!("{BUILDS}/1")).await.1["status"], "running");
    fake.finish("acme/web", 1, Outcome::Failed);
    fake.finish("acme/web", 2, Outcome::Success);
    let (_, failed) = get(&fake, &format!("{BUILDS}/1")).await;
    assert_eq!((&failed["status"], &failed["lifecycle"]), (&json!("failed"), &json!("finished")));
    assert_eq!((&failed["outcome"], &failed["failed"]), (&json!("failed"), &json!(true)));
    assert_eq!(failed["steps"][1]["actions"][0]["exit_code"], 1);

    let (_, canceled) = post(&fake, &format!("{BUILDS}/3/cancel"), json!({})).await;
    assert_eq!((&canceled["outcome"], &canceled["start_time"]), (&json!("canceled"), &Value::Null));
    let (_, again) = post(&fake, &format!("{BUILDS}/1/retry"), json!({})).await;
    assert_eq!((&again["build_num"], &again["retry_of"], &again["why"]), (&json!(4), &json!(1), &json!("retry")));

    let (_, list) = get(&fake, &format!("{BUILDS}/tree/main?limit=2&offset=1&filter=completed")).await;
    let nums: Vec<&Value> = list.as_array().unwrap().iter().map(|build| &build["build_num"]).collect();
    assert_eq!(nums, [2, 1]);
    assert!(list[0].get("build_parameters").is_none());
    assert_eq!(fake.triggers(), 4);
}

#[tokio::test]
async fn v1_jobs_are_refused_in_circlecis_words() {
    let old = Project::new(Provider::Bitbucket, "acme", "old", Config::new(ConfigVersion::V2_0, &["build"]));
    let new = Project::new(Provider::GitHub, "acme", "new", Config::new(ConfigVersion::V2_1, &["build"]));
    let fake = FakeCircleCi::start().await.with_project(old).with_project(new);
    let old = "/api/v1.1/project/bitbucket/acme/old/tree/main";
    let (status, body) = post(&fake, old, json!({ "build_parameters": { "CIRCLE_JOB": "deploy" } })).await;
    assert_eq!(status, 400);
    let no_job = "Cannot find a job named `deploy` to run in the `jobs:` section of your configuration file.";
    assert_eq!(message(&body), no_job);
    let (status, body) = post(&fake, "/api/v1.1/project/github/acme/new/tree/main", json!({})).await;
    assert_eq!(status, 400);
    assert!(message(&body).starts_with("Your config file has errors and may not run correctly:<br/><pre>"));
    assert_eq!(post(&fake, &format!("{BUILDS}/tree/nowhere"), json!({})).await.0, 400);
    assert_eq!(post(&fake, "/api/v1.1/project/gh/acme/web/tree/main", json!({})).await.0, 404);
    assert_eq!(post(&fake, ON_MAIN, json!({ "build_parameters": { "1X": "y" } })).await.0, 400);
    assert_eq!(fake.triggers(), 0);

    // An escaped branch is one segment; a revision may be abbreviated, or be any full hash.
    let branch = "/api/v1.1/project/github/acme/web/tree/feature%2Flogin";
    let head = fake.project("acme/web").branches["feature/login"].clone();
    let (_, build) = post(&fake, branch, json!({ "revision": head[..10] })).await;
    assert_eq!((&build["branch"], &build["vcs_revision"]), (&json!("feature/login"), &json!(head)));
    let other = "0123456789abcdef0123456789abcdef01234567";
    assert_eq!(post(&fake, branch, json!({ "revision": other })).await.1["vcs_revision"], other);
    assert_eq!(post(&fake, branch, json!({ "revision": "zzzz" })).await.0, 400);
}

#[tokio::test]
async fn retired_triggers_answer_410_and_reads_stay() {
    let fake = FakeCircleCi::start().await;
    post(&fake, ON_MAIN, json!({})).await;
    fake.retire_v1_triggers();
    for path in [ON_MAIN, BUILDS, &format!("{BUILDS}/build"), &format!("{BUILDS}/1/retry")] {
        assert_eq!(post(&fake, path, json!({})).await.0, 410, "{path}");
    }
    assert_eq!(get(&fake, &format!("{BUILDS}/1")).await.0, 200);
    assert_eq!(post(&fake, &format!("{BUILDS}/1/cancel"), json!({})).await.0, 200);
    assert_eq!(fake.triggers(), 1);
}

#[tokio::test]
async fn without_accept_v1_answers_edn_and_the_fake_complains() {
    let fake = FakeCircleCi::start().await;
    let url = format!("{}/api/v1.1/me", fake.url());
    let response = client().get(&url).header("Circle-Token", fake.token()).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/edn");
    assert!(response.text().await.unwrap().contains(":login \"slipway-sandbox\""));
    assert_eq!(fake.violations().len(), 1);
    let query = format!("/api/v1.1/me?circle-token={}", fake.token());
    assert_eq!(client().get(format!("{}{query}", fake.url())).send().await.unwrap().status(), 401);
    assert!(fake.violations().iter().any(|violation| violation.contains("query string")));
}

#[tokio::test]
async fn each_kind_of_token_opens_its_own_doors() {
    let web = Project::acme_web().token("web-only");
    let api = Project::new(Provider::GitHub, "acme", "api", Config::new(ConfigVersion::V2_0, &["build"]));
    let fake = FakeCircleCi::start().await.with_project(web).with_project(api);
    let with = |method: Method, token: &str, path: &str| {
        let request = client().request(method, format!("{}{path}", fake.url()));
        request.bearer_auth(token).header("Accept", "application/json").send()
    };
    let nobody = answer(with(Method::GET, "wrong", BUILDS).await.unwrap()).await;
    assert_eq!(nobody, (StatusCode::UNAUTHORIZED, json!({ "message": "You must log in first." })));
    assert_eq!(with(Method::POST, "web-only", ON_MAIN).await.unwrap().status(), 200);
    assert_eq!(with(Method::GET, "web-only", "/api/v1.1/project/github/acme/api").await.unwrap().status(), 404);
    let build = answer(with(Method::POST, "web-only", &format!("{BUILDS}/build")).await.unwrap()).await;
    assert_eq!(build, (StatusCode::FORBIDDEN, json!({ "message": "Permission denied" })));
    let v2 = answer(with(Method::GET, "web-only", PROJECT).await.unwrap()).await;
    assert_eq!(v2, (StatusCode::NOT_FOUND, json!({ "message": "Project not found" })));
    assert_eq!(get(&fake, "/api/v2/nonsense").await, (StatusCode::NOT_FOUND, json!({ "message": "Not found." })));
    assert_eq!(get(&fake, &format!("{BUILDS}/build")).await.0, 404);
}

#[tokio::test]
async fn the_build_trigger_tells_no_number_and_the_build_is_found_afterwards() {
    let fake = FakeCircleCi::start().await;
    let (status, body) = post(&fake, &format!("{BUILDS}/build"), json!({ "branch": "develop" })).await;
    assert_eq!((status.as_u16(), body), (200, json!({ "status": 200, "body": "Build created" })));
    let (_, list) = get(&fake, &format!("{BUILDS}/tree/develop")).await;
    assert_eq!(list[0]["workflows"]["workflow_name"], "build");
    assert_eq!(list[0]["build_num"], 2);
    let fake = fake.on_server(404);
    assert_eq!(post(&fake, &format!("{BUILDS}/build"), json!({})).await.0, 404);
}

#[tokio::test]
async fn time_moves_a_job_on_by_itself() {
    let fake = FakeCircleCi::start().await;
    post(&fake, ON_MAIN, json!({})).await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(get(&fake, &format!("{BUILDS}/1")).await.1["lifecycle"].clone());
        fake.advance(Duration::from_secs(3601));
    }
    assert_eq!(seen, ["queued", "running", "finished"]);
}
