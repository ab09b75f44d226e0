//! Starting: with everything in order, with settings that are wrong, and with a Discord that does not want the bot.

use std::time::Duration;

use slipway::db::Db;

use crate::nobody::Nobody;
use crate::process::Signal;
use crate::support::discord::CommandCall;
use crate::{changed, ready, slipway, slipway_with, stage, stage_with};

/// What is wrong from the beginning is told at once.
const AT_ONCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_deploy_goes_the_whole_way_without_a_subcommand_too() {
    let stage = stage().await;
    let bot = ready(&stage).await;
    let card = stage.alice().deploys("acme/web", "main").await.answer().await;
    let link = format!("{}/pipelines/github/acme/web/1", stage.circleci.url());
    assert!(card.buttons().iter().any(|button| button.url.as_deref() == Some(&link)), "{}", card.text());
    bot.signal(Signal::Term);
    assert_eq!(bot.ends().await.code, Some(0));

    let bot = slipway(&stage, &[]);
    bot.says("The commands are registered already").await;
    let card = stage.alice().deploys("acme/web", "main").await.answer().await;
    assert!(card.text().contains("Deploy #2 is queued"), "{}", card.text());
    bot.signal(Signal::Term);
    let ended = bot.ends().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{}", ended.stderr);
    assert_eq!(stage.circleci.triggers(), 2);
    stage.finish().await;
}

