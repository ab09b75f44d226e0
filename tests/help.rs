//! `/help`, and the commands that Discord is told: both from the one table.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod support;

use slipway::command::leaves;
use support::Stage;
use support::discord::CommandCall;

fn help() -> CommandCall {
    CommandCall::new("help")
}

#[tokio::test]
async fn every_command_is_listed_and_explained_to_anybody() {
    let stage = Stage::empty().await;
    let bob = stage.bob();
    let overview = bob.hears(help()).await;
    assert!(overview.ephemeral);
    insta::assert_snapshot!(stage.tidy(&overview), @"
    (only you can see this)
    # Commands
    `/deploy` Deploy a branch of a repository
    `/rollback` Go back to what was live before
    `/deploys list | show | cancel | retry | approve` The deploys there were, and what can be done to one
    `/permission grant | revoke | list | check` Who may do what
    `/access request | approve | reject | withdraw | list` Ask for access that runs out by itself
    `/repo add | list | show | edit | remove` The repositories that can be deployed
    `/environment set | parameter | list | show | remove` How a repository's environments are deployed
    `/stats` Deploys a day, success rate, lead and recovery times, with a chart
    `/audit search | show | verify | export | save | saved | forget` Who did what, when, and who let them; and the proof that nobody changed it
    `/settings show | set` What this server has set for itself
    `/whoami` What you may do here
    `/help` Help for every command
    `/help command:deploy` explains one of them.
    ");
    insta::assert_snapshot!(stage.tidy(&bob.hears(help().string("command", "/deploy")).await), @r#"
    (only you can see this)
    # Help
    **/deploy**
    Check, record and trigger a deploy, and answer with the link to its build. Needs: deploy.
    `repo` (repository, required): The repository: org/repo
    `branch` (branch, required): The branch
    `environment` (environment): Where to; production, or the only one, unless said
    `revision` (text): The commit: 40 hexadecimal digits, or the first 7 or more
    `parameters` (text): Passed to the build: NAME=value NAME2="other value"
    `reason` (text): Why; shown on the card and kept in the audit log
    `dry_run` (True \| False): Only tell what would be sent, and what speaks against it
    Example: `/deploy acme/web main reason:"fixes the login page"`
    "#);
    for (path, leaf) in leaves() {
        let explained = bob.hears(help().string("command", &path.join(" "))).await.text().replace('\\', "");
        assert!(explained.contains(leaf.description), "{explained}");
        for option in leaf.options {
            assert!(explained.contains(option.name) && explained.contains(option.description), "{explained}");
        }
    }
    let group = bob.hears(help().string("command", "permission")).await.text();
    assert!(group.contains("/permission grant") && group.contains("/permission check"), "{group}");
    stage.finish().await;
}

#[tokio::test]
async fn an_unknown_command_is_told_so() {
    let stage = Stage::empty().await;
    insta::assert_snapshot!(stage.tidy(&stage.bob().hears(help().string("command", "@everyone")).await).replace('\u{200b}', "·"), @"
    (only you can see this)
    # Not a usable command
    `@·everyone` can't be used as `command`. There is no such command. Example: `permission grant`. Nothing was done.
    ");
    assert_eq!(
        stage.audit().await.iter().filter(|entry| entry.outcome == "denied").count(),
        0,
        "asking for help is no act"
    );
    stage.finish().await;
}

#[tokio::test]
async fn discord_is_told_every_command_once_and_not_again_when_nothing_changed() {
    let mut stage = Stage::empty().await;
    let registered = stage.discord.commands();
    for (path, leaf) in leaves() {
        let mut level = registered.iter().find(|command| command["name"] == path[0]).unwrap();
        for step in &path[1..] {
            level = level["options"].as_array().unwrap().iter().find(|option| option["name"] == *step).unwrap();
        }
        let told = level["options"].as_array().map_or(0, Vec::len);
        assert_eq!(told, leaf.options.len(), "{path:?}");
    }
    assert_eq!(stage.discord.puts(), 1);

    stage.stop_bot().await.unwrap();
    stage.start_bot_again().await;
    stage.bob().hears(help()).await;
    stage.stop_bot().await.unwrap();

    assert_eq!(stage.discord.puts(), 1);
    stage.finish().await;
}
