//! The command line beside the running bot, and by itself: what it prints, and the exit status.

use serde_json::Value;

use crate::process::{Ended, Signal};
use crate::support::Stage;
use crate::{ready, slipway, slipway_with, stage};

async fn run(stage: &Stage, arguments: &[&str]) -> Ended {
    slipway(stage, arguments).ends().await
}

#[tokio::test]
async fn the_log_is_searched_and_verified_beside_the_running_bot() {
    let stage = stage().await;
    let mut bot = ready(&stage).await;
    stage.alice().deploys("acme/web", "main").await.answer().await;
    stage.bob().deploys("acme/web", "main").await.answer().await;

    let table = run(&stage, &["audit", "search", "action:deploy.*"]).await;
    assert_eq!(table.code, Some(0), "{}", table.stderr);
    for word in ["deploy.requested", "deploy.triggered", "deploy.denied", "alice", "bob", "acme/web"] {
        assert!(table.stdout.contains(word), "{word}:\n{}", table.stdout);
    }
    let json = run(&stage, &["audit", "search", "action:deploy.*", "outcome:denied", "--format", "json"]).await;
    let entries: Value = serde_json::from_str(&json.stdout).unwrap();
    let entries = entries.as_array().unwrap();
    assert!(entries.len() == 1 && entries[0]["actor_name"] == "bob", "{}", json.stdout);
    assert_eq!(entries[0]["guild_id"], stage.discord.guild_id().to_string());

    let table = run(&stage, &["audit", "verify"]).await;
    assert_eq!(table.code, Some(0), "{}{}", table.stdout, table.stderr);
    assert_eq!(table.stdout.matches("the chain holds").count(), 2, "the guild's and the process's: {}", table.stdout);
    let json = run(&stage, &["audit", "verify", "--format", "json"]).await;
    let chains: Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(chains.as_array().unwrap().iter().all(|chain| chain["holds"] == true), "{}", json.stdout);

    assert!(bot.is_running(), "{}", bot.ends().await.stderr);
    bot.signal(Signal::Term);
    assert_eq!(bot.ends().await.code, Some(0));
    stage.finish().await;
}

#[tokio::test]
async fn the_operator_changes_rules_and_repositories_beside_the_running_bot() {
    let stage = stage().await;
    let bot = ready(&stage).await;
    let (guild, bob) = (stage.discord.guild_id().to_string(), stage.bob().id.to_string());
    let operate = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let words = [words[..1].to_vec(), vec!["--guild".to_owned(), guild.clone()], words[1..].to_vec()].concat();
        let (stage, words) = (&stage, words);
        async move { run(stage, &words.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };

    let granted = operate(&["permission", "grant", &bob, "deploy", "repo:acme/*", "reason:covers for alice"]).await;
    assert_eq!(granted.code, Some(0), "{}", granted.stderr);
    assert!(granted.stdout.contains("is made") && granted.stdout.contains("covers for alice"), "{}", granted.stdout);
    let card = stage.bob().deploys("acme/web", "main").await.answer().await;
    assert!(!card.ephemeral, "{}", card.text());
    let entry = stage.audit().await.into_iter().rfind(|entry| entry.action == "permission.granted").unwrap();
    assert!(entry.actor.starts_with("cli:") && entry.reason.as_deref() == Some("covers for alice"), "{entry:?}");

    let listed = operate(&["permission", "--format", "json", "list", &format!("who:{bob}")]).await;
    let rules: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert!(rules.as_array().unwrap().len() == 1 && rules[0]["subject"]["id"] == bob, "{}", listed.stdout);
    assert_eq!((&rules[0]["repo"], &rules[0]["action"]), (&"acme/*".into(), &"deploy".into()));
    let added = operate(&["repo", "add", "acme/api"]).await;
    assert_eq!(added.code, Some(0), "{}", added.stderr);
    let repos = operate(&["repo", "list"]).await;
    assert!(repos.stdout.contains("acme/api") && repos.stdout.contains("acme/web"), "{}", repos.stdout);
    for _ in 0..11 {
        operate(&["permission", "grant", &bob, "view"]).await;
    }
    let all = operate(&["permission", "list", &format!("who:{bob}")]).await;
    assert_eq!(all.stdout.matches("`view`").count(), 11, "every page: {}", all.stdout);

    let refused = operate(&["permission", "revoke", "99"]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("There is no rule `#99`"), "{}", refused.stderr);
    let misuse = operate(&["permission", "frobnicate"]).await;
    assert_eq!((misuse.code, misuse.stdout.as_str()), (Some(2), ""), "{}", misuse.stderr);
    assert!(stage.verify().await.holds());
    bot.signal(Signal::Term);
    bot.ends().await;
    stage.finish().await;
}

#[tokio::test]
async fn the_exit_status_tells_refusal_from_misuse() {
    let stage = stage().await;
    let none = run(&stage, &["audit", "search"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""));
    assert!(none.stderr.contains("There is no database"), "{}", none.stderr);
    assert!(!stage.database().exists(), "a question makes no database");

    let bot = slipway(&stage, &["run"]);
    bot.says("The commands are registered").await;
    bot.signal(Signal::Term);
    bot.ends().await;
    for arguments in [
        &["audit", "search", "colour:red"][..],
        &["audit", "search", "--format", "xml"],
        &["audit", "verify", "--head", "abc"],
        &["dance"],
        &["run", "--fast"],
    ] {
        let ended = run(&stage, arguments).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
    let lost = run(&stage, &["audit", "verify", "--head", &"ab".repeat(32)]).await;
    assert_eq!(lost.code, Some(1), "{}", lost.stdout);
    let empty = run(&stage, &["audit", "search", "actor:nobody"]).await;
    assert_eq!((empty.code, empty.stdout.as_str()), (Some(0), ""), "{}", empty.stderr);

    // Whoever can write the file can switch off the guard, and is found out.
    let url = format!("sqlite://{}", stage.database().display());
    let mut connection = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url).await.unwrap();
    let guards: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_log'")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    for guard in guards {
        sqlx::query(sqlx::AssertSqlSafe(format!("DROP TRIGGER {guard}"))).execute(&mut connection).await.unwrap();
    }
    sqlx::query("UPDATE audit_log SET action = 'repo.added' WHERE seq = 1").execute(&mut connection).await.unwrap();
    let broken = run(&stage, &["audit", "verify", "--guild", "0"]).await;
    assert_eq!(broken.code, Some(1));
    assert!(broken.stdout.contains("THE CHAIN IS BROKEN"), "{}", broken.stdout);
}

#[tokio::test]
async fn version_help_and_commands_need_no_settings() {
    let stage = stage().await;
    let bare = |arguments: &'static [&'static str]| slipway_with(&stage, arguments, Vec::new()).ends();
    let version = bare(&["--version"]).await;
    assert_eq!((version.code, version.stdout), (Some(0), format!("slipway {}\n", env!("CARGO_PKG_VERSION"))));
    let help = bare(&["--help"]).await;
    assert_eq!(help.code, Some(0));
    for word in ["run", "audit", "commands", "--version"] {
        assert!(help.stdout.contains(word), "{word}: {}", help.stdout);
    }
    let commands = bare(&["commands"]).await;
    assert_eq!((commands.code, commands.stdout), (Some(0), slipway::command::docs::markdown()));
}