#[tokio::test]
async fn missing_settings_are_named_together_and_no_secret_is_shown() {
    let stage = stage().await;
    let wrong = [
        ("DISCORD_TOKEN", ""),
        ("DISCORD_GUILD_ID", "my-guild"),
        ("CIRCLE_API_PROJECT_TOKEN_acme", "hush-project"),
        ("CIRCLECI_URL", "https://hush:hush@circleci.test"),
        ("DATABASE_URL", "postgres://hush@database"),
        ("SLIPWAY_OWNERS", "alice"),
        ("CIRCLECI_WEBHOOK_SECRET", "hush-webhook"),
    ];
    let variables = wrong.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let ended = slipway_with(&stage, &["run"], variables).ends_within(AT_ONCE).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    let missing = ["CIRCLE_API_USER_TOKEN"].into_iter();
    for name in wrong[..6].iter().map(|(name, _)| *name).chain(missing) {
        let lines: Vec<&str> = ended.stderr.lines().filter(|line| line.starts_with(&format!("{name} "))).collect();
        assert!(lines.len() == 1 && lines[0].contains("Example: "), "{name}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);
    assert!(!stage.database().exists(), "nothing was begun");
}

#[tokio::test]
async fn settings_come_from_a_file_and_a_bad_line_of_it_is_not_shown() {
    let stage = stage().await;
    let file = stage.database().with_file_name(".env");
    std::fs::write(&file, "SLIPWAY_OWNERS='hush\nDISCORD_TOKEN=hush\n").unwrap();
    let ended = slipway_with(&stage, &["run"], Vec::new()).ends_within(AT_ONCE).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(".env") && !ended.stderr.contains("hush"), "{}", ended.stderr);

    // The environment wins over the file.
    let lines = stage.variables().iter().map(|(name, value)| format!("{name}={value}\n")).collect::<String>();
    std::fs::write(&file, lines + "SLIPWAY_OWNRES=1\n").unwrap();
    let other = vec![("SLIPWAY_OWNERS".to_owned(), "1".to_owned())];
    let bot = slipway_with(&stage, &["run"], other);
    bot.says("The commands are registered").await;
    bot.says("SLIPWAY_OWNRES is no setting of Slipway's").await;
    let add = CommandCall::new("repo").sub("add").string("name", "acme/web");
    let answer = stage.root().runs(add).await.answer().await;
    assert!(answer.text().contains("You need the permission `admin`"), "{}", answer.text());
    bot.signal(Signal::Term);
    assert_eq!(bot.ends().await.code, Some(0));
    stage.finish().await;
}

#[tokio::test]
async fn without_owners_the_start_says_that_nobody_can_grant() {
    let stage = stage().await;
    let file = stage.database().with_file_name(".env");
    let lines = stage
        .variables()
        .iter()
        .filter(|(name, _)| name != "SLIPWAY_OWNERS")
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect::<String>();
    std::fs::write(&file, lines).unwrap();
    let bot = slipway_with(&stage, &["run"], Vec::new());
    bot.says("SLIPWAY_OWNERS is not set").await;
    bot.says("The commands are registered").await;
    let add = CommandCall::new("repo").sub("add").string("name", "acme/web");
    let answer = stage.root().runs(add).await.answer().await;
    assert!(answer.text().contains("must name an owner"), "{}", answer.text());
    bot.signal(Signal::Term);
    assert_eq!(bot.ends().await.code, Some(0));
    stage.finish().await;
}

#[tokio::test]
async fn a_log_filter_that_cannot_be_read_is_named() {
    let stage = stage_with(&[("RUST_LOG", "slipway=loud")]).await;
    let ended = slipway(&stage, &["run"]).ends_within(AT_ONCE).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("RUST_LOG"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_second_bot_on_a_database_is_told_who_has_it() {
    let stage = stage().await;
    let first = ready(&stage).await;
    let second = slipway(&stage, &["run"]).ends_within(AT_ONCE).await;
    assert_eq!(second.code, Some(1));
    let holder = format!("in use by slipway run, process {}", first.id());
    assert!(second.stderr.contains(&holder), "{}", second.stderr);

    // A death frees it at once, and the file that is left behind does not matter.
    first.signal(Signal::Kill);
    first.ends().await;
    let third = slipway(&stage, &["run"]);
    third.says("Slipway is ready").await;
    third.signal(Signal::Term);
    assert_eq!(third.ends().await.code, Some(0));
    stage.finish().await;
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    let stage = stage().await;
    let db = Db::open(&format!("sqlite://{}", stage.database().display()).parse().unwrap()).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99999999999999, 'later', 1, x'00', 0)")
        .execute(db.pool())
        .await
        .unwrap();
    db.close().await;
    for arguments in [&["run"][..], &["audit", "verify"], &["audit", "search"]] {
        let ended = slipway(&stage, arguments).ends_within(AT_ONCE).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{arguments:?}");
        assert!(ended.stderr.contains("newer version of Slipway"), "{}", ended.stderr);
    }
    assert_eq!(stage.discord.requests().len(), 0, "nothing was begun");
}

#[tokio::test]
async fn a_gateway_that_says_never_ends_it_with_advice() {
    let advice = [
        (4004, "DISCORD_TOKEN"),
        (4010, "DISCORD_API_URL"),
        (4011, "sharding"),
        (4012, "Update Slipway"),
        (4013, "intents"),
        (4014, "Privileged Gateway Intents"),
    ];
    for (code, words) in advice {
        let stage = stage().await;
        stage.discord.refuse_identify(Some(code));
        let ended = slipway(&stage, &["run"]).ends().await;
        assert_eq!(ended.code, Some(1), "{code}: {}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap_or_default();
        assert!(last.contains(words) && last.contains(&code.to_string()), "{code}: {}", ended.stderr);
        assert_eq!(stage.discord.identifies().len(), 1, "it does not try again");
    }
}

#[tokio::test]
async fn a_token_that_discord_refuses_is_said_to_be_wrong_and_not_tried_again() {
    let stage = stage().await;
    let variables = changed(&stage, "DISCORD_TOKEN", Some("hush.not.the-token"));
    let ended = slipway_with(&stage, &["run"], variables).ends().await;
    assert_eq!(ended.code, Some(1));
    let last = ended.stderr.lines().last().unwrap_or_default();
    assert!(last.contains("DISCORD_TOKEN") && last.contains("Reset it"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("hush"), "{}", ended.stderr);
    assert_eq!((stage.discord.requests().len(), stage.discord.invalid_answers()), (1, 1));
}

#[tokio::test]
async fn a_discord_that_cannot_be_reached_is_tried_again_until_it_is_there_or_the_bot_is_stopped() {
    let stage = stage().await;
    let nobody = Nobody::new();
    let variables = changed(&stage, "DISCORD_API_URL", Some(&nobody.url()));
    let bot = slipway_with(&stage, &["run"], variables);
    bot.says_times("Discord's gateway can't be found yet", 2).await;
    bot.signal(Signal::Term);
    let ended = bot.ends_within(Duration::from_secs(3)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
