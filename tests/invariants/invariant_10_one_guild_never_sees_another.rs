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
    let about = |entries: Vec<support::database::Entry>| {
        entries.iter().filter(|entry| entry.action == "deploy.requested").count()
    };
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

/// Whatever a person of another guild presses, is offered or sends, by ids that exist here: the answer is that of ids that don't.
#[tokio::test]
async fn forged_ids_and_other_guilds_names_find_nothing() {
    let stage = Stage::with(&[("DISCORD_GUILD_ID", "")]).await;
    stage.root().adds_repo("acme/web").await;
    stage.root().lets("alice", "deploy").await;
    let deployed = alice_deploys(&stage).await.answer_when(|card| card.text().contains("Deploy #1 is queued")).await;
    let other = stage.discord.guild("other");
    let root = stage.person_of(&other, "root");
    let call = |name: &str, sub: &str| CommandCall::new(name).sub(sub);

    for (id, nothing) in [
        ("/deploys cancel 1", "/deploys cancel 2"),
        ("/deploys retry 1", "/deploys retry 2"),
        ("/deploys approve 1", "/deploys approve 2"),
        ("/repo remove acme/web sure:True", "/repo remove acme/wob sure:True"),
        ("/environment remove acme/web production sure:True", "/environment remove acme/wob production sure:True"),
        ("/rollback acme/web to:1 live:1", "/rollback acme/wob to:1 live:1"),
        ("/access approve 1", "/access approve 2"),
    ] {
        let pressed = stage.discord.press_forged(&root, &deployed, id).await.answer().await;
        let same = stage.discord.press_forged(&root, &deployed, nothing).await.answer().await;
        let as_if = |text: String| text.replace("#1", "#2").replace("acme/web", "acme/wob");
        assert_eq!(as_if(pressed.text()), as_if(same.text()), "{id}");
        assert!(pressed.ephemeral, "{id}");
    }
    for call in [
        call("repo", "edit").string("name", "acme/web").string("default_branch", "main"),
        call("repo", "show").string("name", "acme/web"),
        call("environment", "set").string("repo", "acme/web").string("name", "staging"),
        call("environment", "parameter")
            .string("repo", "acme/web")
            .string("environment", "production")
            .string("name", "A"),
        call("environment", "show").string("repo", "acme/web").string("name", "production"),
        call("access", "request").string("repo", "acme/web").string("reason", "x"),
    ] {
        let answer = root.hears(call).await.text();
        assert!(answer.contains("not registered here"), "{answer}");
    }
    for (call, option) in [
        (CommandCall::new("deploy"), "repo"),
        (CommandCall::new("deploy").string("repo", "acme/web"), "branch"),
        (call("environment", "show").string("repo", "acme/web"), "name"),
        (call("deploys", "show"), "id"),
        (call("access", "approve"), "id"),
    ] {
        let offered = stage.discord.autocomplete(&root, call.typing(option, "")).await.choices().await;
        assert_eq!(offered, [], "{option}");
    }
    let rules = stage.discord.autocomplete(&root, call("permission", "revoke").typing("id", "")).await.choices().await;
    assert_eq!(rules.len(), 1, "their own starting rule");
    assert_eq!(stage.states().await.len(), 1);
    assert!(root.hears(CommandCall::new("whoami")).await.text().contains("owner"));
    stage.finish().await;
}
