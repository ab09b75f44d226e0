//! The audit channel: each entry as one line, in order, none lost and none twice, and the head once a day.

#![allow(clippy::unwrap_used, reason = "a test that fails here has found something")]

mod support;

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use slipway::actor::Actor;
use slipway::audit::redact::redact;
use slipway::db::Db;
use slipway::id::GuildId;
use slipway::time::Clock;
use support::Stage;
use support::discord::{ALWAYS, CommandCall, Fault, RouteKind, Scope};
use support::stage::grant;

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

/// Waits until an entry says that nothing arrives.
async fn until_told(stage: &Stage) {
    let told = async {
        while stage.audited("audit.undelivered").await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("an entry says that nothing arrives");
}

/// Kills the bot when Discord has taken a message and before the bot knows, and lets more time pass than Discord remembers a nonce for;
/// how many messages there are then.
async fn kill_once_taken(stage: &mut Stage, channel: u64) -> usize {
    stage.discord.fault(RouteKind::PostMessage, Fault::HangAfter, 1);
    let there = stage.discord.messages(channel).len() + 1;
    stage.bob().hears(nonsense()).await;
    stage.discord.until("the message is there", |discord| discord.messages(channel).len() == there).await;
    stage.kill_bot().await;
    stage.discord.advance(Duration::from_secs(600));
    there
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
    assert!(stage.discord.messages(channel).len() < 15, "several lines go into one message");
    stage.finish().await;
}

#[tokio::test]
async fn a_kill_after_discord_took_it_sends_nothing_twice() {
    let (mut stage, channel, first) = with_channel().await;
    kill_once_taken(&mut stage, channel).await;
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
    // Who looks at the channel sees who turned it off.
    all_arrive(&stage, other, changed).await;
    let posts = stage.discord.requests_to(RouteKind::PostMessage).len();
    stage.bob().hears(nonsense()).await;
    stage.root().hears(CommandCall::new("settings").sub("show")).await;
    assert_eq!(stage.discord.requests_to(RouteKind::PostMessage).len(), posts);
    // A channel that is set again begins with the entry that says so.
    stage.root().hears(set("audit_channel", &other.to_string())).await;
    let newest = i64::try_from(stage.audit().await.len()).unwrap();
    stage.discord.until("the entry that says so", |_| numbers(&stage, other).last() == Some(&newest)).await;
    assert_eq!(numbers(&stage, other), [(changed..newest - 1).collect::<Vec<_>>(), vec![newest]].concat());
    stage.finish().await;
}

#[tokio::test]
async fn what_stood_still_in_a_channel_goes_on_in_the_next_one() {
    let (stage, channel, first) = with_channel().await;
    stage.discord.fault(RouteKind::PostMessage, Fault::Refused(403, 50001, "Missing Access"), ALWAYS);
    stage.bob().hears(nonsense()).await;
    stage.bob().hears(nonsense()).await;
    until_told(&stage).await;
    let shown = stage.root().hears(CommandCall::new("settings").sub("show")).await;
    assert_snapshot!(stage.tidy(&shown).replace(&channel.to_string(), "a-channel"), @"
    (only you can see this)
    # Settings
    `time_zone` is `UTC`. Whose days a date means, as in `since:2026-01-31`.
    `audit_channel` is `a-channel`. A channel that receives each entry of the audit log as one line, and its head once a day.
    **Nothing arrives in the audit channel**: Discord does not let the bot do this (Missing Access). Give the bot's role the permission in that channel or server. 3 entries wait for it; it is tried again, at the latest after 10 minutes, and at once when a setting is changed.
    ");
    let arrived = numbers(&stage, channel);
    stage.discord.clear_faults();
    let other = stage.discord.channel("audit-two");
    stage.root().hears(set("audit_channel", &other.to_string())).await;
    let newest = i64::try_from(stage.audit().await.len()).unwrap();
    stage.discord.until("all of it", |_| numbers(&stage, other).last() == Some(&newest)).await;
    assert_eq!([arrived, numbers(&stage, other)].concat(), (first..=newest).collect::<Vec<_>>());
    stage.finish().await;
}

#[tokio::test]
async fn a_message_on_its_way_is_found_out_in_the_channel_it_was_meant_for() {
    for (fault, is_taken) in [(Fault::HangAfter, true), (Fault::Hang, false)] {
        let (mut stage, channel, first) = with_channel().await;
        let posts = stage.discord.requests_to(RouteKind::PostMessage).len();
        stage.discord.fault(RouteKind::PostMessage, fault, 1);
        stage.bob().hears(nonsense()).await;
        stage.discord.requested(RouteKind::PostMessage, posts + 1).await;
        let other = stage.discord.channel("audit-two");
        stage.root().hears(set("audit_channel", &other.to_string())).await;
        stage.kill_bot().await;
        stage.start_bot_again().await;
        let changed = i64::try_from(stage.audit().await.len()).unwrap();
        stage.discord.until("all of it", |_| numbers(&stage, other).last() == Some(&changed)).await;
        let sent_anew = if is_taken { changed } else { changed - 1 };
        assert_eq!(numbers(&stage, other), (sent_anew..=changed).collect::<Vec<_>>());
        assert_eq!(numbers(&stage, channel), (first..sent_anew).collect::<Vec<_>>());
        stage.finish().await;
    }
}

#[tokio::test]
async fn where_the_history_is_hidden_nothing_is_sent_twice_and_that_is_told() {
    let (mut stage, channel, first) = with_channel().await;
    let before = kill_once_taken(&mut stage, channel).await - 1;
    stage.discord.hide_history(channel, true);
    stage.start_bot_again().await;
    stage.discord.until("two looks in vain", |_| reads_of_one(&stage) >= 2).await;
    assert_eq!(stage.discord.messages(channel).len(), before + 1, "nothing is sent on a guess");
    assert_eq!(stage.audited("audit.undelivered").await, 1);
    stage.discord.hide_history(channel, false);
    all_arrive(&stage, channel, first).await;
    stage.finish().await;
}

/// How often a single message was asked for.
fn reads_of_one(stage: &Stage) -> usize {
    let reads = stage.discord.requests_to(RouteKind::ReadMessage);
    reads.iter().filter(|read| !read.path.contains('?') && read.status == Some(403)).count()
}

#[tokio::test]
async fn a_channel_whose_history_is_hidden_gets_nothing_before_it_is_shown() {
    let stage = Stage::start().await;
    let channel = stage.discord.channel("audit");
    stage.discord.hide_history(channel, true);
    stage.root().hears(set("audit_channel", &channel.to_string())).await;
    let first = i64::try_from(stage.audit().await.len()).unwrap();
    stage.discord.until("two looks in vain", |_| reads_of_one(&stage) >= 2).await;
    assert!(stage.discord.messages(channel).is_empty());
    stage.discord.hide_history(channel, false);
    all_arrive(&stage, channel, first).await;
    stage.finish().await;
}

#[tokio::test]
async fn what_another_bot_says_is_not_taken_for_what_was_sent() {
    let (mut stage, channel, first) = with_channel().await;
    let posts = stage.discord.requests_to(RouteKind::PostMessage).len();
    stage.discord.fault(RouteKind::PostMessage, Fault::Hang, 1);
    stage.bob().hears(nonsense()).await;
    stage.discord.requested(RouteKind::PostMessage, posts + 1).await;
    stage.kill_bot().await;
    let newest = i64::try_from(stage.audit().await.len()).unwrap();
    let lookalike = format!("`#{newest}` all is well");
    // More than one page of it.
    for _ in 0..150 {
        stage.discord.another_bot_says(channel, &lookalike);
    }
    stage.discord.advance(Duration::from_secs(600));
    stage.start_bot_again().await;
    let ours = |stage: &Stage| {
        let lines = lines(stage, channel).into_iter().filter(|line| *line != lookalike);
        lines.filter(|line| line.starts_with(&format!("`#{newest}` "))).count()
    };
    stage.discord.until("ours", |_| ours(&stage) == 1).await;
    assert_eq!(numbers(&stage, channel)[0], first);
    stage.finish().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_discord_and_the_next_start_finds_out() {
    let (mut stage, channel, first) = with_channel().await;
    let posts = stage.discord.requests_to(RouteKind::PostMessage).len();
    stage.discord.fault(RouteKind::PostMessage, Fault::HangAfter, 1);
    stage.bob().hears(nonsense()).await;
    stage.discord.requested(RouteKind::PostMessage, posts + 1).await;
    let begun = Instant::now();
    stage.stop_bot().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
    stage.start_bot_again().await;
    stage.bob().hears(nonsense()).await;
    all_arrive(&stage, channel, first).await;
    stage.finish().await;
}

#[tokio::test]
async fn a_channel_of_another_server_is_told_nothing() {
    let stage = Stage::start().await;
    let other = stage.discord.guild("other");
    stage.root().hears(set("audit_channel", &other.channel_id.to_string())).await;
    stage
        .discord
        .until("a look at the channel", |discord| {
            discord.requests_to(RouteKind::Other).iter().any(|read| read.path.contains(&other.channel_id.to_string()))
        })
        .await;
    until_told(&stage).await;
    let told = stage.audit().await.into_iter().find(|entry| entry.action == "audit.undelivered").unwrap();
    assert_snapshot!(told.reason.unwrap(), @"The channel is not one of this server: name one that is with `/settings set audit_channel`");
    assert!(stage.discord.messages(other.channel_id).is_empty());
    // Turned off, it is forgotten.
    stage.root().hears(set("audit_channel", "none")).await;
    let shown = stage.root().hears(CommandCall::new("settings").sub("show")).await;
    assert!(!shown.text().contains("audit channel:"), "{}", shown.text());
    stage.finish().await;
}

#[tokio::test]
async fn one_guilds_channel_waits_for_no_other() {
    let stage = Stage::with(&[("DISCORD_GUILD_ID", "")]).await;
    let other = stage.discord.guild("other");
    let channel = stage.discord.channel("audit");
    let elsewhere = stage.person_of(&other, "root");
    for (who, channel) in [(&stage.root(), channel), (&elsewhere, other.channel_id)] {
        who.hears(set("audit_channel", &channel.to_string())).await;
        stage.discord.until("the head", |_| heads(&stage, channel) == 1).await;
    }
    // The home guild's channel is held up for longer than the other one's entry is waited for.
    stage.discord.fault(RouteKind::PostMessage, Fault::RateLimited(Duration::from_secs(25), Scope::User), 1);
    stage.bob().hears(nonsense()).await;
    stage
        .discord
        .until("the limit", |discord| {
            discord.requests_to(RouteKind::PostMessage).iter().any(|post| post.status == Some(429))
        })
        .await;
    let before = numbers(&stage, channel);
    elsewhere.hears(nonsense()).await;
    let newest = i64::try_from(stage.audit_of(other.id).await.len()).unwrap();
    stage.discord.until("the other's", |_| numbers(&stage, other.channel_id).last() == Some(&newest)).await;
    assert_eq!(numbers(&stage, channel), before);
    stage.finish().await;
}

#[tokio::test]
async fn an_entry_that_was_redacted_before_it_was_sent_is_shown_so() {
    let (stage, channel, first) = with_channel().await;
    stage.discord.fault(RouteKind::PostMessage, Fault::Refused(403, 50001, "Missing Access"), 2);
    let secret = CommandCall::new("deploy").string("repo", "acme/web").string("branch", "main");
    stage.bob().hears(secret.string("reason", "hunter2-is-my-password")).await;
    let seq = i64::try_from(stage.audit().await.len()).unwrap();
    until_told(&stage).await;
    let denied = stage.audit().await.iter().position(|entry| entry.action == "deploy.denied").unwrap() as i64 + 1;
    assert!(denied <= seq);
    let db = Db::open(&format!("sqlite://{}", stage.database().display()).parse().unwrap()).await.unwrap();
    let guild = GuildId::new(stage.discord.guild_id()).unwrap();
    redact(&db, &Actor::cli("root"), guild, denied, "a password", Clock::system().now()).await.unwrap();
    db.close().await;
    stage.discord.clear_faults();
    // What another program writes is noticed with the next thing that happens, and within a minute.
    stage.bob().hears(nonsense()).await;
    all_arrive(&stage, channel, first).await;
    let line = lines(&stage, channel).into_iter().find(|line| line.starts_with(&format!("`#{denied}` "))).unwrap();
    assert!(line.contains("(redacted)") && !line.contains("hunter2"), "{line}");
    stage.finish().await;
}

#[tokio::test]
async fn what_takes_the_place_of_entries_that_were_cut_off_is_shown() {
    let (mut stage, channel, _) = with_channel().await;
    for _ in 0..3 {
        stage.bob().hears(nonsense()).await;
    }
    let newest = i64::try_from(stage.audit().await.len()).unwrap();
    stage.discord.until("all of it", |_| numbers(&stage, channel).last() == Some(&newest)).await;
    stage.kill_bot().await;
    stage.another_program_writes("DROP TRIGGER audit_log_is_never_shortened").await;
    stage.another_program_writes(&format!("DELETE FROM audit_log WHERE guild_id <> 0 AND seq > {}", newest - 2)).await;
    stage.start_bot_again().await;
    stage
        .discord
        .until("the break", |_| lines(&stage, channel).iter().any(|line| line.contains("`audit.broken`")))
        .await;
    let seen = numbers(&stage, channel);
    assert_eq!(seen[seen.len() - 2..], [newest, newest - 1], "{seen:?}");
    drop(stage.stop_bot().await);
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
    // Who administers a part of it isn't asked about the whole.
    stage.root().grants(grant(stage.bob().id, "admin").string("repo", "acme/*")).await;
    for call in [set("time_zone", "Europe/Berlin"), CommandCall::new("settings").sub("show")] {
        let refused = stage.bob().hears(call).await;
        assert!(refused.text().contains("You need the permission `admin`"), "{}", refused.text());
    }
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
    let off = CommandCall::new("settings").sub("set").string("name", "audit_channel").typing("value", "");
    assert_eq!(stage.discord.autocomplete(&stage.root(), off).await.choices().await[0].0, "none");
    assert_eq!(stage.audited("settings.denied").await, 5);
    let changed = stage.audit().await.into_iter().find(|entry| entry.action == "settings.changed").unwrap().detail;
    let expected = serde_json::json!({ "setting": "time_zone", "before": "UTC", "after": "Pacific/Kiritimati" });
    assert_eq!(changed, expected);
    stage.finish().await;
}
