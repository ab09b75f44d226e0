//! Invariant 1: nothing happens without a matching allow, and one deny is enough to refuse.

use super::*;

async fn is_denied(stage: &Stage, who: &Person<'_>) -> String {
    let before = stage.audited("deploy.denied").await;
    let asked = who.deploys("acme/web", "main").await;
    let answer = asked.answer().await;
    assert!(asked.acknowledged().await.ephemeral && answer.text().contains("Not permitted"), "{}", answer.text());
    assert_eq!(stage.audited("deploy.denied").await, before + 1);
    assert_eq!((stage.circleci.requests().len(), stage.states().await.len()), (0, 0));
    stage.tidy(&answer)
}

#[tokio::test]
async fn without_a_matching_allow_nothing_happens() {
    let stage = Stage::start().await;
    let bob = stage.bob();
    insta::assert_snapshot!(is_denied(&stage, &bob).await, @"
    (only you can see this)
    # Not permitted
    You need the permission `deploy` for `acme/web`, branch `main`, environment `production`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
    [Request access](/access request acme/web environment:production action:deploy)
    ");

    let almost = [
        grant(bob.id, "view"),
        grant(bob.id, "approve"),
        grant(bob.id, "deploy").string("repo", "acme/webs"),
        grant(bob.id, "deploy").string("branch", "release/*"),
        grant(bob.id, "deploy").string("environment", "staging"),
        grant(stage.discord.role("deployers"), "deploy"),
    ];
    for rule in almost {
        stage.root().grants(rule).await;
        is_denied(&stage, &bob).await;
    }
    stage.finish().await;
}

#[tokio::test]
async fn an_administrator_of_the_discord_server_may_do_nothing_more() {
    let stage = Stage::start().await;
    let boss = stage.bob().administrator();
    is_denied(&stage, &boss).await;
    let answer = boss.hears(grant(boss.id, "deploy")).await;
    assert!(answer.text().contains("Not permitted"), "{}", answer.text());
    stage.finish().await;
}

#[tokio::test]
async fn one_deny_is_enough() {
    let stage = Stage::start().await;
    stage.root().grants(grant(stage.alice().id, "deploy").string("repo", "acme/web")).await;
    stage.root().grants(grant(stage.alice().id, "deploy").string("branch", "ma*").string("effect", "deny")).await;
    insta::assert_snapshot!(is_denied(&stage, &stage.alice()).await, @"
    (only you can see this)
    # Not permitted
    You need the permission `deploy` for `acme/web`, branch `main`, environment `production`, but it is denied by rule `#4`. One denial outweighs every grant: it ends with `/permission revoke`. That can be done by @somebody. Nothing was done.
    ");
    stage.finish().await;
}

#[tokio::test]
async fn a_permission_lost_between_the_check_and_the_record_is_lost() {
    let stage = Stage::start().await;
    let mut database = stage.hold_database().await;
    let asked = alice_deploys(&stage).await;
    asked.acknowledged().await;

    database.write("UPDATE rule SET revoked_at = 1 WHERE action = 'deploy'").await;
    database.give_back().await;

    let answer = asked.answer().await;
    assert!(answer.text().contains("Not permitted"), "{}", answer.text());
    nothing_came_of_it(stage).await;
}
