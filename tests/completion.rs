//! What is offered while an option is typed: only what the person may see, and in time even when CircleCI is not.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use std::time::Duration;

use support::circleci::{Fault, Route};
use support::discord::CommandCall;
use support::{Person, Stage};

/// The choices that `who` is offered.
async fn offered(stage: &Stage, who: &Person<'_>, call: CommandCall) -> Vec<String> {
    let typed = stage.discord.autocomplete(who, call).await;
    let choices = typed.choices().await;
    assert!(typed.acknowledged().await.after < Duration::from_secs(3));
    choices
        .into_iter()
        .map(|(name, value)| {
            assert_eq!(value, name);
            name
        })
        .collect()
}

fn deploy() -> CommandCall {
    CommandCall::new("deploy")
}

fn list() -> CommandCall {
    CommandCall::new("deploys").sub("list")
}

#[tokio::test]
async fn repositories_that_the_person_may_see() {
    let stage = Stage::start().await;
    for name in ["acme/api", "acme/website", "other/web"] {
        stage.root().adds_repo(name).await;
    }
    assert_eq!(offered(&stage, &stage.bob(), list().typing("repo", "ACME/W")).await, ["acme/web", "acme/website"]);
    assert_eq!(offered(&stage, &stage.bob(), list().typing("repo", "")).await.len(), 4);

    let hide = CommandCall::new("permission").sub("grant").mentionable("who", stage.discord.guild_id());
    stage.root().grants(hide.string("action", "view").string("effect", "deny").string("repo", "other/*")).await;
    assert_eq!(offered(&stage, &stage.bob(), list().typing("repo", "web")).await, ["acme/web", "acme/website"]);
    let branch = deploy().string("repo", "other/web").typing("branch", "");
    assert_eq!(offered(&stage, &stage.bob(), branch).await, [""; 0]);
    stage.finish().await;
}

#[tokio::test]
async fn only_places_where_the_person_may_do_what_the_command_does() {
    let stage = Stage::start().await;
    let set = CommandCall::new("environment").sub("set").string("repo", "acme/web").string("name", "staging");
    stage.root().hears(set).await;
    stage.root().adds_repo("acme/api").await;
    let bob = stage.bob();
    let grant = |action: &str| {
        let call = CommandCall::new("permission").sub("grant").mentionable("who", bob.id).string("action", action);
        call.string("repo", "acme/web").string("environment", "staging")
    };
    assert_eq!(offered(&stage, &bob, deploy().typing("repo", "")).await, [""; 0]);
    stage.root().grants(grant("deploy")).await;
    assert_eq!(offered(&stage, &bob, deploy().typing("repo", "")).await, ["acme/web"]);
    let environment = |name: &str| CommandCall::new(name).string("repo", "acme/web").typing("environment", "");
    let to_deploy = deploy().string("repo", "acme/web").string("branch", "main").typing("environment", "");
    assert_eq!(offered(&stage, &bob, to_deploy).await, ["staging"]);
    assert_eq!(offered(&stage, &bob, environment("rollback")).await, [""; 0]);
    // What was not offered is asked for all the same.
    let refused = bob.deploys("acme/api", "main").await.answer().await;
    assert!(refused.text().contains("Not permitted"), "{}", refused.text());
    stage.finish().await;
}

#[tokio::test]
async fn branches_the_default_first_then_those_deployed_here_then_circlecis() {
    let stage = Stage::empty().await;
    let add = CommandCall::new("repo").sub("add").string("name", "acme/web").string("default_branch", "main");
    stage.root().hears(add).await;
    stage.circleci.pipeline_by("somebody", "acme/web", "release/1.2");
    stage.root().deploys("acme/web", "feature/login").await.answer().await;

    let branch = |typed: &str| deploy().string("repo", "acme/web").typing("branch", typed);
    let all = offered(&stage, &stage.bob(), branch("")).await;
    assert_eq!(all[..3], ["main", "feature/login", "release/1.2"]);
    assert_eq!(offered(&stage, &stage.bob(), branch("rel")).await, ["release/1.2"]);
    assert_eq!(offered(&stage, &stage.bob(), deploy().string("repo", "acme/none").typing("branch", "")).await, [""; 0]);
    assert_eq!(offered(&stage, &stage.bob(), deploy().typing("branch", "")).await, [""; 0]);
    stage.finish().await;
}

#[tokio::test]
async fn circleci_is_asked_once_in_a_while_and_not_at_every_key() {
    let stage = Stage::start().await;
    for typed in ["", "m", "ma", "mai"] {
        offered(&stage, &stage.bob(), deploy().string("repo", "acme/web").typing("branch", typed)).await;
    }
    assert_eq!(stage.circleci.requests_to(Route::Branches).len(), 1);
    stage.finish().await;
}

#[tokio::test]
async fn in_time_when_circleci_hangs_or_fails() {
    for fault in [Fault::HangBefore, Fault::Html502, Fault::DropBefore] {
        let stage = Stage::start().await;
        stage.alice().deploys("acme/web", "develop").await.answer().await;
        stage.circleci.fault(Route::Any, fault, usize::MAX);

        let branches = offered(&stage, &stage.bob(), deploy().string("repo", "acme/web").typing("branch", "")).await;

        assert_eq!(branches, ["develop"]);
        stage.finish().await;
    }
}

#[tokio::test]
async fn environments_rules_and_commands() {
    let stage = Stage::start().await;
    let environment = || deploy().string("repo", "acme/web").string("branch", "main").typing("environment", "");
    assert_eq!(offered(&stage, &stage.alice(), environment()).await, ["production"]);
    assert_eq!(offered(&stage, &stage.bob(), environment()).await, [""; 0]);
    let rule = || CommandCall::new("permission").sub("revoke").typing("id", "");
    assert_eq!(offered(&stage, &stage.root(), rule()).await, ["#1", "#2"]);
    assert_eq!(offered(&stage, &stage.bob(), rule()).await, ["#1"]);
    let help = CommandCall::new("help").typing("command", "perm");
    let commands = ["permission grant", "permission revoke", "permission list", "permission check"];
    assert_eq!(offered(&stage, &stage.bob(), help).await, commands);
    stage.finish().await;
}

#[tokio::test]
async fn at_most_25_and_hostile_typing_does_no_harm() {
    let stage = Stage::empty().await;
    for number in 0..26 {
        stage.root().adds_repo(&format!("acme/number-{number}")).await;
    }
    assert_eq!(offered(&stage, &stage.root(), deploy().typing("repo", "number")).await.len(), 25);
    let long = "x".repeat(5_000);
    for typed in ["@everyone", "../../me", "' OR 1=1 --", "%", "_", "\u{1b}[31m", long.as_str()] {
        assert_eq!(offered(&stage, &stage.root(), deploy().typing("repo", typed)).await, [""; 0]);
        let branch = deploy().string("repo", typed).typing("branch", typed);
        assert_eq!(offered(&stage, &stage.bob(), branch).await, [""; 0]);
    }
    assert_eq!(stage.audit().await.iter().filter(|entry| entry.outcome == "denied").count(), 0);
    stage.finish().await;
}
