//! Lists: ten at a time, with buttons that turn the pages and do nothing else.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use support::Stage;
use support::discord::{CommandCall, MessageView};

fn list() -> CommandCall {
    CommandCall::new("repo").sub("list")
}

async fn with_repos(count: usize) -> Stage {
    let stage = Stage::empty().await;
    for number in 1..=count {
        stage.root().adds_repo(&format!("acme/app-{number:02}")).await;
    }
    stage
}

async fn page(stage: &Stage, id: u64, words: &str) -> MessageView {
    stage
        .discord
        .message_when(stage.discord.channel_id(), |message| message.id == id && message.text().contains(words))
        .await
}

#[tokio::test]
async fn pages_turn_both_ways_in_the_same_message() {
    let stage = with_repos(12).await;
    let first = stage.alice().hears(list()).await;
    assert!(first.text().contains("app-10") && !first.text().contains("app-11"), "{}", first.text());
    assert!(first.text().contains("Page 1 of 2, 12 in all."), "{}", first.text());

    stage.discord.press(&stage.alice(), &first, "Older").await.acknowledged().await;
    let second = page(&stage, first.id, "Page 2 of 2").await;
    assert!(second.text().contains("app-11") && !second.text().contains("app-10"), "{}", second.text());
    let labels: Vec<String> = second.buttons().into_iter().map(|button| button.label).collect();
    assert_eq!(labels, ["Newer"]);

    stage.discord.press(&stage.alice(), &second, "Newer").await.acknowledged().await;
    page(&stage, first.id, "Page 1 of 2").await;
    stage.finish().await;
}

#[tokio::test]
async fn a_forged_button_runs_nothing_but_lists() {
    let stage = with_repos(11).await;
    stage.root().lets("alice", "deploy").await;
    let shown = stage.alice().hears(list()).await;
    for forged in [
        "/deploy acme/app-01 main",
        "deploy acme/app-01 main",
        "/repo remove acme/app-01",
        "/quit",
        "/as root",
        "\"",
        "x",
    ] {
        let answer = stage.discord.press_forged(&stage.alice(), &shown, forged).await.answer().await;
        assert!(answer.ephemeral && answer.text().contains("That button is not known"), "{forged}: {}", answer.text());
    }
    assert_eq!(stage.circleci.triggers(), 0);
    assert_eq!(stage.states().await, Vec::<String>::new());
    stage.finish().await;
}

#[tokio::test]
async fn a_list_whose_next_page_fits_no_button_says_what_to_do() {
    let stage = Stage::empty().await;
    for number in 0..11 {
        let who = stage.person(&format!("person-{number}")).id;
        stage.root().grants(support::stage::grant(who, "deploy")).await;
    }
    let long = format!("acme/{}", "w".repeat(90));
    let list = CommandCall::new("permission").sub("list").string("repo", &long);
    let answer = stage.root().hears(list).await;
    assert!(answer.buttons().is_empty() && answer.text().contains("Ask for fewer at a time"), "{}", answer.text());
    stage.finish().await;
}
