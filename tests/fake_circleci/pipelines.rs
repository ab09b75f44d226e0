//! API v2, and the console's own sandbox.

use reqwest::Method;
use serde_json::{Value, json};
use slipway::circleci::sandbox::Sandbox;
use slipway::circleci::sandbox::plan::{Config, ConfigVersion, Definition, ParameterType, Plan, Project, Provider};
use slipway::circleci::sandbox::timeline::Outcome;

use crate::circleci::{FakeCircleCi, INSTANT};
use crate::{CLASSIC, PROJECT, RUN, answer, client, get, message, on_branch, post, request};

#[tokio::test]
async fn a_pipeline_runs_with_typed_parameters_and_is_followed_to_its_end() {
    let fake = FakeCircleCi::start().await;
    let (_, project) = get(&fake, "/api/v2/project/gh%2Facme%2Fweb").await;
    assert_eq!(project["vcs_info"]["default_branch"], "main");
    let id = project["id"].as_str().unwrap();
    let (_, definitions) = get(&fake, &format!("/api/v2/projects/{id}/pipeline-definitions")).await;
    let definition = &definitions["items"][0];
    assert_eq!(definition["config_source"]["file_path"], ".circleci/config.yml");

    let parameters = json!({ "action": "deploy", "replicas": 3, "migrate": true });
    let mut body = on_branch("release/1.2", parameters.clone());
    body["definition_id"] = definition["id"].clone();
    let (status, run) = post(&fake, RUN, body).await;
    assert_eq!((status.as_u16(), &run["number"]), (201, &json!(1)));

    let id = run["id"].as_str().unwrap();
    let (_, pipeline) = get(&fake, &format!("/api/v2/pipeline/{id}")).await;
    assert_eq!(pipeline["trigger_parameters"], parameters);
    assert_eq!(pipeline["vcs"]["branch"], "release/1.2");
    assert_eq!(get(&fake, &format!("{CLASSIC}/1")).await.1, pipeline);

    let (_, workflows) = get(&fake, &format!("/api/v2/pipeline/{id}/workflow")).await;
    let workflow = &workflows["items"][0];
    assert_eq!((&workflow["name"], &workflow["status"]), (&json!("deploy"), &json!("running")));
    let path = format!("/api/v2/workflow/{}", workflow["id"].as_str().unwrap());
    let (_, jobs) = get(&fake, &format!("{path}/job")).await;
    assert_eq!((&jobs["items"][0]["name"], &jobs["items"][0]["status"]), (&json!("deploy"), &json!("queued")));
    fake.finish_pipeline("acme/web", 1, Outcome::Failed);
    assert_eq!(get(&fake, &path).await.1["status"], "failed");
    assert_eq!(get(&fake, &format!("{PROJECT}/job/1")).await.1["status"], "failed");

    let (status, rerun) = post(&fake, &format!("{path}/rerun"), json!({ "from_failed": true })).await;
    assert_eq!(status, 202);
    let again = format!("/api/v2/workflow/{}", rerun["workflow_id"].as_str().unwrap());
    assert_eq!(post(&fake, &format!("{again}/cancel"), json!({})).await.0, 202);
    assert_eq!(get(&fake, &again).await.1["status"], "canceled");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn pipeline_requests_that_break_the_rules_are_refused() {
    let text = || ParameterType::String;
    let config = Config::new(ConfigVersion::V2_1, &["build"])
        .parameter("needed", text(), None)
        .parameter("size", ParameterType::Integer, Some(1.into()))
        .workflow("build", &["build"]);
    let fake = FakeCircleCi::start().await.with_project(Project::new(Provider::GitHub, "acme", "web", config));
    let broken = [
        (json!({ "branch": "main" }), "Unexpected request body provided."),
        (json!({ "checkout": { "branch": "main", "tag": "v1" } }), "Branch and tag are mutually exclusive."),
        (on_branch("nowhere", json!({})), "Branch not found"),
        (on_branch("main", json!({ "color": "red" })), "Unexpected argument(s): color"),
        (
            on_branch("main", json!({ "size": "big" })),
            "Type error for argument size: expected type: integer, actual value: \"big\" (type string)",
        ),
        (on_branch("main", json!({ "needed": "x".repeat(513) })), "The value of needed is longer than 512 characters."),
    ];
    for (body, refusal) in broken {
        let (status, answer) = post(&fake, RUN, body).await;
        assert_eq!((status.as_u16(), message(&answer)), (400, refusal));
    }
    let unknown = json!({ "definition_id": "018f0000-0000-7000-8000-000000000000" });
    assert_eq!(post(&fake, RUN, unknown).await.0, 404);
    assert_eq!(post(&fake, "/api/v2/project/gh%2Facme%2Fweb/pipeline/run", json!({})).await.0, 404);
    assert_eq!(fake.triggers(), 0);
    let (_, run) = post(&fake, RUN, on_branch("main", json!({}))).await;
    let (_, pipeline) = get(&fake, &format!("/api/v2/pipeline/{}", run["id"].as_str().unwrap())).await;
    assert_eq!((&pipeline["state"], &pipeline["errors"][0]["type"]), (&json!("errored"), &json!("config")));
}

#[tokio::test]
async fn a_body_that_is_not_called_json_runs_the_default_branch() {
    let fake = FakeCircleCi::start().await;
    let body = on_branch("develop", json!({ "action": "deploy" })).to_string();
    let response = request(&fake, Method::POST, RUN).body(body).send().await.unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(fake.pipelines()[0].branch.as_deref(), Some("main"));
    assert!(fake.violations()[0].contains("default branch"));
}

#[tokio::test]
async fn a_skipped_commit_starts_nothing_and_is_200() {
    let fake = FakeCircleCi::start().await.with_project(Project::acme_web().branch("docs-skip-ci"));
    let (status, body) = post(&fake, RUN, on_branch("docs-skip-ci", json!({}))).await;
    assert_eq!(status, 200);
    assert!(message(&body).contains("skipped"));
    assert_eq!(fake.triggers(), 0);
}

#[tokio::test]
async fn a_server_has_only_the_classic_trigger() {
    for absent in [404, 500] {
        let fake = FakeCircleCi::start().await.on_server(absent);
        let id = fake.project("acme/web").id;
        assert_eq!(get(&fake, &format!("/api/v2/projects/{id}/pipeline-definitions")).await.0, absent);
        assert_eq!(post(&fake, RUN, on_branch("main", json!({}))).await.0, absent);
        let (status, _) = post(&fake, CLASSIC, json!({ "branch": "develop", "parameters": { "replicas": 1 } })).await;
        assert_eq!((status.as_u16(), fake.triggers()), (201, 1));
        assert_eq!(fake.pipelines()[0].branch.as_deref(), Some("develop"));
    }
}

#[tokio::test]
async fn pipelines_are_listed_in_pages_newest_first_without_parameters() {
    let fake = FakeCircleCi::start().await.with_timing(INSTANT);
    for _ in 0..22 {
        fake.pipeline_by("mona", "acme/web", "main");
    }
    post(&fake, RUN, on_branch("develop", json!({ "action": "build" }))).await;
    let (_, first) = get(&fake, &format!("{CLASSIC}?branch=main")).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 20);
    assert_eq!(first["items"][0]["number"], 22);
    assert_eq!(first["items"][0]["trigger"]["actor"]["login"], "mona");
    let token = first["next_page_token"].as_str().unwrap();
    let (_, second) = get(&fake, &format!("{CLASSIC}?branch=main&page-token={token}")).await;
    assert_eq!(second["items"].as_array().unwrap().len(), 2);
    assert_eq!(second["next_page_token"], Value::Null);
    let (_, all) = get(&fake, CLASSIC).await;
    assert_eq!(all["items"][0]["vcs"]["branch"], "develop");
    assert!(all["items"][0].get("trigger_parameters").is_none());
    assert_eq!(fake.triggers(), 1);
    let (_, branches) = get(&fake, "/api/v2/insights/gh/acme/web/branches").await;
    let known: Vec<String> = fake.project("acme/web").branches.into_keys().collect();
    assert_eq!(branches["branches"], json!(known));
}

