//! What failed, as a card tells it: the job, the step and the end of its output, and how the output is come by.

use serde_json::json;
use slipway::circleci::sandbox::plan::{Config, ConfigVersion, Project as Planned, Provider};
use slipway::circleci::sandbox::timeline::Outcome;
use slipway::circleci::{Failure, Project};

use crate::circleci::{FakeCircleCi, Fault, Route};
use crate::{access, client, hasty, job, logs, pipeline, project, with};

const PRINTED: &str = "\u{1b}[1m$ ./deploy.sh\u{1b}[0m\r\nupload 10%\rupload 100%\r\nDEPLOY_KEY=hunter2hunter2\r\n\u{1b}[31mweb-2 is not healthy\u{1b}[0m\r\n";

const SHOWN: &str = "$ ./deploy.sh\nupload 100%\nDEPLOY_KEY=[masked]\nweb-2 is not healthy";

fn told(failure: &Failure) -> (&str, Option<&str>, Option<&str>) {
    (&failure.job, failure.step.as_deref(), failure.output.as_deref())
}

/// A GitHub App's project, which v1.1 doesn't know.
async fn opaque() -> (FakeCircleCi, Project) {
    let config = Config::new(ConfigVersion::V2_1, &["deploy"]).workflow("ship", &["deploy"]);
    let planned = Planned::new(Provider::CircleCi, "43G3km5", "44n9puj", config);
    let fake = FakeCircleCi::start().await.with_project(planned);
    (fake, Project { slug: Some("circleci/43G3km5/44n9puj".to_owned()), ..project() })
}

#[tokio::test]
async fn a_builds_failure_is_told_with_the_end_of_its_output() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&job("main")).await.unwrap();
    fake.fail_with_output("acme/web", 1, "Push the image", PRINTED);
    let failure = circleci.failure(&project(), &run.id).await.unwrap().unwrap();
    assert_eq!(told(&failure), ("deploy_docker", Some("Push the image"), Some(SHOWN)));
    assert_eq!(failure.url.unwrap(), format!("{}/gh/acme/web/1", fake.url()));
    let seen = &fake.requests_to(Route::Output)[0];
    assert_eq!((&seen.token, seen.answered), (&None, Some(206)));
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pipelines_failure_is_that_of_its_newest_failed_workflows_first_failed_job() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    assert_eq!(circleci.failure(&project(), &run.id).await.unwrap(), None, "nothing has failed");
    fake.finish("acme/web", fake.job("acme/web", 1, "build").num, Outcome::Success);
    let test = fake.job("acme/web", 1, "test").num;
    fake.fail_with_output("acme/web", test, "Run tests", PRINTED);
    let failure = circleci.failure(&project(), &run.id).await.unwrap().unwrap();
    assert_eq!(told(&failure), ("test", Some("Run tests"), Some(SHOWN)));
    let page = format!("{}/pipelines/github/acme/web/1/workflows/", fake.url());
    let url = failure.url.unwrap();
    assert!(url.starts_with(&page) && url.ends_with(&format!("/jobs/{test}")), "{url}");
    assert_eq!(fake.requests_to(Route::V3Job).len(), 0);
}

