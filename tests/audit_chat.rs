//! The audit log in chat: who may ask what, pages that stay where they are, files, proof, and the same answers as on the command line.

#![allow(clippy::unwrap_used, reason = "a test that fails here has found something")]

mod support;

use insta::assert_snapshot;
use slipway::command::leaves;
use support::discord::{CommandCall, MessageView};
use support::stage::grant;
use support::{Person, Stage};

fn audit(sub: &str) -> CommandCall {
    CommandCall::new("audit").sub(sub)
}

fn search(query: &str) -> CommandCall {
    audit("search").string("query", query)
}

/// A message without the signs that keep its names from being mentions.
fn plain(message: &MessageView) -> String {
    message.text().replace('\u{200b}', "")
}

/// The numbers of the entries on a page.
fn seqs(page: &MessageView) -> Vec<i64> {
    let lines = page.text();
    let numbers = lines.lines().filter_map(|line| line.strip_prefix("`#")?.split_once('`')?.0.parse().ok());
    numbers.collect()
}

async fn presses(stage: &Stage, who: &Person<'_>, page: &MessageView, button: &str) -> MessageView {
    stage.discord.press(who, page, button).await.answer_when(|answer| answer.text() != page.text()).await
}

#[tokio::test]
async fn an_auditor_asks_and_every_question_is_an_entry() {
    let stage = Stage::start().await;
    stage.bob().deploys("acme/web", "main").await.answer().await;
    let answer = stage.root().hears(search("action:deploy.denied is:denied")).await;
    assert!(answer.ephemeral);
    assert_snapshot!(stage.tidy(&answer), @"
(only you can see this)
# Audit log
`action:deploy.denied outcome:denied`
`#4` a time (a time) @somebody `deploy.denied` `acme/web` `production` `main` **denied**: The permission deploy is missing.
");
    let options = audit("search").user("user", &stage.bob()).string("repo", "acme/*").string("since", "1h");
    assert_eq!(seqs(&stage.root().hears(options).await).len(), 1);
    let none = stage.root().hears(search("deploy:#99")).await;
    assert_snapshot!(stage.tidy(&none), @"
    (only you can see this)
    # Audit log
    `deploy:#99`
    No entry matches.
    ");
    let bad = stage.root().hears(search("since:7d outcom:denied")).await;
    assert_snapshot!(stage.tidy(&bad), @r#"
    (only you can see this)
    # Not a query
    ```
    since:7d outcom:denied
             ^^^^^^^^^^^^^
    ```
    There is no such term. Did you mean `outcome:`? Possible: action:, actor:, repo:, environment:, branch:, revision:, outcome:, deploy:, since:, until:, created:, is:, text:. Example: `outcome:denied,error`. Nothing was done.
    "#);
    let refused = stage.bob().hears(audit("search")).await;
    assert_snapshot!(stage.tidy(&refused), @"
    (only you can see this)
    # Not permitted
    You need the permission `audit`, and no rule gives it to you. It can be granted by @somebody. Nothing was done.
    ");
    assert_eq!((stage.audited("audit.searched").await, stage.audited("audit.denied").await), (3, 2));
    stage.finish().await;
}

#[tokio::test]
async fn pages_are_turned_by_key_and_stay_where_they_are_while_entries_arrive() {
    let mut stage = Stage::start().await;
    for number in 0..25 {
        stage.bob().hears(CommandCall::new("permission").sub("revoke").string("id", &number.to_string())).await;
    }
    let first = stage.root().hears(search("action:permission.denied")).await;
    let newest = seqs(&first);
    assert_eq!((newest.len(), first.buttons().len()), (10, 1), "{}", first.text());
    stage.bob().hears(CommandCall::new("permission").sub("revoke").string("id", "99")).await;
    let second = presses(&stage, &stage.root(), &first, "Older").await;
    stage.kill_bot().await;
    stage.start_bot_again().await;
    let third = presses(&stage, &stage.root(), &second, "Older").await;
    let all: Vec<i64> = [&first, &second, &third].into_iter().flat_map(seqs).collect();
    assert_eq!((all.len(), all.is_sorted_by(|newer, older| newer == &(older + 1))), (25, true), "{all:?}");
    assert_eq!(third.buttons().iter().map(|button| button.label.as_str()).collect::<Vec<_>>(), ["Newer"]);
    let back = presses(&stage, &stage.root(), &third, "Newer").await;
    assert_eq!(seqs(&back), seqs(&second));
    let back = presses(&stage, &stage.root(), &back, "Newer").await;
    assert_eq!(seqs(&back), newest);
    // What has arrived meanwhile is newer still.
    let newer = presses(&stage, &stage.root(), &back, "Newer").await;
    assert_eq!(seqs(&newer).len(), 1, "{}", newer.text());
    assert!(!newer.buttons().iter().any(|button| button.label == "Newer"), "{}", newer.text());

    // Whoever may search turns the pages of their own searches only.
    stage.root().grants(grant(stage.alice().id, "audit")).await;
    let search = first.buttons()[0].custom_id.clone().unwrap();
    let forged = stage.discord.press_forged(&stage.alice(), &stage.alice().hears(audit("search")).await, &search).await;
    let answer = forged.answer_when(|answer| answer.text().contains("no search of yours")).await;
    assert!(answer.ephemeral);
    stage.finish().await;
}

#[tokio::test]
async fn an_auditor_of_one_repository_sees_only_that() {
    let stage = Stage::start().await;
    stage.root().adds_repo("acme/api").await;
    stage.bob().deploys("acme/web", "main").await.answer().await;
    stage.bob().deploys("acme/api", "main").await.answer().await;
    stage.root().grants(grant(stage.alice().id, "audit").string("repo", "acme/web")).await;
    let seen = stage.alice().hears(audit("search")).await;
    assert!(seen.text().contains("acme/web") && !seen.text().contains("acme/api"), "{}", seen.text());
    let entries = stage.audit().await;
    let about = |repo: &str| {
        let found =
            entries.iter().position(|entry| entry.action == "deploy.denied" && entry.repo.as_deref() == Some(repo));
        (found.unwrap() + 1).to_string()
    };
    let own = stage.alice().hears(audit("show").string("seq", &about("acme/web"))).await;
    assert!(own.text().contains("deploy.denied"), "{}", own.text());
    let other = stage.alice().hears(audit("show").string("seq", &about("acme/api"))).await;
    let missing = stage.alice().hears(audit("show").string("seq", "9999")).await;
    assert_eq!(other.text().replace(&about("acme/api"), "N"), missing.text().replace("9999", "N"));
    assert!(stage.alice().hears(audit("verify")).await.text().contains("You need the permission"));
    assert!(
        stage
            .alice()
            .hears(audit("save").string("name", "x").string("query", "since:7d"))
            .await
            .text()
            .contains("You need")
    );
    let file = stage.alice().hears(audit("export").string("format", "jsonl")).await.files.remove(0);
    let text = String::from_utf8(file.bytes).unwrap();
    assert!(text.lines().count() >= 2 && text.lines().all(|line| line.contains("\"repo\":\"acme/web\"")), "{text}");
    // One denial outweighs the grant, as everywhere.
    let deny = grant(stage.alice().id, "audit")
        .string("repo", "acme/web")
        .string("environment", "production")
        .string("effect", "deny");
    stage.root().grants(deny).await;
    let less = stage.alice().hears(search("environment:production")).await;
    assert!(less.text().contains("No entry matches"), "{}", less.text());
    stage.finish().await;
}

#[tokio::test]
async fn an_entry_is_shown_in_full_with_links_to_its_message_and_build() {
    let stage = Stage::start().await;
    stage.alice().deploys("acme/web", "main").await.answer_when(|card| card.text().contains("queued")).await;
    let shown = stage.root().hears(search("action:deploy.triggered")).await;
    let seq = seqs(&shown)[0].to_string();
    let shown = stage.root().hears(audit("show").string("seq", &format!("#{seq}"))).await;
    let buttons = shown.buttons();
    assert_eq!(buttons.iter().map(|button| button.label.as_str()).collect::<Vec<_>>(), ["Build", "Message"]);
    assert!(buttons[1].url.as_ref().unwrap().starts_with("https://discord.com/channels/"), "{buttons:?}");
    for field in [
        "Action: ",
        "Outcome: ",
        "Time: ",
        "Actor: ",
        "Repository: ",
        "Detail: ",
        "Salt: ",
        "Seal: ",
        "Hash before: ",
        "Hash: ",
    ] {
        assert!(shown.text().contains(&format!("\n{field}")), "{field} is missing: {}", shown.text());
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_file_comes_with_the_answer_and_no_spreadsheet_runs_it() {
    let stage = Stage::start().await;
    let reason = CommandCall::new("deploy")
        .string("repo", "acme/web")
        .string("branch", "main")
        .string("reason", "=cmd|' /C calc'!A0");
    stage.bob().runs(reason).await.answer().await;
    let answer = stage.root().hears(audit("export").string("query", "action:deploy.denied")).await;
    assert!(answer.ephemeral && answer.files.len() == 1, "{}", answer.text());
    let file = &answer.files[0];
    assert!(file.name.starts_with("audit-") && file.name.ends_with(".csv"), "{file:?}");
    let text = String::from_utf8(file.bytes.clone()).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.contains(",'=cmd|' /C calc'!A0,"), "{text}");
    assert_eq!(stage.audited("audit.exported").await, 1);
    stage.finish().await;
}

#[tokio::test]
async fn the_chain_is_proved_in_chat_and_a_break_is_told_with_its_place() {
    let stage = Stage::start().await;
    let proved = stage.root().hears(audit("verify")).await;
    assert!(proved.text().contains("# The chain holds"), "{}", proved.text());
    let head = stage.verify().await.head.hash;
    let noted = stage.root().hears(audit("verify").string("head", &head)).await;
    assert!(noted.text().contains("nothing up to there was cut off"), "{}", noted.text());
    let lost = stage.root().hears(audit("verify").string("head", &"a".repeat(64))).await;
    assert!(lost.text().contains("# THE CHAIN IS BROKEN"), "{}", lost.text());
    stage.another_program_writes("DROP TRIGGER audit_log_is_never_changed").await;
    stage.another_program_writes("UPDATE audit_log SET outcome = 'denied' WHERE seq = 2 AND guild_id <> 0").await;
    let broken = stage.root().hears(audit("verify")).await;
    assert!(broken.text().contains("entry 2 was changed: its hash"), "{}", broken.text());
    let odd = stage.root().hears(audit("verify").string("head", "abc")).await;
    assert!(odd.text().contains("64 hexadecimal digits"), "{}", odd.text());
    // Mended, so that the stage's own check at the end finds nothing.
    stage.another_program_writes("UPDATE audit_log SET outcome = 'allowed' WHERE seq = 2 AND guild_id <> 0").await;
    stage.finish().await;
}

#[tokio::test]
async fn a_start_notices_a_tail_that_was_cut_off_and_goes_on_from_what_is_left() {
    let mut stage = Stage::start().await;
    stage.bob().deploys("acme/web", "main").await.answer().await;
    stage.kill_bot().await;
    stage.another_program_writes("DROP TRIGGER audit_log_is_never_shortened").await;
    let newest = "(SELECT MAX(seq) FROM audit_log WHERE guild_id <> 0)";
    stage.another_program_writes(&format!("DELETE FROM audit_log WHERE guild_id <> 0 AND seq = {newest}")).await;
    stage.start_bot_again().await;
    let entries = stage.audit().await;
    assert_eq!(entries.last().unwrap().action, "audit.broken", "{entries:?}");
    stage.bob().deploys("acme/web", "main").await.answer().await;
    assert_eq!(stage.audited("audit.broken").await, 1, "it is told once");
    let broken = stage.root().hears(audit("verify")).await;
    assert!(broken.text().contains("records that what stood before it had been cut off"), "{}", broken.text());
    drop(stage.stop_bot().await);
}

#[tokio::test]
async fn a_permission_that_is_withdrawn_before_the_question_is_recorded_answers_nothing() {
    let stage = Stage::start().await;
    stage.bob().deploys("acme/web", "main").await.answer().await;
    stage.root().grants(grant(stage.alice().id, "audit")).await;
    // The question passes its first check, which only reads, and waits to be recorded.
    let mut held = stage.hold_database().await;
    let asking = stage.alice().runs(audit("search")).await;
    asking.acknowledged().await;
    stage.bob().hears(CommandCall::new("whoami")).await;
    held.write("UPDATE rule SET revoked_at = 1 WHERE action = 'audit'").await;
    held.give_back().await;
    let answer = asking.answer_when(|answer| !answer.is_loading()).await;
    assert!(answer.text().contains("You need the permission `audit`"), "{}", answer.text());
    assert_eq!(stage.audited("audit.searched").await, 0);
    stage.finish().await;
}

/// Whoever else asks at that time may keep one waiting.
#[tokio::test]
async fn a_permission_that_is_withdrawn_while_a_turn_is_waited_for_verifies_nothing() {
    let stage = Stage::start().await;
    stage.root().grants(grant(stage.alice().id, "audit")).await;
    // Two questions have their turns, and wait to be recorded.
    let mut held = stage.hold_database().await;
    let others = [stage.root().runs(audit("search")).await, stage.root().runs(audit("search")).await];
    for other in &others {
        other.acknowledged().await;
    }
    stage.bob().hears(CommandCall::new("whoami")).await;
    let asking = stage.alice().runs(audit("verify")).await;
    asking.acknowledged().await;
    stage.bob().hears(CommandCall::new("whoami")).await;
    held.write("UPDATE rule SET revoked_at = 1 WHERE action = 'audit'").await;
    held.give_back().await;
    let answer = asking.answer_when(|answer| !answer.is_loading()).await;
    assert!(answer.text().contains("You need the permission `audit`"), "{}", answer.text());
    for other in others {
        assert!(other.answer_when(|answer| !answer.is_loading()).await.text().contains("Audit log"));
    }
    stage.finish().await;
}

#[tokio::test]
async fn a_question_that_cannot_be_recorded_is_not_answered() {
    let stage = Stage::start().await;
    stage.bob().deploys("acme/web", "main").await.answer().await;
    stage.database_fails_at("audit_log", "NEW.action IN ('audit.searched', 'audit.shown', 'audit.exported')").await;
    for call in [audit("search"), audit("show").string("seq", "1"), audit("export")] {
        let answer = stage.root().hears(call).await;
        assert!(answer.text().contains("the database failed"), "{}", answer.text());
        assert!(!answer.text().contains("deploy.denied") && answer.files.is_empty());
    }
    stage.database_recovers().await;
    assert!(stage.root().hears(audit("search")).await.text().contains("deploy.denied"));
    stage.finish().await;
}

#[tokio::test]
async fn a_server_keeps_a_hundred_queries_and_says_so() {
    let stage = Stage::start().await;
    stage
        .another_program_writes(&format!(
            "WITH RECURSIVE number (value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM number WHERE value < 100)
             INSERT INTO audit_query (guild_id, name, query, made_by, made_by_name, made_at)
             SELECT {}, 'q' || value, 'since:7d', 'cli:root', 'root', 0 FROM number",
            stage.discord.guild_id()
        ))
        .await;
    let first = stage.root().hears(audit("saved")).await;
    assert!(first.text().contains("Page 1 of 10, 100 in all."), "{}", first.text());
    let second = presses(&stage, &stage.root(), &first, "Older").await;
    assert!(second.text().contains("Page 2 of 10"), "{}", second.text());
    let save = |name| audit("save").string("name", name).string("query", "since:1d");
    let refused = stage.root().hears(save("weekly")).await;
    assert!(refused.text().contains("There are 100 saved queries, and no more are kept"), "{}", refused.text());
    assert!(stage.root().hears(save("q7")).await.text().contains("The query is saved"), "in place of another one");
    stage.root().hears(audit("forget").string("name", "q1")).await;
    assert!(stage.root().hears(save("weekly")).await.text().contains("The query is saved"));
    stage.finish().await;
}

#[tokio::test]
async fn saved_queries_belong_to_their_guild() {
    let stage = Stage::with(&[("DISCORD_GUILD_ID", "")]).await;
    let other = stage.discord.guild("other");
    stage.root().hears(audit("save").string("name", "@Weekly").string("query", "since:7d is:denied")).await;
    let listed = stage.root().hears(audit("saved")).await;
    assert!(plain(&listed).contains("`@weekly`: `since:7d outcome:denied`, saved by root"), "{}", listed.text());
    assert!(
        stage.root().hears(search("@weekly actor:@bob")).await.text().contains("`since:7d outcome:denied actor:bob`")
    );
    let elsewhere = stage.person_of(&other, "root");
    assert!(elsewhere.hears(audit("saved")).await.text().contains("There is none"));
    assert!(elsewhere.hears(search("@weekly")).await.text().contains("There is no saved query of that name"));
    assert!(elsewhere.hears(audit("forget").string("name", "weekly")).await.text().contains("There is no saved query"));
    stage.root().hears(audit("forget").string("name", "weekly")).await;
    assert!(stage.root().hears(audit("saved")).await.text().contains("There is none"));
    let terms = stage.discord.autocomplete(&stage.root(), audit("search").typing("query", "repo:acme/web out")).await;
    assert_eq!(terms.choices().await[0].0, "repo:acme/web outcome:");
    stage.finish().await;
}

/// What an auditor asks, as docs/audit.md has it.
#[tokio::test]
async fn chat_and_command_line_give_the_same_answers_to_the_questions_of_the_docs() {
    let stage = Stage::start().await;
    stage.alice().deploys("acme/web", "main").await.answer_when(|card| card.text().contains("queued")).await;
    stage.bob().deploys("acme/web", "main").await.answer().await;
    stage.root().grants(grant(stage.bob().id, "view").string("repo", "acme/api").string("reason", "disk full")).await;
    let page = include_str!("../docs/audit.md");
    let questions = page.split("## Ten questions").nth(1).unwrap().split("\n## ").next().unwrap();
    let questions: Vec<&str> =
        questions.lines().filter_map(|line| line.strip_prefix("| ")?.split('`').nth(1)).collect();
    assert_eq!(questions.len(), 10, "{questions:?}");
    let mut found = 0;
    for question in questions {
        // Both leave what has been asked so far out of their answers, so that they answer the same.
        let question = format!("{question} -action:audit");
        let chat = seqs(&stage.root().hears(search(&question)).await);
        let guild = stage.discord.guild_id().to_string();
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_slipway"))
            .env_clear()
            .env("DATABASE_URL", format!("sqlite://{}", stage.database().display()))
            .env("DISCORD_GUILD_ID", guild)
            .args(["audit", "search", "--format", "json", "--limit", "10", "--", &question])
            .output()
            .unwrap();
        assert!(out.status.success(), "{question}: {}", String::from_utf8_lossy(&out.stderr));
        let entries: Vec<serde_json::Value> = serde_json::from_slice(&out.stdout).unwrap();
        let told: Vec<i64> = entries.iter().map(|entry| entry["seq"].as_i64().unwrap()).collect();
        assert_eq!(chat, told, "{question}");
        found += chat.len();
    }
    assert!(found >= 8, "the log is too thin to tell: {found}");
    stage.finish().await;
}

#[tokio::test]
async fn every_command_that_changes_something_or_is_refused_leaves_a_trace() {
    let stage = Stage::start().await;
    let mut without = Vec::new();
    for (path, leaf) in leaves() {
        let before = stage.audit().await.len();
        // Bob has no right beyond looking, so whatever needs more is refused; options that must be there are filled with something.
        let mut call = CommandCall::new(path[0]);
        for sub in &path[1..] {
            call = call.sub(sub);
        }
        for option in leaf.options.iter().filter(|option| option.required) {
            call = match option.kind {
                slipway::command::Kind::User => call.user(option.name, &stage.alice()),
                slipway::command::Kind::Mentionable => call.mentionable(option.name, stage.alice().id),
                slipway::command::Kind::Flag => call.boolean(option.name, true),
                slipway::command::Kind::Choice(words) => call.string(option.name, words[0]),
                _ => {
                    let filled = match option.name {
                        "repo" | "name"
                            if path[0] != "audit" && (path[0] != "environment" || option.name == "repo") =>
                        {
                            "acme/web"
                        }
                        "branch" => "main",
                        "name" if path[0] == "environment" => "production",
                        "id" | "seq" => "1",
                        _ => "something",
                    };
                    call.string(option.name, filled)
                }
            };
        }
        stage.bob().runs(call).await.answer().await;
        if stage.audit().await.len() == before {
            without.push(path.join(" "));
        }
    }
    // These change nothing, and everyone may look at what they show.
    let looks = [
        "deploys list",
        "permission list",
        "access list",
        "repo list",
        "repo show",
        "environment list",
        "environment show",
        "stats",
        "whoami",
        "help",
    ];
    assert_eq!(without, looks);
    stage.finish().await;
}
