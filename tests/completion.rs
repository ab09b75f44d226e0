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
    let all = offered(&stage, &stage.root(), branch("")).await;
    assert_eq!(all[..3], ["main", "feature/login", "release/1.2"]);
    assert_eq!(offered(&stage, &stage.root(), branch("rel")).await, ["release/1.2"]);
    assert_eq!(
        offered(&stage, &stage.root(), deploy().string("repo", "acme/none").typing("branch", "")).await,
        [""; 0]
    );
    assert_eq!(offered(&stage, &stage.root(), deploy().typing("branch", "")).await, [""; 0]);
    stage.finish().await;
}

#[tokio::test]
async fn circleci_is_asked_once_in_a_while_and_not_at_every_key() {
    let stage = Stage::start().await;
    for typed in ["", "m", "ma", "mai"] {
        offered(&stage, &stage.root(), deploy().string("repo", "acme/web").typing("branch", typed)).await;
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

        let branches = offered(&stage, &stage.root(), deploy().string("repo", "acme/web").typing("branch", "")).await;

        assert_eq!(branches, ["develop"]);
        stage.finish().await;
    }
}

#[tokio::test]
async fn environments_and_commands() {
    let stage = Stage::start().await;
    let environment = || deploy().string("repo", "acme/web").string("branch", "main").typing("environment", "");
    assert_eq!(offered(&stage, &stage.alice(), environment()).await, ["production"]);
    assert_eq!(offered(&stage, &stage.bob(), environment()).await, [""; 0]);
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

#[tokio::test]
async fn branches_of_which_the_person_may_deploy_and_which_the_environment_takes() {
    let stage = Stage::start().await;
    for branch in ["main", "release/1.2", "feature/login"] {
        stage.circleci.pipeline_by("somebody", "acme/web", branch);
    }
    let branch = || deploy().string("repo", "acme/web").typing("branch", "");
    assert_eq!(offered(&stage, &stage.bob(), branch()).await, [""; 0]);
    let grant = |pattern: &str, effect: &str| {
        let call = CommandCall::new("permission").sub("grant").mentionable("who", stage.bob().id);
        call.string("action", "deploy").string("branch", pattern).string("effect", effect)
    };
    stage.root().grants(grant("{main,release/*}", "allow")).await;
    stage.root().grants(grant("main", "deny")).await;
    assert_eq!(offered(&stage, &stage.bob(), branch()).await, ["release/1.2"]);
    let set = CommandCall::new("environment").sub("set").string("repo", "acme/web").string("name", "production");
    stage.root().hears(set.string("branches", "feature/*")).await;
    assert_eq!(offered(&stage, &stage.root(), branch()).await, ["feature/login"]);
    stage.finish().await;
}

#[tokio::test]
async fn repositories_that_were_deployed_lately_come_first() {
    let stage = Stage::start().await;
    for name in ["acme/api", "acme/zoo"] {
        stage.root().adds_repo(name).await;
    }
    for repo in ["acme/web", "acme/zoo"] {
        stage.root().deploys(repo, "main").await.answer().await;
    }
    assert_eq!(offered(&stage, &stage.root(), deploy().typing("repo", "")).await, ["acme/zoo", "acme/web", "acme/api"]);
    stage.finish().await;
}

#[tokio::test]
async fn rules_that_the_person_may_revoke_and_requests_that_they_may_decide() {
    let stage = Stage::start().await;
    let revoke = || CommandCall::new("permission").sub("revoke").typing("id", "");
    let labels = async |who: &Person<'_>, call: CommandCall| -> Vec<String> {
        stage.discord.autocomplete(who, call).await.choices().await.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(labels(&stage.alice(), revoke()).await, [""; 0], "a rule about oneself is not one's own to revoke");
    assert_eq!(
        labels(&stage.root(), revoke()).await,
        ["#2 allow deploy repo * branch * environment *", "#1 allow view repo * branch * environment *"]
    );
    let request = CommandCall::new("access").sub("request").string("repo", "acme/web").string("reason", "x");
    stage.bob().hears(request).await;
    let on = |word: &str| CommandCall::new("access").sub(word).typing("id", "");
    assert_eq!(labels(&stage.root(), on("approve")).await, ["#1 bob: deploy in production of acme/web"]);
    assert_eq!(labels(&stage.root(), on("withdraw")).await, [""; 0]);
    assert_eq!(labels(&stage.bob(), on("approve")).await, [""; 0]);
    assert_eq!(labels(&stage.bob(), on("withdraw")).await, ["#1 bob: deploy in production of acme/web"]);
    stage.finish().await;
}
