//! What people ask of a run: to stop, to go on, to run again. Each is sent once, and each answer told for what it is.

use serde_json::json;
use slipway::circleci::sandbox::plan::{Config, ConfigVersion, Project as Planned, Provider};
use slipway::circleci::sandbox::timeline::Outcome;
use slipway::circleci::{ActError, Canceled, RunId, Status};

use crate::circleci::{FakeCircleCi, Fault, RetryAfter, Route};
use crate::{client, job, pipeline, project, undone};

async fn with_two_workflows() -> FakeCircleCi {
    let config = Config::new(ConfigVersion::V2_1, &["test", "release"])
        .workflow("check", &["test"])
        .workflow_with_hold("ship", &[], "go?", &["release"]);
    FakeCircleCi::start().await.with_project(Planned::new(Provider::GitHub, "acme", "web", config))
}

#[tokio::test]
async fn every_workflow_that_has_not_ended_is_canceled() {
    let fake = with_two_workflows().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    assert_eq!(circleci.cancel(&project(), &run.id).await.unwrap(), Canceled::Asked { count: 2 });
    let end = circleci.progress(&project(), &run.id, None).await.unwrap();
    assert_eq!((end.run.status, end.holds.len()), (Status::Canceled, 0));
    assert_eq!(circleci.cancel(&project(), &run.id).await.unwrap(), Canceled::AlreadyEnded);
    assert_eq!(fake.requests_to(Route::CancelWorkflow).len(), 2);
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pipeline_without_workflows_has_nothing_to_cancel_yet() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    fake.no_workflows("acme/web", 1);
    assert_eq!(circleci.cancel(&project(), &run.id).await.unwrap(), Canceled::NothingYet);
    fake.error_pipeline("acme/web", 1, "no such job");
    assert_eq!(circleci.cancel(&project(), &run.id).await.unwrap(), Canceled::AlreadyEnded);
}

#[tokio::test]
async fn a_single_build_is_canceled_through_v1() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&job("main")).await.unwrap();
    assert_eq!(circleci.cancel(&project(), &run.id).await.unwrap(), Canceled::Asked { count: 1 });
    assert_eq!(circleci.read(&project(), &run.id).await.unwrap().status, Status::Canceled);
    let done = circleci.trigger(&job("main")).await.unwrap();
    fake.finish("acme/web", 2, Outcome::Success);
    assert_eq!(circleci.cancel(&project(), &done.id).await.unwrap(), Canceled::AlreadyEnded);
    let gone = circleci.cancel(&project(), &RunId::Build(99)).await.unwrap_err();
    insta::assert_snapshot!(undone(&gone), @"
    RunNotFound 404: CircleCI no longer shows this build of acme/web to the token in CIRCLE_API_USER_TOKEN: it was deleted, or the token can't see the project any more. Look for it on CircleCI.
    CircleCI: Build not found
    ");
}

#[tokio::test]
async fn an_approval_is_given_once_and_a_late_one_is_told() {
    let fake = with_two_workflows().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    let holds = circleci.progress(&project(), &run.id, None).await.unwrap().holds;
    circleci.approve(&project(), &holds[0]).await.unwrap();
    assert_eq!(fake.job("acme/web", 1, "release").job, "release");
    insta::assert_snapshot!(undone(&circleci.approve(&project(), &holds[0]).await.unwrap_err()), @"
    NotOnHold 400: Nothing waits for this approval any more: it was given already, or the workflow has ended. The card shows it at its next change.
    CircleCI: The job is not on hold.
    ");
    fake.fault(Route::Approve, Fault::Status(403, json!({"message": "Permission denied."})), 1);
    insta::assert_snapshot!(undone(&circleci.approve(&project(), &holds[0]).await.unwrap_err()), @"
    Forbidden 403: CircleCI does not let the token in CIRCLE_API_USER_TOKEN do this in acme/web. Its owner needs write access to the repository; a project token needs more than a read-only scope.
    CircleCI: Permission denied.
    ");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_request_that_may_have_been_taken_is_not_sent_again() {
    let fake = with_two_workflows().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    let hold = circleci.progress(&project(), &run.id, None).await.unwrap().holds.remove(0);
    for fault in [Fault::DropAfter, Fault::Html502, Fault::DropBefore] {
        let before = fake.requests_to(Route::Approve).len();
        fake.fault(Route::Approve, fault, 1);
        let error = circleci.approve(&project(), &hold).await.unwrap_err();
        assert!(matches!(error, ActError::Uncertain { .. }), "{error:?}");
        assert_eq!(fake.requests_to(Route::Approve).len(), before + 1);
    }
    fake.fault(Route::CancelWorkflow, Fault::DropAfter, 1);
    insta::assert_snapshot!(undone(&circleci.cancel(&project(), &run.id).await.unwrap_err()), @"uncertain: The connection to CircleCI broke before its answer came. It may have been done all the same: look at the build on CircleCI before you ask again.");
    assert_eq!(fake.requests_to(Route::CancelWorkflow).len(), 2, "the other workflow is to stop all the same");
}

#[tokio::test]
async fn a_rate_limited_request_was_not_taken_and_waits() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&job("main")).await.unwrap();
    fake.fault(Route::CancelBuild, Fault::RateLimited { retry_after: Some(RetryAfter::Seconds(0)) }, 2);
    assert_eq!(circleci.cancel(&project(), &run.id).await.unwrap(), Canceled::Asked { count: 1 });
    fake.fault(Route::CancelBuild, Fault::RateLimited { retry_after: Some(RetryAfter::Seconds(3600)) }, 1);
    insta::assert_snapshot!(undone(&circleci.cancel(&project(), &run.id).await.unwrap_err()), @"not sent: CircleCI's rate limit is reached and does not end soon enough to wait for it. Try again in a few minutes. Nothing has changed.");
}

#[tokio::test]
async fn only_what_failed_runs_again() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    insta::assert_snapshot!(undone(&circleci.rerun_from_failed(&project(), &run.id).await.unwrap_err()), @"NothingFailed: CircleCI shows no workflow of this pipeline that has failed, so there is nothing to run again from there. Retry makes a new deploy.");
    fake.finish("acme/web", fake.job("acme/web", 1, "build").num, Outcome::Success);
    fake.finish("acme/web", fake.job("acme/web", 1, "test").num, Outcome::Failed);
    circleci.rerun_from_failed(&project(), &run.id).await.unwrap();
    let jobs: Vec<String> = fake.builds().into_iter().map(|build| build.job).collect();
    assert_eq!(jobs, ["build", "test", "test"]);

    let build = circleci.trigger(&job("main")).await.unwrap();
    insta::assert_snapshot!(undone(&circleci.rerun_from_failed(&project(), &build.id).await.unwrap_err()), @"OnlyPipelines: Only a pipeline can be run again from where it failed, and this is a single build. Retry makes a new deploy.");
    assert_eq!(fake.requests_to(Route::RetryBuild).len(), 0, "CircleCI ends its own retry");
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_rerun_whose_answer_is_lost_is_uncertain() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&pipeline("main")).await.unwrap();
    fake.finish_pipeline("acme/web", 1, Outcome::Failed);
    fake.fault(Route::RerunWorkflow, Fault::Garbage, 1);
    let error = circleci.rerun_from_failed(&project(), &run.id).await.unwrap_err();
    assert!(matches!(error, ActError::Uncertain { .. }), "{error:?}");
    assert_eq!(fake.triggers(), 2);
}
