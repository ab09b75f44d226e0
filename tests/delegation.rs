//! Administration that is delegated: an admin of a scope makes and ends rules inside it, and gives away no more than they hold.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use support::discord::CommandCall;
use support::stage::grant;
use support::{Person, Stage};

/// Bob administers `acme/*` and may deploy there.
async fn stage() -> Stage {
    let stage = Stage::start().await;
    for action in ["admin", "deploy"] {
        stage.root().grants(grant(stage.bob().id, action).string("repo", "acme/*")).await;
    }
    stage
}

async fn hears(stage: &Stage, who: &Person<'_>, call: CommandCall) -> String {
    let answer = who.hears(call).await;
    assert!(answer.ephemeral, "{}", answer.text());
    stage.tidy(&answer).replace("(only you can see this)\n", "")
}

fn revoke(id: &str) -> CommandCall {
    CommandCall::new("permission").sub("revoke").string("id", id)
}

#[tokio::test]
async fn an_admin_of_a_scope_makes_and_ends_rules_inside_it() {
    let stage = stage().await;
    let carol = stage.person("carol").id;
    for repo in ["acme/web", "acme/*", "acme/w*", "ACME/{web,api}"] {
        let made = hears(&stage, &stage.bob(), grant(carol, "deploy").string("repo", repo)).await;
        assert!(made.contains("is made"), "{repo}: {made}");
    }
    let deny =
        hears(&stage, &stage.bob(), grant(carol, "cancel").string("repo", "acme/web").string("effect", "deny")).await;
    assert!(deny.contains("is made"), "{deny}");
    let ended = hears(&stage, &stage.bob(), revoke("#5")).await;
    assert!(ended.contains("Rule #5 is revoked"), "{ended}");
    stage.finish().await;
}

#[tokio::test]
async fn nobody_gives_away_more_than_they_hold() {
    let stage = stage().await;
    let carol = stage.person("carol").id;
    let refused = [
        grant(carol, "deploy"),
        grant(carol, "deploy").string("repo", "acme*"),
        grant(carol, "deploy").string("repo", "*/web"),
        grant(carol, "admin").string("repo", "globex/*"),
        grant(carol, "rollback").string("repo", "acme/web"),
        grant(stage.bob().id, "admin"),
        grant(stage.bob().id, "override").string("repo", "acme/web"),
        grant(stage.discord.guild_id(), "deploy").string("repo", "{acme,globex}/web"),
    ];
    let before = stage.audited("permission.granted").await;
    let count = refused.len();
    let mut told = Vec::new();
    for call in refused {
        told.push(hears(&stage, &stage.bob(), call).await);
    }
    assert!(told.iter().all(|text| text.contains("Nothing was done") || text.contains("# Not done")), "{told:#?}");
    insta::assert_snapshot!([told[0].as_str(), told[4].as_str()].join("\n"), @"
    # Not permitted
    You need the permission `admin` for repo `*`, branch `*`, environment `*`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
    # Not done
    You don't hold `rollback` yourself over all of repo `acme/web`, branch `*`, environment `*`, and nobody gives away more than they hold. Narrow the patterns to what you hold (`/permission list` shows it), or ask somebody who holds more.
    ");
    assert_eq!(stage.audited("permission.granted").await, before);
    assert_eq!(stage.audited("permission.denied").await, count);
    stage.finish().await;
}

#[tokio::test]
async fn nor_for_longer_than_they_hold_it() {
    let stage = Stage::start().await;
    stage.root().grants(grant(stage.bob().id, "admin").string("repo", "acme/*").string("expires", "8h")).await;
    stage.root().grants(grant(stage.bob().id, "deploy").string("repo", "acme/*")).await;
    let carol = stage.person("carol").id;
    let call = || grant(carol, "deploy").string("repo", "acme/web");
    for longer in [call(), call().string("expires", "9h")] {
        let told = hears(&stage, &stage.bob(), longer).await;
        assert!(
            told.contains("You hold that yourself until") && told.contains("It must end no later than that"),
            "{told}"
        );
    }
    let made = hears(&stage, &stage.bob(), call().string("expires", "7h")).await;
    assert!(made.contains("is made"), "{made}");
    stage.finish().await;
}

#[tokio::test]
async fn a_denial_that_binds_an_admin_is_not_theirs_to_lift() {
    let stage = stage().await;
    let deny = grant(stage.bob().id, "deploy").string("repo", "acme/web").string("effect", "deny");
    stage.root().grants(deny).await;
    let told = hears(&stage, &stage.bob(), revoke("#5")).await;
    insta::assert_snapshot!(told, @"
    # Not done
    Rule `#5` denies `deploy`, which you don't hold there yourself, and nobody gives away more than they hold. Somebody who holds it there can revoke the rule, an owner for one.
    ");
    // Nor may they give away what they are denied.
    let given = hears(&stage, &stage.bob(), grant(stage.person("carol").id, "deploy").string("repo", "acme/web")).await;
    assert!(given.contains("You don't hold `deploy` yourself"), "{given}");
    let lifted = stage.root().hears(revoke("#5")).await.text();
    assert!(lifted.contains("Rule #5 is revoked"), "{lifted}");
    stage.finish().await;
}

#[tokio::test]
async fn rules_outside_of_the_scope_are_neither_seen_nor_told_of() {
    let stage = stage().await;
    stage.root().grants(grant(stage.person("carol").id, "deploy").string("repo", "globex/api")).await;
    let listed = hears(&stage, &stage.bob(), CommandCall::new("permission").sub("list")).await;
    assert!(!listed.contains("globex"), "{listed}");
    let there = hears(&stage, &stage.bob(), revoke("#5")).await;
    let not_there = hears(&stage, &stage.bob(), revoke("#77")).await;
    assert_eq!(there.replace("#5", "#77"), not_there);
    stage.finish().await;
}
