//! `/deploys`: looking at deploys, and what people do to them while they run and afterwards.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

#[path = "../support/mod.rs"]
mod support;

mod approvals;
mod cancels;
mod lists;
mod reruns;
mod retries;

use slipway::circleci::sandbox::timeline::Outcome;
use support::circleci::{Fault, Route};
use support::discord::{CommandCall, Interaction, MessageView};
use support::stage::grant;
use support::{Person, Stage};

fn deploys(sub: &str) -> CommandCall {
    CommandCall::new("deploys").sub(sub)
}

fn of(sub: &str, id: &str) -> CommandCall {
    deploys(sub).string("id", id)
}

/// CircleCI has taken it; how far it is by now nobody knows.
fn taken(card: &MessageView) -> bool {
    ["is queued", "is running"].iter().any(|words| card.text().contains(words))
}

/// Alice deploys `branch`, and CircleCI has taken it.
async fn queued(stage: &Stage, branch: &str) -> Interaction {
    let asked = stage.alice().deploys("acme/web", branch).await;
    asked.answer_when(taken).await;
    asked
}

/// Alice deploys `branch`, and its pipeline has this number and runs.
async fn running(stage: &Stage, branch: &str, number: u64) -> Interaction {
    let asked = queued(stage, branch).await;
    stage.circleci.begin_pipeline("acme/web", number);
    asked.answer_when(|card| card.text().contains("is running")).await;
    asked
}

/// Alice deploys `branch`, and its pipeline has failed.
async fn failed(stage: &Stage, branch: &str, number: u64) -> (Interaction, MessageView) {
    let asked = queued(stage, branch).await;
    stage.circleci.fail_pipeline_with_output("acme/web", number, "Deploy", "no space left on device\n");
    let card = asked.answer_when(|card| card.text().contains("is failed") && card.text().contains("no space")).await;
    (asked, card)
}

/// What a message says; commits by their branches, and approvals without their ids: those differ from run to run.
fn tidy(stage: &Stage, message: &MessageView) -> String {
    let heads = stage.circleci.project("acme/web").branches;
    let named = |text: String, (branch, head): (String, String)| text.replace(&head[..7], &format!("head-of-{branch}"));
    let text = heads.into_iter().fold(stage.tidy(message).replace('\u{200b}', "·"), named);
    let mut parts = text.split("hold:");
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |text, part| format!("{text}hold:AN-ID{}", &part[36..]))
}

/// The whole answer, only for the person's eyes.
async fn hears(stage: &Stage, who: &Person<'_>, call: CommandCall) -> String {
    let answer = who.hears(call).await;
    assert!(answer.ephemeral, "{}", answer.text());
    tidy(stage, &answer).replace("(only you can see this)\n", "")
}

async fn until_audited(stage: &Stage, action: &str, count: usize) {
    while stage.audited(action).await < count {
        tokio::task::yield_now().await;
    }
}
