//! The numbers of a team's deploys, in chat and on the command line.

#![allow(clippy::unwrap_used, reason = "a test that fails here has found something")]

mod support;

use insta::assert_snapshot;
use support::Stage;
use support::discord::{CommandCall, Fault, RouteKind};

fn stats() -> CommandCall {
    CommandCall::new("stats")
}

/// `slipway stats`, beside the running bot.
fn slipway(stage: &Stage, arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.env_clear().env("DATABASE_URL", format!("sqlite://{}", stage.database().display()));
    command.arg("stats").args(arguments).output().unwrap()
}

/// Whether another program reads it as a picture of the size that Discord shows sharply.
fn is_picture(bytes: &[u8]) -> bool {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).is_ok_and(|frame| (frame.width, frame.height) == (960, 440))
}

/// A history of deploys: place, state, hours from the request to the end, hours since the end.
async fn history(stage: &Stage, deploys: &[(&str, &str, i64, i64)]) {
    for (index, (repo, state, took, ago)) in deploys.iter().enumerate() {
        let number = index + 1;
        stage
            .another_program_writes(&format!(
                "INSERT INTO deploy (uuid, guild_id, number, actor_id, actor_name, repo, vcs, environment, branch, parameters, kind, state,
                     asked_at, changed_at, ended_at, shown, told)
                 SELECT 'made-{number}', guild_id, {number}, '1', 'alice', '{repo}', 'github', 'production', 'main', '[]', 'pipeline', '{state}',
                     ended - {took} * 3600000, ended, ended, 1, 1
                   FROM (SELECT guild_id, CAST(strftime('%s', 'now') AS INTEGER) * 1000 - {ago} * 3600000 AS ended
                           FROM guild WHERE guild_id = {})",
                stage.discord.guild_id()
            ))
            .await;
    }
    stage.another_program_writes(&format!("UPDATE guild SET deploys_made = {}", deploys.len())).await;
}

const HISTORY: [(&str, &str, i64, i64); 8] = [
    ("acme/web", "succeeded", 1, 300),
    ("acme/web", "failed", 1, 200),
    ("acme/web", "failed", 1, 190),
    ("acme/web", "succeeded", 3, 150),
    ("acme/web", "canceled", 1, 149),
    ("Acme/Web", "succeeded", 5, 100),
    ("acme/api", "failed", 1, 50),
    ("acme/api", "unknown", 1, 49),
];

