//! Requests that meet trouble: what is tried again, what never is, and what is told.

use std::time::{Duration, Instant};

use serde_json::json;
use slipway::circleci::{Hold, Order, Patience, RunId, TriggerError};
use slipway::time::Clock;

use crate::circleci::{FakeCircleCi, Fault, RetryAfter, Route};
use crate::nobody::Nobody;
use crate::{Scripted, access, client, hasty, job, pipeline, project, told, unread, whole_build, with};

/// Both generations, and the route of their triggers.
fn both() -> [(Route, Order); 2] {
    [(Route::TriggerJob, job("main")), (Route::RunPipeline, pipeline("main"))]
}

#[tokio::test]
async fn a_trigger_that_may_have_been_taken_is_lost_and_never_sent_again() {
    let errors = json!({"message": "Internal server error."});
    for (route, order) in both() {
        for (fault, taken) in [
            (Fault::DropBefore, 0),
            (Fault::DropAfter, 1),
            (Fault::Status(500, errors.clone()), 0),
            (Fault::StatusAfter(504, errors.clone()), 1),
            (Fault::Html502, 0),
        ] {
            let fake = FakeCircleCi::start().await;
            fake.fault(route, fault, 1);
            let error = client(&fake).trigger(&order).await.unwrap_err();
            assert!(matches!(error, TriggerError::Lost { .. }), "{error:?}");
            assert_eq!((fake.requests_to(route).len(), fake.triggers()), (1, taken));
        }
    }
}

#[tokio::test]
async fn a_trigger_without_an_answer_is_given_up_and_lost() {
    let hurried = || Patience { request: Duration::from_millis(400), ..hasty() };
    for (fault, taken) in [(Fault::HangBefore, 0), (Fault::HangAfter, 1)] {
        let fake = FakeCircleCi::start().await;
        fake.fault(Route::TriggerJob, fault, 1);
        let error = with(access(fake.url(), fake.token()), hurried()).trigger(&job("main")).await.unwrap_err();
        insta::allow_duplicates! { insta::assert_snapshot!(told(&error), @"lost: CircleCI did not answer within 0.4 s."); }
        assert_eq!((fake.requests().len(), fake.triggers()), (1, taken));
    }
}

#[tokio::test]
async fn the_texts_of_lost_orders() {
    let fake = FakeCircleCi::start().await;
    fake.fault(Route::TriggerJob, Fault::DropAfter, 1);
    insta::assert_snapshot!(told(&client(&fake).trigger(&job("main")).await.unwrap_err()), @"lost: The connection to CircleCI broke before its answer came.");
    fake.fault(Route::TriggerJob, Fault::Html502, 1);
    insta::assert_snapshot!(told(&client(&fake).trigger(&job("main")).await.unwrap_err()), @"lost: CircleCI had an error of its own (status 502).");
    let large = Scripted::answers(200, &[], vec![b' '; 5 * 1024 * 1024]).await;
    insta::assert_snapshot!(told(&large.client().trigger(&job("main")).await.unwrap_err()), @"lost: CircleCI's answer is larger than any that is expected and was not read to its end.");
}

#[tokio::test]
async fn an_order_that_reaches_nobody_was_not_sent() {
    let nobody = Nobody::new();
    let circleci = with(access(&nobody.url(), "user-token"), hasty());
    for (_, order) in both() {
        let error = circleci.trigger(&order).await.unwrap_err();
        insta::allow_duplicates! { insta::assert_snapshot!(told(&error), @"not sent: CircleCI could not be reached (Connection refused). Try again in a minute; if it goes on, see https://status.circleci.com, or let the bot's operator check its network and CIRCLECI_URL. Nothing was started."); }
    }
    let nameless = with(access("http://slipway.invalid", "user-token"), hasty());
    assert!(matches!(nameless.trigger(&job("main")).await, Err(TriggerError::NotSent { .. })));
}

#[tokio::test]
async fn a_rate_limited_trigger_waits_as_told_and_is_sent_again() {
    for (route, order) in both() {
        let fake = FakeCircleCi::start().await;
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
        fake.fault(route, Fault::RateLimited { retry_after: Some(RetryAfter::Seconds(1)) }, 1);
        fake.fault(route, Fault::RateLimited { retry_after: Some(RetryAfter::HttpDate(soon)) }, 1);
        fake.fault(route, Fault::RateLimited { retry_after: None }, 1);
        let begun = Instant::now();
        client(&fake).trigger(&order).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
        let tries = fake.requests_to(route);
        assert_eq!((tries.len(), fake.triggers()), (4, 1));
        assert!(tries[1].at >= tries[0].at + jiff::SignedDuration::from_millis(990));
    }
}

