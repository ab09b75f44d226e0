//! `slipway audit export`.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::log::{Log, Said, acme, entry};

#[tokio::test]
async fn what_is_exported_as_json_lines_proves_itself_to_another_program() {
    let log = Log::of(12).await;
    let head = log.audit(&["verify", "--format", "json"]).done().out;
    let head: Value = serde_json::from_str(&head).unwrap();
    let head = head.as_array().unwrap().iter().find(|chain| chain["guild_id"] == acme().to_string()).unwrap();
    let said = log.audit(&["export", "--format", "jsonl", "--output", "log.jsonl"]).done();
    assert_eq!((said.out.as_str(), said.err.starts_with("12 entries, the newest is #12: ")), ("", true), "{said:?}");
    assert_eq!(log.files(), ["log.jsonl"]);

    log.python_says("log.jsonl", Ok(&format!("12 entries hold, head {}\n", head["head"].as_str().unwrap())));

    let text = std::fs::read_to_string(log.path("log.jsonl")).unwrap();
    for (from, to) in
        [("reason 7", "reason 8"), ("alice", "malice"), ("\"seq\":3,", "\"seq\":4,"), ("production", "staging")]
    {
        std::fs::write(log.path("forged.jsonl"), text.replacen(from, to, 1)).unwrap();
        log.python_says("forged.jsonl", Err("entry"));
    }
    let without_third: String =
        text.lines().enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| format!("{line}\n")).collect();
    std::fs::write(log.path("forged.jsonl"), without_third).unwrap();
    log.python_says("forged.jsonl", Err("entry 4 doesn't follow entry 2"));
}

#[tokio::test]
async fn a_query_narrows_an_export_down_and_both_are_entries_that_are_not_in_it() {
    let log = Log::of(3).await;
    log.append(&entry(4, "=HYPERLINK(\"http://evil\")")).await;
    let all = log.audit(&["export", "--format", "csv"]).done();
    let rows: Vec<&str> = all.out.lines().collect();
    assert_eq!(rows.len(), 5, "{}", all.out);
    assert!(rows[0].starts_with("guild_id,seq,format,at,channel_id,actor_id,actor_name,action,"), "{}", rows[0]);
    assert!(rows[4].contains(",\"'=HYPERLINK(\"\"http://evil\"\")\","), "{}", rows[4]);
    let some = log.audit(&["export", "--format", "jsonl", "deploy:2,3", "--reason", "x"]);
    assert_eq!(some.status, 2, "an option that isn't one: {some:?}");
    let some = log.audit(&["export", "--format", "jsonl", "deploy:2,3", "since:2025-12-03"]).done();
    assert_eq!(some.out.lines().count(), 1, "{}", some.out);
    let other = log.audit(&["export", "-deploy:2", "deploy:2,3", "--format", "jsonl", "-since:2027-01-01"]).done();
    assert!(other.out.lines().count() == 1 && other.out.contains("\"deploy_id\":3"), "{}", other.out);
    let recorded = log.column("SELECT detail FROM audit_log WHERE action = 'audit.exported' ORDER BY seq").await;
    assert_eq!(
        recorded,
        [
            r#"{"file":null,"format":"csv","query":""}"#,
            r#"{"file":null,"format":"jsonl","query":"deploy:#2,#3 since:2025-12-03"}"#,
            r#"{"file":null,"format":"jsonl","query":"deploy:#2,#3 -deploy:#2 -since:2027-01-01"}"#,
        ]
    );
}

