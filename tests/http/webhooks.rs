//! CircleCI's webhooks: those that are believed are handed over once, the others refused and written down.

use std::time::Duration;

use serde_json::json;
use slipway::circleci::sandbox::plan::{Config, ConfigVersion, Project, Provider};
use slipway::circleci::sandbox::timeline::Outcome;
use slipway::circleci::webhook::Kind;
use tokio::time::timeout;

use crate::server::{SECRET, Server, head_of, signed};
use crate::support::Stage;
use crate::support::circleci::FakeCircleCi;
use crate::support::circleci::webhook::{Outbound, signature, test_ping};

/// A fake CircleCI on which pipeline 1 of `acme/web` has ended.
async fn ended(outcome: Outcome) -> FakeCircleCi {
    let circleci = FakeCircleCi::start().await;
    circleci.pipeline_by("somebody", "acme/web", "main");
    circleci.finish_pipeline("acme/web", 1, outcome);
    circleci
}

#[tokio::test]
async fn a_workflow_that_ended_is_told_once() {
    let mut server = Server::start(8).await;
    let circleci = ended(Outcome::Failed).await;
    let workflow = circleci.workflows("acme/web", 1)[0];
    let webhook = circleci.workflow_completed(workflow);
    assert_eq!(server.circleci().send(&webhook).await, Some(200));
    assert_eq!(server.circleci().send(&webhook).await, Some(200), "delivered again");

    let event = server.events.recv().await.unwrap();
    let pipeline = &circleci.pipelines()[0];
    assert_eq!(event.kind, Kind::WorkflowCompleted);
    assert_eq!((event.project_slug.as_deref(), event.pipeline), (Some("gh/acme/web"), Some(pipeline.id)));
    assert_eq!(event.pipeline_number, Some(1));
    let told = event.workflow.unwrap();
    assert_eq!((told.id, told.name.as_str(), told.status.as_deref()), (workflow, "build", Some("failed")));
    assert!(event.job.is_none() && event.happened_at.is_some());
    assert!(server.events.try_recv().is_err(), "it was handed over twice");
    assert_eq!((server.counted("accepted"), server.counted("duplicate")), (1, 1));
}

#[tokio::test]
async fn a_job_of_a_github_app_project_that_ended_is_told() {
    let (org, repo) = ("43G3kM5RtfFE7v5sa4nWAU", "44n9pujWcTnVZ2b5S8Fnat");
    let config = Config::new(ConfigVersion::V2_1, &["deploy"]);
    let circleci = FakeCircleCi::start().await.with_project(Project::new(
        Provider::CircleCi,
        org,
        repo,
        config.workflow("deploy", &["deploy"]),
    ));
    let name = format!("{org}/{repo}");
    circleci.pipeline_by("somebody", &name, "main");
    circleci.finish_pipeline(&name, 1, Outcome::Success);
    let build = circleci.builds()[0].num;
    let webhook = circleci.job_completed(&name, build);
    assert!(webhook.body.contains("trigger_parameters") && !webhook.body.contains("\"vcs\""));

    let mut server = Server::start(8).await;
    assert_eq!(server.circleci().send(&webhook).await, Some(200));
    let event = server.events.recv().await.unwrap();
    assert_eq!((event.kind, event.project_slug), (Kind::JobCompleted, Some(format!("circleci/{name}"))));
    let job = event.job.unwrap();
    assert_eq!((job.number, job.name.as_str(), job.status.as_deref()), (build as i64, "deploy", Some("success")));
    assert_eq!(event.workflow.unwrap().status, None);
}

#[tokio::test]
async fn a_webhook_for_which_there_is_no_room_comes_again() {
    let mut server = Server::start(1).await;
    let circleci = ended(Outcome::Success).await;
    let first = circleci.workflow_completed(circleci.workflows("acme/web", 1)[0]);
    let second = circleci.job_completed("acme/web", circleci.builds()[0].num);
    assert_eq!(server.circleci().send(&first).await, Some(200));
    assert_eq!(server.circleci().send(&second).await, Some(503));

    let outbound = server.circleci();
    let again = tokio::spawn(async move { outbound.deliver(&second, Duration::from_millis(200)).await });
    assert_eq!(server.events.recv().await.unwrap().kind, Kind::WorkflowCompleted);
    assert_eq!(server.events.recv().await.unwrap().kind, Kind::JobCompleted);
    assert_eq!(again.await.unwrap().last(), Some(&Some(200)));
    assert!(server.counted("busy") >= 1);
}

#[tokio::test]
async fn a_full_hundred_of_other_events_does_not_make_one_forgotten() {
    let mut server = Server::start(500).await;
    let event = |id: usize| json!({"id": format!("event-{id}"), "type": "workflow-completed"}).to_string();
    for id in 0..150 {
        assert_eq!(server.posts_signed(&event(id)).await.status, 200);
    }
    assert_eq!(server.posts_signed(&event(0)).await.body.trim(), "Received before.");
    // The memory has an end.
    for id in 150..200 {
        server.posts_signed(&event(id)).await;
    }
    server.posts_signed(&event(200)).await;
    assert_eq!(server.posts_signed(&event(0)).await.body.trim(), "Received.");
    let mut handed_over = 0;
    while server.events.try_recv().is_ok() {
        handed_over += 1;
    }
    assert_eq!(handed_over, 202);
}