#[tokio::test]
async fn a_rate_limit_that_lasts_too_long_is_not_waited_for() {
    let fake = FakeCircleCi::start().await;
    fake.fault(Route::TriggerJob, Fault::RateLimited { retry_after: Some(RetryAfter::Seconds(3600)) }, 1);
    let begun = Instant::now();
    insta::assert_snapshot!(told(&client(&fake).trigger(&job("main")).await.unwrap_err()), @"not sent: CircleCI's rate limit is reached and does not end soon enough to wait for it. Try again in a few minutes. Nothing was started.");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(fake.requests().len(), 1);

    let patience = Patience { rate_limited: Duration::from_millis(100), ..hasty() };
    fake.fault(Route::TriggerJob, Fault::RateLimited { retry_after: None }, usize::MAX);
    let impatient = with(access(fake.url(), fake.token()), patience);
    assert!(matches!(impatient.trigger(&job("main")).await, Err(TriggerError::NotSent { .. })));
    assert_eq!(fake.triggers(), 0);
}

#[tokio::test]
async fn reads_are_tried_again() {
    let fake = FakeCircleCi::start().await;
    let circleci = client(&fake);
    let run = circleci.trigger(&job("main")).await.unwrap();
    for fault in [
        Fault::DropBefore,
        Fault::Html502,
        Fault::Status(500, json!({})),
        Fault::RateLimited { retry_after: Some(RetryAfter::Seconds(0)) },
    ] {
        fake.fault(Route::ReadBuild, fault, 2);
        assert_eq!(circleci.read(&project(), &run.id).await.unwrap().id, run.id);
    }
    fake.fault(Route::ReadBuild, Fault::Html502, 3);
    insta::assert_snapshot!(unread(&circleci.read(&project(), &run.id).await.unwrap_err()), @"unavailable Some(502): CircleCI had an error of its own (status 502).");
    fake.clear_faults();
    fake.fault(Route::ReadBuild, Fault::Garbage, 1);
    insta::assert_snapshot!(unread(&circleci.read(&project(), &run.id).await.unwrap_err()), @"unreadable: CircleCI's answer can't be understood. If CIRCLECI_URL is set, check that it leads to CircleCI and not to a login page.");
}

#[tokio::test]
async fn no_answer_makes_a_client_panic() {
    let id = RunId::Pipeline { id: uuid::Uuid::now_v7(), number: 1 };
    let deep = "[".repeat(100_000);
    let wide =
        format!(r#"{{"build_num":1,"number":1,"id":"{}","status":"{}"}}"#, uuid::Uuid::nil(), "é\u{1b}".repeat(9_000));
    for body in ["", "null", "[]", "{}", "7", "\u{0}", r#"{"items":[null,7,{}],"next_page_token":7}"#, &deep, &wide] {
        let server = Scripted::answers(200, &[("content-type", "application/json")], body).await;
        let circleci = server.client();
        for order in both().map(|(_, order)| order).into_iter().chain([whole_build("main")]) {
            let _ = circleci.trigger(&order).await;
            let _ = circleci.look_for(&crate::search(&order, &crate::unclaimed)).await;
        }
        let _ = circleci.branches(&project()).await;
        let _ = circleci.read(&project(), &id).await;
        let hold = Hold { workflow: uuid::Uuid::nil(), approval: uuid::Uuid::nil(), name: String::new() };
        let _ = circleci.approve(&project(), &hold).await;
        for run in [&id, &RunId::Build(1)] {
            let _ = circleci.progress(&project(), run, None).await;
            let _ = circleci.failure(&project(), run).await;
            let _ = circleci.cancel(&project(), run).await;
            let _ = circleci.rerun_from_failed(&project(), run).await;
        }
        if let Ok(run) = circleci.read(&project(), &RunId::Build(1)).await {
            assert!(run.status_word.chars().count() <= 40, "{run:?}");
        }
    }
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    use slipway::circleci::CircleCi;
    for (url, token) in [("circleci.com", "x"), ("https://circleci.com", ""), ("https://circleci.com", "a b")] {
        let error = CircleCi::new(access(url, token), hasty(), Clock::system()).err().unwrap();
        assert!(!error.to_string().contains("a b"), "{error}");
    }
}
