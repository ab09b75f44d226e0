//! `/permission`: who may do what, asked and changed through Discord.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use std::time::Duration;

use support::discord::CommandCall;
use support::stage::grant;
use support::{Person, Stage};

fn permission(name: &str) -> CommandCall {
    CommandCall::new("permission").sub(name)
}

fn revoke(id: &str) -> CommandCall {
    permission("revoke").string("id", id)
}

/// What `who` hears, without what differs from run to run.
async fn hears(stage: &Stage, who: &Person<'_>, call: CommandCall) -> String {
    let answer = who.hears(call).await;
    assert!(answer.ephemeral, "{}", answer.text());
    stage.tidy(&answer)
}

async fn may_deploy(who: &Person<'_>, repo: &str, branch: &str) -> bool {
    let answer = who.deploys(repo, branch).await.answer_when(|card| !card.text().contains("triggering")).await.text();
    assert!(answer.contains("Not permitted") || answer.contains("is queued"), "{answer}");
    answer.contains("is queued")
}

#[tokio::test]
async fn a_rule_is_granted_listed_checked_and_revoked() {
    let stage = Stage::empty().await;
    let (root, bob) = (stage.root(), stage.bob());
    root.adds_repo("acme/web").await;
    assert!(!may_deploy(&bob, "acme/web", "main").await);

    let call = grant(bob.id, "deploy").string("repo", "acme/*").string("branch", "main").string("reason", "on call");
    insta::assert_snapshot!(hears(&stage, &root, call).await, @r"
    (only you can see this)
    # Rule #2 is made
    `#2` @somebody may `deploy` repo `acme/*` branch `main`, by root: on call
    ");
    assert!(may_deploy(&bob, "acme/web", "main").await);
    assert!(!may_deploy(&bob, "acme/web", "develop").await);
    insta::assert_snapshot!(hears(&stage, &root, permission("list")).await, @"
    (only you can see this)
    # Rules
    `#2` @somebody may `deploy` repo `acme/*` branch `main`, by root: on call
    `#1` everyone may `view`, by Slipway: Every guild starts with this rule.
    ");
    let check = permission("check").user("user", &bob).string("repo", "acme/web").string("branch", "main");
    insta::assert_snapshot!(hears(&stage, &root, check.clone()).await, @r"
    (only you can see this)
    # Allowed
    bob may `deploy` `acme/web`, branch `main`, every environment: permitted by
    `#2` @somebody may `deploy` repo `acme/*` branch `main`, by root: on call
    ");
    insta::assert_snapshot!(hears(&stage, &root, revoke("#2")).await, @r"
    (only you can see this)
    # Rule #2 is revoked
    It was: `#2` @somebody may `deploy` repo `acme/*` branch `main`, by root: on call
    ");
    assert!(!may_deploy(&bob, "acme/web", "main").await);
    insta::assert_snapshot!(hears(&stage, &root, check).await, @r"
    (only you can see this)
    # Not allowed
    bob may not `deploy` `acme/web`, branch `main`, every environment: no rule permits it.
    ");
    insta::assert_snapshot!(hears(&stage, &root, revoke("2")).await, @r"
    (only you can see this)
    # Not done
    There is no rule `#2`, or it is revoked already. `/permission list` shows the rules there are.
    ");

    let log: Vec<_> = stage.audit().await.into_iter().filter(|entry| entry.action.starts_with("permission")).collect();
    let told: Vec<_> =
        log.iter().map(|entry| (entry.action.as_str(), entry.actor.as_str(), entry.outcome.as_str())).collect();
    assert_eq!(
        told,
        [
            ("permission.granted", "Slipway", "allowed"),
            ("permission.granted", "root", "allowed"),
            ("permission.revoked", "root", "allowed"),
            ("permission.denied", "root", "denied"),
        ]
    );
    assert_eq!(
        (log[1].repo.as_deref(), log[1].branch.as_deref(), log[1].reason.as_deref()),
        (Some("acme/*"), Some("main"), Some("on call"))
    );
    stage.finish().await;
}

#[tokio::test]
async fn roles_are_those_that_the_person_holds_at_the_moment() {
    let stage = Stage::empty().await;
    stage.root().adds_repo("acme/web").await;
    let deployers = stage.discord.role("deployers");
    stage.root().grants(grant(deployers, "deploy")).await;

    assert!(!may_deploy(&stage.bob(), "acme/web", "main").await);
    assert!(may_deploy(&stage.person_with("bob", &[deployers]), "acme/web", "main").await);
    let check = permission("check").user("user", &stage.bob()).string("repo", "acme/web");
    let (root, with_role) = (stage.root(), stage.person_with("bob", &[deployers]));
    insta::assert_snapshot!(hears(&stage, &root, check.clone()).await, @r"
    (only you can see this)
    # Allowed
    bob may `deploy` `acme/web`, every branch, every environment: permitted by
    `#2` @a-role may `deploy`, by root
    ");
    assert!(hears(&stage, &with_role, check).await.contains("Allowed"));
    assert!(!may_deploy(&stage.person_with("bob", &[]), "acme/web", "main").await);
    stage.finish().await;
}

#[tokio::test]
async fn a_deny_wins_whoever_it_is_about() {
    let stage = Stage::start().await;
    let (alice, frozen) = (stage.alice(), stage.discord.role("frozen"));
    stage.root().grants(grant(frozen, "deploy").string("effect", "deny").string("branch", "release/*")).await;
    let alice_frozen = stage.person_with("alice", &[frozen]);

    assert!(may_deploy(&alice_frozen, "acme/web", "main").await);
    assert!(!may_deploy(&alice_frozen, "acme/web", "release/1.2").await);
    // The whole of the repository, without naming a branch, is not permitted either.
    let check = permission("check").user("user", &alice_frozen).string("repo", "acme/web");
    insta::assert_snapshot!(hears(&stage, &alice_frozen, check).await, @r"
    (only you can see this)
    # Not allowed
    alice may not `deploy` `acme/web`, every branch, every environment: denied, whatever else permits it, by
    `#3` @a-role may not `deploy` branch `release/*`, by root
    ");
    stage.root().grants(grant(stage.discord.guild_id(), "deploy").string("effect", "deny")).await;
    assert!(!may_deploy(&alice, "acme/web", "main").await);
    assert!(may_deploy(&stage.root(), "acme/web", "main").await, "owners stand above the rules");
    stage.finish().await;
}

#[tokio::test]
async fn patterns_are_globs_and_ignore_case() {
    let stage = Stage::empty().await;
    stage.root().adds_repo("acme/web").await;
    let bob = stage.bob();
    stage
        .root()
        .grants(grant(bob.id, "deploy").string("repo", "ACME/{web,api}").string("branch", "{main,release/*}"))
        .await;

    for (branch, allowed) in [("main", true), ("release/1.2", true), ("develop", false), ("feature/login", false)] {
        assert_eq!(may_deploy(&bob, "acme/web", branch).await, allowed, "{branch}");
    }
    insta::assert_snapshot!(hears(&stage, &stage.root(), grant(bob.id, "deploy").string("repo", "acme/[")).await, @r"
    (only you can see this)
    # Not a usable pattern
    `acme/[` can't be used as `repo`. The pattern is not a glob: unclosed character class; missing '\]'. Example: `acme/*`. Nothing was done.
    ");
    stage.finish().await;
}

#[tokio::test]
async fn a_rule_ends_when_it_says() {
    let stage = Stage::empty().await;
    stage.root().adds_repo("acme/web").await;
    let bob = stage.bob();
    let answer = hears(&stage, &stage.root(), grant(bob.id, "deploy").string("expires", "8h")).await;
    assert!(answer.contains("until a time"), "{answer}");
    assert!(may_deploy(&bob, "acme/web", "main").await);

    // Eight hours later.
    let mut database = stage.hold_database().await;
    database.write("UPDATE rule SET expires_at = expires_at - 8 * 3600 * 1000 WHERE expires_at IS NOT NULL").await;
    database.give_back().await;

    assert!(!may_deploy(&bob, "acme/web", "main").await);
    let listed = hears(&stage, &stage.root(), permission("list")).await;
    assert!(!listed.contains("may `deploy`") || listed.contains("until"), "{listed}");
    for bad in ["yesterday", "2020-01-01", "-8h", "99999999w"] {
        let answer = hears(&stage, &stage.root(), grant(bob.id, "deploy").string("expires", bad)).await;
        assert!(answer.contains("Not a usable time"), "{answer}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_rule_ends_on_a_day_of_the_guilds_time_zone() {
    let stage = Stage::empty().await;
    let zone = CommandCall::new("settings").sub("set").string("name", "time_zone");
    hears(&stage, &stage.root(), zone.string("value", "Pacific/Kiritimati")).await;
    stage.root().grants(grant(stage.bob().id, "deploy").string("expires", "2101-01-01")).await;
    let log = stage.audit().await;
    let granted = log.into_iter().rfind(|entry| entry.action == "permission.granted").unwrap();
    // Their day begins 14 hours before UTC's.
    assert_eq!(granted.detail["expires_at"], "2100-12-31T10:00:00.000Z");
    stage.finish().await;
}

#[tokio::test]
async fn who_administers_a_part_cannot_grant_beyond_it() {
    let stage = Stage::empty().await;
    let (carol, bob) = (stage.person("carol"), stage.bob());
    for action in ["admin", "deploy"] {
        stage.root().grants(grant(carol.id, action).string("repo", "acme/*").string("environment", "staging")).await;
    }

    for beyond in [
        grant(bob.id, "deploy"),
        grant(bob.id, "deploy").string("repo", "acme/*"),
        grant(bob.id, "deploy").string("repo", "*/web").string("environment", "staging"),
        grant(carol.id, "admin"),
        grant(bob.id, "deploy").string("repo", "{acme/web,evil/web}").string("environment", "staging"),
    ] {
        let answer = hears(&stage, &carol, beyond).await;
        assert!(answer.contains("Not permitted"), "{answer}");
    }
    let answer = hears(&stage, &carol, grant(bob.id, "deploy")).await;
    insta::assert_snapshot!(answer, @"
    (only you can see this)
    # Not permitted
    You need the permission `admin` for repo `*`, branch `*`, environment `*`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
    ");
    carol.grants(grant(bob.id, "deploy").string("repo", "acme/web").string("environment", "staging")).await;

    insta::assert_snapshot!(hears(&stage, &carol, revoke("#1")).await, @"
    (only you can see this)
    # Not permitted
    You need the permission `admin` for repo `*`, branch `*`, environment `*`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
    ");
    insta::assert_snapshot!(hears(&stage, &carol, permission("list")).await, @"
    (only you can see this)
    # Rules
    `#4` @somebody may `deploy` repo `acme/web` environment `staging`, by carol
    `#3` @somebody may `deploy` repo `acme/*` environment `staging`, by root
    `#2` @somebody may `admin` repo `acme/*` environment `staging`, by root
    `#1` everyone may `view`, by Slipway: Every guild starts with this rule.
    ");
    assert!(hears(&stage, &carol, revoke("#4")).await.contains("is revoked"));
    let add = CommandCall::new("repo").sub("add").string("name", "acme/web");
    assert!(hears(&stage, &carol, add).await.contains("Not permitted"), "a repository is more than its staging");
    stage.finish().await;
}

#[tokio::test]
async fn a_denial_says_what_is_missing_and_who_can_grant_it() {
    let stage = Stage::start().await;
    let admins = stage.discord.role("admins");
    stage.root().grants(grant(admins, "admin").string("repo", "acme/*")).await;
    stage.root().grants(grant(stage.person("elsewhere").id, "admin").string("repo", "other/*")).await;

    let answer = stage.bob().deploys("acme/web", "main").await.answer().await;

    insta::assert_snapshot!(stage.tidy(&answer), @"
    (only you can see this)
    # Not permitted
    You need the permission `deploy` for `acme/web`, branch `main`, environment `production`, and no rule gives it to you. It can be granted by @somebody, @a-role. Nothing was done.
    [Request access](/access request acme/web environment:production action:deploy)
    ");
    let text = answer.text();
    assert!(text.contains(&format!("<@{}>", stage.root().id)) && text.contains(&format!("<@&{admins}>")), "{text}");
    assert!(!text.contains(&stage.person("elsewhere").id.to_string()));
    stage.finish().await;
}

#[tokio::test]
async fn without_an_owner_a_denial_names_the_setting() {
    let stage = Stage::with(&[("SLIPWAY_OWNERS", "")]).await;
    insta::assert_snapshot!(hears(&stage, &stage.root(), grant(stage.bob().id, "deploy")).await, @r"
    (only you can see this)
    # Not permitted
    You need the permission `admin` for repo `*`, branch `*`, environment `*`, and no rule gives it to you. Nobody here can change that yet: whoever runs Slipway must name an owner in `SLIPWAY_OWNERS`. Nothing was done.
    ");
    stage.finish().await;
}

#[tokio::test]
async fn people_see_their_own_rules_and_admins_those_they_administer() {
    let stage = Stage::start().await;
    stage.root().grants(grant(stage.bob().id, "deploy").string("repo", "acme/web")).await;

    let mine = hears(&stage, &stage.bob(), permission("list")).await;
    insta::assert_snapshot!(mine, @"
    (only you can see this)
    # Rules
    `#3` @somebody may `deploy` repo `acme/web`, by root
    `#1` everyone may `view`, by Slipway: Every guild starts with this rule.
    ");
    let about = |call: CommandCall| hears_root(&stage, call);
    assert!(about(permission("list").mentionable("who", stage.bob().id)).await.contains("#3"));
    assert!(!about(permission("list").mentionable("who", stage.bob().id)).await.contains("#2"));
    assert!(!about(permission("list").string("repo", "other/thing")).await.contains("#3"));
    let about_alice = permission("check").user("user", &stage.alice()).string("repo", "acme/web");
    insta::assert_snapshot!(hears(&stage, &stage.bob(), about_alice).await, @"
    (only you can see this)
    # Not permitted
    You need the permission `admin` for `acme/web`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
    ");
    let oneself = permission("check").user("user", &stage.bob()).string("repo", "acme/web").string("action", "deploy");
    insta::assert_snapshot!(hears(&stage, &stage.bob(), oneself).await, @r"
    (only you can see this)
    # Allowed
    bob may `deploy` `acme/web`, every branch, every environment: permitted by
    `#3` @somebody may `deploy` repo `acme/web`, by root
    ");
    stage.finish().await;
}

async fn hears_root(stage: &Stage, call: CommandCall) -> String {
    hears(stage, &stage.root(), call).await
}

#[tokio::test]
async fn a_long_list_has_pages() {
    let stage = Stage::empty().await;
    for number in 0..11 {
        stage.root().grants(grant(stage.bob().id, "view").string("repo", &format!("acme/number-{number}"))).await;
    }

    let list = stage.root().hears(permission("list").string("repo", "acme/*")).await;

    let buttons: Vec<_> = list.buttons().into_iter().map(|button| (button.label, button.custom_id.unwrap())).collect();
    assert_eq!(buttons, [("Older".to_owned(), "/permission list repo:acme/* page:2".to_owned())]);
    assert!(list.text().contains("Page 1 of 2, 12 in all."), "{}", list.text());
    assert_eq!(list.text().matches("may `view`").count(), 10);
    stage.finish().await;
}

#[tokio::test]
async fn two_guilds_do_not_see_each_others_rules() {
    let stage = Stage::with(&[("DISCORD_GUILD_ID", "")]).await;
    let other = stage.discord.guild("other");
    let root_there = stage.person_of(&other, "root");
    stage.root().lets("bob", "deploy").await;
    root_there.grants(grant(stage.person_of(&other, "carol").id, "admin")).await;

    let (here, there) =
        (hears(&stage, &stage.root(), permission("list")).await, hears(&stage, &root_there, permission("list")).await);

    assert!(here.contains("may `deploy`") && !here.contains("may `admin`"), "{here}");
    assert!(there.contains("may `admin`") && !there.contains("may `deploy`"), "{there}");
    assert!(here.contains("`#2`") && there.contains("`#2`"), "numbers are counted in each guild");
    stage.finish().await;
}

#[tokio::test]
async fn everyone_may_view_until_an_admin_revokes_it() {
    let stage = Stage::start().await;
    let list = || CommandCall::new("repo").sub("list");
    assert!(hears(&stage, &stage.bob(), list()).await.contains("acme/web"));
    assert!(hears(&stage, &stage.root(), revoke("#1")).await.contains("is revoked"));
    assert!(!hears(&stage, &stage.bob(), list()).await.contains("acme/web"));
    tokio::time::timeout(Duration::from_secs(10), stage.finish()).await.unwrap();
}

#[tokio::test]
async fn a_pattern_that_fits_nothing_registered_is_warned_about_and_kept() {
    let stage = Stage::start().await;
    let warned = |call: CommandCall| {
        let stage = &stage;
        async move { stage.root().hears(call).await.text() }
    };
    let bob = stage.bob().id;
    let odd = warned(grant(bob, "deploy").string("repo", "acme/wbe")).await;
    assert!(odd.contains("is made") && odd.contains("`acme/wbe` fits no registered repository yet"), "{odd}");
    let odd = warned(grant(bob, "deploy").string("repo", "acme/*").string("environment", "staging")).await;
    assert!(odd.contains("`staging` fits no registered environment yet"), "{odd}");
    let fits = warned(grant(bob, "deploy").string("repo", "ACME/*").string("environment", "prod*")).await;
    assert!(!fits.contains("Warning"), "{fits}");
    stage.finish().await;
}
