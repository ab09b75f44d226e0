//! The trigger `build` of API v1.1: the answer names no build, so it is looked for.

use serde_json::json;
use slipway::circleci::{Found, RunId, Status, TriggerError};

use crate::circleci::{FakeCircleCi, Fault, Route};
use crate::{OrderExt, access, client, hasty, job, pipeline, project, search, told, unclaimed, whole_build, with};

#[tokio::test]
async fn a_build_is_taken_without_a_name_and_found_as_a_pipeline() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let order = whole_build("feature/login");
    let unnamed = circleci.trigger(&order).await.unwrap_err();
    insta::assert_snapshot!(told(&unnamed), @"unnamed: CircleCI took the request; its answer names no build, so the build is looked for.");
    let seen = &fake.requests_to(Route::TriggerBuild)[0];
    assert_eq!(seen.raw, "/api/v1.1/project/github/acme/web/build");
    assert_eq!(seen.json, Some(json!({"branch": "feature/login"})));
    assert!(circleci.sunset().borrow().is_some());

    let Found::Likely(run) = circleci.look_for(&search(&order, &unclaimed)).await.unwrap() else { panic!() };
    let RunId::Pipeline { number: 1, .. } = run.id else { panic!("{run:?}") };
    let progress = circleci.progress(&project(), &run.id, None).await.unwrap();
    assert_eq!((progress.run.status, progress.workflows.len()), (Status::Running, 1));
    assert_eq!(fake.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn only_a_lonely_one_that_nobody_claims_is_likely() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let order = whole_build("main");
    fake.pipeline_by("somebody-else", "acme/web", "main");
    fake.pushed("acme/web", "main");
    let claimed = circleci.trigger(&pipeline("main")).await.unwrap().id;
    circleci.trigger(&order).await.unwrap_err();
    let Found::Several(runs) = circleci.look_for(&search(&order, &unclaimed)).await.unwrap() else { panic!() };
    assert_eq!(runs.len(), 2);
    let found = circleci.look_for(&search(&order, &|run| *run == claimed)).await.unwrap();
    assert!(
        matches!(found, Found::Likely(ref run) if matches!(run.id, RunId::Pipeline { number: 4, .. })),
        "{found:?}"
    );
}

#[tokio::test]
async fn where_pipelines_cannot_be_read_v1s_recent_builds_tell() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let order = whole_build("main");
    circleci.trigger(&order).await.unwrap_err();
    fake.fault(Route::ListPipelines, Fault::Status(404, json!({"message": "Project not found"})), usize::MAX);
    // Two jobs of one workflow are one run.
    let Found::Likely(run) = circleci.look_for(&search(&order, &unclaimed)).await.unwrap() else { panic!() };
    // One of its builds alone would tell nothing of the end.
    assert!(matches!(run.id, RunId::Pipeline { number: 1, .. }), "{run:?}");
    circleci.trigger(&job("main")).await.unwrap();
    let Found::Several(runs) = circleci.look_for(&search(&order, &unclaimed)).await.unwrap() else { panic!() };
    assert_eq!(runs.len(), 2);
    let other_branch = circleci.look_for(&search(&whole_build("develop"), &unclaimed)).await.unwrap();
    assert_eq!(other_branch, Found::None);
}

#[tokio::test]
async fn a_commit_of_the_branch_can_be_built() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let wanted = "1dc6aa69429bff4806ad6afe58d3d8f57e25973e";
    let order = whole_build("main").revision(wanted);
    circleci.trigger(&whole_build("main")).await.unwrap_err();
    circleci.trigger(&order).await.unwrap_err();
    let sent = &fake.requests_to(Route::TriggerBuild)[1].json;
    assert_eq!(*sent, Some(json!({"branch": "main", "revision": wanted})));
    let Found::Likely(run) = circleci.look_for(&search(&order, &unclaimed)).await.unwrap() else { panic!() };
    assert_eq!(run.revision.unwrap().as_str(), wanted);
}

#[tokio::test]
async fn each_refusal_says_what_to_do_and_sends_nothing() {
    let fake = FakeCircleCi::start().await.on_server(500);
    let circleci = client(&fake);
    insta::assert_snapshot!(told(&circleci.trigger(&whole_build("main")).await.unwrap_err()), @"NotOnServer: This CircleCI tells of no pipeline definitions for acme/web, as a CircleCI server: the trigger `build` is not available there. Set the environment's `trigger` to `pipeline`.");
    insta::assert_snapshot!(told(&circleci.trigger(&whole_build("main").parameters("a=1")).await.unwrap_err()), @"NoParameters: The trigger `build` takes no parameters. Leave them out, or set the environment's `trigger` to `pipeline`.");
    let mut opaque = whole_build("main");
    opaque.project.slug = Some("circleci/43G3km5/44n9puj".to_owned());
    insta::assert_snapshot!(told(&circleci.trigger(&opaque).await.unwrap_err()), @"NoV1: acme/web has a project slug of its own and no API v1.1, which is what the trigger `build` needs. Set the environment's `trigger` to `pipeline`.");
    assert_eq!(fake.requests_to(Route::TriggerBuild).len(), 0);
}

#[tokio::test]
async fn a_build_needs_the_personal_token_and_ends_with_the_others() {
    let fake = FakeCircleCi::start().await;
    let mut access = access(fake.url(), fake.token());
    access.project_token = Some("project-token".to_owned().into());
    let circleci = with(access, hasty());
    assert_eq!(circleci.trigger(&whole_build("main")).await.unwrap_err(), TriggerError::Unnamed);
    let missing = circleci.trigger(&whole_build("nowhere")).await.unwrap_err();
    assert!(told(&missing).starts_with("BranchNotFound 400"), "{missing:?}");
    fake.retire_v1_triggers();
    let retired = circleci.trigger(&whole_build("main")).await.unwrap_err();
    assert!(told(&retired).starts_with("Retired 410"), "{retired:?}");
    for fault in [Fault::DropAfter, Fault::Garbage, Fault::Html502] {
        fake.fault(Route::TriggerBuild, fault, 1);
        assert!(matches!(circleci.trigger(&whole_build("main")).await, Err(TriggerError::Lost { .. })));
    }
}