#[tokio::test]
async fn a_project_without_a_v1_name_is_asked_about_through_v3() {
    let (fake, project) = opaque().await;
    let circleci = client(&fake);
    let mut order = pipeline("main");
    order.project = project.clone();
    let run = circleci.trigger(&order).await.unwrap();
    fake.fail_pipeline_with_output("43G3km5/44n9puj", 1, "Deploy", PRINTED);
    let failure = circleci.failure(&project, &run.id).await.unwrap().unwrap();
    assert_eq!(told(&failure), ("deploy", Some("Deploy"), Some(SHOWN)));
    let asked = &fake.requests_to(Route::V3Output)[0];
    assert!(asked.raw.ends_with("/stdout?filter%5Bexecution%5D=0&filter%5Bstep_num%5D=101"), "{}", asked.raw);

    let long = format!("{}the end\n", "x y\n".repeat(60_000));
    circleci.trigger(&order).await.unwrap();
    fake.fail_pipeline_with_output("43G3km5/44n9puj", 2, "Deploy", &long);
    let id = circleci.trigger(&order).await.unwrap();
    fake.fail_pipeline_with_output("43G3km5/44n9puj", 3, "Deploy", &long);
    let failure = circleci.failure(&project, &id.id).await.unwrap().unwrap();
    assert!(failure.output.unwrap().ends_with("x y\nthe end"));
    assert_eq!(fake.requests_to(Route::V3Output).last().unwrap().answered, Some(206), "only the end is asked for");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn without_v3_the_failure_is_told_without_output_and_v3_is_left_alone_for_a_while() {
    for absent in [404, 500] {
        let (fake, project) = opaque().await;
        let circleci = client(&fake);
        let mut order = pipeline("main");
        order.project = project.clone();
        let run = circleci.trigger(&order).await.unwrap();
        fake.fail_pipeline_with_output("43G3km5/44n9puj", 1, "Deploy", PRINTED);
        let fake = fake.on_server(absent);
        for _ in 0..2 {
            let failure = circleci.failure(&project, &run.id).await.unwrap().unwrap();
            assert_eq!(told(&failure), ("deploy", None, None));
        }
        assert_eq!(fake.requests_to(Route::V3Job).len(), 1);
    }
}

#[tokio::test]
async fn a_failure_is_told_even_when_its_steps_or_its_output_cannot_be_had() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    fake.fail_pipeline_with_output("acme/web", 1, "Run tests", PRINTED);
    for fault in [Fault::Status(403, json!("expired")), Fault::DropBefore, Fault::Garbage, Fault::OddJson(json!({}))] {
        fake.fault(Route::Output, fault, 1);
        let failure = circleci.failure(&project(), &run.id).await.unwrap().unwrap();
        assert_eq!((failure.step.as_deref(), failure.output), (Some("Run tests"), None));
    }
    fake.fault(Route::ReadBuild, Fault::Status(403, json!({"message": "Permission denied"})), 1);
    let failure = circleci.failure(&project(), &run.id).await.unwrap().unwrap();
    assert_eq!((failure.step, failure.output), (None, None));
    fake.fault(Route::WorkflowJobs, Fault::Html502, 3);
    circleci.failure(&project(), &run.id).await.unwrap_err();
    // CircleCI doesn't tell which job an unauthorized workflow ended for.
    fake.workflows_say("acme/web", 1, "success");
    assert_eq!(circleci.failure(&project(), &run.id).await.unwrap(), None);
}

#[tokio::test]
async fn only_https_and_ones_own_host_are_asked_for_an_output() {
    let fake = FakeCircleCi::start().await;
    let elsewhere = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&job("main")).await.unwrap();
    let build = |address: String| {
        json!({"build_num": 1, "job_name": "deploy", "lifecycle": "finished", "outcome": "failed",
            "steps": [{"name": "Deploy", "actions": [{"name": "Deploy", "status": "failed", "output_url": address}]}]})
    };
    for address in [format!("{}/storage/output/x/1", elsewhere.url()), "file:///etc/passwd".to_owned(), "x".to_owned()]
    {
        fake.fault(Route::ReadBuild, Fault::OddJson(build(address)), 1);
        let failure = circleci.failure(&project(), &run.id).await.unwrap().unwrap();
        assert_eq!(told(&failure), ("deploy", Some("Deploy"), None));
    }
    assert_eq!(elsewhere.requests().len(), 0);
    // A redirection is not followed.
    let moved = crate::Scripted::answers(302, &[("location", "http://127.0.0.1:1/")], "").await;
    assert!(moved.client().failure(&project(), &run.id).await.is_err());
}

#[tokio::test]
async fn neither_token_nor_presigned_address_is_shown_or_logged() {
    let mut fake = FakeCircleCi::start().await;
    fake.replace_token("user-5d1c0ffee");
    let circleci = with(access(fake.url(), fake.token()), hasty());
    let run = circleci.trigger(&job("main")).await.unwrap();
    fake.fail_with_output("acme/web", 1, "Deploy", "curl said user-5d1c0ffee and went\n");
    let failure = circleci.failure(&project(), &run.id).await.unwrap().unwrap();
    assert_eq!(failure.output.as_deref(), Some("curl said [token] and went"));
    let asked = fake.requests_to(Route::Output).remove(0);
    let signature = asked.query.iter().find(|(name, _)| name == "X-Amz-Signature").unwrap().1.clone();
    let logged = logs().text();
    assert!(!format!("{failure:?}").contains(&signature));
    let ours = logged.lines().find(|line| line.contains(&signature));
    assert_eq!(ours, None);
}
