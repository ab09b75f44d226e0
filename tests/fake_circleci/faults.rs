//! The faults that a test can order.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::circleci::{FakeCircleCi, Fault, RetryAfter, Route};
use crate::{BUILDS, ON_MAIN, RUN, on_branch, request};

/// Whether the peer reset the connection, as opposed to closing it or answering.
fn was_reset(error: &reqwest::Error) -> bool {
    let first = std::error::Error::source(error);
    let mut causes = std::iter::successors(first, |cause| cause.source());
    causes.any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == ErrorKind::ConnectionReset))
}

#[tokio::test]
async fn a_drop_before_takes_no_effect_and_a_drop_after_does() {
    let fake = FakeCircleCi::start().await;
    fake.fault(Route::RunPipeline, Fault::DropBefore, 1);
    fake.fault(Route::RunPipeline, Fault::DropAfter, 1);
    let trigger = || request(&fake, Method::POST, RUN).json(&on_branch("main", json!({}))).send();
    assert!(was_reset(&trigger().await.unwrap_err()));
    assert_eq!(fake.triggers(), 0);
    assert!(was_reset(&trigger().await.unwrap_err()));
    assert_eq!(fake.triggers(), 1);
    assert_eq!(trigger().await.unwrap().status(), 201);
    let answered: Vec<Option<u16>> = fake.requests().iter().map(|seen| seen.answered).collect();
    assert_eq!(answered, [None, None, Some(201)]);
}

#[tokio::test]
async fn a_hang_never_answers_and_does_not_keep_the_fake_from_stopping() {
    let fake = FakeCircleCi::start().await;
    fake.fault(Route::TriggerJob, Fault::HangBefore, 1);
    fake.fault(Route::TriggerJob, Fault::HangAfter, 1);
    for (requests, taken) in [(1, 0), (2, 1)] {
        let hung = tokio::spawn(request(&fake, Method::POST, ON_MAIN).json(&json!({})).send());
        let arrived = |fake: &FakeCircleCi| fake.requests().len() == requests && fake.triggers() == taken;
        fake.until("the trigger arrived", arrived).await;
        assert_eq!(fake.requests().last().unwrap().answered, None);
        hung.abort();
    }
    fake.fault(Route::ListBuilds, Fault::HangBefore, 1);
    let waiting = tokio::spawn(request(&fake, Method::GET, BUILDS).send());
    fake.until("the list was asked for", |fake| !fake.requests_to(Route::ListBuilds).is_empty()).await;
    let started = Instant::now();
    fake.stop().await;
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(waiting.await.unwrap().is_err());
}

#[tokio::test]
async fn statuses_and_odd_answers_come_as_ordered() {
    let fake = FakeCircleCi::start().await;
    let soon = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let faults = [
        Fault::RateLimited { retry_after: Some(RetryAfter::Seconds(7)) },
        Fault::RateLimited { retry_after: Some(RetryAfter::HttpDate(soon)) },
        Fault::Html502,
        Fault::Status(500, json!({ "message": "Internal server error." })),
        Fault::Garbage,
        Fault::OddJson(json!([])),
        Fault::StatusAfter(504, json!({ "message": "late" })),
    ];
    for fault in faults {
        fake.fault(Route::TriggerJob, fault, 1);
    }
    let trigger = async || {
        let response = request(&fake, Method::POST, ON_MAIN).json(&json!({})).send().await.unwrap();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), retry_after, response.text().await.unwrap())
    };
    assert_eq!(trigger().await.1.as_deref(), Some("7"));
    assert_eq!(trigger().await.1.as_deref(), Some("Fri, 15 Jan 2027 08:00:00 GMT"));
    assert!(trigger().await.2.starts_with("<html>"));
    assert_eq!(trigger().await.0, 500);
    assert_eq!(fake.triggers(), 0);
    let (status, _, text) = trigger().await;
    assert!(status == 200 && serde_json::from_str::<Value>(&text).is_err());
    assert_eq!(trigger().await.2, "[]");
    assert_eq!((trigger().await.0, fake.triggers()), (504, 3));
    assert_eq!((trigger().await.0, fake.triggers()), (200, 4));
}

#[tokio::test]
async fn a_gate_holds_a_request_until_it_is_opened() {
    let fake = FakeCircleCi::start().await;
    let gate = fake.hold(Route::TriggerJob);
    let waiting = tokio::spawn(request(&fake, Method::POST, ON_MAIN).json(&json!({})).send());
    fake.until("the trigger arrived", |fake| !fake.requests_to(Route::TriggerJob).is_empty()).await;
    assert_eq!(fake.triggers(), 0);
    gate.open();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
    fake.until_answered(Route::TriggerJob, 1).await;
    assert_eq!(fake.triggers(), 1);
}
