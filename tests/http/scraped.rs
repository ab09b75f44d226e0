//! `/metrics` as Prometheus reads it, and the answers that are nobody's.

use std::collections::BTreeSet;

use crate::health::free_port;
use crate::server::Server;
use crate::support::Stage;

/// Checks the text format 0.0.4: every sample belongs to a metric that was described before, and its value is a number.
fn check(text: &str) {
    assert!(text.ends_with('\n'));
    let mut described = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(described.insert(name.to_owned()), "{name} is described twice");
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap();
            let name = series.split('{').next().unwrap();
            let of_histogram = ["_bucket", "_sum", "_count"].iter().filter_map(|end| name.strip_suffix(end));
            let known = of_histogram.chain([name]).any(|name| described.contains(name));
            assert!(known && name.starts_with("slipway_"), "{line}");
        }
    }
    assert!(described.len() >= 10, "{text}");
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let server = Server::start(1).await;
    server.posts("", "{}").await;
    let answer = server.gets("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{}", answer.head);
    check(&answer.body);
    assert!(answer.body.contains("slipway_webhooks_total{result=\"unsigned\"} 1"), "{}", answer.body);
}

#[tokio::test]
async fn other_paths_are_not_found_and_the_server_says_nothing_of_itself() {
    let server = Server::start(1).await;
    for path in ["/", "/webhooks", "/webhooks/circleci/", "/metrics/x", "/.env", "/healthz/../metrics"] {
        let answer = server.gets(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.head.contains("text/plain") && !answer.head.contains("server:"), "{}", answer.head);
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
    }
}

#[tokio::test]
async fn a_deploy_is_counted_and_names_nobody() {
    let address = format!("127.0.0.1:{}", free_port());
    let stage = Stage::with(&[("SLIPWAY_HTTP_ADDR", &address)]).await;
    stage.root().adds_repo("acme/web").await;
    stage.root().lets("alice", "deploy").await;
    let card = stage.alice().deploys("acme/web", "main").await.answer().await;
    assert!(card.text().contains("queued"), "{}", card.text());

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("http://{address}/metrics")).send().await.unwrap();
    let text = answer.text().await.unwrap();
    check(&text);
    assert!(text.contains("slipway_triggers_total{kind=\"pipeline\",result=\"taken\"} 1"), "{text}");
    assert!(text.contains("slipway_acknowledgement_seconds_count 3"), "{text}");
    assert!(!text.contains("slipway_discord_buckets 0"), "{text}");
    let member = stage.alice().member.id.to_string();
    let guild = stage.discord.guild_id().to_string();
    for name in ["acme", "alice", &member, &guild] {
        assert!(!text.contains(name), "{name} is told to everybody: {text}");
    }
    stage.finish().await;
}
