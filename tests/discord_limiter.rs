//! The limiter in paused time: order, fairness, cancellation and forgetting.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slipway::discord::limiter::{
    Budget, GLOBAL_LIMIT, Limiter, Major, Permit, RateHeaders, Reach, Scope, Target, TooSlow,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance};

const MINUTE: Duration = Duration::from_secs(60);

fn edit_of(interaction: u64) -> Target {
    Target { endpoint: "PATCH @original", major: Major::Interaction(interaction), reach: Reach::Interaction }
}

fn message_in(channel: u64) -> Target {
    Target { endpoint: "POST message", major: Major::Channel(channel), reach: Reach::Bot }
}

fn told(bucket: &str, limit: u32, remaining: u32, reset_after: Duration) -> RateHeaders {
    RateHeaders { bucket: Some(bucket.to_owned()), budget: Some(Budget { limit, remaining, reset_after }) }
}

async fn sent(limiter: &Limiter, target: &Target) -> Result<Permit, TooSlow> {
    let mut permit = limiter.acquire(target, Instant::now() + MINUTE).await?;
    permit.send();
    Ok(permit)
}

async fn exhaust(limiter: &Limiter, target: &Target, reset_after: Duration) {
    let permit = sent(limiter, target).await.unwrap();
    limiter.answered(permit, &told("b", 1, 0, reset_after));
}