#[tokio::test]
async fn a_webhook_that_is_not_signed_is_refused_and_written_down_once_a_minute() {
    let mut server = Server::start(8).await;
    let circleci = ended(Outcome::Success).await;
    let webhook = circleci.workflow_completed(circleci.workflows("acme/web", 1)[0]);
    for secret in [Some("another-secret"), None, Some("")] {
        assert_eq!(server.circleci_with(secret).send(&webhook).await, Some(401));
    }
    let good = signature(SECRET, "{}");
    for line in [
        String::new(),
        format!("circleci-signature: v2={good}\r\n"),
        format!("circleci-signature: {good}\r\n"),
        format!("circleci-signature: v1={good}x\r\n"),
        format!("circleci-signature: v1={good}\r\ncircleci-signature: v1={good}\r\n"),
        "circleci-signature: \u{fc}\r\n".to_owned(),
    ] {
        let answer = server.posts(&line, "{}").await;
        assert_eq!(answer.status, 401, "{line}");
        assert!(!answer.body.contains(SECRET) && !answer.body.contains(&good));
    }
    assert!(server.events.try_recv().is_err(), "nothing was handed over");
    assert_eq!(server.counted("unsigned"), 9);

    server.stops().await;
    let entries = server.audited().await;
    let count: u64 = entries.iter().map(|(_, _, _, detail)| detail["count"].as_u64().unwrap()).sum();
    assert!((1..=2).contains(&entries.len()) && count == 9, "{entries:#?}");
    assert!(
        entries
            .iter()
            .all(|(action, outcome, _, _)| (action.as_str(), outcome.as_str()) == ("webhook.refused", "denied"))
    );
}

#[tokio::test]
async fn a_test_ping_and_events_to_come_are_received_and_of_no_use() {
    let mut server = Server::start(8).await;
    assert_eq!(server.circleci().send(&test_ping()).await, Some(200));
    for body in ["{}", r#"{"type":"workflow-started","id":"x"}"#, r#"{"type":{"a":[1]}}"#] {
        assert_eq!(server.posts_signed(body).await.status, 200, "{body}");
    }
    assert!(server.events.try_recv().is_err());
    assert_eq!(server.counted("ignored"), 4);
}

#[tokio::test]
async fn nonsense_is_refused_even_when_it_is_signed() {
    let server = Server::start(8).await;
    for body in ["", "null", "[]", "{", "\u{0}\u{0}", &"[".repeat(100_000), "payload=%7B%7D"] {
        assert_eq!(server.posts_signed(body).await.status, 400);
    }
    assert_eq!(server.counted("not_understood"), 7);
    // The content type decides nothing.
    let body = r#"{"id":"1","type":"job-completed","new":{"field":[]}}"#;
    assert_eq!(server.posts(&format!("{}content-type: text/plain\r\n", signed(body)), body).await.status, 200);
}

#[tokio::test]
async fn without_a_secret_there_is_no_such_page_and_it_says_why() {
    let server = Server::start_with(None, 1).await;
    let answer = server.posts_signed("{}").await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("CIRCLECI_WEBHOOK_SECRET is not set"), "{}", answer.body);
    assert_eq!(server.gets("/webhooks/circleci").await.status, 404);
}

#[tokio::test]
async fn only_post_is_taken() {
    let server = Server::start(1).await;
    let answer = server.gets("/webhooks/circleci").await;
    assert_eq!(answer.status, 405);
    assert!(answer.head.contains("allow: post"), "{}", answer.head);
    let put = head_of("", 0).replacen("POST", "PUT", 1);
    assert_eq!(server.sends(put).await.status, 405);
}

#[tokio::test]
async fn the_bot_takes_webhooks_while_its_database_is_held_by_another_program() {
    let port = crate::health::free_port();
    let address = format!("127.0.0.1:{port}");
    let stage = Stage::with(&[("SLIPWAY_HTTP_ADDR", &address), ("CIRCLECI_WEBHOOK_SECRET", SECRET)]).await;
    stage.circleci.pipeline_by("somebody", "acme/web", "main");
    stage.circleci.finish_pipeline("acme/web", 1, Outcome::Success);
    let webhook = stage.circleci.workflow_completed(stage.circleci.workflows("acme/web", 1)[0]);
    let url = format!("http://{address}/webhooks/circleci");
    let held = stage.hold_database().await;
    let within = Duration::from_secs(1);
    let refused = timeout(within, Outbound::new(&url, Some("wrong")).send(&webhook)).await;
    let taken = timeout(within, Outbound::new(&url, Some(SECRET)).send(&webhook)).await;
    held.give_back().await;
    assert_eq!((refused, taken), (Ok(Some(401)), Ok(Some(200))));
    stage.finish().await;
}