#[tokio::test]
async fn a_disk_that_is_full_leaves_nothing_half_written_behind() {
    let log = Log::of(3).await;
    std::fs::write(log.path("log.csv"), "the one of yesterday").unwrap();
    // Nobody can write into a folder that isn't there, and a full device takes nothing.
    log.audit(&["export", "--format", "csv", "--output", "nowhere/log.csv"])
        .refused("nowhere/log.csv can't be written");
    let full = std::process::Command::new("sh")
        .args(["-c", "\"$0\" audit export --format jsonl > /dev/full", env!("CARGO_BIN_EXE_slipway")])
        .env("DATABASE_URL", format!("sqlite://{}", log.path("slipway.db").display()))
        .output()
        .unwrap();
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&full.stderr).contains("can't be written"), "{full:?}");
    // A folder is no file.
    log.audit(&["export", "--format", "csv", "--output", "."]).refused("it is a folder");
    // A file may not grow over 1 kB: what was there stays, and nothing else does.
    let limited = std::process::Command::new("bash")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 1; exec \"$0\" audit export --format csv --output log.csv",
            env!("CARGO_BIN_EXE_slipway"),
        ])
        .current_dir(log.path(""))
        .env("DATABASE_URL", format!("sqlite://{}", log.path("slipway.db").display()))
        .output()
        .unwrap();
    assert_ne!(limited.status.code(), Some(0), "{limited:?}");
    assert_eq!(log.files(), ["log.csv"]);
    assert_eq!(std::fs::read_to_string(log.path("log.csv")).unwrap(), "the one of yesterday");
}

#[tokio::test]
async fn an_export_that_is_interrupted_leaves_nothing_behind() {
    let log = Log::of(1).await;
    log.grow_to(50_000).await;
    let mut export = log.command(&["export", "--format", "jsonl", "--output", "log.jsonl"]);
    let export = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let under_way =
        || log.files().iter().any(|name| std::fs::metadata(log.path(name)).is_ok_and(|file| file.len() > 0));
    let begun = async {
        while !under_way() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), begun).await.expect("it writes");
    assert!(Command::new("kill").args(["-INT", &export.id().to_string()]).status().unwrap().success());
    let said: Said = export.wait_with_output().unwrap().into();
    said.refused("log.jsonl can't be written: it was interrupted. Nothing was written under that name.");
    assert!(log.files().is_empty(), "{:?}", log.files());
}

/// Whoever can write to the database can put what a terminal obeys into any column.
#[tokio::test]
async fn nothing_of_a_changed_log_reaches_a_terminal_as_it_is() {
    let columns = Log::of(0).await.column("SELECT name FROM pragma_table_info('audit_log') WHERE type = 'TEXT'").await;
    assert_eq!(columns.len(), 14, "{columns:?}");
    for column in columns {
        let log = Log::of(3).await;
        log.tamper("DROP TRIGGER audit_log_is_never_changed").await;
        let evil =
            format!("UPDATE audit_log SET {column} = char(27) || '[2J' || char(8238) || 'evil' || char(10) || '#'");
        sqlx::query(sqlx::AssertSqlSafe(evil)).execute(log.db.pool()).await.unwrap();
        for asked in [
            &["search"][..],
            &["search", "--format", "json"],
            &["show", "3"],
            &["verify"],
            &["verify", "--format", "json"],
            &["export", "--format", "csv", "--output", "log.csv"],
            &["redact", "2", "--reason", "evil"],
            &["archive", "--before", "2025-12-03", "archive.jsonl"],
        ] {
            let said = log.audit(asked);
            let text = format!("{}{}", said.out, said.err);
            assert!(
                !text.contains(['\u{1b}', '\u{202e}']) && !text.contains("panicked"),
                "{column}, {asked:?}: {said:?}"
            );
        }
    }
}

#[tokio::test]
async fn one_entry_is_shown_with_every_column() {
    let log = Log::of(2).await;
    let shown: Value = serde_json::from_str(&log.audit(&["show", "#2", "--format", "json"]).done().out).unwrap();
    assert_eq!((&shown["reason"], shown.as_object().unwrap().len()), (&"reason 2".into(), 20));
    let shown = log.audit(&["show", "2"]).done().out;
    assert!(shown.starts_with("Entry #2 of the audit log\n") && shown.contains("\n  Hash "), "{shown}");
    log.audit(&["show", "99"]).refused("There is no entry #99");
    assert_eq!(log.audit(&["show", "x"]).status, 2);
}
