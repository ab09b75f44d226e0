//! `slipway policy`: a guild's policy as a file, beside the running bot.

use crate::process::{Ended, Signal};
use crate::support::Stage;
use crate::support::stage::grant;
use crate::{ready, slipway, slipway_with, stage};

async fn policy(stage: &Stage, command: &str, file: Option<&str>) -> Ended {
    let guild = stage.discord.guild_id().to_string();
    let arguments: Vec<&str> = ["policy", command, "--guild", &guild].into_iter().chain(file).collect();
    slipway(stage, &arguments).ends().await
}

#[tokio::test]
async fn what_is_exported_changes_nothing_and_what_is_edited_is_planned_and_applied() {
    let stage = stage().await;
    let bot = ready(&stage).await;
    let exported = policy(&stage, "export", None).await;
    assert_eq!(exported.code, Some(0), "{}", exported.stderr);
    assert!(
        exported.stdout.starts_with("version = 1\n") && exported.stdout.contains("acme/web"),
        "{}",
        exported.stdout
    );
    let file = stage.database().with_file_name("policy.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, &exported.stdout).unwrap();
    let same = policy(&stage, "plan", Some(path)).await;
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), "Nothing differs.\n"), "{}", same.stderr);

    let bob = stage.bob().id;
    let rule =
        format!("\n[[rule]]\nwho = \"user:{bob}\"\naction = \"deploy\"\nrepo = \"acme/*\"\nreason = \"on call\"\n");
    std::fs::write(&file, exported.stdout.clone() + &rule).unwrap();
    let planned = policy(&stage, "plan", Some(path)).await;
    assert!(
        planned.stdout.starts_with("+ rule ") && planned.stdout.ends_with("1 thing would change.\n"),
        "{}",
        planned.stdout
    );
    assert!(stage.bob().deploys("acme/web", "main").await.answer().await.ephemeral, "a plan changes nothing");
    let applied = policy(&stage, "apply", Some(path)).await;
    assert!(
        applied.code == Some(0) && applied.stdout.ends_with("1 thing changed.\n"),
        "{}{}",
        applied.stdout,
        applied.stderr
    );
    let card = stage.bob().deploys("acme/web", "main").await.answer().await;
    assert!(!card.ephemeral, "{}", card.text());

    let log = stage.audit().await;
    let last: Vec<&str> = log.iter().rev().map(|entry| entry.action.as_str()).filter(|a| a.contains("p")).collect();
    assert!(last.contains(&"policy.applied") && last.contains(&"permission.granted"), "{last:?}");
    assert!(stage.verify().await.holds());
    bot.signal(Signal::Term);
    bot.ends().await;
    stage.finish().await;
}

#[tokio::test]
async fn a_policy_that_can_not_be_is_refused_whole() {
    let stage = stage().await;
    let bot = ready(&stage).await;
    stage.root().grants(grant(stage.bob().id, "admin")).await;
    let before = policy(&stage, "export", None).await.stdout;
    let file = stage.database().with_file_name("policy.toml");
    let path = file.to_str().unwrap();
    for (text, words) in [
        ("version = 1\ncolour = 3\n", "line 2, column 1"),
        ("version = 9\n", "reads version 1"),
        ("not toml", "is no policy"),
        (
            "version = 1\n[[repo]]\nname = \"a/b\"\nvcs = \"github\"\n[[repo.environment]]\nname = \"x\"\ntrigger = \"pipeline\"\n[[repo.environment.parameter]]\nname = \"API_TOKEN\"\ntype = \"string\"\n",
            "looks like a secret",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let ended = policy(&stage, "apply", Some(path)).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{text}");
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
    }
    // Without owners somebody must be left who administers.
    std::fs::write(&file, "version = 1\n").unwrap();
    let ownerless: Vec<(String, String)> =
        stage.variables().into_iter().filter(|(name, _)| name != "SLIPWAY_OWNERS").collect();
    let guild = stage.discord.guild_id().to_string();
    let ended = slipway_with(&stage, &["policy", "apply", "--guild", &guild, path], ownerless).ends().await;
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("nobody could administer"), "{}", ended.stderr);
    let missing = policy(&stage, "plan", Some("nowhere.toml")).await;
    assert!(missing.code == Some(1) && missing.stderr.contains("nowhere.toml can't be read"), "{}", missing.stderr);
    assert_eq!(policy(&stage, "export", None).await.stdout, before);
    bot.signal(Signal::Term);
    bot.ends().await;
    stage.finish().await;
}
