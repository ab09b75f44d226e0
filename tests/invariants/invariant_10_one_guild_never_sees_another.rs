//! Invariant 10: one guild never sees another.

use super::*;

#[tokio::test]
async fn rules_repositories_deploys_and_entries_belong_to_their_guild() {
    let stage = Stage::with(&[("DISCORD_GUILD_ID", "")]).await;
    stage.root().adds_repo("acme/web").await;
    stage.root().lets("alice", "deploy").await;
    stage.root().lets("alice", "admin").await;
    alice_deploys(&stage).await.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;
    let other = stage.discord.guild("other");
    let (root, alice) = (stage.person_of(&other, "root"), stage.person_of(&other, "alice"));
    let hears = async |who: &Person<'_>, call: CommandCall| who.hears(call).await.text();

    let there = hears(&root, deploy("acme/web", "main")).await;
    assert!(there.contains("not registered here"), "{there}");
    let there = hears(&root, CommandCall::new("repo").sub("list")).await;
    assert!(there.contains("No repository"), "{there}");
    let there = hears(&root, CommandCall::new("permission").sub("list")).await;
    assert!(there.contains("#1") && !there.contains("#2"), "{there}");
    let there = hears(&root, CommandCall::new("permission").sub("revoke").string("id", "#2")).await;
    assert!(there.contains("There is no rule"), "{there}");
    let there = hears(&alice, grant(alice.id, "deploy")).await;
    assert!(there.contains("Not permitted"), "{there}");

    let added = hears(&root, CommandCall::new("repo").sub("add").string("name", "acme/web")).await;
    assert!(added.contains("is registered"), "{added}");
    let there = hears(&alice, deploy("acme/web", "main")).await;
    assert!(there.contains("Not permitted"), "a right in one guild is none in another: {there}");
    let asked = root.deploys("acme/web", "main").await;
    asked.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;

    let removed = root.removes(CommandCall::new("repo").sub("remove").string("name", "acme/web")).await.text();
    assert!(removed.contains("is removed"), "{removed}");
    alice_deploys(&stage).await.answer_when(|card| card.text().contains("Deploy #2 is queued")).await;
    let about =
        |entries: Vec<support::stage::Entry>| entries.iter().filter(|entry| entry.action == "deploy.requested").count();
    assert_eq!((about(stage.audit().await), about(stage.audit_of(other.id).await)), (2, 1));
    stage.finish().await;
}

#[tokio::test]
async fn a_role_of_another_guild_gives_nothing() {
    let stage = Stage::with(&[("DISCORD_GUILD_ID", "")]).await;
    stage.root().adds_repo("acme/web").await;
    // Everyone here may deploy; everyone there may not.
    stage.root().grants(grant(stage.discord.guild_id(), "deploy")).await;
    let other = stage.discord.guild("other");
    stage.person_of(&other, "root").hears(CommandCall::new("repo").sub("add").string("name", "acme/web")).await;

    let there = stage.person_of(&other, "bob").deploys("acme/web", "main").await.answer().await;
    assert!(there.text().contains("Not permitted"), "{}", there.text());
    let here = stage.bob().deploys("acme/web", "main").await;
    here.answer_when(|card| card.text().contains("is queued")).await;
    stage.finish().await;
}
