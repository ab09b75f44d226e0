//! What is sent again and what never is, and who waits for whom.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use slipway::discord::rest::{RestError, Trouble};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::server::{Server, Step, answer, answer_with, too_many};
use crate::{APP, TOKEN, call_back, edit, post, soon, within};

#[tokio::test]
async fn what_is_the_same_twice_is_repeated_through_trouble() {
    let server = Server::start().await;
    server.on("PATCH", answer(502, "<html>")).on("PATCH", Step::Drop);
    server.on("PATCH", answer(200, "{}"));
    edit(&server.rest(), soon()).await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn trouble_until_the_deadline_is_unavailable() {
    let server = Server::start().await;
    server.on("PATCH", Step::Hang);
    let error = edit(&server.rest(), within(300)).await.unwrap_err();
    let hung = matches!(error, RestError::Unavailable { cause: Trouble::TimedOut });
    assert!(hung, "{error:?}");
}

#[tokio::test]
async fn a_message_without_a_nonce_is_never_repeated_and_one_with_it_is() {
    for step in [answer(500, ""), Step::Drop] {
        let server = Server::start().await;
        server.on("POST", step.clone()).on("POST", step.clone()).on("POST", step);
        server.on("POST", answer(200, "{}"));
        let rest = server.rest();
        let error = post(&rest, json!({ "content": "once" }), soon()).await.unwrap_err();
        assert!(matches!(error, RestError::FateUnknown { .. }), "{error:?}");
        let body = json!({});
        let error = rest.follow_up(APP, TOKEN, &body, soon()).await.unwrap_err();
        assert!(matches!(error, RestError::FateUnknown { .. }), "{error:?}");
        assert_eq!(server.seen().len(), 2);
        let safe = json!({ "content": "once", "nonce": "n1", "enforce_nonce": true });
        post(&rest, safe, soon()).await.unwrap();
        assert_eq!(server.seen().len(), 4);
    }
}

#[tokio::test]
async fn every_scope_of_429_is_waited_for_and_sent_again() {
    for scope in ["user", "shared", "global"] {
        let server = Server::start().await;
        server.on("POST", too_many(scope, 0.05)).on("POST", answer(200, "{}"));
        server.on("PATCH", too_many(scope, 0.05)).on("PATCH", answer(200, "{}"));
        let rest = server.rest();
        let begun = Instant::now();
        post(&rest, json!({}), soon()).await.unwrap();
        edit(&rest, soon()).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(100));
        assert_eq!(server.seen().len(), 4);
    }
}

#[tokio::test]
async fn a_429_beyond_the_deadline_is_too_slow_at_once() {
    let server = Server::start().await;
    server.on("POST", too_many("user", 600.0));
    let error = post(&server.rest(), json!({}), soon()).await.unwrap_err();
    assert!(matches!(error, RestError::TooSlow), "{error:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn a_429_that_asks_for_no_wait_never_becomes_a_loop() {
    let server = Server::start().await;
    for _ in 0..100 {
        server.on("PATCH", too_many("user", 0.0));
    }
    let error = edit(&server.rest(), within(1000)).await.unwrap_err();
    assert!(matches!(error, RestError::TooSlow), "{error:?}");
    assert!(server.seen().len() <= 6, "{}", server.seen().len());
}

#[tokio::test]
async fn odd_limits_on_a_taken_answer_neither_fail_nor_repeat_it() {
    for odd in [
        "X-RateLimit-Limit: 0\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset-After: 9\r\n",
        "X-RateLimit-Limit: x\r\nX-RateLimit-Remaining: -1\r\nX-RateLimit-Reset-After: NaN\r\n",
        "X-RateLimit-Limit: 1\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset-After: 1e300\r\n",
        "X-RateLimit-Bucket: \r\nX-RateLimit-Reset-After: inf\r\nRetry-After: -5\r\n",
        "X-RateLimit-Limit: 5\r\nX-RateLimit-Limit: 6\r\nX-RateLimit-Remaining: \u{fc}\r\n",
    ] {
        let server = Server::start().await;
        for status in [204, 200, 204] {
            server.on("PATCH", answer_with(status, odd, ""));
        }
        let rest = server.rest();
        for _ in 0..3 {
            edit(&rest, within(5000)).await.unwrap();
        }
        assert_eq!(server.seen().len(), 3);
    }
}

#[tokio::test]
async fn one_interaction_that_hangs_delays_no_other() {
    let server = Server::start().await;
    let go = Arc::new(Semaphore::new(0));
    server.on("/slow/", Step::Wait(Arc::clone(&go)));
    let rest = server.rest();
    let slow = tokio::spawn({
        let rest = rest.clone();
        async move { rest.edit_original(APP, "slow", &json!({}), soon()).await }
    });
    while server.seen().is_empty() {
        tokio::task::yield_now().await;
    }
    for number in 0..20 {
        server.on(&format!("/quick{number}/"), answer(200, "{}"));
        let token = format!("quick{number}");
        rest.edit_original(APP, &token, &json!({}), soon()).await.unwrap();
    }
    assert!(!slow.is_finished(), "the quick ones did not wait for the slow one");
    go.add_permits(1);
    slow.await.unwrap().unwrap();
}

#[tokio::test]
async fn callbacks_leave_nothing_in_the_limiter() {
    let server = Server::start().await;
    let limits = "X-RateLimit-Limit: 1\r\nX-RateLimit-Remaining: 0\r\n\
                  X-RateLimit-Reset-After: 900\r\nX-RateLimit-Bucket: b\r\n";
    let rest = server.rest();
    for _ in 0..50 {
        server.on("POST", answer_with(204, limits, ""));
        call_back(&rest, soon()).await.unwrap();
    }
    assert_eq!(rest.buckets(), 0);
}
