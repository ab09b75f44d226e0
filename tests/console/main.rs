//! The console as a person sees it: lines in, text out, and the exit status.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

mod language;
mod parsing;
mod real;
mod scripts;
mod stage;

use slipway::console::lines::Lines;
use slipway::console::{Ended, Screen};
use slipway::db::Db;
use slipway::id::{ChannelId, GuildId};
use stage::{Stage, refused};
use std::io::BufReader;
use tokio_util::sync::CancellationToken;

#[tokio::test(flavor = "multi_thread")]
async fn the_first_lines_say_that_nothing_is_real_and_a_deploy_shows_its_link() {
    let stage = Stage::new();
    let (shown, ended) = stage.types("/deploy acme/web main reason:\"fixes the \\\"login\\\" page\"").await;
    insta::assert_snapshot!(shown, @r#"
    Slipway console: a SANDBOX. Nothing real is deployed.
      CircleCI   built in, at http://127.0.0.1:PORT (CIRCLE_API_USER_TOKEN is not set)
      Database   slipway-sandbox.db
      Speaking   you, who may do everything; `/as guest` speaks as somebody who may only look
      Try        /deploy acme/web main
                 /permission check guest acme/web main
                 /help deploy
      End        /quit or Ctrl-D

    > /deploy acme/web main reason:"fixes the \"login\" page"
    Deploy #1 is queued
      Repository   acme/web
      Branch       main
      Environment  production
      State        queued
      Asked by     @you
      Asked at     2026-11-24 18:00:00 UTC (now)
      Reason       fixes the "login" page
      Parameters   `action=deploy` `environment=production` `revision=`
      Build        pipeline 1: http://127.0.0.1:PORT/pipelines/github/acme/web/1
      Cancel: /deploys cancel 1

    Deploy #1 is running
    Deploy #1 is succeeded
      Repository   acme/web
      Branch       main
      Environment  production
      State        succeeded
      Asked by     @you
      Asked at     2026-11-24 18:00:00 UTC (now)
      Took         0 s
      Commit       `COMMIT` A commit of Slipway's sandbox
      Reason       fixes the "login" page
      Parameters   `action=deploy` `environment=production` `revision=`
      Workflows    `deploy` success
      Build        pipeline 1: http://127.0.0.1:PORT/pipelines/github/acme/web/1
    "#);
    assert_eq!(ended, Ended::Well);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_told_what_is_missing_and_who_grants_it_and_can_then_deploy() {
    let stage = Stage::new();
    let (shown, ended) = stage
        .types(
            "
            # Comments and empty lines are passed over.
            /as guest
            /deploy acme/web main

            /as you
            /permission grant guest deploy acme/web main expires:8h reason:\"on call\"
            /as guest
            /deploy acme/web main
            /deploy acme/web develop
            /permission check you acme/web
            ",
        )
        .await;
    insta::assert_snapshot!(stage::after_the_first_lines(&shown), @r#"
    > /as guest
    You speak as guest now

    > /deploy acme/web main
    Not permitted
      You need the permission `deploy` for `acme/web`, branch `main`, environment `production`, and no rule gives it to you. It can be granted by @you. Nothing was done.
      Request access: /access request acme/web environment:production action:deploy

    > /as you
    You speak as you now

    > /permission grant guest deploy acme/web main expires:8h reason:"on call"
    Rule #2 is made
      `#2` @guest may `deploy` repo `acme/web` branch `main` until 2026-11-25 02:00:00 UTC (in 8 h), by you: on call

    > /as guest
    You speak as guest now

    > /deploy acme/web main
    Deploy #1 is queued
      Repository   acme/web
      Branch       main
      Environment  production
      State        queued
      Asked by     @guest
      Asked at     2026-11-24 18:00:00 UTC (now)
      Parameters   `action=deploy` `environment=production` `revision=`
      Build        pipeline 1: http://127.0.0.1:PORT/pipelines/github/acme/web/1
      Cancel: /deploys cancel 1

    > /deploy acme/web develop
    Not permitted
      You need the permission `deploy` for `acme/web`, branch `develop`, environment `production`, and no rule gives it to you. It can be granted by @you. Nothing was done.
      Request access: /access request acme/web environment:production action:deploy

    > /permission check you acme/web
    Not permitted
      You need the permission `admin` for `acme/web`, and no rule gives it to you. It can be granted by @you. Nothing was done.

    Deploy #1 is running
    Deploy #1 is succeeded
      Repository   acme/web
      Branch       main
      Environment  production
      State        succeeded
      Asked by     @guest
      Asked at     2026-11-24 18:00:00 UTC (now)
      Took         0 s
      Commit       `COMMIT` A commit of Slipway's sandbox
      Parameters   `action=deploy` `environment=production` `revision=`
      Workflows    `deploy` success
      Build        pipeline 1: http://127.0.0.1:PORT/pipelines/github/acme/web/1
    "#);
    assert_eq!(ended, Ended::WithFailures, "two deploys were refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn help_is_the_tables_and_tells_what_the_console_has_beside_it() {
    let stage = Stage::new();
    let (shown, ended) = stage.types("/help\nhelp permission check\n/quit\n/deploy never reached").await;
    insta::assert_snapshot!(stage::after_the_first_lines(&shown), @"
    > /help
    Commands
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

    In this console too: /as NAME changes who is speaking; /quit or Ctrl-D ends.

    > help permission check
    Help
      /permission check
      Tell whether a person may do something, and the rules that decide it. Needs: admin; about oneself nothing.
      `user` (person, required): The person
      `repo` (repository, required): The repository: org/repo
      `branch` (branch): The branch; every branch unless said
      `environment` (environment): The environment; every one unless said
      `action` (view | deploy | approve | cancel | rollback | lock | override | audit | admin): deploy unless said
      Example: `/permission check guest acme/web main`

    > /quit
    ");
    assert_eq!(ended, Ended::Well);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_turned_by_the_line_that_they_show() {
    let stage = Stage::new();
    let lines = (1..=11).map(|number| format!("/repo add acme/r{number:02}\n")).collect::<String>();
    let (shown, _) = stage.types(&format!("{lines}/repo list")).await;
    assert!(shown.contains("  Older: /repo list page:2\n"), "{shown}");
    let (shown, ended) = stage.types("/repo list page:2").await;
    insta::assert_snapshot!(stage::after_the_first_lines(&shown), @r"
    > /repo list page:2
    Repositories
      `acme/r11` on github
      `acme/web` on github
      Page 2 of 2, 12 in all.
      Newer: /repo list page:1
    ");
    assert_eq!(ended, Ended::Well, "acme/web is not registered a second time at the second start");
}