/// Whether the future is ready when it is asked once.
async fn at_once<F: Future>(future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_interaction_holds_up_no_other() {
    let limiter = Limiter::new();
    exhaust(&limiter, &edit_of(1), MINUTE).await;
    assert!(at_once(sent(&limiter, &edit_of(1))).await.is_none());
    for other in 2..100 {
        assert!(at_once(sent(&limiter, &edit_of(other))).await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hung_first_request_holds_up_only_its_own_bucket() {
    let limiter = Limiter::new();
    let hung = sent(&limiter, &edit_of(1)).await.unwrap();
    assert!(at_once(sent(&limiter, &edit_of(1))).await.is_none());
    assert!(at_once(sent(&limiter, &edit_of(2))).await.is_some());
    drop(hung);
    assert!(at_once(sent(&limiter, &edit_of(1))).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_in_one_bucket_leave_in_the_order_they_came() {
    let limiter = Arc::new(Limiter::new());
    let order = Arc::new(Mutex::new(Vec::new()));
    exhaust(&limiter, &message_in(1), Duration::from_secs(1)).await;
    let mut waiting = JoinSet::new();
    for number in 0..20 {
        let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
        waiting.spawn(async move {
            let permit = sent(&limiter, &message_in(1)).await.unwrap();
            order.lock().unwrap().push(number);
            limiter.answered(permit, &told("b", 1, 0, Duration::from_secs(1)));
        });
        tokio::task::yield_now().await;
    }
    let begun = Instant::now();
    waiting.join_all().await;
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
    assert!(begun.elapsed() >= Duration::from_secs(20), "one a second, as told");
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_gives_the_place_back() {
    let limiter = Arc::new(Limiter::new());
    exhaust(&limiter, &message_in(1), Duration::from_secs(1)).await;
    let first = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { sent(&limiter, &message_in(1)).await.is_ok() }
    });
    tokio::task::yield_now().await;
    let second = tokio::spawn({
        let limiter = Arc::clone(&limiter);
        async move { sent(&limiter, &message_in(1)).await.is_ok() }
    });
    tokio::task::yield_now().await;
    first.abort();
    let _ = first.await;
    let begun = Instant::now();
    assert!(second.await.unwrap());
    assert!(begun.elapsed() < Duration::from_secs(2), "the first one's place was free");

    // A permit that was not used is a place, too.
    let permit = sent(&limiter, &message_in(2)).await.unwrap();
    limiter.answered(permit, &told("b", 2, 1, MINUTE));
    let unused = limiter.acquire(&message_in(2), Instant::now() + MINUTE).await.unwrap();
    drop(unused);
    assert!(at_once(sent(&limiter, &message_in(2))).await.is_some());
    assert!(at_once(sent(&limiter, &message_in(2))).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_the_global_limit_and_is_dropped_gives_its_bucket_back() {
    let limiter = Limiter::new();
    let permit = sent(&limiter, &message_in(1)).await.unwrap();
    limiter.answered(permit, &told("b", 2, 1, MINUTE));
    for channel in 2..=GLOBAL_LIMIT as u64 {
        assert!(sent(&limiter, &message_in(channel)).await.is_ok());
    }
    // The bucket has one place, the bot as a whole has none.
    assert!(at_once(sent(&limiter, &message_in(1))).await.is_none());
    advance(Duration::from_secs(1)).await;
    assert!(at_once(sent(&limiter, &message_in(1))).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_global_limit_counts_bot_routes_only() {
    let limiter = Limiter::new();
    for channel in 0..GLOBAL_LIMIT as u64 {
        assert!(at_once(sent(&limiter, &message_in(channel))).await.is_some());
    }
    assert!(at_once(sent(&limiter, &message_in(99))).await.is_none());
    for interaction in 0..200 {
        assert!(at_once(sent(&limiter, &edit_of(interaction))).await.is_some());
    }
    let begun = Instant::now();
    assert!(sent(&limiter, &message_in(99)).await.is_ok());
    assert!(begun.elapsed() >= Duration::from_millis(990));
}

#[tokio::test(start_paused = true)]
async fn a_global_429_stops_bot_routes_and_not_interactions() {
    let limiter = Limiter::new();
    let permit = sent(&limiter, &message_in(1)).await.unwrap();
    let nothing = RateHeaders::default();
    limiter.refused(permit, &nothing, Scope::Global, Reach::Bot, Duration::from_secs(5));
    assert!(at_once(sent(&limiter, &message_in(2))).await.is_none());
    assert!(at_once(sent(&limiter, &edit_of(1))).await.is_some());
    let begun = Instant::now();
    assert!(sent(&limiter, &message_in(2)).await.is_ok());
    assert!(begun.elapsed() >= Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_429_of_one_bucket_stops_that_one() {
    for scope in [Scope::User, Scope::Shared] {
        let limiter = Limiter::new();
        let permit = sent(&limiter, &message_in(1)).await.unwrap();
        let nothing = RateHeaders::default();
        limiter.refused(permit, &nothing, scope, Reach::Bot, Duration::from_secs(5));
        assert!(at_once(sent(&limiter, &message_in(2))).await.is_some());
        let begun = Instant::now();
        assert!(sent(&limiter, &message_in(1)).await.is_ok());
        assert!(begun.elapsed() >= Duration::from_secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_deadline_is_told_at_once() {
    let limiter = Limiter::new();
    exhaust(&limiter, &message_in(1), MINUTE).await;
    let deadline = Instant::now() + Duration::from_secs(3);
    let begun = Instant::now();
    assert_eq!(limiter.acquire(&message_in(1), deadline).await.unwrap_err(), TooSlow);
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn routes_that_discord_counts_together_share_a_budget() {
    let limiter = Limiter::new();
    let edit = Target { endpoint: "PATCH message", ..message_in(1) };
    let permit = sent(&limiter, &edit).await.unwrap();
    limiter.answered(permit, &told("same", 2, 1, MINUTE));
    let permit = sent(&limiter, &message_in(1)).await.unwrap();
    limiter.answered(permit, &told("same", 2, 0, MINUTE));
    assert!(at_once(sent(&limiter, &edit)).await.is_none());
    assert!(at_once(sent(&limiter, &message_in(1))).await.is_none());
    assert!(at_once(sent(&limiter, &message_in(2))).await.is_some(), "another channel");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_interactions_leave_nothing_behind() {
    let limiter = Limiter::new();
    for interaction in 0..10_000 {
        let permit = sent(&limiter, &edit_of(interaction)).await.unwrap();
        limiter.answered(permit, &told("b", 5, 4, Duration::from_secs(2)));
        advance(Duration::from_millis(1)).await;
    }
    advance(Duration::from_secs(3)).await;
    assert_eq!(limiter.buckets(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_interaction_is_forgotten_when_its_token_is_over_whatever_its_bucket_says() {
    let limiter = Limiter::new();
    exhaust(&limiter, &edit_of(1), MINUTE * 600).await;
    exhaust(&limiter, &message_in(1), MINUTE * 600).await;
    assert_eq!(limiter.buckets(), 2);
    advance(MINUTE * 15).await;
    assert_eq!(limiter.buckets(), 1, "the channel's limit still holds");
}