#[tokio::test]
async fn chat_and_command_line_tell_the_same_numbers_and_chat_shows_a_picture() {
    let stage = Stage::start().await;
    stage.root().adds_repo("acme/api").await;
    history(&stage, &HISTORY).await;
    let answer = stage.bob().hears(stats()).await;
    assert!(answer.ephemeral);
    assert_snapshot!(stage.tidy(&answer), @r#"
    (only you can see this)
    # Deploys of everything
    Deploys that ended from a time (a time) to a time (a time).
    Deploys a day: 0\.10 (3 in 31 days)
    Success rate: 50 % (3 succeeded, 3 failed)
    Change failure rate: 50 % (3 failed, 0 rolled back)
    Median lead time: 3 h
    Median time to recovery: 2 days 2 h, and one place where the last one failed
    [file stats.png]
    "#);
    let picture = &answer.files[0];
    assert!(is_picture(&picture.bytes) && answer.embeds[0]["image"]["url"] == "attachment://stats.png", "{picture:?}");
    assert!(
        picture.description.starts_with("Bars of the deploys a day of everything from "),
        "{}",
        picture.description
    );
    assert!(picture.description.contains(": 3 succeeded and 3 failed."), "{}", picture.description);
    let web = stage
        .bob()
        .hears(stats().string("repo", "acme/web").string("environment", "production").string("since", "7d"))
        .await;
    assert!(web.text().contains("Success rate: 100 % (2 succeeded, 0 failed)"), "{}", web.text());

    let chart = stage.database().with_file_name("chart.png");
    let out = slipway(&stage, &["--chart", chart.to_str().unwrap()]);
    let told = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    for line in answer.text().replace('\\', "").lines().filter_map(|line| line.split_once(": ")) {
        if ["Deploys a day", "Success rate", "Change failure rate", "Median lead time", "Median time to recovery"]
            .contains(&line.0)
        {
            assert!(told.contains(line.1), "{} is missing:\n{told}", line.1);
        }
    }
    assert!(is_picture(&std::fs::read(chart).unwrap()));
    stage.finish().await;
}

#[tokio::test]
async fn the_numbers_come_also_where_discord_does_not_take_the_picture() {
    let stage = Stage::start().await;
    history(&stage, &HISTORY).await;
    let refused = Fault::Refused(413, 40005, "Request entity too large");
    stage.discord.fault(RouteKind::EditOriginal, refused, 1);
    let answer = stage.bob().hears(stats()).await;
    assert!(answer.text().contains("Success rate: 50 %"), "{}", answer.text());
    assert!(answer.text().contains("The file `stats.png` is missing: Discord didn"), "{}", answer.text());
    assert!(answer.files.is_empty() && answer.embeds[0]["image"].is_null());
    stage.finish().await;
}

#[tokio::test]
async fn only_what_somebody_may_see_counts_and_bad_input_is_refused_clearly() {
    let stage = Stage::start().await;
    stage.root().adds_repo("acme/api").await;
    history(&stage, &HISTORY).await;
    let deny = support::stage::grant(stage.bob().id, "view").string("repo", "acme/api").string("effect", "deny");
    stage.root().grants(deny).await;
    let seen = stage.bob().hears(stats()).await;
    assert!(seen.text().contains("(3 succeeded, 2 failed)"), "{}", seen.text());
    let hidden = stage.bob().hears(stats().string("repo", "acme/api")).await;
    assert!(hidden.text().contains("You need the permission `view`"), "{}", hidden.text());
    let entry = stage.audit().await.pop().unwrap();
    assert_eq!((&*entry.action, &*entry.outcome, &*entry.actor), ("deploy.denied", "denied", "bob"), "{entry:?}");
    assert_eq!((entry.repo.as_deref(), &entry.detail["command"]), (Some("acme/api"), &"stats".into()));
    for (call, why) in [
        (stats().string("since", "2026-02-30"), "There is no such day in the calendar"),
        (stats().string("since", "2099-01-01"), "not in the past"),
        (stats().string("since", "2001-01-01"), "more than two years ago"),
        (stats().string("repo", "acme/web").string("environment", "moon"), "has no environment"),
    ] {
        let refused = stage.bob().hears(call).await;
        assert!(refused.text().contains(why), "{}", refused.text());
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_deploy_that_waited_for_long_counts_and_the_command_line_says_what_to_do_instead() {
    let stage = Stage::start().await;
    history(&stage, &[("acme/web", "succeeded", 24 * 40, 5)]).await;
    let answer = stage.bob().hears(stats().string("since", "7d")).await;
    assert!(answer.text().contains("Median lead time: 40 days"), "{}", answer.text());
    for (arguments, code, why) in [
        (&["--repo", "acme/nope"][..], 1, "`/repo list` shows what is"),
        (&["--since", "2026-02-30"], 2, "There is no such day in the calendar. Example: `7d`"),
        (&["--since", "2099-01-01"], 2, "It is not in the past. Example: `30d`"),
    ] {
        let out = slipway(&stage, arguments);
        let told = String::from_utf8(out.stderr).unwrap();
        assert!(out.status.code() == Some(code) && told.contains(why) && out.stdout.is_empty(), "{told}");
    }
    stage.finish().await;
}

#[tokio::test]
async fn one_guild_has_no_part_in_anothers_numbers() {
    let stage = Stage::with(&[("DISCORD_GUILD_ID", "")]).await;
    history(&stage, &HISTORY).await;
    let other = stage.discord.guild("other");
    let elsewhere = stage.person_of(&other, "root").hears(stats()).await;
    assert!(elsewhere.text().contains("(0 succeeded, 0 failed)"), "{}", elsewhere.text());
    stage.finish().await;
}
