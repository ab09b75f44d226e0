//! Invariant 12: each error says what happened, why, and what to do next.

use super::*;

/// What only a programmer would say.
const INSIDE: [&str; 12] =
    ["::", "Error(", "Err(", "Some(", "None)", "panicked", "unwrap", "sqlx", "reqwest", "hyper", "serde", "RUST"];

/// What is no error.
fn is_good(text: &str) -> bool {
    ["(thinking)", "is made", "is registered", "is queued", "is triggering"].iter().any(|good| text.contains(good))
}

#[tokio::test]
async fn each_says_what_happened_why_and_what_next_and_none_shows_the_inside() {
    let stage = Stage::start_with_job().await;
    let faults = [
        Fault::DropBefore,
        Fault::Html502,
        Fault::Garbage,
        Fault::OddJson(json!([1])),
        Fault::Status(400, json!("odd")),
        Fault::Status(401, json!({})),
        Fault::Status(403, json!({})),
        Fault::Status(404, json!({})),
        Fault::Status(418, json!({})),
        Fault::Status(500, json!({})),
    ];
    for fault in faults {
        stage.circleci.fault(Route::TriggerJob, fault, 1);
        alice_deploys(&stage).await.answer_when(|card| !card.text().contains("is triggering")).await;
    }
    for call in [
        deploy("acme/none", "main"),
        deploy("acme", "main"),
        deploy("acme/web", "a..b"),
        deploy("acme/web", "main").string("environment", "none"),
        deploy("acme/web", "main").string("revision", "none"),
        deploy("acme/web", "main").string("parameters", "A"),
        grant(stage.bob().id, "deploy"),
        CommandCall::new("repo").sub("add").string("name", "acme/more"),
        CommandCall::new("permission").sub("revoke").string("id", "x"),
        CommandCall::new("help").string("command", "none"),
    ] {
        stage.alice().hears(call).await;
    }
    stage.database_fails_at("deploy", "TRUE").await;
    alice_deploys(&stage).await.answer().await;
    stage.database_recovers().await;

    let next =
        ["Check", "Look", "Ask", "Try", "Name", "Example", "/", "can be granted", "look", "Use", "sets", "needs"];
    let told = stage.everything_shown();
    assert!(told.len() > 20);
    for text in told.iter().map(support::discord::MessageView::text).filter(|text| !is_good(text)) {
        for inside in INSIDE {
            assert!(!text.contains(inside), "{inside} in {text}");
        }
        assert!(next.iter().any(|word| text.contains(word)), "no way out in {text}");
    }
    stage.finish().await;
}
