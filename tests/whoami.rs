//! `/whoami`: what the asker may do here, as it is decided.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use support::discord::CommandCall;
use support::stage::grant;
use support::{Person, Stage};

async fn whoami(stage: &Stage, who: &Person<'_>) -> String {
    let answer = who.hears(CommandCall::new("whoami")).await;
    assert!(answer.ephemeral, "{}", answer.text());
    stage.tidy(&answer).replace("(only you can see this)\n", "")
}

#[tokio::test]
async fn it_tells_by_repository_and_environment_what_one_may_do() {
    let stage = Stage::start().await;
    let set = CommandCall::new("environment").sub("set").string("repo", "acme/web").string("name", "staging");
    stage.root().hears(set).await;
    stage.root().adds_repo("globex/api").await;
    let crew = stage.discord.role("crew");
    let bob = stage.person_with("bob", &[crew]);
    let acme = |action: &str| grant(crew, action).string("repo", "acme/*");
    stage.root().grants(acme("deploy").string("branch", "release/*").string("environment", "staging")).await;
    stage.root().grants(acme("deploy").string("branch", "main")).await;
    stage.root().grants(acme("cancel").string("expires", "8h")).await;
    stage.root().grants(acme("cancel").string("effect", "deny").string("branch", "hotfix/*")).await;
    stage.root().grants(grant(bob.id, "rollback").string("environment", "prod*")).await;
    stage.root().grants(grant(bob.id, "rollback").string("effect", "deny").string("repo", "globex/*")).await;

    insta::assert_snapshot!(whoami(&stage, &bob).await, @"
    # What bob may do here
    `acme/web` `production`: **view**, **deploy** (branch `main`), **cancel** (not `hotfix/*`; until a time (a time)), **rollback**
    `acme/web` `staging`: **view**, **deploy** (branch `release/*`, `main`), **cancel** (not `hotfix/*`; until a time (a time))
    `globex/api` `production`: **view**
    `/permission check` tells which rules say so.
    ");
    insta::assert_snapshot!(whoami(&stage, &stage.root()).await, @"
    # What root may do here
    You have an owner's rights (`SLIPWAY_OWNERS`): you may do everything, whatever rules say, except approve your own deploy.
    ");
    stage.finish().await;
}

#[tokio::test]
async fn what_may_not_be_seen_is_not_told() {
    let stage = Stage::start().await;
    stage.root().grants(grant(stage.discord.guild_id(), "view").string("effect", "deny")).await;
    insta::assert_snapshot!(whoami(&stage, &stage.bob()).await, @"
    # What bob may do here
    There is no repository here that you may see. `/permission check` tells why for one; whoever administers Slipway here can grant more.
    ");
    stage.finish().await;
}