#[tokio::test]
async fn two_definitions_are_told_apart() {
    let app = Project::new(Provider::CircleCi, "4hX", "9kQ", Config::new(ConfigVersion::V2_1, &["build"]));
    let deploy = Definition::new("deploy", ".circleci/deploy.yml", "github_app");
    let wanted = deploy.id;
    let build = Definition::new("build", ".circleci/config.yml", "github_app");
    let fake = FakeCircleCi::start().await.with_project(app.definitions(vec![build, deploy]));
    let run = json!({ "definition_id": wanted.to_string(), "checkout": { "branch": "main" } });
    assert_eq!(post(&fake, "/api/v2/project/circleci/4hX/9kQ/pipeline/run", run).await.0, 201);
    assert_eq!(fake.pipelines()[0].definition, Some(wanted));
    assert_eq!(get(&fake, "/api/v2/project/circleci/4hX/9kQ").await.1["vcs_info"]["provider"], "CircleCI");
    assert_eq!(post(&fake, "/api/v2/project/circleci/4hX/9kQ/pipeline", json!({})).await.0, 400);
}

#[tokio::test]
async fn the_consoles_sandbox_runs_by_the_clock_and_names_that_fail_fail() {
    let mut plan = Plan::sandbox();
    plan.timing = INSTANT;
    plan.projects = vec![Project::acme_web().branch("fail-fast")];
    let sandbox = Sandbox::start(plan).await.unwrap();
    for (branch, parameters, status) in [
        ("main", json!({}), "success"),
        ("fail-fast", json!({}), "failed"),
        ("main", json!({ "fail": true }), "failed"),
        ("main", json!({ "fail": false }), "success"),
    ] {
        let send = |method: Method, path: &str| {
            client().request(method, format!("{}{path}", sandbox.url())).bearer_auth(sandbox.token())
        };
        let run = send(Method::POST, RUN).json(&on_branch(branch, parameters)).send().await.unwrap();
        let (_, run) = answer(run).await;
        let path = format!("/api/v2/pipeline/{}/workflow", run["id"].as_str().unwrap());
        let (_, workflows) = answer(send(Method::GET, &path).send().await.unwrap()).await;
        assert_eq!(workflows["items"][0]["status"], status, "{branch}");
        let page = format!("{}/pipelines/github/acme/web/{}", sandbox.url(), run["number"]);
        let page = client().get(page).send().await.unwrap().text().await.unwrap();
        assert!(page.contains("sandbox") && page.contains(status), "{page}");
    }
    sandbox.stop().await;
}
