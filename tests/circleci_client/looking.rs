//! Looking for what a lost order led to: adopted only when it is certain, or alone.

use std::time::Duration;

use serde_json::json;
use slipway::circleci::{CircleCi, Found, Order, Patience, ReadError, RunId, TriggerError};

use crate::circleci::{FakeCircleCi, Fault, Route};
use crate::{OrderExt, access, client, hasty, job, pipeline, search, told, unclaimed, unread, with};

/// Sends an order whose answer is dropped, after it took effect or before.
async fn lose(fake: &FakeCircleCi, circleci: &CircleCi, order: &Order, fault: Fault) {
    fake.clear_faults();
    fake.fault(Route::TriggerJob, fault.clone(), 1);
    fake.fault(Route::RunPipeline, fault, 1);
    let error = circleci.trigger(order).await.unwrap_err();
    assert!(matches!(error, TriggerError::Lost { .. }), "{}", told(&error));
    fake.clear_faults();
}

fn the_one(found: Found) -> RunId {
    match found {
        Found::One(run) | Found::Likely(run) => run.id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lost_job_is_found_by_its_deploy_id_among_others() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let order = job("feature/login");
    circleci.trigger(&job("feature/login")).await.unwrap();
    lose(&fake, &circleci, &order, Fault::DropAfter).await;
    circleci.trigger(&job("feature/login")).await.unwrap();
    circleci.trigger(&job("main")).await.unwrap();
    assert_eq!(the_one(circleci.look_for(&search(&order, &unclaimed)).await.unwrap()), RunId::Build(2));
    let listed = &fake.requests_to(Route::ListBuilds)[0].raw;
    assert_eq!(listed, "/api/v1.1/project/github/acme/web/tree/feature%2Flogin?limit=30&shallow=true");
    assert_eq!(fake.violations(), Vec::<String>::new());
    assert_eq!(fake.triggers(), 4);
}

#[tokio::test]
async fn a_job_that_was_never_taken_is_not_found() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let order = job("main");
    lose(&fake, &circleci, &order, Fault::DropBefore).await;
    circleci.trigger(&job("main")).await.unwrap();
    assert_eq!(circleci.look_for(&search(&order, &unclaimed)).await.unwrap(), Found::None);
    assert_eq!(fake.requests_to(Route::ReadBuild).len(), 1, "what is another deploy's is not read at each look");
}

#[tokio::test]
async fn a_job_that_appears_late_is_found_by_a_later_look() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let order = job("main");
    lose(&fake, &circleci, &order, Fault::DropAfter).await;
    fake.fault(Route::ListBuilds, Fault::OddJson(json!([])), 1);
    assert_eq!(the_one(circleci.look_for(&search(&order, &unclaimed)).await.unwrap()), RunId::Build(1));
}

#[tokio::test]
async fn builds_from_before_the_order_are_not_read() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    circleci.trigger(&job("main")).await.unwrap();
    let mut order = job("main");
    order.requested_at = order.requested_at.plus(Duration::from_secs(600));
    assert_eq!(circleci.look_for(&search(&order, &unclaimed)).await.unwrap(), Found::None);
    assert_eq!(fake.requests_to(Route::ReadBuild).len(), 0);
}

#[tokio::test]
async fn a_look_reads_a_bounded_number_of_builds() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    for _ in 0..20 {
        circleci.trigger(&job("main")).await.unwrap();
    }
    let once = with(access(fake.url(), fake.token()), Patience { looks: vec![Duration::ZERO], ..hasty() });
    assert_eq!(once.look_for(&search(&job("main"), &unclaimed)).await.unwrap(), Found::None);
    assert_eq!(fake.requests_to(Route::ReadBuild).len(), 15);
}

#[tokio::test]
async fn not_finding_means_nothing_when_a_candidate_could_not_be_read() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let order = job("main");
    lose(&fake, &circleci, &order, Fault::DropAfter).await;
    fake.fault(Route::ReadBuild, Fault::Html502, usize::MAX);
    let error = circleci.look_for(&search(&order, &unclaimed)).await.unwrap_err();
    assert!(matches!(error, ReadError::Unavailable { status: Some(502), .. }), "{}", unread(&error));
}

#[tokio::test]
async fn a_lost_pipeline_that_carries_the_deploy_id_is_certain() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let order = pipeline("feature/login");
    let order = order.clone().parameters(&format!("deploy_id={}", order.deploy));
    let other = pipeline("feature/login");
    let other = other.clone().parameters(&format!("deploy_id={}", other.deploy));
    circleci.trigger(&other).await.unwrap();
    lose(&fake, &circleci, &order, Fault::DropAfter).await;
    circleci.trigger(&other).await.unwrap();
    let RunId::Pipeline { number, .. } = the_one(circleci.look_for(&search(&order, &unclaimed)).await.unwrap()) else {
        panic!()
    };
    assert_eq!(number, 2);
    // One that was never taken is not taken for another deploy's.
    let order = pipeline("feature/login");
    let order = order.clone().parameters(&format!("deploy_id={}", order.deploy));
    lose(&fake, &circleci, &order, Fault::DropBefore).await;
    assert_eq!(circleci.look_for(&search(&order, &unclaimed)).await.unwrap(), Found::None);
}

#[tokio::test]
async fn a_lost_pipeline_is_adopted_only_as_the_only_one_of_branch_time_and_actor() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let order = pipeline("main");
    fake.pipeline_by("somebody-else", "acme/web", "main");
    circleci.trigger(&pipeline("develop")).await.unwrap();
    lose(&fake, &circleci, &order, Fault::DropBefore).await;
    assert_eq!(circleci.look_for(&search(&order, &unclaimed)).await.unwrap(), Found::None);

    lose(&fake, &circleci, &order, Fault::DropAfter).await;
    let lost = the_one(circleci.look_for(&search(&order, &unclaimed)).await.unwrap());
    assert_eq!(fake.requests_to(Route::ListPipelines).len(), 4, "without proof, every look is waited for");

    let claimed = circleci.trigger(&pipeline("main")).await.unwrap().id;
    let Found::Several(runs) = circleci.look_for(&search(&order, &unclaimed)).await.unwrap() else { panic!() };
    assert_eq!(runs.len(), 2);
    assert_eq!(the_one(circleci.look_for(&search(&order, &|run| *run == claimed)).await.unwrap()), lost);
    assert_eq!(circleci.look_for(&search(&order, &|_| true)).await.unwrap(), Found::None);

    let mut late = order.clone();
    late.requested_at = late.requested_at.plus(Duration::from_secs(600));
    assert_eq!(circleci.look_for(&search(&late, &unclaimed)).await.unwrap(), Found::None);
    assert_eq!(fake.violations(), Vec::<String>::new());
}
