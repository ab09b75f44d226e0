//! The console as a person sees it: lines in, text out, and the exit status.
#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

#[path = "console/parsing.rs"]
mod parsing;
#[path = "console/stage.rs"]
mod stage;

use std::io::BufReader;

use slipway::console::lines::Lines;
use slipway::console::{Ended, Screen};
use slipway::db::Db;
use slipway::id::{ChannelId, GuildId};
use stage::{Stage, refused};
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
async fn bad_input_is_refused_with_what_would_be_good_and_nothing_is_triggered() {
    let stage = Stage::new();
    let (shown, ended) = stage
        .types(
            r#"
            /deploy acme/web a..b
            /deploy acme/web -x
            /deploy acme/web main.lock
            /deploy acme/web "two words"
            /deploy ../../me main
            /deploy acme/nothing main
            /deploy acme/web main nowhere
            /deploy acme/web main parameters:API_TOKEN=x
            "#,
        )
        .await;
    insta::assert_snapshot!(stage::after_the_first_lines(&shown), @r#"
    > /deploy acme/web a..b
    Not a usable branch
      `a..b` can't be used as `branch`. A branch name can't hold `..`. Example: `feature/login`. Nothing was done.

    > /deploy acme/web -x
    Not a usable branch
      `-x` can't be used as `branch`. A branch name can't start with `-`. Example: `feature/login`. Nothing was done.

    > /deploy acme/web main.lock
    Not a usable branch
      `main.lock` can't be used as `branch`. No part of a branch name can end with `.lock`. Example: `feature/login`. Nothing was done.

    > /deploy acme/web "two words"
    Not a usable branch
      `two words` can't be used as `branch`. A branch name can't hold spaces, control characters or any of `~ ^ : ? * [ \`. Example: `feature/login`. Nothing was done.

    > /deploy ../../me main
    Not a usable repository
      `../../me` can't be used as `repo`. A part of a repository's name can't be `.` or `..`. Example: `acme/web`. Nothing was done.

    > /deploy acme/nothing main
    Not done
      `acme/nothing` is not registered here. `/repo list` shows what is; an admin can add it with `/repo add`.

    > /deploy acme/web main nowhere
    Not done
      `acme/web` has no environment `nowhere`. Name one of `production` as `environment`.

    > /deploy acme/web main parameters:API_TOKEN=x
    Not a usable parameter
      `API_TOKEN=x` can't be used as `parameters`. `API_TOKEN` looks like a secret, and everyone who sees the project in CircleCI can read a build's parameters. Define it in the project's settings on CircleCI instead. Example: `IMAGE_TAG=v1.2 NOTE="first try"`. Nothing was done.
    "#);
    assert_eq!(ended, Ended::WithFailures);
    assert!(!shown.contains("/pipelines/"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_no_command_is_answered_with_how_it_is_written() {
    let stage = Stage::new();
    let (shown, ended) = stage
        .types(
            r#"
            /depoly acme/web main
            /status
            /permission
            /repo lst
            /deploy acme/web
            /deploy acme/web main enviroment:staging
            /deploy acme/web main expires:8h
            /deploy acme/web main branch:main branch:develop
            /deploy acme/web main production 1234567 A=1 fixes the login
            /deploy acme/web "main
            /permission grant bob deploy
            /permission check @everyone acme/web
            /repo list page:0
            /as
            /as bob
            "#,
        )
        .await;
    insta::assert_snapshot!(stage::after_the_first_lines(&shown), @r#"
    > /depoly acme/web main
    Not understood
      There is no command `/depoly`. Did you mean `/deploy`? `/help` lists the commands. Nothing was done.

    > /status
    Not understood
      There is no command `/status`. `/help` lists the commands. Nothing was done.

    > /permission
    Not understood
      `/permission` is a family of commands; say which one. Nothing was done.
      Usage: /permission grant who action [repo] [branch] [environment] [effect] [expires] [reason]
      Usage: /permission revoke id
      Usage: /permission list [who] [repo] [page:2]
      Usage: /permission check user repo [branch] [environment] [action]

    > /repo lst
    Not understood
      `/repo` has no subcommand `lst`. Did you mean `list`? Nothing was done.
      Usage: /repo add name [vcs] [job] [default_branch] [project]
      Usage: /repo list [page:2]
      Usage: /repo show name
      Usage: /repo edit name [vcs] [default_branch] [project]
      Usage: /repo remove name

    > /deploy acme/web
    Not understood
      The option `branch` is missing. Nothing was done.
      Usage: /deploy repo branch [environment] [revision] [parameters] [reason] [dry_run]

    > /deploy acme/web main enviroment:staging
    Not understood
      There is no option `enviroment` here. Did you mean `environment`? If it is text, put the whole of it in "quotes". Nothing was done.
      Usage: /deploy repo branch [environment] [revision] [parameters] [reason] [dry_run]

    > /deploy acme/web main expires:8h
    Not understood
      There is no option `expires` here. If it is text, put the whole of it in "quotes". Nothing was done.
      Usage: /deploy repo branch [environment] [revision] [parameters] [reason] [dry_run]

    > /deploy acme/web main branch:main branch:develop
    Not understood
      The option `branch` is given twice. Nothing was done.
      Usage: /deploy repo branch [environment] [revision] [parameters] [reason] [dry_run]

    > /deploy acme/web main production 1234567 A=1 fixes the login
    Not understood
      There is no option for `login` at this place. Put "quotes" round text that has spaces, as in reason:"two words". Nothing was done.
      Usage: /deploy repo branch [environment] [revision] [parameters] [reason] [dry_run]

    > /deploy acme/web "main
    Not understood
      A quote (") is opened after “/deploy acme/web” and never closed. Close it, or write \" inside quotes for the sign itself. Nothing was done.

    > /permission grant bob deploy
    Not understood
      `bob` is nobody for `who`: write `you`, `guest`, an id as on Discord, `<@175928847299117063>`, a role `<@&175928847299117063>`, or `@everyone`. Nothing was done.
      Usage: /permission grant who action [repo] [branch] [environment] [effect] [expires] [reason]

    > /permission check @everyone acme/web
    Not understood
      `@everyone` is nobody for `user`: write `you`, `guest`, an id as on Discord, `<@175928847299117063>`. Nothing was done.
      Usage: /permission check user repo [branch] [environment] [action]

    > /repo list page:0
    Not understood
      `0` is no page: a page is a number from 1 on. Nothing was done.
      Usage: /repo list [page:2]

    > /as
    Not understood
      Say who is to speak. Nothing was done.
      Usage: /as NAME

    > /as bob
    Not done
      Nobody here is called `bob`. There are `you` and `guest`.
    "#);
    assert_eq!(ended, Ended::WithFailures);
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
      `/repo add | list | show | edit | remove` The repositories that can be deployed
      `/environment set | parameter | list | show | remove` How a repository's environments are deployed
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

#[tokio::test(flavor = "multi_thread")]
async fn the_database_tells_who_has_it_and_a_real_one_is_left_alone() {
    let stage = Stage::new();
    let first = stage.opens().await.unwrap();
    let second = refused(stage.opens().await);
    assert!(second.contains("slipway-sandbox.db is in use by slipway console (sandbox), process "), "{second}");
    drop(first);

    let db = Db::open(&stage.database()).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    let real = GuildId::from_row(81_384_788_765_712_384);
    slipway::guild::store::first_seen(&mut tx, real, slipway::time::Timestamp::from_millis(0)).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    let real = refused(stage.opens().await);
    assert!(real.contains("has seen the guild 81384788765712384"), "{real}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_stays_one_whatever_else_is_set() {
    let stage = Stage::new()
        .with("CIRCLECI_URL", "https://circleci.example.com")
        .with("CIRCLE_API_USER_TOKEN", " ")
        .with("CIRCLE_API_PROJECT_TOKEN", "real")
        .with("SLIPWAY_OWNERS", "3");
    let (shown, _) = stage.types("/as guest\n/deploy acme/web main").await;
    assert!(shown.contains("a SANDBOX") && shown.contains("http://127.0.0.1:PORT"), "{shown}");
    assert!(shown.contains("Not permitted"), "{shown}");
    let misuse = stage.opens_for(Some(GuildId::from_row(7))).await.err().unwrap();
    assert!(misuse.is_misuse() && misuse.to_string().contains("the console is a sandbox"), "{misuse}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_circleci_it_says_so_and_speaks_as_the_operator() {
    let circleci = stage::circleci().await;
    let stage = Stage::new().with("CIRCLE_API_USER_TOKEN", circleci.token()).with("CIRCLECI_URL", circleci.url());
    let misuse = stage.opens().await.err().unwrap();
    assert!(misuse.is_misuse(), "{misuse}");
    insta::assert_snapshot!(misuse, @"Which guild? CIRCLE_API_USER_TOKEN is set, so this is the real CircleCI: say `--guild ID`, or set DISCORD_GUILD_ID. Example: slipway console --guild 81384788765712384");

    let stage = stage.with("DISCORD_GUILD_ID", "81384788765712384");
    let (shown, ended) = stage
        .types(
            "
            /as guest
            /repo add acme/web
            /deploy acme/web main
            /permission check <@42> acme/web
            /permission grant you deploy
            ",
        )
        .await;
    insta::assert_snapshot!(shown, @"
    Slipway console: the REAL CircleCI. What you deploy here is deployed.
      CircleCI   http://127.0.0.1:PORT
      Guild      81384788765712384
      Database   slipway-sandbox.db
      Speaking   cli:OPERATOR, with an owner's rights; the audit log says so
      End        /quit or Ctrl-D

    > /as guest
    Not done
      On a real CircleCI the console speaks as whoever runs it, so that the audit log is true. `/as` is for the sandbox.

    > /repo add acme/web
    acme/web is registered
      Its environment `production` runs a pipeline (API v2). Try `/deploy acme/web main`.

    > /deploy acme/web main
    Deploy #1 is queued
      Repository   acme/web
      Branch       main
      Environment  production
      State        queued
      Asked by     cli:OPERATOR
      Asked at     2026-11-24 18:00:00 UTC (now)
      Build        pipeline 1: http://127.0.0.1:PORT/pipelines/github/acme/web/1
      Cancel: /deploys cancel 1

    > /permission check <@42> acme/web
    Not allowed
      <@42> may not `deploy` `acme/web`, every branch, every environment: no rule permits it.

    The console doesn't know which roles somebody holds on Discord: only rules about the person and about everyone counted here.

    > /permission grant you deploy
    Not understood
      `you` is nobody for `who`: write an id as on Discord, `<@175928847299117063>`, a role `<@&175928847299117063>`, or `@everyone`. Nothing was done.
      Usage: /permission grant who action [repo] [branch] [environment] [effect] [expires] [reason]

    Deploy #1 is running
    Deploy #1 is succeeded
      Repository   acme/web
      Branch       main
      Environment  production
      State        succeeded
      Asked by     cli:OPERATOR
      Asked at     2026-11-24 18:00:00 UTC (now)
      Took         0 s
      Commit       `COMMIT` A commit of Slipway's sandbox
      Workflows    `build` success
      Build        pipeline 1: http://127.0.0.1:PORT/pipelines/github/acme/web/1
    ");
    assert_eq!(ended, Ended::WithFailures);
    assert!(!shown.contains(circleci.token()));
    circleci.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_circleci_refuses_fails_the_script() {
    let stage = Stage::new();
    let (shown, ended) = stage.types("/repo add acme/api\n/deploy acme/api main").await;
    assert!(shown.contains("Deploy #1 is refused"), "{shown}");
    assert_eq!(ended, Ended::WithFailures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_cut_off_in_the_middle_is_looked_for_at_the_next_start_and_never_sent_again() {
    let stage = Stage::new();
    stage.types("/deploy acme/web main").await;
    stage.forgets_the_answer_to_deploy(1, None).await;
    let (shown, ended) = stage.types("").await;
    insta::assert_snapshot!(stage::after_the_first_lines(&shown), @"
    Deploy #1 was unfinished when the console stopped; it is followed.
    Deploy #1 is unknown
      CircleCI's answer to the trigger was not recorded. It was looked for and not found: CircleCI may or may not have taken it, and nothing was sent again. Look at the project on CircleCI before you deploy again.
      Repository   acme/web
      Branch       main
      Environment  production
      State        unknown
      Asked by     @you
      Asked at     2026-11-24 18:00:00 UTC (now)
      Took         0 s
      Commit       `COMMIT` A commit of Slipway's sandbox
      Parameters   `action=deploy` `environment=production` `revision=`
      Workflows    `deploy` success
      Retry: /deploys retry 1
    ");
    assert_eq!(ended, Ended::Well, "what was asked of this run was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_was_asked_for_on_discord_is_left_to_the_bot_that_keeps_its_card() {
    let stage = Stage::new();
    stage.types("/deploy acme/web main").await;
    stage.forgets_the_answer_to_deploy(1, ChannelId::new(5)).await;
    let (shown, _) = stage.types("").await;
    insta::assert_snapshot!(stage::after_the_first_lines(&shown), @"Unfinished deploys of other chats: 1. `slipway run` keeps their cards.");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_done_in_the_console_is_in_a_chain_that_holds() {
    let stage = Stage::new();
    stage.types("/as guest\n/deploy acme/web main\n/as you\n/deploy acme/web main").await;
    insta::assert_snapshot!(stage.audit_log().await, @"
    Slipway permission.granted allowed
    cli:sandbox repo.added allowed
    cli:sandbox environment.set allowed
    guest deploy.denied denied
    you deploy.requested allowed
    you deploy.triggered allowed
    you deploy.finished succeeded
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_console_that_waits_for_a_line_ends_when_it_is_told_to() {
    let stage = Stage::new();
    let (nobody_writes, _writer) = std::io::pipe().unwrap();
    let lines = Lines::piped(BufReader::new(nobody_writes)).unwrap();
    let (console, screen, stop) =
        (stage.opens().await.unwrap(), Screen::new(Vec::new(), false), CancellationToken::new());
    stop.cancel();
    assert_eq!(console.run(lines, &screen, &stop).await, Ended::Well);
}

#[test]
fn the_exit_status_tells_a_script_what_became_of_it() {
    let stage = Stage::new();
    let good = stage.pipes(&["console"], "/deploy acme/web main\n/repo list\n");
    assert!(good.shown.contains("Deploy #1 is queued"), "{good:?}");
    assert_eq!(good.status, Some(0), "{good:?}");

    let refused = stage.pipes(&["console"], "/deploy acme/web a..b\n/repo list\n");
    assert!(refused.shown.contains("Not a usable branch") && refused.shown.contains("Repositories"), "{refused:?}");
    assert_eq!(refused.status, Some(1), "{refused:?}");

    let misuse = stage.pipes(&["console", "--guild", "7"], "");
    assert!(misuse.shown.is_empty() && misuse.complaint.contains("`--guild` means a guild"), "{misuse:?}");
    assert_eq!(misuse.status, Some(2), "{misuse:?}");
}
