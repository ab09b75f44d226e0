//! Whose database it is, and the real CircleCI.

use super::*;

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
async fn a_deploy_that_was_asked_for_on_discord_is_left_to_the_bot_that_keeps_its_card() {
    let stage = Stage::new();
    stage.types("/deploy acme/web main").await;
    stage.forgets_the_answer_to_deploy(1, ChannelId::new(5)).await;
    let (shown, _) = stage.types("").await;
    insta::assert_snapshot!(stage::after_the_first_lines(&shown), @"Unfinished deploys of other chats: 1. `slipway run` keeps their cards.");
}
