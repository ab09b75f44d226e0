//! The audit channel: each entry as one line, in order, none lost and none twice, and the head once a day.

#![allow(clippy::unwrap_used, reason = "a test that fails here has found something")]

mod support;

use std::time::Duration;

use insta::assert_snapshot;
use support::Stage;
use support::discord::{CommandCall, Fault, RouteKind, Scope};

fn set(name: &str, value: &str) -> CommandCall {
    CommandCall::new("settings").sub("set").string("name", name).string("value", value)
}

fn nonsense() -> CommandCall {
    CommandCall::new("permission").sub("revoke").string("id", "99")
}

/// Every line that stands in a channel, in its order.
fn lines(stage: &Stage, channel: u64) -> Vec<String> {
    let messages = stage.discord.messages(channel);
    messages.iter().flat_map(|message| message.content.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// The numbers of the entries whose lines stand in a channel, in its order.
fn numbers(stage: &Stage, channel: u64) -> Vec<i64> {
    let number = |line: &String| line.strip_prefix("`#")?.split_once('`')?.0.parse().ok();
    lines(stage, channel).iter().filter_map(number).collect()
}

/// How many heads stand in a channel.
fn heads(stage: &Stage, channel: u64) -> usize {
    lines(stage, channel).iter().filter(|line| line.starts_with("Head of the audit log: ")).count()
}

/// Waits until every entry from `first` on stands in the channel, and finds each once and in order.
async fn all_arrive(stage: &Stage, channel: u64, first: i64) {
    let newest = i64::try_from(stage.audit().await.len()).unwrap();
    stage.discord.until("every entry in the channel", |_| numbers(stage, channel).last() == Some(&newest)).await;
    assert_eq!(numbers(stage, channel), (first..=newest).collect::<Vec<_>>());
}

/// A stage whose guild has an audit channel: it, and the number of the entry that says so.
async fn with_channel() -> (Stage, u64, i64) {
    let stage = Stage::start().await;
    let channel = stage.discord.channel("audit");
    let answer = stage.root().hears(set("audit_channel", &format!("<#{channel}>"))).await;
    assert!(answer.text().contains("# Set"), "{}", answer.text());
    let first = i64::try_from(stage.audit().await.len()).unwrap();
    stage.discord.until("the head in the channel", |_| heads(&stage, channel) == 1).await;
    (stage, channel, first)
}

#[tokio::test]
async fn each_entry_is_a_line_from_the_one_that_set_the_channel_on() {
    let (stage, channel, first) = with_channel().await;
    stage.bob().deploys("acme/web", "main").await.answer().await;
    let hostile = CommandCall::new("deploy").string("repo", "acme/web").string("branch", "main");
    let hostile =
        hostile.string("reason", "@everyone **bold** [a](https://evil.example)\n`#1` forged https://evil.example");
    stage.bob().runs(hostile).await.answer().await;
    all_arrive(&stage, channel, first).await;
    let messages = stage.discord.messages(channel);
    assert!(messages.iter().all(|message| message.pings.is_empty() && message.content.encode_utf16().count() <= 2_000));
    assert!(!lines(&stage, channel).iter().any(|line| line.starts_with("`#1` forged")), "{:?}", lines(&stage, channel));
    let denied = lines(&stage, channel).into_iter().find(|line| line.contains("bold")).unwrap();
    assert!(denied.contains("\\*\\*bold\\*\\*") && !denied.contains("https://evil.example"), "{denied}");
    assert_eq!(stage.audited("settings.changed").await, 1);
    stage.finish().await;
}

#[tokio::test]
async fn a_burst_arrives_in_order_also_when_discord_says_wait() {
    let (stage, channel, first) = with_channel().await;
    stage.discord.fault(RouteKind::PostMessage, Fault::RateLimited(Duration::from_millis(300), Scope::User), 2);
    for _ in 0..40 {
        stage.bob().hears(nonsense()).await;
    }
    all_arrive(&stage, channel, first).await;
    assert!(stage.discord.messages(channel).len() < 30, "several lines go into one message");
    stage.finish().await;
}

#[tokio::test]
async fn a_kill_after_discord_took_it_sends_nothing_twice() {
    let (mut stage, channel, first) = with_channel().await;
    stage.discord.fault(RouteKind::PostMessage, Fault::HangAfter, 1);
    let before = stage.discord.messages(channel).len();
    stage.bob().hears(nonsense()).await;
    stage.discord.until("the message is there", |discord| discord.messages(channel).len() == before + 1).await;
    stage.kill_bot().await;
    // Longer than Discord remembers a nonce.
    stage.discord.advance(Duration::from_secs(600));
    stage.start_bot_again().await;
    stage.bob().hears(nonsense()).await;
    all_arrive(&stage, channel, first).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_kill_before_discord_took_it_loses_nothing() {
    let (mut stage, channel, first) = with_channel().await;
    let posts = stage.discord.requests_to(RouteKind::PostMessage).len();
    stage.discord.fault(RouteKind::PostMessage, Fault::Hang, 1);
    stage.bob().hears(nonsense()).await;
    stage.discord.requested(RouteKind::PostMessage, posts + 1).await;
    stage.kill_bot().await;
    stage.discord.advance(Duration::from_secs(600));
    stage.bob();
    stage.start_bot_again().await;
    all_arrive(&stage, channel, first).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_lost_answer_is_found_out() {
    let (stage, channel, first) = with_channel().await;
    stage.discord.fault(RouteKind::PostMessage, Fault::DropAfter, 1);
    stage.discord.fault(RouteKind::PostMessage, Fault::DropBefore, 1);
    for _ in 0..3 {
        stage.bob().hears(nonsense()).await;
    }
    all_arrive(&stage, channel, first).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_channel_that_may_not_be_written_to_is_told_once_and_gone_on_with_later() {
    let (stage, channel, first) = with_channel().await;
    stage.discord.fault(RouteKind::PostMessage, Fault::Refused(403, 50001, "Missing Access"), 2);
    stage.bob().hears(nonsense()).await;
    all_arrive(&stage, channel, first).await;
    assert_eq!(stage.audited("audit.undelivered").await, 1);
    stage.finish().await;
}

#[tokio::test]
async fn another_channel_goes_on_from_there_and_none_ends_it() {
    let (stage, channel, first) = with_channel().await;
    let other = stage.discord.channel("audit-two");
    stage.root().hears(set("audit_channel", &other.to_string())).await;
    let changed = i64::try_from(stage.audit().await.len()).unwrap();
    stage.bob().hears(nonsense()).await;
    all_arrive(&stage, other, changed).await;
    assert_eq!(numbers(&stage, channel), (first..changed).collect::<Vec<_>>());
    stage.discord.until("the head in the other channel", |_| heads(&stage, other) == 1).await;
    let shown = stage.root().hears(CommandCall::new("settings").sub("show")).await;
    assert!(shown.text().contains(&format!("`audit_channel` is `{other}`")), "{}", shown.text());
    stage.root().hears(set("audit_channel", "none")).await;
    let posts = stage.discord.requests_to(RouteKind::PostMessage).len();
    stage.bob().hears(nonsense()).await;
    stage.root().hears(CommandCall::new("settings").sub("show")).await;
    assert_eq!(stage.discord.requests_to(RouteKind::PostMessage).len(), posts);
    stage.finish().await;
}

#[tokio::test]
async fn the_head_comes_once_a_day_and_a_restart_does_not_repeat_it() {
    let (mut stage, channel, first) = with_channel().await;
    let head = stage.verify().await.head.hash;
    assert!(lines(&stage, channel).iter().any(|line| line.contains(&head)), "{:?}", lines(&stage, channel));
    stage.kill_bot().await;
    stage.start_bot_again().await;
    stage.bob().hears(nonsense()).await;
    all_arrive(&stage, channel, first).await;
    assert_eq!(heads(&stage, channel), 1, "the day is the same");
    stage.kill_bot().await;
    stage.another_program_writes("UPDATE audit_delivery SET head_day = head_day - 1").await;
    stage.start_bot_again().await;
    stage.discord.until("the head of the next day", |_| heads(&stage, channel) == 2).await;
    let head = stage.verify().await.head.hash;
    assert!(lines(&stage, channel).last().unwrap().contains(&head));
    stage.finish().await;
}

#[tokio::test]
async fn two_guilds_have_two_channels() {
    let stage = Stage::with(&[("DISCORD_GUILD_ID", "")]).await;
    let other = stage.discord.guild("other");
    let channel = stage.discord.channel("audit");
    stage.root().hears(set("audit_channel", &format!("<#{channel}>"))).await;
    let elsewhere = stage.person_of(&other, "root");
    let theirs = elsewhere.hears(set("audit_channel", &format!("<#{}>", other.channel_id))).await;
    assert!(theirs.text().contains("# Set"), "{}", theirs.text());
    elsewhere.hears(nonsense()).await;
    stage.bob().hears(nonsense()).await;
    let first = i64::try_from(stage.audit().await.len()).unwrap() - 1;
    all_arrive(&stage, channel, first).await;
    stage.discord.until("the other's", |_| numbers(&stage, other.channel_id).len() >= 2).await;
    stage.finish().await;
}

#[tokio::test]
async fn settings_are_for_administrators_and_a_time_zone_says_what_a_day_is() {
    let stage = Stage::start().await;
    let refused = stage.bob().hears(set("time_zone", "Europe/Berlin")).await;
    assert!(refused.text().contains("You need the permission `admin`"), "{}", refused.text());
    let odd = stage.root().hears(set("time_zone", "Mars/Olympus")).await;
    assert_snapshot!(stage.tidy(&odd), @"
    (only you can see this)
    # Not a usable time zone
    `Mars/Olympus` can't be used as `value`. There is no time zone of that name. They are named as the IANA does. Example: `Europe/Berlin`. Nothing was done.
    ");
    let odd = stage.root().hears(set("audit_channel", "#audit")).await;
    assert_snapshot!(stage.tidy(&odd), @"
    (only you can see this)
    # Not a usable channel
    `#audit` can't be used as `value`. A channel is its mention as Discord completes it, or its id; `none` turns it off. Example: `41771983423143937`. Nothing was done.
    ");
    let done = stage.root().hears(set("time_zone", "pacific/kiritimati")).await;
    assert_snapshot!(stage.tidy(&done), @"
    (only you can see this)
    # Set
    `time_zone` is `Pacific/Kiritimati` from now on; it was `UTC`.
    ");
    // Their day begins 14 hours before UTC's.
    let now = jiff::Timestamp::now();
    let there = jiff::tz::TimeZone::get("Pacific/Kiritimati").unwrap().to_datetime(now).date();
    let search = CommandCall::new("audit").sub("search").string("query", &format!("created:{there} action:settings"));
    let found = stage.root().hears(search).await;
    assert!(found.text().contains("settings.changed"), "{}", found.text());
    let zones = CommandCall::new("settings").sub("set").string("name", "time_zone").typing("value", "europe/ber");
    assert_eq!(stage.discord.autocomplete(&stage.root(), zones).await.choices().await[0].0, "Europe/Berlin");
    assert_eq!(stage.audited("settings.denied").await, 3);
    stage.finish().await;
}
