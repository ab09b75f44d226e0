//! What the sandbox plays by the name of a branch, and what waits, fails and prints there.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use slipway::circleci::sandbox::plan::{Config, ConfigVersion, Project, Provider};
use slipway::circleci::sandbox::timeline::{Outcome, Timing};
use slipway::circleci::sandbox::{Plan, Sandbox};

use crate::circleci::{FakeCircleCi, INSTANT};
use crate::{BUILDS, ON_MAIN, RUN, client, get, message, on_branch, post, request};

/// Runs a pipeline on a branch, and tells its id.
async fn run(fake: &FakeCircleCi, branch: &str) -> String {
    let (status, run) = post(fake, RUN, on_branch(branch, json!({ "action": "deploy" }))).await;
    assert_eq!(status, 201, "{run}");
    run["id"].as_str().unwrap().to_owned()
}

async fn workflow(fake: &FakeCircleCi, pipeline: &str) -> Value {
    let (_, mut workflows) = get(fake, &format!("/api/v2/pipeline/{pipeline}/workflow")).await;
    workflows["items"][0].take()
}

async fn jobs(fake: &FakeCircleCi, workflow: &Value) -> Vec<Value> {
    let (_, jobs) = get(fake, &format!("/api/v2/workflow/{}/job", workflow["id"].as_str().unwrap())).await;
    jobs["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_branch_fails_is_flaky_or_slow_by_its_name_and_need_not_be_declared() {
    let fake = FakeCircleCi::start().await.with_timing(INSTANT);
    for (branch, status) in [
        ("main", "success"),
        ("fail/anything", "failed"),
        ("fail/migration", "failed"),
        ("flaky/anything", "failed"),
        ("flaky/anything", "success"),
        ("slow/anything", "running"),
        ("hold/anything", "on_hold"),
    ] {
        let pipeline = run(&fake, branch).await;
        assert_eq!(workflow(&fake, &pipeline).await["status"], status, "{branch}");
    }
    fake.advance(Duration::from_secs(59));
    assert_eq!(fake.builds()[5].timeline.stopped_at(fake.world().now()), None);
    fake.advance(Duration::from_secs(2));
    assert!(fake.builds()[5].timeline.stopped_at(fake.world().now()).is_some());
    assert_eq!(post(&fake, RUN, on_branch("nowhere/else", json!({}))).await.0, 400);
    assert_eq!(fake.pipelines()[1].revision, fake.project("acme/web").head("fail/anything").unwrap());
}

#[tokio::test]
async fn a_flaky_workflow_succeeds_when_it_is_run_again_from_where_it_failed() {
    let fake = FakeCircleCi::start().await.with_timing(INSTANT);
    let pipeline = run(&fake, "flaky/network").await;
    let failed = workflow(&fake, &pipeline).await;
    let rerun = format!("/api/v2/workflow/{}/rerun", failed["id"].as_str().unwrap());
    let (status, refused) = post(&fake, &rerun, json!({ "is_from_failed": true })).await;
    assert_eq!((status.as_u16(), message(&refused)), (400, "Unexpected request body provided."));
    assert!(fake.violations()[0].contains("API v3"), "{:?}", fake.violations());
    let (status, new) = post(&fake, &rerun, json!({ "from_failed": true })).await;
    assert_eq!(status, 202);
    let again = workflow(&fake, &pipeline).await;
    assert_eq!((&again["id"], &again["status"]), (&new["workflow_id"], &json!("success")));
}

#[tokio::test]
async fn jobs_after_an_approval_are_blocked_until_it_is_given_once() {
    let config = Config::new(ConfigVersion::V2_1, &["build", "release"]).workflow_with_hold(
        "ship",
        &["build"],
        "looks good?",
        &["release"],
    );
    let project = Project::new(Provider::GitHub, "acme", "web", config);
    let fake = FakeCircleCi::start().await.with_project(project);
    let (_, pipeline) = post(&fake, RUN, on_branch("main", json!({}))).await;
    let pipeline = pipeline["id"].as_str().unwrap();
    let told = async || {
        let workflow = workflow(&fake, pipeline).await;
        let jobs = jobs(&fake, &workflow).await;
        let jobs =
            jobs.iter().map(|job| format!("{} {}", job["name"].as_str().unwrap(), job["status"].as_str().unwrap()));
        format!("{}: {}", workflow["status"].as_str().unwrap(), jobs.collect::<Vec<_>>().join(", "))
    };
    assert_eq!(told().await, "running: build queued, release blocked, looks good? blocked");
    let ship = workflow(&fake, pipeline).await;
    let approval = jobs(&fake, &ship).await[2]["approval_request_id"].as_str().unwrap().to_owned();
    let approve = format!("/api/v2/workflow/{}/approve/{approval}", ship["id"].as_str().unwrap());
    assert_eq!(post(&fake, &approve, json!({})).await.0, 400, "nothing waits yet");
    fake.finish("acme/web", 1, Outcome::Success);
    assert_eq!(told().await, "on_hold: build success, release blocked, looks good? on_hold");
    let unknown = format!("/api/v2/workflow/{}/approve/{}", ship["id"].as_str().unwrap(), uuid::Uuid::nil());
    assert_eq!(post(&fake, &unknown, json!({})).await.0, 404);
    assert_eq!(post(&fake, &approve, json!({})).await.0, 202);
    assert_eq!(post(&fake, &approve, json!({})).await.0, 400);
    assert_eq!(told().await, "running: build success, release queued, looks good? success");
    fake.finish("acme/web", 2, Outcome::Success);
    assert_eq!(workflow(&fake, pipeline).await["status"], "success");

    let (_, second) = post(&fake, RUN, on_branch("main", json!({}))).await;
    let held = workflow(&fake, second["id"].as_str().unwrap()).await;
    let cancel = format!("/api/v2/workflow/{}/cancel", held["id"].as_str().unwrap());
    assert_eq!(post(&fake, &cancel, json!({})).await.0, 202);
    let held = workflow(&fake, second["id"].as_str().unwrap()).await;
    assert_eq!(held["status"], "canceled");
    assert_eq!(jobs(&fake, &held).await[1]["status"], "not_run");
}

#[tokio::test]
async fn a_failed_steps_output_is_behind_an_address_that_needs_no_token_and_ends() {
    let fake = FakeCircleCi::start().await;
    post(&fake, ON_MAIN, json!({ "build_parameters": { "CIRCLE_JOB": "deploy" } })).await;
    fake.finish("acme/web", 1, Outcome::Failed);
    let (_, build) = get(&fake, &format!("{BUILDS}/1")).await;
    let action = &build["steps"][1]["actions"][0];
    assert_eq!((&action["name"], &action["has_output"]), (&json!("Deploy"), &json!(true)));
    let address = action["output_url"].as_str().unwrap();
    let parts: Value = client().get(address).send().await.unwrap().json().await.unwrap();
    assert!(parts[0]["message"].as_str().unwrap().contains("answered 503"), "{parts}");

    let with_token = client().get(address).bearer_auth(fake.token()).send().await.unwrap();
    assert_eq!(with_token.status(), 400);
    assert!(fake.violations()[0].contains("token sent to the address of an output"));
    let forged = client().get(address.replace("Signature=", "Signature=0")).send().await.unwrap();
    assert_eq!(forged.status(), 403);
    fake.advance(Duration::from_secs(301));
    assert_eq!(client().get(address).send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn v3_tells_steps_and_their_output_on_the_cloud() {
    let fake = FakeCircleCi::start().await;
    post(&fake, ON_MAIN, json!({ "build_parameters": { "CIRCLE_JOB": "deploy" } })).await;
    fake.fail_with_output("acme/web", 1, "Push", "one\ntwo\n");
    let job = format!("/api/v3/jobs/{}", fake.builds()[0].job_id);
    let (_, told) = get(&fake, &job).await;
    let step = &told["data"]["attributes"]["parallel_executions"][0]["steps"][1];
    assert_eq!((&step["name"], &step["exit_code"], &step["stdout_bytes"]), (&json!("Push"), &json!(1), &json!(8)));
    let stdout = async |query: &str, range: &str| {
        let request = request(&fake, Method::GET, &format!("{job}/stdout{query}")).header("Range", range);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let own = "?filter%5Bexecution%5D=0&filter%5Bstep_num%5D=101";
    assert_eq!(stdout(own, "").await, (200, "one\ntwo\n".to_owned()));
    assert_eq!(stdout(own, "bytes=4-").await, (206, "two\n".to_owned()));
    assert_eq!(stdout(own, "bytes=8-").await.0, 416);
    assert_eq!(stdout("?filter%5Bexecution%5D=0&filter%5Bstep_num%5D=0", "").await.0, 204);
    assert_eq!(stdout("", "").await.0, 400);
    let fake = fake.on_server(404);
    assert_eq!(get(&fake, &job).await.0, 404);
}

#[tokio::test]
async fn an_errored_pipeline_and_odd_words_are_shown_as_told() {
    let fake = FakeCircleCi::start().await;
    let pipeline = run(&fake, "main").await;
    fake.workflows_say("acme/web", 1, "unauthorized");
    assert_eq!(workflow(&fake, &pipeline).await["status"], "unauthorized");
    fake.error_pipeline("acme/web", 1, "config is broken");
    let (_, errored) = get(&fake, &format!("/api/v2/pipeline/{pipeline}")).await;
    assert_eq!((&errored["state"], &errored["errors"][0]["message"]), (&json!("errored"), &json!("config is broken")));
    let (_, workflows) = get(&fake, &format!("/api/v2/pipeline/{pipeline}/workflow")).await;
    assert_eq!(workflows["items"], json!([]));
}

#[tokio::test]
async fn a_whole_build_takes_no_build_parameters() {
    let fake = FakeCircleCi::start().await;
    let body = json!({ "branch": "main", "build_parameters": { "A": "1" } });
    assert_eq!(post(&fake, &format!("{BUILDS}/build"), body).await.0, 400);
    assert_eq!(fake.triggers(), 0);
    assert!(fake.violations()[0].contains("build parameters"));
}

#[tokio::test]
async fn the_consoles_sandbox_has_an_example_of_each() {
    let plan = Plan::sandbox();
    assert_eq!(plan.timing.running, Duration::from_secs(4));
    let branches: Vec<&String> = plan.projects[0].branches.keys().collect();
    for example in ["fail/migration", "flaky/network", "hold/review", "main", "slow/build"] {
        assert!(branches.iter().any(|branch| *branch == example), "{branches:?}");
    }
    let sandbox =
        Sandbox::start(Plan { timing: Timing { pending: Duration::ZERO, ..plan.timing }, ..plan }).await.unwrap();
    let body = on_branch("hold/mine", json!({ "action": "deploy" }));
    let send = client().post(format!("{}{RUN}", sandbox.url())).bearer_auth(sandbox.token()).json(&body).send();
    assert_eq!(send.await.unwrap().status(), 201);
    sandbox.stop().await;
}
